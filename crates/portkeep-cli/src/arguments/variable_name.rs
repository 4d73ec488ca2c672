//! Names of environment variables that ports may go into.

use std::str::FromStr;

/// A name that a shell takes, and that nothing else gives a meaning to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableName(String);

/// What shells, the dynamic linker and the C library act upon.
const TAKEN: [&str; 19] = [
    "BASH_ENV",
    "CDPATH",
    "ENV",
    "HOME",
    "HOSTALIASES",
    "IFS",
    "LANG",
    "LANGUAGE",
    "LOCALDOMAIN",
    "LOGNAME",
    "PATH",
    "POSIXLY_CORRECT",
    "PWD",
    "SHELL",
    "SHELLOPTS",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
];

/// What their names begin with.
const TAKEN_PREFIXES: [&str; 8] = [
    "DBUS_",
    "GCONV_",
    "GLIBC_",
    "LC_",
    "LD_",
    "MALLOC_",
    "PORTKEEP_",
    "XDG_",
];

impl VariableName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VariableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !text.bytes().all(is_word) || !text.starts_with(|it: char| !it.is_ascii_digit()) {
            return Err(format!(
                "'{text}' is not the name of a variable: letters, digits and _, not a digit first"
            ));
        }
        let prefix = TAKEN_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
        if prefix || TAKEN.contains(&text) {
            return Err(format!(
                "{text} has a meaning to other programs; choose another name"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["PORT", "MASTER_PORT", "_", "a1", "PATH1", "LDX"] {
            assert_eq!(name.parse(), Ok(VariableName(name.to_owned())));
        }
        for name in [
            "",
            "1A",
            "A-B",
            "A.B",
            "\u{e9}",
            "PATH",
            "LD_PRELOAD",
            "PORTKEEP_TCP",
            "LC_ALL",
        ] {
            assert!(name.parse::<VariableName>().is_err(), "{name:?} was taken");
        }
    }
}
