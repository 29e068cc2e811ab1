//! Visits: clients that are about to join a running dyno with a program of their own.

use model::dyno::Visit;
use model::{ConfigVars, Secret, Timestamp, VisitId};

use crate::apps::{open_config, seal_config};
use crate::engine::{Reader, Row, Tx};
use crate::one_offs::{hash, terminal_from_text, terminal_to_text};
use crate::{Result, values};

/// Writes down a visit that `secret` will begin.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, visit: &Visit, secret: &Secret) -> Result<()> {
    let env = seal_config(tx, &place(visit.id), &ConfigVars(visit.env.clone()))?;
    tx.run(
        "INSERT INTO visits (id, app_id, dyno_id, command, env, terminal, secret_hash, actor_id,
                             created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        values![
            visit.id,
            visit.app,
            visit.dyno,
            &visit.command,
            env,
            terminal_to_text(visit.terminal),
            hash(secret.reveal()),
            visit.actor,
            visit.created_at
        ],
    )?;
    Ok(())
}

/// Takes the visit that this secret begins. It can be taken once, and not when it was written down
/// before `since`.
///
/// # Errors
/// When the database fails.
pub fn take(tx: &mut Tx<'_>, secret: &str, since: Timestamp) -> Result<Option<Visit>> {
    let sql = "SELECT id, app_id, dyno_id, command, env, terminal, actor_id, created_at
         FROM visits WHERE secret_hash = ?1 AND created_at >= ?2";
    let found = tx.one(sql, values![hash(secret), since], |row| visit(tx, row))?;
    if let Some(visit) = &found {
        tx.run("DELETE FROM visits WHERE id = ?1", values![visit.id])?;
    }
    Ok(found)
}

fn visit(db: &Reader<'_>, row: &mut Row) -> Result<Visit> {
    let id = row.take()?;
    Ok(Visit {
        id,
        app: row.take()?,
        dyno: row.take()?,
        command: row.take()?,
        env: open_config(db, &place(id), &row.take::<Vec<u8>>()?)?.0,
        terminal: terminal_from_text(&row.take::<String>()?)?,
        actor: row.take()?,
        created_at: row.take()?,
    })
}

fn place(id: VisitId) -> String {
    format!("visits/{id}/env")
}
