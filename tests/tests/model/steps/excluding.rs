//! `portkeep exclude` and `include`, by the store that they use.

use portkeep::{PortRange, Protocol};
use portkeep_admin::{Error, ErrorKind, Keeper, Kind, Outcome, Ports, Request, sysctl};
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::{Sandbox, enable};

use crate::model::Exclusion;
use crate::operation::{EXCLUDABLE, Exclude};
use crate::world::World;

impl World<'_> {
    pub(crate) fn exclude(&mut self, exclude: Exclude) -> Result<(), String> {
        let (exclusions, ranges) = of(exclude);
        let asked = self.model.ask_exclude(&exclusions);
        let request = Request {
            kind: Kind::Exclusion,
            ports: Ports::These(ranges),
            scope: None,
            users: Vec::new(),
            groups: Vec::new(),
            cgroups: Vec::new(),
            comment: None,
        };
        let result = keeper(self.sandbox).reserve(&request, None);
        if let Some(new) = self.judge_store("exclude", exclude, asked, result)? {
            self.model.exclude(&new);
        }
        self.compare_kept()
    }

    pub(crate) fn include(&mut self, exclude: Exclude) -> Result<(), String> {
        let (exclusions, ranges) = of(exclude);
        let asked = self.model.ask_include(&exclusions);
        let result = keeper(self.sandbox).remove(Kind::Exclusion, &ranges, None);
        if let Some(cuts) = self.judge_store("include", exclude, asked, result)? {
            self.model.include(&cuts);
        }
        self.compare_kept()
    }

    fn judge_store(
        &mut self,
        command: &str,
        exclude: Exclude,
        asked: Result<Vec<Exclusion>, ()>,
        result: Result<Outcome, Error>,
    ) -> Result<Option<Vec<Exclusion>>, String> {
        let result = result
            .map(|outcome| outcome.changed)
            .map_err(|error| error.kind());
        self.tell(format_args!("{command} {exclude:?} = {result:?}"));
        let errno = if result.is_err() { EADDRINUSE } else { 0 };
        let name = (command.to_owned(), errno);
        *self.tally.entry(name).or_default() += 1;
        match (asked, result) {
            (Ok(changes), Ok(changed)) if changed != changes.is_empty() => Ok(Some(changes)),
            (Err(()), Err(ErrorKind::Reserved)) => Ok(None),
            (asked, _) => Err(format!("it should come to {asked:?}")),
        }
    }

    fn compare_kept(&self) -> Result<(), String> {
        let kept = sysctl::protected_ports().map_err(|error| error.to_string())?;
        let kept: Vec<u16> = kept.ranges().into_iter().flatten().collect();
        let wanted: Vec<u16> = self.model.kept().collect();
        if kept != wanted {
            return Err(format!(
                "ip_local_reserved_ports is {kept:?}, not {wanted:?}"
            ));
        }
        Ok(())
    }
}

/// Includes everything, for the next history.
pub(crate) fn include_all(sandbox: &Sandbox) {
    for port in EXCLUDABLE {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let port = PortRange::new(protocol, port, port).expect("a port");
            let included = keeper(sandbox).remove(Kind::Exclusion, &[port], None);
            included.expect("include a port that nobody holds");
        }
    }
}

fn of(exclude: Exclude) -> (Vec<Exclusion>, Vec<PortRange>) {
    let Exclude { start, count, .. } = exclude;
    let wanted = [(exclude.tcp, Protocol::Tcp), (exclude.udp, Protocol::Udp)];
    let each = wanted.into_iter().filter(|(wanted, _)| *wanted);
    each.map(|(_, protocol)| {
        let exclusion = Exclusion {
            udp: protocol == Protocol::Udp,
            start,
            count,
        };
        let range = PortRange::with_count(protocol, start, count).expect("ports");
        (exclusion, range)
    })
    .unzip()
}

fn keeper(sandbox: &Sandbox) -> Keeper {
    enable::installation(sandbox).keeper()
}
