//! Dynos: one row per life of one process, written by the dyno manager as it observes them.

use std::net::SocketAddr;

use model::dyno::{DynoKind, Exit, StopReason};
use model::{AppId, Dyno, DynoId, DynoName, DynoState, Timestamp};

use crate::engine::{Reader, Row, Tx};
use crate::{Error, Poke, Result, one_offs, values, waiting_dynos};

/// A query for whole rows, in the order that [`read`] takes them.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, app_id, process_type, number, kind, release_id, release_version, command,
             size, state, stop_reason, address, exit_status, out_of_memory, crashes, created_at,
             up_at, ended_at, updated_at ",
            $rest
        )
    };
}

/// A dyno, and what only the dyno manager asks of it.
#[derive(Clone, Debug)]
pub struct Life {
    /// The dyno.
    pub dyno: Dyno,
    /// Crashes in a row before this life.
    pub crashes: u32,
    /// Where it is reached; a port only when it is to listen.
    pub address: Option<SocketAddr>,
    /// Why it was told to stop, if it was.
    pub stop_reason: Option<StopReason>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Remembers a dyno that is about to start.
///
/// # Errors
/// When the statement fails.
pub fn insert(tx: &mut Tx<'_>, life: &Life) -> Result<()> {
    let dyno = &life.dyno;
    tx.run(
        "INSERT INTO dynos (id, app_id, process_type, number, kind, release_id, release_version,
             command, size, state, stop_reason, address, exit_status, out_of_memory, crashes,
             created_at, up_at, ended_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19)",
        values![
            dyno.id,
            dyno.app,
            &dyno.name.process_type,
            dyno.name.number,
            dyno.kind,
            dyno.release,
            dyno.release_version,
            &dyno.command,
            dyno.size,
            dyno.state,
            life.stop_reason,
            life.address.map(|address| address.to_string()),
            dyno.exit.map(|exit| exit.status),
            dyno.exit.is_some_and(|exit| exit.out_of_memory),
            life.crashes,
            dyno.created_at,
            dyno.up_at,
            life.ended_at,
            dyno.updated_at,
        ],
    )?;
    Ok(())
}

/// Remembers where a dyno is reached.
///
/// # Errors
/// When the statement fails.
pub fn set_address(tx: &mut Tx<'_>, id: DynoId, address: SocketAddr) -> Result<()> {
    tx.run("UPDATE dynos SET address = ?2 WHERE id = ?1", values![id, address.to_string()])?;
    Ok(())
}

/// Remembers that a dyno came up.
///
/// # Errors
/// When the statement fails.
pub fn came_up(tx: &mut Tx<'_>, id: DynoId, now: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE dynos SET state = ?2, up_at = ?3, updated_at = ?3 WHERE id = ?1",
        values![id, DynoState::Up, now],
    )?;
    Ok(())
}

/// Remembers that a dyno is frozen in place, or runs again.
///
/// # Errors
/// When the statement fails.
pub fn set_state(tx: &mut Tx<'_>, id: DynoId, state: DynoState, now: Timestamp) -> Result<()> {
    tx.run("UPDATE dynos SET state = ?2, updated_at = ?3 WHERE id = ?1", values![id, state, now])?;
    Ok(())
}

/// Remembers that a dyno was told to stop. People no longer see it, unless it is to sleep.
///
/// # Errors
/// When the statement fails.
pub fn was_told(tx: &mut Tx<'_>, id: DynoId, why: StopReason, now: Timestamp) -> Result<()> {
    let state = if why == StopReason::Idling { DynoState::Idle } else { DynoState::Down };
    tx.run(
        "UPDATE dynos SET state = ?2, stop_reason = ?3, updated_at = ?4 WHERE id = ?1",
        values![id, state, why, now],
    )?;
    Ok(())
}

/// Remembers that a dyno is over, and closes its one-off if it is one.
///
/// # Errors
/// When a statement fails.
pub fn ended(
    tx: &mut Tx<'_>,
    id: DynoId,
    state: DynoState,
    exit: Exit,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "UPDATE dynos SET state = ?2, exit_status = ?3, out_of_memory = ?4, ended_at = ?5,
             updated_at = ?5
         WHERE id = ?1",
        values![id, state, exit.status, exit.out_of_memory, now],
    )?;
    one_offs::finish(tx, id, now)?;
    let orphan: Option<i64> = tx.cell(
        "SELECT COUNT(*) FROM dynos JOIN apps ON apps.id = dynos.app_id
         WHERE dynos.id = ?1 AND apps.deleted_at IS NOT NULL",
        values![id],
    )?;
    if orphan.is_some_and(|count| count > 0) {
        tx.poke(Poke::Garbage);
    }
    Ok(())
}

/// Removes the row of a formation dyno that is over. Rows of one-offs keep their exit status for
/// whoever asked for them.
///
/// # Errors
/// When the statement fails.
pub fn forget(tx: &mut Tx<'_>, id: DynoId) -> Result<()> {
    tx.run("DELETE FROM dynos WHERE id = ?1 AND kind = ?2", values![id, DynoKind::Formation])?;
    Ok(())
}

/// One dyno.
///
/// # Errors
/// When the statement fails.
pub fn find(db: &Reader<'_>, id: DynoId) -> Result<Option<Life>> {
    let sql = select!("FROM dynos WHERE id = ?1");
    db.one(sql, values![id], read)
}

/// The dynos that people see: not builds, not one-offs that are over, not those being stopped, and
/// not those that a newer one of the same name is about to replace; and those that wait for memory,
/// one-offs among them.
///
/// # Errors
/// When the statement fails.
pub fn of_app(db: &Reader<'_>, app: AppId) -> Result<Vec<Dyno>> {
    let sql = select!(
        "FROM dynos
         WHERE app_id = ?1 AND kind <> 'build' AND (ended_at IS NULL OR kind = 'formation')
             AND state IN ('starting', 'up', 'idle', 'crashed')
             AND NOT EXISTS (
                 SELECT 1 FROM dynos AS newer
                 WHERE newer.app_id = dynos.app_id AND newer.process_type = dynos.process_type
                     AND newer.number = dynos.number AND newer.created_at > dynos.created_at
                     AND newer.state IN ('starting', 'up'))
         ORDER BY process_type, number, created_at"
    );
    let lives = db.all(sql, values![app], read)?;
    let mut dynos: Vec<Dyno> = lives.into_iter().map(|life| life.dyno).collect();
    dynos.extend(one_offs::waiting(db, app)?);
    for waiting in waiting_dynos::of_app(db, app)? {
        if !dynos.iter().any(|dyno| dyno.name == waiting.name) {
            dynos.push(waiting);
        }
    }
    dynos.sort_by(|one, other| {
        let key = |dyno: &Dyno| (dyno.name.process_type.to_string(), dyno.name.number);
        key(one).cmp(&key(other))
    });
    Ok(dynos)
}

/// Every life that is not over, and the crashes that still count: where a manager begins.
///
/// # Errors
/// When the statement fails.
pub fn open(db: &Reader<'_>) -> Result<Vec<Life>> {
    let sql =
        select!("FROM dynos WHERE ended_at IS NULL OR kind = 'formation' ORDER BY created_at, id");
    db.all(sql, values![], read)
}

fn read(row: &mut Row) -> Result<Life> {
    let id = row.take()?;
    let app = row.take()?;
    let name = DynoName { process_type: row.take()?, number: row.take()? };
    let (kind, release, release_version) = (row.take()?, row.take()?, row.take()?);
    let (command, size, state) = (row.take()?, row.take()?, row.take()?);
    let (stop_reason, address): (_, Option<String>) = (row.take()?, row.take()?);
    let (status, out_of_memory): (Option<i32>, bool) = (row.take()?, row.take()?);
    let (crashes, created_at) = (row.take()?, row.take()?);
    let (up_at, ended_at, updated_at) = (row.take()?, row.take()?, row.take()?);
    let exit = status.map(|status| Exit { status, out_of_memory });
    let bad = |_| Error::Row { sql: "dynos.address", kind: "SocketAddr" };
    let address = address.map(|text| text.parse()).transpose().map_err(bad)?;
    let dyno = Dyno {
        id,
        app,
        name,
        kind,
        release,
        release_version,
        command,
        size,
        state,
        exit,
        created_at,
        up_at,
        updated_at,
    };
    Ok(Life { dyno, crashes, address, stop_reason, ended_at })
}
