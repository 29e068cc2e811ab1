//! Which certificate each host name is served with, as stored.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use model::{AppId, CertificateId, Secret};
use store::{Poke, Reader, acme, certificates, domains};
use tokio_util::sync::CancellationToken;

use crate::wake::{Wake, Woken};
use crate::{Control, Result};

/// A lost poke is healed after this time.
const PERIOD: Duration = Duration::from_secs(60);

/// A certificate's chain and key, both in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The chain.
    pub chain: String,
    /// The key.
    pub key: Secret,
}

/// What host names (possibly `*.example.com`) are served with; `None` is the platform's own.
pub type Served<K> = HashMap<String, Option<K>>;

/// Publishes anew whenever something stored changes, until cancelled. Each certificate is made into
/// what the publisher wants once; one that cannot be made is left out.
pub async fn run<K: Clone + Send>(
    control: Control,
    make: impl Fn(&Pair) -> Option<K> + Send,
    publish: impl Fn(Served<K>) + Send,
    cancel: CancellationToken,
) {
    let mut wake = Wake::new(&control.store, &[Poke::Certificates], PERIOD, cancel);
    let pokes = control.store.subscribe(Poke::Certificates);
    let mut made: HashMap<CertificateId, K> = HashMap::new();
    loop {
        let newest = *pokes.borrow();
        let known: HashSet<CertificateId> = made.keys().copied().collect();
        match control.read(move |db| stored(db, &known)).await {
            Ok(stored) => {
                let make = |(id, pair): &(CertificateId, Pair)| Some((*id, make(pair)?));
                made.extend(stored.new.iter().filter_map(make));
                let used: HashSet<_> = stored.hosts.values().flatten().copied().collect();
                made.retain(|id, _| used.contains(id));
                publish(served(stored.hosts, &made));
                control.certified.reached(newest);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "could not read certificates");
            }
        }
        if wake.next().await == Woken::Stop {
            return control.certified.ends();
        }
    }
}

fn served<K: Clone>(
    hosts: HashMap<String, Option<CertificateId>>,
    made: &HashMap<CertificateId, K>,
) -> Served<K> {
    let one = |(host, id): (String, Option<CertificateId>)| match id {
        None => Some((host, None)),
        Some(id) => made.get(&id).map(|made| (host, Some(made.clone()))),
    };
    hosts.into_iter().filter_map(one).collect()
}

/// What is stored, with the certificates that were not known yet.
#[derive(Default)]
struct Stored {
    hosts: HashMap<String, Option<CertificateId>>,
    new: Vec<(CertificateId, Pair)>,
}

fn stored(db: &Reader<'_>, known: &HashSet<CertificateId>) -> Result<Stored> {
    let rows = certificates::served(db)?;
    let mut stored = Stored::default();
    let wildcards: HashMap<&str, AppId> =
        rows.iter().filter_map(|(host, app, _)| Some((host.strip_prefix("*.")?, *app))).collect();
    if !wildcards.is_empty() {
        strangers(db, &wildcards, &mut stored)?;
    }
    for (host, _, id) in rows {
        stored.hosts.insert(host, Some(id));
    }
    for name in acme::names(db)?.into_iter().filter(|name| name.domain.is_none()) {
        if let Some(id) = name.certificate {
            stored.hosts.insert(name.hostname, Some(id));
        }
    }
    let used: HashSet<CertificateId> = stored.hosts.values().flatten().copied().collect();
    for &id in used.difference(known) {
        if let Some((chain, key)) = certificates::pair(db, id)? {
            stored.new.push((id, Pair { chain, key }));
        }
    }
    Ok(stored)
}

/// A name below another app's wildcard is not that app's: it is shown the platform's certificate.
fn strangers(db: &Reader<'_>, wildcards: &HashMap<&str, AppId>, stored: &mut Stored) -> Result<()> {
    for domain in domains::living(db)? {
        let parent = domain.hostname.split_once('.').map_or("", |(_, parent)| parent);
        let below_another = wildcards.get(parent).is_some_and(|&app| app != domain.app);
        if below_another && domain.endpoint.is_none() {
            stored.hosts.insert(domain.hostname, None);
        }
    }
    Ok(())
}
