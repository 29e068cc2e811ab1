//! Things of which there are none, because this version cannot make them: their lists are empty,
//! and each single one is not found. Both are true. Asking to make one is answered by [`unbuilt`].
//!
//! [`unbuilt`]: crate::unbuilt

use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use http::StatusCode;

use crate::app_path::AppPath;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::state::ApiState;
use crate::unbuilt;

/// Path of the list and the API's word for one.
const OF_ACCOUNT: [(&str, &str); 13] = [
    ("/account/app-transfers", "app transfer"),
    ("/account/features", "feature"),
    ("/account/keys", "key"),
    ("/addon-attachments", "add_on attachment"),
    ("/addon-services", "add_on service"),
    ("/addons", "add_on"),
    ("/enterprise-accounts", "enterprise account"),
    ("/oauth/clients", "client"),
    ("/oauth/sessions", "session"),
    ("/pipeline-couplings", "pipeline_coupling"),
    ("/pipelines", "pipeline"),
    ("/spaces", "space"),
    ("/teams", "team"),
];

/// The same below `/apps/{app}`.
const OF_APP: [(&str, &str); 3] =
    [("addon-attachments", "add_on attachment"), ("addons", "add_on"), ("webhooks", "webhook")];

/// Routes of all that is absent.
pub fn routes() -> Router<ApiState> {
    let mut router = Router::new()
        .route("/actions/addons/resolve", post(|_: Caller| none("add_on")))
        .route("/actions/addon-attachments/resolve", post(|_: Caller| none("add_on attachment")))
        .route("/apps/{app}/features/runtime-heroku-exec", get(exec).patch(exec))
        .route("/apps/{app}/pipeline-couplings", get(|_: AppPath| none("pipeline_coupling")))
        .route("/apps/{app}/review-app", get(|_: AppPath| none("review_app")));
    for (path, resource) in OF_ACCOUNT {
        router = router
            .route(path, get(|_: Caller| nothing()))
            .route(&format!("{path}/{{one}}"), one_of_account(resource));
    }
    for (name, resource) in OF_APP {
        let path = format!("/apps/{{app}}/{name}");
        let list = get(|_: AppPath| nothing());
        let list = if name == "addons" { list.post(create_add_on) } else { list };
        router = router.route(&path, list).route(&format!("{path}/{{one}}"), one_of_app(resource));
    }
    router
}

fn one_of_account(resource: &'static str) -> MethodRouter<ApiState> {
    let answer = move |_: Caller| none(resource);
    get(answer).patch(answer).delete(answer)
}

fn one_of_app(resource: &'static str) -> MethodRouter<ApiState> {
    let answer = move |_: AppPath| none(resource);
    get(answer).patch(answer).delete(answer)
}

async fn nothing() -> Json<[(); 0]> {
    Json([])
}

async fn none(resource: &'static str) -> ApiError {
    ApiError::not_found(resource)
}

/// The feature that `heroku ps:exec` asks for before anything else.
async fn exec(_: AppPath) -> ApiError {
    ApiError::not_built(StatusCode::NOT_IMPLEMENTED, unbuilt::EXEC)
}

/// The one that people will try first, so it says what they can do instead.
async fn create_add_on(_: Caller) -> ApiError {
    let what = "Creating add-ons (set the address of a service you run yourself with \
                `heroku config:set DATABASE_URL=...` instead)";
    ApiError::not_built(StatusCode::UNPROCESSABLE_ENTITY, what)
}
