//! Blocks that become others in place: a port that the old and the new one have is reserved at every
//! instant.

use portkeep::{Consumer, PortRange};

use crate::error::{Error, ErrorKind};
use crate::store::document::Record;
use crate::store::kernel::{Live, same_consumers};
use crate::store::session::Session;

impl Session<'_> {
    /// Makes one block of a record's ports, all of which persistent blocks have already: cuts off
    /// what goes beyond them, gives each part the consumers, and joins the parts.
    pub fn reshape(
        &self,
        live: &mut Live,
        record: &Record,
        consumers: &[Consumer],
    ) -> Result<(), Error> {
        let (ports, scope) = (record.ports, &record.netns);
        let cookie = self.kernel.cookie(scope);
        let failed = |error| explained(error, ports, "become one block");
        for at in [Some(ports.start()), ports.end().checked_add(1)] {
            let Some(at) = at else { continue };
            let parts = live.persistent_parts(cookie, ports);
            let cut = parts
                .iter()
                .map(|entry| entry.range)
                .find(|range| range.start() < at && at <= range.end());
            if let Some((before, after)) = cut.and_then(|whole| cut_before(whole, at)) {
                self.kernel.split(after, scope).map_err(failed)?;
                let whole = joined(before, after);
                live.replace(cookie, &[whole], &[before, after]);
            }
        }
        let parts = live.persistent_parts(cookie, ports);
        for part in &parts {
            if !same_consumers(&part.named, consumers) {
                let part = Record {
                    ports: part.range,
                    ..record.clone()
                };
                self.set_consumers(&part, consumers)?;
                live.set_consumers(cookie, part.ports, consumers);
            }
        }
        let mut parts = parts.into_iter().map(|part| part.range);
        let Some(mut first) = parts.next() else {
            return Ok(());
        };
        for part in parts {
            self.kernel.join(part, scope).map_err(failed)?;
            let whole = joined(first, part);
            live.replace(cookie, &[part, first], &[whole]);
            first = whole;
        }
        Ok(())
    }
}

/// Two parts of a range, of which the second one starts at a port.
fn cut_before(whole: PortRange, at: u16) -> Option<(PortRange, PortRange)> {
    let part = |start, end| PortRange::new(whole.protocol(), start, end).ok();
    part(whole.start(), at.checked_sub(1)?).zip(part(at, whole.end()))
}

fn joined(first: PortRange, last: PortRange) -> PortRange {
    PortRange::new(first.protocol(), first.start(), last.end()).unwrap_or(first)
}

/// Says what the ports cannot do.
pub fn explained(error: portkeep::Error, ports: PortRange, what: &str) -> Error {
    if error.errno() == Some(libc::EINVAL) {
        return too_old();
    }
    let error = Error::from(error);
    let message = format!("{ports} cannot {what}: {error}");
    Error::new(error.kind(), message).with_hint("its ports stay reserved; run `portkeep enable`")
}

/// The kernel part is of a Portkeep that made such blocks anew.
pub fn too_old() -> Error {
    Error::new(
        ErrorKind::ForeignVersion,
        "the kernel part is of an earlier version, which cannot change blocks in place",
    )
    .with_hint("run `portkeep enable`, which upgrades it; every reservation stays")
}
