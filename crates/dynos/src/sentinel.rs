//! The line by which `heroku run --exit-code` learns the exit status.
//!
//! The official client appends `; echo "\u{FFFF} heroku-command-exit-status: $?"` to the command and
//! looks for that line inside one chunk of what it receives. So the line must leave in one piece,
//! and if the shell ends without printing it, somebody must print it in its place.

/// What the line begins with.
const MARK: &str = "\u{FFFF} heroku-command-exit-status: ";

/// A status and a line end are not longer.
const MAX_TAIL: usize = 12;

/// A part of the output, to be sent in one write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Anything.
    Plain(Vec<u8>),
    /// The line itself.
    Sentinel(Vec<u8>),
}

/// Looks for the line in a stream, and holds back what may be its beginning.
#[derive(Debug, Default)]
pub(crate) struct Sentinel {
    held: Vec<u8>,
    seen: bool,
}

impl Sentinel {
    /// What may be sent once `bytes` have come.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.held.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        let mut from = 0;
        while let Some(start) = find_start(&self.held, from) {
            match line_length(&self.held[start..]) {
                Line::Whole(length) => {
                    let rest = self.held.split_off(start + length);
                    let line = self.held.split_off(start);
                    plain(&mut pieces, std::mem::replace(&mut self.held, rest));
                    pieces.push(Piece::Sentinel(line));
                    self.seen = true;
                    from = 0;
                }
                Line::Unfinished => {
                    let rest = self.held.split_off(start);
                    plain(&mut pieces, std::mem::replace(&mut self.held, rest));
                    return pieces;
                }
                Line::Other => from = start + 1,
            }
        }
        plain(&mut pieces, std::mem::take(&mut self.held));
        pieces
    }

    /// What is still held when no more bytes come.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// The line for `status`, if `command` promises one and none has passed.
    pub(crate) fn missing(&self, command: &str, status: i32) -> Option<Vec<u8>> {
        (command.contains(MARK) && !self.seen).then(|| format!("{MARK}{status}\n").into_bytes())
    }
}

enum Line {
    Whole(usize),
    Unfinished,
    Other,
}

fn plain(pieces: &mut Vec<Piece>, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        pieces.push(Piece::Plain(bytes));
    }
}

fn find_start(bytes: &[u8], from: usize) -> Option<usize> {
    let first = MARK.as_bytes()[0];
    bytes[from..].iter().position(|&byte| byte == first).map(|at| from + at)
}

/// How `bytes`, which begin with the mark's first byte, go on.
fn line_length(bytes: &[u8]) -> Line {
    let mark = MARK.as_bytes();
    let common = bytes.len().min(mark.len());
    if bytes[..common] != mark[..common] {
        return Line::Other;
    }
    let tail = &bytes[common..];
    match tail.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'\r') {
        Some(end) if tail[end] == b'\n' => Line::Whole(common + end + 1),
        None if tail.len() <= MAX_TAIL => Line::Unfinished,
        _ => Line::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut sentinel = Sentinel::default();
        let (mut all, mut lines) = (Vec::new(), Vec::new());
        let mut pieces: Vec<_> = chunks.iter().flat_map(|chunk| sentinel.push(chunk)).collect();
        plain(&mut pieces, sentinel.finish());
        for piece in pieces {
            match piece {
                Piece::Plain(bytes) => all.extend(bytes),
                Piece::Sentinel(line) => {
                    all.extend_from_slice(&line);
                    lines.push(line);
                }
            }
        }
        (all, lines)
    }

    #[test]
    fn the_line_leaves_in_one_piece_however_it_arrives() {
        let text = format!("out \u{FFFE}\u{FFFF} x\n{MARK}42\r\nafter");
        let bytes = text.as_bytes();
        for size in 1..=bytes.len() {
            let chunks: Vec<_> = bytes.chunks(size).collect();
            let line = format!("{MARK}42\r\n").into_bytes();
            assert_eq!(cut(&chunks), (bytes.to_vec(), vec![line]), "{size}");
        }
    }

    #[test]
    fn nothing_else_is_held_back() {
        let mut sentinel = Sentinel::default();
        let bytes = format!("{MARK}not a number\n").into_bytes();
        assert_eq!(sentinel.push(&bytes), [Piece::Plain(bytes.clone())]);
        assert_eq!(sentinel.push("\u{FFFE}".as_bytes()), [Piece::Plain("\u{FFFE}".into())]);
        let endless = format!("{MARK}{}", "1".repeat(100)).into_bytes();
        assert_eq!(sentinel.push(&endless), [Piece::Plain(endless.clone())]);
        assert_eq!(sentinel.finish(), b"");
    }

    #[test]
    fn a_promised_line_that_did_not_come_is_made() {
        let command = format!("exit 7 ; echo \"{MARK}$?\"");
        let mut sentinel = Sentinel::default();
        assert_eq!(sentinel.missing(&command, 7), Some(format!("{MARK}7\n").into_bytes()));
        assert_eq!(sentinel.missing("exit 7", 7), None);
        sentinel.push(format!("{MARK}0\n").as_bytes());
        assert_eq!(sentinel.missing(&command, 7), None);
    }
}
