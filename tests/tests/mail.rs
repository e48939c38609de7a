//! Notifications by e-mail, handed to a mail server that speaks SMTP, STARTTLS and AUTH.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use retake_tests::certificates::certificate;
use retake_tests::http::Server;
use retake_tests::{Retake, path, smtp};

const WAIT: Duration = Duration::from_secs(20);

/// A run that fails is told of, and again when the mail server takes it only later: under the same id.
#[test]
fn a_failure_is_told_by_e_mail() {
    let retake = Retake::new();
    let (address, told) = smtp::receiver(None, vec!["451 later"]);
    let server = format!("smtp://{address}?tls=none");
    let _server =
        Server::start_with(&retake, &["--smtp-server", &server, "--smtp-from", "Retake <retake@example.org>"]);
    retake.expect(0, &["notify", "add", "ops", "--email", "ops@example.org", "--email", "night@example.org"]);
    let listed = retake.expect(0, &["notify", "ls"]).out;
    assert!(listed.contains("email ops@example.org, night@example.org"), "{listed}");
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-p", "customer=acme", "-p", "load=fail-once"]);
    let run = retake.expect(1, &["run", "orders/dev", "-w", "--retries", "0", "-o", "json"]).out;
    let name = serde_json::from_str::<serde_json::Value>(&run).unwrap()["name"].as_str().unwrap().to_owned();

    let (first, second) = (told.recv_timeout(WAIT).unwrap(), told.recv_timeout(WAIT).unwrap());
    assert_eq!(first.field("Subject"), format!("[Retake] {name} of orders/dev is Failed"));
    assert_eq!(first.field("From"), "Retake <retake@example.org>");
    assert_eq!(first.field("To"), "ops@example.org, night@example.org");
    assert_eq!(first.field("Auto-Submitted"), "auto-generated");
    assert!(first.message.contains("load.refused: the warehouse refused the orders"), "{}", first.message);
    assert!(first.message.contains(&format!("retake retry {name} --dry-run")), "{}", first.message);
    assert!(first.said.contains(&"RCPT TO:<night@example.org>".to_owned()), "{:?}", first.said);
    assert!(first.field("Message-ID").ends_with("@example.org>"), "{}", first.message);
    assert_eq!(first.field("Message-ID"), second.field("Message-ID"));
    let deliveries = retake.expect(0, &["notify", "deliveries"]).out;
    assert!(deliveries.contains("delivered") || deliveries.contains("451"), "{deliveries}");
}

/// The password goes over TLS alone, to a mail server that somebody vouches for.
#[test]
fn a_password_goes_to_whom_is_vouched_for_alone() {
    let mut retake = Retake::new();
    let files = certificate(retake.dir.path(), "mail", &["localhost"]);
    let (address, told) = smtp::receiver(Some(&files), vec![]);
    let server = format!("smtp://us%40example.org@{}", address.replace("127.0.0.1", "localhost"));
    let more = ["--smtp-server", &server, "--smtp-from", "retake@example.org"];
    retake.env = vec![("RETAKE_SMTP_PASSWORD", "p4ss".into())];

    let strange = Server::start_with(&retake, &more);
    retake.expect(0, &["notify", "add", "ops", "--email", "ops@example.org"]);
    let said = retake.expect(1, &["notify", "test", "ops"]).out;
    assert!(said.contains("certificate"), "{said}");
    let mail = told.recv_timeout(WAIT).unwrap();
    assert!(!mail.secured && mail.said.is_empty() && mail.message.is_empty(), "{mail:?}");
    assert_eq!(strange.stop(), 0);

    retake.env.push(("SSL_CERT_FILE", files.authority.to_str().unwrap().into()));
    let _server = Server::start_with(&retake, &more);
    let said = retake.expect(0, &["notify", "test", "ops"]).out;
    assert!(said.contains("delivered: 250 taken"), "{said}");
    let mail = told.recv_timeout(WAIT).unwrap();
    let login = format!("AUTH PLAIN {}", STANDARD.encode("\0us@example.org\0p4ss"));
    assert!(mail.secured && mail.said.contains(&login), "{mail:?}");
}

/// What cannot be meant is refused before the server begins, or before a rule is kept.
#[test]
fn what_cannot_be_sent_is_refused_at_once() {
    let mut retake = Retake::new();
    let said = retake.say(&["server", "--smtp-server", "smtp://mail.example.org"]);
    assert!(said.exit == Some(2) && said.err.contains("--smtp-from"), "{}", said.err);
    let refused = |retake: &Retake, server: &str, from: &str, words: &str| {
        let args = ["server", "--listen", "127.0.0.1:0", "--smtp-server", server, "--smtp-from", from];
        retake.expect(2, &args).is_an_error_with_a_hint(words);
    };
    refused(&retake, "smtp://me:p4ss@mail.example.org", "retake@example.org", "has a password in it");
    refused(&retake, "mail.example.org", "retake@example.org", "is no address of a mail server");
    refused(&retake, "https://mail.example.org", "retake@example.org", "is no address of a mail server");
    refused(&retake, "smtps://mail.example.org", "retake", "`retake` is no e-mail address");
    retake.env = vec![("RETAKE_SMTP_PASSWORD", "p4ss".into())];
    refused(&retake, "smtp://mail.example.org?tls=none", "retake@example.org", "without TLS");
    retake.env.clear();
    retake
        .expect(2, &["notify", "add", "ops", "--email", "ops@example.org"])
        .is_an_error_with_a_hint("this server sends no e-mail");
    let (address, _told) = smtp::receiver(None, vec![]);
    let server = format!("smtp://{address}?tls=none");
    let _server = Server::start_with(&retake, &["--smtp-server", &server, "--smtp-from", "retake@example.org"]);
    let wrong = ["notify", "add", "ops", "--email", "ops@example.org\r\nBcc: all@example.org"];
    retake.expect(2, &wrong).is_an_error_with_a_hint("is no e-mail address");
    assert_eq!(retake.json(&["notify", "ls"]), serde_json::json!([]));
}
