//! The parts of the API's answers that the client reads. Unknown members are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A name alone: of a stack, a region.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Named {
    pub name: String,
}

/// A person, as named in other objects.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Person {
    #[serde(default)]
    pub email: String,
}

/// An app.
#[derive(Debug, Deserialize)]
pub(crate) struct App {
    pub name: String,
    #[serde(default)]
    pub web_url: Option<String>,
    #[serde(default)]
    pub owner: Person,
    #[serde(default)]
    pub region: Named,
    #[serde(default)]
    pub stack: Named,
    #[serde(default)]
    pub build_stack: Named,
    #[serde(default)]
    pub maintenance: bool,
    #[serde(default)]
    pub acm: bool,
    #[serde(default)]
    pub repo_size: Option<u64>,
    #[serde(default)]
    pub slug_size: Option<u64>,
    #[serde(default)]
    pub archived_at: Option<String>,
    #[serde(default)]
    pub boot_timeout_seconds: Option<u32>,
}

/// A switch of an app.
#[derive(Debug, Deserialize)]
pub(crate) struct Feature {
    pub name: String,
    pub description: String,
    pub doc_url: String,
    pub enabled: bool,
}

/// A dyno.
#[derive(Debug, Deserialize)]
pub(crate) struct Dyno {
    pub name: String,
    #[serde(rename = "type")]
    pub process_type: String,
    pub size: String,
    pub state: String,
    pub command: String,
    pub updated_at: String,
    #[serde(default)]
    pub attach_url: Option<String>,
}

/// A process type's quantity and size.
#[derive(Debug, Deserialize)]
pub(crate) struct Formation {
    #[serde(rename = "type")]
    pub process_type: String,
    pub quantity: u32,
    pub size: String,
}

/// A release.
#[derive(Debug, Deserialize)]
pub(crate) struct Release {
    pub id: String,
    pub version: u32,
    pub description: String,
    pub status: String,
    #[serde(default)]
    pub current: bool,
    #[serde(default)]
    pub eligible_for_rollback: bool,
    #[serde(default)]
    pub addon_plan_names: Vec<String>,
    #[serde(default)]
    pub output_stream_url: Option<String>,
    #[serde(default)]
    pub user: Person,
    pub created_at: String,
}

/// A host name.
#[derive(Debug, Deserialize)]
pub(crate) struct Domain {
    pub hostname: String,
    pub kind: String,
    #[serde(default)]
    pub cname: Option<String>,
    #[serde(default)]
    pub sni_endpoint: Option<Named>,
    #[serde(default)]
    pub acm_status: Option<String>,
    #[serde(default)]
    pub acm_status_reason: Option<String>,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub updated_at: String,
}

/// A place for a certificate.
#[derive(Debug, Deserialize)]
pub(crate) struct SniEndpoint {
    pub name: String,
    #[serde(default)]
    pub domains: Vec<String>,
    pub ssl_cert: Certificate,
}

/// What a certificate says.
#[derive(Debug, Deserialize)]
pub(crate) struct Certificate {
    #[serde(default)]
    pub acm: bool,
    #[serde(default, rename = "ca_signed?")]
    pub ca_signed: bool,
    pub cert_domains: Vec<String>,
    pub expires_at: String,
    pub issuer: String,
    #[serde(default, rename = "self_signed?")]
    pub self_signed: bool,
    pub starts_at: String,
    pub subject: String,
}

/// What the router saw of an app's requests.
#[derive(Debug, Deserialize)]
pub(crate) struct Traffic {
    pub from: String,
    pub to: String,
    pub total: Tally,
    pub intervals: Vec<Interval>,
}

/// One interval of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Interval {
    pub at: String,
    #[serde(flatten)]
    pub tally: Tally,
}

/// A sum over requests.
#[derive(Debug, Deserialize)]
pub(crate) struct Tally {
    pub requests: u64,
    pub statuses: BTreeMap<String, u64>,
    pub codes: BTreeMap<String, u64>,
    pub bytes: u64,
    pub latency_ms: Option<Latency>,
}

/// How long requests took.
#[derive(Debug, Deserialize)]
pub(crate) struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

/// The account that asks.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    pub email: String,
}

/// An authorization: one API token.
#[derive(Debug, Deserialize)]
pub(crate) struct Authorization {
    pub id: String,
    #[serde(default)]
    pub access_token: Option<AccessToken>,
}

/// The token itself.
#[derive(Deserialize)]
pub(crate) struct AccessToken {
    pub token: String,
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where an app's log can be read.
#[derive(Debug, Deserialize)]
pub(crate) struct LogSession {
    pub logplex_url: String,
}

/// What is asked of the log.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct LogQuery {
    pub lines: u32,
    pub tail: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dyno: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A part of what a log search found, the newest first.
#[derive(Debug, Deserialize)]
pub(crate) struct FoundLines {
    pub lines: Vec<FoundLine>,
    /// Where the next search goes on.
    #[serde(default)]
    pub next: Option<String>,
    #[serde(default)]
    pub damaged: u64,
    #[serde(default)]
    pub error: Option<String>,
}

/// A line that was found.
#[derive(Debug, Deserialize)]
pub(crate) struct FoundLine {
    pub created_at: String,
    pub source: String,
    pub dyno: String,
    pub message: String,
}

/// How an app's log is kept.
#[derive(Debug, Deserialize)]
pub(crate) struct LogStatus {
    pub memory: LogMemory,
    pub disk: LogDisk,
    pub replaced: u64,
    pub cut: u64,
}

/// What is in memory of a log.
#[derive(Debug, Deserialize)]
pub(crate) struct LogMemory {
    pub lines: u64,
    pub bytes: u64,
}

/// What is on disk of a log.
#[derive(Debug, Deserialize)]
pub(crate) struct LogDisk {
    pub bytes: u64,
    pub unkept: u64,
    #[serde(default)]
    pub kept_since: Option<String>,
    #[serde(default)]
    pub cut_until: Option<String>,
}

/// Who is told of which lines.
#[derive(Debug, Deserialize)]
pub(crate) struct LogAlert {
    pub name: String,
    #[serde(default)]
    pub words: Option<String>,
    #[serde(default)]
    pub regex: Option<String>,
    #[serde(default)]
    pub dyno: Option<String>,
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub secret: Option<String>,
    pub every_seconds: u64,
    #[serde(default)]
    pub status: Option<LogAlertStatus>,
}

/// How a log alert fares.
#[derive(Debug, Deserialize)]
pub(crate) struct LogAlertStatus {
    pub matched: u64,
    #[serde(default)]
    pub last_sent_at: Option<String>,
    #[serde(default)]
    pub last_error: Option<String>,
}

/// Where an app's lines are sent to.
#[derive(Debug, Deserialize)]
pub(crate) struct LogDrain {
    pub id: String,
    pub token: String,
    pub url: String,
    pub created_at: String,
}

/// How a drain fares.
#[derive(Debug, Deserialize)]
pub(crate) struct DrainStatus {
    pub state: String,
    pub waiting: u64,
    pub delivered: u64,
    pub lost: u64,
    pub since: Option<String>,
    pub failing_since: Option<String>,
    pub last_delivered_at: Option<String>,
    pub last_error: Option<DrainError>,
}

/// What went wrong with a drain.
#[derive(Debug, Deserialize)]
pub(crate) struct DrainError {
    pub message: String,
    pub at: String,
}

/// Where an app's telemetry is sent to.
#[derive(Debug, Deserialize)]
pub(crate) struct TelemetryDrain {
    pub id: String,
    pub owner: TelemetryOwner,
    pub signals: Vec<String>,
    pub exporter: Exporter,
}

/// Whose telemetry.
#[derive(Debug, Deserialize)]
pub(crate) struct TelemetryOwner {
    pub id: String,
}

/// How telemetry is sent.
#[derive(Debug, Deserialize)]
pub(crate) struct Exporter {
    #[serde(rename = "type")]
    pub kind: String,
    pub endpoint: String,
    #[serde(default)]
    pub headers: std::collections::BTreeMap<String, String>,
}

/// A licence to post lines.
#[derive(Debug, Deserialize)]
pub(crate) struct LogInput {
    pub id: String,
    pub name: String,
    pub accepted: u64,
    pub refused: u64,
    pub url: Option<String>,
}
