//! `X-Http-Method-Override`: for clients behind something that lets only GET and POST through. It
//! must be read before a route is chosen, so it stands outside the router.

use axum::Router;
use axum::extract::Request;
use http::{HeaderName, Method};
use tower::ServiceExt as _;

const OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

pub fn before(routes: Router) -> Router {
    Router::new().fallback_service(routes.map_request(override_method))
}

/// Only a POST is turned into something else: a GET must stay without effect whatever its headers.
fn override_method(mut request: Request) -> Request {
    let wanted = request.headers().get(OVERRIDE).and_then(|value| value.to_str().ok());
    let wanted = wanted.and_then(|text| match text.to_ascii_uppercase().as_str() {
        "GET" => Some(Method::GET),
        "PUT" => Some(Method::PUT),
        "PATCH" => Some(Method::PATCH),
        "DELETE" => Some(Method::DELETE),
        _ => None,
    });
    if let (&Method::POST, Some(method)) = (request.method(), wanted) {
        *request.method_mut() = method;
    }
    request
}
