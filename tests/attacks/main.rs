//! What attackers did, and what comes of it: each with the real binary, on loopback, and watched, so that a test that
//! fails does not take the machine with it. `RETAKE_ATTACKS=long` does more of each.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

mod budget;
mod code;
mod files;
mod places;
mod requests;
mod secrets;
mod watch;

use retake_tests::{Retake, component};
use serde_json::Value;

/// How much of an attack is done: a part, or `long` as much.
pub(crate) fn much(short: usize, long: usize) -> usize {
    if std::env::var("RETAKE_ATTACKS").is_ok_and(|it| it == "long") { long } else { short }
}

/// Returns the attacker's component with a schema of choice.
pub(crate) fn attacker(schema: &Value) -> Vec<u8> {
    const MARK: &[u8] = br#"{"description":"the schema of an attacker"}"#;
    const ROOM: usize = 250_000;
    let mut bytes = std::fs::read(component("attacker")).unwrap();
    let at = bytes.windows(MARK.len()).position(|it| it == MARK).unwrap();
    let schema = schema.to_string();
    assert!(schema.len() <= ROOM, "{}", schema.len());
    bytes[at..at + MARK.len()].fill(b' ');
    bytes[at..at + schema.len()].copy_from_slice(schema.as_bytes());
    bytes
}

/// Makes a token of a role.
pub(crate) fn token(retake: &Retake, name: &str, role: &str) -> String {
    retake.json(&["tokens", "add", name, "--role", role])["token"].as_str().unwrap().to_owned()
}
