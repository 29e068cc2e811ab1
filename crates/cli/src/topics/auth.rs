//! `auth`: log in, log out, who am I.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::client::{Client, Method, segment};
use crate::failure::{Failure, Kind, Outcome, on_file};
use crate::prompt;
use crate::servers::{Server, Token, address, write_private};
use crate::session::Session;
use crate::tls;
use crate::wire::{Account, Authorization};

/// A token made by `login -i` lasts for thirty days, as with Heroku's client.
const MONTH_SECONDS: u64 = 30 * 24 * 60 * 60;

/// Asks for an API token, or with -i for e-mail and password. Without a terminal the token is read
/// from standard input.
#[derive(Args)]
pub(crate) struct Login {
    /// The server's address, such as https://paas.example.com or http://localhost:8300
    url: Option<String>,
    /// Log in with e-mail and password
    #[arg(short, long)]
    interactive: bool,
    /// Duration of the token in seconds (with -i)
    #[arg(short, long, value_name = "SECONDS", default_value_t = MONTH_SECONDS)]
    expires_in: u64,
    /// Name to remember the server by [default: its host]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The server's private certificate authority, a PEM file (`hythe admin ca` prints it)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Login {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let mut server = self.server(session)?;
        let name = self.name(session, &server);
        match &self.ca {
            Some(file) => {
                let pem = std::fs::read(file).map_err(on_file("read", file))?;
                tls::certificates(&pem, file)?;
                server.ca = Some(keep_ca(session, &name, &pem)?);
            }
            None => take_offered_ca(session, &name, &mut server)?,
        }
        if server.is_exposed() {
            session
                .screen
                .warn("The token travels unencrypted; use https:// if the server has it.");
        }
        self.take_token(session, &mut server)?;
        let account: Account = Client::new(&server)?.get("/account")?;
        server.email = Some(account.email.clone());
        let mut servers = session.servers.clone();
        servers.server.insert(name.clone(), server);
        servers.default = Some(name);
        servers.save(session.env.config_dir.as_deref())?;
        session.screen.line(&format!("Logged in as {}", account.email))
    }

    fn take_token(&self, session: &Session, server: &mut Server) -> Outcome {
        if self.interactive {
            let made = self.by_password(server)?;
            let token = made.access_token.ok_or_else(no_token)?;
            server.token = Some(Token::new(token.token));
            server.authorization = Some(made.id);
        } else {
            server.token = Some(by_token(session)?);
            server.authorization = None;
        }
        Ok(())
    }

    fn server(&self, session: &Session) -> Outcome<Server> {
        let Some(url) = &self.url else { return session.server() };
        let known = session.servers.find(url).cloned();
        Ok(match known {
            Some(server) => server,
            None => Server::at(address(url)?),
        })
    }

    fn name(&self, session: &Session, server: &Server) -> String {
        let known = || {
            let mut entries = session.servers.server.iter();
            entries.find(|(_, known)| known.url == server.url).map(|(name, _)| name.clone())
        };
        let host = || server.host().split(':').next().unwrap_or_default().to_owned();
        self.name.clone().or_else(known).unwrap_or_else(host)
    }

    fn by_password(&self, server: &Server) -> Outcome<Authorization> {
        let email = prompt::line("Email")?;
        let password = prompt::hidden("Password")?;
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let body = json!({
            "scope": ["global"],
            "description": format!("Hythe client login from {}", host.unwrap_or_default()),
            "expires_in": self.expires_in,
        });
        Client::new(server)?.login("/oauth/authorizations", (&email, &password), &body)
    }
}

fn by_token(session: &Session) -> Outcome<Token> {
    if let Some(key) = &session.env.api_key {
        return Ok(Token::new(key));
    }
    let token = prompt::hidden("API token")?;
    if token.is_empty() {
        return Err(Failure::usage("an empty token is none")
            .hint("`hythe admin tokens:create EMAIL` on the server makes one."));
    }
    Ok(Token::new(token))
}

fn no_token() -> Failure {
    Failure::internal("the server made a login without a token")
}

/// Keeps the authority beside the servers' file, so that it stays when the original goes.
fn keep_ca(session: &Session, name: &str, pem: &[u8]) -> Outcome<PathBuf> {
    let directory = session.env.config_dir.as_deref().ok_or_else(|| {
        Failure::config("there is no home directory to keep the certificate in").hint("Set HOME.")
    })?;
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let kept = directory.join(format!("{}.ca.pem", name.chars().map(plain).collect::<String>()));
    write_private(&kept, pem)?;
    Ok(kept)
}

/// A server on this machine, over plain HTTP, may say which authority it has: nobody can come
/// between. One-off dynos are joined over TLS.
fn take_offered_ca(session: &Session, name: &str, server: &mut Server) -> Outcome {
    if server.url.starts_with("https:") || !server.is_here() {
        return Ok(());
    }
    let offered = Client::new(server)?.public("/ca.pem");
    if let Some(pem) = offered.filter(|pem| tls::certificates(pem, "/ca.pem".as_ref()).is_ok()) {
        server.ca = Some(keep_ca(session, name, &pem)?);
    }
    Ok(())
}

/// `logout`: the token is forgotten; one that `login` made is made invalid, too.
pub(crate) fn logout(session: &Session) -> Outcome {
    let server = session.server()?;
    session.screen.action("Logging out", || {
        if let (Some(id), Some(_)) = (&server.authorization, &server.token) {
            revoke(&Client::new(&server)?, id)?;
        }
        let mut servers = session.servers.clone();
        for known in servers.server.values_mut().filter(|known| known.url == server.url) {
            (known.token, known.email, known.authorization) = (None, None, None);
        }
        servers.save(session.env.config_dir.as_deref())?;
        Ok(((), String::new()))
    })
}

fn revoke(client: &Client, authorization: &str) -> Outcome {
    let path = format!("/oauth/authorizations/{}", segment(authorization));
    match client.tell(Method::Delete, &path, None) {
        // It is no longer valid: that is what was wanted.
        Err(failure) if failure.kind == Kind::LoggedOut => Ok(()),
        other => other,
    }
}

/// `auth:token`.
pub(crate) fn token(session: &Session) -> Outcome {
    let server = session.server()?;
    let token = server.token.ok_or_else(Failure::logged_out)?;
    session.screen.line(token.reveal())
}

/// `whoami`.
pub(crate) fn whoami(session: &Session) -> Outcome {
    let account: Account = session.client()?.get("/account").map_err(|failure| {
        if failure.kind == Kind::LoggedOut { Failure::logged_out() } else { failure }
    })?;
    session.screen.line(&account.email)
}
