//! Secrets and variables: had by whom they are granted to, and found nowhere else.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use retake_tests::http::Server;
use retake_tests::{Retake, holding, path, set_secret};
use serde_json::{Value, json};

/// What must be found nowhere.
const CANARY: &str = "canary-5up3r-s3cret";

/// Runs the flow to its end, and returns it as it is shown, with its log.
fn run(retake: &Retake, leak: &str) -> (Value, String) {
    let leak = format!("leak={leak}");
    let id = retake.say(&["run", "values/dev", "-p", &leak, "--retries", "0", "-w", "-o", "id"]).out;
    let shown = retake.json(&["show", id.trim()]);
    (shown, retake.expect(0, &["logs", id.trim()]).out)
}

/// A run has what its metadata asks for and its deployment grants, from the next attempt on and across restarts.
#[test]
fn a_run_has_what_it_asks_for_and_is_granted() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let deployed = retake.json(&["deploy", &path("values"), "--flow", "values", "-n", "dev"]);
    assert_eq!(
        deployed["not_granted"],
        json!(["secret flow-token", "secret shop-token", "variable batch-size"]),
        "{deployed:#}"
    );
    let (shown, _) = run(&retake, "");
    assert_eq!(shown["failure"]["code"], "sandbox.denied", "{shown:#}");
    let grant = [
        "deploy",
        &path("values"),
        "--flow",
        "values",
        "-n",
        "dev",
        "--secret",
        "shop-token",
        "--variable",
        "batch-size",
    ];
    retake.expect(3, &grant).is_an_error_with_a_hint("there is no secret `shop-token`");

    set_secret(&retake, "shop-token", "abcdefgh");
    retake.expect(0, &["variables", "set", "batch-size", "500"]);
    retake.expect(0, &grant);
    let (shown, _) = run(&retake, "");
    assert_eq!(shown["result"], "8 bytes, sum 804, batches of 500", "{shown:#}");
    let (shown, _) = run(&retake, "peek");
    assert_eq!(shown["failure"]["code"], "sandbox.denied", "granted, but not asked for: {shown:#}");
    let (shown, _) = run(&retake, "child");
    assert_eq!(shown["result"], "8 bytes, sum 804, batches of 500", "a child has what the run above has: {shown:#}");

    // Another value, and another process.
    set_secret(&retake, "shop-token", "abcdefghi");
    retake.expect(0, &["variables", "set", "batch-size", "7"]);
    server.kill();
    let server = Server::start(&retake);
    let (shown, _) = run(&retake, "");
    assert_eq!(shown["result"], "9 bytes, sum 909, batches of 7", "{shown:#}");
    let listed = server.ask("GET", "/api/v1/secrets", "").json();
    assert_eq!(listed["items"][0]["granted_to"], json!(["values/dev"]), "{listed:#}");
    assert!(listed["items"][0].get("value").is_none(), "{listed:#}");
    assert_eq!(retake.expect(0, &["variables", "show", "batch-size"]).out, "7\n");

    retake.expect(6, &["secrets", "rm", "shop-token"]).is_an_error_with_a_hint("is granted to");
    retake.expect(0, &["deploy", &path("values"), "--flow", "values", "-n", "dev", "--secret", ""]);
    let (shown, _) = run(&retake, "");
    assert_eq!(shown["failure"]["code"], "sandbox.denied", "{shown:#}");
    retake.expect(0, &["secrets", "rm", "shop-token"]);
}

/// Whatever a flow does with its secret by accident, it is not kept anywhere (T36, G-S8).
#[test]
fn a_secret_is_found_nowhere() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    set_secret(&retake, "shop-token", CANARY);
    set_secret(&retake, "flow-token", &format!("{CANARY}-2"));
    retake.expect(0, &["variables", "set", "batch-size", "500"]);
    let grant = ["--secret", "shop-token", "--secret", "flow-token", "--variable", "batch-size"];
    retake.expect(0, &[&["deploy", &path("values"), "--flow", "values", "-n", "dev"], &grant[..]].concat());
    let mut told = Vec::new();
    for leak in ["print", "log", "fail", "panic", "result", "input"] {
        let (shown, logs) = run(&retake, leak);
        let text = format!("{shown:#}\n{logs}");
        assert!(!text.contains(CANARY), "{leak}: {text}");
        let name = if leak == "input" { "flow-token" } else { "shop-token" };
        assert!(text.contains(name), "{leak} says which secret it was: {text}");
        told.push(text);
    }
    assert!(told[5].contains("sandbox.denied") && told[5].contains("would be kept"), "{}", told[5]);
    let data = retake.dir.path().join("data");
    assert_eq!(holding(&data, CANARY), [] as [String; 0]);
    // The search finds what is there.
    assert!(!holding(&data, "[secret shop-token]").is_empty());
    let audit = server.ask("GET", "/api/v1/audit?limit=200", "").json();
    let given = audit["items"].as_array().unwrap().iter().filter(|it| it["action"] == "give-secrets");
    let given: Vec<&Value> = given.filter(|it| it["actor"] == "values/dev").collect();
    assert_eq!(given.len(), 6, "one for each attempt: {given:#?}");
    assert_eq!(given[0]["details"]["secrets"], json!(["flow-token", "shop-token"]));
    for path in ["/api/v1/audit", "/api/v1/secrets", "/api/v1/deployments", "/api/v1/flow-runs", "/metrics"] {
        assert!(!server.ask("GET", path, "").body.contains(CANARY), "{path}");
    }
    assert_eq!(server.stop(), 0);
    assert_eq!(holding(&data, CANARY), [] as [String; 0]);
}

/// Without its key a secret is denied and not damaged; with it, it is there again.
#[test]
fn the_key_is_what_opens_secrets() {
    let retake = Retake::new();
    set_secret(&retake, "shop-token", "abcdefgh");
    retake.expect(0, &["variables", "set", "batch-size", "500"]);
    let grant = ["--secret", "shop-token", "--variable", "batch-size"];
    retake.expect(0, &[&["deploy", &path("values"), "--flow", "values", "-n", "dev"], &grant[..]].concat());
    let key = retake.dir.path().join("data/secret.key");
    let elsewhere = retake.dir.path().join("elsewhere.key");
    std::fs::rename(&key, &elsewhere).unwrap();
    let server = Server::start(&retake);
    let (shown, _) = run(&retake, "");
    assert_eq!(shown["failure"]["code"], "sandbox.denied", "{shown:#}");
    assert!(!key.exists(), "no other key is made in its place by looking");
    server.kill();
    let _server = Server::start_with(&retake, &["--key-file", elsewhere.to_str().unwrap()]);
    let (shown, _) = run(&retake, "");
    assert_eq!(shown["result"], "8 bytes, sum 804, batches of 500", "{shown:#}");
}

/// What is wrong with a value is said, and nothing is kept of it.
#[test]
fn values_are_bounded() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let put = |path: &str, body: String| server.ask("PUT", path, &body);
    for (path, body, field) in [
        ("/api/v1/secrets/a", json!({ "value": "" }), "`value`"),
        ("/api/v1/secrets/a", json!({ "value": "x".repeat(65_537) }), "`value`"),
        ("/api/v1/variables/a", json!({ "value": "x".repeat(65_537) }), "`value`"),
        ("/api/v1/variables/%20a", json!({ "value": 1 }), "`name`"),
    ] {
        let answer = put(path, body.to_string());
        assert_eq!(answer.status, 400, "{path} {}", answer.body);
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(field), "{}", answer.body);
    }
    assert_eq!(retake.json(&["secrets", "ls"]), json!([]));
    assert_eq!(retake.json(&["variables", "ls"]), json!([]));
    let odd = "line\nwith \"quotes\" and ü";
    retake.expect(0, &["variables", "set", "text", odd]);
    assert_eq!(retake.json(&["variables", "show", "text"])["value"], odd);
    assert_eq!(retake.expect(2, &["secrets", "set", "a"]).out, "", "an empty stdin is no secret");
}
