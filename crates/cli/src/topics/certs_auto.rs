//! `certs:auto`: certificates that the platform obtains and renews by itself.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::apps::confirm;
use super::{certs, domains};
use crate::client::{Client, Method, segment};
use crate::failure::{Failure, Outcome};
use crate::session::{AppFlags, Session, Target};
use crate::tables;
use crate::wire::{App, Domain, SniEndpoint};

/// How often the domains are looked at while somebody waits.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Show {
    /// Wait until every domain has its certificate, or is refused for good
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    flags: AppFlags,
}

impl Show {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let app: App = target.client.get(&format!("/apps/{}", segment(&target.app)))?;
        let word = if app.acm { "enabled" } else { "disabled" };
        let screen = &session.screen;
        screen.header(&format!("Automatic Certificate Management is {word} on {}", target.app))?;
        if !app.acm {
            return Ok(());
        }
        if self.wait {
            wait(&target)?;
        }
        let endpoints: Vec<SniEndpoint> = target.client.list(&certs::path(&target.app))?;
        let domains = custom(&target.client, &target.app)?;
        if domains.is_empty() {
            return screen.line("Add a custom domain with hythe domains:add <yourdomain.com>");
        }
        let expires = |domain: &Domain| {
            let used = domain.sni_endpoint.as_ref()?;
            let endpoint = endpoints.iter().find(|endpoint| endpoint.name == used.name)?;
            Some(endpoint.ssl_cert.expires_at.clone())
        };
        let row = |domain: &Domain| {
            vec![
                domain.hostname.clone(),
                domain.acm_status.clone().unwrap_or_else(|| "waiting".to_owned()),
                expires(domain).unwrap_or_default(),
                domain.acm_status_reason.clone().unwrap_or_default(),
            ]
        };
        let rows: Vec<_> = domains.iter().map(row).collect();
        tables::table(screen, &["Domain", "Status", "Expires", "Reason"], &rows)
    }
}

#[derive(Args)]
pub(crate) struct Enable {
    /// Wait until every domain has its certificate, or is refused for good
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    flags: AppFlags,
}

impl Enable {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        session.screen.action("Enabling Automatic Certificate Management", || {
            let path = path(&target.app);
            target.client.tell(Method::Post, &path, Some(&json!({})))?;
            if self.wait {
                wait(&target)?;
            }
            Ok(((), String::new()))
        })?;
        session.screen.line("See how far it is with hythe certs:auto.")
    }
}

#[derive(Args)]
pub(crate) struct Disable {
    /// The app's name, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Disable {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let danger = format!(
            "This will remove the automatic certificates of {}; visitors will see errors until \
             there are others.",
            target.app
        );
        confirm(&session.screen, &target.app, self.confirm.as_deref(), &danger)?;
        session.screen.action("Disabling Automatic Certificate Management", || {
            target.client.tell(Method::Delete, &path(&target.app), None)?;
            Ok(((), String::new()))
        })
    }
}

#[derive(Args)]
pub(crate) struct Refresh {
    #[command(flatten)]
    flags: AppFlags,
}

impl Refresh {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        session.screen.action("Refreshing Automatic Certificate Management", || {
            let body = json!({ "acm_refresh": true });
            target.client.tell(Method::Patch, &path(&target.app), Some(&body))?;
            Ok(((), String::new()))
        })
    }
}

fn wait(target: &Target) -> Outcome {
    loop {
        let domains = custom(&target.client, &target.app)?;
        let status = |domain: &Domain| domain.acm_status.clone().unwrap_or_default();
        let settled =
            |domain: &Domain| ["cert issued", "failed"].contains(&status(domain).as_str());
        if domains.iter().all(settled) {
            if domains.iter().any(|domain| status(domain) == "failed") {
                return Err(Failure::user("ACM not enabled for some domains"));
            }
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

fn custom(client: &Client, app: &str) -> Outcome<Vec<Domain>> {
    let all: Vec<Domain> = client.list(&domains::path(app))?;
    Ok(all.into_iter().filter(|domain| domain.kind == "custom").collect())
}

fn path(app: &str) -> String {
    format!("/apps/{}/acm", segment(app))
}
