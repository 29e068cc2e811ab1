//! Promises with numbers. What takes time is measured by the benchmarks.

use std::fs;

use sandbox::protocol::Request;

use crate::house::House;

#[test]
fn a_shim_takes_little_memory() {
    let house = House::build();
    let mut dyno = house.start(&house.spec("sleep 1000"));
    dyno.expect_running();
    let shim = dyno.shim.id();
    let children = fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).unwrap();
    // The shim and the dyno's process 1, its fork; not the dyno's program.
    let first = children.split_whitespace().next().unwrap();
    let all = proportional(&shim.to_string()) + proportional(first);
    assert!(all <= 4 * 1024, "{all} KiB");
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
}

/// Proportional set size in KiB.
fn proportional(process: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
