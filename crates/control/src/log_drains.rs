//! Log drains: where an app's lines are sent to.

use std::sync::Arc;
use std::time::Duration;

use model::drain::{Drain, LogDrain, MAX_PER_APP, Reach, Signal, Url, UrlError};
use model::{Account, AppId, DrainId, Timestamp};
use store::{Poke, Reader, log_drains, telemetry_drains};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::wake::{Wake, Woken};
use crate::{Control, Error, Resource, Result, access};

/// What is wanted is looked at again after this time even if nobody said that it has changed.
const PERIOD: Duration = Duration::from_secs(300);

/// The drains of an app.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<LogDrain>> {
    let who = who.clone();
    control
        .read(move |db| {
            let app = access::app(db, &who, app)?;
            Ok(log_drains::of_app(db, app.id)?)
        })
        .await
}

/// The drain of an app with this id, token or URL.
///
/// # Errors
/// When it is not found or the database fails.
pub async fn info(control: &Control, who: &Account, app: AppId, wanted: &str) -> Result<LogDrain> {
    let (who, wanted) = (who.clone(), wanted.to_owned());
    control
        .read(move |db| {
            let app = access::app(db, &who, app)?;
            one(db, app.id, &wanted)
        })
        .await
}

/// Adds a drain. It gets what is said from now on.
///
/// # Errors
/// When the app is not found, the URL is none that drains can have, is there already or is one too
/// many, or the database fails.
pub async fn create(control: &Control, who: &Account, app: AppId, url: &str) -> Result<LogDrain> {
    let url: Url = url.parse().map_err(refused)?;
    check_reach(&control.reach, &url)?;
    let who = who.clone();
    control
        .write(move |_, tx| {
            let app = access::app(tx, &who, app)?;
            let present = log_drains::of_app(tx, app.id)?;
            if present.iter().any(|drain| drain.url == url) {
                return Err(Error::Conflict("Already exists".to_owned()));
            }
            check_room(present.len())?;
            let now = Timestamp::now();
            let drain = LogDrain {
                id: DrainId::random(),
                app: app.id,
                app_name: app.name,
                url,
                created_at: now,
                updated_at: now,
            };
            log_drains::insert(tx, &drain)?;
            Ok(drain)
        })
        .await
}

/// Removes the drain with this id, token or URL; answers what it was.
///
/// # Errors
/// As [`info`].
pub async fn delete(
    control: &Control,
    who: &Account,
    app: AppId,
    wanted: &str,
) -> Result<LogDrain> {
    let (who, wanted) = (who.clone(), wanted.to_owned());
    control
        .write(move |_, tx| {
            let app = access::app(tx, &who, app)?;
            let drain = one(tx, app.id, &wanted)?;
            log_drains::delete(tx, drain.id)?;
            Ok(drain)
        })
        .await
}

/// All drains that are to be at work.
///
/// # Errors
/// When the database fails.
pub async fn wanted(control: &Control) -> Result<Vec<Drain>> {
    control
        .read(|db| {
            let lines = log_drains::all(db)?.into_iter().map(Drain::from);
            let telemetry = telemetry_drains::all(db)?.into_iter();
            let logs = telemetry.filter(|drain| drain.signals.contains(&Signal::Logs));
            Ok(lines.chain(logs.map(Drain::from)).collect())
        })
        .await
}

/// Publishes which drains are to be at work, until cancelled.
pub async fn run(control: Control, to: watch::Sender<Arc<Vec<Drain>>>, cancel: CancellationToken) {
    let mut wake = Wake::new(&control.store, &[Poke::Drains, Poke::Garbage], PERIOD, cancel);
    loop {
        match wanted(&control).await {
            Ok(drains) => {
                to.send_if_modified(|now| {
                    let is_new = **now != drains;
                    if is_new {
                        *now = Arc::new(drains);
                    }
                    is_new
                });
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot read drains");
            }
        }
        if wake.next().await == Woken::Stop {
            return;
        }
    }
}

/// One more drain would be too many.
pub(crate) fn check_room(present: usize) -> Result<()> {
    if present < MAX_PER_APP {
        return Ok(());
    }
    Err(Error::TooMany("You have already added the maximum number of drains allowed".to_owned()))
}

/// An address that drains may not reach is refused at once. Names are looked at when they are
/// resolved, each time.
pub(crate) fn check_reach(reach: &Reach, url: &Url) -> Result<()> {
    match url.address() {
        Some(address) if !reach.permits(address) => Err(refused(UrlError(format!(
            "{address} is an internal address; the operator can allow it by `networks` in \
             [drains] of hythe.toml"
        )))),
        _ => Ok(()),
    }
}

pub(crate) fn refused(error: UrlError) -> Error {
    Error::Invalid(error.to_string())
}

fn one(db: &Reader<'_>, app: AppId, wanted: &str) -> Result<LogDrain> {
    let named = |drain: &LogDrain| {
        drain.url.reveal() == wanted
            || drain.token() == wanted
            || wanted.parse().is_ok_and(|id: DrainId| drain.id == id)
    };
    let found = log_drains::of_app(db, app)?.into_iter().find(named);
    found.ok_or(Error::NotFound(Resource::LogDrain))
}

#[cfg(test)]
mod tests;
