//! The routing table and its publisher.

use std::net::SocketAddr;

use model::DynoId;
use model::feature::Switch;
use model::routes::{Backend, Target};
use tokio::sync::mpsc;

use super::*;
use crate::testing::Lab;

fn up() -> WebView {
    let address = SocketAddr::from(([10, 0, 0, 2], 5000));
    let name = "web.1".parse().expect("a name");
    let backend = Arc::new(Backend::new(DynoId::random(), name, address));
    WebView { state: WebState::Up, backends: Arc::from([backend]) }
}

/// The table made from nothing.
async fn anew(lab: &Lab, views: &HashMap<AppId, WebView>, hosts: &[String]) -> RoutingTable {
    let mut draft = Draft::new(hosts);
    draft.see(Arc::new(views.clone()));
    draft.store(lab.control.read(|db| changes(db, None)).await.expect("read"));
    draft.table
}

fn state(table: &RoutingTable, host: &str) -> Option<WebState> {
    match table.lookup(host) {
        Target::App(route) => Some(route.web.state),
        _ => None,
    }
}

#[tokio::test]
async fn the_table_merges_domains_apps_and_views() {
    let lab = Lab::new().await;
    let (one, two) = (lab.app("one").await, lab.app("two").await);
    lab.deploy(&two, "a", &[("web", "w")]).await;
    crate::domains::add(&lab.control, &lab.who, one.id, "*.example.com", None)
        .await
        .expect("added");
    crate::domains::add(&lab.control, &lab.who, two.id, "www.example.com", None)
        .await
        .expect("added");
    let page = ("ERROR_PAGE_URL".to_owned(), Some("https://x/y".to_owned()));
    crate::config::change(&lab.control, &lab.who, one.id, vec![page]).await.expect("changed");
    let maintenance = crate::apps::Changes { maintenance: Some(true), ..Default::default() };
    crate::apps::update(&lab.control, &lab.who, one.id, maintenance).await.expect("changed");
    let hosts = ["api.localhost".to_owned()];
    let empty = anew(&lab, &HashMap::new(), &hosts).await;
    assert_eq!(state(&empty, "one.localhost"), Some(WebState::Blank));
    assert_eq!(state(&empty, "two.localhost"), Some(WebState::Starting));
    let table = anew(&lab, &HashMap::from([(one.id, up())]), &hosts).await;
    assert_eq!(state(&table, "one.localhost"), Some(WebState::Up));
    assert_eq!(state(&table, "any.example.com"), Some(WebState::Up));
    assert_eq!(state(&table, "www.example.com"), Some(WebState::Starting));
    assert_eq!(state(&table, "example.com"), None);
    assert!(matches!(table.lookup("api.localhost"), Target::Platform));
    assert!(matches!(table.lookup("three.localhost"), Target::Unknown));
    let Target::App(route) = table.lookup("one.localhost") else { panic!("no route") };
    assert!(route.maintenance);
    assert_eq!(route.choice, Choice::Random);
    assert_eq!(route.connections, DynoConnections::Kept);
    assert_eq!(route.error_page_url.as_deref(), Some("https://x/y"));
    assert_eq!(route.web.backends.len(), 1);
}

#[tokio::test]
async fn the_table_says_which_features_of_the_router_an_app_has() {
    let lab = Lab::new().await;
    let one = lab.app("one").await;
    for name in
        ["http-session-affinity", "http-disable-keepalive-to-dyno", "http-end-to-end-continue"]
    {
        let switched =
            crate::features::switch(&lab.control, &lab.who, one.id, name, Switch::On).await;
        switched.expect("switched");
    }
    let table = anew(&lab, &HashMap::new(), &[]).await;
    let Target::App(route) = table.lookup("one.localhost") else { panic!("no route") };
    assert_eq!(route.choice, Choice::Session);
    assert_eq!(route.connections, DynoConnections::OnePerRequest);
    assert_eq!(route.continuation, Continuation::Dyno);
}

#[tokio::test]
async fn a_destroyed_app_is_in_no_table() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    crate::apps::destroy(&lab.control, &lab.who, app.id).await.expect("destroyed");
    let table = anew(&lab, &HashMap::from([(app.id, up())]), &[]).await;
    assert!(matches!(table.lookup("demo.localhost"), Target::Unknown));
}

#[tokio::test]
async fn a_new_table_follows_each_change_of_either_side() {
    let lab = Lab::new().await;
    let (views, watched) = watch::channel(Views::default());
    let (publish, mut published) = mpsc::channel(100);
    let stop = CancellationToken::new();
    let send = move |table| publish.try_send(table).expect("room");
    let task = tokio::spawn(run(lab.control.clone(), watched, send, stop.clone()));
    let mut until = async |host: &str, wanted: Option<WebState>| {
        let seen = async {
            loop {
                let table = published.recv().await.expect("a table");
                if state(&table, host) == wanted {
                    return;
                }
            }
        };
        let in_time = Duration::from_secs(20);
        tokio::time::timeout(in_time, seen).await.unwrap_or_else(|_| panic!("{host}: {wanted:?}"));
    };
    let app = lab.app("demo").await;
    until("demo.localhost", Some(WebState::Blank)).await;
    views.send_replace(Arc::new(HashMap::from([(app.id, up())])));
    until("demo.localhost", Some(WebState::Up)).await;
    let name = crate::apps::Changes { name: "fresh".parse().ok(), ..Default::default() };
    crate::apps::update(&lab.control, &lab.who, app.id, name).await.expect("renamed");
    until("fresh.localhost", Some(WebState::Up)).await;
    crate::apps::destroy(&lab.control, &lab.who, app.id).await.expect("destroyed");
    until("fresh.localhost", None).await;
    stop.cancel();
    task.await.expect("no panic");
}

#[tokio::test]
async fn whoever_scales_up_is_answered_when_the_router_expects_dynos() {
    let lab = Lab::new().await;
    let app = lab.app("one").await;
    lab.deploy(&app, "a", &[("web", "w")]).await;
    let web = |quantity| {
        let quantity = Some(model::formation::QuantityChange::To(quantity));
        vec![crate::formations::Scale {
            process_type: model::ProcessType::web(),
            quantity,
            size: None,
        }]
    };
    crate::formations::scale(&lab.control, &lab.who, app.id, web(0)).await.expect("scaled");
    // The dyno manager has seen this, and then sees nothing more.
    let none = WebView { state: WebState::ScaledToZero, backends: Arc::from([]) };
    let (_views, seen) = watch::channel(Arc::new(HashMap::from([(app.id, none)])));
    let published = Arc::new(std::sync::Mutex::new(None));
    let (keep, cancel) = (published.clone(), CancellationToken::new());
    let publish = move |table: RoutingTable| {
        *keep.lock().expect("good") = state(&table, "one.localhost");
    };
    let running = tokio::spawn(run(lab.control.clone(), seen, publish, cancel.clone()));
    while published.lock().expect("good").is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(*published.lock().expect("good"), Some(WebState::ScaledToZero));
    for quantity in [1, 0, 2] {
        crate::formations::scale(&lab.control, &lab.who, app.id, web(quantity))
            .await
            .expect("scaled");
        let expected = if quantity > 0 { WebState::Starting } else { WebState::ScaledToZero };
        assert_eq!(*published.lock().expect("good"), Some(expected));
    }
    cancel.cancel();
    running.await.expect("no panic");
    let alone = crate::formations::scale(&lab.control, &lab.who, app.id, web(1));
    tokio::time::timeout(Duration::from_secs(1), alone)
        .await
        .expect("nobody is waited for")
        .expect("scaled");
}

/// Everything a table says.
fn said(table: &RoutingTable) -> Vec<String> {
    let mut said: Vec<_> =
        table.entries().map(|(name, route)| format!("{name}: {route:?}")).collect();
    said.sort();
    said
}

/// Numbers below a bound, from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

/// Does something at random to the apps. What is refused (a name in use) changes nothing.
async fn meddle(lab: &Lab, dice: &mut Dice, views: &mut HashMap<AppId, WebView>) {
    let apps = crate::apps::list(&lab.control, &lab.who).await.expect("listed");
    if apps.len() < 3 || dice.roll(8) == 0 {
        let name = Some(format!("app-{}", dice.roll(50)).parse().expect("a name"));
        let new = crate::apps::NewApp { name, stack: None };
        let _taken = crate::apps::create(&lab.control, &lab.who, new).await;
        return;
    }
    let (control, who, app) = (&lab.control, &lab.who, apps[dice.roll(apps.len())].id);
    let host = ["a.example.com", "*.example.com", "b.example.org"][dice.roll(3)];
    let changes = crate::apps::Changes::default();
    let is_even = dice.roll(2) == 0;
    match dice.roll(8) {
        0 => drop(crate::apps::destroy(control, who, app).await),
        1 | 2 => drop(crate::domains::add(control, who, app, host, None).await),
        3 => drop(crate::domains::remove(control, who, app, host).await),
        4 => {
            let name = format!("app-{}", dice.roll(50)).parse().ok();
            let changes = crate::apps::Changes { name, maintenance: Some(is_even), ..changes };
            drop(crate::apps::update(control, who, app, changes).await);
        }
        5 => {
            let page = ("ERROR_PAGE_URL".to_owned(), is_even.then(|| "https://x/y".to_owned()));
            drop(crate::config::change(control, who, app, vec![page]).await);
        }
        6 => {
            let switch = model::feature::Switch::from_bool(is_even);
            drop(crate::features::switch(control, who, app, "http-session-affinity", switch).await);
        }
        _ if is_even => drop(views.insert(app, up())),
        _ => drop(views.remove(&app)),
    }
}

#[tokio::test]
async fn a_table_that_follows_changes_equals_one_made_anew() {
    for seed in 1..=4 {
        let lab = Lab::new().await;
        let (mut dice, mut views) = (Dice(seed), HashMap::new());
        let (mut draft, mut seen) = (Draft::new(&[]), None);
        for step in 0..60 {
            for _ in 0..dice.roll(4) {
                meddle(&lab, &mut dice, &mut views).await;
            }
            let changed = lab.control.read(move |db| changes(db, seen)).await.expect("read");
            seen = Some(changed.newest);
            draft.store(changed);
            draft.see(Arc::new(views.clone()));
            let anew = anew(&lab, &views, &[]).await;
            assert_eq!(said(&draft.table), said(&anew), "seed {seed}, step {step}");
        }
        assert!(draft.table.entries().count() > 3, "something was tried");
    }
}

#[tokio::test]
async fn a_change_reads_only_the_app_that_changed() {
    let lab = Lab::new().await;
    let (one, _two) = (lab.app("one").await, lab.app("two").await);
    let first = lab.control.read(|db| changes(db, None)).await.expect("read");
    assert_eq!(first.apps.len(), 2);
    let maintenance = crate::apps::Changes { maintenance: Some(true), ..Default::default() };
    crate::apps::update(&lab.control, &lab.who, one.id, maintenance).await.expect("changed");
    let second = lab.control.read(move |db| changes(db, Some(first.newest))).await.expect("read");
    let read: Vec<AppId> = second.apps.iter().map(|(app, _)| *app).collect();
    assert_eq!(read, [one.id]);
    let third = lab.control.read(move |db| changes(db, Some(second.newest))).await.expect("read");
    assert!(third.apps.is_empty());
}
