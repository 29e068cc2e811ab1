//! What is said when lines cannot be written.

use std::ops::ControlFlow;

use model::Timestamp;
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
