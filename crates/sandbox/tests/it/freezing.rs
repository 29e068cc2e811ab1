//! A dyno that is frozen in place, and the memory that is taken back from it.

use std::io::Read;
use std::time::Duration;

use sandbox::protocol::{Request, Spec};
use sandbox::{freezer, usage};

use crate::house::House;
use crate::traces::wait_until;

const MIB: u64 = 1 << 20;

#[test]
fn a_frozen_dyno_stands_still_and_goes_on_where_it_was() {
    let house = House::build();
    let spec = house.spec("for n in $(seq 1000000); do echo $n; sleep 0.01; done");
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let mut output = dyno.streams().remove(0);
    let mut bytes = [0; 65_536];
    assert_ne!(output.read(&mut bytes).unwrap(), 0);

    freezer::freeze(&spec.cgroup_parent, &spec.id).unwrap();
    assert!(freezer::is_frozen(&spec.cgroup_parent, &spec.id).unwrap());
    let last = last_number(&mut output);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(last_number(&mut output), None, "it goes on after {last:?}");

    freezer::thaw(&spec.cgroup_parent, &spec.id).unwrap();
    assert!(!freezer::is_frozen(&spec.cgroup_parent, &spec.id).unwrap());
    let count = output.read(&mut bytes).unwrap();
    let next = String::from_utf8_lossy(&bytes[..count]).lines().next().unwrap().to_owned();
    if let Some(last) = last {
        assert_eq!(next.parse(), Ok(last + 1));
    }
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
}

/// The last number that waits in the pipe, if any does.
fn last_number(output: &mut std::fs::File) -> Option<u32> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(&*output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut text = Vec::new();
    // It ends because nothing more is there.
    let _ = output.read_to_end(&mut text);
    fcntl(&*output, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    String::from_utf8(text).unwrap().lines().last().map(|line| line.parse().unwrap())
}

#[test]
fn a_frozen_dynos_memory_is_taken_back_and_its_files_are_as_they_were() {
    let house = House::build();
    let mut spec = house.spec(
        "head -c 24M /dev/zero > /tmp/file; sync /tmp/file; echo written; \
         until [ -e /tmp/go ]; do sleep 0.05; [ $((n += 1)) -gt 20 ] && touch /tmp/go; done; \
         stat -c %s /tmp/file; tr -d '\\0' < /tmp/file | wc -c",
    );
    spec.scratch = Some(house.directory.path().to_owned());
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let mut output = dyno.streams().remove(0);
    let mut line = [0; 8];
    output.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"written\n");
    assert!(used(&spec) > 24 * MIB, "{}", used(&spec));

    freezer::freeze(&spec.cgroup_parent, &spec.id).unwrap();
    freezer::reclaim(&spec.cgroup_parent, &spec.id).unwrap();
    wait_until(|| used(&spec) < 8 * MIB);
    assert!(freezer::is_frozen(&spec.cgroup_parent, &spec.id).unwrap());

    freezer::thaw(&spec.cgroup_parent, &spec.id).unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, format!("{}\n0\n", 24 * MIB));
    assert_eq!(dyno.expect_exit(), (0, false));
    dyno.forget();
}

/// Bytes of memory and of files that are kept for a dyno.
fn used(spec: &Spec) -> u64 {
    let memory = usage::memory(&spec.cgroup_parent, &spec.id).unwrap();
    memory.rss + memory.cache
}

#[test]
fn a_frozen_dyno_hears_a_signal_all_the_same() {
    let house = House::build();
    let spec =
        house.spec("trap 'echo heard; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let mut output = dyno.streams().remove(0);
    let mut line = [0; 6];
    output.read_exact(&mut line).unwrap();
    freezer::freeze(&spec.cgroup_parent, &spec.id).unwrap();
    dyno.ask(&Request::Signal(15));
    assert_eq!(dyno.expect_exit().0, 5);
    dyno.forget();
}
