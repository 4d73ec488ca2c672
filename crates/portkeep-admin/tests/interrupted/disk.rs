//! Files that end the process at a chosen step, and remember what a disk may have after a power cut.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use portkeep_admin::{Files, RealFiles};
use portkeep_tests::libc;

/// The exit code of a process that was ended at the chosen step.
pub const CUT: i32 = 77;

/// The real files, with a power switch.
#[derive(Debug)]
pub struct Disk {
    cut_at: usize,
    steps: AtomicUsize,
    fsync: bool,
    remains: Remains,
    /// What is surely on the disk of each file, by its inode number.
    synced: Mutex<HashMap<u64, Vec<u8>>>,
}

/// The store directories that a power cut may leave, kept up to date in a directory beside the real
/// one: what is there outlives the process.
#[derive(Clone, Debug)]
pub struct Remains(PathBuf);

impl Disk {
    /// Watches a store directory, of which all that it has now is on the disk.
    pub fn watch(directory: &Path, cut_at: usize) -> Disk {
        let remains = Remains(directory.with_extension("remains"));
        fs::create_dir_all(&remains.0).expect("make a directory");
        let mut synced = HashMap::new();
        for path in FILES.map(|name| directory.join(name)) {
            if let Ok(bytes) = fs::read(&path) {
                synced.insert(inode(&path).expect("a file"), bytes);
            }
        }
        let disk = Disk {
            cut_at,
            steps: AtomicUsize::new(0),
            fsync: true,
            remains,
            synced: Mutex::new(synced),
        };
        disk.remains.put("surely", &disk.surely(directory));
        disk
    }

    /// A disk that loses what is not synced, and nobody syncs.
    pub fn without_fsync(self) -> Disk {
        Disk {
            fsync: false,
            ..self
        }
    }

    pub fn remains(&self) -> Remains {
        self.remains.clone()
    }

    /// Whether the power goes in the middle of this step.
    fn is_cut(&self) -> bool {
        self.steps.fetch_add(1, Ordering::Relaxed) == self.cut_at
    }

    fn step(&self) {
        if self.is_cut() {
            end();
        }
    }

    /// What is on the disk of a directory's files for sure; of one that was never synced that is
    /// nothing.
    fn surely(&self, directory: &Path) -> Store {
        let files = FILES
            .into_iter()
            .filter(|name| directory.join(name).exists());
        files
            .map(|name| (name, self.synced(&directory.join(name))))
            .collect()
    }

    fn synced(&self, path: &Path) -> Vec<u8> {
        let inode = inode(path).expect("a file");
        let synced = self.synced.lock().expect("not poisoned");
        synced.get(&inode).cloned().unwrap_or_default()
    }
}

/// The files of a store that last.
const FILES: [&str; 2] = ["reservations.toml", "notes.toml"];

/// What they have, by name.
type Store = HashMap<&'static str, Vec<u8>>;

fn inode(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.ino())
}

fn end() -> ! {
    // SAFETY: ends the process at once, as a crash does: nothing is cleaned up.
    unsafe { libc::_exit(CUT) }
}

impl Files for Disk {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.step();
        let file = RealFiles.create(path)?;
        // The number may have been another file's.
        let mut synced = self.synced.lock().expect("not poisoned");
        synced.remove(&file.metadata()?.ino());
        Ok(file)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if self.is_cut() {
            file.write_all(&bytes[..bytes.len() / 2])?;
            end();
        }
        RealFiles.write(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.step();
        if self.fsync {
            let bytes = fs::read(format!(
                "/proc/self/fd/{}",
                std::os::fd::AsRawFd::as_raw_fd(file)
            ))?;
            let inode = file.metadata()?.ino();
            self.synced
                .lock()
                .expect("not poisoned")
                .insert(inode, bytes);
        }
        RealFiles.sync(file)
    }

    /// From now on the disk may have the one or the other, until the directory is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step();
        let (directory, name) = to.parent().zip(to.file_name()).expect("a file");
        // What is gone with the boot is gone with the power.
        if let Some(name) = FILES.into_iter().find(|file| name == *file) {
            let mut store = self.surely(directory);
            store.insert(name, self.synced(from));
            self.remains.put("maybe", &store);
        }
        RealFiles.rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step();
        if self.fsync {
            self.remains.put("surely", &self.surely(directory));
            self.remains.forget("maybe");
        }
        RealFiles.sync_directory(directory)
    }

    fn write_setting(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.step();
        RealFiles.write_setting(file, bytes, offset)
    }
}

impl Remains {
    /// A store directory that the disk may have, with halves of next files beside it.
    fn put(&self, name: &str, store: &Store) {
        let directory = self.0.join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).expect("make a directory");
        for (file, bytes) in store {
            fs::write(directory.join(file), bytes).expect("write");
            let half = &bytes[..bytes.len() / 2];
            fs::write(directory.join(format!("{file}.new")), half).expect("write");
        }
    }

    fn forget(&self, name: &str) {
        let _ = fs::remove_dir_all(self.0.join(name));
    }

    pub fn list(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).expect("read the directory");
        entries.flatten().map(|entry| entry.path()).collect()
    }
}
