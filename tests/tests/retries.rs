//! Manual retries with every option, from outside (semantics.md, "Manual retry").
#![allow(clippy::unwrap_used, reason = "tests")]

use retake_tests::{Retake, component, task};
use serde_json::{Value, json};

/// A run of `orders` whose last task failed, and its name.
fn failed_orders() -> (Retake, String) {
    let retake = Retake::new();
    let orders = component("orders");
    retake.expect(1, &["run", orders.to_str().unwrap(), "-p", "load=fail-once"]);
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    (retake, name)
}

/// A run of `retry-it` that has failed in its only attempt, and its name.
fn failed_once() -> (Retake, String) {
    let retake = Retake::new();
    let flow = component("retry_it");
    retake.expect(1, &["run", flow.to_str().unwrap(), "-p", "fail_times=1", "--retries", "0"]);
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
    let said = retake.expect(3, &["retry", &run, "--rerun", "nobody"]);
    said.is_an_error_with_a_hint("the run has made no call of `nobody`");
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
    let latest = retake.json(&["retry", &run, "--dry-run", "--version", "latest"]);
    assert_eq!(latest["new_code"], false, "a dry run keeps no code");
    let done = retake.json(&["retry", &run, "--version", mended]);
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
fn what_came_of_many_retries_is_one_document() {
    let retake = Retake::new();
    let orders = component("orders");
    let all = ["retry", "--state", "failed"];
    assert_eq!(retake.json(&all), json!([]), "nothing was ever run");
    for _ in 0..2 {
        retake.expect(1, &["run", orders.to_str().unwrap(), "-p", "load=fail"]);
    }
    let failed = retake.json(&all);
    let states: Vec<_> = failed.as_array().unwrap().iter().map(|it| (&it["state"], it["tasks"].is_array())).collect();
    assert_eq!(states, [(&json!("Failed"), true), (&json!("Failed"), true)]);
    let lines = retake.expect(0, &[&all[..], &["-p", "load=ok", "-o", "jsonl"]].concat()).out;
    let lines: Vec<Value> = lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert!(lines.len() == 2 && lines.iter().all(|it| it["state"] == "Completed"), "{lines:#?}");
    assert_eq!(retake.json(&all), json!([]), "nothing is left to retry");
}

#[test]
fn a_bulk_retry_that_is_refused_says_why_and_what_to_try() {
    let (retake, run) = failed_orders();
    for dry in [&["--dry-run"][..], &[]] {
        let said = retake.expect(6, &[&["retry", "--state", "failed", "--rerun", "nobody"], dry].concat());
        assert!(said.err.contains("the run has made no call of `nobody`"), "{}", said.err);
        assert!(said.err.ends_with("  hint: `retake show RUN` lists its calls\n"), "{}", said.err);
    }
    assert_eq!(retake.json(&["show", &run])["attempt"], 1);
}

#[test]
fn a_key_makes_one_run_and_stands_for_one_request() {
    let retake = Retake::new();
    let orders = component("orders");
    let run = ["run", orders.to_str().unwrap(), "--key", "monday", "-p", "customer=acme"];
    retake.expect(0, &run);
    assert!(retake.expect(0, &run).err.contains("made before under this key"));
    let other = [&run[..5], &["customer=other"]].concat();
    retake.expect(6, &other).is_an_error_with_a_hint("with other parameters");
    retake.expect(2, &[&run[..3], &[""]].concat()).is_an_error_with_a_hint("empty");
    assert_eq!(retake.json(&["ps"]).as_array().unwrap().len(), 1);
    let said = retake.expect(2, &["run", run[1], "-p", "load=never"]);
    assert!(said.err.contains(r#""never" is none of "ok", "fail", "fail-once""#), "{}", said.err);
}

#[test]
fn code_that_was_damaged_heals_when_its_file_is_run_again() {
    let retake = Retake::new();
    let orders = component("orders");
    let digest = retake.json(&["run", orders.to_str().unwrap()])["component"].as_str().unwrap().to_owned();
    let data = retake.dir.path().join("data");
    std::fs::write(data.join("blobs").join(&digest[..2]).join(&digest), "damaged").unwrap();
    std::fs::remove_dir_all(data.join("compiled")).unwrap();
    assert!(retake.expect(1, &["run", "orders"]).err.contains("is damaged"));
    retake.expect(0, &["run", orders.to_str().unwrap()]);
    retake.expect(0, &["db", "check"]);
}

#[test]
fn until_success_retries_until_it_succeeds() {
    let retake = Retake::new();
    let flow = component("orders");
    retake.expect(1, &["run", flow.to_str().unwrap(), "-p", "enrich_fails=100", "-p", "load=fail-once"]);
    let run = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let said = retake.expect(0, &["retry", &run, "-p", "enrich_fails=0", "--until-success", "-o", "json"]);
    assert!(said.err.contains("again in 1"), "{}", said.err);
    let last: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&last["state"], &last["attempt"]), (&"Completed".into(), &3.into()), "only the last is the answer");
}

#[test]
fn until_success_stays_before_a_distant_attempt() {
    let (retake, run) = failed_once();
    // Its second attempt fails too. The third begins 11 s later, which is longer than a command stays by itself.
    let policy = ["--retries", "1", "--retry-delay", "11s"];
    let args = [&["retry", &run, "-p", "fail_times=2", "--until-success"], &policy[..]].concat();
    assert!(retake.expect(0, &args).err.contains("attempt 3"));
}

#[test]
fn until_success_gives_up_when_its_time_is_over() {
    let (retake, run) = failed_once();
    let all = ["retry", "--state", "failed", "--until-success"];
    retake.expect(2, &all).is_an_error_with_a_hint("one run at a time");
    let said = retake.expect(124, &["retry", &run, "-p", "fail_times=100", "--until-success", "--timeout", "2900ms"]);
    assert!(said.err.contains("not again: the wait is over before that"), "{}", said.err);
    // Pauses of 1 s and of 2 s are more than all retries together may take. None is left behind that nobody stays for.
    let run = retake.json(&["show", &run]);
    assert!(run["state"] == "Failed" && run["attempt"].as_u64().unwrap() <= 3, "{run:#}");
}

#[test]
fn a_result_set_by_hand_is_fed_back_and_shown() {
    let (retake, run) = failed_orders();
    retake.expect(2, &["task", "set-result", &run, "load", "--json", "done"]).is_an_error_with_a_hint("no result");
    retake.expect(3, &["task", "set-result", &run, "nobody", "--json", "1"]).is_an_error_with_a_hint("no call");
    retake.expect(6, &["task", "set-result", &run, "extract", "--json", "1"]).is_an_error_with_a_hint("has a result");
    let said = retake.expect(2, &["task", "set-result", &run, "load", "--json", r#"{"rows":3}"#]);
    said.is_an_error_with_a_hint("does not fit the schema");
    let receipt = r#"{"customer":"acme","orders":3,"cents":1,"load_attempt":0}"#;
    retake.expect(0, &["task", "set-result", &run, "load", "--json", receipt]);
    let said = retake.expect(0, &["explain", &run]);
    assert!(said.out.contains("The result of call 3, load, was set by hand."), "{}", said.out);
    let run = retake.json(&["retry", &run]);
    assert_eq!((&run["state"], &run["result"]["cents"]), (&"Completed".into(), &1.into()), "{run:#}");
    assert_eq!((&task(&run, "load")["by_hand"], &task(&run, "load")["attempts"]), (&true.into(), &1.into()));
    assert!(run["events"].as_array().unwrap().iter().any(|it| it["kind"] == "set-result"), "who did it is kept");
}

#[test]
fn runs_are_paused_resumed_run_now_and_cancelled() {
    let retake = Retake::new();
    let orders = component("orders");
    retake.expect(0, &["run", orders.to_str().unwrap(), "--in", "1h"]);
    let run = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let state = || retake.json(&["show", &run])["state"].as_str().unwrap().to_owned();
    retake.expect(6, &["resume", &run]).is_an_error_with_a_hint("not paused");
    assert!(retake.expect(0, &["pause", &run]).out.contains("is Paused"));
    assert!(retake.expect(0, &["explain", &run]).out.contains("was paused by a person"));
    // Who stays with it is told, and does not wait for ever.
    assert!(retake.expect(124, &["watch", &run]).err.contains("hint: retake resume"));
    retake.expect(6, &["run-now", &run]).is_an_error_with_a_hint("does not wait");
    retake.expect(0, &["resume", &run]);
    assert_eq!(state(), "Scheduled");
    retake.expect(0, &["run-now", &run]);
    retake.expect(0, &["watch", &run]);
    assert_eq!(state(), "Completed");
    retake.expect(6, &["cancel", &run]).is_an_error_with_a_hint("has ended");
    retake.expect(0, &["run", orders.to_str().unwrap(), "--in", "1h"]);
    let other = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    retake.expect(0, &["cancel", &other]);
    assert_eq!(retake.json(&["show", &other])["state"], "Cancelled");
    assert!(retake.expect(0, &["explain", &other]).out.contains("was cancelled"));
}

#[test]
fn a_backup_is_a_whole_store_and_damage_is_found() {
    let (retake, run) = failed_orders();
    let copy = retake.dir.path().join("copy");
    let copy = copy.to_str().unwrap();
    retake.expect(0, &["db", "backup", copy]);
    retake.expect(2, &["db", "backup", copy]).is_an_error_with_a_hint("exists");
    retake.expect(0, &["db", "migrate"]);
    assert!(retake.expect(0, &["db", "check"]).out.contains("all is well"));
    // The copy goes on by itself.
    let of_copy = Retake::new();
    std::fs::rename(copy, of_copy.dir.path().join("data")).unwrap();
    assert!(of_copy.expect(0, &["db", "check"]).out.contains("read 1 run, 3 calls and 1 file: all is well"));
    assert_eq!(of_copy.json(&["retry", &run])["state"], "Completed");
    // One bit of a kept file.
    let blobs = of_copy.dir.path().join("data/blobs");
    let inside = |dir| std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().path());
    let file = inside(blobs).filter(|it| it.is_dir()).flat_map(inside).next().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    of_copy.expect(1, &["db", "check"]).is_an_error_with_a_hint("something is wrong");
    // What cannot be copied leaves nothing that looks like a store.
    let copy = of_copy.dir.path().join("half");
    of_copy.expect(70, &["db", "backup", copy.to_str().unwrap()]);
    assert!(!copy.exists());
    // A database that is none at all.
    std::fs::write(of_copy.dir.path().join("data/retake.db"), vec![7; 8192]).unwrap();
    for command in [&["ps"][..], &["retry", &run], &["run", component("orders").to_str().unwrap()]] {
        of_copy.expect(70, command).is_an_error_with_a_hint("not a store");
    }
}
