//! `drains`: where an app's lines are sent to, and how each drain fares.

use clap::Args;
use serde_json::{Value, json};

use super::apps::{json_out, read};
use super::listing::Listing;
use crate::client::{Method, segment};
use crate::failure::Outcome;
use crate::screen::Screen;
use crate::session::{AppFlags, Session, Target};
use crate::tables;
use crate::wire::{DrainStatus, LogDrain};

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    listing: Listing,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let listed = self.listing.read::<LogDrain>(session, path)?;
        let Some((target, drains)) = listed else { return Ok(()) };
        let screen = &session.screen;
        if drains.is_empty() {
            return Ok(());
        }
        screen.header("Drains")?;
        for drain in drains {
            screen.line(&format!("{} ({})", drain.url, drain.token))?;
            let status: DrainStatus = target.client.get(&status_path(&target, &drain.id))?;
            screen.line(&format!("  {}", sentence(&status)))?;
        }
        Ok(())
    }
}

#[derive(Args)]
pub(crate) struct Add {
    /// syslog://, syslog+tls://, http:// or https:// URL of the receiver
    url: String,
    #[command(flatten)]
    flags: AppFlags,
}

impl Add {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let body = json!({ "url": self.url });
        let drain: LogDrain = target.client.ask(Method::Post, &path(&target.app), Some(&body))?;
        session.screen.line(&format!("Successfully added drain {}", drain.url))
    }
}

#[derive(Args)]
pub(crate) struct Named {
    /// The drain's URL, token or id
    drain: String,
    #[command(flatten)]
    flags: AppFlags,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
}

impl Named {
    pub(crate) fn info(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let value: Value = target.client.get(&one(&target.app, &self.drain))?;
        let drain: LogDrain = read(value.clone())?;
        let status: Value = target.client.get(&status_path(&target, &drain.id))?;
        let screen = &session.screen;
        if self.json {
            let mut value = value;
            value["status"] = status;
            return json_out(screen, &value);
        }
        screen.header(&drain.token)?;
        let mut rows = vec![("Url", vec![drain.url]), ("Added", vec![drain.created_at])];
        rows.extend(status_rows(read(status)?));
        tables::object(screen, &rows)
    }

    pub(crate) fn remove(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let path = one(&target.app, &self.drain);
        let drain: LogDrain = target.client.ask(Method::Delete, &path, None)?;
        session.screen.line(&format!("Successfully removed drain {}", drain.url))
    }
}

/// The status as rows of an object.
pub(crate) fn status_rows(status: DrainStatus) -> Vec<(&'static str, Vec<String>)> {
    let error = status.last_error.map(|error| format!("{} ({})", error.message, error.at));
    vec![
        ("State", vec![status.state]),
        ("Failing since", status.failing_since.into_iter().collect()),
        ("Delivered", vec![status.delivered.to_string()]),
        ("Lost", vec![status.lost.to_string()]),
        ("Waiting", vec![status.waiting.to_string()]),
        ("Counted since", status.since.into_iter().collect()),
        ("Last delivery", status.last_delivered_at.into_iter().collect()),
        ("Last error", error.into_iter().collect()),
    ]
}

/// The status in one line: `failing since …: 12 delivered, 3 lost, 5 waiting; last error: …`.
pub(crate) fn sentence(status: &DrainStatus) -> String {
    let since = status.failing_since.as_ref().map(|at| format!(" since {at}"));
    let mut line = format!(
        "{}{}: {} delivered, {} lost, {} waiting",
        status.state,
        since.unwrap_or_default(),
        status.delivered,
        status.lost,
        status.waiting
    );
    // An error that is over is not worth a line.
    if let Some(error) = status.last_error.as_ref().filter(|_| status.state == "failing") {
        line += &format!("; last error: {}", error.message);
    }
    line
}

/// Says how a telemetry drain fares.
pub(crate) fn print_status(screen: &Screen, status: DrainStatus) -> Outcome {
    tables::object(screen, &status_rows(status))
}

fn status_path(target: &Target, id: &str) -> String {
    format!("{}/status", one(&target.app, id))
}

fn path(app: &str) -> String {
    format!("/apps/{}/log-drains", segment(app))
}

fn one(app: &str, drain: &str) -> String {
    format!("{}/{}", path(app), segment(drain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_that_fails_says_why() {
        let status = |state: &str| -> DrainStatus {
            let error = json!({"message": "refused", "at": "2026-01-01T00:00:00Z"});
            serde_json::from_value(json!({
                "state": state, "waiting": 5, "delivered": 12, "lost": 3, "since": null,
                "failing_since": (state == "failing").then_some("2026-01-01T00:00:00Z"),
                "last_delivered_at": null, "last_error": error,
            }))
            .expect("a status")
        };
        assert_eq!(
            sentence(&status("failing")),
            "failing since 2026-01-01T00:00:00Z: 12 delivered, 3 lost, 5 waiting; last error: \
             refused"
        );
        assert_eq!(sentence(&status("delivering")), "delivering: 12 delivered, 3 lost, 5 waiting");
    }
}
