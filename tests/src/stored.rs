//! What is stored of values, and how failures are told: the same in every language. One word of the flow `store` for each
//! row; the page `docs/behaviours.md` shows what came of it, and is compared with that.

use std::path::Path;

use serde_json::{Value, json};

use crate::{Retake, task};

/// What is to come of a word.
enum Comes {
    /// The run has this result.
    Of(Value),
    /// The run has this result, as it is written: a number may have more digits than one that is read.
    Digits(&'static str),
    /// The run fails with this code, and its message holds these texts. `once`: the task that failed was tried once.
    To { code: &'static str, once: Option<&'static str>, holds: &'static [&'static str] },
}

/// A row of the page: the word, what it is about, and what is to come of it.
struct Row {
    word: &'static str,
    about: &'static str,
    comes: Comes,
}

const INVALID: &str = "result.invalid";

fn rows() -> Vec<Row> {
    let row = |word, about, comes| Row { word, about, comes };
    let to = |code, once, holds| Comes::To { code, once, holds };
    vec![
        row(
            "nan",
            "a task that is declared to return a number returns NaN",
            to(INVALID, Some("nan"), &["`nan`", "NaN"]),
        ),
        row("nan-inside", "NaN within a list within what it returns", to(INVALID, Some("nan-inside"), &["/rows/1"])),
        row("infinite", "it returns infinity", to(INVALID, Some("infinite"), &["`infinite`"])),
        row("nan-given", "a task is called with NaN", to("input.invalid", None, &["/x"])),
        row("unstorable", "it returns what JSON cannot say", to(INVALID, Some("unstorable"), &["`unstorable`"])),
        row("cycle", "it returns what holds itself", to(INVALID, Some("cycle"), &["`cycle`"])),
        row("misfit", "it returns a text, and is declared to return a whole number", to(INVALID, Some("misfit"), &[])),
        row("big", "a whole number above 2⁵³ goes to a task and back", Comes::Digits("9007199254740993")),
        row("huge", "one of thirty digits does", Comes::Digits("123456789012345678901234567890")),
        row("empty-list", "an empty list goes to a task and to a child flow", Comes::Of(json!([0, 0]))),
        row("empty-map", "an empty map does", Comes::Of(json!([0, 0]))),
        row("half-emoji", "a task returns text that is not Unicode", to(INVALID, Some("half-emoji"), &[])),
        row("half-emoji-said", "such text is printed, logged and failed with", to("demo.said", None, &["\u{fffd}"])),
        row("exit", "a task ends the program with status 3", to("", None, &["status 3"])),
        row("reason", "a task reaches beyond the end of a list", to("", None, &[])),
        row("network", "a task opens `http://example.com/`", to("sandbox.denied", Some("network"), &["network"])),
        row("last-print", "the last print has no end of line", Comes::Of(Value::Null)),
        row("task-in-task", "a task calls a task", to("host.not-in-a-task", Some("outer"), &["`outer`", "`same`"])),
        row("default", "parameters are left out, one within an object", Comes::Of(json!([10, 3]))),
        row("dates", "a date goes to a task, and the day after it back", Comes::Of(json!("2026-03-01"))),
        row("date-misfit", "a task that takes a date is given 30 February", to("input.invalid", None, &["2026-02-30"])),
        row("null-or-unset", "a parameter is left out, null, or a value", Comes::Of(json!("unset"))),
    ]
}

/// Checks every word that a language has, and its column of the page. `leaves_out`: what cannot be written in it.
pub fn check(retake: &Retake, component: &str, language: &str, leaves_out: &[&str]) {
    let mut column = Vec::new();
    for row in rows() {
        if leaves_out.contains(&row.word) {
            column.push((row, "cannot be written".to_owned()));
            continue;
        }
        let came = came_of(retake, component, &row);
        column.push((row, came));
    }
    let of = |day: &str| {
        let more = ["-p", day];
        run(retake, component, "null-or-unset", &more).0["result"].clone()
    };
    assert_eq!(of("day=null"), "null", "{language}");
    assert_eq!(of("day=2026-02-28"), "2026-02-28", "{language}");
    check_page(language, &column);
}

fn run(retake: &Retake, component: &str, word: &str, more: &[&str]) -> (Value, String) {
    let what = format!("what={word}");
    let said = retake.say(&[&["run", component, "--flow", "store", "-w", "-p", &what], more].concat());
    assert!(matches!(said.exit, Some(0 | 1)), "{word}: {}\n{}", said.out, said.err);
    let newest = retake.json(&["ps", "-n", "1"]);
    (retake.json(&["show", newest[0]["name"].as_str().unwrap()]), format!("{}{}", said.out, said.err))
}

fn came_of(retake: &Retake, component: &str, row: &Row) -> String {
    let (run, said) = run(retake, component, row.word, &[]);
    let word = row.word;
    let failed = || {
        let failure = &run["failure"];
        let text = |of: &str| failure[of].as_str().unwrap_or_default().to_owned();
        (text("code"), text("message"))
    };
    match &row.comes {
        Comes::Of(value) => assert_eq!(run["result"], *value, "{word}: {run:#}"),
        // What a language has no room for it refuses, and does not round.
        Comes::Digits(digits) if run["state"] == "Failed" => {
            assert!(["input.invalid", INVALID].contains(&failed().0.as_str()), "{word}: {run:#}");
            return format!("`{}`", failed().0);
        }
        Comes::Digits(digits) => {
            assert!(said.contains(digits), "{word}: {said}");
            return format!("`{digits}`");
        }
        Comes::To { code, once, holds } => {
            let (is, message) = failed();
            assert!(*code == is || code.is_empty() && !is.is_empty(), "{word}: `{is}`: {message}\n{said}");
            for text in *holds {
                assert!(message.contains(text), "{word}: no `{text}` in: {message}\n{said}");
            }
            // Each language has its own words.
            let of_a_list = ["out of range", "out of bounds", "undefined", "Assertion failed"];
            assert!(word != "reason" || of_a_list.iter().any(|it| message.contains(it)), "{message}");
            if let Some(name) = once {
                assert_eq!(task(&run, name)["attempts"], 1, "{word}: no retry can mend it: {run:#}");
            }
            let message: String = message.lines().next().unwrap_or_default().chars().take(140).collect();
            // Where it was changes with every edit.
            let message = match message.strip_prefix("panicked at ").and_then(|it| it.split_once(": ")) {
                Some((_, what)) => format!("panicked: {what}"),
                None => message,
            };
            return format!("`{is}`: {}", message.replace('|', "\\|"));
        }
    }
    if word == "last-print" {
        assert!(said.contains("no end of line"), "{said}");
        return "it is in the log".to_owned();
    }
    format!("`{}`", run["result"])
}

/// Compares what came of each word with the page, or writes it there where `RETAKE_WRITE_DOCS` says so.
fn check_page(language: &str, column: &[(Row, String)]) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _only = ONE_AT_A_TIME.lock();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/behaviours.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let heading = format!("## {language}\n");
    let mut section = format!("{heading}\n| case | what comes of it |\n|---|---|\n");
    for (row, came) in column {
        section += &format!("| {} (`{}`) | {came} |\n", row.about, row.word);
    }
    let begin = text.find(&heading).unwrap_or(text.len());
    let end = text[begin..].find("\n## ").map_or(text.len(), |it| begin + it + 1);
    let kept = text[begin..end].trim_end();
    if kept == section.trim_end() {
        return;
    }
    assert!(
        std::env::var_os("RETAKE_WRITE_DOCS").is_some(),
        "docs/behaviours.md, {language}, is not what came:\n{section}"
    );
    let before = text[..begin].trim_end();
    let whole = format!("{before}\n\n{}\n\n{}", section.trim_end(), text[end..].trim_start());
    std::fs::write(&page, whole.trim_end().to_owned() + "\n").unwrap();
}
