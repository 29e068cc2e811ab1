//! The error envelope: every answer that is not a success is `{"id", "message", …}` with one of
//! Heroku's ids, because clients decide by the id and people read the message.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// What a handler returns.
pub type Result<T, E = ApiError> = std::result::Result<T, E>;

/// An answer that is not a success.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    envelope: Envelope,
}

#[derive(Debug, Serialize)]
struct Envelope {
    id: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'static str>,
}

impl ApiError {
    fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Self {
        let envelope = Envelope { id, message: message.into(), resource: None };
        Self { status, envelope }
    }

    /// 400: the request is not one, such as JSON that cannot be read.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// 401: no account goes with the credentials.
    pub fn unauthorized() -> Self {
        let message = "Invalid credentials provided.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// 403: the account may not.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 404: there is no such thing. `resource` is Heroku's name of its kind, such as `add_on`;
    /// some commands of the CLI look at it.
    pub fn not_found(resource: &'static str) -> Self {
        let noun = resource.replace('_', " ");
        Self::not_found_because(resource, format!("Couldn't find that {noun}."))
    }

    fn not_found_because(resource: &'static str, message: String) -> Self {
        let mut error = Self::new(StatusCode::NOT_FOUND, "not_found", message);
        error.envelope.resource = Some(resource);
        error
    }

    /// 404: the platform has no such path.
    pub fn no_such_path() -> Self {
        let message = "The requested API endpoint was not found. Are you using the right HTTP verb \
                       (i.e. `GET` vs. `POST`), and did you specify your intended version with \
                       the `Accept` header?";
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 406: another version of the API was asked for.
    pub fn not_acceptable() -> Self {
        let message =
            "Request must accept version 3: send `Accept: application/vnd.heroku+json; version=3`.";
        Self::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", message)
    }

    /// 409: it cannot be done in the present state.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 413: the body is over the limit.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", message)
    }

    /// 415: the body is of a kind that is not taken here.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", message)
    }

    /// 416: the `Range` header asks for what cannot be given.
    pub fn range(message: impl Into<String>) -> Self {
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        Self::new(status, "requested_range_not_satisfiable", message)
    }

    /// 421: the connection is the platform's, the `Host` is not.
    pub fn misdirected() -> Self {
        let message = "This connection leads to the platform's API, not to that host. Open a new \
                       connection for it.";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", message)
    }

    /// 422: a value is not acceptable; the message says which and why.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", message)
    }

    /// 423: it destroys something, and is done only with the app's name as a confirmation.
    pub fn confirmation_required(message: impl Into<String>) -> Self {
        Self::new(StatusCode::LOCKED, "confirmation_required", message)
    }

    /// 429: the hour's calls are used up.
    pub fn rate_limit() -> Self {
        let message = "Your account reached the API limit. Please wait a few minutes before making \
                       new requests";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit", message)
    }

    /// 500: the platform's fault. The cause is for the operator's log, not for the client.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        let causes = std::iter::successors(Some(cause), |cause| cause.source());
        let chain: Vec<_> = causes.map(ToString::to_string).collect();
        tracing::error!(error = chain.join(": "), "A request failed by the platform's fault.");
        let message = "Internal server error. The operator finds the cause in the server's log \
                       under this answer's Request-Id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", message)
    }

    /// 503: not at the moment; worth trying again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", message)
    }

    /// Heroku has it, this version has not. `what` begins the sentence.
    pub fn not_built(status: StatusCode, what: &str) -> Self {
        let message = format!("{what} is not built in this version of Hythe.");
        Self::new(status, "not_implemented", message)
    }
}

impl From<control::Error> for ApiError {
    fn from(error: control::Error) -> Self {
        use control::Error;
        let message = error.to_string();
        match error {
            Error::Unauthorized => Self::unauthorized(),
            Error::Forbidden(_) => Self::forbidden(message),
            Error::NotFound(resource) => Self::not_found_because(resource.word(), message),
            Error::Invalid(_) | Error::TooMany(_) => Self::invalid(message),
            Error::Conflict(_) => Self::conflict(message),
            Error::ConfirmationRequired(_) => Self::confirmation_required(message),
            Error::TooLarge { .. } => Self::too_large(message),
            Error::Unavailable(_) => Self::unavailable(message),
            Error::Internal(cause) => Self::internal(cause.as_ref()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let unauthorized = self.status == StatusCode::UNAUTHORIZED;
        let mut response = (self.status, Json(self.envelope)).into_response();
        if unauthorized {
            let challenge = HeaderValue::from_static("Basic realm=\"Hythe\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
