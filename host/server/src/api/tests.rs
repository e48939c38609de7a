//! The document, the table of roles and the mirrored shapes, against each other and against what is really written.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::collections::BTreeSet;

use retake_core::failure::{Failure, RetryAdvice};
use retake_core::task::{Evidence, Overrides};
use retake_core::value::Json;
use serde_json::Value;

use crate::access::{ROUTES, Role, needs};

fn document() -> Value {
    serde_json::from_str(&super::openapi()).unwrap()
}

fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys().filter(|it| *it != "parameters").cloned().collect::<Vec<_>>();
        methods.into_iter().map(|it| (it.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

#[test]
fn every_route_has_its_role_and_no_role_is_left_over() {
    let documented = operations(&document());
    let beside = [
        "/",
        "/ui/{*file}",
        "/healthz",
        "/readyz",
        "/metrics",
        "/docs",
        "/docs/",
        "/docs/{file}",
        "/api/v1/openapi.json",
    ];
    let listed: BTreeSet<(String, String)> = ROUTES
        .iter()
        .filter(|(_, path, _)| !beside.contains(path))
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(listed, documented);
}

#[test]
fn nothing_that_changes_is_a_viewers_and_nothing_but_health_is_open() {
    for (method, path, role) in ROUTES {
        // Anybody may sign in and out.
        if *method != "GET" && !path.starts_with("/api/v1/session") {
            assert!(*role >= Some(Role::Operator), "{method} {path}");
        }
        let open =
            ["/", "/ui/{*file}", "/healthz", "/readyz", "/docs", "/docs/", "/docs/{file}", "/api/v1/openapi.json"]
                .contains(path)
                || (*method, *path) == ("POST", "/api/v1/session");
        assert_eq!(role.is_none(), open, "{method} {path}");
    }
    assert_eq!(needs(&axum::http::Method::PATCH, "/api/v1/flow-runs"), None);
}

#[test]
fn the_document_that_is_committed_is_the_one_that_is_served() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api/openapi.json");
    let now = super::openapi() + "\n";
    if std::env::var_os("RETAKE_RENEW").is_some() {
        std::fs::write(file, &now).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == now,
        "docs/api/openapi.json is of another time: `RETAKE_RENEW=1 cargo test -p retake-server` renews it"
    );
}

/// Two types with one name would be one in the document, and only one of them right.
#[test]
fn each_schema_has_a_name_of_its_own() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(schemas["Limit"]["properties"]["name"].is_null(), "{}", schemas["Limit"]);
    assert!(schemas["Limited"]["properties"]["name"].is_object(), "{}", schemas["Limited"]);
}

#[test]
fn every_operation_says_what_it_is_for() {
    let document = document();
    let mut ids = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            assert!(operation["summary"].as_str().is_some_and(|it| it.len() > 8), "{operation}");
            assert!(operation["responses"]["default"].is_object(), "{operation}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "two have one id: {operation}");
        }
    }
}

/// The names that a schema knows.
fn known(document: &Value, schema: &str) -> BTreeSet<String> {
    document["components"]["schemas"][schema]["properties"].as_object().unwrap().keys().cloned().collect()
}

fn written(value: &impl serde::Serialize) -> BTreeSet<String> {
    serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect()
}

#[test]
fn mirrored_shapes_are_those_that_are_written() {
    let document = document();
    let failure = Failure {
        retry: RetryAdvice::Never,
        details: Some(Json::null()),
        ..Failure::new("sandbox.trap", "unreachable")
    };
    assert_eq!(written(&failure), known(&document, "Failure"));
    assert_eq!(written(&Evidence::default()), known(&document, "Evidence"));
    let overrides = Overrides {
        retry: Some(Default::default()),
        retries: Some(1),
        retry_delay: Some(std::time::Duration::ZERO),
        timeout: Some(std::time::Duration::ZERO),
        memory_bytes: Some(1),
        inject: vec!["task:a=fail".parse().unwrap()],
        trace_parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().ok(),
        this_round: Some(Box::default()),
    };
    assert_eq!(written(&overrides), known(&document, "Overrides"));
}

/// The names of all fields that a body may have, those within others with what they are within.
fn fields(document: &Value, schema: &Value, before: &str, found: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
        return fields(document, &document["components"]["schemas"][name], before, found);
    }
    for several in ["allOf", "anyOf", "oneOf"] {
        schema[several].as_array().into_iter().flatten().for_each(|it| fields(document, it, before, found));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        found.insert(format!("{before}{name}"));
        fields(document, field, &format!("{before}{name}."), found);
    }
}

#[test]
fn every_field_of_every_request_has_its_role() {
    let document = document();
    let mut documented = BTreeSet::new();
    for (method, path) in operations(&document) {
        let body = &document["paths"][&path][method.to_lowercase()]["requestBody"]["content"];
        let mut found = BTreeSet::new();
        body.as_object().into_iter().flatten().for_each(|(_, it)| fields(&document, &it["schema"], "", &mut found));
        documented.extend(found.into_iter().map(|it| format!("{method} {path} {it}")));
    }
    let listed: Vec<(&str, &str)> = include_str!("fields.txt")
        .lines()
        .filter(|it| !it.starts_with('#'))
        .filter_map(|it| it.split_once(' '))
        .collect();
    let names: BTreeSet<String> = listed.iter().map(|(_, it)| (*it).to_owned()).collect();
    assert_eq!(names, documented, "fields.txt says who may say what");
    let mut guarded = Vec::new();
    for (role, field) in listed {
        let role = match role {
            "nobody" => None,
            word => Some(
                [Role::Viewer, Role::Operator, Role::Deployer, Role::Admin]
                    .into_iter()
                    .find(|it| it.as_str() == word)
                    .unwrap(),
            ),
        };
        let mut words = field.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let route = needs(&method.parse().unwrap(), path).unwrap();
        assert!(role >= route, "{field} takes less than its route");
        if role > route {
            guarded.push(field);
        }
    }
    // Each of these is attacked in tests/attacks/code.rs.
    let attacked = ["POST /api/v1/flow-runs/bulk-retry version", "POST /api/v1/flow-runs/{run}/retry version"];
    assert_eq!(guarded, attacked);
}
