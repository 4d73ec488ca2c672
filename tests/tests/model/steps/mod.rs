//! What is done with sockets: the call, the model's judgement, and what it takes note of.

mod acquiring;
mod aim;
mod binding;
mod excluding;
mod persistent;

pub(crate) use self::excluding::include_all;
use crate::call::{Answer, Call};
use crate::model::Ask;
use crate::operation::{Token, What};
use crate::world::{At, World, pick};

impl World<'_> {
    pub(crate) fn act(&mut self, at: At, what: &What) -> Result<(), String> {
        let At { who, slot, socket } = at;
        match *what {
            What::Dup => {
                let to = self.number();
                self.tell(format_args!("{who} duplicates {socket}"));
                self.call(who, &Call::Dup { slot, to })?;
                self.add_slot(At { slot: to, ..at });
                Ok(())
            }
            What::Close => {
                self.tell(format_args!("{who} closes {socket}"));
                self.call(who, &Call::Close { slot })?;
                let peers = self.model.close(who, slot);
                self.await_resets(peers)
            }
            What::Give { to } => {
                let Some(other) = pick(self.model.processes.keys(), to) else {
                    return Ok(());
                };
                self.tell(format_args!("{who} gives {socket} to {other}"));
                let (_, fd) = self.exchange(who, &Call::Show { slot }, None)?;
                let slot = self.number();
                self.exchange(other, &Call::Keep { slot }, fd)?;
                self.add_slot(At {
                    who: other,
                    slot,
                    socket,
                });
                Ok(())
            }
            What::Acquire {
                start,
                count,
                flags,
                align,
            } => self.acquire(at, start, count, flags, align),
            What::Associate { token } => self.associate(at, self.token(token)),
            What::Release { token } => self.release(at, self.token(token)),
            What::Claim { token } => self.claim(at, self.token(token)),
            What::Bind { loopback, port } => self.bind(at, loopback, port),
            What::Listen => self.listen(at),
            What::Connect { to } => self.connect(at, to),
            What::Disconnect => self.disconnect(at),
            What::BindAddress { loopback } => self.bind_address(at, loopback),
            What::Create {
                start,
                count,
                adopt,
                ref consumers,
            } => self.create(at, start, count, adopt, consumers),
            What::Delete { range, part } => self.delete(at, range, part),
            What::LookUp { range } => self.look_up(at, range),
            What::Start(_)
            | What::Fork
            | What::Exit
            | What::Kill
            | What::Socket { .. }
            | What::Exclude(_)
            | What::Include(_)
            | What::EnableAgain => unreachable!("not done with a socket"),
        }
    }

    pub(crate) fn add_slot(&mut self, At { who, slot, socket }: At) {
        let process = self.model.processes.get_mut(&who).expect("a process");
        process.slots.push((slot, socket));
    }

    /// Mostly one that leads to a reservation; sometimes one that did, or none.
    fn token(&self, token: Token) -> u64 {
        let number = match token {
            Token::This(token) => return token,
            Token::Number(number) => number,
        };
        let live: Vec<_> = self
            .model
            .reservations
            .iter()
            .filter_map(|it| it.token)
            .collect();
        match number {
            0..200 => pick(&live, number),
            200..240 => pick(&self.model.tokens, number),
            _ => Some(u64::from(number - 240)),
        }
        .unwrap_or(0)
    }

    /// Makes a call, tells of it, and lets the model judge. True if it was granted.
    fn judged(&mut self, at: At, call: &Call, ask: &Ask) -> Result<(bool, Answer), String> {
        let answer = self.call(at.who, call)?;
        let name = format!("{call:?}");
        let name = name.split(' ').next().unwrap_or_default().to_owned();
        *self.tally.entry((name, answer.errno)).or_default() += 1;
        self.tell(format_args!(
            "{} on {}: {call:?} = {}, {:?}, port {}, {:?}",
            at.who,
            at.socket,
            if answer.errno == 0 {
                "done".into()
            } else {
                portkeep_tests::errno_name(answer.errno)
            },
            answer.instance,
            answer.port,
            answer.conflict,
        ));
        let conflict = &mut self.model.socket_mut(at.socket).conflict;
        let granted = ask.judge(answer.errno, conflict, answer.conflict)?;
        Ok((granted, answer))
    }
}
