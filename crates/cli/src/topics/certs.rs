//! `certs`: an app's certificates.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use serde_json::{Value, json};

use super::apps::confirm;
use super::domains;
use super::listing::Listing;
use crate::client::{Client, Method, segment};
use crate::failure::{Failure, Outcome, on_file};
use crate::screen::Screen;
use crate::session::{AppFlags, Session, Target};
use crate::tables;
use crate::wire::{Domain, SniEndpoint};

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    listing: Listing,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let Some((target, endpoints)) = self.listing.read(session, path)? else { return Ok(()) };
        let screen = &session.screen;
        if endpoints.is_empty() {
            screen.line(&format!("{} has no SSL certificates.", target.app))?;
            return screen.line("Use hythe certs:add CRT KEY to add one.");
        }
        let mut rows: Vec<_> = endpoints.into_iter().map(row).collect();
        rows.sort();
        let heads = ["Name", "Common Name(s)", "Expires", "Trusted", "Type", "Domains"];
        tables::table(screen, &heads, &rows)
    }
}

fn row(endpoint: SniEndpoint) -> Vec<String> {
    let certificate = endpoint.ssl_cert;
    vec![
        endpoint.name,
        certificate.cert_domains.join(", "),
        certificate.expires_at,
        if certificate.ca_signed { "True" } else { "False" }.to_owned(),
        if certificate.acm { "ACM" } else { "SNI" }.to_owned(),
        endpoint.domains.len().to_string(),
    ]
}

/// Certificate and key, as files.
#[derive(Args)]
struct Files {
    /// The certificate with those who signed it, in PEM
    #[arg(value_name = "CRT")]
    certificate: PathBuf,
    /// The private key, in PEM
    #[arg(value_name = "KEY")]
    key: PathBuf,
}

impl Files {
    fn body(&self) -> Outcome<Value> {
        let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(on_file("read", path));
        let (chain, key) = (read(&self.certificate)?, read(&self.key)?);
        Ok(json!({ "certificate_chain": chain, "private_key": key }))
    }
}

#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    files: Files,
    /// Domains to serve with it, separated by commas; all it is good for, without this
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    domains: Option<Vec<String>>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Add {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let body = self.files.body()?;
        let doing = format!("Adding SSL certificate to {}", target.app);
        let endpoint: SniEndpoint = session.screen.action(&doing, || {
            let added = target.client.ask(Method::Post, &path(&target.app), Some(&body))?;
            Ok((added, String::new()))
        })?;
        details(&session.screen, &endpoint, "Certificate details:")?;
        let chosen = match self.domains {
            Some(chosen) => chosen,
            None => free_and_covered(&target, &endpoint)?,
        };
        for hostname in chosen {
            session.screen.action(&format!("Serving {hostname} with {}", endpoint.name), || {
                let body = json!({ "sni_endpoint": endpoint.name });
                let path = domains::one(&target.app, &hostname);
                target.client.tell(Method::Patch, &path, Some(&body))?;
                Ok(((), String::new()))
            })?;
        }
        Ok(())
    }
}

/// The custom domains that the certificate is good for and that have none.
fn free_and_covered(target: &Target, endpoint: &SniEndpoint) -> Outcome<Vec<String>> {
    let all: Vec<Domain> = target.client.list(&domains::path(&target.app))?;
    let covered = |host: &str| endpoint.ssl_cert.cert_domains.iter().any(|name| covers(name, host));
    let free = |domain: &Domain| {
        domain.kind == "custom" && domain.sni_endpoint.is_none() && covered(&domain.hostname)
    };
    Ok(all.into_iter().filter(free).map(|domain| domain.hostname).collect())
}

fn covers(name: &str, host: &str) -> bool {
    let parent = host.split_once('.').map(|(_, parent)| parent);
    name == host || name.strip_prefix("*.").is_some_and(|rest| parent == Some(rest))
}

/// Which certificate.
#[derive(Args)]
struct Which {
    /// Name of the certificate
    #[arg(long)]
    name: Option<String>,
    /// A host name that is served with it
    #[arg(long, conflicts_with = "name", value_name = "HOSTNAME")]
    endpoint: Option<String>,
}

impl Which {
    fn find(&self, client: &Client, app: &str) -> Outcome<SniEndpoint> {
        let mut all: Vec<SniEndpoint> = client.list(&path(app))?;
        if all.is_empty() {
            return Err(Failure::user(format!("{app} has no SSL certificates")));
        }
        if let Some(name) = &self.name {
            all.retain(|endpoint| endpoint.name == *name);
        }
        if let Some(hostname) = &self.endpoint {
            let domain: Domain = client.get(&domains::one(app, hostname))?;
            let used = domain.sni_endpoint.map(|endpoint| endpoint.name);
            all.retain(|endpoint| Some(&endpoint.name) == used.as_ref());
        }
        if all.len() > 1 {
            return Err(Failure::usage("Must pass --name when more than one endpoint"));
        }
        all.pop().ok_or_else(|| Failure::user("Record not found."))
    }
}

#[derive(Args)]
pub(crate) struct Update {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    which: Which,
    /// The app's name, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Update {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let old = self.which.find(&target.client, &target.app)?;
        let body = self.files.body()?;
        let danger = format!("This will change the certificate {} of {}.", old.name, target.app);
        confirm(&session.screen, &target.app, self.confirm.as_deref(), &danger)?;
        let doing = format!("Updating SSL certificate {} for {}", old.name, target.app);
        let endpoint: SniEndpoint = session.screen.action(&doing, || {
            let path = one(&target.app, &old.name);
            Ok((target.client.ask(Method::Patch, &path, Some(&body))?, String::new()))
        })?;
        details(&session.screen, &endpoint, "Updated certificate details:")
    }
}

#[derive(Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    which: Which,
    /// The app's name, instead of being asked for it
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Remove {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let endpoint = self.which.find(&target.client, &target.app)?;
        let danger =
            format!("This will remove the certificate {} of {}.", endpoint.name, target.app);
        confirm(&session.screen, &target.app, self.confirm.as_deref(), &danger)?;
        let doing = format!("Removing SSL certificate {} from {}", endpoint.name, target.app);
        session.screen.action(&doing, || {
            target.client.tell(Method::Delete, &one(&target.app, &endpoint.name), None)?;
            Ok(((), String::new()))
        })
    }
}

#[derive(Args)]
pub(crate) struct Info {
    #[command(flatten)]
    which: Which,
    /// Show the domains that are served with it
    #[arg(long)]
    show_domains: bool,
    #[command(flatten)]
    flags: AppFlags,
}

impl Info {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let mut endpoint = self.which.find(&target.client, &target.app)?;
        if self.show_domains {
            for domain in &mut endpoint.domains {
                let found: Domain = target.client.get(&domains::one(&target.app, domain))?;
                *domain = found.hostname;
            }
        } else {
            endpoint.domains.clear();
        }
        details_with_domains(&session.screen, &endpoint)
    }
}

#[derive(Args)]
pub(crate) struct Generate {
    /// Host name of the certificate
    domain: String,
    /// Bits of the RSA key
    #[arg(long, default_value = "2048", value_name = "BITS")]
    keysize: String,
    /// Sign it with its own key, instead of writing a request for an authority
    #[arg(long)]
    selfsigned: bool,
    /// The whole subject, such as /C=US/O=Example/CN=www.example.com
    #[arg(long)]
    subject: Option<String>,
}

impl Generate {
    /// The official client runs OpenSSL for this too.
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let subject = self.subject.unwrap_or_else(|| format!("/CN={}", self.domain));
        let key = format!("{}.key", self.domain);
        let end = if self.selfsigned { "crt" } else { "csr" };
        let out = format!("{}.{end}", self.domain);
        let names = format!("subjectAltName=DNS:{}", self.domain);
        let new = format!("rsa:{}", self.keysize);
        let mut command = Command::new("openssl");
        command.args(["req", "-new", "-newkey", &new, "-nodes", "-keyout", &key]);
        command.args(["-out", &out, "-subj", &subject, "-addext", &names]);
        if self.selfsigned {
            command.arg("-x509");
        }
        let status = command.status();
        let status =
            status.map_err(|error| Failure::user(format!("cannot run openssl: {error}")))?;
        if !status.success() {
            return Err(Failure::user(format!("openssl ended with {status}")));
        }
        let screen = &session.screen;
        if self.selfsigned {
            screen.remark("Your key and self-signed certificate have been generated.");
            screen.remark(&format!("Next, run:\n$ hythe certs:add {out} {key}"));
        } else {
            screen.remark("Your key and certificate signing request have been generated.");
            screen.remark(&format!("Submit '{out}' to your preferred certificate authority."));
            screen.remark(&format!("Then run:\n$ hythe certs:add CERTFILE {key}"));
        }
        Ok(())
    }
}

/// What a certificate says.
pub(crate) fn details(screen: &Screen, endpoint: &SniEndpoint, title: &str) -> Outcome {
    screen.line(title)?;
    tables::object(screen, &rows(endpoint))?;
    trust(screen, endpoint)
}

fn details_with_domains(screen: &Screen, endpoint: &SniEndpoint) -> Outcome {
    screen.line("Certificate details:")?;
    let mut rows = rows(endpoint);
    rows.push(("Domain(s)", endpoint.domains.clone()));
    tables::object(screen, &rows)?;
    trust(screen, endpoint)
}

fn rows(endpoint: &SniEndpoint) -> Vec<(&'static str, Vec<String>)> {
    let certificate = &endpoint.ssl_cert;
    vec![
        ("Name", vec![endpoint.name.clone()]),
        ("Common Name(s)", certificate.cert_domains.clone()),
        ("Expires At", vec![certificate.expires_at.clone()]),
        ("Issuer", vec![certificate.issuer.clone()]),
        ("Starts At", vec![certificate.starts_at.clone()]),
        ("Subject", vec![certificate.subject.clone()]),
    ]
}

fn trust(screen: &Screen, endpoint: &SniEndpoint) -> Outcome {
    let certificate = &endpoint.ssl_cert;
    screen.line(if certificate.ca_signed {
        "SSL certificate is verified by a root authority."
    } else if certificate.self_signed {
        "SSL certificate is self signed."
    } else {
        "SSL certificate is not trusted."
    })
}

/// Path of an app's certificates.
pub(crate) fn path(app: &str) -> String {
    format!("/apps/{}/sni-endpoints", segment(app))
}

fn one(app: &str, name: &str) -> String {
    format!("{}/{}", path(app), segment(name))
}
