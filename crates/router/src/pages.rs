//! Answers that the router gives itself.

use std::fmt::Write as _;

use model::codes::HCode;
use model::routes::AppRoute;

use crate::head::request::{Afterwards, Refusal, VIA, Verb};

/// What a person sees when the router answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    status: u16,
    html: String,
}

const STYLE: &str = "body{margin:0;min-height:100vh;display:flex;align-items:center;\
justify-content:center;font-family:system-ui,sans-serif;color:#33364d;background:#f6f6fb}\
main{max-width:36rem;padding:2rem;text-align:center}h1{font-weight:500}\
p{line-height:1.5}code{background:#e5e5f0;padding:.1em .4em;border-radius:.2em}\
a{display:inline-block;margin-top:1rem;padding:.7em 1.4em;border-radius:.3em;color:#fff;\
background:#5a3fa0;text-decoration:none}";

impl Page {
    /// The page of an error of a live app.
    pub fn error(code: HCode, app: &AppRoute) -> Self {
        let status = code.status();
        let html = match (code, &app.error_page_url, &app.maintenance_page_url) {
            (HCode::H80, _, Some(url)) => framed("Offline for Maintenance", url),
            (HCode::H80, _, None) => document(
                "Offline for Maintenance",
                "<h1>Offline for Maintenance</h1>\
                 <p>This application is undergoing maintenance right now. \
                 Please check back later.</p>",
            ),
            (_, Some(url), _) => framed("Application Error", url),
            (HCode::H81, None, _) => document(
                "Application Error",
                "<h1>Nothing deployed yet</h1>\
                 <p>This app exists, but no code was pushed to it so far. If it is yours, deploy \
                 it with <code>git push heroku main</code>.</p>",
            ),
            (_, None, _) => document(
                "Application Error",
                "<h1>Application error</h1>\
                 <p>An error occurred in the application and your page could not be served. If \
                 you are the application owner, check your logs for details. You can do this \
                 with the command</p><p><code>heroku logs --tail</code></p>",
            ),
        };
        Self { status, html }
    }

    /// The page of a host that leads nowhere.
    pub fn no_such_app() -> Self {
        let body = "<h1>There&#39;s nothing here, yet.</h1>\
             <a href=\"https://devcenter.heroku.com/start\">Build something amazing</a>";
        Self { status: 404, html: document("No such app", body) }
    }

    /// The answer to a request that is not taken.
    pub fn refusal(reason: Refusal) -> Self {
        let status = match reason {
            Refusal::Bad => 400,
            Refusal::TooLong => 414,
            Refusal::Expectation => 417,
            Refusal::Misdirected => 421,
        };
        let title = self::reason(status);
        Self { status, html: document(title, &format!("<h1>{title}</h1>")) }
    }

    /// The platform cannot take one more connection.
    pub fn busy() -> Self {
        let body = "<h1>Too many connections</h1><p>Please try again in a moment.</p>";
        Self { status: 503, html: document("Service Unavailable", body) }
    }

    /// Writes the whole answer.
    pub fn write(&self, verb: Verb, afterwards: Afterwards, out: &mut Vec<u8>) {
        let connection = match afterwards {
            Afterwards::KeepAlive => "keep-alive",
            Afterwards::Close => "close",
        };
        let via = String::from_utf8_lossy(VIA);
        let head = format!(
            "HTTP/1.1 {} {}\r\nConnection: {connection}\r\nServer: Heroku\r\n\
             Cache-Control: no-cache, no-store\r\nContent-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\nVia: {via}\r\n\r\n",
            self.status,
            reason(self.status),
            self.html.len(),
        );
        out.extend_from_slice(head.as_bytes());
        if verb != Verb::Head {
            out.extend_from_slice(self.html.as_bytes());
        }
    }
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
}

/// A wrapper around a page that the app's owner has put somewhere.
fn framed(title: &str, url: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>html,body,iframe{{margin:0;border:0;width:100%;height:100%;display:block}}</style>\
         </head><body><iframe src=\"{}\"></iframe></body></html>\n",
        escaped(url)
    )
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        // Writing into a string cannot fail.
        let _ = match c {
            '&' => out.write_str("&amp;"),
            '"' => out.write_str("&quot;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            c => out.write_char(c),
        };
        out
    })
}

const fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        502 => "Bad Gateway",
        _ => "Service Unavailable",
    }
}
