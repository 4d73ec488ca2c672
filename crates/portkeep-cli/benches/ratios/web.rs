//! A web server that takes a connection for each request.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use portkeep_admin::remove;
use portkeep_tests::proc::{self, fork_child};
use portkeep_tests::{Channel, Sandbox, enable, libc};

use crate::lanes::{Lane, pin};
use crate::page::{report, section};
use crate::paired::{Times, median_of_starts, ratio_of_starts, rounds};
use crate::stopwatch::time;

const NGINX: &str = "/usr/sbin/nginx";

/// Many short turns, so that other processes interrupt few of them.
const ROUNDS: usize = 60;
const REQUESTS: usize = 25;

/// How often all servers and clients are started anew, at other ports.
const STARTS: u16 = 60;

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

    /// The time that the server and this process, its client, have had the processor.
    fn processor_time(&self) -> Duration {
        let mut server = 0;
        // SAFETY: the kernel's library writes one number.
        let result =
            unsafe { libc::clock_getcpuclockid(self.process.id().cast_signed(), &mut server) };
        assert_eq!(result, 0, "the server's clock");
        clock(server) + clock(libc::CLOCK_PROCESS_CPUTIME_ID)
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

fn clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(result, 0, "read a clock");
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server and its client in a lane's cgroup. The numbers sent are of requests; the answers are the
/// nanoseconds that they took, and for how many of them one of the two had the processor.
fn serve(lane: &Lane, directory: &Path, port: u16) -> (Channel, proc::Child) {
    let (channel, other) = Channel::pair();
    let process = fork_child(|| {
        proc::enter_cgroup(&lane.cgroup);
        let server = Server::start(directory, port);
        other.send(0);
        while let requests @ 1.. = other.recv() {
            let before = server.processor_time();
            let taken = time(|| (0..requests).for_each(|_| server.request()));
            for time in [taken, server.processor_time() - before] {
                other.send(u64::try_from(time.as_nanos()).expect("a short time"));
            }
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
    remove(&enable::installation(sandbox)).expect("remove");
    let _pinned = pin();
    let lanes = [
        Lane::bare(sandbox),
        Lane::idle(sandbox),
        Lane::portkeep(sandbox),
        Lane::enforced(sandbox),
    ];
    let starts = (8080..).step_by(lanes.len()).take(STARTS.into());
    let (elapsed, processor): (Vec<_>, Vec<_>) =
        starts.map(|ports| turns(sandbox, &lanes, ports)).unzip();
    drop(lanes);
    for (what, times) in [
        ("a request to nginx", elapsed),
        ("processor time of server and client", processor),
    ] {
        let request = median_of_starts(&times, 0) / REQUESTS as u32;
        for (what, lane, aim) in [
            (&*format!("{what} ({request:.0?}), Portkeep"), 2, "<= 1.01"),
            ("… with control calls in another cgroup", 3, "<= 1.01"),
            ("… idle programs", 1, ""),
        ] {
            let ratio = ratio_of_starts(&times, lane, 0);
            report(&format!("{what} / no programs"), ratio.to_string(), aim);
        }
    }
    enable::enable(sandbox);
}

/// The time, and the processor time, of the requests in each lane.
fn turns(sandbox: &Sandbox, lanes: &[Lane; 4], first_port: u16) -> (Times<4>, Times<4>) {
    let served: Vec<_> = (first_port..)
        .zip(lanes)
        .map(|(port, lane)| serve(lane, &sandbox.state_dir().join(port.to_string()), port))
        .collect();
    let mut processor = [const { Vec::new() }; 4];
    let elapsed = rounds(ROUNDS, |lane| {
        let (channel, _) = &served[lane];
        channel.send(REQUESTS as u64);
        let elapsed = Duration::from_nanos(channel.recv());
        processor[lane].push(Duration::from_nanos(channel.recv()));
        elapsed
    });
    for (channel, process) in served {
        channel.send(0);
        assert_eq!(process.code(), 0);
    }
    (elapsed, Times::of(processor))
}
