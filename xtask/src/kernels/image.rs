//! The root file system of an emulated machine, in memory: busybox and what is added to it.
//!
//! Programs have the same paths there as here, for tests know where the command was built.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::target::Program;
use crate::command;

const DIRECTORIES: [&str; 9] = [
    "bin", "dev", "etc", "modules", "proc", "root", "sys", "tmp", "usr/bin",
];

const FILES: [(&str, &str); 3] = [
    (
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
];

/// The file system while it is put together.
#[derive(Debug)]
pub struct Image {
    directory: PathBuf,
    modules: usize,
    tests: String,
}

impl Image {
    /// Starts one at `directory`, in place of what is there.
    pub fn create(directory: &Path) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(directory)
                .with_context(|| format!("removing {}", directory.display()))?;
        }
        let root = directory.join("root");
        for name in DIRECTORIES {
            fs::create_dir_all(root.join(name)).with_context(|| format!("making {name}"))?;
        }
        for (name, content) in FILES {
            fs::write(root.join(name), content).with_context(|| format!("writing {name}"))?;
        }
        let init = root.join("init");
        fs::write(&init, include_str!("init.sh")).context("writing init")?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        let image = Self {
            directory: directory.to_owned(),
            modules: 0,
            tests: String::new(),
        };
        image.add_command("busybox", &find_program("busybox")?)?;
        symlink("/usr/bin/busybox", root.join("bin/sh")).context("linking sh")?;
        Ok(image)
    }

    /// Adds a program and makes it a command on the PATH.
    pub fn add_command(&self, name: &str, path: &Path) -> Result<()> {
        self.add_program(path)?;
        let command = self.at(Path::new("/usr/bin").join(name).as_path());
        if !command.exists() {
            symlink(path, &command).with_context(|| format!("linking {name}"))?;
        }
        Ok(())
    }

    /// Adds a kernel module, which is loaded after those added before.
    pub fn add_module(&mut self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default().display();
        // In the order of their names.
        let to = format!("/modules/{:03}-{name}", self.modules);
        self.modules += 1;
        self.copy(path, Path::new(&to))
    }

    /// Adds a test target, which runs after those added before.
    pub fn add_test(&mut self, test: &Program) -> Result<()> {
        self.add_program(&test.path)?;
        self.tests += &format!(
            "{} --color never --test-threads 2 {}\n",
            test.path.display(),
            test.filter.as_deref().unwrap_or_default()
        );
        Ok(())
    }

    /// The file that a boot loader takes (Documentation/driver-api/early-userspace/buffer-format.rst).
    pub fn pack(&self) -> Result<PathBuf> {
        let tests = self.directory.join("root/tests");
        fs::write(tests, &self.tests).context("writing the list of tests")?;
        command::run(
            Command::new("sh")
                .current_dir(self.directory.join("root"))
                .arg("-c")
                .arg("find . | cpio --create --format=newc --owner=+0:+0 --quiet >../initramfs"),
        )?;
        Ok(self.directory.join("initramfs"))
    }

    fn at(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix("/").unwrap_or(path);
        self.directory.join("root").join(below)
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        let to = self.at(to);
        let copying = || format!("copying {} to {}", from.display(), to.display());
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory).with_context(copying)?;
        }
        fs::copy(from, &to).with_context(copying)?;
        Ok(())
    }

    /// Adds a program, without debug information, which is most of it, and its shared libraries.
    fn add_program(&self, path: &Path) -> Result<()> {
        self.copy(path, path)?;
        command::run(
            Command::new("strip")
                .arg("--strip-debug")
                .arg(self.at(path)),
        )?;
        for library in shared_libraries(path)? {
            self.copy(&library, &library)?;
        }
        Ok(())
    }
}

/// Where a program is on this machine.
pub fn find_program(name: &str) -> Result<PathBuf> {
    let script = r#"PATH=$PATH:/usr/sbin:/sbin command -v "$1""#;
    let path = command::output(Command::new("sh").args(["-c", script, "sh", name]))?;
    let path = path.trim();
    std::fs::canonicalize(path).with_context(|| format!("finding {name}"))
}

/// The shared libraries of a program and the loader, as ldd(1) lists them.
fn shared_libraries(path: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(path)
        .output()
        .context("running ldd")?;
    // It fails for a program that is linked statically.
    let listing = String::from_utf8_lossy(&output.stdout);
    Ok(listing
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}
