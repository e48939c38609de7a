//! Changed code is fed every kept result that still answers its questions, and no other: tasks in another order, new,
//! gone, renamed, of another version, with another input (semantics.md, "Replay"; `retry --version`).
#![allow(clippy::unwrap_used, reason = "tests")]

use retake_tests::http::Server;
use retake_tests::{Retake, component};
use serde_json::Value;

const FED: &str = "fed back from attempt 1";

/// What becomes of a call that the changed code makes.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It is given the result of this call, and nothing runs.
    Fed(u64),
    /// It is this call, new or known, and has run for the last time in this attempt of its own.
    Ran(u64, u64),
}
use Fate::{Fed, Ran};

/// One change of the code, and what is expected of a retry with it.
struct Change {
    version: &'static str,
    options: &'static [&'static str],
    /// What the plan says of the calls 1 to 3: `a(1)`, `b(2)` and `c(3)`.
    plan: [&'static str; 3],
    /// What the changed code then calls, in its order.
    calls: &'static [(&'static str, Fate)],
}

const CHANGES: &[Change] = &[
    Change {
        version: "reordered",
        options: &[],
        plan: [FED; 3],
        calls: &[("c", Fed(3)), ("a", Fed(1)), ("b", Fed(2))],
    },
    Change {
        version: "reordered",
        options: &["--rerun", "b"],
        plan: [FED, "runs again: asked for", FED],
        calls: &[("c", Fed(3)), ("a", Fed(1)), ("b", Ran(2, 2))],
    },
    Change {
        // What was first made after `b` is what counts, also where it comes first now.
        version: "reordered",
        options: &["--from", "b"],
        plan: [FED, "runs again: asked for", "runs again: asked for"],
        calls: &[("c", Ran(3, 2)), ("a", Fed(1)), ("b", Ran(2, 2))],
    },
    Change {
        version: "added",
        options: &[],
        plan: [FED; 3],
        calls: &[("a", Fed(1)), ("d", Ran(4, 1)), ("b", Fed(2)), ("c", Fed(3))],
    },
    Change {
        // Two equal calls stay two: one has its answer, the other is new.
        version: "doubled",
        options: &[],
        plan: [FED; 3],
        calls: &[("a", Fed(1)), ("a", Ran(4, 1)), ("b", Fed(2)), ("c", Fed(3))],
    },
    Change {
        // Which of the tasks that it has the new code calls is not known before it runs.
        version: "dropped",
        options: &[],
        plan: [FED; 3],
        calls: &[("a", Fed(1)), ("c", Fed(3))],
    },
    Change {
        version: "removed",
        options: &[],
        plan: [FED, "not called: the new code has none of that name", FED],
        calls: &[("a", Fed(1)), ("c", Fed(3))],
    },
    Change {
        version: "renamed",
        options: &[],
        plan: [FED, "not called: the new code has none of that name", FED],
        calls: &[("a", Fed(1)), ("b2", Ran(4, 1)), ("c", Fed(3))],
    },
    Change {
        version: "raised",
        options: &[],
        plan: ["runs again: version 2, was 1", FED, FED],
        calls: &[("a", Ran(4, 1)), ("b", Fed(2)), ("c", Fed(3))],
    },
    Change {
        // Nor is what it asks: this is said of `c(3)`, and `c(30)` is another question.
        version: "other_input",
        options: &[],
        plan: [FED; 3],
        calls: &[("a", Fed(1)), ("b", Fed(2)), ("c", Ran(4, 1))],
    },
    Change {
        version: "other_type",
        options: &[],
        plan: [FED, FED, "runs again: input will not match"],
        calls: &[("a", Fed(1)), ("b", Fed(2)), ("c", Ran(4, 1))],
    },
    Change {
        version: "reordered",
        options: &["--all"],
        plan: ["runs again: asked for"; 3],
        calls: &[("c", Ran(3, 2)), ("a", Ran(1, 2)), ("b", Ran(2, 2))],
    },
];

fn file(version: &str) -> String {
    component(&format!("changed_{version}")).to_str().unwrap().to_owned()
}

/// A run of the original code, which has failed at its end, and all there is to see of it.
fn failed(retake: &Retake) -> (String, Value) {
    retake.expect(1, &["run", &file("original")]);
    let run = retake.json(&["show", retake.json(&["ps"])[0]["id"].as_str().unwrap()]);
    assert_eq!((&run["state"], run["tasks"].as_array().unwrap().len()), (&"Failed".into(), 3), "{run:#}");
    (run["id"].as_str().unwrap().to_owned(), run)
}

/// Call `number` of a run.
#[track_caller]
fn call(run: &Value, number: u64) -> &Value {
    let tasks = run["tasks"].as_array().unwrap();
    tasks.iter().find(|it| it["number"] == number).unwrap_or_else(|| panic!("no call {number} in {run:#}"))
}

/// What the plan says of a call: its fate as a word, and in words.
fn words(call: &Value) -> (String, String) {
    let text = |name: &str| call[name].as_str().unwrap().to_owned();
    (text("fate"), text("why"))
}

fn retry(retake: &Retake, run: &str, version: &str, change: &Change, rest: &[&str]) -> (Value, String) {
    let args = [&["retry", run, "--version", version, "-o", "json"], change.options, rest].concat();
    let said = retake.expect(0, &args);
    (serde_json::from_str(&said.out).unwrap(), said.err)
}

/// Retries a failed run with a version of the code, and compares what the plan says and what becomes of it with what
/// is expected.
fn check(retake: &Retake, run: &str, before: &Value, version: &str, change: &Change) {
    let Change { version: name, options, plan, calls } = change;
    let what = format!("{name} {options:?} as {version}");
    let (planned, _) = retry(retake, run, version, change, &["--dry-run"]);
    let expected: Vec<_> = ["a", "b", "c"].into_iter().zip(*plan).collect();
    let said = planned["calls"].as_array().unwrap();
    let said: Vec<_> = said.iter().map(|it| (it["task"].as_str().unwrap(), it["why"].as_str().unwrap())).collect();
    assert_eq!(said, expected, "{what}");
    assert_eq!((&planned["attempt"], &planned["new_code"]), (&2.into(), &true.into()), "{what}");
    assert_eq!(&retake.json(&["show", run]), before, "{what}: a dry run changes nothing");

    let (after, told) = retry(retake, run, version, change, &[]);
    assert_eq!((&after["state"], &after["attempt"]), (&"Completed".into(), &2.into()), "{what}: {after:#}");
    assert_eq!(after["component"], planned["component"], "{what}");
    let results = after["result"].as_array().unwrap();
    assert_eq!(results.len(), calls.len(), "{what}: {after:#}");
    for ((name, fate), result) in calls.iter().zip(results) {
        assert_eq!(result["task"], *name, "{what}");
        let (Fed(number) | Ran(number, _)) = *fate;
        let made = call(&after, number);
        assert_eq!((&made["task"], &made["result"]), (&(*name).into(), result), "{what}: {name}");
        match *fate {
            Fed(number) => assert_eq!(result, &call(before, number)["result"], "{what}: {name}"),
            Ran(_, attempts) => {
                let seen = (&made["state"], &made["attempts"], &made["flow_attempt"], &result["attempt"]);
                let expected = (&"Completed".into(), &attempts.into(), &2.into(), &attempts.into());
                assert_eq!(seen, expected, "{what}: {name}");
            }
        }
    }
    // A call runs again in its own place when it is the same question, and is a new one when it is another.
    let ran: Vec<_> = calls.iter().filter(|(_, fate)| matches!(fate, Ran(..))).collect();
    let new = ran.iter().filter(|(_, fate)| matches!(fate, Ran(4.., _))).count();
    assert_eq!(after["tasks"].as_array().unwrap().len(), 3 + new, "{what}: {after:#}");
    assert_eq!(told.matches("↺").count(), calls.len() - ran.len(), "{what}: {told}");
    assert_eq!(told.matches("✔").count(), ran.len(), "{what}: {told}");
    as_planned(&planned, before, &after, change);
}

/// What the plan said of each call is what became of it.
fn as_planned(planned: &Value, before: &Value, after: &Value, change: &Change) {
    for planned in planned["calls"].as_array().unwrap() {
        let number = planned["number"].as_u64().unwrap();
        let (name, (fate, why)) = (planned["task"].as_str().unwrap(), words(planned));
        let ran: Vec<_> = change.calls.iter().filter(|it| it.0 == name && matches!(it.1, Ran(..))).collect();
        let (was, is) = (call(before, number), call(after, number));
        let in_place = ran.iter().any(|it| matches!(it.1, Ran(at, _) if at == number));
        let what = format!("{} {:?}: {name}: {why}", change.version, change.options);
        match fate.as_str() {
            "fed-back" | "gone" => assert!(!in_place, "{what}"),
            "runs-again" => assert!(!ran.is_empty(), "{what}"),
            other => panic!("{what}: {other}"),
        }
        if fate == "gone" {
            assert!(change.calls.iter().all(|it| it.0 != name), "{what}");
        }
        if !in_place {
            for kept in ["attempts", "result", "flow_attempt", "round", "input", "ended"] {
                assert_eq!(is[kept], was[kept], "{what}: what is kept is not changed");
            }
        }
    }
}

#[test]
fn changed_code_reuses_exactly_what_still_answers_its_questions() {
    // All in one data directory: what is compiled is compiled once.
    let retake = Retake::new();
    for change in CHANGES {
        let (run, before) = failed(&retake);
        check(&retake, &run, &before, &file(change.version), change);
    }
}

#[test]
fn latest_is_the_code_that_was_kept_last_and_a_digest_is_any() {
    let [reordered, raised] = ["reordered", "raised"].map(|name| {
        let plain = |it: &&Change| it.version == name && it.options.is_empty();
        CHANGES.iter().find(plain).unwrap()
    });
    for (change, is_latest) in [(raised, true), (reordered, false)] {
        let retake = Retake::new();
        let (run, before) = failed(&retake);
        retake.expect(0, &["run", &file("reordered")]);
        let digest = retake.json(&["ps"])[0]["component"].as_str().unwrap()[..12].to_owned();
        retake.expect(0, &["run", &file("raised")]);
        check(&retake, &run, &before, if is_latest { "latest" } else { &digest }, change);
    }
}

#[test]
fn the_same_code_is_no_other_code() {
    let retake = Retake::new();
    let (run, _) = failed(&retake);
    for version in [&file("original"), "latest"] {
        let plan = retake.json(&["retry", &run, "--version", version, "--dry-run"]);
        assert_eq!(plan["new_code"], false, "{plan:#}");
        assert!(plan["calls"].as_array().unwrap().iter().all(|it| words(it).1 == FED), "{plan:#}");
    }
    let said = retake.expect(1, &["retry", &run, "--version", "latest"]);
    assert_eq!((said.err.matches("↺").count(), said.err.matches("✔").count()), (3, 0), "{}", said.err);
}

/// A dry run keeps nothing, also of the code that it is given, and also where a server is asked.
#[test]
fn a_dry_run_does_not_keep_the_code_that_it_is_given() {
    let retake = Retake::new();
    let (run, _) = failed(&retake);
    let embedded = retake.json(&["retry", &run, "--version", &file("removed"), "--dry-run"]);
    let server = Server::start(&retake);
    let kept = || retake.json(&["components", "ls"]).as_array().unwrap().len();
    let before = kept();
    let planned = retake.json(&["retry", &run, "--version", &file("removed"), "--dry-run"]);
    assert_eq!((kept(), &planned), (before, &embedded));
    retake.expect(0, &["retry", "--state", "failed", "--version", &file("removed"), "--dry-run"]);
    assert_eq!(kept(), before);
    // Known to plans, and to nothing else.
    let path = format!("/api/v1/flow-runs/{run}/retry");
    let body = |dry_run: bool| serde_json::json!({ "version": planned["component"], "dry_run": dry_run }).to_string();
    assert_eq!(server.ask("POST", &path, &body(true)).status, 200);
    assert_eq!(server.ask("POST", &path, &body(false)).status, 404);
    retake.expect(0, &["retry", &run, "--version", &file("removed"), "-w"]);
    assert_eq!(kept(), before + 1);
    assert_eq!(server.stop(), 0);
}
