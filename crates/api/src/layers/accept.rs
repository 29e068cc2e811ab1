//! The version a request accepts. Any variant of version 3 (`3.sdk`, `3.webhooks`, …) is served by
//! the same superset; only another version is refused.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::ACCEPT;

use crate::error::ApiError;

pub async fn check(request: Request, next: Next) -> Response {
    let accepted = request.headers().get_all(ACCEPT).iter().all(|value| {
        value.to_str().is_ok_and(|value| value.split(',').all(is_version_three_or_none))
    });
    if accepted { next.run(request).await } else { ApiError::not_acceptable().into_response() }
}

/// Whether one media type of an `Accept` header can be answered: it is not Heroku's, or it names
/// no version or one that begins with 3.
fn is_version_three_or_none(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let heroku = parts.next().is_some_and(|name| name.starts_with("application/vnd.heroku+"));
    let other = |part: &str| {
        let version = part.strip_prefix("version=").map(|version| version.trim_matches('"'));
        version.is_some_and(|version| version != "3" && !version.starts_with("3."))
    };
    !(heroku && parts.any(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_of_version_three_and_plain_types_are_accepted() {
        for good in [
            "application/vnd.heroku+json; version=3",
            "application/vnd.heroku+json; version=3.sdk",
            "application/vnd.heroku+json;version=\"3.cedar-acm\"",
            "application/vnd.heroku+json",
            "application/json",
            "*/*",
            "text/event-stream",
        ] {
            assert!(is_version_three_or_none(good), "{good}");
        }
        for bad in
            ["application/vnd.heroku+json; version=2", "application/vnd.heroku+json; version=30"]
        {
            assert!(!is_version_three_or_none(bad), "{bad}");
        }
    }
}
