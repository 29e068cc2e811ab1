//! What a rule says: as JSON for programs, as text for people.

use std::fmt::Write as _;
use std::sync::Arc;

use model::log_rule::Pattern;
use model::{LogRule, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::record::Record;

/// Longer lines are shown in part.
const MAX_LINE: usize = 2000;

/// A message about lines that matched.
pub(super) struct Message {
    /// Lines that matched since the message before.
    pub matched: u64,
    /// The newest of them.
    pub lines: Vec<Arc<Record>>,
    /// The same in all tries.
    id: Uuid,
    is_test: bool,
}

impl Message {
    pub fn new(matched: u64, lines: Vec<Arc<Record>>) -> Self {
        Self { matched, lines, id: Uuid::new_v4(), is_test: false }
    }

    /// A message that shows that messages arrive.
    pub fn test() -> Self {
        let line = Record::note(0, Timestamp::now(), "This is a test of a log alert.");
        Self { is_test: true, ..Self::new(1, vec![Arc::new(line)]) }
    }

    /// Matches that are not among the lines.
    fn not_shown(&self) -> u64 {
        self.matched.saturating_sub(self.lines.len() as u64)
    }

    pub fn json(&self, rule: &LogRule) -> Value {
        let line = |record: &Arc<Record>| {
            json!({
                "id": record.id.to_string(),
                "created_at": record.at.to_string(),
                "source": record.source.as_str(),
                "dyno": &*record.process,
                "message": &*record.text,
            })
        };
        json!({
            "id": self.id.to_string(),
            "event": if self.is_test { "log.test" } else { "log.match" },
            "app": { "id": rule.app.to_string(), "name": rule.app_name.as_str() },
            "rule": { "id": rule.id.to_string(), "name": rule.name, "pattern": pattern(rule) },
            "matched": self.matched,
            "not_shown": self.not_shown(),
            "lines": self.lines.iter().map(line).collect::<Vec<_>>(),
        })
    }

    pub fn subject(&self, rule: &LogRule) -> String {
        let LogRule { app_name, name, .. } = rule;
        match self.matched {
            _ if self.is_test => format!("[{app_name}] {name}: test of this log alert"),
            1 => format!("[{app_name}] {name}: 1 line matches"),
            many => format!("[{app_name}] {name}: {many} lines match"),
        }
    }

    pub fn text(&self, rule: &LogRule) -> String {
        let mut text =
            format!("Lines in the log of {} match {}:\n\n", rule.app_name, pattern(rule));
        for record in &self.lines {
            let line = record.to_string();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", &line[..line.floor_char_boundary(MAX_LINE)]);
        }
        if self.not_shown() > 0 {
            let _ = writeln!(text, "\n{} earlier lines match too.", self.not_shown());
        }
        let minutes = rule.every.as_secs().div_ceil(60);
        let _ = writeln!(text, "\nThis alert is sent at most once in {minutes} minutes.");
        text
    }
}

/// The pattern as it was written.
fn pattern(rule: &LogRule) -> String {
    match &rule.pattern {
        Pattern::Words(words) => words.clone(),
        Pattern::Regex(regex) => format!("/{regex}/"),
    }
}
