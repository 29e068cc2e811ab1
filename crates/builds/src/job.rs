//! One build from its claim to its end.
//!
//! Preparing and releasing run to their ends; compiling and packing, which may take long, are given
//! up when the time is over, a person cancels, the disk fills up, or the server stops. Whatever
//! happens, the build is marked ended, its dyno is stopped, and its directory is removed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use control::{Control, Resource, builds};
use model::build::Build;
use model::steps::{Step, reached};
use model::{App, DynoId};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::builder::House;
use crate::failure::Failure;
use crate::inside::Packs;
use crate::prepare::{self, Ready};
use crate::results::Compiled;
use crate::transcript::{self, Transcript};
use crate::workspace::Workspace;
use crate::{cache, compile, disk, fetch, launch};

/// Between two looks at how full the disk is.
const DISK_PERIOD: Duration = Duration::from_millis(250);

/// A server that stops gives a build so long to come to its end.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// A build dyno that was told to stop is waited for so long: its grace, and some.
const DYNO_STOP: Duration = Duration::from_secs(45);

/// One running build.
pub(crate) struct Job {
    pub(crate) house: Arc<House>,
    pub(crate) build: Build,
    pub(crate) transcript: Transcript,
    pub(crate) place: Workspace,
    /// The dyno it runs in, while there is one.
    pub(crate) dyno: Mutex<Option<DynoId>>,
}

/// Runs a claimed build to its end.
pub(crate) async fn run(house: Arc<House>, build: Build) {
    let began = Instant::now();
    let output = match builds::output(&house.control, build.id) {
        Ok(output) => output,
        Err(error) => {
            let failure = Failure::internal("opening the output of a build")(error);
            return end(&house.control, &build, &Err(failure)).await;
        }
    };
    let place = Workspace::of(&house.config, build.id);
    let transcript = Transcript::new(output);
    let mut job = Job { house, build, transcript, place, dyno: Mutex::default() };
    let cache_dir = control::apps::cache(&job.house.control, job.build.app);
    // Held until the dyno is gone: it may write to the cache until then.
    let _key = job.house.keys.take(&cache_dir).await;
    let outcome = match Box::pin(fetch::run(&mut job, began)).await {
        Ok(()) => Box::pin(job.work(began)).await,
        Err(failure) => Err(failure),
    };
    job.stop_dyno().await;
    if let Err(failure) = &outcome {
        job.transcript.say(&failure.transcript());
    }
    end(&job.house.control, &job.build, &outcome).await;
    reached(Step::BuildEnded);
    job.clean_up().await;
}

impl Job {
    async fn work(&self, began: Instant) -> Result<(), Failure> {
        let control = self.control();
        let app = control::apps::find(control, self.build.app).await;
        let app = app.map_err(Failure::internal("looking up the app"))?;
        self.greet(&app).await?;
        let ready = prepare::run(self).await?;
        let (compiled, bytes) = tokio::select! {
            made = self.make(&ready) => made?,
            // The dyno is stopped and a packing program killed by who called us; half an image is
            // removed with the workspace.
            trouble = self.trouble(began) => return Err(trouble),
        };
        self.transcript.say(&transcript::packed(bytes));
        launch::run(self, &app, compiled.clone()).await?;
        if matches!(ready.packs, Packs::Detect(_)) {
            let pinned = control::buildpack_installations::pin(control, app.id, &compiled.pack);
            // The release exists: nothing that fails after it fails the build.
            if let Err(error) = pinned.await {
                warn("could not note the buildpack of an app", &error);
            }
        }
        Ok(())
    }

    pub(crate) fn control(&self) -> &Control {
        &self.house.control
    }

    async fn greet(&self, app: &App) -> Result<(), Failure> {
        if let Some(version) = &self.build.source_version {
            let again = builds::was_built(self.control(), app.id, version).await;
            if again.map_err(Failure::internal("looking up earlier builds"))? {
                self.transcript.say(&transcript::same_version(version));
            }
        }
        self.transcript.say(&transcript::building_on(&self.build.stack));
        Ok(())
    }

    /// Compiles and packs; answers with the size of the image.
    async fn make(&self, ready: &Ready) -> Result<(Compiled, u64), Failure> {
        let compiled = compile::run(self, ready).await?;
        reached(Step::BuildCompiled);
        self.transcript.say(&compiled.process_types.transcript());
        let bytes = launch::pack(self).await?;
        reached(Step::BuildPacked);
        Ok((compiled, bytes))
    }

    /// Notes the dyno that it runs in; answers the one before.
    pub(crate) fn set_dyno(&self, dyno: Option<DynoId>) -> Option<DynoId> {
        std::mem::replace(&mut *self.dyno.lock().unwrap_or_else(PoisonError::into_inner), dyno)
    }

    /// Waits for a reason to give up.
    pub(crate) async fn trouble(&self, began: Instant) -> Failure {
        let limit = self.house.config.bounds.time;
        // All arms only wait.
        tokio::select! {
            () = sleep_until(began + limit) => Failure::TimedOut { seconds: limit.as_secs() },
            failure = self.ended_by_others() => failure,
            failure = self.disk_full() => failure,
            () = self.server_stops() => Failure::Interrupted,
        }
    }

    async fn ended_by_others(&self) -> Failure {
        match builds::wait_ended(self.control(), self.build.id).await {
            Ok(_) | Err(control::Error::NotFound(Resource::Build)) => Failure::Cancelled,
            Err(error) => Failure::internal("watching for a cancellation")(error),
        }
    }

    async fn disk_full(&self) -> Failure {
        loop {
            if let Err(failure) = check_disk(&self.house) {
                return failure;
            }
            sleep(DISK_PERIOD).await;
        }
    }

    async fn server_stops(&self) {
        self.house.cancel.cancelled().await;
        sleep(STOP_GRACE).await;
    }

    /// Stops the dyno if it still runs. When the server stops too, the row makes the next one do it.
    pub(crate) async fn stop_dyno(&self) {
        let Some(dyno) = self.set_dyno(None) else { return };
        if let Err(error) = control::one_offs::cancel(self.control(), dyno).await {
            warn("could not stop the dyno of a build", &error);
        }
        if timeout(DYNO_STOP, self.house.dynos.wait_exit(dyno)).await.is_err() {
            tracing::warn!(dyno.id = %dyno, "the dyno of a build did not stop in time");
        }
        if let Err(error) = self.control().outputs.delete(dyno) {
            warn("could not remove the raw output of a build", &error);
        }
    }

    async fn clean_up(&self) {
        let config = &self.house.config;
        if let Err(error) = self.place.remove(config).await {
            warn("could not remove the directory of a build", &error);
        }
        let control = self.control();
        let dir = control::apps::cache(control, self.build.app);
        let keys = &self.house.keys;
        let bounded = async {
            cache::bound(config, &dir).await?;
            cache::trim(config, &control.settings.caches, |dir| keys.is_taken(dir)).await
        };
        if let Err(error) = bounded.await {
            warn("could not bound the build caches", &error);
        }
    }
}

/// That the disk has the room that must be left.
pub(crate) fn check_disk(house: &House) -> Result<(), Failure> {
    let floor_bytes = house.config.bounds.free_bytes;
    let free = disk::free_bytes(&house.config.work_dir);
    let free = free.map_err(Failure::internal("asking for the room on the disk"))?;
    if free < floor_bytes { Err(Failure::DiskFull { floor_bytes }) } else { Ok(()) }
}

async fn end(control: &Control, build: &Build, outcome: &Result<(), Failure>) {
    record(build, outcome);
    let ended = match outcome {
        Ok(()) => builds::succeed(control, build.id).await,
        Err(_) => builds::fail(control, build.id).await,
    };
    if let Err(error) = ended {
        warn("could not mark a build as ended", &error);
    }
}

fn record(build: &Build, outcome: &Result<(), Failure>) {
    let Err(failure) = outcome else {
        tracing::info!(build.id = %build.id, app.id = %build.app, "build succeeded");
        return;
    };
    let error: &dyn std::error::Error = failure;
    if matches!(failure, Failure::Internal { .. }) {
        tracing::error!(build.id = %build.id, app.id = %build.app, error, "build failed");
    } else {
        tracing::info!(build.id = %build.id, app.id = %build.app, error, "build failed");
    }
}

pub(crate) fn warn(what: &'static str, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(error, "{what}");
}
