//! `logs:alerts`: who is told of which lines.

use clap::Args;
use serde_json::json;

use crate::client::{Method, segment};
use crate::failure::Outcome;
use crate::session::{AppFlags, Session};
use crate::tables;
use crate::topics::log_search::query;
use crate::wire::LogAlert;
use crate::words;

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    flags: AppFlags,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let alerts: Vec<LogAlert> = target.client.get(&path(&target.app))?;
        let screen = &session.screen;
        if alerts.is_empty() {
            return screen.line(&format!("{} has no log alerts.", target.app));
        }
        screen.header(&format!("{} Log Alerts", target.app))?;
        let rows: Vec<_> = alerts.iter().map(row).collect();
        tables::table(screen, &["Name", "Looks for", "In", "Tells", "Every", "State"], &rows)
    }
}

#[derive(Args)]
pub(crate) struct Add {
    /// Words to look for: '"out of memory"'
    #[arg(value_name = "WORDS", required_unless_present = "regex")]
    words: Vec<String>,
    /// Not lines with this word or phrase; may be given several times
    #[arg(long, value_name = "WORD", conflicts_with = "regex")]
    exclude: Vec<String>,
    #[command(flatten)]
    flags: AppFlags,
    /// Look for this regular expression instead
    #[arg(long, value_name = "REGEX", conflicts_with = "words")]
    regex: Option<String>,
    /// Send a POST of JSON there
    #[arg(long, value_name = "URL", required_unless_present = "email", conflicts_with = "email")]
    url: Option<String>,
    /// Send an e-mail
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// What to call it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only lines of this dyno or process type
    #[arg(short, long, aliases = ["dyno-name", "ps"], value_name = "DYNO")]
    dyno: Option<String>,
    /// Only lines of this source (app or heroku)
    #[arg(short, long, value_name = "SOURCE")]
    source: Option<String>,
    /// Minutes that are at least between two messages
    #[arg(long, value_name = "MINUTES", default_value_t = 5)]
    every: u64,
}

impl Add {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let body = json!({
            "name": self.name,
            "words": query(&self.words, &self.exclude),
            "regex": self.regex,
            "url": self.url,
            "email": self.email,
            "dyno": self.dyno,
            "source": self.source,
            "every_seconds": self.every * 60,
        });
        let doing = format!("Adding a log alert to {}", target.app);
        let alert: LogAlert = session.screen.action(&doing, || {
            let alert: LogAlert =
                target.client.ask(Method::Post, &path(&target.app), Some(&body))?;
            let name = alert.name.clone();
            Ok((alert, name))
        })?;
        let Some(secret) = alert.secret else { return Ok(()) };
        session.screen.line(&format!("Signing secret, shown only this once: {secret}"))
    }
}

#[derive(Args)]
pub(crate) struct Named {
    /// Name or id of the alert
    alert: String,
    #[command(flatten)]
    flags: AppFlags,
}

impl Named {
    pub(crate) fn remove(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let doing = format!("Removing log alert {} from {}", self.alert, target.app);
        session.screen.action(&doing, || {
            let path = format!("{}/{}", path(&target.app), segment(&self.alert));
            target.client.tell(Method::Delete, &path, None)?;
            Ok(((), String::new()))
        })
    }

    pub(crate) fn test(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let doing = format!("Sending a test of log alert {}", self.alert);
        session.screen.action(&doing, || {
            let path = format!("{}/{}/actions/test", path(&target.app), segment(&self.alert));
            target.client.tell(Method::Post, &path, None)?;
            Ok(((), String::new()))
        })
    }
}

fn row(alert: &LogAlert) -> Vec<String> {
    let looks_for = match (&alert.words, &alert.regex) {
        (Some(words), _) => words.clone(),
        (None, regex) => format!("/{}/", regex.as_deref().unwrap_or_default()),
    };
    let place = alert.dyno.as_deref().or(alert.source.as_deref()).unwrap_or("all");
    let tells = alert.email.as_deref().or(alert.url.as_deref()).unwrap_or_default();
    vec![
        alert.name.clone(),
        looks_for,
        place.to_owned(),
        tells.to_owned(),
        format!("{}m", alert.every_seconds / 60),
        state(alert),
    ]
}

fn state(alert: &LogAlert) -> String {
    let Some(status) = &alert.status else { return "starting".to_owned() };
    if let Some(error) = &status.last_error {
        return format!("failing: {error}");
    }
    match &status.last_sent_at {
        Some(at) => format!("{} matched, last told {}", status.matched, words::local(at)),
        None => format!("{} matched", status.matched),
    }
}

fn path(app: &str) -> String {
    format!("/apps/{}/log-alerts", segment(app))
}
