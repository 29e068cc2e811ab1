//! What Heroku's API has and this one has not: a clear answer instead of a puzzling 404.

use axum::extract::Request;
use http::StatusCode;

use crate::error::ApiError;

/// The links of Heroku's published schema that are not served, one `METHOD /path/{part}` a line. A
/// test keeps it equal to what the router does not serve; it may only shrink.
const ENDPOINTS: &str = include_str!("../endpoints.txt");

/// Requests of the official CLI that are in no published schema, and what they are for. `{*}` is
/// any rest.
const BEYOND_SCHEMA: [(&str, &str); 15] = [
    ("GET /api/v2", EXEC),
    ("GET /apps/{app}/usage", "Usage of add-ons"),
    ("GET /auth/{*}", BROWSER),
    ("GET /buildpacks/{buildpack}/readme", REGISTRY),
    ("GET /buildpacks/{buildpack}/revisions", REGISTRY),
    ("GET /client/v11/{*}", DATA),
    ("GET /data/{*}", DATA),
    ("GET /postgres/v0/{*}", DATA),
    ("GET /redis/v0/{*}", DATA),
    ("POST /account/keys", "Adding SSH keys (push over HTTPS instead)"),
    ("POST /apps/{app}/dynos/{dyno}", "Running a command inside a dyno"),
    ("POST /auth", BROWSER),
    ("POST /client/v11/{*}", DATA),
    ("PUT /api/v2/{dyno}", EXEC),
    ("PUT /apps/{app}/pre-authorizations", "Two-factor authentication"),
];

const BROWSER: &str = "Logging in through the browser (use `heroku login -i`)";
const DATA: &str = "The data API";
/// What `heroku ps:exec` needs.
pub const EXEC: &str = "Heroku Exec (use `heroku run`)";
const REGISTRY: &str = "More about a buildpack than its name";

/// The answer to a request that no route takes.
pub async fn answer(request: Request) -> ApiError {
    let method = request.method().as_str();
    let path = request.uri().path();
    let asked = |line: &str| {
        let (verb, template) = line.split_once(' ').unwrap_or((line, ""));
        verb == method && matches(template, path)
    };
    let beyond = BEYOND_SCHEMA.iter().find(|(line, _)| asked(line));
    let listed = ENDPOINTS.lines().find(|line| asked(line));
    match (beyond, listed) {
        (Some((_, what)), _) => ApiError::not_built(StatusCode::NOT_IMPLEMENTED, what),
        (None, Some(line)) => {
            let what = format!("{}: `{line}`", subject(line));
            ApiError::not_built(StatusCode::NOT_IMPLEMENTED, &what)
        }
        (None, None) => ApiError::no_such_path(),
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

/// What `METHOD /path` is about, for the beginning of a sentence: its last fixed part in words.
fn subject(line: &str) -> String {
    let mut fixed = line.rsplit('/').filter(|part| !part.starts_with('{'));
    let words = fixed.next().unwrap_or("this").replace(['-', '_'], " ");
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
        assert_eq!(subject("GET /account/app-transfers/{transfer}"), "App transfers");
        assert_eq!(subject("POST /apps/{app}/webhooks"), "Webhooks");
    }
}
