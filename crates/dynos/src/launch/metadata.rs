//! What a dyno is told about itself (Heroku, "Dyno Metadata"), for apps with the feature
//! `runtime-dyno-metadata`.

use std::collections::BTreeMap;

use model::Dyno;
use store::desired::Given;

/// Letters of a commit in a description.
const SHORT: usize = 8;

/// The variables; none for an app without the feature.
pub(super) fn variables(dyno: &Dyno, given: &Given) -> BTreeMap<String, String> {
    let Some(metadata) = &given.metadata else { return BTreeMap::new() };
    let mut variables = vec![
        ("APP_ID", dyno.app.to_string()),
        ("APP_NAME", metadata.app.to_string()),
        ("DYNO_ID", dyno.id.to_string()),
        ("RELEASE_VERSION", format!("v{}", given.version)),
        ("RELEASE_CREATED_AT", metadata.released_at.rfc3339()),
    ];
    if let Some(domain) = &metadata.default_domain {
        variables.push(("APP_DEFAULT_DOMAIN_NAME", domain.clone()));
    }
    if let Some(commit) = given.slug.as_ref().and_then(|slug| slug.commit.as_ref()) {
        let short = commit.get(..SHORT).unwrap_or(commit);
        variables.push(("SLUG_COMMIT", commit.clone()));
        variables.push(("SLUG_DESCRIPTION", format!("Deploy {short}")));
    }
    variables.into_iter().map(|(name, value)| (format!("HEROKU_{name}"), value)).collect()
}
