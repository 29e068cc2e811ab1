//! What Heroku's API has and this one has not: a clear answer instead of a puzzling 404.

use axum::extract::Request;
use http::StatusCode;

use crate::error::ApiError;

/// The links of Heroku's published schema that are not served, one `METHOD /path/{part}` a line. A
/// test keeps it equal to what the router does not serve; it may only shrink.
const ENDPOINTS: &str = include_str!("../endpoints.txt");

/// Paths the official CLI uses that are in no published schema. `{*}` is any rest.
const BEYOND_SCHEMA: &str = "\
POST /account/keys
POST /auth
GET /auth/{*}
POST /apps/{app}/dynos/{dyno}
GET /apps/{app}/usage
PUT /apps/{app}/pre-authorizations
GET /api/v2
PUT /api/v2/{dyno}
GET /buildpacks
GET /buildpacks/{*}
GET /client/v11/{*}
POST /client/v11/{*}
GET /data/{*}
GET /postgres/v0/{*}
GET /redis/v0/{*}";

/// The answer to a request that no route takes.
pub async fn answer(request: Request) -> ApiError {
    let method = request.method().as_str();
    let path = request.uri().path();
    let lines = ENDPOINTS.lines().chain(BEYOND_SCHEMA.lines());
    let mut endpoints = lines.filter_map(|line| line.split_once(' '));
    match endpoints.find(|(verb, template)| *verb == method && matches(template, path)) {
        Some((verb, template)) => {
            let what = format!("{} (`{verb} {template}`)", subject(template));
            ApiError::not_built(StatusCode::NOT_IMPLEMENTED, &what)
        }
        None => ApiError::no_such_path(),
    }
}

fn matches(template: &str, path: &str) -> bool {
    let mut wanted = template.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("{*}"), Some(_)) => return true,
            (Some(wanted), Some(given)) if wanted == given => {}
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

/// What a path is about, for the beginning of a sentence: its last fixed part in plain words.
fn subject(template: &str) -> String {
    let fixed = template.split('/').filter(|part| !part.is_empty() && !part.starts_with('{'));
    let words = fixed.last().unwrap_or("This").replace(['-', '_'], " ");
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_segment_by_segment() {
        assert!(matches("/apps/{app}/webhooks", "/apps/demo/webhooks"));
        assert!(!matches("/apps/{app}/webhooks", "/apps//webhooks"));
        assert!(!matches("/apps/{app}/webhooks", "/apps/demo/webhooks/1"));
        assert!(!matches("/apps/{app}/webhooks", "/apps/demo"));
        assert!(matches("/auth/{*}", "/auth/cli/1"));
    }

    #[test]
    fn the_subject_is_the_last_fixed_part() {
        assert_eq!(subject("/account/app-transfers/{transfer}"), "App transfers");
    }
}
