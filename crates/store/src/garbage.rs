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
    const TABLES: [&str; 20] = [
        "DELETE FROM traffic WHERE app_id = ?1",
        "DELETE FROM visits WHERE app_id = ?1",
        "DELETE FROM app_features WHERE app_id = ?1",
        "DELETE FROM log_rules WHERE app_id = ?1",
        "DELETE FROM log_sessions WHERE app_id = ?1",
        "DELETE FROM log_drains WHERE app_id = ?1",
        "DELETE FROM telemetry_drains WHERE app_id = ?1",
        "DELETE FROM log_inputs WHERE app_id = ?1",
        "DELETE FROM buildpack_installations WHERE app_id = ?1",
        "DELETE FROM sources WHERE app_id = ?1",
        "DELETE FROM builds WHERE app_id = ?1",
        "DELETE FROM dynos WHERE app_id = ?1",
        "DELETE FROM one_offs WHERE app_id = ?1",
        "DELETE FROM restarts WHERE app_id = ?1",
        "DELETE FROM formations WHERE app_id = ?1",
        "DELETE FROM releases WHERE app_id = ?1",
        "DELETE FROM slugs WHERE app_id = ?1",
        "DELETE FROM slug_uploads WHERE app_id = ?1",
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
    tx.run("DELETE FROM slug_uploads WHERE created_at < ?1", before)?;
    tx.run("DELETE FROM visits WHERE created_at < ?1", before)?;
    let old = tx.all("SELECT id FROM one_offs WHERE finished_at < ?1", before, Row::take)?;
    tx.run("DELETE FROM one_offs WHERE finished_at < ?1", before)?;
    tx.run("DELETE FROM dynos WHERE ended_at < ?1 AND state <> 'crashed'", before)?;
    Ok(old)
}

/// Marks slugs from before `before` as removed that nobody may go back to: each app keeps the `keep`
/// that were released last, and what its dynos run. Answers how many.
///
/// # Errors
/// When the database fails.
pub fn remove_slugs(
    tx: &mut Tx<'_>,
    keep: u32,
    before: Timestamp,
    now: Timestamp,
) -> Result<usize> {
    // A release that waits for its command counts: it is about to be the newest.
    tx.run(
        "UPDATE slugs SET removed_at = ?3
         WHERE removed_at IS NULL AND created_at < ?2
           AND id NOT IN (
               SELECT slug_id FROM (
                   SELECT slug_id, ROW_NUMBER() OVER (PARTITION BY app_id
                                                      ORDER BY MAX(version) DESC) AS place
                   FROM releases WHERE slug_id IS NOT NULL AND status <> 'failed'
                   GROUP BY app_id, slug_id) AS released
               WHERE place <= ?1)
           AND id NOT IN (
               SELECT r.slug_id FROM releases r JOIN dynos d ON d.release_id = r.id
               WHERE d.ended_at IS NULL AND r.slug_id IS NOT NULL)
           AND id NOT IN (
               SELECT r.slug_id FROM releases r JOIN one_offs o ON o.release_id = r.id
               WHERE o.finished_at IS NULL AND r.slug_id IS NOT NULL)",
        values![keep, before, now],
    )
}

/// Names of all blobs that some row needs: slugs of all apps, uploads, and sources of pending
/// builds.
///
/// # Errors
/// When the database fails.
pub fn wanted_blobs(db: &Reader<'_>) -> Result<HashSet<String>> {
    let names = db.all(
        "SELECT blob FROM slugs WHERE removed_at IS NULL
         UNION SELECT blob FROM slug_uploads WHERE blob IS NOT NULL
         UNION SELECT blob FROM sources WHERE blob IS NOT NULL
         UNION SELECT source_blob FROM builds WHERE status = 'pending'",
        values![],
        Row::take,
    )?;
    Ok(names.into_iter().collect())
}
