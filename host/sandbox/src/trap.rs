//! From how a guest stopped to a failure that people can read.

use std::fmt;

use retake_core::component::AttemptLimits;
use retake_core::failure::{Failure, code};
use retake_core::value::Json;
use wasmtime::{Trap, WasmBacktrace};

use crate::attempt::State;

/// A host function ends the attempt.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Processor time is used up.
    Cpu,
    /// For this reason.
    Failed(Failure),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("processor time is used up"),
            Self::Failed(failure) => f.write_str(&failure.message),
        }
    }
}

impl std::error::Error for Stop {}

/// Says in the words of semantics.md why a guest stopped.
///
/// A memory limit shows up as an abort of the guest, so the limiter is asked first; a Rust guest whose stack overflows
/// reads below its memory, so that is a trap like any other.
pub(crate) fn failure(error: &wasmtime::Error, limits: &AttemptLimits, state: &State, last_words: &str) -> Failure {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Cpu => Failure::new(
                code::CPU,
                format!(
                    "used more than {:?} of processor time, which its declaration may raise to {} s",
                    limits.cpu_time,
                    retake_core::limits::CPU_MAX.as_secs()
                ),
            ),
            Stop::Failed(failure) => failure.clone(),
        };
    }
    let mut failure = if let Some(wanted) = state.limiter.denied {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let limit = mib(limits.memory_bytes);
        Failure::new(code::MEMORY, format!("wanted {} MiB, limit {limit} MiB", mib(wanted as u64)))
    } else if error.chain().any(|it| it.to_string().starts_with("too much data is being copied")) {
        Failure::new(code::OUTPUT, "handed over more than 4 MiB in one call; a result has at most 1 MiB")
    } else if error.root_cause().to_string().contains("utf-8") {
        Failure::new(code::RESULT, "handed over text that is not UTF-8")
    } else {
        unless_for_a_socket(Failure::new(code::TRAP, words(error, last_words)), state.wanted_socket)
    };
    let details = details(error, last_words);
    failure.details = failure.details.or(details);
    failure
}

/// What compilers' libraries say when a socket was refused. A guest that asked for one and then failed over something
/// else failed over that.
const REFUSED: [&str; 6] =
    ["permission denied", "access denied", "accessdenied", "access-denied", "not permitted", "eacces"];

/// Returns why an attempt failed, which is the network where it was refused a socket.
pub(crate) fn unless_for_a_socket(failure: Failure, wanted_socket: bool) -> Failure {
    let (code, said) = (failure.code.to_ascii_lowercase(), failure.message.to_ascii_lowercase());
    let is_of_a_system_call = code == code::TRAP
        || ["io", "oserror", "permissionerror", "connection", "urlerror", "net."].iter().any(|it| code.contains(it));
    match wanted_socket && is_of_a_system_call && REFUSED.iter().any(|it| said.contains(it)) {
        true => Failure { details: failure.details, ..Failure::no_network(None) },
        false => failure,
    }
}

fn words(error: &wasmtime::Error, last_words: &str) -> String {
    // WASI says of a status only whether it is 0: an SDK that knows more says it on stderr.
    if let Some(said) = last_words.lines().rev().find(|it| it.starts_with("the program ended itself with status ")) {
        return said.trim_end().to_owned();
    }
    let exit = error.downcast_ref::<wasmtime_wasi::I32Exit>().map(|it| it.0);
    // 2 and 134 are how Go and C end a program that gave up by itself, after they said why.
    let gave_up = exit.is_none_or(|it| it == 2 || it == 134);
    if let Some(reason) = reason(last_words).filter(|_| gave_up) {
        return reason;
    }
    if let Some(status) = exit {
        return format!("the program ended itself with status {status}");
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => "the guest aborted (unreachable)".into(),
        Some(Trap::StackOverflow) => "the guest's stack overflowed".into(),
        Some(Trap::MemoryOutOfBounds) => "the guest reached out of its memory, as when its stack overflows".into(),
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    }
}

/// Returns why a guest gave up, as the runtime of its language says it on stderr before it aborts.
fn reason(last_words: &str) -> Option<String> {
    if let Some(panic) = last_words.rfind("panicked at") {
        let panic = &last_words[panic..];
        // What Rust adds is for whoever can set its environment, which nobody can here.
        let panic = panic.split_once("\nnote: run with").map_or(panic, |(panic, _)| panic);
        return Some(panic.trim_end().replacen(":\n", ": ", 1));
    }
    // At the start of a line: Go's two words, and C's. Of several the last, because a panic may be of a panic.
    let begins = |it: &&str| {
        ["panic: ", "fatal error: ", "Assertion failed: ", "runtime error: "].iter().any(|begin| it.starts_with(begin))
    };
    last_words.lines().rev().find(begins).map(|it| it.trim_end().to_owned())
}

/// The backtrace and the end of stderr.
fn details(error: &wasmtime::Error, last_words: &str) -> Option<Json> {
    let backtrace: Vec<String> = error
        .downcast_ref::<WasmBacktrace>()
        .map(|it| it.frames())
        .unwrap_or_default()
        .iter()
        .map(|frame| match frame.func_name() {
            Some(name) => demangled(name),
            None => format!("function {}", frame.func_index()),
        })
        .collect();
    let mut details = serde_json::Map::new();
    if !backtrace.is_empty() {
        details.insert("backtrace".into(), backtrace.into());
    }
    if !last_words.is_empty() {
        details.insert("stderr".into(), last_words.into());
    }
    (!details.is_empty()).then(|| Json::of(&details))
}

/// Shortens a mangled Rust name to its path; leaves others as they are.
fn demangled(name: &str) -> String {
    let demangled = rustc_demangle::demangle(name);
    let text = format!("{demangled:#}");
    text.chars().take(200).collect()
}
