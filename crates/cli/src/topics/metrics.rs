//! `metrics`: what the router saw of the app's requests.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::apps::{json_out, read};
use crate::client::segment;
use crate::failure::Outcome;
use crate::screen::Screen;
use crate::session::{AppFlags, Session};
use crate::tables;
use crate::wire::{Latency, Tally, Traffic};
use crate::words;

/// Rows shown when there are more.
const ROWS: usize = 30;

/// How long one row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// The last hour; minutes are kept for a day
    Minute,
    /// The last day; hours are kept for a month
    Hour,
}

#[derive(Args)]
pub(crate) struct Metrics {
    #[command(flatten)]
    flags: AppFlags,
    /// Length of an interval
    #[arg(short, long, value_enum, default_value = "minute")]
    step: Step,
    /// Begin here (such as 2026-01-02T03:00:00Z)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End here
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
}

impl Metrics {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let answer: Value = target.client.get(&self.path(&target.app))?;
        let screen = &session.screen;
        if self.json {
            return json_out(screen, &answer);
        }
        show(screen, &target.app, read(answer)?)
    }

    fn path(&self, app: &str) -> String {
        let step = match self.step {
            Step::Minute => "minute",
            Step::Hour => "hour",
        };
        let mut path = format!("/apps/{}/traffic?step={step}", segment(app));
        for (name, time) in [("from", &self.from), ("to", &self.to)] {
            if let Some(time) = time {
                path.push_str(&format!("&{name}={}", segment(time)));
            }
        }
        path
    }
}

fn show(screen: &Screen, app: &str, traffic: Traffic) -> Outcome {
    let span = format!("{} to {}", words::local(&traffic.from), words::local(&traffic.to));
    screen.header(&format!("{app} traffic, {span}"))?;
    if traffic.intervals.is_empty() {
        return screen.line("No requests.");
    }
    let left_out = traffic.intervals.len().saturating_sub(ROWS);
    let newest = traffic.intervals.into_iter().skip(left_out);
    let mut rows: Vec<Vec<String>> =
        newest.map(|interval| row(words::local(&interval.at), &interval.tally)).collect();
    rows.push(row("all".to_owned(), &traffic.total));
    let names =
        ["From", "Requests", "2xx", "3xx", "4xx", "5xx", "p50", "p95", "p99", "Bytes", "Errors"];
    tables::table(screen, &names, &rows)?;
    if left_out > 0 {
        screen.remark(&format!("{left_out} earlier intervals are not shown; --json has them all."));
    }
    Ok(())
}

fn row(name: String, tally: &Tally) -> Vec<String> {
    let class = |class: &str| tally.statuses.get(class).copied().unwrap_or(0).to_string();
    let latency = |pick: fn(&Latency) -> f64| {
        tally.latency_ms.as_ref().map(pick).map_or_else(String::new, millis)
    };
    let code = |(code, count): (&String, &u64)| format!("{code}×{count}");
    vec![
        name,
        tally.requests.to_string(),
        class("2xx"),
        class("3xx"),
        class("4xx"),
        class("5xx"),
        latency(|latency| latency.p50),
        latency(|latency| latency.p95),
        latency(|latency| latency.p99),
        words::bytes(Some(tally.bytes)),
        tally.codes.iter().map(code).collect::<Vec<_>>().join(" "),
    ]
}

/// Three digits are enough for a person.
fn millis(millis: f64) -> String {
    match millis {
        ..10.0 => format!("{millis:.1} ms"),
        10.0..10_000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_what_a_person_asks_for() {
        let tally = serde_json::json!({
            "requests": 12, "bytes": 4096, "codes": { "H12": 2, "H13": 1 },
            "statuses": { "1xx": 0, "2xx": 9, "3xx": 0, "4xx": 0, "5xx": 3 },
            "latency_ms": { "p50": 1.26, "p95": 40.4, "p99": 30_000.0, "max": 30_000.0 },
        });
        let tally: Tally = serde_json::from_value(tally).expect("a tally");
        let expected =
            ["x", "12", "9", "0", "0", "3", "1.3 ms", "40 ms", "30.0 s", "4 KB", "H12×2 H13×1"];
        assert_eq!(row("x".to_owned(), &tally), expected);
    }
}
