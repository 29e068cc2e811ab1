//! Journeys as text: command lines and what they print. They are tests and documentation at once.
//!
//! ```text
//! # A sentence on what follows.
//! $ heroku create demo
//! Creating ⬢ demo... done
//! http://demo.localhost:PORT/ | https://localhost:PORT/demo.git
//! $ heroku run -x -- false
//! ...
//! [1]
//! ```
//!
//! A line `...` stands for any lines, `…` inside a line for any text; `[N]` is the exit status when
//! it is not 0, `[…]` any such. Commands run in one directory, by bash, with both streams together. Before they are
//! compared, ports, times, ids and hashes are replaced by words, and trailing blanks are cut.
//! `$?` instead of `$` repeats the command until its output is as expected (at most a minute).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::client::Person;

/// How long a `$?` command is repeated.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that takes longer is ended, with status 124.
const COMMAND_LIMIT_SECONDS: &str = "120";

/// One command and its expected output.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    repeat: bool,
    expected: Vec<String>,
    status: Status,
}

/// An expected exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Exactly this one.
    Is(i32),
    /// Any but 0: `[…]`.
    Failure,
}

impl Status {
    fn parse(line: &str) -> Option<Self> {
        match line.strip_prefix('[')?.strip_suffix(']')? {
            "…" => Some(Self::Failure),
            digits => digits.parse().ok().map(Self::Is),
        }
    }

    fn allows(self, status: i32) -> bool {
        match self {
            Self::Is(exactly) => status == exactly,
            Self::Failure => status != 0,
        }
    }
}

/// A scenario file.
pub struct Scenario {
    path: PathBuf,
    steps: Vec<Step>,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Panics
    /// When the file cannot be read.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        Self { path: path.to_owned(), steps: parse(&text) }
    }

    /// Plays it in `dir`, and compares.
    ///
    /// # Panics
    /// At the first step whose output or exit status differs.
    pub fn play(&self, person: &Person, dir: &Path) {
        assert!(!self.steps.is_empty(), "{} has no steps", self.path.display());
        for step in &self.steps {
            let started = Instant::now();
            loop {
                let (output, status) = run(person, dir, &step.command);
                let lines: Vec<String> = filtered(&output);
                let same = step.status.allows(status) && matches(&step.expected, &lines);
                if same {
                    break;
                }
                assert!(
                    step.repeat && started.elapsed() < PATIENCE,
                    "{}:{}: {}\n--- expected [{:?}]\n{}\n--- got [{status}]\n{}\n",
                    self.path.display(),
                    step.line,
                    step.command,
                    step.status,
                    step.expected.join("\n"),
                    lines.join("\n"),
                );
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    }
}

fn parse(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let repeat = line.starts_with("$? ");
        if let Some(command) = line.strip_prefix("$? ").or_else(|| line.strip_prefix("$ ")) {
            steps.push(Step {
                line: number + 1,
                command: command.to_owned(),
                repeat,
                expected: Vec::new(),
                status: Status::Is(0),
            });
        } else if let Some(step) = steps.last_mut() {
            if line.starts_with("# ") {
                continue;
            }
            match Status::parse(line) {
                Some(status) => step.status = status,
                None => step.expected.push(line.trim_end().to_owned()),
            }
        }
    }
    for step in &mut steps {
        while step.expected.last().is_some_and(String::is_empty) {
            step.expected.pop();
        }
    }
    steps
}

fn run(person: &Person, dir: &Path, command: &str) -> (String, i32) {
    let both = format!("exec 2>&1\n{command}");
    let output = person.run(dir, "timeout", &[COMMAND_LIMIT_SECONDS, "bash", "-c", &both]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.code().unwrap_or(-1))
}

/// The output as compared: what differs from run to run replaced by words.
fn filtered(output: &str) -> Vec<String> {
    let mut lines: Vec<String> = output
        .replace('\r', "\n")
        .lines()
        // The CLI's remark on how the tests log in.
        .filter(|line| !line.contains("HEROKU_API_KEY"))
        .map(|line| words(line.trim_end()))
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    while lines.first().is_some_and(String::is_empty) {
        lines.remove(0);
    }
    lines
}

fn words(line: &str) -> String {
    let mut result = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        if let Some((word, length)) = port(rest).or_else(|| uuid(rest)) {
            result.push_str(word);
            rest = &rest[length..];
        } else {
            result.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    result
}

/// `localhost:41234` becomes `localhost:PORT`.
fn port(text: &str) -> Option<(&'static str, usize)> {
    let digits = text.strip_prefix("localhost:")?;
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    (length >= 4).then_some(("localhost:PORT", "localhost:".len() + length))
}

/// A UUID becomes `UUID`.
fn uuid(text: &str) -> Option<(&'static str, usize)> {
    let shape = text.get(..36)?;
    let good = shape.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    good.then_some(("UUID", 36))
}

/// Whether `lines` are what was expected, where `...` stands for any number of lines.
fn matches(expected: &[String], lines: &[String]) -> bool {
    match (expected.split_first(), lines.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((first, rest)), _) if first == "..." => {
            (0..=lines.len()).any(|skip| matches(rest, &lines[skip..]))
        }
        (Some(_), None) => false,
        (Some((first, rest)), Some((line, others))) => {
            line_matches(first, line) && matches(rest, others)
        }
    }
}

/// Whether a line is what was expected, where `…` stands for any text.
fn line_matches(expected: &str, line: &str) -> bool {
    let Some((start, others)) = expected.split_once('…') else { return line == expected };
    let Some(rest) = line.strip_prefix(start) else { return false };
    let middle_of = |rest: &str, others: &str| {
        let boundaries = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
        boundaries.into_iter().any(|at| line_matches(others, &rest[at..]))
    };
    middle_of(rest, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_lines_and_for_text() {
        let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
        assert!(matches(&lines("a\n...\nz"), &lines("a\nb\nc\nz")));
        assert!(matches(&lines("a\n...\nz"), &lines("a\nz")));
        assert!(!matches(&lines("a\n...\nz"), &lines("a\nb")));
        assert!(line_matches("v… Deploy …", "v3 Deploy 409cdef5"));
        assert!(!line_matches("v… Deploy", "v3 Deploy 409cdef5"));
    }

    #[test]
    fn steps_have_a_command_output_and_status() {
        let steps = parse("Intro.\n\n$ false\nsome output\n\n[1]\n# Then.\n$? true\n");
        assert_eq!(steps.len(), 2);
        assert_eq!(
            (steps[0].status, steps[0].expected.as_slice()),
            (Status::Is(1), &["some output".to_owned()][..])
        );
        assert!(steps[1].repeat && steps[1].expected.is_empty());
    }
}
