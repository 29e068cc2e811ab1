//! Requests that two readers could understand differently.
//!
//! Shapes are made by rules, not collected: each rule bends one thing that framing or routing rests
//! on. For every shape, what reaches the dyno must be canonical (judged by a strict reader of its own,
//! below), and each request in it must be one that the router wrote; or nothing reaches it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::rig::{HOST, Rig, Setup, Wire};

/// Longer than the router needs to pass on what it will pass on.
const QUIET: Duration = Duration::from_millis(25);
/// What a confused reader would take for a request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: demo.example.com\r\n\r\n";

/// How a shape may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// Refused; the dyno got nothing, or an incomplete request.
    Refused,
    /// Understood, and written anew.
    Canonical,
    /// The dyno got something that is not canonical.
    Unsafe,
}

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A POST with these lines and this body, with the usual Host.
fn post(lines: &[u8], body: &[u8]) -> Vec<u8> {
    bytes(&[b"POST / HTTP/1.1\r\nHost: demo.example.com\r\n", lines, b"\r\n", body])
}

/// Bends a value in ways that some reader trims, splits or ignores.
fn bent_values(value: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let odd: [&[u8]; 14] = [
        b" ", b"\t", b"\x0b", b"\x0c", b"\0", b"\r", b"\n", b"\x7f", b"\xa0", b"\xff", b",", b";",
        b"\"", b"\r\n ",
    ];
    for odd in odd {
        all.push(bytes(&[odd, value.as_bytes()]));
        all.push(bytes(&[value.as_bytes(), odd]));
        all.push(bytes(&[&value.as_bytes()[..1], odd, &value.as_bytes()[1..]]));
    }
    for form in
        ["{}, {}", "\"{}\"", "'{}'", "{};q=1", "x{}", "{}x", "[{}]", "{}\r\n\tx", "+{}", "-{}"]
    {
        all.push(form.replace("{}", value).into_bytes());
    }
    all.push(Vec::new());
    all
}

/// Bends a name.
fn bent_names(name: &str) -> Vec<Vec<u8>> {
    let mut all = vec![name.replace('-', "_").into_bytes(), name.to_uppercase().into_bytes()];
    for odd in [&b" "[..], b"\t", b"\0", b"\r", b"\n", b"\x0b", b"\xa0", b":", b";"] {
        all.push(bytes(&[name.as_bytes(), odd]));
        all.push(bytes(&[odd, name.as_bytes()]));
        all.push(bytes(&[b"X: y", odd, name.as_bytes()]));
    }
    all
}

/// The coding is told oddly, with and without a length beside it.
fn codings() -> Vec<Vec<u8>> {
    let mut values = bent_values("chunked");
    values.extend(
        ["identity", "gzip, chunked", "chunked, gzip", "CHUNKED", "chunk", "none"].map(Into::into),
    );
    let mut lines: Vec<_> =
        values.iter().map(|value| bytes(&[b"Transfer-Encoding: ", value, b"\r\n"])).collect();
    lines.extend(
        bent_names("Transfer-Encoding").iter().map(|name| bytes(&[name, b": chunked\r\n"])),
    );
    lines.push(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".to_vec());
    lines.push(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_vec());
    lines.push(b"Transfer-Encoding:chunked\r\n".to_vec());
    lines.push(b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n".to_vec());
    let body = format!("0\r\n\r\n{HIDDEN}");
    let length = format!("Content-Length: {}\r\n", body.len());
    lines
        .iter()
        .flat_map(|line| {
            [
                post(line, body.as_bytes()),
                post(&bytes(&[length.as_bytes(), line]), body.as_bytes()),
                post(&bytes(&[line, length.as_bytes()]), body.as_bytes()),
            ]
        })
        .collect()
}

/// The length is told oddly, or twice.
fn lengths() -> Vec<Vec<u8>> {
    let body = HIDDEN.as_bytes();
    let right = body.len().to_string();
    let mut values = bent_values(&right);
    values.extend(
        ["0x30", "4.8e1", "48.0", "٤٨", "0", "00", "18446744073709551664", "4294967344"]
            .map(Into::into),
    );
    values.push(format!("0{right}").into_bytes());
    let mut lines: Vec<_> =
        values.iter().map(|value| bytes(&[b"Content-Length: ", value, b"\r\n"])).collect();
    let named = |name: &Vec<u8>| bytes(&[name, b": ", right.as_bytes(), b"\r\n"]);
    lines.extend(bent_names("Content-Length").iter().map(named));
    for second in ["0", "1", &right, &format!("0{right}")] {
        lines.push(format!("Content-Length: {right}\r\nContent-Length: {second}\r\n").into());
        lines.push(format!("Content-Length: {second}\r\ncontent-length: {right}\r\n").into());
    }
    lines.push(format!("Connection: Content-Length\r\nContent-Length: {right}\r\n").into());
    lines.iter().map(|line| post(line, body)).collect()
}

/// Lines end oddly.
fn line_ends() -> Vec<Vec<u8>> {
    let usual =
        format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nX: y\r\n\r\n{HIDDEN}");
    let mut all = Vec::new();
    for end in ["\n", "\r", "\r\r\n", "\n\r", "\n\n", "\0\r\n", "\r\n\r", "\u{85}", "\r\n "] {
        all.push(usual.replace("\r\n", end).into_bytes());
        for position in 0..4 {
            let mut lines: Vec<_> = usual.split("\r\n").collect::<Vec<_>>();
            let joined = lines.remove(position).to_owned() + end;
            let (before, after) = (lines[..position].join("\r\n"), lines[position..].join("\r\n"));
            let before = if before.is_empty() { before } else { before + "\r\n" };
            all.push((before + &joined + &after).into_bytes());
        }
    }
    for start in ["\r\n", "\n", "\r", " ", "\t", "\0", "\r\n\r\n\r\n"] {
        all.push((start.to_owned() + &usual).into_bytes());
    }
    all
}

/// The request line is odd.
fn request_lines() -> Vec<Vec<u8>> {
    let lines: &[&[u8]] = &[
        b"POST / HTTP/1.2",
        b"POST / HTTP/2.0",
        b"POST / HTTP/0.9",
        b"POST / http/1.1",
        b"POST /",
        b"POST / HTTP/1.1 x",
        b"POST  / HTTP/1.1",
        b"POST /  HTTP/1.1",
        b"POST\t/ HTTP/1.1",
        b"POST /\tHTTP/1.1",
        b" POST / HTTP/1.1",
        b"POST / HTTP/1.1 ",
        b"POST / HTTP/01.1",
        b"POST / HTTP/1.1\0",
        b"POST /a b HTTP/1.1",
        b"POST /\0 HTTP/1.1",
        b"POST /\x7f HTTP/1.1",
        b"POST /\x01 HTTP/1.1",
        b"POST\0 / HTTP/1.1",
        b"P@ST / HTTP/1.1",
        b"\"POST\" / HTTP/1.1",
        b"POST http://demo.example.com/ HTTP/1.1",
        b"POST http://other.example.com/ HTTP/1.1",
        b"POST http://demo.example.com:80@other.example.com/ HTTP/1.1",
        b"POST // HTTP/1.1",
        b"POST demo.example.com:80 HTTP/1.1",
        b"POST ?x HTTP/1.1",
        b"POST * HTTP/1.1",
        b"CONNECT demo.example.com:80 HTTP/1.1",
        b"POST / HTTP/1,1",
        b"POST / HTTP/11",
        b"POST / HTTP /1.1",
        b"POST /\x0bHTTP/1.1",
        b"POST /#\xff HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"POST / HTTP/1.10",
    ];
    let rest = format!("\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len());
    lines.iter().map(|line| bytes(&[line, rest.as_bytes()])).collect()
}

/// The host is told oddly, twice or not.
fn hosts() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> =
        bent_values(HOST).iter().map(|value| bytes(&[b"Host: ", value, b"\r\n"])).collect();
    all.extend(bent_names("Host").iter().map(|name| bytes(&[name, b": demo.example.com\r\n"])));
    all.push(Vec::new());
    all.push(format!("Host: {HOST}\r\nHost: {HOST}\r\n").into());
    all.push(format!("Host: {HOST}\r\nhOST: other.example.com\r\n").into());
    all.iter().map(|line| bytes(&[b"GET / HTTP/1.1\r\n", line, b"\r\n"])).collect()
}

/// Chunks are odd.
fn chunks() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for size in bent_values("5") {
        bodies.push(bytes(&[&size, b"\r\nhello\r\n0\r\n\r\n"]));
        bodies.push(bytes(&[b"5\r\nhello\r\n", &size, b"\r\n\r\n"]));
    }
    for zero in ["0 ", "00", "0x0", "0;", "0;a=b", "0;\r", "0\n", "0\r", "-0", "+0", "0,"] {
        bodies.push(format!("5\r\nhello\r\n{zero}\r\n\r\n").into());
    }
    for end in ["\n", "\r", "", "x\r\n", " \r\n", "\r\n\r\n", "\0\r\n", "\r\r\n"] {
        bodies.push(format!("5\r\nhello{end}0\r\n\r\n").into());
    }
    for trailer in [
        "A: b",
        "A : b",
        " A: b",
        "A",
        ":",
        "A: b\r\n c",
        "A:\0",
        "Content-Length: 9",
        "Host: x",
        "A: b\n",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "X-Forwarded-For: 1",
        "A: b\rC: d",
        "Trailer: x",
    ] {
        bodies.push(format!("0\r\n{trailer}\r\n\r\n").into());
    }
    for extension in ["a=\"b\r\nc\"", "a=\"\\\"\"", "\n", "\r", "\0", "a\nb", "  ", "0\r\n\r\n"] {
        bodies.push(format!("5;{extension}\r\nhello\r\n0\r\n\r\n").into());
    }
    for size in ["ffffffffffffffff", "10000000000000005", "7fffffffffffffff", "00000000000000005"] {
        bodies.push(format!("{size}\r\nhello\r\n0\r\n\r\n").into());
    }
    bodies
        .iter()
        .map(|body| post(b"Transfer-Encoding: chunked\r\n", &bytes(&[body, HIDDEN.as_bytes()])))
        .collect()
}

/// Everything else that makes readers disagree.
fn others() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for lines in [
        "Expect: 100-continue, x\r\nContent-Length: 0\r\n",
        "Expect:\r\nContent-Length: 0\r\n",
        "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Connection: upgrade\r\nContent-Length: 3\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: Host, X-Forwarded-For, Via\r\n",
        "X-A: b\x01\r\n",
        "X-A: b\x7f\r\n",
        "X-A: b\0\r\n",
        "X-A: b\rX-B: c\r\n",
        ": x\r\n",
        "X-A\r\n",
        "X A: b\r\n",
        "X-A: b\r\n\tc\r\n",
        "\tX-A: b\r\n",
        "X\u{e9}: b\r\n",
        "X-A: b\x1b[2J\r\n",
        "X(A): b\r\n",
        "Upgrade: h2c\r\n",
        "Proxy-Connection: close\r\n",
        "TE: trailers, chunked\r\n",
    ] {
        all.push(post(lines.as_bytes(), HIDDEN.as_bytes()));
    }
    for verb in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"] {
        all.push(
            format!(
                "{verb} / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
                HIDDEN.len()
            )
            .into(),
        );
        all.push(format!(
            "{verb} / HTTP/1.0\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
        ).into());
    }
    all
}

/// Reads `wire` as strictly as can be: the requests in it, and whether the last is incomplete.
fn strictly(wire: &[u8]) -> Result<usize, String> {
    let (mut rest, mut count) = (wire, 0);
    while !rest.is_empty() {
        let Some(end) = rest.windows(4).position(|w| w == b"\r\n\r\n") else {
            return check_lines(rest).map(|_| count);
        };
        let body = check_head(&rest[..end + 2])?;
        rest = &rest[end + 4..];
        count += 1;
        rest = match body {
            Framing::Length(length) if length > rest.len() => return Ok(count),
            Framing::Length(length) => &rest[length..],
            Framing::Chunked => match check_chunks(rest)? {
                Some(length) => &rest[length..],
                None => return Ok(count),
            },
        };
    }
    Ok(count)
}

enum Framing {
    Length(usize),
    Chunked,
}

/// Whether all line ends are CRLF and no control characters are between them.
fn check_lines(bytes: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let bare = text.replace("\r\n", "");
    if bare.contains(|c: char| c.is_ascii_control() && c != '\t') {
        return Err(format!("control characters: {text:?}"));
    }
    Ok(text)
}

fn check_head(head: &[u8]) -> Result<Framing, String> {
    let text = check_lines(head)?;
    let mut lines = text.split_terminator("\r\n");
    let first: Vec<_> = lines.next().unwrap_or_default().split(' ').collect();
    if first.len() != 3 || first[2] != "HTTP/1.1" || !first[1].starts_with(['/', '*']) {
        return Err(format!("request line {first:?}"));
    }
    let mut fields = BTreeMap::<String, Vec<&str>>::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no field: {line:?}"))?;
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_graphic() && !b"(),/:;<=>?@[\\]{}\"".contains(&b))
        {
            return Err(format!("name {name:?}"));
        }
        fields.entry(name.to_ascii_lowercase()).or_default().push(value.trim());
    }
    let values = |name: &str| fields.get(name).cloned().unwrap_or_default();
    if values("host").len() != 1 || values("host")[0].is_empty() {
        return Err(format!("hosts {:?}", values("host")));
    }
    if values("via") != ["1.1 heroku-router"] || values("x-request-start").len() != 1 {
        return Err(format!("not the router's: {text:?}"));
    }
    match (&*values("content-length"), &*values("transfer-encoding")) {
        ([], []) => Ok(Framing::Length(0)),
        ([], ["chunked"]) => Ok(Framing::Chunked),
        ([length], []) => match length.parse::<usize>() {
            Ok(number) if number.to_string() == *length => Ok(Framing::Length(number)),
            _ => Err(format!("length {length:?}")),
        },
        (lengths, codings) => Err(format!("framings {lengths:?} {codings:?}")),
    }
}

/// Length of a canonical chunked body; `None` if it is incomplete.
fn check_chunks(body: &[u8]) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let Some(end) = body[at..].windows(2).position(|w| w == b"\r\n") else { return Ok(None) };
        let line = String::from_utf8_lossy(&body[at..at + end]).into_owned();
        let size = usize::from_str_radix(&line, 16).map_err(|_| format!("size line {line:?}"))?;
        if !format!("{size:x}").eq_ignore_ascii_case(&line) {
            return Err(format!("size line {line:?}"));
        }
        at += end + 2;
        if size == 0 {
            break;
        }
        let Some(data_end) = at.checked_add(size).filter(|end| end + 2 <= body.len()) else {
            return Ok(None);
        };
        if &body[data_end..data_end + 2] != b"\r\n" {
            return Err("data without its end".into());
        }
        at = data_end + 2;
    }
    let Some(end) = bytes(&[b"\r\n", &body[at..]]).windows(4).position(|w| w == b"\r\n\r\n") else {
        return Ok(None);
    };
    check_lines(&body[at..at + end])?;
    Ok(Some(at + end + 2))
}

/// What reached the dyno so far, connection by connection.
type Streams = Arc<Mutex<Vec<Vec<u8>>>>;

/// Sends one shape through `rig` and judges what has reached the dyno.
fn try_shape(rig: &Rig, streams: &Streams, shape: &[u8]) -> (Verdict, String) {
    let mut client = rig.client();
    client.send(shape);
    let answer = client.gather(QUIET * 3);
    drop(client);
    let bad = streams.lock().unwrap().iter().find_map(|stream| {
        let reason = strictly(stream).err()?;
        Some(format!("{reason}: {:?}", String::from_utf8_lossy(stream)))
    });
    let accepted = answer.starts_with(b"HTTP/1.1 2") || answer.starts_with(b"HTTP/1.1 100");
    match bad {
        Some(bad) => (Verdict::Unsafe, format!("{:?} → {bad}", String::from_utf8_lossy(shape))),
        None if accepted => (Verdict::Canonical, String::new()),
        None => (Verdict::Refused, String::new()),
    }
}

/// A router of its own whose dyno keeps every byte that reaches it.
fn recording() -> (Rig, crate::rig::Dyno, Streams) {
    let streams = Streams::default();
    let keep = streams.clone();
    let (rig, dyno) = Rig::serving_with(Setup::default(), move |wire: &mut Wire| {
        let mut all = keep.lock().unwrap();
        let number = all.len();
        all.push(Vec::new());
        drop(all);
        loop {
            let bytes = wire.gather(QUIET);
            if bytes.is_empty() {
                return;
            }
            keep.lock().unwrap()[number].extend(bytes);
            let _ = wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (rig, dyno, streams)
}

/// Judges all shapes, on a few routers at once; panics at the first unsafe one.
fn judge(shapes: &[Vec<u8>]) -> BTreeMap<Verdict, usize> {
    let counts = Mutex::new(BTreeMap::<Verdict, usize>::new());
    let lanes = 24;
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let counts = &counts;
            scope.spawn(move || {
                let (rig, _dyno, streams) = recording();
                for shape in shapes.iter().skip(lane).step_by(lanes) {
                    let (verdict, told) = try_shape(&rig, &streams, shape);
                    assert!(verdict != Verdict::Unsafe, "{told}");
                    *counts.lock().unwrap().entry(verdict).or_default() += 1;
                }
            });
        }
    });
    counts.into_inner().unwrap()
}

#[test]
fn no_shape_reaches_a_dyno_unless_it_is_canonical() {
    let shapes: Vec<_> =
        [codings(), lengths(), line_ends(), request_lines(), hosts(), chunks(), others()].concat();
    let counts = judge(&shapes);
    assert!(shapes.len() > 500, "{}", shapes.len());
    assert_eq!(counts.values().sum::<usize>(), shapes.len());
    println!("{} shapes: {counts:?}", shapes.len());
    // Both kinds must be there, or the test would prove nothing.
    assert!(counts[&Verdict::Refused] > 300, "{counts:?}");
    assert!(counts[&Verdict::Canonical] > 20, "{counts:?}");
}

#[test]
fn a_length_beside_a_coding_is_refused_whichever_comes_first() {
    let (rig, dyno, _streams) = recording();
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ] {
        let reply = rig.ask(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n0\r\n\r\n"));
        assert_eq!((reply.status, reply.field("connection")), (400, Some("close")), "{lines}");
    }
    assert_eq!(dyno.connections(), 0);
}

#[test]
fn the_strict_reader_is_strict() {
    let good = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\nVia: 1.1 heroku-router\r\n\
         X-Request-Start: 1\r\n\r\nhi"
    );
    assert_eq!(strictly(good.as_bytes()), Ok(1));
    let chunked = good.replace("Content-Length: 2", "Transfer-Encoding: chunked");
    let chunked = chunked.replace("\r\n\r\nhi", "\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n");
    assert_eq!(strictly((chunked.clone() + &good).as_bytes()), Ok(2));
    for (from, to) in [
        ("Content-Length: 2", "Content-Length: 02"),
        ("Content-Length: 2", "Content-Length: 2\r\nContent-Length: 2"),
        ("Content-Length: 2", "Content-Length: 2\r\nTransfer-Encoding: chunked"),
        ("Host", "X-Host"),
        ("\r\nVia: 1.1 heroku-router", ""),
        ("X-Request-Start: 1\r\n", "X-Request-Start: 1\n"),
        ("POST / ", "POST  / "),
        ("hi", "hiGET / HTTP/1.1\r\n\r\n"),
    ] {
        assert!(strictly(good.replace(from, to).as_bytes()).is_err(), "{from} → {to}");
    }
    for (from, to) in [("2\r\nhi", "02\r\nhi"), ("2\r\nhi", "2;x\r\nhi"), ("hi\r\n", "hi\n\n")] {
        assert!(strictly(chunked.replace(from, to).as_bytes()).is_err(), "{from} → {to}");
    }
}
