//! What is said when lines cannot be written.

use std::ops::ControlFlow;

use model::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::segments::Want;

type Said = Arc<Mutex<Vec<(AppId, String)>>>;

fn record(id: u64) -> Arc<Record> {
    Arc::new(Record::note(id, Timestamp::from_micros(1), "x"))
}

fn writer(directory: PathBuf, config: Config) -> (Disk, Writer, Said) {
    let config = Config { directory: Some(directory), ..config };
    let (disk, writer) = Disk::new(&config);
    let said = Said::default();
    let tell = said.clone();
    let tell = Box::new(move |app, text| tell.lock().expect("whole").push((app, text)));
    (disk, Writer { tell, ..writer.expect("a directory") }, said)
}

fn kept(directory: &Path, app: AppId) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let walked = Segments::new(directory, app).newest_first(
        u64::MAX,
        |_| Want::Read,
        |block, rows| {
            found.extend(rows.rev().map(|row| (block.ids[row], block.text(row).to_owned())));
            ControlFlow::Continue(())
        },
    );
    walked.expect("readable");
    found.reverse();
    found
}

#[test]
fn lines_that_could_not_be_written_are_counted_in_the_file_and_in_the_stream() {
    let parent = TempDir::new().expect("writable");
    let directory = parent.path().join("logs");
    let (disk, mut writer, said) = writer(directory.clone(), Config::default());
    let app = AppId::random();
    // A file stands where the directory should be.
    std::fs::write(&directory, "").expect("writable");
    writer.write(app, &[record(1), record(2)]);
    writer.write(app, &[record(3)]);
    assert_eq!(disk.kept(app).unkept, 3);
    std::fs::remove_file(&directory).expect("writable");
    writer.write(app, &[record(4)]);
    writer.write(app, &[record(5)]);
    let note = "3 messages before this one were not kept on disk.".to_owned();
    assert_eq!(kept(&directory, app), [(3, note), (4, "x".into()), (5, "x".into())]);
    let said = said.lock().expect("whole");
    let texts: Vec<_> = said.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].starts_with("Log lines cannot be kept on disk ("), "{texts:?}");
    assert_eq!(texts[1], "Log lines are kept on disk again; 3 are in memory only.");
}

#[test]
fn a_queue_that_is_full_drops_and_counts() {
    let directory = TempDir::new().expect("writable");
    let (disk, writer, _) = writer(directory.path().to_owned(), Config::default());
    let app = AppId::random();
    for id in 1..=1024 + 2 {
        disk.keep(vec![(app, vec![record(id)])]);
    }
    assert_eq!(writer.shared.take_missed(app), Some(2));
    assert_eq!(writer.shared.take_missed(app), None);
    let mut round = Round::default();
    writer.queue.try_iter().for_each(|order| round.take(order));
    assert_eq!(writer.shared.waiting_bytes.load(Ordering::Relaxed), round.bytes);
}

#[test]
fn a_flush_waits_until_all_before_it_is_written() {
    let directory = TempDir::new().expect("writable");
    let (disk, writer, _) = writer(directory.path().to_owned(), Config::default());
    disk.start(writer, Box::new(|_, _| {})).expect("a thread");
    let app = AppId::random();
    for id in 1..=50 {
        disk.keep(vec![(app, vec![record(id)])]);
        if id % 10 == 0 {
            disk.flush();
            assert_eq!(kept(directory.path(), app).len() as u64, id);
        }
    }
    disk.shutdown();
}

#[test]
fn what_is_cut_is_told_once_a_minute_and_shown() {
    let directory = TempDir::new().expect("writable");
    let disk =
        crate::DiskConfig { bytes_per_app: 4000, bytes_per_block: 200, ..Default::default() };
    let (disk, mut writer, said) =
        writer(directory.path().to_owned(), Config { disk, ..Config::default() });
    let app = AppId::random();
    for id in 1..200 {
        writer.write(app, &(0..10).map(|n| record(id * 10 + n)).collect::<Vec<_>>());
    }
    let bytes = Segments::new(directory.path(), app).bytes().expect("readable");
    assert!((1000..=4200).contains(&bytes), "{bytes}");
    assert!(disk.kept(app).cut_until.is_some());
    let said = said.lock().expect("whole");
    assert_eq!(said.len(), 1);
    assert!(said[0].1.ends_with("before their time: this app's logs have reached their limit."));
}

/// What happens to a store of two apps.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many lines come, one by one.
    Keep {
        app: usize,
        lines: u64,
    },
    /// What waits is written, or is not.
    Write,
    /// From now on nothing can be written.
    Break,
    Mend,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, 1..700_u64).prop_map(|(app, lines)| Step::Keep { app, lines }),
        3 => Just(Step::Write),
        1 => Just(Step::Break),
        1 => Just(Step::Mend),
    ]
}

/// Two apps whose lines are counted.
struct Store {
    parent: TempDir,
    disk: Disk,
    writer: Writer,
    apps: [AppId; 2],
    sent: [u64; 2],
}

impl Store {
    fn new() -> Self {
        let parent = TempDir::new().expect("writable");
        let small = crate::DiskConfig { bytes_per_block: 4000, ..Default::default() };
        let config = Config { disk: small, ..Config::default() };
        let (disk, writer, _) = writer(parent.path().join("logs"), config);
        let apps = [AppId::random(), AppId::random()];
        let mut store = Self { parent, disk, writer, apps, sent: [0; 2] };
        store.keep(0, 1);
        store.keep(1, 1);
        store.write();
        store
    }

    fn keep(&mut self, app: usize, lines: u64) {
        for _ in 0..lines {
            self.sent[app] += 1;
            self.disk.keep(vec![(self.apps[app], vec![record(self.sent[app])])]);
        }
    }

    fn write(&mut self) {
        while let Ok(first) = self.writer.queue.try_recv() {
            let round = self.writer.gather(first, Duration::ZERO);
            self.writer.carry_out(round);
        }
    }

    /// Puts a file where the directory is, or takes it away.
    fn set_broken(&self, is_broken: bool) {
        let (directory, aside) =
            (self.parent.path().join("logs"), self.parent.path().join("aside"));
        if is_broken && !aside.exists() {
            std::fs::rename(&directory, &aside).expect("movable");
            std::fs::write(&directory, "").expect("writable");
        } else if !is_broken && aside.exists() {
            std::fs::remove_file(&directory).expect("there");
            std::fs::rename(&aside, &directory).expect("movable");
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Keep { app, lines } => self.keep(app, lines),
            Step::Write => self.write(),
            Step::Break => self.set_broken(true),
            Step::Mend => self.set_broken(false),
        }
    }

    /// The ids of an app's lines, and how many lines its notes say are missing.
    fn found(&self, app: usize) -> (Vec<u64>, u64) {
        let (mut ids, mut missing) = (Vec::new(), 0);
        let segments = Segments::new(&self.parent.path().join("logs"), self.apps[app]);
        let walked = segments.newest_first(
            u64::MAX,
            |_| Want::Read,
            |block, rows| {
                for row in rows.rev() {
                    match block.lost(row) {
                        0 => ids.push(block.ids[row]),
                        lost => missing += lost,
                    }
                }
                ControlFlow::Continue(())
            },
        );
        assert_eq!(walked.expect("readable").damaged, 0);
        ids.reverse();
        (ids, missing)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn lines_sent_are_lines_kept_and_lines_said_to_be_missing(
        steps in prop::collection::vec(step(), 1..24),
    ) {
        let mut store = Store::new();
        steps.into_iter().for_each(|step| store.step(step));
        store.set_broken(false);
        store.write();
        store.writer.note_missed();
        for app in 0..2 {
            let (ids, missing) = store.found(app);
            prop_assert!(ids.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(ids.len() as u64 + missing, store.sent[app]);
            prop_assert_eq!(store.disk.kept(store.apps[app]).unkept, missing);
        }
    }
}

#[test]
fn lines_missed_behind_others_are_noted_between_those_that_are_kept() {
    let mut store = Store::new();
    // The queue has room for 1,024 of these; the last six are missed.
    store.keep(0, 1030);
    store.write();
    store.keep(0, 2);
    store.write();
    let lines = kept(&store.parent.path().join("logs"), store.apps[0]);
    let around: Vec<_> = lines[1024..].iter().map(|(id, text)| (*id, text.as_str())).collect();
    let note = "6 messages before this one were not kept on disk.";
    assert_eq!(around, [(1025, "x"), (1031, note), (1032, "x"), (1033, "x")]);
}

#[test]
fn lines_that_come_in_a_wrong_order_are_all_kept() {
    let mut store = Store::new();
    let app = store.apps[0];
    for id in [3, 2, 4] {
        store.disk.keep(vec![(app, vec![record(id)])]);
    }
    store.write();
    assert_eq!(store.found(0), (vec![1, 2, 3, 4], 0));
}
