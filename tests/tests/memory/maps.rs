use portkeep_admin::inspect;
use portkeep_tests::{Event, Sandbox, enable, expect_errno, expect_ok, libc, ports, proc, raw};
use portkeep_tests::{reservations, sock};

/// The bytes that the kernel accounts to a map.
fn bytes(sandbox: &Sandbox, map: &str) -> u64 {
    let status = inspect(&enable::installation(sandbox))
        .expect("inspect")
        .expect("installed");
    let memory = status
        .memory
        .iter()
        .find(|memory| memory.map == map)
        .expect("such a map");
    memory.bytes
}

pub fn reservations_give_their_memory_back(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let before = bytes(sandbox, "reservations");
    let socket = sock::tcp4();
    for port in 61000..62000 {
        expect_ok(raw::acquire4(&socket, port, 1), "acquire");
    }
    let held = bytes(sandbox, "reservations");
    assert!(
        held > before,
        "a thousand reservations take memory: {before} -> {held}"
    );
    drop(socket);
    assert_eq!(bytes(sandbox, "reservations"), before);
}

/// Reserves a port in a network namespace that ends with it.
fn use_a_namespace() {
    let code = proc::in_netns(|| {
        expect_ok(raw::acquire4(sock::tcp4(), 0, 1), "acquire");
        0
    });
    assert_eq!(code, 0);
}

pub fn namespaces_that_end_give_their_memory_back(sandbox: &Sandbox) {
    const NAMESPACES: u64 = 40;
    enable::enable(sandbox);
    let before = bytes(sandbox, "port_chunks");
    use_a_namespace();
    let one = bytes(sandbox, "port_chunks") - before;
    assert!(one > 0, "a namespace in use takes memory");
    // The kernel takes namespaces down some time after their last process, and gives no promise when;
    // what is left of them is collected when the next one begins to reserve. If it never is, the trial
    // is killed in the end.
    for _ in 0..NAMESPACES {
        use_a_namespace();
    }
    while bytes(sandbox, "port_chunks") - before > 2 * one {
        proc::wait_for_grace_period();
        use_a_namespace();
    }
}

/// Each of these makes a part of the port map while the other collects what is left of those before.
pub fn namespaces_that_begin_at_once_do_not_meet(sandbox: &Sandbox) {
    const ROUNDS: usize = 2500;
    enable::enable(sandbox);
    let before = ports::map(sandbox);
    let begin_and_end = || {
        for round in 0..ROUNDS {
            proc::new_netns();
            let what = format!("acquire in round {round}");
            for make in [sock::tcp4, sock::udp4] {
                let socket = make();
                let block = expect_ok(raw::acquire(&socket, 0, 4), &what);
                expect_errno(
                    sock::bind_any(make(), block.start),
                    libc::EADDRINUSE,
                    "a stranger's bind",
                );
                drop(socket);
                expect_ok(sock::bind_any(make(), block.start), "bind after the end");
            }
        }
        0
    };
    let both = [
        proc::fork_child(begin_and_end),
        proc::fork_child(begin_and_end),
    ];
    for child in both {
        assert_eq!(child.code(), 0);
    }
    assert_eq!(ports::map(sandbox), before);
}

pub fn a_namespace_that_lives_keeps_its_ports(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let socket = sock::tcp4();
    let block = expect_ok(raw::acquire(&socket, 0, 4), "acquire");
    let (reserved, done) = (Event::new(), Event::new());
    let other = {
        let (reserved, done) = (&reserved, &done);
        proc::fork_child(move || {
            proc::new_netns();
            let socket = sock::tcp4();
            expect_ok(
                raw::acquire4(&socket, 61000, 4),
                "acquire in the other namespace",
            );
            reserved.set();
            done.wait();
            expect_errno(
                sock::bind_any(sock::tcp4(), 61001),
                libc::EADDRINUSE,
                "bind there",
            );
            0
        })
    };
    reserved.wait();
    // Each of these collects what is left of the ones before.
    for _ in 0..20 {
        use_a_namespace();
    }
    done.set();
    assert_eq!(other.code(), 0, "the other namespace lost its reservation");
    expect_errno(
        sock::bind_any(sock::tcp4(), block.start),
        libc::EADDRINUSE,
        "bind in this namespace",
    );
}

pub fn the_list_is_complete_however_long(sandbox: &Sandbox) {
    const COUNT: u16 = 4000;
    enable::enable(sandbox);
    let before = ports::map(sandbox);
    let socket = sock::udp4();
    for port in 0..COUNT {
        expect_ok(raw::acquire4(&socket, 61000 + port, 1), "acquire");
    }
    let mut listed: Vec<u16> = reservations::list(sandbox)
        .iter()
        .map(|reservation| *reservation.ports.start())
        .collect();
    listed.sort_unstable();
    assert_eq!(listed, (61000..61000 + COUNT).collect::<Vec<u16>>());
    assert_eq!(
        portkeep::list().expect("the library's list").len(),
        usize::from(COUNT)
    );
    drop(socket);
    assert_eq!(ports::map(sandbox), before);
    assert_eq!(portkeep::list().expect("the library's list"), []);
}
