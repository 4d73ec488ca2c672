//! The node's store and kernel, for the agent: by the keeper, many reservations at a time.

use std::collections::{BTreeMap, BTreeSet};

use portkeep::PortRange;
use portkeep_admin::sockets::InUse;
use portkeep_admin::{FleetEntry, FleetRequest, FleetTag, InTheWay, Keeper};
use portkeep_fleet_core::agent::{Input, Note, Refusal};
use portkeep_fleet_core::data::{Mode, Name, Obstacle, Ports};
use portkeep_fleet_core::points::Point;

use super::machine;
use crate::error::Result;
use crate::points::{When, pass};

/// Consumers of an exclusion, in the store's words.
const EVERYBODY: &str = "everybody";

/// What is to be done on this machine.
#[derive(Clone, Debug)]
pub enum Work {
    Note(Name, Note),
    Create(Name, Note),
    Delete(Name),
    Erase(Name),
}

impl Work {
    fn point(&self) -> Point {
        match self {
            Work::Note(..) => Point::Note,
            Work::Create(..) => Point::Create,
            Work::Delete(_) => Point::Delete,
            Work::Erase(_) => Point::Erase,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Done {
    /// To be told the agent.
    Input(Input),
    /// Nothing was noted, as this is in the way.
    NotNoted(Name, Vec<Obstacle>),
}

impl Done {
    /// Whether the store or the kernel is another than before.
    pub fn changes_what_is_held(&self) -> bool {
        matches!(
            self,
            Done::Input(Input::Created(..) | Input::Deleted(_) | Input::Erased(_))
        )
    }
}

/// What the administrator of this machine allows the fleet.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub max_ports: Option<u32>,
    pub never: Vec<PortRange>,
}

/// The store of one fleet on this machine.
#[derive(Clone, Debug)]
pub struct Store {
    pub fleet: String,
    pub limits: Limits,
}

/// The policies of which one takes another's place.
pub type Successors = BTreeMap<Name, (Name, Note)>;

impl Store {
    fn keeper(&self) -> Keeper {
        machine::installation().keeper()
    }

    fn tag(&self, id: &Name, note: Option<&Note>) -> FleetTag {
        FleetTag {
            fleet: self.fleet.clone(),
            id: id.to_string(),
            generation: note.map_or(0, |note| note.generation),
            grant: note.is_some_and(|note| !note.lasting),
        }
    }

    fn request(&self, id: &Name, note: &Note) -> FleetRequest {
        let consumers = match note.mode {
            Mode::Reserve => note.consumers.clone(),
            Mode::Exclude => vec![EVERYBODY.to_owned()],
        };
        FleetRequest {
            tag: self.tag(id, Some(note)),
            ports: note.ports.ranges().to_vec(),
            consumers,
            comment: None,
        }
    }

    /// What the store has of this fleet, and what of it the kernel enforces.
    pub fn entries(&self) -> Result<(BTreeMap<Name, Note>, BTreeSet<Name>)> {
        let (mut notes, mut enforced) = (BTreeMap::new(), BTreeSet::new());
        for entry in self.keeper().fleet_entries()? {
            if entry.tag.fleet != self.fleet {
                continue;
            }
            let (Ok(id), Ok(note)) = (entry.tag.id.parse::<Name>(), note(&entry)) else {
                continue;
            };
            if entry.enforced {
                enforced.insert(id.clone());
            }
            notes.insert(id, note);
        }
        Ok((notes, enforced))
    }

    /// What would be in the way. Changes nothing.
    pub fn in_the_way(&self, note: &Note) -> Result<Vec<Obstacle>> {
        let nobody: Name = "dry-run"
            .parse()
            .map_err(|_| crate::error::Error::refused("a name"))?;
        let mut obstacles = self.forbidden(note, &BTreeMap::new());
        let request = self.request(&nobody, note);
        let found = self.keeper().in_the_way_of_fleet(&request, Some(&InUse))?;
        let known = self.entries()?.0;
        let old = note.replaces.as_ref().and_then(|old| known.get(old));
        // Each port has one reservation, so one at a port of the policy before is that policy's.
        let is_its_own = |it: &portkeep_admin::Obstacle| {
            let within = |old: &Note| Ports::from(it.ports).without(&old.ports).is_empty();
            matches!(it.what, InTheWay::Reservation(_)) && old.is_some_and(within)
        };
        let found = found.iter().filter(|it| !is_its_own(it));
        obstacles.extend(found.map(obstacle));
        Ok(obstacles)
    }

    /// Does some work, and says what came of each. What could not be done at all is returned, to be done
    /// again.
    pub fn perform(&self, works: Vec<Work>, successors: &Successors) -> (Vec<Done>, Vec<Work>) {
        let (mut done, mut again) = (Vec::new(), Vec::new());
        for work in works {
            let point = work.point();
            pass(point, When::Before);
            match work {
                // One at a time: each has its own answer, and a store without space refuses each.
                Work::Note(id, note) => done.push(self.note(id, &note)),
                Work::Create(id, note) => done.push(Done::Input(self.create(id, &note))),
                Work::Delete(id) => match self.delete(&id, successors) {
                    Ok(()) => done.push(Done::Input(Input::Deleted(id))),
                    Err(error) => {
                        crate::output::say(&format!("cannot release {id}: {error}"));
                        again.push(Work::Delete(id));
                    }
                },
                Work::Erase(id) => match self.keeper().erase_for_fleet(&[self.tag(&id, None)]) {
                    Ok(()) => done.push(Done::Input(Input::Erased(id))),
                    Err(error) => {
                        crate::output::say(&format!("cannot take {id} out of the store: {error}"));
                        again.push(Work::Erase(id));
                    }
                },
            }
            pass(point, When::After);
        }
        (done, again)
    }

    fn note(&self, id: Name, note: &Note) -> Done {
        let known = self.entries().map(|(notes, _)| notes).unwrap_or_default();
        let mut obstacles = self.forbidden(note, &known);
        let beyond = self.beyond(note, &known);
        if let Some(beyond) = beyond.filter(|_| obstacles.is_empty()) {
            match self.keeper().note_for_fleet(&[self.request(&id, &beyond)]) {
                Ok(answers) => {
                    let refused = answers.into_iter().filter_map(Result::err).flatten();
                    obstacles.extend(refused.map(|it| obstacle(&it)));
                }
                Err(error) => {
                    crate::output::say(&format!("cannot note {id}: {error}"));
                    return Done::Input(Input::Noted(id, false));
                }
            }
        }
        match obstacles.is_empty() {
            true => Done::Input(Input::Noted(id, true)),
            false => Done::NotNoted(id, obstacles),
        }
    }

    fn create(&self, id: Name, note: &Note) -> Input {
        let known = match self.entries() {
            Ok((notes, _)) => notes,
            Err(error) => return cannot(id, note, &error.to_string()),
        };
        let replaces = note.replaces.as_ref();
        if replaces.is_some_and(|old| known.contains_key(old)) {
            match self.in_the_way_of_successor(&id, note) {
                Ok(obstacles) if obstacles.is_empty() => {}
                Ok(obstacles) => return Input::Created(id, Err(Refusal { obstacles })),
                Err(error) => return cannot(id, note, &error.to_string()),
            }
        }
        let Some(beyond) = self.beyond(note, &known) else {
            return Input::Created(id, Ok(()));
        };
        let request = [self.request(&id, &beyond)];
        let keeper = self.keeper();
        let noted = known.contains_key(&id);
        let mut answer = match noted {
            true => Ok(vec![Ok(())]),
            // Root has taken it out of the store; now it is to be held again.
            false => keeper.note_for_fleet(&request),
        };
        if matches!(&answer, Ok(answers) if answers.iter().all(Result::is_ok)) {
            answer = keeper.create_for_fleet(&request, Some(&InUse));
        }
        let refused = match answer {
            Ok(answers) => answers.into_iter().filter_map(Result::err).flatten(),
            Err(error) => return cannot(id, note, &error.to_string()),
        };
        let obstacles: Vec<Obstacle> = refused.map(|it| obstacle(&it)).collect();
        match obstacles.is_empty() {
            true => Input::Created(id, Ok(())),
            false => Input::Created(id, Err(Refusal { obstacles })),
        }
    }

    /// What another policy takes over stays closed at every instant.
    fn delete(&self, id: &Name, successors: &Successors) -> Result<()> {
        let tag = self.tag(id, None);
        let keeper = self.keeper();
        if let Some((successor, note)) = successors.get(id)
            && self
                .entries()?
                .0
                .get(id)
                .is_none_or(|old| old.mode == note.mode)
        {
            keeper.pass_on_for_fleet(&tag, &self.request(successor, note))?;
        }
        Ok(keeper.delete_for_fleet(&[tag])?)
    }

    /// What a reservation has that the one whose place it takes does not hold already.
    fn beyond(&self, note: &Note, known: &BTreeMap<Name, Note>) -> Option<Note> {
        let old = note.replaces.as_ref().and_then(|old| known.get(old));
        // An exclusion refuses nobody, so a reservation takes nothing over from it, nor the other way round.
        let Some(old) = old.filter(|old| old.mode == note.mode) else {
            return Some(note.clone());
        };
        let left = note.ports.without(&old.ports);
        if left.is_empty() {
            return None;
        }
        // In more pieces than a reservation may have, it is asked for whole, and refused.
        let ports = Ports::new(left).unwrap_or_else(|_| note.ports.clone());
        Some(Note {
            ports,
            ..note.clone()
        })
    }

    /// Sockets in the way at ports that the one before holds for others, and names that do not exist.
    fn in_the_way_of_successor(&self, id: &Name, note: &Note) -> Result<Vec<Obstacle>> {
        let request = self.request(id, note);
        let found = self.keeper().in_the_way_of_fleet(&request, Some(&InUse))?;
        let found = found
            .iter()
            .filter(|it| !matches!(it.what, InTheWay::Reservation(_)));
        Ok(found.map(obstacle).collect())
    }

    /// What this machine's own configuration is against.
    fn forbidden(&self, note: &Note, known: &BTreeMap<Name, Note>) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        let of_configuration = |port: String, what: &str| Obstacle {
            port,
            what: format!("{what} in the configuration of this node"),
        };
        for range in &self.limits.never {
            let never = Ports::from(*range);
            if never.overlaps(&note.ports) {
                obstacles.push(of_configuration(range.to_string(), "`never`"));
            }
        }
        if let Some(most) = self.limits.max_ports {
            let held: u32 = known.values().map(|note| note.ports.count()).sum();
            if held.saturating_add(note.ports.count()) > most {
                let what = format!("`max-ports` is {most}, {held} are held:");
                obstacles.push(of_configuration(note.ports.to_string(), &what));
            }
        }
        obstacles
    }
}

fn cannot(id: Name, note: &Note, why: &str) -> Input {
    let obstacle = Obstacle {
        port: note.ports.to_string(),
        what: why.to_owned(),
    };
    let obstacles = vec![obstacle];
    Input::Created(id, Err(Refusal { obstacles }))
}

fn note(entry: &FleetEntry) -> Result<Note, ()> {
    let exclusion = entry.consumers == [EVERYBODY];
    Ok(Note {
        lasting: !entry.tag.grant,
        ports: Ports::new(entry.ports.clone()).map_err(drop)?,
        consumers: match exclusion {
            true => Vec::new(),
            false => entry.consumers.clone(),
        },
        generation: entry.tag.generation,
        mode: match exclusion {
            true => Mode::Exclude,
            false => Mode::Reserve,
        },
        replaces: None,
    })
}

fn obstacle(found: &portkeep_admin::Obstacle) -> Obstacle {
    let what = match &found.what {
        InTheWay::Reservation(words) => words.clone(),
        what => what.to_string(),
    };
    Obstacle {
        port: found.ports.to_string(),
        what,
    }
}
