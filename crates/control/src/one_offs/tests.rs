//! One-off dynos as wishes.

use super::*;
use crate::testing::Lab;

fn command(text: &str) -> NewRun {
    NewRun {
        command: text.to_owned(),
        env: BTreeMap::new(),
        process_type: None,
        size: None,
        terminal: Terminal::Detached,
        time_to_live_seconds: None,
    }
}

async fn lab() -> (Lab, AppId) {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.deploy(&app, "a", &[("web", "w"), ("worker", "node worker.js")]).await;
    lab.said();
    (lab, app.id)
}

#[tokio::test]
async fn an_attached_run_has_a_secret_that_finds_it() {
    let (lab, app) = lab().await;
    let new = NewRun {
        env: BTreeMap::from([("TERM".to_owned(), "xterm".to_owned())]),
        terminal: Terminal::Pty { columns: 80, rows: 24 },
        size: Some(DynoSize::Standard2X),
        time_to_live_seconds: Some(60),
        ..command("bash")
    };
    let made = run(&lab.control, &lab.who, app, new).await.expect("asked for");
    assert_eq!((made.release.version, made.one_off.release), (3, Some(made.release.id)));
    let secret = made.one_off.attach_secret.clone().expect("a secret");
    let text = secret.reveal().to_owned();
    let found = lab.control.store.read(move |db| one_offs::by_secret(db, &text)).await;
    let found = found.expect("read").expect("there");
    assert_eq!(found.id, made.one_off.id);
    assert_eq!(found.attach_secret.expect("kept").reveal(), secret.reveal());
    assert_eq!((found.env, found.terminal), (made.one_off.env, made.one_off.terminal));
    assert_eq!((found.size, found.time_to_live_seconds), (DynoSize::Standard2X, 60));
    assert_eq!(found.name.process_type.as_str(), "run");
    assert!((1..=9999).contains(&found.name.number));
    assert_eq!(lab.said(), ["Starting process with command `bash` by user ada@example.com"]);
}

#[tokio::test]
async fn a_process_types_name_stands_for_its_command() {
    let (lab, app) = lab().await;
    for (given, full) in [
        ("worker", "node worker.js"),
        ("worker --once; echo 1", "node worker.js --once; echo 1"),
        ("workers", "workers"),
        (" echo worker ", "echo worker"),
    ] {
        let made = run(&lab.control, &lab.who, app, command(given)).await.expect("asked for");
        assert_eq!(made.one_off.command, full);
        assert!(made.one_off.attach_secret.is_none());
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (lab, app) = lab().await;
    let env = |name: &str, value: &str| NewRun {
        env: BTreeMap::from([(name.to_owned(), value.to_owned())]),
        ..command("bash")
    };
    let life = |seconds| NewRun { time_to_live_seconds: Some(seconds), ..command("bash") };
    let typed = |name: &str| NewRun { process_type: name.parse().ok(), ..command("bash") };
    for bad in [
        command(""),
        command(" "),
        command("a\0b"),
        command(&"x".repeat(70_000)),
        env("", "x"),
        env("A=B", "x"),
        env("A", "\0"),
        env("A", &"x".repeat(70_000)),
        life(0),
        life(86_401),
        typed("web"),
        typed("release"),
    ] {
        let refused = run(&lab.control, &lab.who, app, bad.clone()).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{bad:?}");
    }
    let eve = lab.stranger().await;
    assert!(run(&lab.control, &eve, app, command("bash")).await.is_err());
    assert_eq!(lab.said(), Vec::<String>::new());
}

#[tokio::test]
async fn an_app_without_a_release_has_nothing_to_run() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let blank = run(&lab.control, &lab.who, app.id, command("bash")).await;
    assert!(matches!(blank, Err(Error::Invalid(_))));
    lab.deploy(&app, "a", &[("web", "w"), ("release", "true")]).await;
    let pending = run(&lab.control, &lab.who, app.id, command("bash")).await;
    assert!(matches!(pending, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn only_so_many_run_at_once() {
    let (lab, app) = lab().await;
    let mut names = HashSet::new();
    for _ in 0..MAX_PER_APP {
        let made = run(&lab.control, &lab.who, app, command("bash")).await.expect("asked for");
        names.insert(made.one_off.name);
    }
    assert_eq!(names.len(), MAX_PER_APP, "each has a name of its own");
    let more = run(&lab.control, &lab.who, app, command("bash")).await;
    assert!(matches!(more, Err(Error::TooMany(_))));
}

#[tokio::test]
async fn a_run_lives_a_day_at_most() {
    let (lab, app) = lab().await;
    let made = run(&lab.control, &lab.who, app, command("bash")).await.expect("asked for");
    assert_eq!(made.one_off.time_to_live_seconds, 24 * 60 * 60);
    for seconds in [0, 24 * 60 * 60 + 1] {
        let new = NewRun { time_to_live_seconds: Some(seconds), ..command("bash") };
        run(&lab.control, &lab.who, app, new).await.expect_err("not within a day");
    }
}
