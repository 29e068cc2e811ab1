//! Builds: one run of the builder over one source.

use crate::{AccountId, AppId, BuildId, ReleaseId, Remote, SlugId, Timestamp};

/// How far a build has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildStatus {
    /// Queued or running.
    Pending,
    /// A slug was made and released.
    Succeeded,
    /// No slug came of it; the reason is in its output.
    Failed,
}

impl BuildStatus {
    /// The API's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// What a pending build is doing; for people who look into the machine, and for the start after a
/// crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildStep {
    /// Nobody has taken it yet.
    Queued,
    /// A builder has taken it and prepares.
    Claimed,
    /// Buildpacks are asked who knows the app.
    Detect,
    /// Buildpacks compile.
    Compile,
    /// The slug is packed and stored.
    Pack,
    /// The slug is being released, or was.
    Release,
}

/// What a build is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildSource {
    /// An archive (tar.gz) in the blob store: lower-case hex SHA-256.
    Stored(String),
    /// Something that the build has yet to fetch.
    Remote {
        /// Where it lies.
        remote: Remote,
        /// What an archive must hash to: lower-case hex SHA-256.
        checksum: Option<String>,
    },
}

impl BuildSource {
    /// The archive's name, if it is in the blob store.
    #[must_use]
    pub fn stored(&self) -> Option<&str> {
        match self {
            Self::Stored(blob) => Some(blob),
            Self::Remote { .. } => None,
        }
    }
}

/// One run of the builder.
#[derive(Clone, Debug)]
pub struct Build {
    /// Its id.
    pub id: BuildId,
    /// Whose app.
    pub app: AppId,
    /// Who asked for it.
    pub actor: AccountId,
    /// The actor's e-mail, read along.
    pub actor_email: String,
    /// Where it stands.
    pub status: BuildStatus,
    /// What it is doing, or what it did last.
    pub step: BuildStep,
    /// Buildpacks asked for, in order: URLs or `heroku/nodejs`. Empty: detect.
    pub buildpacks: Vec<String>,
    /// What is built.
    pub source: BuildSource,
    /// Version the source was given by its sender: a commit for git pushes.
    pub source_version: Option<String>,
    /// Stack it is built on.
    pub stack: String,
    /// The slug, once made.
    pub slug: Option<SlugId>,
    /// The release, once made.
    pub release: Option<ReleaseId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
