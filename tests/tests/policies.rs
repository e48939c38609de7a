//! Policies at work: rules, jitter, a limit in time, and runs that are left to a person (semantics.md, "Retry policy,
//! exactly"). The arithmetic itself is tested in `host/core`.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::time::Duration;

use jiff::Timestamp;
use retake_tests::{Retake, path, task};
use serde_json::Value;

/// Runs a flow of the guest `policies` and returns the run.
#[track_caller]
fn run(retake: &Retake, exit: i32, flow: &str, parameters: &[&str]) -> Value {
    let file = path("policies");
    let mut args = vec!["run", &file, "--flow", flow];
    parameters.iter().for_each(|it| args.extend(["-p", it]));
    retake.expect(exit, &args);
    newest(retake)
}

/// The run that was made last and has no parent.
fn newest(retake: &Retake) -> Value {
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    retake.json(&["show", &name])
}

/// When each attempt of a flow began and ended.
fn attempts(run: &Value) -> Vec<(Timestamp, Timestamp)> {
    let at = |it: &Value, what: &str| it[what].as_str().unwrap().parse().unwrap();
    let attempts = run["attempts"].as_array().unwrap_or_else(|| panic!("{run:#}"));
    attempts.iter().map(|it| (at(it, "began"), at(it, "ended"))).collect()
}

/// How long the flow waited after each of its attempts but the last.
fn waits(run: &Value) -> Vec<Duration> {
    let attempts = attempts(run);
    attempts.windows(2).map(|pair| (pair[1].0 - pair[0].1).try_into().unwrap()).collect()
}

#[test]
fn the_first_rule_that_matches_decides() {
    let retake = Retake::new();
    for (code, times, exit, state, attempts) in [
        // Its own three retries, not the policy's one.
        ("http.429", 3, 0, "Completed", 4),
        ("http.429", 9, 1, "Failed", 4),
        ("http.404", 9, 1, "Failed", 1),
        ("quota.month", 9, 1, "Parked", 1),
        // None matches: the policy's own.
        ("http.503", 1, 0, "Completed", 2),
        ("http.503", 9, 1, "Failed", 2),
    ] {
        let (of_code, of_times) = (format!("code={code}"), format!("times={times}"));
        let flow = run(&retake, exit, "ruled", &[&of_code, &of_times]);
        assert_eq!((flow["state"].as_str(), flow["attempt"].as_u64()), (Some(state), Some(attempts)), "{flow:#}");
        let asks = run(&retake, exit, "asks", &[&of_code, &of_times]);
        assert_eq!((asks["state"].as_str(), asks["attempt"].as_u64()), (Some(state), Some(1)), "{asks:#}");
        assert_eq!(task(&asks, "ruled-task")["attempts"], attempts, "{asks:#}");
        if state != "Completed" {
            assert_eq!((&flow["failure"]["code"], &asks["failure"]["code"]), (&code.into(), &code.into()));
        }
    }
}

#[test]
fn a_run_whose_task_gave_up_waits_for_a_person_who_retries_that_task_alone() {
    let retake = Retake::new();
    let parked = run(&retake, 1, "asks", &["code=quota.day", "times=1"]);
    let name = parked["name"].as_str().unwrap();
    assert_eq!(parked["state"], "Parked", "{parked:#}");
    assert_eq!(
        (&task(&parked, "ruled-task")["state"], &task(&parked, "steady")["state"]),
        (&"Failed".into(), &"Completed".into())
    );
    let explained = retake.expect(0, &["explain", name]).out;
    assert!(explained.contains("arked") && explained.contains("quota.day"), "{explained}");
    assert!(retake.json(&["ps", "--state", "parked"])[0]["name"] == name);

    retake.expect(0, &["retry", name]);
    let done = retake.json(&["show", name]);
    assert_eq!((&done["state"], &done["attempt"], &done["round"]), (&"Completed".into(), &2.into(), &2.into()));
    assert_eq!(task(&done, "ruled-task")["attempts"], 2, "{done:#}");
    assert_eq!((&task(&done, "steady")["state"], &task(&done, "steady")["attempts"]), (&"Cached".into(), &1.into()));
}

#[test]
fn a_flow_that_used_up_its_retries_is_parked_round_after_round() {
    let retake = Retake::new();
    let parked = run(&retake, 1, "parks", &["times=3"]);
    let name = parked["name"].as_str().unwrap();
    assert_eq!((&parked["state"], &parked["attempt"]), (&"Parked".into(), &2.into()));
    // A new round has a full budget; its second attempt succeeds.
    retake.expect(0, &["retry", name]);
    let done = retake.json(&["show", name]);
    assert_eq!((&done["state"], &done["attempt"], &done["result"]), (&"Completed".into(), &4.into(), &4.into()));
}

#[test]
fn a_parent_is_told_that_its_child_is_parked() {
    let retake = Retake::new();
    let parent = run(&retake, 1, "parent-of-parks", &["times=3"]);
    assert_eq!((&parent["state"], &parent["failure"]["code"]), (&"Failed".into(), &"not.yet".into()), "{parent:#}");
    assert_eq!(parent["children"][0]["state"], "Parked", "{parent:#}");
    // What a person does to a parent is done to its children that did not succeed.
    retake.expect(0, &["retry", parent["name"].as_str().unwrap()]);
    let done = newest(&retake);
    assert_eq!((&done["state"], &done["result"]), (&"Completed".into(), &4.into()), "{done:#}");
}

#[test]
fn jitter_lengthens_each_wait_by_a_share_of_its_own() {
    let retake = Retake::new();
    let waits = waits(&run(&retake, 1, "jittered", &[]));
    assert_eq!(waits.len(), 5);
    // A loaded machine is late, and never early.
    assert!(waits.iter().all(|it| *it >= Duration::from_millis(100)), "{waits:?}");
    let longest = waits.iter().max().unwrap();
    let shortest = waits.iter().min().unwrap();
    assert!(*longest > *shortest + Duration::from_millis(1), "all alike: {waits:?}");
}

#[test]
fn no_attempt_begins_later_than_the_policy_allows() {
    let retake = Retake::new();
    let run = run(&retake, 1, "gives-up", &[]);
    let attempts = attempts(&run);
    assert!((1..=6).contains(&attempts.len()), "{} attempts of 101", attempts.len());
    assert!(waits(&run).iter().all(|it| *it >= Duration::from_millis(100)));
    assert_eq!(run["state"], "Failed");
}

#[test]
fn a_failure_that_the_flow_did_not_look_at_is_told_and_changes_nothing() {
    let retake = Retake::new();
    let done = run(&retake, 0, "looks-away", &[]);
    assert_eq!((&done["state"], &task(&done, "ruled-task")["state"]), (&"Completed".into(), &"Failed".into()));
    let logs = retake.expect(0, &["logs", done["name"].as_str().unwrap()]).out;
    assert!(logs.contains("a call failed that the flow did not look at; it does not change its outcome"), "{logs}");
}

/// A cancel that comes at the instant at which what it cancels goes on: neither the run nor the host is left behind.
#[test]
fn calls_that_are_just_about_to_go_on_are_cancelled_once() {
    let retake = Retake::new();
    let cancelled = run(&retake, 0, "cancels", &["n=600"]);
    assert!(cancelled["result"].as_u64().unwrap() > 300, "{cancelled:#}");
    let kept = cancelled["tasks"].as_array().unwrap().iter().filter(|it| it["state"] == "Cancelled").count();
    assert_eq!(kept as u64, cancelled["result"].as_u64().unwrap(), "what the flow was told is what is kept");
}

/// What a flow leaves open when it returns does not change its outcome, also where it would be made after its time.
#[test]
fn what_is_due_after_a_flows_time_is_not_waited_for() {
    let retake = Retake::new();
    let began = std::time::Instant::now();
    let run = run(&retake, 0, "leaves", &[]);
    assert!(began.elapsed() < Duration::from_secs(25));
    assert_eq!((&run["state"], &task(&run, "tomorrow")["state"]), (&"Completed".into(), &"Failed".into()), "{run:#}");
}

/// A sleep of the language is kept, also where it looks at its clock to know whether it is over.
#[test]
fn a_sleep_that_an_earlier_attempt_has_slept_is_over() {
    let retake = Retake::new();
    let run = run(&retake, 0, "wary", &[]);
    let took: Vec<i64> =
        attempts(&run).iter().map(|(began, ended)| ended.duration_since(*began).as_millis() as i64).collect();
    assert!(took.len() == 2 && took[0] >= 1500 && took[1] < 1000, "{took:?}");
}

/// A flow's time is over also while it waits for a task, and what the task computes is not the flow's.
#[test]
fn a_flow_whose_time_is_over_does_not_wait_for_its_task() {
    let retake = Retake::new();
    let file = path("policies");
    // It computes for ever, and it waits for ever.
    for more in [&[][..], &["--inject", "task:dawdle=hang"]] {
        retake.expect(1, &[&["run", &file, "--flow", "impatient"], more].concat());
        let run = newest(&retake);
        let (began, ended) = attempts(&run)[0];
        assert!(run["state"] == "TimedOut" && ended.duration_since(began).as_millis() < 3000, "{run:#}");
        let used = run["attempts"][0]["evidence"]["cpu_us"].as_u64().unwrap();
        assert!(used < 300_000, "{used} µs are of its task");
    }
}
