//! HTTP/2 as other people's clients speak it: curl, nghttp and h2load.

use std::process::Command;

use router::{Timeouts, Tls};

use crate::rig::{self, HOST, PATIENCE, Setup, field};
use crate::secure::Secure;

/// A dyno that answers with the body it got, after an early hint if that is wished for.
fn serving() -> Secure {
    let timeouts = Timeouts { connect: PATIENCE, first_byte: PATIENCE, ..rig::timeouts() };
    let setup = Setup { threads: 2, timeouts, ..Setup::default() };
    Secure::serving(Tls::Sniffed, setup, |wire| {
        while let Some((head, body)) = wire.request() {
            if field(&head, "x-wish") == Some("hints") {
                wire.send("HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n");
            }
            let length = body.len();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n"));
            wire.send(format!("X-Seen: {}\r\n\r\n", field(&head, "via").unwrap()));
            if !head.starts_with("HEAD") {
                wire.send(body);
            }
        }
    })
}

/// What a program prints, with its errors.
fn output(program: &str, arguments: &[&str]) -> String {
    let run = Command::new(program)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} (see script/test for its package): {error}"));
    let text = [run.stdout, run.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn curl_gets_heads_and_uploads() {
    let secure = serving();
    let port = secure.rig.addr.port();
    let (url, resolve) = (format!("https://{HOST}:{port}/"), format!("{HOST}:{port}:127.0.0.1"));
    let told = "|%{http_version} %{http_code} %{size_download}|";
    let curl = |more: &[&str]| {
        let usual =
            ["-sSk", "--http2", "--max-time", "20", "--resolve", &resolve, "-w", told, &url];
        output("curl", &[&usual, more].concat())
    };
    assert!(curl(&[]).ends_with("|2 200 0|"));
    assert!(curl(&["-I"]).contains("x-seen: "));
    let hinted = curl(&["-D", "-", "-H", "X-Wish: hints"]);
    assert!(hinted.starts_with("HTTP/2 103 \r\nlink: </s.css>; rel=preload\r\n"), "{hinted}");
    assert!(hinted.contains("HTTP/2 200 \r\n"), "{hinted}");
    let file = std::env::temp_dir().join(format!("hythe-upload-{}", std::process::id()));
    std::fs::write(&file, vec![b'u'; 2_000_000]).unwrap();
    let upload = curl(&["-o", "/dev/null", "-T", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    assert!(upload.ends_with("|2 200 2000000|"), "{upload}");
    let form = curl(&["-d", "a=b", "-H", "Expect: 100-continue"]);
    assert!(form.starts_with("a=b|2 200 3|"), "{form}");
}

#[test]
fn nghttp_is_content_with_every_frame() {
    let secure = serving();
    let url = format!("https://127.0.0.1:{}/", secure.rig.addr.port());
    let host = format!(":authority: {HOST}");
    let said = output("nghttp", &["-nv", "-m", "20", "-H", &host, &url]);
    assert_eq!(said.matches(":status: 200").count(), 20, "{said}");
    assert!(!said.contains("[ERROR]") && !said.contains("RST_STREAM"), "{said}");
    let said =
        output("nghttp", &["-nv", "--expect-continue", "-d", "/etc/hostname", "-H", &host, &url]);
    assert!(said.contains(":status: 100") && said.contains(":status: 200"), "{said}");
}

#[test]
fn h2load_loses_nothing() {
    let secure = serving();
    let url = format!("https://127.0.0.1:{}/", secure.rig.addr.port());
    let host = format!(":authority: {HOST}");
    let said = output("h2load", &["-n", "5000", "-c", "4", "-m", "32", "-H", &host, &url]);
    assert!(said.contains("5000 succeeded, 0 failed, 0 errored"), "{said}");
    assert!(said.contains("status codes: 5000 2xx"), "{said}");
}
