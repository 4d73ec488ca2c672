//! A history on the real kernel, beside the model.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;

use portkeep_tests::{Protocol, Sandbox, enable, raw, reservations, sock};

use crate::call::{Answer, Call, Slot};
use crate::model::{Model, Process, ProcessId, Socket, SocketId, State};
use crate::operation::{AUTOMATIC, KEPT, Operation, Person, What};
use crate::processes::{self, Worker};
use crate::steps::include_all;
use crate::wire::Wire;
use crate::worker::{serve, set_automatic_range};

/// Reservations of namespaces that have gone, at which the kernel part is installed anew: they are only
/// swept when a table is full, and all are read after every call.
const LEFT_OVER: usize = 100;

/// More processes would show nothing that these do not.
const PROCESSES: usize = 6;

#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) model: Model,
    workers: BTreeMap<ProcessId, Worker>,
    /// The cookies of the network namespaces of the model.
    pub(crate) netns: Vec<u64>,
    next: u32,
    /// What has happened, to be shown when it goes wrong.
    story: String,
    pub(crate) tally: &'a mut Tally,
}

/// How often each call came to what.
pub(crate) type Tally = BTreeMap<(String, i32), u32>;

/// Sets up the trial's own network namespace for all histories.
pub(crate) fn prepare() {
    processes::adopt_orphans();
    set_ports();
}

fn set_ports() {
    let range = |(start, end): (u16, u16)| format!("{start} {end}");
    set_automatic_range(&range(AUTOMATIC), &range(KEPT).replace(' ', "-"));
}

/// Runs a history. The error tells what happened, and what was wrong in the last step.
pub(crate) fn run(
    sandbox: &Sandbox,
    tally: &mut Tally,
    history: &[Operation],
) -> Result<(), String> {
    if reservations::list(sandbox).len() > LEFT_OVER {
        let installation = enable::installation(sandbox);
        portkeep_admin::remove(&installation).expect("remove the kernel part");
        enable::enable_with(&crate::options(sandbox));
    }
    let mut world = World {
        sandbox,
        model: Model::default(),
        workers: BTreeMap::new(),
        netns: vec![sock::netns_cookie(sock::udp4())],
        next: 1,
        story: String::new(),
        tally,
    };
    world.start(Person::Root)?;
    world.start(Person::Alice)?;
    for operation in history {
        let result = world
            .step(operation)
            .and_then(|()| world.compare_with_listing());
        if let Err(error) = result {
            return Err(format!("{}\n{error}", world.story));
        }
    }
    Ok(())
}

impl World<'_> {
    fn step(&mut self, operation: &Operation) -> Result<(), String> {
        match operation.what {
            What::EnableAgain => {
                self.tell(format_args!("enable again"));
                let installed = enable::enable_with(&crate::options(self.sandbox));
                assert!(installed.upgraded);
                return Ok(());
            }
            What::Start(person) => return self.start(person),
            What::Exclude(exclude) => return self.exclude(exclude),
            What::Include(exclude) => return self.include(exclude),
            _ => {}
        }
        let Some(who) = pick(self.model.processes.keys(), operation.who) else {
            return Ok(());
        };
        match &operation.what {
            What::Fork => self.fork(who),
            What::Exit => self.end(who, false),
            What::Kill => self.end(who, true),
            What::Socket { udp, v6 } => self.make_socket(who, *udp, *v6),
            what => {
                if self.model.process(who).slots.is_empty() {
                    let (udp, v6) = (operation.socket & 1 != 0, operation.socket & 2 != 0);
                    self.make_socket(who, udp, v6)?;
                }
                match operation.aimed {
                    true => {
                        let (at, what) = self.aim(who, operation);
                        self.act(at, &what)
                    }
                    false => self.act(self.at(who, operation.socket), what),
                }
            }
        }
    }

    /// One of the descriptors of a process, which has some.
    pub(crate) fn at(&self, who: ProcessId, number: u8) -> At {
        let (slot, socket) = pick(&self.model.process(who).slots, number).expect("a descriptor");
        At { who, slot, socket }
    }

    pub(crate) fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.story, "{what}");
    }

    pub(crate) fn number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn call(&self, who: ProcessId, call: &Call) -> Result<Answer, String> {
        self.exchange(who, call, None).map(|(answer, _)| answer)
    }

    pub(crate) fn exchange(
        &self,
        who: ProcessId,
        call: &Call,
        fd: Option<OwnedFd>,
    ) -> Result<(Answer, Option<OwnedFd>), String> {
        let wire = &self.workers[&who].wire;
        wire.send(call, fd)?;
        let (answer, fd): (Answer, _) = wire.receive()?;
        Ok((answer, fd))
    }

    /// What can be asked about a socket at any time is as the model has it.
    pub(crate) fn check_socket(&self, at: At, answer: &Answer) -> Result<(), String> {
        let socket = self.model.socket(at.socket);
        let netns = self.netns[socket.netns];
        if answer.associated != socket.associated {
            return Err(format!("it is associated with {}", answer.associated));
        }
        if answer.conflict != Some(socket.conflict) {
            return Err(format!(
                "the conflict is {:?}, not {:?}",
                answer.conflict, socket.conflict
            ));
        }
        if answer.netns != netns {
            return Err(format!("its namespace is {}, not {netns}", answer.netns));
        }
        // Of one that was reset getsockname(2) tells the port that it had.
        let may_tell_another = socket.state == State::Done || socket.had_port;
        if !may_tell_another && answer.port != socket.port() {
            return Err(format!(
                "it is bound to {}, not {}",
                answer.port,
                socket.port()
            ));
        }
        Ok(())
    }

    /* ---- processes ---- */

    fn start(&mut self, person: Person) -> Result<(), String> {
        if self.workers.len() >= PROCESSES {
            return Ok(());
        }
        let (id, slot) = (self.number(), self.number());
        let worker = Worker::start(person, set_ports, serve);
        let pid = worker.pid;
        self.workers.insert(id, worker);
        let answer = self.call(
            id,
            &Call::Socket {
                slot,
                udp: true,
                v6: false,
            },
        )?;
        self.call(id, &Call::Close { slot })?;
        let netns = match self.netns.iter().position(|it| *it == answer.netns) {
            Some(netns) => netns,
            None => {
                self.netns.push(answer.netns);
                self.netns.len() - 1
            }
        };
        if (netns != 0) != (person == Person::Container) {
            return Err(format!("{person:?} is in the namespace {netns}"));
        }
        self.tell(format_args!(
            "{id} starts as {person:?} in namespace {netns}"
        ));
        let process = Process {
            pid,
            person,
            netns,
            parent: None,
            slots: Vec::new(),
        };
        self.model.processes.insert(id, process);
        Ok(())
    }

    fn fork(&mut self, who: ProcessId) -> Result<(), String> {
        if self.workers.len() >= PROCESSES {
            return Ok(());
        }
        let (ours, theirs) = Wire::pair();
        let (answer, _) = self.exchange(who, &Call::Fork, Some(theirs.into_fd()))?;
        let id = self.number();
        self.tell(format_args!("{who} forks {id}"));
        self.workers.insert(id, Worker::new(ours, answer.pid));
        let parent = self.model.process(who);
        let child = Process {
            pid: answer.pid,
            parent: Some(who),
            slots: parent.slots.clone(),
            ..*parent
        };
        self.model.processes.insert(id, child);
        Ok(())
    }

    fn end(&mut self, who: ProcessId, killed: bool) -> Result<(), String> {
        self.tell(format_args!(
            "{who} {}",
            if killed { "is killed" } else { "exits" }
        ));
        let worker = self.workers.remove(&who).expect("a worker");
        if killed {
            worker.kill();
        } else {
            worker.wire.send(&Call::Exit, None::<OwnedFd>)?;
        }
        worker.await_end();
        let peers = self.model.exit(who);
        self.await_resets(peers)
    }

    pub(crate) fn await_resets(&mut self, peers: Vec<SocketId>) -> Result<(), String> {
        for socket in peers {
            let (who, slot) = self.model.holder(socket).expect("an open socket");
            let answer = self.call(who, &Call::AwaitReset { slot })?;
            self.check_socket(At { who, slot, socket }, &answer)?;
        }
        Ok(())
    }

    fn make_socket(&mut self, who: ProcessId, udp: bool, v6: bool) -> Result<(), String> {
        let (slot, socket) = (self.number(), self.number());
        self.tell(format_args!(
            "{who} makes {socket}, {}{}",
            if udp { "udp" } else { "tcp" },
            if v6 { 6 } else { 4 }
        ));
        let answer = self.call(who, &Call::Socket { slot, udp, v6 })?;
        let process = self.model.processes.get_mut(&who).expect("a process");
        process.slots.push((slot, socket));
        let made = Socket::new(udp, v6, process.netns, process.person.uid());
        self.model.sockets.insert(socket, made);
        self.check_socket(At { who, slot, socket }, &answer)
    }
}

/// Who acts on which socket, by which of its descriptors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) who: ProcessId,
    pub(crate) slot: Slot,
    pub(crate) socket: SocketId,
}

/// The one with this number, around and around.
pub(crate) fn pick<'a, T: Copy + 'a>(
    from: impl IntoIterator<Item = &'a T, IntoIter: ExactSizeIterator>,
    number: u8,
) -> Option<T> {
    let mut from = from.into_iter();
    let index = usize::from(number).checked_rem(from.len())?;
    from.nth(index).copied()
}

impl Drop for World<'_> {
    /// Ends what the history has left, for the next one to begin with nothing.
    fn drop(&mut self) {
        for worker in self.workers.values() {
            worker.kill();
        }
        for worker in self.workers.values() {
            worker.await_end();
        }
        processes::reap();
        if self.model.kept().count() > usize::from(KEPT.1 - KEPT.0 + 1) {
            include_all(self.sandbox);
        }
        for line in reservations::list(self.sandbox) {
            if line.netns != self.netns[0] || line.lifetime != "persistent" {
                continue;
            }
            let socket = match line.protocol {
                Protocol::Tcp => sock::tcp4(),
                Protocol::Udp => sock::udp4(),
            };
            let (start, end) = line.ports.into_inner();
            let _ = raw::delete(socket, start, end - start + 1, 0);
        }
    }
}
