//! Runs the driver in a build dyno and copies what it prints into the transcript.

use control::one_offs::{self, NewBuildDyno};
use control::{Follow, Verdict, builds};
use model::build::BuildStep;
use model::dyno::{Exit, Mount};
use model::steps::{Step, reached};

use crate::failure::Failure;
use crate::inside;
use crate::job::Job;
use crate::prepare::Ready;
use crate::results::{self, Compiled};
use crate::transcript::Transcript;

/// The dyno's own time limit is this much later than the build's: it is only for when nobody is
/// there to end it.
const SPARE_SECONDS: u64 = 60;

/// Detects and compiles.
pub(crate) async fn run(job: &Job, ready: &Ready) -> Result<Compiled, Failure> {
    let step = builds::set_step(job.control(), job.build.id, BuildStep::Compile).await;
    step.map_err(Failure::internal("noting the step of a build"))?;
    let exit = run_dyno(job, dyno(job, ready)).await?;
    judge(job, exit)
}

/// Runs a dyno of a build to its end, and copies what it prints into the transcript.
pub(crate) async fn run_dyno(job: &Job, new: NewBuildDyno) -> Result<Exit, Failure> {
    let control = job.control();
    let dyno = one_offs::start_build(control, &job.build, new).await;
    let dyno = dyno.map_err(Failure::internal("asking for the dyno of a build"))?.id;
    job.set_dyno(Some(dyno));
    reached(Step::BuildDynoAsked);
    let follow = control.outputs.follow(dyno).await;
    let follow = follow.map_err(Failure::internal("following the dyno of a build"))?;
    let wait = async {
        let exit = job.house.dynos.wait_exit(dyno).await;
        // Usually done by the dyno manager; but a dyno that never ran has nobody to do it, and the
        // copy below ends only then.
        let _marked = control.outputs.finish(dyno, Verdict::Failed);
        exit
    };
    let (exit, copied) = tokio::join!(wait, copy(follow, &job.transcript));
    copied.map_err(Failure::internal("copying the output of a build"))?;
    exit.map_err(|error| match error {
        dynos::Error::Stopped => Failure::Interrupted,
        other => Failure::internal("waiting for the dyno of a build")(other),
    })
}

fn dyno(job: &Job, ready: &Ready) -> NewBuildDyno {
    let packs = &job.house.buildpacks;
    let mounts = inside::mounts(job.build.id, &job.place, ready.cache.files(), packs);
    build_dyno(job, inside::command(&ready.packs), mounts)
}

/// A dyno of a build with this command and these mounts.
pub(crate) fn build_dyno(job: &Job, command: String, mounts: Vec<Mount>) -> NewBuildDyno {
    let (config, build) = (&job.house.config, &job.build);
    let seconds = config.bounds.time.as_secs().saturating_add(SPARE_SECONDS);
    NewBuildDyno {
        command,
        env: inside::env(config, build),
        mounts,
        time_to_live_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
    }
}

async fn copy(follow: Option<Follow>, transcript: &Transcript) -> std::io::Result<()> {
    let Some(mut follow) = follow else { return Ok(()) };
    while let Some(bytes) = follow.next().await? {
        transcript.copy(&bytes);
    }
    Ok(())
}

/// What came of it. Memory is named before what failed for want of it.
fn judge(job: &Job, exit: Exit) -> Result<Compiled, Failure> {
    let answer = results::read(&job.place.results(), &job.place.tree());
    match answer {
        Ok(Some(compiled)) => Ok(compiled),
        _ if exit.out_of_memory => {
            Err(Failure::OutOfMemory { limit_bytes: job.house.config.bounds.memory_bytes })
        }
        Ok(None) => Err(Failure::Died { status: exit.status }),
        Err(failure) => Err(failure),
    }
}
