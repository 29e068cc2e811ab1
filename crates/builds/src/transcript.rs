//! What a build says to the people who wait for it, in Heroku's words (platform behaviour, 4.1).
//!
//! A transcript begins at `-----> Building on the … stack` (after a warning, if one is due) and ends
//! with `… deployed to Hythe` or ` !     Push failed`. The lines around it, such as `Building source:`
//! before and `Verifying deploy... done.` after, and a release command's own output after that,
//! belong to whoever shows the transcript: `git`, or a client of the API. The build is marked
//! succeeded once its release exists, also while the release command has yet to run.

use control::OutputWriter;

use crate::sizes::human;

/// Heroku warns above this size of a slug.
const LARGE_SLUG: u64 = 300 << 20;

/// The output of one build.
pub struct Transcript {
    output: OutputWriter,
}

impl Transcript {
    /// Writes to `output`.
    #[must_use]
    pub fn new(output: OutputWriter) -> Self {
        Self { output }
    }

    /// Adds `text` as it is.
    pub fn say(&self, text: &str) {
        self.copy(text.as_bytes());
    }

    /// Adds what the build's container printed. A transcript that cannot be written does not fail a
    /// build: who follows it sees less, and the platform's log says why.
    pub fn copy(&self, bytes: &[u8]) {
        if let Err(error) = self.output.write(bytes) {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "could not write a build's output");
        }
    }
}

/// `heroku-24` as Heroku writes it: `Heroku-24`.
#[must_use]
pub fn building_on(stack: &str) -> String {
    let mut letters = stack.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("-----> Building on the {first}{} stack\n", letters.as_str())
}

/// The warning about a version that was built well before.
#[must_use]
pub fn same_version(version: &str) -> String {
    format!(
        " !\n \
         ! ## Warning - The same version of this code has already been built: {version}\n \
         !\n \
         ! We have detected that you have triggered a build from source code with version {version}\n \
         ! at least twice. One common cause of this behavior is attempting to deploy code from a different branch.\n \
         !\n \
         ! If you are developing on a branch and deploying via git you must run:\n \
         !\n \
         !     git push heroku <branchname>:main\n \
         !\n \
         ! This article goes into details on the behavior:\n \
         !   https://devcenter.heroku.com/articles/duplicate-build-version\n\n"
    )
}

/// After `.slugignore` was applied.
#[must_use]
pub fn deleted(count: usize) -> String {
    let files = if count == 1 { "file" } else { "files" };
    format!("-----> Deleting {count} {files} matching .slugignore patterns.\n")
}

/// After packing.
#[must_use]
pub fn packed(bytes: u64) -> String {
    let size = human(bytes);
    let warning = if bytes > LARGE_SLUG {
        format!(
            " !     Warning: Your slug size ({size}) exceeds our soft limit ({}) which may affect boot time.\n",
            human(LARGE_SLUG)
        )
    } else {
        String::new()
    };
    format!("       Done: {size}\n{warning}")
}

/// What follows `-----> Launching...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launch {
    /// The release is current.
    Live,
    /// Its command must succeed first.
    ReleaseCommand,
}

/// The last lines of a build that went well.
#[must_use]
pub fn launched(launch: Launch, version: u32, web_url: &str) -> String {
    let declared = match launch {
        Launch::Live => "",
        Launch::ReleaseCommand => {
            " !     Release command declared: this new release will not be available until the command succeeds.\n"
        }
    };
    format!("{declared}       Released v{version}\n       {web_url} deployed to Hythe\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_named_as_heroku_names_them() {
        assert_eq!(building_on("heroku-24"), "-----> Building on the Heroku-24 stack\n");
        assert_eq!(building_on("éa"), "-----> Building on the Éa stack\n");
        assert_eq!(building_on(""), "-----> Building on the  stack\n");
    }

    #[test]
    fn a_large_slug_is_warned_of() {
        assert_eq!(packed(47_395_635), "       Done: 45.2M\n");
        assert!(packed(301 << 20).contains("slug size (301M) exceeds our soft limit (300M)"));
    }

    #[test]
    fn a_release_command_is_announced_before_the_release() {
        assert_eq!(
            launched(Launch::ReleaseCommand, 3, "http://demo.localhost/"),
            " !     Release command declared: this new release will not be available until the command succeeds.\n       \
             Released v3\n       http://demo.localhost/ deployed to Hythe\n"
        );
        assert_eq!(
            launched(Launch::Live, 3, "http://x/"),
            "       Released v3\n       http://x/ deployed to Hythe\n"
        );
    }

    #[test]
    fn the_warning_about_a_version_names_it_twice_and_every_line_is_marked() {
        let warning = same_version("409cdef5");
        assert!(warning.starts_with(
            " !\n ! ## Warning - The same version of this code has already been built: 409cdef5\n !\n"
        ));
        assert!(warning.trim_end().lines().all(|line| line.starts_with(" !")));
    }
}
