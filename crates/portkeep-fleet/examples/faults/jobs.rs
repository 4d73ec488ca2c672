//! Jobs that acquire ports from the steward and give them back, one after the other. They let nobody bind, so their
//! ports are closed to everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use portkeep_fleet::jobs::local::{Answer, Client, Granted, Request};
use portkeep_fleet::jobs::wish::Wish;
use portkeep_fleet::testing::probe::now;
use portkeep_fleet_core::checker::What;
use portkeep_fleet_core::data::{Name, Ports};

use crate::NODES;
use crate::history::History;
use crate::random::Random;

/// Whom no grant lets bind.
const NOBODY: u32 = u32::MAX;

pub struct Jobs {
    random: Random,
    stop: Arc<AtomicBool>,
    history: History,
}

impl Jobs {
    pub fn new(random: Random, stop: Arc<AtomicBool>) -> Jobs {
        Jobs {
            random,
            stop,
            history: History::default(),
        }
    }

    pub fn run(mut self) -> History {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            while !self.stop.load(Ordering::Relaxed) {
                self.job().await;
            }
        });
        self.history
    }

    fn wish(&mut self) -> Wish {
        let nodes = NODES.iter().map(|(node, _)| node.parse().expect("a name"));
        let chosen: Vec<Name> = nodes.filter(|_| self.random.below(3) > 0).collect();
        let of_udp = self.random.below(2) == 0;
        let count = self.random.within((1, 4));
        Wish {
            any: None,
            labels: std::collections::BTreeMap::new(),
            nodes: match chosen.is_empty() {
                true => vec![NODES[0].0.parse().expect("a name")],
                false => chosen,
            },
            tcp: if of_udp { 0 } else { count },
            udp: if of_udp { count } else { 0 },
            wait: 5,
            held: true,
            owner: None,
        }
    }

    async fn job(&mut self) {
        let wish = self.wish();
        let Ok(mut client) = Client::connect().await else {
            // The steward is dead.
            thread::sleep(Duration::from_millis(50));
            return;
        };
        self.history.operations += 1;
        let start = now();
        let answer = client.ask(&Request::Acquire(wish)).await;
        let end = now();
        match answer {
            Ok(Answer::Granted(granted)) => self.has(granted, start, end).await,
            Ok(Answer::Refused { .. }) => self.history.refused_jobs += 1,
            _ => self.history.unknown += 1,
        }
    }

    async fn has(&mut self, granted: Granted, start: u64, end: u64) {
        let Granted {
            id, ports, nodes, ..
        } = granted;
        let ranges = ports.iter().map(|it| it.parse().expect("a range"));
        let ports = Ports::new(ranges.collect()).expect("ports");
        self.history.users.insert(id.clone(), NOBODY);
        let what = What::Granted {
            id: id.clone(),
            ports,
            nodes,
        };
        self.history.add(start, end, what);
        if self.random.below(4) == 0 {
            tokio::time::sleep(Duration::from_millis(self.random.below(1500))).await;
        }
        let asked = now();
        self.history
            .add(asked, asked, What::ReleaseAsked(id.clone()));
        let Ok(mut client) = Client::connect().await else {
            return;
        };
        self.history.operations += 1;
        let request = Request::Release {
            id: id.clone(),
            wait: 5,
        };
        match client.ask(&request).await {
            Ok(Answer::Released { left: false }) => {
                self.history.add(asked, now(), What::Released(id));
            }
            Ok(Answer::Released { left: true }) => {}
            _ => self.history.unknown += 1,
        }
    }
}
