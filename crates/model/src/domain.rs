//! Host names of apps.

use crate::{AppId, DomainId, Timestamp};

/// Where a domain came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainKind {
    /// The default `<app>.<base domain>`; it follows the app's name and cannot be removed.
    Heroku,
    /// Added by a person.
    Custom,
}

/// One host name of one app.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its id.
    pub id: DomainId,
    /// Whose it is.
    pub app: AppId,
    /// Lower-case host name, possibly `*.example.com`.
    pub hostname: String,
    /// Default or custom.
    pub kind: DomainKind,
    /// The name a person's DNS record should point at; none for the default domain.
    pub cname: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
