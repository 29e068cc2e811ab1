//! Session affinity: a cookie of the router's that names the dyno a visitor stays with (Heroku,
//! "Session Affinity").

use std::time::Duration;

use memchr::memmem;
use model::{DynoId, Timestamp};
use uuid::Uuid;

/// The cookie's name and the sign after it.
const COOKIE: &[u8] = b"heroku-session-affinity=";
/// A visitor is known for a day.
const LASTS: Duration = Duration::from_secs(24 * 60 * 60);

/// The dyno that a `Cookie` field names. What is no name of a dyno is somebody else's cookie.
pub fn named(cookies: &[u8]) -> Option<DynoId> {
    // Nearly all cookies are about something else: one search tells.
    memmem::find(cookies, COOKIE)?;
    let pairs = cookies.split(|&b| b == b';').map(<[u8]>::trim_ascii);
    let value = pairs.filter_map(|pair| pair.strip_prefix(COOKIE)).next()?;
    // Only the form that we write: 32 hex digits.
    let uuid = (value.len() == 32).then(|| Uuid::try_parse_ascii(value))?;
    uuid.ok().map(DynoId::from_uuid)
}

/// The `Set-Cookie` value that makes a visitor of `host` stay with `dyno`.
pub fn cookie(dyno: DynoId, host: &str, now: Timestamp) -> String {
    let (name, value) = (String::from_utf8_lossy(COOKIE), dyno.uuid().simple());
    let (expires, age) = ((now + LASTS).http_date(), LASTS.as_secs());
    format!(
        "{name}{value}; Version=1; Expires={expires}; Max-Age={age}; Domain={host}; Path=/; HttpOnly"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_has_herokus_attributes_and_names_its_dyno() {
        let dyno = DynoId::random();
        let cookie = cookie(dyno, "demo.example.com", Timestamp::from_micros(0));
        let (pair, attributes) = cookie.split_once(';').expect("attributes");
        assert_eq!(named(pair.as_bytes()), Some(dyno));
        let wanted = " Version=1; Expires=Fri, 02 Jan 1970 00:00:00 GMT; Max-Age=86400; \
                      Domain=demo.example.com; Path=/; HttpOnly";
        assert_eq!(attributes, wanted);
        assert_eq!(named(format!("a=b; {pair}; c=d").as_bytes()), Some(dyno));
    }

    #[test]
    fn other_cookies_name_no_dyno() {
        let value = DynoId::random().uuid();
        for cookies in [
            String::new(),
            "a=b".into(),
            "heroku-session-affinity=".into(),
            "heroku-session-affinity=AECDaANoA24IAbuz1v".into(),
            format!("my-heroku-session-affinity={}", value.simple()),
            format!("heroku-session-affinity={}", value.hyphenated()),
        ] {
            assert_eq!(named(cookies.as_bytes()), None, "{cookies}");
        }
    }
}
