//! Receivers that are not ours: rsyslog and syslog-ng from Debian, heroku-syslog-parser and the
//! collector rotel from PyPI. `script/test` puts those that cannot be installed side by side into
//! [`TOOLS`].

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use model::drain::Form;
use model::log::Source;
use tempfile::TempDir;

use super::bed::{Bed, config, until};
use super::receiver::{Http, HttpReceiver};

const TOOLS: &str = "/var/tmp/hythe-test-receivers";

/// What a dyno may write, and what is kept of it where that is something else.
fn awkward() -> Vec<(String, String)> {
    let same = [
        "plain words",
        "héllo wörld ☃ 日本語",
        "[meta] in brackets",
        "[a=\"b\"] like structured data",
        "- a dash first",
        "123 digits first",
        "  spaces around  ",
        "a\ttab",
        "a\rreturn inside",
        "\u{1b}[31mred\u{1b}[0m",
        "",
        "<190>1 2026-01-01T00:00:00Z h a p - nested",
        "back\\slash and \"quotes\"",
        "{\"json\": [1, 2, {\"a\": null}]}",
        "\u{feff}mark first",
    ];
    let mut all: Vec<_> = same.map(|text| (text.to_owned(), text.to_owned())).to_vec();
    all.push(("a\0null".to_owned(), "a\u{2400}null".to_owned()));
    all.push(("a return last\r".to_owned(), "a return last".to_owned()));
    let long = "x".repeat(10_000);
    all.push((long.clone(), long));
    all
}

fn say_awkward(bed: &Bed) {
    for (text, _) in awkward() {
        bed.sink.say(bed.app, Source::App, "web.1", text);
    }
    bed.sink.say(bed.app, Source::App, "web.1", "the end");
}

/// A program that is stopped with the test.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        let started = command.stdin(Stdio::null()).spawn();
        Self(started.unwrap_or_else(|error| panic!("{command:?}: {error}; run script/test once")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _gone_already = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Drains to a receiver that writes `host TAB app TAB process TAB text` lines; answers those.
async fn received(port: u16, output: &Path) -> (String, Vec<String>) {
    let bed = Bed::start(config()).await;
    let drain = bed.add(&format!("syslog://127.0.0.1:{port}")).await;
    say_awkward(&bed);
    let text = || String::from_utf8_lossy(&fs::read(output).unwrap_or_default()).into_owned();
    until("all has arrived", || text().contains("the end\n")).await;
    bed.stop().await;
    let lines = text().split('\n').map(str::to_owned).collect();
    (model::drain::token(drain), lines)
}

fn config_file(directory: &TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("config");
    fs::write(&path, text).expect("written");
    path
}

/// Which of the awkward messages did not arrive as they should.
fn altered(token: &str, lines: &[String]) -> Vec<String> {
    let is_there = |text: &str| lines.contains(&format!("{token}\tapp\tweb.1\t{text}"));
    awkward().into_iter().map(|(_, text)| text).filter(|text| !is_there(text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_takes_every_message() {
    let directory = tempfile::tempdir().expect("a directory");
    let (port_file, output) = (directory.path().join("port"), directory.path().join("out"));
    // Its default replaces control characters.
    let text = format!(
        r#"global(workDirectory="{dir}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off")
module(load="imtcp")
template(name="parts" type="string" string="%hostname%\t%app-name%\t%procid%\t%msg%\n")
ruleset(name="keep") {{ action(type="omfile" file="{out}" template="parts") }}
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="{port}" ruleset="keep")
"#,
        dir = directory.path().display(),
        out = output.display(),
        port = port_file.display()
    );
    let pid = directory.path().join("pid");
    let _rsyslog = Program::start(
        Command::new("/usr/sbin/rsyslogd")
            .arg("-n")
            .arg("-f")
            .arg(config_file(&directory, &text))
            .arg("-i")
            .arg(pid),
    );
    let port = || fs::read_to_string(&port_file).ok().and_then(|text| text.trim().parse().ok());
    until("rsyslog listens", || port().is_some()).await;
    let (token, lines) = received(port().expect("a port"), &output).await;
    // rsyslog takes the byte order mark off, as RFC 5424 allows.
    let altered = altered(&token, &lines);
    assert!(altered.iter().all(|text| text.starts_with('\u{feff}')), "{altered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_ng_takes_every_message() {
    let directory = tempfile::tempdir().expect("a directory");
    let (port, output) = (free_port(), directory.path().join("out"));
    let text = format!(
        r#"@version: 3.38
options {{ keep-hostname(yes); log-msg-size(65536); }};
source in {{ syslog(ip("127.0.0.1") port({port}) transport("tcp")); }};
destination out {{ file("{out}" template("${{HOST}}\t${{PROGRAM}}\t${{PID}}\t${{MESSAGE}}\n")); }};
log {{ source(in); destination(out); }};
"#,
        out = output.display()
    );
    let root = Path::new(TOOLS).join("syslog-ng/usr");
    let file = |name: &str| directory.path().join(name);
    let _syslog_ng = Program::start(
        Command::new(root.join("sbin/syslog-ng"))
            .env("LD_LIBRARY_PATH", root.join("lib/syslog-ng"))
            .args(["--foreground", "--no-caps", "--module-path"])
            .arg(root.join("lib/syslog-ng/3.38"))
            .arg("--cfgfile")
            .arg(config_file(&directory, &text))
            .arg("--persist-file")
            .arg(file("persist"))
            .arg("--pidfile")
            .arg(file("pid"))
            .arg("--control")
            .arg(file("control")),
    );
    let (token, lines) = received(port, &output).await;
    let altered = altered(&token, &lines);
    assert!(altered.iter().all(|text| text.starts_with('\u{feff}')), "{altered:?}");
}

/// Reads frames' messages from a file, one JSON text a line, and prints process and text likewise.
const PARSE: &str = r#"
import json, sys
from heroku_syslog_parser import HerokuLogParser
for line in open(sys.argv[1]):
    parsed = HerokuLogParser.parse(json.loads(line))
    print(json.dumps([str(parsed["procname"]), str(parsed["msg"])]))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn herokus_parser_reads_http_frames() {
    let receiver = HttpReceiver::start(Http::Good).await;
    let bed = Bed::start(config()).await;
    bed.add(&receiver.url()).await;
    say_awkward(&bed);
    let got = || receiver.got.lock().expect("lock").has("the end");
    until("all has arrived", got).await;
    bed.stop().await;
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join("messages");
    let messages = receiver.got.lock().expect("lock").unique.clone();
    let json = |message: &Vec<u8>| {
        let text = String::from_utf8(message.clone()).expect("UTF-8");
        // The parser knows ASCII, and no empty text; neither is ours to change.
        (text.is_ascii() && !text.ends_with("web.1 - \n")).then(|| format!("{text:?}\n"))
    };
    let lines: String = messages.iter().filter_map(json).collect();
    fs::write(&input, lines.replace("\\u{1b}", "\\u001b")).expect("written");
    let python = Path::new(TOOLS).join("py/bin/python");
    let parsed = Command::new(python).arg("-c").arg(PARSE).arg(&input).output();
    let parsed = parsed.expect("python of script/test");
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    let parsed = String::from_utf8(parsed.stdout).expect("UTF-8");
    let is_there = |text: &str| {
        let quoted = format!("{:?}", text.trim()).replace("\\u{1b}", "\\u001b");
        let inner = quoted.trim_matches('"');
        parsed.lines().any(|line| line.starts_with("[\"web.1\"") && line.contains(inner))
    };
    let missing: Vec<_> = awkward()
        .into_iter()
        .map(|(_, text)| text)
        // The parser's library makes spaces of tabs.
        .filter(|text| text.is_ascii() && !text.is_empty() && !text.contains('\t'))
        .filter(|text| !is_there(text))
        .collect();
    assert!(missing.is_empty(), "{missing:?} of {parsed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_telemetry_collector_takes_every_message() {
    let directory = tempfile::tempdir().expect("a directory");
    let (http, grpc) = (free_port(), free_port());
    let output = directory.path().join("out");
    let agent = fs::read_dir(Path::new(TOOLS).join("py/lib"))
        .expect("the tools of script/test")
        .flatten()
        .map(|python| python.path().join("site-packages/rotel/rotel-agent"))
        .find(|path| path.exists())
        .expect("rotel");
    let log = fs::File::create(&output).expect("a file");
    let _collector = Program::start(
        Command::new(agent)
            .args(["start", "--exporter", "blackhole", "--pid-file"])
            .arg(directory.path().join("pid"))
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--debug-log", "logs", "--debug-log-verbosity", "detailed"])
            .stdout(log.try_clone().expect("a file"))
            .stderr(log),
    );
    let bed = Bed::start(config()).await;
    let form = Form::Otlp(BTreeMap::new());
    let drain = bed.add_form(&format!("http://127.0.0.1:{http}"), form).await;
    say_awkward(&bed);
    let text = || String::from_utf8_lossy(&fs::read(&output).unwrap_or_default()).into_owned();
    until("all has arrived", || text().contains("the end")).await;
    until("all is counted", || bed.status(drain).delivered >= awkward().len() as u64).await;
    assert_eq!(bed.status(drain).lost, 0);
    let text = text();
    for word in ["service.name", "demo", "heroku.app.id", "héllo wörld ☃ 日本語", "- a dash first"]
    {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    bed.stop().await;
}
