//! The built-in buildpacks, carried inside the binary and written out when the server starts.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

macro_rules! embedded {
    ($($pack:literal: [$($file:literal),* $(,)?]),* $(,)?) => {
        &[$(($pack, &[$((
            $file,
            include_str!(concat!("../../../buildpacks/", $pack, "/", $file)),
        )),*])),*]
    };
}

/// Name and content of one file.
type Embedded = (&'static str, &'static str);

/// In the order in which they are asked whether they know an app.
const PACKS: &[(&str, &[Embedded])] = embedded! {
    "ruby": [
        "bin/detect",
        "bin/compile",
        "bin/release",
        "lib/assets.sh",
        "lib/output.sh",
        "lib/versions.sh",
        "profile/rails.sh",
        "profile/ruby.sh",
    ],
    "nodejs": [
        "bin/detect",
        "bin/compile",
        "bin/release",
        "lib/npm.sh",
        "lib/output.sh",
        "lib/package.js",
        "lib/pnpm.sh",
        "lib/runtime.sh",
        "lib/yarn.sh",
        "profile/nodejs.sh",
    ],
    "python": [
        "bin/detect",
        "bin/compile",
        "bin/release",
        "lib/django.sh",
        "lib/installers.sh",
        "lib/output.sh",
        "lib/versions.sh",
        "profile/python.sh",
    ],
    "java": [
        "bin/detect",
        "bin/compile",
        "bin/release",
        "lib/jdk.sh",
        "lib/output.sh",
        "profile/java.sh",
    ],
    "go": ["bin/detect", "bin/compile", "bin/release", "lib/output.sh"],
    "procfile": ["bin/detect", "bin/compile", "bin/release"],
};

/// One buildpack of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buildpack {
    /// As it is shown to people: `heroku/nodejs`, or an address without its password.
    pub name: String,
    /// Where it is.
    pub origin: Origin,
}

/// Where a buildpack is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It comes with the platform: its directory, below the one that holds all.
    BuiltIn(&'static str),
    /// A git repository.
    Git {
        /// Its address.
        url: String,
        /// A branch, tag or commit; the repository's own choice without.
        reference: Option<String>,
    },
    /// A tar.gz archive.
    Archive(String),
}

impl Buildpack {
    /// The line that tells the driver: kind, name, place and reference, with tabs between. None of
    /// them holds white space ([`resolve`] sees to it).
    #[must_use]
    pub fn line(&self) -> String {
        let (kind, place, reference) = match &self.origin {
            Origin::BuiltIn(dir) => ("built-in", *dir, ""),
            Origin::Git { url, reference } => {
                ("git", url.as_str(), reference.as_deref().unwrap_or_default())
            }
            Origin::Archive(url) => ("archive", url.as_str(), ""),
        };
        format!("{kind}\t{}\t{place}\t{reference}\n", self.name)
    }
}

/// A buildpack that a build cannot use. The text is shown to people.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "buildpack {0} is not known. Name an https:// address of a git repository (with #branch if you \
     like) or of a .tgz archive, or one of {list}.",
    list = names().join(", ")
)]
pub struct Unavailable(pub String);

/// All built-in buildpacks, in the order of detection.
#[must_use]
pub fn all() -> Vec<Buildpack> {
    PACKS.iter().map(|(dir, _)| built_in(dir)).collect()
}

/// Names of all built-in buildpacks, as people set them: `heroku/nodejs`.
#[must_use]
pub fn names() -> Vec<String> {
    all().into_iter().map(|pack| pack.name).collect()
}

/// The buildpack that a person set as `reference`: the name of a built-in one, the address of Heroku's
/// own of that name, or the address of any other.
///
/// # Errors
/// When it is neither.
pub fn resolve(reference: &str) -> Result<Buildpack, Unavailable> {
    let reference = reference.trim();
    let short = reference.strip_prefix("urn:buildpack:").unwrap_or(reference);
    let git = short
        .strip_prefix("https://github.com/heroku/heroku-buildpack-")
        .map(|rest| rest.trim_end_matches('/').trim_end_matches(".git"));
    let archive = short
        .strip_prefix("https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/")
        .and_then(|rest| rest.strip_suffix(".tgz"));
    let name = git.or(archive).or_else(|| short.strip_prefix("heroku/")).unwrap_or_default();
    let found = PACKS.iter().find(|(dir, _)| *dir == name);
    let pack = found.map(|(dir, _)| built_in(dir)).or_else(|| elsewhere(short));
    pack.ok_or_else(|| Unavailable(without_password(reference)))
}

/// A buildpack that must be fetched. Only from the network: an address never means a file of this
/// machine, or a program to run.
fn elsewhere(address: &str) -> Option<Buildpack> {
    let is_plain = |text: &str| !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let (scheme, rest) = address.split_once("://").filter(|_| is_plain(address))?;
    if rest.is_empty() || !["https", "http", "git"].contains(&scheme) {
        return None;
    }
    let name = without_password(address);
    let (url, reference) = match address.split_once('#') {
        Some((url, reference)) => (url, Some(reference).filter(|text| !text.is_empty())),
        None => (address, None),
    };
    if scheme != "git" && is_archive(url) {
        return Some(Buildpack { name, origin: Origin::Archive(url.to_owned()) });
    }
    // A reference that begins with a dash would be an option of git's.
    let reference = match reference {
        Some(text) if text.starts_with('-') => return None,
        other => other.map(str::to_owned),
    };
    Some(Buildpack { name, origin: Origin::Git { url: url.to_owned(), reference } })
}

fn is_archive(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or(url);
    [".tgz", ".tar.gz"].iter().any(|end| path.ends_with(end))
}

/// `https://user:password@host/x` as `https://host/x`: transcripts are read by many.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{}", &rest[end..]),
        None => address.to_owned(),
    }
}

/// Writes the buildpacks below `root` unless this version of them is there, and answers where.
///
/// # Errors
/// When they cannot be written.
pub fn install(root: &Path) -> io::Result<PathBuf> {
    let place = root.join(version());
    if place.is_dir() {
        return Ok(place);
    }
    // Written aside and renamed: whoever finds the place finds it whole.
    let incoming = root.join("incoming");
    remove_if_there(&incoming)?;
    for (dir, files) in PACKS {
        for (name, content) in *files {
            write(&incoming.join(dir).join(name), content)?;
        }
    }
    fs::rename(&incoming, &place)?;
    Ok(place)
}

fn built_in(dir: &'static str) -> Buildpack {
    Buildpack { name: format!("heroku/{dir}"), origin: Origin::BuiltIn(dir) }
}

fn version() -> String {
    let mut hash = Sha256::new();
    for (dir, files) in PACKS {
        for (name, content) in *files {
            for part in [dir, name, content] {
                hash.update(part.len().to_le_bytes());
                hash.update(part);
            }
        }
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Everything is readable and runnable by the build's user, who is not ours.
fn write(path: &Path, content: &str) -> io::Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)?;
    for dir in parent.ancestors().take(2) {
        fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    }
    fs::write(path, content)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_buildpacks_is_carried() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../buildpacks");
        let root = tempfile::tempdir().expect("a directory");
        let place = install(root.path()).expect("installed");
        let listing = |dir: &Path| {
            let mut files = Vec::new();
            let mut waiting = vec![dir.to_owned()];
            while let Some(next) = waiting.pop() {
                for entry in fs::read_dir(&next).expect("a directory") {
                    let path = entry.expect("an entry").path();
                    if path.is_dir() {
                        waiting.push(path);
                    } else {
                        files.push(path.strip_prefix(dir).expect("below").to_owned());
                    }
                }
            }
            files.retain(|file| file != Path::new("README.md"));
            files.sort();
            files
        };
        assert_eq!(listing(&place), listing(&source));
        let mode = fs::metadata(place.join("nodejs/bin/compile")).expect("there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o755);
        assert_eq!(install(root.path()).expect("again"), place);
    }

    #[test]
    fn names_and_addresses_of_herokus_own_lead_to_the_built_in_ones() {
        for reference in [
            "heroku/nodejs",
            "urn:buildpack:heroku/nodejs",
            "https://github.com/heroku/heroku-buildpack-nodejs",
            "https://github.com/heroku/heroku-buildpack-nodejs.git",
            "https://buildpack-registry.s3.amazonaws.com/buildpacks/heroku/nodejs.tgz",
        ] {
            assert_eq!(resolve(reference).expect(reference).name, "heroku/nodejs");
        }
        for reference in ["", "heroku/", "heroku/cobol", "nodejs", "file:///etc", "git@x.example:y"]
        {
            assert_eq!(resolve(reference), Err(Unavailable(reference.to_owned())));
        }
        let error = resolve("heroku/cobol").expect_err("unknown").to_string();
        assert!(error.starts_with("buildpack heroku/cobol is not known."), "{error}");
    }

    #[test]
    fn addresses_of_others_are_repositories_or_archives() {
        let git = |url: &str, reference: Option<&str>| Origin::Git {
            url: url.to_owned(),
            reference: reference.map(str::to_owned),
        };
        for (address, name, origin) in [
            (
                "https://x.example/y.git#v1",
                "https://x.example/y.git#v1",
                git("https://x.example/y.git", Some("v1")),
            ),
            ("git://x.example/y", "git://x.example/y", git("git://x.example/y", None)),
            (
                "https://me:secret@x.example/y#",
                "https://x.example/y#",
                git("https://me:secret@x.example/y", None),
            ),
            (
                "https://github.com/heroku/heroku-buildpack-nodejs#v200",
                "https://github.com/heroku/heroku-buildpack-nodejs#v200",
                git("https://github.com/heroku/heroku-buildpack-nodejs", Some("v200")),
            ),
            (
                "https://x.example/y.tgz?v=1",
                "https://x.example/y.tgz?v=1",
                Origin::Archive("https://x.example/y.tgz?v=1".to_owned()),
            ),
        ] {
            assert_eq!(resolve(address), Ok(Buildpack { name: name.to_owned(), origin }));
        }
        for address in ["https://", "https://x.example/a b", "https://x.example/y#--upload-pack=x"]
        {
            assert!(resolve(address).is_err(), "{address}");
        }
    }
}
