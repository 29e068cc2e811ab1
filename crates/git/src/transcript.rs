//! What a person reads after `remote:` that is not the build's own output (platform behaviour, 4.1).

/// Another push to the same app is being built.
pub(crate) const WAITING: &str = "Waiting for the build ahead in the queue...\n";
/// A branch that is kept but not built.
pub(crate) const SKIPPED: &str = "Pushed to non-main branch, skipping build.\n";
/// The archive is made.
pub(crate) const COMPRESSED: &str = "Compressing source files... done.\n";
/// The build's output follows.
pub(crate) const BUILDING: &str = "Building source:\n\n";
/// The build made a release.
pub(crate) const VERIFIED: &str = "\nVerifying deploy... done.\n";
/// A release command runs; its output follows.
pub(crate) const RELEASE_COMMAND: &str = "Running release command...\n\n";
/// It succeeded.
pub(crate) const RELEASE_DONE: &str = "Waiting for release.... done.\n";
/// It failed; the old release stays current.
pub(crate) const RELEASE_FAILED: &str = "Waiting for release.... failed.\n";
/// The server went away in the middle.
pub(crate) const LOST_SERVER: &str =
    " !     The server ended the connection before it said how the build went.\n";

/// How many files the commit has. Git's own words when it checks files out of a tree.
pub(crate) fn updated(paths: u64, tree: &str) -> String {
    let noun = if paths == 1 { "path" } else { "paths" };
    format!("Updated {paths} {noun} from {tree}\n")
}

/// The push is declined after a build.
pub(crate) fn rejected(app: &str) -> String {
    format!("Verifying deploy...\n\n!\tPush rejected to {app}.\n\n")
}

/// Something is wrong, in the form Heroku gives warnings and errors.
pub(crate) fn complaint(text: &str) -> String {
    format!(" !     {text}\n")
}
