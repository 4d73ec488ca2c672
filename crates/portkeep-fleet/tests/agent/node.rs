//! A node, its agent, and a coordinator as simple as can be.

use std::future::Future;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portkeep::PortRange;
use portkeep_admin::Keeper;
use portkeep_fleet::agent::local::{Answer, Request};
use portkeep_fleet::engine::Engine;
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::data::{
    FORMAT, Have, Key, Members, Name, Phase, Record, Report, Unknown, Value, Want, WantState,
};
use portkeep_fleet_core::engine::{Outcome, Transaction};
use portkeep_tests::{Sandbox, enable, sock};

use crate::common::{fleet, made};

pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub fn range(text: &str) -> PortRange {
    text.parse().expect("a range")
}

thread_local! {
    /// An engine's connection lives in the runtime that made it.
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
}

pub fn run<T>(body: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(body))
}

/// Waits for what comes sooner or later.
#[track_caller]
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(100), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The machine of the sandbox, as node `a` of a fleet.
pub struct Node<'a> {
    pub sandbox: &'a Sandbox,
    pub etcd: Etcd,
    pub engine: Engine,
    pub agent: Option<Child>,
    pub name: Name,
}

impl<'a> Node<'a> {
    /// Enabled and added; the agent does not run yet.
    pub fn new(sandbox: &'a Sandbox) -> Node<'a> {
        enable::enable(sandbox);
        let keeper = Keeper::new(enable::installation(sandbox));
        keeper.restore(None).expect("restore");
        let etcd = Etcd::with_members(1);
        made(&etcd, &["a"]);
        Node {
            engine: Engine::new(etcd.config("root")),
            sandbox,
            etcd,
            agent: None,
            name: name("a"),
        }
    }

    /// The same with its agent at work.
    pub fn started(sandbox: &'a Sandbox) -> Node<'a> {
        let mut node = Node::new(sandbox);
        node.start();
        node.wait_until_acting();
        node
    }

    pub fn keeper(&self) -> Keeper {
        Keeper::new(enable::installation(self.sandbox))
    }

    pub fn command(&self) -> Command {
        let mut command = fleet(&self.etcd, "a");
        command.arg("agent").stdin(Stdio::null());
        command
    }

    pub fn start(&mut self) {
        self.agent = Some(self.command().spawn().expect("start the agent"));
    }

    /// Starts an agent that dies at a point, if it gets there.
    pub fn start_to_die(&mut self, point: &str) {
        let mut command = self.command();
        command.env("PORTKEEP_FLEET_DIE", point);
        self.agent = Some(command.spawn().expect("start the agent"));
    }

    pub fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().expect("kill the agent");
            agent.wait().expect("wait for the agent");
        }
    }

    pub fn has_died(&mut self) -> bool {
        match &mut self.agent {
            Some(agent) => agent.try_wait().expect("look").is_some(),
            None => true,
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.sandbox.state_dir().join("run/fleet.sock")
    }

    pub fn ask(&self, request: &Request) -> Option<Answer> {
        use std::io::{Read as _, Write as _};
        let mut stream = std::os::unix::net::UnixStream::connect(self.socket()).ok()?;
        let mut text = serde_json::to_vec(request).expect("JSON");
        text.push(b'\n');
        stream.write_all(&text).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        serde_json::from_slice(&answer).ok()
    }

    pub fn status(&self) -> Option<serde_json::Value> {
        Some(self.ask(&Request::Status)?.document)
    }

    pub fn wait_until_acting(&self) {
        wait("the agent acts", || {
            self.status().filter(|status| status["acting"] == true)
        });
    }

    pub fn standing(&self, id: &str) -> Option<String> {
        let status = self.status()?;
        let mut all = status["reservations"].as_array()?.iter();
        let found = all.find(|it| it["id"] == id)?;
        Some(found["standing"].as_str()?.to_owned())
    }

    pub fn wait_standing(&self, id: &str, standing: &str) {
        wait(&format!("{id} is {standing}"), || {
            self.standing(id).filter(|found| found == standing)
        });
    }

    /// Writes whatever is there.
    pub fn put(&self, key: Key, value: Value) {
        let transaction = Transaction::default().put(key, value);
        wait("a write", || {
            let done = run(self.engine.transact(&transaction));
            matches!(done, Ok(Outcome::Done(_))).then_some(())
        });
    }

    pub fn remove(&self, keys: &[Key]) {
        let all = keys.iter().cloned();
        let transaction = all.fold(Transaction::default(), Transaction::delete);
        wait("a deletion", || {
            let done = run(self.engine.transact(&transaction));
            matches!(done, Ok(Outcome::Done(_))).then_some(())
        });
    }

    pub fn value(&self, key: &Key) -> Option<Value> {
        let reads = run(self.engine.read(std::slice::from_ref(key))).ok()?;
        reads.into_iter().next()?.found.map(|found| found.value)
    }

    pub fn have(&self, id: &str) -> Option<Have> {
        match self.value(&Key::Have(self.name.clone(), name(id)))? {
            Value::Have(have) => Some(have),
            _ => None,
        }
    }

    #[track_caller]
    pub fn wait_report(&self, id: &str, report: Report) -> Have {
        wait(&format!("{id} is reported as {report:?}"), || {
            self.have(id).filter(|have| have.report == report)
        })
    }

    pub fn policy(&self, id: &str, ports: &str, phase: Phase) {
        self.put(Key::Policy(name(id)), record(ports, phase));
    }

    pub fn grant(&self, id: &str, ports: &str, state: WantState) {
        let want = Want {
            format: FORMAT,
            state,
            ports: range(ports).into(),
            consumers: Vec::new(),
            generation: 1,
            unknown: Unknown::new(),
        };
        self.put(Key::Want(self.name.clone(), name(id)), Value::Want(want));
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn record(ports: &str, phase: Phase) -> Value {
    let record = Record::preparing(range(ports).into(), Members::Pieces(0));
    Value::Record(Box::new(record.with_phase(phase)))
}

/// What a stranger's bind says: `None` if it succeeds.
pub fn stranger(port: u16) -> Option<i32> {
    sock::bind_any(sock::tcp4(), port).err()
}

/// The same of another user, as root may bind.
pub fn stranger_as_nobody(port: u16) -> Option<i32> {
    let socket = std::thread::spawn(move || {
        // SAFETY: changes the user of this thread alone, which ends at once.
        let changed = unsafe {
            portkeep_tests::libc::syscall(portkeep_tests::libc::SYS_setresuid, 65534, 65534, 65534)
        };
        assert_eq!(changed, 0);
        stranger(port)
    });
    socket.join().expect("the thread")
}
