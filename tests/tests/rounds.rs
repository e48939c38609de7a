//! What a round of a run is given, and what it forgets (semantics.md, "Retry policy, exactly" and "Manual retry").
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use retake_tests::{Retake, path};
use serde_json::Value;

/// The run that was made last, whatever became of it.
fn newest(retake: &Retake) -> String {
    retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned()
}

fn counts(run: &Value) -> (u64, u64) {
    (run["attempt"].as_u64().unwrap(), run["round"].as_u64().unwrap())
}

#[test]
fn a_retry_without_a_delay_begins_at_once() {
    let retake = Retake::new();
    let began = Instant::now();
    retake.expect(0, &["run", &path("retry_it"), "-p", "fail_times=5", "--retry-delay", "0s"]);
    // Six attempts take some hundredths of a second; with a look for what is due every 2 s they would take ten.
    assert!(began.elapsed() < Duration::from_secs(8), "took {:?}", began.elapsed());
}

#[test]
fn what_a_retry_changes_of_the_policy_counts_for_its_round() {
    let retake = Retake::new();
    retake.expect(1, &["run", &path("manual_retry"), "-p", "fail_times=100"]);
    let run = newest(&retake);
    retake.expect(1, &["retry", &run, "--retries", "2", "--retry-delay", "0s"]);
    assert_eq!(counts(&retake.json(&["show", &run])), (4, 2));
    retake.expect(1, &["retry", &run]);
    assert_eq!(counts(&retake.json(&["show", &run])), (5, 3), "its metadata asks for no retries");
}

#[test]
fn to_forget_everything_is_to_sleep_again() {
    let retake = Retake::new();
    retake.expect(0, &["run", &path("hostile"), "--flow", "sleep", "-p", "n=1500"]);
    let run = newest(&retake);
    let again = |more: &[&str]| {
        let began = Instant::now();
        retake.expect(0, &[&["retry", &run], more].concat());
        began.elapsed()
    };
    let took = again(&["--all"]);
    assert!(took >= Duration::from_millis(1500), "it slept for {took:?}");
    let run = retake.json(&["show", &run]);
    assert_eq!(counts(&run), (2, 2));
}

#[test]
fn a_child_that_ended_without_an_answer_is_forgotten_with_the_rest() {
    let retake = Retake::new();
    retake.expect(1, &["run", &path("hostile"), "--flow", "fail-beside-a-child"]);
    let parent = newest(&retake);
    let children = || {
        let runs = retake.json(&["ps", "--all"]);
        let children: Vec<Value> =
            runs.as_array().unwrap().iter().filter(|it| it["flow"] == "sleep").cloned().collect();
        assert_eq!(children.len(), 1, "{runs:#}");
        children[0].clone()
    };
    assert_eq!(children()["state"], "Cancelled");
    // Somebody has the child do its work after all, and then wants everything anew.
    retake.expect(0, &["retry", children()["id"].as_str().unwrap(), "--wait"]);
    let plan = retake.json(&["retry", &parent, "--rerun", "sleep", "--dry-run"]);
    assert_eq!(plan["calls"].as_array().unwrap().iter().filter(|it| it["fate"] == "runs-again").count(), 1, "{plan:#}");
    let before = children();
    retake.expect(0, &["retry", &parent, "--all", "--wait"]);
    let after = children();
    assert_eq!((counts(&before), counts(&after)), ((2, 2), (3, 3)), "{after:#}");
}

#[test]
fn lines_of_a_task_that_is_still_running_are_its_own() {
    let retake = Retake::new();
    let mut child = retake.start(&["run", &path("orders"), "-p", "pause_ms=3000"], "extract");
    let found = (0..40).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        let lines = retake.json(&["logs", &newest(&retake), "--task", "extract"]);
        let state = retake.json(&["ps"])[0]["state"].as_str().unwrap().to_owned();
        assert_eq!(state, "Running", "it ended before its first task's line was seen");
        lines.as_array().is_some_and(|it| !it.is_empty())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found);
}

#[test]
fn what_is_refused_keeps_nothing() {
    let retake = Retake::new();
    let digest = || retake.json(&["inspect", "orders"])["digest"].as_str().unwrap().to_owned();
    retake.expect(0, &["run", &path("orders")]);
    let first = digest();
    // The same code with a section more.
    let other = retake.dir.path().join("other.wasm");
    let mut bytes = std::fs::read(path("orders")).unwrap();
    bytes.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    std::fs::write(&other, bytes).unwrap();
    let other = other.to_str().unwrap();
    retake.expect(2, &["run", other, "-p", "load=nonsense"]);
    assert_eq!(digest(), first, "a refused run changes nothing");
    retake.expect(0, &["run", other]);
    assert_ne!(digest(), first);
    retake.expect(0, &["run", &path("orders")]);
    assert_eq!(digest(), first, "a name is what was run last");
}

#[test]
fn a_task_to_be_made_again_is_named_before_or_after_its_run() {
    let retake = Retake::new();
    retake.expect(0, &["run", &path("orders")]);
    let run = newest(&retake);
    let plan = |args: &[&str]| {
        let plan = retake.json(&[&["retry", "--dry-run"], args].concat());
        plan["calls"].as_array().unwrap().iter().filter(|it| it["fate"] == "runs-again").count()
    };
    assert_eq!(plan(&["--rerun", "enrich", &run]), 1);
    assert_eq!(plan(&[&run, "--rerun", "enrich,load"]), 2);
    assert_eq!(plan(&[&run, "--rerun", "enrich", "--rerun", "load"]), 2);
}
