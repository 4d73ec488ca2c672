//! Test targets: named on the command line, built by cargo.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
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

/// What cargo has built.
#[derive(Debug)]
pub struct Built {
    pub portkeep: PathBuf,
    pub tests: Vec<Program>,
}

/// Builds the `portkeep` command and the targets; fails also if one of them has no such test.
///
/// All at once and of the whole workspace, as ./test does: for one package or without tests, cargo would
/// choose other features of what they depend on, and build all of that again.
pub fn build(targets: &[Target]) -> Result<Built> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(root())
        .args(["build", "--workspace", "--bin", "portkeep"])
        .args(["--quiet", "--message-format=json-render-diagnostics"]);
    for target in targets {
        cargo.args(["--test", &target.name]);
    }
    let messages = command::output(&mut cargo)?;
    let tests = targets.iter().map(|target| {
        let path = executable(&messages, &target.package, "test", &target.name)?;
        let mut list = Command::new(&path);
        list.arg("--list").args(&target.filter);
        if !command::output(&mut list)?.contains(": test") {
            bail!(
                "{} has no test {}",
                target.name,
                target.filter.as_deref().unwrap_or_default()
            );
        }
        Ok(Program {
            path,
            filter: target.filter.clone(),
        })
    });
    Ok(Built {
        portkeep: executable(&messages, "portkeep-cli", "bin", "portkeep")?,
        tests: tests.collect::<Result<_>>()?,
    })
}

/// The package's executable of this kind and name, as cargo's messages tell it.
fn executable(messages: &str, package: &str, kind: &str, name: &str) -> Result<PathBuf> {
    let executable = |line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let target = &message["target"];
        let is_it = target["name"] == name
            && target["kind"][0] == kind
            && is_package(message["package_id"].as_str()?, package);
        if !is_it {
            return None;
        }
        Some(PathBuf::from(message["executable"].as_str()?))
    };
    messages
        .lines()
        .find_map(executable)
        .with_context(|| format!("cargo has not made {name} of {package}"))
}

/// Whether this is the id of a package of the workspace (`cargo help pkgid`): it names the package, or its
/// directory if that has the package's name.
fn is_package(id: &str, name: &str) -> bool {
    let Some((url, fragment)) = id.rsplit_once('#') else {
        return false;
    };
    let named = fragment.split_once('@').map(|(named, _)| named);
    named.or_else(|| url.rsplit('/').next()) == Some(name)
}

#[cfg(test)]
mod tests {
    use super::{Target, is_package};

    #[test]
    fn ids_of_packages() {
        let id = "path+file:///portkeep/crates/portkeep-cli#0.1.0";
        assert!(is_package(id, "portkeep-cli") && !is_package(id, "portkeep"));
        let id = "path+file:///portkeep/tests#portkeep-tests@0.1.0";
        assert!(is_package(id, "portkeep-tests") && !is_package(id, "tests"));
    }

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
