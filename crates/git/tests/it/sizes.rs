//! Large pushes, and ones that break off.

use std::path::Path;

use base64::Engine;
use tokio::io::AsyncWriteExt;

use crate::platform::{Limits, Platform};

/// Bytes that do not compress: a counter under a hash-like mix.
fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = String::with_capacity(bytes);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word: [u8; 8] = state.to_le_bytes();
        text.extend(word.iter().map(|&byte| char::from(b' ' + byte % 90)));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_fifty_megabytes_arrives_in_chunks() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("noise", &noise(60 * 1024 * 1024))]).await;
    let pushed = checkout.git(&["-c", "http.postBuffer=65536", "push", "hythe", "main"]).await;
    pushed.ok().shows("noise").shows("Released v3");
    let app = async || {
        let app = control::apps::find(&platform.control, platform.app.id).await;
        app.expect("there").repo_bytes.is_some_and(|bytes| bytes > 45 * 1024 * 1024)
    };
    platform.wait_for("the size", app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_over_the_limit_is_refused_with_gits_own_words() {
    let limits = Limits { max_push_bytes: 1024 * 1024, ..Limits::default() };
    let platform = Platform::start_with(limits).await;
    let checkout = platform.checkout(&[("noise", &noise(8 * 1024 * 1024))]).await;
    checkout.push("main").await.refused().shows("pack exceeds maximum allowed size");
    assert_eq!(platform.branch("main"), None);
    assert_eq!(left_over(&platform.repository()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_breaks_off_leaves_the_repository_clean() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("noise", &noise(2 * 1024 * 1024))]).await;
    let new = checkout.head().await;
    checkout.git(&["repack", "-adq"]).await.ok();
    let pack = pack_of(&checkout.path);
    // The beginning of a good push, and then silence for ever.
    let command = format!("{} {new} refs/heads/main\0 report-status side-band-64k", "0".repeat(40));
    let mut body = format!("{:04x}{command}0000", command.len() + 4).into_bytes();
    body.extend_from_slice(&pack[..pack.len() / 2]);
    let pair = format!(":{}", platform.token.reveal());
    let basic = base64::engine::general_purpose::STANDARD.encode(pair);
    let head = format!(
        "POST /demo.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\n\
         Content-Type: application/x-git-receive-pack-request\r\nContent-Length: {}\r\n\r\n",
        body.len() + pack.len()
    );
    let mut stream = tokio::net::TcpStream::connect(&platform.address).await.expect("open");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&body).await.expect("sent");
    stream.flush().await.expect("sent");
    let repository = platform.repository();
    platform.wait_for("git receives", async || left_over(&repository) > 0).await;
    drop(stream);
    platform.wait_for("git cleaned up", async || left_over(&repository) == 0).await;
    assert_eq!(platform.branch("main"), None);
    assert!(platform.builds().await.is_empty());
    platform.shut_down().await;
}

/// Half-received things in a repository.
fn left_over(repository: &Path) -> usize {
    let entries = std::fs::read_dir(repository.join("objects")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("tmp_objdir") || name.starts_with("incoming")).count()
}

fn pack_of(checkout: &Path) -> Vec<u8> {
    let packs = std::fs::read_dir(checkout.join(".git/objects/pack")).expect("packed");
    let paths = packs.flatten().map(|entry| entry.path());
    let path = paths.into_iter().find(|path| path.extension().is_some_and(|e| e == "pack"));
    std::fs::read(path.expect("one")).expect("readable")
}
