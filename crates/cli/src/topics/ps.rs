//! `ps`: dynos and how many of them.

use clap::Args;
use serde_json::{Value, json};

use super::apps::{json_out, read};
use crate::client::{Method, segment};
use crate::failure::{Failure, Outcome};
use crate::screen::{Screen, Style};
use crate::session::{AppFlags, Session, Target};
use crate::wire::{Dyno, Formation};
use crate::words::ago;

#[derive(Args)]
pub(crate) struct List {
    /// Only these process types
    #[arg(value_name = "TYPE")]
    types: Vec<String>,
    #[command(flatten)]
    flags: AppFlags,
    /// Display as json
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let path = format!("/apps/{}/dynos", segment(&target.app));
        let mut values: Vec<Value> = target.client.list(&path)?;
        let has_type = |value: &Value, wanted: &String| value["type"] == json!(wanted);
        for wanted in &self.types {
            if !values.iter().any(|value| has_type(value, wanted)) {
                return Err(Failure::user(format!("No {wanted} dynos on {}", target.app)));
            }
        }
        if !self.types.is_empty() {
            values.retain(|value| self.types.iter().any(|wanted| has_type(value, wanted)));
        }
        values.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
        if self.json {
            return json_out(&session.screen, &Value::Array(values));
        }
        let dynos = values.into_iter().map(read::<Dyno>).collect::<Outcome<Vec<_>>>()?;
        if dynos.is_empty() {
            return session.screen.line(&format!("No dynos on {}", target.app));
        }
        print_dynos(&session.screen, dynos, session.env.now)
    }
}

/// One-offs first, then the formation, grouped by process type.
fn print_dynos(screen: &Screen, mut dynos: Vec<Dyno>, now: i64) -> Outcome {
    dynos.sort_by_key(|dyno| {
        (dyno.process_type != "run", dyno.process_type.clone(), number(&dyno.name))
    });
    for group in dynos.chunk_by(|a, b| a.process_type == b.process_type) {
        let first = &group[0];
        let one_off = first.process_type == "run";
        let what = if one_off { "one-off processes" } else { first.command.as_str() };
        let size = if one_off { String::new() } else { format!(" ({})", first.size) };
        screen.header(&format!("{}{size}: {what} ({})", first.process_type, group.len()))?;
        for dyno in group {
            screen.line(&dyno_line(screen, dyno, now))?;
        }
        screen.line("")?;
    }
    Ok(())
}

fn dyno_line(screen: &Screen, dyno: &Dyno, now: i64) -> String {
    let style = if dyno.state == "up" { Style::Green } else { Style::Yellow };
    let state = screen.paint(style, &dyno.state);
    let since = screen.paint(Style::Dim, &ago(&dyno.updated_at, now));
    if dyno.process_type == "run" {
        format!("{} ({}): {state} {since}: {}", dyno.name, dyno.size, dyno.command)
    } else {
        format!("{}: {state} {since}", dyno.name)
    }
}

fn number(name: &str) -> u32 {
    name.rsplit_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// Without arguments, shows the formation in the form that the command takes.
#[derive(Args)]
pub(crate) struct Scale {
    /// Changes such as web=2, worker+1 or web=3:Standard-2X
    #[arg(value_name = "TYPE=QUANTITY[:SIZE]")]
    changes: Vec<String>,
    #[command(flatten)]
    flags: AppFlags,
}

/// One change of a formation.
#[derive(Debug, PartialEq, Eq)]
struct Change<'a> {
    process_type: &'a str,
    /// `2`, `+1`, `-1`.
    quantity: &'a str,
    size: Option<&'a str>,
}

impl<'a> Change<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (amount, size) = match text.rsplit_once(':') {
            Some((amount, size)) => (amount, Some(size).filter(|size| !size.is_empty())),
            None => (text, None),
        };
        // The type may hold dashes, so the sign is the last one before the digits.
        let digits = amount.trim_end_matches(|c: char| c.is_ascii_digit());
        let sign = digits.chars().last().filter(|sign| "=+-".contains(*sign))?;
        let process_type = &digits[..digits.len() - 1];
        let quantity = &amount[digits.len() - usize::from(sign != '=')..];
        let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let good = !process_type.is_empty()
            && process_type.chars().all(named)
            && amount.len() > digits.len();
        good.then_some(Self { process_type, quantity, size })
    }
}

impl Scale {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let changes = self.changes.iter().map(|text| {
            Change::parse(text).ok_or_else(|| {
                Failure::usage(format!("`{text}` is no change of a formation"))
                    .hint("Write it like web=2, worker+1 or web=3:Standard-2X.")
            })
        });
        let changes = changes.collect::<Outcome<Vec<_>>>()?;
        let target = session.target(&self.flags)?;
        let path = format!("/apps/{}/formation", segment(&target.app));
        if changes.is_empty() {
            return show_formation(&session.screen, &target, &path);
        }
        session.screen.action("Scaling dynos", || {
            let body = json!({ "updates": changes.iter().map(update).collect::<Vec<_>>() });
            let formation: Vec<Formation> = target.client.ask(Method::Patch, &path, Some(&body))?;
            let changed = |row: &&Formation| {
                changes.iter().any(|change| change.process_type == row.process_type)
            };
            let now: Vec<_> = formation.iter().filter(changed).map(running).collect();
            Ok(((), format!(", now running {}", now.join(", "))))
        })
    }
}

fn update(change: &Change<'_>) -> Value {
    let mut update = json!({ "type": change.process_type, "quantity": change.quantity });
    if let Some(size) = change.size {
        update["size"] = json!(size);
    }
    update
}

fn running(row: &Formation) -> String {
    format!("{} at {}:{}", row.process_type, row.quantity, row.size)
}

fn show_formation(screen: &Screen, target: &Target, path: &str) -> Outcome {
    let formation: Vec<Formation> = target.client.list(path)?;
    if formation.is_empty() {
        return Err(Failure::user(format!("No process types on {}.", target.app))
            .hint("Add a file named Procfile to the app and push it."));
    }
    let row = |row: &Formation| format!("{}={}:{}", row.process_type, row.quantity, row.size);
    let mut rows: Vec<String> = formation.iter().map(row).collect();
    rows.sort();
    screen.line(&rows.join(" "))
}

/// All dynos, those of a type, or one.
#[derive(Args)]
pub(crate) struct Which {
    #[arg(hide = true)]
    dyno: Option<String>,
    /// Name of the dyno
    #[arg(short, long, value_name = "DYNO")]
    dyno_name: Option<String>,
    /// Name of the process type
    #[arg(short, long, value_name = "TYPE", conflicts_with = "dyno_name")]
    process_type: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Which {
    /// What is meant, in words and as the end of a path.
    fn meant(&self) -> Option<(String, String)> {
        if let Some(process_type) = &self.process_type {
            let path = format!("formations/{}", segment(process_type));
            return Some((format!("all {process_type} dynos"), path));
        }
        let dyno = self.dyno_name.as_ref().or(self.dyno.as_ref())?;
        Some((format!("dyno {dyno}"), format!("dynos/{}", segment(dyno))))
    }

    pub(crate) fn restart(self, session: &Session) -> Outcome {
        let (what, path) = self.meant().unwrap_or(("all dynos".into(), "dynos".into()));
        let target = session.target(&self.flags)?;
        session.screen.action(&format!("Restarting {what} on {}", target.app), || {
            let path = format!("/apps/{}/{path}", segment(&target.app));
            target.client.tell(Method::Delete, &path, None)?;
            Ok(((), String::new()))
        })
    }

    pub(crate) fn stop(self, session: &Session) -> Outcome {
        let (what, path) = self.meant().ok_or_else(|| {
            Failure::usage("Please specify a process type or dyno name to stop.")
                .hint("For example: hythe ps:stop --dyno-name web.1")
        })?;
        let target = session.target(&self.flags)?;
        session.screen.action(&format!("Stopping {what} on {}", target.app), || {
            let path = format!("/apps/{}/{path}/actions/stop", segment(&target.app));
            target.client.tell(Method::Post, &path, None)?;
            Ok(((), String::new()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str) -> Option<(&str, &str, Option<&str>)> {
        Change::parse(text).map(|change| (change.process_type, change.quantity, change.size))
    }

    #[test]
    fn changes_are_read_as_herokus_client_reads_them() {
        assert_eq!(change("web=2"), Some(("web", "2", None)));
        assert_eq!(change("worker+1"), Some(("worker", "+1", None)));
        assert_eq!(change("web-1"), Some(("web", "-1", None)));
        assert_eq!(change("my-worker-2"), Some(("my-worker", "-2", None)));
        assert_eq!(change("web=3:Standard-2X"), Some(("web", "3", Some("Standard-2X"))));
        for bad in ["web", "web=", "=2", "web=two", "we b=1", "web==1", "+1"] {
            assert_eq!(change(bad), None, "{bad}");
        }
    }

    #[test]
    fn dynos_are_numbered_by_value() {
        assert!(number("web.10") > number("web.9"));
        assert_eq!(number("odd"), 0);
    }
}
