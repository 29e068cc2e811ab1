//! Log rules: who is told of which lines in an app's log.

use std::sync::Arc;
use std::time::Duration;

use model::log::Source;
use model::log_rule::{LogRule, MAX_PER_APP, Pattern, Target};
use model::{Account, AppId, LogRuleId, Timestamp};
use store::{Poke, Reader, log_rules};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::wake::{Wake, Woken};
use crate::{Control, Error, Resource, Result, access, random};

/// Two messages of one rule are at least so far apart.
pub const LEAST_EVERY: Duration = Duration::from_secs(60);

/// And at most so far.
pub const MOST_EVERY: Duration = Duration::from_hours(7 * 24);

/// Rules are looked at again so often, whatever happens.
const PERIOD: Duration = Duration::from_mins(10);

/// What a new rule is to be.
#[derive(Clone, Debug)]
pub struct NewLogRule {
    /// Its name; none for one that is made up.
    pub name: Option<String>,
    /// What a line must have. The caller has seen that it makes sense.
    pub pattern: Pattern,
    /// Only lines of this process, or of all of a type.
    pub dyno: Option<String>,
    /// Only lines of this source.
    pub source: Option<Source>,
    /// Who is told.
    pub target: NewTarget,
    /// The least time between two messages; none for five minutes.
    pub every: Option<Duration>,
}

/// Who is to be told.
#[derive(Clone, Debug)]
pub enum NewTarget {
    /// A URL. Its secret is made up.
    Webhook(String),
    /// An address.
    Email(String),
}

/// All rules of an app.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<LogRule>> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            Ok(log_rules::list(db, app)?)
        })
        .await
}

/// One rule, by id or name.
///
/// # Errors
/// When the app or the rule is not found, or the database fails.
pub async fn info(
    control: &Control,
    who: &Account,
    app: AppId,
    id_or_name: &str,
) -> Result<LogRule> {
    let (who, wanted) = (who.clone(), id_or_name.to_owned());
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            of_app(db, app, &wanted)
        })
        .await
}

/// Makes a rule. It is at work a moment later.
///
/// # Errors
/// When the app is not found, the rule makes no sense, its name is taken, there are too many, or
/// the database fails.
pub async fn create(
    control: &Control,
    who: &Account,
    app: AppId,
    new: NewLogRule,
) -> Result<LogRule> {
    let who = who.clone();
    let target = target(new.target)?;
    let every = every(new.every)?;
    control
        .write(move |control, tx| {
            let app = access::app(tx, &who, app)?;
            let rules = log_rules::list(tx, app.id)?;
            if rules.len() >= MAX_PER_APP {
                let limit = format!("An app may have at most {MAX_PER_APP} log alerts.");
                return Err(Error::TooMany(limit));
            }
            let name = name(new.name, &rules)?;
            let rule = LogRule {
                id: LogRuleId::random(),
                app: app.id,
                app_name: app.name,
                name,
                pattern: new.pattern,
                dyno: new.dyno.filter(|dyno| !dyno.is_empty()),
                source: new.source,
                target,
                every,
                created_at: Timestamp::now(),
            };
            log_rules::insert(tx, &rule)?;
            tx.poke(Poke::LogRules);
            let line = format!("Add log alert {} by user {}", rule.name, who.email);
            control.announce(tx, app.id, vec![line]);
            Ok(rule)
        })
        .await
}

/// Removes a rule.
///
/// # Errors
/// When the app or the rule is not found, or the database fails.
pub async fn remove(
    control: &Control,
    who: &Account,
    app: AppId,
    id_or_name: &str,
) -> Result<LogRule> {
    let (who, wanted) = (who.clone(), id_or_name.to_owned());
    control
        .write(move |control, tx| {
            access::app(tx, &who, app)?;
            let rule = of_app(tx, app, &wanted)?;
            log_rules::delete(tx, rule.id)?;
            tx.poke(Poke::LogRules);
            let line = format!("Remove log alert {} by user {}", rule.name, who.email);
            control.announce(tx, app, vec![line]);
            Ok(rule)
        })
        .await
}

/// Publishes the rules of all living apps, now and whenever they change, until cancelled.
pub async fn publish(
    control: Control,
    to: watch::Sender<Arc<Vec<LogRule>>>,
    cancel: CancellationToken,
) {
    let pokes = [Poke::LogRules, Poke::Garbage, Poke::Routes];
    let mut wake = Wake::new(&control.store, &pokes, PERIOD, cancel);
    loop {
        match control.read(|db| Ok(log_rules::living(db)?)).await {
            Ok(rules) => {
                to.send_if_modified(|now| {
                    let changed = **now != rules;
                    if changed {
                        *now = Arc::new(rules);
                    }
                    changed
                });
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot read log rules");
            }
        }
        if wake.next().await == Woken::Stop {
            return;
        }
    }
}

fn of_app(db: &Reader<'_>, app: AppId, id_or_name: &str) -> Result<LogRule> {
    let all = log_rules::list(db, app)?;
    let same = |rule: &LogRule| rule.name == id_or_name || rule.id.to_string() == id_or_name;
    all.into_iter().find(same).ok_or(Error::NotFound(Resource::LogRule))
}

fn target(new: NewTarget) -> Result<Target> {
    let url = match new {
        NewTarget::Email(address) => return Ok(Target::Email { address }),
        NewTarget::Webhook(url) => url,
    };
    let invalid = |why: String| Error::Invalid(format!("The webhook's URL cannot be used: {why}."));
    let parsed: model::drain::Url =
        url.parse().map_err(|error: model::drain::UrlError| invalid(error.0))?;
    if !parsed.scheme.is_http() {
        return Err(invalid("it must begin with https:// or http://".to_owned()));
    }
    Ok(Target::Webhook { url: parsed, secret: random::token()? })
}

fn every(wanted: Option<Duration>) -> Result<Duration> {
    let every = wanted.unwrap_or(Duration::from_mins(5));
    if (LEAST_EVERY..=MOST_EVERY).contains(&every) {
        return Ok(every);
    }
    let text = "A log alert is sent at most once in a time from one minute to seven days.";
    Err(Error::Invalid(text.to_owned()))
}

fn name(wanted: Option<String>, rules: &[LogRule]) -> Result<String> {
    let is_taken = |name: &str| rules.iter().any(|rule| rule.name == name);
    let Some(name) = wanted else {
        let mut made_up = (1..).map(|n| format!("alert-{n}"));
        return Ok(made_up.find(|name| !is_taken(name)).unwrap_or_default());
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !(1..=60).contains(&name.len()) || !name.chars().all(is_plain) {
        let text = "A log alert's name has 1 to 60 letters, digits, dashes, dots or underscores.";
        return Err(Error::Invalid(text.to_owned()));
    }
    if is_taken(&name) {
        return Err(Error::Invalid(format!("There is a log alert {name} already.")));
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
