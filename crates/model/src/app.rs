//! Apps.

use crate::{AccountId, AppId, AppName, Timestamp};

/// An app: the thing a person deploys, runs and owns.
#[derive(Clone, Debug)]
pub struct App {
    /// Its id; it never changes.
    pub id: AppId,
    /// Its name; unique, can be changed.
    pub name: AppName,
    /// Its owner.
    pub owner: AccountId,
    /// The owner's e-mail, read along.
    pub owner_email: String,
    /// The stack of its current slug (what dynos run on).
    pub stack: String,
    /// The stack the next build uses.
    pub build_stack: String,
    /// Whether visitors get the maintenance page.
    pub maintenance: bool,
    /// Whether its custom domains get automatic certificates.
    pub acm: bool,
    /// What the last build's buildpack called the app, such as `Node.js`.
    pub buildpack_description: Option<String>,
    /// Raised with every change of intent; reconcilers report the generation they made true.
    pub generation: u64,
    /// Bytes of the git repository, once measured.
    pub repo_bytes: Option<u64>,
    /// Bytes of the current slug.
    pub slug_bytes: Option<u64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When the current release became current.
    pub released_at: Option<Timestamp>,
    /// When its destruction was asked for. Such an app is invisible to people; reconcilers empty it.
    pub deleted_at: Option<Timestamp>,
    /// Seconds its web dynos have to listen; `None` for the operator's number.
    pub boot_timeout_seconds: Option<u32>,
}
