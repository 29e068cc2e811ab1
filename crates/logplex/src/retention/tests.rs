//! Which files go, and which stay.

use model::log::Source;
use tempfile::TempDir;

use super::*;
use crate::DiskConfig;
use crate::record::Record;
use crate::segments::Sealer;

fn fill(directory: &Path, app: AppId, blocks: u64) -> Segments {
    let segments = Segments::new(directory, app);
    let mut sealer = Sealer::new(1, 1);
    for id in 1..=blocks {
        let record = Record {
            id,
            at: Timestamp::now(),
            source: Source::App,
            process: "web.1".into(),
            text: format!("{id:01000}").into(),
            lost: 0,
        };
        segments.append([record].iter(), &mut sealer).expect("written");
    }
    segments
}

fn retention(directory: &Path, disk: DiskConfig) -> Retention {
    Retention::new(directory, &Config { disk, ..Config::default() })
}

fn ids(segments: &Segments) -> Vec<u64> {
    segments.files().expect("readable").iter().map(|file| file.first_id).collect()
}

#[test]
fn an_app_keeps_its_newest_files() {
    let directory = TempDir::new().expect("writable");
    let app = AppId::random();
    let segments = fill(directory.path(), app, 10);
    let one = segments.bytes().expect("readable") / 10;
    let bounds = DiskConfig { bytes_per_app: one * 4 + one / 2, ..DiskConfig::default() };
    let mut retention = retention(directory.path(), bounds);
    let cuts = retention.make_room(app).expect("deleted");
    assert_eq!(ids(&segments), [7, 8, 9, 10]);
    assert_eq!(cuts.len(), 6);
    assert!(cuts.iter().all(|cut| cut.why == Why::App && cut.app == app));
    assert_eq!(retention.make_room(app).expect("nothing to do"), []);
}

#[test]
fn the_largest_app_makes_room_for_all() {
    let directory = TempDir::new().expect("writable");
    let (large, small) = (AppId::random(), AppId::random());
    let large_segments = fill(directory.path(), large, 10);
    let small_segments = fill(directory.path(), small, 2);
    let one = large_segments.bytes().expect("readable") / 10;
    let bounds = DiskConfig { bytes_overall: one * 6 + one / 2, ..DiskConfig::default() };
    let mut retention = retention(directory.path(), bounds);
    retention.measure(large).expect("measured");
    let cuts = retention.make_room(small).expect("deleted");
    assert!(cuts.iter().all(|cut| cut.why == Why::All && cut.app == large));
    assert_eq!((ids(&large_segments).len(), ids(&small_segments)), (4, vec![1, 2]));
}

#[test]
fn what_is_too_old_goes_and_an_app_without_lines_leaves_nothing() {
    let directory = TempDir::new().expect("writable");
    let app = AppId::random();
    let segments = fill(directory.path(), app, 3);
    let mut retention = retention(directory.path(), DiskConfig::default());
    retention.measure(app).expect("measured");
    let now = Timestamp::now();
    retention.expire(now).expect("nothing to do");
    assert_eq!(ids(&segments), [1, 2, 3]);
    retention.expire(now + Config::default().keep_for + Duration::from_mins(1)).expect("deleted");
    assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 0);
}
