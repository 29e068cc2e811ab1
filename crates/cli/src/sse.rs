//! Server-sent events: from bytes to events.

use std::io::{self, BufRead, BufReader, Read};

/// A line may not be longer; a log line is at most a hundredth of it.
const MAX_LINE: u64 = 1024 * 1024;
/// An event may not be larger.
const MAX_EVENT: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its id: where to go on after a broken connection.
    pub id: Option<String>,
    /// Its lines.
    pub data: String,
}

/// Reads events from a stream.
pub(crate) struct Events<R> {
    lines: BufReader<R>,
}

impl<R: Read> Events<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { lines: BufReader::new(stream) }
    }

    /// The next event, or none at the end of the stream. An event that is cut off is dropped.
    pub(crate) fn next(&mut self) -> io::Result<Option<Event>> {
        let mut event = Event::default();
        let mut has_data = false;
        while let Some(line) = self.line()? {
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() && has_data => return Ok(Some(event)),
                "id" => event.id = Some(value.to_owned()),
                "data" => {
                    if has_data {
                        event.data.push('\n');
                    }
                    has_data = true;
                    event.data.push_str(value);
                    if event.data.len() > MAX_EVENT {
                        return Err(too_large("an event"));
                    }
                }
                // Comments (pings) and fields that mean nothing to us.
                _ => {}
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        if self.lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') {
            return if line.len() as u64 == MAX_LINE { Err(too_large("a line")) } else { Ok(None) };
        }
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }
}

fn too_large(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} of the stream is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<(Option<String>, String)> {
        let mut events = Events::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(event) = events.next().expect("small") {
            all.push((event.id, event.data));
        }
        all
    }

    #[test]
    fn ids_data_comments_and_line_ends_are_told_apart() {
        let text = ": ping\n\nid: 7\ndata: one: two\ndata:three\n\r\ndata\r\nevent: x\r\n\r\n";
        let seven = (Some("7".to_owned()), "one: two\nthree".to_owned());
        assert_eq!(events(text), [seven, (None, String::new())]);
    }

    #[test]
    fn what_is_cut_off_is_dropped() {
        assert_eq!(events("id: 1\ndata: whole\n\nid: 2\ndata: ha").len(), 1);
        assert_eq!(events("id: 1\ndata: whole\n").len(), 0);
    }

    #[test]
    fn an_endless_line_is_an_error() {
        let text = vec![b'x'; 2 * 1024 * 1024];
        assert!(Events::new(text.as_slice()).next().is_err());
    }
}
