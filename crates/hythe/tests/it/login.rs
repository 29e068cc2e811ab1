//! Logging in with e-mail and password, and out again.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use testkit::http::ask;
use testkit::{Person, Server};

use crate::pty::Terminal;
use crate::server;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse \"battery\" é";

#[test]
fn somebody_logs_in_with_a_password_works_and_logs_out() {
    let server = server();
    let person = server.person();
    set_password(&server);

    let (status, text) = log_in(&person, "wrong");
    assert_ne!(status, Some(0), "{text}");
    assert!(text.contains("Invalid credentials provided."), "{text}");

    let (status, text) = log_in(&person, PASSWORD);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("Logged in as ada@example.com"), "{text}");
    assert!(!text.contains("battery"), "the password was shown: {text}");
    assert_eq!(said(&logged_in(&person, &["auth:whoami"])).trim(), EMAIL);

    let token = said(&logged_in(&person, &["auth:token"])).trim().to_owned();
    assert_ne!(token, server.token(), "a login is a token of its own");
    assert_eq!(account_status(&server, &token), 200);
    assert!(said(&logged_in(&person, &["create", "demo"])).contains("/demo.git"));
    let remote = format!("https://localhost:{}/demo.git", server.address().port());
    let mut git = person.command(person.home(), "git");
    git.args(["ls-remote", remote.as_str()]).env_remove("HEROKU_API_KEY");
    let listed = git.output().expect("git runs");
    assert!(listed.status.success(), "the stored login does not work for git: {listed:?}");

    let out = logged_in(&person, &["auth:logout"]);
    assert!(out.status.success(), "{out:?}");
    assert_eq!(account_status(&server, &token), 401, "the token outlived the logout");
    let nobody = logged_in(&person, &["auth:whoami"]);
    assert_eq!(nobody.status.code(), Some(100), "{nobody:?}");
    assert_eq!(account_status(&server, server.token()), 200, "another login's token is gone");
}

fn set_password(server: &Server) {
    let mut child = Command::new(server.binary())
        .args(["admin", "accounts:password", EMAIL, "--data-dir"])
        .arg(server.data_dir())
        .stdin(Stdio::piped())
        .spawn()
        .expect("the admin command");
    let mut input = child.stdin.take().expect("piped");
    writeln!(input, "{PASSWORD}").expect("written");
    drop(input);
    assert!(child.wait().expect("ended").success());
}

/// The official CLI as one uses it after `heroku login`: with no token in the environment.
fn cli(person: &Person, args: &[&str]) -> Command {
    let mut command = person.command(person.home(), "heroku");
    command.args(args).env_remove("HEROKU_API_KEY");
    command
}

fn logged_in(person: &Person, args: &[&str]) -> Output {
    cli(person, args).stdin(Stdio::null()).output().expect("the CLI runs")
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn log_in(person: &Person, password: &str) -> (Option<i32>, String) {
    let mut command = cli(person, &["login", "-i"]);
    command.env("TERM", "xterm");
    let mut terminal = Terminal::start(command, 24, 80);
    terminal.expect("Email");
    terminal.press(&format!("{EMAIL}\r"));
    terminal.expect("Password");
    terminal.press(&format!("{password}\r"));
    terminal.end()
}

fn account_status(server: &Server, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let headers =
        [("Accept", "application/vnd.heroku+json; version=3"), ("Authorization", bearer.as_str())];
    let answer = ask(server.address(), "GET", "localhost", "/account", &headers, b"");
    answer.expect("an answer").status
}
