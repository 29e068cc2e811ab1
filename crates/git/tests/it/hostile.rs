//! Repositories that mean harm, or are merely odd.

use crate::platform::{Limits, Platform};

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_reaches_for_git_itself_is_refused() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    let blob = checkout.git(&["rev-parse", "HEAD:a.txt"]).await.ok().stdout;
    let entry = format!("100644 blob {}\t.git\n", blob.trim());
    std::fs::write(checkout.path.join("../entries"), entry).expect("written");
    let mut mktree = crate::client::command(&checkout.path);
    let entries = std::fs::File::open(checkout.path.join("../entries")).expect("there");
    mktree.arg("mktree").stdin(entries);
    let tree = crate::client::finish(mktree.spawn().expect("git runs")).await.ok().stdout;
    let commit = checkout.git(&["commit-tree", "-m", "Evil", tree.trim()]).await.ok().stdout;
    let what = format!("{}:refs/heads/main", commit.trim());
    checkout.push(&what).await.refused().shows("hasDotgit");
    assert!(platform.builds().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_of_the_repository_leave_nothing_out() {
    let platform = Platform::start().await;
    let attributes = "secret.txt export-ignore\nversion.txt export-subst\n";
    let files =
        [(".gitattributes", attributes), ("secret.txt", ""), ("version.txt", "$Format:%H$")];
    let checkout = platform.checkout(&files).await;
    checkout.push("main").await.ok().shows(".gitattributes secret.txt version.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_may_hold_line_ends() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a\nb", ""), ("c\u{1b}[2J", "")]).await;
    checkout.push("main").await.ok().shows("Updated 2 paths from").shows(r"a\nb c\x1b[2J");
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_not_fetched_and_the_person_is_told() {
    let platform = Platform::start().await;
    let modules = "[submodule \"x\"]\n\tpath = vendor/x\n\turl = file:///etc\n";
    let checkout = platform.checkout(&[(".gitmodules", modules)]).await;
    let link = format!("160000,{},vendor/x", checkout.head().await);
    checkout.git(&["update-index", "--add", "--cacheinfo", &link]).await.ok();
    checkout.git(&["commit", "--quiet", "-m", "Submodule"]).await.ok();
    checkout.push("main").await.ok().shows("submodules are not supported yet").shows("vendor/x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_below_main_would_hide_what_was_built_so_it_is_not() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    checkout.push("main:main/x").await.ok();
    checkout.push("main").await.refused().shows("A branch below main/ is in the way");
    assert!(platform.builds().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_commit_is_built_as_it_is() {
    let platform = Platform::start().await;
    let checkout = platform.checkout(&[("a.txt", "a")]).await;
    let first = checkout.head().await;
    checkout.commit(&[("b.txt", "b")]).await;
    let second = checkout.head().await;
    checkout.push(&format!("{first}:refs/replace/{second}")).await.ok();
    checkout.push("main").await.ok().shows("a.txt b.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_over_the_limit_is_refused_before_it_is_stored() {
    let limits = Limits { max_source_bytes: 1024 * 1024, ..Limits::default() };
    let platform = Platform::start_with(limits).await;
    let zeros = "0".repeat(4 * 1024 * 1024);
    let checkout = platform.checkout(&[("zeros", &zeros)]).await;
    checkout.push("main").await.refused().shows("The source is too large (max is 1 MB)");
    assert!(platform.builds().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_nobody_sent_is_a_stranger() {
    use std::io::{Read, Write};
    let platform = Platform::start().await;
    let socket = platform.directory.path().join("hook.sock");
    platform.wait_for("the socket", async || socket.exists()).await;
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = std::os::unix::net::UnixStream::connect(socket).expect("open");
        let hello = br#"{"push":"guess","branch":"main","commit":"0"}"#;
        let mut frame = vec![b'H', 0, 0, 0, u8::try_from(hello.len()).expect("short")];
        frame.extend_from_slice(hello);
        stream.write_all(&frame).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("ended");
        answer
    });
    assert!(answer.await.expect("no panic").is_empty());
}
