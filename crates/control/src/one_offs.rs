//! Dynos that are wanted once: `heroku run`, release commands, builds.

use std::collections::{BTreeMap, HashSet};

use model::dyno::{DynoKind, Mount, OneOff, Terminal};
use model::steps::{Step, reached};
use model::{Account, AppId, DynoId, DynoName, DynoSize, ProcessType, Release, Slug, Timestamp};
use store::one_offs::Outcome;
use store::{Poke, Reader, Tx, formations, one_offs, releases, slugs};

use crate::{Actor, Control, Error, Resource, Result, access, random};

/// No one-off lives longer.
pub const MAX_SECONDS: u32 = 24 * 3600;

/// At most this many `heroku run` dynos of one app at a time.
pub const MAX_PER_APP: usize = 50;

/// Bytes of a command, and of all extra variables together.
const MAX_TEXT: usize = 64 * 1024;

/// What a person wants to run.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Shell command. A process type's name stands for its command.
    pub command: String,
    /// Variables on top of the config vars.
    pub env: BTreeMap<String, String>,
    /// Process type in its name; `None` for `run`.
    pub process_type: Option<ProcessType>,
    /// Size; `None` for the app's usual one.
    pub size: Option<DynoSize>,
    /// Terminal.
    pub terminal: Terminal,
    /// It is stopped after so many seconds; `None` for a day.
    pub time_to_live_seconds: Option<u32>,
}

/// A one-off to come, and the release it runs.
#[derive(Clone, Debug)]
pub struct Run {
    /// The one-off, with its attach secret when its terminal is attached.
    pub one_off: OneOff,
    /// Its release.
    pub release: Release,
}

/// Asks for a one-off dyno of the current release.
///
/// # Errors
/// When the app is not found, has nothing to run (yet), what is asked makes no sense, too many are
/// running, or the database fails.
pub async fn run(control: &Control, who: &Account, app: AppId, new: NewRun) -> Result<Run> {
    check(&new)?;
    let who = who.clone();
    control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            let (release, slug) = runnable(tx, app.id)?;
            let process_type = new.process_type.unwrap_or_else(ProcessType::run);
            let name = free_name(tx, app.id, process_type)?;
            let attach = new.terminal.is_attached();
            let one_off = OneOff {
                id: DynoId::random(),
                app: app.id,
                name,
                kind: DynoKind::Run,
                release: Some(release.id),
                command: expand(&new.command, &slug),
                env: new.env,
                mounts: Vec::new(),
                size: new.size.map_or_else(|| usual_size(control, tx, app.id), Ok)?,
                terminal: new.terminal,
                time_to_live_seconds: new.time_to_live_seconds.unwrap_or(MAX_SECONDS),
                attach_secret: attach.then(random::attach_secret).transpose()?,
                actor: who.id,
                created_at: Timestamp::now(),
                cancelled_at: None,
            };
            insert(tx, &one_off)?;
            let line = format!(
                "Starting process with command `{}` by user {}",
                one_off.command, who.email
            );
            control.announce(tx, app.id, vec![one_line(&line)]);
            tx.after_commit(|| reached(Step::OneOffAsked));
            Ok(Run { one_off, release })
        })
        .await
}

/// What a build dyno is to be.
#[derive(Clone, Debug)]
pub struct NewBuildDyno {
    /// Shell command.
    pub command: String,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// Host paths shown inside.
    pub mounts: Vec<Mount>,
    /// It is stopped after so many seconds.
    pub time_to_live_seconds: u32,
}

/// Asks for a build dyno, for the platform itself. Its raw output is
/// [`control.outputs`](Control::outputs) of its id.
///
/// # Errors
/// When the database fails.
pub async fn start_build(
    control: &Control,
    build: &model::build::Build,
    new: NewBuildDyno,
) -> Result<OneOff> {
    let (app, actor) = (build.app, Actor::from(build));
    control
        .write(move |control, tx| {
            let one_off = OneOff {
                id: DynoId::random(),
                app,
                name: free_name(tx, app, ProcessType::build())?,
                kind: DynoKind::Build,
                release: None,
                command: new.command,
                env: new.env,
                mounts: new.mounts,
                size: control.settings.default_size,
                terminal: Terminal::Detached,
                time_to_live_seconds: new.time_to_live_seconds,
                attach_secret: None,
                actor: actor.id,
                created_at: Timestamp::now(),
                cancelled_at: None,
            };
            insert(tx, &one_off)?;
            let (outputs, id) = (control.outputs.clone(), one_off.id);
            tx.after_commit(move || {
                if let Err(error) = outputs.create(id) {
                    tracing::error!(dyno.id = %id, %error, "could not open a dyno's output");
                }
            });
            Ok(one_off)
        })
        .await
}

/// Asks for the end of a one-off, for the platform itself.
///
/// # Errors
/// When the database fails.
pub async fn cancel(control: &Control, id: DynoId) -> Result<()> {
    control
        .write(move |_, tx| {
            one_offs::cancel(tx, id, Timestamp::now())?;
            tx.poke(Poke::Dynos);
            Ok(())
        })
        .await
}

/// How a one-off ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its process ended so.
    Exited(model::dyno::Exit),
    /// It never ran: it could not be started, or was cancelled before.
    NeverRan,
}

/// Waits until a one-off has ended.
///
/// # Errors
/// When there is none (any more) or the database fails.
pub async fn wait_ended(control: &Control, id: DynoId) -> Result<End> {
    let mut poked = control.store.subscribe(Poke::OneOffs);
    loop {
        let outcome = control.read(move |db| Ok(one_offs::outcome(db, id)?)).await?;
        match outcome.ok_or(Error::NotFound(Resource::Dyno))? {
            Outcome::Unfinished => poked.changed().await.map_err(Error::internal)?,
            Outcome::Exited(exit) => return Ok(End::Exited(exit)),
            Outcome::NeverRan => return Ok(End::NeverRan),
        }
    }
}

/// Asks for the dyno that runs a release's command.
pub(crate) fn start_release(
    control: &Control,
    tx: &mut Tx<'_>,
    release: &Release,
    command: &str,
) -> Result<OneOff> {
    let one_off = OneOff {
        id: DynoId::random(),
        app: release.app,
        name: free_name(tx, release.app, ProcessType::release())?,
        kind: DynoKind::Release,
        release: Some(release.id),
        command: command.to_owned(),
        env: BTreeMap::new(),
        mounts: Vec::new(),
        size: release_size(control, tx, release.app)?,
        terminal: Terminal::Detached,
        time_to_live_seconds: 3600,
        attach_secret: None,
        actor: release.actor,
        created_at: Timestamp::now(),
        cancelled_at: None,
    };
    insert(tx, &one_off)?;
    Ok(one_off)
}

fn insert(tx: &mut Tx<'_>, one_off: &OneOff) -> Result<()> {
    one_offs::insert(tx, one_off)?;
    tx.poke(Poke::Dynos);
    Ok(())
}

/// The current release and its slug.
fn runnable(db: &Reader<'_>, app: AppId) -> Result<(Release, Slug)> {
    let release = releases::current(db, app)?;
    let slug = release.as_ref().and_then(|release| release.slug);
    let slug = slug.map(|id| slugs::find(db, id)).transpose()?.flatten();
    if let (Some(release), Some(slug)) = (release, slug) {
        return Ok((release, slug));
    }
    // Heroku's CLI tries again at once when told so.
    if releases::newest_hopeful(db, app)?.is_some_and(|release| release.slug.is_some()) {
        return Err(Error::Conflict("The app's release is not ready yet.".to_owned()));
    }
    Err(Error::Invalid("Cannot run a command: the app has not been deployed yet.".to_owned()))
}

/// `type.NNNN` with a random number that no unfinished one-off of the app has.
fn free_name(db: &Reader<'_>, app: AppId, process_type: ProcessType) -> Result<DynoName> {
    let unfinished = one_offs::unfinished_of(db, app)?;
    let runs = unfinished.iter().filter(|one_off| one_off.kind == DynoKind::Run).count();
    if process_type != ProcessType::build()
        && process_type != ProcessType::release()
        && runs >= MAX_PER_APP
    {
        let limit = format!("Cannot run more than {MAX_PER_APP} one-off dynos of an app at once.");
        return Err(Error::TooMany(limit));
    }
    let used: HashSet<u32> = unfinished.iter().map(|one_off| one_off.name.number).collect();
    for _ in 0..100 {
        let number = 1 + random::below(9999)?;
        if !used.contains(&number) {
            return Ok(DynoName { process_type, number });
        }
    }
    Err(Error::Unavailable("Couldn't find a free number for the dyno.".to_owned()))
}

/// A process type's name as the first word stands for its command; further words are kept.
pub(crate) fn expand(command: &str, slug: &Slug) -> String {
    let command = command.trim();
    let (first, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let by_name = first.parse().ok().and_then(|name: ProcessType| slug.process_types.get(&name));
    match by_name {
        None => command.to_owned(),
        Some(full) if rest.is_empty() => full.clone(),
        Some(full) => format!("{full} {}", rest.trim_start()),
    }
}

/// The size of the app's web dynos, or of another type.
fn usual_size(control: &Control, db: &Reader<'_>, app: AppId) -> Result<DynoSize> {
    let rows = formations::list(db, app)?;
    let row = rows.iter().max_by_key(|row| (row.process_type.is_web(), row.quantity));
    Ok(row.map_or(control.settings.default_size, |row| row.size))
}

fn release_size(control: &Control, db: &Reader<'_>, app: AppId) -> Result<DynoSize> {
    let rows = formations::list(db, app)?;
    let row = rows.iter().find(|row| row.process_type == ProcessType::release());
    Ok(row.map_or(control.settings.default_size, |row| row.size))
}

/// Whether a command and variables are such that a shell can be given them.
pub(crate) fn check_command(command: &str, env: &BTreeMap<String, String>) -> Result<()> {
    let invalid = |text: &str| Err(Error::Invalid(text.to_owned()));
    let command = command.trim();
    if command.is_empty() || command.len() > MAX_TEXT || command.contains('\0') {
        return invalid("Command must be 1 to 65536 bytes without a NUL byte.");
    }
    if env.values().any(|value| value.contains('\0'))
        || env.keys().any(|name| name.is_empty() || name.contains(['=', '\0']))
    {
        return invalid("Env must have names without `=` and values without NUL bytes.");
    }
    let bytes: usize = env.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_TEXT {
        return invalid("Env is larger than 65536 bytes.");
    }
    Ok(())
}

fn check(new: &NewRun) -> Result<()> {
    check_command(&new.command, &new.env)?;
    let invalid = |text: &str| Err(Error::Invalid(text.to_owned()));
    if new.time_to_live_seconds.is_some_and(|life| !(1..=MAX_SECONDS).contains(&life)) {
        return invalid("Time to live must be 1 to 86400 seconds.");
    }
    let reserved = [ProcessType::web(), ProcessType::release(), ProcessType::build()];
    if new.process_type.as_ref().is_some_and(|name| reserved.contains(name)) {
        return invalid("Type of a one-off dyno cannot be web, release or build.");
    }
    Ok(())
}

pub(crate) fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests;
