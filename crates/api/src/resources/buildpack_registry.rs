//! The registry that the CLI asks what a buildpack's name means. It knows the buildpacks that come
//! with the platform; all others are named by their URLs. Like Heroku's it is public.

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::error::{ApiError, Result};
use crate::state::ApiState;

const URN: &str = "urn:buildpack:";
/// Where Heroku's registry keeps the archives of its buildpacks. A CLI that asks Heroku's registry
/// sends such a URL for a name.
const ARCHIVES: &str = "https://buildpack-registry.s3.amazonaws.com/buildpacks/";

/// Routes of the registry.
pub fn routes() -> Router<ApiState> {
    Router::new().route("/buildpacks", get(search)).route("/buildpacks/{buildpack}", get(info))
}

#[derive(Serialize)]
struct EntryBody {
    blob_url: String,
    category: &'static str,
    description: String,
    name: String,
    namespace: String,
}

impl EntryBody {
    /// `None` when `buildpack` is no name of a registry, `namespace/name`.
    fn new(buildpack: &str) -> Option<Self> {
        let (namespace, name) = buildpack.split_once('/')?;
        Some(Self {
            blob_url: url(buildpack),
            category: "languages",
            description: format!("{name} buildpack that comes with Hythe"),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        })
    }

    /// Whether a search with these conditions finds it. Conditions of one kind are alternatives.
    fn is_asked_for(&self, conditions: &[(String, String)]) -> bool {
        let meets = |kind: &str, test: &dyn Fn(&str) -> bool| {
            let mut of_kind = conditions.iter().filter(|(key, _)| key == kind).peekable();
            of_kind.peek().is_none() || of_kind.any(|(_, wanted)| test(wanted))
        };
        meets("in[namespace][]", &|wanted| self.namespace == wanted)
            && meets("in[name][]", &|wanted| self.name == wanted)
            && meets("like[description]", &|wanted| self.description.contains(wanted))
    }
}

/// What a client means by `text`: `heroku/nodejs` for any of its registered forms, else a URL as
/// it is.
pub fn plain_name(text: &str) -> &str {
    let archive = || text.strip_prefix(ARCHIVES)?.strip_suffix(".tgz");
    text.strip_prefix(URN).or_else(archive).unwrap_or(text)
}

/// How answers write a buildpack: the CLI shows what follows the prefix.
pub fn url(buildpack: &str) -> String {
    if buildpack.contains(':') { buildpack.to_owned() } else { format!("{URN}{buildpack}") }
}

async fn search(
    State(state): State<ApiState>,
    Query(conditions): Query<Vec<(String, String)>>,
) -> Json<Vec<EntryBody>> {
    let all = state.buildpacks.iter().filter_map(|known| EntryBody::new(known));
    Json(all.filter(|entry| entry.is_asked_for(&conditions)).collect())
}

async fn info(
    State(state): State<ApiState>,
    Path(wanted): Path<String>,
) -> Result<Json<EntryBody>> {
    let known = state.buildpacks.iter().find(|known| **known == wanted);
    let entry = known.and_then(|known| EntryBody::new(known));
    entry.map(Json).ok_or_else(|| ApiError::not_found("buildpack"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_buildpack_has_one_name_whatever_its_form() {
        for form in [
            "heroku/nodejs",
            "urn:buildpack:heroku/nodejs",
            "https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/nodejs.tgz",
        ] {
            assert_eq!(plain_name(form), "heroku/nodejs");
        }
        let other = "https://github.com/heroku/heroku-buildpack-nodejs.git#v1";
        assert_eq!(url(plain_name(other)), other);
        assert_eq!(url("heroku/nodejs"), "urn:buildpack:heroku/nodejs");
    }
}
