//! The routing table: domains and apps, as stored, merged with the dynos that take requests, as the
//! dyno manager sees them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::domain::Domain;
use model::feature::Features;
use model::routes::{
    AppRoute, Choice, Continuation, DynoConnections, RoutingTable, WebState, WebView,
};
use model::{App, AppId, ConfigVars, Feature};
use store::{Poke, Reader, acme, apps, domains, features, formations};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::wake::{Wake, Woken};
use crate::{Control, Result};

/// A lost poke is healed after this time.
const PERIOD: Duration = Duration::from_secs(60);

/// Each app's web side, published by the dyno manager.
pub type Views = Arc<HashMap<AppId, WebView>>;

/// What is stored of all apps, as far as routing needs it.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Living apps.
    pub apps: Vec<RoutedApp>,
    /// Their domains.
    pub domains: Vec<Domain>,
    /// What certificate authorities must find now: host name, token, answer.
    pub challenges: Vec<(String, String, String)>,
}

/// One app, as far as routing needs it.
#[derive(Clone, Debug)]
pub struct RoutedApp {
    /// The app.
    pub app: App,
    /// `ERROR_PAGE_URL`.
    pub error_page_url: Option<String>,
    /// `MAINTENANCE_PAGE_URL`.
    pub maintenance_page_url: Option<String>,
    /// Its features.
    pub features: Features,
    /// How many web dynos are wanted.
    pub web_dynos: u32,
}

/// Merges what is stored and what runs. An app that the dyno manager has not looked at yet has no
/// view: if it was ever released its dynos are taken to be starting, so that requests wait.
#[must_use]
pub fn table(
    stored: &Stored,
    views: &HashMap<AppId, WebView>,
    platform_hosts: &[String],
) -> RoutingTable {
    let mut routes: HashMap<AppId, Arc<AppRoute>> = HashMap::new();
    for routed in &stored.apps {
        let web = match views.get(&routed.app.id) {
            Some(view) => seen(routed, view.clone()),
            None => unseen(&routed.app),
        };
        let route = AppRoute {
            app: routed.app.id,
            name: routed.app.name.clone(),
            web,
            maintenance: routed.app.maintenance,
            error_page_url: routed.error_page_url.clone(),
            maintenance_page_url: routed.maintenance_page_url.clone(),
            choice: choice(&routed.features),
            connections: connections(&routed.features),
            continuation: continuation(&routed.features),
        };
        routes.insert(routed.app.id, Arc::new(route));
    }
    let mut table = RoutingTable::default();
    table.platform.extend(platform_hosts.iter().map(|host| host.as_str().into()));
    for domain in &stored.domains {
        let Some(route) = routes.get(&domain.app) else { continue };
        match domain.hostname.strip_prefix("*.") {
            Some(parent) => table.wildcards.insert(parent.into(), route.clone()),
            None => table.hosts.insert(domain.hostname.as_str().into(), route.clone()),
        };
    }
    for (host, token, answer) in &stored.challenges {
        table.challenges.insert(format!("{host}/{token}").into(), answer.as_str().into());
    }
    table
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

/// Publishes a new table whenever something stored or running changes, until cancelled.
pub async fn run(
    control: Control,
    mut views: watch::Receiver<Views>,
    publish: impl Fn(RoutingTable) + Send,
    cancel: CancellationToken,
) {
    let mut wake = Wake::new(&control.store, &[Poke::Routes], PERIOD, cancel);
    let pokes = control.store.subscribe(Poke::Routes);
    let (mut stored, mut newest) = (None, 0);
    loop {
        // Only a poke makes the database be read: views change far more often than domains.
        if stored.is_none() {
            newest = *pokes.borrow();
            stored = read(&control).await;
        }
        if let Some(stored) = &stored {
            let now = views.borrow_and_update().clone();
            publish(table(stored, &now, &control.settings.platform_hosts));
            control.published.reached(newest);
        }
        tokio::select! {
            // Dropped, it has lost nothing: pokes are counters, compared at the next call.
            woken = wake.next() => match woken {
                Woken::Stop => return control.published.ends(),
                Woken::Again => stored = None,
            },
            // Dropped, the change is still unseen and is seen by the next `borrow_and_update`.
            Ok(()) = views.changed() => {}
        }
    }
}

/// What is stored; `None` when the database cannot say. The router then keeps what it has, and the
/// next poke or view tries again.
async fn read(control: &Control) -> Option<Stored> {
    match control.read(from).await {
        Ok(stored) => Some(stored),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "could not read routes");
            None
        }
    }
}

fn from(db: &Reader<'_>) -> Result<Stored> {
    let mut features = features::all(db)?;
    let web_dynos = formations::web_dynos(db)?;
    let routed = |app: App| {
        let config = apps::config(db, app.id)?.unwrap_or_default();
        Ok(RoutedApp {
            error_page_url: page(&config, "ERROR_PAGE_URL"),
            maintenance_page_url: page(&config, "MAINTENANCE_PAGE_URL"),
            features: features.remove(&app.id).unwrap_or_default(),
            web_dynos: web_dynos.get(&app.id).copied().unwrap_or_default(),
            app,
        })
    };
    let apps = apps::living(db)?.into_iter().map(routed).collect::<Result<_>>()?;
    Ok(Stored { apps, domains: domains::living(db)?, challenges: acme::challenges(db)? })
}

fn page(config: &ConfigVars, name: &str) -> Option<String> {
    config.get(name).filter(|url| !url.is_empty()).map(str::to_owned)
}

/// A view may be older than the wish for dynos: then they are about to start.
fn seen(routed: &RoutedApp, view: WebView) -> WebView {
    match view.state {
        WebState::ScaledToZero if routed.web_dynos > 0 => {
            WebView { state: WebState::Starting, ..view }
        }
        _ => view,
    }
}

fn unseen(app: &App) -> WebView {
    let state = if app.released_at.is_some() { WebState::Starting } else { WebState::Blank };
    WebView { state, backends: Arc::from([]) }
}

#[cfg(test)]
mod tests;
