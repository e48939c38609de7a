//! What a person sees of the example flows.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::process::{Output, Stdio};

use retake_tests::{Retake, Said, path, task};
use serde_json::{Value, json};

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { exit: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The first child of a run.
fn child_of(retake: &Retake, parent: &str) -> String {
    retake.json(&["show", parent])["children"][0]["name"].as_str().unwrap().to_owned()
}

#[test]
fn every_attempt_has_a_fresh_sandbox() {
    let retake = Retake::new();
    let said = retake.expect(0, &["run", &path("retry_it"), "-p", "fail_times=5", "--retry-delay", "0s"]);
    assert_eq!(said.err.matches("start 1 of this sandbox").count(), 6, "{}", said.err);
    let result: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(result, json!({"attempt": 6, "starts": 1}));
}

#[test]
fn used_up_retries_end_in_failure_and_a_hint_to_retry() {
    let retake = Retake::new();
    let said = retake.expect(1, &["run", &path("retry_it"), "-p", "fail_times=6", "--retry-delay", "0s"]);
    assert!(said.err.contains("hint: retake retry "), "{}", said.err);
    let runs = retake.json(&["ps"]);
    assert_eq!((&runs[0]["state"], &runs[0]["attempt"]), (&json!("Failed"), &json!(6)));
    assert_eq!(retake.json(&["show", runs[0]["name"].as_str().unwrap()])["attempts"].as_array().unwrap().len(), 6);
}

#[test]
fn a_declared_delay_is_shown_and_outlives_the_process() {
    let retake = Retake::new();
    let said = retake.expect(124, &["run", &path("retry_it"), "-p", "fail_times=1"]);
    assert!(said.err.contains("AwaitingRetry until"), "{}", said.err);
    let run = &retake.json(&["ps"])[0];
    assert_eq!(run["state"], "AwaitingRetry");
    assert!(run["due"].as_str().unwrap().ends_with('Z'));
    // Not due yet: whoever looks in the meantime changes nothing.
    retake.expect(0, &["worker", "--drain"]);
    assert_eq!(retake.json(&["ps"])[0]["attempt"], 1);
}

#[test]
fn a_process_started_later_goes_on_with_the_next_attempt() {
    let retake = Retake::new();
    let args = ["run", &path("retry_it"), "-p", "fail_times=1", "--retry-delay", "3s", "--timeout", "500ms"];
    retake.expect(124, &args);
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let said = retake.expect(0, &["watch", &name]);
    assert!(said.err.contains("attempt 2"), "{}", said.err);
    assert_eq!(retake.json(&["show", &name])["result"], json!({"attempt": 2, "starts": 1}));
}

#[test]
fn a_plain_sleep_in_a_flow_is_durable_and_holds_no_process() {
    let retake = Retake::new();
    let said = retake.expect(124, &["run", &path("hostile"), "--flow", "sleep", "-p", "n=11000"]);
    assert!(said.err.contains("Suspended until"), "{}", said.err);
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    assert_eq!(retake.json(&["show", &name])["state"], "Suspended");
    retake.expect(0, &["watch", &name, "--wait"]);
    let run = retake.json(&["show", &name]);
    assert_eq!((&run["state"], &run["attempt"]), (&json!("Completed"), &json!(1)));
    assert_eq!(task(&run, "sleep")["took_ms"], 11_000);
    // What went on did not say again what it had said.
    let logs = retake.expect(0, &["logs", &name]).out;
    assert_eq!((logs.matches("asleep").count(), logs.matches("awake").count()), (1, 1), "{logs}");
}

#[test]
fn a_flow_that_sleeps_past_its_timeout_is_ended_then() {
    let retake = Retake::new();
    let said = retake.expect(1, &["run", &path("hostile"), "--flow", "sleep-too-long", "--wait"]);
    assert!(said.err.contains("sandbox.timeout: took longer than 11s"), "{}", said.err);
    let run = retake.json(&["show", retake.json(&["ps"])[0]["name"].as_str().unwrap()]);
    let took = run["attempts"][0]["took_ms"].as_u64().unwrap();
    assert!((11_000..14_000).contains(&took) && run["state"] == "TimedOut", "{run:#}");
}

#[test]
fn a_child_that_was_cancelled_with_its_parent_runs_again_with_it() {
    let retake = Retake::new();
    retake.expect(1, &["run", &path("hostile"), "--flow", "fail-beside-a-child"]);
    let parent = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let child = child_of(&retake, &parent);
    assert_eq!(retake.json(&["show", &child])["state"], "Cancelled");
    assert!(retake.json(&["show", &child])["ended"].is_string(), "it has ended");
    let said = retake.expect(0, &["retry", &parent, "--wait"]);
    assert!(said.out.contains("12000"), "{}", said.out);
    assert_eq!(retake.json(&["show", &child])["state"], "Completed");
}

#[test]
fn a_child_whose_call_is_cancelled_is_cancelled() {
    let retake = Retake::new();
    let said = retake.expect(0, &["run", &path("hostile"), "--flow", "cancel-a-child"]);
    assert!(said.out.contains("host.cancelled"), "{}", said.out);
    let parent = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    assert_eq!(retake.json(&["show", &child_of(&retake, &parent)])["state"], "Cancelled");
    let call = retake.json(&["show", &parent])["tasks"][0].clone();
    assert!(call["took_ms"].as_u64().unwrap() < 60_000, "{call}");
}

#[test]
fn a_manual_retry_runs_only_what_failed() {
    let retake = Retake::new();
    let said = retake.expect(1, &["run", &path("orders"), "-p", "load=fail-once"]);
    assert!(said.err.contains("2 task results are kept"), "{}", said.err);
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let said = retake.expect(0, &["retry", &name]);
    assert!(said.err.contains("2 task results are fed back"), "{}", said.err);
    assert_eq!(said.err.matches("Cached").count(), 2, "{}", said.err);
    let run = retake.json(&["show", &name]);
    assert_eq!((&run["state"], &run["attempt"], &run["round"]), (&json!("Completed"), &json!(2), &json!(2)));
    for (name, state, attempts) in [("extract", "Cached", 1), ("enrich", "Cached", 1), ("load", "Completed", 2)] {
        let task = task(&run, name);
        assert_eq!((task["state"].as_str(), task["attempts"].as_u64()), (Some(state), Some(attempts)), "{name}");
    }
    assert_eq!(task(&run, "load")["earlier_attempts"].as_array().unwrap().len(), 1);
    // What each attempt printed is kept with the run.
    let logs = retake.expect(0, &["logs", &name]).out;
    assert_eq!(logs.matches("extract: attempt").count(), 1, "{logs}");
    assert_eq!(logs.matches("load: attempt").count(), 2, "{logs}");
}

#[test]
fn a_run_that_completed_is_retried_only_when_everything_is() {
    let retake = Retake::new();
    retake.expect(0, &["run", &path("orders")]);
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    retake.expect(6, &["retry", &name]).is_an_error_with_a_hint("the run has completed");
    let said = retake.expect(0, &["retry", &name, "--all"]);
    assert!(!said.err.contains("Cached"), "{}", said.err);
    let run = retake.json(&["show", &name]);
    assert_eq!(task(&run, "extract")["attempts"], 2);
}

#[test]
fn two_people_who_retry_make_one_retry() {
    let retake = Retake::new();
    retake.expect(1, &["run", &path("manual_retry"), "-p", "fail_times=1"]);
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    retake.expect(6, &["retry", &name, "--expected-attempt", "7"]).is_an_error_with_a_hint("attempt 1, not 7");
    retake.expect(0, &["retry", &name, "--expected-attempt", "1"]);
    retake.expect(6, &["retry", &name, "--expected-attempt", "1"]).is_an_error_with_a_hint("attempt 2, not 1");
}

#[test]
fn a_task_retries_by_its_own_policy() {
    let retake = Retake::new();
    retake.expect(0, &["run", &path("orders"), "-p", "enrich_fails=1"]);
    let run = retake.json(&["show", retake.json(&["ps"])[0]["name"].as_str().unwrap()]);
    assert_eq!(run["attempt"], 1);
    assert_eq!(task(&run, "enrich")["attempts"], 2);
    assert_eq!(task(&run, "enrich")["earlier_attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn tasks_run_side_by_side_and_the_first_done_wins() {
    let retake = Retake::new();
    let result: Value = serde_json::from_str(&retake.expect(0, &["run", &path("fan_out")]).out).unwrap();
    assert_eq!(result, json!({"count": 10, "sum": 385, "winner": "hare"}));
}

#[test]
fn a_child_flow_has_retries_of_its_own() {
    let retake = Retake::new();
    let result = retake.expect(0, &["run", &path("parent"), "-p", "child_fails=2"]).out;
    let result: Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result, json!([{"name": "ANN", "attempt": 1}, {"name": "BOB", "attempt": 3}]));
    let runs = retake.json(&["ps", "--all"]);
    let parent = runs.as_array().unwrap().iter().find(|it| it["flow"] == "parent").unwrap();
    assert_eq!((runs.as_array().unwrap().len(), &parent["attempt"]), (3, &json!(1)));
    assert_eq!(retake.json(&["ps"]).as_array().unwrap().len(), 1, "children are left out unless asked for");
}

#[test]
fn a_parent_that_is_retried_retries_its_failed_child_and_not_its_completed_one() {
    let retake = Retake::new();
    // Three attempts are the child's budget; the fourth succeeds, in its second round.
    retake.expect(1, &["run", &path("parent"), "-p", "child_fails=3"]);
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let said = retake.expect(0, &["retry", &name]);
    // The child that had completed, and what the other one had completed.
    assert_eq!(said.err.matches("Cached").count(), 2, "{}", said.err);
    assert_eq!(said.err.matches("↺ child").count(), 1, "{}", said.err);
    let runs = retake.json(&["ps", "--all"]);
    let mut children: Vec<_> = runs.as_array().unwrap().iter().filter(|it| it["flow"] == "child").collect();
    children.sort_by_key(|it| it["attempt"].as_u64());
    let seen: Vec<_> =
        children.iter().map(|it| (it["attempt"].as_u64().unwrap(), it["round"].as_u64().unwrap())).collect();
    assert_eq!(seen, [(1, 1), (4, 2)]);
}

#[test]
fn parameters_are_checked_before_anything_runs() {
    let retake = Retake::new();
    let orders = path("orders");
    let typo = retake.expect(2, &["run", &orders, "-p", "custmer=acme"]);
    typo.is_an_error_with_a_hint("no parameter `custmer`; did you mean `customer`?");
    let wrong = retake.expect(2, &["run", &orders, "-p", "pause_ms=soon"]);
    wrong.is_an_error_with_a_hint("`/pause_ms`");
    retake.expect(2, &["run", &orders, "-p", "customer"]).is_an_error_with_a_hint("has no value");
    retake.expect(2, &["run", &orders, "--params", "[1]"]).is_an_error_with_a_hint("not an object");
    retake.expect(3, &["run", &path("parent"), "--flow", "nobody"]).is_an_error_with_a_hint("has no flow `nobody`");
    let long = format!("[{}]", "1,".repeat(600_000) + "1");
    let file = retake.dir.path().join("long.json");
    std::fs::write(&file, format!(r#"{{"customer":{long}}}"#)).unwrap();
    let too_long = retake.expect(2, &["run", &orders, "--params", &format!("@{}", file.display())]);
    too_long.is_an_error_with_a_hint("the parameters: 1200");
    let missing = retake.expect(2, &["run", &orders, "--params", "@/nonexistent"]);
    missing.is_an_error_with_a_hint("`/nonexistent` cannot be read");
    let mut garbled = retake.command(&["run", &orders, "--params", "-"]);
    let mut garbled = garbled.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    garbled.stdin.take().unwrap().write_all(b"\xff").unwrap();
    said(garbled.wait_with_output().unwrap()).is_an_error_with_a_hint("stdin cannot be read");
    assert_eq!(retake.json(&["ps"]), json!([]), "nothing was made");
}

#[test]
fn a_policy_that_is_out_of_bounds_is_told_the_bound() {
    let retake = Retake::new();
    let flow = path("retry_it");
    retake.expect(1, &["run", &flow, "-p", "fail_times=1", "--retries", "0"]);
    let run = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    for command in [["run", &flow], ["policy", &flow], ["retry", &run]] {
        for (option, value, most) in [("--retries", "10001", "10000"), ("--retry-delay", "721h", "720h")] {
            let said = retake.expect(2, &[&command[..], &[option, value]].concat());
            said.is_an_error_with_a_hint("`retry.");
            assert!(said.err.contains(&format!("hint: `{option} {most}`")), "{}", said.err);
        }
    }
    for command in [["run", &flow], ["retry", &run]] {
        let said = retake.expect(2, &[&command[..], &["--memory", "0"]].concat());
        said.is_an_error_with_a_hint("`memory`: a limit of zero lets nothing run");
    }
    assert_eq!(retake.json(&["show", &run])["attempt"], 1, "nothing was retried");
}

#[test]
fn what_cannot_be_read_is_answered_with_the_help_to_ask_for() {
    let retake = Retake::new();
    for (args, words, help) in [
        (&["run"][..], "required arguments were not provided", "retake run --help"),
        (&["run", "x", "--retries", "-1"], "invalid value '-1'", "retake run --help"),
        (&["policy", "x", "--retry-delay", "5"], "did you mean `5s`?", "retake policy --help"),
        (&["task", "set-result", "--jsn", "1"], "unexpected argument '--jsn'", "retake task set-result --help"),
        (&["rnu"], "unrecognized subcommand 'rnu'", "retake --help"),
        (&["ps", "-o", "yaml"], "invalid value 'yaml'", "retake ps --help"),
    ] {
        let said = retake.expect(2, args);
        said.is_an_error_with_a_hint(words);
        assert!(said.err.ends_with(&format!("hint: `{help}` shows what can be typed\n")), "{}", said.err);
        assert!(!said.err.contains("For more information"), "{}", said.err);
    }
    assert!(retake.expect(0, &["run", "--help"]).out.contains("Usage: retake run"));
    assert!(retake.expect(2, &[]).err.contains("Usage: retake"));
}

#[test]
fn a_quiet_run_that_fails_is_an_error_with_a_hint() {
    let retake = Retake::new();
    let said = retake.expect(1, &["run", &path("orders"), "-p", "load=fail", "-q"]);
    said.is_an_error_with_a_hint("failed (load.refused");
}

#[test]
fn a_run_is_found_by_name_by_id_and_by_a_beginning() {
    let retake = Retake::new();
    retake.expect(0, &["run", &path("ten_tasks"), "--flow", "noop"]);
    let run = &retake.json(&["ps"])[0];
    let id = run["id"].as_str().unwrap();
    for text in [run["name"].as_str().unwrap(), id, &id[..20]] {
        assert_eq!(retake.json(&["show", text])["id"], run["id"], "{text}");
    }
    retake.expect(3, &["show", "nobody-home"]).is_an_error_with_a_hint("no run is called `nobody-home`");
    retake.expect(3, &["retry", "run_zzz"]).is_an_error_with_a_hint("no run is called");
}

#[test]
fn a_run_is_not_made_twice_under_one_key() {
    let retake = Retake::new();
    for _ in 0..2 {
        retake.expect(0, &["run", &path("orders"), "--key", "once"]);
    }
    assert_eq!(retake.json(&["ps"]).as_array().unwrap().len(), 1);
}

#[test]
fn every_command_has_an_empty_state_and_every_format() {
    let retake = Retake::new();
    assert!(retake.expect(0, &["ps"]).out.contains("no runs yet"));
    assert_eq!(retake.expect(0, &["ps", "-o", "id"]).out, "");
    retake.expect(3, &["show", "brisk-otter"]).is_an_error_with_a_hint("nothing was ever run");
    retake.expect(0, &["run", &path("orders"), "-q"]);
    let run = &retake.json(&["ps"])[0];
    let id = retake.expect(0, &["ps", "-o", "id"]).out;
    assert_eq!(id.trim(), run["id"].as_str().unwrap());
    assert_eq!(retake.expect(0, &["ps", "-o", "jsonl"]).out.lines().count(), 1);
    for state in ["completed", "Completed", "failed,completed"] {
        assert_eq!(retake.json(&["ps", "--state", state]).as_array().unwrap().len(), 1, "{state}");
    }
    assert_eq!(retake.json(&["ps", "--state", "awaiting-retry"]), json!([]));
    retake.expect(2, &["ps", "--state", "lost"]).is_an_error_with_a_hint("no state `lost`");
}

#[test]
fn the_schedule_of_attempts_is_exact() {
    let retake = Retake::new();
    let policy = retake.json(&["policy", &path("retry_it")]);
    let starts: Vec<u64> =
        policy[0]["schedule"].as_array().unwrap().iter().map(|it| it["earliest_ms"].as_u64().unwrap()).collect();
    assert_eq!(starts, [0, 300_000, 600_000, 900_000, 1_200_000, 1_500_000]);
    let shorter = retake.json(&["policy", &path("retry_it"), "--retries", "1", "--retry-delay", "2s"]);
    assert_eq!(shorter[0]["attempts"], 2);
}

#[test]
fn a_machine_that_runs_these_tests_is_healthy() {
    let retake = Retake::new();
    let checks = retake.json(&["doctor"]);
    assert!(checks.as_array().unwrap().iter().all(|it| it["ok"] == true), "{checks:#}");
    assert!(retake.expect(0, &["version"]).out.contains("retake:flow@0.1.0"));
    assert!(retake.expect(0, &["completions", "bash"]).out.contains("_retake"));
}
