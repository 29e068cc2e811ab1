//! A source that lies elsewhere is fetched first, in a dyno of its own: what the server's own network
//! can reach is nobody's business.

use std::path::Path;

use control::builds;
use model::ConfigVars;
use model::build::BuildSource;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::job::Job;
use crate::{buildpacks, compile, inside, plain_file};

/// Heroku's limit on a source.
const MAX_BYTES: u64 = 1 << 30;

/// A commit's name is this long at most.
const MAX_COMMIT: u64 = 128;

/// Fetches the source of a build unless it is in the blob store.
pub(crate) async fn run(job: &mut Job, began: Instant) -> Result<(), Failure> {
    let BuildSource::Remote { remote, checksum } = job.build.source.clone() else {
        return Ok(());
    };
    job.transcript.say(&format!("-----> Fetching the source from {remote}\n"));
    let line = buildpacks::line(&remote.to_string(), &remote);
    let fetched = {
        let fetch = fetch(job, &line);
        tokio::select! {
            fetched = fetch => fetched,
            // The dyno is stopped by who called us.
            trouble = job.trouble(began) => Err(trouble),
        }
    };
    job.stop_dyno().await;
    let (blob, commit) = fetched?;
    if let Some(wanted) = checksum.filter(|wanted| *wanted != blob) {
        return Err(Failure::Checksum { wanted, found: blob });
    }
    let noted = builds::fetched(job.control(), job.build.id, blob.clone(), commit.clone()).await;
    noted.map_err(Failure::internal("noting the source of a build"))?;
    job.build.source = BuildSource::Stored(blob);
    job.build.source_version = job.build.source_version.take().or(commit);
    Ok(())
}

/// The name of the stored archive, and the commit if it came from git.
async fn fetch(job: &Job, line: &str) -> Result<(String, Option<String>), Failure> {
    let failed = Failure::internal::<std::io::Error>;
    let made = job.place.create(&ConfigVars::default(), line);
    made.map_err(failed("making the directory of a build"))?;
    let mounts = inside::source_mounts(&job.place);
    let dyno = compile::build_dyno(job, inside::source_command(), mounts);
    let exit = compile::run_dyno(job, dyno).await?;
    let results = job.place.results();
    let text = plain_file::read_text(&results.join("commit"), MAX_COMMIT);
    let commit = text.map_err(failed("reading the commit of a source"))?;
    let commit = commit.map(|text| text.trim().to_owned()).filter(|text| is_commit(text));
    let archive = (exit.status == 0).then(|| open(&results.join("source.tgz"))).flatten();
    let archive = archive.ok_or(Failure::SourceNotFetched)?;
    let stored = control::sources::put(job.control(), archive, MAX_BYTES).await;
    let blob = stored.map_err(Failure::internal("storing the source of a build"))?;
    // The next steps begin with a directory of their own.
    let removed = job.place.remove(&job.house.config).await;
    removed.map_err(Failure::internal("removing the directory of a source"))?;
    Ok((blob.name, commit))
}

/// The build wrote there, so it is opened only if it is a plain file.
fn open(path: &Path) -> Option<tokio::fs::File> {
    plain_file::open(path).ok().flatten().map(tokio::fs::File::from_std)
}

fn is_commit(text: &str) -> bool {
    (40..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
