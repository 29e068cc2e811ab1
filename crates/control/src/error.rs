//! Why a verb was refused or failed. `api` maps this once to HTTP, `git` to its own words.

use model::ProcessType;
use model::config::ConfigError;
use model::formation::ScaleError;
use model::names::NameError;
use model::size::UnknownSize;

/// The outcome of a verb.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a verb was refused or failed. Texts of all but [`Error::Internal`] are for the person who
/// asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not known who asks.
    #[error("Invalid credentials provided.")]
    Unauthorized,
    /// It is known who asks, and they may not.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing, or not for this person.
    #[error("{0}")]
    NotFound(Resource),
    /// What is asked makes no sense; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// It makes sense, but not now.
    #[error("{0}")]
    Conflict(String),
    /// It needs the app's name as a confirmation.
    #[error("{0}")]
    ConfirmationRequired(String),
    /// A limit on how many there may be.
    #[error("{0}")]
    TooMany(String),
    /// More bytes than are taken.
    #[error("The upload is larger than the limit of {limit} bytes.")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The platform cannot just now; asking again later may help.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of the platform.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Resource {
    App,
    Authorization,
    Build,
    Domain,
    Dyno,
    Feature,
    LogDrain,
    LogInput,
    LogRule,
    LogSession,
    ProcessType(ProcessType),
    Release,
    Slug,
    SniEndpoint,
    Source,
    Stack,
    TelemetryDrain,
}

impl Resource {
    /// The API's word, for the `resource` member of its errors.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Authorization => "authorization",
            Self::Build => "build",
            Self::Domain => "domain",
            Self::Dyno => "dyno",
            Self::Feature => "feature",
            Self::LogDrain => "log drain",
            Self::LogInput => "log input",
            Self::LogRule => "log alert",
            Self::LogSession => "log session",
            Self::ProcessType(_) => "process type",
            Self::Release => "release",
            Self::Slug => "slug",
            Self::SniEndpoint => "sni_endpoint",
            Self::Source => "source",
            Self::Stack => "stack",
            Self::TelemetryDrain => "telemetry drain",
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ProcessType(name) => write!(f, "Couldn't find that process type ({name})."),
            other => write!(f, "Couldn't find that {}.", other.word().replace('_', " ")),
        }
    }
}

impl Error {
    /// A fault of the platform.
    pub(crate) fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::TooLarge { limit } => Self::TooLarge { limit },
            // The sender's side broke, or sent what is not what it said.
            store::Error::Incoming { source } => {
                Self::Invalid(format!("The upload broke off: {source}."))
            }
            store::Error::Stopped => Self::Unavailable("The platform is being stopped.".to_owned()),
            other => Self::internal(other),
        }
    }
}

macro_rules! invalid {
    ($($error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Invalid(error.to_string())
            }
        }
    )*};
}

invalid!(NameError, ConfigError, ScaleError, UnknownSize);
