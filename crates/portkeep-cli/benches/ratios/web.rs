//! A web server that takes a connection for each request.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use portkeep_kernel::{InstallOptions, remove};
use portkeep_tests::{Sandbox, enable};

use crate::page::{report, section};

const PORT: u16 = 8080;

struct Server(Child);

impl Server {
    fn start(sandbox: &Sandbox) -> Option<Self> {
        let directory = sandbox.state_dir();
        let text = format!(
            "daemon off; master_process off; pid {0}/pid; error_log /dev/null;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; server {{ listen {PORT}; return 200 'hello'; }}\n\
             client_body_temp_path {0}/1; proxy_temp_path {0}/2; fastcgi_temp_path {0}/3;\n\
             uwsgi_temp_path {0}/4; scgi_temp_path {0}/5; }}\n",
            directory.display()
        );
        let configuration = directory.join("nginx.conf");
        fs::write(&configuration, text).expect("write the configuration");
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(configuration);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().ok()?);
        while TcpStream::connect(("127.0.0.1", PORT)).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Requests a second.
fn load() -> Option<f64> {
    let url = format!("http://127.0.0.1:{PORT}/");
    let output = Command::new("ab")
        .args(["-q", "-n", "6000", "-c", "16", &url])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests per second:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The server is started anew each time: a socket keeps the hooks' answers of its beginning.
fn served(sandbox: &Sandbox) -> Option<f64> {
    let _server = Server::start(sandbox)?;
    load()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

pub fn measure(sandbox: &Sandbox) {
    section("A web load of one connection a request");
    let everywhere = enable::options(sandbox);
    let control = sandbox.cgroup().join("control");
    fs::create_dir_all(&control).expect("make a cgroup");
    let elsewhere = InstallOptions {
        control: vec![control],
        ..everywhere.clone()
    };
    let location = enable::location(sandbox);
    remove(&location).expect("remove");
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..9 {
        for (rates, how) in rates
            .iter_mut()
            .zip([None, Some(&everywhere), Some(&elsewhere)])
        {
            how.map(enable::enable_with);
            let Some(rate) = served(sandbox) else {
                println!("nginx and ab are needed; it is left out");
                enable::enable(sandbox);
                return;
            };
            rates.push(rate);
            let _ = remove(&location);
        }
    }
    let [without, with, elsewhere] = rates.map(median);
    for (what, rate) in [
        ("control calls everywhere", with),
        ("control calls in another cgroup", elsewhere),
    ] {
        report(
            &format!("requests a second of nginx with Portkeep, {what}, against without"),
            format!("{:.3}", rate / without),
            "1.00",
        );
    }
    enable::enable(sandbox);
}
