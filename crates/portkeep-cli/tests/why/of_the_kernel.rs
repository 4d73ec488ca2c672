//! Sockets that the kernel itself opens, and IPVS: the kernel's own, where it has them. `cargo xtask kernels`
//! runs these trials on kernels that do.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::thread;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use portkeep_tests::libc;
use portkeep_tests::socket2::{Domain, Protocol as Kind, Socket, Type};
use portkeep_tests::{Protocol, Sandbox, enable, skip};
use serde_json::{Value, json};

use crate::common::json::elements;
use crate::common::kernel_part::acquire;
use crate::common::{done, portkeep};
use crate::words;

/// Runs ip(8); skips the trial if the kernel has no such interfaces.
fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.expect("run ip");
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("Unknown device type") || said.contains("not supported") {
        skip(&format!("this kernel has none: ip {words}"));
    }
    assert!(output.status.success(), "ip {words}: {said}");
}

/// Not compared with the schema, for Python may be missing.
#[track_caller]
fn document(words: &[&str]) -> Value {
    serde_json::from_str(&done(&mut portkeep(words))).expect("a document")
}

#[track_caller]
fn why(port: &str) -> Value {
    document(&["why", port, "--json"])
}

#[track_caller]
fn assert_is_for(port: &str, purpose: &str) {
    let document = why(port);
    let sockets = elements(&document["sockets"]);
    assert!(!sockets.is_empty(), "{document}");
    for socket in sockets {
        assert_eq!(socket["kernel"], purpose, "{document}");
        assert_eq!(socket["processes"], json!([]));
    }
    let told = format!("  the kernel, for {purpose}: ");
    let text = words(port);
    assert!(text.contains(&told), "{text}");
    let (number, protocol) = port.split_once('/').expect("a protocol");
    let map = done(&mut portkeep(["map", number, &format!("--{protocol}")]));
    let told = format!("{number}: the kernel, for {purpose}\n");
    assert!(map.contains(&told), "{map}");
}

pub fn a_vxlan_interface(sandbox: &Sandbox) {
    enable::enable(sandbox);
    ip("link add vx0 type vxlan id 1 dstport 4789 dev lo");
    ip("link set vx0 up");
    assert_is_for("4789/udp", "the VXLAN interface vx0");
}

pub fn a_geneve_interface(sandbox: &Sandbox) {
    enable::enable(sandbox);
    ip("link add gen0 type geneve id 1 remote 127.0.0.1 dstport 6081");
    ip("link set gen0 up");
    assert_is_for("6081/udp", "the Geneve interface gen0");
}

/// With a port that the kernel chose, which only netlink tells. wg(8) is not needed.
pub fn a_wireguard_interface(sandbox: &Sandbox) {
    enable::enable(sandbox);
    ip("link add wg0 type wireguard");
    ip("link add wg1 type wireguard");
    ip("link set wg0 up");
    let sockets = fs::read_to_string("/proc/net/udp").expect("read the sockets");
    let line = sockets.lines().nth(1).expect("the interface's socket");
    let port = line.split(':').nth(2).and_then(|it| it.split(' ').next());
    let port = u16::from_str_radix(port.expect("a port"), 16).expect("a number");
    assert_is_for(&format!("{port}/udp"), "the WireGuard interface wg0");
}

/// Says yes to whatever the kernel wants to register with rpcbind(8), over TCP (RFC 5531).
fn serve_as_rpcbind() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 111)).expect("bind");
    let answer = |mut connection: TcpStream| -> io::Result<()> {
        loop {
            let mut head = [0; 4];
            connection.read_exact(&mut head)?;
            let length = u32::from_be_bytes(head) & 0x7fff_ffff;
            let mut call = vec![0; length as usize];
            connection.read_exact(&mut call)?;
            // A reply, accepted, without a verifier, successful, and true.
            let mut reply = call[..4].to_vec();
            for word in [1_u32, 0, 0, 0, 0, 1] {
                reply.extend(word.to_be_bytes());
            }
            let last = 0x8000_0000 | reply.len() as u32;
            connection.write_all(&last.to_be_bytes())?;
            connection.write_all(&reply)?;
        }
    };
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(connection));
        }
    });
}

/// The file system by which the NFS server is told what to do; the server ends with it.
struct Nfsd;

impl Nfsd {
    fn mount() -> Self {
        let (none, flags) = (None::<&str>, MsFlags::empty());
        match mount(Some("nfsd"), "/proc/fs/nfsd", Some("nfsd"), flags, none) {
            Err(Errno::ENODEV | Errno::ENOENT) => skip("this kernel has no NFS server"),
            result => result.expect("mount nfsd"),
        }
        serve_as_rpcbind();
        Self
    }

    fn write(&self, file: &str, text: &str) {
        let path = format!("/proc/fs/nfsd/{file}");
        let mut opened = OpenOptions::new().write(true).open(&path).expect("open");
        // In one call, with the end of a line.
        let written = opened.write_all(format!("{text}\n").as_bytes());
        written.unwrap_or_else(|error| panic!("{path}: {text}: {error}"));
    }
}

impl Drop for Nfsd {
    fn drop(&mut self) {
        let _ = fs::write("/proc/fs/nfsd/threads", "0");
    }
}

pub fn the_nfs_server(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let server = Nfsd::mount();
    server.write("portlist", "tcp 2049");
    assert_is_for("2049/tcp", "the NFS server");
}

pub fn the_nfs_lock_manager(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let server = Nfsd::mount();
    for (file, port) in [("nlm_tcpport", 4001), ("nlm_udpport", 4002)] {
        let path = format!("/proc/sys/fs/nfs/{file}");
        if let Err(error) = fs::write(&path, port.to_string()) {
            skip(&format!("this kernel has no lock manager: {path}: {error}"));
        }
    }
    // The third version of NFS needs it.
    server.write("versions", "+3");
    server.write("portlist", "tcp 2049");
    server.write("threads", "1");
    assert_is_for("4001/tcp", "the NFS lock manager");
    assert_is_for("4002/udp", "the NFS lock manager");
}

/// `struct ip_vs_service_user` and `struct ip_vs_dest_user` of `linux/ip_vs.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Service {
    protocol: u16,
    /// In network byte order, as the others are.
    address: u32,
    port: u16,
    mark: u32,
    scheduler: [u8; 16],
    flags: u32,
    timeout: u32,
    netmask: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Destination {
    service: Service,
    address: u32,
    port: u16,
    flags: u32,
    weight: i32,
    upper: u32,
    lower: u32,
}

/// `IP_VS_SO_SET_ADD` and `IP_VS_SO_SET_ADDDEST`
const ADD: [i32; 2] = [1152 + 2, 1152 + 7];

fn set<T>(socket: &Socket, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `value`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// As kube-proxy and keepalived make them.
pub fn an_ipvs_service(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let kind = Some(Kind::from(libc::IPPROTO_RAW));
    let socket = Socket::new(Domain::IPV4, Type::RAW, kind).expect("a raw socket");
    let mut service = Service {
        protocol: libc::IPPROTO_TCP as u16,
        address: u32::from_ne_bytes([10, 96, 0, 1]),
        port: 8080_u16.to_be(),
        netmask: u32::MAX,
        ..Service::default()
    };
    service.scheduler[..2].copy_from_slice(b"rr");
    match set(&socket, ADD[0], &service) {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            skip("this kernel has no IPVS")
        }
        result => result.expect("add a service"),
    }
    for last in [2, 3] {
        let destination = Destination {
            service,
            address: u32::from_ne_bytes([10, 244, 1, last]),
            port: 80_u16.to_be(),
            weight: 1,
            ..Destination::default()
        };
        set(&socket, ADD[1], &destination).expect("add a server");
    }
    let redirect = |port: &str| why(port)["redirects"][0].clone();
    let found = redirect("8080/tcp");
    assert_eq!(
        (&found["rule"], &found["conditions"]),
        (
            &json!("the IPVS virtual service 10.96.0.1:8080"),
            &json!(["the address is 10.96.0.1"])
        )
    );
    let to = found["to"].as_str().expect("a text");
    let mut servers: Vec<_> = to.split(" or ").collect();
    servers.sort_unstable();
    assert_eq!(servers, ["10.244.1.2:80", "10.244.1.3:80"]);
    assert_eq!(redirect("8080/udp"), Value::Null);
    assert_eq!(redirect("8081/tcp"), Value::Null);
    let text = words("8080/tcp");
    let told = "8080/tcp is redirected by the IPVS virtual service 10.96.0.1:8080 to ";
    assert!(text.contains(told), "{text}");

    let _held = acquire(Protocol::Tcp, 8078..=8080);
    // It exits with 1 where anything else is wrong.
    let said = portkeep(["doctor", "--json"]).output().expect("run it");
    let document: Value = serde_json::from_slice(&said.stdout).expect("a document");
    let mut checks = elements(&document["checks"]).iter();
    let check = checks.find(|it| it["name"] == "redirected ports");
    let check = check.expect("the check");
    assert_eq!(check["state"], "warning", "{check}");
    let message = check["message"].as_str().expect("a text");
    let told = "8078-8080/tcp is redirected by the IPVS virtual service 10.96.0.1:8080 to ";
    assert!(message.starts_with(told), "{message}");
}
