//! `domains`: list, add, remove.

use clap::Args;
use serde_json::{Value, json};

use super::apps::{json_out, read};
use crate::client::{Method, segment};
use crate::failure::Outcome;
use crate::session::{AppFlags, Session};
use crate::tables;
use crate::wire::Domain;

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    flags: AppFlags,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let values: Vec<Value> = target.client.list(&path(&target.app))?;
        let screen = &session.screen;
        if self.json {
            return json_out(screen, &Value::Array(values));
        }
        let domains = values.into_iter().map(read::<Domain>).collect::<Outcome<Vec<_>>>()?;
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
        let row = |domain: &Domain| {
            vec![domain.hostname.clone(), domain.cname.clone().unwrap_or_default()]
        };
        let rows: Vec<_> = custom.iter().map(row).collect();
        tables::table(screen, &["Domain Name", "DNS Target"], &rows)
    }
}

#[derive(Args)]
pub(crate) struct Change {
    /// The full host name
    hostname: String,
    #[command(flatten)]
    flags: AppFlags,
}

impl Change {
    pub(crate) fn add(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let doing = format!("Adding {} to {}", self.hostname, target.app);
        let domain: Domain = session.screen.action(&doing, || {
            let body = json!({ "hostname": self.hostname, "sni_endpoint": null });
            let added = target.client.ask(Method::Post, &path(&target.app), Some(&body))?;
            Ok((added, String::new()))
        })?;
        let Some(cname) = domain.cname else { return Ok(()) };
        session
            .screen
            .line(&format!("Configure your app's DNS provider to point to the DNS Target {cname}."))
    }

    pub(crate) fn remove(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let doing = format!("Removing {} from {}", self.hostname, target.app);
        session.screen.action(&doing, || {
            let path = format!("{}/{}", path(&target.app), segment(&self.hostname));
            target.client.tell(Method::Delete, &path, None)?;
            Ok(((), String::new()))
        })
    }
}

fn path(app: &str) -> String {
    format!("/apps/{}/domains", segment(app))
}
