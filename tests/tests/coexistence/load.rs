//! Servers under load: no request fails.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use portkeep_tests::Sandbox;

use crate::twice::twice;

const PORT: u16 = 8080;

/// A server, killed in the end.
pub(crate) struct Server(Child);

impl Server {
    /// Waits until it listens.
    pub(crate) fn start(command: &mut Command, port: u16) -> Self {
        command.stdout(Stdio::null());
        let mut server = Self(command.spawn().expect("start the server"));
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = server.0.try_wait().expect("wait");
            assert_eq!(ended, None, "the server has ended");
            thread::sleep(Duration::from_millis(10));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("run {program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program}: {output:?}");
    text
}

/// One process, without privileges to give away, in a directory.
fn nginx_in(directory: &Path) -> Command {
    let text = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/log;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; server {{ listen {PORT}; listen [::]:{PORT}; root {0}; }}\n\
         client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/fastcgi;\n\
         uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi; }}\n",
        directory.display()
    );
    let configuration = directory.join("nginx.conf");
    fs::write(&configuration, text).expect("write the configuration");
    fs::write(directory.join("index.html"), "hello").expect("write a page");
    let mut command = Command::new("/usr/sbin/nginx");
    command
        .arg("-c")
        .arg(configuration)
        .arg("-p")
        .arg(directory);
    command.stderr(Stdio::null());
    command
}

/// A connection a request, so that each takes an automatic port.
pub(crate) fn nginx(sandbox: &Sandbox) {
    const REQUESTS: &str = "5000";
    let url = format!("http://127.0.0.1:{PORT}/index.html");
    let [without, with] = twice(sandbox, || {
        let _server = Server::start(&mut nginx_in(sandbox.state_dir()), PORT);
        let report = output("ab", &["-q", "-n", REQUESTS, "-c", "50", &url]);
        let of = |name: &str| {
            let line = report.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split(':').nth(1));
            value.unwrap_or_default().trim().to_owned()
        };
        [
            of("Complete requests"),
            of("Failed requests"),
            of("HTML transferred"),
        ]
    });
    assert_eq!(without[..2], [REQUESTS, "0"]);
    assert_eq!(without, with);
}

pub(crate) fn redis(sandbox: &Sandbox) {
    let port = PORT.to_string();
    let [without, with] = twice(sandbox, || {
        let mut command = Command::new("/usr/bin/redis-server");
        command.args(["--port", &port, "--save", "", "--appendonly", "no"]);
        let _server = Server::start(command.current_dir(sandbox.state_dir()), PORT);
        let load = ["-p", &port, "-n", "10000", "-c", "50", "-k", "0", "-q"];
        let report = output(
            "redis-benchmark",
            &[&load[..], &["-t", "set,get,incr"]].concat(),
        );
        assert!(!report.contains("rror"), "{report}");
        let counted = |line: &str| line.contains("requests per second");
        let tests = report
            .split(['\r', '\n'])
            .filter(|line| counted(line))
            .count();
        (
            tests,
            output("redis-cli", &["-p", &port, "get", "counter:__rand_int__"]),
        )
    });
    assert_eq!(without, (3, "10000\n".to_owned()));
    assert_eq!(without, with);
}
