//! A flow that tells its secret wherever the contract lets it say something.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use retake_tests::http::Server;
use retake_tests::{Retake, holding, set_secret};
use serde_json::json;

use crate::attacker;

/// Where a text of a guest goes to the host, by the contract: what it calls and what it returns.
fn places_of_the_contract() -> BTreeSet<String> {
    let contract = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/v0.1/flow.wit")).unwrap();
    // What a guest is told, and what it says of itself before it is given anything.
    let apart = ["run", "flow-info", "task-info", "component-info", "dir-access", "capability", "limits"];
    let (mut found, mut within) = (BTreeSet::new(), String::new());
    for line in contract.lines().map(str::trim) {
        if let Some(record) = line.strip_prefix("record ").or(line.strip_prefix("variant ")) {
            within = record.trim_end_matches(" {").to_owned();
        } else if line == "}" {
            within.clear();
        } else if let Some((function, signature)) = line.split_once(": func(") {
            let arguments = signature.split_once(')').map_or("", |(arguments, _)| arguments);
            let exported = ["describe", "run-flow", "run-task"].contains(&function);
            for argument in arguments.split(", ").filter(|_| !exported) {
                let (name, kind) = argument.split_once(": ").unwrap_or(("", ""));
                if ["string", "json"].contains(&kind) {
                    found.insert(format!("{function}.{name}"));
                }
            }
        } else if let Some((field, kind)) = line.split_once(": ") {
            let has_text =
                ["string", "json"].iter().any(|it| kind.trim_matches(',').split(['<', '>']).any(|kind| kind == *it));
            if has_text && !within.is_empty() && !apart.contains(&within.as_str()) && !field.starts_with("///") {
                found.insert(format!("{within}.{field}"));
            }
        }
    }
    found
}

#[test]
fn a_secret_is_kept_of_no_text_that_the_contract_has() {
    let _alone = crate::watch::alone();
    let tried: BTreeSet<String> = [
        "submit.task",
        "submit.input",
        "submit-flow.flow",
        "submit-flow.parameters",
        "options.key",
        "options.name",
        "rule.codes",
        "write.message",
        "write.fields",
        "secret.name",
        "variable.name",
        "failure.code",
        "failure.message",
        "failure.details",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(places_of_the_contract(), tried, "what the contract has, and what `attacker` says it in");
    let besides = [
        "secret.name told",
        "outcome told",
        "result",
        "result as a key",
        "stdout",
        "stdout in pieces",
        "stderr",
        "panic",
    ];
    for secret in ["canary-5up3r-s3cret", "canary & <größe> \"quoted\" / 5\\3"] {
        let retake = Retake::new();
        let server = Server::start(&retake);
        set_secret(&retake, "shop-token", secret);
        let file = retake.dir.path().join("attacker.wasm");
        std::fs::write(&file, attacker(&json!({ "type": "object" }))).unwrap();
        let deploy = ["deploy", file.to_str().unwrap(), "--flow", "tell", "-n", "prod", "--secret", "shop-token"];
        retake.expect(0, &deploy);
        let mut told = String::new();
        for place in tried.iter().map(String::as_str).chain(besides) {
            let id = retake.say(&["run", "tell/prod", "-p", &format!("where={place}"), "-w", "-o", "id"]).out;
            let run = retake.json(&["show", id.trim()]);
            assert_ne!(run["failure"]["code"], "attack.unknown", "{place}");
            told += &run.to_string();
            told += &retake.json(&["explain", id.trim()]).to_string();
            told += &retake.say(&["logs", id.trim(), "-o", "json"]).out;
        }
        told += &server.ask("GET", "/metrics", "").body;
        assert!(told.contains("[secret shop-token]"), "it is said where it was");
        assert_eq!(server.stop(), 0);
        let (quoted, encoded) = (json!(secret).to_string(), STANDARD.encode(secret));
        for form in [secret, &quoted[1..quoted.len() - 1], &encoded] {
            assert!(!told.contains(form), "`{form}` is told");
            let data = retake.dir.path().join("data");
            assert_eq!(holding(&data, form), Vec::<String>::new(), "`{form}`");
        }
    }
}
