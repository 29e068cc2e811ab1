//! Starting, watching and ending a dyno.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use sandbox::protocol::{Ending, Event, Request, Terminal};

use crate::house::House;

#[test]
fn a_command_runs_and_its_output_and_status_come_back() {
    let house = House::build();
    let (status, text) = house.output(&house.spec("echo hello; echo there >&2; exit 3"));
    assert_eq!((status, text.as_str()), (3, "hello\nthere\n"));
}

#[test]
fn config_vars_arrive_byte_for_byte() {
    let house = House::build();
    let value = "$HOME \"q\" é \\n `id` \nsecond line\t!";
    let mut spec = house.spec("");
    spec.env.push(("GREETING".into(), value.into()));
    spec.env.push(("EMPTY".into(), String::new()));
    spec.argv = vec!["/usr/bin/env".into(), "-0".into()];
    let (status, text) = house.output(&spec);
    assert_eq!(status, 0);
    let expected =
        format!("PATH=/usr/local/bin:/usr/bin:/bin\0HOME=/app\0GREETING={value}\0EMPTY=\0");
    assert_eq!(text, expected);
}

#[test]
fn a_program_that_is_not_there_is_a_failed_start() {
    let house = House::build();
    let mut spec = house.spec("");
    spec.argv = vec!["/no/such/program".into()];
    let mut dyno = house.start(&spec);
    let Event::Failed { reason } = dyno.next() else { panic!("it should not start") };
    assert!(reason.contains("/no/such/program"), "{reason}");
    let ending = sandbox::ending(&dyno.directory).unwrap();
    assert_eq!(ending, Some(Ending::Failed { reason }));
    dyno.forget();
}

#[test]
fn an_impossible_specification_is_a_failed_start() {
    let house = House::build();
    let mut spec = house.spec("true");
    spec.id_base = 0;
    let mut dyno = house.start(&spec);
    assert!(matches!(dyno.next(), Event::Failed { .. }));
    dyno.forget();
}

#[test]
fn a_signal_reaches_every_process() {
    let house = House::build();
    // Three levels, none of which passes a signal on.
    let mut spec = house.spec("bash -c 'sleep 1000 & echo ready; wait'; echo after; exit 9");
    spec.terminal = Terminal::Output;
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let mut streams = dyno.streams();
    wait_for_line(&mut streams[0], "ready\n");
    dyno.ask(&Request::Signal(15));
    assert_eq!(dyno.expect_exit(), (143, false));
    dyno.forget();
}

#[test]
fn it_begins_with_no_signal_blocked() {
    let house = House::build();
    let mut spec = house.spec("");
    spec.argv = ["/bin/grep", "SigBlk", "/proc/self/status"].map(str::to_owned).into();
    assert_eq!(house.output(&spec), (0, "SigBlk:\t0000000000000000\n".to_owned()));
}

#[test]
fn what_ignores_term_ends_by_kill() {
    let house = House::build();
    let mut dyno = house.start(&house.spec("trap '' TERM; echo ready; while :; do sleep 1; done"));
    dyno.expect_running();
    wait_for_line(&mut dyno.streams()[0], "ready\n");
    dyno.ask(&Request::Signal(15));
    dyno.ask(&Request::Status);
    assert!(matches!(dyno.next(), Event::Running { .. }));
    dyno.ask(&Request::Kill);
    assert_eq!(dyno.expect_exit(), (137, false));
    dyno.forget();
}

#[test]
fn daemons_end_with_the_program_and_orphans_are_reaped() {
    let house = House::build();
    let count = "ls -d /proc/[0-9]* | wc -l";
    let text =
        house.shell(&format!("(setsid sleep 0.01 &); (setsid sleep 1000 &); sleep 0.2; {count}"));
    // bash, sleep 1000, ls and wc: the short sleep left no zombie, process 1 is not shown.
    assert_eq!(text, "4\n");
}

#[test]
fn standard_input_is_a_pipe_when_asked_for() {
    let house = House::build();
    let mut spec = house.spec("read line; echo \"got $line\"; cat; echo end >&2");
    spec.terminal = Terminal::Pipes;
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let mut streams = dyno.streams();
    let (mut err, mut out) = (streams.pop().unwrap(), streams.pop().unwrap());
    let mut input = streams.pop().unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    drop(input);
    let (mut text, mut errors) = (String::new(), String::new());
    out.read_to_string(&mut text).unwrap();
    err.read_to_string(&mut errors).unwrap();
    assert_eq!((text.as_str(), errors.as_str()), ("got one\ntwo\n", "end\n"));
    assert_eq!(dyno.expect_exit(), (0, false));
    dyno.forget();
}

#[test]
fn standard_input_is_handed_out_once() {
    let house = House::build();
    let mut spec = house.spec("cat; echo end");
    spec.terminal = Terminal::Pipes;
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let first = dyno.streams();
    dyno.reconnect();
    let mut second = dyno.streams();
    assert_eq!(second.len(), 3);
    assert_eq!(second[0].write(b"lost").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    // The first server goes: that is the end of the input.
    drop(first);
    let mut text = String::new();
    second[1].read_to_string(&mut text).unwrap();
    assert_eq!(text, "end\n");
    dyno.expect_exit();
    dyno.forget();
}

#[test]
fn a_terminal_has_the_asked_size_and_ctrl_c_interrupts() {
    let house = House::build();
    let mut spec = house
        .spec("stty size; tty; trap 'echo interrupted; exit 7' INT; echo ready; sleep 1000 & wait");
    spec.terminal = Terminal::Pty { columns: 123, rows: 45 };
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let mut master = dyno.streams().pop().unwrap();
    let mut lines = BufReader::new(master.try_clone().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert_eq!(line(), "45 123");
    assert_eq!(line(), "/dev/pts/0");
    assert_eq!(line(), "ready");
    master.write_all(b"\x03").unwrap();
    assert_eq!(line(), "^Cinterrupted");
    assert_eq!(dyno.expect_exit(), (7, false));
    dyno.forget();
}

#[test]
fn a_terminal_can_be_resized_through_its_master() {
    let house = House::build();
    let mut spec =
        house.spec("trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done");
    spec.terminal = Terminal::Pty { columns: 80, rows: 24 };
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let master = dyno.streams().pop().unwrap();
    let mut lines = BufReader::new(master.try_clone().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let size = nix::pty::Winsize { ws_row: 50, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
    crate::house::resize(master.as_fd(), &size);
    assert_eq!(lines.next().unwrap().unwrap(), "50 200");
    dyno.expect_exit();
    dyno.forget();
}

#[test]
fn an_interactive_shell_has_job_control() {
    let house = House::build();
    let mut spec = house.spec("");
    spec.argv = vec!["/bin/bash".into(), "--norc".into(), "-i".into()];
    spec.env.push(("PS1".into(), "> ".into()));
    spec.terminal = Terminal::Pty { columns: 80, rows: 24 };
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let mut master = dyno.streams().pop().unwrap();
    master.write_all(b"sleep 500\r").unwrap();
    let mut seen = String::new();
    read_until(&mut master, &mut seen, "sleep 500");
    std::thread::sleep(Duration::from_millis(200));
    master.write_all(b"\x03echo status $?\r").unwrap();
    read_until(&mut master, &mut seen, "status 130");
    master.write_all(b"exit 5\r").unwrap();
    assert_eq!(dyno.expect_exit(), (5, false));
    assert!(!seen.contains("no job control"), "{seen}");
    dyno.forget();
}

#[test]
fn standard_streams_can_be_opened_by_name() {
    let house = House::build();
    let text = house.shell("echo out > /dev/stdout; echo err > /dev/stderr; cat < /dev/null; cat");
    assert_eq!(text, "out\nerr\n");
}

#[test]
fn languages_and_tools_run() {
    let house = House::build();
    let mut spec = house.spec(
        "set -e
         node -e 'console.log(require(\"os\").availableParallelism() > 0)'
         node -e 'new Worker(\"\", {eval: true})' 2>/dev/null || \
             node -e 'new (require(\"worker_threads\").Worker)(\"console.log(1)\", {eval: true})'
         npm --version > /dev/null && echo npm
         /usr/bin/python3 -c 'import ssl, sqlite3, multiprocessing as m, subprocess as s; print(m.Pool(2).map(abs, [-2, 3]))'
         echo 'int main(){return 0;}' > a.c && gcc -pthread a.c -o a && ./a && echo gcc
         git init -q repo && cd repo && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git log --oneline | wc -l
         curl --version > /dev/null && echo curl
         whoami; id -un; hostname; date +%Z > /dev/null",
    );
    spec.limits.memory_bytes = 512 << 20;
    spec.limits.disk_bytes = 128 << 20;
    let (status, text) = house.output(&spec);
    assert_eq!(status, 0, "{text}");
    let expected = format!("true\n1\nnpm\n[2, 3]\ngcc\n1\ncurl\ndyno\ndyno\n{}\n", spec.hostname);
    assert_eq!(text, expected);
}

#[test]
fn a_start_is_quick() {
    let house = House::build();
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let mut dyno = house.start(&house.spec("sleep 1000"));
        dyno.expect_running();
        best = best.min(began.elapsed());
        dyno.ask(&Request::Kill);
        dyno.expect_exit();
        dyno.forget();
    }
    assert!(best < Duration::from_millis(500), "{best:?}");
}

fn wait_for_line(stream: &mut std::fs::File, wanted: &str) {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, wanted);
}

fn read_until(stream: &mut std::fs::File, seen: &mut String, wanted: &str) {
    let mut buffer = [0; 4096];
    while !seen.contains(wanted) {
        let length = stream.read(&mut buffer).unwrap();
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}
