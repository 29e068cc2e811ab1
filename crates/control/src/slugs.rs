//! Slugs.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Account, AppId, ProcessType, Slug, SlugId, Timestamp};
use store::{Tx, slugs};

use crate::{Blob, Control, Error, Resource, Result, access};

/// A slug's image may be this large (Heroku, "Slug size").
pub const MAX_BYTES: u64 = 500 * 1024 * 1024;

/// What a build made.
#[derive(Clone, Debug)]
pub struct NewSlug {
    /// The image, stored by [`store_image`].
    pub image: Blob,
    /// Commit it was built from.
    pub commit: Option<String>,
    /// What the buildpack called the app.
    pub buildpack_description: Option<String>,
    /// Commands by process type.
    pub process_types: BTreeMap<ProcessType, String>,
    /// Stack it was built on.
    pub stack: String,
}

/// Stores the image at `path`. Until a row names it, garbage collection lets it live for an hour.
///
/// # Errors
/// When it is larger than [`MAX_BYTES`] or cannot be read or stored.
pub async fn store_image(control: &Control, path: &Path) -> Result<Blob> {
    let (blobs, path) = (control.blobs.clone(), path.to_owned());
    let stored = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(&path).map_err(Error::internal)?;
        Ok(blobs.put_blocking(file, MAX_BYTES)?)
    });
    stored.await.map_err(Error::internal)?
}

/// One slug.
///
/// # Errors
/// When the app or the slug is not found, or the database fails.
pub async fn info(control: &Control, who: &Account, app: AppId, id: SlugId) -> Result<Slug> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            let slug = slugs::find(db, id)?.filter(|slug| slug.app == app);
            slug.ok_or(Error::NotFound(Resource::Slug))
        })
        .await
}

/// The image, opened for reading.
///
/// # Errors
/// When it is gone or cannot be opened.
pub async fn open(control: &Control, slug: &Slug) -> Result<tokio::fs::File> {
    control.blobs.get(&slug.blob).await?.ok_or(Error::NotFound(Resource::Slug))
}

pub(crate) fn insert(tx: &mut Tx<'_>, app: AppId, new: NewSlug) -> Result<Slug> {
    let slug = Slug {
        id: SlugId::random(),
        app,
        blob: new.image.name,
        bytes: new.image.bytes,
        commit: new.commit,
        buildpack_description: new.buildpack_description,
        process_types: new.process_types,
        stack: new.stack,
        created_at: Timestamp::now(),
    };
    slugs::insert(tx, &slug)?;
    Ok(slug)
}
