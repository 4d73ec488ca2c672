//! Sockets with and without devices of other users, and of the same one, beside a held port: before the
//! owner has bound, while it has, and after. Held sockets only; what the kernel part keeps out does not
//! depend on who the owner is.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

use portkeep::{Backend, Protocol, Reservation};
use portkeep_tests::socket2::Socket;
use portkeep_tests::{Event, Sandbox, errno_name, libc, proc};

use crate::backends::{OTHER_USER, USER};
use crate::capabilities;
use crate::strangers::socket;

const PORT: u16 = 61100;
/// Of no device; of the one that every namespace has; of none that exists.
const DEVICES: [i32; 3] = [0, 1, 999_999];
const ADDRESSES: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
];
const BOTH: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// An attempt to bind.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    protocol: Protocol,
    address: IpAddr,
    device: i32,
    reuse: bool,
    share: bool,
}

fn attempts() -> impl Iterator<Item = Attempt> {
    BOTH.into_iter().flat_map(|protocol| {
        ADDRESSES.into_iter().flat_map(move |address| {
            DEVICES.into_iter().flat_map(move |device| {
                (0..4).map(move |flags| Attempt {
                    protocol,
                    address,
                    device,
                    reuse: flags & 1 != 0,
                    share: flags & 2 != 0,
                })
            })
        })
    })
}

impl Attempt {
    /// Its errno; 0 if the socket is bound.
    fn make(self) -> i32 {
        let stranger = socket(self.protocol, self.address);
        if self.device != 0 {
            set_device(&stranger, self.device);
        }
        stranger.set_reuse_address(self.reuse).expect("set it");
        stranger.set_reuse_port(self.share).expect("set it");
        match stranger.bind(&SocketAddr::from((self.address, PORT)).into()) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().expect("an errno"),
        }
    }
}

/// By index, for socket2 would refuse one that does not exist.
fn set_device(socket: &Socket, index: i32) {
    // SAFETY: the kernel reads an int.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTOIFINDEX,
            (&raw const index).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "SO_BINDTOIFINDEX");
}

/// What the attempts of a user come to that succeed.
fn successes(user: u32) -> Vec<String> {
    let (mut reader, writer) = std::io::pipe().expect("make a pipe");
    let make = || {
        for attempt in attempts() {
            let errno = attempt.make();
            // An IPv6 address other than all is of a device that exists.
            let nowhere = attempt.device == 999_999
                && attempt.address.is_ipv6()
                && !attempt.address.is_unspecified();
            match errno {
                0 => writeln!(&writer, "{attempt:?}").expect("write"),
                libc::EADDRINUSE => {}
                libc::ENODEV if nowhere => {}
                _ => panic!("user {user}: {attempt:?}: {}", errno_name(errno)),
            }
        }
        0
    };
    let child = proc::fork_child(|| {
        if user != 0 {
            proc::drop_privileges(user, user);
        }
        make()
    });
    drop(writer);
    let mut report = String::new();
    reader.read_to_string(&mut report).expect("read");
    assert_eq!(child.code(), 0);
    report.lines().map(str::to_owned).collect()
}

/// An owner's socket.
#[derive(Clone, Copy, Debug)]
struct Own {
    protocol: Protocol,
    address: IpAddr,
    reuse: bool,
    share: bool,
}

fn owns() -> impl Iterator<Item = Own> {
    let addresses = [0, 1, 3, 4].map(|index| ADDRESSES[index]);
    BOTH.into_iter().flat_map(move |protocol| {
        addresses.into_iter().flat_map(move |address| {
            [(false, false), (true, false), (false, true)].map(|(reuse, share)| Own {
                protocol,
                address,
                reuse,
                share,
            })
        })
    })
}

impl Own {
    fn open(self) -> Socket {
        let own = socket(self.protocol, self.address);
        own.set_reuse_address(self.reuse).expect("set it");
        own.set_reuse_port(self.share).expect("set it");
        own
    }

    /// Whether others of the user that share may share with it, as without Portkeep.
    fn shares(self) -> bool {
        self.protocol == Protocol::Udp && self.share
    }
}

/// What the owner does, and the strangers try after each step.
fn own_and_let_others_try(reservation: &Reservation, others_try: impl Fn(Option<Own>)) {
    others_try(None);
    for own in owns() {
        let bound = own.open();
        let at = (own.address, PORT);
        reservation.bind(&bound, at).expect("bind");
        others_try(Some(own));
        if own.protocol == Protocol::Tcp {
            reservation.listen(&bound, 5).expect("listen");
            others_try(Some(own));
        }
        // Of its own sockets, only one that shares with one that does.
        // A refusal leaves no way open for the next.
        for share in [false, true].repeat(2) {
            let second = Own { share, ..own };
            let errno = reservation
                .bind(second.open(), at)
                .err()
                .map_or(0, |error| error.errno().expect("an errno"));
            let listens = own.protocol == Protocol::Tcp;
            // For a TCP socket of an ordinary user nothing but the flag tells the two apart.
            let may = own.share && (share || listens) || own.reuse && !listens;
            let right = errno == libc::EADDRINUSE && !(own.share && share) || errno == 0 && may;
            assert!(right, "{own:?}, then {second:?}: {}", errno_name(errno));
        }
        drop(bound);
        reservation.take_back(PORT).expect("take it back");
        others_try(None);
    }
}

/// Who the owner is.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Root,
    /// Root without these capabilities, `CAP_CHOWN` and `CAP_NET_RAW`.
    Without(&'static [u32]),
    User,
}

fn are_kept_from(owner: Owner) {
    let (tried, stepped) = (Event::new(), Event::new());
    let (mut reader, writer) = std::io::pipe().expect("make a pipe");
    let child = proc::fork_child(|| {
        match owner {
            Owner::Root => {}
            Owner::Without(capabilities) => capabilities::drop_some(capabilities),
            Owner::User => proc::drop_privileges(USER, USER),
        }
        let request = Reservation::builder().backend(Backend::Held);
        let reservation = request.tcp().udp().port(PORT).acquire().expect("acquire");
        own_and_let_others_try(&reservation, |own| {
            let shares = own.is_some_and(Own::shares);
            (&writer).write_all(&[u8::from(shares)]).expect("write");
            stepped.set();
            tried.wait();
        });
        (&writer).write_all(&[2]).expect("write");
        stepped.set();
        0
    });
    let mut step = [0];
    let mut steps = 0;
    loop {
        stepped.wait();
        reader.read_exact(&mut step).expect("read");
        if step == [2] {
            break;
        }
        steps += 1;
        let same = if let Owner::User = owner { USER } else { 0 };
        for user in [USER, OTHER_USER, 0] {
            let successes = successes(user);
            let all_share = successes
                .iter()
                .all(|attempt| attempt.contains("Udp") && attempt.contains("share: true"));
            let may = user == same && step == [1];
            assert!(
                successes.is_empty() || may && all_share,
                "{owner:?}, step {steps}: user {user} has {successes:?}"
            );
        }
        tried.set();
    }
    assert_eq!(child.code(), 0);
    assert_eq!(steps, 1 + 12 * 3 + 12 * 2);
}

const CHOWN: u32 = 0;
const NET_RAW: u32 = 13;

pub(crate) fn are_kept_from_root(_: &Sandbox) {
    are_kept_from(Owner::Root);
}

pub(crate) fn are_kept_from_root_without_chown(_: &Sandbox) {
    are_kept_from(Owner::Without(&[CHOWN]));
}

pub(crate) fn are_kept_from_root_without_net_raw(_: &Sandbox) {
    are_kept_from(Owner::Without(&[NET_RAW]));
}

pub(crate) fn are_kept_from_root_without_either(_: &Sandbox) {
    are_kept_from(Owner::Without(&[CHOWN, NET_RAW]));
}

pub(crate) fn are_kept_from_an_ordinary_user(_: &Sandbox) {
    are_kept_from(Owner::User);
}
