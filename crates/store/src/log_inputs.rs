//! Licences to write into a log from outside.

use model::drain::LogInput;
use model::{AppId, LogInputId, Secret};

use crate::engine::{Reader, Row, Tx};
use crate::one_offs::hash;
use crate::{Result, values};

/// Writes a new licence; of its token only the hash is kept.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, input: &LogInput, token: &Secret) -> Result<()> {
    tx.run(
        "INSERT INTO log_inputs (id, app_id, name, token_hash, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        values![input.id, input.app, &input.name, hash(token.reveal()), input.created_at],
    )?;
    Ok(())
}

/// Removes a licence.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, id: LogInputId) -> Result<()> {
    tx.run("DELETE FROM log_inputs WHERE id = ?1", values![id])?;
    Ok(())
}

/// The licences of an app, oldest first.
///
/// # Errors
/// When the database fails.
pub fn of_app(db: &Reader<'_>, app: AppId) -> Result<Vec<LogInput>> {
    let sql = "SELECT id, app_id, name, created_at FROM log_inputs
         WHERE app_id = ?1 ORDER BY created_at, id";
    db.all(sql, values![app], input)
}

/// The licence that this token is, if its app lives.
///
/// # Errors
/// When the database fails.
pub fn by_token(db: &Reader<'_>, token: &str) -> Result<Option<LogInput>> {
    let sql = "SELECT i.id, i.app_id, i.name, i.created_at
         FROM log_inputs i JOIN apps a ON a.id = i.app_id
         WHERE i.token_hash = ?1 AND a.deleted_at IS NULL";
    db.one(sql, values![hash(token)], input)
}

fn input(row: &mut Row) -> Result<LogInput> {
    Ok(LogInput { id: row.take()?, app: row.take()?, name: row.take()?, created_at: row.take()? })
}
