//! How many there are of what, for the operator.

use crate::engine::{Reader, Row};
use crate::{Result, values};

/// Living apps.
///
/// # Errors
/// When the statement fails.
pub fn apps(db: &Reader<'_>) -> Result<u64> {
    let sql = "SELECT COUNT(*) FROM apps WHERE deleted_at IS NULL";
    Ok(db.cell(sql, values![])?.unwrap_or(0))
}

/// Dynos that have not ended, and crashed ones, by the word of their state.
///
/// # Errors
/// When the statement fails.
pub fn dynos(db: &Reader<'_>) -> Result<Vec<(String, u64)>> {
    let sql = "SELECT state, COUNT(*) FROM dynos WHERE ended_at IS NULL OR state = 'crashed'
               GROUP BY state ORDER BY state";
    db.all(sql, values![], pair)
}

/// Builds by the word of their status.
///
/// # Errors
/// When the statement fails.
pub fn builds(db: &Reader<'_>) -> Result<Vec<(String, u64)>> {
    let sql = "SELECT status, COUNT(*) FROM builds GROUP BY status ORDER BY status";
    db.all(sql, values![], pair)
}

fn pair(row: &mut Row) -> Result<(String, u64)> {
    Ok((row.take()?, row.take()?))
}
