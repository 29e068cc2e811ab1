//! Formations.

use std::collections::HashMap;

use model::formation::Formation;
use model::{AppId, ProcessType};

use crate::engine::{Reader, Row, Tx};
use crate::{Result, routes, values};

/// All process types of an app, by name.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>, app: AppId) -> Result<Vec<Formation>> {
    db.all(
        "SELECT id, app_id, process_type, command, quantity, size, created_at, updated_at
         FROM formations WHERE app_id = ?1 ORDER BY process_type",
        values![app],
        formation,
    )
}

/// How many web dynos are wanted, of each app that wants any.
///
/// # Errors
/// When the database fails.
pub fn web_dynos(db: &Reader<'_>) -> Result<HashMap<AppId, u32>> {
    let sql = "SELECT app_id, quantity FROM formations WHERE process_type = ?1 AND quantity > 0";
    let rows = db.all(sql, values![&ProcessType::web()], |row| Ok((row.take()?, row.take()?)))?;
    Ok(rows.into_iter().collect())
}

/// Writes a process type's wanted state, new or not.
///
/// # Errors
/// When the database fails.
pub fn save(tx: &mut Tx<'_>, row: &Formation) -> Result<()> {
    tx.run(
        "INSERT INTO formations
            (id, app_id, process_type, command, quantity, size, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (app_id, process_type) DO UPDATE
         SET command = ?4, quantity = ?5, size = ?6, updated_at = ?8",
        values![
            row.id,
            row.app,
            &row.process_type,
            &row.command,
            row.quantity,
            row.size,
            row.created_at,
            row.updated_at
        ],
    )?;
    routes::changed(tx, row.app)
}

/// Removes a process type that the slug no longer has.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, app: AppId, process_type: &ProcessType) -> Result<()> {
    tx.run(
        "DELETE FROM formations WHERE app_id = ?1 AND process_type = ?2",
        values![app, process_type],
    )?;
    routes::changed(tx, app)
}

fn formation(row: &mut Row) -> Result<Formation> {
    Ok(Formation {
        id: row.take()?,
        app: row.take()?,
        process_type: row.take()?,
        command: row.take()?,
        quantity: row.take()?,
        size: row.take()?,
        created_at: row.take()?,
        updated_at: row.take()?,
    })
}
