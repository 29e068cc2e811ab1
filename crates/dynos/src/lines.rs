//! From bytes to lines.

use model::log::Altered;

/// A longer line is cut into several (Heroku, "Logging": 10,000 bytes).
pub(crate) const MAX_LINE: usize = 10_000;

/// Puts bytes together to lines. Holds less than [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// Whether the line that is not whole yet was cut before.
    is_cut: bool,
    altered: Altered,
}

impl Lines {
    /// The lines that `bytes` complete, without their ends. What is not UTF-8 is replaced.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            if self.rest.is_empty() && end <= MAX_LINE {
                lines.push(self.text(&bytes[..end]));
                self.is_cut = false;
            } else {
                self.take(&bytes[..=end], &mut lines);
            }
            bytes = &bytes[end + 1..];
        }
        if !bytes.is_empty() {
            self.take(bytes, &mut lines);
        }
        lines
    }

    /// What is left when no more bytes come.
    pub(crate) fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| self.text(&rest))
    }

    /// Lines that were not given as they came, since this was last asked.
    pub(crate) fn take_altered(&mut self) -> Altered {
        std::mem::take(&mut self.altered)
    }

    /// Takes a part with at most one line end, which is its last byte.
    fn take(&mut self, mut part: &[u8], lines: &mut Vec<String>) {
        loop {
            let room = MAX_LINE - self.rest.len();
            let (ended, length) = match part.strip_suffix(b"\n") {
                Some(line) => (true, line.len()),
                None => (false, part.len()),
            };
            if ended && length <= room {
                self.rest.extend_from_slice(&part[..length]);
                let line = std::mem::take(&mut self.rest);
                lines.push(self.text(&line));
                self.is_cut = false;
                return;
            }
            if length < room {
                self.rest.extend_from_slice(part);
                return;
            }
            self.rest.extend_from_slice(&part[..room]);
            lines.push(self.cut());
            part = &part[room..];
        }
    }

    /// A full piece of a long line. A character that is not complete stays for the next piece.
    fn cut(&mut self) -> String {
        self.altered.cut += u64::from(!std::mem::replace(&mut self.is_cut, true));
        let whole = self.rest.len() - unfinished(&self.rest);
        let tail = self.rest.split_off(whole);
        let piece = std::mem::replace(&mut self.rest, tail);
        self.text(&piece)
    }

    fn text(&mut self, bytes: &[u8]) -> String {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                self.altered.replaced += 1;
                String::from_utf8_lossy(bytes).into_owned()
            }
        }
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let longer = |length: usize| {
        let first = bytes.len().checked_sub(length).map(|at| bytes[at]);
        first.is_some_and(|first| width(first) > length)
    };
    (1..=3).find(|&length| longer(length)).unwrap_or(0)
}

/// Bytes of the character that begins with `first`; 0 if none does.
fn width(first: u8) -> usize {
    match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found: Vec<_> = chunks.iter().flat_map(|chunk| lines.push(chunk)).collect();
        found.extend(lines.finish());
        found
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive() {
        let text = "one\r\n\ntwo é\nrest".as_bytes();
        for size in 1..text.len() {
            let chunks: Vec<_> = text.chunks(size).collect();
            assert_eq!(all(&chunks), ["one", "", "two é", "rest"], "{size}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = format!("a{}\nnext\n", "é".repeat(10_000));
        let found = all(&[line.as_bytes()]);
        assert_eq!(found.concat() + "\n", line.replacen("\nnext", "next", 1));
        assert!(found.iter().all(|piece| piece.len() <= MAX_LINE));
        assert_eq!(found.len(), 4);
        assert_eq!(found[3], "next");
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_one_line() {
        let line = format!("{}\n", "x".repeat(MAX_LINE));
        assert_eq!(all(&[line.as_bytes()]), ["x".repeat(MAX_LINE)]);
    }

    #[test]
    fn lines_that_are_altered_are_counted() {
        let mut lines = Lines::default();
        lines.push(b"a\xFFb\xFF\nfine\n");
        lines.push(&[b'x'; 25_000]);
        lines.push(b"\n\xFE\n");
        assert_eq!(lines.take_altered(), Altered { replaced: 2, cut: 1 });
        assert_eq!(lines.take_altered(), Altered::default());
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(all(&[b"a\xFFb\n"]), ["a\u{FFFD}b"]);
        assert_eq!(all(&[&[0xFF; 10_001]]).len(), 2);
    }
}
