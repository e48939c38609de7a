//! From how a guest stopped to a failure that people can read.

use std::fmt;

use retake_core::component::AttemptLimits;
use retake_core::failure::{Failure, code};
use retake_core::value::Json;
use wasmtime::{Trap, WasmBacktrace};

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
pub(crate) fn failure(
    error: &wasmtime::Error,
    limits: &AttemptLimits,
    denied: Option<usize>,
    last_words: &str,
) -> Failure {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Cpu => Failure::new(
                code::CPU,
                format!(
                    "used more than {:?} of processor time; raise it with `cpu` (Python `cpu_seconds`, Go `CPU`, C \
                     `cpu_ms`), {} s at most",
                    limits.cpu_time,
                    retake_core::limits::CPU_MAX.as_secs()
                ),
            ),
            Stop::Failed(failure) => failure.clone(),
        };
    }
    let mut failure = if let Some(wanted) = denied {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let limit = mib(limits.memory_bytes);
        Failure::new(code::MEMORY, format!("wanted {} MiB, limit {limit} MiB", mib(wanted as u64)))
    } else if error.chain().any(|it| it.to_string().starts_with("too much data is being copied")) {
        Failure::new(code::OUTPUT, "handed over more than 4 MiB in one call; a result has at most 1 MiB")
    } else {
        Failure::new(code::TRAP, words(error, last_words))
    };
    failure.details = details(error, last_words);
    failure
}

fn words(error: &wasmtime::Error, last_words: &str) -> String {
    if let Some(panic) = last_words.rfind("panicked at") {
        let panic = &last_words[panic..];
        // What Rust adds is for whoever can set its environment, which nobody can here.
        let panic = panic.split_once("\nnote: run with").map_or(panic, |(panic, _)| panic);
        return panic.trim_end().replacen(":\n", ": ", 1);
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return format!("the guest ended its program with status {} instead of returning", exit.0);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => "the guest aborted (unreachable)".into(),
        Some(Trap::StackOverflow) => "the guest's stack overflowed".into(),
        Some(Trap::MemoryOutOfBounds) => "the guest reached out of its memory, as when its stack overflows".into(),
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    }
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
