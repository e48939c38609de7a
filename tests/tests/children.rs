//! Children, and parents that are suspended meanwhile.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::time::Instant;

use retake_tests::{Retake, path};
use serde_json::Value;

/// Runs the tree of the guest `family`, of which everything waits for an hour, and returns the name of its root.
fn sleeping(retake: &Retake) -> String {
    retake.expect(124, &["run", &path("family"), "--flow", "family"]);
    let root = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    assert_eq!(retake.json(&["show", &root])["state"], "Suspended");
    root
}

/// The name of the one run of this flow.
fn of_flow(retake: &Retake, flow: &str) -> String {
    let all = retake.json(&["ps", "--all"]);
    let it = all.as_array().unwrap().iter().find(|it| it["flow"] == flow);
    it.unwrap_or_else(|| panic!("no run of `{flow}` in {all:#}"))["name"].as_str().unwrap().to_owned()
}

/// Lets the root go on to its end, long before anything is due, and returns it.
#[track_caller]
fn ends(retake: &Retake, root: &str) -> Value {
    let began = Instant::now();
    retake.expect(1, &["watch", root, "--timeout", "60s"]);
    assert!(began.elapsed().as_secs() < 60);
    let root = retake.json(&["show", root]);
    assert_eq!(root["state"], "Failed", "{root:#}");
    root
}

#[test]
fn a_child_that_somebody_begins_early_does_not_let_its_parent_sleep_on() {
    let retake = Retake::new();
    let root = sleeping(&retake);
    retake.expect(0, &["run-now", &of_flow(&retake, "failing")]);
    assert_eq!(ends(&retake, &root)["failure"]["code"], "not.yet");
    // What it leaves behind does not go on.
    assert_eq!(retake.json(&["show", &of_flow(&retake, "sleeper")])["state"], "Cancelled");
}

#[test]
fn a_child_that_somebody_cancels_does_not_let_its_parent_sleep_on() {
    let retake = Retake::new();
    let root = sleeping(&retake);
    let child = of_flow(&retake, "failing");
    retake.expect(0, &["cancel", &child]);
    // Not what the child had failed with before that.
    assert_eq!(ends(&retake, &root)["failure"]["code"], "host.cancelled");

    // All of it once more. It is the same child, in another round, and cancelled for good again.
    retake.expect(124, &["retry", &root]);
    assert_eq!(retake.json(&["show", &child])["state"], "AwaitingRetry");
    retake.expect(0, &["cancel", &child]);
    assert_eq!(ends(&retake, &root)["failure"]["code"], "host.cancelled");
    let child = retake.json(&["show", &child]);
    assert_eq!((&child["state"], &child["attempt"]), (&"Cancelled".into(), &2.into()), "{child:#}");
}

#[test]
fn children_that_were_cancelled_with_their_parent_run_again_with_it() {
    let retake = Retake::new();
    let root = sleeping(&retake);
    retake.expect(0, &["cancel", &root]);
    retake.expect(124, &["retry", &root]);
    for (flow, state) in [("failing", "AwaitingRetry"), ("middle", "Suspended"), ("sleeper", "Suspended")] {
        assert_eq!(retake.json(&["show", &of_flow(&retake, flow)])["state"], state, "{flow}");
    }
}

/// What cannot even be begun ends its attempt, and with it what an earlier go at that attempt has made.
#[test]
fn an_attempt_whose_code_is_gone_leaves_no_children_behind() {
    let retake = Retake::new();
    let root = sleeping(&retake);
    for folder in ["blobs", "compiled"] {
        std::fs::remove_dir_all(retake.dir.path().join("data").join(folder)).unwrap();
    }
    retake.expect(0, &["cancel", &of_flow(&retake, "failing")]);
    assert_eq!(ends(&retake, &root)["failure"]["code"], "host.internal");
    for flow in ["middle", "sleeper"] {
        assert_eq!(retake.json(&["show", &of_flow(&retake, flow)])["state"], "Cancelled", "{flow}");
    }
}
