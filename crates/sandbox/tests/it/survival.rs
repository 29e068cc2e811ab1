//! Dynos outlive their server; what outlives a shim is swept up.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use sandbox::frames;
use sandbox::protocol::{Ending, Event, Request};

use crate::house::{House, Server};
use crate::traces::{interface_exists, loop_devices_below, wait_until};

#[test]
fn a_dyno_outlives_its_server_and_nothing_it_says_is_lost() {
    let house = House::build();
    let directory = house.directory.path().join("dyno");
    let signs = house.directory.path().join("signs");
    fs::create_dir(&directory).unwrap();
    fs::create_dir(&signs).unwrap();
    let go_on = signs.join("go-on");
    let mut spec = house
        .spec("echo first; until [ -e /signs/go-on ]; do sleep 0.02; done; echo second; exit 4");
    spec.mounts.push(sandbox::protocol::Mount {
        source: signs,
        target: "/signs".into(),
        writable: false,
    });
    let specification = directory.join("specification");
    fs::write(&specification, frames::encode(&spec).unwrap()).unwrap();
    // A server with a process group of its own, that starts a shim and is then killed with its
    // whole group.
    let mut server = Command::new("/bin/sh")
        .args(["-c", "\"$0\" \"$1\" < \"$2\" > \"$1/ready\" & sleep 1000"])
        .arg(env!("CARGO_BIN_EXE_shim-for-tests"))
        .args([&directory, &specification])
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let _swept = Swept(&directory);
    wait_until(|| fs::read(directory.join("ready")).is_ok_and(|text| text == b"\n"));
    let mut first = Server::connect(&directory);
    assert!(matches!(first.next(), Event::Running { .. }));
    let mut line = String::new();
    BufReader::new(first.streams().remove(0)).read_line(&mut line).unwrap();
    assert_eq!(line, "first\n");
    killpg(Pid::from_raw(server.id().cast_signed()), Signal::SIGKILL).unwrap();
    server.wait().unwrap();
    drop(first);

    let mut second = Server::connect(&directory);
    assert!(matches!(second.next(), Event::Running { .. }));
    drop(second);
    File::create(go_on).unwrap();
    wait_until(|| sandbox::ending(&directory).unwrap().is_some());
    let ending = Ending::Exited { status: 4, out_of_memory: false };
    assert_eq!(sandbox::ending(&directory).unwrap(), Some(ending));

    let mut third = Server::connect(&directory);
    assert_eq!(third.next(), Event::Exited { status: 4, out_of_memory: false });
    let mut rest = String::new();
    third.streams().remove(0).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "second\n");
    third.ask(&Request::Forget);
    assert!(third.is_closed());
}

#[test]
fn a_newer_server_replaces_the_one_before() {
    let house = House::build();
    let mut dyno = house.start(&house.spec("sleep 1000"));
    dyno.expect_running();
    let mut newer = Server::connect(&dyno.directory);
    assert!(matches!(newer.next(), Event::Running { .. }));
    assert!(dyno.server().is_closed());
    newer.ask(&Request::Kill);
    assert_eq!(newer.next(), Event::Exited { status: 137, out_of_memory: false });
    dyno.reconnect();
    dyno.expect_exit();
    dyno.forget();
}

#[test]
fn words_that_are_no_request_end_only_the_connection() {
    let house = House::build();
    let mut dyno = house.start(&house.spec("sleep 1000"));
    dyno.expect_running();
    dyno.server().say(b"\xff\xff\xff\xff nonsense");
    assert!(dyno.server().is_closed());
    dyno.reconnect();
    dyno.expect_running();
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
}

#[test]
fn forgetting_a_dyno_that_runs_is_refused() {
    let house = House::build();
    let mut dyno = house.start(&house.spec("sleep 1000"));
    dyno.expect_running();
    dyno.ask(&Request::Forget);
    dyno.expect_running();
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
}

#[test]
fn polite_signals_do_not_end_a_shim() {
    let house = House::build();
    let mut dyno = house.start(&house.spec("sleep 1000"));
    dyno.expect_running();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        kill(Pid::from_raw(dyno.shim.id().cast_signed()), signal).unwrap();
    }
    dyno.ask(&Request::Status);
    dyno.expect_running();
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
}

#[test]
fn nothing_of_a_dyno_is_left_on_the_host() {
    let house = House::build();
    let slug = house.slug(&[("file", "text")]);
    let before = host();
    let mut spec = house.spec("sleep 1000");
    spec.slug = Some(slug);
    spec.scratch = Some(house.directory.path().into());
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    // Not even while it runs has the host a mount of it.
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before.0);
    assert!(interface_exists(&spec.network.interface));
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
    wait_until(|| !interface_exists(&spec.network.interface));
    wait_until(|| loop_devices_below(house.directory.path()).is_empty());
    assert_eq!(host().0, before.0);
    assert_eq!(host().1, before.1, "the owner of /dev/null");
}

#[test]
fn a_slot_can_be_used_again_at_once() {
    let house = House::build();
    let first = house.spec("true");
    for _ in 0..3 {
        let mut spec = house.spec("true");
        spec.network = first.network.clone();
        assert_eq!(house.output(&spec).0, 0);
    }
}

#[test]
fn config_vars_are_on_no_disk_and_no_command_line() {
    let house = House::build();
    let mut spec = house.spec("sleep 1000");
    let secret = "very-secret-value";
    spec.env.push(("SECRET".into(), secret.into()));
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let shim = dyno.shim.id();
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{shim}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(secret));
    }
    let found = Command::new("grep").args(["-r", secret]).arg(&dyno.directory).output().unwrap();
    assert!(found.stdout.is_empty());
    dyno.ask(&Request::Kill);
    dyno.expect_exit();
    dyno.forget();
}

#[test]
fn a_specification_that_is_cut_off_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut shim = Command::new(env!("CARGO_BIN_EXE_shim-for-tests"))
        .arg(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shim.stdin.take().unwrap().write_all(&[0, 0, 1, 0, b'{']).unwrap();
    let output = shim.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cut off"));
}

/// A shim that is nobody's child, ended if the test fails.
struct Swept<'a>(&'a Path);

impl Drop for Swept<'_> {
    fn drop(&mut self) {
        let _ = sandbox::sweep(self.0);
    }
}

/// The mounts, and who owns `/dev/null`.
fn host() -> (String, u32) {
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/dev/null").unwrap());
    (fs::read_to_string("/proc/self/mountinfo").unwrap(), owner)
}
