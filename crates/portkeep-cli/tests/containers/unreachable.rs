//! Sockets that nobody can reach, and that others take the place of.

use portkeep_tests::Sandbox;

use crate::cage::{EVERYBODY, portkeep};
use crate::common::done;
use crate::common::python::python;
use crate::profile::{ALL, Profile};

/// The options that matter to a bind are kept by every way, as are those of the descriptor.
pub fn options_are_kept(_sandbox: &Sandbox) {
    portkeep_tests::without_portkeep();
    let program = "
import fcntl
six = socket.socket(socket.AF_INET6)
six.setblocking(False)
os.set_inheritable(six.fileno(), True)
for level, name in ((socket.SOL_SOCKET, socket.SO_REUSEADDR), (socket.SOL_SOCKET, socket.SO_REUSEPORT),
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)):
    six.setsockopt(level, name, 1)
six.bind(('::', own('tcp')[0]))
six.listen()
print(*(six.getsockopt(level, name) for level, name in ((socket.SOL_SOCKET, socket.SO_REUSEADDR),
        (socket.SOL_SOCKET, socket.SO_REUSEPORT), (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))),
    fcntl.fcntl(six, fcntl.F_GETFD), bool(fcntl.fcntl(six, fcntl.F_GETFL) & os.O_NONBLOCK))
# It is at IPv6 alone, and shares with another one.
four = bind('tcp', own('tcp')[0])
again = socket.socket(socket.AF_INET6)
again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
again.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
again.bind(('::', own('tcp')[0]))
again.listen()
far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
far.setsockopt(socket.IPPROTO_IP, 15, 1)
far.bind(('192.0.2.1', own('udp')[0]))
buffers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
buffers.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 30000)
buffers.bind(('127.0.0.1', own('udp')[0]))
print(buffers.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
";
    let [_, program @ ..] = python(program);
    let run = ["run", "--both", "20000-20000", "--", "/usr/bin/python3"];
    let words: Vec<&str> = run
        .into_iter()
        .chain(program.iter().map(String::as_str))
        .collect();
    let check = |profile: Profile| {
        for who in EVERYBODY {
            let said = done(&mut portkeep(profile, who, &words));
            assert_eq!(said, "1 1 1 0 True\n60000\n", "{} {who:?}", profile.name);
        }
    };
    ALL.into_iter().for_each(check);
}
