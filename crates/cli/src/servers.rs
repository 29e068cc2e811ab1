//! The servers the client knows: a file with their addresses and tokens, readable by its owner only.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome, on_file};

/// An API token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The token itself, for the server it belongs to.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// Scheme, host and port of the API: `https://paas.example.com`, without a slash at the end.
    pub url: String,
    /// Who is logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// That person's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// The authorization that `login` made for the token; none when the token was brought along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    /// The server's private certificate authority, if it has one: a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

impl Server {
    /// A server that is known by its address only.
    pub(crate) fn at(url: String) -> Self {
        Self { url, email: None, token: None, authorization: None, ca: None }
    }

    /// `host:port` as in the address.
    pub(crate) fn host(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, host)| host)
    }

    /// Whether what is said to it never leaves this machine.
    pub(crate) fn is_here(&self) -> bool {
        let host = self.host().rsplit_once(':').map_or(self.host(), |(host, _)| host);
        let named = host == "localhost" || host.ends_with(".localhost");
        let address =
            host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        named || address.is_ok_and(|address| address.is_loopback())
    }

    /// Whether a token on its way to it can be read by others.
    pub(crate) fn is_exposed(&self) -> bool {
        self.url.starts_with("http:") && !self.is_here()
    }

    /// Where an app's git repository is.
    pub(crate) fn git_url(&self, app: &str) -> String {
        format!("{}/{app}.git", self.url)
    }
}

/// All servers, and which one is meant when none is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Servers {
    /// Name of the default server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// By name.
    pub server: BTreeMap<String, Server>,
}

impl Servers {
    /// Reads the file; none is the same as an empty one.
    pub(crate) fn load(config_dir: Option<&Path>) -> Outcome<Self> {
        let Some(path) = config_dir.map(file) else { return Ok(Self::default()) };
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                Failure::config(format!("{} is damaged: {}", path.display(), error.message()))
                    .hint("Mend it, or delete it and run `hythe login` again.")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(on_file("read", &path)(error)),
        }
    }

    /// Writes the file: a new one in place of the old, so that it is never half written.
    pub(crate) fn save(&self, config_dir: Option<&Path>) -> Outcome {
        let directory = config_dir.ok_or_else(|| {
            Failure::config("there is no home directory to keep the login in")
                .hint("Set HOME, or use HYTHE_SERVER and HYTHE_API_KEY.")
        })?;
        let text = toml::to_string(self)
            .map_err(|error| Failure::internal(format!("cannot write the servers: {error}")))?;
        write_private(&file(directory), text.as_bytes())
    }

    /// The server of that name or address.
    pub(crate) fn find(&self, wanted: &str) -> Option<&Server> {
        let by_name = self.server.get(wanted);
        by_name.or_else(|| {
            let url = address(wanted).ok()?;
            self.server.values().find(|server| server.url == url)
        })
    }

    /// The server when none is named: the default, or the only one.
    pub(crate) fn fallback(&self) -> Option<&Server> {
        let default = self.default.as_ref().and_then(|name| self.server.get(name));
        let only = || self.server.values().next().filter(|_| self.server.len() == 1);
        default.or_else(only)
    }

    /// The server whose git host this is.
    pub(crate) fn by_host(&self, host: &str) -> Option<&Server> {
        self.server.values().find(|server| server.host() == host)
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("servers.toml")
}

/// Writes a file that only its owner can read, in a directory that only its owner can enter.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Outcome {
    if let Some(directory) = path.parent() {
        let mut builder = std::fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(on_file("create", directory))?;
    }
    let mut draft = path.to_owned().into_os_string();
    draft.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(draft);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&draft);
    let mut file = file.map_err(on_file("create", &draft))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(on_file("write", &draft))?;
    std::fs::rename(&draft, path).map_err(on_file("write", path))
}

/// `scheme://host[:port]` of what a person typed; `https` when no scheme is given.
pub(crate) fn address(text: &str) -> Outcome<String> {
    let text = text.trim();
    let (scheme, host) = text.split_once("://").unwrap_or(("https", text));
    let host = host.trim_end_matches('/');
    let scheme = scheme.to_ascii_lowercase();
    let bad = host.is_empty() || host.contains(['/', '?', '#', '@', ' ']);
    if bad || !matches!(scheme.as_str(), "http" | "https") {
        return Err(Failure::usage(format!("`{text}` is not the address of a server"))
            .hint("Write it like https://paas.example.com or http://localhost:8300."));
    }
    let host = host.to_ascii_lowercase();
    let port = if scheme == "https" { ":443" } else { ":80" };
    Ok(format!("{scheme}://{}", host.strip_suffix(port).unwrap_or(&host)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn two() -> Servers {
        let mut servers = Servers::default();
        let mut home = Server::at("http://localhost:8300".into());
        home.token = Some(Token::new("secret-token"));
        servers.server.insert("home".into(), home);
        servers.server.insert("work".into(), Server::at("https://paas.example.com".into()));
        servers
    }

    #[test]
    fn addresses_are_brought_into_one_form() {
        let good = |text| address(text).expect("good");
        assert_eq!(good("paas.example.com"), "https://paas.example.com");
        assert_eq!(good("HTTPS://Paas.Example.com:443/"), "https://paas.example.com");
        assert_eq!(good("http://localhost:8300"), "http://localhost:8300");
        for bad in ["", "ftp://x", "https://u@x", "https://x/y", "http://"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn servers_are_found_by_name_address_and_host() {
        let mut servers = two();
        assert_eq!(servers.find("work").expect("known").url, "https://paas.example.com");
        assert_eq!(servers.find("localhost:8300"), None, "https is meant");
        assert!(servers.find("http://localhost:8300/").is_some());
        assert!(servers.by_host("localhost:8300").is_some());
        assert_eq!(servers.fallback(), None, "two, and none is the default");
        servers.default = Some("work".into());
        assert_eq!(servers.fallback().expect("named").url, "https://paas.example.com");
    }

    #[test]
    fn only_loopback_is_here() {
        let here = |url: &str| Server::at(url.to_owned()).is_here();
        for url in ["http://localhost:8300", "http://127.0.0.2", "http://[::1]:8300"] {
            assert!(here(url), "{url}");
        }
        for url in
            ["http://127.0.0.1.evil.example", "https://paas.example.com", "http://10.0.0.1:80"]
        {
            assert!(!here(url), "{url}");
        }
        assert!(Server::at("http://10.0.0.1:80".into()).is_exposed());
        assert!(!Server::at("https://10.0.0.1".into()).is_exposed());
    }

    #[test]
    fn the_file_is_private_and_tokens_are_not_printed() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("a/b");
        two().save(Some(&directory)).expect("written");
        assert_eq!(Servers::load(Some(&directory)).expect("read"), two());
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&directory.join("servers.toml")), 0o600);
        assert_eq!(mode(&directory), 0o700);
        assert!(!format!("{:?}", two()).contains("secret-token"));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join("servers.toml"), "defualt = 1").expect("written");
        let failure = Servers::load(Some(home.path())).expect_err("damaged");
        assert!(failure.message.contains("servers.toml"), "{failure}");
    }
}
