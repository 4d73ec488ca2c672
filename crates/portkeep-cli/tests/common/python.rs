//! Programs in Python: real ones that bind by plain bind(2), fork and execute.

/// What the programs have at hand.
const PRELUDE: &str = r#"
import errno, os, signal, socket, sys

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

def own(protocol):
    ports = os.environ.get("PORTKEEP_" + protocol.upper(), "")
    return [int(port) for port in ports.split(",") if port]

def bind(protocol, port):
    opened = socket.socket(socket.AF_INET, KINDS[protocol])
    opened.bind(("0.0.0.0", port))
    return opened

def attempt(protocol, port):
    try:
        bind(protocol, port).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "bound"

def attempts():
    return " ".join(
        f"{port}/{protocol}:{attempt(protocol, port)}"
        for protocol in KINDS for port in own(protocol))

def say(*words):
    # Unlike print, it may be called by a signal handler.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())

def wait():
    sys.stdin.readline()

def daemonise():
    """Returns in a process of a session of its own that is not the caller's child any more."""
    if (child := os.fork()):
        os.waitpid(child, 0)
        sys.exit(0)
    os.setsid()
    middle = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == middle:
        pass
"#;

/// The words of the command that runs the program.
pub fn python(program: &str) -> [String; 5] {
    let program = format!("{PRELUDE}\n{program}");
    [
        "python3".into(),
        "-I".into(),
        "-S".into(),
        "-c".into(),
        program,
    ]
}
