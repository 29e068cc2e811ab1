//! JSON bodies of requests: bounded, lenient about the content type and about being absent, strict
//! about what they say.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// JSON bodies may not be longer than this.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A JSON body must be there within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request's JSON body. An absent body is `{}`: the CLI sends none where nothing is to be said.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let whole = tokio::time::timeout(PATIENCE, Bytes::from_request(request, state));
        let late = |_| ApiError::bad_request("The request's body did not come in time.");
        let bytes = whole.await.map_err(late)?.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                ApiError::too_large("The request's body is over the limit of 1 MiB.")
            }
            _ => ApiError::bad_request("The request's body ended early."),
        })?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = if bytes.trim_ascii().is_empty() { b"{}".as_slice() } else { bytes };
    serde_json::from_slice(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            ApiError::invalid(format!("Invalid request: {}.", without_position(&error.to_string())))
        }
        _ => ApiError::bad_request(format!("Invalid JSON in the request's body: {error}.")),
    })
}

/// serde's text without ` at line 1 column 20`, which means nothing to who wrote no JSON by hand.
fn without_position(text: &str) -> &str {
    text.rsplit_once(" at line ").map_or(text, |(text, _)| text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::response::IntoResponse;

    use super::*;

    fn status(bytes: &[u8]) -> StatusCode {
        match parse::<BTreeMap<String, u32>>(bytes) {
            Ok(_) => StatusCode::OK,
            Err(error) => error.into_response().status(),
        }
    }

    #[test]
    fn broken_json_is_400_and_wrong_values_are_422() {
        assert_eq!(status(b"{\"a\":1}"), StatusCode::OK);
        assert_eq!(status(b" \n"), StatusCode::OK);
        assert_eq!(status(b"{\"a\":"), StatusCode::BAD_REQUEST);
        assert_eq!(status(b"a=1"), StatusCode::BAD_REQUEST);
        assert_eq!(status(b"{\"a\":\"x\"}"), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(status(b"[]"), StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[test]
    fn a_wrong_value_is_named_without_line_and_column() {
        assert_eq!(without_position("expected u32 at line 1 column 8"), "expected u32");
    }
}
