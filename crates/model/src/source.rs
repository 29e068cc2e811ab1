//! Sources: places to upload a source archive to.

use crate::{AppId, SourceId, Timestamp};

/// A place to upload one source archive to, once. The id in its URL is the licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// The app it was asked for, if for one.
    pub app: Option<AppId>,
    /// Name of the archive in the blob store, once uploaded: lower-case hex SHA-256.
    pub blob: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
}
