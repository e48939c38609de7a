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
    // The attempt that was under way is told of, too.
    let attempts = retake.json(&["show", &root])["attempts"].clone();
    assert_eq!((&attempts[0]["attempt"], &attempts[0]["failure"]["code"]), (&1.into(), &"host.cancelled".into()));
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

/// What a person asked for counts once: not again in the attempts after that.
#[test]
fn what_a_child_was_to_forget_is_forgotten_once() {
    let retake = Retake::new();
    retake.expect(1, &["run", &path("family"), "--flow", "above", "-p", "asleep=true"]);
    let root = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let child = of_flow(&retake, "half");
    let shouted = || retake_tests::task(&retake.json(&["show", &child]), "shout")["attempts"].clone();
    assert_eq!(shouted(), 1);

    // The child is to do all of it again, and has done so much when somebody cancels everything.
    retake.expect(124, &["retry", &root, "--all"]);
    assert_eq!(shouted(), 2);
    retake.expect(0, &["cancel", &root]);
    let plan = retake.json(&["retry", &root, "--dry-run"]);
    assert_eq!(plan["calls"][0]["task"], "half", "{plan:#}");
    retake.expect(124, &["retry", &root]);
    assert_eq!(shouted(), 2, "its kept result was to be fed back");
    assert_eq!(retake.json(&["show", &child])["attempt"], 3);
}

/// A round that somebody began before everything was to be forgotten is let end, and then it is forgotten.
#[test]
fn a_child_that_is_in_another_round_forgets_after_it() {
    let retake = Retake::new();
    retake.expect(1, &["run", &path("family"), "--flow", "above", "-p", "asleep=true"]);
    let root = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let child = of_flow(&retake, "half");
    let shouted = || retake_tests::task(&retake.json(&["show", &child]), "shout")["attempts"].clone();
    retake.expect(124, &["retry", &child]);
    retake.expect(124, &["retry", &root, "--all"]);
    assert_eq!(shouted(), 1);
    retake.expect(0, &["cancel", &child]);
    retake.expect(124, &["watch", &root, "--timeout", "20s"]);
    assert_eq!((shouted(), &retake.json(&["show", &child])["attempt"]), (2.into(), &3.into()));
    // Once.
    retake.expect(0, &["cancel", &root]);
    retake.expect(124, &["retry", &root]);
    assert_eq!(shouted(), 2);
}

#[test]
fn the_plan_of_a_parent_says_what_its_children_will_forget() {
    let retake = Retake::new();
    retake.expect(1, &["run", &path("family"), "--flow", "above"]);
    let root = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let child = of_flow(&retake, "half");
    retake.expect(0, &["retry", &child]);
    let fate = |args: &[&str]| {
        let plan = retake.json(&[&["retry", &root, "--dry-run"], args].concat());
        (plan["calls"][0]["fate"].as_str().unwrap().to_owned(), plan["calls"][0]["why"].as_str().unwrap().to_owned())
    };
    assert_eq!(fate(&[]).0, "fed-back");
    let (all, why) = fate(&["--all"]);
    assert_eq!(all, "runs-again", "{why}");
    retake.expect(0, &["retry", &root]);
    assert_eq!(retake.json(&["show", &child])["attempt"], 2);
    retake.expect(0, &["retry", &root, "--all"]);
    assert_eq!(retake.json(&["show", &child])["attempt"], 3);
}

/// `--retry-delay` of a round that a person began is of that round.
#[test]
fn a_policy_for_one_round_of_a_child_ends_with_it() {
    let retake = Retake::new();
    let root = sleeping(&retake);
    retake.expect(0, &["cancel", &root]);
    let child = of_flow(&retake, "failing");
    let hours = || {
        let child = retake.json(&["show", &child]);
        let due: jiff::Timestamp = child["due"].as_str().unwrap_or_else(|| panic!("{child:#}")).parse().unwrap();
        (due - jiff::Timestamp::now()).total(jiff::Unit::Hour).unwrap()
    };
    retake.expect(124, &["retry", &child, "--retry-delay", "7h"]);
    assert!(hours() > 6.0, "{}", hours());
    retake.expect(0, &["cancel", &child]);
    retake.expect(124, &["retry", &root]);
    assert!(hours() < 2.0, "{}", hours());
}
