//! Garbage: destroyed apps are emptied once their dynos are gone; blobs that no row names, outputs
//! and old rows are removed.

use std::io;
use std::path::Path;
use std::time::Duration;

use model::steps::{Step, reached};
use model::{AppId, Timestamp};
use store::{Poke, apps, garbage};
use tokio_util::sync::CancellationToken;

use crate::wake::{Wake, Woken};
use crate::{Control, Error, Result, apps as verbs};

/// What is old is looked for this often.
const PERIOD: Duration = Duration::from_secs(3600);

/// A blob may wait this long for the row that names it.
pub const BLOB_GRACE: Duration = Duration::from_secs(3600);

/// Ended dynos, uploads and log sessions are kept this long.
pub const ROW_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Outputs of builds and release commands are kept this long.
pub const OUTPUT_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Runs until cancelled.
pub async fn run(control: Control, cancel: CancellationToken) {
    let mut wake = Wake::new(&control.store, &[Poke::Garbage], PERIOD, cancel);
    loop {
        if let Err(error) = collect(&control, BLOB_GRACE).await {
            tracing::error!(error = &error as &dyn std::error::Error, "garbage collection failed");
        }
        if wake.next().await == Woken::Stop {
            return;
        }
    }
}

/// One round. Blobs that no row names go when they are older than `blob_grace`.
///
/// # Errors
/// When the database or the file system fails; the next round goes on.
pub async fn collect(control: &Control, blob_grace: Duration) -> Result<()> {
    for app in control.read(|db| Ok(apps::deleted(db)?)).await? {
        empty(control, app.id).await?;
    }
    drop_old_rows(control).await?;
    drop_old_slugs(control).await?;
    drop_old_outputs(control).await?;
    drop_blobs(control, blob_grace).await
}

/// Removes a destroyed app, unless some dyno of it still runs: its end pokes us again.
async fn empty(control: &Control, id: AppId) -> Result<()> {
    let busy = control.read(move |db| Ok(garbage::has_dynos(db, id)?)).await?;
    if busy {
        return Ok(());
    }
    let left = control.read(move |db| Ok(garbage::outputs_of(db, id)?)).await?;
    let (repository, cache) = (verbs::repository(control, id), verbs::cache(control, id));
    let outputs = control.outputs.clone();
    // Files first: as long as the row is there, a round that breaks off is done again.
    blocking(move || {
        left.builds.into_iter().try_for_each(|build| outputs.delete(build))?;
        left.releases.into_iter().try_for_each(|release| outputs.delete(release))?;
        left.dynos.into_iter().try_for_each(|dyno| outputs.delete(dyno))?;
        remove_directory(&repository)?;
        remove_directory(&cache)
    })
    .await?;
    reached(Step::AppFilesRemoved);
    control.store.sweep(move |tx| Ok::<_, Error>(garbage::delete_app(tx, id)?)).await?;
    reached(Step::AppRowsRemoved);
    Ok(())
}

async fn drop_old_rows(control: &Control) -> Result<()> {
    let life = i64::try_from(ROW_LIFE.as_micros()).unwrap_or(i64::MAX);
    let before = Timestamp::from_micros(Timestamp::now().micros() - life);
    let dynos: Vec<_> = control.store.sweep(move |tx| garbage::delete_old(tx, before)).await?;
    let outputs = control.outputs.clone();
    blocking(move || Ok(dynos.into_iter().try_for_each(|dyno| outputs.delete(dyno))?)).await
}

/// Releases whose slug goes stay in the ledger, but nobody can go back to them any more.
async fn drop_old_slugs(control: &Control) -> Result<()> {
    let keep = control.settings.slugs_per_app;
    let now = Timestamp::now();
    let life = i64::try_from(ROW_LIFE.as_micros()).unwrap_or(i64::MAX);
    let before = Timestamp::from_micros(now.micros() - life);
    let removed =
        control.store.sweep(move |tx| garbage::remove_slugs(tx, keep, before, now)).await?;
    if removed > 0 {
        tracing::info!(removed, "removed slugs that are too old to go back to");
    }
    Ok(())
}

async fn drop_old_outputs(control: &Control) -> Result<()> {
    let outputs = control.outputs.clone();
    blocking(move || Ok(outputs.delete_older(OUTPUT_LIFE)?)).await
}

async fn drop_blobs(control: &Control, grace: Duration) -> Result<()> {
    let blobs = control.blobs.clone();
    let present = blocking(move || Ok(blobs.list()?)).await?;
    // Read after the listing: a row written meanwhile is seen.
    let wanted = control.read(|db| Ok(garbage::wanted_blobs(db)?)).await?;
    let blobs = control.blobs.clone();
    blocking(move || {
        for name in present.iter().filter(|name| !wanted.contains(*name)) {
            if blobs.delete_older(name, grace)? {
                tracing::info!(blob = %name, "removed a blob that nothing names");
            }
        }
        Ok(())
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

fn remove_directory(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::internal(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
