//! Visits.

use model::dyno::DynoKind;
use model::{DynoId, DynoSize};
use store::dynos::{Life, insert};

use super::*;
use crate::testing::Lab;

fn bash() -> NewVisit {
    NewVisit { command: "bash".into(), env: BTreeMap::new(), terminal: Terminal::Pipes }
}

async fn with_dyno(lab: &Lab, app: AppId, state: DynoState) -> DynoId {
    let (id, now) = (DynoId::random(), Timestamp::now());
    let dyno = Dyno {
        id,
        app,
        name: "web.1".parse().expect("a name"),
        kind: DynoKind::Formation,
        release: None,
        release_version: 1,
        command: "serve".into(),
        size: DynoSize::Standard1X,
        state,
        exit: None,
        created_at: now,
        up_at: None,
        updated_at: now,
    };
    let life = Life { dyno, crashes: 0, address: None, stop_reason: None, ended_at: None };
    lab.control.write(move |_, tx| Ok(insert(tx, &life)?)).await.expect("written");
    id
}

#[tokio::test]
async fn a_secret_begins_one_visit_and_not_for_ever() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let dyno = with_dyno(&lab, app.id, DynoState::Up).await;
    lab.said();
    let ask = || create(&lab.control, &lab.who, app.id, "web.1", bash());
    let (one, two) = (ask().await.expect("invited"), ask().await.expect("invited"));
    assert_eq!(one.dyno.id, dyno);
    let line = "Starting process with command `bash` inside web.1 by user ada@example.com";
    assert_eq!(lab.said(), [line, line]);
    let take = |secret: &Secret, since: Timestamp| {
        let (store, secret) = (lab.control.store.clone(), secret.reveal().to_owned());
        async move { store.write(move |tx| visits::take(tx, &secret, since)).await.expect("asked") }
    };
    let before = Timestamp::from_micros(0);
    let visit = take(&one.secret, before).await.expect("a visit");
    assert_eq!((visit.dyno, visit.command.as_str()), (dyno, "bash"));
    assert!(take(&one.secret, before).await.is_none(), "it is taken once");
    assert!(take(&two.secret, Timestamp::now()).await.is_none(), "it is too old");
    assert!(take(&Secret::new("rv.none"), before).await.is_none());
}

#[tokio::test]
async fn only_a_running_dyno_of_ones_own_can_be_visited() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let none = create(&lab.control, &lab.who, app.id, "web.1", bash()).await;
    assert_eq!(none.unwrap_err().to_string(), "Couldn't find that dyno.");
    with_dyno(&lab, app.id, DynoState::Starting).await;
    let early = create(&lab.control, &lab.who, app.id, "web.1", bash()).await;
    assert_eq!(early.unwrap_err().to_string(), "Cannot run inside web.1: it is starting.");
    let eve = lab.stranger().await;
    assert!(create(&lab.control, &eve, app.id, "web.1", bash()).await.is_err());
    let detached = NewVisit { terminal: Terminal::Detached, ..bash() };
    assert!(create(&lab.control, &lab.who, app.id, "web.1", detached).await.is_err());
}
