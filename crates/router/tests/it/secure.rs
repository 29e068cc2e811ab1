//! A router that speaks TLS, and clients that trust it.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use router::{CertificateTable, Certificates, Handover, Tls};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::rig::{Dyno, HOST, PATIENCE, Rig, Setup, Stream, Wire};

/// A TLS session of a client.
pub type Session = StreamOwned<ClientConnection, TcpStream>;

impl Stream for Session {
    fn half_close(&mut self) {
        self.conn.send_close_notify();
        self.flush().unwrap();
    }
}

/// A self-signed certificate for `names`, and how a client knows it.
pub fn certificate(names: &[&str]) -> (Arc<CertifiedKey>, CertificateDer<'static>) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let key = router::certified_key(vec![certificate.clone()], key.into()).unwrap();
    (key, certificate)
}

/// A client that trusts these, speaks these versions, and offers these protocols.
pub fn trusting(
    trusted: &[CertificateDer<'static>],
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).unwrap();
    }
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// A session with `addr` by a client that asks for `name`.
pub fn session(addr: std::net::SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Session {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(config.clone(), name).unwrap();
    let tcp = TcpStream::connect(addr).unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.set_write_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(connection, tcp)
}

/// A router whose platform certificate is good for the app's host, with one dyno.
pub struct Secure {
    pub rig: Rig,
    /// Offers no protocol, as clients of HTTP/1.1 do.
    pub client: Arc<ClientConfig>,
    /// Offers HTTP/2 only.
    pub client2: Arc<ClientConfig>,
    _dyno: Dyno,
}

impl Secure {
    /// Whose TLS is offered so, and whose dyno does `script` with every connection.
    pub fn serving(
        wrap: fn(Certificates) -> Tls,
        setup: Setup,
        script: impl Fn(&mut Wire) + Send + Sync + 'static,
    ) -> Self {
        let (key, trusted) = certificate(&[HOST, "api.example.com", "*.wild.example.com"]);
        let certificates = Certificates::new(CertificateTable::new(key)).unwrap();
        let setup = Setup { tls: wrap(certificates), ..setup };
        let (rig, dyno) = Rig::serving_with(setup, script);
        let trusted = [trusted];
        let client = trusting(&trusted, rustls::DEFAULT_VERSIONS, &[]);
        let client2 = trusting(&trusted, rustls::DEFAULT_VERSIONS, &[b"h2"]);
        Self { rig, client, client2, _dyno: dyno }
    }

    pub fn stream(&self) -> Session {
        session(self.rig.addr, &self.client, HOST)
    }

    pub fn wire(&self) -> Wire {
        Wire::over(self.stream())
    }

    /// The next connection that is a one-off dyno's.
    pub fn rendezvous(&self) -> (String, UnixStream) {
        match self.rig.handovers.lock().unwrap().blocking_recv().unwrap() {
            Handover::Rendezvous { secret, stream, peer } => {
                assert!(peer.ip().is_loopback());
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                (secret, stream)
            }
            Handover::Http { .. } => panic!("no rendezvous"),
        }
    }
}
