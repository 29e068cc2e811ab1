//! Before a build's dyno starts: room on the disk, buildpacks, cache, source tree, config vars.

use model::ConfigVars;

use crate::archive::{self, DEFAULT_LIMITS};
use crate::buildpacks;
use crate::cache::Cache;
use crate::failure::Failure;
use crate::inside::Packs;
use crate::job::{Job, check_disk};
use crate::slugignore;
use crate::transcript;

/// Config var that names a buildpack; older than the list of buildpacks, and stronger.
const LEGACY_OVERRIDE: &str = "BUILDPACK_URL";

/// What a build's dyno needs besides its workspace.
pub(crate) struct Ready {
    pub(crate) packs: Packs,
    pub(crate) cache: Cache,
}

/// Makes everything ready that the build's dyno sees.
pub(crate) async fn run(job: &Job) -> Result<Ready, Failure> {
    check_disk(&job.house)?;
    let (control, build) = (job.control(), &job.build);
    let config = control::config::of_build(control, build.app).await;
    let config = config.map_err(Failure::internal("reading the config vars"))?;
    let packs = choose(&build.buildpacks, &config)?;
    let made = job.place.create(&config, &packs.lines());
    made.map_err(Failure::internal("making the directory of a build"))?;
    let dir = control::apps::cache(control, build.app);
    let cache = Cache::open(&job.house.config, dir, &build.stack).await;
    let cache = cache.map_err(Failure::internal("opening the build cache"))?;
    if let Some(deleted) = write_tree(job).await? {
        job.transcript.say(&transcript::deleted(deleted));
    }
    Ok(Ready { packs, cache })
}

fn choose(wanted: &[String], config: &ConfigVars) -> Result<Packs, Failure> {
    if let Some(reference) = config.get(LEGACY_OVERRIDE).filter(|text| !text.trim().is_empty()) {
        return Ok(Packs::Set(vec![buildpacks::resolve(reference)?]));
    }
    if wanted.is_empty() {
        return Ok(Packs::Detect(buildpacks::all()));
    }
    let packs: Result<_, _> =
        wanted.iter().map(|reference| buildpacks::resolve(reference)).collect();
    Ok(Packs::Set(packs?))
}

/// Unpacks the source and applies `.slugignore`; answers how many paths that deleted. Its size is
/// bounded, so it is left to run to its end.
async fn write_tree(job: &Job) -> Result<Option<usize>, Failure> {
    let blob = job.build.source.stored().unwrap_or_default();
    let archive = control::builds::source_path(job.control(), blob);
    let archive = archive.map_err(Failure::internal("finding the source"))?;
    let tree = job.place.tree();
    let written = tokio::task::spawn_blocking(move || {
        archive::unpack(&archive, &tree, DEFAULT_LIMITS)?;
        slugignore::apply(&tree).map_err(Failure::File)
    });
    written.await.map_err(Failure::internal("unpacking the source"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> ConfigVars {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        ConfigVars(pairs.iter().map(owned).collect())
    }

    #[test]
    fn without_a_choice_buildpacks_are_detected() {
        let packs = choose(&[], &vars(&[("BUILDPACK_URL", "")])).expect("chosen");
        assert_eq!(packs, Packs::Detect(buildpacks::all()));
    }

    #[test]
    fn the_legacy_config_var_wins_over_the_list() {
        let python = buildpacks::resolve("heroku/python").expect("built in");
        let config = vars(&[("BUILDPACK_URL", "heroku/python")]);
        let packs = choose(&["heroku/nodejs".to_owned()], &config).expect("chosen");
        assert_eq!(packs, Packs::Set(vec![python]));
    }

    #[test]
    fn a_buildpack_that_cannot_be_had_fails_the_build_with_its_name() {
        let wanted = ["heroku/nodejs".to_owned(), "heroku/cobol".to_owned()];
        let failure = choose(&wanted, &vars(&[])).expect_err("refused");
        let transcript = failure.transcript();
        let said = transcript.contains(" !     Buildpack heroku/cobol is not known.");
        assert!(said, "{transcript}");
    }
}
