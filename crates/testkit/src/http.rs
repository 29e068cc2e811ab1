//! A plain HTTP/1.1 request over a socket, as bytes, so that nothing between test and server
//! hides what was said.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines, in order, without the status line.
    pub headers: Vec<(String, String)>,
    /// Body, with chunking undone.
    pub body: String,
}

impl Answer {
    /// One header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let same = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(same).map(|(_, value)| value.as_str())
    }
}

/// Asks once, on a connection of its own.
///
/// # Errors
/// When the connection fails or the answer is not HTTP.
pub fn ask(
    address: SocketAddr,
    method: &str,
    host: &str,
    path: &str,
    extra: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(address).context("connect")?;
    stream.set_read_timeout(Some(Duration::from_secs(90)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in extra {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).context("send")?;
    stream.write_all(body).context("send the body")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).context("receive")?;
    parse(&bytes)
}

/// Asks with GET.
///
/// # Errors
/// As [`ask`].
pub fn get(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<Answer> {
    ask(address, "GET", host, path, &[], b"")
}

fn parse(bytes: &[u8]) -> anyhow::Result<Answer> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        bail!("no HTTP answer in {:?}", String::from_utf8_lossy(bytes));
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let status = status.parse().with_context(|| format!("no status in {head:?}"))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: String::new() };
    let raw = &bytes[end + 4..];
    let chunked = answer.header("transfer-encoding").is_some_and(|value| value == "chunked");
    let body = if chunked { unchunk(raw)? } else { raw.to_vec() };
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Ok(answer)
}

fn unchunk(mut raw: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = raw.windows(2).position(|window| window == b"\r\n").context("no chunk size")?;
        let size = std::str::from_utf8(&raw[..end])?;
        let size = usize::from_str_radix(size.trim(), 16).context("bad chunk size")?;
        raw = &raw[end + 2..];
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(raw.get(..size).context("chunk cut short")?);
        raw = raw.get(size + 2..).context("chunk cut short")?;
    }
}
