//! The history of traffic: summed, kept, told, forgotten.

use model::codes::HCode;
use model::traffic::Outcome;

use super::*;
use crate::testing::Lab;

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

fn report(thread: usize, app: AppId, outcomes: &[(u16, Option<HCode>)]) -> Report {
    let mut tally = Tally::default();
    for &(status, code) in outcomes {
        let took = Some(Duration::from_millis(5));
        tally.add(&Outcome { status, code, bytes: 10, took });
    }
    Report { thread, connections: thread + 1, apps: HashMap::from([(app, tally)]) }
}

async fn history(lab: &Lab, app: AppId, step: Step) -> Vec<Interval> {
    let now = Timestamp::now();
    let from = Timestamp::from_micros(now.micros() - 3 * DAY);
    let question = Question { from, to: now + Duration::from_secs(1), step };
    list(&lab.control, &lab.who, app, question).await.expect("told")
}

#[tokio::test]
async fn the_reports_of_all_threads_become_one_history_that_outlives_the_server() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await.id;
    let (sums, at) = (Traffic::default(), Timestamp::now());
    sums.absorb(report(0, app, &[(200, None), (503, Some(HCode::H12))]), at);
    flush(&lab.control, &sums).await;
    sums.absorb(report(1, app, &[(200, None)]), at);
    flush(&lab.control, &sums).await;
    let lab = lab.restarted();
    for step in Step::ALL {
        let [interval] = &history(&lab, app, step).await[..] else { panic!("not one interval") };
        assert_eq!(interval.at, step.start(at));
        assert_eq!(interval.tally.classes, [0, 2, 0, 0, 1]);
        assert_eq!(interval.tally.codes.get("H12"), Some(&1));
        assert_eq!((interval.tally.bytes, interval.tally.latencies.count()), (30, 3));
    }
    let totals = sums.totals();
    assert_eq!((totals.tally.requests(), totals.connections, totals.waiting), (3, 3, 0));
    let stranger = lab.stranger().await;
    let question = Question::new(Step::Hour, (None, None), at).expect("good");
    let refused = list(&lab.control, &stranger, app, question).await;
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
}

#[tokio::test]
async fn while_the_writer_is_busy_reports_are_taken_and_the_end_writes_them() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await.id;
    let (go, gate) = std::sync::mpsc::sync_channel::<()>(1);
    let busy = tokio::spawn({
        let store = lab.control.store.clone();
        async move { store.write(move |_| Ok::<_, store::Error>(gate.recv().is_ok())).await }
    });
    let (sums, cancel) = (Traffic::default(), CancellationToken::new());
    let (reporter, reports) = mpsc::channel(1);
    let task = tokio::spawn(run(lab.control.clone(), sums.clone(), reports, cancel.clone()));
    for _ in 0..50 {
        reporter.send(report(0, app, &[(200, None)])).await.expect("it is taken");
    }
    drop(reporter);
    cancel.cancel();
    assert!(!task.is_finished());
    go.send(()).expect("the writer waits");
    assert!(busy.await.expect("no panic").expect("ran"));
    task.await.expect("no panic");
    let seen: u64 =
        history(&lab, app, Step::Minute).await.iter().map(|one| one.tally.requests()).sum();
    assert_eq!(seen, 50);
}

#[tokio::test]
async fn minutes_are_forgotten_after_a_day_and_hours_are_not() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await.id;
    let (sums, now) = (Traffic::default(), Timestamp::now());
    let old = Timestamp::from_micros(now.micros() - DAY - 120_000_000);
    for at in [old, now] {
        sums.absorb(report(0, app, &[(200, None)]), at);
    }
    flush(&lab.control, &sums).await;
    assert_eq!(history(&lab, app, Step::Minute).await.len(), 2);
    let cancel = CancellationToken::new();
    cancel.cancel();
    age(&lab.control, &cancel).await;
    let minutes = history(&lab, app, Step::Minute).await;
    assert_eq!(minutes.iter().map(|one| one.at).collect::<Vec<_>>(), [Step::Minute.start(now)]);
    assert_eq!(history(&lab, app, Step::Hour).await.len(), 2);
}

#[tokio::test]
async fn a_destroyed_apps_history_goes_with_it() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await.id;
    let sums = Traffic::default();
    sums.absorb(report(0, app, &[(200, None)]), Timestamp::now());
    flush(&lab.control, &sums).await;
    crate::apps::destroy(&lab.control, &lab.who, app).await.expect("destroyed");
    let gone: store::Result<()> =
        lab.control.store.write(move |tx| store::garbage::delete_app(tx, app)).await;
    gone.expect("deleted");
    let ends = (Timestamp::from_micros(0), Timestamp::now());
    let rows = lab.control.read(move |db| Ok(traffic::between(db, app, Step::Hour, ends)?)).await;
    assert_eq!(rows.expect("read"), []);
}

#[test]
fn what_waits_for_the_database_is_bounded_and_what_is_lost_is_counted() {
    let (sums, at) = (Traffic::default(), Timestamp::now());
    let known = AppId::random();
    sums.absorb(report(0, known, &[(200, None)]), at);
    for _ in 0..WAITING {
        sums.absorb(report(0, AppId::random(), &[(200, None)]), at);
    }
    sums.absorb(report(0, known, &[(200, None)]), at);
    let totals = sums.totals();
    assert_eq!((totals.waiting, totals.lost), (WAITING, 1));
    assert_eq!(totals.tally.requests(), WAITING as u64 + 2);
    let taken = sums.take();
    sums.give_back(taken);
    assert_eq!(sums.totals().waiting, WAITING);
}

#[test]
fn a_question_is_about_the_last_hour_or_day_unless_it_says_more() {
    let now = Timestamp::from_micros(100 * DAY + 90_000_000);
    let good = |step, ends| Question::new(step, ends, now).expect("good");
    let minutes = good(Step::Minute, (None, None));
    assert_eq!(minutes.from, Timestamp::from_micros(100 * DAY + 60_000_000 - 3_600_000_000));
    assert_eq!(minutes.to, now);
    assert_eq!(good(Step::Hour, (None, None)).from, Timestamp::from_micros(99 * DAY));
    let whole_day = Some(Timestamp::from_micros(now.micros() - DAY));
    assert_eq!(good(Step::Minute, (whole_day, None)).to, now);
    let ages_ago = Some(Timestamp::from_micros(0));
    for ends in [(ages_ago, None), (Some(now + Duration::from_secs(90)), None)] {
        assert!(matches!(Question::new(Step::Minute, ends, now), Err(Error::Invalid(_))));
    }
}
