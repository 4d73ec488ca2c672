//! The picture as a file for reports: one that needs no other, and is readable on light and on dark
//! ground.

use std::fmt::Write as _;

use crate::output::escaped;
use crate::port_map::{PortKind, PortMap, cell_size};

const COLUMNS: usize = 128;
const ROWS: usize = 32;
const CELL: usize = 7;
const LINE: usize = 18;
const LEFT: usize = 56;
const WIDTH: usize = LEFT + COLUMNS * CELL + 16;

/// Colors by class: light first, dark after it. Automatic ports and the pool are pale.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1f2328}
.title{font-weight:600}.ground{fill:#fff}
.reserved{fill:#1a7f37}.persistent{fill:#0969da}.excluded{fill:#9a6700}.in-use{fill:#cf222e}
.pool{fill:#85e09b}.automatic{fill:#cbb0f5}.free{fill:#eaeef2}.part{fill-opacity:.55}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}
.reserved{fill:#3fb950}.persistent{fill:#58a6ff}.excluded{fill:#d29922}.in-use{fill:#f85149}
.pool{fill:#276339}.automatic{fill:#523b82}.free{fill:#21262d}}";

fn class(kind: PortKind) -> &'static str {
    match kind {
        PortKind::Reserved => "reserved",
        PortKind::Persistent => "persistent",
        PortKind::Excluded => "excluded",
        PortKind::InUse => "in-use",
        PortKind::Pool => "pool",
        PortKind::Automatic => "automatic",
        PortKind::Free => "free",
    }
}

/// One picture for each protocol, one below the other.
pub fn svg(maps: &[PortMap], owners: usize) -> String {
    let mut body = String::new();
    let mut y = 8;
    for map in maps {
        y = draw(&mut body, map, y, owners);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" \
         height=\"{y}\" role=\"img\">\n<title>Ports, as Portkeep sees them</title>\n\
         <style>{STYLE}</style>\n<rect class=\"ground\" width=\"{WIDTH}\" height=\"{y}\"/>\n\
         {body}</svg>\n"
    )
}

/// Writing to a string cannot fail.
fn draw(body: &mut String, map: &PortMap, top: usize, owners: usize) -> usize {
    let size = cell_size(map.kinds.len(), COLUMNS * ROWS);
    let start = usize::from(*map.range.start());
    let mut y = top + LINE;
    let title = format!("{} {}-{}", map.protocol, start, map.range.end());
    text(body, 8, y - 4, "title", &title);
    let cells: Vec<_> = map.cells(size).collect();
    for (row, cells) in cells.chunks(COLUMNS).enumerate() {
        let first = start + row * COLUMNS * size;
        if row % 2 == 0 {
            text(body, 8, y + CELL + 2, "", &first.to_string());
        }
        let mut column = 0;
        for run in cells.chunk_by(|a, b| a == b) {
            let (kind, whole) = run[0];
            let part = if whole || kind >= PortKind::Pool {
                ""
            } else {
                " part"
            };
            let from = first + column * size;
            let to = (from + run.len() * size - 1).min(usize::from(*map.range.end()));
            let (x, width) = (LEFT + column * CELL, run.len() * CELL);
            let _ = writeln!(
                body,
                "<rect class=\"{}{part}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" \
                 height=\"{}\"><title>{from}-{to}: {}</title></rect>",
                class(kind),
                CELL - 1,
                kind.words(),
            );
            column += run.len();
        }
        y += CELL;
    }
    y += LINE;
    for (kind, count) in map.counts() {
        let _ = writeln!(
            body,
            "<rect class=\"{}\" x=\"8\" y=\"{}\" width=\"12\" height=\"12\"/>",
            class(kind),
            y - 10
        );
        text(body, 28, y, "", &format!("{}: {count}", kind.words()));
        y += LINE;
        let all = map.owners_of(kind);
        for owner in all.iter().take(owners) {
            text(body, 44, y, "", owner);
            y += LINE;
        }
        if all.len() > owners {
            text(body, 44, y, "", &format!("and {} more", all.len() - owners));
            y += LINE;
        }
    }
    y
}

fn text(body: &mut String, x: usize, y: usize, class: &str, words: &str) {
    let words = escaped(words)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let class = match class {
        "" => String::new(),
        class => format!(" class=\"{class}\""),
    };
    let _ = writeln!(body, "<text{class} x=\"{x}\" y=\"{y}\">{words}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The color of a class, or of text, in a style.
    fn color(style: &str, name: &str) -> [u8; 3] {
        let (_, rest) = style.split_once(&format!("{name}{{")).expect("a rule");
        let (rule, _) = rest.split_once('}').expect("its end");
        let (_, hex) = rule.split_once("fill:#").expect("a color");
        let hex: String = match hex.len() {
            3 => hex.chars().flat_map(|digit| [digit; 2]).collect(),
            _ => hex.to_owned(),
        };
        [0, 2, 4].map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("a number"))
    }

    /// The contrast ratio of WCAG 2.2.
    fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
        let luminance = |color: [u8; 3]| {
            let [red, green, blue] = color.map(|value| {
                let value = f64::from(value) / 255.0;
                match value <= 0.04045 {
                    true => value / 12.92,
                    false => ((value + 0.055) / 1.055).powf(2.4),
                }
            });
            0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
        };
        let (one, other) = (luminance(one), luminance(other));
        one.max(other) / one.min(other)
    }

    /// What WCAG asks of text (AAA) and of graphics. The pale kinds are a ground, and told by their place.
    #[test]
    fn readable_on_light_and_dark_ground() {
        let (light, dark) = STYLE.split_once("@media").expect("both");
        for style in [light, dark] {
            let color = |name| color(style, name);
            assert!(contrast(color("text"), color(".ground")) >= 7.0);
            for ground in [".ground", ".free"] {
                for kind in [".reserved", ".persistent", ".excluded", ".in-use"] {
                    assert!(
                        contrast(color(kind), color(ground)) >= 3.0,
                        "{kind} {ground}"
                    );
                }
                for kind in [".pool", ".automatic"] {
                    assert!(
                        contrast(color(kind), color(ground)) >= 1.3,
                        "{kind} {ground}"
                    );
                }
            }
        }
    }
}
