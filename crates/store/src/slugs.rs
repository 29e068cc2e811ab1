//! Slugs.

use std::collections::BTreeMap;

use model::{AppId, ProcessType, Slug, SlugId};

use crate::engine::{Reader, Row, Tx};
use crate::{Error, Result, values};

/// Writes a new slug.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, slug: &Slug) -> Result<()> {
    tx.run(
        "INSERT INTO slugs (id, app_id, blob, bytes, commit_sha, buildpack_description,
                            process_types, stack, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        values![
            slug.id,
            slug.app,
            &slug.blob,
            slug.bytes,
            slug.commit.as_ref(),
            slug.buildpack_description.as_ref(),
            types_to_json(&slug.process_types)?,
            &slug.stack,
            slug.created_at
        ],
    )?;
    Ok(())
}

/// One slug.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, id: SlugId) -> Result<Option<Slug>> {
    db.one(
        "SELECT id, app_id, blob, bytes, commit_sha, buildpack_description, process_types, stack,
                created_at
         FROM slugs WHERE id = ?1",
        values![id],
        slug,
    )
}

/// All slugs of an app, oldest first.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>, app: AppId) -> Result<Vec<Slug>> {
    db.all(
        "SELECT id, app_id, blob, bytes, commit_sha, buildpack_description, process_types, stack,
                created_at
         FROM slugs WHERE app_id = ?1 ORDER BY created_at, id",
        values![app],
        slug,
    )
}

const TYPES: &str = "slugs.process_types";

pub(crate) fn types_to_json(types: &BTreeMap<ProcessType, String>) -> Result<String> {
    let texts: BTreeMap<&str, &str> =
        types.iter().map(|(name, command)| (name.as_str(), command.as_str())).collect();
    serde_json::to_string(&texts).map_err(|source| Error::Json { place: TYPES.into(), source })
}

pub(crate) fn types_from_json(json: &str) -> Result<BTreeMap<ProcessType, String>> {
    let texts: BTreeMap<String, String> =
        serde_json::from_str(json).map_err(|source| Error::Json { place: TYPES.into(), source })?;
    let bad = || Error::Row { sql: TYPES, kind: "process type" };
    let typed = |(name, command): (String, String)| Ok((name.parse().map_err(|_| bad())?, command));
    texts.into_iter().map(typed).collect()
}

fn slug(row: &mut Row) -> Result<Slug> {
    Ok(Slug {
        id: row.take()?,
        app: row.take()?,
        blob: row.take()?,
        bytes: row.take()?,
        commit: row.take()?,
        buildpack_description: row.take()?,
        process_types: types_from_json(&row.take::<String>()?)?,
        stack: row.take()?,
        created_at: row.take()?,
    })
}
