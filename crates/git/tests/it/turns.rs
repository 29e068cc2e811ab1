//! Pushes at the same time.

use crate::client::{Checkout, finish};
use crate::platform::Platform;

/// Two checkouts that both come from what is deployed, each with a commit of its own.
async fn two(platform: &Platform) -> (Checkout, Checkout) {
    let first = platform.checkout(&[("a.txt", "a")]).await;
    first.push("main").await.ok();
    let second = Checkout::new(platform.directory.path()).await;
    second.git(&["remote", "add", "hythe", &platform.url()]).await.ok();
    second.git(&["fetch", "--quiet", "hythe"]).await.ok();
    second.git(&["reset", "--quiet", "--hard", "hythe/main"]).await.ok();
    first.commit(&[("HOLD", "")]).await;
    second.commit(&[("second.txt", "")]).await;
    (first, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_waits_visibly_and_is_not_built_over_another() {
    let platform = Platform::start().await;
    let (first, second) = two(&platform).await;
    let first_push = first.start_push("main");
    platform.wait_for("the first build runs", async || platform.builds().await.len() == 2).await;
    let mut second_push = second.start_push("main");
    let waits = wait_for_line(&mut second_push, "Waiting for the build ahead").await;
    assert!(waits, "the second push says that it waits");
    platform.release.notify_one();
    finish(first_push).await.ok().shows("Released v4");
    // It was made on top of what is no longer there.
    finish(second_push).await.refused().shows("main was changed by another push meanwhile");
    assert_eq!(platform.branch("main"), Some(first.head().await));
    assert_eq!(platform.builds().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_the_other_branch_is_built_after_the_one_ahead() {
    let platform = Platform::start().await;
    let (first, second) = two(&platform).await;
    let first_push = first.start_push("main");
    platform.wait_for("the first build runs", async || platform.builds().await.len() == 2).await;
    let mut second_push = second.start_push("main:master");
    assert!(wait_for_line(&mut second_push, "Waiting for the build ahead").await);
    platform.release.notify_one();
    finish(first_push).await.ok();
    finish(second_push).await.ok().shows("Released v5");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commit_may_be_built_again_from_the_other_branch() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    checkout.push("main").await.ok();
    checkout.push("main:master").await.ok().shows("Released v4");
    let builds = platform.builds().await;
    assert_eq!(builds[0].source, builds[1].source, "the same commit, the same bytes");
}

/// Reads a running git's standard error up to a text.
async fn wait_for_line(child: &mut tokio::process::Child, text: &str) -> bool {
    use tokio::io::AsyncReadExt;
    let stderr = child.stderr.as_mut().expect("piped");
    let mut seen = Vec::new();
    let mut byte = [0];
    while stderr.read(&mut byte).await.is_ok_and(|count| count == 1) {
        seen.push(byte[0]);
        if String::from_utf8_lossy(&seen).contains(text) {
            return true;
        }
    }
    false
}
