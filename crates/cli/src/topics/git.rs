//! `git`: remotes, clones, and the answer to git's question for a password.

use std::io::BufRead;

use clap::Args;

use super::apps::REMOTE;
use crate::client::{Client, segment};
use crate::failure::{Failure, Outcome};
use crate::git;
use crate::servers::{Servers, address};
use crate::session::{AppFlags, Session};
use crate::wire::App;

/// Git's question is a few short lines.
const MAX_QUESTION: u64 = 64 * 1024;

#[derive(Args)]
pub(crate) struct Remote {
    #[arg(hide = true)]
    name: Option<String>,
    /// The app to add a remote of
    #[arg(short, long, value_name = "APP")]
    app: Option<String>,
    /// The git remote to create
    #[arg(short, long, value_name = "REMOTE", default_value = REMOTE)]
    remote: String,
}

impl Remote {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let app = self.app.or(self.name).or_else(|| session.env.app.clone());
        let app = app.ok_or_else(|| Failure::usage("Specify an app with --app"))?;
        let server = session.server()?;
        let app: App = Client::new(&server)?.get(&format!("/apps/{}", segment(&app)))?;
        let url = server.git_url(&app.name);
        git::set_remote(&self.remote, &url)?;
        git::configure(&server, &session.env.program)?;
        session.screen.line(&format!("set git remote {} to {url}", self.remote))
    }
}

#[derive(Args)]
pub(crate) struct Clone {
    /// Where to clone the app [default: its name]
    directory: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Clone {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let remote = self.flags.remote.clone().unwrap_or_else(|| REMOTE.to_owned());
        // Here `--remote` names what is to be made, not where the app is to be found.
        let target = session.target(&AppFlags { app: self.flags.app, remote: None })?;
        let app: App = target.client.get(&format!("/apps/{}", segment(&target.app)))?;
        let url = target.server.git_url(&app.name);
        let directory = self.directory.unwrap_or(app.name);
        let settings = git::settings(&target.server, &session.env.program);
        git::clone(&settings, &["--origin", &remote, "--", &url, &directory])
    }
}

#[derive(Args)]
pub(crate) struct Credentials {
    /// What git wants: get, store or erase
    verb: String,
}

impl Credentials {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        match self.verb.as_str() {
            "get" => {}
            // They are ours to keep, not git's.
            "store" | "erase" => return Ok(()),
            other => return Err(Failure::usage(format!("unknown command: {other}"))),
        }
        let (protocol, host) = question(std::io::stdin().lock())?;
        let given =
            Given { server: session.env.server.as_deref(), key: session.env.api_key.as_deref() };
        match password(&session.servers, given, &protocol, &host) {
            Some(password) => session.screen.raw(&format!(
                "protocol={protocol}\nhost={host}\nusername=hythe\npassword={password}\n"
            )),
            // Not ours: git asks its next helper.
            None => Ok(()),
        }
    }
}

/// The protocol and host that git asks about.
fn question(input: impl BufRead) -> Outcome<(String, String)> {
    let (mut protocol, mut host) = (String::new(), String::new());
    for line in input.take(MAX_QUESTION).lines() {
        let line = line.map_err(|error| Failure::user(format!("cannot read from git: {error}")))?;
        match line.split_once('=') {
            Some(("protocol", value)) => value.clone_into(&mut protocol),
            Some(("host", value)) => value.clone_into(&mut host),
            Some(_) => {}
            None if line.is_empty() => break,
            None => return Err(Failure::usage("this is not what git asks")),
        }
    }
    Ok((protocol, host))
}

/// What the environment says: a server, and a token that wins over the stored one.
#[derive(Clone, Copy, Default)]
struct Given<'a> {
    server: Option<&'a str>,
    key: Option<&'a str>,
}

/// The token for exactly this server; never another's.
fn password(servers: &Servers, given: Given, protocol: &str, host: &str) -> Option<String> {
    let url = format!("{protocol}://{}", host.to_ascii_lowercase());
    let known = servers.server.values().find(|server| server.url == url);
    let named = given.server.and_then(|server| address(server).ok()).is_some_and(|at| at == url);
    let key = given.key.filter(|_| named || known.is_some()).map(str::to_owned);
    let stored = || Some(known?.token.as_ref()?.reveal().to_owned());
    key.or_else(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::{Server, Token};

    #[test]
    fn only_the_servers_own_token_is_given_away() {
        let mut servers = Servers::default();
        let mut server = Server::at("https://paas.example.com".into());
        server.token = Some(Token::new("t"));
        servers.server.insert("work".into(), server);
        let ask = |protocol, host| password(&servers, Given::default(), protocol, host);
        assert_eq!(ask("https", "paas.example.com").as_deref(), Some("t"));
        assert_eq!(ask("http", "paas.example.com"), None, "never unencrypted");
        assert_eq!(ask("https", "paas.example.com:8443"), None);
        assert_eq!(ask("https", "evil.example"), None);
        let given = Given { server: Some("http://localhost:8300"), key: Some("k") };
        assert_eq!(password(&servers, given, "https", "evil.example"), None);
        assert_eq!(password(&servers, given, "http", "localhost:8300").as_deref(), Some("k"));
    }

    #[test]
    fn gits_question_is_read_up_to_the_empty_line() {
        let text = "protocol=https\nhost=x:1\nwwwauth[]=Basic realm=\"Hythe\"\n\nhost=y\n";
        assert_eq!(question(text.as_bytes()).expect("good"), ("https".into(), "x:1".into()));
    }
}
