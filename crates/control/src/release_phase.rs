//! The release phase: a release whose slug has a `release` process type runs that command in a
//! one-off dyno, and becomes current only when it succeeds.
//!
//! A reconciler: it looks at what is pending, makes the dynos that are missing, and settles what
//! has ended. It may be stopped and started anywhere; each step is one transaction.

use std::time::Duration;

use model::release::ReleaseStatus;
use model::steps::{Step, reached};
use model::{AppId, Release};
use store::one_offs::Outcome;
use store::{Poke, Tx, one_offs, releases as rows, slugs};
use tokio_util::sync::CancellationToken;

use crate::wake::{Wake, Woken};
use crate::{Control, Result, Verdict, one_offs as verbs, releases};

/// A lost poke is healed after this time.
const PERIOD: Duration = Duration::from_secs(30);

/// Runs until cancelled.
pub async fn run(control: Control, cancel: CancellationToken) {
    let pokes = [Poke::Releases, Poke::OneOffs];
    let mut wake = Wake::new(&control.store, &pokes, PERIOD, cancel);
    loop {
        if let Err(error) = reconcile(&control).await {
            tracing::error!(error = &error as &dyn std::error::Error, "release phase failed");
        }
        if wake.next().await == Woken::Stop {
            return;
        }
    }
}

/// Takes every app's oldest pending release one step on, as far as there is a step to take.
pub(crate) async fn reconcile(control: &Control) -> Result<()> {
    for release in control.read(|db| Ok(rows::pending(db)?)).await? {
        control.write(move |control, tx| step(control, tx, &release)).await?;
    }
    Ok(())
}

fn step(control: &Control, tx: &mut Tx<'_>, release: &Release) -> Result<()> {
    let Some(one_off) = one_offs::of_release(tx, release.id)? else {
        return start(control, tx, release);
    };
    let Some(outcome) = one_offs::outcome(tx, one_off.id)? else { return Ok(()) };
    let succeeded = match outcome {
        Outcome::Unfinished => return Ok(()),
        Outcome::Exited(exit) => exit.status == 0,
        Outcome::NeverRan => false,
    };
    if !succeeded {
        return fail(control, tx, release);
    }
    releases::succeed(control, tx, release.id)?;
    end_output(control, tx, release, Verdict::Succeeded);
    Ok(())
}

fn start(control: &Control, tx: &mut Tx<'_>, release: &Release) -> Result<()> {
    let slug = release.slug.map(|id| slugs::find(tx, id)).transpose()?.flatten();
    match slug.as_ref().and_then(releases::release_command) {
        Some(command) => {
            tx.after_commit(|| reached(Step::ReleaseCommandAsked));
            verbs::start_release(control, tx, release, command).map(drop)
        }
        // Its slug is gone; nothing can be run.
        None => fail(control, tx, release),
    }
}

/// Fails all pending releases of an app that is being destroyed.
pub(crate) fn fail_all(control: &Control, tx: &mut Tx<'_>, app: AppId) -> Result<()> {
    let all = rows::list(tx, app)?;
    let pending = all.iter().filter(|release| release.status == ReleaseStatus::Pending);
    for release in pending {
        fail(control, tx, release)?;
    }
    Ok(())
}

fn fail(control: &Control, tx: &mut Tx<'_>, release: &Release) -> Result<()> {
    releases::fail(control, tx, release.id)?;
    end_output(control, tx, release, Verdict::Failed);
    Ok(())
}

/// Followers end only now, when the release's status is final: what they do next can rely on it.
fn end_output(control: &Control, tx: &mut Tx<'_>, release: &Release, verdict: Verdict) {
    let (outputs, id) = (control.outputs.clone(), release.id);
    tx.after_commit(move || {
        if let Err(error) = outputs.finish(id, verdict) {
            tracing::error!(release.id = %id, %error, "could not end a release's output");
        }
    });
}

#[cfg(test)]
mod tests;
