//! A guest that misbehaves harms only its own attempt, and is told apart by its failure's code (safety.md, T01 to T27).
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use retake_tests::{Retake, assembled, component};
use serde_json::Value;

fn hostile() -> String {
    component("hostile").to_str().unwrap().to_owned()
}

/// Runs a misbehaving flow, in its body and in a task, and returns each run with its failure.
#[track_caller]
fn misbehaves(flow: &str, options: &[&str], code: &str, words: &str) {
    let retake = Retake::new();
    for place in ["where=flow", "where=task"] {
        let file = hostile();
        let run = retake.json(&[&["run", &file, "--flow", flow, "-p", place], options].concat());
        let failure = &run["failure"];
        assert_eq!(failure["code"], code, "{flow} {place}: {run:#}");
        assert!(failure["message"].as_str().unwrap().contains(words), "{flow} {place}: {failure:#}");
    }
    // The same host goes on as if nothing had been.
    retake.expect(0, &["run", &hostile(), "--flow", "starts"]);
}

#[track_caller]
fn behaves(flow: &str, options: &[&str]) -> Value {
    let retake = Retake::new();
    let said = retake.expect(0, &[&["run", &hostile(), "--flow", flow], options].concat());
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn t01_a_guest_that_loops_is_stopped_by_its_processor_time() {
    let began = Instant::now();
    misbehaves("spin", &[], "sandbox.cpu", "more than 10s of processor time");
    assert!(began.elapsed() < Duration::from_secs(120), "two budgets of ten seconds took {:?}", began.elapsed());
}

#[test]
fn t04_a_task_that_sleeps_past_its_time_is_stopped() {
    let retake = Retake::new();
    let began = Instant::now();
    let run = retake.json(&["run", &hostile(), "--flow", "sleep", "-p", "where=task", "-p", "n=600000"]);
    assert_eq!(run["failure"]["code"], "sandbox.timeout", "{run:#}");
    assert!(began.elapsed() < Duration::from_secs(90));
}

#[test]
fn t05_a_guest_that_eats_memory_is_told_what_it_wanted() {
    misbehaves("eat-memory", &[], "sandbox.memory", "limit 64 MiB");
    misbehaves("eat-memory", &["--memory", "16MiB"], "sandbox.memory", "limit 16 MiB");
}

#[test]
fn t08_a_huge_result_is_refused() {
    misbehaves("huge-result", &["-p", "n=40", "--memory", "256MiB"], "sandbox.output", "4 MiB in one call");
    misbehaves("huge-result", &[], "sandbox.memory", "limit 64 MiB");
    misbehaves("huge-result", &["-p", "n=2"], "sandbox.output", "a result has at most 1048576");
}

#[test]
fn t12_a_stack_overflow_and_a_panic_are_traps_with_a_backtrace() {
    misbehaves("overflow-stack", &[], "sandbox.trap", "stack overflow");
    misbehaves("panic", &[], "sandbox.trap", "the cat stepped on the keyboard");
    let retake = Retake::new();
    let run = retake.json(&["run", &hostile(), "--flow", "panic"]);
    let backtrace = run["failure"]["details"]["backtrace"].as_array().unwrap();
    assert!(backtrace.iter().any(|it| it.as_str().unwrap().contains("panic")), "{backtrace:#?}");
}

#[test]
fn a_program_that_ends_itself_has_not_returned() {
    misbehaves("exit", &["-p", "n=3"], "sandbox.trap", "ended itself with status 3");
    misbehaves("exit", &["-p", "n=0"], "sandbox.trap", "ended itself with status 0");
}

#[test]
fn t13_deep_or_broken_json_is_refused() {
    misbehaves("nested-result", &[], "sandbox.output", "64 levels");
    misbehaves("invalid-result", &[], "result.invalid", "not JSON");
}

#[test]
fn t20_a_guest_that_prints_too_much_keeps_running_and_little_is_kept() {
    let retake = Retake::new();
    for (flow, bound) in [("print-a-lot", 300 << 10), ("print-a-long-line", 20 << 10), ("log-a-lot", 2 << 20)] {
        retake.expect(0, &["run", &hostile(), "--flow", flow, "-p", "where=task", "-q"]);
        let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
        let logs = retake.expect(0, &["logs", &name]).out;
        assert!(logs.contains("more bytes were logged here and not kept") || flow == "print-a-long-line", "{flow}");
        assert!(logs.len() < bound + 40 * logs.lines().count() + 1000, "{flow} kept {} bytes", logs.len());
        let dropped = &retake.json(&["show", &name])["tasks"][0]["evidence"]["log_bytes_dropped"];
        assert!(dropped.as_u64().unwrap() > 1 << 20, "{flow}: {dropped}");
    }
}

#[test]
fn t21_what_a_guest_prints_cannot_drive_a_terminal() {
    let retake = Retake::new();
    let said = retake.expect(0, &["run", &hostile(), "--flow", "print-garbage"]);
    assert!(!said.err.contains('\u{1b}'), "{:?}", said.err);
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let logs = retake.expect(0, &["logs", &name]).out;
    assert!(logs.contains("still here") && !logs.contains('\u{1b}'), "{logs:?}");
}

#[test]
fn t23_child_flows_nest_so_deep_and_no_deeper() {
    let retake = Retake::new();
    let run = retake.json(&["run", &hostile(), "--flow", "call-itself"]);
    assert_eq!(run["failure"]["code"], "sandbox.output", "{run:#}");
    assert_eq!(retake.json(&["ps", "--all"]).as_array().unwrap().len(), 5);
}

#[test]
fn t25_nothing_is_left_over_for_the_next_guest() {
    let seen = behaves("canaries", &["-p", "n=200"]);
    assert_eq!(seen["found"], 0, "{seen}");
    assert!(seen["own"].as_u64().unwrap() > 100_000, "the search finds what is there: {seen}");
}

#[test]
fn t27_a_flows_clock_stands_still_and_its_dice_are_seeded() {
    let flow = behaves("clocks-and-dice", &[]);
    assert_eq!(flow["elapsed_ns"], 0);
    assert_eq!(flow["wall_ns"], flow["wall_later_ns"]);
    let task = behaves("clocks-and-dice", &["-p", "where=task"]);
    assert_eq!(task["wall_ns"].as_u64().unwrap() % 1_000_000, 0, "no finer than a millisecond");
}

#[test]
fn t34_t36_nothing_of_the_host_is_visible() {
    for place in ["where=flow", "where=task"] {
        let seen = behaves("probe", &["-p", place]);
        for what in ["root", "here", "passwd", "up", "written"] {
            assert!(seen[what]["error"].is_string(), "{what}: {seen:#}");
        }
        assert_eq!((&seen["variables"], &seen["arguments"]), (&Value::from(vec![0; 0]), &Value::from(vec![0; 0])));
    }
}

#[test]
fn t35_sockets_are_denied() {
    let retake = Retake::new();
    let sockets = component("sockets");
    let run = retake.json(&["run", sockets.to_str().unwrap()]);
    assert_eq!(run["state"], "Completed", "{run:#}");
    let seen = run["result"].as_object().unwrap();
    assert_eq!(seen.len(), 3, "{seen:?}");
    for (what, came_of_it) in seen {
        assert!(came_of_it.to_string().contains("access-denied"), "{what}: {came_of_it}");
    }
    // Who looks a name up wants to reach a host: that is the end of it, in words.
    let run = retake.json(&["run", sockets.to_str().unwrap(), "-p", "by_name=true"]);
    assert_eq!((&run["failure"]["code"], &run["attempt"]), (&"sandbox.denied".into(), &1.into()), "{run:#}");
    assert!(run["failure"]["message"].as_str().unwrap().contains("`localhost` cannot be reached"), "{run:#}");
}

#[test]
fn codes_of_the_host_cannot_be_forged() {
    misbehaves("forged-code", &[], "guest.host.cancelled", "");
    // The failure is copied within the guest on its way.
    misbehaves("huge-failure", &["--memory", "200MiB"], "sandbox.output", "4 MiB");
}

#[test]
fn calls_that_cannot_be_made_fail_by_name() {
    assert_eq!(behaves("unknown-task", &[])["code"], "input.unknown");
    assert_eq!(behaves("unknown-flow", &[])["code"], "input.unknown");
    assert_eq!(behaves("wrong-input", &[])["code"], "input.invalid");
    assert_eq!(behaves("call-a-task", &["-p", "where=task"])["code"], "host.not-in-a-task");
    assert_eq!(behaves("cancel-a-task", &[])["code"], "host.cancelled");
    assert_eq!(behaves("ask-for-secrets", &[])["secret"], "sandbox.denied");
    assert_eq!(behaves("submit-many", &[]), 100);
    assert_eq!(behaves("huge-input", &["-p", "n=2"])["code"], "input.invalid");
    let retake = Retake::new();
    let run = retake.json(&["run", &hostile(), "--flow", "long-name"]);
    assert_eq!(run["failure"]["code"], "input.invalid", "{run:#}");
}

#[test]
fn calls_of_one_run_are_bounded_and_those_left_open_are_waited_for() {
    let retake = Retake::new();
    let run = retake.json(&["run", &hostile(), "--flow", "submit-many", "-p", "n=10001"]);
    assert_eq!(run["failure"]["code"], "sandbox.output", "{run:#}");
    assert!(run["failure"]["message"].as_str().unwrap().contains("more than 10000 calls"), "{run:#}");
    let run = retake.json(&["run", &hostile(), "--flow", "wait-for-nothing"]);
    assert_eq!(run["failure"]["code"], "input.invalid", "{run:#}");
    retake.expect(0, &["run", &hostile(), "--flow", "walk-away", "-p", "milliseconds=300"]);
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let walked = retake.json(&["show", &name]);
    let tasks = walked["tasks"].as_array().unwrap();
    assert!(tasks.len() == 3 && tasks.iter().all(|it| it["state"] == "Completed"), "{walked:#}");
}

#[test]
fn results_of_one_run_are_bounded_together() {
    let hoarded = behaves("hoard", &[]);
    assert_eq!((hoarded["code"].as_str(), hoarded["kept"].as_u64()), (Some("sandbox.output"), Some(100)));
}

#[test]
fn what_is_no_component_of_ours_is_refused_with_a_hint() {
    let retake = Retake::new();
    let dir = retake.dir.path().to_owned();
    let write = |name: &str, content: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let whole = std::fs::read(component("orders")).unwrap();
    for (path, words) in [
        (write("empty.wasm", b""), "the file is empty"),
        (write("cut.wasm", &whole[..whole.len() / 2]), "ends too early"),
        (write("start.wasm", &whole[..3]), "ends too early"),
        (write("picture.wasm", b"\x89PNG\r\n\x1a\n...."), "a PNG image"),
        (write("text.wasm", b"hello"), "plain text"),
        (assembled("core-module", &dir), "core module"),
        (assembled("unknown-import", &dir), "which the host does not offer"),
        (assembled("no-export", &dir), "nor a function that could be a flow: it exports no function at all"),
        (assembled("newer-contract", &dir), "and the host offers version 0.1.0"),
        (assembled("wrong-types", &dir), "does not load"),
        (component("nonsense_metadata"), "the metadata is out of bounds: `"),
        (component("describe_differs"), "two different answers"),
        (component("describe_traps"), "`describe` failed: sandbox.trap"),
        (component("describe_loops"), "`describe` failed: sandbox."),
        (component("describe_calls"), "`describe` failed: sandbox.denied"),
    ] {
        let path = path.to_str().unwrap();
        retake.expect(2, &["inspect", path]).is_an_error_with_a_hint(words);
        retake.expect(2, &["run", path]).is_an_error_with_a_hint(words);
    }
    assert!(retake.expect(0, &["ps"]).out.contains("no runs yet"), "nothing was kept");
}

#[test]
fn t15_what_would_take_minutes_to_compile_is_refused_at_once() {
    let retake = Retake::new();
    let bomb = |body: String| {
        let text = format!("(component (core module (func {body})))");
        let path = retake.dir.path().join("bomb.wasm");
        std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
        let began = Instant::now();
        let said = retake.expect(2, &["inspect", path.to_str().unwrap()]);
        assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
        said
    };
    let nested = format!("{}{}", "loop ".repeat(20_000), "end ".repeat(20_000));
    bomb(nested).is_an_error_with_a_hint("nested blocks in one function");
    bomb(format!("(local {})", "i32 ".repeat(40_000))).is_an_error_with_a_hint("locals in one function");
    bomb("i32.const 1 drop ".repeat(300_000)).is_an_error_with_a_hint("bytes in one function");
    let targets = format!("block i32.const 0 br_table {} end", "0 ".repeat(100_000));
    bomb(targets).is_an_error_with_a_hint("targets of one branch");
    let side_by_side = |blocks| "i32.const 0 if end ".repeat(blocks);
    bomb(side_by_side(20_000)).is_an_error_with_a_hint("blocks in one function");
    let many = vec![side_by_side(4_000); 100].join(") (func ");
    bomb(many).is_an_error_with_a_hint("squares of blocks over all functions");
}

#[test]
fn t17_bytes_flipped_anywhere_never_crash_the_inspection() {
    let retake = Retake::new();
    let whole = std::fs::read(component("retry_it")).unwrap();
    for step in 0..40 {
        let mut changed = whole.clone();
        let at = step * whole.len() / 40 + 5;
        changed[at] ^= 1 << (step % 8);
        let path = retake.dir.path().join("changed.wasm");
        std::fs::write(&path, changed).unwrap();
        let said = retake.say(&["inspect", path.to_str().unwrap()]);
        assert!(matches!(said.exit, Some(0 | 2)), "byte {at}: {:?}\n{}", said.exit, said.err);
        assert!(!said.err.contains("panicked at host"), "byte {at}: {}", said.err);
    }
}
