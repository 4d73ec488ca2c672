//! python_portpicker's own tests, as its archive has them, with our server in portserver's place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use portkeep_tests::{Sandbox, enable, without_portkeep};

use crate::common::{PORTKEEP, USER, outcome};

/// Where scripts/set-up puts the archive.
const ARCHIVE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/portpicker/portpicker-1.6.0.tar.gz"
);

/// A directory that everybody can read, with the archive unpacked, and our command called portserver.py.
struct Place(PathBuf);

impl Place {
    fn make() -> Self {
        let path = std::env::temp_dir().join(format!("portkeep-portpicker-{}", std::process::id()));
        fs::create_dir(&path).expect("make a directory");
        let place = Self(path);
        open_to_all(&place.0);
        let mut tar = Command::new("tar");
        tar.args(["-xzf", ARCHIVE, "-C"]).arg(&place.0);
        let unpacked = outcome(&mut tar);
        assert_eq!(unpacked.code, Some(0), "scripts/set-up test: {unpacked:?}");
        let mut chmod = Command::new("chmod");
        let opened = outcome(chmod.args(["-R", "a+rX"]).arg(&place.0));
        assert_eq!(opened.code, Some(0), "{opened:?}");
        fs::copy(PORTKEEP, place.0.join("portkeep")).expect("copy the command");
        // portserver_test.py starts the portserver.py above it, by Python; portpicker_test.py the one of PATH.
        let program = format!(
            "#!/usr/bin/python3\nimport os, sys\nos.execv('{0}', ['{0}', 'serve', *sys.argv[1:]])\n",
            place.0.join("portkeep").display()
        );
        let script = place.0.join("portserver.py");
        fs::write(&script, program).expect("write portserver.py");
        open_to_all(&script);
        fs::create_dir(place.0.join("tests")).expect("make a directory");
        fs::copy(
            place
                .0
                .join("portpicker-1.6.0/src/tests/portserver_test.py"),
            place.0.join("tests/portserver_test.py"),
        )
        .expect("copy the test");
        place
    }

    fn test(&self, name: &str) -> PathBuf {
        self.0.join("portpicker-1.6.0/src/tests").join(name)
    }

    /// The test as the words of a command that is started by `before`.
    fn python(&self, before: &[&str], test: &Path, only: &[&str]) -> Command {
        let words = before.iter().copied().chain(["/usr/bin/python3", "-B"]);
        let words: Vec<_> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(test).args(only);
        command.current_dir(&self.0);
        command.env("PYTHONPATH", self.0.join("portpicker-1.6.0/src"));
        let path = std::env::var("PATH").expect("PATH");
        command.env("PATH", format!("{}:{path}", self.0.display()));
        command.env_remove("PORTSERVER_ADDRESS");
        command
    }

    /// All of portpicker_test.py, and that test of portserver_test.py which is of the program.
    fn run_tests(&self, before: &[&str]) {
        let binary = ["PortserverFunctionsTest.test_portserver_binary"];
        let tests = [
            (self.test("portpicker_test.py"), [].as_slice(), 21),
            (self.0.join("tests/portserver_test.py"), &binary, 1),
        ];
        for (test, only, number) in tests {
            let outcome = outcome(&mut self.python(before, &test, only));
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
            let ran = format!("Ran {number} test");
            assert!(outcome.stderr.contains(&ran), "{outcome:?}");
            assert!(!outcome.stderr.contains("skipped"), "{outcome:?}");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

const AS_USER: [&str; 6] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=-all",
    "--",
];

pub fn its_own_tests_pass_with_the_kernel_part(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let place = Place::make();
    place.run_tests(&["env"]);
    // Inside a run, with its server.
    place.run_tests(&["./portkeep", "run", "--serve", "--"]);
}

pub fn its_own_tests_pass_for_an_ordinary_user(sandbox: &Sandbox) {
    enable::enable(sandbox);
    assert_eq!(USER, 65534);
    let place = Place::make();
    place.run_tests(&AS_USER);
    let run = ["./portkeep", "run", "--serve", "--"];
    place.run_tests(&[AS_USER.as_slice(), &run].concat());
}

pub fn its_own_tests_pass_inside_a_held_run(_sandbox: &Sandbox) {
    without_portkeep();
    let place = Place::make();
    let run = ["./portkeep", "run", "--quiet", "--serve", "--"];
    place.run_tests(&run);
    place.run_tests(&[AS_USER.as_slice(), &run].concat());
}
