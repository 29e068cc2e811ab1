//! `logs:search` and `logs:info`: what is kept of an app's log.

use clap::Args;

use crate::client::{Client, segment};
use crate::failure::{Failure, Outcome};
use crate::screen::Screen;
use crate::session::{AppFlags, Session};
use crate::tables;
use crate::topics::logs::colored;
use crate::wire::{FoundLine, FoundLines, LogStatus};
use crate::words;

/// Lines asked for at once.
const PAGE: usize = 1000;

/// Searches that end for lack of time before this one ends too.
const MAX_PAGES: usize = 1000;

#[derive(Args)]
pub(crate) struct Search {
    /// Words to look for: '"connection refused" time*'
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// Not lines with this word or phrase; may be given several times
    #[arg(short, long, value_name = "WORD")]
    exclude: Vec<String>,
    #[command(flatten)]
    flags: AppFlags,
    /// Number of lines to display, the newest ones
    #[arg(short, long, value_name = "LINES", default_value_t = 100)]
    num: usize,
    /// Only this dyno or process type; with a ! before it, all others
    #[arg(short, long, aliases = ["dyno-name", "ps"], value_name = "DYNO")]
    dyno: Option<String>,
    /// Only this source (app or heroku); with a ! before it, the other
    #[arg(short, long, value_name = "SOURCE")]
    source: Option<String>,
    /// Only lines of the request with this id
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Begin here: a time, or so long ago (15m, 2h, 3d)
    #[arg(long, visible_alias = "since", value_name = "TIME")]
    from: Option<String>,
    /// End here
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Search {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let screen = &session.screen;
        let mut found = Vec::new();
        let mut before = None;
        for _ in 0..MAX_PAGES {
            let page = self.page(&target.client, &target.app, self.num - found.len(), before)?;
            report(screen, &page)?;
            found.extend(page.lines);
            match page.next {
                Some(next) if found.len() < self.num => before = Some(next),
                _ => return show(screen, &found),
            }
        }
        show(screen, &found)
    }

    fn page(
        &self,
        client: &Client,
        app: &str,
        left: usize,
        before: Option<String>,
    ) -> Outcome<FoundLines> {
        let mut path = format!("/apps/{}/log-search?lines={}", segment(app), left.min(PAGE));
        let words = query(&self.words, &self.exclude);
        let members = [
            ("query", &words),
            ("dyno", &self.dyno),
            ("source", &self.source),
            ("request_id", &self.request_id),
            ("from", &self.from),
            ("until", &self.until),
            ("before", &before),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", segment(value)));
            }
        }
        client.get(&path)
    }
}

/// Words and what is excluded, in one text as the API takes it.
pub(crate) fn query(words: &[String], exclude: &[String]) -> Option<String> {
    let quoted = |word: &String| match word.contains(char::is_whitespace) {
        true => format!("-\"{word}\""),
        false => format!("-{word}"),
    };
    let all: Vec<_> = words.iter().cloned().chain(exclude.iter().map(quoted)).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

fn report(screen: &Screen, page: &FoundLines) -> Outcome {
    if let Some(error) = &page.error {
        return Err(Failure::user(error.clone()));
    }
    if page.damaged > 0 {
        screen.warn("Parts of the kept log are damaged and were left out.");
    }
    Ok(())
}

/// The newest was found first and is shown last.
fn show(screen: &Screen, found: &[FoundLine]) -> Outcome {
    for FoundLine { created_at, source, dyno, message } in found.iter().rev() {
        screen.line(&colored(screen, &format!("{created_at} {source}[{dyno}]: {message}")))?;
    }
    Ok(())
}

#[derive(Args)]
pub(crate) struct Info {
    #[command(flatten)]
    flags: AppFlags,
}

impl Info {
    pub(crate) fn run(self, session: &Session) -> Outcome {
        let target = session.target(&self.flags)?;
        let path = format!("/apps/{}/log-status", segment(&target.app));
        let LogStatus { memory, disk, replaced, cut } = target.client.get(&path)?;
        let screen = &session.screen;
        screen.header(&format!("{} log", target.app))?;
        let since = disk.kept_since.as_deref().map_or("nothing yet".to_owned(), words::local);
        let deleted = disk
            .cut_until
            .as_deref()
            .map_or("no".to_owned(), |at| format!("lines up to {}", words::local(at)));
        let text = |number: u64| vec![number.to_string()];
        tables::object(
            screen,
            &[
                ("In memory", vec![format!("{} lines, {} bytes", memory.lines, memory.bytes)]),
                ("On disk", vec![format!("{} bytes", disk.bytes)]),
                ("Kept since", vec![since]),
                ("Deleted before time", vec![deleted]),
                ("Not written to disk", text(disk.unkept)),
                ("With bad bytes replaced", text(replaced)),
                ("Too long and cut", text(cut)),
            ],
        )
    }
}
