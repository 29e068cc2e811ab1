//! What of a dyno can be found on the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use sandbox::protocol::Spec;

use crate::house::{House, group};

/// Nothing is left of a dyno that was swept away, or soon is: the kernel takes some of it away a
/// moment after its last user.
#[track_caller]
pub fn expect_none(house: &House, spec: &Spec) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let found = all(house, spec);
        if found.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "{found:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn all(house: &House, spec: &Spec) -> Vec<String> {
    let place = house.directory.path();
    let processes = processes(&spec.id).into_iter().map(|line| format!("process {line}"));
    let groups = groups(&group(spec)).into_iter().map(|path| format!("group {}", path.display()));
    let name = &spec.network.interface;
    let interface = interface_exists(name).then(|| format!("interface {name}"));
    let loops = loop_devices_below(place).into_iter().map(|file| format!("loop {file}"));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(place.to_str().unwrap()));
    let mounts = mounts.map(|line| format!("mount {line}"));
    let disks = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name());
    let disks = disks.filter(|name| name.to_string_lossy().contains(&spec.id));
    let disks = disks.map(|name| format!("file {}", name.display()));
    processes.chain(groups).chain(interface).chain(loops).chain(mounts).chain(disks).collect()
}

/// Processes that have this word on their command line: a shim and its forks, the runtime, and what a
/// test runs in a dyno.
pub fn processes(word: &str) -> Vec<String> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let lines = numbers.filter_map(|number| {
        let line = fs::read(number.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(word).then(|| format!("{}: {line}", number.file_name().display()))
    });
    lines.collect()
}

/// Where there is a group of this path, on either version.
pub fn groups(path: &str) -> Vec<PathBuf> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = hierarchies.chain([root]).map(|place| place.join(path)).collect();
    all.retain(|group| group.exists());
    all
}

/// Whether the host has this network interface.
pub fn interface_exists(name: &str) -> bool {
    fs::exists(format!("/sys/class/net/{name}")).unwrap()
}

/// Files below a directory, removed ones included, that loop devices show.
pub fn loop_devices_below(directory: &Path) -> Vec<String> {
    let blocks = fs::read_dir("/sys/block").unwrap();
    let files = blocks.map(|block| block.unwrap().path().join("loop/backing_file"));
    let names = files.filter_map(|file| fs::read_to_string(file).ok());
    names.filter(|name| name.starts_with(directory.to_str().unwrap())).collect()
}

/// How a process ends by itself, if it soon does; else it is killed.
pub fn soon_over(process: &mut Child) -> Option<ExitStatus> {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if let Some(status) = process.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    None
}

/// Waits for something that will soon be so.
#[track_caller]
pub fn wait_until(condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "it did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}
