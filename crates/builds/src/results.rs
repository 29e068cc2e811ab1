//! What the driver answered: small files in a directory that the build could write.
//!
//! The build may have written anything there; whatever it claims concerns only its own app. So the
//! files are read with care, and believed.

use std::io;
use std::path::Path;

use crate::failure::Failure;
use crate::plain_file;
use crate::process_types::{Commands, ProcessTypes};
use crate::release_yaml;

const MAX_ANSWER: u64 = 64 * 1024;
const MAX_PROCFILE: u64 = 64 * 1024;
const MAX_WORD: usize = 100;

/// A tree that buildpacks have compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// What the last buildpack calls the app: `Node.js`.
    pub language: String,
    /// That buildpack's name.
    pub pack: String,
    /// How the app is run.
    pub process_types: ProcessTypes,
}

/// Reads the answers in `results`, and the Procfile in `tree`. `None` when the driver did not get to
/// answering.
///
/// # Errors
/// What the driver says went wrong.
pub fn read(results: &Path, tree: &Path) -> Result<Option<Compiled>, Failure> {
    let word = |name: &str| -> Result<String, Failure> {
        let text = plain_file::read_text(&results.join(name), MAX_ANSWER).map_err(unreadable)?;
        Ok(printable(&text.unwrap_or_default()))
    };
    let (pack, language) = (word("pack")?, word("language")?);
    match word("outcome")?.as_str() {
        "compiled" => {
            let defaults = defaults(results, &pack)?;
            let process_types = ProcessTypes { declared: procfile(tree)?, defaults };
            Ok(Some(Compiled { language, pack, process_types }))
        }
        "undetected" => Err(Failure::Undetected),
        "incompatible" => Err(Failure::Incompatible { pack }),
        "compile-failed" => Err(Failure::Compile { language }),
        "release-failed" => Err(Failure::Release { pack }),
        "fetch-failed" => Err(Failure::Fetch { pack }),
        _ => Ok(None),
    }
}

fn defaults(results: &Path, pack: &str) -> Result<Commands, Failure> {
    let failed = || Failure::Release { pack: pack.to_owned() };
    let text = plain_file::read_text(&results.join("release.yml"), MAX_ANSWER);
    let text = text.map_err(|_| failed())?.unwrap_or_default();
    release_yaml::default_process_types(&text).map_err(|_| failed())
}

fn procfile(tree: &Path) -> Result<Commands, Failure> {
    let text =
        plain_file::read_text(&tree.join("Procfile"), MAX_PROCFILE).map_err(Failure::File)?;
    Ok(model::procfile::parse(&text.unwrap_or_default()))
}

fn unreadable(error: io::Error) -> Failure {
    Failure::internal("reading what a build left")(error)
}

/// One short line without control characters: it is printed and stored.
fn printable(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().filter(|letter| !letter.is_control()).take(MAX_WORD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Left(tempfile::TempDir);

    impl Left {
        fn by(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            for (name, content) in files {
                std::fs::write(dir.path().join(name), content).expect("written");
            }
            Self(dir)
        }

        fn read(&self) -> Result<Option<Compiled>, Failure> {
            read(self.0.path(), self.0.path())
        }
    }

    #[test]
    fn a_compiled_app_has_the_procfiles_types_over_the_buildpacks() {
        let left = Left::by(&[
            ("outcome", "compiled"),
            ("pack", "heroku/nodejs"),
            ("language", "Node.js\u{1b}[31m\nmore"),
            ("release.yml", "default_process_types: {web: npm start}"),
            ("Procfile", "worker: node w.js\n"),
        ]);
        let compiled = left.read().expect("no failure").expect("compiled");
        assert_eq!(compiled.language, "Node.js[31m");
        assert_eq!(compiled.process_types.overlaid().len(), 2);
    }

    #[test]
    fn each_outcome_is_told_apart_and_silence_is_no_outcome() {
        assert!(matches!(Left::by(&[]).read(), Ok(None)));
        let failed = |outcome| Left::by(&[("outcome", outcome), ("language", "X")]).read();
        assert!(matches!(failed("undetected"), Err(Failure::Undetected)));
        assert!(
            matches!(failed("compile-failed"), Err(Failure::Compile { language }) if language == "X")
        );
        assert!(matches!(failed("incompatible"), Err(Failure::Incompatible { .. })));
        assert!(matches!(failed("release-failed"), Err(Failure::Release { .. })));
    }

    #[test]
    fn a_release_that_is_not_yaml_fails_the_build() {
        let left = Left::by(&[("outcome", "compiled"), ("release.yml", "a: [")]);
        assert!(matches!(left.read(), Err(Failure::Release { .. })));
    }

    #[test]
    fn a_procfile_that_is_too_large_is_said_to_be_so() {
        let large = "x".repeat(70_000);
        let failure = Left::by(&[("outcome", "compiled"), ("Procfile", &large)]).read();
        let transcript = failure.expect_err("refused").transcript();
        assert!(transcript.contains(" !     Procfile is larger than 64K.\n"), "{transcript}");
    }

    #[test]
    fn a_procfile_that_is_a_symlink_is_not_followed() {
        let left = Left::by(&[("outcome", "compiled"), ("elsewhere", "web: x")]);
        let to = left.0.path().join("elsewhere");
        std::os::unix::fs::symlink(to, left.0.path().join("Procfile")).expect("linked");
        let compiled = left.read().expect("no failure").expect("compiled");
        assert_eq!(compiled.process_types, ProcessTypes::default());
    }
}
