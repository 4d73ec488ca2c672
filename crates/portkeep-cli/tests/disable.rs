//! `portkeep disable`: nothing of the kernel part is left.

mod common;

use nix::sys::signal::Signal;
use portkeep_tests::{Protocol, Sandbox, assert_errno, assert_ok, raw, sock, trials};

use common::kernel_part::{
    acquire, assert_enabled, assert_free, assert_kept, assert_nothing_reserved, assert_removed,
    the_reservation,
};
use common::python::python;
use common::{Running, done, misused, portkeep, portkeep_as_user, refused};

trials! {
    root:
        everything_is_removed,
        a_second_time_says_so,
        a_directory_without_a_bpf_file_system,
        reservations_end_and_their_processes_live,
        bound_sockets_stay_bound,
        a_run_goes_on_without_its_ports,
        enabled_again_it_starts_empty,
        an_ordinary_user_is_refused;
    plain:
        wrong_usage;
}

const DISABLED: &str = "Portkeep is disabled\n";
const WAS_NOT_ENABLED: &str = "Portkeep was not enabled\n";

fn everything_is_removed(sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    assert_enabled();
    assert_eq!(done(&mut portkeep(["disable"])), DISABLED);
    assert_removed(sandbox.bpffs());
    assert_errno!(raw::acquire4(sock::tcp4(), 20000, 1), ENOPROTOOPT);
}

fn a_second_time_says_so(sandbox: &Sandbox) {
    assert_eq!(done(&mut portkeep(["disable"])), WAS_NOT_ENABLED);
    done(&mut portkeep(["enable"]));
    assert_eq!(done(&mut portkeep(["disable"])), DISABLED);
    assert_eq!(done(&mut portkeep(["disable"])), WAS_NOT_ENABLED);
    assert_removed(sandbox.bpffs());
}

fn a_directory_without_a_bpf_file_system(sandbox: &Sandbox) {
    let directory = sandbox.state_dir().to_str().expect("a path in UTF-8");
    assert_eq!(
        done(&mut portkeep(["disable", "--bpffs", directory])),
        WAS_NOT_ENABLED
    );
}

fn reservations_end_and_their_processes_live(_sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    let mut holder = Running::start(portkeep(["hold", "--both", "20000-20003"]));
    assert_eq!(
        [holder.line(), holder.line()],
        ["20000-20003/tcp", "20000-20003/udp"]
    );
    let held = acquire(Protocol::Tcp, 20010..=20013);
    assert_kept(Protocol::Udp, 20000..=20003);
    done(&mut portkeep(["disable"]));
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        assert_free(protocol, 20000..=20013);
    }
    assert!(holder.is_alive());
    holder.signal(Signal::SIGTERM);
    assert_eq!(holder.code(), 0);
    drop(held);
}

fn bound_sockets_stay_bound(_sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    let acquirer = sock::tcp4();
    let block = assert_ok!(raw::acquire(&acquirer, 20000, 4));
    let bound = sock::tcp4();
    assert_ok!(raw::associate(&bound, block.token));
    assert_ok!(sock::bind_any(&bound, 20001));
    assert_ok!(sock::listen(&bound));
    done(&mut portkeep(["disable"]));
    let client = sock::tcp4();
    assert_ok!(sock::connect(&client, std::net::Ipv4Addr::LOCALHOST, 20001));
    assert_ok!(sock::accept(&bound));
    assert_errno!(sock::bind_any(sock::tcp4(), 20001), EADDRINUSE);
    assert_free(Protocol::Tcp, 20002..=20003);
}

fn a_run_goes_on_without_its_ports(_sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    let program = python(
        "bound = bind('tcp', 20000)
say('bound')
wait()
say(attempt('tcp', 20001))
sys.exit(5)",
    );
    let words = ["run", "--tcp", "20000-20001", "--"].map(str::to_owned);
    let mut running = Running::start(portkeep(words.iter().chain(&program)));
    assert_eq!(running.line(), "bound");
    assert_kept(Protocol::Tcp, 20000..=20001);
    done(&mut portkeep(["disable"]));
    assert_kept(Protocol::Tcp, 20000..=20000);
    assert_free(Protocol::Tcp, 20001..=20001);
    running.go_on();
    assert_eq!(running.rest(), "bound\n");
    assert_eq!(running.code(), 5);
    assert_free(Protocol::Tcp, 20000..=20001);
}

fn enabled_again_it_starts_empty(sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    let old = acquire(Protocol::Tcp, 20000..=20003);
    done(&mut portkeep(["disable"]));
    let said = done(&mut portkeep(["enable"]));
    assert!(said.starts_with("Portkeep is enabled: "), "{said}");
    assert_nothing_reserved(sandbox);
    let _new = acquire(Protocol::Tcp, 20000..=20003);
    // The end of the old one is not the end of the new one.
    drop(old);
    assert_kept(Protocol::Tcp, 20000..=20003);
}

fn an_ordinary_user_is_refused(sandbox: &Sandbox) {
    done(&mut portkeep(["enable"]));
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    let entry = the_reservation(sandbox);
    let reason = refused(&mut portkeep_as_user(["disable"]));
    assert!(reason.contains("Operation not permitted"), "{reason}");
    assert_eq!(the_reservation(sandbox), entry);
    assert_kept(Protocol::Tcp, 20000..=20003);
    assert_eq!(done(&mut portkeep(["disable"])), DISABLED);
    assert_removed(sandbox.bpffs());
}

fn wrong_usage() {
    misused(&["disable", "now"]);
    misused(&["disable", "--force"]);
    misused(&["disable", "--bpffs"]);
}
