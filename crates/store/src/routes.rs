//! Which apps the router must look at anew.
//!
//! Whoever writes a row that routes are made of (apps, domains, features, formations) gives its app
//! the next number; that happens here in the store, so that no verb can forget it. Whoever keeps a
//! copy of the routes asks for the apps with a higher number than the highest it has seen: it reads what
//! is stored, needs no message, and its work does not grow with the number of apps.

use model::AppId;

use crate::engine::{Reader, Row, Tx};
use crate::{Poke, Result, values};

/// Notes that something of `app` that routes are made of was written.
pub(crate) fn changed(tx: &mut Tx<'_>, app: AppId) -> Result<()> {
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
    Ok((apps, newest(db)?))
}

/// Every living app, for whoever has seen nothing yet.
///
/// # Errors
/// When the statement fails.
pub fn all(db: &Reader<'_>) -> Result<Vec<AppId>> {
    db.all("SELECT id FROM apps WHERE deleted_at IS NULL", values![], Row::take)
}

/// The highest number there is.
///
/// # Errors
/// When the statement fails.
pub fn newest(db: &Reader<'_>) -> Result<u64> {
    Ok(db.cell("SELECT number FROM route_changes", values![])?.unwrap_or(0))
}
