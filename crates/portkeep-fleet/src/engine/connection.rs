use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use tokio::sync::Notify;

use super::EngineError;
use crate::config::Config;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// One connection, to one member. After a failure the next one is to another member.
pub(super) struct Connection {
    config: Config,
    state: Mutex<State>,
    left: Notify,
}

struct State {
    endpoint: usize,
    client: Option<Client>,
    /// Grows with each connection, so that two that fail together leave a member once.
    generation: u64,
    stamps: Vec<Stamp>,
    looked: Instant,
}

/// A client, and which connection it is.
pub(super) struct Connected {
    pub client: Client,
    pub generation: u64,
    pub is_new: bool,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u64, i64, i64, u64);

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let found = fs::metadata(path).ok()?;
        Some(Stamp(
            found.ino(),
            found.mtime(),
            found.mtime_nsec(),
            found.size(),
        ))
    }
}

impl Connection {
    pub(super) fn new(config: Config) -> Connection {
        // Nodes that start together spread over the members.
        let endpoint = random() as usize % config.engine.len().max(1);
        Connection {
            config,
            state: Mutex::new(State {
                endpoint,
                client: None,
                generation: 0,
                stamps: Vec::new(),
                looked: Instant::now(),
            }),
            left: Notify::new(),
        }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The connection, or a new one: after a failure, and when a certificate's file has changed.
    pub(super) async fn get(&self) -> Result<Connected, EngineError> {
        let endpoint = {
            let mut state = self.lock();
            if state.client.is_some() && state.looked.elapsed() >= LOOK {
                state.looked = Instant::now();
                if state.stamps != self.stamps() {
                    state.client = None;
                }
            }
            if let Some(client) = &state.client {
                return Ok(Connected {
                    client: client.clone(),
                    generation: state.generation,
                    is_new: false,
                });
            }
            self.config.engine[state.endpoint % self.config.engine.len()].clone()
        };
        let stamps = self.stamps();
        let options = self.options(&endpoint)?;
        let client = Client::connect([endpoint], Some(options)).await;
        let client = client.map_err(|error| super::error::Failure::from(error).error())?;
        let mut state = self.lock();
        state.generation += 1;
        state.client = Some(client.clone());
        state.stamps = stamps;
        state.looked = Instant::now();
        Ok(Connected {
            client,
            generation: state.generation,
            is_new: true,
        })
    }

    /// This connection has failed.
    pub(super) fn leave(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation {
            state.client = None;
            state.endpoint += 1;
            self.left.notify_waiters();
        }
    }

    /// Waits until a connection is left. That of another request may be silent, too.
    pub(super) async fn left(&self, generation: u64) {
        loop {
            let left = self.left.notified();
            if !self.is_used(generation) {
                return;
            }
            left.await;
        }
    }

    fn is_used(&self, generation: u64) -> bool {
        let state = self.lock();
        state.generation == generation && state.client.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connection is still the one in use, and its certificate the one in the file.
    pub(super) fn is_current(&self, generation: u64) -> bool {
        let state = self.lock();
        state.generation == generation && state.client.is_some() && state.stamps == self.stamps()
    }

    fn stamps(&self) -> Vec<Stamp> {
        let Config {
            ca,
            certificate,
            key,
            ..
        } = &self.config;
        let files = [ca, certificate, key].into_iter().flatten();
        files.filter_map(|path| Stamp::of(path)).collect()
    }

    fn options(&self, endpoint: &str) -> Result<ConnectOptions, EngineError> {
        let timing = &self.config.timing;
        let options = ConnectOptions::new()
            .with_connect_timeout(timing.answer())
            .with_keep_alive(timing.keep_alive(), timing.answer())
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        if !endpoint.starts_with("https://") {
            return Ok(options);
        }
        let Config {
            ca: Some(ca),
            certificate: Some(certificate),
            key: Some(key),
            ..
        } = &self.config
        else {
            let text = "`ca`, `certificate` and `key` are missing".to_owned();
            return Err(EngineError::Certificate(text));
        };
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(read(ca)?))
            .identity(Identity::from_pem(read(certificate)?, read(key)?));
        Ok(options.with_tls(tls))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    fs::read(path).map_err(|error| {
        EngineError::Certificate(format!("cannot read {}: {error}", path.display()))
    })
}

/// A number that differs from node to node.
pub(crate) fn random() -> u64 {
    let bytes = portkeep_host::random::bytes::<8>(0);
    u64::from_ne_bytes(bytes.unwrap_or_default())
}

/// Between half of a time and one and a half times.
pub(crate) fn jitter(time: Duration) -> Duration {
    time / 2 + time.mul_f64((random() % 1024) as f64 / 1024.0)
}
