//! One table of all certificates, made anew whenever any of its parts changes.

use std::sync::{Arc, Mutex, PoisonError};

use control::certificates::serve::{Pair, Served};
use router::{CertificateTable, Certificates};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

/// The platform's own certificates.
#[derive(Clone)]
pub struct Own {
    /// For every name that has no other.
    pub default: Arc<CertifiedKey>,
    /// For `localhost`, where the default is not for it.
    pub local: Option<Arc<CertifiedKey>>,
}

/// All certificates.
pub struct Shelf {
    certificates: Certificates,
    parts: Mutex<Parts>,
    filled: watch::Sender<bool>,
}

struct Parts {
    own: Own,
    served: Served<Arc<CertifiedKey>>,
}

impl Shelf {
    /// The platform's own, and no other yet.
    pub fn new(own: Own) -> Result<Self, rustls::Error> {
        let parts = Parts { own, served: Served::new() };
        let certificates = Certificates::new(parts.table())?;
        Ok(Self { certificates, parts: Mutex::new(parts), filled: watch::Sender::new(false) })
    }

    /// What the router shows.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Whether apps' certificates are there.
    pub fn filled(&self) -> watch::Receiver<bool> {
        self.filled.subscribe()
    }

    /// Shows these as the platform's own.
    pub fn show(&self, own: Own) {
        self.change(|parts| parts.own = own);
    }

    /// Serves these host names with these.
    pub fn serve(&self, served: Served<Arc<CertifiedKey>>) {
        self.change(|parts| parts.served = served);
        self.filled.send_replace(true);
    }

    fn change(&self, change: impl FnOnce(&mut Parts)) {
        // A panic between lock and unlock would leave whole values: each is replaced at once.
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        // Inside the lock, so that an older table never replaces a newer one.
        self.certificates.publish(parts.table());
    }
}

impl Parts {
    fn table(&self) -> CertificateTable {
        let default = &self.own.default;
        let mut table = CertificateTable::new(default.clone());
        if let Some(local) = &self.own.local {
            table.hosts.insert("localhost".into(), local.clone());
            table.wildcards.insert("localhost".into(), local.clone());
        }
        for (host, own) in &self.served {
            let key = own.as_ref().unwrap_or(default).clone();
            match host.strip_prefix("*.") {
                Some(parent) => table.wildcards.insert(parent.into(), key),
                None => table.hosts.insert(host.as_str().into(), key),
            };
        }
        table
    }
}

/// What the router needs of a certificate; `None`, and a line in the server's log, if it is of no
/// use.
pub fn certified_key(pair: &Pair) -> Option<Arc<CertifiedKey>> {
    let made = || -> anyhow::Result<Arc<CertifiedKey>> {
        let chain = CertificateDer::pem_slice_iter(pair.chain.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(pair.key.reveal().as_bytes())?;
        Ok(router::certified_key(chain, key)?)
    };
    made().inspect_err(|error| tracing::error!("a certificate cannot be served: {error:#}")).ok()
}
