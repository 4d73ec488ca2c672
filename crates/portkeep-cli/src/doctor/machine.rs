//! What Portkeep needs from the machine.

use nix::sys::resource::{Resource, getrlimit};
use portkeep::Protocol;
use portkeep_admin::{Installation, check_features, other_programs, prove};
use portkeep_host::bpffs::is_mounted;
use portkeep_host::mounts;

use crate::doctor::check::{Check, State};
use crate::run::supervisor;
use portkeep_admin::sockets;

pub fn checks(installation: &Installation) -> Vec<Check> {
    let mut checks = vec![
        features(),
        cgroup(installation),
        bpf_file_system(installation),
        self_test(installation),
    ];
    checks.extend(others(installation));
    checks.push(socket_lists());
    checks.push(held_sockets());
    checks.push(descriptors());
    checks
}

fn features() -> Check {
    const NAME: &str = "kernel features";
    match check_features() {
        Ok(()) => Check::ok(NAME, "everything that the kernel part uses is there"),
        Err(error) => Check::kernel_error(NAME, error),
    }
}

fn cgroup(installation: &Installation) -> Check {
    const NAME: &str = "cgroup v2";
    let mounted = |kind| mounts::first(kind).ok().flatten();
    let Some(root) = mounted("cgroup2") else {
        return Check::not_ok(
            NAME,
            State::Wrong,
            "the cgroup v2 hierarchy is not mounted",
            "mount -t cgroup2 none /sys/fs/cgroup",
        );
    };
    let attach = installation.cgroup.as_ref().unwrap_or(&root);
    if !attach.join("cgroup.procs").exists() {
        return Check::not_ok(
            NAME,
            State::Wrong,
            format!("{} is not a cgroup v2 directory", attach.display()),
            "name a directory below the cgroup2 mount with --cgroup",
        );
    }
    let hybrid = match mounted("cgroup") {
        Some(_) => ", next to version 1",
        None => "",
    };
    Check::ok(NAME, format!("mounted at {}{hybrid}", root.display()))
}

fn bpf_file_system(installation: &Installation) -> Check {
    const NAME: &str = "bpf file system";
    let named = installation.bpffs.clone();
    let path = named.or_else(|| mounts::first("bpf").ok().flatten());
    match path {
        Some(path) if is_mounted(&path).unwrap_or(false) => {
            Check::ok(NAME, format!("mounted at {}", path.display()))
        }
        Some(path) => Check::not_ok(
            NAME,
            State::Warning,
            format!("not mounted at {}", path.display()),
            "`portkeep enable` mounts it",
        ),
        None => Check::not_ok(
            NAME,
            State::Warning,
            "not mounted",
            "`portkeep enable` mounts it",
        ),
    }
}

fn self_test(installation: &Installation) -> Check {
    const NAME: &str = "self-test";
    match prove(installation) {
        Ok(()) => Check::ok(NAME, "a copy of the kernel part sees sockets of every kind"),
        Err(error) => Check::kernel_error(NAME, error),
    }
}

/// Programs of others run before or after Portkeep's, which cannot undo what they do.
fn others(installation: &Installation) -> Vec<Check> {
    const NAME: &str = "programs of others";
    let found = match other_programs(installation) {
        Ok(found) => found,
        Err(error) => return vec![Check::kernel_error(NAME, error)],
    };
    if found.is_empty() {
        return vec![Check::ok(NAME, "none at the hooks that Portkeep uses")];
    }
    found
        .iter()
        .map(|other| {
            Check::not_ok(
                NAME,
                State::Warning,
                format!(
                    "{} (id {}) at {} of {} may refuse or change the calls that Portkeep decides on",
                    match other.name.as_str() {
                        "" => "an unnamed program",
                        name => name,
                    },
                    other.id,
                    other.hook,
                    other.cgroup.display()
                ),
                format!("`bpftool prog show id {}` describes it", other.id),
            )
        })
        .collect()
}

/// Where `reserve` and `why` find the sockets that are bound to a port.
fn socket_lists() -> Check {
    const NAME: &str = "socket lists";
    let available = sockets::is_available;
    match (available(Protocol::Tcp), available(Protocol::Udp)) {
        (Err(error), _) | (_, Err(error)) => Check::error(NAME, State::Unknown, error),
        (Ok(true), Ok(true)) => {
            Check::ok(NAME, "the kernel lists TCP and UDP sockets by sock_diag")
        }
        _ => Check::not_ok(
            NAME,
            State::Warning,
            "sock_diag is not available, so sockets are looked up in /proc/net, which is slower and \
             does not show TCP sockets that are bound but neither listening nor connected",
            "modprobe -a tcp_diag udp_diag",
        ),
    }
}

/// How `portkeep run` lets its command bind if the kernel part is absent.
fn held_sockets() -> Check {
    const NAME: &str = "held sockets";
    match supervisor::probe() {
        Ok(Ok(way)) => Check::ok(
            NAME,
            format!("without the kernel part, a command under `portkeep run` binds {way}"),
        ),
        Ok(Err(reason)) => Check::not_ok(
            NAME,
            State::Warning,
            format!(
                "without the kernel part, a command under `portkeep run` cannot bind to its own ports: {reason}"
            ),
            "enable the kernel part, or allow these calls in the sandbox around this process",
        ),
        Err(error) => Check::error(NAME, State::Unknown, error),
    }
}

/// Fewer may not be enough for a test suite that holds many ports.
const FEW: u64 = 4096;

fn descriptors() -> Check {
    const NAME: &str = "descriptors";
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard < FEW => Check::not_ok(
            NAME,
            State::Warning,
            format!("at most {hard}: without the kernel part, each held port takes one"),
            "raise the hard limit (ulimit -Hn), or enable the kernel part",
        ),
        Ok((_, hard)) => Check::ok(NAME, format!("up to {hard}, one for each held port")),
        Err(error) => Check::error(NAME, State::Unknown, error),
    }
}
