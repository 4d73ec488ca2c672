//! What takes a port's packets, or has it without a process. Real rules, in the sandbox's network namespace.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, sock};
use serde_json::{Value, json};

use crate::common::json::{document, elements};
use crate::common::kernel_part::acquire;
use crate::common::{Running, done, outcome, portkeep, portkeep_as_user};
use crate::{why, words};

/// Adds rules of nftables.
#[track_caller]
fn nft(rules: &str) {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped());
    let mut child = command.spawn().expect("start nft");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(rules.as_bytes()).expect("write");
    drop(input);
    assert!(child.wait().expect("wait").success(), "{rules}");
}

fn places(document: &Value) -> Vec<&str> {
    let redirects = elements(&document["redirects"]);
    redirects
        .iter()
        .filter_map(|it| it["to"].as_str())
        .collect()
}

pub fn an_nft_rule_redirects_it(sandbox: &Sandbox) {
    enable::enable(sandbox);
    nft("table ip nat {
        chain pre { type nat hook prerouting priority dstnat
            tcp dport 8080 dnat to 10.0.0.5:80
            tcp dport 9000-9010 redirect to :9100
        }
        chain out { type nat hook output priority -100
            tcp dport 8081 dnat to 10.0.0.6:80
        }
    }");
    let listener = sock::tcp4();
    assert_ok!(sock::bind_any(&listener, 8080));
    assert_ok!(sock::listen(&listener));
    let text = words("8080/tcp");
    let line = text.lines().find(|it| it.contains("redirected"));
    let line = line.unwrap_or_else(|| panic!("not told: {text}"));
    assert!(
        line.starts_with("8080/tcp is redirected by nft rule ip nat pre handle "),
        "{line}"
    );
    assert!(
        line.ends_with(" to 10.0.0.5:80; a socket bound there gets nothing from other machines."),
        "{line}"
    );
    let document = why("8080/tcp");
    assert_eq!(document["state"], "bound");
    assert_eq!(document["redirects"][0]["from"], json!(["other_machines"]));
    assert_eq!(document["redirects"][0]["conditions"], json!([]));
    assert_eq!(places(&why("9005/tcp")), ["port 9100 of this machine"]);
    let local = why("8081/tcp");
    assert_eq!(local["redirects"][0]["from"], json!(["this_machine"]));
    for other in ["8080/udp", "8082/tcp", "9011/tcp"] {
        assert_eq!(places(&why(other)), [] as [&str; 0], "{other}");
    }
}

/// Sets, maps, jumps, conditions, and rules that end before.
pub fn nft_rules_of_every_kind(sandbox: &Sandbox) {
    enable::enable(sandbox);
    nft("table inet n {
        set web { type inet_service; flags interval; elements = { 80, 8000-8010 } }
        map to { type inet_service : verdict; elements = { 2222 : goto ssh } }
        chain pre { type nat hook prerouting priority dstnat
            tcp dport 8005 accept
            tcp dport @web dnat ip to 10.0.0.1
            udp dport { 53, 5353 } redirect to :5300
            iifname \"eth0\" ip daddr 192.0.2.1 tcp dport 443 counter dnat ip to 10.0.0.7:8443 comment \"web\"
            fib daddr type local meta l4proto tcp th dport 6000 dnat ip6 to [2001:db8::1]:60
            tcp dport vmap @to
            ip daddr . tcp dport { 192.0.2.2 . 700, 192.0.2.3 . 701 } dnat ip to 10.7.0.1
            tcp dport != 1000-65535 jump low
        }
        chain ssh { meta l4proto tcp dnat ip to 10.0.0.22:22
        }
        chain low { tcp dport 25 return
            dnat ip to 10.0.0.99
        }
    }");
    nft("table inet t {
        chain pre { type filter hook prerouting priority mangle
            tcp dport 5000 tproxy ip to 127.0.0.1:50080 accept
        }
    }");
    for (port, expected) in [
        ("80/tcp", &["10.0.0.1"][..]),
        ("8003/tcp", &["10.0.0.1"]),
        ("8005/tcp", &[]),
        ("5353/udp", &["port 5300 of this machine"]),
        ("6000/tcp", &["[2001:db8::1]:60"]),
        ("2222/tcp", &["10.0.0.22:22"]),
        ("26/tcp", &["10.0.0.99"]),
        ("25/tcp", &[]),
        ("1000/tcp", &[]),
        ("5000/tcp", &["the transparent proxy at 127.0.0.1:50080"]),
        ("700/tcp", &["10.7.0.1", "10.0.0.99"]),
        ("702/tcp", &["10.0.0.99"]),
    ] {
        let document = why(port);
        assert_eq!(places(&document), expected, "{port}: {document}");
    }
    let document = why("443/tcp");
    assert_eq!(places(&document), ["10.0.0.7:8443", "10.0.0.99"]);
    assert_eq!(
        document["redirects"][0]["conditions"],
        json!(["iifname is eth0", "ip daddr is 192.0.2.1"])
    );
    let text = words("443/tcp");
    assert!(
        text.contains(
            "(\"web\") to 10.0.0.7:8443 where iifname is eth0 and ip daddr is 192.0.2.1; a socket \
             bound there does not get such packets from other machines."
        ),
        "{text}"
    );
}

/// The tool that uses nftables; nft shows no more of its rules than that they are there.
pub fn an_iptables_rule_redirects_it(sandbox: &Sandbox) {
    iptables_rules_redirect_it(sandbox, "iptables-nft");
}

/// The older tool, whose tables nftables knows nothing of.
pub fn an_iptables_legacy_rule_redirects_it(sandbox: &Sandbox) {
    let list = outcome(Command::new("iptables-legacy").args(["-t", "nat", "-S"]));
    if list.code != Some(0) {
        portkeep_tests::skip("this kernel has no NAT for iptables-legacy");
    }
    iptables_rules_redirect_it(sandbox, "iptables-legacy");
}

fn iptables_rules_redirect_it(sandbox: &Sandbox, program: &str) {
    enable::enable(sandbox);
    for rule in [
        "-A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.0.0.5:80",
        "-A OUTPUT -p tcp -m multiport --dports 70,8080:8090 -j REDIRECT --to-ports 99",
    ] {
        let words = ["-t", "nat"].into_iter().chain(rule.split(' '));
        done(Command::new(program).args(words));
    }
    let document = why("8080/tcp");
    assert_eq!(
        places(&document),
        ["10.0.0.5:80", "port 99 of this machine"]
    );
    let rule = document["redirects"][0]["rule"].as_str().expect("a rule");
    assert!(
        rule.contains("-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT"),
        "{rule}"
    );
    assert_eq!(places(&why("70/tcp")), ["port 99 of this machine"]);
    assert_eq!(places(&why("8080/udp")), [] as [&str; 0]);
}

pub fn rules_are_not_shown_to_users(sandbox: &Sandbox) {
    enable::enable(sandbox);
    nft(
        "table ip nat { chain pre { type nat hook prerouting priority dstnat
        tcp dport 8080 dnat to 10.0.0.5:80
    }
}",
    );
    let document = document(&mut portkeep_as_user(["why", "8080/tcp", "--json"]));
    assert_eq!(document["redirects"], Value::Null);
    assert_eq!(document["state"], "free");
}

pub fn a_name_in_a_rule_cannot_reach_the_terminal(sandbox: &Sandbox) {
    enable::enable(sandbox);
    nft(
        "table ip nat { chain pre { type nat hook prerouting priority dstnat
        tcp dport 8080 dnat to 10.0.0.5:80 comment \"a\x1b[2Jb\"
    }
}",
    );
    let text = words("8080/tcp");
    assert!(
        text.contains(r#"("a\u{1b}[2Jb") to 10.0.0.5:80"#),
        "{text:?}"
    );
}

/// A program of that name and with those arguments.
pub fn dockers_proxy_is_explained(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let directory = sandbox.state_dir().join("docker");
    fs::create_dir_all(&directory).expect("make a directory");
    let program = directory.join("docker-proxy");
    symlink("/usr/bin/python3", &program).expect("make a link");
    let script = directory.join("proxy.py");
    let text = "import socket\nwith socket.create_server(('127.0.0.1', 8080)):\n print(flush=True)\n input()\n";
    fs::write(&script, text).expect("write");
    let mut command = Command::new(&program);
    command.arg(&script).args([
        "-proto",
        "tcp",
        "-host-ip",
        "127.0.0.1",
        "-host-port",
        "8080",
        "-container-ip",
        "172.17.0.2",
        "-container-port",
        "80",
    ]);
    let mut proxy = Running::start(command);
    assert_eq!(proxy.line(), "");
    let text = words("8080/tcp");
    let told =
        "    Docker forwards it to the container at 172.17.0.2, port 80; `docker ps` names it.";
    assert!(text.lines().any(|line| line == told), "{text}");
}

pub fn doctor_checks_the_reserved_ports(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    let check = || {
        let document = document(&mut portkeep(["doctor", "--json"]));
        let checks = elements(&document["checks"]).iter();
        let mut found = checks.filter(|it| it["name"] == "redirected ports");
        found.next().expect("the check").clone()
    };
    nft(
        "table ip nat { chain pre { type nat hook prerouting priority dstnat
        tcp dport 20004 dnat to 10.0.0.5:80
        udp dport 20001 dnat to 10.0.0.5:80
    }
}",
    );
    assert_eq!(check()["state"], "ok");
    nft("add rule ip nat pre tcp dport 20002 dnat to 10.0.0.5:80");
    let found = check();
    assert_eq!(found["state"], "warning");
    let message = found["message"].as_str().expect("a message");
    assert!(
        message.starts_with("20000-20003/tcp is redirected by nft rule ip nat pre handle ")
            && message.contains(" to 10.0.0.5:80 where the port is 20002; "),
        "{message}"
    );
}
