//! Our account at an authority: made once, its key kept sealed.

use instant_acme::{Account, AccountCredentials, Error, NewAccount};
use model::{Secret, Timestamp};
use store::acme as rows;

use super::https::Https;
use super::obtain::Refusal;
use crate::Control;
use crate::authorities::Acme;

/// Our account at this authority, made if there is none.
pub(super) async fn open(control: &Control, acme: &Acme, https: Https) -> Result<Account, Refusal> {
    let leave_alone = https.leave_alone();
    let refused = |error: Error| Refusal::of(&error, &leave_alone);
    let directory = acme.directory.clone();
    let kept = control.read(move |db| Ok(rows::account(db, &directory)?)).await?;
    let builder = Account::builder_with_http(Box::new(https));
    if let Some(kept) = kept {
        let credentials: AccountCredentials =
            serde_json::from_str(kept.reveal()).map_err(|error| refused(error.into()))?;
        return builder.from_credentials(credentials).await.map_err(refused);
    }
    let contact = acme.contact.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let made = builder.create(&new, acme.directory.clone(), None).await;
    let (account, credentials) = made.map_err(refused)?;
    let text = serde_json::to_string(&credentials).map_err(|error| refused(error.into()))?;
    let (directory, secret) = (acme.directory.clone(), Secret::new(text));
    let keep = move |tx: &mut store::Tx<'_>| {
        Ok(rows::set_account(tx, &directory, &secret, Timestamp::now())?)
    };
    control.write(move |_, tx| keep(tx)).await?;
    Ok(account)
}
