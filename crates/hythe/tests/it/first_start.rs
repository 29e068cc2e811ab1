//! The first start, and the second.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::{binary, server};

#[test]
fn the_data_directory_is_private_and_a_second_start_reuses_everything() {
    let mut server = server();
    let mode = fs::metadata(server.data_dir()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let read = |name: &str| fs::read(server.data_dir().join(name)).expect("there");
    let before: Vec<Vec<u8>> = ["secrets.key", "tls/ca.pem", "tls/server.pem"].map(read).into();
    let whoami = |server: &testkit::Server| server.person().heroku(&["auth:whoami"]);
    assert_eq!(whoami(&server), "ada@example.com\n");

    server.stop();
    server.start_again();

    let read = |name: &str| fs::read(server.data_dir().join(name)).expect("there");
    let after: Vec<Vec<u8>> = ["secrets.key", "tls/ca.pem", "tls/server.pem"].map(read).into();
    assert!(before == after, "a second start made new keys");
    assert_eq!(whoami(&server), "ada@example.com\n");
}

#[test]
fn the_token_is_not_stored_readable() {
    let server = server();
    for entry in fs::read_dir(server.data_dir()).expect("there") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = fs::read(&path).expect("readable");
            let token = server.token().as_bytes();
            let found = bytes.windows(token.len()).any(|window| window == token);
            assert!(!found, "{} holds the token", path.display());
        }
    }
}

#[test]
fn the_doctor_finds_this_machine_fit() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = Command::new(binary())
        .args(["doctor", "--data-dir"])
        .arg(dir.path())
        .output()
        .expect("the doctor");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for subject in ["control groups", "crun", "git", "disk", "port"] {
        assert!(text.to_lowercase().contains(subject), "nothing on {subject}:\n{text}");
    }
}

#[test]
fn the_doctor_looks_for_the_runtime_that_the_settings_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let doctor = |settings: &str| {
        std::fs::write(dir.path().join("hythe.toml"), settings).expect("written");
        let mut doctor = Command::new(binary());
        let output = doctor.args(["doctor", "--data-dir"]).arg(dir.path()).output();
        let output = output.expect("the doctor");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let text = doctor("runtime = \"/nonexistent/oci\"\n");
    assert!(text.contains("LACK  OCI runtime"), "{text}");
    assert!(text.contains("apt-get install oci,"), "{text}");
    let text = doctor("runtimes = \"crun\"\n");
    assert!(text.contains("LACK  settings") && text.contains("runtimes"), "{text}");
}
