//! The JSON document, member by member.

use std::net::Ipv4Addr;

use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, raw, sock};
use serde_json::json;

use crate::common::json::{RESERVATION, elements, members};
use crate::common::kernel_part::{acquire, the_reservation};
use crate::{why, words};

const MEMBERS: [&str; 11] = [
    "automatic",
    "explanation",
    "notes",
    "port",
    "privileged",
    "protocol",
    "redirects",
    "reservation",
    "schema",
    "sockets",
    "state",
];

pub fn of_a_free_port(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let expected = json!({
        "schema": 1,
        "port": 20000,
        "protocol": "tcp",
        "state": "free",
        "reservation": null,
        "sockets": [],
        "automatic": null,
        "privileged": false,
        "redirects": [],
        "explanation": words("20000/tcp").trim_end(),
        "notes": [],
    });
    assert_eq!(why("20000/tcp"), expected);
}

pub fn of_a_reserved_and_bound_port(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20003);
    let entry = the_reservation(sandbox);
    let listener = sock::tcp4();
    assert_ok!(raw::associate(&listener, entry.token));
    assert_ok!(sock::bind(&listener, Ipv4Addr::LOCALHOST, 20001));
    assert_ok!(sock::listen(&listener));
    let client = sock::tcp4();
    assert_ok!(sock::connect(&client, Ipv4Addr::LOCALHOST, 20001));
    let _server = assert_ok!(sock::accept(&listener));

    let document = why("20001/tcp");
    assert_eq!(members(&document), MEMBERS);
    assert_eq!(members(&document["reservation"]), RESERVATION);
    let reservation = &document["reservation"];
    assert_eq!(reservation["pid"], std::process::id());
    assert_eq!(
        (&reservation["start"], &reservation["end"]),
        (&20000.into(), &20003.into())
    );
    assert_eq!(reservation["token"], entry.token);
    assert_eq!(reservation["command"], entry.command);

    let mut sockets = elements(&document["sockets"]).to_vec();
    sockets.sort_by_key(|socket| socket["peer"].is_string());
    let own = json!([{
        "pid": std::process::id(), "command": sockets[0]["processes"][0]["command"], "uid": 0,
        "user": "root",
    }]);
    let peer = format!("127.0.0.1:{}", sock::local_port(&client));
    for (socket, state, peer) in [
        (&sockets[0], "listening", json!(null)),
        (&sockets[1], "connected", json!(peer)),
    ] {
        assert!(
            socket["inode"].as_u64().is_some_and(|inode| inode > 0),
            "{socket}"
        );
        let expected = json!({
            "state": state, "local": "127.0.0.1:20001", "peer": peer, "uid": 0, "user": "root",
            "inode": socket["inode"], "processes": own, "processes_hidden": false, "kernel": null,
        });
        assert_eq!(*socket, expected);
    }
    assert_eq!(sockets.len(), 2, "{document}");
}
