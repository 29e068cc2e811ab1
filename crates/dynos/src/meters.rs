//! What running dynos use: one task looks at all of them, every twenty seconds.
//!
//! It warns of memory over the quota (R14), tells a dyno's task that it must end (R15), and writes
//! load and memory to the logs of apps that asked for it (`log-runtime-metrics`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use model::{AppId, DynoId, Feature};
use sandbox::usage::Memory;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::manager::House;
use crate::voice::Voice;

use load::Load;

mod load;

/// A dyno is killed above so many quotas (Heroku, "R15").
const VAST: u64 = 2;

/// All dynos that are looked at.
#[derive(Default)]
pub(crate) struct Meters(Mutex<HashMap<DynoId, Arc<Meter>>>);

/// What is known of one running dyno.
struct Meter {
    app: AppId,
    voice: Voice,
    quota: u64,
    since: Instant,
    load: Mutex<Load>,
    /// Bytes that it used when it had to be ended.
    outgrown: watch::Sender<Option<u64>>,
}

/// A dyno is looked at as long as this lives.
pub(crate) struct Metered {
    house: Arc<House>,
    dyno: DynoId,
    outgrown: watch::Receiver<Option<u64>>,
}

/// One look at one dyno.
struct Sample {
    dyno: DynoId,
    meter: Arc<Meter>,
    memory: Memory,
    /// Counted only where somebody wants to know.
    runnable: Option<usize>,
}

/// Begins to look at a dyno with this quota of memory.
pub(crate) fn watch(
    house: &Arc<House>,
    dyno: DynoId,
    app: AppId,
    voice: Voice,
    quota: u64,
) -> Metered {
    let (tell, outgrown) = watch::channel(None);
    let (since, load) = (Instant::now(), Mutex::default());
    let meter = Meter { app, voice, quota, since, load, outgrown: tell };
    house.meters.lock().insert(dyno, Arc::new(meter));
    Metered { house: house.clone(), dyno, outgrown }
}

impl Metered {
    /// Waits until the dyno uses so much that it must end; answers how many bytes.
    pub(crate) async fn outgrown(&mut self) -> u64 {
        let bytes = self.outgrown.wait_for(Option::is_some).await.ok().and_then(|bytes| *bytes);
        match bytes {
            Some(bytes) => bytes,
            // Nobody looks any more.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.house.meters.lock().remove(&self.dyno);
    }
}

impl Meters {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DynoId, Arc<Meter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Vec<(DynoId, Arc<Meter>)> {
        self.lock().iter().map(|(&dyno, meter)| (dyno, meter.clone())).collect()
    }
}

/// Looks at all dynos again and again, until the manager is cancelled.
pub(crate) async fn run(house: Arc<House>) {
    let period = house.config.timing.measure;
    while house.cancel.run_until_cancelled(sleep(period)).await.is_some() {
        let wanted = match wanted(&house).await {
            Ok(wanted) => wanted,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "could not read which apps want runtime metrics");
                HashSet::new()
            }
        };
        let eyes = house.clone();
        let looked = tokio::task::spawn_blocking(move || look(&eyes, &wanted)).await;
        for sample in looked.unwrap_or_default() {
            sample.judge();
        }
    }
}

async fn wanted(house: &House) -> store::Result<HashSet<AppId>> {
    let asked =
        |db: &store::Reader<'_>| store::features::switched_on(db, Feature::LogRuntimeMetrics);
    house.rooms.store.read(asked).await
}

/// Reads the control group of each dyno. One that has just ended has none.
fn look(house: &House, wanted: &HashSet<AppId>) -> Vec<Sample> {
    let sample = |(dyno, meter): (DynoId, Arc<Meter>)| {
        let memory = house.runtime.memory(dyno).ok()?;
        let asked = wanted.contains(&meter.app);
        let runnable = asked.then(|| house.runtime.runnable(dyno).ok()).flatten();
        Some(Sample { dyno, meter, memory, runnable })
    };
    house.meters.snapshot().into_iter().filter_map(sample).collect()
}

impl Sample {
    fn judge(self) {
        let Meter { voice, quota, .. } = &*self.meter;
        if let Some(runnable) = self.runnable {
            self.tell(runnable);
        }
        let total = self.memory.total(*quota);
        if self.memory.fixed() > VAST * quota {
            self.meter.outgrown.send_replace(Some(total));
        } else if total > *quota {
            voice.memory(total, *quota);
            voice.over_quota();
        }
    }

    fn tell(&self, runnable: usize) {
        let now = Instant::now();
        let mut load = self.meter.load.lock().unwrap_or_else(PoisonError::into_inner);
        load.add(runnable, now);
        let source = format!(
            "source={} dyno=heroku.{}.{}",
            self.meter.voice.process(),
            number(self.meter.app),
            self.dyno
        );
        let averages = load.text(now.duration_since(self.meter.since));
        self.meter.voice.metrics(format!("{source}{averages}"));
        self.meter
            .voice
            .metrics(format!("{source}{}", memory_text(&self.memory, self.meter.quota)));
    }
}

/// An app's number, which Heroku's own lines have beside the dyno's id.
fn number(app: AppId) -> u32 {
    u32::try_from(app.uuid().as_u128() % 100_000_000).unwrap_or_default()
}

fn memory_text(memory: &Memory, quota: u64) -> String {
    let cache = memory.cache_within(quota);
    let sizes = [
        ("total", memory.total(quota)),
        ("rss", memory.rss),
        ("cache", cache),
        ("swap", memory.swap),
    ];
    let mut text = String::new();
    for (name, bytes) in sizes {
        text += &format!(" sample#memory_{name}={}", megabytes(bytes));
    }
    if let Some(pages) = memory.pages {
        text += &format!(" sample#memory_pgpgin={}pages", pages.taken);
        text += &format!(" sample#memory_pgpgout={}pages", pages.given);
    }
    text + &format!(" sample#memory_quota={}", megabytes(quota))
}

/// `21.22MB`, in mebibytes as Heroku's are.
fn megabytes(bytes: u64) -> String {
    let hundredths = (bytes * 100 + 512 * 1024) / (1024 * 1024);
    format!("{}.{:02}MB", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use sandbox::usage::Pages;

    use super::*;

    #[test]
    fn memory_is_told_in_herokus_form() {
        let memory = Memory {
            rss: 22_251_000,
            cache: 4096,
            droppable: 4096,
            swap: 0,
            pages: Some(Pages { taken: 348_836, given: 343_403 }),
        };
        assert_eq!(
            memory_text(&memory, 512 * 1024 * 1024),
            " sample#memory_total=21.22MB sample#memory_rss=21.22MB sample#memory_cache=0.00MB \
             sample#memory_swap=0.00MB sample#memory_pgpgin=348836pages \
             sample#memory_pgpgout=343403pages sample#memory_quota=512.00MB"
        );
    }
}
