//! What the examples are compiled and run with.

use std::process::Command;

/// A program and the Debian package that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
}

pub(crate) const CC: Tool = Tool {
    program: "cc",
    package: "gcc",
};
pub(crate) const GCC: Tool = Tool {
    program: "gcc",
    package: "gcc",
};
pub(crate) const GXX: Tool = Tool {
    program: "g++",
    package: "g++",
};
pub(crate) const PYTHON: Tool = Tool {
    program: "python3",
    package: "python3",
};
pub(crate) const GO: Tool = Tool {
    program: "go",
    package: "golang-go",
};
pub(crate) const CARGO: Tool = Tool {
    program: "cargo",
    package: "rustup",
};

impl Tool {
    /// Panics if the program is not there: an example that nobody ran has not been tested.
    #[track_caller]
    pub(crate) fn require(self) {
        if let Some(missing) = self.missing() {
            panic!("{missing}");
        }
    }

    fn missing(self) -> Option<String> {
        let Self { program, package } = self;
        let found = Command::new("sh")
            .args(["-c", r#"command -v "$0" >/dev/null"#, program])
            .status()
            .expect("run sh");
        (!found.success())
            .then(|| format!("{program} is not in the PATH; install Debian's package {package}"))
    }
}

pub(crate) fn a_missing_one_is_named_with_its_package() {
    let tool = Tool {
        program: "portkeep-no-such-program",
        package: "a-package",
    };
    let message = tool.missing().expect("it is missing");
    assert!(message.contains("portkeep-no-such-program"), "{message}");
    assert!(message.contains("package a-package"), "{message}");
    assert_eq!(
        Tool {
            program: "sh",
            package: "dash"
        }
        .missing(),
        None
    );
}
