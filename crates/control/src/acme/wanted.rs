//! Which names are to have automatic certificates.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use model::domain::DomainKind;
use model::{AppId, DomainId, Timestamp};
use store::acme::{self as rows, Name};
use store::{Poke, Reader, Tx, apps, domains};

use crate::authorities::Acme;
use crate::{Control, Result};

/// The platform asks for certificates of so many new names of its own within [`A_WEEK`] at most:
/// authorities limit how many one registered domain may get.
const NAMES_A_WEEK: usize = 40;
const A_WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What must change in the rows for them to be what is wanted.
#[derive(Debug, Default)]
pub(super) struct Changes {
    insert: Vec<(String, Option<DomainId>)>,
    delete: Vec<String>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.insert.is_empty() && self.delete.is_empty()
    }
}

/// What is wanted and what is noted of it.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// What must change in the rows.
    pub changes: Changes,
    /// The rows of names that are wanted.
    pub noted: Vec<Name>,
}

/// Compares what is wanted with the rows.
pub(super) fn look(
    control: &Control,
    acme: &Acme,
    db: &Reader<'_>,
    now: Timestamp,
) -> Result<Look> {
    let wanted = wanted(control, acme, db)?;
    let mut look = Look::default();
    let (mut known, mut young) = (HashSet::new(), 0);
    for row in rows::names(db)? {
        // The platform's own count for a week, so that making and destroying apps stays bounded.
        let counts = row.domain.is_none() && now.since(row.created_at) < A_WEEK;
        young += usize::from(counts);
        known.insert(row.hostname.clone());
        if wanted.get(&row.hostname) == Some(&row.domain) {
            look.noted.push(row);
        } else if !counts {
            look.changes.delete.push(row.hostname);
        }
    }
    for (hostname, domain) in wanted.into_iter().filter(|(name, _)| !known.contains(name)) {
        if domain.is_none() {
            if young >= NAMES_A_WEEK {
                continue;
            }
            young += 1;
        }
        look.changes.insert.push((hostname, domain));
    }
    Ok(look)
}

/// Changes the rows.
pub(super) fn apply(tx: &mut Tx<'_>, changes: &Changes, now: Timestamp) -> Result<()> {
    for hostname in &changes.delete {
        rows::delete(tx, hostname)?;
    }
    for (hostname, domain) in &changes.insert {
        // Something else may have written between the question and now.
        if rows::find(tx, hostname)?.is_none() {
            rows::insert(tx, hostname, *domain, now)?;
        }
    }
    tx.poke(Poke::Certificates);
    Ok(())
}

fn wanted(
    control: &Control,
    acme: &Acme,
    db: &Reader<'_>,
) -> Result<HashMap<String, Option<DomainId>>> {
    let mut wanted = HashMap::new();
    let released: HashSet<AppId> = apps::living(db)?
        .into_iter()
        .filter(|app| app.released_at.is_some())
        .map(|app| app.id)
        .collect();
    for domain in domains::living(db)? {
        match domain.kind {
            DomainKind::Custom if domain.acm.is_some() && !domain.hostname.starts_with("*.") => {
                wanted.insert(domain.hostname, Some(domain.id));
            }
            DomainKind::Heroku if acme.platform_names && released.contains(&domain.app) => {
                wanted.insert(domain.hostname, None);
            }
            _ => {}
        }
    }
    if acme.platform_names {
        let base = &control.settings.base_domain;
        let below = |host: &str| {
            host.strip_suffix(base.as_str()).is_some_and(|s| s.is_empty() || s.ends_with('.'))
        };
        let own = control.settings.platform_hosts.iter().filter(|host| below(host));
        wanted.extend(own.map(|host| (host.clone(), None)));
    }
    Ok(wanted)
}
