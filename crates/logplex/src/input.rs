//! Lines that come from outside: octet-counted syslog frames, as log agents and add-ons post them.
//!
//! Strict about frames, because one wrong count would make nonsense of all that follows; lenient
//! about what a message holds.

use std::time::Duration;

use model::log::Source;
use model::{AppId, LogEntry, Timestamp};

/// No frame is longer.
const MAX_FRAME: usize = 64 << 10;

/// A time that is further away than this is not believed: lines are kept by their time.
const FAR: Duration = Duration::from_hours(24);

/// What was posted is no sequence of frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame {number} (at byte {offset}): {why}")]
pub struct Malformed {
    /// Which frame, from 1.
    pub number: usize,
    /// Where it begins.
    pub offset: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The lines of posted frames, in their order. Lines that name no process are of `name`.
///
/// # Errors
/// At the first frame that is none; then none counts.
pub fn parse(body: &[u8], app: AppId, name: &str) -> Result<Vec<LogEntry>, Malformed> {
    let now = Timestamp::now();
    let mut entries = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (number, offset) = (entries.len() + 1, body.len() - rest.len());
        let malformed = |why| Malformed { number, offset, why };
        let (frame, after) = frame(rest).map_err(malformed)?;
        let message = message(frame).map_err(malformed)?;
        let process = if message.process == "-" { name } else { message.process };
        let is_near = message.at.since(now) <= FAR && now.since(message.at) <= FAR;
        entries.push(LogEntry {
            app,
            at: if is_near { message.at } else { now },
            source: Source::App,
            process: process.into(),
            text: message.text,
        });
        rest = after;
    }
    Ok(entries)
}

/// Takes `LEN SP` and that many bytes off the front.
fn frame(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return Err("it does not begin with its length");
    }
    let (length, rest) = bytes.split_at(digits);
    let length = std::str::from_utf8(length).ok().and_then(|digits| digits.parse().ok());
    let length = length.filter(|length| *length <= MAX_FRAME).ok_or("it is too long")?;
    let rest = rest.strip_prefix(b" ").ok_or("there is no space behind its length")?;
    rest.split_at_checked(length).ok_or("it is shorter than its length says")
}

struct Message<'a> {
    at: Timestamp,
    process: &'a str,
    text: String,
}

/// `<PRI>VERSION TIME HOST APP PROCESS MSGID [SD] TEXT`. Heroku's own senders leave the structured
/// data out, write `-` for it, or write it whole; it is skipped.
fn message(frame: &[u8]) -> Result<Message<'_>, &'static str> {
    let rest = frame.strip_prefix(b"<").ok_or("it has no priority")?;
    let end = rest.iter().position(|&byte| byte == b'>').ok_or("its priority has no end")?;
    let priority = std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse::<u16>().ok());
    if priority.is_none_or(|priority| priority > 191) {
        return Err("its priority is not a number from 0 to 191");
    }
    let mut words = Words(&rest[end + 1..]);
    if words.next() != Some("1") {
        return Err("its version is not 1");
    }
    let at = words.next().and_then(time).ok_or("its time is none of RFC 3339")?;
    let (_host, _app) = (words.next(), words.next());
    let process = words.next().filter(|word| !word.is_empty());
    let process = process.ok_or("it names no process")?;
    words.next().ok_or("it has no message id")?;
    let text = String::from_utf8_lossy(skip_structured_data(words.0)).into_owned();
    Ok(Message { at, process, text })
}

/// Words that end with one space each.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|&byte| byte == b' ')?;
        let word = std::str::from_utf8(&self.0[..end]).ok()?;
        self.0 = &self.0[end + 1..];
        Some(word)
    }
}

fn time(word: &str) -> Option<Timestamp> {
    Timestamp::from_rfc3339(word)
}

/// Skips `- ` or `[id name="value"]…`, in whose values `]` is escaped.
fn skip_structured_data(text: &[u8]) -> &[u8] {
    if let Some(rest) = text.strip_prefix(b"- ") {
        return rest;
    }
    let mut rest = text;
    while let Some(inside) = rest.strip_prefix(b"[") {
        let Some(end) = element_end(inside) else { return text };
        rest = &inside[end + 1..];
    }
    if rest.len() == text.len() {
        return text;
    }
    // `[` that is not followed by a space begins a message.
    rest.strip_prefix(b" ").filter(|_| is_element(text)).unwrap_or(text)
}

/// Whether it begins as an element of structured data does: `[name key="`, or `[name@number`.
fn is_element(text: &[u8]) -> bool {
    let end = text.iter().position(|&byte| byte == b']').unwrap_or(text.len());
    let head = &text[1..end.max(1)];
    head.contains(&b'@') || head.windows(2).any(|pair| pair == b"=\"")
}

fn element_end(inside: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    inside.iter().position(|&byte| {
        let is_end = byte == b']' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &str) -> Vec<u8> {
        format!("{} {message}", message.len()).into_bytes()
    }

    fn parsed(body: &[u8]) -> Result<Vec<(String, String)>, String> {
        let entries =
            parse(body, AppId::random(), "postgres").map_err(|error| error.to_string())?;
        Ok(entries.into_iter().map(|entry| (entry.process.to_string(), entry.text)).collect())
    }

    fn one(message: &str) -> (String, String) {
        parsed(&framed(message)).expect("good").remove(0)
    }

    const HEAD: &str = "<190>1 2026-11-23T10:00:00.123456+00:00 host t.token";

    #[test]
    fn forms_of_herokus_senders_are_read() {
        let line = |process: &str, text: &str| (process.to_owned(), text.to_owned());
        for (rest, expected) in [
            ("web.1 - hello world\n", line("web.1", "hello world\n")),
            ("web.1 - - hello", line("web.1", "hello")),
            ("- - - hello", line("postgres", "hello")),
            ("web.1 - [meta sequenceId=\"1\"] hello", line("web.1", "hello")),
            ("web.1 - [a@1 b=\"x\\]y\"][c@2] hello", line("web.1", "hello")),
            ("web.1 - [INFO] hello", line("web.1", "[INFO] hello")),
            ("web.1 - [", line("web.1", "[")),
            ("web.1 - ", line("web.1", "")),
        ] {
            assert_eq!(one(&format!("{HEAD} {rest}")), expected, "{rest}");
        }
    }

    #[test]
    fn frames_follow_each_other_without_anything_between() {
        let body = [framed(&format!("{HEAD} a.1 - one\n")), framed(&format!("{HEAD} a.2 - two"))];
        let lines = parsed(&body.concat()).expect("good");
        assert_eq!(lines[0], ("a.1".to_owned(), "one\n".to_owned()));
        assert_eq!(lines[1], ("a.2".to_owned(), "two".to_owned()));
    }

    #[test]
    fn one_bad_frame_refuses_all() {
        let good = framed(&format!("{HEAD} a.1 - one"));
        for (bad, why) in [
            (b"<190>1 newline framed\n".to_vec(), "does not begin with its length"),
            (b"5<190>1".to_vec(), "no space"),
            (b"99999999999999999999999 x".to_vec(), "too long"),
            (b"100000 x".to_vec(), "too long"),
            (b"500 <190>1 x".to_vec(), "shorter than its length"),
            (framed("190>1 x"), "no priority"),
            (framed("<999>1 x"), "0 to 191"),
            (framed("<190>2 x"), "version"),
            (framed("<190>1 yesterday h a p - x"), "time"),
            (framed("<190>1 2026-11-23T10:00:00Z h a"), "no process"),
            (framed("<190>1 2026-11-23T10:00:00Z h a p "), "no message id"),
        ] {
            let error = parsed(&[good.clone(), bad].concat()).expect_err(why);
            assert!(error.starts_with("frame 2 (at byte ") && error.contains(why), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parsed(&body);
            let whole = [format!("{HEAD} p - ").into_bytes(), body].concat();
            let framed = [format!("{} ", whole.len()).into_bytes(), whole].concat();
            prop_assert!(parsed(&framed).is_ok());
        }
    }
}
