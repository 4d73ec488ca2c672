//! The same without the kernel part: ports that sockets hold, by the library's calls.

mod model;
mod operation;
mod regressions;
mod worker;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;

use portkeep_tests::errno_name;

use self::model::{Held, Model, Process, ProcessId};
use self::operation::{Flags, What, Where};
pub(crate) use self::operation::{Operation, history};
pub(crate) use self::regressions::histories;
use self::worker::{Answer, Call, serve};
use crate::operation::{AUTOMATIC, Person};
use crate::processes::{self, Worker};
use crate::wire::Wire;
use crate::worker::set_automatic_range;
use crate::world::{Tally, pick};

/// More processes would show nothing that these do not.
const PROCESSES: usize = 5;

/// Sets up the network namespace for all histories. Held ports need no protection from automatic
/// choice.
pub(crate) fn prepare() {
    processes::adopt_orphans();
    set_automatic_range(&format!("{} {}", AUTOMATIC.0, AUTOMATIC.1), "");
}

struct World<'a> {
    model: Model,
    workers: BTreeMap<ProcessId, Worker>,
    next: u32,
    story: String,
    tally: &'a mut Tally,
}

/// Runs a history. The error tells what happened, and what was wrong in the last step.
pub(crate) fn run(tally: &mut Tally, history: &[Operation]) -> Result<(), String> {
    let mut world = World {
        model: Model::default(),
        workers: BTreeMap::new(),
        next: 1,
        story: String::new(),
        tally,
    };
    world.start(Person::Root);
    world.start(Person::Alice);
    for operation in history {
        let result = world.step(operation);
        if let Err(error) = result {
            return Err(format!("{}\n{error}", world.story));
        }
    }
    Ok(())
}

impl World<'_> {
    fn step(&mut self, operation: &Operation) -> Result<(), String> {
        if let What::Start(person) = operation.what {
            self.start(person);
            return Ok(());
        }
        let Some(who) = pick(self.model.processes.keys(), operation.who) else {
            return Ok(());
        };
        let number = operation.number;
        match operation.what {
            What::Start(_) => unreachable!("it has been started"),
            What::Fork => self.fork(who),
            What::End { killed } => self.end(who, killed),
            What::Acquire {
                tcp,
                udp,
                start,
                count,
                align,
            } => {
                let held = Held {
                    tcp,
                    udp,
                    start,
                    count,
                };
                self.acquire(who, held, align)
            }
            What::Own(place) => {
                let all = &self.model.processes[&who].reservations;
                match pick(all, number) {
                    Some(reservation) => {
                        let place = self.model.aim(reservation, place, number);
                        self.own(who, reservation, place)
                    }
                    None => Ok(()),
                }
            }
            What::Bind { place, flags } => self.bind(who, place, flags),
            What::Drop => {
                let all = self.model.processes[&who].reservations.clone();
                let Some(reservation) = pick(&all, number) else {
                    return Ok(());
                };
                self.call(who, &Call::Drop { of: reservation })?;
                self.model.drop_reservation(who, reservation);
                Ok(())
            }
            What::Close => {
                let all = self.model.processes[&who].sockets.clone();
                let Some(socket) = pick(&all, number) else {
                    return Ok(());
                };
                self.call(who, &Call::Close { socket })?;
                self.model.close(who, socket);
                Ok(())
            }
        }
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.story, "{what}");
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    fn call(&mut self, who: ProcessId, call: &Call) -> Result<Answer, String> {
        self.call_with(who, call, None)
    }

    fn call_with(
        &mut self,
        who: ProcessId,
        call: &Call,
        fd: Option<OwnedFd>,
    ) -> Result<Answer, String> {
        let wire = &self.workers[&who].wire;
        wire.send(call, fd)?;
        let (answer, _): (Answer, _) = wire.receive()?;
        let name = format!("{call:?}");
        let name = name.split(' ').next().unwrap_or_default().to_owned();
        *self.tally.entry((name, answer.errno)).or_default() += 1;
        let came_to = match answer.errno {
            0 => "done".into(),
            errno => errno_name(errno),
        };
        self.tell(format_args!("{who}: {call:?} = {came_to}, {answer:?}"));
        Ok(answer)
    }

    fn start(&mut self, person: Person) {
        if self.workers.len() >= PROCESSES {
            return;
        }
        let id = self.number();
        self.tell(format_args!("{id} starts as {person:?}"));
        let nothing = || unreachable!("nobody has a network namespace of his own");
        self.workers
            .insert(id, Worker::start(person, nothing, serve));
        self.model.processes.insert(id, Process::new(person));
    }

    fn fork(&mut self, who: ProcessId) -> Result<(), String> {
        if self.workers.len() >= PROCESSES {
            return Ok(());
        }
        let (ours, theirs) = Wire::pair();
        let answer = self.call_with(who, &Call::Fork, Some(theirs.into_fd()))?;
        let id = self.number();
        self.tell(format_args!("{id} is the child"));
        self.workers.insert(id, Worker::new(ours, answer.pid));
        let child = self.model.processes[&who].clone();
        self.model.processes.insert(id, child);
        Ok(())
    }

    fn end(&mut self, who: ProcessId, killed: bool) -> Result<(), String> {
        self.tell(format_args!("{who} ends, killed: {killed}"));
        let worker = self.workers.remove(&who).expect("a worker");
        if killed {
            worker.kill();
        } else {
            worker.wire.send(&Call::Exit, None::<OwnedFd>)?;
        }
        worker.await_end();
        self.model.end(who);
        Ok(())
    }

    fn acquire(&mut self, who: ProcessId, wanted: Held, align: u16) -> Result<(), String> {
        let ask = self.model.ask_acquire(who, wanted, align);
        let id = self.number();
        let call = Call::Acquire {
            to: id,
            tcp: wanted.tcp,
            udp: wanted.udp,
            start: wanted.start,
            count: wanted.count,
            align,
        };
        let answer = self.call(who, &call)?;
        if ask.judge(answer.errno, &answer)? {
            let given = Held {
                start: answer.start,
                count: answer.count,
                ..wanted
            };
            self.model.acquire(who, id, wanted, align, given)?;
        }
        Ok(())
    }

    /// By the reservation's own call: a listener or a UDP socket.
    fn own(&mut self, who: ProcessId, reservation: u32, place: Where) -> Result<(), String> {
        let (ask, ports) = self.model.ask_own(reservation, place);
        let id = self.number();
        let call = Call::Own {
            of: reservation,
            to: id,
            place,
        };
        let answer = self.call(who, &call)?;
        if ask.judge(answer.errno, &answer)? {
            self.model.bind(who, id, place, &ports, answer.port)?;
        }
        Ok(())
    }

    /// By bind(2), as everybody else.
    fn bind(&mut self, who: ProcessId, place: Where, flags: Flags) -> Result<(), String> {
        let (ask, ports) = self.model.ask_bind(who, place);
        let id = self.number();
        // Elsewhere it is the kernel's business who shares a port.
        let flags = match self.model.is_held(place.udp, place.port) {
            true => flags,
            false => Flags::default(),
        };
        let call = Call::Bind {
            to: id,
            place,
            flags,
        };
        let answer = self.call(who, &call)?;
        if ask.judge(answer.errno, &answer)? {
            self.model.bind(who, id, place, &ports, answer.port)?;
        }
        Ok(())
    }
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
    }
}
