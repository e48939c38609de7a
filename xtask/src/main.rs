//! The project's own tools: `cargo xtask VERB`.
//!
//! A person needs Rust (through rustup or not) and a C compiler. What a verb needs beyond that it installs, below the
//! user's cache directory, and says what and why. Nothing is installed system-wide.
//!
//! This crate is the first that is built on a new machine, so it depends on nearly nothing. What needs the WIT tools
//! lives in `xtask/wit`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that talks to people")]

mod api;
mod check;
mod demo;
mod guests;
mod steps;
mod suite;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// One verb: its name, what it takes, a line about it, and more for `cargo xtask help VERB`.
struct Verb {
    name: &'static str,
    takes: &'static str,
    about: &'static str,
    more: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "demo",
        takes: "[--once]",
        about: "Show it: build, run flows that fail, retry them, and check what is shown",
        more: "\
Builds the host and the example flows, then runs the real `retake` on a new data directory: a flow that is retried on
its own, one that is retried by a person, and one whose finished tasks are fed back. Each thing that is shown is also
checked; the exit code is not 0 when one did not happen.

  --once   remove the data directory at the end, instead of leaving it to try things on",
        run: demo::demo,
    },
    Verb {
        name: "test",
        takes: "[--short] [ARGS of cargo test]",
        about: "Run all tests, with real components",
        more: "\
Installs what the tests need (the WASI target), builds all components and the binary, then runs `cargo test
--workspace`. Use it instead of `cargo test` when a flow or the host's binary has changed: tests run what was built.

  --short   without the tests of the whole system, and with fewer random cases

Examples:
  cargo xtask test
  cargo xtask test -p retake-core
  cargo xtask test -- replay",
        run: suite::test,
    },
    Verb {
        name: "ci",
        takes: "",
        about: "Check everything that a change has to pass",
        more: "\
In this order: formatting, spelling, licences and sources of dependencies, lints, the demo, all tests.
Needs Rust with rustfmt and clippy, a C compiler, and pip (without it the spelling checker is built from source).",
        run: check::ci,
    },
    Verb {
        name: "guests",
        takes: "[NAME…]",
        about: "Build the example flows and the misbehaving guests into target/components",
        more: "\
Builds for `wasm32-wasip2`, with a target directory of its own (target/wasm), and copies the components to
target/components. A NAME is that of a package, such as `example-orders`; without one, all are built.

The target comes from rustup, or, on machines that reach package registries only, from Debian's packages, unpacked into
the user's cache directory. RETAKE_WASI_TOOLCHAIN=rustup or =debian chooses one.",
        run: guests::guests,
    },
    Verb {
        name: "bindings",
        takes: "[--check]",
        about: "Make guest-sdk/rust/src/bindings.rs from wit/next",
        more: "\
  --check   change nothing; fail when the file is not what would be made (a test does the same)",
        run: guests::bindings,
    },
    Verb {
        name: "bench",
        takes: "[ARGS of the benchmarks]",
        about: "Measure: the machine's limits first, then ours, in one process",
        more: "\
Builds the components, the benchmarks and the binary with optimisations, and runs them.

  --api        the API of a server instead: while it is saturated with runs, and with a million runs in its database
  --languages  the sandboxes of every language instead, raw and ours
  --check      fail when a target is missed
  --help       what else there is",
        run: suite::bench,
    },
    Verb {
        name: "torture",
        takes: "[--short]",
        about: "Prove that nothing is lost: simulation, planted bugs, kills, faults of the disk, attacks",
        more: "\
  --short   as often as the tests do on every change: some minutes; without it some hours

Each part prints its figure and the seed that replays it: see docs/reliability.md. RETAKE_SEEDS, RETAKE_CYCLES and
RETAKE_FAULTS=all choose how often.",
        run: suite::torture,
    },
    Verb {
        name: "fuzz-api",
        takes: "[N]",
        about: "Ask a real server what its OpenAPI document allows and what it does not, and check each answer",
        more: "\
Installs schemathesis with pip, starts the binary on a new data directory, and sends it some thousand requests, in
sequences where one answer leads to the next. Fails on an answer that is a server error, or that the document does not
describe. Left out: streams, which have no end; tokens; the upload, which it cannot make; and notifications, which would
be sent to whatever address it thinks up.

  N   requests for each operation and phase (30)",
        run: api::fuzz_api,
    },
    Verb {
        name: "advisories",
        takes: "",
        about: "Look the dependencies up in RustSec's database of advisories",
        more: "Not a part of `ci`: the database has to be fetched, which a machine that reaches registries only cannot do.",
        run: check::advisories,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("cause: {cause}");
            }
            if let Some(error) = error.downcast_ref::<retake_build::Error>() {
                error.causes.iter().for_each(|it| eprintln!("cause: {it}"));
                eprintln!("hint: {}", error.hint);
            }
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let asks_for_help = |it: &String| it == "--help" || it == "-h";
    let (verb, rest) = match args {
        [] => ("help", args),
        [verb, rest @ ..] => (verb.as_str(), rest),
    };
    let wanted = match verb {
        "help" | "--help" | "-h" => rest.first().map(String::as_str),
        // What stands behind `--` is meant for the tool that is called.
        verb if rest.iter().take_while(|it| *it != "--").any(asks_for_help) => Some(verb),
        verb => return (find(verb)?.run)(rest),
    };
    match wanted {
        Some(name) => {
            let Verb { name, takes, about, more, .. } = find(name)?;
            println!("{about}\n\nUsage: cargo xtask {name} {takes}\n\n{more}");
        }
        None => {
            println!("The project's own tools\n\nUsage: cargo xtask VERB\n");
            for Verb { name, takes, about, .. } in VERBS {
                println!("  {:<40} {about}", format!("{name} {takes}"));
            }
            println!("\n`cargo xtask help VERB` says more.");
        }
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Verb> {
    match VERBS.iter().find(|it| it.name == name) {
        Some(verb) => Ok(verb),
        None => {
            let names: Vec<_> = VERBS.iter().map(|it| it.name).collect();
            bail!("there is no verb `{name}`; there are {}", names.join(", "))
        }
    }
}

/// Takes the flags that a verb knows from its arguments, and refuses others.
fn flags<const N: usize>(args: &[String], known: [&str; N]) -> Result<[bool; N]> {
    let mut found = [false; N];
    for arg in args {
        match known.iter().position(|it| it == arg) {
            Some(at) => found[at] = true,
            None => bail!("`{arg}` means nothing here; `cargo xtask help` says what does"),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_refused() {
        let refused = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|it| (*it).to_owned()).collect();
            dispatch(&args).unwrap_err().to_string()
        };
        assert!(refused(&["dmeo"]).contains("there are demo, test"));
        assert!(refused(&["demo", "--twice"]).contains("`--twice`"));
    }
}
