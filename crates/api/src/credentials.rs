//! What a request says about who sends it: the `Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use model::Secret;

/// The content of an `Authorization` header.
#[derive(Debug, PartialEq, Eq)]
pub enum Credentials {
    /// `Bearer TOKEN`.
    Bearer(Secret),
    /// `Basic user:secret`; the secret is a token, or a password where a log-in is asked for.
    Basic {
        /// Any name: people's clients send `heroku`, an e-mail address or nothing.
        user: String,
        /// Token or password.
        secret: Secret,
    },
}

impl Credentials {
    /// The header's content; `None` when there is none or it cannot be read.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, rest) = value.trim().split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(Secret::new(rest)));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (user, secret) = decoded.split_once(':')?;
        Some(Self::Basic { user: user.to_owned(), secret: Secret::new(secret) })
    }

    /// The secret as a token.
    #[must_use]
    pub fn token(&self) -> &Secret {
        match self {
            Self::Bearer(token) | Self::Basic { secret: token, .. } => token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Option<Credentials> {
        let value = value.parse().expect("a header value");
        Credentials::from_headers(&HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    #[test]
    fn bearer_and_basic_carry_the_token() {
        let token = |value| parse(value).map(|found| found.token().reveal().to_owned());
        assert_eq!(token("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(token("bearer  abc "), Some("abc".to_owned()));
        // ":abc" and "me@x.org:a:c"
        assert_eq!(token("Basic OmFiYw=="), Some("abc".to_owned()));
        assert_eq!(token("Basic bWVAeC5vcmc6YTpj"), Some("a:c".to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for value in ["", "Bearer", "Basic !!!", "Basic YWJj", "Digest x=y", "Basic /w=="] {
            assert_eq!(parse(value), None, "{value}");
        }
    }
}
