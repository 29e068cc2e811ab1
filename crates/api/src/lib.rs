//! The Platform API, as the official CLI expects it.
//!
//! Each request becomes one verb of `control` and each answer one of Heroku's published shapes; the
//! JSON field names live here and nowhere else. This room holds no rule and no SQL, and starts
//! nothing: it writes intent through `control`.

mod app_path;
mod body;
mod caller;
mod credentials;
mod error;
mod input_tally;
mod layers;
mod ranges;
mod rate_limits;
mod resources;
mod state;
mod streams;
mod unbuilt;
mod wire;

use axum::Router;

pub use state::{ApiState, Config};

/// The API's HTTP service. Requests for host names that are not in [`Config::hosts`] are answered
/// 421.
pub fn router(state: ApiState) -> Router {
    let routes = Router::new()
        .merge(resources::absent::routes())
        .merge(resources::account::routes())
        .merge(resources::acm::routes())
        .merge(resources::apps::routes())
        .merge(resources::authorizations::routes())
        .merge(resources::buildpack_installations::routes())
        .merge(resources::buildpack_registry::routes())
        .merge(resources::builds::routes())
        .merge(resources::collaborators::routes())
        .merge(resources::config_vars::routes())
        .merge(resources::domains::routes())
        .merge(resources::dyno_sizes::routes())
        .merge(resources::dynos::routes())
        .merge(resources::features::routes())
        .merge(resources::formation::routes())
        .merge(resources::log_rules::routes())
        .merge(resources::log_search::routes())
        .merge(resources::log_drains::routes())
        .merge(resources::log_inputs::routes())
        .merge(resources::log_sessions::routes())
        .merge(resources::regions::routes())
        .merge(resources::releases::routes())
        .merge(resources::slugs::routes())
        .merge(resources::sni_endpoints::routes())
        .merge(resources::sources::routes())
        .merge(resources::stacks::routes())
        .merge(resources::telemetry_drains::routes())
        .merge(resources::traffic::routes())
        .merge(streams::routes())
        .fallback(unbuilt::answer)
        .method_not_allowed_fallback(unbuilt::answer);
    layers::wrap(routes, &state)
}
