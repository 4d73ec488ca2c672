//! Work of one kind on several grants, with one lock and one write of the store for all of them.

use portkeep_admin::sockets::InUse;
use portkeep_admin::{FleetRequest, FleetTag};
use portkeep_fleet_core::agent::{Input, Note, Refusal};
use portkeep_fleet_core::data::Name;

use super::store::{Done, Store, Successors, Work, obstacle};

/// What each of several gets, or nothing, if nothing was done.
type Answers = Option<Vec<Done>>;

impl Store {
    /// Does all of it at once. None, if it is to be done one after the other: few would gain, policies take each
    /// other's place and count for limits, or something is in the way of all.
    pub(super) fn perform_alike(&self, works: &[Work], successors: &Successors) -> Answers {
        if works.len() < 2 || self.limits.max_ports.is_some() || !self.limits.never.is_empty() {
            return None;
        }
        let grants = works.iter().map(|work| match work {
            Work::Note(id, note) | Work::Create(id, note) if !note.lasting => Some((id, note)),
            _ => None,
        });
        let grants: Option<Vec<(&Name, &Note)>> = grants.collect();
        match (&works[0], grants) {
            (Work::Note(..), Some(grants)) => self.note_all(&grants),
            (Work::Create(..), Some(grants)) => self.create_all(&grants),
            (Work::Delete(_), _) => self.delete_all(works, successors),
            (Work::Erase(_), _) => self.erase_all(works),
            _ => None,
        }
    }

    fn requests(&self, grants: &[(&Name, &Note)]) -> Vec<FleetRequest> {
        let grants = grants.iter();
        grants.map(|(id, note)| self.request(id, note)).collect()
    }

    fn note_all(&self, grants: &[(&Name, &Note)]) -> Answers {
        let answers = self.keeper().note_for_fleet(&self.requests(grants)).ok()?;
        let done = grants.iter().zip(answers).map(|((id, _), answer)| {
            let id = (*id).clone();
            match answer {
                Ok(()) => Done::Input(Input::Noted(id, true)),
                Err(found) => Done::NotNoted(id, found.iter().map(obstacle).collect()),
            }
        });
        Some(done.collect())
    }

    /// None, if root has taken one of them out of the store.
    pub(super) fn create_all(&self, grants: &[(&Name, &Note)]) -> Answers {
        let requests = self.requests(grants);
        let answers = self
            .keeper()
            .create_for_fleet(&requests, Some(&InUse))
            .ok()?;
        let done = grants.iter().zip(answers).map(|((id, _), answer)| {
            let refusal = |found: Vec<_>| Refusal {
                obstacles: found.iter().map(obstacle).collect(),
            };
            Done::Input(Input::Created((*id).clone(), answer.map_err(refusal)))
        });
        Some(done.collect())
    }

    fn delete_all(&self, works: &[Work], successors: &Successors) -> Answers {
        let tags = self.tags(works);
        if tags.iter().any(|(id, _)| successors.contains_key(id)) {
            return None;
        }
        let all: Vec<FleetTag> = tags.iter().map(|(_, tag)| tag.clone()).collect();
        self.keeper().delete_for_fleet(&all).ok()?;
        let done = tags.into_iter();
        Some(
            done.map(|(id, _)| Done::Input(Input::Deleted(id)))
                .collect(),
        )
    }

    fn erase_all(&self, works: &[Work]) -> Answers {
        let tags = self.tags(works);
        let all: Vec<FleetTag> = tags.iter().map(|(_, tag)| tag.clone()).collect();
        self.keeper().erase_for_fleet(&all).ok()?;
        let done = tags.into_iter();
        Some(done.map(|(id, _)| Done::Input(Input::Erased(id))).collect())
    }

    fn tags(&self, works: &[Work]) -> Vec<(Name, FleetTag)> {
        let ids = works.iter().filter_map(|work| match work {
            Work::Delete(id) | Work::Erase(id) => Some(id),
            Work::Note(..) | Work::Create(..) => None,
        });
        ids.map(|id| (id.clone(), self.tag(id, None))).collect()
    }
}
