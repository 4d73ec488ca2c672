//! Disks, directories and readers that do what they like.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::mount::{MsFlags, mount, umount};
use portkeep_tests::{Protocol, Sandbox};

use crate::common::kernel_part::{assert_free, assert_kept};
use crate::common::persistent::{assert_agreed, enable, listed, stored_ports};
use crate::common::{PORTKEEP, done, hint, outcome, portkeep, portkeep_as_user};
use crate::scene::{apply, check, declare, directory, refuse};

/// A file system of its own with so much room.
fn small(path: &Path, size: &str) {
    fs::create_dir_all(path).expect("make a directory");
    let options = format!("size={size},mode=0755");
    let flags = MsFlags::empty();
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(&*options)).expect("mount");
}

/// Takes all the room but for so many pages.
fn fill(directory: &Path, pages: u64) -> PathBuf {
    let path = directory.join("filler");
    let mut file = fs::File::create(&path).expect("make a file");
    while file.write_all(&[1; 4096]).is_ok() {}
    let length = file.metadata().expect("stat").len();
    file.set_len(length.saturating_sub(4096 * pages) & !4095)
        .expect("shrink");
    path
}

fn entries(count: u16, user: &str) -> Vec<String> {
    (0..count)
        .map(|index| format!("reserve {}/tcp {user}", 20_000 + 2 * index))
        .collect()
}

/// The store has pages for nothing, for the notes, for some of the entries, and for all of it. Where a change
/// does not fit it is refused, and the ports stay as they were.
pub fn a_full_disk(sandbox: &Sandbox) {
    let state = sandbox.state_dir().join("small");
    small(&state, "256k");
    let file = |count, user: &str| {
        let entries = entries(count, user);
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        declare(sandbox, "a.toml", &entries)
    };
    let run = |words: &[&str]| {
        outcome(
            portkeep(words)
                .arg(directory(sandbox))
                .env("PORTKEEP_STATE_DIR", &state),
        )
    };
    done(portkeep(["enable"]).env("PORTKEEP_STATE_DIR", &state));
    file(60, "root");
    assert_eq!(run(&["apply"]).code, Some(0));
    let before = listed();
    assert_eq!(before.len(), 60);
    let (mut refused, mut applied) = (0, 0);
    for pages in 0..30 {
        let filler = fill(&state, pages);
        file(120, "65534");
        let said = run(&["apply"]);
        match said.code {
            Some(1) => {
                refused += 1;
                assert!(said.stderr.contains("No space left on device"), "{said:?}");
                assert!(said.stderr.contains("nothing is changed"), "{said:?}");
                assert_eq!(listed(), before, "{pages}");
                assert_free(Protocol::Tcp, 20_200..=20_200);
                // What failed leaves the room that there was.
                let names = fs::read_dir(&state).expect("list").flatten();
                let new = names.filter(|it| it.path().extension() == Some("new".as_ref()));
                assert_eq!(new.count(), 0, "{pages}");
            }
            Some(0) => applied += 1,
            _ => panic!("{said:?}"),
        }
        fs::remove_file(filler).expect("remove");
        let said = run(&["apply"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(listed().len(), 120, "{pages}");
        assert_kept(Protocol::Tcp, 20_200..=20_200);
        assert_eq!(run(&["apply", "--check"]).code, Some(0));
        file(60, "root");
        assert_eq!(run(&["apply"]).code, Some(0));
        assert_eq!(listed(), before, "{pages}");
        if applied > 1 {
            break;
        }
    }
    assert!(refused > 1 && applied > 1, "{refused} and {applied}");
    done(portkeep(["disable"]).env("PORTKEEP_STATE_DIR", &state));
    umount(&state).expect("unmount");
}

/// Files come, go and are replaced as by an editor or a package manager. Each apply finds some state of the
/// directory, and the last one the last.
pub fn a_directory_that_changes_meanwhile(sandbox: &Sandbox) {
    enable();
    let names: Vec<String> = (0..20).map(|index| format!("{index}.toml")).collect();
    let write = |index: usize| {
        let entry = format!("reserve {}/tcp root", 20_000 + index);
        declare(sandbox, &names[index], &[&entry]);
    };
    (0..names.len()).for_each(write);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut index = 0;
            while !is_over.load(Ordering::Relaxed) {
                index = (index + 7) % names.len();
                let path = directory(sandbox).join(&names[index]);
                let other = path.with_extension("toml.new");
                fs::rename(&path, &other).expect("rename");
                fs::rename(&other, &path).expect("rename");
                fs::remove_file(&path).expect("remove");
                thread::yield_now();
                write(index);
            }
        });
        for _ in 0..40 {
            let said = outcome(&mut portkeep(["apply"]));
            // A file that is there and has not been written yet is no declaration.
            let is_half = said.stderr.contains("missing field `version`");
            let is_busy = said.stderr.contains("changes all the time");
            assert!(said.code == Some(0) || is_half || is_busy, "{said:?}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    apply();
    assert_eq!(check(), "");
    assert_eq!(listed().len(), names.len());
    assert_agreed();
}

/// Of two files that declare the same port one is applied, again and again, whoever comes first.
pub fn two_that_want_the_same(sandbox: &Sandbox) {
    enable();
    let [one, other] = ["one", "other"].map(|name| {
        let path = sandbox.state_dir().join(name);
        let (entry, user) = ("[[reservation]]\nports = \"20000-20009/tcp\"\n", name.len());
        fs::write(&path, format!("version = 1\n{entry}users = [\"{user}\"]\n")).expect("write");
        path
    });
    for _ in 0..10 {
        let codes = thread::scope(|scope| {
            let applying = [&one, &other]
                .map(|path| scope.spawn(move || outcome(portkeep(["apply"]).arg(path)).code));
            applying.map(|it| it.join().expect("no panic"))
        });
        let mut sorted = codes;
        sorted.sort_unstable();
        assert_eq!(sorted, [Some(0), Some(1)]);
        let (winner, user) = match codes[0] {
            Some(0) => (&one, 3),
            _ => (&other, 5),
        };
        let listed = listed();
        assert_eq!(listed.len(), 1, "{listed:?}");
        let text = fs::read_to_string(winner).expect("read");
        fs::write(winner, "version = 1\n").expect("write");
        done(portkeep(["apply"]).arg(winner));
        fs::write(winner, text).expect("write");
        assert_eq!(stored_ports(sandbox), [] as [&str; 0], "user {user}");
    }
    assert_agreed();
}

/// Over a link of a directory above it, with dots, and relative: it is one source. A hard link is another
/// file, which declares the same twice.
pub fn one_file_by_several_ways(sandbox: &Sandbox) {
    enable();
    let path = declare(sandbox, "a.toml", &["reserve 20000/tcp root"]);
    done(portkeep(["apply"]).arg(&path));
    let link = sandbox.state_dir().join("link");
    symlink(directory(sandbox), &link).expect("link");
    let dotted = directory(sandbox).join("../reservations.d/./a.toml");
    for way in [
        link.join("a.toml"),
        dotted.clone(),
        link.join("../reservations.d"),
    ] {
        let said = done(portkeep(["apply"]).arg(&way).arg(&dotted));
        assert_eq!(said, "1 declared entry: nothing to change\n", "{way:?}");
    }
    // The link itself says what somebody else may change.
    assert!(hint(portkeep(["apply"]).arg(&link)).contains("regular files"));
    fs::hard_link(&path, path.with_file_name("b.toml")).expect("link");
    let said = refuse();
    assert!(
        said.contains("a.toml:3 (") && said.contains(") overlaps ") && said.contains("b.toml:3 ("),
        "{said}"
    );
    assert_eq!(stored_ports(sandbox), ["20000/tcp"]);
    assert_agreed();
}

/// A source that cannot be looked at, as on a file server that does not answer, keeps what it declares: another
/// file is refused. One that is gone for sure does not.
pub fn what_cannot_be_looked_at_is_not_gone(sandbox: &Sandbox) {
    enable();
    let server = sandbox.state_dir().join("server");
    fs::create_dir(&server).expect("make a directory");
    let [source, other] = [server.join("a.toml"), sandbox.state_dir().join("b.toml")];
    for path in [&source, &other] {
        let entry = "[[reservation]]\nports = \"20000/tcp\"\nusers = [\"65534\"]\n";
        let entry = match path == &source {
            true => entry.to_owned(),
            false => entry.replace("65534", "root"),
        };
        fs::write(path, format!("version = 1\n{entry}")).expect("write");
    }
    done(portkeep(["apply"]).arg(&source));
    let before = listed();
    let away = sandbox.state_dir().join("away");
    fs::rename(&server, &away).expect("rename");
    // Each look at what is below it fails, with ELOOP here.
    symlink(&server, &server).expect("link");
    let said = outcome(portkeep(["apply"]).arg(&other));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("overlaps"), "{said:?}");
    assert_eq!(listed(), before);
    fs::remove_file(&server).expect("remove");
    done(portkeep(["apply"]).arg(&other));
    assert_eq!(listed(), ["20000-20000/tcp persistent consumers root"]);
    assert_agreed();
}

/// By whatever name it was applied.
pub fn a_directory_that_is_gone(sandbox: &Sandbox) {
    let real = sandbox.state_dir().join("real");
    fs::create_dir(&real).expect("make a directory");
    let link = sandbox.state_dir().join("linked");
    symlink(&real, &link).expect("link");
    let run = |words: &[&str]| {
        let mut command = portkeep(words);
        done(command.env("PORTKEEP_STATE_DIR", &link))
    };
    let declared = real.join("reservations.d");
    fs::create_dir(&declared).expect("make a directory");
    let entry = "version = 1\n[[reservation]]\nports = \"20000/tcp\"\n";
    fs::write(declared.join("a.toml"), entry).expect("write");
    run(&["enable"]);
    assert_eq!(listed().len(), 1);
    fs::remove_dir_all(&declared).expect("remove");
    let said = run(&["apply"]);
    assert!(said.ends_with("0 declared entries: 1 removed\n"), "{said}");
    assert_eq!(listed(), [] as [&str; 0]);
    assert_free(Protocol::Tcp, 20_000..=20_000);
}

/// Of the system, and of another user: nothing of any file is applied.
pub fn files_that_cannot_be_read(sandbox: &Sandbox) {
    enable();
    let good = declare(sandbox, "a.toml", &["reserve 20000/tcp root"]);
    // A regular file whose first byte cannot be read.
    let said = outcome(portkeep(["apply"]).arg(&good).arg("/proc/self/mem"));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("/mem"), "{said:?}");
    assert!(said.stderr.contains("Input/output error"), "{said:?}");
    assert_eq!(listed(), [] as [&str; 0]);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&good, mode).expect("chmod");
    let said = outcome(portkeep_as_user(["apply", "--check"]).arg(&good));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("Permission denied"), "{said:?}");
    assert!(
        said.stderr.ends_with("Hint: run this as root\n"),
        "{said:?}"
    );
    // A file of a size that nobody means.
    let file = fs::File::create(directory(sandbox).join("b.toml")).expect("make a file");
    file.set_len(1 << 30).expect("make it long");
    assert!(refuse().contains("b.toml"));
    assert_eq!(listed(), [] as [&str; 0]);
}

/// What is asked for is done, and the exit status says it, whether or not anybody reads.
pub fn readers_that_leave(sandbox: &Sandbox) {
    let shell = |script: &str| {
        let output = Command::new("sh")
            .args(["-c", script, PORTKEEP])
            .stdin(Stdio::null())
            .output()
            .expect("start a shell");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let unread = |command: &str| {
        // The reader has gone before the command starts.
        shell(&format!("{{ sleep 0.1; {command}; echo $? >&2; }} | true"))
    };
    let entries = entries(500, "root");
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    declare(sandbox, "a.toml", &entries);
    // All of it is restored and applied.
    assert_eq!(unread("\"$0\" enable"), "0\n");
    assert_eq!(listed().len(), 500);
    declare(sandbox, "a.toml", &entries[..400]);
    assert_eq!(unread("\"$0\" apply --check"), "3\n");
    assert_eq!(unread("\"$0\" apply"), "0\n");
    assert_eq!(listed().len(), 400);
    assert_eq!(unread("\"$0\" apply --check --json"), "0\n");
    // A full disk is an error, of printing alone.
    declare(sandbox, "a.toml", &entries[..300]);
    let said = shell("\"$0\" apply >/dev/full; echo $? >&2");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.contains("applied all the same"), "{said}");
    assert!(said.ends_with("\n1\n"), "{said}");
    assert_eq!(listed().len(), 300);
    declare(sandbox, "a.toml", &entries[..200]);
    let said = shell("\"$0\" enable >/dev/full; echo $? >&2");
    assert!(said.ends_with("\n1\n"), "{said}");
    assert_eq!(listed().len(), 200);
    // Nor does a closed one keep it from anything.
    declare(sandbox, "a.toml", &entries[..100]);
    assert_eq!(shell("\"$0\" apply >&-; echo $? >&2"), "0\n");
    assert_eq!(listed().len(), 100);
    fs::write(directory(sandbox).join("b.toml"), "nonsense").expect("write");
    let said = unread("\"$0\" doctor");
    assert_eq!(said, "1\n");
    assert_agreed();
    fs::remove_file(directory(sandbox).join("b.toml")).expect("remove");
    assert_eq!(unread("\"$0\" disable"), "0\n");
    assert_eq!(crate::common::persistent::protected(), "");
}
