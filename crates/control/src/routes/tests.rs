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

async fn stored(lab: &Lab) -> Stored {
    lab.control.read(from).await.expect("read")
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
    let empty = table(&stored(&lab).await, &HashMap::new(), &hosts);
    assert_eq!(state(&empty, "one.localhost"), Some(WebState::Blank));
    assert_eq!(state(&empty, "two.localhost"), Some(WebState::Starting));
    let table = table(&stored(&lab).await, &HashMap::from([(one.id, up())]), &hosts);
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
    let table = table(&stored(&lab).await, &HashMap::new(), &[]);
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
    let table = table(&stored(&lab).await, &HashMap::from([(app.id, up())]), &[]);
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
