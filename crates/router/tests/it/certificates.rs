//! Which certificate is shown to whom, and what a TLS session is good for.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use model::routes::WebState;
use model::{AppId, AppName};
use router::{CertificateTable, Certificates, Tls};
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, SupportedProtocolVersion};

use crate::rig::{Dyno, HOST, Rig, Setup, Wire, get};
use crate::secure::{Session, certificate, session, trusting};

const PLATFORM: &str = "api.example.com";
const OTHER: &str = "other.example.org";

/// A router with the platform's certificate, two apps' and a wildcard, and a client that trusts all.
struct House {
    rig: Rig,
    certificates: Certificates,
    trusted: Vec<CertificateDer<'static>>,
    _dyno: Dyno,
}

impl House {
    fn new() -> Self {
        let (platform, one) = certificate(&[PLATFORM, "platform.example.net"]);
        let (app, two) = certificate(&[HOST]);
        let (wild, three) = certificate(&["*.wild.example.com"]);
        let (other, four) = certificate(&[OTHER]);
        let mut table = CertificateTable::new(platform);
        table.hosts.insert(HOST.into(), app);
        table.hosts.insert(OTHER.into(), other);
        table.wildcards.insert("wild.example.com".into(), wild);
        let certificates = Certificates::new(table).unwrap();
        let setup = Setup { tls: Tls::Sniffed(certificates.clone()), ..Setup::default() };
        let (rig, dyno) = Rig::serving_with(setup, |wire| {
            while wire.request().is_some() {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        Self { rig, certificates, trusted: vec![one, two, three, four], _dyno: dyno }
    }

    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        trusting(&self.trusted, versions, &[])
    }

    /// The number of the certificate that a client is shown who asks for `name`.
    fn shown(&self, name: &str) -> usize {
        let mut session = trustful(self.rig.addr, name);
        handshake(&mut session).unwrap();
        let shown = &session.conn.peer_certificates().unwrap()[0];
        self.trusted.iter().position(|known| known == shown).expect("one of ours")
    }
}

/// A session of a client that believes any certificate, as it wants to see what it is shown.
fn trustful(addr: SocketAddr, name: &str) -> Session {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
        .with_no_client_auth();
    session(addr, &Arc::new(config), name)
}

fn handshake(session: &mut Session) -> std::io::Result<()> {
    while session.conn.is_handshaking() {
        session.conn.complete_io(&mut session.sock)?;
    }
    Ok(())
}

/// Believes everybody.
#[derive(Debug)]
struct Credulous(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn each_name_is_shown_its_own_certificate_and_others_the_platforms() {
    let house = House::new();
    for (name, expected) in [
        (PLATFORM, 0),
        (HOST, 1),
        ("DEMO.example.COM", 1),
        ("a.wild.example.com", 2),
        ("a.b.wild.example.com", 0),
        ("wild.example.com", 0),
        (OTHER, 3),
        ("nobody.example.org", 0),
        // An address is no name: clients ask for none then.
        ("127.0.0.1", 0),
    ] {
        assert_eq!(house.shown(name), expected, "{name}");
    }
}

#[test]
fn who_asks_for_an_unknown_name_gets_the_page_of_no_app() {
    let house = House::new();
    let mut session = trustful(house.rig.addr, "nobody.example.org");
    session.write_all(b"GET / HTTP/1.1\r\nHost: nobody.example.org\r\n\r\n").unwrap();
    let reply = Wire::over(session).reply();
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("nothing here, yet"));
}

#[test]
fn both_versions_are_spoken_and_the_log_tells_which() {
    let house = House::new();
    for (version, label) in [(&TLS12, "tls1.2"), (&TLS13, "tls1.3")] {
        let mut session = session(house.rig.addr, &house.client(&[version]), HOST);
        session.write_all(get("/").as_bytes()).unwrap();
        assert_eq!(Wire::over(session).reply().text(), "ok");
        assert!(house.rig.log().ends_with(&format!(" tls=true tls_version={label}")));
    }
}

#[test]
fn older_versions_are_refused() {
    let house = House::new();
    // Elliptic curve P-256, a signature scheme and a point format, all of which is usual.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3, 0, 11, 0, 2, 1, 0];
    for (minor, kind) in [(1, 0x15), (2, 0x15), (3, 0x16)] {
        // The hello of a client that knows nothing newer than this.
        let mut hello = vec![3, minor];
        hello.extend([7; 32]);
        hello.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x09, 1, 0]);
        hello.extend([0, u8::try_from(extensions.len()).unwrap()]);
        hello.extend(extensions);
        let mut record = vec![0x16, 3, 1, 0, u8::try_from(hello.len() + 4).unwrap()];
        record.extend([1, 0, 0, u8::try_from(hello.len()).unwrap()]);
        record.extend(hello);
        let mut client = house.rig.client();
        client.send(record);
        let answer = client.exactly(7);
        assert_eq!(answer[0], kind, "an alert, or a hello: {answer:?}");
        if kind == 0x15 {
            assert_eq!(answer[6], 70, "protocol_version");
            assert!(client.is_over());
        }
    }
}

#[test]
fn sessions_are_resumed_for_the_same_name_only() {
    let house = House::new();
    for (version, number) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let client = house.client(&[version]);
        let visit = |name: &str| {
            let mut session = session(house.rig.addr, &client, name);
            session
                .write_all(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes())
                .unwrap();
            // The answer comes after the tickets.
            assert!(session.read(&mut [0; 4096]).unwrap() > 0);
            assert_eq!(session.conn.protocol_version(), Some(number));
            session.conn.handshake_kind().unwrap()
        };
        assert_eq!(visit(HOST), HandshakeKind::Full);
        assert_eq!(visit(HOST), HandshakeKind::Resumed, "{number:?}");
        assert_eq!(visit(OTHER), HandshakeKind::Full, "{number:?}");
    }
}

#[test]
fn a_swap_reaches_new_handshakes_and_disturbs_nobody() {
    let house = House::new();
    let mut session = session(house.rig.addr, &house.client(&[&TLS13]), HOST);
    session.write_all(get("/").as_bytes()).unwrap();
    let mut wire = Wire::over(session);
    assert_eq!(wire.reply().text(), "ok");
    let mut table = (*house.certificates.current()).clone();
    let other: Arc<CertifiedKey> = table.hosts[OTHER].clone();
    table.hosts.insert(HOST.into(), other);
    house.certificates.publish(table);
    assert_eq!(house.shown(HOST), 3, "from now on");
    wire.send(get("/"));
    assert_eq!(wire.reply().text(), "ok", "the old one goes on");
}

#[test]
fn a_session_for_one_app_is_not_good_for_another() {
    let house = House::new();
    let route = |name: &str, app: AppId| {
        let mut route = house.rig.route(WebState::ScaledToZero, &[]);
        (route.app, route.name) = (app, name.parse::<AppName>().unwrap());
        Arc::new(route)
    };
    let mut table = model::routes::RoutingTable::new(["api.example.com"]);
    table.set(&route("demo", house.rig.app), &[HOST, "a.wild.example.com"]);
    table.set(&route("other", AppId::random()), &[OTHER]);
    house.rig.routes.publish(table);
    let ask = |name: &str, host: &str| {
        let mut session = trustful(house.rig.addr, name);
        session.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
        Wire::over(session).reply().status
    };
    assert_eq!(ask(OTHER, HOST), 421);
    let line = house.rig.log();
    assert!(line.starts_with("at=error code=H31 desc=\"Misdirected Request\" "), "{line}");
    assert!(line.contains(" dyno= connect= service= status=421 bytes= "), "{line}");
    // Another name of the same app, and names that are nobody's, are no app's secret.
    assert_eq!(ask("a.wild.example.com", HOST), 503);
    assert_eq!(ask("nobody.example.org", HOST), 503);
    assert_eq!(ask("127.0.0.1", HOST), 503);
    assert_eq!(ask(HOST, "nobody.example.org"), 404);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, two) = (rcgen_pair(), rcgen_pair());
    assert!(router::certified_key(vec![one.0.clone()], one.1).is_ok());
    assert!(router::certified_key(vec![one.0], two.1).is_err());
}

fn rcgen_pair() -> (CertificateDer<'static>, rustls::pki_types::PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    (made.cert.der().clone(), key.into())
}
