//! A client of HTTP/2 as browsers are, by the `h2` crate.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::rig::{HOST, PATIENCE};
use crate::secure::Secure;

/// One connection. Its runtime only runs while something is waited for.
pub struct Client {
    runtime: Runtime,
    send: SendRequest<Bytes>,
    /// Why the connection has ended, once it has.
    ended: tokio::sync::oneshot::Receiver<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A GET of the app.
pub fn get(path: &str) -> Request<()> {
    request(Method::GET, path).body(()).unwrap()
}

/// A request of the app.
pub fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("https://{HOST}{path}"))
}

impl Client {
    /// Connects to the app's host.
    pub fn new(secure: &Secure) -> Self {
        Self::with(secure, &secure.client2, HOST, &h2::client::Builder::new())
    }

    /// Connects so.
    pub fn with(
        secure: &Secure,
        config: &Arc<ClientConfig>,
        name: &str,
        builder: &h2::client::Builder,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let (send, connection) = runtime.block_on(async {
            let tcp = TcpStream::connect(secure.rig.addr).await.unwrap();
            let tls = TlsConnector::from(config.clone()).connect(name, tcp).await.unwrap();
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            builder.handshake(tls).await.unwrap()
        });
        let (end, ended) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let _ = end.send(connection.await);
        });
        Self { runtime, send, ended }
    }

    /// Waits, not for ever.
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { timeout(PATIENCE, what).await.expect("in time") })
    }

    /// Lets the connection run, for what nobody waits for.
    pub fn run_for(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Sends a head; the body, if any, can be sent then.
    pub fn send(
        &mut self,
        request: Request<()>,
        last: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let send = self.send.clone();
        self.send = self.wait(send.ready()).unwrap();
        self.send.send_request(request, last).unwrap()
    }

    /// Asks and reads the whole answer.
    pub fn ask(&mut self, request: Request<()>) -> Answer {
        let (response, _) = self.send(request, true);
        self.answer(response)
    }

    /// Asks with a body.
    pub fn ask_with(&mut self, request: Request<()>, body: impl Into<Bytes>) -> Answer {
        let (response, mut send) = self.send(request, false);
        send.send_data(body.into(), true).unwrap();
        self.answer(response)
    }

    /// Reads the whole answer.
    pub fn answer(&self, response: ResponseFuture) -> Answer {
        self.wait(async { whole(response.await.unwrap()).await.unwrap() })
    }

    /// Reads an answer that breaks off, or is none.
    pub fn broken(&self, response: ResponseFuture) -> h2::Error {
        self.wait(async {
            match response.await {
                Ok(response) => whole(response).await.expect_err("it breaks off"),
                Err(error) => error,
            }
        })
    }

    /// Waits for the end of the connection.
    pub fn end(mut self) -> Result<(), h2::Error> {
        drop(self.send.clone());
        let ended = std::mem::replace(&mut self.ended, tokio::sync::oneshot::channel().1);
        self.wait(ended).unwrap()
    }
}

async fn whole(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer { status: parts.status.as_u16(), fields: parts.headers, body, trailers })
}
