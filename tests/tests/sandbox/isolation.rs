//! What a sandbox has for itself.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::process::parent_id;
use std::path::Path;

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use portkeep_tests::{Sandbox, assert_ok, proc, sock};

pub(crate) fn namespaces_are_its_own(_sandbox: &Sandbox) {
    for namespace in ["net", "mnt"] {
        let of = |process: &str| {
            fs::read_link(format!("/proc/{process}/ns/{namespace}")).expect("read the namespace")
        };
        assert_ne!(of("self"), of(&parent_id().to_string()));
    }
    let interfaces = fs::read_to_string("/proc/self/net/dev").expect("list the interfaces");
    let names: Vec<_> = interfaces
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
        .collect();
    assert!(
        names.iter().any(|(name, _)| name.trim() == "lo"),
        "{interfaces}"
    );
}

pub(crate) fn the_bpffs_is_one(sandbox: &Sandbox) {
    let kind = statfs(sandbox.bpffs()).expect("statfs").filesystem_type();
    assert_eq!(kind, BPF_FS_MAGIC);
    let outer = fs::read_to_string(format!("/proc/{}/mounts", parent_id())).expect("mounts");
    assert!(
        !outer.contains(path(sandbox.bpffs())),
        "the runner sees the mount"
    );
    let listed = proc::as_uid(65534, 65534, || {
        i32::from(fs::read_dir(sandbox.bpffs()).is_ok())
    });
    assert_eq!(listed, 1, "other users reach the bpffs");
}

pub(crate) fn processes_are_in_the_leaf(sandbox: &Sandbox) {
    let inside = sandbox.inside_cgroup();
    assert_eq!(inside.parent(), Some(sandbox.cgroup()));
    assert!(processes(&inside).contains(&std::process::id()));
    assert_eq!(processes(sandbox.cgroup()), []);
}

pub(crate) fn the_outside_cgroup_is_beside(sandbox: &Sandbox) {
    let outside = sandbox.outside_cgroup();
    assert_eq!(
        outside,
        sandbox.outside_cgroup(),
        "the second call finds the first's"
    );
    assert_eq!(outside.parent(), sandbox.cgroup().parent());
    assert!(!outside.starts_with(sandbox.cgroup()));
    assert_eq!(processes(&outside), []);
}

pub(crate) fn the_state_directory_is_empty(sandbox: &Sandbox) {
    assert_eq!(
        fs::read_dir(sandbox.state_dir()).expect("list it").count(),
        0
    );
    for (variable, path) in [
        ("PORTKEEP_CGROUP", sandbox.cgroup()),
        ("PORTKEEP_BPFFS", sandbox.bpffs()),
        ("PORTKEEP_STATE_DIR", sandbox.state_dir()),
    ] {
        assert_eq!(
            std::env::var_os(variable).as_deref(),
            Some(path.as_os_str()),
            "{variable}"
        );
    }
}

pub(crate) fn loopback_is_up(_sandbox: &Sandbox) {
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let mut connection = assert_ok!(sock::connection(address, 8080, 0));
        connection.client.send(b"hello").expect("send");
        let mut hello = [0; 5];
        connection.server.read_exact(&mut hello).expect("receive");
        assert_eq!(&hello, b"hello");
    }
}

/// The processes of a cgroup, not those below it.
pub(crate) fn processes(cgroup: &Path) -> Vec<u32> {
    let list = fs::read_to_string(cgroup.join("cgroup.procs")).expect("list the processes");
    list.lines()
        .map(|pid| pid.parse().expect("a process id"))
        .collect()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("an ASCII path")
}
