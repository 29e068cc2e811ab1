//! Small shapes that many resources of the Platform API share.

use model::{AccountId, AppId, Timestamp};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Builder;

/// A reference by id alone.
#[derive(Clone, Debug, Serialize)]
pub struct IdRef {
    id: String,
}

impl IdRef {
    /// A reference to what has this id.
    pub fn new(id: impl ToString) -> Self {
        Self { id: id.to_string() }
    }
}

/// A reference by id and name.
#[derive(Clone, Debug, Serialize)]
pub struct NameRef {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
}

impl NameRef {
    /// A reference to an app.
    pub fn app(app: &model::App) -> Self {
        Self { id: app.id.to_string(), name: app.name.to_string() }
    }

    /// A reference to something of the platform's own that has a name and no row in the database.
    pub fn of(kind: Kind, name: &str) -> Self {
        Self { id: named_id(kind, name), name: name.to_owned() }
    }
}

/// A reference to a person.
#[derive(Clone, Debug, Serialize)]
pub struct UserRef {
    email: String,
    id: String,
}

impl UserRef {
    /// A reference to this account.
    pub fn new(id: AccountId, email: &str) -> Self {
        Self { email: email.to_owned(), id: id.to_string() }
    }
}

/// Things that have an id only because the API wants one.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Stack,
    Region,
    Generation,
    DynoSize,
    Feature,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Region => "region",
            Self::Generation => "generation",
            Self::DynoSize => "dyno-size",
            Self::Feature => "feature",
        }
    }
}

/// An id that follows from kind and name, the same on every server and at every start.
pub fn named_id(kind: Kind, name: &str) -> String {
    derived_id(&[kind.word(), name])
}

/// The id of an account's place in an app.
pub fn membership_id(app: AppId, account: AccountId) -> String {
    derived_id(&["collaborator", &app.to_string(), &account.to_string()])
}

fn derived_id(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// A time, if there is one, as the API writes it.
pub fn maybe_time(at: Option<Timestamp>) -> Option<String> {
    at.map(Timestamp::rfc3339)
}
