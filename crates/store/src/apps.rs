//! Apps and their config vars.

use std::collections::BTreeMap;

use model::{AccountId, App, AppId, ConfigVars, Timestamp};

use crate::engine::{Reader, Row, Tx};
use crate::{Error, Result, routes, values};

/// The columns of an app joined with its owner, in the order [`app`] takes them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.name, a.owner_id, o.email, a.stack, a.build_stack, a.maintenance,
                    a.buildpack_description, a.generation, a.repo_bytes, a.slug_bytes,
                    a.created_at, a.updated_at, a.released_at, a.deleted_at, a.boot_timeout, a.acm
             FROM apps a JOIN accounts o ON o.id = a.owner_id ",
            $rest
        )
    };
}

/// Writes a new app with its first config vars.
///
/// # Errors
/// When the name is taken or the database fails.
pub fn insert(tx: &mut Tx<'_>, app: &App, config: &ConfigVars) -> Result<()> {
    let config = seal_config(tx, &config_place(app.id), config)?;
    tx.run(
        "INSERT INTO apps (id, name, owner_id, stack, build_stack, maintenance, config, generation,
                           created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        values![
            app.id,
            &app.name,
            app.owner,
            &app.stack,
            &app.build_stack,
            app.maintenance,
            config,
            app.generation,
            app.created_at,
            app.updated_at
        ],
    )?;
    Ok(())
}

/// One app, also when its destruction was asked for.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, id: AppId) -> Result<Option<App>> {
    db.one(select!("WHERE a.id = ?1"), values![id], app)
}

/// The living app of this name.
///
/// # Errors
/// When the database fails.
pub fn by_name(db: &Reader<'_>, name: &str) -> Result<Option<App>> {
    db.one(select!("WHERE a.name = ?1 AND a.deleted_at IS NULL"), values![name], app)
}

/// The living apps of one owner, by name.
///
/// # Errors
/// When the database fails.
pub fn owned_by(db: &Reader<'_>, owner: AccountId) -> Result<Vec<App>> {
    db.all(
        select!("WHERE a.owner_id = ?1 AND a.deleted_at IS NULL ORDER BY a.name"),
        values![owner],
        app,
    )
}

/// All living apps, by name.
///
/// # Errors
/// When the database fails.
pub fn living(db: &Reader<'_>) -> Result<Vec<App>> {
    db.all(select!("WHERE a.deleted_at IS NULL ORDER BY a.name"), values![], app)
}

/// Apps that are to be emptied.
///
/// # Errors
/// When the database fails.
pub fn deleted(db: &Reader<'_>) -> Result<Vec<App>> {
    db.all(select!("WHERE a.deleted_at IS NOT NULL"), values![], app)
}

/// Writes the app's fields that people or releases change: name, stacks, maintenance, buildpack,
/// slug size, release time, boot time-out. `updated_at` becomes `now`.
///
/// # Errors
/// When the name is taken or the database fails.
pub fn update(tx: &mut Tx<'_>, app: &App, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE apps SET name = ?2, stack = ?3, build_stack = ?4, maintenance = ?5,
                         buildpack_description = ?6, slug_bytes = ?7, released_at = ?8,
                         boot_timeout = ?9, updated_at = ?10, acm = ?11
         WHERE id = ?1",
        values![
            app.id,
            &app.name,
            &app.stack,
            &app.build_stack,
            app.maintenance,
            app.buildpack_description.as_ref(),
            app.slug_bytes,
            app.released_at,
            app.boot_timeout_seconds,
            now,
            app.acm
        ],
    )?;
    routes::changed(tx, app.id)
}

/// Notes the measured size of the repository; no change of the app in people's eyes.
///
/// # Errors
/// When the database fails.
pub fn set_repo_bytes(tx: &mut Tx<'_>, id: AppId, bytes: u64) -> Result<()> {
    tx.run("UPDATE apps SET repo_bytes = ?2 WHERE id = ?1", values![id, bytes])?;
    Ok(())
}

/// Raises the generation: the intent changed.
///
/// # Errors
/// When the database fails.
pub fn raise_generation(tx: &mut Tx<'_>, id: AppId) -> Result<()> {
    tx.run("UPDATE apps SET generation = generation + 1 WHERE id = ?1", values![id])?;
    Ok(())
}

/// Marks the app for reconcilers to empty; its name is free at once.
///
/// # Errors
/// When the database fails.
pub fn mark_deleted(tx: &mut Tx<'_>, id: AppId, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE apps SET deleted_at = ?2, updated_at = ?2, generation = generation + 1
         WHERE id = ?1",
        values![id, now],
    )?;
    routes::changed(tx, id)
}

/// The config vars the next release will carry.
///
/// # Errors
/// When there is no such app, the vars cannot be opened, or the database fails.
pub fn config(db: &Reader<'_>, id: AppId) -> Result<Option<ConfigVars>> {
    let sealed = db.cell::<Vec<u8>>("SELECT config FROM apps WHERE id = ?1", values![id])?;
    sealed.map(|sealed| open_config(db, &config_place(id), &sealed)).transpose()
}

/// Replaces the config vars.
///
/// # Errors
/// When the database fails.
pub fn set_config(tx: &mut Tx<'_>, id: AppId, config: &ConfigVars, now: Timestamp) -> Result<()> {
    let sealed = seal_config(tx, &config_place(id), config)?;
    tx.run("UPDATE apps SET config = ?2, updated_at = ?3 WHERE id = ?1", values![id, sealed, now])?;
    routes::changed(tx, id)
}

fn config_place(id: AppId) -> String {
    format!("apps/{id}/config")
}

/// Seals config vars (or a one-off's variables) for the row at `place`.
pub(crate) fn seal_config(db: &Reader<'_>, place: &str, config: &ConfigVars) -> Result<Vec<u8>> {
    let json = |source| Error::Json { place: place.to_owned(), source };
    db.vault().seal(place, &serde_json::to_vec(&config.0).map_err(json)?)
}

/// Opens what [`seal_config`] sealed.
pub(crate) fn open_config(db: &Reader<'_>, place: &str, sealed: &[u8]) -> Result<ConfigVars> {
    let json = |source| Error::Json { place: place.to_owned(), source };
    let plain = zeroize::Zeroizing::new(db.vault().open(place, sealed)?);
    let vars: BTreeMap<String, String> = serde_json::from_slice(&plain).map_err(json)?;
    Ok(ConfigVars(vars))
}

fn app(row: &mut Row) -> Result<App> {
    Ok(App {
        id: row.take()?,
        name: row.take()?,
        owner: row.take()?,
        owner_email: row.take()?,
        stack: row.take()?,
        build_stack: row.take()?,
        maintenance: row.take()?,
        buildpack_description: row.take()?,
        generation: row.take()?,
        repo_bytes: row.take()?,
        slug_bytes: row.take()?,
        created_at: row.take()?,
        updated_at: row.take()?,
        released_at: row.take()?,
        deleted_at: row.take()?,
        boot_timeout_seconds: row.take()?,
        acm: row.take()?,
    })
}
