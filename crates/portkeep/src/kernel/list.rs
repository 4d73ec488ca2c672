use std::io;
use std::path::Path;

use portkeep_host::bpffs::{self, OpenError};

use super::option;
use crate::types::{Entry, Error, ErrorKind, ParseError};

/// The reservations in all network namespaces, in no order. Every user may ask.
///
/// The list is the file `portkeep/reservations` in the bpf file system that `$PORTKEEP_BPFFS` names
/// or, where it is not set, in the first one that is mounted.
///
/// # Errors
///
/// [`ErrorKind::NotEnabled`]; [`ErrorKind::ListUnavailable`] if the kernel part is there but the
/// file is not, may not be read or does not have the known form; [`ErrorKind::ListUntrusted`] if
/// somebody else than root has made what is there, or can change it. On systems other than Linux
/// [`ErrorKind::NotSupported`].
pub fn list() -> Result<Vec<Entry>, Error> {
    match bpffs::mount_point() {
        Some(mount) => list_at(mount),
        None => {
            let error = io::Error::from_raw_os_error(libc::ENOENT);
            let message = format!("no bpf file system is mounted: {error}");
            Err(unavailable(error.raw_os_error(), message))
        }
    }
}

/// The reservations that an installation in a given bpf file system keeps, which is mounted at
/// `mount`. `$PORTKEEP_BPFFS` is ignored; otherwise it is as [`list`].
///
/// # Errors
///
/// Those of [`list`].
pub fn list_at(mount: impl AsRef<Path>) -> Result<Vec<Entry>, Error> {
    let text = bpffs::read_list(mount.as_ref()).map_err(|error| match &error {
        OpenError::Untrusted(..) => {
            Error::new(ErrorKind::ListUntrusted, libc::EPERM, error.to_string())
        }
        OpenError::System(_, cause) => unavailable(cause.raw_os_error(), error.to_string()),
        OpenError::NotBpf(_) => unavailable(Some(libc::ENOENT), error.to_string()),
        other => unavailable(None, other.to_string()),
    })?;
    parse(&text).map_err(|error| {
        Error::new(
            ErrorKind::ListUnavailable,
            None,
            format!("the list of reservations is malformed: {error}"),
        )
    })
}

/// Tells a kernel part that is not there from one whose file is out of reach.
fn unavailable(errno: Option<i32>, message: String) -> Error {
    if let Err(not_enabled) = option::version()
        && not_enabled.kind() == ErrorKind::NotEnabled
    {
        return not_enabled;
    }
    Error::new(ErrorKind::ListUnavailable, errno, message)
}
fn parse(text: &[u8]) -> Result<Vec<Entry>, ParseError> {
    let text = std::str::from_utf8(text).map_err(|_| ParseError::Line)?;
    let mut lines = text.lines();
    match lines.next() {
        Some(header) if header.starts_with(HEADER) => lines.map(str::parse).collect(),
        _ => Err(ParseError::Line),
    }
}

/// The columns of version 1; a later version adds its own at the end.
const HEADER: &str =
    "PROTOCOL PORTS FLAGS PID UID COMMAND SINCE TOKEN SOCKET NETNS LIFETIME CONSUMERS";
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "tcp 61000-61063 process,tree 1234 1000 postgres 123456789012 4294967297 42 1 \
         runtime -";

    #[test]
    fn later_versions_add_columns_at_the_end() {
        let text = format!("{HEADER} MORE\n{LINE} 5\n");
        let entries = parse(text.as_bytes()).expect("a list");
        assert_eq!(entries, [LINE.parse().expect("a line")]);
    }

    #[test]
    fn an_empty_list() {
        assert_eq!(parse(format!("{HEADER}\n").as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn malformed() {
        assert_eq!(parse(b""), Err(ParseError::Line));
        assert_eq!(parse(LINE.as_bytes()), Err(ParseError::Line));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            prop_assert!(parse(&bytes).is_err());
            let with_header = [HEADER.as_bytes(), b"\n", &bytes].concat();
            if let Ok(entries) = parse(&with_header) {
                prop_assert!(entries.len() <= bytes.len());
            }
        }

        #[test]
        fn a_line_with_any_column_changed(column in 0..12_usize, text in "[ -~]{0,24}") {
            let mut columns: Vec<&str> = LINE.split(' ').collect();
            columns[column] = &text;
            if let Ok(entry) = columns.join(" ").parse::<Entry>() {
                prop_assert!(entry.range.start() <= entry.range.end());
            }
        }
    }
}
