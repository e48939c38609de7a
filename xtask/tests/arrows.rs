//! Who may depend on whom. ARCHITECTURE.md draws it; here it is enforced.
//!
//! What only tests and build scripts use does not count: it does not ship.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::process::Command;

use serde_json::Value;

/// What each package may use of ours.
const ARROWS: &[(&str, &[&str])] = &[
    ("retake-process", &[]),
    ("retake-build", &[]),
    ("retake-core", &[]),
    ("retake-store", &["retake-core"]),
    ("retake-sandbox", &["retake-core"]),
    ("retake-engine", &["retake-core", "retake-store"]),
    ("retake-server", &["retake-core", "retake-store", "retake-engine"]),
    (
        "retake-cli",
        &[
            "retake-process",
            "retake-build",
            "retake-core",
            "retake-store",
            "retake-sandbox",
            "retake-engine",
            "retake-server",
        ],
    ),
    ("retake", &["retake-macros"]),
    ("retake-macros", &[]),
    ("xtask", &["retake-build"]),
    ("xtask-wit", &[]),
    // They measure and test the whole: they are above everything, and nothing may use them.
    ("retake-benches", &["retake-process", "retake-core", "retake-store", "retake-sandbox", "retake-engine"]),
    ("retake-tests", &["retake", "retake-core", "retake-store", "retake-sandbox", "retake-engine"]),
];

/// A flow knows the SDK and nothing of the host.
const GUESTS: (&[&str], &[&str]) = (&["example-", "guest-"], &["retake"]);

/// Packages that may use nothing but this, and why.
const USE_ONLY: &[(&str, &[&str], &str)] = &[
    // Nothing that waits, reads a clock, draws lots or knows the outside.
    ("retake-core", &["jiff", "serde", "serde_json", "sha2", "thiserror"], "it is pure"),
    (
        "retake-build",
        &["serde_json", "wasi-preview1-component-adapter-provider"],
        "xtask is built from it on a new machine",
    ),
];

/// What one package alone of the host may use, so that its releases and its review concern one place.
const ONLY: &[(&str, &str)] = &[
    ("wasmtime", "retake-sandbox"),
    ("wasmparser", "retake-sandbox"),
    ("cranelift", "retake-sandbox"),
    ("rusqlite", "retake-store"),
    ("libsqlite3-sys", "retake-store"),
    ("clap", "retake-cli"),
    ("axum", "retake-server"),
    ("utoipa", "retake-server"),
    ("reqwest", "retake-server"),
];

/// Measures what the machine can do at most, with the bare libraries.
const MAY_USE_ALL: &[&str] = &["retake-benches"];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO")).args(["metadata", "--no-deps", "--format-version=1"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns what is wrong with the arrows of a workspace.
fn wrong(metadata: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let names: Vec<&str> = packages(metadata).iter().map(|it| text(&it["name"])).collect();
    for package in packages(metadata) {
        let name = text(&package["name"]);
        let of_ours: &[&str] = match ARROWS.iter().find(|(it, _)| *it == name) {
            Some((_, of_ours)) => of_ours,
            None if GUESTS.0.iter().any(|it| name.starts_with(it)) => GUESTS.1,
            None => {
                wrong.push(format!("`{name}` has no place in ARROWS"));
                continue;
            }
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if !dependency["kind"].is_null() {
                continue;
            }
            let on = text(&dependency["name"]);
            if names.contains(&on) && !of_ours.contains(&on) {
                wrong.push(format!("`{name}` must not depend on `{on}`"));
            }
            for (only, uses, why) in USE_ONLY {
                if name == *only && !uses.contains(&on) {
                    wrong.push(format!("`{name}` must not depend on `{on}`: {why}"));
                }
            }
            for (family, owner) in ONLY {
                let of_family = on.strip_prefix(family).is_some_and(|it| it.is_empty() || it.starts_with(['-', '_']));
                if of_family && name != *owner && !MAY_USE_ALL.contains(&name) {
                    wrong.push(format!("`{name}` must not depend on `{on}`: only `{owner}` may"));
                }
            }
        }
    }
    wrong
}

fn packages(metadata: &Value) -> &[Value] {
    metadata["packages"].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn arrows_point_one_way() {
    let wrong = wrong(&metadata());
    assert!(wrong.is_empty(), "{wrong:#?}\nsee ARROWS in xtask/tests/arrows.rs, and ARCHITECTURE.md");
}

#[test]
fn a_wrong_arrow_is_noticed() {
    for (from, to, kind, notices) in [
        ("retake-core", "retake-store", Value::Null, true),
        ("retake-core", "tokio", Value::Null, true),
        ("retake-core", "proptest", "dev".into(), false),
        ("retake-build", "retake-core", Value::Null, true),
        ("retake-build", "tokio", Value::Null, true),
        ("retake-store", "retake-sandbox", Value::Null, true),
        ("retake-sandbox", "retake-store", Value::Null, true),
        ("retake-engine", "retake-sandbox", Value::Null, true),
        ("retake-engine", "wasmtime-wasi", Value::Null, true),
        ("retake-cli", "rusqlite", Value::Null, true),
        ("retake-store", "wasmparser", Value::Null, true),
        ("retake", "retake-core", Value::Null, true),
        ("example-orders", "retake-core", Value::Null, true),
        ("example-orders", "serde", Value::Null, false),
        ("xtask", "clap", Value::Null, true),
        ("retake-benches", "wasmtime", Value::Null, false),
    ] {
        let mut metadata = metadata();
        let all = metadata["packages"].as_array_mut().unwrap();
        let Some(package) = all.iter_mut().find(|it| it["name"] == from) else { continue };
        package["dependencies"].as_array_mut().unwrap().push(serde_json::json!({ "name": to, "kind": kind }));
        let wrong = wrong(&metadata);
        let named = wrong.iter().any(|it| it.contains(&format!("`{from}` must not depend on `{to}`")));
        assert_eq!(named, notices, "{from} on {to}: {wrong:?}");
    }
}

#[test]
fn a_package_without_a_place_is_noticed() {
    let metadata = serde_json::json!({ "packages": [{ "name": "retake-utils", "dependencies": [] }] });
    assert_eq!(wrong(&metadata), ["`retake-utils` has no place in ARROWS"]);
}
