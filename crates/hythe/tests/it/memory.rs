//! Memory: warnings, kills, runtime metrics, the operator's size table; and damaged slugs.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::{Person, Server, wait};

use crate::binary;
use crate::small_app::{self, PATIENCE};

/// Small dynos, looked at every second.
const SETTINGS: &str = "\
metrics_seconds = 1
[sizes.standard-1x]
memory_mib = 64
pids = 99
";

/// Takes so many MiB and keeps them.
fn hog(mebibytes: u32) -> String {
    format!("python3 -c 'x = bytearray({mebibytes} << 20); import time; time.sleep(1000)'")
}

fn deployed(procfile: &str) -> (Server, Person) {
    let server = Server::start_with(binary(), SETTINGS);
    let person = server.person();
    let dir = small_app::created(&person, procfile);
    let _transcript = small_app::push(&server, &person, &dir);
    (server, person)
}

fn said(person: &Person, process: &str) -> Vec<String> {
    let marker = format!("heroku[{process}]: ");
    let lines = person.heroku(&["logs", "-a", "demo", "--num", "1500"]);
    let text = |line: &str| line.split_once(&marker).map(|(_, text)| text.to_owned());
    lines.lines().filter_map(text).collect()
}

/// Waits until these lines follow each other; each is a beginning.
#[track_caller]
fn expect(person: &Person, process: &str, wanted: &[&str]) {
    wait::until(&wanted.join(" / "), PATIENCE, || {
        let lines = said(person, process);
        let same = |window: &[String]| {
            window.iter().zip(wanted).all(|(line, wanted)| line.starts_with(wanted))
        };
        if lines.windows(wanted.len()).any(same) { Ok(()) } else { Err(lines.join("\n")) }
    });
}

#[test]
fn memory_over_the_quota_is_told_and_twice_as_much_is_the_end() {
    let procfile =
        format!("web: node server.js\nsome: {}\nmuch: {}\nall: {}\n", hog(90), hog(128), hog(500));
    let (_server, person) = deployed(&procfile);
    let _scaled = person.heroku(&["ps:scale", "web=0", "some=1", "much=1", "all=1", "-a", "demo"]);
    let warning = ["Process running mem=9", "Error R14 (Memory quota exceeded)"];
    expect(&person, "some.1", &[warning, warning].concat());
    let end = [
        "Process running mem=1",
        "Error R15 (Memory quota vastly exceeded)",
        "Stopping process with SIGKILL",
        "Process exited with status 137",
        "State changed from up to crashed",
    ];
    expect(&person, "much.1", &end);
    // The kernel is faster than we.
    expect(&person, "all.1", &[&["Process running mem=136M(212.5%)"], &end[1..]].concat());
    assert!(!said(&person, "some.1").iter().any(|line| line.contains("R15")));
}

#[test]
fn runtime_metrics_are_told_for_each_dyno() {
    let (_server, person) = deployed("web: node server.js\n");
    let _on = person.heroku(&["labs:enable", "log-runtime-metrics", "-a", "demo"]);
    let (load, memory) = wait::until("metrics", PATIENCE, || {
        let lines = said(&person, "web.1");
        let with = |word: &str| lines.iter().find(|line| line.contains(word)).cloned();
        with("sample#load_avg_1m=").zip(with("sample#memory_total=")).ok_or(lines.join("\n"))
    });
    for line in [&load, &memory] {
        assert!(line.starts_with("source=web.1 dyno=heroku."), "{line}");
    }
    let names: Vec<_> =
        memory.split(" sample#").skip(1).filter_map(|part| part.split('=').next()).collect();
    assert!(names.starts_with(&["memory_total", "memory_rss", "memory_cache", "memory_swap"]));
    assert!(memory.ends_with(" sample#memory_quota=64.00MB"), "{memory}");
    let _off = person.heroku(&["labs:disable", "log-runtime-metrics", "-a", "demo"]);
}

#[test]
fn the_size_table_is_the_operators_and_programs_see_it() {
    let (_server, person) = deployed("web: node server.js\n");
    let look = "ulimit -u; ulimit -n; cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
    let seen = person.heroku(&["run", "-a", "demo", "--no-tty", "--", look]);
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["99", "10000", "67108864"]);
    let larger = ["run", "-a", "demo", "--size", "standard-2x", "--no-tty", "--", look];
    let seen = person.heroku(&larger);
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["512", "10000", "1073741824"]);
}

/// The slug among the blobs: the one that is an image.
fn slug(blobs: &Path) -> PathBuf {
    let shelves = fs::read_dir(blobs).expect("blobs").map(|entry| entry.expect("an entry").path());
    let files = shelves.flat_map(|shelf| fs::read_dir(shelf).expect("a shelf"));
    let paths = files.map(|entry| entry.expect("an entry").path());
    let image = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"hsqs"));
    paths.into_iter().find(image).expect("a slug")
}

#[test]
fn a_damaged_slug_is_not_run() {
    let (server, person) = deployed("web: node server.js\n");
    small_app::answer(&server);
    let path = slug(&server.data_dir().join("blobs"));
    let mut bytes = fs::read(&path).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    // Another file of the same name: the running dyno keeps the good one.
    let other = path.with_extension("other");
    fs::write(&other, bytes).expect("written");
    fs::rename(&other, &path).expect("renamed");
    let _restarted = person.heroku(&["ps:restart", "-a", "demo"]);
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let line = format!(
        "Error R17 (Checksum error) -> Checksum does match expected value. Expected: SHA256:{name}"
    );
    expect(&person, "web.1", &[line.as_str(), "State changed from starting to crashed"]);
    // The old one serves on.
    small_app::answer(&server);
}
