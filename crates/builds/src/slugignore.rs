//! `.slugignore`: what is removed from the source before a buildpack sees it.
//!
//! One pattern a line; blank lines and `#` comments are skipped. A pattern with a slash is anchored
//! at the root, one without matches at any depth. There is no negation (Heroku, "Slug Compiler").

mod glob;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::plain_file;
use glob::Pattern;

const FILE: &str = ".slugignore";
const MAX_BYTES: u64 = 64 * 1024;
const MAX_PATTERNS: usize = 1000;

/// Removes from `tree` what its `.slugignore` names and says how many paths that were; `None` when
/// there is no such file.
///
/// # Errors
/// When the disk fails, or the file is over 64 KiB or a thousand patterns.
pub fn apply(tree: &Path) -> io::Result<Option<usize>> {
    let Some(text) = plain_file::read(&tree.join(FILE), MAX_BYTES)? else { return Ok(None) };
    let patterns = parse(&text);
    if patterns.len() > MAX_PATTERNS {
        let text = format!("{FILE} has more than {MAX_PATTERNS} patterns");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut deleted = 0;
    if !patterns.is_empty() {
        prune(tree, &mut Vec::new(), &patterns, &mut deleted)?;
    }
    Ok(Some(deleted))
}

fn parse(text: &[u8]) -> Vec<Pattern> {
    text.split(|&byte| byte == b'\n')
        .map(|line| line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii())
        .filter(|line| !line.is_empty())
        .map(Pattern::new)
        .collect()
}

/// Walks without following symlinks. The depth is that of an unpacked archive, hence bounded.
fn prune(
    dir: &Path,
    names: &mut Vec<OsString>,
    patterns: &[Pattern],
    deleted: &mut usize,
) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_dir = entry.file_type()?.is_dir();
        names.push(entry.file_name());
        let parts: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        if patterns.iter().any(|pattern| pattern.matches(&parts)) {
            *deleted += 1;
            if is_dir { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        } else if is_dir {
            prune(&entry.path(), names, patterns, deleted)?;
        }
        names.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree_after(slugignore: &str, files: &[&str]) -> (usize, Vec<String>) {
        let dir = tempfile::tempdir().expect("a directory");
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, "").expect("written");
        }
        fs::write(dir.path().join(FILE), slugignore).expect("written");
        let deleted = apply(dir.path()).expect("applied").expect("there is a file");
        let left = files.iter().filter(|file| dir.path().join(file).exists());
        (deleted, left.map(|&file| file.to_owned()).collect())
    }

    #[test]
    fn patterns_without_a_slash_match_at_any_depth_and_others_at_the_root() {
        let (deleted, left) = tree_after(
            "# tests\n\n*.psd  # heavy\n/test\nspec/\ndoc/*.md\n",
            &["a.psd", "x/y/b.psd", "test/t.js", "x/test/t.js", "spec/s", "doc/a.md", "doc/x/b.md"],
        );
        assert_eq!(deleted, 5);
        assert_eq!(left, ["x/test/t.js", "doc/x/b.md"]);
    }

    #[test]
    fn there_is_no_negation_and_no_way_out_of_the_tree() {
        let (deleted, left) = tree_after("../*\n!a\n/\n.\n", &["a", "!b"]);
        assert_eq!((deleted, left.len()), (0, 2));
    }

    #[test]
    fn symlinks_are_removed_and_never_followed() {
        let outside = tempfile::tempdir().expect("a directory");
        fs::write(outside.path().join("keep.psd"), "").expect("written");
        let dir = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).expect("linked");
        std::os::unix::fs::symlink(outside.path(), dir.path().join("a.psd")).expect("linked");
        fs::write(dir.path().join(FILE), "*.psd\n").expect("written");
        assert_eq!(apply(dir.path()).expect("applied"), Some(1));
        assert!(outside.path().join("keep.psd").exists());
        assert!(dir.path().join("link").exists());
    }

    #[test]
    fn without_the_file_nothing_happens() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(apply(dir.path()).expect("applied"), None);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join(FILE)).expect("linked");
        assert_eq!(apply(dir.path()).expect("applied"), None);
    }
}
