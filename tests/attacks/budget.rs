//! Work that a schema and a value together would cause in the host.

use retake_tests::Retake;
use retake_tests::http::Server;
use serde_json::{Value, json};

use crate::watch::Watch;
use crate::{attacker, much};

/// Schemas, and values by which they would be looked at for long, or be told of at length.
fn expensive() -> Vec<(&'static str, Value, Value)> {
    let consts: Vec<Value> = (0..4500).map(|n| json!({ "const": n })).collect();
    let both = |to: &str| json!({ "anyOf": vec![json!({ "properties": { "a": { "$ref": to } } }); 2] });
    let deep = (0..55).fold(json!(1), |it, _| json!({ "a": it }));
    let named: serde_json::Map<String, Value> = (0..4000).map(|n| (format!("name-{n}"), json!(n))).collect();
    vec![
        (
            "alternatives times items",
            json!({ "properties": { "a": { "items": { "anyOf": consts } } } }),
            json!({ "a": vec![1; 1600] }),
        ),
        (
            "alternatives times items that fit none",
            json!({ "properties": { "a": { "items": { "oneOf": consts[..400] } } } }),
            json!({ "a": vec![-1; 4000] }),
        ),
        (
            "a large text that fits none of many",
            json!({ "properties": { "a": { "anyOf": consts } } }),
            json!({ "a": "x".repeat(900_000) }),
        ),
        ("twice as much at each level", both("#"), json!({ "a": deep })),
        (
            "names times patterns",
            json!({ "patternProperties": (0..200).map(|n| (format!("^(a|b)+{n}$"), json!(false))).collect::<serde_json::Map<_, _>>() }),
            json!(named),
        ),
        (
            "names that are looked at again",
            json!({ "unevaluatedProperties": { "type": "string" }, "anyOf": [{ "unevaluatedProperties": { "type": "null" }, "anyOf": [{ "unevaluatedProperties": { "type": "null" }, "allOf": [{ "properties": { "x": true } }] }] }, {}] }),
            json!(named),
        ),
        (
            "an enum of large values",
            json!({ "properties": { "a": { "items": { "enum": (0..60).map(|n| json!([vec![7; 300], n])).collect::<Vec<_>>() } } } }),
            json!({ "a": vec![json!([vec![7; 300], -1]); 1000] }),
        ),
        (
            "a pattern over a large text",
            json!({ "properties": { "a": { "pattern": "^((a|b|c|ab|bc){1,12}x?){1,12}$" } } }),
            json!({ "a": "abc".repeat(300_000) }),
        ),
    ]
}

#[test]
fn a_check_that_would_take_too_much_is_refused() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    for (what, schema, value) in expensive() {
        let uploaded = server.upload(&attacker(&schema));
        if uploaded.status == 400 || uploaded.status == 422 {
            // Patterns that are too large are refused before anything is checked by them.
            assert!(uploaded.body.contains("pattern"), "{what}: {}", uploaded.body);
            continue;
        }
        assert_eq!(uploaded.status, 201, "{what}: {}", uploaded.body);
        let digest = uploaded.json()["digest"].as_str().unwrap().to_owned();
        let ask = |flow: &str, parameters: &Value| {
            let body = json!({ "component": digest, "flow": flow, "parameters": parameters });
            server.ask("POST", "/api/v1/flow-runs", &body.to_string())
        };
        // From outside, many at once.
        let watch = Watch::over(&server);
        std::thread::scope(|scope| {
            for _ in 0..much(4, 16) {
                scope.spawn(|| {
                    let answer = ask("attacked", &value);
                    assert!(answer.status == 422 || answer.status == 201, "{what}: {} {}", answer.status, answer.body);
                    assert!(answer.body.len() < 100_000, "{what}: {} bytes are answered", answer.body.len());
                });
            }
        });
        // From inside: it is told, and the host lives.
        let run = ask("inside", &json!({ "input": value, "times": much(10, 200) }));
        if run.status == 201 {
            let id = run.json()["id"].as_str().unwrap().to_owned();
            let ended = retake_tests::until(what, || {
                let run = server.ask("GET", &format!("/api/v1/flow-runs/{id}"), "").json();
                ["Completed", "Failed", "TimedOut", "Crashed"].contains(&run["state"].as_str()?).then_some(run)
            });
            assert_ne!(ended["state"], "Crashed", "{what}: {ended:#}");
            assert!(ended["failure"]["code"] == Value::Null || ended["failure"]["code"] != "host.lost", "{ended:#}");
        }
        watch.was_well();
    }
}

/// Patterns, and schemas, that would be large in memory once they are compiled.
#[test]
fn what_would_be_large_when_it_is_compiled_is_refused() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let watch = Watch::over(&server);
    let many: Vec<Value> = (0..1500).map(|n| json!({ "pattern": format!("^\\p{{L}}{{70}}x{n}$") })).collect();
    let named = |pattern: String| json!({ "patternProperties": { pattern: {} } });
    for (what, schema) in [
        ("many large patterns", json!({ "anyOf": many })),
        ("one large pattern", json!({ "pattern": "^\\p{L}{1000}$" })),
        ("a pattern of names", named("(\\w{1,50}){1,50}".to_owned())),
        ("nested counts", json!({ "properties": { "a": { "pattern": "((((a{1,99}){1,99}){1,99}){1,99})" } } })),
        ("many places", json!({ "anyOf": vec![json!({}); 60_000] })),
        ("references under references", {
            let defs = (0..60).map(|n| (n.to_string(), json!({ "allOf": [{ "$ref": format!("#/$defs/{}", n + 1) }, { "$ref": format!("#/$defs/{}", n + 1) }] })));
            json!({ "$ref": "#/$defs/0", "$defs": defs.chain([("60".to_owned(), json!({}))]).collect::<serde_json::Map<_, _>>() })
        }),
    ] {
        let bytes = attacker(&schema);
        let answer = server.upload(&bytes);
        assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.body);
        assert!(answer.body.contains("parameters") || answer.body.contains("input"), "{what}: {}", answer.body);
        // Only looked at, it is refused too.
        let file = retake.dir.path().join("attacker.wasm");
        std::fs::write(&file, &bytes).unwrap();
        let said = retake.say(&["inspect", file.to_str().unwrap()]);
        assert!(said.exit != Some(0) && said.err.contains("hint"), "{what}: {}{}", said.out, said.err);
    }
    watch.was_well();
}

/// What is compiled of components is forgotten when others need the room, and with the component.
#[test]
fn many_components_do_not_fill_the_memory() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let watch = Watch::over(&server);
    let before = server.memory();
    let patterns: Vec<Value> = (0..8).map(|n| json!({ "pattern": format!("^\\p{{L}}{{2}}x{n}$") })).collect();
    for n in 0..much(40, 300) {
        let places: Vec<Value> = (0..4000).map(|it| json!({ "const": it + n })).collect();
        let schema = json!({ "properties": { "a": { "anyOf": places }, "b": { "anyOf": patterns } } });
        let uploaded = server.upload(&attacker(&schema));
        assert_eq!(uploaded.status, 201, "{}", uploaded.body);
        let digest = uploaded.json()["digest"].as_str().unwrap().to_owned();
        let body = json!({ "component": digest, "flow": "attacked", "parameters": { "a": -1 } });
        assert_eq!(server.ask("POST", "/api/v1/flow-runs", &body.to_string()).status, 422);
    }
    let grown = server.memory().saturating_sub(before) >> 20;
    assert!(grown < 900, "{grown} MiB");
    watch.was_well();
}
