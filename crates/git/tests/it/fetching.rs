//! Clone and fetch.

use std::io::Write;

use base64::Engine;

use crate::client::{Checkout, git};
use crate::platform::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_without_code_is_cloned_empty() {
    let platform = Platform::start().await;
    for version in ["0", "1", "2"] {
        let setting = format!("protocol.version={version}");
        let target = platform.directory.path().join(format!("empty-{version}"));
        let target = target.to_str().expect("text");
        let clone = ["-c", &setting, "clone", &platform.url(), target];
        git(platform.directory.path(), &clone).await.ok().shows("empty repository");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_has_what_was_pushed_in_every_version_of_the_protocol() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    checkout.push("main").await.ok();
    for version in ["0", "1", "2"] {
        let setting = format!("protocol.version={version}");
        let target = platform.directory.path().join(format!("clone-{version}"));
        let path = target.to_str().expect("text");
        let clone = ["-c", &setting, "clone", "--quiet", &platform.url(), path];
        git(platform.directory.path(), &clone).await.ok();
        let cloned = Checkout { path: target };
        assert_eq!(cloned.head().await, checkout.head().await);
    }
}

/// Git compresses a long list of what it has; here the list is long enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_with_a_long_history_sends_a_compressed_body() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    checkout.push("main").await.ok();
    let other = Checkout::new(platform.directory.path()).await;
    for number in 0..60 {
        other.commit(&[("n.txt", &number.to_string())]).await;
    }
    let mut fetch = crate::client::command(&other.path);
    fetch.env("GIT_CURL_VERBOSE", "1").args(["fetch", &platform.url(), "main"]);
    let ran = crate::client::finish(fetch.spawn().expect("git runs")).await.ok();
    assert!(ran.stderr.to_lowercase().contains("content-encoding: gzip"), "not compressed");
    let fetched = other.git(&["rev-parse", "FETCH_HEAD"]).await.ok().stdout;
    assert_eq!(fetched.trim(), checkout.head().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_other_kinds_are_refused() {
    let platform = Platform::start().await;
    let pair = format!(":{}", platform.token.reveal());
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    let post = |media_type: &str, encoding: &str, body: &[u8]| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let url = format!("http://{}/demo.git/git-upload-pack", platform.address);
        let request = config.new_agent().post(url).header("Authorization", &basic);
        let request = request.header("Content-Type", media_type);
        let mut response =
            request.header("Content-Encoding", encoding).send(body).expect("an answer");
        (response.status().as_u16(), response.body_mut().read_to_string().ok())
    };
    let right = "application/x-git-upload-pack-request";
    assert_eq!(post("text/plain", "identity", b"0000").0, 415);
    assert_eq!(post(right, "br", b"0000").0, 415);
    assert_eq!(post(right, "gzip", b"not gzip").1, None, "the answer breaks off");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"0000").expect("in memory");
    let answer = post(right, "gzip", &gzip.finish().expect("in memory"));
    assert_eq!(answer, (200, Some(String::new())), "nothing was asked, nothing is answered");
}
