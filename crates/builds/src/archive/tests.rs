//! Hostile and odd archives.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::*;

/// An archive, written entry by entry without the checks of the tar library.
struct Archive(Builder<GzEncoder<Vec<u8>>>);

impl Archive {
    fn new() -> Self {
        Self(Builder::new(GzEncoder::new(Vec::new(), Compression::fast())))
    }

    fn entry(mut self, kind: EntryType, name: &str, link: &str, mode: u32, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_600_000_000);
        header.set_size(data.len() as u64);
        let raw = header.as_gnu_mut().expect("made as one");
        raw.name[..name.len()].copy_from_slice(name.as_bytes());
        raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, data).expect("appended");
        self
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.entry(EntryType::Regular, name, "", 0o644, data.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", 0o755, b"")
    }

    fn symlink(self, name: &str, to: &str) -> Self {
        self.entry(EntryType::Symlink, name, to, 0o777, b"")
    }

    fn hard_link(self, name: &str, to: &str) -> Self {
        self.entry(EntryType::Link, name, to, 0o644, b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("ended").finish().expect("compressed")
    }

    fn unpack(self, limits: Limits) -> (Unpacked, Result<(), ArchiveError>) {
        unpack_bytes(&self.bytes(), limits)
    }

    fn unpacked(self) -> Unpacked {
        let (unpacked, result) = self.unpack(DEFAULT_LIMITS);
        result.expect("unpacked");
        unpacked
    }

    fn refusal(self) -> String {
        let (unpacked, result) = self.unpack(DEFAULT_LIMITS);
        assert_eq!(unpacked.outside(), ["app.tar.gz", "tree"], "something was written outside");
        result.expect_err("refused").to_string()
    }
}

/// A tree that was unpacked, with the directory around it.
struct Unpacked(tempfile::TempDir);

impl Unpacked {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("tree").join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    fn outside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("a directory");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).into_string().expect("text")).collect();
        names.sort();
        names
    }
}

fn unpack_bytes(bytes: &[u8], limits: Limits) -> (Unpacked, Result<(), ArchiveError>) {
    let dir = tempfile::tempdir().expect("a directory");
    let archive = dir.path().join("app.tar.gz");
    fs::write(&archive, bytes).expect("written");
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).expect("made");
    let result = unpack(&archive, &tree, limits);
    (Unpacked(dir), result)
}

/// Hides the other entries of a test from the rule about a single top directory.
fn plain() -> Archive {
    Archive::new().file("package.json", "{}")
}

#[test]
fn files_keep_content_time_and_the_executable_bit_and_nothing_else() {
    let archive = plain()
        .entry(EntryType::Regular, "bin/run", "", 0o6775, b"#!")
        .file("./dot/slash", "x")
        .file("old-dir/", "");
    let tree = archive.unpacked();
    let run = fs::metadata(tree.path("bin/run")).expect("there");
    assert_eq!((run.mode() & 0o7777, run.uid(), run.gid()), (0o755, OWNER, OWNER));
    assert_eq!(run.mtime(), 1_600_000_000);
    assert_eq!(fs::metadata(tree.path("package.json")).expect("there").mode() & 0o7777, 0o644);
    assert_eq!(fs::metadata(tree.path("bin")).expect("there").uid(), OWNER);
    assert_eq!(tree.text("dot/slash"), "x");
    assert!(tree.path("old-dir").is_dir());
}

#[test]
fn paths_that_leave_the_tree_are_refused() {
    for name in ["../evil", "a/../../evil", "/evil", "a/..", ".."] {
        assert!(plain().file(name, "x").refusal().contains("not allowed"), "{name}");
    }
}

#[test]
fn nothing_is_written_through_a_symlink() {
    for to in ["/tmp", "..", "a"] {
        let archive = plain().dir("a").symlink("link", to).file("link/evil", "x");
        assert!(archive.refusal().contains("not a directory"), "{to}");
    }
    let deeper = plain().symlink("link", "..").dir("link/a");
    assert!(deeper.refusal().contains("not a directory"));
}

#[test]
fn a_file_that_follows_a_symlink_of_its_name_replaces_it() {
    let tree = plain().symlink("x", "../evil").file("x", "mine").unpacked();
    assert!(fs::symlink_metadata(tree.path("x")).expect("there").is_file());
    assert_eq!(tree.text("x"), "mine");
    assert_eq!(tree.outside(), ["app.tar.gz", "tree"]);
}

#[test]
fn symlinks_are_kept_as_they_are() {
    let tree = plain().symlink("out", "/etc/shadow").symlink("up", "../../x").unpacked();
    assert_eq!(fs::read_link(tree.path("out")).expect("a link"), Path::new("/etc/shadow"));
    let owner = fs::symlink_metadata(tree.path("up")).expect("there").uid();
    assert_eq!(owner, OWNER);
}

#[test]
fn devices_pipes_and_sparse_files_are_refused() {
    let kinds = [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::GNUSparse];
    for kind in kinds {
        let refusal = plain().entry(kind, "odd", "", 0o644, b"").refusal();
        assert!(refusal.contains("neither a file, a directory nor a link"), "{kind:?}");
    }
    let sparse = pax("GNU.sparse.realsize", "1099511627776");
    let archive = plain().entry(EntryType::XHeader, "pax", "", 0o644, &sparse).file("huge", "x");
    assert!(archive.refusal().contains("neither"));
}

#[test]
fn hard_links_lead_only_to_files_of_the_archive() {
    let tree = plain().file("a/b", "x").hard_link("c", "a/b").unpacked();
    assert_eq!(tree.text("c"), "x");
    let outside = plain().hard_link("c", "../app.tar.gz");
    assert!(outside.refusal().contains("not allowed"));
    let through = plain().symlink("up", "..").hard_link("c", "up/app.tar.gz");
    assert!(through.refusal().contains("hard link"));
    let to_symlink = plain().symlink("s", "/etc/shadow").hard_link("c", "s");
    assert!(to_symlink.refusal().contains("hard link"));
    assert!(plain().hard_link("c", "missing").refusal().contains("hard link"));
}

#[test]
fn a_directory_is_never_replaced() {
    assert!(plain().file("a/b", "x").file("a", "y").refusal().contains("twice"));
    assert!(plain().file("a", "x").file("a/b", "y").refusal().contains("not a directory"));
    assert!(plain().symlink(".", "/tmp").refusal().contains("twice"));
}

#[test]
fn names_may_hold_line_feeds_and_need_not_be_text() {
    let name = b"a\nb\xff";
    let mut long = vec![b'x'; 150];
    long.extend(name);
    let record = pax_bytes(b"path", &long);
    let archive = plain()
        .file("line\nfeed", "1")
        .entry(EntryType::XHeader, "pax", "", 0o644, &record)
        .file("short", "2");
    let tree = archive.unpacked();
    assert_eq!(tree.text("line\nfeed"), "1");
    let path = tree.path("").join(OsStr::from_bytes(&long));
    assert_eq!(fs::read(path).expect("there"), b"2");
}

#[test]
fn long_names_of_gnu_tar_are_read() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let data = format!("{long}\0");
    let archive = plain()
        .entry(EntryType::GNULongName, "././@LongLink", "", 0o644, data.as_bytes())
        .file("cut", "x");
    assert_eq!(archive.unpacked().text(&long), "x");
    let climbing = b"../evil\0";
    let archive = plain()
        .entry(EntryType::GNULongName, "././@LongLink", "", 0o644, climbing)
        .file("innocent", "x");
    assert!(archive.refusal().contains("not allowed"));
}

#[test]
fn bytes_entries_and_depth_are_bounded() {
    let limits = Limits { bytes: 10, entries: 3 };
    let (_, bytes) = plain().file("a", "123456789").unpack(limits);
    assert_eq!(bytes.expect_err("refused").to_string(), "the source is larger than 10B");
    let (_, entries) = plain().dir("a").dir("b").dir("c").unpack(limits);
    assert_eq!(entries.expect_err("refused").to_string(), "the source holds more than 3 files");
    let deep = "d/".repeat(45);
    assert!(plain().dir(&deep).unpack(DEFAULT_LIMITS).1.is_ok());
    let deeper = pax("path", &"d/".repeat(200));
    let archive = plain().entry(EntryType::XHeader, "pax", "", 0o644, &deeper).dir("x");
    assert!(archive.refusal().contains("not allowed"));
}

#[test]
fn a_size_that_only_the_header_claims_is_refused_before_anything_is_written() {
    let mut header = Header::new_gnu();
    header.set_path("huge").expect("short");
    header.set_size(1 << 40);
    header.set_mode(0o644);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(header.as_bytes()).expect("written");
    let (unpacked, result) = unpack_bytes(&gzip.finish().expect("compressed"), DEFAULT_LIMITS);
    assert!(matches!(result, Err(ArchiveError::Bytes(_))));
    assert!(!unpacked.path("huge").exists());
}

#[test]
fn what_is_not_an_archive_is_named_so() {
    let cut = &plain().file("a", &"x".repeat(100_000)).bytes()[..200];
    for bytes in [b"not gzip at all".as_slice(), b"", cut] {
        let (_, result) = unpack_bytes(bytes, DEFAULT_LIMITS);
        let error = result.expect_err("refused");
        assert_eq!(error.to_string(), "the source is not a readable tar.gz archive", "{bytes:?}");
    }
}

#[test]
fn gits_own_data_is_left_out() {
    let tree = plain().file(".git/hooks/x", "x").file("sub/.git", "gitdir: x").unpacked();
    assert!(!tree.path(".git").exists());
    assert!(!tree.path("sub/.git").exists());
}

#[test]
fn a_single_top_directory_is_taken_as_the_root() {
    let archive = Archive::new()
        .entry(EntryType::XGlobalHeader, "pax_global_header", "", 0o644, &pax("comment", "1234"))
        .dir("app-1234/")
        .file("app-1234/package.json", "{}")
        .file("app-1234/app-1234/x", "x");
    let tree = archive.unpacked();
    assert_eq!(tree.text("package.json"), "{}");
    assert_eq!(tree.text("app-1234/x"), "x");
    assert_eq!(tree.outside(), ["app.tar.gz", "tree"]);
    let link = Archive::new().symlink("only", "/tmp").unpacked();
    assert!(fs::symlink_metadata(link.path("only")).expect("there").is_symlink());
}

fn pax(key: &str, value: &str) -> Vec<u8> {
    pax_bytes(key.as_bytes(), value.as_bytes())
}

fn pax_bytes(key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = [b" ", key, b"=", value, b"\n"].concat();
    let mut length = body.len() + 1;
    while length.to_string().len() + body.len() != length {
        length += 1;
    }
    [length.to_string().as_bytes(), &body].concat()
}

fn slug_of(archive: Archive) -> (tempfile::TempDir, Result<PathBuf, ArchiveError>) {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, tree) = (dir.path().join("slug.tgz"), dir.path().join("tree"));
    fs::write(&file, archive.bytes()).expect("written");
    fs::create_dir(&tree).expect("made");
    let app = unpack_slug(&file, &tree, DEFAULT_LIMITS);
    (dir, app)
}

#[test]
fn a_slugs_app_is_what_lies_in_its_directory_app() {
    let archive = Archive::new().dir("./app/").file("./app/a", "1").file("./beside", "2");
    let (_dir, app) = slug_of(archive);
    let app = app.expect("unpacked");
    assert_eq!(fs::read_to_string(app.join("a")).expect("there"), "1");
    assert!(!app.join("beside").exists());
    for without in [Archive::new().file("a", "1"), Archive::new().symlink("app", "/etc")] {
        let (_dir, refused) = slug_of(without);
        assert!(matches!(refused, Err(ArchiveError::NoApp)));
    }
}
