use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who signs the test's certificates, by openssl(1).
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
}

impl Authority {
    /// A new one, in a directory.
    pub fn new(directory: PathBuf) -> Authority {
        let authority = Authority { directory };
        let files = [authority.ca(), authority.directory.join("ca.key")];
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=test-ca",
            &["-out", path(&files[0]), "-keyout", path(&files[1])],
        );
        authority
    }

    /// The authority's own certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The certificate and the key of a common name. They are made anew if they are there.
    pub fn issue(&self, name: &str, address: &str) -> (PathBuf, PathBuf) {
        let of = |end: &str| self.directory.join(format!("{name}.{end}"));
        let (certificate, key, request, extensions) = (of("pem"), of("key"), of("csr"), of("ext"));
        let text = format!(
            "subjectAltName=IP:{address},IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
        );
        fs::write(&extensions, text).expect("write the extensions");
        self.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc",
            &[
                "-subj",
                &format!("/CN={name}"),
                "-out",
                path(&request),
                "-keyout",
                path(&key),
            ],
        );
        let new = of("new");
        self.openssl(
            "x509 -req -days 1 -CAcreateserial",
            &[
                "-in",
                path(&request),
                "-CA",
                path(&self.ca()),
                "-CAkey",
                path(&self.directory.join("ca.key")),
                "-extfile",
                path(&extensions),
                "-out",
                path(&new),
            ],
        );
        fs::rename(new, &certificate).expect("put the certificate there");
        (certificate, key)
    }

    fn openssl(&self, words: &str, more: &[&str]) {
        let made = Command::new("openssl")
            .args(words.split(' '))
            .args(more)
            .output()
            .expect("openssl. Hint: scripts/set-up fleet");
        let errors = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "openssl {words}: {errors}");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
