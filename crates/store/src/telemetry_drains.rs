//! Telemetry drains.

use std::collections::BTreeMap;

use model::drain::{Exporter, ExporterKind, Signal, TelemetryDrain};
use model::{AppId, ConfigVars, DrainId, Secret};

use crate::apps::{open_config, seal_config};
use crate::engine::{Reader, Row, Tx};
use crate::log_drains::open_url;
use crate::{Error, Poke, Result, values};

/// Writes a new drain.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, drain: &TelemetryDrain) -> Result<()> {
    let (endpoint, headers) = sealed(tx, drain)?;
    tx.run(
        "INSERT INTO telemetry_drains (id, app_id, signals, kind, endpoint, headers, created_at,
                                       updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        values![
            drain.id,
            drain.app,
            words(&drain.signals),
            drain.exporter.kind.as_str(),
            endpoint,
            headers,
            drain.created_at,
            drain.updated_at
        ],
    )?;
    tx.poke(Poke::Drains);
    Ok(())
}

/// Writes what has changed of a drain.
///
/// # Errors
/// When the database fails.
pub fn update(tx: &mut Tx<'_>, drain: &TelemetryDrain) -> Result<()> {
    let (endpoint, headers) = sealed(tx, drain)?;
    tx.run(
        "UPDATE telemetry_drains
         SET signals = ?2, kind = ?3, endpoint = ?4, headers = ?5, updated_at = ?6
         WHERE id = ?1",
        values![
            drain.id,
            words(&drain.signals),
            drain.exporter.kind.as_str(),
            endpoint,
            headers,
            drain.updated_at
        ],
    )?;
    tx.poke(Poke::Drains);
    Ok(())
}

/// Removes a drain.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, id: DrainId) -> Result<()> {
    tx.run("DELETE FROM telemetry_drains WHERE id = ?1", values![id])?;
    tx.poke(Poke::Drains);
    Ok(())
}

/// One drain of a living app.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, id: DrainId) -> Result<Option<TelemetryDrain>> {
    Ok(all(db)?.into_iter().find(|drain| drain.id == id))
}

/// The drains of an app, oldest first.
///
/// # Errors
/// When the database fails.
pub fn of_app(db: &Reader<'_>, app: AppId) -> Result<Vec<TelemetryDrain>> {
    let sql = "SELECT d.id, d.app_id, a.name, d.signals, d.kind, d.endpoint, d.headers,
                d.created_at, d.updated_at
         FROM telemetry_drains d JOIN apps a ON a.id = d.app_id
         WHERE d.app_id = ?1 ORDER BY d.created_at, d.id";
    db.all(sql, values![app], |row| drain(db, row))
}

/// The drains of all living apps.
///
/// # Errors
/// When the database fails.
pub fn all(db: &Reader<'_>) -> Result<Vec<TelemetryDrain>> {
    let sql = "SELECT d.id, d.app_id, a.name, d.signals, d.kind, d.endpoint, d.headers,
                d.created_at, d.updated_at
         FROM telemetry_drains d JOIN apps a ON a.id = d.app_id
         WHERE a.deleted_at IS NULL ORDER BY d.created_at, d.id";
    db.all(sql, values![], |row| drain(db, row))
}

fn drain(db: &Reader<'_>, row: &mut Row) -> Result<TelemetryDrain> {
    let id: DrainId = row.take()?;
    let (app, app_name) = (row.take()?, row.take()?);
    let signals = signals(&row.take::<String>()?);
    let kind: String = row.take()?;
    let kind = ExporterKind::ALL.into_iter().find(|one| one.as_str() == kind);
    let kind = kind.ok_or(Error::Row { sql: "the kind of a telemetry drain", kind: "exporter" })?;
    let endpoint = open_url(db, &place(id, "endpoint"), &row.take::<Vec<u8>>()?)?;
    let headers = open_config(db, &place(id, "headers"), &row.take::<Vec<u8>>()?)?.0;
    let headers: BTreeMap<_, _> =
        headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
    Ok(TelemetryDrain {
        id,
        app,
        app_name,
        signals,
        exporter: Exporter { kind, endpoint, headers },
        created_at: row.take()?,
        updated_at: row.take()?,
    })
}

fn sealed(db: &Reader<'_>, drain: &TelemetryDrain) -> Result<(Vec<u8>, Vec<u8>)> {
    let exporter = &drain.exporter;
    let endpoint = exporter.endpoint.reveal().as_bytes();
    let endpoint = db.vault().seal(&place(drain.id, "endpoint"), endpoint)?;
    let headers = exporter.headers.iter();
    let headers = headers.map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
    let headers = seal_config(db, &place(drain.id, "headers"), &ConfigVars(headers))?;
    Ok((endpoint, headers))
}

fn words(signals: &[Signal]) -> String {
    signals.iter().map(|signal| signal.as_str()).collect::<Vec<_>>().join(",")
}

fn signals(words: &str) -> Vec<Signal> {
    let named = |word| Signal::ALL.into_iter().find(|signal| signal.as_str() == word);
    words.split(',').filter_map(named).collect()
}

fn place(id: DrainId, column: &str) -> String {
    format!("telemetry_drains/{id}/{column}")
}
