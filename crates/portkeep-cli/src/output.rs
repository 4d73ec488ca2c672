//! Output, which escapes text that others have chosen.
//!
//! Processes choose their own names and arguments, and users those of cgroups and files. Such a name may
//! contain characters that a terminal obeys, that reorder the text around them, or that nobody sees. All
//! output passes through here: [`say`], [`lines`] or [`escaped`] for text, [`write_table`] for columns, [`json`]
//! for documents.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::styling::Style;
use portkeep_admin::sockets::is_printable;
pub use portkeep_admin::sockets::{escaped, printable, text_of};
use serde::Serialize;

use crate::error::{Kind, Result};

/// Prints a message to standard error. Unlike eprintln, it goes on if nobody reads that any more.
pub fn say(message: &str) {
    let _ = writeln!(io::stderr().lock(), "portkeep: {}", lines(message));
}

/// The exit status of a command that was told to do more than to print: a reader that has seen enough, as in
/// `| head -1`, does not change it.
pub fn after_printing(printed: Result<()>, code: ExitCode) -> Result<ExitCode> {
    match printed {
        Err(error) if error.kind() != Kind::OutputClosed => Err(error),
        _ => Ok(code),
    }
}

/// Like [`escaped`], but keeps line breaks.
pub fn lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(escaped).collect();
    lines.join("\n")
}

/// A JSON document that is also safe to display. Invisible characters are escaped, `\u001b`, so the value
/// is still the original name.
pub fn json(document: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(document).map(|text| safe(&text))
}

/// [`json`] in one line.
pub fn json_line(document: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(document).map(|text| safe(&text))
}

fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    // The syntax of JSON is ASCII, so other characters are in strings, which contain no line breaks.
    for character in text.chars() {
        match character == '\n' || is_printable(character) {
            true => shown.push(character),
            false => {
                let mut units = [0; 2];
                let units = character.encode_utf16(&mut units).iter();
                shown.extend(units.map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    shown
}

/// Writes rows as columns, each as wide as its widest cell.
pub fn write_table(out: &mut impl Write, rows: &[impl AsRef<[String]>]) -> io::Result<()> {
    write_styled_table(out, rows, |_, _, _| None)
}

/// [`write_table`], with a color for some cells: `style` is given row, column and text.
pub fn write_styled_table(
    out: &mut impl Write,
    rows: &[impl AsRef<[String]>],
    style: impl Fn(usize, usize, &str) -> Option<Style>,
) -> io::Result<()> {
    let escaped: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.as_ref().iter().map(|cell| escaped(cell)).collect())
        .collect();
    let mut widths = vec![0; escaped.iter().map(Vec::len).max().unwrap_or(0)];
    for row in &escaped {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for (number, row) in escaped.iter().enumerate() {
        let last = row.iter().rposition(|cell| !cell.is_empty());
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .take(last.map_or(0, |last| last + 1))
            .enumerate()
            .map(|(column, (cell, width))| {
                let width = if Some(column) == last { 0 } else { *width };
                let spaces = " ".repeat(width.saturating_sub(cell.chars().count()));
                match style(number, column, cell) {
                    Some(style) => format!("{style}{cell}{style:#}{spaces}"),
                    None => format!("{cell}{spaces}"),
                }
            })
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// Prints each warning on a line of its own, to standard error.
pub fn warn(warnings: &[String]) {
    for warning in warnings {
        let _ = writeln!(io::stderr(), "portkeep: warning: {}", lines(warning));
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    /// Must never reach a terminal.
    const HOSTILE: &str = "\0\x07\x08\t\r\x1b\x7f\u{80}\u{85}\u{9b}\u{9f}\u{ad}\u{61c}\u{180e}\u{200b}\
        \u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\
        \u{2060}\u{2066}\u{2067}\u{2068}\u{2069}\u{206f}\u{feff}\u{fff9}\u{fe0f}\u{3164}\u{e0001}\
        \u{e0041}\u{e000}\u{10ffff}";

    #[test]
    fn invisible_characters_are_escaped() {
        for character in HOSTILE.chars() {
            let text = character.to_string();
            let escape: String = character.escape_default().collect();
            assert_eq!(escaped(&text), escape);
            assert_eq!(printable(&text), escape);
            assert_eq!(lines(&text), escape);
            let document = json(&text).expect("a document");
            assert!(document.is_ascii(), "{document}");
            assert!(!document.contains(|it: char| it.is_control()), "{document}");
            let value: String = serde_json::from_str(&document).expect("a document");
            assert_eq!(value, text);
        }
    }

    #[test]
    fn visible_characters_stay() {
        for text in [
            "",
            "a b~",
            "ü€",
            "e\u{301}",
            "日本語",
            "🦀",
            "עברית",
            "\\u{1b}",
        ] {
            assert_eq!(printable(text), text);
            assert_eq!(lines(text), text);
            let value = serde_json::from_str(&json(&text).expect("a document"));
            assert_eq!(value.ok(), Some(text.to_owned()));
        }
    }

    #[test]
    fn lines_and_length() {
        assert_eq!(printable("a\x1b[2J\nb ü"), r"a\u{1b}[2J\nb ü");
        assert_eq!(lines("a\x1b\nb\n"), "a\\u{1b}\nb\n");
        let long = "x".repeat(200);
        assert_eq!(printable(&long), long);
        assert_eq!(printable(&(long.clone() + "x")), long + "…");
    }

    #[test]
    fn names_of_any_bytes() {
        let name = OsStr::from_bytes(b"a\xff\xc3\xbc\x9b\xe2\x82");
        assert_eq!(text_of(name), r"a\xffü\x9b\xe2\x82");
        assert_eq!(text_of("b"), "b");
    }
}
