//! Files that are torn, full, foreign or old.

use super::*;

fn record(id: u64, text: &str) -> Record {
    Record {
        id,
        at: Timestamp::from_micros(i64::try_from(id).expect("small")),
        source: Source::App,
        process: "web.1".into(),
        text: text.into(),
        lost: 0,
    }
}

fn kept(directory: &Path, app: AppId) -> Vec<String> {
    let loaded = load(directory, &Config::default()).expect("readable");
    let mine = loaded.into_iter().find(|(id, _)| *id == app).map(|(_, records)| records);
    let shown = |record: Record| format!("{} {}", record.id, record.text);
    mine.unwrap_or_default().into_iter().map(shown).collect()
}

#[test]
fn lines_come_back_as_they_were() {
    let directory = tempfile::tempdir().expect("writable");
    let app = AppId::random();
    let records = [record(7, ""), record(8, "  two  spaces é "), record(9, "a\rb")];
    append(directory.path(), app, records.iter(), 1000).expect("writable");
    let loaded = load(directory.path(), &Config::default()).expect("readable");
    assert_eq!(loaded, [(app, records.into())]);
}

#[test]
fn a_torn_tail_is_cut_and_the_next_line_stands_alone() {
    let directory = tempfile::tempdir().expect("writable");
    let app = AppId::random();
    let whole =
        b"1 1 app web.1 one\nnonsense\n0 1 app web.1 backwards\n2 2 app web.1 tw".as_slice();
    for cut in 0..=whole.len() {
        delete(directory.path(), app).expect("deletable");
        fs::write(current(directory.path(), app), &whole[..cut]).expect("writable");
        let before = kept(directory.path(), app);
        append(directory.path(), app, [record(3, "three")].iter(), 1000).expect("writable");
        let one = (cut >= 18).then(|| "1 one".to_owned());
        assert_eq!(before, Vec::from_iter(one.clone()), "cut at {cut}");
        let both: Vec<_> = one.into_iter().chain(["3 three".to_owned()]).collect();
        assert_eq!(kept(directory.path(), app), both, "cut at {cut}");
    }
}

#[test]
fn two_files_bound_the_bytes_and_keep_the_newest() {
    let directory = tempfile::tempdir().expect("writable");
    let app = AppId::random();
    for id in 1..=100 {
        append(directory.path(), app, [record(id, "x")].iter(), 100).expect("writable");
    }
    let size = |path: PathBuf| fs::metadata(path).expect("exists").len();
    assert!(size(current(directory.path(), app)) < 130);
    assert!(size(old(directory.path(), app)) < 130);
    let kept = kept(directory.path(), app);
    assert!((6..=14).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept.last().map(String::as_str), Some("100 x"));
}

#[test]
fn foreign_files_are_left_alone_and_silent_apps_are_deleted() {
    let directory = tempfile::tempdir().expect("writable");
    let app = AppId::random();
    let foreign = directory.path().join("README.log");
    fs::write(&foreign, "mine").expect("writable");
    append(directory.path(), app, [record(1, "x")].iter(), 100).expect("writable");
    let file = File::options().append(true).open(current(directory.path(), app)).expect("exists");
    file.set_modified(UNIX_EPOCH).expect("owner");
    assert_eq!(kept(directory.path(), app), Vec::<String>::new());
    assert!(!current(directory.path(), app).exists());
    assert!(foreign.exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    let file = tempfile::NamedTempFile::new().expect("writable");
    assert!(load(&file.path().join("logs"), &Config::default()).is_err());
}
