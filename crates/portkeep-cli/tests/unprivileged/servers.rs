//! Servers of many kinds.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};

use portkeep_tests::Sandbox;

use crate::common::eventually;
use crate::scene::{LONG, PORT, Strangers, build, run};

fn localhost4() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}

fn localhost6() -> SocketAddr {
    (Ipv6Addr::LOCALHOST, PORT).into()
}

/// What a server answers to a request, when it comes to listen.
fn answer(address: SocketAddr, request: &str) -> String {
    let mut stream = None;
    eventually(|| {
        stream = TcpStream::connect(address).ok();
        stream.is_some()
    });
    let mut stream = stream.expect("a connection");
    stream.set_read_timeout(Some(LONG)).expect("set a time-out");
    stream.write_all(request.as_bytes()).expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("receive");
    answer
}

const GET: &str = "GET / HTTP/1.0\r\n\r\n";

/// The server's command line, and what it says at which address to which request.
fn serves(
    sandbox: &Sandbox,
    program: &[&str],
    request: &str,
    addresses: &[SocketAddr],
    says: &str,
) {
    let mut run = run(program);
    let strangers = Strangers::start(sandbox, "tcp");
    run.go_on();
    for address in addresses.iter().cycle().take(20) {
        let answer = answer(*address, request);
        assert!(answer.contains(says), "{address}: {answer:?}");
    }
    strangers.end();
    assert!(run.is_alive());
}

pub fn python(sandbox: &Sandbox) {
    let directory = sandbox.state_dir().to_str().expect("a path in UTF-8");
    let port = PORT.to_string();
    let program = [
        "/usr/bin/python3",
        "-m",
        "http.server",
        "-d",
        directory,
        &port,
    ];
    serves(sandbox, &program, GET, &[localhost4()], "200 OK");
}

pub fn node(sandbox: &Sandbox) {
    let program = "require('http').createServer((_, answer) => answer.end('hello'))
        .listen(process.env.PORT)";
    let both = [localhost4(), localhost6()];
    serves(sandbox, &["node", "-e", program], GET, &both, "hello");
}

pub fn static_go(sandbox: &Sandbox) {
    let server = build(sandbox, "server.go");
    let program = [server.to_str().expect("a path in UTF-8")];
    serves(
        sandbox,
        &program,
        "",
        &[localhost4(), localhost6()],
        "hello",
    );
}

pub fn nginx(sandbox: &Sandbox) {
    let directory = sandbox.state_dir().join("nginx");
    fs::create_dir(&directory).expect("make a directory");
    std::os::unix::fs::chown(&directory, Some(65534), Some(65534)).expect("give it away");
    let place = directory.display();
    let configuration = format!(
        "daemon off; worker_processes 2; pid {place}/pid; error_log {place}/errors;
         events {{ }}
         http {{
             access_log off;
             client_body_temp_path {place}/1; proxy_temp_path {place}/2;
             fastcgi_temp_path {place}/3; uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
             server {{ listen {PORT}; listen [::]:{PORT}; return 200 hello; }}
         }}"
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration).expect("write the configuration");
    let file = file.to_str().expect("a path in UTF-8");
    let errors = format!("{place}/errors");
    let program = ["/usr/sbin/nginx", "-c", file, "-e", &errors];
    serves(
        sandbox,
        &program,
        GET,
        &[localhost4(), localhost6()],
        "hello",
    );
}

pub fn forked_workers(sandbox: &Sandbox) {
    let script = build(sandbox, "workers.py");
    let program = [
        "/usr/bin/python3",
        script.to_str().expect("a path in UTF-8"),
    ];
    let both = [localhost4(), localhost6()];
    serves(sandbox, &program, "", &both, "");
}

pub fn udp_echo(sandbox: &Sandbox) {
    let program = build(sandbox, "udp_echo.c");
    let port = PORT.to_string();
    let mut run = run(&[program.to_str().expect("a path in UTF-8"), &port]);
    let strangers = Strangers::start(sandbox, "udp");
    run.go_on();
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    client.connect(localhost4()).expect("connect");
    // Until it is bound they are dropped.
    client.set_nonblocking(true).expect("set it");
    eventually(|| client.send(b"ping").is_ok() && client.recv(&mut [0; 8]).is_ok());
    client.set_nonblocking(false).expect("set it");
    client.set_read_timeout(Some(LONG)).expect("set a time-out");
    for _ in 0..1000 {
        client.send(b"ping").expect("send");
        let mut answer = [0; 8];
        assert_eq!(client.recv(&mut answer).expect("receive"), 4);
    }
    strangers.end();
    assert!(run.is_alive());
}
