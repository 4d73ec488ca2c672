use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use portkeep::{Consumer, PortRange};
use portkeep_admin::{
    Error, ErrorKind, FindSockets, FoundSockets, Keeper, Kind, Ports, Request, Scope, Stranger,
    namespace,
};
use portkeep_tests::libc::{EACCES, EADDRINUSE, ENOPROTOOPT};
use portkeep_tests::ports::probe_free;
use portkeep_tests::{Channel, Protocol, Sandbox, assert_ok, enable, proc, sock};

pub fn keeper(sandbox: &Sandbox) -> Keeper {
    enable::installation(sandbox).keeper()
}

pub fn ranges(ports: &[&str]) -> Vec<PortRange> {
    ports
        .iter()
        .map(|ports| ports.parse().expect("a range"))
        .collect()
}

pub fn request(ports: &[&str]) -> Request {
    Request {
        kind: Kind::Reservation,
        ports: Ports::These(ranges(ports)),
        scope: None,
        users: Vec::new(),
        groups: Vec::new(),
        cgroups: Vec::new(),
        comment: None,
    }
}

#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind) -> Error {
    let error = result.expect_err("a refusal");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(
        error.hint().is_some() || kind == ErrorKind::Kernel,
        "{error}"
    );
    error
}

/// The store, the kernel part and the protected ports.
fn everything(sandbox: &Sandbox) -> (Option<String>, usize, String) {
    let store = fs::read_to_string(sandbox.state_dir().join("reservations.toml")).ok();
    let protected = portkeep_admin::sysctl::protected_ports().expect("read");
    let kernel = portkeep::list().map_or(0, |list| list.len());
    (store, kernel, protected.to_string())
}

/// Nothing changes, but that the store may exist now.
#[track_caller]
fn changes_nothing(sandbox: &Sandbox, attempt: impl FnOnce(&Keeper)) {
    let keeper = keeper(sandbox);
    let (store, kernel, protected) = everything(sandbox);
    let records = keeper
        .contents()
        .map(|contents| contents.reservations())
        .ok();
    attempt(&keeper);
    let after = everything(sandbox);
    assert_eq!((after.1, after.2), (kernel, protected));
    assert_eq!(
        keeper
            .contents()
            .map(|contents| contents.reservations())
            .ok(),
        records
    );
    if store.is_some() && records.is_none() {
        assert_eq!(after.0, store);
    }
}

pub fn overlapping(sandbox: &Sandbox) {
    enable::enable(sandbox);
    keeper(sandbox)
        .reserve(&request(&["40000-40009/tcp"]), None)
        .expect("reserve");
    changes_nothing(sandbox, |keeper| {
        for ports in ["40009-40010/tcp", "40000-40001/tcp", "1-65535/tcp"] {
            refused(
                keeper.reserve(&request(&[ports]), None),
                ErrorKind::Reserved,
            );
        }
        let mut exclusion = request(&["40000-40009/tcp"]);
        exclusion.kind = Kind::Exclusion;
        refused(keeper.reserve(&exclusion, None), ErrorKind::Reserved);
    });
}

/// Without somebody who looks at sockets, any is in the way.
pub fn in_use(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let there = sock::udp4();
    assert_ok!(sock::bind_any(&there, 40003));
    changes_nothing(sandbox, |keeper| {
        let error = refused(
            keeper.reserve(&request(&["40000-40009/udp"]), None),
            ErrorKind::InUse,
        );
        assert_eq!(error.errno(), Some(EADDRINUSE));
    });
    assert_eq!(probe_free(Protocol::Udp, 40004..=40009), []);
}

/// The second of two blocks is refused by the kernel part, after the first was made.
pub fn half_of_it(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let there = sock::udp4();
    assert_ok!(sock::bind_any(&there, 40003));
    changes_nothing(sandbox, |keeper| {
        let both = request(&["40000-40009/tcp", "40000-40009/udp"]);
        refused(keeper.reserve(&both, None), ErrorKind::InUse);
    });
    assert_eq!(probe_free(Protocol::Tcp, 40000..=40009), []);
    assert_eq!(keeper(sandbox).differences().expect("compare"), []);
}

pub fn invalid_requests(sandbox: &Sandbox) {
    enable::enable(sandbox);
    changes_nothing(sandbox, |keeper| {
        let mut many = request(&["20000/tcp"]);
        many.users = (0..9).map(|uid| uid.to_string()).collect();
        refused(keeper.reserve(&many, None), ErrorKind::InvalidInput);
        for cgroup in ["/", "/..", "a/../../b"] {
            let mut root = request(&["20000/tcp"]);
            root.cgroups = vec![cgroup.to_owned()];
            let error = keeper.reserve(&root, None).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
    });
}

/// Also where the store is within reach.
pub fn without_the_privilege(sandbox: &Sandbox) {
    enable::enable(sandbox);
    keeper(sandbox)
        .reserve(&request(&["20000/tcp"]), None)
        .expect("reserve");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(sandbox.state_dir(), mode).expect("chmod");
    fs::remove_file(sandbox.state_dir().join("lock")).expect("remove the lock");
    changes_nothing(sandbox, |_| {
        let as_user = || {
            let keeper = keeper(sandbox);
            let error = keeper
                .reserve(&request(&["21000/tcp"]), None)
                .expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
            let error = keeper
                .remove(Kind::Reservation, &ranges(&["20000/tcp"]), None)
                .expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
            error.errno().unwrap_or(0)
        };
        assert_eq!(proc::as_uid(65534, 65534, as_user), EACCES);
    });
    let root = keeper(sandbox).contents().expect("contents");
    assert_eq!(root.reservations(), 1);
}

pub fn nothing_to_remove(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let outcome = keeper(sandbox)
        .remove(Kind::Reservation, &ranges(&["20000/tcp"]), None)
        .expect("nothing");
    assert!(!outcome.changed && outcome.ports.is_empty());
    keeper(sandbox)
        .reserve(&request(&["20000-20009/tcp"]), None)
        .expect("reserve");
    changes_nothing(sandbox, |keeper| {
        for (kind, ports) in [
            (Kind::Reservation, "20000-20010/tcp"),
            (Kind::Exclusion, "20000-20009/tcp"),
        ] {
            refused(
                keeper.remove(kind, &ranges(&[ports]), None),
                ErrorKind::Reserved,
            );
        }
    });
}

/// What several of them name is given back once, and all of it.
pub fn removing_ranges_that_overlap(sandbox: &Sandbox) {
    enable::enable(sandbox);
    keeper(sandbox)
        .reserve(&request(&["40005-40030/tcp", "40010-40025/udp"]), None)
        .expect("reserve");
    let these = ranges(&[
        "40010-40020/tcp",
        "40015-40025/tcp",
        "40012/tcp",
        "40010-40020/tcp",
        "40024-40026/tcp",
        "40010-40025/udp",
        "40011-40012/udp",
    ]);
    let outcome = keeper(sandbox)
        .remove(Kind::Reservation, &these, None)
        .expect("remove");
    assert_eq!(outcome.ports, these);
    let mut left: Vec<_> = portkeep::list()
        .expect("list")
        .iter()
        .map(|entry| entry.range.to_string())
        .collect();
    left.sort();
    assert_eq!(left, ["40005-40009/tcp", "40027-40030/tcp"]);
    assert_eq!(probe_free(Protocol::Tcp, 40010..=40026), []);
    assert_eq!(probe_free(Protocol::Udp, 40010..=40025), []);
    assert_eq!(keeper(sandbox).differences().expect("compare"), []);
    let protected = portkeep_admin::sysctl::protected_ports().expect("read");
    assert_eq!(protected.to_string(), "40005-40009,40027-40030");
}

pub fn stores_that_overlap_themselves(sandbox: &Sandbox) {
    enable::enable(sandbox);
    keeper(sandbox)
        .reserve(&request(&["20000-20009/tcp"]), None)
        .expect("reserve");
    let path = sandbox.state_dir().join("reservations.toml");
    let text = fs::read_to_string(&path).expect("read");
    let text = format!("{text}\n[[exclusion]]\nports = \"20009-20010/tcp\"\n");
    fs::write(&path, text).expect("write");
    changes_nothing(sandbox, |keeper| {
        let kind = ErrorKind::Overlap;
        refused(keeper.reserve(&request(&["21000/tcp"]), None), kind);
        let these = ranges(&["20000-20009/tcp"]);
        refused(keeper.remove(Kind::Reservation, &these, None), kind);
        refused(keeper.restore(None), kind);
        refused(keeper.contents(), kind);
        refused(keeper.differences(), kind);
        refused(keeper.unresolved(), kind);
    });
}

/// Looks at the kernel's table of TCP sockets. Before the second look somebody whom the kernel part
/// does not see takes a port, as a connect() does that looked for a free one before it was protected.
struct SlipsIn<'a> {
    sandbox: &'a Sandbox,
    looks: AtomicUsize,
    slips_in_at: usize,
    port: u16,
    slipped_in: Mutex<Option<proc::Child>>,
}

impl<'a> SlipsIn<'a> {
    fn new(sandbox: &'a Sandbox, slips_in_at: usize) -> SlipsIn<'a> {
        SlipsIn {
            sandbox,
            looks: AtomicUsize::new(0),
            slips_in_at,
            port: 40003,
            slipped_in: Mutex::new(None),
        }
    }
}

fn stranger(port: u16) -> Stranger {
    Stranger {
        port,
        pid: None,
        command: None,
        uid: 0,
        automatic: false,
        words: format!("{port}/tcp"),
    }
}

impl FindSockets for SlipsIn<'_> {
    fn find(
        &self,
        ports: PortRange,
        _consumers: &[Consumer],
    ) -> Result<FoundSockets, Box<dyn std::error::Error + Send + Sync>> {
        if self.looks.fetch_add(1, Ordering::Relaxed) == self.slips_in_at {
            let (own, others) = Channel::pair();
            let child = proc::fork_child(|| {
                proc::enter_cgroup(&self.sandbox.outside_cgroup());
                let socket = sock::tcp4();
                assert_ok!(sock::bind_any(&socket, self.port));
                socket.listen(1).expect("listen");
                others.send(0);
                loop {
                    nix::unistd::pause();
                }
            });
            assert_eq!(own.recv(), 0);
            *self.slipped_in.lock().expect("not poisoned") = Some(child);
        }
        let table = fs::read_to_string("/proc/net/tcp")?;
        let local = table.lines().skip(1).filter_map(|line| {
            let address = line.split_whitespace().nth(1)?;
            u16::from_str_radix(address.split_once(':')?.1, 16).ok()
        });
        let strangers = local.filter(|port| (ports.start()..=ports.end()).contains(port));
        Ok(FoundSockets {
            of_consumers: 0,
            of_strangers: strangers.map(stranger).collect(),
        })
    }
}

/// It is found, and everything is undone.
pub fn a_connection_that_slipped_in(sandbox: &Sandbox) {
    enable::enable(sandbox);
    changes_nothing(sandbox, |keeper| {
        let slips_in = SlipsIn::new(sandbox, 1);
        let wanted = request(&["40000-40009/tcp"]);
        let error = refused(keeper.reserve(&wanted, Some(&slips_in)), ErrorKind::InUse);
        assert!(error.to_string().contains("40003/tcp"), "{error}");
        assert_eq!(slips_in.looks.load(Ordering::Relaxed), 2);
    });
    assert_eq!(keeper(sandbox).differences().expect("compare"), []);
    assert_eq!(probe_free(Protocol::Tcp, 40000..=40009), []);
    // Outside the automatic range nobody can slip in: one look.
    let looks = SlipsIn::new(sandbox, usize::MAX);
    keeper(sandbox)
        .reserve(&request(&["20000-20009/tcp"]), Some(&looks))
        .expect("reserve");
    assert_eq!(looks.looks.load(Ordering::Relaxed), 1);
}

/// It stays and is told, as everybody who was there before.
pub fn a_connection_that_slipped_in_at_boot(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let text = "version = 1\n[[reservation]]\nports = \"40000-40009/tcp\"\n";
    fs::write(sandbox.state_dir().join("reservations.toml"), text).expect("write");
    let slips_in = SlipsIn::new(sandbox, 0);
    let report = keeper(sandbox).restore(Some(&slips_in)).expect("restore");
    assert_eq!(report.failures.len(), 0, "{report:?}");
    let warning =
        "40000-40009/tcp is reserved, but a stranger already had a socket there: 40003/tcp";
    assert_eq!(report.warnings, [warning]);
    assert_eq!(probe_free(Protocol::Tcp, 40000..=40009).len(), 10);
}

pub fn unknown_names(sandbox: &Sandbox) {
    enable::enable(sandbox);
    changes_nothing(sandbox, |keeper| {
        let mut unknown = request(&["20000/tcp"]);
        unknown.users = vec!["nosuchuser".to_owned()];
        refused(keeper.reserve(&unknown, None), ErrorKind::UnknownName);
    });
    refused(namespace::enter("nosuchname"), ErrorKind::UnknownName);
    let scope = namespace::enter(&std::process::id().to_string()).expect("one's own");
    assert!(matches!(scope, Scope::Living { .. }));
}

pub fn stores_that_are_not_understood(sandbox: &Sandbox) {
    enable::enable(sandbox);
    for (text, kind) in [
        ("version = 1\nlater = 1\n", ErrorKind::Damaged),
        ("version = 1\n[[reservation]]\n", ErrorKind::Damaged),
        ("\u{0}", ErrorKind::Damaged),
        ("version = 9\n", ErrorKind::NewerVersion),
    ] {
        fs::write(sandbox.state_dir().join("reservations.toml"), text).expect("write");
        changes_nothing(sandbox, |keeper| {
            refused(keeper.reserve(&request(&["20000/tcp"]), None), kind);
            refused(
                keeper.remove(Kind::Reservation, &ranges(&["20000/tcp"]), None),
                kind,
            );
            refused(keeper.restore(None), kind);
            refused(keeper.withdraw(), kind);
            refused(keeper.contents(), kind);
        });
    }
}

pub fn not_enabled(sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    changes_nothing(sandbox, |keeper| {
        for ports in ["20000/tcp", "40000/tcp"] {
            let error = refused(keeper.reserve(&request(&[ports]), None), ErrorKind::Kernel);
            assert_eq!(error.errno(), Some(ENOPROTOOPT));
        }
        let removed = keeper.remove(Kind::Reservation, &ranges(&["20000/tcp"]), None);
        refused(removed, ErrorKind::Kernel);
    });
}

/// The list of an installation is its own, whichever one the environment names.
pub(crate) fn another_installation_in_the_environment(sandbox: &Sandbox) {
    enable::enable(sandbox);
    keeper(sandbox)
        .reserve(&request(&["10000/tcp"]), None)
        .expect("reserve");
    let child = proc::fork_child(|| {
        // SAFETY: the child has one thread; nothing reads the environment meanwhile.
        unsafe { std::env::set_var("PORTKEEP_BPFFS", sandbox.state_dir()) };
        assert!(portkeep::list().is_err());
        assert_eq!(keeper(sandbox).differences().expect("compare"), []);
        let report = keeper(sandbox).restore(None).expect("restore");
        assert_eq!(report.differences, []);
        0
    });
    assert_eq!(child.code(), 0);
    assert_eq!(portkeep::list().expect("list").len(), 1);
}
