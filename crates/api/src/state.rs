//! What handlers are given.

use std::collections::HashSet;
use std::sync::Arc;

use control::Control;
use model::Secret;
use model::size::SizeTable;
use tokio_util::task::TaskTracker;

use crate::input_tally::InputTally;
use crate::rate_limits::RateLimits;
use crate::streams::Licence;

/// What the API tells clients about where things are.
#[derive(Debug)]
pub struct Config {
    /// Where clients find this API, without a slash at the end: `https://api.example.com:8300`.
    /// URLs of streams and uploads begin with it.
    pub api_url: String,
    /// `host` or `host:port` of git over HTTPS.
    pub git_host: String,
    /// `host:port` where `heroku run` joins a dyno, over TLS.
    pub attach_host: String,
    /// Host names that lead to this API: lower-case, without port. All others are answered 421.
    pub hosts: HashSet<Box<str>>,
    /// Signs the URLs of streams, which carry their own licence. A new key makes old URLs void.
    pub stream_key: Secret,
}

impl Config {
    /// The URL of a stream, which proves the licence to read it.
    pub(crate) fn stream_url(&self, licence: &Licence) -> String {
        format!("{}{}", self.api_url, licence.path(&self.stream_key))
    }
}

/// What handlers are given.
#[derive(Clone)]
pub struct ApiState {
    /// The verbs.
    pub control: Control,
    /// The logs.
    pub logs: logplex::Logplex,
    /// Where things are.
    pub config: Arc<Config>,
    /// Owns the handlers that outlive their connection; the server waits for it when it stops.
    pub tasks: TaskTracker,
    /// The drains at work.
    pub(crate) drains: logplex::Drains,
    /// What came in by log inputs.
    pub(crate) input_tally: Arc<InputTally>,
    /// Names of the buildpacks that come with the platform.
    pub(crate) buildpacks: Arc<[String]>,
    /// What each dyno size grants.
    pub(crate) sizes: Arc<SizeTable>,
    /// How many calls accounts have left.
    pub(crate) limits: Arc<RateLimits>,
}

impl ApiState {
    /// The state of an API over these rooms.
    #[must_use]
    pub fn new(
        control: Control,
        logs: logplex::Logplex,
        config: Config,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            control,
            logs,
            config: Arc::new(config),
            tasks,
            drains: logplex::Drains::default(),
            input_tally: Arc::default(),
            buildpacks: Arc::default(),
            sizes: Arc::default(),
            limits: Arc::default(),
        }
    }

    /// The same, where these drains are at work.
    #[must_use]
    pub fn with_drains(self, drains: logplex::Drains) -> Self {
        Self { drains, ..self }
    }

    /// The same, where these buildpacks (`heroku/nodejs`) come with the platform.
    #[must_use]
    pub fn with_buildpacks(self, names: impl IntoIterator<Item = String>) -> Self {
        Self { buildpacks: names.into_iter().collect(), ..self }
    }

    /// The same, where dyno sizes grant this.
    #[must_use]
    pub fn with_sizes(self, sizes: SizeTable) -> Self {
        Self { sizes: Arc::new(sizes), ..self }
    }
}
