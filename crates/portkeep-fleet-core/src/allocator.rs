//! Chooses numbers: a block of ports that no node of a list is known to refuse.
//!
//! What is chosen is only a proposal. A node whose kernel refuses names the ports in the way, which are then
//! [taken out](Allocator::exclude), and the next block is asked for under a new ID.

use std::fmt;

use portkeep::{PortRange, Protocol};

const WORDS: usize = 65536 / 64;

/// The ports of a band, of one protocol, that may be free on all nodes of a list.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Allocator {
    band: PortRange,
    taken: Box<[u64]>,
}

/// Why there is no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoBlock {
    /// As many ports in a row as there are.
    pub largest: u16,
}

impl fmt::Display for NoBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.largest {
            0 => f.write_str("no port of the band is free on all nodes"),
            largest => write!(
                f,
                "the largest block that is free on all nodes has {largest} ports"
            ),
        }
    }
}

impl std::error::Error for NoBlock {}

impl Allocator {
    /// All ports of a band.
    pub fn new(band: PortRange) -> Allocator {
        Allocator {
            band,
            taken: vec![0; WORDS].into_boxed_slice(),
        }
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.band.protocol()
    }

    /// Takes ports out. Those of another protocol are in nobody's way.
    pub fn exclude(&mut self, ports: PortRange) {
        if ports.protocol() == self.band.protocol() {
            for port in ports.ports() {
                self.taken[usize::from(port) / 64] |= 1 << (port % 64);
            }
        }
    }

    /// Whether a port of the band has not been taken out.
    pub fn is_free(&self, port: u16) -> bool {
        self.band.contains(port) && self.taken[usize::from(port) / 64] & (1 << (port % 64)) == 0
    }

    /// A block of `count` ports that begins at a multiple of `align`: the first one from a start that
    /// `random` gives, so that coordinators that compete choose differently.
    ///
    /// # Errors
    ///
    /// [`NoBlock`], also if `count` or `align` is zero.
    pub fn choose(&self, count: u16, align: u16, random: u64) -> Result<PortRange, NoBlock> {
        let (start, end) = (u32::from(self.band.start()), u32::from(self.band.end()));
        let offset = random % u64::from(self.band.count());
        let middle = start + u32::try_from(offset).unwrap_or(0);
        // From the middle to the end, then from the beginning on. The second search crosses the middle.
        let last = (middle + u32::from(count)).saturating_sub(2).min(end);
        let block = self
            .search(middle, end, count, align)
            .or_else(|| self.search(start, last, count, align));
        block.ok_or_else(|| NoBlock {
            largest: self.largest(),
        })
    }

    fn search(&self, from: u32, to: u32, count: u16, align: u16) -> Option<PortRange> {
        if count == 0 || align == 0 {
            return None;
        }
        let (count, align) = (u32::from(count), u32::from(align));
        let mut start = from.next_multiple_of(align);
        while start + count - 1 <= to {
            // The last obstacle in the block, so that the next block begins behind it.
            match (start..start + count)
                .rev()
                .find(|port| !self.is_free_number(*port))
            {
                Some(obstacle) => start = (obstacle + 1).next_multiple_of(align),
                None => {
                    let first = u16::try_from(start).ok()?;
                    let count = u16::try_from(count).ok()?;
                    return PortRange::with_count(self.protocol(), first, count).ok();
                }
            }
        }
        None
    }

    fn is_free_number(&self, port: u32) -> bool {
        u16::try_from(port).is_ok_and(|port| self.is_free(port))
    }

    /// The length of the longest run of free ports.
    pub fn largest(&self) -> u16 {
        let mut run = 0;
        let runs = self.band.ports().map(|port| {
            run = if self.is_free(port) { run + 1 } else { 0 };
            run
        });
        runs.max().unwrap_or(0)
    }
}

impl fmt::Debug for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.band.ports().filter(|port| self.is_free(*port)).count();
        write!(f, "{}, {free} free", self.band)
    }
}
