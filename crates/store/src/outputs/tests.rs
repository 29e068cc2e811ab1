//! Outputs: following, ending, limits.

use model::BuildId;

use super::*;

fn outputs() -> (tempfile::TempDir, Outputs) {
    let directory = tempfile::tempdir().expect("a directory");
    let outputs = Outputs::open(directory.path()).expect("opened");
    (directory, outputs)
}

async fn rest(follow: &mut Follow) -> String {
    let mut all = Vec::new();
    while let Some(chunk) = follow.next().await.expect("readable") {
        all.extend_from_slice(&chunk);
    }
    String::from_utf8(all).expect("text")
}

async fn chunk(follow: &mut Follow) -> String {
    let chunk = follow.next().await.expect("readable").expect("not the end");
    String::from_utf8(chunk.to_vec()).expect("text")
}

#[tokio::test]
async fn a_follower_gets_the_past_the_present_and_the_end() {
    let (_directory, outputs) = outputs();
    let id = BuildId::random();
    assert!(outputs.follow(id).await.expect("asked").is_none());
    let writer = outputs.create(id).expect("created");
    writer.write(b"one\n").expect("written");
    let mut early = outputs.follow(id).await.expect("asked").expect("there");
    assert_eq!(chunk(&mut early).await, "one\n");
    let waiting = tokio::spawn(async move { (chunk(&mut early).await, early) });
    writer.write(b"two\n").expect("written");
    let (two, mut early) = waiting.await.expect("no panic");
    assert_eq!(two, "two\n");
    let end = tokio::spawn(async move { rest(&mut early).await });
    writer.finish(Verdict::Failed).expect("finished");
    assert_eq!(end.await.expect("no panic"), "");
    let mut late = outputs.follow(id).await.expect("asked").expect("there");
    assert_eq!(rest(&mut late).await, "one\ntwo\n");
    assert_eq!(outputs.verdict(id), Some(Verdict::Failed));
}

#[tokio::test]
async fn what_a_killed_server_left_unfinished_has_ended() {
    let (directory, outputs) = outputs();
    let id = BuildId::random();
    outputs.create(id).expect("created").write(b"half").expect("written");
    let again = Outputs::open(directory.path()).expect("opened again");
    let mut follow = again.follow(id).await.expect("asked").expect("there");
    assert_eq!(rest(&mut follow).await, "half");
    assert_eq!(again.verdict(id), None);
}

#[tokio::test]
async fn a_writer_that_comes_back_appends_and_is_followed_again() {
    let (directory, outputs) = outputs();
    let id = BuildId::random();
    outputs.create(id).expect("created").write(b"before ").expect("written");
    let again = Outputs::open(directory.path()).expect("opened again");
    let writer = again.create(id).expect("come back");
    let mut follow = again.follow(id).await.expect("asked").expect("there");
    assert_eq!(chunk(&mut follow).await, "before ");
    let end = tokio::spawn(async move { rest(&mut follow).await });
    writer.write(b"after").expect("written");
    writer.finish(Verdict::Succeeded).expect("finished");
    assert_eq!(end.await.expect("no panic"), "after");
}

#[tokio::test]
async fn an_output_is_cut_at_its_limit_and_says_so_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let outputs = Outputs::open_limited(directory.path(), 10).expect("opened");
    let id = BuildId::random();
    let writer = outputs.create(id).expect("created");
    for _ in 0..3 {
        writer.write(b"1234567").expect("written");
    }
    outputs.finish(id, Verdict::Succeeded).expect("finished");
    let mut follow = outputs.follow(id).await.expect("asked").expect("there");
    assert_eq!(rest(&mut follow).await, format!("1234567123{CUT}"));
}

#[tokio::test]
async fn the_first_verdict_stands() {
    let (_directory, outputs) = outputs();
    let id = BuildId::random();
    outputs.create(id).expect("created");
    outputs.finish(id, Verdict::Failed).expect("finished");
    outputs.finish(id, Verdict::Succeeded).expect("finished again");
    assert_eq!(outputs.verdict(id), Some(Verdict::Failed));
}

#[tokio::test]
async fn a_deleted_output_is_gone() {
    let (_directory, outputs) = outputs();
    let id = BuildId::random();
    outputs.create(id).expect("created").finish(Verdict::Succeeded).expect("finished");
    outputs.delete(id).expect("deleted");
    assert!(outputs.follow(id).await.expect("asked").is_none());
    assert_eq!(outputs.verdict(id), None);
}

#[tokio::test]
async fn nothing_is_added_to_a_finished_output_and_its_followers_end() {
    let (_directory, outputs) = outputs();
    let id = BuildId::random();
    let early = outputs.create(id).expect("created");
    early.write(b"text").expect("written");
    outputs.finish(id, Verdict::Failed).expect("finished");
    let late = outputs.create(id).expect("opened");
    early.write(b"more").expect("ignored");
    late.write(b"more").expect("ignored");
    let mut follow = outputs.follow(id).await.expect("asked").expect("there");
    assert_eq!(rest(&mut follow).await, "text");
}

#[tokio::test]
async fn only_old_outputs_that_nobody_writes_are_removed() {
    let (_directory, outputs) = outputs();
    let (done, live) = (BuildId::random(), BuildId::random());
    outputs.create(done).expect("created").finish(Verdict::Succeeded).expect("finished");
    let _writer = outputs.create(live).expect("created");
    outputs.delete_older(Duration::from_secs(60)).expect("looked");
    assert!(outputs.follow(done).await.expect("asked").is_some());
    outputs.delete_older(Duration::ZERO).expect("removed");
    assert!(outputs.follow(done).await.expect("asked").is_none());
    assert!(outputs.follow(live).await.expect("asked").is_some());
    assert_eq!(outputs.verdict(done), None);
}
