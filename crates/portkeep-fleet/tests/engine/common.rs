use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use portkeep_fleet::engine::{Engine, Event, Watch};
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::data::{Alive, Boot, Key, Name, Spec, Unknown, Value};
use portkeep_fleet_core::engine::{Outcome, Revision, Transaction};

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(100);

pub fn run<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(LONG, body).await.expect("in time") })
}

pub fn engine(etcd: &Etcd) -> Engine {
    Engine::new(etcd.config("root"))
}

/// An engine that knows one member only.
pub fn engine_of(etcd: &Etcd, member: usize) -> Engine {
    let mut config = etcd.config("root");
    config.engine = vec![etcd.urls()[member].clone()];
    Engine::new(config)
}

pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub fn spec(node: &str) -> Key {
    Key::Spec(name(node))
}

pub fn value(number: u32) -> Value {
    let labels = BTreeMap::from([("number".to_owned(), number.to_string())]);
    Value::Spec(Spec::new(labels))
}

pub fn alive() -> Value {
    let boot = Boot {
        machine: name("m"),
        boot: name("b"),
    };
    Value::Alive(Alive {
        format: 1,
        boot,
        unknown: Unknown::new(),
    })
}

/// Writes whatever is there, until it is done.
pub async fn put(engine: &Engine, key: &Key, value: &Value) -> Revision {
    loop {
        let transaction = Transaction::default().put(key.clone(), value.clone());
        match engine.transact(&transaction).await {
            Ok(Outcome::Done(written)) => return written[0].1,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

pub async fn get(engine: &Engine, key: &Key) -> Option<Value> {
    loop {
        if let Ok(reads) = engine.read(std::slice::from_ref(key)).await {
            return reads[0].found.clone().map(|found| found.value);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a watch has told of.
#[derive(Debug, Default)]
pub struct Seen {
    pub keys: BTreeMap<Key, Value>,
    pub listed: u32,
    pub lost: u32,
    pub clusters: Vec<u64>,
}

impl Seen {
    pub async fn next(&mut self, watch: &mut Watch) {
        match watch.next().await {
            Event::Listed { listing, cluster } => {
                self.listed += 1;
                self.clusters.push(cluster);
                let reads = listing.reads.into_iter();
                let found = reads.filter_map(|read| Some((read.key, read.found?.value)));
                self.keys = found.collect();
            }
            Event::Read(read) => {
                match read.found {
                    Some(found) => self.keys.insert(read.key, found.value),
                    None => self.keys.remove(&read.key),
                };
            }
            Event::Lost(_) => self.lost += 1,
            Event::Resumed | Event::Unreadable(_) => {}
        }
    }

    pub async fn until(&mut self, watch: &mut Watch, done: impl Fn(&Seen) -> bool) {
        while !done(self) {
            self.next(watch).await;
        }
    }
}
