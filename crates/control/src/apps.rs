//! Apps.

use std::path::Path;

use model::domain::{Domain, DomainKind};
use model::release::Cause;
use model::steps::{Step, reached};
use model::{Account, App, AppId, AppName, ConfigVars, DomainId, Timestamp};
use store::{Poke, Reader, Tx, apps, domains, one_offs};

use crate::releases::{self, Draft};
use crate::{Actor, Control, Error, Resource, Result, access, builds, random, release_phase};

/// What an app's boot time-out may be, in seconds.
pub const BOOT_TIMEOUTS: std::ops::RangeInclusive<u32> = 10..=180;

/// What a new app is to be.
#[derive(Clone, Debug, Default)]
pub struct NewApp {
    /// Its name; `None` for a random one.
    pub name: Option<AppName>,
    /// Its stack; `None` for the default.
    pub stack: Option<String>,
}

/// What is to change of an app; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Another name.
    pub name: Option<AppName>,
    /// Maintenance mode.
    pub maintenance: Option<bool>,
    /// The stack of the next build.
    pub build_stack: Option<String>,
    /// Seconds that web dynos have to listen.
    pub boot_timeout_seconds: Option<u32>,
}

/// Makes an app, with its default domain and the first two rows of its ledger.
///
/// # Errors
/// When the name is taken, there is no such stack, or the database fails.
pub async fn create(control: &Control, who: &Account, new: NewApp) -> Result<App> {
    let who = who.clone();
    control
        .write(move |control, tx| {
            let stack = new.stack.as_deref().unwrap_or(control.settings.default_stack());
            let stack = known_stack(control, stack)?;
            let name = match new.name {
                Some(name) => name,
                None => free_name(control, tx)?,
            };
            check_free(control, tx, &name)?;
            let app = insert(tx, &who, name, stack)?;
            insert_default_domain(control, tx, &app)?;
            for cause in [Cause::Initial, Cause::EnableLogplex] {
                let (slug, config) = (None, ConfigVars::default());
                let draft = Draft { app: app.id, slug, config, cause, actor: Actor::from(&who) };
                releases::append(control, tx, draft)?;
            }
            found(tx, app.id)
        })
        .await
}

/// One's own apps, by name.
///
/// # Errors
/// When the database fails.
pub async fn list(control: &Control, who: &Account) -> Result<Vec<App>> {
    let owner = who.id;
    control.read(move |db| Ok(apps::owned_by(db, owner)?)).await
}

/// One app, by id or name.
///
/// # Errors
/// When there is none, or it is another's, or the database fails.
pub async fn info(control: &Control, who: &Account, id_or_name: &str) -> Result<App> {
    let (who, id_or_name) = (who.clone(), id_or_name.to_owned());
    control.read(move |db| access::named(db, &who, &id_or_name)).await
}

/// One app, for the platform itself; also one that is being destroyed.
///
/// # Errors
/// When there is none or the database fails.
pub async fn find(control: &Control, id: AppId) -> Result<App> {
    control.read(move |db| found(db, id)).await
}

/// Changes an app, all or nothing. None of it makes a release.
///
/// # Errors
/// When the app is not found, the name is taken, there is no such stack, or the database fails.
pub async fn update(control: &Control, who: &Account, id: AppId, changes: Changes) -> Result<App> {
    let who = who.clone();
    control
        .write(move |control, tx| {
            let mut app = access::app(tx, &who, id)?;
            let now = Timestamp::now();
            if let Some(name) = changes.name.filter(|name| *name != app.name) {
                check_free(control, tx, &name)?;
                domains::rename_default(tx, id, &control.settings.hostname(&name), now)?;
                tx.poke(Poke::Certificates);
                app.name = name;
            }
            if let Some(stack) = changes.build_stack {
                app.build_stack = known_stack(control, &stack)?;
            }
            if let Some(seconds) = changes.boot_timeout_seconds {
                app.boot_timeout_seconds = Some(boot_timeout(seconds)?);
            }
            if let Some(maintenance) = changes.maintenance {
                set_maintenance(control, tx, &mut app, maintenance, &who);
            }
            apps::update(tx, &app, now)?;
            tx.poke(Poke::Routes);
            found(tx, id)
        })
        .await
}

/// Destroys an app: nobody sees it any more, its names are free, its dynos stop, and the garbage
/// reconciler removes the rest.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn destroy(control: &Control, who: &Account, id: AppId) -> Result<App> {
    let who = who.clone();
    control
        .write(move |control, tx| {
            access::app(tx, &who, id)?;
            let now = Timestamp::now();
            for one_off in one_offs::unfinished_of(tx, id)? {
                one_offs::cancel(tx, one_off.id, now)?;
            }
            // Whoever waits for a build or a release is told now.
            builds::fail_all(control, tx, id)?;
            release_phase::fail_all(control, tx, id)?;
            domains::delete_all(tx, id)?;
            store::certificates::delete_all(tx, id)?;
            apps::mark_deleted(tx, id, now)?;
            tx.poke(Poke::Certificates);
            for poke in [Poke::Routes, Poke::Dynos, Poke::Builds, Poke::OneOffs, Poke::Garbage] {
                tx.poke(poke);
            }
            tx.after_commit(|| reached(Step::AppMarked));
            found(tx, id)
        })
        .await
}

/// Notes the measured size of the app's repository.
///
/// # Errors
/// When the database fails.
pub async fn set_repo_bytes(control: &Control, id: AppId, bytes: u64) -> Result<()> {
    control.write(move |_, tx| Ok(apps::set_repo_bytes(tx, id, bytes)?)).await
}

/// Where the app's git repository is, or would be. It follows the id: a rename moves nothing.
#[must_use]
pub fn repository(control: &Control, id: AppId) -> std::path::PathBuf {
    control.settings.repositories.join(format!("{id}.git"))
}

/// The file of a build cache that names the stack which the cache was filled on.
pub const CACHE_STAMP: &str = "stack";

/// Where the app's build cache is, or would be.
#[must_use]
pub fn cache(control: &Control, id: AppId) -> std::path::PathBuf {
    control.settings.caches.join(Path::new(&id.to_string()))
}

/// Has the next build begin with an empty cache. One that runs now keeps what it has.
///
/// # Errors
/// When the app is not found or the disk fails.
pub async fn purge_cache(control: &Control, who: &Account, id: AppId) -> Result<()> {
    let who = who.clone();
    control.read(move |db| access::app(db, &who, id).map(drop)).await?;
    // A build drops a cache whose stamp does not name its stack.
    let stamp = cache(control, id).join(CACHE_STAMP);
    let emptied = tokio::task::spawn_blocking(move || {
        if stamp.exists() { std::fs::write(&stamp, "") } else { Ok(()) }
    });
    emptied.await.map_err(Error::internal)?.map_err(Error::internal)
}

fn found(db: &Reader<'_>, id: AppId) -> Result<App> {
    apps::find(db, id)?.ok_or(Error::NotFound(Resource::App))
}

fn insert(tx: &mut Tx<'_>, who: &Account, name: AppName, stack: String) -> Result<App> {
    let now = Timestamp::now();
    let app = App {
        id: AppId::random(),
        name,
        owner: who.id,
        owner_email: who.email.clone(),
        stack: stack.clone(),
        build_stack: stack,
        maintenance: false,
        acm: false,
        buildpack_description: None,
        generation: 1,
        repo_bytes: None,
        slug_bytes: None,
        created_at: now,
        updated_at: now,
        released_at: None,
        deleted_at: None,
        boot_timeout_seconds: None,
    };
    apps::insert(tx, &app, &ConfigVars::default())?;
    Ok(app)
}

fn insert_default_domain(control: &Control, tx: &mut Tx<'_>, app: &App) -> Result<()> {
    let domain = Domain {
        id: DomainId::random(),
        app: app.id,
        hostname: control.settings.hostname(&app.name),
        kind: DomainKind::Heroku,
        cname: None,
        endpoint: None,
        acm: None,
        created_at: app.created_at,
        updated_at: app.created_at,
    };
    Ok(domains::insert(tx, &domain)?)
}

fn set_maintenance(
    control: &Control,
    tx: &mut Tx<'_>,
    app: &mut App,
    maintenance: bool,
    who: &Account,
) {
    if app.maintenance == maintenance {
        return;
    }
    app.maintenance = maintenance;
    let word = if maintenance { "enabled" } else { "disabled" };
    let line = format!("Maintenance mode {word} by user {}", who.email);
    control.announce(tx, app.id, vec![line]);
}

fn boot_timeout(seconds: u32) -> Result<u32> {
    if BOOT_TIMEOUTS.contains(&seconds) {
        return Ok(seconds);
    }
    let (least, most) = (BOOT_TIMEOUTS.start(), BOOT_TIMEOUTS.end());
    Err(Error::Invalid(format!("Boot timeout must be {least} to {most} seconds.")))
}

/// A random name that is free. The words and digits give 92 million; a few tries are plenty.
fn free_name(control: &Control, db: &Reader<'_>) -> Result<AppName> {
    for _ in 0..20 {
        let name = random::app_name()?;
        if is_free(control, db, &name)? {
            return Ok(name);
        }
    }
    Err(Error::Unavailable("Couldn't find a free name. Please give one.".to_owned()))
}

fn check_free(control: &Control, db: &Reader<'_>, name: &AppName) -> Result<()> {
    if is_free(control, db, name)? {
        return Ok(());
    }
    Err(Error::Invalid(format!("Name {name} is already taken")))
}

fn is_free(control: &Control, db: &Reader<'_>, name: &AppName) -> Result<bool> {
    let hostname = control.settings.hostname(name);
    let platform = control.settings.platform_hosts.contains(&hostname);
    let app = apps::by_name(db, name.as_str())?.is_some();
    Ok(!platform && !app && domains::by_hostname(db, &hostname)?.is_none())
}

fn known_stack(control: &Control, name: &str) -> Result<String> {
    if control.settings.stacks.iter().any(|stack| stack == name) {
        return Ok(name.to_owned());
    }
    let known = control.settings.stacks.join(", ");
    Err(Error::Invalid(format!("Stack {name} is not available. Available stacks: {known}.")))
}

#[cfg(test)]
mod tests;
