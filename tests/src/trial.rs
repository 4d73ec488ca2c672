//! From test functions to trials: the `main` of a test target.

use std::env;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Trial};
use nix::sys::signal::{self, SigHandler, Signal};

use crate::{Sandbox, leftover, machine, privilege, skip, supervisor};

/// Names the trial whose body a process is to run.
pub(crate) const NAME: &str = "PORTKEEP_TEST_TRIAL";

/// Multiplies all limits, on an emulated machine say.
const PATIENCE: &str = "PORTKEEP_TEST_PATIENCE";

/// How long a body may run unless it says otherwise: far longer than any does on a loaded machine.
const LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug)]
enum Body {
    Root(fn(&Sandbox)),
    Plain(fn()),
}

/// A test of a target, as [`trials!`](crate::trials) lists it.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    name: &'static str,
    body: Body,
    limit: Duration,
}

impl Test {
    /// A test that needs privilege: a process in a [`Sandbox`] runs it, for 300 seconds at most.
    #[must_use]
    pub fn root(name: &'static str, body: fn(&Sandbox)) -> Self {
        Self {
            name,
            body: Body::Root(body),
            limit: LIMIT,
        }
    }

    /// A test that needs nothing: a thread of the runner runs it.
    #[must_use]
    pub fn plain(name: &'static str, body: fn()) -> Self {
        Self {
            name,
            body: Body::Plain(body),
            limit: LIMIT,
        }
    }

    /// Sets after which time a root trial is killed and fails.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn into_trial(self, show: bool) -> Trial {
        match self.body {
            Body::Plain(body) => Trial::test(self.name, move || {
                body();
                Ok(())
            }),
            Body::Root(_) => Trial::ignorable_test(self.name, move || {
                if let Some(reason) = privilege::missing().or_else(machine::in_the_way) {
                    return Ok(Completion::ignored_with(reason));
                }
                Ok(supervisor::run(self.name, self.limit * patience(), show)?)
            })
            .with_kind("root"),
        }
    }
}

fn patience() -> u32 {
    let value = env::var(PATIENCE).ok();
    value.and_then(|value| value.parse().ok()).unwrap_or(1)
}

/// Runs tests as the command line says, which is that of `cargo test` targets; with `--nocapture`
/// the output of root trials is not kept for failures but let through.
///
/// The same `main` runs in the process of a root trial, where it runs the one body.
pub fn main(tests: &[Test]) -> ExitCode {
    if let Ok(name) = env::var(NAME) {
        // SAFETY: the process has one thread yet. Removed, so that a runner started by the body
        // is one.
        unsafe { env::remove_var(NAME) };
        return run_body(tests, &name);
    }
    let arguments = Arguments::from_args();
    if !arguments.list && privilege::missing().is_none() {
        leftover::sweep();
    }
    let trials = tests
        .iter()
        .map(|test| test.into_trial(arguments.nocapture))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The `main` of a benchmark: one root body, whose output is shown and whose process has a
/// [`Sandbox`] like a trial's. What is on the command line is ignored: `cargo bench` puts its own
/// words there.
pub fn benchmark(body: fn(&Sandbox), limit: Duration) -> ExitCode {
    const BENCHMARK: &str = "benchmark";
    let test = Test::root(BENCHMARK, body).within(limit);
    if env::var_os(NAME).is_some() {
        return main(&[test]);
    }
    if let Some(reason) = privilege::missing() {
        eprintln!("not measured: {reason}");
        return ExitCode::FAILURE;
    }
    leftover::sweep();
    match supervisor::run(test.name, test.limit, true) {
        Ok(_) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("{failed}");
            ExitCode::FAILURE
        }
    }
}

/// Started in the background, or by nohup(1), this process ignores them, and so would what a trial starts.
fn heed_signals() {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: no handler is set.
        unsafe { signal::signal(signal, SigHandler::SigDfl) }.expect("a signal that can be caught");
    }
}

fn run_body(tests: &[Test], name: &str) -> ExitCode {
    let body = tests.iter().find_map(|test| match test.body {
        Body::Root(body) if test.name == name => Some(body),
        _ => None,
    });
    let Some(body) = body else {
        eprintln!("no root trial is named {name}");
        return ExitCode::FAILURE;
    };
    heed_signals();
    let sandbox = match Sandbox::enter() {
        Ok(sandbox) => sandbox,
        Err(error) => {
            eprintln!("cannot enter the sandbox: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| body(&sandbox)));
    let _ = io::stdout().flush();
    let Err(payload) = outcome else {
        return ExitCode::from(supervisor::PASSED);
    };
    match skip::leave_reason(&*payload, &sandbox) {
        Some(Ok(())) => ExitCode::from(supervisor::SKIPPED),
        Some(Err(error)) => {
            eprintln!("cannot tell why the trial is skipped: {error}");
            ExitCode::from(101)
        }
        None => ExitCode::from(101),
    }
}

/// The `main` function of a test target, from the names of its test functions.
///
/// Functions under `root:` take `&Sandbox` and are killed after 300 seconds, or after the time that
/// follows `=>`; functions under `plain:` take nothing. Either section may be missing.
///
/// ```no_run
/// # use std::time::Duration;
/// # use portkeep_tests::{Sandbox, trials};
/// trials! {
///     root: binds, survives_a_storm => Duration::from_secs(300);
///     plain: parses;
/// }
/// # fn binds(_: &Sandbox) {}
/// # fn survives_a_storm(_: &Sandbox) {}
/// # fn parses() {}
/// ```
#[macro_export]
macro_rules! trials {
    ($($tests:tt)*) => {
        fn main() -> ::std::process::ExitCode {
            $crate::main(&$crate::tests! { $($tests)* })
        }
    };
}

/// An array of [`Test`]s, for a target that writes its own `main`; as in [`trials!`](crate::trials).
#[macro_export]
macro_rules! tests {
    (
        $(root: $($root:path $(=> $limit:expr)?),+ $(,)?;)?
        $(plain: $($plain:path),+ $(,)?;)?
    ) => {
        [
            $($($crate::Test::root(stringify!($root), $root)$(.within($limit))?,)+)?
            $($($crate::Test::plain(stringify!($plain), $plain),)+)?
        ]
    };
}
