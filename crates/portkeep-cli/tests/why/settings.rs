//! Ports that nobody reserves and no socket has: what the settings say about them.

use portkeep_tests::{Sandbox, assert_ok, enable, sock};
use serde_json::json;

use crate::common::kernel_part::set_ipv4;
use crate::{why, words};

const NOBODY: &str = "is free: nobody reserves it, no socket is bound to it.";

fn prepare(sandbox: &Sandbox) {
    enable::enable(sandbox);
    set_ipv4("ip_local_port_range", "32768 60999");
    set_ipv4("ip_unprivileged_port_start", "1024");
}

pub fn free(sandbox: &Sandbox) {
    prepare(sandbox);
    for port in [
        "1024/tcp",
        "20000/udp",
        "32767/tcp",
        "61000/udp",
        "65535/tcp",
    ] {
        assert_eq!(words(port), format!("{port} {NOBODY}\n"));
        let document = why(port);
        assert_eq!(document["state"], "free");
        assert_eq!(
            (&document["automatic"], &document["privileged"]),
            (&json!(null), &json!(false))
        );
        assert_eq!(document["notes"], json!([]));
    }
}

pub fn automatic(sandbox: &Sandbox) {
    prepare(sandbox);
    for port in ["32768/tcp", "40000/udp", "60999/tcp"] {
        let text = words(port);
        let range = format!("{port} is inside the automatic range 32768-60999 and not protected");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], format!("{port} {NOBODY}"));
        assert!(lines[1].starts_with(&range), "{text}");
        assert_eq!(lines.len(), 2, "{text}");
        let document = why(port);
        assert_eq!(document["state"], "automatic");
        assert_eq!(
            document["automatic"],
            json!({ "range": "32768-60999", "protected": false })
        );
    }
}

pub fn protected(sandbox: &Sandbox) {
    prepare(sandbox);
    set_ipv4("ip_local_reserved_ports", "40000,50000-50009");
    for port in ["40000/tcp", "50000/udp", "50009/tcp"] {
        let text = words(port);
        let range = format!("{port} is inside the automatic range 32768-60999, but protected");
        assert!(
            text.lines()
                .nth(1)
                .is_some_and(|line| line.starts_with(&range)),
            "{text}"
        );
        let automatic = json!({ "range": "32768-60999", "protected": true });
        assert_eq!(why(port)["automatic"], automatic);
    }
    let automatic = json!({ "range": "32768-60999", "protected": false });
    assert_eq!(why("50010/tcp")["automatic"], automatic);
}

pub fn privileged(sandbox: &Sandbox) {
    prepare(sandbox);
    for port in ["1/tcp", "1023/udp"] {
        let text = words(port);
        let line = format!("{port} is privileged: binding to it takes CAP_NET_BIND_SERVICE");
        assert!(
            text.lines().nth(1).is_some_and(|it| it.starts_with(&line)),
            "{text}"
        );
        let document = why(port);
        assert_eq!(
            (&document["state"], &document["privileged"]),
            (&json!("free"), &json!(true))
        );
    }
}

/// A socket on an automatic port, as any connect() makes it.
pub fn several_at_once(sandbox: &Sandbox) {
    prepare(sandbox);
    let socket = sock::udp4();
    assert_ok!(sock::bind_any(&socket, 0));
    let port = format!("{}/udp", sock::local_port(&socket));
    let text = words(&port);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], format!("{port} is bound by:"));
    let own = format!("  process {} (", std::process::id());
    assert!(lines[1].starts_with(&own), "{text}");
    assert!(
        lines[2].starts_with(&format!("{port} is inside the automatic range")),
        "{text}"
    );
    assert_eq!(why(&port)["state"], "bound");
}
