//! Dynos that are wanted once.
//!
//! The variables and the attach secret are sealed; the secret is found by its hash.

use model::dyno::{DynoKind, Exit, Mount, OneOff, Terminal};
use model::{AppId, ConfigVars, Dyno, DynoId, DynoName, DynoState, Secret, Timestamp};
use sha2::{Digest, Sha256};

use crate::apps::{open_config, seal_config};
use crate::engine::{Reader, Row, Tx};
use crate::pokes::Poke;
use crate::{Error, Result, values};

/// The columns of a one-off, in the order [`one_off`] takes them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT o.id, o.app_id, o.process_type, o.number, o.kind, o.release_id, o.command,
                    o.env, o.mounts, o.size, o.terminal, o.time_to_live, o.attach_secret,
                    o.actor_id, o.created_at, o.cancelled_at
             FROM one_offs o ",
            $rest
        )
    };
}

/// Writes a new wish.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, one_off: &OneOff) -> Result<()> {
    let env = seal_config(tx, &place(one_off.id, "env"), &ConfigVars(one_off.env.clone()))?;
    let secret = one_off.attach_secret.as_ref();
    let sealed = secret
        .map(|secret| tx.vault().seal(&place(one_off.id, "secret"), secret.reveal().as_bytes()));
    tx.run(
        "INSERT INTO one_offs (id, app_id, process_type, number, kind, release_id, command, env,
                               mounts, size, terminal, time_to_live, attach_secret, attach_hash,
                               actor_id, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        values![
            one_off.id,
            one_off.app,
            &one_off.name.process_type,
            one_off.name.number,
            one_off.kind,
            one_off.release,
            &one_off.command,
            env,
            mounts_to_json(&one_off.mounts)?,
            one_off.size,
            terminal_to_text(one_off.terminal),
            one_off.time_to_live_seconds,
            sealed.transpose()?,
            secret.map(|secret| hash(secret.reveal())),
            one_off.actor,
            one_off.created_at
        ],
    )?;
    Ok(())
}

/// One wish, fulfilled or not.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, id: DynoId) -> Result<Option<OneOff>> {
    db.one(select!("WHERE o.id = ?1"), values![id], |row| one_off(db, row))
}

/// The unfinished wish whose client says this secret.
///
/// # Errors
/// When the database fails.
pub fn by_secret(db: &Reader<'_>, secret: &str) -> Result<Option<OneOff>> {
    let sql = select!("WHERE o.attach_hash = ?1 AND o.finished_at IS NULL");
    db.one(sql, values![hash(secret)], |row| one_off(db, row))
}

/// All wishes whose dyno has not ended, oldest first; also of apps that are being destroyed.
///
/// # Errors
/// When the database fails.
pub fn unfinished(db: &Reader<'_>) -> Result<Vec<OneOff>> {
    let sql = select!("WHERE o.finished_at IS NULL ORDER BY o.created_at, o.id");
    db.all(sql, values![], |row| one_off(db, row))
}

/// An app's wishes whose dyno has not ended, oldest first.
///
/// # Errors
/// When the database fails.
pub fn unfinished_of(db: &Reader<'_>, app: AppId) -> Result<Vec<OneOff>> {
    let sql = select!("WHERE o.app_id = ?1 AND o.finished_at IS NULL ORDER BY o.created_at, o.id");
    db.all(sql, values![app], |row| one_off(db, row))
}

/// An app's wishes for which there is no dyno yet, oldest first: they wait for memory, or are about
/// to start. People see them as dynos; builds are not shown.
///
/// # Errors
/// When the database fails.
pub fn waiting(db: &Reader<'_>, app: AppId) -> Result<Vec<Dyno>> {
    let sql = "SELECT o.id, o.process_type, o.number, o.kind, o.release_id,
             COALESCE(r.version, 0), o.command, o.size, o.created_at
         FROM one_offs o LEFT JOIN releases r ON r.id = o.release_id
         WHERE o.app_id = ?1 AND o.kind <> 'build' AND o.finished_at IS NULL
             AND o.cancelled_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM dynos d WHERE d.id = o.id)
         ORDER BY o.created_at, o.id";
    db.all(sql, values![app], |row| {
        let id = row.take()?;
        let name = DynoName { process_type: row.take()?, number: row.take()? };
        let (kind, release, release_version) = (row.take()?, row.take()?, row.take()?);
        let (command, size, created_at) = (row.take()?, row.take()?, row.take()?);
        Ok(Dyno {
            id,
            app,
            name,
            kind,
            release,
            release_version,
            command,
            size,
            state: DynoState::Starting,
            exit: None,
            created_at,
            up_at: None,
            updated_at: created_at,
        })
    })
}

/// The wish for a release's command, whichever way it went.
///
/// # Errors
/// When the database fails.
pub fn of_release(db: &Reader<'_>, release: model::ReleaseId) -> Result<Option<OneOff>> {
    let sql = select!("WHERE o.release_id = ?1 AND o.kind = 'release'");
    db.one(sql, values![release], |row| one_off(db, row))
}

/// How a wish stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not ended.
    Unfinished,
    /// Ended, and so.
    Exited(Exit),
    /// Ended without ever having run: it could not be started, or was cancelled before.
    NeverRan,
}

/// How a wish stands; `None` when there is no such wish.
///
/// # Errors
/// When the database fails.
pub fn outcome(db: &Reader<'_>, id: DynoId) -> Result<Option<Outcome>> {
    db.one(
        "SELECT o.finished_at, d.exit_status, COALESCE(d.out_of_memory, FALSE)
         FROM one_offs o LEFT JOIN dynos d ON d.id = o.id WHERE o.id = ?1",
        values![id],
        |row| {
            let finished: Option<Timestamp> = row.take()?;
            let (status, out_of_memory): (Option<i32>, bool) = (row.take()?, row.take()?);
            Ok(match (finished, status) {
                (None, _) => Outcome::Unfinished,
                (Some(_), Some(status)) => Outcome::Exited(Exit { status, out_of_memory }),
                (Some(_), None) => Outcome::NeverRan,
            })
        },
    )
}

/// Asks for its end, if it has not ended.
///
/// # Errors
/// When the database fails.
pub fn cancel(tx: &mut Tx<'_>, id: DynoId, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE one_offs SET cancelled_at = ?2
         WHERE id = ?1 AND cancelled_at IS NULL AND finished_at IS NULL",
        values![id, now],
    )?;
    Ok(())
}

/// Notes that its dyno has ended, or will never be. Pokes [`Poke::OneOffs`].
///
/// # Errors
/// When the database fails.
pub fn finish(tx: &mut Tx<'_>, id: DynoId, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE one_offs SET finished_at = ?2 WHERE id = ?1 AND finished_at IS NULL",
        values![id, now],
    )?;
    tx.poke(Poke::OneOffs);
    Ok(())
}

fn place(id: DynoId, what: &str) -> String {
    format!("one_offs/{id}/{what}")
}

/// Attach secrets have 160 random bits: a plain hash gives nothing away.
pub(crate) fn hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn one_off(db: &Reader<'_>, row: &mut Row) -> Result<OneOff> {
    let id = row.take()?;
    Ok(OneOff {
        id,
        app: row.take()?,
        name: DynoName { process_type: row.take()?, number: row.take()? },
        kind: row.take::<DynoKind>()?,
        release: row.take()?,
        command: row.take()?,
        env: open_config(db, &place(id, "env"), &row.take::<Vec<u8>>()?)?.0,
        mounts: mounts_from_json(&row.take::<String>()?)?,
        size: row.take()?,
        terminal: terminal_from_text(&row.take::<String>()?)?,
        time_to_live_seconds: row.take()?,
        attach_secret: open_secret(db, id, row.take()?)?,
        actor: row.take()?,
        created_at: row.take()?,
        cancelled_at: row.take()?,
    })
}

fn open_secret(db: &Reader<'_>, id: DynoId, sealed: Option<Vec<u8>>) -> Result<Option<Secret>> {
    let Some(sealed) = sealed else { return Ok(None) };
    let plain = db.vault().open(&place(id, "secret"), &sealed)?;
    let bad = |_| Error::Row { sql: "one_offs.attach_secret", kind: "text" };
    Ok(Some(Secret::new(String::from_utf8(plain).map_err(bad)?)))
}

const MOUNTS: &str = "one_offs.mounts";

/// `[["/host/path", "/inside", true], …]`; paths that are not UTF-8 are never made by us.
fn mounts_to_json(mounts: &[Mount]) -> Result<String> {
    let rows: Vec<_> =
        mounts.iter().map(|mount| (&mount.source, &mount.target, mount.writable)).collect();
    serde_json::to_string(&rows).map_err(|source| Error::Json { place: MOUNTS.into(), source })
}

fn mounts_from_json(json: &str) -> Result<Vec<Mount>> {
    let rows: Vec<(std::path::PathBuf, std::path::PathBuf, bool)> = serde_json::from_str(json)
        .map_err(|source| Error::Json { place: MOUNTS.into(), source })?;
    let mount = |(source, target, writable)| Mount { source, target, writable };
    Ok(rows.into_iter().map(mount).collect())
}

/// `detached`, `pipes`, or `pty 80x24`.
pub(crate) fn terminal_to_text(terminal: Terminal) -> String {
    match terminal {
        Terminal::Detached => "detached".to_owned(),
        Terminal::Pipes => "pipes".to_owned(),
        Terminal::Pty { columns, rows } => format!("pty {columns}x{rows}"),
    }
}

pub(crate) fn terminal_from_text(text: &str) -> Result<Terminal> {
    let pty = |size: &str| {
        let (columns, rows) = size.split_once('x')?;
        Some(Terminal::Pty { columns: columns.parse().ok()?, rows: rows.parse().ok()? })
    };
    let terminal = match text {
        "detached" => Some(Terminal::Detached),
        "pipes" => Some(Terminal::Pipes),
        other => other.strip_prefix("pty ").and_then(pty),
    };
    terminal.ok_or(Error::Row { sql: "one_offs.terminal", kind: "terminal" })
}
