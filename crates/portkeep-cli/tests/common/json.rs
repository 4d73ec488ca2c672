//! Documents in JSON.

use std::process::Command;

use serde_json::Value;

use super::done;

/// The document that a command prints, of the schema that the tests know.
#[track_caller]
pub fn document(command: &mut Command) -> Value {
    let text = done(command);
    let document: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("not one document: {error}: {text}"));
    assert_eq!(document["schema"], 1, "{document}");
    document
}

/// The names of an object's members in alphabetical order.
#[track_caller]
pub fn members(object: &Value) -> Vec<&str> {
    let object = object
        .as_object()
        .unwrap_or_else(|| panic!("not an object: {object}"));
    let mut names: Vec<_> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// The elements of an array.
#[track_caller]
pub fn elements(array: &Value) -> &[Value] {
    array
        .as_array()
        .unwrap_or_else(|| panic!("not an array: {array}"))
}

/// The members of a reservation.
pub const RESERVATION: [&str; 13] = [
    "backend",
    "command",
    "end",
    "may_bind",
    "netns_cookie",
    "pid",
    "protocol",
    "since",
    "socket_cookie",
    "start",
    "token",
    "uid",
    "user",
];
