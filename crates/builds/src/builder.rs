//! The job runner: claims pending builds, oldest first, and runs so many at one time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::Control;
use dynos::Dynos;
use model::steps::{Step, reached};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cache::Keys;
use crate::config::Config;
use crate::{buildpacks, job, uploads, workspace};

/// After a fault of the database the runner waits so long before it looks again.
pub(crate) const BACK_OFF: Duration = Duration::from_secs(5);

/// Everything the builder works with.
pub struct Builder {
    /// The verbs.
    pub control: Control,
    /// Where build dynos run.
    pub dynos: Dynos,
    /// What the operator decided.
    pub config: Config,
}

/// Why the builder could not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text says what was attempted")]
pub enum StartError {
    #[error("could not prepare the directories of builds")]
    Workspaces(#[from] workspace::Unprepared),
    #[error("could not write the built-in buildpacks to {0}")]
    Buildpacks(PathBuf, #[source] std::io::Error),
}

/// What every build of this server shares.
pub(crate) struct House {
    pub(crate) control: Control,
    pub(crate) dynos: Dynos,
    pub(crate) config: Config,
    /// Directory of the buildpacks of this version.
    pub(crate) buildpacks: PathBuf,
    pub(crate) keys: Keys,
    pub(crate) cancel: CancellationToken,
}

/// Claims and runs builds, and empties the directories of what an earlier run left, until `cancel` is
/// cancelled. Builds that run then are given a few seconds to end, and are failed.
///
/// What an earlier run left pending must have been ended by `control::builds::end_interrupted` before
/// anybody could queue a build.
///
/// # Errors
/// When its directories cannot be made ready.
pub async fn run(builder: Builder, cancel: CancellationToken) -> Result<(), StartError> {
    let Builder { control, dynos, config } = builder;
    let left = workspace::prepare(&config)?;
    let buildpacks = buildpacks::install(&config.buildpacks_dir)
        .map_err(|source| StartError::Buildpacks(config.buildpacks_dir.clone(), source))?;
    let keys = Keys::default();
    let house = Arc::new(House { control, dynos, config, buildpacks, keys, cancel });
    // Builds need not wait for it: each has a directory of its own.
    let clearing = house.cancel.run_until_cancelled(workspace::clear(&house.config, left));
    tokio::join!(clearing, claim_and_run(&house), uploads::run(&house));
    Ok(())
}

async fn claim_and_run(house: &Arc<House>) {
    let mut wake = control::builds::wake(&house.control);
    let mut jobs = JoinSet::new();
    while !house.cancel.is_cancelled() {
        wake.mark_unchanged();
        let look_again_after = match start_jobs(house, &mut jobs).await {
            Ok(()) => Duration::MAX,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "could not claim a build");
                BACK_OFF
            }
        };
        // All arms only wait; a job that ended is taken from the set, and nothing else is lost.
        tokio::select! {
            _poked = wake.changed() => {}
            Some(ended) = jobs.join_next() => report(ended),
            () = tokio::time::sleep(look_again_after) => {}
            () = house.cancel.cancelled() => {}
        }
    }
    while let Some(ended) = jobs.join_next().await {
        report(ended);
    }
}

async fn start_jobs(house: &Arc<House>, jobs: &mut JoinSet<()>) -> control::Result<()> {
    while jobs.len() < house.config.bounds.concurrent.max(1) {
        let Some(build) = control::builds::claim_next(&house.control).await? else { break };
        tracing::info!(build.id = %build.id, app.id = %build.app, "build claimed");
        reached(Step::BuildClaimed);
        jobs.spawn(job::run(house.clone(), build));
    }
    Ok(())
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "a build's task broke down; its row is ended at the next start");
    }
}

#[cfg(test)]
mod tests;
