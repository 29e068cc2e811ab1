//! Dynos of the formation that there is no memory for, so that people see them.

use model::dyno::DynoKind;
use model::{AppId, Dyno, DynoName, DynoState};

use crate::engine::{Reader, Tx};
use crate::{Result, values};

/// Writes the whole list anew.
///
/// # Errors
/// When a statement fails.
pub fn replace(tx: &mut Tx<'_>, dynos: &[Dyno]) -> Result<()> {
    tx.run("DELETE FROM waiting_dynos", values![])?;
    for dyno in dynos {
        tx.run(
            "INSERT INTO waiting_dynos (id, app_id, process_type, number, release_id,
                 release_version, command, size, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            values![
                dyno.id,
                dyno.app,
                &dyno.name.process_type,
                dyno.name.number,
                dyno.release,
                dyno.release_version,
                &dyno.command,
                dyno.size,
                dyno.created_at,
            ],
        )?;
    }
    Ok(())
}

/// Those of one app. They are down.
///
/// # Errors
/// When the statement fails.
pub fn of_app(db: &Reader<'_>, app: AppId) -> Result<Vec<Dyno>> {
    let sql =
        "SELECT id, process_type, number, release_id, release_version, command, size, created_at
         FROM waiting_dynos WHERE app_id = ?1 ORDER BY process_type, number";
    db.all(sql, values![app], |row| {
        let id = row.take()?;
        let name = DynoName { process_type: row.take()?, number: row.take()? };
        let (release, release_version) = (row.take()?, row.take()?);
        let (command, size, created_at) = (row.take()?, row.take()?, row.take()?);
        Ok(Dyno {
            id,
            app,
            name,
            kind: DynoKind::Formation,
            release,
            release_version,
            command,
            size,
            state: DynoState::Down,
            exit: None,
            created_at,
            up_at: None,
            updated_at: created_at,
        })
    })
}
