//! One HTTP connection to a receiver, made when it is needed and again when it broke.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use model::drain::Url;
use tokio::time::{Instant, timeout};

use super::House;
use super::dial::{DialError, Duplex, dial};

/// Longer answers are not read; the connection is closed instead.
const MAX_ANSWER: usize = 64 << 10;

type Io = TokioIo<Box<dyn Duplex>>;
type Driver = Pin<Box<http1::Connection<Io, Full<Bytes>>>>;

/// What a receiver said.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("the request broke off: {0}")]
    Http(hyper::Error),
}

/// A receiver, and the connection to it if there is one.
pub(crate) struct Client<'a> {
    house: &'a House,
    url: &'a Url,
    patience: Duration,
    line: Option<Line>,
}

struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Driver,
    made_at: Instant,
    used_at: Instant,
}

impl<'a> Client<'a> {
    /// A client without a connection, which waits so long for an answer.
    pub fn new(house: &'a House, url: &'a Url, patience: Duration) -> Self {
        Self { house, url, patience, line: None }
    }

    /// Closes the connection, if there is one.
    pub fn hang_up(&mut self) {
        self.line = None;
    }

    /// When a connection that is not used is to be closed.
    pub fn rests_at(&self) -> Option<Instant> {
        self.line.as_ref().map(|line| line.used_at + self.house.config.timing.idle)
    }

    /// Sends a request. A connection that was used before may have been closed by the receiver
    /// meanwhile, which says nothing about it: then a new one is tried at once.
    pub async fn ask(&mut self, headers: &HeaderMap, body: &Bytes) -> Result<Answer, AskError> {
        self.expire();
        let is_fresh = self.line.is_none();
        match self.try_once(headers, body).await {
            Err(AskError::Http(_)) if !is_fresh => self.try_once(headers, body).await,
            other => other,
        }
    }

    async fn try_once(&mut self, headers: &HeaderMap, body: &Bytes) -> Result<Answer, AskError> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => connect(self.house, self.url).await?,
        };
        let request = request(self.url, headers, body);
        let answer = timeout(self.patience, converse(&mut line, request)).await;
        let (answer, keep) = answer.map_err(|_| AskError::Late(self.patience))??;
        if keep {
            line.used_at = Instant::now();
            self.line = Some(line);
        }
        Ok(answer)
    }

    fn expire(&mut self) {
        let (age, now) = (self.house.config.timing.age, Instant::now());
        self.line.take_if(|line| now.duration_since(line.made_at) >= age);
    }
}

async fn connect(house: &House, url: &Url) -> Result<Line, AskError> {
    let connection = dial(house, url).await?;
    let io = TokioIo::new(connection.io);
    let (sender, driver) = http1::handshake(io).await.map_err(AskError::Http)?;
    let now = Instant::now();
    Ok(Line { sender, driver: Box::pin(driver), made_at: now, used_at: now })
}

fn request(url: &Url, headers: &HeaderMap, body: &Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = hyper::Method::POST;
    // A path that was checked when the drain was added; if it is none after all, the root.
    *request.uri_mut() = url.path.parse().unwrap_or_default();
    *request.headers_mut() = headers.clone();
    request
}

/// Answers what was said, and whether the connection can be used again.
async fn converse(
    line: &mut Line,
    request: Request<Full<Bytes>>,
) -> Result<(Answer, bool), AskError> {
    let Line { sender, driver, .. } = line;
    let asked = &mut *sender;
    let exchange = async move {
        asked.ready().await.map_err(AskError::Http)?;
        let response = asked.send_request(request).await.map_err(AskError::Http)?;
        Ok::<_, AskError>(read(response).await)
    };
    let mut exchange = Box::pin(exchange);
    // The connection moves only while it is polled. When it ends first, the exchange knows why.
    let done = tokio::select! {
        biased;
        done = &mut exchange => done,
        _ended = driver => exchange.as_mut().await,
    };
    drop(exchange);
    let (answer, whole) = done?;
    Ok((answer, whole && !sender.is_closed()))
}

/// Reads the answer; a body that breaks off or is too long counts as none.
async fn read(response: Response<hyper::body::Incoming>) -> (Answer, bool) {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
    let collected = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let whole = collected.is_ok();
    let body = collected.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    (Answer { status, body, retry_after }, whole)
}

/// `Retry-After` in seconds; its form with a date is rare and passed over.
fn seconds(value: &hyper::header::HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
