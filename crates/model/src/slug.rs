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
