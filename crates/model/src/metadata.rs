//! What a release says of itself to what it runs in (Heroku, "Dyno Metadata"), for apps with the
//! feature `runtime-dyno-metadata`.

use std::collections::BTreeMap;

use crate::{AppId, AppName, Timestamp};

/// Letters of a commit in a description.
const SHORT: usize = 8;

/// What a release says of itself.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Its app.
    pub app: AppId,
    /// The app's name.
    pub name: AppName,
    /// The host name that the app has by itself.
    pub default_domain: Option<String>,
    /// The release's version.
    pub version: u32,
    /// When the release was made.
    pub released_at: Timestamp,
    /// The commit that its slug was built from.
    pub commit: Option<String>,
}

impl Metadata {
    /// The environment variables.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = vec![
            ("APP_ID", self.app.to_string()),
            ("APP_NAME", self.name.to_string()),
            ("RELEASE_VERSION", format!("v{}", self.version)),
            ("RELEASE_CREATED_AT", self.released_at.rfc3339()),
        ];
        if let Some(domain) = &self.default_domain {
            variables.push(("APP_DEFAULT_DOMAIN_NAME", domain.clone()));
        }
        if let Some(commit) = &self.commit {
            let short = commit.get(..SHORT).unwrap_or(commit);
            variables.push(("SLUG_COMMIT", commit.clone()));
            variables.push(("SLUG_DESCRIPTION", format!("Deploy {short}")));
        }
        variables.into_iter().map(|(name, value)| (format!("HEROKU_{name}"), value)).collect()
    }
}
