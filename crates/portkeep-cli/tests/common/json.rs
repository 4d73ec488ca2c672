//! Documents in JSON.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::done;

/// The document that a command prints, which is as `docs/json.md` says.
#[track_caller]
pub fn document(command: &mut Command) -> Value {
    let schema = schema_of(command);
    parse(schema, &done(command))
}

/// A document as `docs/json.md` says.
#[track_caller]
pub fn parse(schema: &str, text: &str) -> Value {
    let document: Value = serde_json::from_str(text)
        .unwrap_or_else(|error| panic!("not one document: {error}: {text}"));
    assert_eq!(document["schema"], 1, "{document}");
    assert_valid(schema, text);
    document
}

/// The title of its schema.
fn schema_of(command: &Command) -> &'static str {
    let of_name = |name: &str| match name {
        "ls" => Some("ls"),
        "why" => Some("why"),
        "status" => Some("status"),
        "doctor" => Some("doctor"),
        "apply" => Some("apply"),
        "reserve" | "unreserve" | "exclude" | "include" => Some("change"),
        _ => None,
    };
    let mut words = command.get_args().filter_map(|word| word.to_str());
    let schema = words.find_map(of_name);
    schema.unwrap_or_else(|| panic!("no document: {command:?}"))
}

/// Validates with the schemas of the page, none of whose objects may have other members here.
const VALIDATE: &str = r##"
import json, re, sys
try:
    import jsonschema
except ImportError:
    sys.exit("no module jsonschema: install python3-jsonschema")

page, title = sys.argv[1:]
blocks = re.findall(r"```json\n(.*?)```", open(page).read(), re.S)
definitions = {block["title"]: block for block in map(json.loads, blocks)}

def close(schema):
    if isinstance(schema, dict):
        if "properties" in schema:
            schema["additionalProperties"] = False
        schema = schema.values()
    if not isinstance(schema, str):
        try:
            for part in schema:
                close(part)
        except TypeError:
            pass

close(definitions)
schema = {"$ref": f"#/$defs/{title}", "$defs": definitions}
jsonschema.Draft202012Validator.check_schema(schema)
jsonschema.Draft202012Validator(schema).validate(json.load(sys.stdin))
"##;

#[track_caller]
pub fn assert_valid(schema: &str, document: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md");
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", VALIDATE]).arg(page).arg(schema);
    let mut python = command.stdin(Stdio::piped()).spawn().expect("start Python");
    let mut input = python.stdin.take().expect("a pipe");
    input.write_all(document.as_bytes()).expect("write");
    drop(input);
    let status = python.wait().expect("wait");
    assert!(status.success(), "not as docs/json.md says: {document}");
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
pub const RESERVATION: [&str; 20] = [
    "backend",
    "cgroups",
    "command",
    "comment",
    "end",
    "every_netns",
    "fleet",
    "groups",
    "kind",
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
    "users",
];
