//! Sources: places to upload a source archive to.

use model::{AccountId, Source, SourceId};

use crate::engine::{Reader, Tx};
use crate::{Result, values};

/// Writes a new, empty place.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, source: &Source, account: AccountId) -> Result<()> {
    tx.run(
        "INSERT INTO sources (id, app_id, account_id, created_at) VALUES (?1, ?2, ?3, ?4)",
        values![source.id, source.app, account, source.created_at],
    )?;
    Ok(())
}

/// One place.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, id: SourceId) -> Result<Option<Source>> {
    db.one("SELECT id, app_id, blob, created_at FROM sources WHERE id = ?1", values![id], |row| {
        Ok(Source { id: row.take()?, app: row.take()?, blob: row.take()?, created_at: row.take()? })
    })
}

/// Notes the uploaded archive; answers whether the place was empty until now.
///
/// # Errors
/// When the database fails.
pub fn fill(tx: &mut Tx<'_>, id: SourceId, blob: &str) -> Result<bool> {
    let sql = "UPDATE sources SET blob = ?2 WHERE id = ?1 AND blob IS NULL";
    Ok(tx.run(sql, values![id, blob])? == 1)
}
