//! Log sessions: a reader's licence to follow an app's log.

use crate::{AppId, LogSessionId, Timestamp};

/// What a reader asked to see. Its id in a URL is the licence, so it lives for minutes only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSession {
    /// Its id.
    pub id: LogSessionId,
    /// Whose log.
    pub app: AppId,
    /// Only this process: `web.1`, or `web` for all of a type.
    pub dyno: Option<String>,
    /// Only this source.
    pub source: Option<crate::log::Source>,
    /// So many lines of history.
    pub lines: u32,
    /// Whether to go on with what comes.
    pub tail: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
}
