//! From host name to app: a snapshot that is cheap to copy and to change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::AppRoute;
use crate::AppId;
use crate::shards::Shards;

/// What a host name leads to.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// An app.
    App(&'a Arc<AppRoute>),
    /// The platform's own API, git and dashboard.
    Platform,
    /// Nothing here, yet.
    Unknown,
}

/// From host name to app. Neither the cost of a look-up nor that of changing one app grows with the
/// number of apps (a change: 1/256 of them).
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    /// Host names of the platform itself.
    pub platform: Arc<HashSet<Box<str>>>,
    /// What a certificate authority is answered at `/.well-known/acme-challenge/TOKEN` of a host, by
    /// `host/TOKEN` (RFC 8555, 8.3).
    pub challenges: Arc<HashMap<Box<str>, Arc<str>>>,
    /// Exact lower-case host names.
    hosts: Shards<Arc<str>, Arc<AppRoute>>,
    /// `example.com` for `*.example.com`; exact names win.
    wildcards: Shards<Arc<str>, Arc<AppRoute>>,
    /// Each app's names, as they were given.
    names: Shards<AppId, Arc<[Arc<str>]>>,
}

impl RoutingTable {
    /// A table without apps. `platform` are the host names of the platform itself.
    #[must_use]
    pub fn new<'a>(platform: impl IntoIterator<Item = &'a str>) -> Self {
        let platform = Arc::new(platform.into_iter().map(Box::from).collect());
        Self { platform, ..Self::default() }
    }

    /// What `host` leads to. `host` is lower-case, without port and trailing dot.
    #[must_use]
    pub fn lookup(&self, host: &str) -> Target<'_> {
        if let Some(route) = self.hosts.get(host) {
            return Target::App(route);
        }
        if self.platform.contains(host) {
            return Target::Platform;
        }
        let parent = host.split_once('.').map(|(_, parent)| parent);
        match parent.and_then(|parent| self.wildcards.get(parent)) {
            Some(route) => Target::App(route),
            None => Target::Unknown,
        }
    }

    /// These names, and no others, lead to the route's app. Names are lower-case, `*.example.com`
    /// for all names with one label more than `example.com`. A name that led to another app leads
    /// to this one.
    pub fn set(&mut self, route: &Arc<AppRoute>, names: &[impl AsRef<str>]) {
        let known = self.names.get(&route.app).cloned().unwrap_or_default();
        let is_wanted = |name: &str| names.iter().any(|wanted| wanted.as_ref() == name);
        for name in known.iter().filter(|name| !is_wanted(name)) {
            self.forget(route.app, name);
        }
        let kept = |name: &str| known.iter().find(|known| &***known == name).cloned();
        let names = names.iter().map(|name| {
            let name = name.as_ref();
            kept(name).unwrap_or_else(|| name.into())
        });
        let names: Arc<[Arc<str>]> = names.collect();
        for name in &*names {
            match name.strip_prefix("*.") {
                Some(parent) => self.wildcards.insert(parent.into(), route.clone()),
                None => self.hosts.insert(name.clone(), route.clone()),
            };
        }
        self.names.insert(route.app, names);
    }

    /// Nothing leads to `app` any more.
    pub fn remove(&mut self, app: AppId) {
        let Some(names) = self.names.remove(&app) else { return };
        for name in &*names {
            self.forget(app, name);
        }
    }

    /// All names that lead to apps, as they were given, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (String, &Arc<AppRoute>)> {
        let hosts = self.hosts.iter().map(|(host, route)| (host.to_string(), route));
        hosts.chain(self.wildcards.iter().map(|(parent, route)| (format!("*.{parent}"), route)))
    }

    /// Removes `name`, unless it leads to another app by now.
    fn forget(&mut self, app: AppId, name: &str) {
        let (map, key) = match name.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcards, parent),
            None => (&mut self.hosts, name),
        };
        if map.get(key).is_some_and(|route| route.app == app) {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::routes::{Choice, Continuation, DynoConnections, WebState, WebView};

    fn route(app: AppId, maintenance: bool) -> Arc<AppRoute> {
        Arc::new(AppRoute {
            app,
            name: "demo".parse().expect("a name"),
            web: WebView { state: WebState::Blank, backends: Arc::from([]) },
            maintenance,
            error_page_url: None,
            maintenance_page_url: None,
            choice: Choice::default(),
            connections: DynoConnections::default(),
            continuation: Continuation::default(),
        })
    }

    const NAMES: [&str; 6] = [
        "a.example.com",
        "b.example.com",
        "*.example.com",
        "*.b.example.com",
        "c",
        "x.b.example.com",
    ];

    type Apps = BTreeMap<AppId, (Arc<AppRoute>, Vec<&'static str>)>;

    /// What a table of these apps must say, worked out anew.
    fn expected<'a>(apps: &'a Apps, host: &str) -> Option<&'a Arc<AppRoute>> {
        let find = |name: &str| {
            let found = apps.values().find(|(_, names)| names.contains(&name));
            found.map(|(route, _)| route)
        };
        let parent = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        find(host).or_else(|| find(&parent?))
    }

    proptest! {
        #[test]
        fn any_series_of_changes_gives_the_table_made_anew(
            changes in prop::collection::vec(
                (0_usize..4, any::<bool>(), prop::option::of(prop::collection::vec(0_usize..6, 0..4))),
                1..60,
            ),
        ) {
            let ids: Vec<AppId> = (0..4).map(|_| AppId::random()).collect();
            let (mut table, mut apps) = (RoutingTable::new(["p.example.com"]), Apps::new());
            for (app, maintenance, names) in changes {
                let id = ids[app];
                match names {
                    None => {
                        apps.remove(&id);
                        table.remove(id);
                    }
                    Some(wanted) => {
                        let names: Vec<&'static str> = wanted.into_iter().map(|i| NAMES[i]).collect();
                        for (_, others) in apps.values_mut() {
                            others.retain(|name| !names.contains(name));
                        }
                        let route = route(id, maintenance);
                        table.set(&route, &names);
                        apps.insert(id, (route, names));
                    }
                }
                for host in ["a.example.com", "b.example.com", "z.example.com", "x.b.example.com",
                    "y.b.example.com", "c", "d", "example.com"]
                {
                    let found = match table.lookup(host) {
                        Target::App(route) => Some(route),
                        Target::Platform | Target::Unknown => None,
                    };
                    let same = match (found, expected(&apps, host)) {
                        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                        (one, other) => one.is_none() && other.is_none(),
                    };
                    prop_assert!(same, "{host}");
                }
                prop_assert!(matches!(table.lookup("p.example.com"), Target::Platform));
            }
        }
    }

    /// A promise with a number: one app of 10,000 with three names each is changed in far less than
    /// a millisecond. The bound is wide, for a busy machine and a build without optimisation.
    #[test]
    fn one_change_among_ten_thousand_apps_costs_less_than_a_millisecond() {
        let mut table = RoutingTable::default();
        let ids: Vec<AppId> = (0..10_000).map(|_| AppId::random()).collect();
        let names = |number: usize| {
            ["localhost", "example.com", "example.org"]
                .map(|domain| format!("app-{number}.{domain}"))
        };
        for (number, id) in ids.iter().enumerate() {
            table.set(&route(*id, false), &names(number));
        }
        let mut in_force = table.clone();
        let mut times: Vec<_> = ids
            .iter()
            .enumerate()
            .take(201)
            .map(|(number, id)| {
                let begun = std::time::Instant::now();
                table.set(&route(*id, true), &names(number));
                in_force = table.clone();
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        assert!(times[100] < std::time::Duration::from_millis(1), "{:?}", times[100]);
        assert_eq!(in_force.entries().count(), 30_000);
    }
}
