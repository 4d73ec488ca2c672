//! A process that asks, binds and forks as it is told.

use std::process::Command;

use crate::common::python::python;
use crate::common::{Running, portkeep, portkeep_as_user};

const PROGRAM: &str = r#"
def ask(pid=0, address=os.environ.get("PORTSERVER_ADDRESS", "")):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address.replace("@", "\0", 1))
        client.sendall(b"%d\n" % (pid or os.getpid()))
        return int(client.makefile().read() or 0)

def child(act, generations=1):
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        answer = child(act, generations - 1) if generations > 1 else act()
        os.write(writer, str(answer).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text

def orphan(act):
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        own = os.getpid()
        if os.fork() == 0:
            while os.getppid() == own:
                pass
            os.write(writer, str(act()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with open(reader) as answer:
        return answer.read()

kept = []
def keep(protocol, port):
    kept.append(bind(protocol, port))
    return "kept"

# Others, each a process of its own, that live until they are told to end.
others = {}
def other():
    reader, writer = os.pipe()
    back, answers = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(writer), os.close(back)
        for file in [file for pair in others.values() for file in pair]:
            file.close()
        with open(reader) as lines:
            for line in lines:
                os.write(answers, f"{eval(line)}\n".encode())
        os._exit(0)
    os.close(reader), os.close(answers)
    others[pid] = os.fdopen(writer, "w", buffering=1), os.fdopen(back)
    return pid

def tell(pid, line):
    to, back = others[pid]
    print(line, file=to)
    return back.readline().strip()

def end(pid):
    for file in others.pop(pid):
        file.close()
    os.waitpid(pid, 0)
    return "ended"

for line in sys.stdin:
    say(eval(line))
"#;

/// The actor as an ordinary process that knows an address.
pub fn start(address: &str) -> Running {
    let words = python(PROGRAM);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("PORTSERVER_ADDRESS", address);
    Running::start(command)
}

/// The actor as the command of a `run`.
pub fn run(options: &[&str]) -> Running {
    Running::start(portkeep(words(options)))
}

/// [`run`] by an ordinary user.
pub fn run_as_user(options: &[&str]) -> Running {
    Running::start(portkeep_as_user(words(options)))
}

pub fn words(options: &[&str]) -> Vec<String> {
    let run = ["run", "--quiet"].iter().chain(options);
    run.map(ToString::to_string)
        .chain(["--".to_owned()])
        .chain(python(PROGRAM))
        .collect()
}

/// A port that it asks for.
#[track_caller]
pub fn ask(actor: &mut Running) -> u16 {
    number(&actor.tell("ask()"))
}

#[track_caller]
pub fn number(text: &str) -> u16 {
    let port = text.parse().unwrap_or_else(|_| panic!("{text:?}"));
    assert_ne!(port, 0, "no port");
    port
}

/// What comes of its bind to a port, in words of `who`.
pub fn bind(actor: &mut Running, who: &str, port: u16) -> [String; 2] {
    ["tcp", "udp"].map(|protocol| {
        let attempt = format!("attempt('{protocol}', {port})");
        actor.tell(&who.replace("ATTEMPT", &attempt))
    })
}

pub const ITSELF: &str = "ATTEMPT";
pub const CHILD: &str = "child(lambda: ATTEMPT)";
pub const GRANDCHILD: &str = "child(lambda: ATTEMPT, 3)";
pub const ORPHAN: &str = "orphan(lambda: ATTEMPT)";
pub const BOUND: [&str; 2] = ["bound", "bound"];
pub const REFUSED: [&str; 2] = ["EADDRINUSE", "EADDRINUSE"];
