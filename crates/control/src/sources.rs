//! Sources: archives on their way to a build.

use model::{Account, AppId, Source, SourceId, Timestamp};
use store::sources;
use tokio::io::AsyncRead;

use crate::{Blob, Control, Error, Resource, Result, access};

/// Makes a place to upload one archive to. Its id is the licence: keep it in the URL only.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn create(control: &Control, who: &Account, app: Option<AppId>) -> Result<Source> {
    let who = who.clone();
    control
        .write(move |_, tx| {
            if let Some(app) = app {
                access::app(tx, &who, app)?;
            }
            let id = SourceId::random();
            let source = Source { id, app, blob: None, created_at: Timestamp::now() };
            sources::insert(tx, &source, who.id)?;
            Ok(source)
        })
        .await
}

/// Fills a place, once.
///
/// # Errors
/// When there is no such place, it is filled, there are more than `limit` bytes, or storing fails.
pub async fn upload(
    control: &Control,
    id: SourceId,
    archive: impl AsyncRead + Unpin,
    limit: u64,
) -> Result<()> {
    let filled = || Error::Conflict("This source was uploaded already.".to_owned());
    if find(control, id).await?.blob.is_some() {
        return Err(filled());
    }
    let blob = put(control, archive, limit).await?;
    let was_empty = control.write(move |_, tx| Ok(sources::fill(tx, id, &blob.name)?)).await?;
    if was_empty { Ok(()) } else { Err(filled()) }
}

/// One place, by its licence.
///
/// # Errors
/// When there is none or the database fails.
pub async fn find(control: &Control, id: SourceId) -> Result<Source> {
    let source = control.read(move |db| Ok(sources::find(db, id)?)).await?;
    source.ok_or(Error::NotFound(Resource::Source))
}

/// Opens what was uploaded, for reading it back.
///
/// # Errors
/// When there is no such place, nothing was uploaded, or it cannot be opened.
pub async fn open(control: &Control, id: SourceId) -> Result<tokio::fs::File> {
    let missing = || Error::NotFound(Resource::Source);
    let blob = find(control, id).await?.blob.ok_or_else(missing)?;
    control.blobs.get(&blob).await?.ok_or_else(missing)
}

/// Stores an archive without a place, such as one made from a git push. Until a build names it,
/// garbage collection lets it live for an hour.
///
/// # Errors
/// When there are more than `limit` bytes, or reading or storing fails.
pub async fn put(control: &Control, archive: impl AsyncRead + Unpin, limit: u64) -> Result<Blob> {
    Ok(control.blobs.put(archive, limit).await?)
}

#[cfg(test)]
mod tests;
