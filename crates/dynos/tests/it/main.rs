//! The dyno manager on a real machine: as root, with crun.

mod app;
mod machine;

use std::time::Duration;

use model::dyno::{DynoKind, Terminal};
use model::routes::WebState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use app::{PATIENCE, SECRET};
use machine::Machine;

#[tokio::test]
async fn a_web_app_answers_at_the_address_that_the_router_is_given() {
    let machine = Machine::build(&[
        ("index.html", "hello from the slug\n"),
        (".profile.d/a.sh", "export GREETING=\"profile of $DYNO\""),
        (".profile", "echo \"$GREETING\" > /app/greeting"),
    ])
    .await;
    let command = "python3 -m http.server $PORT";
    machine.scale(&[("web", 1, command)]).await;
    machine.deploy(&[]).await;
    machine.settled().await;
    let view = machine.dynos().views().borrow()[&machine.id].clone();
    assert_eq!(view.state, WebState::Up);
    let address = view.backends[0].address;
    let page = get(address, "/index.html").await;
    assert!(page.starts_with("HTTP/1.0 200") && page.ends_with("hello from the slug\n"), "{page}");
    let written = get(address, "/greeting").await;
    assert!(written.ends_with("profile of web.1\n"), "{written}");
    machine.tear_down().await;
}

#[tokio::test]
async fn config_vars_arrive_byte_for_byte() {
    let machine = Machine::build(&[]).await;
    let value = "x $HOME \"q\" 'é'\n`id`; \\ \t*";
    machine.deploy(&[("A", value), ("PORT", "1")]).await;
    let command = "printf %s \"$A\" | base64 -w0; echo; printf '%s %s %s\\n' \"$HOME\" \"$PWD\" \
                   \"$DYNO\"";
    let once = machine.one_off(DynoKind::Run, command, Terminal::Detached).await;
    assert_eq!(machine.dynos().wait_exit(once).await.expect("an exit").status, 0);
    let lines = machine.said("app[run.4821]").await;
    assert_eq!(lines[0], "eCAkSE9NRSAicSIgJ8OpJwpgaWRgOyBcIAkq");
    assert_eq!(lines[1], "/app /app run.4821");
    machine.tear_down().await;
}

#[tokio::test]
async fn a_terminal_is_attached_and_its_exit_status_told() {
    let machine = Machine::build(&[("code.txt", "the code\n")]).await;
    machine.deploy(&[]).await;
    let command = "bash ; echo \"\u{FFFF} heroku-command-exit-status: $?\"";
    let terminal = Terminal::Pty { columns: 101, rows: 33 };
    let once = machine.one_off(DynoKind::Run, command, terminal).await;
    let mut client = machine.attach().await;
    client.write_all(b"stty size; cat code.txt; exit 3\n").await.expect("typed");
    let text = read_all(&mut client).await;
    assert!(text.contains("33 101\r\n"), "{text}");
    assert!(text.contains("the code\r\n"), "{text}");
    assert!(text.ends_with("\u{FFFF} heroku-command-exit-status: 3\r\n"), "{text}");
    machine.dynos().wait_exit(once).await.expect("an exit");
    machine.tear_down().await;
}

#[tokio::test]
async fn an_interrupt_key_reaches_the_program() {
    let machine = Machine::build(&[]).await;
    machine.deploy(&[]).await;
    let command = "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.05; done";
    let terminal = Terminal::Pty { columns: 80, rows: 24 };
    let once = machine.one_off(DynoKind::Run, command, terminal).await;
    let mut client = machine.attach().await;
    let mut seen = String::new();
    while !seen.contains("ready") {
        let mut buffer = [0; 1024];
        let length = client.read(&mut buffer).await.expect("output");
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    client.write_all(&[0x03]).await.expect("typed");
    let text = read_all(&mut client).await;
    assert!(text.contains("interrupted"), "{text}");
    assert_eq!(machine.dynos().wait_exit(once).await.expect("an exit").status, 5);
    machine.tear_down().await;
}

#[tokio::test]
async fn ten_megabytes_pass_through_pipes_intact() {
    let machine = Machine::build(&[]).await;
    machine.deploy(&[]).await;
    machine.one_off(DynoKind::Run, "cat", Terminal::Pipes).await;
    let client = machine.attach().await;
    let (mut reader, mut writer) = client.into_split();
    // Every byte value, 0x04 included, but not as the last of all.
    let sent: Vec<u8> =
        (0..10_000_000u32).map(|n| n.wrapping_mul(0x9E37_79B9).to_be_bytes()[0]).collect();
    let expected = sent.clone();
    let typing = tokio::spawn(async move {
        writer.write_all(&sent).await.expect("sent");
        writer.write_all(&[0x04]).await.expect("ended");
        writer
    });
    let mut received = Vec::new();
    let all = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut received));
    all.await.expect("in time").expect("received");
    drop(typing.await.expect("typed"));
    assert_eq!(received.len(), expected.len());
    assert!(received == expected);
    machine.tear_down().await;
}

#[tokio::test]
async fn a_shell_that_exits_early_has_its_status_told() {
    let machine = Machine::build(&[]).await;
    machine.deploy(&[]).await;
    let command = "exit 7 ; echo \"\u{FFFF} heroku-command-exit-status: $?\"";
    machine.one_off(DynoKind::Run, command, Terminal::Pipes).await;
    let mut client = machine.attach().await;
    assert_eq!(read_all(&mut client).await, "\u{FFFF} heroku-command-exit-status: 7\n");
    machine.tear_down().await;
}

#[tokio::test]
async fn no_line_is_lost_while_the_server_is_replaced() {
    let mut machine = Machine::build(&[]).await;
    let count =
        "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.005; done; sleep 60";
    machine.scale(&[("worker", 1, count)]).await;
    machine.deploy(&[]).await;
    machine.settled().await;
    let dyno = machine.rows().await.remove(0);
    for _server in 0..3 {
        machine.stop_server().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        machine.new_server().await;
    }
    machine
        .wait("the last line", async || {
            machine.said("app[worker.1]").await.last().is_some_and(|line| line == "line 399")
        })
        .await;
    let wanted: Vec<String> = (0..400).map(|number| format!("line {number}")).collect();
    assert_eq!(machine.said("app[worker.1]").await, wanted);
    assert_eq!(machine.rows().await.remove(0).id, dyno.id, "the same life");
    machine.tear_down().await;
}

#[tokio::test]
async fn an_exit_while_no_server_runs_is_known_to_the_next() {
    let mut machine = Machine::build(&[]).await;
    machine.deploy(&[]).await;
    let once =
        machine.one_off(DynoKind::Run, "sleep 1; echo done; exit 9", Terminal::Detached).await;
    machine.wait("it to run", async || machine.ps().await == ["run.4821 up v1"]).await;
    machine.stop_server().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    machine.new_server().await;
    assert_eq!(machine.dynos().wait_exit(once).await.expect("an exit").status, 9);
    assert_eq!(machine.said("app[run.4821]").await, ["done"]);
    machine.tear_down().await;
}

#[tokio::test]
async fn a_dyno_whose_shim_is_killed_is_replaced_and_leaves_nothing() {
    let machine = Machine::build(&[]).await;
    machine.scale(&[("worker", 1, "sleep 1000")]).await;
    machine.deploy(&[]).await;
    machine.settled().await;
    let first = machine.rows().await.remove(0).id;
    let shim = nix::unistd::Pid::from_raw(machine.shim(first));
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).expect("killed");
    machine
        .wait("another life", async || {
            let rows = machine.rows().await;
            rows.iter().any(|row| row.id != first && row.up_at.is_some())
        })
        .await;
    machine.wait("one directory", async || machine.left().len() == 1).await;
    machine.tear_down().await;
}

#[tokio::test]
async fn a_dyno_without_memory_is_named() {
    let machine = Machine::build(&[]).await;
    machine.deploy(&[]).await;
    let hog = "python3 -c 'x = bytearray(1500 * 1024 * 1024)'";
    let once = machine.one_off(DynoKind::Run, hog, Terminal::Detached).await;
    let exit = machine.dynos().wait_exit(once).await.expect("an exit");
    assert!(exit.out_of_memory && exit.status == 137, "{exit:?}");
    let said = machine.said("heroku[run.4821]").await;
    assert_eq!(
        said[2..5],
        [
            "Process running mem=1088M(212.5%)",
            "Error R15 (Memory quota vastly exceeded)",
            "Stopping process with SIGKILL",
        ]
    );
    machine.tear_down().await;
}

#[tokio::test]
async fn sigterm_reaches_the_program_and_its_last_words_are_heard() {
    let machine = Machine::build(&[]).await;
    let polite = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    machine.scale(&[("worker", 1, polite)]).await;
    machine.deploy(&[]).await;
    machine.wait("it to be ready", async || machine.said("app[worker.1]").await == ["ready"]).await;
    machine.scale(&[("worker", 0, polite)]).await;
    machine.settled().await;
    let lines = machine.said("app[worker.1]").await;
    // bash may tell of its sleep's end, before or after.
    assert!(lines.iter().any(|line| line == "bye"), "{lines:?}");
    let said = machine.said("heroku[worker.1]").await;
    assert_eq!(said[2..4], ["Stopping all processes with SIGTERM", "Process exited with status 0"]);
    machine.tear_down().await;
}

impl Machine {
    /// A client of `heroku run`, greeted.
    async fn attach(&self) -> UnixStream {
        let (mut client, server) = UnixStream::pair().expect("a pair");
        self.dynos().attach(SECRET, server).await;
        let mut greeting = [0; 64];
        let length = client.read(&mut greeting).await.expect("a greeting");
        assert_eq!(&greeting[..length], b"rendezvous\r\n");
        client
    }
}

async fn read_all(client: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let all = tokio::time::timeout(PATIENCE, client.read_to_end(&mut bytes));
    all.await.expect("in time").expect("output");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}
