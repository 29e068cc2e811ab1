//! Telemetry drains: where an app's telemetry is sent to. Of its three signals this version
//! collects the lines of the log.

use std::collections::BTreeMap;

use model::drain::{Exporter, ExporterKind, Signal, TelemetryDrain, Url, UrlError};
use model::{Account, AppId, DrainId, Secret, Timestamp};
use store::{Reader, telemetry_drains};

use crate::log_drains::{check_reach, check_room, refused};
use crate::{Control, Error, Resource, Result, access};

/// A drain has no more headers.
const MAX_HEADERS: usize = 20;
/// Names of headers are not longer,
const MAX_HEADER_NAME: usize = 100;
/// and values neither.
const MAX_HEADER_VALUE: usize = 1000;

/// Headers that are ours to set.
const OUR_HEADERS: [&str; 5] =
    ["connection", "content-length", "content-type", "host", "transfer-encoding"];

/// What is to be changed of a drain, or all of it.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What is sent.
    pub signals: Option<Vec<Signal>>,
    /// How it travels.
    pub kind: Option<ExporterKind>,
    /// Where to.
    pub endpoint: Option<String>,
    /// Headers of each request.
    pub headers: Option<BTreeMap<String, Secret>>,
}

/// The drains of an app.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<TelemetryDrain>> {
    let who = who.clone();
    control
        .read(move |db| {
            let app = access::app(db, &who, app)?;
            Ok(telemetry_drains::of_app(db, app.id)?)
        })
        .await
}

/// One drain.
///
/// # Errors
/// When it is not found or the database fails.
pub async fn info(control: &Control, who: &Account, id: DrainId) -> Result<TelemetryDrain> {
    let who = who.clone();
    control.read(move |db| one(db, &who, id)).await
}

/// Adds a drain. It gets what is said from now on. `new` must be whole.
///
/// # Errors
/// When the app is not found, what is asked makes no sense or is not built, it is there already or
/// is one too many, or the database fails.
pub async fn create(
    control: &Control,
    who: &Account,
    app: AppId,
    new: Change,
) -> Result<TelemetryDrain> {
    let who = who.clone();
    control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            let present = telemetry_drains::of_app(tx, app.id)?;
            let (Some(signals), Some(kind), Some(endpoint)) = (new.signals, new.kind, new.endpoint)
            else {
                return Err(Error::Invalid(
                    "Signals, exporter type and endpoint are needed.".to_owned(),
                ));
            };
            let exporter = Exporter {
                kind,
                endpoint: url(&endpoint)?,
                headers: new.headers.unwrap_or_default(),
            };
            let now = Timestamp::now();
            let drain = TelemetryDrain {
                id: DrainId::random(),
                app: app.id,
                app_name: app.name,
                signals,
                exporter,
                created_at: now,
                updated_at: now,
            };
            check(control, &drain, &present)?;
            check_room(present.len())?;
            telemetry_drains::insert(tx, &drain)?;
            Ok(drain)
        })
        .await
}

/// Changes a drain.
///
/// # Errors
/// When it is not found, what is asked makes no sense or is not built, or the database fails.
pub async fn update(
    control: &Control,
    who: &Account,
    id: DrainId,
    change: Change,
) -> Result<TelemetryDrain> {
    let who = who.clone();
    control
        .write(move |control, tx| {
            let mut drain = one(tx, &who, id)?;
            drain.signals = change.signals.unwrap_or(drain.signals);
            drain.exporter.kind = change.kind.unwrap_or(drain.exporter.kind);
            if let Some(endpoint) = change.endpoint {
                drain.exporter.endpoint = url(&endpoint)?;
            }
            drain.exporter.headers = change.headers.unwrap_or(drain.exporter.headers);
            drain.updated_at = Timestamp::now();
            let mut others = telemetry_drains::of_app(tx, drain.app)?;
            others.retain(|other| other.id != id);
            check(control, &drain, &others)?;
            telemetry_drains::update(tx, &drain)?;
            Ok(drain)
        })
        .await
}

/// Removes a drain; answers what it was.
///
/// # Errors
/// As [`info`].
pub async fn delete(control: &Control, who: &Account, id: DrainId) -> Result<TelemetryDrain> {
    let who = who.clone();
    control
        .write(move |_, tx| {
            let drain = one(tx, &who, id)?;
            telemetry_drains::delete(tx, id)?;
            Ok(drain)
        })
        .await
}

fn one(db: &Reader<'_>, who: &Account, id: DrainId) -> Result<TelemetryDrain> {
    let not_found = || Error::NotFound(Resource::TelemetryDrain);
    let drain = telemetry_drains::find(db, id)?.ok_or_else(not_found)?;
    access::app(db, who, drain.app).map_err(|_| not_found())?;
    Ok(drain)
}

fn url(text: &str) -> Result<Url> {
    let url: Url = text.parse().map_err(refused)?;
    if !url.scheme.is_http() {
        return Err(refused(UrlError(
            "the endpoint must begin with http:// or https://".to_owned(),
        )));
    }
    Ok(url)
}

fn check(control: &Control, drain: &TelemetryDrain, others: &[TelemetryDrain]) -> Result<()> {
    let not_built = match drain.exporter.kind {
        ExporterKind::OtlpHttp => None,
        ExporterKind::Otlp => Some("gRPC"),
        ExporterKind::Splunk => Some("Splunk"),
    };
    if let Some(transport) = not_built {
        return Err(Error::Invalid(format!(
            "The transport {transport} is not built in this version of Hythe: use --transport http."
        )));
    }
    if drain.signals != [Signal::Logs] {
        return Err(Error::Invalid(
            "Traces and metrics are not collected in this version of Hythe: use --signals logs."
                .to_owned(),
        ));
    }
    check_reach(&control.reach, &drain.exporter.endpoint)?;
    check_headers(&drain.exporter.headers)?;
    if others.iter().any(|other| other.exporter == drain.exporter) {
        return Err(Error::Conflict("Already exists".to_owned()));
    }
    Ok(())
}

fn check_headers(headers: &BTreeMap<String, Secret>) -> Result<()> {
    if headers.len() > MAX_HEADERS {
        return Err(Error::Invalid(format!("A drain has at most {MAX_HEADERS} headers.")));
    }
    for (name, value) in headers {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=MAX_HEADER_NAME).contains(&name.len()) || !name.bytes().all(is_word) {
            return Err(Error::Invalid(format!("`{name}` is not a good name for a header.")));
        }
        if OUR_HEADERS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
            return Err(Error::Invalid(format!("The header {name} is set by the platform.")));
        }
        let value = value.reveal();
        let is_text = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if value.len() > MAX_HEADER_VALUE || !value.bytes().all(is_text) {
            return Err(Error::Invalid(format!(
                "The header {name} has a value that is too long or not plain text."
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
