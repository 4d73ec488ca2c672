//! A web server that takes a connection for each request.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use portkeep_kernel::remove;
use portkeep_tests::proc::{self, fork_child};
use portkeep_tests::{Channel, Sandbox, enable};

use crate::lanes::{Lane, pin};
use crate::page::{report, section};
use crate::paired::rounds;
use crate::stopwatch::time;

const NGINX: &str = "/usr/sbin/nginx";

/// Many short turns, so that a busy moment spoils few of them.
const ROUNDS: usize = 400;
const REQUESTS: usize = 100;

struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(directory: &Path, port: u16) -> Self {
        fs::create_dir_all(directory).expect("make a directory");
        let text = format!(
            "daemon off; master_process off; pid {0}/pid; error_log /dev/null;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; server {{ listen {port}; return 200 'hello'; }}\n\
             client_body_temp_path {0}/1; proxy_temp_path {0}/2; fastcgi_temp_path {0}/3;\n\
             uwsgi_temp_path {0}/4; scgi_temp_path {0}/5; }}\n",
            directory.display()
        );
        let configuration = directory.join("nginx.conf");
        fs::write(&configuration, text).expect("write the configuration");
        let mut command = Command::new(NGINX);
        command.arg("-c").arg(configuration);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("start nginx");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        Self { process, port }
    }

    fn request(&self) {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).expect("connect");
        connection
            .write_all(b"GET / HTTP/1.0\r\n\r\n")
            .expect("ask");
        let mut answer = [0; 1024];
        let mut length = 0;
        while let Ok(more @ 1..) = connection.read(&mut answer[length..]) {
            length += more;
        }
        assert!(answer[..length].ends_with(b"hello"), "no answer");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server and its client in a lane's cgroup. The numbers sent are of requests, the answers the
/// nanoseconds that they took.
fn serve(lane: &Lane, directory: &Path, port: u16) -> (Channel, proc::Child) {
    let (channel, other) = Channel::pair();
    let process = fork_child(|| {
        proc::enter_cgroup(&lane.cgroup);
        let server = Server::start(directory, port);
        other.send(0);
        while let requests @ 1.. = other.recv() {
            let taken = time(|| (0..requests).for_each(|_| server.request()));
            other.send(u64::try_from(taken.as_nanos()).expect("a short time"));
        }
        0
    });
    assert_eq!(channel.recv(), 0);
    (channel, process)
}

pub fn measure(sandbox: &Sandbox) {
    section("A web load of one connection a request, server and client on one processor");
    if !Path::new(NGINX).exists() {
        println!("nginx is needed; it is left out");
        return;
    }
    // The lanes are below its cgroup.
    remove(&enable::location(sandbox)).expect("remove");
    let _pinned = pin();
    let lanes = [
        Lane::bare(sandbox),
        Lane::idle(sandbox),
        Lane::portkeep(sandbox),
        Lane::enforced(sandbox),
    ];
    let served: Vec<_> = (8080..)
        .zip(&lanes)
        .map(|(port, lane)| serve(lane, &sandbox.state_dir().join(port.to_string()), port))
        .collect();
    let times = rounds::<4>(ROUNDS, |lane| {
        let (channel, _) = &served[lane];
        channel.send(REQUESTS as u64);
        Duration::from_nanos(channel.recv())
    });
    for (channel, process) in served {
        channel.send(0);
        assert_eq!(process.code(), 0);
    }
    let request = times.median(0) / REQUESTS as u32;
    report(
        &format!("time of a request to nginx ({request:.0?}), Portkeep / no programs"),
        times.ratio(2, 0).to_string(),
        "<= 1.01",
    );
    for (what, lane) in [
        ("Portkeep with control calls in another cgroup", 3),
        ("idle programs", 1),
    ] {
        report(
            &format!("… {what} / no programs"),
            times.ratio(lane, 0).to_string(),
            "",
        );
    }
    drop(lanes);
    enable::enable(sandbox);
}
