//! What the operator decided, as far as verbs must know it.

use std::path::PathBuf;

use model::{AppName, DynoSize};

/// How people reach the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What the operator decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Apps are at `<app>.<base domain>`.
    pub base_domain: String,
    /// How people reach apps and git.
    pub scheme: Scheme,
    /// The port that people see.
    pub port: u16,
    /// Host name that git URLs carry.
    pub git_host: String,
    /// Host names of the platform itself, lower-case; no app may take one.
    pub platform_hosts: Vec<String>,
    /// Names of the stacks there are; the first is the default.
    pub stacks: Vec<String>,
    /// Size of dynos of a new app.
    pub default_size: DynoSize,
    /// Directory of the apps' git repositories, `<app id>.git` each.
    pub repositories: PathBuf,
    /// Directory of the apps' build caches, `<app id>` each.
    pub caches: PathBuf,
    /// How many slugs of an app are kept, the newest: so many deploys one can go back. Counted are
    /// those older than a day; younger ones always stay.
    pub slugs_per_app: u32,
}

impl Settings {
    /// The stack of a new app.
    #[must_use]
    pub fn default_stack(&self) -> &str {
        self.stacks.first().map_or("", String::as_str)
    }

    /// The default host name of an app of this name.
    #[must_use]
    pub fn hostname(&self, name: &AppName) -> String {
        format!("{name}.{}", self.base_domain)
    }

    /// `http://demo.localhost:8300/`.
    #[must_use]
    pub fn web_url(&self, name: &AppName) -> String {
        format!("{}/", self.url_of(&self.hostname(name)))
    }

    /// `http://git.example.com/demo.git`.
    #[must_use]
    pub fn git_url(&self, name: &AppName) -> String {
        format!("{}/{name}.git", self.url_of(&self.git_host))
    }

    fn url_of(&self, host: &str) -> String {
        let scheme = self.scheme.as_str();
        if self.port == self.scheme.default_port() {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{}", self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_port_only_where_it_is_not_the_usual_one() {
        let mut settings = crate::testing::settings();
        let demo = "demo".parse().expect("good");
        assert_eq!(settings.web_url(&demo), "http://demo.localhost:8300/");
        settings.scheme = Scheme::Https;
        settings.port = 443;
        settings.git_host = "git.example.com".to_owned();
        assert_eq!(settings.git_url(&demo), "https://git.example.com/demo.git");
    }
}
