//! Blobs: naming, limits, and what is left behind.

use super::*;

/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn store() -> (tempfile::TempDir, BlobStore) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = BlobStore::open(directory.path()).expect("opened");
    (directory, store)
}

fn files_in(path: &Path) -> usize {
    entries(path).expect("listed").len()
}

#[tokio::test]
async fn a_blob_is_named_by_its_content_whichever_way_it_comes() {
    let (_directory, store) = store();
    let blob = store.put(&b"hello"[..], 100).await.expect("put");
    assert_eq!(blob, Blob { name: HELLO.to_owned(), bytes: 5 });
    assert_eq!(store.put_blocking(&b"hello"[..], 100).expect("put again"), blob);
    assert_eq!(store.list().expect("listed"), [HELLO]);
    let mut text = String::new();
    let mut file = store.get(HELLO).await.expect("opened").expect("there");
    file.read_to_string(&mut text).await.expect("read");
    assert_eq!(text, "hello");
    assert_eq!(fs::read(store.path(HELLO).expect("a name")).expect("read"), b"hello");
}

#[tokio::test]
async fn more_bytes_than_allowed_are_refused_and_leave_nothing() {
    let (directory, store) = store();
    assert!(matches!(store.put(&b"hello"[..], 4).await, Err(Error::TooLarge { limit: 4 })));
    assert!(matches!(store.put_blocking(&b"hello"[..], 4), Err(Error::TooLarge { limit: 4 })));
    assert!(store.put(&b"hello"[..], 5).await.is_ok());
    assert_eq!(files_in(&directory.path().join("incoming")), 0);
}

#[tokio::test]
async fn a_reader_that_fails_leaves_nothing() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let (directory, store) = store();
    let put = store.put_blocking(Read::chain(&b"half"[..], Broken), 100);
    assert!(matches!(put, Err(Error::Incoming { .. })));
    assert_eq!(files_in(&directory.path().join("incoming")), 0);
    assert_eq!(store.list().expect("listed"), Vec::<String>::new());
}

#[test]
fn only_old_blobs_are_deleted() {
    let (_directory, store) = store();
    store.put_blocking(&b"hello"[..], 100).expect("put");
    assert!(!store.delete_older(HELLO, Duration::from_secs(3600)).expect("looked"));
    assert!(store.delete_older(HELLO, Duration::ZERO).expect("deleted"));
    assert!(!store.delete_older(HELLO, Duration::ZERO).expect("was gone"));
    assert_eq!(store.list().expect("listed"), Vec::<String>::new());
}

#[test]
fn putting_again_makes_a_blob_young() {
    let (_directory, store) = store();
    store.put_blocking(&b"hello"[..], 100).expect("put");
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let file = File::options().append(true).open(store.path(HELLO).expect("a name"));
    file.expect("opened").set_modified(old).expect("aged");
    store.put_blocking(&b"hello"[..], 100).expect("put again");
    assert!(!store.delete_older(HELLO, Duration::from_secs(3600)).expect("looked"));
}

#[test]
fn names_that_are_not_hashes_reach_no_file() {
    let (_directory, store) = store();
    let upper = HELLO.to_uppercase();
    for name in ["", "..", "../../etc/passwd", "é", &HELLO[1..], upper.as_str()] {
        assert!(matches!(store.path(name), Err(Error::BlobName(_))), "{name}");
    }
}

#[test]
fn half_written_files_of_a_killed_server_are_removed_at_the_next_start() {
    let (directory, store) = store();
    let half = store.directory().incoming(100).expect("begun");
    std::mem::forget(half);
    assert_eq!(files_in(&directory.path().join("incoming")), 1);
    BlobStore::open(directory.path()).expect("opened again");
    assert_eq!(files_in(&directory.path().join("incoming")), 0);
}
