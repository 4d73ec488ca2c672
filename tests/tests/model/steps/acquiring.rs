//! Runtime reservations.

use crate::call::Call;
use crate::model::{Lifetime, Wanted};
use crate::world::{At, World};

impl World<'_> {
    pub(super) fn acquire(
        &mut self,
        at: At,
        start: u16,
        count: u16,
        flags: u32,
        align: u16,
    ) -> Result<(), String> {
        let wanted = Wanted {
            start,
            count,
            align,
            adopt: false,
        };
        let ask = self.model.ask_acquire(at.who, at.socket, wanted, flags);
        let call = Call::Acquire {
            slot: at.slot,
            start,
            count,
            flags,
            align,
        };
        let (granted, answer) = self.judged(at, &call, &ask)?;
        if granted {
            let lifetime = Lifetime::Runtime {
                acquirer: at.socket,
                owner: self.model.owner(at.who),
                flags,
            };
            self.model
                .reserve(at.who, at.socket, wanted, answer.instance, lifetime)?;
        }
        self.check_socket(at, &answer)
    }

    pub(super) fn release(&mut self, at: At, token: u64) -> Result<(), String> {
        let ask = self.model.ask_release(at.who, at.socket, token);
        let call = Call::Release {
            slot: at.slot,
            token,
        };
        let (granted, answer) = self.judged(at, &call, &ask)?;
        if granted {
            self.model.end(self.model.socket(at.socket).netns, token);
        }
        self.check_socket(at, &answer)
    }

    pub(super) fn claim(&mut self, at: At, token: u64) -> Result<(), String> {
        let ask = self.model.ask_claim(at.who, at.socket, token);
        let call = Call::Claim {
            slot: at.slot,
            token,
        };
        let (granted, answer) = self.judged(at, &call, &ask)?;
        if granted {
            self.model.claim(at.who, at.socket, token);
        }
        self.check_socket(at, &answer)
    }
}
