//! What a killed process leaves behind is taken up by the next one, and nothing that was done is done again.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use retake_tests::{Retake, component, task};
use serde_json::Value;

fn orders() -> String {
    component("orders").to_str().unwrap().to_owned()
}

/// Kills a run of `orders` when it says `when`, goes on with it, and returns the run and its log.
fn killed(when: &str) -> (Value, String) {
    let retake = Retake::new();
    let mut child = retake.start(&["run", &orders(), "-p", "pause_ms=400"], when);
    child.kill().unwrap();
    child.wait().unwrap();
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    retake.expect(0, &["watch", &name]);
    (retake.json(&["show", &name]), retake.expect(0, &["logs", &name]).out)
}

#[test]
fn a_killed_run_goes_on_and_no_completed_task_runs_twice() {
    for (when, done) in
        [("extract: attempt", 0), ("✔ extract", 1), ("enrich: attempt", 1), ("✔ enrich", 2), ("load: attempt", 2)]
    {
        let (run, logs) = killed(when);
        assert_eq!(run["state"], "Completed", "killed at `{when}`: {run:#}");
        assert_eq!(run["attempt"], 1, "the same attempt goes on");
        for name in ["extract", "enrich", "load"] {
            assert_eq!(task(&run, name)["attempts"], 1, "killed at `{when}`: {name}");
        }
        for name in ["extract", "enrich"].iter().take(done) {
            let printed = logs.matches(&format!("{name}: attempt")).count();
            assert!(printed <= 1, "killed at `{when}`: {name} ran {printed} times\n{logs}");
        }
        assert!(run["events"].as_array().unwrap().iter().any(|it| it["kind"] == "host-lost"), "{run:#}");
    }
}

#[test]
fn an_interrupted_run_is_left_in_good_order() {
    let retake = Retake::new();
    let mut child = retake.start(&["run", &orders(), "-p", "pause_ms=1500"], "✔ extract");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let run = retake.json(&["show", &name]);
    assert_eq!(run["state"], "Scheduled", "{run:#}");
    assert!(run["events"].as_array().unwrap().is_empty(), "nothing was lost: {run:#}");
    retake.expect(0, &["watch", &name]);
    let run = retake.json(&["show", &name]);
    assert_eq!((run["attempt"].as_u64(), task(&run, "extract")["attempts"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn a_data_directory_has_one_worker_at_a_time_and_many_readers() {
    let retake = Retake::new();
    let mut child = retake.start(&["run", &orders(), "-p", "pause_ms=3000"], "attempt 1");
    retake.expect(6, &["run", &orders()]).is_an_error_with_a_hint("in use");
    let run = &retake.json(&["ps"])[0];
    assert_eq!(run["state"], "Running");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn f35_a_run_whose_host_dies_three_times_in_a_row_is_crashed() {
    let retake = Retake::new();
    let mut child = retake.start(&["run", &orders(), "-p", "pause_ms=60000"], "extract: attempt");
    child.kill().unwrap();
    child.wait().unwrap();
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let mut child = retake.start(&["watch", &name], "extract: attempt");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    retake.expect(1, &["watch", &name]);
    assert_eq!(retake.json(&["show", &name])["state"], "Crashed");
}

/// G-R3: no run is left with nobody for longer than 2 s after the next start.
#[test]
fn a_killed_run_is_gone_on_with_within_two_seconds_of_the_next_start() {
    let mut longest = Duration::ZERO;
    for _ in 0..8 {
        let retake = Retake::new();
        let mut child = retake.start(&["run", &orders(), "-p", "pause_ms=60000"], "extract: attempt");
        child.kill().unwrap();
        child.wait().unwrap();
        let began = Instant::now();
        let mut child = retake.start(&["worker"], "goes on");
        longest = longest.max(began.elapsed());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    eprintln!("crashes: 8 runs were gone on with, the slowest {longest:.2?} after the start");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}

#[test]
fn a_second_start_compiles_nothing() {
    let retake = Retake::new();
    retake.expect(0, &["run", &orders()]);
    let compiled = retake.dir.path().join("data/compiled");
    // A file is written under another name and put in its place: what is compiled again is another file.
    let files = || {
        let all = std::fs::read_dir(&compiled).unwrap().map(|it| it.unwrap());
        let mut all: Vec<_> = all.map(|it| (it.file_name(), it.metadata().unwrap().created().unwrap())).collect();
        all.sort();
        all
    };
    let before = files();
    assert_eq!(before.len(), 2, "a key and one component");
    retake.expect(0, &["run", "orders"]);
    assert_eq!(files(), before);
    for (name, _) in before.iter().filter(|(name, _)| name != "key") {
        std::fs::remove_file(compiled.join(name)).unwrap();
    }
    retake.expect(0, &["run", "orders"]);
    assert_ne!(files(), before, "what is not there is compiled");
}
