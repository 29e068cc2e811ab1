//! Programs beside a dyno's own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};

use sandbox::protocol::{Event, Exec, Request, Terminal};

use crate::house::{Dyno, House};

fn exec(number: u32, command: &str, terminal: Terminal) -> Exec {
    let env = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/app"), ("SECRET", "s3cret")];
    Exec {
        number,
        argv: ["/bin/bash", "-c", command].map(str::to_owned).into(),
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        cwd: "/app".into(),
        terminal,
    }
}

/// Starts one and takes its streams.
fn begin(dyno: &mut Dyno, exec: Exec) -> Vec<File> {
    let wanted = exec.number;
    dyno.ask(&Request::Exec(exec));
    match dyno.next() {
        Event::ExecBegun { number } if number == wanted => {}
        other => panic!("it did not begin: {other:?}"),
    }
    dyno.server().take_fds()
}

fn running(house: &House) -> Dyno {
    let mut dyno = house.start(&house.spec("echo own > /app/file; sleep 1000"));
    dyno.expect_running();
    dyno
}

fn read(mut stream: &File) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn end(mut dyno: Dyno) {
    dyno.ask(&Request::Kill);
    assert_eq!(dyno.expect_exit().0, 137);
    dyno.forget();
}

#[test]
fn a_program_runs_in_the_dyno_with_its_files_user_and_fences() {
    let house = House::build();
    let mut dyno = running(&house);
    let look = "cat /app/file; id -u; echo $SECRET; ulimit -u; ulimit -n; \
                grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd):' /proc/self/status | tr -d '\\t'; \
                tr '\\0' ' ' < /proc/$(pgrep -o sleep)/cmdline; echo; unshare -n true; exit 7";
    let streams = begin(&mut dyno, exec(1, look, Terminal::Output));
    assert_eq!(streams.len(), 2);
    let text = read(&streams[0]);
    let expected = "own\n1000\ns3cret\n64\n1024\nCapEff:0000000000000000\nCapBnd:0000000000000000\n\
                    NoNewPrivs:1\nSeccomp:2\nsleep 1000 \n";
    // Errors are in the same stream, in order.
    let refused = text.strip_prefix(expected).expect(&text);
    assert!(refused.contains("Operation not permitted"), "{text}");
    assert_eq!(read(&streams[1]), "");
    assert_eq!(dyno.next(), Event::ExecEnded { number: 1, status: 7 });
    let groups = exec(2, "cat /proc/self/cgroup; ls -l /proc/self/ns", Terminal::Output);
    let streams = begin(&mut dyno, groups);
    let seen = read(&streams[0]);
    assert!(!seen.contains("hythe-test"), "{seen}");
    assert_eq!(dyno.next(), Event::ExecEnded { number: 2, status: 0 });
    end(dyno);
}

#[test]
fn standard_input_reaches_it_and_ends() {
    let house = House::build();
    let mut dyno = running(&house);
    let mut streams = begin(&mut dyno, exec(1, "cat; echo over", Terminal::Pipes));
    let mut input = streams.remove(0);
    input.write_all(b"through\n").unwrap();
    drop(input);
    assert_eq!(read(&streams[0]), "through\nover\n");
    assert_eq!(dyno.next(), Event::ExecEnded { number: 1, status: 0 });
    end(dyno);
}

#[test]
fn it_has_a_terminal_and_is_hung_up_on_when_that_closes() {
    let house = House::build();
    let mut dyno = running(&house);
    let terminal = Terminal::Pty { columns: 91, rows: 17 };
    // The runtime sets the size when the program may already run.
    let look = "until stty size | grep '17 91'; do sleep 0.01; done; tty; cat";
    let mut streams = begin(&mut dyno, exec(1, look, terminal));
    let mut screen = streams.remove(0);
    let (mut text, mut chunk) = (String::new(), [0; 256]);
    while !text.contains("/dev/pts/") {
        let length = screen.read(&mut chunk).unwrap();
        text += &String::from_utf8_lossy(&chunk[..length]);
    }
    assert!(text.starts_with("17 91"), "{text}");
    drop(screen);
    assert_eq!(dyno.next(), Event::ExecEnded { number: 1, status: 129 });
    end(dyno);
}

#[test]
fn it_is_signalled_alone_and_goes_with_its_server() {
    let house = House::build();
    let mut dyno = running(&house);
    let streams = begin(&mut dyno, exec(1, "sleep 999 & sleep 999", Terminal::Output));
    dyno.ask(&Request::SignalExec { number: 1, signal: 15 });
    assert_eq!(dyno.next(), Event::ExecEnded { number: 1, status: 143 });
    // The whole process group: nobody holds its output any more.
    assert_eq!(read(&streams[0]), "");
    let stubborn = exec(2, "trap '' HUP; sleep 999", Terminal::Output);
    let streams = begin(&mut dyno, stubborn);
    dyno.reconnect();
    dyno.expect_running();
    assert_eq!(read(&streams[0]), "");
    assert_eq!(dyno.next(), Event::ExecEnded { number: 2, status: 137 });
    end(dyno);
}

#[test]
fn it_ends_with_the_dyno_and_cannot_begin_after_it() {
    let house = House::build();
    let mut dyno = running(&house);
    let streams = begin(&mut dyno, exec(1, "sleep 999", Terminal::Output));
    dyno.ask(&Request::Kill);
    assert_eq!(read(&streams[0]), "");
    // Whichever is seen first.
    let ended = |event| match event {
        Event::ExecEnded { number: 1, status } | Event::Exited { status, .. } => status,
        other => panic!("expected both to end: {other:?}"),
    };
    assert_eq!([ended(dyno.next()), ended(dyno.next())], [137, 137]);
    dyno.ask(&Request::Exec(exec(2, "true", Terminal::Output)));
    assert!(matches!(dyno.next(), Event::ExecFailed { number: 2, .. }));
    dyno.forget();
}

#[test]
fn what_cannot_be_run_is_told_and_so_is_one_too_many() {
    let house = House::build();
    let mut dyno = running(&house);
    let mut absent = exec(1, "", Terminal::Output);
    absent.argv = vec!["/no/such/program".into()];
    dyno.ask(&Request::Exec(absent));
    let Event::ExecFailed { number: 1, reason } = dyno.next() else { panic!("it began") };
    assert!(reason.contains("/no/such/program"), "{reason}");
    let all: Vec<_> = (10..26)
        .map(|number| begin(&mut dyno, exec(number, "sleep 999", Terminal::Output)))
        .collect();
    dyno.ask(&Request::Exec(exec(26, "true", Terminal::Output)));
    assert!(matches!(dyno.next(), Event::ExecFailed { number: 26, .. }));
    drop(all);
    end(dyno);
}

#[test]
fn it_has_no_descriptor_of_the_runtime_and_no_working_directory_outside() {
    let house = House::build();
    let mut spec = house.probe(&[]);
    spec.argv = ["/bin/sleep", "1000"].map(str::to_owned).into();
    let mut dyno = house.start(&spec);
    dyno.expect_running();
    let streams = begin(&mut dyno, exec(1, "exec /tmp/probe descriptors", Terminal::Output));
    assert_eq!(read(&streams[0]), "0\n1\n2\n");
    assert_eq!(dyno.next(), Event::ExecEnded { number: 1, status: 0 });
    for number in 3..=12 {
        let mut outside = exec(number, crate::fences::LOOK_FOR_THE_HOST, Terminal::Output);
        outside.cwd = format!("/proc/self/fd/{number}").into();
        dyno.ask(&Request::Exec(outside));
        match dyno.next() {
            Event::ExecFailed { .. } => {}
            Event::ExecBegun { .. } => {
                assert_eq!(read(&dyno.server().take_fds()[0]), "", "{number}");
                assert!(matches!(dyno.next(), Event::ExecEnded { .. }));
            }
            other => panic!("it did not begin: {other:?}"),
        }
    }
    end(dyno);
}

#[test]
fn the_runtime_cannot_be_overwritten_while_it_comes_in() {
    let house = House::build();
    let programs = [crate::RUNTIME, env!("CARGO_BIN_EXE_shim-for-tests")];
    let before = programs.map(|program| std::fs::read(program).unwrap());
    let mut dyno = house.start(&house.probe(&["programs"]));
    dyno.expect_running();
    let mut lines = BufReader::new(dyno.streams().remove(0)).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "looking");
    for number in 1..=20 {
        let streams = begin(&mut dyno, exec(number, "exec true", Terminal::Output));
        assert_eq!(read(&streams[0]), "");
        assert_eq!(dyno.next(), Event::ExecEnded { number, status: 0 });
    }
    end(dyno);
    let known = ["/tmp/probe false", "/usr/bin/bash false", "/usr/bin/true false"];
    let strange: Vec<String> = lines.filter(|line| !known.contains(&line.as_str())).collect();
    assert!(strange.is_empty(), "{strange:?}");
    let after = programs.map(|program| std::fs::read(program).unwrap());
    assert!(before == after);
}
