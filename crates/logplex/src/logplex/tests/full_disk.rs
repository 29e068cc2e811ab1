//! A disk that is full, and then not any more. Needs root, for a small file system.

use std::path::Path;
use std::process::Command;

use super::*;

/// A file system of its own.
struct Small(TempDir);

impl Small {
    fn mount(size: &str) -> Self {
        let directory = tempfile::tempdir().expect("writable");
        mount(&format!("size={size}"), directory.path());
        Self(directory)
    }

    fn grow(&self, size: &str) {
        mount(&format!("remount,size={size}"), self.0.path());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _gone_already = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn mount(options: &str, path: &Path) {
    let status = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(path)
        .status()
        .expect("the program mount");
    assert!(status.success(), "needs root to mount a small file system");
}

/// `7` of `7 messages before this one were not kept on disk.`
fn missing(line: &Line) -> Option<u64> {
    let text = line.text.strip_suffix(" messages before this one were not kept on disk.")?;
    text.rsplit(' ').next()?.parse().ok()
}

/// All lines, once one of them has this in it.
async fn all_with(room: &Room, text: &str) -> Vec<Line> {
    for _ in 0..2000 {
        let all = Query { lines: 10_000, ..everything(Mode::Recent) };
        let lines = rest(room.logplex.session(room.app, all)).await;
        if lines.iter().any(|line| line.text.contains(text)) {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no line says {text:?}");
}

#[tokio::test]
async fn a_full_disk_costs_no_line_in_memory_and_what_it_did_not_take_is_counted() {
    let small = Small::mount("512k");
    let config = Config {
        directory: Some(small.0.path().join("logs")),
        lines_per_app: 100_000,
        bytes_per_app: 64 << 20,
        bytes_overall: 64 << 20,
        ..Config::default()
    };
    let room = Room::start(config.clone());
    let line = |n: u64| format!("{} {n}", "x".repeat(1000));
    for n in 0..1000 {
        room.say("web.1", &line(n));
    }
    all_with(&room, "Log lines cannot be kept on disk (").await;
    small.grow("64m");
    room.say("web.1", &line(1000));
    all_with(&room, "Log lines are kept on disk again; ").await;
    let lines = all_with(&room, "x 1000").await;
    let numbers: Vec<_> = lines.iter().filter_map(number).collect();
    assert!(numbers.into_iter().eq(0..=1000), "all are in memory");
    let unkept = room.logplex.status(room.app).kept.unkept;
    assert!((1..=1002).contains(&unkept), "{unkept}");

    let app = room.app;
    drop(room);
    let mut room = Room::start(config);
    room.app = app;
    let kept = all_with(&room, "x 1000").await;
    let missing: Vec<_> = kept.iter().filter_map(missing).collect();
    assert_eq!(missing.iter().sum::<u64>(), unkept);
    // What is on disk, and what it says is missing, is everything.
    let (notes, sum) = (missing.len(), missing.iter().sum::<u64>());
    assert_eq!((kept.len() - notes) as u64 + sum, lines.len() as u64, "{missing:?}");
}
