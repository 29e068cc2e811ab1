//! One run of one command: which server it talks to, and which app it is about.

use std::collections::BTreeSet;

use clap::Args;

use crate::client::Client;
use crate::env::Env;
use crate::failure::{Failure, Outcome};
use crate::git::{self, Remote};
use crate::screen::Screen;
use crate::servers::{Server, Servers, Token, address};

/// `--app` and `--remote`, on every command that is about an app.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AppFlags {
    /// App to run the command against
    #[arg(short, long, value_name = "APP")]
    pub app: Option<String>,
    /// Git remote of the app to use
    #[arg(short, long, value_name = "REMOTE")]
    pub remote: Option<String>,
}

/// The surroundings of a command.
pub(crate) struct Session {
    pub env: Env,
    pub screen: Screen,
    pub servers: Servers,
    /// `--server`.
    wanted: Option<String>,
}

/// An app, and the server it is on.
pub(crate) struct Target {
    pub client: Client,
    pub server: Server,
    pub app: String,
}

impl Session {
    pub(crate) fn open(env: Env, wanted: Option<String>) -> Outcome<Self> {
        let screen = Screen::detect(env.no_color);
        let servers = Servers::load(env.config_dir.as_deref())?;
        Ok(Self { screen, servers, wanted, env })
    }

    /// The server that flags or environment name, else the default.
    pub(crate) fn server(&self) -> Outcome<Server> {
        let named = self.wanted.as_ref().or(self.env.server.as_ref());
        let server = match named {
            Some(wanted) => self.named(wanted)?,
            None => self.servers.fallback().cloned().ok_or_else(|| self.no_server())?,
        };
        Ok(self.with_key(server))
    }

    fn named(&self, wanted: &str) -> Outcome<Server> {
        if let Some(server) = self.servers.find(wanted) {
            return Ok(server.clone());
        }
        if !wanted.contains(['.', ':']) {
            let known: Vec<_> = self.servers.server.keys().map(String::as_str).collect();
            let failure = Failure::usage(format!("no server is called `{wanted}`"));
            return Err(match known.as_slice() {
                [] => failure.hint("Run `hythe login URL` first."),
                names => failure.hint(format!("Known servers: {}", names.join(", "))),
            });
        }
        Ok(Server::at(address(wanted)?))
    }

    fn no_server(&self) -> Failure {
        if self.servers.server.is_empty() {
            return Failure::logged_out().hint("For example: hythe login http://localhost:8300");
        }
        let names: Vec<_> = self.servers.server.keys().map(String::as_str).collect();
        Failure::usage("several servers are known and none is the default")
            .hint(format!("Choose one with --server: {}", names.join(", ")))
    }

    fn with_key(&self, mut server: Server) -> Server {
        if let Some(key) = &self.env.api_key {
            server.token = Some(Token::new(key));
        }
        server
    }

    /// A client of [`Session::server`].
    pub(crate) fn client(&self) -> Outcome<Client> {
        Client::new(&self.server()?)
    }

    /// The app that is meant: by flag, by environment, or by the repository's remotes.
    pub(crate) fn target(&self, flags: &AppFlags) -> Outcome<Target> {
        self.target_of(None, flags)
    }

    /// As [`Session::target`], with an app given as an argument before all else.
    pub(crate) fn target_of(&self, argument: Option<&str>, flags: &AppFlags) -> Outcome<Target> {
        let unless_remote = || self.env.app.as_deref().filter(|_| flags.remote.is_none());
        if let Some(app) = argument.or(flags.app.as_deref()).or_else(unless_remote) {
            let server = self.server()?;
            return Ok(Target { client: Client::new(&server)?, server, app: app.to_owned() });
        }
        let (server, app) = self.remote_app(&git::remotes(), flags.remote.as_deref())?;
        Ok(Target { client: Client::new(&server)?, server, app })
    }

    /// The app of the repository's remotes, on the server that the remote points at.
    fn remote_app(&self, remotes: &[Remote], only: Option<&str>) -> Outcome<(Server, String)> {
        let named = self.wanted.is_some() || self.env.server.is_some();
        let chosen = if named { Some(self.server()?) } else { None };
        let mut found: Vec<(&Remote, Server, &str)> = Vec::new();
        for remote in remotes.iter().filter(|remote| only.is_none_or(|only| remote.name == only)) {
            let Some((host, app)) = remote.app() else { continue };
            let server = match &chosen {
                Some(server) => Some(server).filter(|server| server.host() == host),
                None => self.servers.by_host(host),
            };
            found.extend(server.map(|server| (remote, self.with_key(server.clone()), app)));
        }
        let apps: BTreeSet<(&str, &str)> =
            found.iter().map(|(_, server, app)| (server.url.as_str(), *app)).collect();
        if apps.len() > 1 {
            return Err(several(&found));
        }
        match found.into_iter().next() {
            Some((_, server, app)) => Ok((server, app.to_owned())),
            None => Err(none(only)),
        }
    }
}

fn several(found: &[(&Remote, Server, &str)]) -> Failure {
    let list: Vec<_> =
        found.iter().map(|(remote, _, app)| format!("  {app} ({})", remote.name)).collect();
    Failure::usage(format!("several apps are in the git remotes:\n{}", list.join("\n")))
        .hint("Say which one is meant with --app or --remote.")
}

fn none(only: Option<&str>) -> Failure {
    let failure = match only {
        Some(name) => Failure::usage(format!("the git remote {name} is not of an app")),
        None => Failure::usage("no app specified"),
    };
    failure.hint("Say which app with --app NAME, or run this where `git remote -v` shows it.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    fn session(server: Option<&str>) -> Session {
        let mut servers = Servers::default();
        servers.server.insert("home".into(), Server::at("http://localhost:8300".into()));
        servers.server.insert("work".into(), Server::at("https://paas.example.com".into()));
        let env = Env {
            program: "/usr/bin/hythe".into(),
            config_dir: None,
            api_key: Some("key".into()),
            server: None,
            app: None,
            term: None,
            no_color: true,
            now: 0,
        };
        let wanted = server.map(str::to_owned);
        Session { env, screen: Screen::plain(), servers, wanted }
    }

    fn remotes(list: &[(&str, &str)]) -> Vec<Remote> {
        let remote =
            |(name, url): &(&str, &str)| Remote { name: (*name).into(), url: (*url).into() };
        list.iter().map(remote).collect()
    }

    #[test]
    fn the_remote_names_app_and_server() {
        let list = remotes(&[
            ("origin", "https://github.com/me/demo.git"),
            ("hythe", "https://paas.example.com/demo.git"),
        ]);
        let (server, app) = session(None).remote_app(&list, None).expect("one app");
        assert_eq!((server.url.as_str(), app.as_str()), ("https://paas.example.com", "demo"));
        assert_eq!(server.token, Some(Token::new("key")));
    }

    #[test]
    fn several_apps_need_a_choice() {
        let list = remotes(&[
            ("hythe", "http://localhost:8300/demo.git"),
            ("staging", "http://localhost:8300/demo-staging.git"),
            ("heroku", "https://localhost:8300/demo.git"),
        ]);
        let session_ = session(None);
        let failure = session_.remote_app(&list, None).expect_err("two apps");
        assert_eq!(failure.kind, Kind::Usage);
        assert!(failure.message.contains("demo-staging (staging)"), "{failure}");
        let (_, app) = session_.remote_app(&list, Some("staging")).expect("chosen");
        assert_eq!(app, "demo-staging");
        let (_, app) = session_.remote_app(&list[..1], None).expect("one");
        assert_eq!(app, "demo");
        let same = [list[0].clone(), list[2].clone()];
        assert_eq!(session_.remote_app(&same, None).expect("the same app twice").1, "demo");
    }

    #[test]
    fn a_named_server_leaves_out_remotes_of_others() {
        let list = remotes(&[
            ("hythe", "http://localhost:8300/demo.git"),
            ("work", "https://paas.example.com/other.git"),
        ]);
        let (_, app) = session(Some("work")).remote_app(&list, None).expect("one is left");
        assert_eq!(app, "other");
        assert!(session(Some("nowhere")).server().is_err());
    }
}
