//! What a dyno cannot use up.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use sandbox::protocol::Request;

use crate::house::{Dyno, House};

#[test]
fn a_memory_hog_is_killed_and_reported() {
    let house = House::build();
    let spec = house.probe(&["hog", "400"]);
    let mut dyno = house.start(&spec);
    let text = dyno.drain();
    assert_eq!(dyno.expect_exit(), (137, true), "{text}");
    dyno.forget();
}

#[test]
fn a_hog_under_a_shell_is_reported_too() {
    let house = House::build();
    let mut spec = house.probe(&[]);
    spec.argv = ["/bin/bash", "-c", "/tmp/probe hog 400; exit $?"].map(str::to_owned).into();
    let mut dyno = house.start(&spec);
    dyno.drain();
    assert_eq!(dyno.expect_exit(), (137, true));
    dyno.forget();
}

#[test]
fn a_program_that_gives_up_for_a_killed_child_is_reported_too() {
    let house = House::build();
    let mut spec = house.probe(&[]);
    spec.argv = ["/bin/bash", "-c", "/tmp/probe hog 400 || exit 1"].map(str::to_owned).into();
    let mut dyno = house.start(&spec);
    dyno.drain();
    let expected = if dies_whole() { 137 } else { 1 };
    assert_eq!(dyno.expect_exit(), (expected, true));
    dyno.forget();
}

#[test]
fn a_program_that_gets_over_a_killed_child_has_not_run_out_of_memory() {
    let house = House::build();
    let mut spec = house.probe(&[]);
    spec.argv = ["/bin/bash", "-c", "/tmp/probe hog 400; exit 0"].map(str::to_owned).into();
    let mut dyno = house.start(&spec);
    dyno.drain();
    let expected = if dies_whole() { (137, true) } else { (0, false) };
    assert_eq!(dyno.expect_exit(), expected);
    dyno.forget();
}

#[test]
fn what_fits_into_memory_is_not_killed() {
    let house = House::build();
    let (status, text) = house.output(&house.probe(&["hog", "90"]));
    assert_eq!((status, text.as_str()), (0, "took 90\n"));
}

#[test]
fn forks_stop_at_the_limit() {
    let house = House::build();
    let (status, text) = house.output(&house.probe(&["forks"]));
    let made: u32 = text.trim().parse().unwrap();
    assert_eq!(status, 0);
    // The program itself is one; the limit is 64.
    assert!((50..64).contains(&made), "{made}");
}

#[test]
fn a_fork_bomb_is_ended_at_once() {
    let house = House::build();
    let mut dyno = house.start(&house.spec("bomb() { bomb | bomb & }; bomb; echo set; sleep 1000"));
    dyno.expect_running();
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    dyno.forget();
}

#[test]
fn programs_see_their_limits() {
    let house = House::build();
    let text = house.shell(
        "ulimit -u; ulimit -n; ulimit -c; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max",
    );
    assert_eq!(text, "64\n1024\n0\n536870912\n536870912\n");
}

#[test]
fn open_files_are_limited() {
    let house = House::build();
    let mut spec = house.spec("ulimit -n 5000 2>/dev/null && echo raised; exec 9<&0; ulimit -Hn");
    spec.limits.open_files = 64;
    assert_eq!(house.output(&spec), (0, "64\n".to_owned()));
}

#[test]
fn a_processor_limit_holds() {
    let house = House::build();
    let busy = "began=$EPOCHREALTIME; \
                for i in 1 2 3 4; do (while :; do :; done) & done; sleep 1; \
                kill $(jobs -p); wait; times; echo \"$EPOCHREALTIME - $began\"";
    let mut spec = house.spec(busy);
    spec.limits.cpu_millis = Some(200);
    let (_, text) = house.output(&spec);
    let lines: Vec<&str> = text.lines().collect();
    let seconds: f64 = lines[1].split_whitespace().map(used).sum();
    let (end, began) = lines[2].split_once(" - ").unwrap();
    let took = end.parse::<f64>().unwrap() - began.parse::<f64>().unwrap();
    assert!(seconds < took / 2.0, "four busy loops took {seconds} s in {took} s");
}

#[test]
fn a_disk_in_memory_is_full_at_its_limit() {
    let house = House::build();
    let mut spec = house.spec(FILL);
    spec.limits.disk_bytes = 16 << 20;
    full_below(&house.output(&spec), 16 << 20);
}

#[test]
fn a_disk_on_a_disk_is_full_at_its_limit_and_leaves_nothing() {
    let house = House::build();
    let scratch = house.directory.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let mut spec = house.spec(FILL);
    // More than the memory limit: written pages can be reclaimed.
    spec.limits.memory_bytes = 64 << 20;
    spec.limits.disk_bytes = 160 << 20;
    spec.scratch = Some(scratch.clone());
    full_below(&house.output(&spec), 160 << 20);
    let left = fs::read_dir(scratch).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.collect();
    assert_eq!(left, [format!("empty-1-{}.disk", 160 << 20)].map(Into::<OsString>::into));
}

#[test]
fn a_flood_of_empty_files_ends() {
    let house = House::build();
    let flood =
        "i=0; mkdir d; cd d; while : > f$i; do i=$((i+1)); done 2>/dev/null; [ $i -lt 2000 ]";
    let mut spec = house.spec(flood);
    spec.limits.disk_bytes = 8 << 20;
    assert_eq!(house.output(&spec).0, 0);
}

#[test]
fn shared_memory_is_limited() {
    let house = House::build();
    let (status, text) = house.output(&house.spec("cat /dev/zero > /dev/shm/big"));
    assert_ne!(status, 0);
    assert!(text.contains("No space left") || status == 137, "{status} {text}");
}

#[test]
fn what_a_bomb_takes_is_counted_as_the_dynos_memory() {
    let house = House::build();
    for bomb in ["memfd", "shared", "messages"] {
        let mut dyno = house.start(&house.probe(&["bomb", bomb]));
        let text = dyno.drain();
        assert_eq!(dyno.expect_exit(), (137, true), "{bomb}: {text}");
        dyno.forget();
    }
}

#[test]
fn descriptors_and_what_is_behind_them_end_at_a_limit() {
    let house = House::build();
    let given = |bomb: &str| {
        let (status, text) = house.output(&house.probe(&["bomb", bomb]));
        assert_eq!(status, 0, "{bomb}: {text}");
        text.trim().parse::<usize>().unwrap()
    };
    // The standard streams are three of 1024; a pair of anything takes two.
    assert_eq!(given("descriptors"), 1021);
    assert_eq!(given("pipes"), 510);
    assert!(given("inotify") < 1021);
    assert!(given("queues") < 100);
    assert!(given("signals") < 200_000);
}

#[test]
fn what_one_dyno_exhausts_another_still_gets() {
    let house = House::build();
    for bomb in ["inotify", "queues", "signals"] {
        let (dyno, taken) = holding(&house, bomb);
        let (status, text) = house.output(&house.probe(&["bomb", bomb]));
        assert_eq!((status, text.trim().parse().ok()), (0, Some(taken)), "{bomb}: {text}");
        end(dyno);
    }
}

#[test]
fn the_buffers_of_connections_are_limited() {
    let house = House::build();
    let before = pages_in_tcp();
    let mut dyno = house.start(&house.probe(&["hold", "connections"]));
    dyno.expect_running();
    let mut line = String::new();
    // It may as well be killed for it.
    let _ = BufReader::new(dyno.streams().remove(0)).read_line(&mut line);
    let taken = pages_in_tcp().saturating_sub(before) * 4096;
    assert!(taken <= 160 << 20, "{} MiB for {line} connections", taken >> 20);
    end(dyno);
}

/// Pages in the buffers of all TCP connections of the machine.
fn pages_in_tcp() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    line.split_whitespace().last().unwrap().parse().unwrap()
}

/// A dyno that has taken as much as it is given, and how often it was.
fn holding(house: &House, bomb: &str) -> (Dyno, usize) {
    let mut dyno = house.start(&house.probe(&["hold", bomb]));
    dyno.expect_running();
    let mut line = String::new();
    BufReader::new(dyno.streams().remove(0)).read_line(&mut line).unwrap();
    (dyno, line.trim().parse().unwrap())
}

fn end(mut dyno: Dyno) {
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
}

/// Fills `/app` and then `/tmp`, and prints how many bytes were taken and the last complaint.
const FILL: &str = "cat /dev/zero > /app/big; cat /dev/zero > /tmp/big; \
                    echo $(($(stat -c %s /app/big) + $(stat -c %s /tmp/big)))";

fn full_below((status, text): &(i32, String), limit: u64) {
    assert_eq!(*status, 0, "{text}");
    assert_eq!(text.matches("No space left on device").count(), 2, "{text}");
    let taken: u64 = text.lines().find_map(|line| line.parse().ok()).unwrap();
    assert!(taken <= limit && taken > limit / 2, "{taken} of {limit}");
}

/// Whether the kernel kills all of a dyno that has no memory left, or its largest process: version 2
/// of control groups can do the former.
fn dies_whole() -> bool {
    fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap()
}

/// `0m0.123s` in seconds.
fn used(time: &str) -> f64 {
    let (minutes, seconds) = time.trim_end_matches('s').split_once('m').unwrap();
    minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
}
