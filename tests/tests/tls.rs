//! The server over TLS, with certificates made here.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use retake_tests::certificates::{Files, certificate};
use retake_tests::{Retake, component};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server on a certificate, and returns its address.
fn start(retake: &Retake, files: &Files, more: &[&str]) -> (Child, String) {
    let listen = ["server", "--tls-cert", text(&files.certificate), "--tls-key", text(&files.key)];
    let child = Child(retake.start(&[&listen[..], more].concat(), "data in"));
    let sign = std::fs::read(retake.dir.path().join("data/server.json")).unwrap();
    let sign: Value = serde_json::from_slice(&sign).unwrap();
    (child, sign["url"].as_str().unwrap().to_owned())
}

/// Commands of the same machine know the server by its very certificate; others by its authority and its name.
#[test]
fn everything_works_over_tls() {
    let retake = Retake::new();
    let files = certificate(retake.dir.path(), "own", &["retake.example", "localhost"]);
    let (_server, url) = start(&retake, &files, &["--listen", "127.0.0.1:0"]);
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let orders = component("orders");
    retake.expect(0, &["deploy", text(&orders), "-n", "dev", "-p", "customer=acme"]);
    let run = retake.expect(0, &["run", "orders/dev", "-w", "-o", "id"]).out;
    assert_eq!(retake.json(&["show", run.trim()])["state"], "Completed");
    assert!(retake.expect(0, &["logs", run.trim(), "-f"]).out.contains("extract"), "streams too");

    // From elsewhere: another data directory, which knows nothing of the server.
    let other = Retake::new();
    let token = std::fs::read_to_string(retake.dir.path().join("data/token")).unwrap();
    let by_name = url.replace("127.0.0.1", "localhost");
    let ask = |url: &str, more: &[&str]| other.say(&[&["ps", "--server", url, "--token", token.trim()], more].concat());
    let known = ask(&by_name, &["--ca-cert", text(&files.authority), "-o", "id"]);
    assert_eq!((known.exit, known.out.trim()), (Some(0), run.trim()), "{}", known.err);
    let strange = certificate(other.dir.path(), "strange", &["localhost"]);
    for (url, more) in [
        (by_name.as_str(), &[][..]),
        (by_name.as_str(), &["--ca-cert", text(&strange.authority)][..]),
        (url.as_str(), &["--ca-cert", text(&files.authority)][..]),
        (&by_name.replace("https", "http"), &[][..]),
    ] {
        let refused = ask(url, more);
        assert_eq!(refused.exit, Some(5), "{url} {more:?}: {}{}", refused.out, refused.err);
        refused.is_an_error_with_a_hint("does not answer");
    }
}

/// Whoever says nothing, or something else, holds nobody up.
#[test]
fn odd_connections_hold_nobody_up() {
    let retake = Retake::new();
    let files = certificate(retake.dir.path(), "own", &["localhost"]);
    let (_server, url) = start(&retake, &files, &["--listen", "127.0.0.1:0"]);
    let address = url.strip_prefix("https://").unwrap();
    let silent: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "it spoke without TLS: {}", String::from_utf8_lossy(&answer));
    let began = Instant::now();
    retake.expect(0, &["ps"]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(silent);
}

/// With TLS others may reach it; what is wrong with the files is said before anything is opened.
#[test]
fn certificates_are_checked_at_the_start() {
    let retake = Retake::new();
    let files = certificate(retake.dir.path(), "own", &["localhost"]);
    let other = certificate(retake.dir.path(), "other", &["localhost"]);
    let (server, url) = start(&retake, &files, &["--listen", "0.0.0.0:0"]);
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    retake.expect(0, &["ps"]);
    drop(server);
    let nothing = retake.dir.path().join("nothing.pem");
    std::fs::write(&nothing, "hello").unwrap();
    std::fs::set_permissions(&nothing, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let gone = retake.dir.path().join("gone.pem");
    for (certificate, key, words) in [
        (&files.certificate, &other.key, "cannot be used together"),
        (&nothing, &files.key, "holds no certificate"),
        (&files.certificate, &nothing, "cannot be read"),
        (&gone, &files.key, "cannot be read"),
    ] {
        let said =
            retake.say(&["server", "--listen", "127.0.0.1:0", "--tls-cert", text(certificate), "--tls-key", text(key)]);
        assert_eq!(said.exit, Some(2), "{}", said.err);
        said.is_an_error_with_a_hint(words);
    }
    retake.expect(2, &["server", "--tls-cert", text(&files.certificate)]).is_an_error_with_a_hint("--tls-key");
}
