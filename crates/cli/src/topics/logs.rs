//! `logs`: the app's one stream.

use std::io::Read;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::client::{Client, Method, segment};
use crate::failure::{Failure, Kind, Outcome};
use crate::screen::{Screen, Style};
use crate::session::{AppFlags, Session};
use crate::sse::Events;
use crate::wire::{LogQuery, LogSession};

/// Wait before a broken stream is taken up again.
const PAUSE: Duration = Duration::from_secs(1);
/// Broken streams in a row, without a line between, that are taken up again.
const MAX_BREAKS: u32 = 30;

#[derive(Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    flags: AppFlags,
    /// Continually stream logs
    #[arg(short, long)]
    tail: bool,
    /// Number of lines to display
    #[arg(short, long, value_name = "LINES", default_value_t = 100)]
    num: u32,
    /// Only show output from this dyno (such as "web.1")
    #[arg(short, long, alias = "dyno", value_name = "DYNO")]
    dyno_name: Option<String>,
    /// Only show output from this process type (such as "web")
    #[arg(short, long, alias = "ps", value_name = "TYPE", conflicts_with = "dyno_name")]
    process_type: Option<String>,
    /// Only show output from this source (such as "app" or "heroku")
    #[arg(short, long, value_name = "SOURCE")]
    source: Option<String>,
}

impl Logs {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let query = LogQuery {
            lines: self.num,
            tail: self.tail,
            dyno: self.dyno_name.or(self.process_type),
            source: self.source,
        };
        show(&session.screen, &target.client, &target.app, &query)
    }
}

/// Prints the log, to its present end or, with `tail`, for ever.
pub(crate) fn show(screen: &Screen, client: &Client, app: &str, query: &LogQuery) -> Outcome {
    let path = format!("/apps/{}/log-sessions", segment(app));
    let session: LogSession = client.ask(Method::Post, &path, Some(&json!(query)))?;
    let mut last: Option<String> = None;
    let mut breaks = 0;
    loop {
        let before = last.clone();
        let broken = follow(screen, client, &session, &mut last).map_err(expired);
        match broken {
            Ok(()) if !query.tail => return Ok(()),
            Err(failure) if !query.tail || failure.kind != Kind::User => return Err(failure),
            Err(failure) if breaks >= MAX_BREAKS => return Err(failure),
            _ => {}
        }
        breaks = if last == before { breaks + 1 } else { 1 };
        // Between two connections; the server keeps what is missed.
        std::thread::sleep(PAUSE);
    }
}

/// A session that the server no longer knows will not come back.
fn expired(failure: Failure) -> Failure {
    if failure.message.contains("Error ID: not_found") {
        return Failure::config("Log stream timed out. Please try again.");
    }
    failure
}

/// Reads one connection to its end.
fn follow(
    screen: &Screen,
    client: &Client,
    session: &LogSession,
    last: &mut Option<String>,
) -> Outcome {
    let mut headers = vec![("Accept", "text/event-stream")];
    let id = last.clone();
    if let Some(id) = &id {
        headers.push(("Last-Event-ID", id));
    }
    print(screen, Events::new(client.stream(&session.logplex_url, &headers)?), last)
}

fn print(screen: &Screen, mut events: Events<impl Read>, last: &mut Option<String>) -> Outcome {
    let broken = |error| Failure::user(format!("the log stream broke off: {error}"));
    while let Some(event) = events.next().map_err(broken)? {
        if event.id.is_some() {
            last.clone_from(&event.id);
        }
        for line in event.data.lines().filter(|line| !line.is_empty()) {
            screen.line(&colored(screen, line))?;
        }
    }
    Ok(())
}

/// Colours everything up to `app[web.1]:`, one colour for each process type.
pub(crate) fn colored(screen: &Screen, line: &str) -> String {
    let Some(end) = line.find("]:").map(|at| at + 2) else { return line.to_owned() };
    let (head, body) = line.split_at(end);
    let Some((_, process)) = head.rsplit_once('[') else { return line.to_owned() };
    let process_type = process.split(['.', ']']).next().unwrap_or_default();
    format!("{}{}", screen.paint(style_of(process_type), head), body)
}

fn style_of(process_type: &str) -> Style {
    const OTHERS: [Style; 4] = [Style::Blue, Style::Magenta, Style::Yellow, Style::Green];
    match process_type {
        "run" => Style::Yellow,
        "router" => Style::Green,
        "web" => Style::Cyan,
        other => {
            let sum: usize = other.bytes().map(usize::from).sum();
            OTHERS[sum % OTHERS.len()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_screen_shows_lines_as_they_came() {
        let screen = Screen::plain();
        for line in ["2026-01-02T03:04:05.1+00:00 app[web.1]: [x]: y", "no head", "]: odd"] {
            assert_eq!(colored(&screen, line), line);
        }
    }

    #[test]
    fn the_last_id_is_kept_for_the_next_connection() {
        let screen = Screen::plain();
        let mut last = None;
        let text = "id: 5\ndata: \n\n: ping\n\ndata: \n\nid: 6\ndata: cut";
        print(&screen, Events::new(text.as_bytes()), &mut last).expect("read");
        assert_eq!(last.as_deref(), Some("5"));
    }
}
