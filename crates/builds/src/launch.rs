//! From a compiled tree to a release: pack, store, release.

use std::fs;

use control::builds;
use control::slugs::{self, NewSlug};
use model::App;
use model::build::BuildStep;
use model::release::ReleaseStatus;
use model::steps::{Step, reached};

use crate::failure::Failure;
use crate::job::Job;
use crate::results::Compiled;
use crate::slug;
use crate::transcript::{self, Launch};

/// Packs the tree; answers the size of the image.
pub(crate) async fn pack(job: &Job) -> Result<u64, Failure> {
    note(job, BuildStep::Pack).await?;
    job.transcript.say("-----> Compressing...\n");
    let (config, image) = (&job.house.config, job.place.image());
    let packed = slug::pack(config, &job.place.tree(), &image).await;
    packed.map_err(Failure::internal("packing the slug"))?;
    let found = fs::metadata(&image).map_err(Failure::internal("measuring the slug"))?;
    let (bytes, limit_bytes) = (found.len(), config.bounds.slug_bytes);
    if bytes > limit_bytes { Err(Failure::SlugTooLarge { bytes, limit_bytes }) } else { Ok(bytes) }
}

/// Stores the image and releases it. Once begun it is not given up: a release either exists or it
/// does not.
pub(crate) async fn run(job: &Job, app: &App, compiled: Compiled) -> Result<(), Failure> {
    let control = job.control();
    job.transcript.say("-----> Launching...\n");
    note(job, BuildStep::Release).await?;
    let image = slugs::store_image(control, &job.place.image()).await;
    let image = image.map_err(Failure::internal("storing the slug"))?;
    reached(Step::SlugStored);
    let slug = NewSlug {
        image,
        commit: job.build.source_version.clone(),
        buildpack_description: Some(compiled.language).filter(|language| !language.is_empty()),
        process_types: compiled.process_types.overlaid(),
        stack: job.build.stack.clone(),
    };
    let release =
        builds::release(control, job.build.id, slug).await.map_err(|error| match error {
            control::Error::Conflict(_) | control::Error::NotFound(_) => Failure::Cancelled,
            other => Failure::internal("releasing the slug")(other),
        })?;
    reached(Step::BuildReleased);
    let launch = match release.status {
        ReleaseStatus::Pending => Launch::ReleaseCommand,
        ReleaseStatus::Succeeded | ReleaseStatus::Failed => Launch::Live,
    };
    let url = control.settings.web_url(&app.name);
    job.transcript.say(&transcript::launched(launch, release.version, &url));
    Ok(())
}

async fn note(job: &Job, step: BuildStep) -> Result<(), Failure> {
    let noted = builds::set_step(job.control(), job.build.id, step).await;
    noted.map_err(Failure::internal("noting the step of a build"))
}
