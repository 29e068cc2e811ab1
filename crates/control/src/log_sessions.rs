//! Log sessions.

use std::time::Duration;

use model::{Account, AppId, LogSession, LogSessionId, Timestamp};
use store::log_sessions;

use crate::{Control, Error, Resource, Result, access};

/// A session's URL must be opened within this time (Heroku: five minutes).
pub const LIFE: Duration = Duration::from_secs(300);

/// No session gets more lines of history; a search does (Heroku: 1,500).
pub const MAX_LINES: u32 = 10_000;

/// What a reader asks to see.
#[derive(Clone, Debug, Default)]
pub struct NewLogSession {
    /// Only this process, or all of a type.
    pub dyno: Option<String>,
    /// Only this source.
    pub source: Option<model::log::Source>,
    /// So many lines of history; `None` for 100.
    pub lines: Option<u32>,
    /// Whether to go on with what comes.
    pub tail: bool,
}

/// Makes a session. Its id is the licence to read.
///
/// # Errors
/// When the app is not found, the filter is too long, or the database fails.
pub async fn create(
    control: &Control,
    who: &Account,
    app: AppId,
    new: NewLogSession,
) -> Result<LogSession> {
    if new.dyno.as_ref().is_some_and(|dyno| dyno.len() > 140) {
        return Err(Error::Invalid("Dyno must be a dyno's name or a process type.".to_owned()));
    }
    let who = who.clone();
    control
        .write(move |_, tx| {
            access::app(tx, &who, app)?;
            let session = LogSession {
                id: LogSessionId::random(),
                app,
                dyno: new.dyno.filter(|dyno| !dyno.is_empty()),
                source: new.source,
                lines: new.lines.unwrap_or(100).min(MAX_LINES),
                tail: new.tail,
                created_at: Timestamp::now(),
            };
            log_sessions::insert(tx, &session)?;
            Ok(session)
        })
        .await
}

/// The session of a URL that is opened now.
///
/// # Errors
/// When there is none (any more), or the database fails.
pub async fn open(control: &Control, id: LogSessionId) -> Result<LogSession> {
    let session = control.read(move |db| Ok(log_sessions::find(db, id)?)).await?;
    let fresh = |session: &LogSession| Timestamp::now().since(session.created_at) <= LIFE;
    session.filter(fresh).ok_or(Error::NotFound(Resource::LogSession))
}
