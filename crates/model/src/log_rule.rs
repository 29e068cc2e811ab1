//! Log rules: what in an app's log is worth a message to somebody.

use std::time::Duration;

use crate::drain::Url;
use crate::log::Source;
use crate::{AppId, AppName, LogRuleId, Secret, Timestamp};

/// An app may have so many rules.
pub const MAX_PER_APP: usize = 20;

/// A rule. Its first match is told at once, later ones at most once in [`every`](Self::every).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRule {
    /// Its id.
    pub id: LogRuleId,
    /// Whose log.
    pub app: AppId,
    /// The app's name.
    pub app_name: AppName,
    /// What people call it.
    pub name: String,
    /// What a line must have.
    pub pattern: Pattern,
    /// Only lines of this process, or of all of a type.
    pub dyno: Option<String>,
    /// Only lines of this source.
    pub source: Option<Source>,
    /// Who is told.
    pub target: Target,
    /// The least time between two messages.
    pub every: Duration,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a line must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// These words, as in a search.
    Words(String),
    /// A match of this regular expression.
    Regex(String),
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An HTTP server, by a POST of JSON that is signed with the secret.
    Webhook {
        /// Where.
        url: Url,
        /// Signs each message.
        secret: Secret,
    },
    /// A person, by the platform's mail.
    Email {
        /// The address.
        address: String,
    },
}
