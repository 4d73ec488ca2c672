//! Memory of a process that nobody can read without waiting for it.

use std::fs::{self, File};
use std::process::Command;

use portkeep_tests::{Sandbox, skip};

use crate::common::python::python;
use crate::common::{Running, done, outcome, portkeep};

/// Mounts a file that answers everything but a read, maps it over the second page of its arguments, and
/// holds a port.
const PROGRAM: &str = r#"
import ctypes, mmap, struct
libc = ctypes.CDLL(None, use_errno=True)
device, target = os.open("/dev/fuse", os.O_RDWR), sys.argv[1]
options = f"fd={device},rootmode=100444,user_id=0,group_id=0"
assert libc.mount(b"x", target.encode(), b"fuse", 0, options.encode()) == 0, ctypes.get_errno()

def serve():
    while True:
        request = os.read(device, 1 << 17)
        _, kind, unique = struct.unpack("IIQ", request[:16])
        error, answer = 0, b""
        if kind == 26:    # INIT
            answer = struct.pack("IIIIHHIIHHI", 7, 31, 0, 0, 8, 8, 4096, 1, 0, 0, 0).ljust(64, b"\0")
        elif kind == 3:   # GETATTR
            attributes = struct.pack("6Q", 1, 8192, 16, 0, 0, 0) + struct.pack(
                "10I", 0, 0, 0, 0o100444, 1, 0, 0, 0, 4096, 0)
            answer = struct.pack("QII", 3600, 0, 0) + attributes
        elif kind == 14:  # OPEN
            answer = struct.pack("QII", 1, 0, 0)
        elif kind == 15:  # READ
            continue
        elif kind not in (25, 18):
            error = -errno.ENOSYS
        os.write(device, struct.pack("IiQ", 16 + len(answer), error, unique) + answer)

if os.fork() == 0:
    serve()
file = os.open(target, os.O_RDONLY)
start = int(open("/proc/self/stat").read().rpartition(")")[2].split()[45])
page = (start + 4095) & ~4095
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
mapped = libc.mmap(page, 4096, 1, 0x12, file, 0)  # PROT_READ, MAP_PRIVATE | MAP_FIXED
assert mapped == page
held = bind("tcp", 7600)
print("mapped", flush=True)
sys.stdin.read()
"#;

pub fn of_a_process_is_not_waited_for(sandbox: &Sandbox) {
    if File::options().write(true).open("/dev/fuse").is_err() {
        skip("there is no /dev/fuse");
    }
    let target = sandbox.state_dir().join("never");
    fs::write(&target, "").expect("make a file");
    done(&mut portkeep(["enable"]));
    let [interpreter, words @ ..] = python(PROGRAM);
    let mut command = Command::new(interpreter);
    command.args(words).arg(&target).arg("x".repeat(16 * 4096));
    let mut process = Running::start(command);
    assert_eq!(process.line(), "mapped");
    let name = format!("process {} (", process.pid());
    // The list of those in the way has their command lines.
    let reserve = outcome(&mut portkeep(["reserve", "7600/tcp"]));
    assert_eq!(reserve.code, Some(1), "{reserve:?}");
    assert!(reserve.stderr.contains(&name), "{reserve:?}");
    let why = done(&mut portkeep(["why", "7600/tcp"]));
    assert!(why.contains(&name), "{why}");
}
