//! Rules: somebody is told when certain lines are logged.
//!
//! The intake offers each batch and never waits; a task looks for matches. A rule's first match is
//! told at once; what follows within its time is counted and told together. What a receiver does
//! costs nobody but its own rule, and failures are shown in the rule's status.

mod armed;
mod mail;
mod message;
mod webhook;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use model::log_rule::{Pattern, Target};
use model::{AppId, LogRule, LogRuleId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::disk::Batch;
use crate::drains::{self, AuthoritiesError, House};
use crate::record::Record;
use crate::streams::Streams;

pub use armed::RuleStatus;
use armed::{Armed, Matcher};
pub use mail::{Mail, MailSecurity, check_address};
use message::Message;

/// Batches that may wait to be looked at; beyond it they are counted as not looked at.
const MAX_WAITING: usize = 256;

/// Messages under way at once.
const MAX_DELIVERIES: usize = 8;

/// Waits before a message is tried again.
const RETRIES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// What rules need of the platform.
pub struct Config {
    /// How webhooks' receivers are reached, as those of drains are.
    pub doors: drains::Config,
    /// The platform's mail, if the operator has set it up.
    pub mail: Option<Mail>,
    /// Waits before a message is tried again.
    pub retries: Vec<Duration>,
}

impl Config {
    /// With the usual waits.
    #[must_use]
    pub fn new(doors: drains::Config, mail: Option<Mail>) -> Self {
        Self { doors, mail, retries: RETRIES.to_vec() }
    }
}

/// The rules at work. Clones are the same.
#[derive(Clone)]
pub struct Rules {
    shared: Arc<Shared>,
}

struct Shared {
    armory: RwLock<Arc<Armory>>,
    queue: mpsc::Sender<(AppId, Vec<Arc<Record>>)>,
    office: Office,
}

type Armory = HashMap<AppId, Vec<Arc<Armed>>>;

/// Where messages go out.
struct Office {
    house: House,
    mail: Option<Mail>,
    retries: Vec<Duration>,
}

/// Says what is wrong with a pattern.
///
/// # Errors
/// The text for the person who wrote it.
pub fn check(pattern: &Pattern) -> Result<(), String> {
    Matcher::new(pattern).map(drop)
}

impl Rules {
    /// How a rule fares; `None` when it is not at work (yet).
    #[must_use]
    pub fn status(&self, rule: LogRuleId) -> Option<RuleStatus> {
        self.find(rule).map(|armed| armed.status())
    }

    /// Sends a message of one made-up line at once.
    ///
    /// # Errors
    /// Why it did not arrive, for the person who asked.
    pub async fn test(&self, rule: LogRuleId) -> Result<(), String> {
        let Some(armed) = self.find(rule) else {
            return Err("it is not at work yet".to_owned());
        };
        let outcome = self.shared.office.send(&armed.rule, &Message::test()).await;
        armed.tested(&outcome);
        outcome.map_err(|failure| failure.why)
    }

    /// Offers lines to the rules of their apps. Never waits.
    pub(crate) fn offer(&self, batch: &Batch) {
        let armory = self.armory();
        if armory.is_empty() {
            return;
        }
        for (app, records) in batch {
            let Some(rules) = armory.get(app) else { continue };
            if self.shared.queue.try_send((*app, records.clone())).is_err() {
                rules.iter().for_each(|rule| rule.overlook(records.len()));
            }
        }
    }

    fn find(&self, rule: LogRuleId) -> Option<Arc<Armed>> {
        let armory = self.armory();
        armory.values().flatten().find(|armed| armed.rule.id == rule).cloned()
    }

    fn armory(&self) -> Arc<Armory> {
        self.shared.armory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on with the rules that have not changed, and begins the others.
    fn arm(&self, wanted: &[LogRule]) {
        let before = self.armory();
        let mut armory = Armory::new();
        for rule in wanted {
            let same = |armed: &&Arc<Armed>| armed.rule == *rule;
            let known = before.get(&rule.app).and_then(|rules| rules.iter().find(same));
            let armed = known.cloned().unwrap_or_else(|| Arc::new(Armed::new(rule.clone())));
            armory.entry(rule.app).or_default().push(armed);
        }
        *self.shared.armory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(armory);
    }
}

/// Starts the rules that are wanted, and follows what is wanted until the server stops.
///
/// # Errors
/// The operator's authorities cannot be read.
pub(crate) fn start(
    streams: Arc<Streams>,
    wanted: watch::Receiver<Arc<Vec<LogRule>>>,
    config: Config,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<Rules, AuthoritiesError> {
    let (queue, offered) = mpsc::channel(MAX_WAITING);
    let Config { doors, mail, retries } = config;
    let office = Office { house: House::new(streams, doors)?, mail, retries };
    let rules = Rules { shared: Arc::new(Shared { armory: RwLock::default(), queue, office }) };
    let watch = Watch { rules: rules.clone(), hot: HashMap::new(), deliveries: JoinSet::new() };
    tasks.spawn(watch.run(offered, wanted, stop));
    Ok(rules)
}

/// The task that looks for matches.
struct Watch {
    rules: Rules,
    /// Rules with something to tell, or that are telling.
    hot: HashMap<LogRuleId, Arc<Armed>>,
    deliveries: JoinSet<()>,
}

impl Watch {
    async fn run(
        mut self,
        mut offered: mpsc::Receiver<(AppId, Vec<Arc<Record>>)>,
        mut wanted: watch::Receiver<Arc<Vec<LogRule>>>,
        stop: CancellationToken,
    ) {
        let now = wanted.borrow_and_update().clone();
        self.rules.arm(&now);
        loop {
            let next = self.next_due();
            // Lines and changes stay in their channels, and a delivery is joined later, when
            // another arm is first.
            tokio::select! {
                Some((app, records)) = offered.recv() => self.look(app, &records),
                changed = wanted.changed() => match changed {
                    Ok(()) => {
                        let now = wanted.borrow_and_update().clone();
                        self.rules.arm(&now);
                    }
                    Err(_) => return,
                },
                Some(_) = self.deliveries.join_next() => {}
                () = due(next) => {}
                () = stop.cancelled() => return,
            }
            self.tell();
        }
    }

    fn look(&mut self, app: AppId, records: &[Arc<Record>]) {
        for armed in self.rules.armory().get(&app).into_iter().flatten() {
            if armed.look(records) {
                self.hot.insert(armed.rule.id, armed.clone());
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        if self.deliveries.len() >= MAX_DELIVERIES {
            return None;
        }
        self.hot.values().filter_map(|armed| armed.due()).min()
    }

    /// Begins the messages that are due.
    fn tell(&mut self) {
        let now = Instant::now();
        self.hot.retain(|_, armed| armed.is_hot());
        for armed in self.hot.values() {
            if self.deliveries.len() >= MAX_DELIVERIES {
                return;
            }
            if let Some(message) = armed.take(now) {
                let (armed, rules) = (armed.clone(), self.rules.clone());
                self.deliveries.spawn(async move {
                    let outcome = rules.shared.office.deliver(&armed.rule, &message).await;
                    armed.told(message, &outcome);
                });
            }
        }
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Why a message did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    /// For people.
    why: String,
    /// Whether another try may help.
    is_final: bool,
}

impl Failure {
    fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_final: false }
    }

    fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_final: true }
    }
}

impl Office {
    /// Sends a message, with as many tries as it takes and there are.
    async fn deliver(&self, rule: &LogRule, message: &Message) -> Result<(), Failure> {
        let mut outcome = self.send(rule, message).await;
        for &wait in &self.retries {
            match &outcome {
                Err(failure) if !failure.is_final => sleep(wait).await,
                _ => return outcome,
            }
            outcome = self.send(rule, message).await;
        }
        outcome
    }

    /// Sends a message once.
    async fn send(&self, rule: &LogRule, message: &Message) -> Result<(), Failure> {
        match &rule.target {
            Target::Webhook { url, secret } => {
                webhook::send(&self.house, url, secret, message.json(rule)).await
            }
            Target::Email { address } => match &self.mail {
                Some(mail) => mail.send(address, message.subject(rule), message.text(rule)).await,
                None => Err(Failure::lasting(
                    "this platform sends no mail; its operator can set it up by [mail] in hythe.toml",
                )),
            },
        }
    }
}

#[cfg(test)]
mod tests;
