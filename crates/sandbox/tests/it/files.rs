//! What a dyno sees and writes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use sandbox::protocol::{Event, Mount, Root};

use crate::house::House;

#[test]
fn the_slug_is_the_app_and_belongs_to_the_dyno() {
    let house = House::build();
    let mut spec = house.spec("pwd; cat lib/a; stat -c '%U %G' . lib lib/a; find . | sort");
    spec.slug = Some(house.slug(&[("lib/a", "text\n"), ("Procfile", "web: x\n")]));
    let (status, text) = house.output(&spec);
    assert_eq!(status, 0, "{text}");
    let expected = "/app\ntext\ndyno dyno\ndyno dyno\ndyno dyno\n.\n./Procfile\n./lib\n./lib/a\n";
    assert_eq!(text, expected);
}

#[test]
fn writes_to_the_app_vanish() {
    let house = House::build();
    let slug = house.slug(&[("lib/a", "old\n"), ("lib/b", "b\n")]);
    for scratch in [None, Some(house.directory.path().to_path_buf())] {
        let mut spec = house.spec(
            "set -e; cat lib/a; echo new > lib/a; rm lib/b; mkdir made; mv lib moved; echo x > top; cat moved/a",
        );
        spec.slug = Some(slug.clone());
        spec.scratch = scratch;
        spec.limits.disk_bytes = 8 << 20;
        // Twice the same: the second start sees nothing of the first.
        assert_eq!(house.output(&spec), (0, "old\nnew\n".to_owned()));
        let mut again = house.spec("ls; cat lib/a lib/b");
        again.slug = Some(slug.clone());
        assert_eq!(house.output(&again), (0, "Procfile\nlib\nold\nb\n".replace("Procfile\n", "")));
    }
}

#[test]
fn dynos_of_a_slug_share_one_loop_device() {
    let house = House::build();
    let slug = house.slug(&[("a", "text")]);
    let start = || {
        let mut spec = house.spec("sleep 1000");
        spec.slug = Some(slug.clone());
        let mut dyno = house.start(&spec);
        dyno.expect_running();
        dyno
    };
    let dynos = [start(), start(), start()];
    let blocks = fs::read_dir("/sys/block").unwrap();
    let files = blocks.map(|block| block.unwrap().path().join("loop/backing_file"));
    let names = files.filter_map(|file| fs::read_to_string(file).ok());
    assert_eq!(names.filter(|name| name.trim() == slug.to_str().unwrap()).count(), 1);
    drop(dynos);
}

#[test]
fn the_base_cannot_be_written() {
    let house = House::build();
    let text = house.shell(
        "for path in / /usr /usr/bin /etc /bin /lib /dev /sys /proc /run /var; do
             touch $path/x 2>/dev/null && echo wrote $path
         done
         echo x > /etc/passwd; echo x >> /usr/bin/env; true",
    );
    assert!(!text.contains("wrote"), "{text}");
    assert!(text.contains("/etc/passwd: "), "{text}");
}

#[test]
fn temporary_directories_are_there_and_executable() {
    let house = House::build();
    let text = house.shell(
        "stat -c '%a' /tmp /var/tmp /dev/shm; for d in /tmp /var/tmp /app; do
             printf '#!/bin/sh\necho ran\n' > $d/x; chmod +x $d/x; $d/x; done",
    );
    assert_eq!(text, "1777\n1777\n1777\nran\nran\nran\n");
}

#[test]
fn mounts_show_ids_as_they_are_on_the_disk() {
    let house = House::build();
    let tree = house.directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("mine"), "mine\n").unwrap();
    fs::write(tree.join("roots"), "roots\n").unwrap();
    for path in [&tree, &tree.join("mine")] {
        chown(path, Some(1000), Some(1000)).unwrap();
    }
    fs::set_permissions(tree.join("roots"), PermissionsExt::from_mode(0o600)).unwrap();
    let script = house.directory.path().join("driver");
    fs::write(&script, "echo driven\n").unwrap();
    let mut spec = house.spec(
        "sh /tmp/codon/driver; cd /tmp/tree; stat -c '%U' . mine roots; echo made > made; echo x >> mine; \
         cat roots; cat mine; mknod device b 1 1; cp /bin/true suid && chmod 4755 suid; \
         echo x > /tmp/read-only/mine",
    );
    let mount = |source: &std::path::Path, target: &str, writable| Mount {
        source: source.into(),
        target: target.into(),
        writable,
    };
    spec.mounts.push(mount(&tree, "/tmp/tree", true));
    spec.mounts.push(mount(&tree, "/tmp/read-only", false));
    spec.mounts.push(mount(&script, "/tmp/codon/driver", false));
    let (_, text) = house.output(&spec);
    assert!(text.starts_with("driven\ndyno\ndyno\nroot\n"), "{text}");
    assert!(text.contains("\nmine\nx\n"), "{text}");
    assert!(text.contains("roots: Permission denied"), "{text}");
    assert!(text.contains("device: Operation not permitted"), "{text}");
    assert!(text.contains("/tmp/read-only/mine: Read-only file system"), "{text}");
    let made = fs::metadata(tree.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (1000, 1000));
}

#[test]
fn a_mount_is_not_made_through_a_symbolic_link() {
    let house = House::build();
    let tree = house.directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    symlink("/etc", tree.join("out")).unwrap();
    let mut spec = house.spec("true");
    let mount = |source: &std::path::Path, target: &str| Mount {
        source: source.into(),
        target: target.into(),
        writable: true,
    };
    spec.mounts.push(mount(&tree, "/tmp/tree"));
    spec.mounts.push(mount(&tree, "/tmp/tree/out/made"));
    let mut dyno = house.start(&spec);
    let Event::Failed { reason } = dyno.next() else { panic!("it should not start") };
    assert!(reason.contains("/tmp/tree/out/made"), "{reason}");
    assert!(!fs::exists("/etc/made").unwrap());
    dyno.forget();
}

#[test]
fn a_directory_can_be_the_root() {
    let house = House::build();
    let root = house.directory.path().join("root");
    for name in ["etc", "usr/share", "opt/own"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    // A root of its own /etc, with the machine's programs.
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    fs::write(root.join("etc/os-release"), "ID=own\n").unwrap();
    for (name, to) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        symlink(to, root.join(name)).unwrap();
    }
    let mut spec = house
        .spec("cat /etc/os-release; whoami; ls /opt; touch /opt/own/x || echo kept; ls /; cat a");
    spec.root = Root::Directory(root.clone());
    spec.slug = Some(house.slug(&[("a", "app\n")]));
    for name in ["bin", "lib", "lib64"] {
        spec.mounts.push(Mount {
            source: format!("/usr/{name}").into(),
            target: format!("/usr/{name}").into(),
            writable: false,
        });
    }
    let (status, text) = house.output(&spec);
    assert_eq!(status, 0, "{text}");
    assert!(text.starts_with("ID=own\ndyno\nown\n"), "{text}");
    assert!(text.contains("Read-only file system\nkept\n"), "{text}");
    assert!(text.contains("\nproc\n") && text.contains("app\n"), "{text}");
    assert_eq!(fs::read_dir(root.join("opt/own")).unwrap().count(), 0);
    assert!(!root.join("app").exists());
}
