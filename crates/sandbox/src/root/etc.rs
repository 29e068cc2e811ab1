//! What a dyno sees of `/etc`: an allow-list of the host's, and a few files of its own.

use std::fs;
use std::path::Path;

use crate::error::{Attempt, Result};
use crate::ids::USER;
use crate::network::resolvers;
use crate::protocol::{self, Spec};
use crate::tree::{Access, Root};

/// Of the host's `/etc`, when it lends its programs: what they need to work, and nothing that says
/// who else is on the machine.
const SHOWN: [&str; 29] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "debian_version",
    "fonts",
    "gai.conf",
    "host.conf",
    "ImageMagick-6",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "lsb-release",
    "magic",
    "maven",
    "mime.types",
    "nsswitch.conf",
    "npmrc",
    "os-release",
    "perl",
    "pip.conf",
    "pki",
    "profile",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
];

/// Directories of `/etc` that languages keep one of for each of their versions.
const VERSIONED: [&str; 2] = ["java-", "python"];

/// Users besides the dyno's own that programs expect to find.
const USERS: &str = "root:x:0:0:root:/root:/usr/sbin/nologin\n\
                     nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUPS: &str = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n";

/// Fills `/etc`.
pub fn write(root: &Root, spec: &Spec) -> Result<()> {
    if matches!(spec.root, protocol::Root::Host) {
        show_hosts_own(root)?;
    }
    let user = format!("dyno:x:{USER}:{USER}::/app:/bin/bash\n");
    let group = format!("dyno:x:{USER}:\n");
    root.write("/etc/passwd", with(&spec.root, "passwd", USERS, &user)?.as_bytes())?;
    root.write("/etc/group", with(&spec.root, "group", GROUPS, &group)?.as_bytes())?;
    let name = &spec.hostname;
    let address = spec.network.address;
    root.write("/etc/hostname", format!("{name}\n").as_bytes())?;
    let hosts = format!("127.0.0.1 localhost\n{address} {name}\n");
    root.write("/etc/hosts", hosts.as_bytes())?;
    root.write("/etc/resolv.conf", resolvers::configuration().as_bytes())
}

fn show_hosts_own(root: &Root) -> Result<()> {
    let names = fs::read_dir("/etc").attempt(|| "list /etc")?;
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let versioned = names.filter(|name| VERSIONED.iter().any(|prefix| name.starts_with(prefix)));
    for name in SHOWN.into_iter().map(str::to_owned).chain(versioned) {
        let source = Path::new("/etc").join(&name);
        if let Ok(to) = source.read_link() {
            root.link(&format!("/etc/{name}"), &to)?;
        } else if source.exists() {
            root.show(&source, &source, Access::Read)?;
        }
    }
    Ok(())
}

/// The base's own user or group file without any entry for the dyno's id, and ours.
fn with(base: &protocol::Root, file: &str, usual: &str, own: &str) -> Result<String> {
    let text = match base {
        protocol::Root::Host => usual.to_owned(),
        protocol::Root::Directory(directory) => {
            let path = directory.join("etc").join(file);
            fs::read_to_string(&path).attempt(|| format!("read {}", path.display()))?
        }
    };
    let id = USER.to_string();
    let others = text.lines().filter(|line| line.split(':').nth(2) != Some(&*id));
    Ok(others.flat_map(|line| [line, "\n"]).chain([own]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dynos_user_takes_the_place_of_the_bases() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("etc")).unwrap();
        let text = "root:x:0:0::/root:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n";
        fs::write(base.path().join("etc/passwd"), text).unwrap();
        let base = protocol::Root::Directory(base.path().into());
        let passwd = with(&base, "passwd", USERS, "dyno:x:1000:1000::/app:/bin/bash\n").unwrap();
        let wanted = "root:x:0:0::/root:/bin/sh\ndyno:x:1000:1000::/app:/bin/bash\n";
        assert_eq!(passwd, wanted);
    }
}
