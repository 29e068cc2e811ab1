//! The words of the platform and its pure rules.
//!
//! Every other room speaks in these types. Nothing here does input or output, is async, reads a
//! clock (except through [`Timestamp::now`], the one door) or knows a wire format.

pub mod account;
pub mod app;
pub mod build;
pub mod certificate;
pub mod codes;
pub mod config;
pub mod domain;
pub mod drain;
pub mod dyno;
pub mod feature;
pub mod formation;
pub mod ids;
pub mod log;
pub mod log_rule;
pub mod log_session;
pub mod metadata;
pub mod names;
pub mod plan;
pub mod procfile;
pub mod release;
pub mod remote;
pub mod routes;
pub mod secret;
pub mod shards;
pub mod size;
pub mod slug;
pub mod source;
pub mod steps;
pub mod time;
pub mod traffic;

pub use account::Account;
pub use app::App;
pub use config::ConfigVars;
pub use dyno::{Dyno, DynoState};
pub use feature::{Feature, Features};
pub use ids::*;
pub use log::{LogEntry, LogSink};
pub use log_rule::LogRule;
pub use log_session::LogSession;
pub use metadata::Metadata;
pub use names::{AppName, DynoName, ProcessType};
pub use release::Release;
pub use remote::Remote;
pub use secret::Secret;
pub use size::DynoSize;
pub use slug::{Slug, SlugUpload, UploadState};
pub use source::Source;
pub use steps::Step;
pub use time::Timestamp;
