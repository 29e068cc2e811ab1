//! Which certificate a client is shown, and how TLS is spoken.
//!
//! The certificates are a snapshot that is swapped as a whole: a handshake uses the one of its
//! moment, a connection keeps what its handshake chose. Who asks for no name, or for one that nobody
//! has a certificate for, is shown the platform's own: never that of some app.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

/// What clients may speak inside TLS, the best first.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];
/// HTTP/2, as TLS calls it.
pub const HTTP2: &[u8] = b"h2";

/// A certificate per name.
#[derive(Clone)]
pub struct CertificateTable {
    /// The platform's own, for every name that has none.
    pub platform: Arc<CertifiedKey>,
    /// Exact lower-case host names.
    pub hosts: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// `example.com` for `*.example.com`; exact names win.
    pub wildcards: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl CertificateTable {
    /// The platform's own certificate and no other.
    #[must_use]
    pub fn new(platform: Arc<CertifiedKey>) -> Self {
        Self { platform, hosts: HashMap::new(), wildcards: HashMap::new() }
    }

    /// The certificate for a client that asks for `name`, in whatever case.
    #[must_use]
    pub fn choose(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(name) = name.map(str::to_ascii_lowercase) else { return &self.platform };
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let exact = self.hosts.get(name.as_str());
        let found = exact.or_else(|| parent.and_then(|parent| self.wildcards.get(parent)));
        found.unwrap_or(&self.platform)
    }
}

impl fmt::Debug for CertificateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateTable")
            .field("hosts", &self.hosts.keys())
            .field("wildcards", &self.wildcards.keys())
            .finish_non_exhaustive()
    }
}

/// A certificate (the chain's first) with its key, as [`CertificateTable`] wants it.
///
/// # Errors
/// If the key is of a kind that TLS cannot use, or is not the certificate's.
pub fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map(Arc::new)
}

/// The certificates in force and the TLS that shows them. Clones share both.
#[derive(Clone)]
pub struct Certificates {
    table: Arc<ArcSwap<CertificateTable>>,
    server: Arc<ServerConfig>,
}

impl Certificates {
    /// TLS 1.2 and 1.3 with `table` in force. Sessions are resumed by tickets, whose keys live and
    /// die with this value.
    ///
    /// # Errors
    /// If there is no randomness for the tickets' keys.
    pub fn new(table: CertificateTable) -> Result<Self, rustls::Error> {
        let table = Arc::new(ArcSwap::from_pointee(table));
        let provider = Arc::new(ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(table.clone())));
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        server.ticketer = ring::Ticketer::new()?;
        Ok(Self { table, server: Arc::new(server) })
    }

    /// Puts `table` in force, for handshakes from now on.
    pub fn publish(&self, table: CertificateTable) {
        self.table.store(Arc::new(table));
    }

    /// The certificates in force.
    #[must_use]
    pub fn current(&self) -> Arc<CertificateTable> {
        self.table.load_full()
    }

    /// How TLS is spoken.
    pub(crate) const fn server(&self) -> &Arc<ServerConfig> {
        &self.server
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.load().fmt(f)
    }
}

/// Chooses by the name that a client asks for.
#[derive(Debug)]
struct Resolver(Arc<ArcSwap<CertificateTable>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().choose(hello.server_name()).clone())
    }
}
