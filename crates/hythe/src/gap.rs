//! What the logs say about the time in which no server ran.
//!
//! A file is touched while the server lives; after a restart its age is how long nobody took in
//! lines, and every app that runs something is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use control::Control;
use logplex::Logplex;
use model::Timestamp;
use store::Poke;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::foundation::Foundation;

const FILE: &str = "alive";
/// The gap is known to within this time.
const BEAT: Duration = Duration::from_secs(10);

/// Tells every app with a release since when the platform was away. Does nothing on a first start.
///
/// # Errors
/// When the apps cannot be read.
pub async fn announce(foundation: &Foundation, logs: &Logplex) -> anyhow::Result<()> {
    let Some(since) = last_seen(&foundation.settings.data_dir) else { return Ok(()) };
    let store = &foundation.control.store;
    let apps: Vec<model::App> = store.read(store::apps::living).await.context("list the apps")?;
    for app in apps.iter().filter(|app| app.released_at.is_some()) {
        logs.announce_restart(app.id, since);
    }
    Ok(())
}

/// Touches the file until the server stops.
pub fn keep(data_dir: PathBuf, tasks: &TaskTracker, stop: CancellationToken) {
    tasks.spawn(async move {
        loop {
            note(&data_dir);
            // Dropped, the sleep has lost nothing; the file is touched at the stop.
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = stop.cancelled() => return,
            }
        }
    });
}

/// Notes that the server lives now.
pub fn note(data_dir: &Path) {
    if let Err(error) = fs::write(data_dir.join(FILE), Timestamp::now().micros().to_string()) {
        tracing::warn!(%error, "could not note that the server is alive");
    }
}

fn last_seen(data_dir: &Path) -> Option<Timestamp> {
    let text = fs::read_to_string(data_dir.join(FILE)).ok()?;
    text.trim().parse().ok().map(Timestamp::from_micros)
}

/// Lets Logplex forget apps that were destroyed.
pub async fn forget_destroyed(control: Control, logs: Logplex, stop: CancellationToken) {
    let mut pokes = control.store.subscribe(Poke::Garbage);
    loop {
        pokes.mark_unchanged();
        let deleted: store::Result<Vec<model::App>> =
            control.store.read(store::apps::deleted).await;
        match deleted {
            Ok(apps) => apps.iter().for_each(|app| logs.forget(app.id)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "could not list destroyed apps");
            }
        }
        // Dropped, the change is still unseen and seen by the next round.
        tokio::select! {
            changed = pokes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}
