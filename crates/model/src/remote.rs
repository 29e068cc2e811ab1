//! Code that lies elsewhere: a git repository or an archive, by its address.

use std::fmt;
use std::str::FromStr;

use crate::Secret;

/// Where code lies. An address never means a file of this machine, or a program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A git repository.
    Git {
        /// Its address; it may hold a password.
        url: Secret,
        /// A branch, tag or commit; the repository's own choice without.
        reference: Option<String>,
    },
    /// A tar.gz archive, by an address that may hold a password.
    Archive(Secret),
}

/// Not an address that code can be fetched from. The text is shown to people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is no address that code can be fetched from. Use the https:// address of a git repository \
     (with #branch if you like) or of a .tgz archive."
)]
pub struct NotRemote(String);

impl Remote {
    /// The address as a person gave it, with its password.
    #[must_use]
    pub fn address(&self) -> Secret {
        match self {
            Self::Archive(url) | Self::Git { url, reference: None } => url.clone(),
            Self::Git { url, reference: Some(reference) } => {
                Secret::new(format!("{}#{reference}", url.reveal()))
            }
        }
    }
}

impl FromStr for Remote {
    type Err = NotRemote;

    fn from_str(address: &str) -> Result<Self, NotRemote> {
        let refused = || NotRemote(without_password(address));
        let is_plain = !address.chars().any(|c| c.is_whitespace() || c.is_control());
        let (scheme, rest) = address.split_once("://").filter(|_| is_plain).ok_or_else(refused)?;
        if rest.is_empty() || !["https", "http", "git"].contains(&scheme) {
            return Err(refused());
        }
        let (url, reference) = match address.split_once('#') {
            Some((url, reference)) => (url, Some(reference).filter(|text| !text.is_empty())),
            None => (address, None),
        };
        if scheme != "git" && is_archive(url) {
            return Ok(Self::Archive(Secret::new(url)));
        }
        // One that begins with a dash would be an option of git's.
        if reference.is_some_and(|reference| reference.starts_with('-')) {
            return Err(refused());
        }
        Ok(Self::Git { url: Secret::new(url), reference: reference.map(str::to_owned) })
    }
}

impl fmt::Display for Remote {
    /// The address without its password: transcripts are read by many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(self.address().reveal()))
    }
}

fn is_archive(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or(url);
    [".tgz", ".tar.gz"].iter().any(|end| path.ends_with(end))
}

/// `https://user:password@host/x` as `https://host/x`.
#[must_use]
pub fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{}", &rest[end..]),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(url: &str, reference: Option<&str>) -> Remote {
        Remote::Git { url: Secret::new(url), reference: reference.map(str::to_owned) }
    }

    #[test]
    fn addresses_are_of_repositories_or_archives() {
        for (address, remote) in [
            ("https://x.example/y.git#v1", git("https://x.example/y.git", Some("v1"))),
            ("git://x.example/y", git("git://x.example/y", None)),
            ("https://x.example/y#", git("https://x.example/y", None)),
            (
                "https://x.example/y.tgz?v=1",
                Remote::Archive(Secret::new("https://x.example/y.tgz?v=1")),
            ),
        ] {
            assert_eq!(address.parse(), Ok(remote.clone()));
            assert_eq!(remote.address().reveal(), address.trim_end_matches('#'));
        }
        for address in [
            "",
            "heroku/nodejs",
            "file:///etc",
            "git@x.example:y",
            "https://",
            "https://x/a b",
            "https://x.example/y#--upload-pack=x",
            "ext::sh -c x",
        ] {
            assert!(address.parse::<Remote>().is_err(), "{address}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let remote: Remote = "https://me:secret@x.example/y#b".parse().expect("an address");
        assert_eq!(remote.to_string(), "https://x.example/y#b");
        assert!(!format!("{remote:?}").contains("secret"));
        let refused = "ftp://me:secret@x.example/y".parse::<Remote>().expect_err("refused");
        assert!(!refused.to_string().contains("secret"));
    }
}
