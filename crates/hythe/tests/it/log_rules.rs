//! Log alerts, told to an HTTP receiver and to a mail server that are not ours.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use testkit::{Person, Server, wait};

use crate::binary;
use crate::small_app::{self, PATIENCE};

/// A request that came in.
struct Hook {
    signature: String,
    body: String,
}

/// Takes POSTs for as long as the test runs.
fn receiver() -> (u16, Receiver<Hook>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (sender, hooks) = sync_channel(16);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Some(hook) = take(stream)
                && sender.send(hook).is_err()
            {
                return;
            }
        }
    });
    (port, hooks)
}

fn take(stream: TcpStream) -> Option<Hook> {
    let mut reader = BufReader::new(stream);
    let (mut signature, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "heroku-webhook-hmac-sha256" => signature = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    reader.into_inner().write_all(answer).ok()?;
    Some(Hook { signature, body: String::from_utf8(body).ok()? })
}

/// Debian's aiosmtpd, which writes what it gets to a file.
struct MailServer {
    child: Child,
    port: u16,
}

impl MailServer {
    fn start(output: &Path) -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let child = Command::new("/usr/bin/python3")
            .args(["-u", "-m", "aiosmtpd", "-n", "-l"])
            .arg(format!("127.0.0.1:{port}"))
            .args(["-c", "aiosmtpd.handlers.Debugging", "stdout"])
            .stdin(Stdio::null())
            .stdout(File::create(output).expect("a file"))
            .stderr(Stdio::null())
            .spawn()
            .expect("aiosmtpd (Debian: python3-aiosmtpd)");
        wait::until("the mail server", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string())
        });
        Self { child, port }
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
    }
}

const WEB: &str = "\
const http = require('http');
http.createServer((request, response) => {
  console.log(`visit ${request.url}`);
  response.end('hello');
}).listen(process.env.PORT);
";

#[track_caller]
fn hythe(person: &Person, args: &[&str]) -> String {
    let output = person.run(person.home(), "hythe", args);
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    let all = String::from_utf8_lossy(&all).into_owned();
    assert!(output.status.success(), "{args:?}: {all}");
    all
}

fn visit(server: &Server, path: &str) {
    testkit::http::get(server.address(), "demo.localhost", path).expect("an answer");
}

/// A server that sends its mail to `port` and whose webhooks may go inside, with `demo` on it.
fn deployed(port: u16) -> (Server, Person) {
    let settings = format!(
        "[mail]\nhost = '127.0.0.1'\nport = {port}\nsecurity = 'none'\n\
         [drains]\nnetworks = ['127.0.0.0/8']\n"
    );
    let server = Server::start_with(binary(), &settings);
    let person = server.person();
    small_app::deployed(&server, &person, WEB, "web: node server.js\n");
    small_app::answer(&server);
    (server, person)
}

#[test]
fn matches_are_told_by_webhook_and_by_mail() {
    let directory = tempfile::tempdir().expect("writable");
    let mailbox = directory.path().join("mails");
    let mail = MailServer::start(&mailbox);
    let (server, person) = deployed(mail.port);

    let (port, hooks) = receiver();
    let url = format!("http://127.0.0.1:{port}/hook");
    let added = hythe(
        &person,
        &[
            "logs:alerts:add",
            "alarm*",
            "--url",
            &url,
            "--name",
            "one",
            "--dyno",
            "web",
            "-a",
            "demo",
        ],
    );
    let secret = added.split("only this once: ").nth(1).and_then(|rest| rest.lines().next());
    let secret = secret.expect(&added).to_owned();
    hythe(
        &person,
        &["logs:alerts:add", "--regex", "/mail[0-9]$", "--email", "ada@example.com", "-a", "demo"],
    );
    let list = hythe(&person, &["logs:alerts", "-a", "demo"]);
    assert!(
        list.contains("one") && list.contains("/mail[0-9]$/") && !list.contains(&secret),
        "{list}"
    );

    // At work as soon as it can be tested.
    wait::until("the rule at work", PATIENCE, || {
        let test = person.run(person.home(), "hythe", &["logs:alerts:test", "one", "-a", "demo"]);
        if test.status.success() { Ok(()) } else { Err(format!("{test:?}")) }
    });
    let test = hooks.recv_timeout(PATIENCE).expect("a test message");
    assert!(test.body.contains("log.test"), "{}", test.body);

    visit(&server, "/nothing");
    visit(&server, "/alarm-5");
    visit(&server, "/mail7");
    let hook = hooks.recv_timeout(PATIENCE).expect("a message");
    let told: serde_json::Value = serde_json::from_str(&hook.body).expect("JSON");
    assert_eq!(told["app"]["name"], "demo");
    assert_eq!(told["rule"]["name"], "one");
    assert_eq!(told["lines"][0]["message"], "visit /alarm-5");
    assert_eq!(hook.signature, signed(&secret, &hook.body));

    let text = wait::until("a mail", PATIENCE, || {
        let text = fs::read_to_string(&mailbox).unwrap_or_default();
        if text.contains("visit /mail7") { Ok(text) } else { Err(text) }
    });
    assert!(
        text.contains("To: ada@example.com") && text.contains("Subject: [demo] alert-1: "),
        "{text}"
    );
    wait::until("the state of the alerts", PATIENCE, || {
        let list = hythe(&person, &["logs:alerts", "-a", "demo"]);
        if list.matches("last told").count() == 2 { Ok(()) } else { Err(list) }
    });
    hythe(&person, &["logs:alerts:remove", "one", "-a", "demo"]);
    hythe(&person, &["logs:alerts:remove", "alert-1", "-a", "demo"]);
    assert!(hythe(&person, &["logs:alerts", "-a", "demo"]).contains("no log alerts"));
}

/// By a program that is not ours.
fn signed(secret: &str, body: &str) -> String {
    let program = "import base64, hashlib, hmac, sys\n\
                   mac = hmac.new(sys.argv[1].encode(), sys.argv[2].encode(), hashlib.sha256)\n\
                   print(base64.b64encode(mac.digest()).decode())";
    let output = Command::new("/usr/bin/python3").args(["-c", program, secret, body]).output();
    String::from_utf8(output.expect("python3").stdout).expect("text").trim().to_owned()
}
