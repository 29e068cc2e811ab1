//! Accounts.

use model::{Account, AccountId, Timestamp};

use crate::engine::{Reader, Row, Tx};
use crate::{Result, values};

/// Writes a new account. `password_hash` is what a password hash function made, never a password.
///
/// # Errors
/// When the e-mail address is taken or the database fails.
pub fn insert(tx: &mut Tx<'_>, account: &Account, password_hash: Option<&str>) -> Result<()> {
    tx.run(
        "INSERT INTO accounts (id, email, name, password_hash, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        values![
            account.id,
            &account.email,
            account.name.as_ref(),
            password_hash,
            account.created_at,
            account.updated_at
        ],
    )?;
    Ok(())
}

/// One account.
///
/// # Errors
/// When the database fails.
pub fn find(db: &Reader<'_>, id: AccountId) -> Result<Option<Account>> {
    db.one(
        "SELECT id, email, name, created_at, updated_at FROM accounts WHERE id = ?1",
        values![id],
        account,
    )
}

/// The account with this e-mail address, and its password's hash if it has one.
///
/// # Errors
/// When the database fails.
pub fn by_email(db: &Reader<'_>, email: &str) -> Result<Option<(Account, Option<String>)>> {
    db.one(
        "SELECT id, email, name, created_at, updated_at, password_hash FROM accounts
         WHERE email = ?1",
        values![email],
        |row| Ok((account(row)?, row.take()?)),
    )
}

/// All accounts, oldest first.
///
/// # Errors
/// When the database fails.
pub fn list(db: &Reader<'_>) -> Result<Vec<Account>> {
    db.all(
        "SELECT id, email, name, created_at, updated_at FROM accounts ORDER BY created_at, id",
        values![],
        account,
    )
}

/// Sets or removes the password's hash.
///
/// # Errors
/// When the database fails.
pub fn set_password(
    tx: &mut Tx<'_>,
    id: AccountId,
    password_hash: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    tx.run(
        "UPDATE accounts SET password_hash = ?2, updated_at = ?3 WHERE id = ?1",
        values![id, password_hash, now],
    )?;
    Ok(())
}

fn account(row: &mut Row) -> Result<Account> {
    Ok(Account {
        id: row.take()?,
        email: row.take()?,
        name: row.take()?,
        created_at: row.take()?,
        updated_at: row.take()?,
    })
}
