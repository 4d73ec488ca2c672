//! Port ranges in the configuration of other programs.

use std::path::Path;

use portkeep::{PortRange, Protocol};
use portkeep_host::regular_file;

use crate::error::{Context as _, Error, Result};

/// Far longer than any such file.
const LENGTH_MAX: u64 = 4 << 20;

/// The text of a regular file.
pub fn read(path: &Path) -> Result<String> {
    let bytes = regular_file::read(path, LENGTH_MAX)
        .with_context(|| format!("cannot read {}", path.display()))?;
    // Only ASCII matters; comments may be in any encoding.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
    let text = read(path)?;
    let found = [("port-min", "port-max"), ("rtpstart", "rtpend")]
        .into_iter()
        .map(|(start, end)| (words_after(&text, start), words_after(&text, end)))
        .chain([(
            parameter(&text, "rtp-start-port"),
            parameter(&text, "rtp-end-port"),
        )])
        .find(|(start, end)| start.is_some() || end.is_some());
    let shown = path.display();
    let Some((start, end)) = found else {
        return Err(
            Error::refused(format!("{shown} sets no range of ports")).with_hint(
                "Portkeep knows port-min and port-max (rtpengine), rtpstart and rtpend (Asterisk), \
             rtp-start-port and rtp-end-port (FreeSWITCH); set them there, or name the ports: \
             what the programs take without them depends on their version",
            ),
        );
    };
    let (Some(start), Some(end)) = (start, end) else {
        return Err(
            Error::refused(format!("{shown} sets one end of the range of ports only"))
                .with_hint("set the other one, too, or name the ports"),
        );
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
    fn parameters() {
        let text = r#"<param name="rtp-start-port" value="16384"/>
            <!-- <param name="rtp-end-port" value="1"/> -->
            <param name="rtp-end-port" value="32768"/> <!-- <param name="rtp-end-port" value="2"/>"#;
        assert_eq!(parameter(text, "rtp-start-port"), Some("16384"));
        assert_eq!(parameter(text, "rtp-end-port"), Some("32768"));
        assert_eq!(parameter(text, "rtp"), None);
    }
}
