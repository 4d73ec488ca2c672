//! The pictures, compared with files. `PORTKEEP_WRITE_SNAPSHOTS=1` writes them.

use std::fs;
use std::path::Path;

use super::*;

fn map(range: RangeInclusive<u16>) -> PortMap {
    let mut map = PortMap::new(Protocol::Tcp, range);
    map.mark(61000..=65535, PortKind::Pool);
    map.mark(32768..=60999, PortKind::Automatic);
    let nginx = "process 812 (nginx), user www-data".to_owned();
    map.own(80..=80, PortKind::InUse, nginx.clone());
    map.own(443..=443, PortKind::InUse, nginx);
    map.own(
        8080..=8080,
        PortKind::Excluded,
        "everybody may bind".to_owned(),
    );
    map.own(
        10000..=19999,
        PortKind::Persistent,
        "user asterisk (RTP, a comment that is longer than any terminal in this test is wide)"
            .to_owned(),
    );
    map.own(5060..=5061, PortKind::Persistent, "group voice".to_owned());
    for port in 0..5 {
        map.own(
            61000 + 100 * port..=61007 + 100 * port,
            PortKind::Reserved,
            format!("process {} (a\x1b[2J<b>), user root", 4711 + port),
        );
    }
    map
}

#[track_caller]
fn assert_snapshot(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/port_map/snapshots")
        .join(name);
    if std::env::var_os("PORTKEEP_WRITE_SNAPSHOTS").is_some() {
        fs::create_dir_all(file.parent().expect("a directory")).expect("make it");
        fs::write(&file, text).expect("write");
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(text == expected, "{name} differs:\n{text}");
}

fn look(width: usize) -> Look {
    Look {
        width,
        unicode: true,
        color: false,
        owners: 4,
    }
}

#[test]
fn at_several_widths() {
    for width in [20, 40, 80, 140] {
        let text = picture(&map(0..=65535), look(width));
        assert!(
            text.lines().all(|line| line.chars().count() <= width),
            "{text}"
        );
        assert_snapshot(&format!("width-{width}.txt"), &text);
    }
}

#[test]
fn zoomed_in() {
    assert_snapshot("zoom.txt", &picture(&map(60900..=61499), look(80)));
    assert_snapshot("one-port.txt", &picture(&map(80..=80), look(80)));
}

#[test]
fn without_unicode() {
    let look = Look {
        unicode: false,
        ..look(80)
    };
    let text = picture(&map(0..=65535), look);
    assert!(text.is_ascii(), "{text}");
    assert_snapshot("ascii.txt", &text);
}

/// The colors add nothing that the symbols do not say.
#[test]
fn with_colors() {
    let plain = look(80);
    let colored = picture(
        &map(0..=65535),
        Look {
            color: true,
            ..plain
        },
    );
    let mut bare = String::new();
    for (index, part) in colored.split('\x1b').enumerate() {
        bare.push_str(match index {
            0 => part,
            _ => part.split_once('m').expect("a code").1,
        });
    }
    assert_eq!(bare, picture(&map(0..=65535), plain));
    assert_snapshot("color.txt", &colored);
}

#[test]
fn as_a_file() {
    let text = svg(&[map(0..=65535), map(61000..=61100)], 4);
    assert!(text.contains("prefers-color-scheme:dark") && !text.contains("href"));
    assert!(text.contains("(a\\u{1b}[2J&lt;b&gt;)"), "{text}");
    assert_snapshot("map.svg", &text);
}

#[test]
fn every_port_is_in_one_cell() {
    for (ports, cells) in [
        (65536, 1024),
        (65536, 128),
        (600, 1024),
        (1, 1),
        (1025, 1024),
    ] {
        let size = cell_size(ports, cells);
        assert!(
            size.is_power_of_two() && ports.div_ceil(size) <= cells,
            "{ports} {cells}"
        );
    }
}
