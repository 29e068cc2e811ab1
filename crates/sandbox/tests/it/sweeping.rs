//! What outlives a shim is swept up, at whatever moment it or its runtime was killed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use sandbox::protocol::{Event, Request};
use sandbox::{frames, freezer, sweep};

use crate::house::House;
use crate::traces;

#[test]
fn a_killed_shim_takes_its_dyno_along_and_is_swept_up() {
    let house = House::build();
    let mut spec = house.spec("");
    spec.argv[2] = format!("sleep 1000; : {}", spec.id);
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    dyno.shim.kill().unwrap();
    dyno.shim.wait().unwrap();
    assert_eq!(sandbox::ending(&dyno.directory).unwrap(), None);
    sweep(&dyno.directory).unwrap();
    assert!(!dyno.directory.exists());
    traces::expect_none(&house, &spec);
}

#[test]
fn a_frozen_dyno_goes_with_its_shim() {
    let house = House::build();
    let mut spec = house.spec("");
    spec.argv[2] = format!("sleep 1000 & sleep 1000; : {}", spec.id);
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    freezer::freeze(&spec.cgroup_parent, &spec.id).unwrap();
    dyno.shim.kill().unwrap();
    dyno.shim.wait().unwrap();
    sweep(&dyno.directory).unwrap();
    traces::expect_none(&house, &spec);
}

#[test]
fn sweeping_ends_a_shim_that_lives() {
    let house = House::build();
    let mut spec = house.spec("");
    spec.argv[2] = format!("sleep 1000; : {}", spec.id);
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    sweep(&dyno.directory).unwrap();
    assert!(!dyno.shim.wait().unwrap().success());
    assert!(!dyno.directory.exists());
    traces::expect_none(&house, &spec);
    // Again is no harm.
    sweep(&dyno.directory).unwrap();
}

/// A server that died right after it had started a shim leaves one that is just beginning.
#[test]
fn a_shim_that_is_swept_away_while_it_begins_never_comes_to_life() {
    const MOMENTS: u32 = 25;
    let house = House::build();
    for moment in 0..MOMENTS {
        let mut spec = house.spec("");
        spec.argv[2] = format!("sleep 1000; : {}", spec.id);
        let (directory, mut shim) = house.spawn(&spec, None);
        let frame = frames::encode(&spec).unwrap();
        // The shim may be gone before it has read it.
        let _ = shim.stdin.take().unwrap().write_all(&frame);
        std::thread::sleep(Duration::from_micros(u64::from(moment * moment) * 50));
        sweep(&directory).unwrap();
        assert!(!directory.exists(), "moment {moment}");
        assert!(traces::soon_over(&mut shim).is_some(), "the shim lives on, moment {moment}");
        traces::expect_none(&house, &spec);
        assert!(!directory.exists(), "moment {moment}");
    }
}

#[test]
fn a_runtime_that_is_killed_in_mid_start_leaves_nothing() {
    const TOO_LATE: u32 = 40;
    let house = House::build();
    // The runtime's own process alone; and all that it has started.
    for whom in ["--foreground", "--"] {
        let moments = (1..TOO_LATE).step_by(3);
        let started = moments.filter(|millis| starts_with_a_mortal_runtime(&house, whom, *millis));
        assert_ne!(started.count(), TOO_LATE as usize / 3, "it was never killed in time: {whom}");
    }
}

/// Starts a dyno with a runtime that is killed after a while. Answers whether it had started it by
/// then; whether or not, the dyno ends and leaves nothing.
fn starts_with_a_mortal_runtime(house: &House, whom: &str, millis: u32) -> bool {
    let mut spec = house.spec("");
    spec.argv[2] = format!("sleep 1000; : {}", spec.id);
    spec.runtime = mortal_runtime(house, whom, millis);
    let mut dyno = house.start(&spec);
    let started = match dyno.next() {
        Event::Running { .. } => {
            dyno.ask(&Request::Kill);
            dyno.expect_exit();
            true
        }
        Event::Failed { reason } => {
            assert!(reason.starts_with("start the container: "), "{reason}");
            false
        }
        other => panic!("{other:?}"),
    };
    dyno.forget();
    traces::expect_none(house, &spec);
    started
}

/// A program that does what the runtime does, for so long.
fn mortal_runtime(house: &House, whom: &str, millis: u32) -> PathBuf {
    let path = house.directory.path().join("runtime");
    let runtime = crate::RUNTIME;
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*' run '*) exec timeout -s KILL {whom} 0.{millis:03} {runtime} \
         \"$@\";;\nesac\nexec {runtime} \"$@\"\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_shim_that_is_killed_with_its_runtime_at_work_leaves_nothing() {
    let house = House::build();
    for micros in (0..20_000).step_by(1500) {
        let mut spec = house.spec("");
        spec.argv[2] = format!("sleep 1000; : {}", spec.id);
        let (directory, mut shim) = house.spawn(&spec, None);
        let frame = frames::encode(&spec).unwrap();
        shim.stdin.take().unwrap().write_all(&frame).unwrap();
        traces::wait_until(|| is_at_work(&spec.id));
        std::thread::sleep(Duration::from_micros(micros));
        shim.kill().unwrap();
        sweep(&directory).unwrap();
        assert_eq!(shim.wait().unwrap().signal(), Some(9));
        traces::expect_none(&house, &spec);
    }
}

/// Whether a runtime is about to start this dyno, or has done so.
fn is_at_work(dyno: &str) -> bool {
    traces::processes(dyno).iter().any(|line| line.contains(" --root ") || line.contains("sleep"))
}
