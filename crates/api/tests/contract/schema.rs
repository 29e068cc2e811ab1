//! Heroku's published schema, as a judge of answers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Where the schema lies, if not beside the workspace.
const PATH_VARIABLE: &str = "HYTHE_PLATFORM_SCHEMA";

/// What the schema says that cannot be true of another host than Heroku's, or is not true of
/// Heroku's own answers.
const ADAPTED: [(&str, &str); 4] = [
    // Names git.heroku.com.
    ("/definitions/app/definitions/git_url", "pattern"),
    // Names herokuapp.com.
    ("/definitions/app/definitions/web_url", "pattern"),
    // Says `uri`; its own example is a host name.
    ("/definitions/domain/definitions/hostname", "format"),
    // Lists Amazon's regions.
    ("/definitions/region/definitions/provider/properties/region", "enum"),
];

/// Properties that an answer need not have.
const OPTIONAL: [&str; 3] = [
    // Only for apps of another generation; the CLI does not look.
    "build.generation",
    // Only for deleted slugs.
    "slug.deleted_at",
    // In answers to the creation of a webhook.
    "webhook.secret",
];

/// The schema.
pub struct Schema {
    root: Value,
    pub links: Vec<Link>,
}

/// One request that the schema describes.
pub struct Link {
    pub method: String,
    /// `/apps/{app}/releases/{release}`.
    pub template: String,
    target: Option<Value>,
}

impl Link {
    /// `GET /apps/{app}`.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }

    fn takes(&self, method: &str, path: &str) -> bool {
        let mut wanted = self.template.split('/');
        let mut given = path.split('/');
        let pairs = wanted.by_ref().zip(given.by_ref());
        let same =
            pairs.into_iter().all(|(wanted, given)| wanted == given || wanted.starts_with('{'));
        self.method == method
            && same
            && self.template.matches('/').count() == path.matches('/').count()
    }

    fn fixed_parts(&self) -> usize {
        self.template.split('/').filter(|part| !part.starts_with('{')).count()
    }
}

impl Schema {
    /// Reads the schema.
    pub fn load() -> Self {
        let path = path();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("cannot read Heroku's schema at {}: {error}", path.display())
        });
        let mut root: Value = serde_json::from_str(&text).expect("the schema is JSON");
        for (pointer, keyword) in ADAPTED {
            let definition = root.pointer_mut(pointer).and_then(Value::as_object_mut);
            let definition = definition.unwrap_or_else(|| panic!("no {pointer} in the schema"));
            assert!(definition.remove(keyword).is_some(), "no {keyword} in {pointer} any more");
        }
        let links = links(&root);
        Self { root, links }
    }

    /// The link that a request is an instance of: of several the one with the most fixed parts.
    pub fn link(&self, method: &str, path: &str) -> Option<&Link> {
        let candidates = self.links.iter().filter(|link| link.takes(method, path));
        candidates.max_by_key(|link| link.fixed_parts())
    }

    /// What is wrong with `answer` as a success of `link`; nothing if it is good.
    pub fn faults(&self, link: &Link, answer: &Value) -> Vec<String> {
        let Some(target) = &link.target else { return Vec::new() };
        let document = json!({
            "$schema": "http://json-schema.org/draft-04/schema#",
            "allOf": [target],
            "definitions": self.root["definitions"],
        });
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft4)
            .should_validate_formats(true)
            .build(&document)
            .expect("the schema can be compiled");
        let mut faults: Vec<_> = validator
            .iter_errors(answer)
            .map(|error| format!("{}: {error}", error.instance_path))
            .collect();
        self.missing(target, answer, &mut faults);
        faults
    }

    /// The schema requires hardly anything, but clients rely on every property it lists.
    fn missing(&self, target: &Value, answer: &Value, faults: &mut Vec<String>) {
        let (name, target) = self.resolve("", target);
        if let (Some(items), Some(rows)) = (target.get("items"), answer.as_array()) {
            rows.iter().for_each(|row| self.missing(items, row, faults));
        }
        let (Some(wanted), Some(given)) = (target["properties"].as_object(), answer.as_object())
        else {
            return;
        };
        for property in wanted.keys() {
            let path = format!("{name}.{property}");
            if !given.contains_key(property) && !OPTIONAL.contains(&path.as_str()) {
                faults.push(format!("{path} is missing"));
            }
        }
    }

    fn resolve<'a>(&'a self, name: &'a str, schema: &'a Value) -> (&'a str, &'a Value) {
        let Some(reference) = schema["$ref"].as_str() else { return (name, schema) };
        let pointer = reference.strip_prefix('#').expect("references are local");
        let name = pointer.split('/').nth(2).expect("references lead to definitions");
        self.resolve(name, self.root.pointer(pointer).expect("references lead somewhere"))
    }
}

/// The names of links, sorted by path.
pub fn sorted<'a>(links: impl Iterator<Item = &'a Link>) -> Vec<String> {
    let by_path = |link: &'a Link| (link.template.as_str(), link.method.as_str());
    let unique: BTreeSet<_> = links.map(by_path).collect();
    unique.into_iter().map(|(template, method)| format!("{method} {template}")).collect()
}

fn links(root: &Value) -> Vec<Link> {
    let definitions = root["definitions"].as_object().expect("the schema has definitions");
    let all = definitions.values().filter_map(|definition| definition["links"].as_array());
    all.flatten().map(link).collect()
}

fn link(link: &Value) -> Link {
    let text = |key: &str| link[key].as_str().expect("links have method and href").to_owned();
    Link {
        method: text("method"),
        template: template(&text("href")),
        target: link.get("targetSchema").cloned(),
    }
}

/// `/apps/{(%23%2Fdefinitions%2Fapp%2Fdefinitions%2Fidentity)}` as `/apps/{app}`.
fn template(href: &str) -> String {
    let part = |part: &str| match part.strip_prefix("{(").and_then(|rest| rest.strip_suffix(")}")) {
        Some(encoded) => {
            let pointer = encoded.replace("%23", "#").replace("%2F", "/");
            let name = pointer.split('/').nth(2).expect("identities are in definitions").to_owned();
            format!("{{{name}}}")
        }
        None => part.to_owned(),
    };
    href.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[allow(clippy::disallowed_methods, reason = "a test is told where the schema lies")]
fn path() -> PathBuf {
    if let Some(path) = std::env::var_os(PATH_VARIABLE) {
        return path.into();
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = ["../shared/facts", "../../shared/facts"]
        .map(|place| workspace.join(place).join("platform-api-schema.json"));
    let found = places.iter().find(|path| path.exists());
    found.cloned().unwrap_or_else(|| {
        panic!(
            "Heroku's schema is missing. Set {PATH_VARIABLE} to a copy of `schema.json` of \
             https://github.com/heroku/platform-api"
        )
    })
}
