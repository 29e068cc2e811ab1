//! Shell patterns over paths, as bytes: `*`, `?`, `[a-z]`, `[!a]`, `\x`, and `**` for any number
//! of directories. A wildcard at the start of a name does not match a dot, as in a shell.
//!
//! Matching goes back only to the last star, so a pattern costs at most pattern × name.

/// One pattern, split at its slashes.
#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<Vec<u8>>,
}

impl Pattern {
    /// Reads one line of the file.
    pub(super) fn new(line: &[u8]) -> Self {
        let anchored = line.contains(&b'/');
        let parts = line.split(|&byte| byte == b'/').filter(|part| !part.is_empty());
        let mut parts: Vec<Vec<u8>> = parts.map(<[u8]>::to_vec).collect();
        if !anchored {
            parts.insert(0, b"**".to_vec());
        }
        Self { parts }
    }

    /// Whether the path made of `names` is meant.
    pub(super) fn matches(&self, names: &[&[u8]]) -> bool {
        if self.parts.is_empty() {
            return false;
        }
        wild(&self.parts, names, |part| part == b"**", |part, name| one_name(part, name))
    }
}

fn one_name(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let tokens = tokens(pattern);
    wild(&tokens, name, |token| matches!(token, Token::Many), |token, byte| token.takes(*byte))
}

/// Matches `pattern` against `text`, where an element for which `any` holds stands for any run.
fn wild<P, T>(
    pattern: &[P],
    text: &[T],
    any: impl Fn(&P) -> bool,
    one: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && any(&pattern[p]) {
            retry = Some((p, t));
            p += 1;
        } else if p < pattern.len() && one(&pattern[p], &text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, start)) = retry {
            retry = Some((star, start + 1));
            p = star + 1;
            t = start + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(any)
}

enum Token {
    Many,
    Any,
    Byte(u8),
    Class { ranges: Vec<(u8, u8)>, negated: bool },
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Many => false,
            Self::Any => true,
            Self::Byte(wanted) => *wanted == byte,
            Self::Class { ranges, negated } => {
                ranges.iter().any(|&(from, to)| (from..=to).contains(&byte)) != *negated
            }
        }
    }
}

fn tokens(pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        tokens.push(match first {
            b'*' => Token::Many,
            b'?' => Token::Any,
            b'\\' if !after.is_empty() => {
                rest = &after[1..];
                Token::Byte(after[0])
            }
            b'[' => match class(after) {
                Some((class, after)) => {
                    rest = after;
                    class
                }
                None => Token::Byte(b'['),
            },
            byte => Token::Byte(byte),
        });
    }
    tokens
}

/// The class after a `[`, and what follows its `]`; `None` when it never closes.
fn class(after: &[u8]) -> Option<(Token, &[u8])> {
    let negated = matches!(after.first(), Some(b'!' | b'^'));
    let body = if negated { &after[1..] } else { after };
    // A `]` in first place is a member.
    let end = 1 + body.get(1..)?.iter().position(|&byte| byte == b']')?;
    let mut ranges = Vec::new();
    let mut members = &body[..end];
    while let [first, more @ ..] = members {
        if let [b'-', last, more @ ..] = more {
            ranges.push((*first, *last));
            members = more;
        } else {
            ranges.push((*first, *first));
            members = more;
        }
    }
    Some((Token::Class { ranges, negated }, &body[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let names: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
        Pattern::new(pattern.as_bytes()).matches(&names)
    }

    #[test]
    fn wildcards_are_a_shells() {
        for (pattern, path) in [
            ("*.log", "a.log"),
            ("*.log", "x/y/a.log"),
            ("/*.log", "a.log"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a]x", "bx"),
            ("[]x]", "]"),
            ("\\*", "*"),
            ("a/**/z", "a/z"),
            ("a/**/z", "a/b/c/z"),
            ("a*b*c", "aXbXbXc"),
            ("[open", "[open"),
            (".env*", ".env.local"),
        ] {
            assert!(matches(pattern, path), "{pattern} should match {path}");
        }
        for (pattern, path) in [
            ("/*.log", "x/a.log"),
            ("*", ".hidden"),
            ("a/*", "a/b/c"),
            ("[!a]x", "ax"),
            ("a", "A"),
            ("a*b*c", "aXbX"),
        ] {
            assert!(!matches(pattern, path), "{pattern} should not match {path}");
        }
    }

    #[test]
    fn a_pattern_made_of_stars_ends_in_time() {
        let pattern = "*a".repeat(2000);
        let name = "a".repeat(255);
        assert!(!matches(&pattern, &name));
    }
}
