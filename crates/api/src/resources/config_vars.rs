//! Config vars: a flat object of strings.

use std::collections::BTreeMap;
use std::fmt;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use control::{config, releases};
use model::ConfigVars;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::Result;
use crate::state::ApiState;

/// Routes of config vars.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/config-vars", get(current).patch(change))
        .route("/apps/{app}/releases/{release}/config-vars", get(of_release))
}

/// Changes in the order they were sent, which is the order their release names them in.
struct Changes(Vec<(String, Option<String>)>);

impl<'de> Deserialize<'de> for Changes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Changes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings and nulls")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Changes, A::Error> {
        let mut changes = Vec::new();
        while let Some(change) = map.next_entry()? {
            changes.push(change);
        }
        Ok(Changes(changes))
    }
}

type Vars = Json<BTreeMap<String, String>>;

fn body(vars: ConfigVars) -> Vars {
    Json(vars.0)
}

async fn current(State(state): State<ApiState>, AppPath { caller, app }: AppPath) -> Result<Vars> {
    Ok(body(config::get(&state.control, &caller.account, app.id).await?))
}

async fn of_release(
    State(state): State<ApiState>,
    Path((_, release)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Vars> {
    let which = release.parse()?;
    Ok(body(releases::info(&state.control, &caller.account, app.id, which).await?.config))
}

/// Merges: a string sets, `null` removes.
async fn change(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(Changes(changes)): Body<Changes>,
) -> Result<Vars> {
    Ok(body(config::change(&state.control, &caller.account, app.id, changes).await?))
}
