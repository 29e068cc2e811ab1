//! Log drains.

use model::drain::LogDrain;
use model::{AppId, DrainId};

use crate::engine::{Reader, Row, Tx};
use crate::{Error, Poke, Result, values};

/// Writes a new drain.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, drain: &LogDrain) -> Result<()> {
    let url = tx.vault().seal(&place(drain.id), drain.url.reveal().as_bytes())?;
    tx.run(
        "INSERT INTO log_drains (id, app_id, url, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        values![drain.id, drain.app, url, drain.created_at, drain.updated_at],
    )?;
    tx.poke(Poke::Drains);
    Ok(())
}

/// Removes a drain.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, id: DrainId) -> Result<()> {
    tx.run("DELETE FROM log_drains WHERE id = ?1", values![id])?;
    tx.poke(Poke::Drains);
    Ok(())
}

/// The drains of an app, oldest first.
///
/// # Errors
/// When the database fails.
pub fn of_app(db: &Reader<'_>, app: AppId) -> Result<Vec<LogDrain>> {
    let sql = "SELECT d.id, d.app_id, a.name, d.url, d.created_at, d.updated_at
         FROM log_drains d JOIN apps a ON a.id = d.app_id
         WHERE d.app_id = ?1 ORDER BY d.created_at, d.id";
    db.all(sql, values![app], |row| drain(db, row))
}

/// The drains of all living apps.
///
/// # Errors
/// When the database fails.
pub fn all(db: &Reader<'_>) -> Result<Vec<LogDrain>> {
    let sql = "SELECT d.id, d.app_id, a.name, d.url, d.created_at, d.updated_at
         FROM log_drains d JOIN apps a ON a.id = d.app_id
         WHERE a.deleted_at IS NULL ORDER BY d.created_at, d.id";
    db.all(sql, values![], |row| drain(db, row))
}

fn drain(db: &Reader<'_>, row: &mut Row) -> Result<LogDrain> {
    let id: DrainId = row.take()?;
    Ok(LogDrain {
        id,
        app: row.take()?,
        app_name: row.take()?,
        url: open_url(db, &place(id), &row.take::<Vec<u8>>()?)?,
        created_at: row.take()?,
        updated_at: row.take()?,
    })
}

/// Opens a sealed URL.
pub(crate) fn open_url(db: &Reader<'_>, place: &str, sealed: &[u8]) -> Result<model::drain::Url> {
    let plain = zeroize::Zeroizing::new(db.vault().open(place, sealed)?);
    let url = std::str::from_utf8(&plain).ok().and_then(|text| text.parse().ok());
    url.ok_or(Error::Row { sql: "the URL of a drain", kind: "URL" })
}

fn place(id: DrainId) -> String {
    format!("log_drains/{id}/url")
}
