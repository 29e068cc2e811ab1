//! The routing table: domains and apps, as stored, merged with the dynos that take requests, as the
//! dyno manager sees them.
//!
//! A change costs what the changed apps cost, however many others there are: what is stored is read
//! only of apps whose number has grown ([`store::routes`]), the views of the dyno manager are compared
//! with those before, and the table is a copy that shares all the rest with the one before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::feature::Features;
use model::routes::{
    AppRoute, Choice, Continuation, DynoConnections, RoutingTable, WebState, WebView,
};
use model::{App, AppId, ConfigVars, Feature, ProcessType};
use store::{Poke, Reader, acme, apps, domains, features, formations, routes};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::wake::{Wake, Woken};
use crate::{Control, Result};

/// A lost poke is healed after this time.
const PERIOD: Duration = Duration::from_secs(60);

/// Each app's web side, published by the dyno manager.
pub type Views = Arc<HashMap<AppId, WebView>>;

/// What is stored of one app, as far as routing needs it.
#[derive(Clone, Debug)]
struct Stored {
    app: App,
    error_page_url: Option<String>,
    maintenance_page_url: Option<String>,
    features: Features,
    web_dynos: u32,
    names: Vec<String>,
}

/// What has changed in the database.
#[derive(Debug, Default)]
struct Changes {
    /// Apps, and what is stored of them now; nothing when they are to be destroyed.
    apps: Vec<(AppId, Option<Stored>)>,
    /// Answers to certificate authorities: all there are.
    challenges: HashMap<Box<str>, Arc<str>>,
    /// The number of the newest change; see [`store::routes`].
    newest: u64,
}

/// The table, and what it was made from.
struct Draft {
    table: RoutingTable,
    stored: HashMap<AppId, Stored>,
    views: Views,
}

/// Publishes a new table whenever something stored or running changes, until cancelled.
pub async fn run(
    control: Control,
    mut views: watch::Receiver<Views>,
    publish: impl Fn(RoutingTable) + Send,
    cancel: CancellationToken,
) {
    let mut wake = Wake::new(&control.store, &[Poke::Routes], PERIOD, cancel);
    let pokes = control.store.subscribe(Poke::Routes);
    let mut draft = Draft::new(&control.settings.platform_hosts);
    // The number of the newest change in the draft; none before the first reading.
    let mut seen = None;
    loop {
        let newest = *pokes.borrow();
        let changes = read(&control, seen).await;
        let current = changes.is_some();
        if let Some(changes) = changes {
            seen = Some(changes.newest);
            draft.store(changes);
        }
        draft.see(views.borrow_and_update().clone());
        if seen.is_some() {
            publish(draft.table.clone());
        }
        if current {
            control.published.reached(newest);
        }
        loop {
            tokio::select! {
                // Dropped, it has lost nothing: pokes are counters, compared at the next call.
                woken = wake.next() => match woken {
                    Woken::Stop => return control.published.ends(),
                    Woken::Again => break,
                },
                // Dropped, the change is still unseen and is seen by the next `borrow_and_update`.
                Ok(()) = views.changed() => {
                    // What is stored need not be read: views change far more often than domains.
                    if draft.see(views.borrow_and_update().clone()) && seen.is_some() {
                        publish(draft.table.clone());
                    }
                }
            }
        }
    }
}

impl Draft {
    /// A table without apps.
    fn new(platform_hosts: &[String]) -> Self {
        let table = RoutingTable::new(platform_hosts.iter().map(String::as_str));
        Self { table, stored: HashMap::new(), views: Views::default() }
    }

    /// Takes over what has changed in the database.
    fn store(&mut self, changes: Changes) {
        for (app, stored) in changes.apps {
            match stored {
                Some(stored) => {
                    self.table.set(&route(&stored, &self.views), &stored.names);
                    self.stored.insert(app, stored);
                }
                None => {
                    self.table.remove(app);
                    self.stored.remove(&app);
                }
            }
        }
        if *self.table.challenges != changes.challenges {
            self.table.challenges = Arc::new(changes.challenges);
        }
    }

    /// Takes over what the dyno manager sees now. Answers whether that changed anything.
    fn see(&mut self, views: Views) -> bool {
        let before = std::mem::replace(&mut self.views, views);
        let now = self.views.clone();
        let is_new =
            |app: &AppId, view: &WebView| before.get(app).is_none_or(|old| !same(old, view));
        let changed = now.iter().filter(|(app, view)| is_new(app, view)).map(|(app, _)| *app);
        let gone = before.keys().filter(|app| !now.contains_key(app)).copied();
        let changed: Vec<AppId> = changed.chain(gone).collect();
        for app in &changed {
            if let Some(stored) = self.stored.get(app) {
                self.table.set(&route(stored, &now), &stored.names);
            }
        }
        !changed.is_empty()
    }
}

/// Whether two views send requests to the same places.
fn same(one: &WebView, other: &WebView) -> bool {
    let backends = || one.backends.iter().zip(&*other.backends);
    one.state == other.state
        && one.backends.len() == other.backends.len()
        && backends().all(|(one, other)| Arc::ptr_eq(one, other))
}

/// An app that the dyno manager has not looked at yet has no view: if it was ever released its dynos
/// are taken to be starting, so that requests wait.
fn route(stored: &Stored, views: &HashMap<AppId, WebView>) -> Arc<AppRoute> {
    let web = match views.get(&stored.app.id) {
        Some(view) => seen(stored, view.clone()),
        None => unseen(&stored.app),
    };
    Arc::new(AppRoute {
        app: stored.app.id,
        name: stored.app.name.clone(),
        web,
        maintenance: stored.app.maintenance,
        error_page_url: stored.error_page_url.clone(),
        maintenance_page_url: stored.maintenance_page_url.clone(),
        choice: choice(&stored.features),
        connections: connections(&stored.features),
        continuation: continuation(&stored.features),
    })
}

fn choice(features: &Features) -> Choice {
    if features.has(Feature::HttpSessionAffinity) { Choice::Session } else { Choice::Random }
}

fn connections(features: &Features) -> DynoConnections {
    if features.has(Feature::HttpDisableKeepaliveToDyno) {
        return DynoConnections::OnePerRequest;
    }
    DynoConnections::Kept
}

fn continuation(features: &Features) -> Continuation {
    if features.has(Feature::HttpEndToEndContinue) {
        return Continuation::Dyno;
    }
    Continuation::Router
}

/// A view may be older than the wish for dynos: then they are about to start.
fn seen(stored: &Stored, view: WebView) -> WebView {
    match view.state {
        WebState::ScaledToZero if stored.web_dynos > 0 => {
            WebView { state: WebState::Starting, ..view }
        }
        _ => view,
    }
}

fn unseen(app: &App) -> WebView {
    let state = if app.released_at.is_some() { WebState::Starting } else { WebState::Blank };
    WebView { state, backends: Arc::from([]) }
}

/// What has changed since `seen`; `None` when the database cannot say. The router then keeps what it
/// has, and the next poke tries again.
async fn read(control: &Control, seen: Option<u64>) -> Option<Changes> {
    match control.read(move |db| changes(db, seen)).await {
        Ok(changes) => Some(changes),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "could not read routes");
            None
        }
    }
}

fn changes(db: &Reader<'_>, seen: Option<u64>) -> Result<Changes> {
    let (changed, newest) = match seen {
        Some(seen) => routes::since(db, seen)?,
        None => (routes::all(db)?, routes::newest(db)?),
    };
    let apps = changed.into_iter().map(|app| Ok((app, stored(db, app)?)));
    let apps = apps.collect::<Result<Vec<_>>>()?;
    let challenge = |(host, token, answer): (String, String, String)| {
        (format!("{host}/{token}").into(), answer.into())
    };
    let challenges = acme::challenges(db)?.into_iter().map(challenge).collect();
    Ok(Changes { apps, challenges, newest })
}

fn stored(db: &Reader<'_>, app: AppId) -> Result<Option<Stored>> {
    let Some(app) = apps::find(db, app)?.filter(|app| app.deleted_at.is_none()) else {
        return Ok(None);
    };
    let config = apps::config(db, app.id)?.unwrap_or_default();
    let names = domains::list(db, app.id)?.into_iter().map(|domain| domain.hostname).collect();
    let formation = formations::list(db, app.id)?;
    let web = formation.iter().find(|row| row.process_type == ProcessType::web());
    Ok(Some(Stored {
        error_page_url: page(&config, "ERROR_PAGE_URL"),
        maintenance_page_url: page(&config, "MAINTENANCE_PAGE_URL"),
        features: features::of(db, app.id)?,
        web_dynos: web.map_or(0, |row| row.quantity),
        names,
        app,
    }))
}

fn page(config: &ConfigVars, name: &str) -> Option<String> {
    config.get(name).filter(|url| !url.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
