//! Manual retries with every option, from outside (semantics.md, "Manual retry").
#![allow(clippy::unwrap_used, reason = "tests")]

use retake_tests::{Retake, component, task};
use serde_json::Value;

/// A run of `orders` whose last task failed, and its name.
fn failed_orders() -> (Retake, String) {
    let retake = Retake::new();
    let orders = component("orders");
    retake.expect(1, &["run", orders.to_str().unwrap(), "-p", "load=fail-once"]);
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    (retake, name)
}

fn plan(retake: &Retake, args: &[&str]) -> Vec<(String, String)> {
    let plan = retake.json(&[&["retry"], args, &["--dry-run"]].concat());
    let words = |it: &Value| it.as_str().unwrap().to_owned();
    plan["calls"].as_array().unwrap().iter().map(|it| (words(&it["task"]), words(&it["why"]))).collect()
}

fn calls(all: [(&str, &str); 3]) -> Vec<(String, String)> {
    all.map(|(task, why)| (task.to_owned(), why.to_owned())).to_vec()
}

#[test]
fn a_dry_run_says_what_is_fed_back_and_changes_nothing() {
    let (retake, run) = failed_orders();
    let before = retake.json(&["show", &run]);
    let fed = "fed back from attempt 1";
    let failed = "runs again: failed";
    assert_eq!(plan(&retake, &[&run]), calls([("extract", fed), ("enrich", fed), ("load", failed)]));
    let asked = "runs again: asked for";
    assert_eq!(
        plan(&retake, &[&run, "--from", "enrich"]),
        calls([("extract", fed), ("enrich", asked), ("load", failed)])
    );
    assert_eq!(
        plan(&retake, &[&run, "--rerun", "extract"]),
        calls([("extract", asked), ("enrich", fed), ("load", failed)])
    );
    assert_eq!(plan(&retake, &[&run, "--all"]), calls([("extract", asked), ("enrich", asked), ("load", failed)]));
    assert_eq!(retake.json(&["show", &run]), before);
    let said = retake.expect(3, &["retry", &run, "--rerun", "lod"]);
    said.is_an_error_with_a_hint("the run has made no call of `lod`");
}

#[test]
fn what_is_asked_for_runs_again_and_nothing_else() {
    let (retake, run) = failed_orders();
    let run = retake.json(&["retry", &run, "--rerun", "2"]);
    assert_eq!(run["state"], "Completed", "{run:#}");
    let attempts = |name| task(&run, name)["attempts"].as_u64().unwrap();
    assert_eq!([attempts("extract"), attempts("enrich"), attempts("load")], [1, 2, 2]);
    // It has completed: only what is asked for expressly is done again.
    let name = run["name"].as_str().unwrap();
    retake.expect(6, &["retry", name]).is_an_error_with_a_hint("the run has completed");
    let run = retake.json(&["retry", name, "--from", "enrich"]);
    let attempts = |name| task(&run, name)["attempts"].as_u64().unwrap();
    assert_eq!([attempts("extract"), attempts("enrich"), attempts("load")], [1, 3, 3]);
    assert_eq!((&run["state"], &run["attempt"], &run["round"]), (&"Completed".into(), &3.into(), &3.into()));
}

#[test]
fn changed_parameters_are_laid_over_the_old_ones_and_recorded() {
    let (retake, run) = failed_orders();
    let said = retake.expect(2, &["retry", &run, "-p", "custmer=x"]);
    said.is_an_error_with_a_hint("did you mean `customer`");
    let run = retake.json(&["retry", &run, "-p", "customer=initech"]);
    assert_eq!(run["parameters"]["customer"], "initech", "{run:#}");
    assert_eq!(run["parameters"]["load"], "fail-once");
    let event = run["events"].as_array().unwrap().iter().find(|it| it["kind"] == "manual-retry").unwrap();
    assert!(event["details"]["parameters"]["from"].is_object(), "{event:#}");
}

#[test]
fn other_code_is_fed_what_still_answers_its_questions() {
    let (retake, run) = failed_orders();
    // The same code with a section that means nothing: another digest.
    let mut bytes = std::fs::read(component("orders")).unwrap();
    bytes.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    let mended = retake.dir.path().join("mended.wasm");
    std::fs::write(&mended, bytes).unwrap();
    let mended = mended.to_str().unwrap();
    let fed = "fed back from attempt 1";
    let expected = calls([("extract", fed), ("enrich", fed), ("load", "runs again: failed")]);
    assert_eq!(plan(&retake, &[&run, "--version", mended]), expected);
    let was = retake.json(&["show", &run])["component"].clone();
    let done = retake.json(&["retry", &run, "--version", "latest"]);
    assert_eq!((&done["state"], task(&done, "extract")["attempts"].as_u64()), (&"Completed".into(), Some(1)));
    assert_ne!(done["component"], was);
    let said = retake.expect(3, &["retry", &run, "--all", "--version", "0000"]);
    said.is_an_error_with_a_hint("no version `0000` of this component is known");
    let gone = component("retry_it");
    let said = retake.expect(3, &["retry", &run, "--all", "--version", gone.to_str().unwrap()]);
    said.is_an_error_with_a_hint("has no flow `orders`");
}

#[test]
fn many_are_retried_by_a_filter() {
    let retake = Retake::new();
    let orders = component("orders");
    for _ in 0..3 {
        retake.expect(1, &["run", orders.to_str().unwrap(), "-p", "load=fail-once"]);
    }
    retake.expect(0, &["run", orders.to_str().unwrap()]);
    let dry = retake.expect(0, &["retry", "--code", "load.*", "--dry-run", "-o", "id"]);
    assert_eq!(dry.out.lines().count(), 3, "{}", dry.out);
    retake.expect(0, &["retry", "--code", "other.*"]);
    assert!(retake.json(&["ps", "--state", "failed"]).as_array().unwrap().len() == 3);
    retake.expect(0, &["retry", "--flow", "orders", "--since", "1h"]);
    assert_eq!(retake.json(&["ps", "--state", "completed"]).as_array().unwrap().len(), 4);
    retake.expect(2, &["retry"]).is_an_error_with_a_hint("no run is named");
}

#[test]
fn until_success_retries_until_it_succeeds() {
    let retake = Retake::new();
    let flow = component("orders");
    retake.expect(1, &["run", flow.to_str().unwrap(), "-p", "enrich_fails=100", "-p", "load=fail-once"]);
    let run = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let said = retake.expect(0, &["retry", &run, "-p", "enrich_fails=0", "--until-success"]);
    assert!(said.err.contains("again in 1"), "{}", said.err);
}
