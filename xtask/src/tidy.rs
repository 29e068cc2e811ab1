//! House rules that no lint knows: edges between rooms, lengths of files, module comments, where
//! `unsafe` and SQL may stand. Each finding says what the rule is for.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests (a map has room for one screenful of thoughts, not for ten).
const MAX_LINES: usize = 600;

/// Which rooms a room may use, as in ARCHITECTURE.md. Development dependencies are free.
const EDGES: [(&str, &[&str]); 13] = [
    ("model", &[]),
    ("store", &["model"]),
    ("control", &["model", "store"]),
    ("api", &["model", "control", "logplex"]),
    ("git", &["model", "control"]),
    ("builds", &["model", "control", "dynos"]),
    ("dynos", &["model", "store", "control", "logplex", "sandbox"]),
    ("sandbox", &[]),
    ("router", &["model"]),
    ("logplex", &["model"]),
    ("cli", &[]),
    ("testkit", &[]),
    (
        "hythe",
        &[
            "model", "store", "control", "api", "git", "builds", "dynos", "sandbox", "router",
            "logplex", "cli",
        ],
    ),
];

/// File names that are drawers without a label.
const DRAWERS: [&str; 6] = ["utils.rs", "util.rs", "helpers.rs", "misc.rs", "common.rs", "mod.rs"];

/// Everything that breaks a house rule.
pub fn findings() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the root");
    let mut findings = Vec::new();
    for (room, may_use) in EDGES {
        edges(root, room, may_use, &mut findings);
        for file in rust_files(&root.join("crates").join(room).join("src")) {
            source(root, room, &file, &mut findings);
        }
    }
    for name in directories(&root.join("crates")) {
        if !EDGES.iter().any(|(room, _)| *room == name) {
            findings
                .push(format!("crates/{name}: a room that ARCHITECTURE.md and tidy don't know"));
        }
    }
    findings
}

fn edges(root: &Path, room: &str, may_use: &[&str], findings: &mut Vec<String>) {
    let path = root.join("crates").join(room).join("Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(&path)
        .ok()
        .and_then(|text| toml::from_str(&text).ok())
        .unwrap_or_default();
    let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
    for name in dependencies.into_iter().flat_map(toml::Table::keys) {
        let is_room = EDGES.iter().any(|(other, _)| other == name);
        if is_room && !may_use.contains(&name.as_str()) {
            findings.push(format!(
                "crates/{room}/Cargo.toml: {room} may not use {name}; the edges are in ARCHITECTURE.md"
            ));
        }
    }
}

fn source(root: &Path, room: &str, file: &Path, findings: &mut Vec<String>) {
    let text = fs::read_to_string(file).unwrap_or_default();
    let name = file.strip_prefix(root).unwrap_or(file).display();
    let is_test =
        file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
    if !text.starts_with("//!") {
        findings.push(format!("{name}: no module comment; say what this file is and never does"));
    }
    let base = file.file_name().and_then(|base| base.to_str()).unwrap_or_default();
    if DRAWERS.contains(&base) {
        findings.push(format!("{name}: a drawer without a label; name it after what it holds"));
    }
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = product.lines().count();
    if lines > MAX_LINES && !is_test {
        findings.push(format!("{name}: {lines} lines, over {MAX_LINES}; it has two subjects"));
    }
    if room != "sandbox" && product.contains("unsafe ") && !product.contains("forbid(unsafe") {
        findings.push(format!("{name}: only `sandbox` may hold unsafe code"));
    }
    let sql = ["INSERT INTO ", "SELECT ", "DELETE FROM "];
    if room != "store" && !is_test && sql.iter().any(|word| product.contains(word)) {
        findings.push(format!("{name}: only `store` may hold SQL"));
    }
}

fn directories(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let findings = super::findings();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
