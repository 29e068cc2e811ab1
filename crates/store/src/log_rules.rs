//! Log rules: who is told of which lines in an app's log.

use std::time::Duration;

use model::log::Source;
use model::log_rule::{Pattern, Target};
use model::{AppId, LogRule, LogRuleId, Secret};

use crate::engine::{Reader, Row, Tx};
use crate::{Error, Result, values};

/// Writes a new rule.
///
/// # Errors
/// When its secrets cannot be sealed or the database fails.
pub fn insert(tx: &mut Tx<'_>, rule: &LogRule) -> Result<()> {
    let (words, regex) = match &rule.pattern {
        Pattern::Words(words) => (Some(words), None),
        Pattern::Regex(regex) => (None, Some(regex)),
    };
    let (email, webhook, secret) = match &rule.target {
        Target::Email { address } => (Some(address), None, None),
        Target::Webhook { url, secret } => {
            let webhook = tx.vault().seal(&place(rule.id, "webhook"), url.reveal().as_bytes())?;
            let secret = tx.vault().seal(&place(rule.id, "secret"), secret.reveal().as_bytes())?;
            (None, Some(webhook), Some(secret))
        }
    };
    tx.run(
        "INSERT INTO log_rules (id, app_id, name, words, regex, dyno, source, email, webhook,
                                secret, every_seconds, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        values![
            rule.id,
            rule.app,
            &rule.name,
            words,
            regex,
            rule.dyno.as_ref(),
            rule.source.map(Source::as_str),
            email,
            webhook,
            secret,
            rule.every.as_secs(),
            rule.created_at
        ],
    )?;
    Ok(())
}

/// All rules of an app, in the order they were made.
///
/// # Errors
/// When they cannot be opened or the database fails.
pub fn list(db: &Reader<'_>, app: AppId) -> Result<Vec<LogRule>> {
    let rows = db.all(
        "SELECT r.id, r.app_id, a.name, r.name, r.words, r.regex, r.dyno, r.source, r.email,
                r.webhook, r.secret, r.every_seconds, r.created_at
         FROM log_rules r JOIN apps a ON a.id = r.app_id
         WHERE r.app_id = ?1 ORDER BY r.created_at, r.id",
        values![app],
        sealed,
    )?;
    rows.into_iter().map(|sealed| open(db, sealed)).collect()
}

/// All rules of living apps.
///
/// # Errors
/// When they cannot be opened or the database fails.
pub fn living(db: &Reader<'_>) -> Result<Vec<LogRule>> {
    let rows = db.all(
        "SELECT r.id, r.app_id, a.name, r.name, r.words, r.regex, r.dyno, r.source, r.email,
                r.webhook, r.secret, r.every_seconds, r.created_at
         FROM log_rules r JOIN apps a ON a.id = r.app_id
         WHERE a.deleted_at IS NULL ORDER BY r.created_at, r.id",
        values![],
        sealed,
    )?;
    rows.into_iter().map(|sealed| open(db, sealed)).collect()
}

/// Removes a rule.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, id: LogRuleId) -> Result<()> {
    tx.run("DELETE FROM log_rules WHERE id = ?1", values![id])?;
    Ok(())
}

/// A row whose target is not opened yet.
struct Sealed {
    rule: LogRule,
    webhook: Option<Vec<u8>>,
    secret: Option<Vec<u8>>,
}

fn sealed(row: &mut Row) -> Result<Sealed> {
    let (id, app, app_name, name) = (row.take()?, row.take()?, row.take()?, row.take()?);
    let (words, regex): (Option<String>, Option<String>) = (row.take()?, row.take()?);
    let dyno = row.take()?;
    let source = row.take::<Option<String>>()?;
    let address = row.take::<Option<String>>()?.unwrap_or_default();
    let (webhook, secret) = (row.take()?, row.take()?);
    let rule = LogRule {
        id,
        app,
        app_name,
        name,
        pattern: regex.map_or_else(|| Pattern::Words(words.unwrap_or_default()), Pattern::Regex),
        dyno,
        source: source.as_deref().and_then(source_of),
        target: Target::Email { address },
        every: Duration::from_secs(row.take()?),
        created_at: row.take()?,
    };
    Ok(Sealed { rule, webhook, secret })
}

fn open(db: &Reader<'_>, sealed: Sealed) -> Result<LogRule> {
    let Sealed { mut rule, webhook: Some(webhook), secret: Some(secret) } = sealed else {
        return Ok(sealed.rule);
    };
    let text = |what: &str, bytes: &[u8]| {
        let place = place(rule.id, what);
        let plain = db.vault().open(&place, bytes)?;
        String::from_utf8(plain).map_err(|_| Error::Unseal { place })
    };
    let (url, secret) = (text("webhook", &webhook)?, Secret::new(text("secret", &secret)?));
    let url = url.parse().map_err(|_| Error::Unseal { place: place(rule.id, "webhook") })?;
    rule.target = Target::Webhook { url, secret };
    Ok(rule)
}

fn place(id: LogRuleId, what: &str) -> String {
    format!("log_rules/{id}/{what}")
}

fn source_of(word: &str) -> Option<Source> {
    [Source::App, Source::Heroku].into_iter().find(|source| source.as_str() == word)
}
