//! Restarts: dynos made before a moment are to be replaced.

use model::{AppId, Timestamp};

use crate::engine::{Reader, Row, Tx};
use crate::{Result, values};

/// A wish that dynos of `target` made before `not_before` be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// `*` for the whole formation, a process type, or a dyno's name.
    pub target: String,
    /// Dynos made before this are too old.
    pub not_before: Timestamp,
}

/// Writes the wish; a newer one for the same target replaces the older.
///
/// # Errors
/// When the database fails.
pub fn save(tx: &mut Tx<'_>, app: AppId, restart: &Restart) -> Result<()> {
    tx.run(
        "INSERT INTO restarts (app_id, target, not_before) VALUES (?1, ?2, ?3)
         ON CONFLICT (app_id, target) DO UPDATE SET not_before = ?3",
        values![app, &restart.target, restart.not_before],
    )?;
    Ok(())
}

/// All wishes of an app.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>, app: AppId) -> Result<Vec<Restart>> {
    db.all(
        "SELECT target, not_before FROM restarts WHERE app_id = ?1 ORDER BY target",
        values![app],
        |row: &mut Row| Ok(Restart { target: row.take()?, not_before: row.take()? }),
    )
}
