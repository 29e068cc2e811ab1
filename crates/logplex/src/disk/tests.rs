//! What is said when lines cannot be written.

use model::Timestamp;

use super::*;

fn record(id: u64) -> Arc<Record> {
    Arc::new(Record::note(id, Timestamp::from_micros(1), "x"))
}

fn writer(directory: PathBuf) -> Writer {
    let (_, queue) = sync_channel(1);
    let shared = Arc::default();
    let gone = HashSet::new();
    let is_failing = false;
    let lines_per_app = 3;
    Writer { queue, shared, directory, lines_per_app, bytes_per_file: 1000, gone, is_failing }
}

fn kept(directory: &std::path::Path) -> Vec<(u64, String)> {
    let loaded = load(directory, &Config::default()).expect("readable");
    let records = loaded.into_iter().flat_map(|(_, records)| records);
    records.map(|record| (record.id, record.text.into_string())).collect()
}

#[test]
fn lines_that_could_not_be_written_are_counted_in_the_file() {
    let parent = tempfile::tempdir().expect("writable");
    let directory = parent.path().join("logs");
    let mut writer = writer(directory.clone());
    let app = AppId::random();
    writer.write(app, &[record(1), record(2)]);
    writer.write(app, &[record(3)]);
    std::fs::create_dir(&directory).expect("writable");
    writer.write(app, &[record(4)]);
    writer.write(app, &[record(5)]);
    let note = "3 messages before this one were not kept on disk.".to_owned();
    assert_eq!(kept(&directory), [(3, note), (4, "x".into()), (5, "x".into())]);
}

#[test]
fn a_flood_is_written_only_as_far_as_it_would_be_read_back() {
    let directory = tempfile::tempdir().expect("writable");
    let mut writer = writer(directory.path().to_owned());
    let flood: Vec<_> = (1..=1000).map(record).collect();
    writer.write(AppId::random(), &flood);
    let ids: Vec<_> = kept(directory.path()).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [998, 999, 1000]);
}

#[test]
fn a_queue_that_is_full_drops_and_counts() {
    let shared = Arc::new(Shared::default());
    let (sender, receiver) = sync_channel(1);
    let queue = Mutex::new(Some(sender));
    let disk = Disk { queue, shared: shared.clone(), thread: Mutex::default() };
    let app = AppId::random();
    for id in 1..=3 {
        disk.keep(vec![(app, vec![record(id)])]);
    }
    assert_eq!(shared.take_missed(app), Some(2));
    assert_eq!(shared.take_missed(app), None);
    let waiting = receiver.try_iter().map(|batch| batch_bytes(&batch)).sum::<usize>();
    assert_eq!(shared.waiting_bytes.load(Ordering::Relaxed), waiting);
}
