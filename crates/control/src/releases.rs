//! Releases: the ledger, and what becomes current.

use std::str::FromStr;

use model::release::{Cause, ReleaseStatus};
use model::steps::{Step, reached};
use model::{Account, AppId, ConfigVars, ProcessType, Release, ReleaseId, Slug, SlugId, Timestamp};
use store::{Poke, Reader, Tx, apps, releases, slugs};

use crate::{Actor, Control, Error, Follow, Resource, Result, access, formations, ledger};

/// Which release of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseRef {
    /// By its id.
    Id(ReleaseId),
    /// By its version.
    Version(u32),
}

impl FromStr for ReleaseRef {
    type Err = Error;
    /// An id, `12` or `v12`. Anything else is the name of no release.
    fn from_str(text: &str) -> Result<Self> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let version = text.strip_prefix('v').unwrap_or(text).parse();
        version.map(Self::Version).map_err(|_| Error::NotFound(Resource::Release))
    }
}

/// All releases of an app, oldest first.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<Release>> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            Ok(releases::list(db, app)?)
        })
        .await
}

/// One release.
///
/// # Errors
/// When the app or the release is not found, or the database fails.
pub async fn info(
    control: &Control,
    who: &Account,
    app: AppId,
    which: ReleaseRef,
) -> Result<Release> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            of_app(db, app, which)
        })
        .await
}

/// One release, for the platform itself.
///
/// # Errors
/// When there is none or the database fails.
pub async fn find(control: &Control, id: ReleaseId) -> Result<Release> {
    control.read(move |db| found(db, id)).await
}

/// Releases a slug through the API, with a description or Heroku's own.
///
/// # Errors
/// When the app or the slug is not found, or the database fails.
pub async fn create(
    control: &Control,
    who: &Account,
    app: AppId,
    slug: SlugId,
    description: Option<String>,
) -> Result<Release> {
    let who = who.clone();
    control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            let slug = slugs::find(tx, slug)?.filter(|slug| slug.app == app.id);
            let slug = slug.ok_or(Error::NotFound(Resource::Slug))?;
            let cause = match description.filter(|text| !text.trim().is_empty()) {
                Some(text) => Cause::Described(one_line(&text)?),
                None => Cause::Deploy { commit: slug.commit },
            };
            let config = config(tx, app.id)?;
            let (slug, actor) = (Some(slug.id), Actor::from(&who));
            append(control, tx, Draft { app: app.id, slug, config, cause, actor })
        })
        .await
}

/// Releases an older release's slug and config vars again, as a new release. The config vars of
/// the app become those of the old release.
///
/// # Errors
/// When the app or the release is not found, the release never ran, or the database fails.
pub async fn rollback(
    control: &Control,
    who: &Account,
    app: AppId,
    to: ReleaseRef,
) -> Result<Release> {
    let who = who.clone();
    control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            let old = of_app(tx, app.id, to)?;
            check_eligible(&old)?;
            apps::set_config(tx, app.id, &old.config, Timestamp::now())?;
            let cause = Cause::Rollback { version: old.version };
            let (slug, config, actor) = (old.slug, old.config, Actor::from(&who));
            tx.poke(Poke::Routes);
            append(control, tx, Draft { app: app.id, slug, config, cause, actor })
        })
        .await
}

/// Waits until a release has succeeded or failed. Put a time limit around it.
///
/// # Errors
/// When the release is not found (any more) or the database fails.
pub async fn wait_settled(control: &Control, id: ReleaseId) -> Result<Release> {
    let mut poked = control.store.subscribe(Poke::Releases);
    loop {
        let release = find(control, id).await?;
        if release.status != ReleaseStatus::Pending {
            return Ok(release);
        }
        poked.changed().await.map_err(Error::internal)?;
    }
}

/// Follows what the release's command prints, from the start; `None` when it has no command.
///
/// # Errors
/// When the output cannot be read.
pub async fn follow(control: &Control, id: ReleaseId) -> Result<Option<Follow>> {
    Ok(control.outputs.follow(id).await?)
}

/// A row of the ledger to be.
pub(crate) struct Draft {
    pub app: AppId,
    pub slug: Option<SlugId>,
    pub config: ConfigVars,
    pub cause: Cause,
    pub actor: Actor,
}

/// Writes the next row of the ledger. With a `release` process type it is pending until its command
/// has succeeded; otherwise it is current at once.
pub(crate) fn append(control: &Control, tx: &mut Tx<'_>, draft: Draft) -> Result<Release> {
    let newest = releases::newest(tx, draft.app)?;
    let slug = draft.slug.map(|id| slugs::find(tx, id)).transpose()?.flatten();
    let pending = slug.as_ref().and_then(release_command).is_some();
    let now = Timestamp::now();
    let mut release = Release {
        id: ReleaseId::random(),
        app: draft.app,
        version: newest.as_ref().map_or(1, |newest| newest.version + 1),
        description: draft.cause.to_string(),
        actor: draft.actor.id,
        actor_email: draft.actor.email,
        slug: draft.slug,
        config: draft.config,
        status: if pending { ReleaseStatus::Pending } else { ReleaseStatus::Succeeded },
        current: false,
        has_output: pending,
        hash: String::new(),
        created_at: now,
        updated_at: now,
        slug_is_kept: slug.is_some(),
    };
    let previous = newest.map_or_else(String::new, |newest| newest.hash);
    release.hash = ledger::hash(&previous, &release);
    releases::insert(tx, &release, &previous)?;
    tx.poke(Poke::Releases);
    announce_new(control, tx, &release);
    if pending {
        open_output(control, tx, release.id);
    } else {
        make_current(control, tx, &release)?;
    }
    reached(Step::ReleaseAppended);
    found(tx, release.id)
}

/// Notes that a release's command succeeded: the release may become current.
pub(crate) fn succeed(control: &Control, tx: &mut Tx<'_>, id: ReleaseId) -> Result<()> {
    let release = found(tx, id)?;
    if release.status != ReleaseStatus::Pending {
        return Ok(());
    }
    releases::set_status(tx, id, ReleaseStatus::Succeeded, Timestamp::now())?;
    tx.poke(Poke::Releases);
    control.announce(tx, release.app, vec![created_line(&release)]);
    tx.after_commit(|| reached(Step::ReleaseSettled));
    make_current(control, tx, &release)
}

/// Notes that a release's command failed: what was current stays so.
pub(crate) fn fail(control: &Control, tx: &mut Tx<'_>, id: ReleaseId) -> Result<()> {
    let release = found(tx, id)?;
    if release.status != ReleaseStatus::Pending {
        return Ok(());
    }
    releases::set_status(tx, id, ReleaseStatus::Failed, Timestamp::now())?;
    tx.poke(Poke::Releases);
    let line = format!("Release v{} command failed", release.version);
    control.announce(tx, release.app, vec![line]);
    Ok(())
}

/// The slug that a release which brings none of its own runs: that of the newest release that has
/// not failed, so that a deploy which still waits for its command is not undone.
pub(crate) fn slug_to_carry_on(db: &Reader<'_>, app: AppId) -> Result<Option<SlugId>> {
    Ok(releases::newest_hopeful(db, app)?.and_then(|release| release.slug))
}

/// The command to run before a release of this slug becomes current.
pub(crate) fn release_command(slug: &Slug) -> Option<&str> {
    slug.process_types.get(&ProcessType::release()).map(String::as_str)
}

/// Takes over everything that follows the current release, if `release` is it: an older one whose
/// command took longer is not.
fn make_current(control: &Control, tx: &mut Tx<'_>, release: &Release) -> Result<()> {
    apps::raise_generation(tx, release.app)?;
    tx.poke(Poke::Dynos);
    tx.poke(Poke::Routes);
    let is_current = releases::current(tx, release.app)?.is_some_and(|now| now.id == release.id);
    let slug = release.slug.map(|id| slugs::find(tx, id)).transpose()?.flatten();
    let (true, Some(slug)) = (is_current, slug) else { return Ok(()) };
    let Some(mut app) = apps::find(tx, release.app)? else { return Ok(()) };
    let actor = Actor { id: release.actor, email: release.actor_email.clone() };
    formations::follow_slug(control, tx, &app, &slug, &actor)?;
    let now = Timestamp::now();
    app.stack = slug.stack;
    app.slug_bytes = Some(slug.bytes);
    app.buildpack_description = slug.buildpack_description;
    app.released_at = Some(now);
    Ok(apps::update(tx, &app, now)?)
}

fn of_app(db: &Reader<'_>, app: AppId, which: ReleaseRef) -> Result<Release> {
    let release = match which {
        ReleaseRef::Id(id) => releases::find(db, id)?.filter(|release| release.app == app),
        ReleaseRef::Version(version) => releases::by_version(db, app, version)?,
    };
    release.ok_or(Error::NotFound(Resource::Release))
}

fn found(db: &Reader<'_>, id: ReleaseId) -> Result<Release> {
    releases::find(db, id)?.ok_or(Error::NotFound(Resource::Release))
}

fn config(db: &Reader<'_>, app: AppId) -> Result<ConfigVars> {
    apps::config(db, app)?.ok_or(Error::NotFound(Resource::App))
}

fn check_eligible(release: &Release) -> Result<()> {
    if release.eligible_for_rollback() {
        return Ok(());
    }
    let why = match release.status {
        ReleaseStatus::Pending => "its release command is still running",
        ReleaseStatus::Failed => "its release command failed",
        ReleaseStatus::Succeeded if release.slug.is_some() => "its slug is too old and was removed",
        ReleaseStatus::Succeeded => "it has no slug",
    };
    Err(Error::Invalid(format!("Cannot roll back to v{}: {why}.", release.version)))
}

fn one_line(text: &str) -> Result<String> {
    let text = text.trim();
    if text.len() > 1000 || text.chars().any(char::is_control) {
        let rule = "Description must be one line of at most 1000 bytes.";
        return Err(Error::Invalid(rule.to_owned()));
    }
    Ok(text.to_owned())
}

fn announce_new(control: &Control, tx: &mut Tx<'_>, release: &Release) {
    let Release { description, actor_email, version, .. } = release;
    let second = match release.status {
        ReleaseStatus::Pending => {
            format!("Running release v{version} commands by user {actor_email}")
        }
        ReleaseStatus::Succeeded | ReleaseStatus::Failed => created_line(release),
    };
    let lines = vec![format!("{description} by user {actor_email}"), second];
    control.announce(tx, release.app, lines);
}

fn created_line(release: &Release) -> String {
    format!("Release v{} created by user {}", release.version, release.actor_email)
}

/// From the moment a pending release exists its output can be followed, also before its command
/// has said anything.
fn open_output(control: &Control, tx: &mut Tx<'_>, id: ReleaseId) {
    let outputs = control.outputs.clone();
    tx.after_commit(move || {
        if let Err(error) = outputs.create(id) {
            tracing::error!(release.id = %id, %error, "could not open a release's output");
        }
    });
}

#[cfg(test)]
mod tests;
