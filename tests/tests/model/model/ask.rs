//! What may come of a call.

use crate::call::Told;

/// A reason to refuse a call: its errno, and what `PORTKEEP_CONFLICT` then says, `None` if it says
/// what it said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    errno: i32,
    told: Option<Told>,
    /// Whether the call may be granted all the same, for something that the model cannot see.
    unsure: bool,
}

/// Every reason there is to refuse a call; it must be granted if there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask(Vec<Refusal>);

impl Ask {
    pub(crate) fn refuse(&mut self, errno: i32, told: Option<Told>) {
        self.0.push(Refusal {
            errno,
            told,
            unsure: false,
        });
    }

    pub(crate) fn perhaps_refuse(&mut self, errno: i32, told: Option<Told>) {
        self.0.push(Refusal {
            errno,
            told,
            unsure: true,
        });
    }

    pub(crate) fn is_granted(&self) -> bool {
        self.0.iter().all(|refusal| refusal.unsure)
    }

    /// Whether the call was rightly granted. If it was rightly refused, what is in the way is noted
    /// in `conflict`, for which there may be a choice.
    pub(crate) fn judge(
        &self,
        errno: i32,
        conflict: &mut Told,
        now: Option<Told>,
    ) -> Result<bool, String> {
        let now = now.unwrap_or(*conflict);
        if errno == 0 {
            if !self.is_granted() {
                return Err(format!("it was granted, against {:?}", self.0));
            }
            return Ok(true);
        }
        let wanted =
            |refusal: &&Refusal| refusal.errno == errno && refusal.told.unwrap_or(*conflict) == now;
        match self.0.iter().find(wanted) {
            Some(_) => {
                *conflict = now;
                Ok(false)
            }
            None if self.0.is_empty() => Err("it was refused without a reason".into()),
            None => Err(format!(
                "it was refused, but not for one of {:?} (before, the conflict was {conflict:?})",
                self.0
            )),
        }
    }
}

impl Told {
    pub(crate) fn new(kind: u8, udp: bool, port: u16) -> Told {
        Told {
            kind,
            udp,
            port,
            ..Told::default()
        }
    }
}
