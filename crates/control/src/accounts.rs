//! Accounts: who may ask.

use argon2::Argon2;
use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use model::{Account, AccountId, Secret, Timestamp};
use store::{Tx, accounts};

use crate::authorizations::{self, NewAuthorization};
use crate::{Control, Error, Result};

/// A shorter password is refused.
pub const MIN_PASSWORD_CHARACTERS: usize = 8;

/// A longer password is refused: hashing takes time for each byte.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Makes the first account, if there is none, with a token that is never shown again.
///
/// # Errors
/// When the address is not one, or the database fails.
pub async fn ensure_first(control: &Control, email: &str) -> Result<Option<(Account, Secret)>> {
    let email = checked(email)?;
    control
        .write(move |_, tx| {
            if !accounts::list(tx)?.is_empty() {
                return Ok(None);
            }
            let account = insert(tx, email)?;
            let token = first_token(tx, &account)?;
            Ok(Some((account, token)))
        })
        .await
}

/// Makes another account, with a token that is never shown again.
///
/// # Errors
/// When the address is not one or is taken, or the database fails.
pub async fn create(control: &Control, email: &str) -> Result<(Account, Secret)> {
    let email = checked(email)?;
    control
        .write(move |_, tx| {
            if accounts::by_email(tx, &email)?.is_some() {
                return Err(Error::Invalid("Email has already been taken".to_owned()));
            }
            let account = insert(tx, email)?;
            let token = first_token(tx, &account)?;
            Ok((account, token))
        })
        .await
}

/// All accounts, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn list(control: &Control) -> Result<Vec<Account>> {
    control.read(|db| Ok(accounts::list(db)?)).await
}

/// The account with this e-mail address, for the operator.
///
/// # Errors
/// When the database fails.
pub async fn by_email(control: &Control, email: &str) -> Result<Option<Account>> {
    let email = email.trim().to_lowercase();
    control.read(move |db| Ok(accounts::by_email(db, &email)?.map(|(account, _)| account))).await
}

/// Whose token this is; `None` for a token that is unknown or has expired.
///
/// # Errors
/// When the database fails.
pub async fn by_token(control: &Control, token: &Secret) -> Result<Option<Account>> {
    let token = token.clone();
    control
        .read(move |db| {
            let authorization = authorizations::live(db, &token)?;
            let account = authorization.map(|found| accounts::find(db, found.account));
            Ok(account.transpose()?.flatten())
        })
        .await
}

/// The account, if the password is its own. It takes as long for an unknown address as for a wrong
/// password.
///
/// # Errors
/// When the database fails.
pub async fn by_password(
    control: &Control,
    email: &str,
    password: &Secret,
) -> Result<Option<Account>> {
    let email = email.trim().to_lowercase();
    let found = control.read(move |db| Ok(accounts::by_email(db, &email)?)).await?;
    let (account, stored) = found.unzip();
    let password = password.clone();
    let right = hashing(control, move || verify(&password, stored.flatten().as_deref())).await?;
    Ok(account.filter(|_| right))
}

/// Sets the account's password.
///
/// # Errors
/// When the password is too short or too long, or the database fails.
pub async fn set_password(control: &Control, id: AccountId, password: &Secret) -> Result<()> {
    let text = password.reveal();
    if text.chars().count() < MIN_PASSWORD_CHARACTERS {
        let least =
            format!("Password is too short (minimum is {MIN_PASSWORD_CHARACTERS} characters)");
        return Err(Error::Invalid(least));
    }
    if text.len() > MAX_PASSWORD_BYTES {
        return Err(Error::Invalid(format!(
            "Password is too long (maximum is {MAX_PASSWORD_BYTES} bytes)"
        )));
    }
    let password = password.clone();
    let hash = hashing(control, move || digest(&password)).await??;
    control
        .write(move |_, tx| Ok(accounts::set_password(tx, id, Some(&hash), Timestamp::now())?))
        .await
}

fn insert(tx: &mut Tx<'_>, email: String) -> Result<Account> {
    let now = Timestamp::now();
    let id = AccountId::random();
    let account = Account { id, email, name: None, created_at: now, updated_at: now };
    accounts::insert(tx, &account, None)?;
    Ok(account)
}

fn first_token(tx: &mut Tx<'_>, account: &Account) -> Result<Secret> {
    let new = NewAuthorization { description: "First token".to_owned(), ..Default::default() };
    let authorization = authorizations::insert(tx, account.id, new)?;
    Ok(authorization.token.expect("a new authorization carries its token"))
}

/// Enough to catch a slip; whether the address works is for its owner to know.
fn checked(email: &str) -> Result<String> {
    let email = email.trim().to_lowercase();
    let shape = email
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    let clean = email.len() <= 254 && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    if shape && clean { Ok(email) } else { Err(Error::Invalid("Email is invalid".to_owned())) }
}

/// Runs `work` on a blocking thread; callers beyond a few wait their turn.
async fn hashing<T: Send + 'static>(
    control: &Control,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let turn = control.hashing.clone().acquire_owned().await.map_err(Error::internal)?;
    let work = move || {
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

fn digest(password: &Secret) -> Result<String> {
    let salt = SaltString::generate(&mut OsRng);
    let hash = Argon2::default().hash_password(password.reveal().as_bytes(), &salt);
    Ok(hash.map_err(|error| Error::internal(error.to_string()))?.to_string())
}

fn verify(password: &Secret, stored: Option<&str>) -> bool {
    if password.reveal().len() > MAX_PASSWORD_BYTES {
        return false;
    }
    let Some(hash) = stored.and_then(|stored| PasswordHash::new(stored).ok()) else {
        // Nobody may learn from the time taken that there is no such account.
        let _ = digest(password);
        return false;
    };
    Argon2::default().verify_password(password.reveal().as_bytes(), &hash).is_ok()
}

#[cfg(test)]
mod tests;
