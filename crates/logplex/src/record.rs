//! One line as it is kept, and the rules that make a line out of what a process wrote.

use std::fmt;
use std::sync::Arc;

use model::log::{Altered, Source};
use model::{AppId, LogEntry, Timestamp};

/// Longer lines are cut into pieces of this many bytes (Heroku, "Logging").
const MAX_TEXT: usize = 10_000;

/// Longer process names are cut.
const MAX_PROCESS: usize = 255;

/// What a record costs beside its text: itself, its counters and its place in a queue.
const OVERHEAD: usize = size_of::<Record>() + 32;

/// One line of one app.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its place in the app's stream: one more than the line before, but for a jump at each start
    /// of the server.
    pub id: u64,
    pub at: Timestamp,
    pub source: Source,
    pub process: Arc<str>,
    pub text: Box<str>,
    /// How many lines this one says are lost (L12); 0 for any other.
    pub lost: u64,
}

impl Record {
    /// A line of Logplex's own.
    pub fn note(id: u64, at: Timestamp, text: impl Into<Box<str>>) -> Self {
        Self {
            id,
            at,
            source: Source::Heroku,
            process: "logplex".into(),
            text: text.into(),
            lost: 0,
        }
    }

    /// Says that `lost` lines never came in.
    pub fn loss(id: u64, lost: u64, since: Timestamp) -> Self {
        let text = format!("Error L12: {lost} messages dropped since {since}.");
        Self { lost, ..Self::note(id, Timestamp::now(), text) }
    }

    /// A clean entry at its place. The entry must have passed [`clean`].
    pub fn new(id: u64, entry: LogEntry) -> Self {
        let LogEntry { at, source, process, text, .. } = entry;
        Self { id, at, source, process, text: text.into_boxed_str(), lost: 0 }
    }

    /// Bytes of memory it costs.
    pub fn bytes(&self) -> usize {
        OVERHEAD + self.text.len()
    }
}

/// The line as people read it, without its end:
/// `2010-09-16T15:13:46.677020+00:00 app[web.1]: message`.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, source, process, text, .. } = self;
        write!(f, "{at} {}[{process}]: {text}", source.as_str())
    }
}

/// Makes lines fit to be kept: one line each, no NUL, no more than 10,000 bytes. Counts what was
/// made visible and cut, per app.
pub(crate) fn clean(entries: Vec<LogEntry>) -> (Vec<LogEntry>, Vec<(AppId, Altered)>) {
    if entries.iter().all(is_clean) {
        return (entries, Vec::new());
    }
    let mut counts = Vec::new();
    let cleaned = entries.into_iter().flat_map(|entry| pieces(entry, &mut counts)).collect();
    (cleaned, counts)
}

fn is_clean(entry: &LogEntry) -> bool {
    let text = entry.text.as_bytes();
    text.len() <= MAX_TEXT
        && memchr::memchr2(b'\n', 0, text).is_none()
        && !text.ends_with(b"\r")
        && is_clean_process(&entry.process)
}

fn is_clean_process(process: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=MAX_PROCESS).contains(&process.len())
        && (process.bytes().all(is_plain) || process.chars().all(is_process_char))
}

fn is_process_char(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && c != '[' && c != ']'
}

fn pieces(entry: LogEntry, counts: &mut Vec<(AppId, Altered)>) -> Vec<LogEntry> {
    if is_clean(&entry) {
        return vec![entry];
    }
    let process = clean_process(&entry.process);
    let piece = |text: &str| LogEntry {
        process: process.clone(),
        text: text.replace('\0', "\u{2400}"),
        ..LogEntry { text: String::new(), ..entry.clone() }
    };
    let whole = entry.text.strip_suffix('\n').unwrap_or(&entry.text);
    let lines = whole.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let mut altered = Altered::default();
    let mut pieces = Vec::new();
    for line in lines {
        altered.replaced += u64::from(line.contains('\0'));
        let cut = cut(line);
        altered.cut += u64::from(cut.len() > 1);
        pieces.extend(cut.into_iter().map(piece));
    }
    counts.push((entry.app, altered));
    pieces
}

fn clean_process(process: &Arc<str>) -> Arc<str> {
    if is_clean_process(process) {
        return process.clone();
    }
    let shown = |c| if is_process_char(c) { c } else { '_' };
    let short = &process[..process.floor_char_boundary(MAX_PROCESS)];
    match short {
        "" => "unknown".into(),
        _ => short.chars().map(shown).collect::<String>().into(),
    }
}

/// Cuts a line between characters into pieces of at most `MAX_TEXT` bytes. An empty line is one
/// piece.
fn cut(line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while rest.len() > MAX_TEXT {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(MAX_TEXT));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(process: &str, text: &str) -> Vec<String> {
        let at = Timestamp::from_micros(1_284_650_026_677_020);
        let app = AppId::random();
        let entry =
            LogEntry { app, at, source: Source::App, process: process.into(), text: text.into() };
        let records = clean(vec![entry]).0.into_iter().map(|entry| Record::new(1, entry));
        records.map(|record| record.to_string()[33..].to_owned()).collect()
    }

    #[test]
    fn a_line_reads_as_herokus() {
        let at = Timestamp::from_micros(1_284_650_026_677_020);
        let record = Record::note(1, at, "hello");
        assert_eq!(record.to_string(), "2010-09-16T15:13:46.677020+00:00 heroku[logplex]: hello");
    }

    #[test]
    fn line_ends_split_and_vanish() {
        assert_eq!(
            texts("web.1", "a\r\nb\n\nc\n"),
            ["app[web.1]: a", "app[web.1]: b", "app[web.1]: ", "app[web.1]: c"]
        );
        assert_eq!(texts("web.1", ""), ["app[web.1]: "]);
    }

    #[test]
    fn nul_is_made_visible_and_colour_is_kept() {
        assert_eq!(texts("web.1", "\u{1b}[31mred\0"), ["app[web.1]: \u{1b}[31mred\u{2400}"]);
    }

    #[test]
    fn a_process_name_cannot_forge_a_line() {
        assert_eq!(texts("web.1]: x y", "z"), ["app[web.1_:_x_y]: z"]);
        assert_eq!(texts("", "z"), ["app[unknown]: z"]);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let long = "é".repeat(7_500);
        let entry = texts("web.1", &long);
        let lengths: Vec<usize> = entry.iter().map(|text| text.len() - 12).collect();
        assert_eq!(lengths, [10_000, 5_000]);
        let odd = format!("x{long}");
        let lengths: Vec<usize> = texts("web.1", &odd).iter().map(|text| text.len() - 12).collect();
        assert_eq!(lengths, [9_999, 5_002]);
    }
}
