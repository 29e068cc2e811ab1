//! Clients of one-offs that are gone without a word.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Person, Server, wait};

use crate::small_app::{self, PATIENCE};
use crate::{pty::Terminal, server};

/// It says that it runs, reads nothing, and does not mind when its client goes.
const DEAF: &str = "trap '' HUP; echo began$((1)); while :; do sleep 1; done";

/// The pipe of a program holds 1 MiB, and what is behind that waits with the server. What no buffer on
/// the way took would stay with the client, whose end would then be told to nobody.
const INPUT: usize = 1_150_000;

const HANGUP: &str = "Client connection closed. Sending SIGHUP to all processes";

fn deployed() -> (Server, Person) {
    let server = server();
    let person = server.person();
    let dir = small_app::created(&person, "web: node server.js\n");
    let _transcript = small_app::push(&server, &person, &dir);
    let login = person.run(person.home(), "hythe", &["login"]);
    assert!(login.status.success(), "{login:?}");
    (server, person)
}

/// What the platform says about one-offs, oldest first.
fn said(person: &Person) -> Vec<String> {
    let lines = person.heroku(&["logs", "-a", "demo", "--num", "1500"]);
    let text = |line: &str| {
        let (who, text) = line.split_once("]: ")?;
        who.contains("heroku[run.").then(|| text.to_owned())
    };
    lines.lines().filter_map(text).collect()
}

#[track_caller]
fn wait_for_line(person: &Person, wanted: &str, limit: Duration) {
    wait::until(wanted, limit, || {
        let lines = said(person);
        if lines.iter().any(|line| line.starts_with(wanted)) {
            Ok(())
        } else {
            Err(lines.join("\n"))
        }
    });
}

fn gone(person: &Person) {
    wait::until("the end of the one-off", PATIENCE, || {
        let ps = person.heroku(&["ps", "-a", "demo"]);
        if ps.contains("run.") { Err(ps) } else { Ok(()) }
    });
}

/// SIGKILL.
fn slay(child: &mut Child) {
    child.kill().expect("killed");
    child.wait().expect("reaped");
}

#[test]
fn a_killed_client_is_noticed_at_once_although_its_program_reads_nothing_and_ends_as_r16() {
    let (_server, person) = deployed();
    let mut command = person.command(person.home(), "hythe");
    command.args(["run", "--no-tty", "-a", "demo", "--", DEAF]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut input = child.stdin.take().expect("an input");
    // More than what the program's pipe holds: the end of it stands behind what nobody reads.
    input.write_all(&vec![b'x'; INPUT]).expect("written");
    wait_for_line(&person, "State changed from starting to up", PATIENCE);
    // Until nothing moves any more.
    std::thread::sleep(Duration::from_secs(1));

    slay(&mut child);
    let killed = Instant::now();
    wait_for_line(&person, HANGUP, Duration::from_secs(5));
    wait_for_line(&person, "Error R16 (Detached)", Duration::from_secs(30));
    assert!(killed.elapsed() > Duration::from_secs(14), "{:?}", killed.elapsed());
    gone(&person);
    let lines = said(&person);
    let from = lines.iter().position(|line| line == HANGUP).expect("said");
    let end = [
        HANGUP,
        HANGUP,
        HANGUP,
        "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external \
         connection was closed.",
        "Process exited with status 137",
        "State changed from up to complete",
    ];
    assert_eq!(lines[from..], end);
}

#[test]
fn the_official_client_at_a_terminal_that_is_killed_is_noticed_at_once() {
    let (_server, person) = deployed();
    let mut command = person.command(person.home(), "heroku");
    command.args(["run", "-a", "demo", "--", "echo began$((1)); sleep 600"]);
    let mut terminal = Terminal::start(command, 24, 80);
    terminal.expect("began1");
    drop(terminal);
    wait_for_line(&person, HANGUP, Duration::from_secs(5));
    gone(&person);
    assert_eq!(said(&person).iter().filter(|line| *line == HANGUP).count(), 1);
}

#[test]
fn a_client_whose_network_is_cut_is_noticed_within_a_minute() {
    let (server, person) = deployed();
    let mut command = person.command(person.home(), "hythe");
    command.args(["run", "--no-tty", "-a", "demo", "--", "echo began; exec sleep 600"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    wait_for_line(&person, "State changed from starting to up", PATIENCE);
    let cut = Cut::between(child.id(), server.address().port());
    let began = Instant::now();
    wait_for_line(&person, HANGUP, Duration::from_secs(60));
    assert!(began.elapsed() > Duration::from_secs(5), "it was noticed by other means");
    gone(&person);
    drop(cut);
    slay(&mut child);
}

/// A network that lets nothing through any more between a client and the server.
struct Cut(String);

impl Cut {
    /// Cuts every connection of this process to this port.
    fn between(pid: u32, port: u16) -> Self {
        let table = format!("hythe-test-cut-{}", std::process::id());
        let rules: String = local_ports(pid, port)
            .into_iter()
            .map(|local| {
                format!(
                    "tcp sport {local} tcp dport {port} drop\ntcp sport {port} tcp dport {local} drop\n"
                )
            })
            .collect();
        assert!(!rules.is_empty(), "the client has no connection");
        let script = format!(
            "table inet {table} {{\nchain cut {{\ntype filter hook input priority 0\n{rules}}}\n}}\n"
        );
        nft(&script);
        Self(table)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        nft(&format!("delete table inet {}", self.0));
    }
}

fn nft(script: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
    nft.stdin.take().expect("an input").write_all(script.as_bytes()).expect("written");
    assert!(nft.wait().expect("nft ends").success(), "{script}");
}

/// The client's ends of a process's connections to a port of this machine.
fn local_ports(pid: u32, port: u16) -> Vec<u16> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten();
    let sockets: Vec<String> = links
        .filter_map(|link| fs::read_link(link.path()).ok())
        .filter_map(|target| {
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let number = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("connections");
    let connection = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ours = sockets.iter().any(|inode| fields.get(9) == Some(&inode.as_str()));
        (ours && number(fields[2]) == Some(port)).then(|| number(fields[1]))?
    };
    table.lines().skip(1).filter_map(connection).collect()
}
