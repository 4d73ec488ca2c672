//! The picture for a terminal.

use clap::builder::styling::{AnsiColor, Style};

use crate::output::escaped;
use crate::port_map::{PortKind, PortMap, cell_size};
use crate::words::counted;

/// How the picture looks.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// The columns of the terminal.
    pub width: usize,
    pub unicode: bool,
    pub color: bool,
    /// How many owners of each kind are named.
    pub owners: usize,
}

/// The most rows of the picture itself.
const ROWS: usize = 16;
/// The port at the start of a row, right-aligned, and a space.
const LABEL: usize = 6;
/// Narrower than this the picture is no smaller.
const CELLS_MIN: usize = 8;
/// One for each port, however wide a terminal claims to be.
const CELLS_MAX: usize = 1 << 16;

pub fn picture(map: &PortMap, look: Look) -> String {
    let ports = map.kinds.len();
    // Rows that begin at round numbers: a power of two of cells.
    let room = look.width.saturating_sub(LABEL);
    let room = room.clamp(CELLS_MIN, CELLS_MAX);
    let columns = 1 << room.ilog2();
    let size = cell_size(ports, columns * ROWS);
    let each = match size {
        1 => "one port in each cell".to_owned(),
        size => format!("{size} ports in each cell"),
    };
    let (start, end) = (map.range.start(), map.range.end());
    let ports = format!("{} {start}-{end}", map.protocol);
    let mut lines = match format!("{ports}, {each}") {
        line if fits(&line, look) => vec![line],
        _ => vec![ports, format!("a cell: {}", counted(size, "port"))],
    };
    let cells: Vec<_> = map.cells(size).collect();
    for (row, cells) in cells.chunks(columns).enumerate() {
        let first = usize::from(*start) + row * columns * size;
        let mut line = format!("{first:>5} ");
        // One code for equal neighbours.
        for run in cells.chunk_by(|a, b| a == b) {
            let (kind, whole) = run[0];
            let text: String = run
                .iter()
                .map(|_| symbol(kind, whole, look.unicode))
                .collect();
            line.push_str(&styled(&text, kind, look));
        }
        lines.push(line);
    }
    lines.push(String::new());
    lines.extend(legend(map, look));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Distinct without a color. Of a cell that has other ports, too, a lighter one.
fn symbol(kind: PortKind, whole: bool, unicode: bool) -> char {
    match (kind, whole, unicode) {
        (PortKind::Reserved, true, true) => '█',
        (PortKind::Reserved, false, true) => '▌',
        (PortKind::Reserved, true, false) => '#',
        (PortKind::Reserved, false, false) => '+',
        (PortKind::Persistent, true, true) => '◆',
        (PortKind::Persistent, false, true) => '◇',
        (PortKind::Persistent, true, false) => 'P',
        (PortKind::Persistent, false, false) => 'p',
        (PortKind::Excluded, true, true) => '╳',
        (PortKind::Excluded, false, true) => '×',
        (PortKind::Excluded, true, false) => 'X',
        (PortKind::Excluded, false, false) => 'x',
        (PortKind::InUse, true, true) => '●',
        (PortKind::InUse, false, true) => '○',
        (PortKind::InUse, true, false) => 'O',
        (PortKind::InUse, false, false) => 'o',
        (PortKind::Pool, _, true) => '░',
        (PortKind::Pool, _, false) => '=',
        (PortKind::Automatic, _, true) => '∿',
        (PortKind::Automatic, _, false) => '~',
        (PortKind::Free, _, true) => '·',
        (PortKind::Free, _, false) => '.',
    }
}

fn style(kind: PortKind) -> Style {
    match kind {
        PortKind::Reserved => AnsiColor::Green.on_default().bold(),
        PortKind::Persistent => AnsiColor::Cyan.on_default().bold(),
        PortKind::Excluded => AnsiColor::Yellow.on_default(),
        PortKind::InUse => AnsiColor::Red.on_default(),
        PortKind::Pool => AnsiColor::Green.on_default(),
        PortKind::Automatic => AnsiColor::Magenta.on_default(),
        PortKind::Free => Style::new().dimmed(),
    }
}

fn styled(text: &str, kind: PortKind, look: Look) -> String {
    match look.color {
        true => {
            let style = style(kind);
            format!("{style}{text}{style:#}")
        }
        false => text.to_owned(),
    }
}

/// The kinds that there are, with the owners below.
fn legend(map: &PortMap, look: Look) -> Vec<String> {
    let mut lines = Vec::new();
    for (kind, count) in map.counts() {
        let whole = symbol(kind, true, look.unicode);
        let part = symbol(kind, false, look.unicode);
        let symbols = match whole == part {
            true => format!("{whole}  "),
            false => format!("{whole} {part}"),
        };
        let symbols = styled(&symbols, kind, look);
        let (words, ports) = (kind.words(), counted(count, "port"));
        let is_short = fits(&format!("     {words}: {ports}"), look);
        lines.extend(match is_short {
            true => vec![format!("{symbols}  {words}: {ports}")],
            false => vec![format!("{symbols}  {words}"), format!("       {ports}")],
        });
        let owners = map.owners_of(kind);
        for owner in owners.iter().take(look.owners) {
            lines.push(cut(&format!("       {}", escaped(owner)), look));
        }
        if owners.len() > look.owners {
            lines.push(format!("       and {} more", owners.len() - look.owners));
        }
    }
    lines
}

fn fits(line: &str, look: Look) -> bool {
    line.chars().count() <= look.width
}

/// So that it fits the width.
fn cut(line: &str, look: Look) -> String {
    if fits(line, look) {
        return line.to_owned();
    }
    let end = if look.unicode { "…" } else { "..." };
    let room = look.width.saturating_sub(end.chars().count());
    line.chars().take(room).collect::<String>() + end
}
