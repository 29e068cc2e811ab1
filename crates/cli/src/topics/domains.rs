//! `domains`: an app's host names.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::apps::{json_out, read};
use super::listing::Listing;
use crate::client::{Client, Method, segment};
use crate::failure::{Failure, Outcome};
use crate::session::{AppFlags, Session};
use crate::tables;
use crate::wire::Domain;

/// How often a domain is looked at while it is made.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    listing: Listing,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let listed = self.listing.read::<Domain>(session, path)?;
        let Some((target, domains)) = listed else { return Ok(()) };
        let screen = &session.screen;
        let (own, custom): (Vec<_>, Vec<_>) =
            domains.into_iter().partition(|domain| domain.kind == "heroku");
        screen.header(&format!("{} Default Domain", target.app))?;
        for domain in own {
            screen.line(&domain.hostname)?;
        }
        if custom.is_empty() {
            return Ok(());
        }
        screen.line("")?;
        screen.header(&format!("{} Custom Domains", target.app))?;
        let rows: Vec<_> = custom.into_iter().map(row).collect();
        tables::table(screen, &["Domain Name", "DNS Target", "SNI Endpoint", "ACM Status"], &rows)
    }
}

fn row(domain: Domain) -> Vec<String> {
    let endpoint = domain.sni_endpoint.map(|endpoint| endpoint.name);
    vec![
        domain.hostname,
        domain.cname.unwrap_or_default(),
        endpoint.unwrap_or_default(),
        domain.acm_status.unwrap_or_default(),
    ]
}

#[derive(Args)]
pub(crate) struct Add {
    /// The full host name, such as www.example.com or *.example.com
    hostname: String,
    /// Name of the certificate to serve it with
    #[arg(short, long, value_name = "NAME")]
    cert: Option<String>,
    /// Wait until the name works
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    flags: AppFlags,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
}

impl Add {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let doing = format!("Adding {} to {}", self.hostname, target.app);
        let value: Value = session.screen.action(&doing, || {
            let body = json!({ "hostname": self.hostname, "sni_endpoint": self.cert });
            let added = target.client.ask(Method::Post, &path(&target.app), Some(&body))?;
            Ok((added, String::new()))
        })?;
        if self.json {
            return json_out(&session.screen, &value);
        }
        let domain: Domain = read(value)?;
        if self.wait {
            wait(&target.client, &target.app, &domain.hostname)?;
        }
        let Some(cname) = domain.cname else { return Ok(()) };
        session
            .screen
            .line(&format!("Configure your app's DNS provider to point to the DNS Target {cname}."))
    }
}

#[derive(Args)]
pub(crate) struct Update {
    /// The full host name
    hostname: String,
    /// Name or id of the certificate to serve it with
    #[arg(long, value_name = "NAME")]
    cert: String,
    #[command(flatten)]
    flags: AppFlags,
}

impl Update {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let doing = format!("Updating {} to use {} certificate", self.hostname, self.cert);
        session.screen.action(&doing, || {
            let body = json!({ "sni_endpoint": self.cert });
            target.client.tell(Method::Patch, &one(&target.app, &self.hostname), Some(&body))?;
            Ok(((), String::new()))
        })
    }
}

#[derive(Args)]
pub(crate) struct Named {
    /// The full host name
    hostname: String,
    #[command(flatten)]
    flags: AppFlags,
}

impl Named {
    pub(crate) fn info(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let domain: Domain = target.client.get(&one(&target.app, &self.hostname))?;
        let endpoint = domain.sni_endpoint.map(|endpoint| endpoint.name);
        let rows = [
            ("Hostname", vec![domain.hostname]),
            ("Kind", vec![domain.kind]),
            ("DNS Target", domain.cname.into_iter().collect()),
            ("SNI Endpoint", endpoint.into_iter().collect()),
            ("ACM Status", domain.acm_status.into_iter().collect()),
            ("ACM Reason", domain.acm_status_reason.into_iter().collect()),
            ("Status", vec![domain.status]),
            ("Updated", vec![domain.updated_at]),
        ];
        tables::object(&session.screen, &rows)
    }

    pub(crate) fn remove(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let doing = format!("Removing {} from {}", self.hostname, target.app);
        session.screen.action(&doing, || {
            target.client.tell(Method::Delete, &one(&target.app, &self.hostname), None)?;
            Ok(((), String::new()))
        })
    }
}

#[derive(Args)]
pub(crate) struct Clear {
    #[command(flatten)]
    flags: AppFlags,
}

impl Clear {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let doing = format!("Removing all domains from {}", target.app);
        session.screen.action(&doing, || {
            let all: Vec<Domain> = target.client.list(&path(&target.app))?;
            for domain in all.iter().filter(|domain| domain.kind == "custom") {
                target.client.tell(Method::Delete, &one(&target.app, &domain.hostname), None)?;
            }
            Ok(((), String::new()))
        })
    }
}

#[derive(Args)]
pub(crate) struct Wait {
    /// The full host name; all that are not ready yet, without one
    hostname: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Wait {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let names = match self.hostname {
            Some(hostname) => vec![hostname],
            None => {
                let all: Vec<Domain> = target.client.list(&path(&target.app))?;
                let pending = all.into_iter().filter(|domain| domain.status == "pending");
                pending.map(|domain| domain.hostname).collect()
            }
        };
        for name in names {
            session.screen.action(&format!("Waiting for {name}"), || {
                wait(&target.client, &target.app, &name)?;
                Ok(((), String::new()))
            })?;
        }
        Ok(())
    }
}

fn wait(client: &Client, app: &str, hostname: &str) -> Outcome {
    loop {
        let domain: Domain = client.get(&one(app, hostname))?;
        match domain.status.as_str() {
            "pending" => std::thread::sleep(LOOK),
            "none" | "succeeded" => return Ok(()),
            status => {
                let text = format!("The domain creation finished with status {status}");
                return Err(Failure::user(text));
            }
        }
    }
}

/// Path of an app's domains.
pub(crate) fn path(app: &str) -> String {
    format!("/apps/{}/domains", segment(app))
}

/// Path of one domain.
pub(crate) fn one(app: &str, hostname: &str) -> String {
    format!("{}/{}", path(app), segment(hostname))
}
