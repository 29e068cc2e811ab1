//! Workspaces, and what hostile builds leave in them.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};

use super::*;
use crate::config::{Bounds, Programs};

pub(crate) fn config(root: &Path) -> Config {
    Config {
        work_dir: root.join("work"),
        secrets_dir: root.join("secrets"),
        buildpacks_dir: root.join("buildpacks"),
        programs: Programs::default(),
        bounds: Bounds { free_bytes: 0, ..Bounds::default() },
        env: BTreeMap::new(),
    }
}

#[tokio::test]
async fn config_vars_become_files_to_the_byte() {
    let root = tempfile::tempdir().expect("a directory");
    let config = config(root.path());
    prepare(&config).expect("prepared");
    let place = Workspace::of(&config, BuildId::random());
    let value = "x $HOME \"q\" é\n\n".to_owned();
    place.create(&ConfigVars([("A".to_owned(), value.clone())].into()), "").expect("made");
    assert_eq!(fs::read(place.env().join("A")).expect("there"), value.as_bytes());
    place.remove(&config).await.expect("removed");
    assert!(!place.tree().exists() && !place.env().exists());
}

#[tokio::test]
async fn what_an_earlier_run_left_is_removed_however_deep() {
    let root = tempfile::tempdir().expect("a directory");
    let config = config(root.path());
    prepare(&config).expect("prepared");
    let mut dir: OwnedFd = fs::File::open(&config.work_dir).expect("there").into();
    // Deeper than a path can be long, and than a recursive removal could go.
    for _ in 0..3_000 {
        mkdirat(&dir, "d", Mode::S_IRWXU).expect("made");
        dir = openat(&dir, "d", OFlag::O_DIRECTORY, Mode::empty()).expect("opened");
    }
    let left = prepare(&config).expect("prepared");
    assert_eq!(left.len(), 1);
    clear(&config, left).await;
    assert_eq!(fs::read_dir(&config.work_dir).expect("there").count(), 0);
}
