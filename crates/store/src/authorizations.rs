//! Authorizations: API tokens, of which only hashes are kept.

use model::account::Authorization;
use model::{AccountId, AuthorizationId};

use crate::engine::{Reader, Row, Tx};
use crate::{Result, values};

/// Writes a new authorization. `token_hash` is the hex SHA-256 of its token.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, authorization: &Authorization, token_hash: &str) -> Result<()> {
    tx.run(
        "INSERT INTO authorizations
            (id, account_id, token_hash, description, scopes, created_at, updated_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        values![
            authorization.id,
            authorization.account,
            token_hash,
            &authorization.description,
            authorization.scopes.join(" "),
            authorization.created_at,
            authorization.updated_at,
            authorization.expires_at
        ],
    )?;
    Ok(())
}

/// The authorization whose token has this hash, expired or not, with the stored hash for a
/// comparison in constant time.
///
/// # Errors
/// When the database fails.
pub fn by_token_hash(db: &Reader<'_>, hash: &str) -> Result<Option<(Authorization, String)>> {
    db.one(
        "SELECT id, account_id, description, scopes, created_at, updated_at, expires_at, token_hash
         FROM authorizations WHERE token_hash = ?1",
        values![hash],
        |row| Ok((authorization(row)?, row.take()?)),
    )
}

/// One authorization of an account.
///
/// # Errors
/// When the database fails.
pub fn find(
    db: &Reader<'_>,
    account: AccountId,
    id: AuthorizationId,
) -> Result<Option<Authorization>> {
    db.one(
        "SELECT id, account_id, description, scopes, created_at, updated_at, expires_at
         FROM authorizations WHERE id = ?1 AND account_id = ?2",
        values![id, account],
        authorization,
    )
}

/// All authorizations of an account, oldest first.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>, account: AccountId) -> Result<Vec<Authorization>> {
    db.all(
        "SELECT id, account_id, description, scopes, created_at, updated_at, expires_at
         FROM authorizations WHERE account_id = ?1 ORDER BY created_at, id",
        values![account],
        authorization,
    )
}

/// Writes an authorization's description.
///
/// # Errors
/// When the database fails.
pub fn describe(tx: &mut Tx<'_>, authorization: &Authorization) -> Result<()> {
    tx.run(
        "UPDATE authorizations SET description = ?2, updated_at = ?3 WHERE id = ?1",
        values![authorization.id, &authorization.description, authorization.updated_at],
    )?;
    Ok(())
}

/// Puts a token with this hash in the place of an authorization's old one.
///
/// # Errors
/// When the database fails.
pub fn replace_token(
    tx: &mut Tx<'_>,
    authorization: &Authorization,
    token_hash: &str,
) -> Result<()> {
    tx.run(
        "UPDATE authorizations SET token_hash = ?2, updated_at = ?3 WHERE id = ?1",
        values![authorization.id, token_hash, authorization.updated_at],
    )?;
    Ok(())
}

/// Removes an authorization: its token stops working.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, id: AuthorizationId) -> Result<()> {
    tx.run("DELETE FROM authorizations WHERE id = ?1", values![id])?;
    Ok(())
}

fn authorization(row: &mut Row) -> Result<Authorization> {
    Ok(Authorization {
        id: row.take()?,
        account: row.take()?,
        description: row.take()?,
        token: None,
        scopes: row.take::<String>()?.split_whitespace().map(str::to_owned).collect(),
        created_at: row.take()?,
        updated_at: row.take()?,
        expires_at: row.take()?,
    })
}
