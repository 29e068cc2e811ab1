//! Certificates of receivers.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

use super::bed::{Bed, Got, config, until};
use super::receiver::{frames, listen};

/// A syslog receiver over TLS whose certificate is for `localhost`; the certificate as PEM.
async fn receiver() -> (u16, Got, String) {
    let names = vec!["localhost".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a configuration");
    let listener = listen(([127, 0, 0, 1], 0).into()).await;
    let port = listener.local_addr().expect("an address").port();
    let (acceptor, got) = (TlsAcceptor::from(Arc::new(tls)), Got::default());
    let tally = got.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, tally) = (acceptor.clone(), tally.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let (mut pending, mut buffer) = (Vec::new(), [0; 8192]);
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    pending.extend_from_slice(&buffer[..count]);
                    frames(&mut pending, &mut tally.lock().expect("lock"));
                }
            });
        }
    });
    (port, got, cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_refused_and_said() {
    let (port, got, _) = receiver().await;
    let mut bed = Bed::start(config()).await;
    bed.add(&format!("syslog+tls://localhost:{port}")).await;
    bed.say(1);
    let said = |line: &String| {
        line.contains("heroku[logplex]: Error L14 (certificate validation): error=\"")
            && line.contains(&format!("uri=\"syslog+tls://localhost:{port}\""))
    };
    until("it is said", || bed.sent().iter().any(said)).await;
    assert_eq!(got.lock().expect("lock").messages, 0);
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn insecure_switches_the_check_off() {
    let (port, got, _) = receiver().await;
    let mut bed = Bed::start(config()).await;
    let drain = bed.add(&format!("syslog+tls://127.0.0.1:{port}#insecure")).await;
    bed.say_steadily(20, 100).await;
    bed.finish(&got).await;
    bed.identity(&got, drain).await;
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_the_operator_is_trusted_for_the_right_name_only() {
    let (port, got, pem) = receiver().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, pem).expect("written");
    let mut trusting = config();
    trusting.authorities = Some(path);
    let mut bed = Bed::start(trusting).await;
    let wrong = bed.add(&format!("syslog+tls://127.0.0.1:{port}")).await;
    let right = bed.add(&format!("syslog+tls://localhost:{port}")).await;
    bed.say(100);
    bed.finish(&got).await;
    bed.identity(&got, right).await;
    until("the wrong name is seen", || bed.status(wrong).last_error.is_some()).await;
    let error = bed.status(wrong).last_error.expect("an error").text;
    assert!(error.starts_with("certificate validation failed"), "{error}");
    bed.stop().await;
}
