//! Names in a line of text. Processes choose their own, and a terminal would obey some characters of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::store::user_name;

/// As in `process 1234 (nginx), user www-data`.
pub fn process(pid: u32, command: &str, uid: u32) -> String {
    let (command, user) = (printable(command), user_name(uid));
    format!("process {pid} ({command}), user {user}")
}

/// The longest name that is shown, in characters.
const LENGTH_MAX: usize = 200;

/// Escapes a name in a line of text, and cuts it if it is long.
pub fn printable(text: &str) -> String {
    let shown: String = text.chars().take(LENGTH_MAX).collect();
    let cut = if shown.len() < text.len() { "…" } else { "" };
    escaped(&shown) + cut
}

/// Escapes invisible characters and line breaks as Rust does, `\u{1b}`.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match is_printable(character) {
            true => shown.push(character),
            false => shown.extend(character.escape_default()),
        }
    }
    shown
}

/// The text of a name; bytes that are not UTF-8 become `\xff`.
pub fn text_of(name: impl AsRef<OsStr>) -> String {
    let mut text = String::new();
    for chunk in name.as_ref().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        let invalid = chunk.invalid().iter();
        text.extend(invalid.map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// Whether a character shows as itself: no control code (C0, C1), nothing that changes the direction,
/// no line break, nothing without a width of which a font would draw nothing, nothing unassigned.
pub fn is_printable(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\0'..='\u{7f}' => false,
        // Letters or marks that are not drawn: `Default_Ignorable_Code_Point`, and a blank.
        '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{e0000}'..='\u{e0fff}' => false,
        // The standard library knows the rest; a mark needs a letter before it.
        _ => format!("x{character}").escape_debug().count() == 2,
    }
}
