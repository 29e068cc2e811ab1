//! One rule at work: what it has seen, and when it speaks next.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::log_rule::Pattern;
use model::{LogRule, Timestamp};
use regex::{Regex, RegexBuilder};
use tokio::time::Instant;

use super::Failure;
use super::message::Message;
use crate::query::Filter;
use crate::record::Record;
use crate::terms::Terms;

/// The newest lines that a message shows; of others it says how many.
const MAX_SHOWN: usize = 20;

/// Bytes that a pattern may need once it is compiled.
const MAX_PATTERN: usize = 1 << 20;

/// How a rule fares, since the server's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleStatus {
    /// Lines that matched.
    pub matched: u64,
    /// Messages that arrived.
    pub sent: u64,
    /// Messages that did not, after all tries.
    pub failed: u64,
    /// Matches that no message has told of yet.
    pub untold: u64,
    /// Lines that could not be looked at because too many came at once.
    pub overlooked: u64,
    /// When a message last arrived.
    pub last_sent_at: Option<Timestamp>,
    /// Why the last message did not arrive; `None` once one has.
    pub last_error: Option<String>,
}

/// What a line is compared with.
pub(super) enum Matcher {
    Terms(Terms),
    Regex(Regex),
}

impl Matcher {
    pub fn new(pattern: &Pattern) -> Result<Self, String> {
        match pattern {
            Pattern::Words(words) => match Terms::parse(words) {
                Ok(terms) if terms.is_empty() => Err("no words are given".to_owned()),
                Ok(terms) => Ok(Self::Terms(terms)),
                Err(error) => Err(error.to_string()),
            },
            Pattern::Regex(text) => {
                let built = RegexBuilder::new(text).size_limit(MAX_PATTERN).build();
                built.map(Self::Regex).map_err(|error| error.to_string())
            }
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Terms(terms) => terms.match_lower(text.to_ascii_lowercase().as_bytes()),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// A rule at work.
pub(super) struct Armed {
    pub rule: LogRule,
    filter: Filter,
    /// `None` when the pattern is of another version of the platform, and makes no sense here.
    matcher: Option<Matcher>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    status: RuleStatus,
    /// The newest lines of which no message has told.
    shown: VecDeque<Arc<Record>>,
    /// Not before then.
    quiet_until: Option<Instant>,
    is_telling: bool,
}

impl Armed {
    /// A rule that has seen nothing.
    pub fn new(rule: LogRule) -> Self {
        let filter = Filter { dyno: rule.dyno.clone(), source: rule.source };
        let matcher = Matcher::new(&rule.pattern);
        let last_error = matcher.as_ref().err().map(|why| format!("the pattern is bad: {why}"));
        let status = RuleStatus { last_error, ..RuleStatus::default() };
        let state = Mutex::new(State { status, ..State::default() });
        Self { rule, filter, matcher: matcher.ok(), state }
    }

    /// How it fares.
    pub fn status(&self) -> RuleStatus {
        self.state().status.clone()
    }

    /// Looks at lines. Answers whether one matches.
    pub fn look(&self, records: &[Arc<Record>]) -> bool {
        let Some(matcher) = &self.matcher else { return false };
        let is_match =
            |record: &&Arc<Record>| self.filter.matches(record) && matcher.matches(&record.text);
        let mut found = records.iter().filter(is_match).peekable();
        if found.peek().is_none() {
            return false;
        }
        let mut state = self.state();
        for record in found {
            state.status.matched += 1;
            state.status.untold += 1;
            state.show(record.clone());
        }
        true
    }

    /// Lines came that could not be looked at.
    pub fn overlook(&self, lines: usize) {
        self.state().status.overlooked += lines as u64;
    }

    /// Whether there is something to tell, or is being told.
    pub fn is_hot(&self) -> bool {
        let state = self.state();
        state.is_telling || state.status.untold > 0
    }

    /// When it wants to speak.
    pub fn due(&self) -> Option<Instant> {
        let state = self.state();
        let wants = state.status.untold > 0 && !state.is_telling;
        wants.then(|| state.quiet_until.unwrap_or_else(Instant::now))
    }

    /// What it has to say, if it may speak now.
    pub fn take(&self, now: Instant) -> Option<Message> {
        let mut state = self.state();
        let may = !state.is_telling && state.quiet_until.is_none_or(|until| until <= now);
        if !may || state.status.untold == 0 {
            return None;
        }
        state.is_telling = true;
        state.quiet_until = Some(now + self.rule.every);
        let matched = std::mem::take(&mut state.status.untold);
        Some(Message::new(matched, state.shown.drain(..).collect()))
    }

    /// A message arrived, or did not; then the next tells of its matches too.
    pub fn told(&self, message: Message, outcome: &Result<(), Failure>) {
        let mut state = self.state();
        state.is_telling = false;
        match outcome {
            Ok(()) => state.succeeded(),
            Err(failure) => {
                state.status.failed += 1;
                state.status.last_error = Some(failure.why.clone());
                state.status.untold += message.matched;
                let newer = std::mem::take(&mut state.shown);
                message.lines.into_iter().chain(newer).for_each(|record| state.show(record));
            }
        }
    }

    /// Somebody has tried it.
    pub fn tested(&self, outcome: &Result<(), Failure>) {
        let mut state = self.state();
        match outcome {
            Ok(()) => state.succeeded(),
            Err(failure) => state.status.last_error = Some(failure.why.clone()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn show(&mut self, record: Arc<Record>) {
        if self.shown.len() == MAX_SHOWN {
            self.shown.pop_front();
        }
        self.shown.push_back(record);
    }

    fn succeeded(&mut self) {
        self.status.sent += 1;
        self.status.last_sent_at = Some(Timestamp::now());
        self.status.last_error = None;
    }
}
