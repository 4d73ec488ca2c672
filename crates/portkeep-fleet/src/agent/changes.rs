use std::path::Path;
use std::thread;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::mpsc;

/// Tells when the store's files have changed.
#[derive(Debug)]
pub struct Changes(mpsc::Receiver<()>);

impl Changes {
    /// Watches directories, as files are replaced. Where that cannot be, the full look finds changes later.
    pub fn of(directories: &[&Path]) -> Changes {
        // One that is not heard of yet stands for all that follow.
        let (tell, changes) = mpsc::channel(1);
        let watch = || {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC).ok()?;
            let events = AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_DELETE;
            for directory in directories {
                inotify.add_watch(*directory, events).ok()?;
            }
            Some(inotify)
        };
        if let Some(inotify) = watch() {
            thread::spawn(move || wait(&inotify, &tell));
        }
        Changes(changes)
    }

    /// Waits for a change of a file of the store.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

fn wait(inotify: &Inotify, tell: &mpsc::Sender<()>) {
    while let Ok(events) = inotify.read_events() {
        let of_the_store = events.iter().any(|event| {
            let name = event.name.as_deref().and_then(|name| name.to_str());
            // Without a name, events were lost.
            name.is_none_or(|name| ["reservations.toml", "fleet.toml"].contains(&name))
        });
        if of_the_store
            && matches!(
                tell.try_send(()),
                Err(mpsc::error::TrySendError::Closed(()))
            )
        {
            return;
        }
    }
}
