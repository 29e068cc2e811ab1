//! Which apps the router must look at anew.
//!
//! A change of anything that routes are made of gives its app the next number. Whoever keeps a copy
//! of the routes asks for the apps with a higher number than the highest it has seen: it reads what
//! is stored, needs no message, and its work does not grow with the number of apps.

use model::AppId;

use crate::engine::{Reader, Row, Tx};
use crate::{Poke, Result, values};

/// Notes that something of `app` that routes are made of has changed: name, domains, maintenance,
/// pages, features, whether it was released, or that it is to be destroyed.
///
/// # Errors
/// When the statement fails.
pub fn changed(tx: &mut Tx<'_>, app: AppId) -> Result<()> {
    // There is one writer, so numbers are committed in their order.
    tx.run("UPDATE route_changes SET number = number + 1", values![])?;
    tx.run(
        "UPDATE apps SET route_change = (SELECT number FROM route_changes) WHERE id = ?1",
        values![app],
    )?;
    tx.poke(Poke::Routes);
    Ok(())
}

/// Apps that have changed since the number `seen`, and the highest number there is now.
///
/// # Errors
/// When a statement fails.
pub fn since(db: &Reader<'_>, seen: u64) -> Result<(Vec<AppId>, u64)> {
    let apps = db.all("SELECT id FROM apps WHERE route_change > ?1", values![seen], Row::take)?;
    Ok((apps, highest(db)?))
}

/// The highest number there is.
///
/// # Errors
/// When the statement fails.
pub fn highest(db: &Reader<'_>) -> Result<u64> {
    Ok(db.cell("SELECT number FROM route_changes", values![])?.unwrap_or(0))
}
