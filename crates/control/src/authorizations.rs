//! Authorizations: API tokens. Only a token's hash is kept; it is shown once, when it is made.

use std::time::Duration;

use model::account::Authorization;
use model::{Account, AccountId, AuthorizationId, Secret, Timestamp};
use sha2::{Digest, Sha256};
use store::{Reader, Tx, authorizations};
use subtle::ConstantTimeEq;

use crate::random::{self, hex};
use crate::{Control, Error, Resource, Result};

/// What a new authorization is to be.
#[derive(Clone, Debug, Default)]
pub struct NewAuthorization {
    /// What it is for.
    pub description: String,
    /// OAuth scopes; none given means `global`.
    pub scopes: Vec<String>,
    /// How long it works; `None` for ever.
    pub expires_in: Option<Duration>,
}

/// Makes a token. The answer is the only place where it is ever seen.
///
/// # Errors
/// When the description is too long or the database fails.
pub async fn create(
    control: &Control,
    who: &Account,
    new: NewAuthorization,
) -> Result<Authorization> {
    let account = who.id;
    control.write(move |_, tx| insert(tx, account, new)).await
}

/// All authorizations of an account, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn list(control: &Control, who: &Account) -> Result<Vec<Authorization>> {
    let account = who.id;
    control.read(move |db| Ok(authorizations::list(db, account)?)).await
}

/// One authorization.
///
/// # Errors
/// When there is none, or it is another's, or the database fails.
pub async fn info(control: &Control, who: &Account, id: AuthorizationId) -> Result<Authorization> {
    let account = who.id;
    control.read(move |db| owned(db, account, id)).await
}

/// The authorization that this token belongs to; `None` when it is unknown or has expired.
///
/// # Errors
/// When the database fails.
pub async fn by_token(control: &Control, token: &Secret) -> Result<Option<Authorization>> {
    let token = token.clone();
    control.read(move |db| live(db, &token)).await
}

/// Says anew what an authorization is for.
///
/// # Errors
/// When there is none, or it is another's, or the description is too long, or the database fails.
pub async fn describe(
    control: &Control,
    who: &Account,
    id: AuthorizationId,
    description: String,
) -> Result<Authorization> {
    let account = who.id;
    control
        .write(move |_, tx| {
            check_description(&description)?;
            let mut found = owned(tx, account, id)?;
            found.description = description;
            found.updated_at = Timestamp::now();
            authorizations::describe(tx, &found)?;
            Ok(found)
        })
        .await
}

/// Gives an authorization another token, which ends when the old one would have: the old one stops
/// working at once. The answer is the only place where the new one is ever seen.
///
/// # Errors
/// When there is none, or it is another's, or the database fails.
pub async fn rotate(
    control: &Control,
    who: &Account,
    id: AuthorizationId,
) -> Result<Authorization> {
    let account = who.id;
    control
        .write(move |_, tx| {
            let mut found = owned(tx, account, id)?;
            let token = random::token()?;
            found.updated_at = Timestamp::now();
            authorizations::replace_token(tx, &found, &hash(&token))?;
            found.token = Some(token);
            Ok(found)
        })
        .await
}

/// Removes an authorization: its token stops working at once.
///
/// # Errors
/// When there is none, or it is another's, or the database fails.
pub async fn delete(
    control: &Control,
    who: &Account,
    id: AuthorizationId,
) -> Result<Authorization> {
    let account = who.id;
    control
        .write(move |_, tx| {
            let found = owned(tx, account, id)?;
            authorizations::delete(tx, id)?;
            Ok(found)
        })
        .await
}

pub(crate) fn insert(
    tx: &mut Tx<'_>,
    account: AccountId,
    new: NewAuthorization,
) -> Result<Authorization> {
    check_description(&new.description)?;
    let now = Timestamp::now();
    let scopes = if new.scopes.is_empty() { vec!["global".to_owned()] } else { new.scopes };
    let token = random::token()?;
    let hash = hash(&token);
    let authorization = Authorization {
        id: AuthorizationId::random(),
        account,
        description: new.description,
        token: Some(token),
        scopes,
        created_at: now,
        updated_at: now,
        expires_at: new.expires_in.map(|life| now + life),
    };
    authorizations::insert(tx, &authorization, &hash)?;
    Ok(authorization)
}

fn check_description(description: &str) -> Result<()> {
    if description.len() <= 1000 {
        return Ok(());
    }
    Err(Error::Invalid("Description is too long (maximum is 1000 bytes)".to_owned()))
}

/// The authorization of a token that works now.
pub(crate) fn live(db: &Reader<'_>, token: &Secret) -> Result<Option<Authorization>> {
    let hash = hash(token);
    let Some((found, stored)) = authorizations::by_token_hash(db, &hash)? else { return Ok(None) };
    // The look-up compared hashes of 240 random bits; this makes the last word constant in time.
    let same: bool = stored.as_bytes().ct_eq(hash.as_bytes()).into();
    let works = found.expires_at.is_none_or(|end| Timestamp::now() < end);
    Ok(Some(found).filter(|_| same && works))
}

fn owned(db: &Reader<'_>, account: AccountId, id: AuthorizationId) -> Result<Authorization> {
    authorizations::find(db, account, id)?.ok_or(Error::NotFound(Resource::Authorization))
}

fn hash(token: &Secret) -> String {
    hex(&Sha256::digest(token.reveal().as_bytes()))
}
