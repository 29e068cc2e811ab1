//! Host names of apps.

use crate::certificate::Acm;
use crate::{AppId, DomainId, SniEndpointId, Timestamp};

/// Where a domain came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainKind {
    /// The default `<app>.<base domain>`; it follows the app's name and cannot be removed.
    Heroku,
    /// Added by a person.
    Custom,
}

/// An SNI endpoint, as a domain names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRef {
    /// Its id.
    pub id: SniEndpointId,
    /// Its name.
    pub name: String,
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
    /// Where its certificate is, if it has one of its own.
    pub endpoint: Option<EndpointRef>,
    /// How far its automatic certificate is, if it is to get one.
    pub acm: Option<Acm>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
