//! What the router saw of apps' requests: summed up, kept by minute and hour, and told.
//!
//! The router's threads report each second ([`Traffic::absorb`]); every five seconds what was added is
//! written ([`run`]), so a server that is killed loses the last six seconds of the history. While
//! the database cannot be written the sums wait in memory, and the router knows nothing of it.

use std::collections::{HashMap, hash_map};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::traffic::{Interval, Report, Step, Tally};
use model::{Account, AppId, Timestamp};
use store::traffic;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Control, Error, Result, access};

/// What was added waits so long to be written.
const FLUSH: Duration = Duration::from_secs(5);
/// Old intervals are looked for so often.
const FORGET: Duration = Duration::from_secs(10 * 60);
/// Sums written in one transaction, so that no person waits long for the writer.
const AT_ONCE: usize = 100;
/// Sums (one for an app and a minute) that may wait for the database; beyond it new ones are lost.
const WAITING: usize = 20_000;
/// Intervals that one question may be about.
const MOST_INTERVALS: i64 = 1500;

/// What has been reported since the server's start. Clones share it.
#[derive(Clone, Default)]
pub struct Traffic(Arc<Mutex<Sums>>);

/// Sums over all apps since the server's start, for the operator.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// All requests of all apps.
    pub tally: Tally,
    /// Client connections open now.
    pub connections: usize,
    /// Requests whose history was lost because the database could not be written for too long.
    pub lost: u64,
    /// Sums that wait to be written.
    pub waiting: usize,
}

#[derive(Default)]
struct Sums {
    all: Tally,
    lost: u64,
    /// By the router's threads.
    connections: HashMap<usize, usize>,
    /// Not yet written: by app and the start of the minute.
    waiting: HashMap<(AppId, Timestamp), Tally>,
}

/// What is asked about an app's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// In what steps.
    pub step: Step,
}

impl Traffic {
    /// Adds what a thread of the router saw until `now`.
    pub fn absorb(&self, report: Report, now: Timestamp) {
        let minute = Step::Minute.start(now);
        let mut sums = self.lock();
        sums.connections.insert(report.thread, report.connections);
        for (app, tally) in report.apps {
            sums.all.merge(&tally);
            sums.add((app, minute), tally);
        }
    }

    /// The sums since the server's start.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let sums = self.lock();
        Totals {
            tally: sums.all.clone(),
            connections: sums.connections.values().sum(),
            lost: sums.lost,
            waiting: sums.waiting.len(),
        }
    }

    /// Takes what is to be written.
    fn take(&self) -> Vec<(AppId, Interval)> {
        let waiting = std::mem::take(&mut self.lock().waiting);
        waiting.into_iter().map(|((app, at), tally)| (app, Interval { at, tally })).collect()
    }

    /// Gives back what could not be written.
    fn give_back(&self, rest: impl IntoIterator<Item = (AppId, Interval)>) {
        let mut sums = self.lock();
        for (app, interval) in rest {
            sums.add((app, interval.at), interval.tally);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sums {
    fn add(&mut self, key: (AppId, Timestamp), tally: Tally) {
        let is_full = self.waiting.len() >= WAITING;
        match self.waiting.entry(key) {
            hash_map::Entry::Occupied(mut known) => known.get_mut().merge(&tally),
            hash_map::Entry::Vacant(_) if is_full => self.lost += tally.requests(),
            hash_map::Entry::Vacant(free) => {
                free.insert(tally);
            }
        }
    }
}

impl Question {
    /// The last hour by minutes, or the last day by hours, unless more is said.
    ///
    /// # Errors
    /// When the times are in the wrong order or too far from each other.
    pub fn new(
        step: Step,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        now: Timestamp,
    ) -> Result<Self> {
        let usual = match step {
            Step::Minute => Duration::from_secs(60 * 60),
            Step::Hour => Duration::from_secs(24 * 60 * 60),
        };
        let to = to.unwrap_or(now);
        let usual = to.micros().saturating_sub(micros(usual));
        let from = step.start(from.unwrap_or(Timestamp::from_micros(usual)));
        if from > to {
            return Err(Error::Invalid("`from` must not be after `to`.".to_owned()));
        }
        if to.micros().saturating_sub(from.micros()) / micros(step.length()) > MOST_INTERVALS {
            let limit = format!("At most {MOST_INTERVALS} intervals can be asked for at once.");
            return Err(Error::Invalid(limit));
        }
        Ok(Self { from, to, step })
    }
}

/// An app's traffic, oldest interval first; intervals without traffic are left out.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(
    control: &Control,
    who: &Account,
    app: AppId,
    question: Question,
) -> Result<Vec<Interval>> {
    let who = who.clone();
    control
        .read(move |db| {
            access::app(db, &who, app)?;
            Ok(traffic::between(db, app, question.step, (question.from, question.to))?)
        })
        .await
}

/// Takes reports until the router is gone, and writes what they add up to until cancelled; then
/// once more.
pub async fn run(
    control: Control,
    sums: Traffic,
    reports: mpsc::Receiver<Report>,
    cancel: CancellationToken,
) {
    tokio::join!(
        absorb(&sums, reports, &cancel),
        keep(&control, &sums, &cancel),
        age(&control, &cancel)
    );
    flush(&control, &sums).await;
}

async fn absorb(sums: &Traffic, mut reports: mpsc::Receiver<Report>, cancel: &CancellationToken) {
    while let Some(Some(report)) = cancel.run_until_cancelled(reports.recv()).await {
        sums.absorb(report, Timestamp::now());
    }
    // What was said before the end counts; a router that goes on for others is not waited for.
    while let Ok(report) = reports.try_recv() {
        sums.absorb(report, Timestamp::now());
    }
}

async fn keep(control: &Control, sums: &Traffic, cancel: &CancellationToken) {
    while cancel.run_until_cancelled(tokio::time::sleep(FLUSH)).await.is_some() {
        flush(control, sums).await;
    }
}

/// Forgets what is too old, until cancelled.
async fn age(control: &Control, cancel: &CancellationToken) {
    loop {
        let now = Timestamp::now();
        for step in Step::ALL {
            let before = Timestamp::from_micros(now.micros() - micros(step.kept()));
            while forget(control, step, before).await > 0 {}
        }
        if cancel.run_until_cancelled(tokio::time::sleep(FORGET)).await.is_none() {
            return;
        }
    }
}

/// Writes what waits, some apps at a time. What cannot be written waits for the next time.
async fn flush(control: &Control, sums: &Traffic) {
    let mut rest = sums.take();
    while !rest.is_empty() {
        let part = rest.split_off(rest.len().saturating_sub(AT_ONCE));
        let written = part.clone();
        let done: store::Result<()> = control
            .store
            .sweep(move |tx| written.iter().try_for_each(|(app, sum)| add(tx, *app, sum)))
            .await;
        if let Err(error) = done {
            tracing::warn!(error = &error as &dyn std::error::Error, "Could not write traffic.");
            sums.give_back(part.into_iter().chain(rest));
            return;
        }
    }
}

fn add(tx: &mut store::Tx<'_>, app: AppId, sum: &Interval) -> store::Result<()> {
    let hour = Interval { at: Step::Hour.start(sum.at), tally: sum.tally.clone() };
    traffic::add(tx, app, Step::Minute, sum)?;
    traffic::add(tx, app, Step::Hour, &hour)
}

/// Forgets some of what is too old; answers how many intervals.
async fn forget(control: &Control, step: Step, before: Timestamp) -> usize {
    let gone: store::Result<usize> =
        control.store.sweep(move |tx| traffic::forget(tx, step, before)).await;
    gone.unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "Could not forget old traffic.");
        0
    })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
