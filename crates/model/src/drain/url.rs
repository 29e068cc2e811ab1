//! A drain's URL: `syslog+tls://logs.example.com:6514`, `https://user:pass@example.com/logs?a=b`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::Secret;

/// URLs are not longer than this.
const MAX_LENGTH: usize = 2000;

/// Over what lines travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TCP.
    Syslog,
    /// TLS.
    SyslogTls,
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Syslog, Self::SyslogTls, Self::Http, Self::Https];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::SyslogTls => "syslog+tls",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none (RFC 6587, RFC 5425).
    const fn port(self) -> u16 {
        match self {
            Self::Syslog => 601,
            Self::SyslogTls => 6514,
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// Whether the bytes are encrypted.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::SyslogTls | Self::Https)
    }

    /// Whether each batch is a request that is answered.
    #[must_use]
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

/// Name and password of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password; empty when there is none.
    pub password: Secret,
}

/// A drain's URL. `Display` and `Debug` show it without its password; [`Url::reveal`] with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: Secret,
    /// Over what.
    pub scheme: Scheme,
    /// Name and password, decoded.
    pub login: Option<Login>,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What an HTTP request asks for; begins with a slash.
    pub path: String,
    fragment: Option<String>,
}

/// Why a text is no drain's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid drain destination: {0}")]
pub struct UrlError(pub String);

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_LENGTH {
            return Err(refused(&format!("the URL is longer than {MAX_LENGTH} bytes")));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused("the URL has spaces or characters that are not ASCII"));
        }
        let (scheme, rest) = scheme(text)?;
        let (rest, fragment) = split(rest, '#');
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(self::login(login)?), place),
            None => (None, authority),
        };
        let (host, port) = place_of(place)?;
        Ok(Self {
            text: Secret::new(text),
            scheme,
            login,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(scheme.port()),
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
            fragment: fragment.map(str::to_owned),
        })
    }
}

impl Url {
    /// The whole text, password included: for its owner, and for the receiver.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.text.reveal()
    }

    /// Whether the receiver's certificate is to be checked: not with `#insecure`.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.fragment.as_deref() != Some("insecure")
    }

    /// The host, where it is an address and no name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `host` or `host:port`, as a `Host` header has it.
    #[must_use]
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.port() { host } else { format!("{host}:{}", self.port) }
    }

    /// The same place with another path.
    #[must_use]
    pub fn with_path(self, path: String) -> Self {
        Self { path, ..self }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())?;
        if self.scheme.is_http() {
            // A query may hold a key.
            f.write_str(self.path.split('?').next().unwrap_or_default())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

fn refused(why: &str) -> UrlError {
    UrlError(why.to_owned())
}

fn scheme(text: &str) -> Result<(Scheme, &str), UrlError> {
    let unknown =
        || refused("the URL must begin with syslog://, syslog+tls://, http:// or https://");
    let (name, rest) = text.split_once("://").ok_or_else(unknown)?;
    let same = |scheme: &Scheme| scheme.as_str().eq_ignore_ascii_case(name);
    let scheme = Scheme::ALL.into_iter().find(same).ok_or_else(unknown)?;
    Ok((scheme, rest))
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn login(text: &str) -> Result<Login, UrlError> {
    let (user, password) = split(text, ':');
    let decoded = |text: &str| {
        decode(text).ok_or_else(|| refused("its user or password is not encoded well"))
    };
    Ok(Login { user: decoded(user)?, password: Secret::new(decoded(password.unwrap_or(""))?) })
}

fn place_of(place: &str) -> Result<(&str, Option<u16>), UrlError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) =
                rest.split_once(']').ok_or_else(|| refused("its host has no end"))?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(refused("its host is not an IPv6 address"));
            }
            (host, rest.strip_prefix(':').or((!rest.is_empty()).then_some("?")))
        }
        None => {
            let (host, port) = split(place, ':');
            let good =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            if host.is_empty() || host.len() > 253 || !host.bytes().all(good) {
                return Err(refused("it has no good host name"));
            }
            (host, port)
        }
    };
    match port.filter(|port| !port.is_empty()).map(str::parse::<u16>) {
        None => Ok((host, None)),
        Some(Ok(port)) if port > 0 => Ok((host, Some(port))),
        Some(_) => Err(refused("its port is not a number from 1 to 65535")),
    }
}

/// Text with `%XX` in it.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        rest = others;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        // A sign would be taken for a part of a number.
        let digits = Some(digits).filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn each_scheme_has_its_port() {
        for (text, port) in [
            ("syslog://h", 601),
            ("syslog://h:514", 514),
            ("syslog+tls://h", 6514),
            ("http://h/x", 80),
            ("https://h?x", 443),
            ("https://[::1]:8443/x", 8443),
        ] {
            assert_eq!(url(text).port, port, "{text}");
        }
    }

    #[test]
    fn the_parts_are_told_apart() {
        let found = url("https://me:p%40ss@Logs.Example.com:444/a/b?c=d#e");
        assert_eq!(found.host, "logs.example.com");
        assert_eq!(found.path, "/a/b?c=d");
        let login = found.login.as_ref().expect("a login");
        assert_eq!((login.user.as_str(), login.password.reveal()), ("me", "p@ss"));
        assert_eq!(found.authority(), "logs.example.com:444");
        assert_eq!(url("https://h?x").path, "/?x");
        assert_eq!(url("https://[::1]/").authority(), "[::1]");
        assert!(!url("syslog+tls://h#insecure").is_verified());
        assert!(url("syslog+tls://h").is_verified());
    }

    #[test]
    fn what_is_shown_keeps_the_password() {
        let found = url("https://me:secret@h/a?key=hidden");
        assert_eq!(found.to_string(), "https://h/a");
        assert_eq!(format!("{found:?}"), "Url(https://h/a)");
        assert_eq!(found.reveal(), "https://me:secret@h/a?key=hidden");
    }

    #[test]
    fn bad_ones_are_refused_in_words() {
        for bad in [
            "",
            "h:514",
            "ftp://h",
            "syslog://",
            "syslog://:514",
            "syslog://h:0",
            "syslog://h:99999",
            "syslog://h:x",
            "syslog://[::1",
            "syslog://[x]:1",
            "syslog://[::1]x",
            "https://h h/",
            "https://é/",
            "https://a:%zz@h/",
            "https://a:%+5@h/",
        ] {
            let error = bad.parse::<Url>().expect_err(bad);
            assert!(error.to_string().starts_with("Invalid drain destination: "), "{bad}");
        }
    }
}
