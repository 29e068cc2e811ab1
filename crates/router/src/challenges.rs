//! Answers to a certificate authority that checks whether a host is ours (RFC 8555, 8.3).
//!
//! They come before everything else that a host may lead to: maintenance, sleep, a dyno's redirect.
//! A token that is not ours is the app's own business.

use std::sync::Arc;

use model::routes::RoutingTable;

use crate::connection::{Connection, Next};
use crate::head::request::{Request, VIA};

/// Where the authority looks.
const START: &[u8] = b"GET /.well-known/acme-challenge/";

/// The answer to the request whose head is `head`, if the platform has to give one.
pub fn answer_to(head: &[u8], request: &Request, table: &RoutingTable) -> Option<Arc<str>> {
    if table.challenges.is_empty() {
        return None;
    }
    let rest = head.strip_prefix(START)?;
    let end = rest.iter().position(|&b| matches!(b, b' ' | b'?' | b'#'))?;
    let token = std::str::from_utf8(&rest[..end]).ok()?;
    table.challenges.get(format!("{}/{token}", request.host).as_str()).cloned()
}

/// Says `text`.
pub async fn say(connection: &mut Connection, request: &Request, text: &str) -> Next {
    let next = connection.after_unread(request);
    let afterwards = match next {
        Next::KeepAlive => "keep-alive",
        Next::Platform | Next::Close | Next::Linger | Next::Cut => "close",
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nConnection: {afterwards}\r\nServer: Heroku\r\n\
         Cache-Control: no-cache, no-store\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\nVia: {}\r\n\r\n{text}",
        text.len(),
        String::from_utf8_lossy(VIA),
    );
    connection.client.head.clear();
    connection.client.head.bytes().extend_from_slice(answer.as_bytes());
    if connection.write_head().await { next } else { Next::Cut }
}
