//! Who may do what: HTTP Basic with an API token for the password, and any user name.

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use control::{Error, accounts, apps};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use model::{Account, App, Secret};

use crate::GitError;
use crate::service::Service;
use crate::state::Shared;

/// Whoever has been let in, and to what.
pub(crate) struct Entry {
    pub app: App,
    pub account: Account,
}

/// Why a request is turned away. Git shows the body's lines after `remote:`.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No credentials, yet: git asks its helper and comes again.
    Unknown,
    /// Credentials that are nobody's.
    WrongToken,
    /// No app of that name, or none that this account may see.
    NoSuchApp(String),
    /// A client that speaks only the old "dumb" protocol.
    Dumb,
    /// The body is not what the service takes.
    WrongMediaType(Service),
    /// The body is encoded in a way we do not read.
    WrongEncoding,
    /// The app has too many pushes under way.
    TooManyPushes,
    /// The server is going down.
    Stopping,
    /// Something of ours failed.
    Internal(GitError),
    /// Something of the control plane's failed.
    Control(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Control(error)
    }
}

impl From<GitError> for Refusal {
    fn from(error: GitError) -> Self {
        Self::Internal(error)
    }
}

/// Lets the request's account in to the app that `repository` (`<app>.git`) names.
pub(crate) async fn enter(
    shared: &Shared,
    headers: &HeaderMap,
    repository: &str,
) -> Result<Entry, Refusal> {
    let token = token(headers).ok_or(Refusal::Unknown)?;
    let account = accounts::by_token(&shared.control, &token).await?.ok_or(Refusal::WrongToken)?;
    let name = repository.strip_suffix(".git").unwrap_or_default();
    match apps::info(&shared.control, &account, name).await {
        Ok(app) => Ok(Entry { app, account }),
        Err(Error::NotFound(_)) => Err(Refusal::NoSuchApp(name.escape_debug().take(64).collect())),
        Err(error) => Err(error.into()),
    }
}

/// The password of `Authorization: Basic`.
fn token(headers: &HeaderMap) -> Option<Secret> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (_, password) = decoded.split_once(':')?;
    (!password.is_empty()).then(|| Secret::new(password))
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unknown | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::NoSuchApp(_) => StatusCode::NOT_FOUND,
            Self::Dumb => StatusCode::FORBIDDEN,
            Self::WrongMediaType(_) | Self::WrongEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyPushes => StatusCode::TOO_MANY_REQUESTS,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) | Self::Control(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Unknown => "An API token is needed.".to_owned(),
            Self::WrongToken => {
                "Invalid credentials provided. Log in again, then retry the git command.".to_owned()
            }
            Self::NoSuchApp(name) => format!("No such app as {name}."),
            Self::Dumb => "Please use a newer git: only smart HTTP is served.".to_owned(),
            Self::WrongMediaType(service) => format!("The body must be {}.", service.request()),
            Self::WrongEncoding => "The body may be gzip or not encoded.".to_owned(),
            Self::TooManyPushes => {
                "Too many pushes to this app at once. Please try again later.".to_owned()
            }
            Self::Stopping => "The server is restarting. Please try again.".to_owned(),
            Self::Internal(_) | Self::Control(_) => {
                "Internal server error. Please try again later.".to_owned()
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match &self {
            Self::Internal(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "git request failed");
            }
            Self::Control(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "git request failed");
            }
            _ => {}
        }
        let body = format!(" !     {}\n", self.text());
        let mut response =
            (self.status(), [(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Unknown | Self::WrongToken => {
                let challenge = HeaderValue::from_static("Basic realm=\"Hythe\"");
                headers.insert(WWW_AUTHENTICATE, challenge);
            }
            Self::TooManyPushes | Self::Stopping => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("30"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(header: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, header.parse().expect("good"));
        token(&headers).map(|token| token.reveal().to_owned())
    }

    #[test]
    fn the_password_is_the_token_whatever_the_user_is_called() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for user in ["", "heroku", "me@example.com"] {
            let header = basic(&format!("{user}:HRKU-1:2"));
            assert_eq!(token_of(&header).as_deref(), Some("HRKU-1:2"));
        }
        assert_eq!(token_of(&basic("user:")), None);
        assert_eq!(token_of(&basic("no colon")), None);
        assert_eq!(token_of("Basic ???"), None);
        assert_eq!(token_of("Bearer x"), None);
    }
}
