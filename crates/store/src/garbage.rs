//! Throwing away: rows that nobody will ask for again.

use std::collections::HashSet;

use model::{AppId, BuildId, DynoId, ReleaseId, Timestamp};

use crate::engine::{Reader, Row, Tx};
use crate::{Result, values};

/// Whether dynos of an app still run, or may still be started.
///
/// # Errors
/// When the database fails.
pub fn has_dynos(db: &Reader<'_>, app: AppId) -> Result<bool> {
    let count = db.cell::<i64>(
        "SELECT (SELECT COUNT(*) FROM dynos WHERE app_id = ?1 AND ended_at IS NULL)
              + (SELECT COUNT(*) FROM one_offs WHERE app_id = ?1 AND finished_at IS NULL)",
        values![app],
    )?;
    Ok(count.unwrap_or(0) > 0)
}

/// What an app leaves outside the database.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Builds, whose output goes.
    pub builds: Vec<BuildId>,
    /// Releases, whose command's output goes.
    pub releases: Vec<ReleaseId>,
    /// Build dynos, whose output goes.
    pub dynos: Vec<DynoId>,
}

/// What an app leaves outside the database.
///
/// # Errors
/// When the database fails.
pub fn outputs_of(db: &Reader<'_>, app: AppId) -> Result<Outputs> {
    let app = values![app];
    Ok(Outputs {
        builds: db.all("SELECT id FROM builds WHERE app_id = ?1", app, Row::take)?,
        releases: db.all(
            "SELECT id FROM releases WHERE app_id = ?1 AND has_output",
            app,
            Row::take,
        )?,
        dynos: db.all(
            "SELECT id FROM one_offs WHERE app_id = ?1 AND kind = 'build'",
            app,
            Row::take,
        )?,
    })
}

/// Removes every row of an app. Call it only when its dynos are gone.
///
/// # Errors
/// When the database fails.
pub fn delete_app(tx: &mut Tx<'_>, app: AppId) -> Result<()> {
    // Rows that point at others go before those.
    const TABLES: [&str; 15] = [
        "DELETE FROM traffic WHERE app_id = ?1",
        "DELETE FROM visits WHERE app_id = ?1",
        "DELETE FROM app_features WHERE app_id = ?1",
        "DELETE FROM log_sessions WHERE app_id = ?1",
        "DELETE FROM buildpack_installations WHERE app_id = ?1",
        "DELETE FROM sources WHERE app_id = ?1",
        "DELETE FROM builds WHERE app_id = ?1",
        "DELETE FROM dynos WHERE app_id = ?1",
        "DELETE FROM one_offs WHERE app_id = ?1",
        "DELETE FROM restarts WHERE app_id = ?1",
        "DELETE FROM formations WHERE app_id = ?1",
        "DELETE FROM releases WHERE app_id = ?1",
        "DELETE FROM slugs WHERE app_id = ?1",
        "DELETE FROM domains WHERE app_id = ?1",
        "DELETE FROM apps WHERE id = ?1",
    ];
    for sql in TABLES {
        tx.run(sql, values![app])?;
    }
    Ok(())
}

/// Removes log sessions, sources and ended dynos from before `before`. Crashed dynos stay: people
/// see them. Answers the dynos removed.
///
/// # Errors
/// When the database fails.
pub fn delete_old(tx: &mut Tx<'_>, before: Timestamp) -> Result<Vec<DynoId>> {
    let before = values![before];
    tx.run("DELETE FROM log_sessions WHERE created_at < ?1", before)?;
    tx.run("DELETE FROM sources WHERE created_at < ?1", before)?;
    tx.run("DELETE FROM visits WHERE created_at < ?1", before)?;
    let old = tx.all("SELECT id FROM one_offs WHERE finished_at < ?1", before, Row::take)?;
    tx.run("DELETE FROM one_offs WHERE finished_at < ?1", before)?;
    tx.run("DELETE FROM dynos WHERE ended_at < ?1 AND state <> 'crashed'", before)?;
    Ok(old)
}

/// Names of all blobs that some row needs: slugs of all apps, uploads, and sources of pending
/// builds.
///
/// # Errors
/// When the database fails.
pub fn wanted_blobs(db: &Reader<'_>) -> Result<HashSet<String>> {
    let names = db.all(
        "SELECT blob FROM slugs
         UNION SELECT blob FROM sources WHERE blob IS NOT NULL
         UNION SELECT source_blob FROM builds WHERE status = 'pending'",
        values![],
        Row::take,
    )?;
    Ok(names.into_iter().collect())
}
