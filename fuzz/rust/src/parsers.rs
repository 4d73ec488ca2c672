//! What is parsed: port ranges, lines of the list, lists of ports, and the store. Nothing may panic,
//! and what is understood reads the same when it has been written and read again.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use portkeep::{Entry, PortRange};
use portkeep_admin::{Declared, Installation, Keeper, PortSet, UnknownNames};

static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("portkeep-fuzz-{}", std::process::id()));
    fs::create_dir_all(&path).expect("make a directory");
    path
});

#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    if size == 0 {
        return 0;
    }
    // SAFETY: the fuzzer's input.
    let data = unsafe { std::slice::from_raw_parts(data, size) };
    let (which, bytes) = (data[0], &data[1..]);
    if which % 4 == 3 {
        store(bytes);
    } else if let Ok(text) = std::str::from_utf8(bytes) {
        match which % 4 {
            0 => range(text),
            1 => {
                let _ = text.parse::<Entry>();
            }
            _ => ports(text),
        }
    }
    0
}

fn range(text: &str) {
    if let Ok(range) = text.parse::<PortRange>() {
        assert!(range.start() >= 1 && range.start() <= range.end());
        assert_eq!(range.to_string().parse(), Ok(range));
    }
}

fn ports(text: &str) {
    if let Ok(ports) = text.parse::<PortSet>() {
        let again = ports.to_string().parse::<PortSet>();
        assert_eq!(again.ok(), Some(ports));
    }
}

fn store(bytes: &[u8]) {
    let keeper = Keeper::new(Installation {
        state_dir: Some(DIRECTORY.clone()),
        ..Installation::default()
    });
    fs::write(keeper.file(), bytes).expect("write the store");
    if let Ok(contents) = keeper.contents() {
        for (_, record) in contents.records() {
            assert!(record.ports.start() >= 1);
        }
    }
    // Refused or understood, it is not touched.
    assert_eq!(fs::read(keeper.file()).expect("read the store"), bytes);
    // The same text as a declaration, compared with what it says as a store.
    if let Ok(declared) = Declared::read([keeper.file()]) {
        let _ = keeper.compare(&declared, UnknownNames::Accept);
    }
}
