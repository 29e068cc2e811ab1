//! Git's smart HTTP: three requests per app.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, EXPIRES, PRAGMA};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::access::{self, Entry, Refusal};
use crate::exchange::{Exchange, HangUp, answer};
use crate::inflate::Encoding;
use crate::service::Service;
use crate::state::Shared;
use crate::{GitError, GitState};

/// The routes `/<app>.git/…`. To be merged with the API's on the platform's hosts.
pub fn router(state: GitState) -> Router {
    Router::new()
        .route("/{repository}/info/refs", get(info_refs))
        .route("/{repository}/git-upload-pack", post(upload_pack))
        .route("/{repository}/git-receive-pack", post(receive_pack))
        .with_state(state)
}

#[derive(Deserialize)]
struct Wanted {
    service: Option<String>,
}

async fn info_refs(
    State(state): State<GitState>,
    Path(repository): Path<String>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let shared = &state.shared;
    let entry = access::enter(shared, &headers, &repository).await?;
    let service = wanted.service.as_deref().and_then(Service::parse).ok_or(Refusal::Dumb)?;
    let directory = shared.repositories.open(entry.app.id).await?;
    let protocol = protocol(service, &headers);
    let permit = shared.running.clone().acquire_owned().await.map_err(|_| Refusal::Stopping)?;
    let child = shared.advertise(service, &directory, protocol.as_deref())?;
    let (answers, body) = answer();
    if !protocol.as_deref().is_some_and(|protocol| protocol.contains("version=2")) {
        // The channel is new and has room for it.
        let _ = answers.try_send(Ok(service.preface().into()));
    }
    let exchange = Exchange {
        child,
        request: Body::empty(),
        encoding: Encoding::Plain,
        bounds: shared.bounds(service),
        hang_up: HangUp::End,
        stop: shared.stop.clone(),
    };
    shared.tasks.spawn(async move {
        exchange.run(answers).await;
        drop(permit);
    });
    Ok(respond(service.advertisement(), body))
}

async fn upload_pack(
    State(state): State<GitState>,
    Path(repository): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let service = Service::UploadPack;
    let shared = &state.shared;
    let entry = access::enter(shared, request.headers(), &repository).await?;
    let encoding = check(service, request.headers())?;
    let directory = shared.repositories.open(entry.app.id).await?;
    let protocol = protocol(service, request.headers());
    let permit = shared.running.clone().acquire_owned().await.map_err(|_| Refusal::Stopping)?;
    let exchange = Exchange {
        child: shared.serve(service, &directory, protocol.as_deref())?,
        request: request.into_body(),
        encoding,
        bounds: shared.bounds(service),
        hang_up: HangUp::End,
        stop: shared.stop.clone(),
    };
    let (answers, body) = answer();
    shared.tasks.spawn(async move {
        exchange.run(answers).await;
        drop(permit);
    });
    Ok(respond(service.result(), body))
}

async fn receive_pack(
    State(state): State<GitState>,
    Path(repository): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let service = Service::ReceivePack;
    let shared = state.shared.clone();
    let Entry { app, account } = access::enter(&shared, request.headers(), &repository).await?;
    let encoding = check(service, request.headers())?;
    let directory = shared.repositories.open(app.id).await?;
    let permit = shared.running.clone().acquire_owned().await.map_err(|_| Refusal::Stopping)?;
    let ticket = shared.pushes.begin(app, account).ok_or(Refusal::TooManyPushes)?;
    let exchange = Exchange {
        child: shared.serve_push(&directory, &ticket)?,
        request: request.into_body(),
        encoding,
        bounds: shared.bounds(service),
        hang_up: HangUp::GoOn,
        stop: shared.stop.clone(),
    };
    let (answers, body) = answer();
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        exchange.run(answers).await;
        let push = ticket.push.clone();
        // The next push has its turn while this one's repository is tidied.
        drop(ticket);
        settle(&shared, push.app.id, push.built()).await;
        drop(permit);
    });
    Ok(respond(service.result(), body))
}

async fn settle(shared: &Shared, app: model::AppId, built: Option<String>) {
    let settled = async {
        let bytes = shared.repositories.settle(app, built.as_deref()).await?;
        Ok::<_, GitError>(control::apps::set_repo_bytes(&shared.control, app, bytes).await)
    };
    tokio::select! {
        settled = settled => {
            let error: Box<dyn std::error::Error> = match settled {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.into(),
                Err(error) => error.into(),
            };
            tracing::warn!(app.id = %app, %error, "repository not tidied");
        }
        // What is left undone, the next push does: git is ended as its handle is dropped.
        () = shared.stop.cancelled() => {}
    }
}

/// Whether the body is what the service takes, and how it is encoded.
fn check(service: Service, headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let text = |name| headers.get(name).map(HeaderValue::as_bytes);
    if text(CONTENT_TYPE) != Some(service.request().as_bytes()) {
        return Err(Refusal::WrongMediaType(service));
    }
    match text(CONTENT_ENCODING) {
        None | Some(b"identity") => Ok(Encoding::Plain),
        Some(b"gzip" | b"x-gzip") => Ok(Encoding::Gzip),
        Some(_) => Err(Refusal::WrongEncoding),
    }
}

/// The version of git's protocol that the client asks for. Only fetching has versions; only what
/// can be a version goes into git's environment.
fn protocol(service: Service, headers: &HeaderMap) -> Option<String> {
    let asked = headers.get("git-protocol")?.to_str().ok()?;
    let known = asked.split(':').find(|word| matches!(*word, "version=1" | "version=2"))?;
    (service == Service::UploadPack).then(|| known.to_owned())
}

fn respond(media_type: &'static str, body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-cache, max-age=0, must-revalidate"),
        (PRAGMA, "no-cache"),
        (EXPIRES, "Fri, 01 Jan 1980 00:00:00 GMT"),
    ];
    (headers, body).into_response()
}
