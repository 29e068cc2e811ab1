//! Builds: rows that a builder claims, step by step, to their end.
//!
//! A build has one output, which is followable from the moment the build exists until it is ended
//! here. A build that the server's end interrupted is failed at the next start: people push again.

use std::path::PathBuf;

use model::build::{Build, BuildSource, BuildStatus, BuildStep};
use model::dyno::DynoKind;
use model::release::Cause;
use model::steps::{Step, reached};
use model::{Account, AppId, BuildId, Release, Timestamp};
use store::{Poke, Reader, Tx, apps, buildpack_installations, builds, one_offs};

use crate::releases::{self, Draft};
use crate::slugs::{self, NewSlug};
use crate::{Actor, Control, Error, Follow, OutputWriter, Resource, Result, Verdict, access};

/// What is to be built.
#[derive(Clone, Debug)]
pub struct NewBuild {
    /// What is to be built; one that is stored is named as [`crate::sources`] answers it.
    pub source: BuildSource,
    /// Version of the source in its sender's words: a commit for git pushes.
    pub source_version: Option<String>,
    /// Buildpacks for this build only; empty for the app's own.
    pub buildpacks: Vec<String>,
}

/// Queues a build.
///
/// # Errors
/// When the app is not found, there is no such source, or the database fails.
pub async fn create(control: &Control, who: &Account, app: AppId, new: NewBuild) -> Result<Build> {
    let who = who.clone();
    if let BuildSource::Stored(blob) = &new.source
        && !source_path(control, blob)?.exists()
    {
        return Err(Error::NotFound(Resource::Source));
    }
    control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            let installed = || buildpack_installations::list(tx, app.id);
            let buildpacks = if new.buildpacks.is_empty() { installed()? } else { new.buildpacks };
            let now = Timestamp::now();
            let build = Build {
                id: BuildId::random(),
                app: app.id,
                actor: who.id,
                actor_email: who.email.clone(),
                status: BuildStatus::Pending,
                step: BuildStep::Queued,
                buildpacks,
                source: new.source,
                source_version: new.source_version.filter(|version| !version.is_empty()),
                stack: app.build_stack,
                slug: None,
                release: None,
                created_at: now,
                updated_at: now,
            };
            builds::insert(tx, &build)?;
            open_output(control, tx, build.id);
            let line = format!("Build started by user {}", who.email);
            control.announce(tx, app.id, vec![line]);
            tx.poke(Poke::Builds);
            tx.after_commit(|| reached(Step::BuildQueued));
            Ok(build)
        })
        .await
}

/// All builds of an app, oldest first.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<Build>> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            Ok(builds::list(db, app)?)
        })
        .await
}

/// One build.
///
/// # Errors
/// When the app or the build is not found, or the database fails.
pub async fn info(control: &Control, who: &Account, app: AppId, id: BuildId) -> Result<Build> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            let build = builds::find(db, id)?.filter(|build| build.app == app);
            build.ok_or(Error::NotFound(Resource::Build))
        })
        .await
}

/// One build, for the platform itself.
///
/// # Errors
/// When there is none or the database fails.
pub async fn find(control: &Control, id: BuildId) -> Result<Build> {
    control.read(move |db| found(db, id)).await
}

/// Cancels a pending build; the builder that works on it sees it through [`wait_ended`].
///
/// # Errors
/// When the app or the build is not found, the build has ended, or the database fails.
pub async fn cancel(control: &Control, who: &Account, app: AppId, id: BuildId) -> Result<Build> {
    let build = info(control, who, app, id).await?;
    if build.status != BuildStatus::Pending {
        let ended = "Cannot cancel a build that has ended.";
        return Err(Error::Invalid(ended.to_owned()));
    }
    fail(control, id).await?;
    find(control, id).await
}

/// Claims the oldest queued build of an app that has no other build running; `None` when there is
/// nothing to do. Look again after [`Poke::Builds`], see [`wake`].
///
/// # Errors
/// When the database fails.
pub async fn claim_next(control: &Control) -> Result<Option<Build>> {
    control
        .write(|_, tx| {
            let Some(build) = builds::next_queued(tx)? else { return Ok(None) };
            builds::set_step(tx, build.id, BuildStep::Claimed, Timestamp::now())?;
            Ok(Some(Build { step: BuildStep::Claimed, ..build }))
        })
        .await
}

/// Changes whenever a build may have become claimable, or was ended.
#[must_use]
pub fn wake(control: &Control) -> tokio::sync::watch::Receiver<u64> {
    control.store.subscribe(Poke::Builds)
}

/// Notes what a build is doing.
///
/// # Errors
/// When the database fails.
pub async fn set_step(control: &Control, id: BuildId, step: BuildStep) -> Result<()> {
    control.write(move |_, tx| Ok(builds::set_step(tx, id, step, Timestamp::now())?)).await
}

/// Writes the slug and releases it, in one transaction. The build stays pending until
/// [`succeed`]: its last lines are still to be written.
///
/// # Errors
/// When the build has been ended or has its release, or the database fails.
pub async fn release(control: &Control, id: BuildId, slug: NewSlug) -> Result<Release> {
    control
        .write(move |control, tx| {
            let build = found(tx, id)?;
            let living = apps::find(tx, build.app)?.filter(|app| app.deleted_at.is_none());
            let app = living.ok_or(Error::NotFound(Resource::App))?;
            if build.status != BuildStatus::Pending || build.release.is_some() {
                return Err(Error::Conflict("The build has ended.".to_owned()));
            }
            let config = apps::config(tx, app.id)?.ok_or(Error::NotFound(Resource::App))?;
            let slug = slugs::insert(tx, app.id, slug)?;
            let cause = Cause::Deploy { commit: slug.commit };
            let actor = Actor::from(&build);
            let draft = Draft { app: app.id, slug: Some(slug.id), config, cause, actor };
            let release = releases::append(control, tx, draft)?;
            builds::set_release(tx, id, slug.id, release.id, Timestamp::now())?;
            Ok(release)
        })
        .await
}

/// Ends a build well, and its output.
///
/// # Errors
/// When the database fails.
pub async fn succeed(control: &Control, id: BuildId) -> Result<()> {
    control.write(move |control, tx| end(control, tx, id, BuildStatus::Succeeded)).await
}

/// Ends a build badly, and its output. What went wrong is in the output already.
///
/// # Errors
/// When the database fails.
pub async fn fail(control: &Control, id: BuildId) -> Result<()> {
    control.write(move |control, tx| end(control, tx, id, BuildStatus::Failed)).await
}

/// Waits until a build has ended, by its builder or by a cancellation.
///
/// # Errors
/// When the build is not found (any more) or the database fails.
pub async fn wait_ended(control: &Control, id: BuildId) -> Result<Build> {
    let mut poked = control.store.subscribe(Poke::Builds);
    loop {
        let build = find(control, id).await?;
        if build.status != BuildStatus::Pending {
            return Ok(build);
        }
        poked.changed().await.map_err(Error::internal)?;
    }
}

/// Waits until no build is queued or running.
///
/// # Errors
/// When the database fails.
pub async fn until_none_is_pending(control: &Control) -> Result<()> {
    let mut poked = control.store.subscribe(Poke::Builds);
    while !control.read(|db| Ok(builds::pending(db)?)).await?.is_empty() {
        poked.changed().await.map_err(Error::internal)?;
    }
    Ok(())
}

/// Ends what the last run of the server left pending; call it once, before claiming. A build whose
/// release exists has succeeded; any other is failed, and says so in its output. Build dynos that
/// still run are asked to end.
///
/// # Errors
/// When the database fails.
pub async fn end_interrupted(control: &Control) -> Result<()> {
    let pending = control.read(|db| Ok(builds::pending(db)?)).await?;
    for build in pending {
        if build.release.is_some() {
            succeed(control, build.id).await?;
            continue;
        }
        output(control, build.id)?.write(
            b"\n !     The build was interrupted: the platform was restarted. Please push again.\n",
        )?;
        fail(control, build.id).await?;
    }
    control
        .write(|_, tx| {
            // Their builders are gone with the last run of the server.
            for one_off in one_offs::unfinished(tx)? {
                if one_off.kind == DynoKind::Build {
                    one_offs::cancel(tx, one_off.id, Timestamp::now())?;
                    tx.poke(Poke::Dynos);
                }
            }
            Ok(())
        })
        .await
}

/// Writes the build's output. The build's end closes it.
///
/// # Errors
/// When the file cannot be opened.
pub fn output(control: &Control, id: BuildId) -> Result<OutputWriter> {
    Ok(control.outputs.create(id)?)
}

/// Follows the build's output from its start; `None` when it is no longer kept.
///
/// # Errors
/// When the output cannot be read.
pub async fn follow(control: &Control, id: BuildId) -> Result<Option<Follow>> {
    Ok(control.outputs.follow(id).await?)
}

/// Where a source archive (tar.gz) is.
///
/// # Errors
/// When it is not the name of one.
pub fn source_path(control: &Control, source_blob: &str) -> Result<PathBuf> {
    control.blobs.path(source_blob).map_err(|_| Error::NotFound(Resource::Source))
}

/// Notes what a build has fetched. `version` counts if the source came without one.
///
/// # Errors
/// When the database fails.
pub async fn fetched(
    control: &Control,
    id: BuildId,
    blob: String,
    version: Option<String>,
) -> Result<()> {
    control
        .write(move |_, tx| {
            let version = version.as_deref();
            Ok(builds::set_fetched(tx, id, &blob, version, Timestamp::now())?)
        })
        .await
}

/// Whether this version of the source was built well before.
///
/// # Errors
/// When the database fails.
pub async fn was_built(control: &Control, app: AppId, source_version: &str) -> Result<bool> {
    let version = source_version.to_owned();
    control.read(move |db| Ok(builds::has_succeeded(db, app, &version)?)).await
}

fn found(db: &Reader<'_>, id: BuildId) -> Result<Build> {
    builds::find(db, id)?.ok_or(Error::NotFound(Resource::Build))
}

/// Ends all pending builds of an app badly.
pub(crate) fn fail_all(control: &Control, tx: &mut Tx<'_>, app: AppId) -> Result<()> {
    for build in builds::list(tx, app)? {
        end(control, tx, build.id, BuildStatus::Failed)?;
    }
    Ok(())
}

/// Ends a pending build; one that has ended stays as it is.
fn end(control: &Control, tx: &mut Tx<'_>, id: BuildId, status: BuildStatus) -> Result<()> {
    let build = found(tx, id)?;
    if build.status != BuildStatus::Pending {
        return Ok(());
    }
    builds::set_status(tx, id, status, Timestamp::now())?;
    let (line, verdict) = match status {
        BuildStatus::Succeeded => ("Build succeeded".to_owned(), Verdict::Succeeded),
        _ => (format!("Build failed -- check the output of build {id}"), Verdict::Failed),
    };
    control.announce(tx, build.app, vec![line]);
    let outputs = control.outputs.clone();
    tx.after_commit(move || {
        if let Err(error) = outputs.finish(id, verdict) {
            tracing::error!(build.id = %id, %error, "could not end a build's output");
        }
    });
    tx.poke(Poke::Builds);
    tx.poke(Poke::Garbage);
    Ok(())
}

fn open_output(control: &Control, tx: &mut Tx<'_>, id: BuildId) {
    let outputs = control.outputs.clone();
    tx.after_commit(move || {
        if let Err(error) = outputs.create(id) {
            tracing::error!(build.id = %id, %error, "could not open a build's output");
        }
    });
}

#[cfg(test)]
mod tests;
