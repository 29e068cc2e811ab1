//! Log sessions.

use model::log::Source;
use model::{LogSession, LogSessionId};

use crate::engine::{Reader, Tx};
use crate::{Result, values};

/// Writes a new session.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, session: &LogSession) -> Result<()> {
    tx.run(
        "INSERT INTO log_sessions (id, app_id, dyno, source, lines, tail, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        values![
            session.id,
            session.app,
            session.dyno.as_ref(),
            session.source.map(Source::as_str),
            session.lines,
            session.tail,
            session.created_at
        ],
    )?;
    Ok(())
}

/// One session of a living app.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, id: LogSessionId) -> Result<Option<LogSession>> {
    db.one(
        "SELECT s.id, s.app_id, s.dyno, s.source, s.lines, s.tail, s.created_at
         FROM log_sessions s JOIN apps a ON a.id = s.app_id
         WHERE s.id = ?1 AND a.deleted_at IS NULL",
        values![id],
        |row| {
            Ok(LogSession {
                id: row.take()?,
                app: row.take()?,
                dyno: row.take()?,
                source: row.take::<Option<String>>()?.as_deref().and_then(source),
                lines: row.take()?,
                tail: row.take()?,
                created_at: row.take()?,
            })
        },
    )
}

fn source(word: &str) -> Option<Source> {
    [Source::App, Source::Heroku].into_iter().find(|source| source.as_str() == word)
}
