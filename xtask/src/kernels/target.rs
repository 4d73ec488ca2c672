//! Test targets: named on the command line, built by cargo.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{command, root};

/// A test target of a package, or those of its tests whose names contain `filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    package: String,
    name: String,
    filter: Option<String>,
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (package, rest) = text.split_once('/').unwrap_or(("portkeep-tests", text));
        let (name, filter) = match rest.split_once("::") {
            Some((name, filter)) => (name, Some(filter.to_owned())),
            None => (rest, None),
        };
        Ok(Self {
            package: package.to_owned(),
            name: name.to_owned(),
            filter,
        })
    }
}

/// A built test target.
#[derive(Debug)]
pub struct Program {
    pub path: PathBuf,
    pub filter: Option<String>,
}

impl Target {
    pub fn build(&self) -> Result<Program> {
        let path = executable(&[
            "test",
            "--no-run",
            "--package",
            &self.package,
            "--test",
            &self.name,
        ])?;
        Ok(Program {
            path,
            filter: self.filter.clone(),
        })
    }
}

/// Builds the `portkeep` command.
pub fn portkeep() -> Result<PathBuf> {
    executable(&["build", "--package", "portkeep-cli", "--bin", "portkeep"])
}

/// The last executable that cargo makes: what was asked for, after those that it needs.
fn executable(arguments: &[&str]) -> Result<PathBuf> {
    let messages = command::output(
        Command::new(env!("CARGO"))
            .current_dir(root())
            .args(arguments)
            .args(["--quiet", "--message-format=json-render-diagnostics"]),
    )?;
    messages
        .lines()
        .rev()
        .find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            Some(PathBuf::from(message.get("executable")?.as_str()?))
        })
        .with_context(|| format!("cargo {} has made no executable", arguments.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_package_and_a_filter_may_be_given() {
        let target = |package: &str, name: &str, filter: Option<&str>| Target {
            package: package.into(),
            name: name.into(),
            filter: filter.map(Into::into),
        };
        assert_eq!(
            "errors".parse(),
            Ok(target("portkeep-tests", "errors", None))
        );
        assert_eq!(
            "portkeep-cli/why::state::x".parse(),
            Ok(target("portkeep-cli", "why", Some("state::x")))
        );
    }
}
