//! E-mail, by SMTP.
//!
//! Without the feature `email` nothing is sent, and whoever asks for it is told so.

use retake_core::retry::BadField;
use thiserror::Error;

use sending::is_address;

pub use sending::Mailer;

/// Most addresses that one message goes to.
const ADDRESSES: usize = 20;

/// Why no e-mail can be sent.
#[derive(Debug, Error)]
pub enum MailError {
    /// The address of the mail server.
    #[error("`{0}` is no address of a mail server")]
    Server(String),
    /// The password stands where everybody reads it.
    #[error("the address of the mail server has a password in it, which `ps` shows to everybody")]
    Password,
    /// A password would be sent in the clear.
    #[error("a password goes to no mail server without TLS")]
    Clear,
    /// The sender.
    #[error("`{0}` is no e-mail address")]
    From(String),
    /// The binary cannot.
    #[error("this binary was built without e-mail")]
    NotBuilt,
}

/// Checks whom a rule is to tell.
pub(crate) fn check(addresses: &[String]) -> Result<(), BadField> {
    let field = "to.email.addresses";
    BadField::unless((1..=ADDRESSES).contains(&addresses.len()), field, || format!("may be 1 to {ADDRESSES}"))?;
    let wrong = addresses.iter().find(|it| !is_address(it));
    BadField::unless(wrong.is_none(), field, || {
        format!("`{}` is no e-mail address", wrong.map(String::as_str).unwrap_or_default())
    })
}

#[cfg(feature = "email")]
mod sending {
    use std::time::{Duration, UNIX_EPOCH};

    use lettre::message::Mailbox;
    use lettre::message::header::{ContentType, HeaderName, HeaderValue};
    use lettre::transport::smtp::authentication::Credentials;
    use lettre::transport::smtp::client::{Tls, TlsParameters};
    use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
    use retake_core::time::Timestamp;

    use super::MailError;
    use crate::text::innermost;

    /// Nobody's absence is answered to it (RFC 3834).
    const AUTOMATIC: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

    /// How long a mail server may take over one message.
    const ANSWER: Duration = Duration::from_secs(30);

    pub(super) fn is_address(text: &str) -> bool {
        text.parse::<Address>().is_ok()
    }

    /// Whoever takes our e-mail on its way.
    #[derive(Clone)]
    pub struct Mailer {
        smtp: AsyncSmtpTransport<Tokio1Executor>,
        from: Mailbox,
    }

    impl Mailer {
        /// Reads where e-mail is handed over: `smtp[s]://[USER@]HOST[:PORT]`. `smtps` speaks TLS from the beginning, and
        /// `smtp` once it has said hello (STARTTLS), which `?tls=none` leaves out.
        ///
        /// # Errors
        ///
        /// See [`MailError`].
        pub fn new(server: &str, from: &str, password: Option<String>) -> Result<Self, MailError> {
            let bad = || MailError::Server(server.to_owned());
            let url = reqwest::Url::parse(server).map_err(|_| bad())?;
            if url.password().is_some() {
                return Err(MailError::Password);
            }
            // An address of version 6 stands in brackets.
            let host = url.host_str().map(|it| it.trim_matches(['[', ']'])).filter(|it| !it.is_empty());
            let host = host.ok_or_else(bad)?;
            let parameters = || TlsParameters::new(host.to_owned()).map_err(|_| bad());
            let (tls, port) = match (url.scheme(), url.query()) {
                ("smtps", None) => (Tls::Wrapper(parameters()?), 465),
                ("smtp", None) => (Tls::Required(parameters()?), 587),
                ("smtp", Some("tls=none")) if password.is_none() => (Tls::None, 25),
                ("smtp", Some("tls=none")) => return Err(MailError::Clear),
                _ => return Err(bad()),
            };
            let mut smtp = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
                .port(url.port().unwrap_or(port))
                .tls(tls)
                .timeout(Some(ANSWER));
            if let Some(password) = password {
                let user = percent_encoding::percent_decode_str(url.username()).decode_utf8().map_err(|_| bad())?;
                smtp = smtp.credentials(Credentials::new(user.into_owned(), password));
            }
            let from = from.parse().map_err(|_| MailError::From(from.to_owned()))?;
            Ok(Self { smtp: smtp.build(), from })
        }

        /// Hands a message over, and returns what the mail server said; or why it did not take it.
        pub(crate) async fn send(
            &self,
            addresses: &[String],
            id: &str,
            at: Timestamp,
            (subject, text): (String, String),
        ) -> Result<String, String> {
            let mut message = Message::builder()
                .from(self.from.clone())
                .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
                .date(UNIX_EPOCH + Duration::from_millis(at.as_unix_ms()))
                .subject(subject)
                .raw_header(HeaderValue::new(AUTOMATIC, "auto-generated".to_owned()))
                .header(ContentType::TEXT_PLAIN);
            for address in addresses {
                message = message.to(address.parse::<Address>().map_err(|it| it.to_string())?.into());
            }
            let message = message.body(text).map_err(|it| it.to_string())?;
            // The bound that is set above is of each command.
            match tokio::time::timeout(ANSWER, self.smtp.send(message)).await {
                Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
                Ok(Err(error)) => Err(innermost(&error)),
                Ok(Ok(answer)) => {
                    let said = answer.message().collect::<Vec<_>>().join(" ");
                    Ok(format!("{} {said}", answer.code()))
                }
            }
        }
    }
}

#[cfg(not(feature = "email"))]
mod sending {
    use retake_core::time::Timestamp;

    use super::MailError;

    pub(super) fn is_address(_: &str) -> bool {
        true
    }

    /// Whoever takes our e-mail on its way: nobody, in this binary.
    #[derive(Clone)]
    pub enum Mailer {}

    impl Mailer {
        /// Says that this binary sends none.
        ///
        /// # Errors
        ///
        /// Always.
        pub fn new(_: &str, _: &str, _: Option<String>) -> Result<Self, MailError> {
            Err(MailError::NotBuilt)
        }

        pub(crate) async fn send(
            &self,
            _: &[String],
            _: &str,
            _: Timestamp,
            _: (String, String),
        ) -> Result<String, String> {
            match *self {}
        }
    }
}
