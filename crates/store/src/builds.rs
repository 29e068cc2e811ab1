//! Builds.

use model::build::{Build, BuildSource, BuildStatus, BuildStep};
use model::{AppId, BuildId, ReleaseId, SlugId, Timestamp};
use zeroize::Zeroizing;

use crate::engine::{Reader, Row, Tx};
use crate::{Error, Result, values};

/// The columns of a build joined with its actor, in the order [`build`] takes them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT b.id, b.app_id, b.actor_id, u.email, b.status, b.step, b.buildpacks,
                    b.source_blob, b.source_version, b.stack, b.slug_id, b.release_id,
                    b.created_at, b.updated_at, b.remote, b.remote_checksum
             FROM builds b JOIN accounts u ON u.id = b.actor_id ",
            $rest
        )
    };
}

/// Writes a new build.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, build: &Build) -> Result<()> {
    let json = |source| Error::Json { place: BUILDPACKS.into(), source };
    let (blob, remote, checksum) = match &build.source {
        BuildSource::Stored(blob) => (blob.as_str(), None, None),
        // An address may hold a password.
        BuildSource::Remote { remote, checksum } => {
            let address = remote.address();
            let sealed = tx.vault().seal(&place(build.id), address.reveal().as_bytes())?;
            ("", Some(sealed), checksum.as_ref())
        }
    };
    tx.run(
        "INSERT INTO builds (id, app_id, actor_id, status, step, source_blob, source_version,
                             buildpacks, stack, created_at, updated_at, remote, remote_checksum)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        values![
            build.id,
            build.app,
            build.actor,
            build.status,
            build.step,
            blob,
            build.source_version.as_ref(),
            serde_json::to_string(&build.buildpacks).map_err(json)?,
            &build.stack,
            build.created_at,
            build.updated_at,
            remote,
            checksum
        ],
    )?;
    Ok(())
}

/// One build.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, id: BuildId) -> Result<Option<Build>> {
    db.one(select!("WHERE b.id = ?1"), values![id], |row| build(db, row))
}

/// All builds of an app, oldest first.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>, app: AppId) -> Result<Vec<Build>> {
    db.all(select!("WHERE b.app_id = ?1 ORDER BY b.created_at, b.id"), values![app], |row| {
        build(db, row)
    })
}

/// All builds that are queued or running, oldest first.
///
/// # Errors
/// When the database fails.
pub fn pending(db: &Reader<'_>) -> Result<Vec<Build>> {
    db.all(select!("WHERE b.status = 'pending' ORDER BY b.created_at, b.id"), values![], |row| {
        build(db, row)
    })
}

/// The oldest queued build whose app has no other build running.
///
/// # Errors
/// When the database fails.
pub fn next_queued(db: &Reader<'_>) -> Result<Option<Build>> {
    db.one(
        select!(
            "WHERE b.status = 'pending' AND b.step = 'queued'
               AND NOT EXISTS (SELECT 1 FROM builds o WHERE o.app_id = b.app_id
                               AND o.status = 'pending' AND o.step <> 'queued')
             ORDER BY b.created_at, b.id LIMIT 1"
        ),
        values![],
        |row| build(db, row),
    )
}

/// Whether a build of this version of the source has succeeded before.
///
/// # Errors
/// When the database fails.
pub fn has_succeeded(db: &Reader<'_>, app: AppId, source_version: &str) -> Result<bool> {
    let found = db.cell::<i64>(
        "SELECT COUNT(*) FROM builds
         WHERE app_id = ?1 AND source_version = ?2 AND status = 'succeeded'",
        values![app, source_version],
    )?;
    Ok(found.unwrap_or(0) > 0)
}

/// Notes what a pending build is doing.
///
/// # Errors
/// When the database fails.
pub fn set_step(tx: &mut Tx<'_>, id: BuildId, step: BuildStep, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE builds SET step = ?2, updated_at = ?3 WHERE id = ?1 AND status = 'pending'",
        values![id, step, now],
    )?;
    Ok(())
}

/// Notes the archive that a remote source was fetched as, and its version.
///
/// # Errors
/// When the database fails.
pub fn set_fetched(
    tx: &mut Tx<'_>,
    id: BuildId,
    blob: &str,
    version: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "UPDATE builds SET source_blob = ?2, source_version = COALESCE(source_version, ?3),
                           remote = NULL, remote_checksum = NULL, updated_at = ?4
         WHERE id = ?1",
        values![id, blob, version, now],
    )?;
    Ok(())
}

/// Notes what came of a build.
///
/// # Errors
/// When the database fails.
pub fn set_release(
    tx: &mut Tx<'_>,
    id: BuildId,
    slug: SlugId,
    release: ReleaseId,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "UPDATE builds SET slug_id = ?2, release_id = ?3, step = 'release', updated_at = ?4
         WHERE id = ?1",
        values![id, slug, release, now],
    )?;
    Ok(())
}

/// Ends a pending build.
///
/// # Errors
/// When the database fails.
pub fn set_status(tx: &mut Tx<'_>, id: BuildId, status: BuildStatus, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE builds SET status = ?2, updated_at = ?3 WHERE id = ?1 AND status = 'pending'",
        values![id, status, now],
    )?;
    Ok(())
}

const BUILDPACKS: &str = "builds.buildpacks";

fn place(id: BuildId) -> String {
    format!("builds/{id}/remote")
}

fn source(
    db: &Reader<'_>,
    id: BuildId,
    blob: String,
    remote: Option<(Vec<u8>, Option<String>)>,
) -> Result<BuildSource> {
    let Some((sealed, checksum)) = remote else { return Ok(BuildSource::Stored(blob)) };
    let bad = || Error::Row { sql: "builds.remote", kind: "address" };
    let address = Zeroizing::new(db.vault().open(&place(id), &sealed)?);
    let address = std::str::from_utf8(&address).map_err(|_| bad())?;
    Ok(BuildSource::Remote { remote: address.parse().map_err(|_| bad())?, checksum })
}

fn build(db: &Reader<'_>, row: &mut Row) -> Result<Build> {
    let json = |source| Error::Json { place: BUILDPACKS.into(), source };
    let id = row.take()?;
    let (app, actor, actor_email) = (row.take()?, row.take()?, row.take()?);
    let (status, step) = (row.take()?, row.take()?);
    let buildpacks = serde_json::from_str(&row.take::<String>()?).map_err(json)?;
    let blob = row.take()?;
    let (source_version, stack) = (row.take()?, row.take()?);
    let (slug, release) = (row.take()?, row.take()?);
    let (created_at, updated_at) = (row.take()?, row.take()?);
    let remote = row.take::<Option<Vec<u8>>>()?;
    let checksum = row.take()?;
    let source = source(db, id, blob, remote.map(|sealed| (sealed, checksum)))?;
    Ok(Build {
        id,
        app,
        actor,
        actor_email,
        status,
        step,
        buildpacks,
        source,
        source_version,
        stack,
        slug,
        release,
        created_at,
        updated_at,
    })
}
