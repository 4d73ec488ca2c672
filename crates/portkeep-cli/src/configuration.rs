//! Port ranges in the configuration of other programs.

use std::collections::BTreeMap;
use std::path::Path;

use portkeep::{PortRange, Protocol};
use portkeep_host::regular_file;

use crate::error::{Context as _, Error, Result};
use crate::output::say;

/// Far longer than any such file.
const LENGTH_MAX: u64 = 4 << 20;

/// The text of a regular file.
pub fn read(path: &Path) -> Result<String> {
    let bytes = regular_file::read(path, LENGTH_MAX)
        .with_context(|| format!("cannot read {}", path.display()))?;
    // Only ASCII matters; comments may be in any encoding. Editors of other systems begin with a mark.
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// The text without what is between two marks, as `/*` and `*/`.
pub fn without_between(text: &str, start: &str, end: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(start) {
        left += before;
        rest = after.split_once(end).map_or("", |(_, after)| after);
    }
    left + rest
}

/// The text with each element of what is written in one line in a line of its own.
pub fn unfolded(text: &str) -> String {
    text.replace(['{', '}', '[', ']', ','], "\n")
}

/// Whether a name stands on a line that is no comment.
pub fn mentions(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        !line.starts_with("//") && line.split(['#', ';']).next().unwrap_or("").contains(name)
    })
}

/// What follows a name and `=`, `:`, `=>` or nothing but blanks, on a line that is no comment: as in
/// `port-min = 30000`, `rtpstart=10000` and `- --service-node-port-range=30000-32767`. The last one counts.
pub fn words_after<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().rev().find_map(|line| {
        let line = line.trim();
        if line.starts_with(['#', ';']) || line.starts_with("//") {
            return None;
        }
        let line = line.split([';', '#']).next().unwrap_or(line);
        let (before, after) = line.split_once(name)?;
        let before_is_markup = before.chars().all(|it| "- \"'".contains(it));
        let value = after.trim_start_matches(['"', '\'']).trim_start();
        let stripped = value
            .strip_prefix("=>")
            .or_else(|| value.strip_prefix(['=', ':']));
        let value = stripped.or_else(|| after.starts_with([' ', '\t']).then_some(value))?;
        before_is_markup.then(|| value.trim().trim_matches(['"', '\'']))
    })
}

/// The range of media ports in the configuration of rtpengine, Asterisk or FreeSWITCH.
pub fn media_ports(path: &Path) -> Result<PortRange> {
    let text = without_between(&read(path)?, ";--", "--;");
    let shown = path.display();
    let mut found: Vec<(&str, &str)> = Vec::new();
    let sections = sections(&text);
    for section in sections.values() {
        for (start, end) in [("port-min", "port-max"), ("rtpstart", "rtpend")] {
            found.extend(both(
                words_after(section, start),
                words_after(section, end),
                path,
            )?);
        }
    }
    let (start, end) = ("rtp-start-port", "rtp-end-port");
    found.extend(both(parameter(&text, start), parameter(&text, end), path)?);
    found.sort_unstable();
    found.dedup();
    if has_includes(&text) {
        say(&format!(
            "{shown} includes other files, which Portkeep does not read"
        ));
    }
    let (start, end) = match found.as_slice() {
        [] => {
            return Err(
                Error::refused(format!("{shown} sets no range of ports")).with_hint(
                    "Portkeep knows port-min and port-max (rtpengine), rtpstart and rtpend (Asterisk), \
                     rtp-start-port and rtp-end-port (FreeSWITCH); set them there, or name the ports: \
                     what the programs take without them depends on their version",
                ),
            );
        }
        [range] => *range,
        [(start, end), (other, another), ..] => {
            let message =
                format!("{shown} sets several ranges: {start}-{end} and {other}-{another}");
            return Err(Error::refused(message).with_hint("name the ports"));
        }
    };
    let range = start.parse().ok().zip(end.parse().ok());
    let range = range.and_then(|(start, end)| PortRange::new(Protocol::Udp, start, end).ok());
    range.ok_or_else(|| {
        Error::refused(format!(
            "{shown}: '{start}' to '{end}' is not a range of ports"
        ))
        .with_hint("fix the file, or name the ports")
    })
}

/// Both ends of a range, or none.
fn both<'t>(
    start: Option<&'t str>,
    end: Option<&'t str>,
    path: &Path,
) -> Result<Option<(&'t str, &'t str)>> {
    match (start, end) {
        (None, None) => Ok(None),
        (Some(start), Some(end)) => Ok(Some((start, end))),
        _ => {
            let shown = path.display();
            let message = format!("{shown} sets one end of the range of ports only");
            Err(Error::refused(message).with_hint("set the other one, too, or name the ports"))
        }
    }
}

/// The lines of each `[section]`, and those before the first one.
fn sections(text: &str) -> BTreeMap<&str, String> {
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    let mut name = "";
    for line in text.lines() {
        let header = line.trim_start().strip_prefix('[');
        if let Some((header, _)) = header.and_then(|it| it.split_once(']')) {
            name = header;
            continue;
        }
        let section = sections.entry(name).or_default();
        section.push_str(line);
        section.push('\n');
    }
    sections
}

/// Asterisk's `#include` and `#exec`, and FreeSWITCH's `<X-PRE-PROCESS cmd="include" …/>`.
fn has_includes(text: &str) -> bool {
    let xml = without_between(text, "<!--", "-->").to_ascii_lowercase();
    xml.split("<x-pre-process").skip(1).any(|it| {
        let tag = it.split('>').next().unwrap_or_default();
        tag.contains("include") || tag.contains("exec")
    }) || text.lines().any(|line| {
        let line = line.trim_start();
        ["#include", "#tryinclude", "#exec"]
            .iter()
            .any(|word| line.starts_with(word))
    })
}

/// The value in `<param name="rtp-start-port" value="16384"/>`, comments left out.
fn parameter<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let name = format!("\"{name}\"");
    let mut rest = text;
    let mut found = None;
    while !rest.is_empty() {
        let (live, comment) = rest.split_once("<!--").unwrap_or((rest, ""));
        for tag in live.split('<') {
            if let Some((_, after)) = tag.split_once(name.as_str())
                && let Some((_, value)) = after.split_once("value=\"")
            {
                found = value.split('"').next();
            }
        }
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (text, value) in [
            ("port-min = 30000", Some("30000")),
            ("port-min=30000 # comment", Some("30000")),
            ("port-min\t30000", Some("30000")),
            ("port-min => 30000;comment", Some("30000")),
            ("    - --port-min=30000", Some("30000")),
            ("port-min: \"30000\"", Some("30000")),
            (
                "port-min = 1\nport-min = 2\n;port-min = 3\n# port-min = 4",
                Some("2"),
            ),
            ("port-minimum = 30000", None),
            ("x-port-min = 30000", None),
            ("", None),
        ] {
            assert_eq!(words_after(text, "port-min"), value, "{text:?}");
        }
    }

    #[test]
    fn odd_texts() {
        let text = without_between("a /* b\n */c/* d", "/*", "*/");
        assert_eq!(text, "a c");
        let text = unfolded("client { min = 1, max=2 }");
        assert_eq!(words_after(&text, "max"), Some("2"));
        assert!(mentions("x: [a, --port=1]", "--port"));
        assert!(!mentions("# --port=1\r\n// --port\n; --port", "--port"));
        let text = "[a]\r\nport-min = 1\r\n[b]\r\nport-min = 2\r\n[a](+)\r\nport-min = 3\r\n";
        let sections = sections(text);
        let values = sections.values().map(|it| words_after(it, "port-min"));
        assert_eq!(values.collect::<Vec<_>>(), [Some("3"), Some("2")]);
        for (text, includes) in [
            ("[general]\n#include \"more.conf\"", true),
            ("# include nothing", false),
            (
                "<X-PRE-PROCESS cmd=\"include\" data=\"autoload_configs/*.xml\"/>",
                true,
            ),
            ("<!-- <X-PRE-PROCESS cmd=\"include\"/> -->", false),
            ("<X-PRE-PROCESS cmd=\"set\" data=\"a=b\"/>", false),
        ] {
            assert_eq!(has_includes(text), includes, "{text}");
        }
    }

    #[test]
    fn parameters() {
        let text = r#"<param name="rtp-start-port" value="16384"/>
            <!-- <param name="rtp-end-port" value="1"/> -->
            <param name="rtp-end-port" value="32768"/> <!-- <param name="rtp-end-port" value="2"/>"#;
        assert_eq!(parameter(text, "rtp-start-port"), Some("16384"));
        assert_eq!(parameter(text, "rtp-end-port"), Some("32768"));
        assert_eq!(parameter(text, "rtp"), None);
    }
}
