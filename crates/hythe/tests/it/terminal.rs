//! `heroku run bash` at a real terminal.

use testkit::wait;

use crate::pty::Terminal;
use crate::server;
use crate::small_app::{self, PATIENCE};

#[test]
fn a_shell_has_the_clients_size_survives_ctrl_c_and_gives_its_exit_status() {
    let server = server();
    let person = server.person();
    let dir = small_app::created(&person, "web: node server.js\n");
    let _transcript = small_app::push(&server, &person, &dir);

    let mut command = person.command(person.home(), "heroku");
    command.args(["run", "--exit-code", "-a", "demo", "--", "bash"]).env("TERM", "xterm");
    let mut terminal = Terminal::start(command, 33, 101);
    terminal.expect("$ ");
    // What is typed is echoed, so what is waited for must differ from it.
    terminal.press("stty size; echo term=$TERM columns=$COLUMNS\r");
    terminal.expect("33 101");
    terminal.expect("term=xterm columns=101");
    terminal.press("ls /app | tr '\\n' +; printf '\\033[31m%s\\033[0m\\n' r\"\"ed\r");
    terminal.expect("Procfile+package.json+server.js+");
    terminal.expect("\u{1b}[31mred\u{1b}[0m");

    // What is to be interrupted says so itself: the shell's own word could come before the program
    // has the terminal.
    terminal.press("sh -c 'echo go$((1)); exec sleep 600'\r");
    terminal.expect("go1");
    terminal.press("\u{3}");
    terminal.press("echo status=$?\r");
    terminal.expect("status=130");

    wait::until("the one-off in the list", PATIENCE, || {
        let ps = person.heroku(&["ps", "-a", "demo"]);
        if ps.contains("run.") { Ok(()) } else { Err(ps) }
    });
    terminal.press("exit 7\r");
    let (status, text) = terminal.end();
    assert_eq!(status, Some(7), "{text}");
    assert!(!text.contains("heroku-command-exit-status"), "{text}");
    wait::until("the end of the one-off", PATIENCE, || {
        let ps = person.heroku(&["ps", "-a", "demo"]);
        if ps.contains("run.") { Err(ps) } else { Ok(()) }
    });
}

#[test]
fn hanging_up_ends_what_runs() {
    let server = server();
    let person = server.person();
    let dir = small_app::created(&person, "web: node server.js\n");
    let _transcript = small_app::push(&server, &person, &dir);

    let mut command = person.command(person.home(), "heroku");
    command.args(["run", "-a", "demo", "--", "echo began$((1)); sleep 600"]);
    let mut terminal = Terminal::start(command, 24, 80);
    terminal.expect("began1");
    drop(terminal);
    wait::until("the end of the one-off", PATIENCE, || {
        let ps = person.heroku(&["ps", "-a", "demo"]);
        if ps.contains("run.") { Err(ps) } else { Ok(()) }
    });
    let lines = person.heroku(&["logs", "-a", "demo", "--ps", "run", "--source", "heroku"]);
    assert!(lines.contains("Client connection closed. Sending SIGHUP to all processes"), "{lines}");
}
