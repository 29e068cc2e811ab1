//! Releases: the append-only ledger of an app.

use crate::{AccountId, AppId, ConfigVars, ReleaseId, SlugId, Timestamp};

/// How a release stands. The only part of a release that changes after it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseStatus {
    /// Its release command is running.
    Pending,
    /// It may be, or has been, current.
    Succeeded,
    /// Its release command failed; it never became current.
    Failed,
}

impl ReleaseStatus {
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

/// One immutable row of the ledger.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Whose app.
    pub app: AppId,
    /// 1, 2, 3 …; never reused.
    pub version: u32,
    /// What happened, in Heroku's words: `Deploy 409cdef5`.
    pub description: String,
    /// Who did it.
    pub actor: AccountId,
    /// The actor's e-mail, read along.
    pub actor_email: String,
    /// The slug; none before the first deploy.
    pub slug: Option<SlugId>,
    /// All config vars as of this release.
    pub config: ConfigVars,
    /// Where it stands.
    pub status: ReleaseStatus,
    /// Whether it is the newest that succeeded; computed when read.
    pub current: bool,
    /// Whether its release command left output.
    pub has_output: bool,
    /// SHA-256 over this row's immutable parts and the hash of the row before (hex).
    pub hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
    /// Whether its slug is still there; read along.
    pub slug_is_kept: bool,
}

impl Release {
    /// Whether a rollback to it is possible: it succeeded, and its slug is still there.
    #[must_use]
    pub fn eligible_for_rollback(&self) -> bool {
        self.status == ReleaseStatus::Succeeded && self.slug_is_kept
    }
}

/// Why a release came to be. `Display` writes Heroku's description (platform behaviour, 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The app was created: v1.
    Initial,
    /// Logging was switched on: v2.
    EnableLogplex,
    /// A build's slug was released.
    Deploy {
        /// Full commit, when known.
        commit: Option<String>,
    },
    /// Config vars were set (`true`) or removed (`false`), in the order given.
    Config {
        /// Names set.
        set: Vec<String>,
        /// Names removed.
        removed: Vec<String>,
    },
    /// An older release's slug and config were released again.
    Rollback {
        /// The older release's version.
        version: u32,
    },
    /// A description given through the API.
    Described(String),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Initial => f.write_str("Initial release"),
            Self::EnableLogplex => f.write_str("Enable Logplex"),
            Self::Deploy { commit: None } => f.write_str("Deploy"),
            Self::Deploy { commit: Some(commit) } => {
                write!(f, "Deploy {}", commit.get(..8).unwrap_or(commit))
            }
            Self::Config { set, removed } if removed.is_empty() => {
                write!(f, "Set {} config vars", set.join(", "))
            }
            Self::Config { set, removed } if set.is_empty() => {
                write!(f, "Remove {} config vars", removed.join(", "))
            }
            Self::Config { set, removed } => {
                write!(f, "Set {} and remove {} config vars", set.join(", "), removed.join(", "))
            }
            Self::Rollback { version } => write!(f, "Rollback to v{version}"),
            Self::Described(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_herokus() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let deploy = Cause::Deploy { commit: Some("409cdef5a1b2c3d4".into()) };
        assert_eq!(deploy.to_string(), "Deploy 409cdef5");
        let set = Cause::Config { set: names(&["LANG", "RACK_ENV"]), removed: vec![] };
        assert_eq!(set.to_string(), "Set LANG, RACK_ENV config vars");
        let removed = Cause::Config { set: vec![], removed: names(&["FOO"]) };
        assert_eq!(removed.to_string(), "Remove FOO config vars");
        assert_eq!(Cause::Rollback { version: 102 }.to_string(), "Rollback to v102");
    }
}
