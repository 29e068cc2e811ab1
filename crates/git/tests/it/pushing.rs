//! What a push does and says.

use model::build::BuildStatus;

use crate::client::{finish, git};
use crate::platform::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_main_is_built_and_says_so_as_heroku_does() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a"), ("b.txt", "b")]).await;
    let tree = checkout.git(&["rev-parse", "--short=7", "HEAD^{tree}"]).await.ok().stdout;
    let pushed = checkout.push("main").await.ok();
    let expected = [
        &format!("Updated 2 paths from {}", tree.trim()),
        "Compressing source files... done.",
        "Building source:",
        "",
        "-----> Building on the Heroku-24 stack",
        "       a.txt b.txt",
        "       Released v3",
        "",
        "Verifying deploy... done.",
    ];
    assert_eq!(pushed.remote(), expected);
    assert!(pushed.stderr.contains("* [new branch]      main -> main"), "{}", pushed.stderr);
    let head = checkout.head().await;
    assert_eq!(platform.branch("main"), Some(head.clone()));
    let builds = platform.builds().await;
    assert_eq!(builds.len(), 1);
    assert_eq!(builds[0].source_version, Some(head));
    assert_eq!(builds[0].status, BuildStatus::Succeeded);
    platform.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_push_sends_and_builds_the_new_commit() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    checkout.push("main").await.ok();
    checkout.commit(&[("c.txt", "c")]).await;
    checkout.push("main").await.ok().shows("a.txt c.txt").shows("Released v4");
    checkout.push("main").await.ok().shows("Everything up-to-date");
    assert_eq!(platform.builds().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_push_is_built_too() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    checkout.push("main").await.ok();
    checkout.git(&["commit", "--quiet", "--amend", "-m", "Another"]).await.ok();
    checkout.push("main").await.refused().shows("non-fast-forward");
    checkout.push("+main").await.ok().shows("Released v4");
}

#[tokio::test(flavor = "multi_thread")]
async fn master_is_built_and_a_clone_checks_it_out() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    checkout.push("main:master").await.ok().shows("Released v3");
    let head = || async {
        let text = std::fs::read_to_string(platform.repository().join("HEAD")).expect("there");
        text == "ref: refs/heads/master\n"
    };
    platform.wait_for("HEAD follows the built branch", head).await;
    let target = platform.directory.path().join("clone");
    let clone = ["clone", "--quiet", &platform.url(), target.to_str().expect("text")];
    git(platform.directory.path(), &clone).await.ok();
    assert_eq!(std::fs::read_to_string(target.join("a.txt")).expect("checked out"), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_main_and_master_in_one_push_main_is_built() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("old.txt", "")]).await;
    checkout.git(&["branch", "master"]).await.ok();
    checkout.commit(&[("new.txt", "")]).await;
    checkout.git(&["push", "hythe", "master", "main"]).await.ok().shows("new.txt old.txt");
    assert_eq!(platform.builds().await.len(), 1);
    assert!(platform.branch("master").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_branch_is_kept_but_not_built() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    let pushed = checkout.push("main:feature/x").await.ok();
    assert_eq!(pushed.remote(), ["Pushed to non-main branch, skipping build."]);
    assert_eq!(platform.branch("feature/x"), Some(checkout.head().await));
    assert!(platform.builds().await.is_empty());
    checkout.git(&["tag", "v1"]).await.ok();
    assert!(checkout.push("v1").await.ok().remote().is_empty());
    checkout.push(":feature/x").await.ok();
    assert_eq!(platform.branch("feature/x"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_declines_the_push_and_leaves_nothing_behind() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("FAIL", "")]).await;
    let pushed = checkout.push("main").await.refused();
    let said = pushed.remote();
    let last = [" !     Push failed", "Verifying deploy...", "", "!\tPush rejected to demo.", ""];
    assert!(said.ends_with(&last), "{said:#?}");
    assert!(
        pushed.stderr.contains("! [remote rejected] main -> main (pre-receive hook declined)"),
        "{}",
        pushed.stderr
    );
    assert_eq!(platform.branch("main"), None);
    let object = format!("{}^{{commit}}", checkout.head().await);
    let repository = platform.repository();
    let known = git(&repository, &["cat-file", "-e", &object]).await;
    assert!(!known.success, "declined objects are dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deployed_branch_cannot_be_deleted() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    checkout.push("main").await.ok();
    checkout.push(":main").await.refused().shows("Deleting main is not allowed");
    assert!(platform.branch("main").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_does_not_stop_its_build() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("HOLD", "")]).await;
    let mut push = checkout.start_push("main");
    platform.wait_for("the build runs", async || platform.builds().await.len() == 1).await;
    push.kill().await.expect("killed");
    platform.release.notify_one();
    let head = checkout.head().await;
    let updated = async || platform.branch("main").as_deref() == Some(head.as_str());
    platform.wait_for("the branch shows what was built", updated).await;
    assert_eq!(platform.builds().await[0].status, BuildStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_breaks_the_push_off_and_its_tasks_end() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    checkout.push("main").await.ok();
    let before = checkout.head().await;
    checkout.commit(&[("HOLD", "")]).await;
    let push = checkout.start_push("main");
    platform.wait_for("the build runs", async || platform.builds().await.len() == 2).await;
    platform.stop.cancel();
    finish(push).await.refused();
    assert_eq!(platform.branch("main"), Some(before));
    platform.release.notify_one();
    platform.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_the_repository_is_noted() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    checkout.push("main").await.ok();
    let measured = async || {
        let app = control::apps::find(&platform.control, platform.app.id).await;
        app.expect("there").repo_bytes.is_some_and(|bytes| bytes > 100)
    };
    platform.wait_for("the size", measured).await;
}
