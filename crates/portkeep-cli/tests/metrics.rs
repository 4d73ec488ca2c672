//! `portkeep metrics`: figures for Prometheus.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use portkeep_tests::{Protocol, Sandbox, assert_errno, enable, proc, raw, sock, trials};

use common::kernel_part::acquire;
use common::{done, misused, outcome, portkeep, portkeep_as_user};

trials! {
    root:
        the_figures_are_those_of_the_kernel_part,
        prometheus_reads_them,
        refusals_are_counted_by_call_and_protocol,
        drift_is_counted,
        an_ordinary_user_gets_what_they_may_see,
        a_reader_of_the_file_never_finds_half_of_it,
        a_file_that_cannot_be_written_is_left_alone,
        without_the_kernel_part;
    plain:
        the_example_alerts_are_valid,
        wrong_usage;
}

/// The value of a sample.
#[track_caller]
fn value(metrics: &str, sample: &str) -> u64 {
    let line = metrics.lines().find_map(|line| {
        line.strip_prefix(sample)
            .and_then(|rest| rest.strip_prefix(' '))
    });
    let value = line.unwrap_or_else(|| panic!("no {sample}: {metrics}"));
    value.parse().expect("a number")
}

/// An empty directory.
fn directory(sandbox: &Sandbox) -> PathBuf {
    let directory = sandbox.state_dir().join("figures");
    fs::create_dir_all(&directory).expect("make a directory");
    directory
}

fn metrics() -> String {
    done(&mut portkeep(["metrics"]))
}

fn the_figures_are_those_of_the_kernel_part(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20009);
    done(&mut portkeep([
        "reserve",
        "20010-20011/udp",
        "--user",
        "4242",
    ]));
    done(&mut portkeep(["exclude", "20020/tcp"]));
    let code = proc::in_netns(|| {
        let _held = acquire(Protocol::Tcp, 20000..=20000);
        let text = metrics();
        assert_eq!(
            value(
                &text,
                "portkeep_reserved_ports{kind=\"runtime\",protocol=\"tcp\"}"
            ),
            11
        );
        0
    });
    assert_eq!(code, 0);
    let text = metrics();
    for (sample, expected) in [
        ("portkeep_enabled", 1),
        (
            "portkeep_reservations{kind=\"runtime\",protocol=\"tcp\"}",
            1,
        ),
        (
            "portkeep_reservations{kind=\"persistent\",protocol=\"udp\"}",
            1,
        ),
        (
            "portkeep_reservations{kind=\"exclusion\",protocol=\"tcp\"}",
            1,
        ),
        (
            "portkeep_reservations{kind=\"runtime\",protocol=\"udp\"}",
            0,
        ),
        (
            "portkeep_reserved_ports{kind=\"runtime\",protocol=\"tcp\"}",
            10,
        ),
        (
            "portkeep_reserved_ports{kind=\"persistent\",protocol=\"udp\"}",
            2,
        ),
        ("portkeep_user_ports{user=\"root\"}", 10),
        ("portkeep_quota_ports", 4096),
        ("portkeep_abi_version", 1),
        ("portkeep_store_readable", 1),
        ("portkeep_watchers", 0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
    assert!(value(&text, "portkeep_kernel_memory_bytes{map=\"reservations\"}") > 100_000);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    let enabled = value(&text, "portkeep_enabled_timestamp_seconds");
    assert!((now.as_secs() - 3600..=now.as_secs() + 1).contains(&enabled));
}

/// Its own parser of the format, which wants times.
fn prometheus_reads_them(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20009);
    let text = metrics();
    assert!(text.ends_with("\n# EOF\n"));
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    let with_times: Vec<_> = text
        .lines()
        .map(|line| match line.starts_with('#') {
            true => line.to_owned(),
            false => format!("{line} 1700000000"),
        })
        .collect();
    let directory = directory(sandbox);
    let file = directory.join("metrics");
    fs::write(&file, with_times.join("\n") + "\n").expect("write");
    let text = done(
        Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .arg(&file)
            .arg(directory.join("blocks")),
    );
    let columns = text.lines().last().expect("a line").split_whitespace();
    let numbers: Vec<_> = columns.filter_map(|it| it.parse::<usize>().ok()).collect();
    assert!(numbers.contains(&samples), "{samples}: {text}");
    // The node exporter's parser is that of the older format; to it a counter has another name.
    let script = "promtool check metrics < \"$0\"";
    fs::write(&file, metrics()).expect("write");
    let old = outcome(Command::new("sh").args(["-c", script]).arg(&file));
    assert_eq!(old.stderr, "portkeep_refusals_total no help text\n");
}

fn refusals_are_counted_by_call_and_protocol(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _tcp = acquire(Protocol::Tcp, 20000..=20000);
    let _udp = acquire(Protocol::Udp, 20000..=20000);
    for _ in 0..3 {
        assert_errno!(sock::bind_any(sock::tcp4(), 20000), EADDRINUSE);
    }
    assert_errno!(sock::bind_any(sock::udp6(), 20000), EADDRINUSE);
    assert_errno!(raw::acquire4(sock::udp4(), 20000, 1), EADDRINUSE);
    // A mistake is no refusal, nor is what the kernel itself refuses.
    assert_errno!(raw::acquire4(sock::udp4(), 20000, 0), EINVAL);
    let listener = sock::tcp4();
    assert_eq!(sock::bind_any(&listener, 20001), Ok(()));
    assert_errno!(sock::bind_any(sock::tcp4(), 20001), EADDRINUSE);
    let counts = || {
        let text = metrics();
        [
            ("bind", "tcp"),
            ("bind", "udp"),
            ("acquire", "tcp"),
            ("acquire", "udp"),
        ]
        .map(|(call, protocol)| {
            let sample =
                format!("portkeep_refusals_total{{call=\"{call}\",protocol=\"{protocol}\"}}");
            value(&text, &sample)
        })
    };
    assert_eq!(counts(), [3, 1, 0, 1]);
    // An upgrade keeps them.
    enable::enable(sandbox);
    assert_eq!(counts(), [3, 1, 0, 1]);
}

fn drift_is_counted(sandbox: &Sandbox) {
    enable::enable(sandbox);
    common::kernel_part::set_ipv4("ip_local_port_range", "20000 29999");
    done(&mut portkeep(["reserve", "20010/udp", "--user", "4242"]));
    let drift = |name: &str| {
        value(
            &metrics(),
            &format!("portkeep_differences{{difference=\"{name}\"}}"),
        )
    };
    assert_eq!((drift("unprotected"), drift("missing")), (0, 0));
    common::kernel_part::set_ipv4("ip_local_reserved_ports", "\n");
    assert_eq!((drift("unprotected"), drift("missing")), (1, 0));
    assert_eq!(raw::delete(sock::udp4(), 20010, 1, 0), Ok(()));
    assert!(drift("missing") + drift("unrecorded") >= 1);
}

fn an_ordinary_user_gets_what_they_may_see(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let _held = acquire(Protocol::Tcp, 20000..=20009);
    let text = done(&mut portkeep_as_user(["metrics"]));
    assert_eq!(value(&text, "portkeep_enabled"), 1);
    assert_eq!(value(&text, "portkeep_user_ports{user=\"root\"}"), 10);
    assert!(!text.contains("portkeep_refusals"), "{text}");
}

fn a_reader_of_the_file_never_finds_half_of_it(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let directory = directory(sandbox);
    let file = directory.join("portkeep.prom");
    let write = || done(portkeep(["metrics", "--textfile"]).arg(&file));
    // A leftover of a crash, and a link that somebody has put there.
    let victim = directory.join("victim");
    fs::write(&victim, "untouched").expect("write");
    std::os::unix::fs::symlink(&victim, file.with_file_name("portkeep.prom.new")).expect("link");
    assert_eq!(write(), "");
    assert_eq!(fs::read_to_string(&victim).expect("read"), "untouched");
    let mode = fs::metadata(&file).expect("stat").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !is_over.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&file).expect("always there");
                assert!(text.starts_with("# TYPE ") && text.ends_with("# EOF\n"));
                reads += 1;
            }
            reads
        });
        for _ in 0..20 {
            write();
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(reader.join().expect("no half file") > 0);
    });
    let names = fs::read_dir(&directory).expect("list").count();
    assert_eq!(names, 2, "the file and the victim");
}

fn a_file_that_cannot_be_written_is_left_alone(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let directory = directory(sandbox);
    let missing = directory.join("no/such");
    let outcome = outcome(portkeep(["metrics", "--textfile"]).arg(missing));
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.starts_with("portkeep: cannot write "),
        "{outcome:?}"
    );
    // A directory in the place of the file.
    let failed = common::outcome(portkeep(["metrics", "--textfile"]).arg(&directory));
    assert_eq!(failed.code, Some(1));
    assert_eq!(fs::read_dir(&directory).expect("list").count(), 0);
    let new = directory.with_extension("new");
    assert!(!new.exists());
    // A disk that is full: the figures before stay, whole, and nothing half is left.
    let flags = nix::mount::MsFlags::empty();
    let small = Some("size=32k,mode=0755");
    nix::mount::mount(Some("tmpfs"), &directory, Some("tmpfs"), flags, small).expect("mount");
    let file = directory.join("portkeep.prom");
    let write = || common::outcome(portkeep(["metrics", "--textfile"]).arg(&file));
    assert_eq!(write().code, Some(0));
    let before = fs::read_to_string(&file).expect("read");
    let _held = acquire(Protocol::Tcp, 20000..=20009);
    let filler = directory.join("filler");
    let full = fs::write(&filler, vec![1; 64 << 10]).expect_err("a full disk");
    assert_eq!(full.raw_os_error(), Some(portkeep_tests::libc::ENOSPC));
    let failed = write();
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stderr.contains("No space left on device"),
        "{failed:?}"
    );
    assert_eq!(fs::read_to_string(&file).expect("read"), before);
    assert_eq!(fs::read_dir(&directory).expect("list").count(), 2);
    fs::remove_file(filler).expect("remove");
    assert_eq!(write().code, Some(0));
    assert_ne!(fs::read_to_string(&file).expect("read"), before);
    // Somebody else's directory, and a file system that is mounted read-only.
    let mut user = portkeep_as_user(["metrics", "--textfile"]);
    let failed = common::outcome(user.arg(&file));
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("Permission denied"), "{failed:?}");
    let flags = nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_RDONLY;
    let nothing = None::<&str>;
    nix::mount::mount(nothing, &directory, nothing, flags, nothing).expect("remount");
    let failed = write();
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("Read-only"), "{failed:?}");
    assert_eq!(fs::read_dir(&directory).expect("list").count(), 1);
    nix::mount::umount(&directory).expect("unmount");
}

fn without_the_kernel_part(_: &Sandbox) {
    portkeep_tests::without_portkeep();
    let text = metrics();
    assert_eq!(value(&text, "portkeep_enabled"), 0);
    assert_eq!(value(&text, "portkeep_store_readable"), 1);
    assert!(text.ends_with("\n# EOF\n"));
}

fn the_example_alerts_are_valid() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/prometheus-alerts.yml");
    let text = done(Command::new("promtool").args(["check", "rules"]).arg(&file));
    assert!(text.contains("SUCCESS: 6 rules found"), "{text}");
}

fn wrong_usage() {
    misused(&["metrics", "--textfile"]);
    misused(&["metrics", "x"]);
}
