//! Slugs: compiled apps.

use std::collections::BTreeMap;

use crate::{AppId, ProcessType, SlugId, Timestamp};

/// A compiled app: one immutable read-only file-system image, named by its content.
#[derive(Clone, Debug)]
pub struct Slug {
    /// Its id.
    pub id: SlugId,
    /// The app it was built for.
    pub app: AppId,
    /// Name of the image in the blob store: lower-case hex SHA-256 of its bytes.
    pub blob: String,
    /// Bytes of the image.
    pub bytes: u64,
    /// Commit it was built from, if it was built from git.
    pub commit: Option<String>,
    /// What the buildpack called the app, such as `Python`.
    pub buildpack_description: Option<String>,
    /// Commands by process type: the buildpack's defaults overlaid by the Procfile.
    pub process_types: BTreeMap<ProcessType, String>,
    /// Stack it was built on.
    pub stack: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A slug announced through the API. It becomes a [`Slug`] of the same id once its archive was
/// uploaded and packed.
#[derive(Clone, Debug)]
pub struct SlugUpload {
    /// Its id, and the slug's.
    pub id: SlugId,
    /// Whose it is.
    pub app: AppId,
    /// Commands by process type, as announced.
    pub process_types: BTreeMap<ProcessType, String>,
    /// Stack it was built on.
    pub stack: String,
    /// Commit it was built from, as announced.
    pub commit: Option<String>,
    /// What the buildpack called the app, as announced.
    pub buildpack_description: Option<String>,
    /// What the archive must hash to: lower-case hex SHA-256.
    pub checksum: Option<String>,
    /// How far it is.
    pub state: UploadState,
    /// When it was announced.
    pub created_at: Timestamp,
}

/// How far an announced slug is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// Nothing was uploaded yet.
    Awaited,
    /// Its archive, of this name in the blob store, waits to be packed.
    Uploaded(String),
    /// The archive cannot be a slug, for this reason.
    Failed(String),
}
