//! `releases`: the app's ledger, and going back in it.

use std::io::Read;

use clap::Args;
use serde_json::{Value, json};

use super::apps::{json_out, read};
use crate::client::{Client, Method, segment};
use crate::failure::{Failure, Outcome};
use crate::screen::Screen;
use crate::session::{AppFlags, Session, Target};
use crate::tables;
use crate::wire::Release;
use crate::words;

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    flags: AppFlags,
    /// Number of releases to show
    #[arg(short, long, value_name = "NUM", default_value_t = 15)]
    num: u32,
    /// Output releases in json format
    #[arg(long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let range = format!("version ..; max={}, order=desc", self.num);
        let values: Vec<Value> = target.client.page(&path(&target.app), &range)?;
        if self.json {
            return json_out(&session.screen, &Value::Array(values));
        }
        let releases = values.into_iter().map(read).collect::<Outcome<Vec<Release>>>()?;
        print_list(&session.screen, &target.app, releases, session.env.now)
    }
}

fn print_list(screen: &Screen, app: &str, mut releases: Vec<Release>, now: i64) -> Outcome {
    if releases.is_empty() {
        return screen.line(&format!("{app} has no releases."));
    }
    releases.sort_by_key(|release| std::cmp::Reverse(release.version));
    let mut header = format!("{app} Releases");
    if let Some(current) = releases.iter().find(|release| release.current) {
        header.push_str(&format!(" - Current: v{}", current.version));
    }
    screen.header(&header)?;
    let mut rows: Vec<Vec<String>> = releases.iter().map(|release| row(release, now)).collect();
    fit(&mut rows, screen.columns);
    tables::table(screen, &[], &rows)
}

fn row(release: &Release, now: i64) -> Vec<String> {
    vec![
        format!("v{}", release.version),
        format!(
            "{}{}",
            release.description,
            remark(release).map_or(String::new(), |r| format!(" {r}"))
        ),
        release.user.email.clone(),
        words::ago(&release.created_at, now),
    ]
}

/// What is to be said of a release that is not simply there.
fn remark(release: &Release) -> Option<&'static str> {
    match release.status.as_str() {
        "failed" => Some("release command failed"),
        "pending" => Some("release command executing"),
        "expired" => Some("release expired"),
        _ => None,
    }
}

/// On a terminal, descriptions give way so that each release has one line.
fn fit(rows: &mut [Vec<String>], columns: Option<usize>) {
    let Some(columns) = columns else { return };
    let widest =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 2;
    let others = widest(0) + widest(2) + widest(3);
    let room = columns.max(80).saturating_sub(others).max(20);
    for row in rows.iter_mut() {
        row[1] = words::cut(&row[1], room);
    }
}

#[derive(Args)]
pub(crate) struct Info {
    /// Version of the release [default: the last]
    release: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
    /// Output in json format
    #[arg(long)]
    json: bool,
    /// Output in shell format
    #[arg(short, long)]
    shell: bool,
}

impl Info {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let value = find_or_last(&target, self.release.as_deref())?;
        let screen = &session.screen;
        if self.json {
            return json_out(screen, &value);
        }
        let release: Release = read(value)?;
        let vars: std::collections::BTreeMap<String, String> =
            target.client.get(&format!("{}/{}/config-vars", path(&target.app), release.version))?;
        let change = match remark(&release) {
            Some(remark) => format!("{} ({remark})", release.description),
            None => release.description.clone(),
        };
        let eligible = if release.eligible_for_rollback { "Yes" } else { "No" };
        screen.header(&format!("Release v{}", release.version))?;
        tables::object(
            screen,
            &[
                ("Add-ons", release.addon_plan_names),
                ("By", vec![release.user.email]),
                ("Change", vec![change]),
                ("Eligible for Rollback?", vec![eligible.to_owned()]),
                ("When", vec![release.created_at]),
            ],
        )?;
        screen.line("")?;
        screen.header(&format!("v{} Config vars", release.version))?;
        if self.shell {
            for (name, value) in &vars {
                screen.line(&format!("{name}={}", words::shell(value)))?;
            }
            return Ok(());
        }
        let rows: Vec<_> =
            vars.iter().map(|(name, value)| (name.as_str(), vec![value.clone()])).collect();
        tables::object(screen, &rows)
    }
}

#[derive(Args)]
pub(crate) struct Output {
    /// Version of the release [default: the last]
    release: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Output {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let release: Release = read(find_or_last(&target, self.release.as_deref())?)?;
        match &release.output_stream_url {
            Some(url) => copy_stream(&session.screen, &target.client, url),
            None => {
                let version = release.version;
                session
                    .screen
                    .warn(&format!("Release v{version} has no release output available."));
                Ok(())
            }
        }
    }
}

#[derive(Args)]
pub(crate) struct Rollback {
    /// Version to go back to [default: the eligible one before the last]
    release: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Rollback {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let wanted: Release = match &self.release {
            Some(version) => read(find(&target, version)?)?,
            None => previous(&target)?,
        };
        let doing = format!("Rolling back {} to v{}", target.app, wanted.version);
        let new: Release = session.screen.action(&doing, || {
            let body = json!({ "release": wanted.id });
            let new: Release = target.client.ask(Method::Post, &path(&target.app), Some(&body))?;
            let more = format!(", v{}", new.version);
            Ok((new, more))
        })?;
        let screen = &session.screen;
        screen.warn("Rollback affects code and config vars; it doesn't add or remove addons.");
        screen.warn(&format!("To undo, run: hythe rollback v{}", new.version.saturating_sub(1)));
        match &new.output_stream_url {
            Some(url) => {
                screen.line("Running release command...")?;
                copy_stream(screen, &target.client, url)
            }
            None => Ok(()),
        }
    }
}

/// The eligible release before the last eligible one.
fn previous(target: &Target) -> Outcome<Release> {
    let releases: Vec<Release> =
        target.client.page(&path(&target.app), "version ..; max=10, order=desc")?;
    let eligible = releases.into_iter().filter(|release| release.eligible_for_rollback).nth(1);
    eligible.ok_or_else(|| {
        Failure::user(format!("No eligible release found for {} to roll back to.", target.app))
    })
}

fn find_or_last(target: &Target, wanted: Option<&str>) -> Outcome<Value> {
    if let Some(wanted) = wanted {
        return find(target, wanted);
    }
    let mut releases: Vec<Value> =
        target.client.page(&path(&target.app), "version ..; max=1, order=desc")?;
    releases.pop().ok_or_else(|| Failure::user(format!("{} has no releases.", target.app)))
}

/// The release called `v3`, `3` or by its id.
fn find(target: &Target, wanted: &str) -> Outcome<Value> {
    let wanted = wanted.to_ascii_lowercase();
    let wanted = wanted.strip_prefix('v').unwrap_or(&wanted);
    target.client.get(&format!("{}/{}", path(&target.app), segment(wanted)))
}

/// Prints a stream as it comes.
fn copy_stream(screen: &Screen, client: &Client, url: &str) -> Outcome {
    let mut stream = client.stream(url, &[])?;
    let mut buffer = [0; 8 * 1024];
    loop {
        let count = stream
            .read(&mut buffer)
            .map_err(|error| Failure::user(format!("the output broke off: {error}")))?;
        if count == 0 {
            return Ok(());
        }
        screen.raw_bytes(&buffer[..count])?;
    }
}

fn path(app: &str) -> String {
    format!("/apps/{}/releases", segment(app))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_give_way_on_narrow_terminals_only() {
        let row = || vec!["v2".to_owned(), "x".repeat(90), "me@x".to_owned(), "now".to_owned()];
        let mut rows = [row()];
        fit(&mut rows, None);
        assert_eq!(rows[0][1].len(), 90);
        fit(&mut rows, Some(80));
        assert_eq!(rows[0][1].chars().count(), 80 - 4 - 6 - 5);
        assert!(rows[0][1].ends_with('…'));
    }
}
