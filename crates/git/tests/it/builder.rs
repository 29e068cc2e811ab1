//! A stand-in for the builder. It lists the source, so that tests see what arrived, and obeys files
//! in it: `FAIL` fails the build, `HOLD` waits to be let go.

use std::sync::Arc;

use control::Control;
use control::builds::{self, claim_next};
use control::slugs::{NewSlug, store_image};
use model::build::Build;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub async fn run(control: Control, release: Arc<Notify>, stop: CancellationToken) {
    let mut wake = builds::wake(&control);
    loop {
        while let Some(build) = claim_next(&control).await.expect("a database") {
            build_one(&control, build, &release).await;
        }
        tokio::select! {
            // Looked at again in any case.
            changed = wake.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

async fn build_one(control: &Control, build: Build, release: &Notify) {
    let output = builds::output(control, build.id).expect("an output");
    let say = |text: &str| output.write(text.as_bytes()).expect("written");
    say("-----> Building on the Heroku-24 stack\n");
    let names = names(control, &build);
    say(&format!("       {}\n", names.join(" ")));
    if names.iter().any(|name| name == "HOLD") {
        release.notified().await;
    }
    if names.iter().any(|name| name == "FAIL") {
        say(" !     Push failed\n");
        return builds::fail(control, build.id).await.expect("a database");
    }
    let image =
        builds::source_path(control, build.source.stored().expect("stored")).expect("a name");
    let slug = NewSlug {
        image: store_image(control, &image).await.expect("stored"),
        commit: build.source_version.clone(),
        buildpack_description: None,
        process_types: [].into(),
        stack: build.stack.clone(),
    };
    let made = builds::release(control, build.id, slug).await.expect("released");
    say(&format!("       Released v{}\n", made.version));
    builds::succeed(control, build.id).await.expect("a database");
}

/// Names of everything in the source archive, sorted.
fn names(control: &Control, build: &Build) -> Vec<String> {
    let path =
        builds::source_path(control, build.source.stored().expect("stored")).expect("a name");
    let file = std::fs::File::open(path).expect("stored");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut names = Vec::new();
    for entry in archive.entries().expect("an archive") {
        let entry = entry.expect("an entry");
        if !entry.header().entry_type().is_pax_global_extensions() {
            let path = entry.path_bytes().escape_ascii().to_string();
            names.push(path);
        }
    }
    names.sort();
    names
}
