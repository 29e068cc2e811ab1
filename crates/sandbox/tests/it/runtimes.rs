//! What one runtime grants and another does not.

use std::collections::BTreeSet;

use crate::house::House;

#[test]
fn no_runtime_grants_what_another_does_not() {
    let house = House::build();
    let [crun, runc] = ["/usr/bin/crun", "/usr/bin/runc"].map(|runtime| {
        let mut spec = house.probe(&["survey"]);
        spec.runtime = runtime.into();
        spec.hostname = "dyno".into();
        let (status, text) = house.output(&spec);
        assert_eq!(status, 0, "{text}");
        text.lines().map(as_compared).collect::<BTreeSet<String>>()
    });
    assert!(crun.len() > 300, "{crun:#?}");
    let only_crun: Vec<_> = crun.difference(&runc).collect();
    let only_runc: Vec<_> = runc.difference(&crun).collect();
    assert!(only_crun.is_empty() && only_runc.is_empty(), "{only_crun:#?} {only_runc:#?}");
}

/// Files of `/proc` are covered with an empty file by the one and with the null device by the other.
const COVERED: [&str; 8] =
    ["config.gz", "interrupts", "kallsyms", "kcore", "key-users", "keys", "kmsg", "timer_list"];

fn as_compared(line: &str) -> String {
    let covered = |name: &&&str| line.starts_with(&format!("mount /proc/{name} "));
    match COVERED.iter().find(covered) {
        Some(name) => format!("mount /proc/{name}"),
        None => line.to_owned(),
    }
}
