//! TLS as a client speaks it that trusts one authority and no other, and authorities to trust.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A connection whose handshake is over: the certificate is for the name, and trusted.
pub struct Secure(StreamOwned<ClientConnection, TcpStream>);

impl Secure {
    /// Connects and shakes hands. `roots` are the authorities to trust, in PEM.
    pub fn connect(address: SocketAddr, name: &str, roots: &str) -> io::Result<Self> {
        let mut trusted = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
            trusted.add(root.expect("PEM")).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut stream = StreamOwned::new(client, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(stream))
    }

    /// Asks for `/` and gives the head of the answer and what of the body came with it. The
    /// connection stays.
    pub fn ask(&mut self, host: &str, path: &str) -> io::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.0.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        loop {
            let mut buffer = [0; 16 * 1024];
            match self.0.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => answer.extend_from_slice(&buffer[..length]),
            }
            let text = String::from_utf8_lossy(&answer).into_owned();
            if is_whole(&text) {
                return Ok(text);
            }
        }
    }

    /// The certificate that the server has shown.
    pub fn certificate(&self) -> Vec<u8> {
        let chain = self.0.conn.peer_certificates().expect("a chain");
        chain[0].to_vec()
    }

    /// How many certificates it has shown.
    pub fn chain_length(&self) -> usize {
        self.0.conn.peer_certificates().map_or(0, <[_]>::len)
    }
}

fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_none_or(|length| body.len() >= length)
}

/// An authority with one authority between it and what it signs.
pub struct Authority {
    /// Its own certificate, in PEM.
    pub root: String,
    between: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = || KeyPair::generate().expect("a key");
        let authority = |name: String| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let (root_key, between_key) = (key(), key());
        let root = authority(name.to_owned());
        let root_pem = root.self_signed(&root_key).expect("signed").pem();
        let between = authority(format!("{name} between"));
        let root_issuer = Issuer::new(root, root_key);
        let between_pem = between.signed_by(&between_key, &root_issuer).expect("signed").pem();
        Self { root: root_pem, between: between_pem, issuer: Issuer::new(between, between_key) }
    }

    /// Writes `NAME.crt` (the chain in the wrong order, as people have it, with the root) and
    /// `NAME.key` for these host names.
    pub fn sign(&self, directory: &Path, name: &str, hosts: &[&str]) {
        let leaf = self.leaf(directory, name, params(hosts));
        write(directory, &format!("{name}.crt"), &format!("{}{}{leaf}", self.root, self.between));
    }

    /// The same in the right order, for programs that mend nothing.
    pub fn sign_in_order(&self, directory: &Path, name: &str, hosts: &[&str]) {
        let leaf = self.leaf(directory, name, params(hosts));
        write(directory, &format!("{name}.crt"), &format!("{leaf}{}", self.between));
    }

    /// A certificate whose time was over long ago.
    pub fn sign_expired(&self, directory: &Path, name: &str, hosts: &[&str]) {
        let mut params = params(hosts);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let leaf = self.leaf(directory, name, params);
        write(directory, &format!("{name}.crt"), &leaf);
    }

    /// Writes the key; gives the certificate, in PEM.
    fn leaf(&self, directory: &Path, name: &str, params: CertificateParams) -> String {
        let key = KeyPair::generate().expect("a key");
        write(directory, &format!("{name}.key"), &key.serialize_pem());
        params.signed_by(&key, &self.issuer).expect("signed").pem()
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("written");
}

fn params(hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    CertificateParams::new(hosts).expect("names")
}
