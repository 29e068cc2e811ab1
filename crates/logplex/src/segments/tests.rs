//! Segments against a plain list, under random actions, crashes among them.

use std::collections::BTreeSet;
use std::fs;

use model::log::Source;
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn record(id: u64, process: &str, text: &str) -> Record {
    let source = if process == "router" { Source::Heroku } else { Source::App };
    let at = Timestamp::from_micros(id.cast_signed() * 1000);
    Record { id, at, source, process: process.into(), text: text.into(), lost: 0 }
}

fn all(segments: &Segments, before: u64) -> Vec<Record> {
    let mut found = Vec::new();
    let walked = segments.newest_first(
        before,
        |_| Want::Read,
        |block, rows| {
            found.extend(rows.rev().map(|row| block.record(row)));
            ControlFlow::Continue(())
        },
    );
    assert_eq!(walked.expect("readable").damaged, 0);
    found.reverse();
    found
}

#[derive(Clone, Debug)]
enum Action {
    /// So many lines at once, so much further on.
    Append {
        lines: usize,
        jump: u64,
        length: usize,
    },
    /// The last file loses so many bytes, as when the machine stopped in a write.
    Tear {
        file: &'static str,
        bytes: u64,
    },
    /// Bytes that are no block and no chunk stand at the end.
    Garbage {
        file: &'static str,
        bytes: Vec<u8>,
    },
    Recover,
    Read {
        before: u64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let file = || prop::sample::select(vec!["journal", "seg"]);
    prop_oneof![
        8 => (1..40_usize, 1..50_u64, 0..300_usize)
            .prop_map(|(lines, jump, length)| Action::Append { lines, jump, length }),
        1 => (file(), 1..2000_u64).prop_map(|(file, bytes)| Action::Tear { file, bytes }),
        1 => (file(), vec(any::<u8>(), 1..100))
            .prop_map(|(file, bytes)| Action::Garbage { file, bytes }),
        2 => Just(Action::Recover),
        4 => (0..4000_u64).prop_map(|before| Action::Read { before }),
    ]
}

fn newest_file(segments: &Segments, kind: &str) -> Option<PathBuf> {
    match kind {
        "journal" => Some(segments.journal()).filter(|path| path.exists()),
        _ => segments.files().expect("readable").pop().map(|file| file.path),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn segments_agree_with_a_plain_list(actions in vec(action(), 1..60)) {
        let directory = TempDir::new().expect("writable");
        let segments = Segments::new(directory.path(), AppId::random());
        let mut sealer = Sealer::new(2000, 3000);
        let mut model: Vec<Record> = Vec::new();
        let mut next_id = 1;
        for action in actions {
            match action {
                Action::Append { lines, jump, length } => {
                    next_id += jump;
                    let new: Vec<_> = (0..lines as u64)
                        .map(|n| record(next_id + n, ["web.1", "router"][lines % 2], &"né ".repeat(length / 4)))
                        .collect();
                    next_id += lines as u64;
                    segments.append(new.iter(), &mut sealer).expect("written");
                    model.extend(new);
                }
                Action::Tear { file, bytes } => {
                    let Some(path) = newest_file(&segments, file) else { continue };
                    let length = fs::metadata(&path).expect("there").len();
                    let file = File::options().write(true).open(&path).expect("there");
                    file.set_len(length.saturating_sub(bytes)).expect("cut");
                    segments.recover().expect("recovered");
                    // What is torn may be lost, and only at the end of that file.
                    let left: BTreeSet<u64> = all(&segments, u64::MAX).iter().map(|r| r.id).collect();
                    model.retain(|record| left.contains(&record.id));
                    prop_assert_eq!(left.len(), model.len());
                }
                Action::Garbage { file, bytes } => {
                    let Some(path) = newest_file(&segments, file) else { continue };
                    let mut file = OpenOptions::new().append(true).open(path).expect("there");
                    file.write_all(&bytes).expect("written");
                    segments.recover().expect("recovered");
                }
                Action::Recover => {
                    let newest = model.last().map(|record| record.id);
                    prop_assert_eq!(segments.recover().expect("recovered"), newest);
                }
                Action::Read { before } => {
                    let wanted: Vec<_> = model.iter().filter(|record| record.id < before).collect();
                    let found = all(&segments, before);
                    prop_assert_eq!(found.iter().collect::<Vec<_>>(), wanted);
                }
            }
        }
        let found = all(&segments, u64::MAX);
        prop_assert_eq!(found, model);
    }
}

#[test]
fn a_crash_between_a_block_and_the_end_of_its_journal_repeats_nothing() {
    let directory = TempDir::new().expect("writable");
    let segments = Segments::new(directory.path(), AppId::random());
    let lines: Vec<_> = (1..=100).map(|id| record(id, "web.1", "a line of text")).collect();
    segments.append(lines.iter(), &mut Sealer::new(u64::MAX, u64::MAX)).expect("written");
    let journal = fs::read(segments.journal()).expect("there");
    segments.seal(&mut Sealer::new(1, u64::MAX)).expect("sealed");
    fs::write(segments.journal(), journal).expect("written");
    assert_eq!(all(&segments, u64::MAX), lines, "before");
    assert_eq!(segments.recover().expect("recovered"), Some(100));
    assert!(!segments.journal().exists());
    assert_eq!(all(&segments, u64::MAX), lines, "after");
}

#[test]
fn a_damaged_block_is_said_and_the_others_are_read() {
    let directory = TempDir::new().expect("writable");
    let segments = Segments::new(directory.path(), AppId::random());
    let mut sealer = Sealer::new(1, u64::MAX);
    for id in 1..=3 {
        segments.append([record(id, "web.1", "text")].iter(), &mut sealer).expect("written");
    }
    let path = newest_file(&segments, "seg").expect("there");
    let mut bytes = fs::read(&path).expect("there");
    let second =
        bytes.windows(4).enumerate().filter(|(_, w)| w == b"HYL1").nth(2).expect("three").0;
    bytes[second - 1] ^= 1;
    fs::write(&path, bytes).expect("written");
    let mut ids = Vec::new();
    let walked = segments.newest_first(
        u64::MAX,
        |_| Want::Read,
        |block, _| {
            ids.extend(block.ids.clone());
            ControlFlow::Continue(())
        },
    );
    assert_eq!((ids, walked.expect("readable").damaged), (vec![3, 1], 1));
}

#[test]
fn lines_that_say_that_others_are_lost_stay_so() {
    let directory = TempDir::new().expect("writable");
    let segments = Segments::new(directory.path(), AppId::random());
    let lines = [record(1, "web.1", "x"), Record { lost: 7, ..record(2, "logplex", "lost") }];
    segments.append(lines.iter(), &mut Sealer::new(1, 1)).expect("written");
    assert_eq!(all(&segments, u64::MAX), lines);
}
