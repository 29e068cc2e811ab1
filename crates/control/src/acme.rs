//! Automatic certificates: an authority that speaks ACME is asked for one for each name that wants
//! one, and again when two thirds of its life are over.
//!
//! A reconciler: `acme_names` has a row for each name that is wanted, with when to ask next and the
//! order under way. It may be stopped and started anywhere; the next one goes on with the orders.

mod account;
mod https;
mod obtain;
mod outcome;
mod wanted;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use model::certificate::Origin;
use model::{Account, App, AppId, Timestamp};
use store::{Poke, Reader, Tx, acme as rows, apps, certificates};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::authorities::Acme;
use crate::wake::{Wake, Woken};
use crate::{Control, Error, Resource, Result, access};

/// A lost poke is healed after this time.
const PERIOD: Duration = Duration::from_secs(60);
/// Orders under way at one time.
const ORDERS: usize = 4;
/// An order that is not done by then is begun anew later.
const PATIENCE: Duration = Duration::from_secs(300);

/// Wants automatic certificates for all custom domains of an app.
///
/// # Errors
/// When the app is not found, the operator has set up no authority, or the database fails.
pub async fn enable(control: &Control, who: &Account, app: AppId) -> Result<App> {
    if control.authorities.acme.is_none() {
        let text = "Automatic Certificate Management is not set up on this platform. Its operator \
                    does so with the section [acme] of hythe.toml; until then add certificates \
                    with `heroku certs:add`.";
        return Err(Error::Invalid(text.to_owned()));
    }
    switch(control, who, app, |_, app| {
        app.acm = true;
        Ok(())
    })
    .await
}

/// Wants them no more, and removes those there are.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn disable(control: &Control, who: &Account, app: AppId) -> Result<App> {
    let disabled = switch(control, who, app, |tx, app| {
        let now = Timestamp::now();
        app.acm = false;
        rows::delete_all(tx, app.id)?;
        let all = certificates::list(tx, app.id)?;
        for endpoint in all.iter().filter(|one| one.origin == Origin::Automatic) {
            certificates::delete_endpoint(tx, endpoint.id, now)?;
        }
        Ok(())
    })
    .await?;
    control.certified.catches_up(&control.store).await;
    Ok(disabled)
}

/// Asks again now for all that was refused.
///
/// # Errors
/// When the app is not found or wants none, or the database fails.
pub async fn refresh(control: &Control, who: &Account, app: AppId) -> Result<App> {
    switch(control, who, app, |tx, app| {
        if !app.acm {
            let text = format!("Automatic Certificate Management is not enabled on {}.", app.name);
            return Err(Error::Invalid(text));
        }
        Ok(rows::retry_all(tx, app.id, Timestamp::now())?)
    })
    .await
}

async fn switch(
    control: &Control,
    who: &Account,
    app: AppId,
    change: impl FnOnce(&mut Tx<'_>, &mut App) -> Result<()> + Send + 'static,
) -> Result<App> {
    let who = who.clone();
    control
        .write(move |_, tx| {
            let mut app = access::app(tx, &who, app)?;
            change(tx, &mut app)?;
            apps::update(tx, &app, Timestamp::now())?;
            tx.poke(Poke::Certificates);
            apps::find(tx, app.id)?.ok_or(Error::NotFound(Resource::App))
        })
        .await
}

/// Asks for what is wanted, until cancelled. Returns at once if the operator has set up no
/// authority.
pub async fn run(control: Control, cancel: CancellationToken) {
    let Some(acme) = control.authorities.acme.clone() else { return };
    // An app's own name gets a certificate with its first release.
    let pokes = [Poke::Certificates, Poke::Releases];
    let mut wake = Wake::new(&control.store, &pokes, PERIOD, cancel);
    let mut orders = Orders { control, acme, jobs: JoinSet::new(), names: HashMap::new() };
    loop {
        let rest = orders.begin().await;
        tokio::select! {
            // Dropped, it has lost nothing: pokes are counters, compared at the next call.
            woken = wake.next_within(rest) => if woken == Woken::Stop { return },
            // Dropped, no job is lost: the set keeps them.
            Some(ended) = orders.jobs.join_next_with_id() => orders.end(ended),
        }
    }
}

/// The orders under way. Dropped, they stop where they are; their rows remember them.
struct Orders {
    control: Control,
    acme: Arc<Acme>,
    jobs: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Orders {
    /// Begins what is due, as far as there is room. Answers how long nothing else will be.
    async fn begin(&mut self) -> Duration {
        let due = match due(&self.control, &self.acme).await {
            Ok(due) => due,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "could not read which certificates are due");
                return PERIOD;
            }
        };
        let busy: HashSet<&String> = self.names.values().collect();
        let next: Vec<String> = due.names.into_iter().filter(|name| !busy.contains(name)).collect();
        // The first order makes the account; more at the same time would make more accounts.
        let room = if due.has_account { ORDERS } else { 1 };
        for hostname in next.into_iter().take(room.saturating_sub(self.jobs.len())) {
            let job = attempt(self.control.clone(), self.acme.clone(), hostname.clone());
            let handle = self.jobs.spawn(job);
            self.names.insert(handle.id(), hostname);
        }
        due.rest
    }

    fn end(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let name = self.names.remove(&id);
        if let Err(error) = ended {
            tracing::error!(%error, hostname = name, "an order for a certificate broke off");
        }
    }
}

/// Asks for one certificate and writes down what came of it.
async fn attempt(control: Control, acme: Arc<Acme>, hostname: String) {
    let obtained = Box::pin(obtain::obtain(&control, &acme, &hostname));
    let outcome = match tokio::time::timeout(PATIENCE, obtained).await {
        Ok(outcome) => outcome,
        Err(_) => Err(obtain::Refusal::new("The certificate authority did not answer in time")),
    };
    let settled = outcome::settle(&control, &acme, &hostname, outcome).await;
    if settled.inspect_err(|error| complain(&hostname, error)).is_err() {
        // The name is still due: the authority is not to be asked again and again meanwhile.
        tokio::time::sleep(PERIOD).await;
    }
}

fn complain(hostname: &str, error: &Error) {
    let error = error as &dyn std::error::Error;
    tracing::error!(error, hostname, "could not write down a certificate");
}

/// What is due now, and how long nothing else will be.
struct Due {
    names: Vec<String>,
    rest: Duration,
    has_account: bool,
}

async fn due(control: &Control, acme: &Arc<Acme>) -> Result<Due> {
    let (inside, asked) = (control.clone(), acme.clone());
    let read = move |db: &Reader<'_>| {
        let now = Timestamp::now();
        let look = wanted::look(&inside, &asked, db, now)?;
        let has_account = rows::account(db, &asked.directory)?.is_some();
        let names = look.noted.iter().filter(|name| name.next_at <= now);
        let names = names.map(|name| name.hostname.clone()).collect();
        let later = look.noted.iter().map(|name| name.next_at).filter(|&at| at > now).min();
        let rest = later.map_or(PERIOD, |at| at.since(now)).min(PERIOD);
        Ok((look.changes, Due { names, rest, has_account }))
    };
    let (changes, due) = control.read(read).await?;
    if !changes.is_empty() {
        // It pokes, so that this is asked again at once.
        control.write(move |_, tx| wanted::apply(tx, &changes, Timestamp::now())).await?;
    }
    Ok(due)
}
