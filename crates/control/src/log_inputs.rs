//! Licences to write lines into an app's log from outside, as the services of add-ons do.

use model::drain::LogInput;
use model::{Account, AppId, LogInputId, Secret, Timestamp};
use store::log_inputs;

use crate::{Control, Error, Resource, Result, access};

/// An app has no more licences.
const MAX_PER_APP: usize = 20;

/// Names are not longer.
const MAX_NAME: usize = 64;

/// The licences of an app.
///
/// # Errors
/// When the app is not found or the database fails.
pub async fn list(control: &Control, who: &Account, app: AppId) -> Result<Vec<LogInput>> {
    let who = who.clone();
    control
        .read(move |db| {
            let app = access::app(db, &who, app)?;
            Ok(log_inputs::of_app(db, app.id)?)
        })
        .await
}

/// Makes a licence, with its token, which is shown only now. Lines that name no process come in
/// under `name`.
///
/// # Errors
/// When the app is not found, the name is none for a process, there are too many, or the database
/// fails.
pub async fn create(
    control: &Control,
    who: &Account,
    app: AppId,
    name: &str,
) -> Result<(LogInput, Secret)> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(1..=MAX_NAME).contains(&name.len()) || !name.chars().all(is_good) {
        return Err(Error::Invalid(format!(
            "A log input's name has 1 to {MAX_NAME} letters, digits, dashes, underscores and dots."
        )));
    }
    let (who, name) = (who.clone(), name.to_owned());
    control
        .write(move |_, tx| {
            let app = access::app(tx, &who, app)?;
            if log_inputs::of_app(tx, app.id)?.len() >= MAX_PER_APP {
                return Err(Error::TooMany(format!(
                    "An app has at most {MAX_PER_APP} log inputs."
                )));
            }
            let id = LogInputId::random();
            // Heroku's form of a log token; a random UUID has 122 random bits.
            let token = Secret::new(format!("t.{}", LogInputId::random()));
            let input = LogInput { id, app: app.id, name, created_at: Timestamp::now() };
            log_inputs::insert(tx, &input, &token)?;
            Ok((input, token))
        })
        .await
}

/// Removes a licence; answers what it was.
///
/// # Errors
/// When it is not found or the database fails.
pub async fn delete(
    control: &Control,
    who: &Account,
    app: AppId,
    id: LogInputId,
) -> Result<LogInput> {
    let who = who.clone();
    control
        .write(move |_, tx| {
            let app = access::app(tx, &who, app)?;
            let found = log_inputs::of_app(tx, app.id)?.into_iter().find(|input| input.id == id);
            let input = found.ok_or(Error::NotFound(Resource::LogInput))?;
            log_inputs::delete(tx, id)?;
            Ok(input)
        })
        .await
}

/// The licence that a token is.
///
/// # Errors
/// When it is none, or the database fails.
pub async fn by_token(control: &Control, token: &Secret) -> Result<LogInput> {
    let token = token.clone();
    let found = control.read(move |db| Ok(log_inputs::by_token(db, token.reveal())?)).await?;
    found.ok_or(Error::Unauthorized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Lab;

    #[tokio::test]
    async fn a_token_is_good_until_its_licence_is_removed() {
        let lab = Lab::new().await;
        let app = lab.app("demo").await;
        let (control, who) = (&lab.control, &lab.who);
        let (input, token) = create(control, who, app.id, "postgres").await.expect("made");
        assert!(token.reveal().starts_with("t."));
        assert_eq!(by_token(control, &token).await.expect("known"), input);
        let other = Secret::new("t.other");
        assert!(matches!(by_token(control, &other).await, Err(Error::Unauthorized)));
        assert_eq!(list(control, who, app.id).await.expect("listed"), std::slice::from_ref(&input));
        delete(control, who, app.id, input.id).await.expect("removed");
        assert!(matches!(by_token(control, &token).await, Err(Error::Unauthorized)));
        for bad in ["", "a b", "é", &"x".repeat(65)] {
            assert!(create(control, who, app.id, bad).await.is_err(), "{bad}");
        }
    }
}
