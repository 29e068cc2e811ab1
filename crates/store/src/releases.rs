//! The ledger of releases.

use model::release::ReleaseStatus;
use model::{AppId, Release, ReleaseId, Timestamp};

use crate::apps::{open_config, seal_config};
use crate::engine::{Reader, Row, Tx};
use crate::{Result, values};

/// The columns of a release joined with its actor, in the order [`release`] takes them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.app_id, r.version, r.description, r.actor_id, u.email, r.slug_id,
                    r.config, r.status,
                    r.version = (SELECT MAX(s.version) FROM releases s
                                 WHERE s.app_id = r.app_id AND s.status = 'succeeded'),
                    r.has_output, r.hash, r.created_at, r.updated_at,
                    EXISTS (SELECT 1 FROM slugs k WHERE k.id = r.slug_id AND k.removed_at IS NULL)
             FROM releases r JOIN accounts u ON u.id = r.actor_id ",
            $rest
        )
    };
}

/// Writes a new row of the ledger. `previous_hash` is the hash of the row before, empty for v1.
///
/// # Errors
/// When the version is taken or the database fails.
pub fn insert(tx: &mut Tx<'_>, release: &Release, previous_hash: &str) -> Result<()> {
    let config = seal_config(tx, &place(release.id), &release.config)?;
    tx.run(
        "INSERT INTO releases (id, app_id, version, description, actor_id, slug_id, config, status,
                               has_output, previous_hash, hash, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        values![
            release.id,
            release.app,
            release.version,
            &release.description,
            release.actor,
            release.slug,
            config,
            release.status,
            release.has_output,
            previous_hash,
            &release.hash,
            release.created_at,
            release.updated_at
        ],
    )?;
    Ok(())
}

/// One release.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, id: ReleaseId) -> Result<Option<Release>> {
    db.one(select!("WHERE r.id = ?1"), values![id], |row| release(db, row))
}

/// An app's release by its version.
///
/// # Errors
/// When the database fails.
pub fn by_version(db: &Reader<'_>, app: AppId, version: u32) -> Result<Option<Release>> {
    db.one(select!("WHERE r.app_id = ?1 AND r.version = ?2"), values![app, version], |row| {
        release(db, row)
    })
}

/// All releases of an app, oldest first.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>, app: AppId) -> Result<Vec<Release>> {
    db.all(select!("WHERE r.app_id = ?1 ORDER BY r.version"), values![app], |row| release(db, row))
}

/// The newest release of an app, however it stands.
///
/// # Errors
/// When the database fails.
pub fn newest(db: &Reader<'_>, app: AppId) -> Result<Option<Release>> {
    db.one(select!("WHERE r.app_id = ?1 ORDER BY r.version DESC LIMIT 1"), values![app], |row| {
        release(db, row)
    })
}

/// The newest release that has not failed: what the next release builds upon.
///
/// # Errors
/// When the database fails.
pub fn newest_hopeful(db: &Reader<'_>, app: AppId) -> Result<Option<Release>> {
    db.one(
        select!("WHERE r.app_id = ?1 AND r.status <> 'failed' ORDER BY r.version DESC LIMIT 1"),
        values![app],
        |row| release(db, row),
    )
}

/// The release an app runs: the newest that succeeded.
///
/// # Errors
/// When the database fails.
pub fn current(db: &Reader<'_>, app: AppId) -> Result<Option<Release>> {
    db.one(
        select!("WHERE r.app_id = ?1 AND r.status = 'succeeded' ORDER BY r.version DESC LIMIT 1"),
        values![app],
        |row| release(db, row),
    )
}

/// For each living app the oldest release that waits for its command: a second one waits behind it.
///
/// # Errors
/// When the database fails.
pub fn pending(db: &Reader<'_>) -> Result<Vec<Release>> {
    db.all(
        select!(
            "JOIN apps a ON a.id = r.app_id
             WHERE r.status = 'pending' AND a.deleted_at IS NULL
               AND r.version = (SELECT MIN(p.version) FROM releases p
                                WHERE p.app_id = r.app_id AND p.status = 'pending')
             ORDER BY r.created_at"
        ),
        values![],
        |row| release(db, row),
    )
}

/// Writes how a release stands: the only change a row ever sees.
///
/// # Errors
/// When the database fails.
pub fn set_status(
    tx: &mut Tx<'_>,
    id: ReleaseId,
    status: ReleaseStatus,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "UPDATE releases SET status = ?2, updated_at = ?3 WHERE id = ?1",
        values![id, status, now],
    )?;
    Ok(())
}

/// A row of the ledger with the hash it claims for the row before.
#[derive(Clone, Debug)]
pub struct Link {
    /// The row.
    pub release: Release,
    /// Hash of the row before it, as written in this row.
    pub previous_hash: String,
}

/// The whole chain of an app, oldest first.
///
/// # Errors
/// When the database fails or a row's config vars cannot be opened.
pub fn chain(db: &Reader<'_>, app: AppId) -> Result<Vec<Link>> {
    let hashes = db.all(
        "SELECT previous_hash FROM releases WHERE app_id = ?1 ORDER BY version",
        values![app],
        Row::take::<String>,
    )?;
    let rows = list(db, app)?.into_iter().zip(hashes);
    Ok(rows.map(|(release, previous_hash)| Link { release, previous_hash }).collect())
}

fn place(id: ReleaseId) -> String {
    format!("releases/{id}/config")
}

fn release(db: &Reader<'_>, row: &mut Row) -> Result<Release> {
    let id = row.take()?;
    Ok(Release {
        id,
        app: row.take()?,
        version: row.take()?,
        description: row.take()?,
        actor: row.take()?,
        actor_email: row.take()?,
        slug: row.take()?,
        config: open_config(db, &place(id), &row.take::<Vec<u8>>()?)?,
        status: row.take()?,
        current: row.take::<Option<bool>>()?.unwrap_or(false),
        has_output: row.take()?,
        hash: row.take()?,
        created_at: row.take()?,
        updated_at: row.take()?,
        slug_is_kept: row.take()?,
    })
}
