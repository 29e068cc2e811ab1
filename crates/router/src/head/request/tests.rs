//! Heads of requests, judged alone.

use proptest::prelude::*;

use super::*;
use crate::head::{MAX_FIRST_LINE, Scan};

fn origin() -> Origin {
    Origin { peer: "192.0.2.1".into(), proto: "https", port: 443, via: VIA }
}

/// The request and what goes on, as it comes off the wire.
fn judged(head: &[u8]) -> Result<(Request, String), Refusal> {
    match Scan::request().find_end(head)? {
        Some(length) if length == head.len() => {}
        _ => return Err(Refusal::Bad),
    }
    let mut out = Vec::new();
    let request = read(head, &origin(), &mut Dice::new(), &mut out)?;
    request.end_head(DynoConnections::Kept, Continuation::Router, &mut out);
    Ok((request, String::from_utf8_lossy(&out).into_owned()))
}

fn with(lines: &str) -> Result<(Request, String), Refusal> {
    judged(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n").as_bytes())
}

#[test]
fn the_host_is_normalised_for_the_look_up() {
    for (sent, found) in [
        ("A.Example", "a.example"),
        ("a.example:80", "a.example"),
        ("a.example.", "a.example"),
        ("a.example.:80", "a.example"),
        ("a.example:", "a.example"),
        ("127.0.0.1:5000", "127.0.0.1"),
        ("[::1]:80", "[::1]"),
        ("under_score.example", "under_score.example"),
    ] {
        assert_eq!(host_name(sent).as_deref(), Some(found), "{sent}");
    }
    let long = "a".repeat(256);
    for bad in ["", ".", ":80", "a b", "a/b", "a:8x", "a:123456", "[::1", "[a]", "é", "a%2e", &long]
    {
        assert_eq!(host_name(bad), None, "{bad}");
    }
}

#[test]
fn framing_is_certain_or_refused() {
    assert_eq!(with("Content-Length: 007\r\n").map(|r| r.0.body.length), Ok(Some(7)));
    assert!(with("Content-Length: 007\r\n").is_ok_and(|r| r.1.contains("Content-Length: 7\r\n")));
    assert!(with("Transfer-Encoding: Chunked\r\n").is_ok_and(|r| r.0.body.chunked));
    for bad in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Content-Length: 1e2\r\n",
        "Content-Length: 0x10\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length: 1\r\nContent-Length: 01, 1\r\n",
    ] {
        assert_eq!(with(bad).err(), Some(Refusal::Bad), "{bad:?}");
    }
    let old = b"POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(judged(old).err(), Some(Refusal::Bad));
}

#[test]
fn upgrades_need_both_fields_and_http_1_1() {
    let (request, head) =
        with("Connection: Upgrade Keep-Alive, UPGRADE\r\nUpgrade: x\r\n").unwrap();
    assert!(request.upgrades && head.contains("Upgrade: x\r\n"));
    assert!(head.contains("\r\nConnection: Upgrade\r\n"));
    assert_eq!(with("Connection: upgrade\r\n").err(), Some(Refusal::Bad));
    assert_eq!(with("Connection: upgrade\r\nUpgrade:\r\n").err(), Some(Refusal::Bad));
    let old = b"GET / HTTP/1.0\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    assert!(judged(old).is_ok_and(|r| !r.0.upgrades && !r.1.contains("Upgrade: x")));
}

#[test]
fn limits_are_herokus() {
    let path = "a".repeat(MAX_FIRST_LINE - "GET / HTTP/1.1".len());
    let head = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert!(judged(head(&path).as_bytes()).is_ok());
    assert_eq!(judged(head(&(path + "a")).as_bytes()).err(), Some(Refusal::TooLong));
    for (name, value, good) in [(1000, 8192, true), (1001, 1, false), (1, 8193, false)] {
        let line = format!("{}: {}\r\n", "n".repeat(name), "v".repeat(value));
        assert_eq!(with(&line).is_ok(), good, "{name} {value}");
    }
    assert!(with(&"a: b\r\n".repeat(MAX_FIELDS - 1)).is_ok());
    assert_eq!(with(&"a: b\r\n".repeat(MAX_FIELDS)).err(), Some(Refusal::Bad));
    let verb = |length| format!("{} / HTTP/1.1\r\nHost: a.example\r\n\r\n", "V".repeat(length));
    assert!(judged(verb(127).as_bytes()).is_ok());
    assert_eq!(judged(verb(128).as_bytes()).err(), Some(Refusal::Bad));
}

#[test]
fn a_head_that_grows_without_end_is_refused_while_it_comes() {
    let mut scan = Scan::request();
    assert_eq!(scan.find_end(&[b'a'; MAX_FIRST_LINE]), Ok(None));
    assert_eq!(scan.find_end(&[b'a'; MAX_FIRST_LINE + 2]), Err(NoHead::FirstLine));
    let mut head = b"GET / HTTP/1.1\r\n".to_vec();
    head.resize(16 + 9300, b'a');
    assert_eq!(Scan::request().find_end(&head), Err(NoHead::Line));
    let lines = format!("GET / HTTP/1.1\r\n{}", format!("a: {}\r\n", "b".repeat(8000)).repeat(17));
    assert_eq!(Scan::request().find_end(lines.as_bytes()), Err(NoHead::Size));
}

/// Lines of a head, odd ones among them.
fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Content-Length",
        "content-length",
        "Transfer-Encoding",
        "Host",
        "Connection",
        "Expect",
        "X-Forwarded-For",
        "Via",
        "Upgrade",
        "X-A",
        "TE",
        "",
        " X",
        "X ",
    ]);
    let value = prop::sample::select(vec![
        "chunked",
        "5",
        "05",
        "5, 5",
        "a.example",
        "upgrade",
        "close, x-a",
        "100-continue",
        "",
        "\tx",
        "a\rb",
        "a\0b",
        "é",
        "x\n y",
    ]);
    let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r"]);
    (name, value, end).prop_map(|(name, value, end)| format!("{name}: {value}{end}"))
}

proptest! {
    /// What goes on is one head of certain meaning, whatever came.
    #[test]
    fn whatever_goes_on_is_canonical(lines in prop::collection::vec(line(), 0..6)) {
        let head = format!("POST /x HTTP/1.1\r\nHost: a.example\r\n{}\r\n", lines.concat());
        if let Ok((request, out)) = judged(head.as_bytes()) {
            let (before, after) = out.split_at(out.len() - 4);
            prop_assert_eq!(after, "\r\n\r\n");
            prop_assert!(!before.contains("\r\n\r\n"));
            let bare = before.replace("\r\n", "");
            prop_assert!(!bare.contains(['\r', '\n', '\0']), "{}", out);
            let count = |name: &str| {
                let is = |line: &&str| line.split(':').next().unwrap().eq_ignore_ascii_case(name);
                before.lines().skip(1).filter(is).count()
            };
            prop_assert_eq!(count("host"), 1);
            prop_assert_eq!(count("connection"), 1);
            prop_assert_eq!(count("expect"), 0);
            let framings = (count("content-length"), count("transfer-encoding"));
            let declared = (
                usize::from(request.body.length.is_some()),
                usize::from(request.body.chunked),
            );
            prop_assert_eq!(framings, declared);
            prop_assert!(declared != (1, 1));
        }
    }

    #[test]
    fn a_head_cut_anywhere_is_found_at_the_same_place(cut in 0usize..60) {
        let bytes = b"GET / HTTP/1.1\r\nHost: a.example\r\nA: b\r\n\r\nPOST /next";
        let end = bytes.len() - "POST /next".len();
        let mut scan = Scan::request();
        let first = scan.find_end(&bytes[..cut.min(bytes.len())]).unwrap();
        let found = first.or_else(|| scan.find_end(bytes).unwrap());
        prop_assert_eq!(found, Some(end));
    }
}
