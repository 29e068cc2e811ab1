//! The engine: transactions, pokes, snapshots, sealed rows.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use model::{Account, AccountId, App, AppId, ConfigVars, Timestamp};

use super::*;

const IN_TIME: Duration = Duration::from_secs(20);

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&directory.path().join("hythe.db"), [7; 32]).expect("opened");
    (directory, store)
}

fn account(email: &str) -> Account {
    let now = Timestamp::now();
    let id = AccountId::random();
    Account { id, email: email.to_owned(), name: None, created_at: now, updated_at: now }
}

fn insert(tx: &mut Tx<'_>, email: &str) -> Result<()> {
    accounts::insert(tx, &account(email), None)
}

/// Keeps the writer busy until it is told to end.
struct Busy {
    go: mpsc::SyncSender<()>,
    job: tokio::task::JoinHandle<Result<()>>,
}

impl Busy {
    async fn new(store: &Store) -> Self {
        let (go, gate) = mpsc::sync_channel(1);
        let (started, running) = tokio::sync::oneshot::channel();
        let store = store.clone();
        let change = move |_: &mut Tx<'_>| {
            started.send(()).expect("the test waits");
            gate.recv().map_err(|_| Error::Stopped)
        };
        let job = tokio::spawn(async move { store.write(change).await });
        running.await.expect("it runs");
        Self { go, job }
    }

    async fn end(self) {
        self.go.send(()).expect("the writer waits");
        self.job.await.expect("no panic").expect("ran");
    }
}

/// Polls once.
async fn is_pending<F: Future>(future: &mut Pin<Box<F>>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

async fn emails(store: &Store) -> Vec<String> {
    let all = store.read(accounts::list).await.expect("read");
    all.into_iter().map(|account| account.email).collect()
}

#[tokio::test]
async fn a_queued_change_completes_although_its_caller_has_gone() {
    let (_directory, store) = store();
    let busy = Busy::new(&store).await;
    let mut change = Box::pin(store.write(|tx| insert(tx, "ada@example.com")));
    // One poll queues it; then its caller goes away.
    assert!(is_pending(&mut change).await);
    drop(change);
    busy.end().await;
    store.write(|_| Ok::<_, Error>(())).await.expect("ran after it");
    assert_eq!(emails(&store).await, ["ada@example.com"]);
}

#[tokio::test]
async fn an_error_rolls_back_and_wakes_nobody() {
    let (_directory, store) = store();
    let poked = store.subscribe(Poke::Dynos);
    let (called, calls) = mpsc::sync_channel(10);
    let outcome: Result<()> = store
        .write(move |tx| {
            insert(tx, "ada@example.com")?;
            tx.poke(Poke::Dynos);
            tx.after_commit(move || called.send(()).expect("room"));
            Err(Error::Stopped)
        })
        .await;
    assert!(matches!(outcome, Err(Error::Stopped)));
    assert_eq!(emails(&store).await, Vec::<String>::new());
    assert!(!poked.has_changed().expect("the store lives"));
    assert!(calls.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poke_is_delivered_once_and_only_after_the_commit() {
    let (_directory, store) = store();
    let (mut dynos, routes) = (store.subscribe(Poke::Dynos), store.subscribe(Poke::Routes));
    let seen = store.subscribe(Poke::Dynos);
    let before = *dynos.borrow();
    let woken = tokio::spawn({
        let (store, mut poked) = (store.clone(), store.subscribe(Poke::Dynos));
        async move {
            poked.changed().await.expect("the store lives");
            emails(&store).await
        }
    });
    let inside = store
        .write(move |tx| {
            insert(tx, "ada@example.com")?;
            tx.poke(Poke::Dynos);
            tx.poke(Poke::Dynos);
            Ok::<_, Error>(*seen.borrow())
        })
        .await
        .expect("written");
    assert_eq!(inside, before);
    tokio::time::timeout(IN_TIME, dynos.changed()).await.expect("in time").expect("lives");
    assert_eq!(*dynos.borrow_and_update(), before + 1);
    let seen = tokio::time::timeout(IN_TIME, woken).await.expect("in time").expect("no panic");
    assert_eq!(seen, ["ada@example.com"], "who is woken sees what woke it");
    assert!(!routes.has_changed().expect("the store lives"));
}

#[tokio::test]
async fn a_panic_rolls_back_and_the_writer_goes_on() {
    let (_directory, store) = store();
    let outcome: Result<()> = store
        .write(|tx| {
            insert(tx, "ada@example.com")?;
            panic!("a fault of the program")
        })
        .await;
    assert!(matches!(outcome, Err(Error::Panicked)));
    let read: Result<()> = store.read(|_| panic!("another")).await;
    assert!(matches!(read, Err(Error::Panicked)));
    store.write(|tx| insert(tx, "eve@example.com")).await.expect("written");
    assert_eq!(emails(&store).await, ["eve@example.com"]);
}

#[tokio::test]
async fn a_note_does_not_wait_for_the_disk_and_what_comes_after_it_does() {
    const NORMAL: i64 = 1;
    const FULL: i64 = 2;
    fn level(tx: &mut Tx<'_>) -> Result<i64> {
        let levels = tx.all("SELECT synchronous FROM pragma_synchronous", &[], |row| row.take())?;
        levels.first().copied().ok_or(Error::Stopped)
    }
    let (_directory, store) = store();
    assert_eq!(store.write(level).await.expect("written"), FULL);
    let noted = store.note(|tx| insert(tx, "ada@example.com").and_then(|()| level(tx)));
    assert_eq!(noted.await.expect("noted"), NORMAL);
    assert_eq!(emails(&store).await, ["ada@example.com"], "it is seen at once");
    store.settle().await.expect("settled");
    assert_eq!(store.write(level).await.expect("written"), FULL);
    assert_eq!(store.sweep(level).await.expect("swept"), FULL);
    assert_eq!(store.note(level).await.expect("noted"), NORMAL);
    let blocking = store.clone();
    let last = tokio::task::spawn_blocking(move || blocking.write_blocking(level));
    assert_eq!(last.await.expect("no panic").expect("written"), FULL);
}

#[tokio::test]
async fn people_go_before_sweeps() {
    let (_directory, store) = store();
    let busy = Busy::new(&store).await;
    let (order, ran) = mpsc::sync_channel(10);
    let note = |name: &'static str| {
        let order = order.clone();
        move |_: &mut Tx<'_>| {
            order.send(name).expect("room");
            Ok::<_, Error>(())
        }
    };
    let mut sweep = Box::pin(store.sweep(note("sweep")));
    assert!(is_pending(&mut sweep).await);
    let mut person = Box::pin(store.write(note("person")));
    assert!(is_pending(&mut person).await);
    busy.end().await;
    person.await.expect("ran");
    sweep.await.expect("ran");
    assert_eq!(ran.try_iter().collect::<Vec<_>>(), ["person", "sweep"]);
}

#[tokio::test]
async fn a_question_sees_one_snapshot_and_cannot_write() {
    let (_directory, store) = store();
    let writer = store.clone();
    let counts = store.read(move |db| {
        let before = accounts::list(db)?.len();
        writer.write_blocking(|tx| insert(tx, "ada@example.com"))?;
        Ok::<_, Error>((before, accounts::list(db)?.len()))
    });
    assert_eq!(counts.await.expect("read"), (0, 0));
    assert_eq!(emails(&store).await.len(), 1);
    let written = store.read(|db| db.all("DELETE FROM accounts", &[], |_| Ok(()))).await;
    assert!(matches!(written, Err(Error::Query { .. })));
    assert_eq!(emails(&store).await.len(), 1);
}

#[tokio::test]
async fn more_readers_than_connections_all_get_their_answer() {
    let (_directory, store) = store();
    store.write(|tx| insert(tx, "ada@example.com")).await.expect("written");
    let ask = |_| {
        let store = store.clone();
        tokio::spawn(async move { emails(&store).await.len() })
    };
    for task in (0..50).map(ask).collect::<Vec<_>>() {
        assert_eq!(task.await.expect("no panic"), 1);
    }
}

#[test]
fn the_last_handle_finishes_what_is_queued_and_the_file_keeps_it() {
    let (directory, store) = store();
    store.write_blocking(|tx| insert(tx, "ada@example.com")).expect("written");
    drop(store);
    let store = Store::open(&directory.path().join("hythe.db"), [7; 32]).expect("opened again");
    let all = store.read_blocking(accounts::list).expect("read");
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn config_vars_cannot_be_read_with_another_key_or_from_another_row() {
    let (directory, store) = store();
    let owner = account("ada@example.com");
    let now = Timestamp::now();
    let app = |name: &str| App {
        id: AppId::random(),
        name: name.parse().expect("a name"),
        owner: owner.id,
        owner_email: owner.email.clone(),
        stack: "s".to_owned(),
        build_stack: "s".to_owned(),
        maintenance: false,
        acm: false,
        buildpack_description: None,
        generation: 1,
        repo_bytes: None,
        slug_bytes: None,
        created_at: now,
        updated_at: now,
        released_at: None,
        deleted_at: None,
        boot_timeout_seconds: None,
    };
    let (one, two) = (app("one"), app("two"));
    let ids = (one.id, two.id);
    let vars = ConfigVars([("A".to_owned(), "s3cret".to_owned())].into());
    let written = vars.clone();
    let write = store.write(move |tx| {
        accounts::insert(tx, &owner, None)?;
        apps::insert(tx, &one, &written)?;
        apps::insert(tx, &two, &ConfigVars::default())
    });
    write.await.expect("written");
    let read = store.read(move |db| apps::config(db, ids.0)).await.expect("read");
    assert_eq!(read, Some(vars));
    let copy = store.write(move |tx| {
        let sql = "UPDATE apps SET config = (SELECT config FROM apps WHERE id = ?1) WHERE id = ?2";
        tx.run(sql, values![ids.0, ids.1])
    });
    copy.await.expect("copied");
    let moved = store.read(move |db| apps::config(db, ids.1)).await;
    assert!(matches!(moved, Err(Error::Unseal { .. })), "{moved:?}");
    drop(store);
    let other = Store::open(&directory.path().join("hythe.db"), [8; 32]).expect("opened");
    let wrong = other.read(move |db| apps::config(db, ids.0)).await;
    assert!(matches!(wrong, Err(Error::Unseal { .. })));
}
