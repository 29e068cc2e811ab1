//! People.

use crate::{AccountId, AuthorizationId, Secret, Timestamp};

/// Somebody who may ask things of the platform.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its e-mail address, the name shown in logs and releases.
    pub email: String,
    /// The person's name, if given.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// One API token of an account. Only a hash of the token is stored.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// Its id.
    pub id: AuthorizationId,
    /// Whose it is.
    pub account: AccountId,
    /// What it is for, in its maker's words.
    pub description: String,
    /// The token itself: present only in the answer to its creation.
    pub token: Option<Secret>,
    /// OAuth scopes, such as `global`.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it stops working; `None` for never.
    pub expires_at: Option<Timestamp>,
}
