//! Messages to programs: a POST of JSON, signed as Heroku signs its webhooks.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use model::Secret;
use model::drain::Url;
use serde_json::Value;
use sha2::Sha256;

use super::Failure;
use crate::drains::{Client, House};

/// A receiver must answer within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries the base64 of the body's HMAC-SHA256.
const SIGNATURE: HeaderName = HeaderName::from_static("heroku-webhook-hmac-sha256");

/// Sends one message.
pub(super) async fn send(
    house: &House,
    url: &Url,
    secret: &Secret,
    message: Value,
) -> Result<(), Failure> {
    let body = Bytes::from(message.to_string());
    let headers = headers(url, secret, &body);
    let answer = Client::new(house, url, PATIENCE).ask(&headers, &body).await;
    let status = answer.map_err(|error| Failure::passing(error.to_string()))?.status;
    let why = format!("the receiver answered {status}");
    match status.as_u16() {
        200..300 => Ok(()),
        408 | 425 | 429 | 500.. => Err(Failure::passing(why)),
        _ => Err(Failure::lasting(why)),
    }
}

fn headers(url: &Url, secret: &Secret, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.extend(HeaderValue::from_str(&url.authority()).ok().map(|host| (HOST, host)));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let agent = HeaderValue::from_static(concat!("Hythe/", env!("CARGO_PKG_VERSION")));
    headers.insert(USER_AGENT, agent);
    headers.extend(hidden(&signature(secret, body)).map(|value| (SIGNATURE, value)));
    if let Some(login) = &url.login {
        let pair = Secret::new(format!("{}:{}", login.user, login.password.reveal()));
        let basic = Secret::new(format!("Basic {}", BASE64.encode(pair.reveal())));
        headers.extend(hidden(basic.reveal()).map(|value| (AUTHORIZATION, value)));
    }
    headers
}

fn hidden(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn signature(secret: &Secret, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes())
        .expect("HMAC takes keys of any length");
    mac.update(body);
    BASE64.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_rfc_4231() {
        // Test case 2 of RFC 4231.
        let signed = signature(&Secret::new("Jefe"), b"what do ya want for nothing?");
        let bytes = BASE64.decode(signed).expect("base64");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
