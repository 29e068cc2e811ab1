//! Why no release came of a build, and how people are told (platform behaviour, 4.1).

use std::error::Error;

use crate::archive::ArchiveError;
use crate::buildpacks::Unavailable;
use crate::sizes::human;

/// Why no release came of a build. All but [`Failure::Internal`] are the app's or its owner's doing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No buildpack knows the app.
    #[error("no buildpack knows the app")]
    Undetected,
    /// A buildpack that was set does not know the app.
    #[error("the app is not compatible with buildpack {pack}")]
    Incompatible {
        /// Its name.
        pack: String,
    },
    /// The source could not be fetched; the driver has said why.
    #[error("the source could not be fetched")]
    SourceNotFetched,
    /// The source is not the one that was meant.
    #[error(
        "the source's checksum does not match. Expected: SHA256:{wanted} Actual: SHA256:{found}"
    )]
    Checksum {
        /// As announced.
        wanted: String,
        /// As fetched.
        found: String,
    },
    /// A buildpack could not be fetched; the driver has said why.
    #[error("buildpack {pack} could not be fetched")]
    Fetch {
        /// Its name.
        pack: String,
    },
    /// The buildpack's compile failed.
    #[error("compiling failed")]
    Compile {
        /// What the buildpack calls the app.
        language: String,
    },
    /// The buildpack's release failed or made no sense.
    #[error("buildpack {pack} failed to say how the app is run")]
    Release {
        /// Its name.
        pack: String,
    },
    /// The container's memory was not enough.
    #[error("the build needed more than {} of memory", human(*.limit_bytes))]
    OutOfMemory {
        /// What there was.
        limit_bytes: u64,
    },
    /// The build's container ended without an answer.
    #[error("the build's container ended with status {status}")]
    Died {
        /// Its exit status.
        status: i32,
    },
    /// It took too long.
    #[error("timed out; must complete in {seconds} seconds")]
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// A person ended it.
    #[error("the build was cancelled")]
    Cancelled,
    /// The server stopped.
    #[error("the platform stopped during the build")]
    Interrupted,
    /// The disk is too full.
    #[error("the disk of the platform has less than {} left", human(*.floor_bytes))]
    DiskFull {
        /// What must be left.
        floor_bytes: u64,
    },
    /// The source was refused.
    #[error(transparent)]
    Source(#[from] ArchiveError),
    /// A file of the app that we must read cannot be used, for the reason it says.
    #[error("{0}")]
    File(std::io::Error),
    /// A buildpack cannot be had.
    #[error(transparent)]
    Buildpack(#[from] Unavailable),
    /// The slug is too large.
    #[error("the slug is too large")]
    SlugTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The platform's own fault.
    #[error("internal error while {attempt}")]
    Internal {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Failure {
    /// The platform's own fault while `attempt` was made.
    pub(crate) fn internal<E>(attempt: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        move |source| Self::Internal { attempt, source: source.into() }
    }

    /// What went wrong, for people, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Internal { .. } => {
                "The platform failed, not the app; its log says how. Please try again.".to_owned()
            }
            other => format!("{}.", sentence(&other.to_string())),
        }
    }

    /// The last lines of the transcript.
    #[must_use]
    pub fn transcript(&self) -> String {
        let reason = match self {
            Self::Undetected => " !     No default language could be detected for this app.\n\
                 \t\t\tHINT: This occurs when Hythe cannot detect the buildpack to use for this application automatically.\n\
                 \t\t\tSee https://devcenter.heroku.com/articles/buildpacks\n"
                .to_owned(),
            Self::Incompatible { pack } => format!(
                "-----> App not compatible with buildpack: {pack}\n       \
                 More info: https://devcenter.heroku.com/articles/buildpacks#detection-failure\n"
            ),
            Self::Compile { language } => {
                format!(" !     Push rejected, failed to compile {language} app.\n")
            }
            Self::SlugTooLarge { bytes, limit_bytes } => format!(
                " !     Compiled slug size: {} is too large (max is {}).\n \
                 !     See: http://devcenter.heroku.com/articles/slug-size\n",
                human(*bytes),
                human(*limit_bytes)
            ),
            Self::OutOfMemory { .. } => format!(
                " !     Build killed: {self}.\n \
                 !     Make the build smaller, or ask the operator for a higher limit.\n"
            ),
            Self::DiskFull { .. } => format!(
                " !     Build stopped: {self}.\n \
                 !     The operator must make room; apps that run are not affected.\n"
            ),
            _ => format!(" !     {}\n", self.sentence()),
        };
        format!("\n{reason}\n !     Push failed\n")
    }
}

/// With a capital letter, and without the full stop that may be there already.
fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_in_herokus_words() {
        let compile = Failure::Compile { language: "Python".to_owned() };
        assert_eq!(
            compile.transcript(),
            "\n !     Push rejected, failed to compile Python app.\n\n !     Push failed\n"
        );
        let large = Failure::SlugTooLarge { bytes: 731 << 20, limit_bytes: 500 << 20 };
        assert_eq!(
            large.transcript(),
            "\n !     Compiled slug size: 731M is too large (max is 500M).\n \
             !     See: http://devcenter.heroku.com/articles/slug-size\n\n !     Push failed\n"
        );
        let undetected = Failure::Undetected.transcript();
        assert!(undetected.starts_with(
            "\n !     No default language could be detected for this app.\n\t\t\tHINT: This occurs"
        ));
        let late = Failure::TimedOut { seconds: 900 }.transcript();
        assert!(late.contains(" !     Timed out; must complete in 900 seconds.\n"), "{late}");
    }

    #[test]
    fn the_platforms_own_faults_do_not_show_their_inside() {
        let fault = Failure::internal("storing the slug")("secret path");
        assert!(!fault.transcript().contains("secret path"));
    }
}
