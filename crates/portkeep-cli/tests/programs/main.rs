//! Real programs under `portkeep run`, with held ports and with the kernel part.
//!
//! [`table`] has a row for each. A program that is not on the machine is reported as ignored.

#[path = "../common/mod.rs"]
mod common;

mod table;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portkeep_tests::{Sandbox, enable, skip, trials};

use common::{PORTKEEP, USER, outcome, portkeep, portkeep_as_user};
use table::{As, Program};

/// Several of them start slowly, and beside much else.
const LONG: Duration = Duration::from_secs(600);

macro_rules! programs {
    ($($name:ident)*) => {
        $(fn $name(sandbox: &Sandbox) {
            in_both(sandbox, &table::$name());
        })*

        trials! {
            root:
                $($name => LONG),*;
        }
    };
}

programs! {
    pytest_xdist
    gunicorn
    uvicorn
    nginx
    redis
    postgres
    node_cluster
    go_httptest
    java
    tmux
    sudo
    repl
    bwrap
    unshare
}

/// What every script has at hand. Nothing waits longer than a minute.
const PRELUDE: &str = r#"
set -eu
cd "$DIRECTORY"
python=/usr/bin/python3
until_true() {
    for _ in $(seq 600); do
        if "$@" 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "it never came true: $*"
    return 1
}
# Whether a web server answers at the port.
answers() {
    $python -c 'import sys, urllib.request
urllib.request.urlopen("http://127.0.0.1:" + sys.argv[1] + "/", timeout=5).read()' "$1"
}
# Binds to the port, in a process of its own.
bind() {
    $python -c 'import errno, socket, sys
try:
    socket.create_server(("127.0.0.1", int(sys.argv[1])))
    print("bound")
except OSError as error:
    print(errno.errorcode[error.errno])' "$1"
}
"#;

fn in_both(sandbox: &Sandbox, program: &Program) {
    for (path, package) in program.needs {
        if !Path::new(path).exists() {
            skip(&format!("{path} is not there: install {package}"));
        }
    }
    portkeep_tests::without_portkeep();
    run(program, "held");
    enable::enable(sandbox);
    run(program, "kernel");
}

/// Runs the script, whose last word has to be `done`.
fn run(program: &Program, backend: &str) {
    // Users may not pass through the sandbox's own directories.
    let directory = Path::new("/tmp").join(format!("portkeep-program-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).expect("make a directory");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("open it");
    let script = format!("{PRELUDE}\n{}\necho done\n", program.script);
    let ports = program.ports.to_string();
    let words = ["run", "--tcp", &ports, "bash", "-c", &script];
    let mut command = match program.run_by {
        As::Root => portkeep(words),
        As::User => {
            chown(&directory, Some(USER), Some(USER)).expect("give it away");
            portkeep_as_user(words)
        }
        As::Itself => {
            let mut bash = Command::new("bash");
            bash.args(["-c", &script]);
            bash
        }
    };
    command
        .env("DIRECTORY", &directory)
        .env("HOME", &directory)
        .env("BACKEND", backend)
        .env("PORTKEEP", PORTKEEP)
        .env(
            "GOCACHE",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-build"),
        );
    let outcome = outcome(&mut command);
    println!("{backend}: {}{}", outcome.stdout, outcome.stderr);
    let said = outcome.stdout.lines().last();
    assert_eq!(
        (outcome.code, said),
        (Some(0), Some("done")),
        "{backend}: {outcome:?}"
    );
    fs::remove_dir_all(&directory).expect("remove it");
}
