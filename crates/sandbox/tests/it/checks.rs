//! The doctor's view of the machine the tests run on.

use std::path::Path;

#[test]
fn a_machine_that_runs_these_tests_passes_every_check() {
    let checks = sandbox::checks::all(Path::new("/usr/bin/crun"));
    let wrong: Vec<_> = checks.iter().filter(|check| !check.ok).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let runtime = checks.iter().find(|check| check.name == "OCI runtime").unwrap();
    assert!(runtime.found.starts_with("crun"), "{runtime:?}");
}
