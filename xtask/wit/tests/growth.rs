//! The contract grows by what breaks nobody: a component that was made for a released version runs for ever.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use retake_core::limits;
use wit_component::semver_check;
use wit_parser::{Resolve, WorldId};

const RELEASED: &[(&str, &str)] = &[("v0.1", include_str!("../../../wit/v0.1/flow.wit"))];
const NEXT: &str = include_str!("../../../wit/next/flow.wit");

/// Says whether a component made for `released` runs on a host of `next`.
fn compatible(released: &str, next: &str) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let mut world = |wit: &str, version: &str| -> Result<WorldId, String> {
        // Two packages of one name and version cannot be in one place; the check looks at no version.
        let package = resolve.push_str("flow.wit", &numbered(wit, version)).expect("is WIT");
        resolve.select_world(&[package], Some("flow")).map_err(|it| format!("{it:#}"))
    };
    let (old, new) = (world(released, "0.1.0")?, world(next, "0.1.999")?);
    semver_check(resolve, old, new).map_err(|it| format!("{it:#}"))
}

fn numbered(wit: &str, version: &str) -> String {
    let at = wit.find("\npackage retake:flow@").expect("names its package") + "\npackage retake:flow@".len();
    let end = at + wit[at..].find(';').expect("ends the line");
    format!("{}{version}{}", &wit[..at], &wit[end..])
}

#[test]
fn what_was_made_for_a_released_contract_still_runs() {
    for (version, released) in RELEASED {
        if let Err(why) = compatible(released, NEXT) {
            panic!("wit/next breaks components made for {version}: {why}");
        }
    }
}

#[test]
fn each_released_contract_is_checked() {
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
    let names = std::fs::read_dir(wit).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut released: Vec<String> = names.filter(|it| it.starts_with('v')).collect();
    released.sort();
    assert_eq!(released, RELEASED.iter().map(|(version, _)| *version).collect::<Vec<_>>());
}

#[test]
fn a_breaking_edit_is_noticed() {
    let (_, released) = RELEASED[0];
    for (what, from, to) in [
        ("a function is gone", "  is-done: func() -> bool;\n", ""),
        ("a function is gone from an interface", "  sleep-until: func(unix-ms: u64);\n", ""),
        ("a parameter has another type", "sleep: func(duration: milliseconds)", "sleep: func(duration: u32)"),
        ("a parameter more", "variable: func(name: string)", "variable: func(name: string, fresh: bool)"),
        (
            "a result has another type",
            "wait-any: func(calls: list<borrow<call>>) -> u32",
            "wait-any: func(calls: list<borrow<call>>) -> u64",
        ),
        ("a field more in a record", "    attempt: u32,\n", "    attempt: u32,\n    round: u32,\n"),
        ("a case more in a variant", "    by-policy,\n", "    by-policy,\n    soon,\n"),
        ("a case less in an enum", "enum level { trace, debug,", "enum level { debug,"),
        ("an interface is gone", "  import values;\n", ""),
        ("an export more", "  export plugin;\n", "  export plugin;\n  export log;\n"),
    ] {
        let edited = NEXT.replacen(from, to, 1);
        assert_ne!(edited, NEXT, "{what}: the contract has no `{from}` any more");
        assert!(compatible(released, &edited).is_err(), "{what}, and nobody noticed");
    }
}

#[test]
fn what_breaks_nobody_is_allowed() {
    let (_, released) = RELEASED[0];
    let interface = "interface signals {\n  ring: func();\n}\n\nworld flow {\n  import signals;\n";
    let edited = NEXT.replacen("world flow {\n", interface, 1);
    assert_ne!(edited, NEXT);
    compatible(released, &edited).unwrap();
}

/// What the page for authors says about bounds is what the host enforces.
#[test]
fn the_bounds_that_are_written_down_are_the_bounds() {
    let page = include_str!("../../../wit/README.md");
    let size = |bytes: usize| match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    };
    let days = |it: std::time::Duration| format!("{} days", it.as_secs() / 86_400);
    let seconds = |it: std::time::Duration| format!("{} s", it.as_secs());
    let value = format!("{}, nested {} deep", size(limits::VALUE_BYTES), limits::VALUE_DEPTH);
    for (what, bound) in [
        ("component", size(limits::COMPONENT_BYTES)),
        ("input of a call, parameters of a child flow", value.clone()),
        ("result", value),
        ("name of a flow or a task", size(limits::NAME_BYTES)),
        ("description", size(limits::TEXT_BYTES)),
        ("version of a task", size(limits::VERSION_BYTES)),
        ("key of a call", size(limits::KEY_BYTES)),
        ("message of a failure", size(limits::MESSAGE_BYTES)),
        ("schema", size(limits::SCHEMA_BYTES)),
        ("all metadata together", size(limits::METADATA_BYTES)),
        ("flows of a component", limits::FLOWS.to_string()),
        ("tasks of a component", limits::TASKS.to_string()),
        ("tags, capabilities, rules", limits::LIST_ITEMS.to_string()),
        ("retries", limits::RETRIES.to_string()),
        ("delay before a retry", days(limits::DELAY)),
        ("entries of a listed delay", limits::DELAY_ENTRIES.to_string()),
        ("growth of an exponential delay", {
            let permille = limits::FACTOR_PERMILLE;
            format!("{} to {} thousandths", permille.start(), permille.end())
        }),
        ("jitter", format!("{} thousandths", limits::JITTER_PERMILLE)),
        ("durable sleep", days(limits::SLEEP)),
        (
            "memory of an attempt",
            format!("{}, at most {}", size(limits::MEMORY_DEFAULT as usize), size(limits::MEMORY_MAX as usize)),
        ),
        (
            "processor time of an attempt",
            format!("{}, at most {}", seconds(limits::CPU_DEFAULT), seconds(limits::CPU_MAX)),
        ),
        (
            "wall clock of a task's attempt",
            format!("{}, at most {}", seconds(limits::TASK_TIMEOUT_DEFAULT), seconds(limits::TASK_TIMEOUT_MAX)),
        ),
        ("wall clock of a flow's attempt", format!("none, at most {}", days(limits::FLOW_TIMEOUT_MAX))),
        ("calls of an attempt", limits::CALLS_PER_RUN.to_string()),
        ("inputs and results of an attempt's calls", size(limits::CALL_BYTES_PER_RUN)),
        ("calls of a run, in all its attempts", limits::CALLS_KEPT_PER_RUN.to_string()),
        ("inputs and results of a run's calls", size(limits::CALL_BYTES_KEPT_PER_RUN)),
        ("tasks of a run side by side", limits::TASKS_IN_FLIGHT.to_string()),
        ("child flows below each other", limits::FLOW_DEPTH.to_string()),
        ("log of an attempt", format!("{}, {} lines", size(limits::LOG_BYTES), limits::LOG_LINES)),
        ("log line", size(limits::LOG_LINE_BYTES)),
    ] {
        let row = format!("| {what} | {bound} |"); // A third column may say what happens.
        assert!(page.contains(&row), "wit/README.md lacks the row `{row}`");
    }
}
