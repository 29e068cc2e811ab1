//! Slugs that were announced and are still to be made of an uploaded archive.

use model::{SlugId, SlugUpload, UploadState};

use crate::engine::{Reader, Row, Tx};
use crate::slugs::{types_from_json, types_to_json};
use crate::{Result, values};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, app_id, process_types, stack, commit_sha, buildpack_description, checksum,
                    blob, failure, created_at
             FROM slug_uploads ",
            $rest
        )
    };
}

/// Writes a new one, without its archive.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, upload: &SlugUpload) -> Result<()> {
    tx.run(
        "INSERT INTO slug_uploads (id, app_id, process_types, stack, commit_sha,
                                   buildpack_description, checksum, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        values![
            upload.id,
            upload.app,
            types_to_json(&upload.process_types)?,
            &upload.stack,
            upload.commit.as_ref(),
            upload.buildpack_description.as_ref(),
            upload.checksum.as_ref(),
            upload.created_at
        ],
    )?;
    Ok(())
}

/// One of them.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, id: SlugId) -> Result<Option<SlugUpload>> {
    db.one(select!("WHERE id = ?1"), values![id], upload)
}

/// Those whose archive waits to be packed, oldest first.
///
/// # Errors
/// When the database fails.
pub fn waiting(db: &Reader<'_>) -> Result<Vec<SlugUpload>> {
    let sql = select!("WHERE blob IS NOT NULL AND failure IS NULL ORDER BY created_at, id");
    db.all(sql, values![], upload)
}

/// Notes the uploaded archive; answers whether none was there until now.
///
/// # Errors
/// When the database fails.
pub fn fill(tx: &mut Tx<'_>, id: SlugId, blob: &str) -> Result<bool> {
    let sql = "UPDATE slug_uploads SET blob = ?2 WHERE id = ?1 AND blob IS NULL";
    Ok(tx.run(sql, values![id, blob])? == 1)
}

/// Notes why the archive cannot be a slug.
///
/// # Errors
/// When the database fails.
pub fn fail(tx: &mut Tx<'_>, id: SlugId, failure: &str) -> Result<()> {
    let sql = "UPDATE slug_uploads SET failure = ?2 WHERE id = ?1";
    tx.run(sql, values![id, failure]).map(drop)
}

/// Removes one, when it is a slug.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, id: SlugId) -> Result<()> {
    tx.run("DELETE FROM slug_uploads WHERE id = ?1", values![id]).map(drop)
}

fn upload(row: &mut Row) -> Result<SlugUpload> {
    Ok(SlugUpload {
        id: row.take()?,
        app: row.take()?,
        process_types: types_from_json(&row.take::<String>()?)?,
        stack: row.take()?,
        commit: row.take()?,
        buildpack_description: row.take()?,
        checksum: row.take()?,
        state: match (row.take::<Option<String>>()?, row.take::<Option<String>>()?) {
            (_, Some(failure)) => UploadState::Failed(failure),
            (Some(blob), None) => UploadState::Uploaded(blob),
            (None, None) => UploadState::Awaited,
        },
        created_at: row.take()?,
    })
}
