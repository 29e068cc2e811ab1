//! One file per resource: its wire type, how it is made from the model, its handlers.

pub mod absent;
pub mod account;
pub mod acm;
pub mod apps;
pub mod authorizations;
pub mod buildpack_installations;
pub mod buildpack_registry;
pub mod builds;
pub mod collaborators;
pub mod config_vars;
pub mod domains;
pub mod dyno_sizes;
pub mod dynos;
pub mod features;
pub mod formation;
pub mod log_rules;
pub mod log_search;
pub mod log_sessions;
pub mod regions;
pub mod releases;
pub mod slugs;
pub mod sni_endpoints;
pub mod sources;
pub mod stacks;
pub mod traffic;
