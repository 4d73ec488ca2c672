//! The nodes that a grant may be on.

use portkeep_fleet_core::data::{Name, Selector};

use super::local::Answer;
use super::wish::Wish;
use crate::engine::random;
use crate::operator::fleet::Fleet;
use crate::operator::report::{InTheWay, NOT_CONNECTED};

/// The nodes to ask.
pub struct Candidates {
    /// All that may be asked, those that have not refused first.
    left: Vec<Name>,
    /// How many it takes.
    pub wanted: usize,
    any: bool,
}

impl Candidates {
    /// Those that a wish names, or that have its labels; or why they do not suffice.
    pub fn of(fleet: &Fleet, wish: &Wish) -> Result<Candidates, Answer> {
        let selector = Selector(wish.labels.clone());
        let named: Vec<Name> = match wish.nodes.is_empty() {
            false => wish.nodes.clone(),
            true => {
                let nodes = fleet.nodes.iter();
                let matching = nodes.filter(|(_, node)| selector.matches(&node.labels));
                matching.map(|(name, _)| name.clone()).collect()
            }
        };
        let trouble = |node: &Name| match fleet.nodes.get(node) {
            None => Some("no such node in the fleet"),
            Some(node) if node.alive.is_none() => Some(NOT_CONNECTED),
            Some(_) => None,
        };
        let (down, mut left): (Vec<Name>, Vec<Name>) =
            named.into_iter().partition(|node| trouble(node).is_some());
        let wanted = match wish.any {
            Some(any) => any as usize,
            None => left.len() + down.len(),
        };
        if left.len() < wanted || wanted == 0 {
            let in_the_way = down
                .iter()
                .filter_map(|node| Some(InTheWay::because(node, trouble(node)?)))
                .collect();
            let message = match wanted {
                0 => "no node has these labels".to_owned(),
                _ => format!("{} of {wanted} nodes can be asked", left.len()),
            };
            return Err(Answer::Refused {
                message,
                hint: None,
                in_the_way,
            });
        }
        if wish.any.is_some() {
            // Different requests try different nodes first.
            for index in (1..left.len()).rev() {
                left.swap(index, random() as usize % (index + 1));
            }
        }
        Ok(Candidates {
            left,
            wanted,
            any: wish.any.is_some(),
        })
    }

    /// The nodes to ask next.
    pub fn next(&self) -> Option<Vec<Name>> {
        let nodes = self.left.get(..self.wanted)?;
        Some(nodes.to_vec())
    }

    /// Where any will do, others go first now.
    pub fn refused(&mut self, node: &Name) {
        if self.any
            && let Some(index) = self.left.iter().position(|it| it == node)
        {
            let node = self.left.remove(index);
            self.left.push(node);
        }
    }

    /// Whether enough are left.
    pub fn leave_out(&mut self, silent: &[Name]) -> bool {
        if self.any {
            self.left.retain(|node| !silent.contains(node));
        }
        self.any && self.left.len() >= self.wanted
    }
}
