//! Grants, by a steward as jobs have it: from the request at its socket to its answer.

use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use portkeep_fleet::config::Config;
use portkeep_fleet::engine::Engine;
use portkeep_fleet::jobs::local::{self, Answer, Client, Granted, Request};
use portkeep_fleet::jobs::wish::Wish;
use portkeep_fleet::testing::Etcd;
use portkeep_fleet_core::data::{FORMAT, Hold, Key, Name, Unknown, Value};
use portkeep_fleet_core::engine::Transaction;

use crate::{median, report, run};

/// A steward of its own, where [`local::path`] says.
pub struct Steward(Child);

impl Steward {
    pub fn start(mut command: Command) -> Steward {
        let steward = command.arg("steward").spawn().expect("a steward");
        let over = Instant::now() + Duration::from_secs(60);
        while std::os::unix::net::UnixStream::connect(local::path()).is_err() {
            assert!(Instant::now() < over, "the steward does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Steward(steward)
    }
}

impl Drop for Steward {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wish(nodes: &[Name]) -> Wish {
    Wish {
        nodes: nodes.to_vec(),
        any: None,
        labels: std::collections::BTreeMap::new(),
        tcp: 2,
        udp: 0,
        wait: 60,
        held: false,
        owner: None,
    }
}

/// One grant, until it is answered, its release, and how often numbers were chosen.
async fn grant(nodes: &[Name]) -> (Duration, Duration, u32) {
    let mut client = Client::connect().await.expect("the steward");
    let start = Instant::now();
    let answer = client.ask(&Request::Acquire(wish(nodes))).await;
    let granted = start.elapsed();
    let Answer::Granted(Granted { id, tries, .. }) = answer.expect("an answer") else {
        panic!("refused");
    };
    let mut client = Client::connect().await.expect("the steward");
    let start = Instant::now();
    let request = Request::Release { id, wait: 60 };
    let answer = client.ask(&request).await.expect("an answer");
    assert_eq!(answer, Answer::Released { left: false });
    (granted, start.elapsed(), tries)
}

/// One transaction, as a grant has them.
async fn transaction(engine: &Engine) -> Duration {
    let key = Key::Hold("bench".parse().expect("a name"));
    let value = Value::Hold(Hold {
        format: FORMAT,
        by: String::new(),
        unknown: Unknown::new(),
    });
    let transaction = Transaction::default().put(key, value);
    let start = Instant::now();
    engine.transact(&transaction).await.expect("a transaction");
    start.elapsed()
}

/// Grants on different nodes and T, by turns: whatever else the machine does then is in both. T is asked of each
/// member in turn, as nodes and stewards are connected to any.
pub fn measure(etcd: &Etcd, rounds: usize, series: &[(&str, &[Name], &str)]) {
    let config = etcd.config("root");
    let engines = config.engine.iter().map(|member| {
        Engine::new(Config {
            engine: vec![member.clone()],
            ..config.clone()
        })
    });
    let engines: Vec<Engine> = engines.collect();
    let mut times: Vec<Vec<(Duration, Duration)>> = vec![Vec::new(); series.len()];
    let mut t = Vec::new();
    run(async {
        for round in 0..rounds + 3 {
            for (at, (_, nodes, _)) in series.iter().enumerate() {
                let alone = transaction(&engines[round % engines.len()]).await;
                let (granted, released, tries) = grant(nodes).await;
                // The first to each member has to connect.
                if round > 2 && tries == 1 {
                    t.push(alone);
                    times[at].push((granted, released));
                }
            }
        }
    });
    let t = median(t);
    report(
        "T, one transaction of 3 members, median",
        &format!("{t:.1?}"),
        "",
    );
    let in_t = |time: Duration| time.as_secs_f64() / t.as_secs_f64();
    for ((what, _, aim), times) in series.iter().zip(times) {
        let (granted, released): (Vec<_>, Vec<_>) = times.into_iter().unzip();
        let count = granted.len();
        let mut sorted = granted.clone();
        sorted.sort_unstable();
        let late = sorted[count * 9 / 10];
        let granted = median(granted);
        let measured = format!(
            "{:.1} T ({granted:.1?}; nine of ten within {:.1} T)",
            in_t(granted),
            in_t(late)
        );
        report(
            &format!("grant on {what}, median of {count}"),
            &measured,
            &format!("{aim} T"),
        );
        let measured = format!("{:.1} T", in_t(median(released)));
        report(
            "… and then its release, heard by all of them",
            &measured,
            "",
        );
    }
}

/// Grants a second, with some users at a time.
pub fn rate(nodes: &[Name], users: usize) {
    let over = Instant::now() + Duration::from_secs(8);
    let users: Vec<_> = (0..users)
        .map(|_| {
            let nodes = nodes.to_vec();
            thread::spawn(move || {
                run(async {
                    let mut count = 0_u32;
                    while Instant::now() < over {
                        grant(&nodes).await;
                        count += 1;
                    }
                    count
                })
            })
        })
        .collect();
    let number = users.len();
    let all = users.into_iter().map(|it| it.join().expect("a user"));
    let per_second = f64::from(all.sum::<u32>()) / 8.0;
    let what = format!(
        "grants a second on {} nodes with real kernels, each released, {number} users of one steward",
        nodes.len()
    );
    report(&what, &format!("{per_second:.0}"), "100");
}
