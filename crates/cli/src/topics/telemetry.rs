//! `telemetry`: where an app's telemetry is sent to.

use clap::Args;
use serde_json::{Map, Value, json};

use super::apps::{json_out, read};
use super::drains::print_status;
use super::listing::Listing;
use crate::client::{Method, segment};
use crate::failure::{Failure, Outcome};
use crate::session::{AppFlags, Session};
use crate::tables;
use crate::wire::{App, DrainStatus, TelemetryDrain};

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    listing: Listing,
}

impl List {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let path = |app: &str| format!("/apps/{}/telemetry-drains", segment(app));
        let Some((target, drains)) = self.listing.read(session, path)? else { return Ok(()) };
        let screen = &session.screen;
        if drains.is_empty() {
            return screen.line(&format!("There are no telemetry drains in {}", target.app));
        }
        screen.header(&format!("{} Telemetry Drains", target.app))?;
        let row = |drain: TelemetryDrain| {
            vec![drain.id, drain.signals.join(", "), drain.exporter.endpoint]
        };
        let rows: Vec<_> = drains.into_iter().map(row).collect();
        tables::table(screen, &["ID", "Signals", "Endpoint"], &rows)
    }
}

/// What a drain is made of.
#[derive(Args)]
struct Parts {
    /// Signals to collect, separated by commas: traces, metrics, logs, or all
    #[arg(long)]
    signals: Option<String>,
    /// Custom headers as JSON
    #[arg(long)]
    headers: Option<String>,
    /// Transport protocol: http or grpc
    #[arg(long)]
    transport: Option<String>,
}

impl Parts {
    fn exporter(&self, endpoint: Option<&str>) -> Outcome<Map<String, Value>> {
        let mut exporter = Map::new();
        if let Some(endpoint) = endpoint {
            exporter.insert("endpoint".to_owned(), json!(endpoint));
        }
        if let Some(headers) = &self.headers {
            let headers: Value = serde_json::from_str(headers)
                .map_err(|error| Failure::user(format!("The headers are not JSON: {error}")))?;
            exporter.insert("headers".to_owned(), headers);
        }
        if let Some(transport) = &self.transport {
            let kind = match transport.as_str() {
                "http" => "otlphttp",
                "grpc" => "otlp",
                other => {
                    let text = format!("Expected --transport={other} to be one of: http, grpc");
                    return Err(Failure::usage(text));
                }
            };
            exporter.insert("type".to_owned(), json!(kind));
        }
        Ok(exporter)
    }

    fn signals(&self) -> Option<Value> {
        self.signals.as_deref().map(|words| match words {
            "all" => json!(["traces", "metrics", "logs"]),
            words => json!(words.split(',').map(str::trim).collect::<Vec<_>>()),
        })
    }
}

#[derive(Args)]
pub(crate) struct Add {
    /// URL of the receiver
    endpoint: String,
    #[command(flatten)]
    parts: Parts,
    #[command(flatten)]
    flags: AppFlags,
}

impl Add {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let app: Value = target.client.get(&format!("/apps/{}", segment(&target.app)))?;
        let mut exporter = self.parts.exporter(Some(&self.endpoint))?;
        exporter.entry("type").or_insert(json!("otlphttp"));
        let body = json!({
            "owner": { "id": app["id"], "type": "app" },
            // The only signal that is collected so far.
            "signals": self.parts.signals().unwrap_or(json!(["logs"])),
            "exporter": exporter,
        });
        let drain: TelemetryDrain =
            target.client.ask(Method::Post, "/telemetry-drains", Some(&body))?;
        session.screen.line(&format!("successfully added drain {}", drain.exporter.endpoint))
    }
}

#[derive(Args)]
pub(crate) struct Info {
    /// ID of the drain
    drain: String,
    /// Output in json format
    #[arg(short, long)]
    json: bool,
}

impl Info {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let client = session.client()?;
        let value: Value = client.get(&one(&self.drain))?;
        let status: Value = client.get(&format!("{}/status", one(&self.drain)))?;
        let screen = &session.screen;
        if self.json {
            let mut value = value;
            value["status"] = status;
            return json_out(screen, &value);
        }
        let drain: TelemetryDrain = read(value)?;
        print(session, &drain)?;
        print_status(screen, read::<DrainStatus>(status)?)
    }
}

fn print(session: &Session, drain: &TelemetryDrain) -> Outcome {
    let screen = &session.screen;
    screen.header(&drain.id)?;
    let app: App = session.client()?.get(&format!("/apps/{}", segment(&drain.owner.id)))?;
    let transport = if drain.exporter.kind == "otlp" { "gRPC" } else { "HTTP" };
    let rows = [
        ("App", vec![app.name]),
        ("Signals", vec![drain.signals.join(", ")]),
        ("Endpoint", vec![drain.exporter.endpoint.clone()]),
        ("Transport", vec![transport.to_owned()]),
        ("Headers", vec![json!(drain.exporter.headers).to_string()]),
    ];
    tables::object(screen, &rows)
}

#[derive(Args)]
pub(crate) struct Update {
    /// ID of the drain
    drain: String,
    /// URL of the receiver
    #[arg(long)]
    endpoint: Option<String>,
    #[command(flatten)]
    parts: Parts,
}

impl Update {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let mut body = Map::new();
        if let Some(signals) = self.parts.signals() {
            body.insert("signals".to_owned(), signals);
        }
        let exporter = self.parts.exporter(self.endpoint.as_deref())?;
        if !exporter.is_empty() {
            body.insert("exporter".to_owned(), exporter.into());
        }
        if body.is_empty() {
            let text = "Requires either --signals, --endpoint, --transport or --headers.";
            return Err(Failure::usage(text));
        }
        let (client, body) = (session.client()?, Value::Object(body));
        let doing = format!("Updating telemetry drain {}", self.drain);
        let drain: TelemetryDrain = session.screen.action(&doing, || {
            let drain = client.ask(Method::Patch, &one(&self.drain), Some(&body))?;
            Ok((drain, String::new()))
        })?;
        print(session, &drain)
    }
}

#[derive(Args)]
pub(crate) struct Remove {
    /// ID of the drain; all drains of the app without one
    drain: Option<String>,
    #[command(flatten)]
    flags: AppFlags,
}

impl Remove {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        if let Some(drain) = self.drain {
            let client = session.client()?;
            return session.screen.action(&format!("Removing telemetry drain {drain}"), || {
                client.tell(Method::Delete, &one(&drain), None)?;
                Ok(((), String::new()))
            });
        }
        let target = session.target(&self.flags)?;
        let doing = format!("Removing all telemetry drains from app {}", target.app);
        session.screen.action(&doing, || {
            let path = format!("/apps/{}/telemetry-drains", segment(&target.app));
            let drains: Vec<TelemetryDrain> = target.client.list(&path)?;
            for drain in drains {
                target.client.tell(Method::Delete, &one(&drain.id), None)?;
            }
            Ok(((), String::new()))
        })
    }
}

fn one(drain: &str) -> String {
    format!("/telemetry-drains/{}", segment(drain))
}
