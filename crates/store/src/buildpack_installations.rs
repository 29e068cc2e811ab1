//! Buildpacks that an app's builds are to use.

use model::AppId;

use crate::engine::{Reader, Row, Tx};
use crate::{Result, values};

/// An app's buildpacks, in order; empty means that they are detected.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>, app: AppId) -> Result<Vec<String>> {
    db.all(
        "SELECT url FROM buildpack_installations WHERE app_id = ?1 ORDER BY ordinal",
        values![app],
        Row::take,
    )
}

/// Replaces an app's buildpacks.
///
/// # Errors
/// When the database fails.
pub fn replace(tx: &mut Tx<'_>, app: AppId, urls: &[String]) -> Result<()> {
    tx.run("DELETE FROM buildpack_installations WHERE app_id = ?1", values![app])?;
    for (ordinal, url) in (0u32..).zip(urls) {
        tx.run(
            "INSERT INTO buildpack_installations (app_id, ordinal, url) VALUES (?1, ?2, ?3)",
            values![app, ordinal, url],
        )?;
    }
    Ok(())
}
