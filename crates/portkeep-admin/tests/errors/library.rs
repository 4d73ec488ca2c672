use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sched::{CloneFlags, unshare};
use portkeep::sockopt::{self, CreateFlags, DeleteFlags};
use portkeep::{Consumer, Error, ErrorKind, PortRange, Token};
use portkeep_tests::libc::{
    EACCES, EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENOENT, ENOPROTOOPT, ENOTSOCK, EOPNOTSUPP,
};
use portkeep_tests::ports::probe_free;
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, proc, raw, sock};

fn create(socket: impl AsFd, start: u16, count: u16) -> Result<(PortRange, Token), Error> {
    sockopt::create(socket, start, count, 1, CreateFlags::default(), &[])
}

fn delete(socket: impl AsFd, start: u16, count: u16) -> Result<(), Error> {
    sockopt::delete(socket, start, count, DeleteFlags::default())
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, errno: i32) -> Error {
    let error = result.expect_err("a refusal");
    assert_eq!(
        (error.kind(), error.errno()),
        (kind, Some(errno)),
        "{error}"
    );
    error
}

/// The ports that the kernel part lists, sorted.
fn listed() -> Vec<String> {
    let entries = portkeep::list().expect("list");
    let mut ports: Vec<_> = entries
        .iter()
        .map(|entry| entry.range.to_string())
        .collect();
    ports.sort();
    ports
}

pub fn overlapping(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (socket, holder) = (sock::tcp4(), sock::tcp4());
    create(&socket, 20000, 10).expect("create");
    assert_ok!(raw::acquire4(&holder, 20020, 2));
    for (start, count, port) in [
        (20000, 10, 20000),
        (20009, 1, 20009),
        (19990, 20, 20000),
        (20015, 10, 20020),
    ] {
        let error = refused(
            create(&socket, start, count),
            ErrorKind::Reserved,
            EADDRINUSE,
        );
        assert_eq!(
            error.conflict().and_then(|conflict| conflict.port),
            Some(port)
        );
    }
    assert_eq!(listed(), ["20000-20009/tcp", "20020-20021/tcp"]);
    // Of one protocol only, and an acquire is refused in the same way.
    create(sock::udp4(), 20000, 10).expect("create");
    let acquired = sockopt::acquire(&holder, 20005, 1, portkeep::Consumers::ASSOCIATED, 1);
    refused(acquired, ErrorKind::Reserved, EADDRINUSE);
}

pub fn in_use(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let there = sock::tcp6();
    assert_ok!(sock::bind_any(&there, 20003));
    let error = refused(
        create(sock::tcp4(), 20000, 10),
        ErrorKind::InUse,
        EADDRINUSE,
    );
    assert_eq!(
        error.conflict().and_then(|conflict| conflict.port),
        Some(20003)
    );
    assert_eq!(listed(), [] as [&str; 0]);
    assert_eq!(probe_free(Protocol::Tcp, 20004..=20009), []);
    drop(there);
    create(sock::tcp4(), 20000, 10).expect("create");
}

pub fn adopting(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let there = sock::tcp6();
    assert_ok!(sock::bind_any(&there, 20003));
    sockopt::create(sock::tcp4(), 20000, 10, 1, CreateFlags::ADOPT, &[]).expect("adopt");
    assert_eq!(sock::local_port(&there), 20003);
    let kept = (20000..=20009)
        .map(|port| (port, EADDRINUSE))
        .collect::<Vec<_>>();
    assert_eq!(probe_free(Protocol::Tcp, 20000..=20009), kept);
}

pub fn automatic_ports(sandbox: &Sandbox) {
    enable::enable(sandbox);
    refused(
        create(sock::udp4(), 40000, 2),
        ErrorKind::AutomaticRange,
        EADDRNOTAVAIL,
    );
    assert_eq!(listed(), [] as [&str; 0]);
    std::fs::write(
        "/proc/sys/net/ipv4/ip_local_reserved_ports",
        "40000-40001\n",
    )
    .expect("protect");
    create(sock::udp4(), 40000, 2).expect("create");
}

pub fn invalid_requests(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let socket = sock::tcp4();
    for (start, count, align) in [
        (20000, 0, 1),
        (65535, 2, 1),
        (20001, 2, 2),
        (20000, 2, 3),
        (0, 0, 1),
    ] {
        let result = sockopt::create(&socket, start, count, align, CreateFlags::default(), &[]);
        refused(result, ErrorKind::InvalidInput, EINVAL);
    }
    let users: Vec<_> = (0..9).map(Consumer::User).collect();
    let result = sockopt::create(&socket, 20000, 2, 1, CreateFlags::default(), &users);
    refused(result, ErrorKind::InvalidInput, EINVAL);
    for invalid in [
        Consumer::User(u32::MAX),
        Consumer::Group(u32::MAX),
        Consumer::Cgroup(0),
    ] {
        let result = sockopt::create(&socket, 20000, 2, 1, CreateFlags::default(), &[invalid]);
        refused(result, ErrorKind::InvalidInput, EINVAL);
    }
    for (start, count) in [(20000, 0), (0, 1), (65535, 2)] {
        refused(
            delete(&socket, start, count),
            ErrorKind::InvalidInput,
            EINVAL,
        );
        let found = sockopt::lookup(&socket, start, count);
        refused(found, ErrorKind::InvalidInput, EINVAL);
    }
    assert_eq!(listed(), [] as [&str; 0]);
}

pub fn without_the_privilege(sandbox: &Sandbox) {
    enable::enable(sandbox);
    create(sock::tcp4(), 20000, 2).expect("create");
    // Whoever made the socket: who calls counts.
    let roots = sock::tcp4();
    let as_user = || {
        for socket in [&roots, &sock::tcp4()] {
            let created = create(socket, 21000, 2).expect_err("refused");
            assert_eq!(created.errno(), Some(EACCES));
            let deleted = delete(socket, 20000, 2).expect_err("refused");
            assert_eq!(deleted.errno(), Some(EACCES));
        }
        // To look up takes no privilege.
        i32::from(sockopt::lookup(sock::tcp4(), 20000, 2).is_ok())
    };
    assert_eq!(proc::as_uid(65534, 65534, as_user), 1);
    assert_eq!(listed(), ["20000-20001/tcp"]);
}

pub fn no_such_reservation(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let (socket, holder) = (sock::tcp4(), sock::tcp4());
    let (_, token) = create(&socket, 20000, 10).expect("create");
    assert_ok!(raw::acquire4(&holder, 20020, 2));
    for (start, count) in [(20000, 9), (20001, 9), (20000, 11), (20020, 2), (1, 1)] {
        refused(delete(&socket, start, count), ErrorKind::NotFound, ENOENT);
        refused(
            sockopt::lookup(&socket, start, count),
            ErrorKind::NotFound,
            ENOENT,
        );
    }
    refused(delete(sock::udp4(), 20000, 10), ErrorKind::NotFound, ENOENT);
    refused(
        sockopt::lookup(sock::udp4(), 20000, 10),
        ErrorKind::NotFound,
        ENOENT,
    );
    assert_eq!(sockopt::lookup(&socket, 20000, 10).expect("found"), token);
    assert_eq!(listed(), ["20000-20009/tcp", "20020-20021/tcp"]);
    delete(&socket, 20000, 10).expect("delete");
    refused(
        sockopt::lookup(&socket, 20000, 10),
        ErrorKind::NotFound,
        ENOENT,
    );
}

pub fn parts(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let socket = sock::tcp4();
    create(&socket, 20000, 10).expect("create");
    create(&socket, 20010, 10).expect("create");
    let part = |start, count| sockopt::delete(&socket, start, count, DeleteFlags::PART);
    for (start, count) in [(20005, 10), (19999, 2), (20019, 2), (21000, 1)] {
        refused(part(start, count), ErrorKind::NotFound, ENOENT);
    }
    assert_eq!(listed(), ["20000-20009/tcp", "20010-20019/tcp"]);
    part(20004, 2).expect("delete");
    part(20010, 10).expect("delete");
    assert_eq!(listed(), ["20000-20003/tcp", "20006-20009/tcp"]);
}

pub fn every_namespace(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let socket = sock::tcp4();
    sockopt::create(&socket, 20000, 2, 1, CreateFlags::EVERY_NETNS, &[]).expect("create");
    let there = proc::in_netns(|| {
        refused(
            create(sock::tcp4(), 20001, 1),
            ErrorKind::Reserved,
            EADDRINUSE,
        );
        i32::from(probe_free(Protocol::Tcp, 20000..=20001).len() == 2)
    });
    assert_eq!(there, 1);
    // It is not that of this namespace.
    refused(delete(&socket, 20000, 2), ErrorKind::NotFound, ENOENT);
    sockopt::delete(&socket, 20000, 2, DeleteFlags::EVERY_NETNS).expect("delete");
    assert_eq!(listed(), [] as [&str; 0]);
}

pub fn other_sockets(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let unix = std::os::unix::net::UnixDatagram::unbound().expect("make a socket");
    refused(
        create(&unix, 20000, 2),
        ErrorKind::NotSupportedSocket,
        EOPNOTSUPP,
    );
    refused(
        delete(&unix, 20000, 2),
        ErrorKind::NotSupportedSocket,
        EOPNOTSUPP,
    );
    let file = std::fs::File::open("/dev/null").expect("open");
    refused(create(&file, 20000, 2), ErrorKind::NotASocket, ENOTSOCK);
    refused(delete(&file, 20000, 2), ErrorKind::NotASocket, ENOTSOCK);
    refused(
        sockopt::lookup(&file, 20000, 2),
        ErrorKind::NotASocket,
        ENOTSOCK,
    );
    assert_eq!(listed(), [] as [&str; 0]);
}

pub fn not_enabled(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    for socket in [sock::tcp4(), sock::tcp6(), sock::udp4(), sock::udp6()] {
        refused(
            create(&socket, 20000, 2),
            ErrorKind::NotEnabled,
            ENOPROTOOPT,
        );
        refused(
            delete(&socket, 20000, 2),
            ErrorKind::NotEnabled,
            ENOPROTOOPT,
        );
        refused(
            sockopt::lookup(&socket, 20000, 2),
            ErrorKind::NotEnabled,
            ENOPROTOOPT,
        );
    }
}

/// As in a container that has a user namespace: root there, with all capabilities.
pub fn in_a_user_namespace(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let outside = sock::tcp4();
    create(&outside, 20000, 2).expect("create");
    let code = proc::fork_child(|| {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).expect("unshare");
        std::fs::write("/proc/self/uid_map", "0 0 1").expect("map");
        let own = sock::tcp4();
        create(&own, 20000, 2).expect("create");
        let everywhere =
            |socket: &Socket| sockopt::create(socket, 21000, 2, 1, CreateFlags::EVERY_NETNS, &[]);
        refused(everywhere(&own), ErrorKind::NotAdministrator, EACCES);
        refused(everywhere(&outside), ErrorKind::NotAdministrator, EACCES);
        // The namespace of the socket is what counts, not that of the caller.
        refused(
            create(&outside, 21000, 2),
            ErrorKind::NotAdministrator,
            EACCES,
        );
        refused(
            delete(&outside, 20000, 2),
            ErrorKind::NotAdministrator,
            EACCES,
        );
        // Users that are not mapped there are nobody's to name.
        let flags = CreateFlags::default();
        let unmapped = sockopt::create(&own, 21000, 2, 1, flags, &[Consumer::User(1000)]);
        refused(unmapped, ErrorKind::InvalidInput, EINVAL);
        delete(&own, 20000, 2).expect("delete");
        0
    })
    .code();
    assert_eq!(code, 0);
    assert_eq!(listed(), ["20000-20001/tcp"]);
}

/// Consumers are changed while the reservation is deleted and another one is created in its place:
/// whoever deletes and creates has its own consumers afterwards.
pub fn consumers_of_the_next_one(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let who = |uid: u32| [Consumer::User(uid)];
    let socket = sock::tcp4();
    let change =
        |socket: &Socket| sockopt::create(socket, 20000, 10, 1, CreateFlags::CHANGE, &who(1002));
    let make = |count: u16, uid: u32| {
        let flags = CreateFlags::default();
        sockopt::create(&socket, 20000, count, 1, flags, &who(uid)).expect("create");
    };
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let changer = scope.spawn(|| {
            let mut changed = 0_u32;
            let socket = sock::tcp4();
            while !is_done.load(Ordering::Relaxed) {
                match change(&socket) {
                    Ok(_) => changed += 1,
                    Err(error) => {
                        refused(Err::<(), _>(error), ErrorKind::NotFound, ENOENT);
                    }
                }
            }
            changed
        });
        let wrong = (0..5000).find_map(|round| {
            make(10, 1003);
            delete(&socket, 20000, 10).expect("delete");
            make(6, 1001);
            let now = portkeep::list().expect("list");
            delete(&socket, 20000, 6).expect("delete");
            (now[0].named != who(1001)).then_some((round, now))
        });
        is_done.store(true, Ordering::Relaxed);
        let changed = changer.join().expect("a thread");
        assert!(wrong.is_none(), "{wrong:?}");
        println!("changed {changed} times");
        make(10, 1003);
    });
    change(&socket).expect("change");
    assert_eq!(portkeep::list().expect("list")[0].named, who(1002));
}
