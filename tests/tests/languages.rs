//! The example flows behave the same, whatever they are written in.
//!
//! All scenarios of a language share a data directory: an interpreter takes seconds to compile, once.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::time::Instant;

use retake_tests::http::Server;
use retake_tests::{Retake, path, stored, task};
use serde_json::{Value, json};

/// Where the flows of a language are: each in a component of its own, or all in one.
struct Language {
    retake: Retake,
    component: fn(&str) -> &str,
}

impl Language {
    /// Runs a flow to its end, and returns it as it is shown.
    fn run(&self, exit: i32, flow: &str, more: &[&str]) -> (Value, String) {
        let file = path((self.component)(flow));
        let said = self.retake.expect(exit, &[&["run", &file, "--flow", flow, "-w"], more].concat());
        (self.newest(), said.err)
    }

    /// Retries the newest run.
    fn retry(&self, exit: i32, more: &[&str]) -> Value {
        let name = self.newest()["id"].as_str().unwrap().to_owned();
        self.retake.expect(exit, &[&["retry", &name, "-w"], more].concat());
        self.newest()
    }

    fn newest(&self) -> Value {
        let all = self.retake.json(&["ps", "-n", "1"]);
        self.retake.json(&["show", all[0]["id"].as_str().unwrap()])
    }
}

fn retries_by_policy(of: &Language) {
    let (run, said) = of.run(0, "retry-it", &["-p", "fail_times=5", "--retry-delay", "0s"]);
    assert_eq!(run["result"], json!({"attempt": 6, "starts": 1}), "each attempt has a fresh sandbox");
    assert_eq!(said.matches("start 1 of this sandbox").count(), 6, "{said}");
    assert_eq!(run["attempts"][0]["failure"]["code"], "luck.bad");
    let policy = of.retake.json(&["inspect", &path((of.component)("retry-it"))])["flows"].clone();
    let it = policy.as_array().unwrap().iter().find(|it| it["name"] == "retry-it").unwrap();
    assert_eq!((&it["retry"]["retries"], &it["retry"]["delay"]), (&json!(5), &json!({"fixed": 300_000})), "{it:#}");
    // Luck is drawn anew each time: sixteen runs in a row do not all fail six times.
    let (run, _) = of.run(0, "retry-it", &["--retries", "60", "--retry-delay", "0s"]);
    assert_eq!(run["state"], "Completed");
}

fn retries_by_a_person(of: &Language) {
    let (run, _) = of.run(1, "Manual retry", &["-p", "fail_times=2"]);
    assert_eq!((&run["state"], &run["attempt"]), (&json!("Failed"), &json!(1)));
    assert_eq!(of.retry(1, &[])["attempt"], 2);
    assert_eq!(of.retry(0, &[])["result"], json!({"attempt": 3, "starts": 1}));
}

fn keeps_what_has_succeeded(of: &Language) {
    let (run, said) = of.run(1, "orders", &["-p", "load=fail-once", "-p", "enrich_fails=1"]);
    assert_eq!(run["failure"]["code"], "load.refused");
    assert_eq!((&task(&run, "enrich")["attempts"], &task(&run, "extract")["attempts"]), (&json!(2), &json!(1)));
    assert!(said.contains("enrich: attempt 2"), "{said}");
    let run = of.retry(0, &[]);
    assert_eq!(run["result"], json!({"customer": "acme", "orders": 3, "cents": 7500, "load_attempt": 2}));
    for name in ["extract", "enrich"] {
        assert_eq!(task(&run, name)["state"], "Cached", "{run:#}");
    }
    assert_eq!(task(&run, "enrich")["result"][2], json!({"id": "acme-3", "cents": 3750, "country": "NL"}));
    // What does not fit the schema is refused before any sandbox is made.
    let wrong = ["run", &path((of.component)("orders")), "--flow", "orders", "-p", "load=maybe"];
    of.retake.expect(2, &wrong).is_an_error_with_a_hint("load");
}

/// Each behaviour that the contract has, one after the other. `uncaught` is the code of what nobody caught.
fn behaves(of: &Language, uncaught: &str) {
    let run = |exit: i32, what: &str| of.run(exit, "behave", &["-p", &format!("what={what}")]);
    assert_eq!(run(0, "success").0["result"], json!({"ok": true}));
    let failure = run(1, "failure").0["failure"].clone();
    assert_eq!((&failure["code"], &failure["message"]), (&json!("demo.broken"), &json!("it is broken")));
    assert_eq!(run(1, "uncaught").0["failure"]["code"], uncaught);

    let (permanent, _) = run(1, "permanent");
    assert_eq!(permanent["failure"]["code"], "demo.final");
    assert_eq!(task(&permanent, "permanent")["attempts"], 1, "no retry can mend it: {permanent:#}");
    let began = Instant::now();
    assert_eq!(run(0, "retry-after").0["result"], 2);
    assert!(began.elapsed().as_secs() < 60, "the author's wait counts, and not the policy's hour");

    let (mapped, _) = run(0, "map");
    assert_eq!(mapped["result"], json!([2, 4, 6, 8]));
    assert_eq!(mapped["tasks"].as_array().unwrap().len(), 4, "{mapped:#}");
    assert_eq!(run(0, "wait-any").0["result"], 1, "the second is done first");
    let (parent, _) = run(0, "child");
    assert_eq!((&parent["result"], &parent["children"][0]["flow"]), (&json!(21), &json!("behave-child")));

    assert_eq!(run(1, "kept").0["failure"]["code"], "demo.shaky");
    let again = of.retry(0, &[]);
    assert_eq!((&again["result"], &task(&again, "double")["state"]), (&json!(42), &json!("Cached")));
    assert_eq!((&task(&again, "double")["attempts"], &task(&again, "shaky")["attempts"]), (&json!(1), &json!(2)));

    let printed = run(0, "print").1;
    assert!(printed.contains("│ one line") && printed.contains("another"), "{printed}");
    let (fresh, _) = run(0, "fresh");
    assert_eq!((&fresh["result"], &task(&fresh, "count")["attempts"]), (&json!(1), &json!(3)), "a fresh sandbox each");

    let shown = of.retake.json(&["inspect", &path((of.component)("behave"))]);
    let delay = |name: &str| {
        let tasks = shown["tasks"].as_array().unwrap();
        let retry = &tasks.iter().find(|it| it["name"] == name).unwrap()["retry"];
        (retry["retries"].as_u64().unwrap(), retry["delay"].clone())
    };
    assert_eq!(delay("delay-fixed"), (3, json!({"fixed": 300_000})));
    assert_eq!(delay("delay-listed"), (4, json!({"listed": [1000, 10_000, 60_000]})));
    let exponential = json!({"exponential": {"initial": 10_000, "factor_permille": 2000}});
    assert_eq!(delay("delay-exponential"), (5, exponential));
}

fn all(of: &Language, name: &str, uncaught: &str, leaves_out: &[&str]) {
    stored::check(&of.retake, &path((of.component)("store")), name, leaves_out);
    behaves(of, uncaught);
    retries_by_policy(of);
    retries_by_a_person(of);
    keeps_what_has_succeeded(of);
}

#[test]
fn in_rust() {
    let component = |flow: &str| match flow {
        "retry-it" => "retry_it",
        "Manual retry" => "manual_retry",
        "behave" | "store" => "behaviours",
        _ => "orders",
    };
    // Its texts are Unicode, and its types are checked when it is compiled.
    let leaves_out = ["misfit", "half-emoji", "dates", "date-misfit"];
    all(&Language { retake: Retake::new(), component }, "Rust", "sandbox.trap", &leaves_out);
}

/// A large component is compiled by a process of its own: the server does not grow by what that takes.
///
/// What it wrote counts, and not what it maps: each sandbox maps the same code and the same first memory, which the
/// kernel has once, and how many of their pages it maps for each is its own affair.
#[test]
fn a_large_component_does_not_swell_the_server() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let before = server.written();
    retake.expect(0, &["deploy", &path("python"), "--flow", "orders", "-n", "dev"]);
    let grown = server.written().saturating_sub(before);
    assert!(grown < 200 << 20, "{} MiB more", grown >> 20);
    for _ in 0..3 {
        retake.expect(0, &["run", "orders/dev", "-w"]);
    }
    let grown = server.written().saturating_sub(before);
    println!("{} MiB more", grown >> 20);
    assert!(grown < 250 << 20, "{} MiB more", grown >> 20);
}

/// A sandbox of an interpreter shares its code, and its first memory, with all others: what it holds is what it wrote.
#[test]
fn sandboxes_that_wait_hold_little() {
    for (component, most) in [("orders", 1), ("c", 1), ("go", 3), ("javascript", 3), ("python", 4)] {
        let retake = Retake::new();
        let server = Server::start(&retake);
        retake.expect(0, &["deploy", &path(component), "--flow", "orders", "-n", "dev"]);
        retake.expect(0, &["run", "orders/dev", "-w"]);
        let run = retake.json(&["show", retake.json(&["ps", "-n", "1"])[0]["name"].as_str().unwrap()]);
        let attempts = run["tasks"].as_array().unwrap().iter().chain(run["attempts"].as_array().unwrap());
        let used = attempts.map(|it| it["evidence"]["peak_memory"].as_u64().unwrap()).max().unwrap();
        println!("{component}: an attempt has {} KiB of linear memory", used >> 10);
        assert!(used < 20 << 20, "{component}: {used} bytes");
        let before = server.written();
        // A flow and a task each.
        for _ in 0..20 {
            retake.expect(0, &["run", "orders/dev", "-p", "pause_ms=30000"]);
        }
        let all_sleep = || server.ask("GET", "/metrics", "").body.contains("task_attempts_running 20");
        let began = Instant::now();
        while !all_sleep() && began.elapsed().as_secs() < 5 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let held = server.written().saturating_sub(before) / 40;
        println!("{component}: {} KiB for each sandbox that waits", held >> 10);
        assert!(held < most << 20, "{component}: {held} bytes");
        server.kill();
    }
}

/// What interpreters need of the bounds on what is compiled leaves room for the next version of each.
#[test]
fn the_bounds_of_an_upload_leave_room() {
    let retake = Retake::new();
    for component in ["orders", "c", "go", "javascript", "python"] {
        let said = retake.expect(0, &["inspect", &path(component)]).out;
        let nearest = said.lines().find_map(|it| it.strip_prefix("bounds     within all of them; nearest: ")).unwrap();
        println!("{component}: {nearest}");
        let numbers: Vec<u64> = nearest.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        assert!(matches!(numbers[..], [got, most] if got * 5 <= most * 4), "{component}: {nearest}");
    }
}

/// Compiled code is kept, and mapped: a host that starts again begins the attempt that is due, whatever its language.
#[test]
fn a_host_that_starts_again_begins_at_once() {
    for component in ["javascript", "python"] {
        let retake = Retake::new();
        let server = Server::start(&retake);
        retake.expect(0, &["deploy", &path(component), "--flow", "retry-it", "-n", "dev"]);
        let made = retake.expect(0, &["run", "retry-it/dev", "-p", "fail_times=0", "--in", "2s", "-o", "id"]).out;
        assert_eq!(server.stop(), 0);
        std::thread::sleep(std::time::Duration::from_secs(2));
        let started = jiff::Timestamp::now();
        let _server = Server::start(&retake);
        let run = loop {
            let run = retake.json(&["show", made.trim()]);
            if run["state"] == "Completed" {
                break run;
            }
        };
        let at = |field: &str| run["attempts"][0][field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let (began, ended) = (at("began").duration_since(started), at("ended").duration_since(started));
        println!("{component}: began {began:?} after the process was started, and ended {ended:?} after it");
        assert!(began.as_millis() < 500, "{component}: {began:?}");
    }
}

#[test]
fn in_go() {
    all(
        &Language { retake: Retake::new(), component: |_| "go" },
        "Go",
        "sandbox.trap",
        &["misfit", "dates", "date-misfit"],
    );
}

#[test]
fn in_c() {
    // It has no values that could hold themselves, and its libc has no sockets.
    all(&Language { retake: Retake::new(), component: |_| "c" }, "C", "sandbox.trap", &["cycle", "network"]);
}

#[test]
fn in_javascript() {
    let javascript = Language { retake: Retake::new(), component: |_| "javascript" };
    all(&javascript, "JavaScript", "TypeError", &["exit", "last-print"]);
    let (run, said) = javascript.run(0, "fan-out", &["-p", "numbers:=[2, 3, 4, 10, 7]"]);
    assert_eq!(run["result"], json!({"odd": 2, "sum": 8}), "{said}");
    assert!(said.contains("left out: RangeError: 3 is odd"), "{said}");
    let odd = run["tasks"].as_array().unwrap().iter().find(|it| it["failure"].is_object()).unwrap();
    assert!(odd["failure"]["details"]["stack"].as_str().unwrap().contains(".ts:"), "{odd:#}");
    assert_eq!(run["children"][0]["state"], "Completed");
}

#[test]
fn in_python() {
    let python = Language { retake: Retake::new(), component: |_| "python" };
    all(&python, "Python", "ZeroDivisionError", &[]);
    // What it has beyond: tasks side by side, exceptions that cross the border, a child flow.
    let (run, said) = python.run(0, "fan-out", &["-p", "numbers:=[2, 3, 4, 10, 7]"]);
    assert_eq!(run["result"], json!({"odd": 2, "sum": 8}), "{said}");
    assert!(said.contains("left out: 3 is odd"), "{said}");
    assert!(!said.contains("did not look at"), "it did: {said}");
    let odd = run["tasks"].as_array().unwrap().iter().find(|it| it["failure"].is_object()).unwrap();
    assert_eq!(odd["failure"]["code"], "ValueError");
    assert!(odd["failure"]["details"]["traceback"].as_str().unwrap().contains("in halve"), "{odd:#}");
    assert_eq!(run["children"][0]["state"], "Completed");
    // The code is compiled once, and mapped from then on.
    let began = Instant::now();
    python.run(0, "retry-it", &["-p", "fail_times=0"]);
    assert!(began.elapsed().as_secs() < 3, "{:?}", began.elapsed());
}
