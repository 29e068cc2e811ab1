//! Serves the connections that the router hands over: the Platform API, git, and `heroku run`
//! clients joining their dyno.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::get;
use dynos::Dynos;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use router::Handover;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::metrics;

/// Where clients find the private authority's certificate.
const CA_PATH: &str = "/ca.pem";

/// A client has so long to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything the platform serves itself.
#[derive(Clone)]
pub struct Platform {
    /// The authority's certificate and the metrics.
    own: Router,
    api: Router,
    git: Router,
    dynos: Dynos,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Platform {
    /// A platform of these parts. Connections run in `tasks`; on `stop` they finish their request.
    pub fn new(
        own: Router,
        api: Router,
        git: Router,
        dynos: Dynos,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self { own, api, git, dynos, tasks, stop }
    }

    /// Serves every connection that arrives, until the router is gone.
    pub async fn run(self, mut handovers: mpsc::Receiver<Handover>) {
        while let Some(handover) = handovers.recv().await {
            let platform = self.clone();
            self.tasks.spawn(async move { platform.serve(handover).await });
        }
    }

    async fn serve(self, handover: Handover) {
        let served = match handover {
            Handover::Http { stream, peer, .. } => self.http(stream, peer).await,
            Handover::Rendezvous { secret, stream, .. } => self.rendezvous(&secret, stream).await,
        };
        if let Err(error) = served {
            tracing::debug!(%error, "A connection ended early.");
        }
    }

    async fn http(self, stream: StdUnixStream, peer: SocketAddr) -> std::io::Result<()> {
        let io = TokioIo::new(into_tokio(stream)?);
        let (stop, first) = (self.stop.clone(), CancellationToken::new());
        let asked = first.clone();
        let service = tower::service_fn(move |mut request: Request<hyper::body::Incoming>| {
            asked.cancel();
            request.extensions_mut().insert(ConnectInfo(peer));
            self.clone().answer(request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(64 * 1024)
            .serve_connection(io, TowerToHyperService::new(service))
            .with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            // Nothing is lost by dropping the wait: both are flags.
            ended = connection.as_mut() => ended,
            // The request with which the connection came is on its way: it is still answered.
            () = async { tokio::join!(stop.cancelled(), first.cancelled()); } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended.map_err(std::io::Error::other)
    }

    /// git's paths end in `.git/…`; all others but two are the API's.
    async fn answer(
        self,
        request: Request<hyper::body::Incoming>,
    ) -> Result<Response, std::convert::Infallible> {
        let is_git =
            request.uri().path().split('/').nth(1).is_some_and(|app| app.ends_with(".git"));
        let rooms = match request.uri().path() {
            CA_PATH | metrics::PATH => self.own,
            _ if is_git => self.git,
            _ => self.api,
        };
        rooms.oneshot(request).await
    }

    async fn rendezvous(self, secret: &str, stream: StdUnixStream) -> std::io::Result<()> {
        self.dynos.attach(secret, into_tokio(stream)?).await;
        Ok(())
    }
}

/// The private authority's certificate: public by nature, and what a client must trust before it can
/// speak TLS with this server.
pub fn ca_route(pem: String) -> Router {
    let answer = move || async move { ([(CONTENT_TYPE, "application/x-pem-file")], pem) };
    Router::new().route(CA_PATH, get(answer))
}

fn into_tokio(stream: StdUnixStream) -> std::io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
