//! The commands, one file per topic.

pub(crate) mod apps;
pub(crate) mod auth;
pub(crate) mod boot_timeout;
pub(crate) mod certs;
pub(crate) mod certs_auto;
pub(crate) mod config;
pub(crate) mod domains;
pub(crate) mod drains;
pub(crate) mod features;
pub(crate) mod git;
pub(crate) mod inside;
pub(crate) mod listing;
pub(crate) mod log_alerts;
pub(crate) mod log_inputs;
pub(crate) mod log_search;
pub(crate) mod logs;
pub(crate) mod maintenance;
pub(crate) mod metrics;
pub(crate) mod ps;
pub(crate) mod releases;
pub(crate) mod run;
pub(crate) mod telemetry;
