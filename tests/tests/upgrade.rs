//! Data directories of earlier versions, with live runs in them, are gone on with (safety.md, H14: G-R12).
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use retake_tests::http::Server;
use retake_tests::{Retake, task};
use serde_json::Value;

/// A token of the fixture, of an operator.
const OPERATOR: &str = "rtk_Eh7DLGq4y-UVMsO-X00e_ju7k66YEO-gPxnqeNl6tvk";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn opened(fixture: &str) -> Retake {
    let retake = Retake::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    copy(&fixtures.join(fixture), &retake.dir.path().join("data"));
    retake
}

#[test]
fn runs_of_schema_1_go_on() {
    go_on(&opened("schema-1"));
}

#[test]
fn runs_of_schema_2_go_on() {
    let retake = opened("schema-2");
    go_on(&retake);
    the_tree_goes_on(&retake);
}

#[test]
fn runs_of_schema_4_go_on() {
    let retake = opened("schema-4");
    go_on(&retake);
    the_tree_goes_on(&retake);
}

#[test]
fn runs_of_schema_5_go_on() {
    let retake = opened("schema-5");
    go_on(&retake);
    the_tree_goes_on(&retake);
}

/// As docs/operating.md says: first a copy, then the newer schema. The copy is of the older one.
#[test]
fn what_an_older_program_left_is_copied_as_it_is() {
    let retake = opened("schema-4");
    retake.expect(70, &["ps"]).is_an_error_with_a_hint("db migrate");
    let copy = retake.dir.path().join("copy");
    retake.expect(0, &["db", "backup", copy.to_str().unwrap()]);
    go_on(&retake);
    let of_copy = Retake::new();
    std::fs::rename(copy, of_copy.dir.path().join("data")).unwrap();
    assert_eq!(of_copy.json(&["db", "migrate"])["before"], 4);
    go_on(&of_copy);
    the_tree_goes_on(&of_copy);
}

#[test]
fn what_was_defined_with_schema_3_counts() {
    let retake = opened("schema-3");
    go_on(&retake);
    the_tree_goes_on(&retake);
    let server = Server::start(&retake);
    let names = |what: &str| {
        let listed = server.ask_as(Some(OPERATOR), "GET", &format!("/api/v1/{what}"), "").json();
        let name = if what == "deployments" { "full_name" } else { "name" };
        let items = listed["items"].as_array().unwrap().clone();
        items.iter().map(|it| it[name].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("deployments"), ["Manual retry/dev", "orders/dev"]);
    assert_eq!((names("schedules"), names("notifications")), (vec!["nightly".to_owned()], vec!["night".to_owned()]));
    // A message that was on its way is still.
    let delivery = server.ask_as(Some(OPERATOR), "GET", "/api/v1/deliveries", "").json()["items"][0].clone();
    assert_eq!((&delivery["rule"], &delivery["state"]), (&"night".into(), &"pending".into()), "{delivery:#}");
    let ask = r#"{"deployment": "orders/dev"}"#;
    let made = server.ask_as(Some(OPERATOR), "POST", "/api/v1/flow-runs", ask);
    assert_eq!(made.status, 201, "{made:?}");
}

fn the_tree_goes_on(retake: &Retake) {
    let runs = retake.json(&["ps", "--all"]);
    let run = |flow: &str| runs.as_array().unwrap().iter().find(|it| it["flow"] == flow).unwrap().clone();
    let (parent, child) = (run("fail-beside-a-child"), run("sleep"));
    assert_eq!((&parent["state"], &child["state"]), (&"Failed".into(), &"Cancelled".into()));
    retake.expect(0, &["retry", parent["id"].as_str().unwrap(), "--all", "--wait"]);
    let child = retake.json(&["show", child["id"].as_str().unwrap()]);
    assert_eq!((&child["state"], &child["round"]), (&"Completed".into(), &2.into()), "{child:#}");
}

/// Goes on with the runs that every fixture has.
fn go_on(retake: &Retake) {
    retake.expect(0, &["db", "migrate"]);
    assert!(retake.expect(0, &["db", "check"]).out.contains("all is well"));
    let runs = retake.json(&["ps"]);
    let runs = runs.as_array().unwrap();
    let only = |state: &str, flow: &str| -> Value {
        let found: Vec<_> = runs.iter().filter(|it| it["state"] == state && it["flow"] == flow).collect();
        assert_eq!(found.len(), 1, "{state} {flow}: {runs:#?}");
        retake.json(&["show", found[0]["id"].as_str().unwrap()])
    };
    let id = |run: &Value| run["id"].as_str().unwrap().to_owned();
    // Whoever opened it first took the run back from its dead host.
    let (killed, failed, paused) = (only("Scheduled", "orders"), only("Failed", "orders"), only("Paused", "orders"));
    let (waits, completed) = (only("AwaitingRetry", "retry-it"), only("Completed", "orders"));

    let done = retake.json(&["watch", &id(&killed)]);
    assert_eq!((&done["state"], &done["attempt"]), (&"Completed".into(), &1.into()), "{done:#}");
    assert_eq!(task(&done, "extract")["result"], task(&killed, "extract")["result"]);
    let done = retake.json(&["retry", &id(&failed)]);
    assert_eq!((&done["state"], task(&done, "extract")["attempts"].as_u64()), (&"Completed".into(), Some(1)));
    assert_eq!(task(&done, "extract")["result"], task(&failed, "extract")["result"]);
    retake.expect(0, &["resume", &id(&paused)]);
    retake.say(&["run-now", &id(&paused)]);
    assert_eq!(retake.json(&["watch", &id(&paused)])["state"], "Completed");
    retake.say(&["run-now", &id(&waits)]);
    assert_eq!(retake.json(&["watch", &id(&waits)])["state"], "Completed");
    assert_eq!(retake.json(&["show", &id(&completed)]), completed);
    assert!(retake.expect(0, &["db", "check"]).out.contains("all is well"));
}
