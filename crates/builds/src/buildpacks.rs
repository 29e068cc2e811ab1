//! The built-in buildpacks, carried inside the binary and written out when the server starts.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use model::Remote;
use model::remote::without_password;
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
        "lib/memory.sh",
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
        "lib/memory.sh",
        "lib/output.sh",
        "lib/versions.sh",
        "profile/python.sh",
    ],
    "java": [
        "bin/detect",
        "bin/compile",
        "bin/release",
        "lib/jdk.sh",
        "lib/memory.sh",
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
    /// It must be fetched.
    Elsewhere(Remote),
}

impl Buildpack {
    /// The line that tells the driver: kind, name, place and reference, with tabs between. None of
    /// them holds white space ([`resolve`] sees to it).
    #[must_use]
    pub fn line(&self) -> String {
        match &self.origin {
            Origin::BuiltIn(dir) => format!("built-in\t{}\t{dir}\t\n", self.name),
            Origin::Elsewhere(remote) => line(&self.name, remote),
        }
    }
}

/// The line that tells the driver of something to fetch. White space is in none of its parts.
#[must_use]
pub fn line(name: &str, remote: &Remote) -> String {
    match remote {
        Remote::Git { url, reference } => {
            let reference = reference.as_deref().unwrap_or_default();
            format!("git\t{name}\t{}\t{reference}\n", url.reveal())
        }
        Remote::Archive(url) => format!("archive\t{name}\t{}\t\n", url.reveal()),
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
    if let Some((dir, _)) = found {
        return Ok(built_in(dir));
    }
    let remote: Remote = short.parse().map_err(|_| Unavailable(without_password(reference)))?;
    Ok(Buildpack { name: remote.to_string(), origin: Origin::Elsewhere(remote) })
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
            // Not a buildpack's own; what is in lib is linked to from those that use it.
            let others = ["README.md", "lib/memory.sh", "lib/output.sh"];
            files.retain(|file| !others.iter().any(|other| file == Path::new(other)));
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
    fn addresses_of_others_are_fetched() {
        let address = "https://me:secret@github.com/heroku/heroku-buildpack-nodejs#v200";
        let pack = resolve(address).expect("an address");
        assert_eq!(pack.name, "https://github.com/heroku/heroku-buildpack-nodejs#v200");
        assert_eq!(
            pack.line(),
            "git\thttps://github.com/heroku/heroku-buildpack-nodejs#v200\t\
             https://me:secret@github.com/heroku/heroku-buildpack-nodejs\tv200\n"
        );
    }
}
