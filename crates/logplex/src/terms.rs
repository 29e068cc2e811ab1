//! Words to look for in lines: `"connection refused" time* -healthcheck`.
//!
//! All terms must be there, those with a `-` must not. A term matches whole words, whatever their
//! case; a `*` at its beginning or end lets the word go on there. Quotes keep a phrase together.

use memchr::memmem::Finder;

use crate::segments::{is_word, word_hashes};

/// A text that cannot be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTerms {
    /// There are too many.
    #[error("at most {MAX_TERMS} words can be looked for at once")]
    TooMany,
    /// A quote has no end.
    #[error("a quote has no end")]
    OpenQuote,
    /// A term without a character.
    #[error("an empty word cannot be looked for")]
    Empty,
}

/// No search has more.
const MAX_TERMS: usize = 20;

/// What is looked for in a line.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    wanted: Vec<Term>,
    unwanted: Vec<Term>,
}

/// One word or phrase.
#[derive(Clone, Debug)]
struct Term {
    /// In lower case.
    finder: Finder<'static>,
    /// The word may begin before.
    open_start: bool,
    /// The word may go on.
    open_end: bool,
}

impl Terms {
    /// Reads what a person wrote.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn parse(text: &str) -> Result<Self, BadTerms> {
        let mut terms = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (unwanted, begin) = match rest.strip_prefix('-') {
                Some(after) if !after.starts_with(char::is_whitespace) => (true, after),
                _ => (false, rest),
            };
            let (term, after) = word(begin)?;
            let list = if unwanted { &mut terms.unwanted } else { &mut terms.wanted };
            list.push(term);
            if terms.wanted.len() + terms.unwanted.len() > MAX_TERMS {
                return Err(BadTerms::TooMany);
            }
            rest = after.trim_start();
        }
        Ok(terms)
    }

    /// Also wants this phrase, as it is.
    ///
    /// # Errors
    /// When it is empty.
    pub fn with_phrase(mut self, phrase: &str) -> Result<Self, BadTerms> {
        self.wanted.push(Term::new(phrase, false, false)?);
        Ok(self)
    }

    /// Whether nothing in particular is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.unwanted.is_empty()
    }

    /// The hashes of words that every match has.
    pub(crate) fn hashes(&self) -> Vec<u64> {
        self.wanted.iter().flat_map(Term::hashes).collect()
    }

    /// Whether a line, in lower case, matches.
    pub(crate) fn match_lower(&self, line: &[u8]) -> bool {
        self.wanted.iter().all(|term| term.is_in(line))
            && !self.unwanted.iter().any(|term| term.is_in(line))
    }

    /// The first place of the rarest term at or behind `from`, in lines one after the other;
    /// the end without such a term.
    pub(crate) fn next_candidate(&self, lines: &[u8], from: usize) -> Option<usize> {
        let longest = self.wanted.iter().max_by_key(|term| term.finder.needle().len());
        match longest {
            Some(term) => term.finder.find(lines.get(from..)?).map(|at| from + at),
            None => (from < lines.len()).then_some(from),
        }
    }

    /// Whether a match must have a certain word.
    pub(crate) fn has_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }
}

impl Term {
    fn new(text: &str, open_start: bool, open_end: bool) -> Result<Self, BadTerms> {
        if text.is_empty() {
            return Err(BadTerms::Empty);
        }
        let finder = Finder::new(&text.to_ascii_lowercase()).into_owned();
        Ok(Self { finder, open_start, open_end })
    }

    fn is_in(&self, line: &[u8]) -> bool {
        let needle = self.finder.needle();
        let mut from = 0;
        while let Some(at) = self.finder.find(&line[from..]) {
            let (start, end) = (from + at, from + at + needle.len());
            let begins = self.open_start || start == 0 || !joins(line[start - 1], line[start]);
            let ends = self.open_end || end == line.len() || !joins(line[end - 1], line[end]);
            if begins && ends {
                return true;
            }
            from = start + 1;
        }
        false
    }

    /// The words that are whole in every match.
    fn hashes(&self) -> Vec<u64> {
        let text = String::from_utf8_lossy(self.finder.needle());
        let mut text = &*text;
        let is_word = |c: char| !c.is_ascii() || is_word(c as u8);
        if self.open_start {
            text = text.trim_start_matches(is_word);
        }
        if self.open_end {
            text = text.trim_end_matches(is_word);
        }
        word_hashes(text)
    }
}

/// Whether two bytes belong to one word.
fn joins(left: u8, right: u8) -> bool {
    is_word(left) && is_word(right)
}

/// The first term and what is behind it.
fn word(text: &str) -> Result<(Term, &str), BadTerms> {
    let (text, open_start) = match text.strip_prefix('*') {
        Some(text) => (text, true),
        None => (text, false),
    };
    if let Some(quoted) = text.strip_prefix('"') {
        let (phrase, rest) = quoted.split_once('"').ok_or(BadTerms::OpenQuote)?;
        return match rest.strip_prefix('*') {
            Some(rest) => Ok((Term::new(phrase, open_start, true)?, rest)),
            None => Ok((Term::new(phrase, open_start, false)?, rest)),
        };
    }
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    match word.strip_suffix('*') {
        Some(word) => Ok((Term::new(word, open_start, true)?, rest)),
        None => Ok((Term::new(word, open_start, false)?, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(terms: &str, line: &str) -> bool {
        let terms = Terms::parse(terms).expect("good terms");
        terms.match_lower(line.to_ascii_lowercase().as_bytes())
    }

    #[test]
    fn terms_match_whole_words_whatever_their_case() {
        for (terms, line, is) in [
            ("timeout", "Error: TIMEOUT.", true),
            ("timeout", "two timeouts", false),
            ("timeout*", "two timeouts", true),
            ("*out", "two timeouts", false),
            ("*out*", "two timeouts", true),
            ("a b", "b and a", true),
            ("\"a b\"", "b and a", false),
            ("\"a b\"", "ca a b", true),
            ("\"a a\"", "ba a a", true),
            ("a -b", "a", true),
            ("a -b", "a b", false),
            ("-b", "a", true),
            ("code=H12", "at=error code=H12 desc", true),
            ("- a", "a - b", true),
            ("", "anything", true),
            ("größe", "Die größe", true),
        ] {
            assert_eq!(matches(terms, line), is, "{terms} in {line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(Terms::parse("a \"b").expect_err("refused"), BadTerms::OpenQuote);
        assert_eq!(Terms::parse("*").expect_err("refused"), BadTerms::Empty);
        assert_eq!(Terms::parse(&"a ".repeat(21)).expect_err("refused"), BadTerms::TooMany);
    }

    #[test]
    fn only_whole_words_are_looked_up() {
        let hashes = |text| Terms::parse(text).expect("good").hashes().len();
        assert_eq!([hashes("a.b"), hashes("a.b*"), hashes("*a.b*"), hashes("*a*")], [2, 1, 0, 0]);
    }
}
