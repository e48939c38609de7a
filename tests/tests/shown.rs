//! What people see of runs: what was begun, what is below, why something waits, and which run is meant.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::time::Duration;

use retake_tests::http::Server;
use retake_tests::{Retake, path, until};
use serde_json::{Value, json};

fn show(retake: &Retake, run: &str) -> Value {
    retake.json(&["show", run])
}

/// The steps of a run, by their numbers, that are shown so.
fn steps(run: &Value, state: &str) -> Vec<i64> {
    let tasks = run["tasks"].as_array().unwrap().iter();
    let of = tasks.filter(|it| it["task"] == "step" && it["state"] == state);
    of.map(|it| it["input"]["number"].as_i64().unwrap()).collect()
}

/// Makes a run of a deployment, and returns its name.
fn made(retake: &Retake, args: &[&str]) -> String {
    let id = retake.expect(0, &[&["run"], args, &["-o", "id"]].concat()).out;
    show(retake, id.trim())["name"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_begun_is_shown_and_stays_in_the_history() {
    let retake = Retake::new();
    let _server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("family"), "--flow", "crowd", "-n", "dev"]);
    let run = made(&retake, &["crowd/dev", "-p", "ms=60000"]);
    let running = until("three steps are shown", || {
        let it = show(&retake, &run);
        (steps(&it, "Running").len() == 3).then_some(it)
    });
    assert_eq!(steps(&running, "Running"), [1, 2, 3], "with their inputs: {running:#}");
    assert!(running["tasks"][0]["took_ms"].as_u64().unwrap() >= 200, "how long so far: {running:#}");
    let said = retake.expect(0, &["explain", &run]).out;
    assert_eq!(said.matches("is running: its attempt 1 began").count(), 3, "{said}");
    let said = retake.expect(0, &["show", &run]).out;
    assert!(said.contains("step ms=60000 number=2"), "calls are told apart by their input: {said}");
    let logs = retake.expect(0, &["logs", &run]).out;
    for number in [1, 2, 3] {
        let line = logs.lines().find(|it| it.contains(&format!("step {number} begins"))).unwrap();
        assert!(line.contains(&format!("number={number}")), "{line}");
    }

    retake.expect(0, &["cancel", &run]);
    let cancelled = until("it has stopped", || {
        let it = show(&retake, &run);
        (it["state"] == "Cancelled").then_some(it)
    });
    assert_eq!(steps(&cancelled, "Cancelled"), [1, 2, 3], "{cancelled:#}");
    for it in cancelled["tasks"].as_array().unwrap() {
        assert_eq!(it["failure"]["code"], "host.cancelled");
        assert!(it["took_ms"].as_u64().unwrap() >= 200, "how long it ran: {it:#}");
    }
    let plan = retake.expect(0, &["retry", &run, "--dry-run"]).out;
    assert_eq!(plan.matches("runs again: had begun, and was stopped").count(), 3, "{plan}");
    // They run again, each in its second attempt.
    retake.expect(0, &["retry", &run, "-p", "ms=0", "-w"]);
    assert_eq!(show(&retake, &run)["result"], 6);
}

#[test]
fn what_a_failed_body_and_a_killed_host_stopped_is_told() {
    let retake = Retake::new();
    retake.expect(1, &["run", &path("family"), "--flow", "crowd", "-p", "ms=60000", "-p", "fails=true"]);
    let run = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let failed = show(&retake, &run);
    assert_eq!(steps(&failed, "Cancelled"), [1, 2, 3], "{failed:#}");
    assert!(failed["tasks"][0]["failure"]["message"].as_str().unwrap().contains("its flow failed"), "{failed:#}");

    // A host that is killed leaves word of what it was making; the same attempt of it is made again.
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("family"), "--flow", "crowd", "-n", "dev"]);
    let run = made(&retake, &["crowd/dev", "-p", "ms=2500"]);
    until("three steps are shown", || (steps(&show(&retake, &run), "Running").len() == 3).then_some(()));
    server.kill();
    let said = retake.expect(0, &["explain", &run]).out;
    assert!(said.contains("is running") || said.contains("had begun"), "{said}");
    let _server = Server::start(&retake);
    let ended = until("it has ended", || {
        let it = show(&retake, &run);
        (it["state"] == "Completed").then_some(it)
    });
    assert_eq!(ended["result"], 6);
    assert!(ended["tasks"].as_array().unwrap().iter().all(|it| it["attempts"] == 1), "{ended:#}");
}

#[test]
fn a_plan_speaks_of_what_is_below() {
    let retake = Retake::new();
    retake.expect(1, &["run", &path("family"), "--flow", "regions"]);
    let run = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let plan = retake.json(&["retry", &run, "--dry-run"]);
    let child = &plan["calls"][0];
    assert_eq!((&child["task"], &child["fate"]), (&json!("region"), &json!("runs-again")), "{plan:#}");
    let fates: Vec<_> = child["children"].as_array().unwrap().iter().map(|it| it["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["fed-back", "fed-back", "runs-again"], "{plan:#}");
    let said = retake.expect(0, &["retry", &run, "--dry-run"]).out;
    assert!(said.contains("  step") && said.contains("fed back from attempt 1"), "{said}");
    let said = retake.expect(0, &["retry", &run]).err;
    assert!(said.contains("2 task results are fed back"), "{said}");
    // All of it: nothing below is fed back either.
    let plan = retake.json(&["retry", &run, "--dry-run", "--all"]);
    let below = plan["calls"][0]["children"].as_array().unwrap();
    assert!(below.iter().all(|it| it["fate"] == "runs-again") && below.len() == 3, "{plan:#}");
}

#[test]
fn cached_is_what_this_attempt_asked_for() {
    let retake = Retake::new();
    retake.expect(1, &["run", &path("changed_original")]);
    let run = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let before = show(&retake, &run);
    let kept = |run: &Value, state: &str| {
        let tasks = run["tasks"].as_array().unwrap().iter().filter(|it| it["state"] == state);
        tasks.map(|it| it["task"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let was_kept = kept(&before, "Completed");
    retake.say(&["retry", &run, "--version", &path("changed_dropped")]);
    let after = show(&retake, &run);
    let (cached, not_asked) = (kept(&after, "Cached"), kept(&after, "Completed"));
    let dropped: Vec<_> = was_kept.iter().filter(|it| !cached.contains(it)).cloned().collect();
    assert!(!dropped.is_empty() && dropped.iter().all(|it| not_asked.contains(it)), "{after:#}");
    let said = retake.expect(0, &["explain", &run]).out;
    assert!(said.contains("did not ask for it"), "{said}");
}

#[test]
fn why_a_run_waits_is_said() {
    let retake = Retake::new();
    let server = Server::start_with(&retake, &["-q", "dev"]);
    let said = retake.expect(0, &["run", &path("family"), "--flow", "crowd", "-p", "ms=0"]).err;
    assert!(said.contains("nobody works on its queue `default`: the server works on `dev`"), "{said}");
    let listed = retake.expect(0, &["ps"]).out;
    assert!(listed.contains("nobody works on its queue"), "{listed}");
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let said = retake.expect(0, &["explain", &name]).out;
    assert!(said.contains("hint: start the server with `-q default` too"), "{said}");
    assert_eq!(server.stop(), 0);

    // A limit counts those that run when it is set, and says which those are.
    let _server = Server::start(&retake);
    let deploy = ["deploy", &path("family"), "--flow", "crowd", "-n", "dev"];
    retake.expect(0, &deploy);
    let first = made(&retake, &["crowd/dev", "-p", "ms=60000"]);
    until("the first runs", || (show(&retake, &first)["state"] == "Running").then_some(()));
    retake.expect(0, &[&deploy[..], &["--concurrency", "1"]].concat());
    let second = made(&retake, &["crowd/dev", "-p", "ms=0"]);
    std::thread::sleep(Duration::from_millis(300));
    let waits = show(&retake, &second);
    assert_eq!(waits["state"], "Scheduled", "the limit counts the run that ran already: {waits:#}");
    assert_eq!(waits["waits_for"], "the limit of deployment `crowd/dev` is reached: 1 run at once");
    let said = retake.expect(0, &["explain", &second]).out;
    assert!(said.contains(&format!("Those that run: {first}")), "{said}");
    retake.expect(0, &["cancel", &second, &first]);

    // So does the limit of a tag.
    retake.expect(0, &[&deploy[..], &["--concurrency", "9"]].concat());
    let first = made(&retake, &["crowd/dev", "-p", "ms=60000"]);
    until("its steps run", || (steps(&show(&retake, &first), "Running").len() == 3).then_some(()));
    retake.expect(0, &["task-tags", "limit", "steps", "3"]);
    let second = made(&retake, &["crowd/dev", "-p", "ms=0"]);
    let waits = until("it waits for the tag", || show(&retake, &second)["waits_for"].as_str().map(str::to_owned));
    assert!(waits.contains("the limit of tag `steps` is reached, 3 attempts at once"), "{waits}");
    assert!(waits.contains(&first), "who holds it: {waits}");
    retake.expect(0, &["cancel", &first]);
    until("the second went on", || (show(&retake, &second)["state"] == "Completed").then_some(()));

    // A node that drains.
    let node = retake.json(&["nodes", "ls"])[0]["name"].as_str().unwrap().to_owned();
    retake.expect(0, &["nodes", "drain", &node]);
    let third = made(&retake, &["crowd/dev", "-p", "ms=0"]);
    assert!(show(&retake, &third)["waits_for"].as_str().unwrap().contains("drains"));
}

#[test]
fn runs_are_found_cancelled_and_removed_by_the_same_filters() {
    let retake = Retake::new();
    let _server = Server::start(&retake);
    retake
        .expect(0, &["deploy", &path("family"), "--flow", "failing", "-n", "dev", "--tag", "trial", "--retries", "0"]);
    retake.expect(0, &["deploy", &path("family"), "--flow", "crowd", "-n", "dev"]);
    for _ in 0..3 {
        retake.expect(1, &["run", "failing/dev", "-w"]);
    }
    retake.expect(0, &["run", "crowd/dev", "-p", "ms=0", "-w"]);
    let said = retake.expect(0, &["ps", "--state", "failed"]).out;
    assert!(said.contains("REASON") && said.contains("not.yet: the first attempt fails"), "{said}");
    let said = retake.say(&["ps", "--code", "not.*", "-n", "2"]);
    assert_eq!(said.out.matches("failing/dev").count(), 2, "{}", said.out);
    assert!(said.err.contains("more runs match"), "{}", said.err);
    for filter in [
        &["--tag", "trial"][..],
        &["--deployment", "failing/dev"],
        &["--code", "not.yet"],
        &["--text", "first attempt"],
    ] {
        let found = retake.json(&[&["ps"], filter].concat());
        assert_eq!(found.as_array().unwrap().len(), 3, "{filter:?}");
        let said = retake.expect(0, &[&["rm", "--dry-run"], filter].concat());
        assert!(said.err.contains("3 runs would be removed"), "{}", said.err);
    }
    assert_eq!(retake.json(&["ps"]).as_array().unwrap().len(), 4, "nothing was removed");
    let said = retake.expect(0, &["rm", "--tag", "trial"]);
    assert!(said.err.contains("3 runs removed"), "{}", said.err);
    assert_eq!(retake.json(&["ps"]).as_array().unwrap().len(), 1);

    let slow = made(&retake, &["crowd/dev", "-p", "ms=60000"]);
    let said = retake.expect(0, &["cancel", "--deployment", "crowd/dev", "--dry-run"]);
    assert!(said.out.contains(&slow) && said.err.contains("1 run would be cancelled"), "{}{}", said.out, said.err);
    retake.expect(0, &["cancel", "--deployment", "crowd/dev"]);
    until("it is cancelled", || (show(&retake, &slow)["state"] == "Cancelled").then_some(()));
    retake.expect(2, &["cancel"]).is_an_error_with_a_hint("no run is named");
}

#[test]
fn logs_of_a_tree_are_read_together() {
    let retake = Retake::new();
    retake.say(&["run", &path("family"), "--flow", "regions"]);
    let run = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let child = show(&retake, &run)["children"][0]["name"].as_str().unwrap().to_owned();
    assert!(retake.expect(0, &["logs", &run]).out.is_empty());
    let local = retake.expect(0, &["logs", &run, "--tree"]).out;
    assert!(local.contains("step 1 begins") && local.contains(&child), "{local}");
    let _server = Server::start(&retake);
    assert_eq!(retake.expect(0, &["logs", &run, "--tree"]).out, local, "the same through a server");
    let lines = retake.json(&["logs", &run, "--tree"]);
    assert_eq!((&lines[0]["run"], &lines[0]["call"]), (&json!(child), &json!(1)), "{lines:#}");
}

#[test]
fn null_unset_and_the_text_are_told_apart_and_numbers_keep_their_digits() {
    let retake = Retake::new();
    let region = |more: &[&str]| {
        retake.say(&[&["run", &path("family"), "--flow", "region"], more].concat());
        retake.json(&["ps", "-n", "1"])[0]["parameters"].clone()
    };
    assert_eq!(region(&[])["day"], Value::Null);
    assert_eq!(region(&["-p", "day=null"]), json!({ "day": null }));
    assert_eq!(region(&["-p", "day:=\"null\""]), json!({ "day": "null" }));
    let said = retake.expect(0, &["inspect", &path("family")]).out;
    assert!(said.contains("day?: string|null"), "{said}");
}

#[test]
fn instants_are_shown_in_the_zone_of_whoever_looks() {
    let mut retake = Retake::new();
    retake.expect(0, &["run", &path("family"), "--flow", "crowd", "-p", "ms=0"]);
    retake.env = vec![("TZ", "Asia/Tokyo".to_owned())];
    assert!(retake.expect(0, &["ps"]).out.contains("+09:00"));
    assert!(!retake.expect(0, &["ps", "--utc"]).out.contains("+09:00"));
    let created = retake.json(&["ps"])[0]["created"].as_str().unwrap().to_owned();
    assert!(created.ends_with('Z'), "{created}");
}
