//! Messages to people, by the mail server that the operator has named.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use model::Secret;

use super::Failure;

/// The mail server must have taken a message within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// The platform's mail.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept secret.
    pub security: MailSecurity,
    /// Name and password there, if it wants them.
    pub login: Option<(String, Secret)>,
    /// Who the messages are from: `Hythe <hythe@example.com>`.
    pub from: String,
}

/// How the connection to the mail server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// Not at all: for a mail server on the same machine.
    None,
    /// It begins in the clear and must become TLS (port 587).
    StartTls,
    /// It is TLS from the beginning (port 465).
    Tls,
}

/// Says what is wrong with an address.
///
/// # Errors
/// The text for the person who wrote it.
pub fn check_address(address: &str) -> Result<(), String> {
    address.parse::<lettre::Address>().map(drop).map_err(|error| error.to_string())
}

impl Mail {
    /// Says what is wrong with its own address.
    ///
    /// # Errors
    /// The text for the operator.
    pub fn check(&self) -> Result<(), String> {
        mailbox(&self.from).map(drop)
    }

    /// Sends one message.
    pub(super) async fn send(
        &self,
        to: &str,
        subject: String,
        text: String,
    ) -> Result<(), Failure> {
        let message = self.message(to, subject, text).map_err(Failure::lasting)?;
        let transport = self.transport().map_err(Failure::lasting)?;
        match tokio::time::timeout(PATIENCE, transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(Failure::lasting(words(&error))),
            Ok(Err(error)) => Err(Failure::passing(words(&error))),
            Err(_) => {
                Err(Failure::passing(format!("the mail server did not take it in {PATIENCE:?}")))
            }
        }
    }

    fn message(&self, to: &str, subject: String, text: String) -> Result<Message, String> {
        let message = Message::builder()
            .from(mailbox(&self.from)?)
            .to(mailbox(to)?)
            .subject(subject)
            .header(lettre::message::header::ContentType::TEXT_PLAIN)
            .body(text);
        message.map_err(|error| error.to_string())
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let parameters = || TlsParameters::new(self.host.clone()).map_err(|error| words(&error));
        let tls = match self.security {
            MailSecurity::None => Tls::None,
            MailSecurity::StartTls => Tls::Required(parameters()?),
            MailSecurity::Tls => Tls::Wrapper(parameters()?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host)
            .port(self.port)
            .timeout(Some(PATIENCE))
            .tls(tls);
        if let Some((user, password)) = &self.login {
            let login = Credentials::new(user.clone(), password.reveal().to_owned());
            builder = builder.credentials(login);
        }
        Ok(builder.build())
    }
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|error| format!("`{text}` is no mail address: {error}"))
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
