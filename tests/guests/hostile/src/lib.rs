//! Flows and tasks that misbehave, each in its own way.
//!
//! Most misbehaviours are a flow and a task of the same name. The flow takes `where`: `"flow"`
//! misbehaves in the flow's own body, `"task"` calls the task, which then does.
#![allow(clippy::print_stdout, reason = "printing is one of the ways")]
#![allow(clippy::disallowed_methods, reason = "asking what it should not is the point")]

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use retake::macro_support::{Declaration, Flow, Kind, Runnable, Task};
use retake::prelude::*;
use retake::serde_json::{Value, json};
use retake::{Options, submit_flow, submit_task};

const MIB: usize = 1 << 20;

/// Where to misbehave.
#[data]
#[serde(rename_all = "kebab-case")]
enum Where {
    Flow,
    Task,
}

/// Writes the flow and the task around a function.
macro_rules! misbehaviour {
    ($(#[$doc:meta])* $name:literal, $flow:ident, $task:ident, $body:path, $default:literal) => {
        $(#[$doc])*
        #[task(name = $name, log_prints)]
        fn $task(n: u64) -> Result<Value> {
            $body(n)
        }

        $(#[$doc])*
        #[flow(name = $name, log_prints)]
        fn $flow(#[default(Where::Flow)] r#where: Where, #[default($default)] n: u64) -> Result<Value> {
            match r#where {
                Where::Flow => $body(n),
                Where::Task => $task(n),
            }
        }
    };
}

misbehaviour!(
    /// Loops for ever.
    "spin", spin, spin_task, ways::spin, 0
);
misbehaviour!(
    /// Takes `n` MiB of memory, and writes to it.
    "eat-memory", eat_memory, eat_memory_task, ways::eat_memory, 65_536
);
misbehaviour!(
    /// Calls itself until the stack is used up.
    "overflow-stack", overflow_stack, overflow_stack_task, ways::overflow_stack, 1_000_000_000
);
misbehaviour!(
    /// Panics with a message.
    "panic", panic, panic_task, ways::panic, 0
);
misbehaviour!(
    /// Ends the program with the exit code `n`.
    "exit", exit, exit_task, ways::exit, 0
);
misbehaviour!(
    /// Returns a text of `n` MiB.
    "huge-result", huge_result, huge_result_task, ways::huge_result, 100
);
misbehaviour!(
    /// Prints `n` MiB, then succeeds.
    "print-a-lot", print_a_lot, print_a_lot_task, ways::print_a_lot, 100
);
misbehaviour!(
    /// Prints one line of `n` MiB, then succeeds.
    "print-a-long-line", print_a_long_line, print_a_long_line_task, ways::print_a_long_line, 100
);
misbehaviour!(
    /// Prints control characters, terminal escapes and bytes that are not UTF-8.
    "print-garbage", print_garbage, print_garbage_task, ways::print_garbage, 0
);
misbehaviour!(
    /// Writes `n` log entries, then succeeds.
    "log-a-lot", log_a_lot, log_a_lot_task, ways::log_a_lot, 1_000_000
);
misbehaviour!(
    /// Sleeps for `n` milliseconds with the sleep of the language.
    "sleep", sleep, sleep_task, ways::sleep, 60_000
);
misbehaviour!(
    /// Looks around: environment, arguments, files. Returns what it saw.
    "probe", probe, probe_task, ways::probe, 0
);
misbehaviour!(
    /// Reads the clocks and rolls the dice. Returns what it got.
    "clocks-and-dice", clocks_and_dice, clocks_and_dice_task, ways::clocks_and_dice, 0
);
misbehaviour!(
    /// Counts how often this sandbox was used before. Returns `starts`, which ought to be 1.
    "starts", starts, starts_task, ways::starts, 0
);
misbehaviour!(
    /// Fails with a code, a message and details of `n` KiB each.
    "huge-failure", huge_failure, huge_failure_task, ways::huge_failure, 10_240
);
misbehaviour!(
    /// Fails with a code that belongs to the host.
    "forged-code", forged_code, forged_code_task, ways::forged_code, 0
);
misbehaviour!(
    /// Calls a task; from inside of a task that is not allowed. Returns the code of the failure.
    "call-a-task", call_a_task, call_a_task_task, ways::call_a_task, 0
);
misbehaviour!(
    /// Asks for a secret and a variable that nobody granted. Returns the codes of the failures.
    "ask-for-secrets", ask_for_secrets, ask_for_secrets_task, ways::ask_for_secrets, 0
);

/// Fills `mib` MiB of memory and much of the stack with a pattern that is not written anywhere else.
#[task(name = "leave-canaries")]
fn leave_canaries(mib: u64, pattern: u64) -> Result<u64> {
    fn deep(pattern: u64, depth: u32) -> u64 {
        let mut here = [pattern; 64];
        black_box(&mut here);
        if depth == 0 { here[0] } else { deep(here[1], depth - 1) ^ here[2] ^ pattern }
    }
    let mut all = vec![pattern; mib as usize * MIB / 8];
    black_box(&mut all);
    Ok(deep(pattern, 500) ^ all[0])
}

/// Takes `mib` MiB of memory that was never written here, and counts where two words in a row are the pattern.
#[task(name = "find-canaries")]
fn find_canaries(mib: u64, pattern: u64) -> Result<u64> {
    memory::grow(mib as usize);
    let mut last = 0;
    Ok(memory::words().filter(|word| std::mem::replace(&mut last, *word) == pattern && *word == pattern).count() as u64)
}

/// Leaves canaries in `n` sandboxes and looks for them in `n` others, four at once. Returns how many were found, and
/// how many are found where they were left: the check of the check.
#[flow(name = "canaries")]
fn canaries(#[default(50)] n: u64) -> Result<Value> {
    let mut found = 0;
    for round in 0..n.div_ceil(4) {
        let pattern = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2 * round + 1) >> 12;
        let left: Vec<_> = (0..4).map(|_| leave_canaries::submit(8, pattern)).collect();
        left.iter().try_for_each(|it| it.outcome().map(drop))?;
        let finders: Vec<_> = (0..4).map(|_| find_canaries::submit(16, pattern)).collect();
        for finder in finders {
            found += finder.outcome()?;
        }
    }
    let mut own = vec![n; MIB / 8];
    black_box(&mut own);
    let mut last = 0;
    let seen = memory::words().filter(|word| std::mem::replace(&mut last, *word) == n && *word == n).count();
    Ok(json!({ "found": found, "own": seen }))
}

/// The whole memory of this sandbox, also where nothing was written.
mod memory {
    #[cfg(target_arch = "wasm32")]
    pub(super) fn grow(mib: usize) {
        core::arch::wasm32::memory_grow(0, mib << 4);
    }

    #[cfg(target_arch = "wasm32")]
    #[allow(unsafe_code, reason = "looking where one should not is the point")]
    pub(super) fn words() -> impl Iterator<Item = u64> {
        let words = core::arch::wasm32::memory_size(0) << 13;
        // SAFETY: all of a memory can be read, and the words are within it.
        (1..words).map(|at| unsafe { ((at * 8) as *const u64).read_volatile() })
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn grow(_: usize) {}

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn words() -> impl Iterator<Item = u64> {
        std::iter::empty()
    }
}

mod ways {
    use super::*;

    pub(super) fn spin(mut n: u64) -> Result<Value> {
        loop {
            n = black_box(n.wrapping_add(1));
        }
    }

    pub(super) fn eat_memory(n: u64) -> Result<Value> {
        let mut eaten = Vec::new();
        for _ in 0..n {
            eaten.push(black_box(vec![1_u8; MIB]));
        }
        Ok(json!({ "mib": eaten.len() }))
    }

    pub(super) fn overflow_stack(n: u64) -> Result<Value> {
        fn deeper(n: u64) -> u64 {
            let frame = black_box([n; 16]);
            if n == 0 { 0 } else { deeper(n - 1) + black_box(frame)[0] }
        }
        Ok(json!({ "sum": deeper(n) }))
    }

    pub(super) fn panic(_: u64) -> Result<Value> {
        panic!("the cat stepped on the keyboard")
    }

    pub(super) fn exit(n: u64) -> Result<Value> {
        std::process::exit(n as i32)
    }

    pub(super) fn huge_result(n: u64) -> Result<Value> {
        Ok(Value::String("x".repeat(n as usize * MIB)))
    }

    pub(super) fn print_a_lot(n: u64) -> Result<Value> {
        let line = "x".repeat(1023);
        for _ in 0..n * 1024 {
            println!("{line}");
        }
        Ok(json!({ "mib": n }))
    }

    pub(super) fn print_a_long_line(n: u64) -> Result<Value> {
        let part = "x".repeat(MIB);
        for _ in 0..n {
            print!("{part}");
        }
        println!();
        Ok(json!({ "mib": n }))
    }

    pub(super) fn print_garbage(_: u64) -> Result<Value> {
        use std::io::Write;
        println!("\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} a\0b \u{202e}backwards\r\nafter");
        std::io::stdout().write_all(b"\xff\xfe not UTF-8 \xc3\n")?;
        println!("still here");
        Ok(Value::Null)
    }

    pub(super) fn log_a_lot(n: u64) -> Result<Value> {
        for number in 0..n {
            log::info!(number = number, "one of many");
        }
        Ok(json!({ "entries": n }))
    }

    pub(super) fn sleep(n: u64) -> Result<Value> {
        println!("asleep");
        std::thread::sleep(Duration::from_millis(n));
        println!("awake");
        Ok(json!({ "milliseconds": n }))
    }

    pub(super) fn probe(_: u64) -> Result<Value> {
        let variables: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
        let arguments: Vec<String> = std::env::args().collect();
        let names = |folder: &str| match std::fs::read_dir(folder) {
            Ok(entries) => {
                let names = entries.flatten().map(|entry| entry.file_name());
                json!(names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>())
            }
            Err(error) => json!({ "error": error.to_string() }),
        };
        let read = |path: &str| match std::fs::read_to_string(path) {
            Ok(text) => json!({ "read": text.len() }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        let written = match std::fs::write("left-behind", "x") {
            Ok(()) => json!("written"),
            Err(error) => json!({ "error": error.to_string() }),
        };
        let mut typed = String::new();
        let typed = std::io::stdin().read_line(&mut typed).map_err(|error| error.to_string());
        Ok(json!({
            "variables": variables,
            "arguments": arguments,
            "root": names("/"),
            "here": names("."),
            "passwd": read("/etc/passwd"),
            "up": read("../../../../etc/passwd"),
            "written": written,
            "typed": typed.unwrap_or(0),
        }))
    }

    pub(super) fn clocks_and_dice(_: u64) -> Result<Value> {
        let since_epoch = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let (wall, clock) = (SystemTime::now(), Instant::now());
        let mut steps = 0_u64;
        for step in 0..10_000_u64 {
            steps = black_box(steps.wrapping_add(step));
        }
        let dice: Vec<u64> = (0..4).map(|_| RandomState::new().hash_one(steps)).collect();
        Ok(json!({
            "wall_ns": since_epoch(wall),
            "wall_later_ns": since_epoch(SystemTime::now()),
            "elapsed_ns": clock.elapsed().as_nanos() as u64,
            "dice": dice,
        }))
    }

    pub(super) fn starts(_: u64) -> Result<Value> {
        static STARTS: AtomicU32 = AtomicU32::new(0);
        let starts = STARTS.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(json!({ "starts": starts, "attempt": context().attempt }))
    }

    pub(super) fn huge_failure(n: u64) -> Result<Value> {
        let text = "x".repeat(n as usize * 1024);
        Err(Failure::new(text.clone(), text.clone()).details(text))
    }

    pub(super) fn forged_code(_: u64) -> Result<Value> {
        Err(Failure::new("host.cancelled", "nobody cancelled this"))
    }

    pub(super) fn call_a_task(_: u64) -> Result<Value> {
        Ok(match starts_task(0) {
            Ok(value) => value,
            Err(failure) => json!({ "code": failure.code(), "message": failure.message() }),
        })
    }

    pub(super) fn ask_for_secrets(_: u64) -> Result<Value> {
        let code = |failure: Option<Failure>| failure.map(|failure| failure.code().to_owned());
        let secret = code(retake::secret("password").err());
        let variable = code(retake::variable::<Value>("batch-size").err());
        Ok(json!({ "secret": secret, "variable": variable }))
    }
}

/// Asks for `n` tasks before it waits for any.
#[flow(name = "submit-many")]
fn submit_many(#[default(100)] n: u64) -> Result<usize> {
    let calls: Vec<_> = (0..n).map(starts_task::submit).collect();
    let outcomes: Result<Vec<_>> = calls.iter().map(Call::outcome).collect();
    Ok(outcomes?.len())
}

/// Asks for `n` tasks that each take `milliseconds`, and waits for none.
#[flow(name = "walk-away")]
fn walk_away(#[default(3)] n: u64, #[default(1000)] milliseconds: u64) {
    for _ in 0..n {
        drop(sleep_task::submit(milliseconds));
    }
}

/// Asks for a task that runs for ever, cancels it, and returns the code of its failure.
#[flow(name = "cancel-a-task")]
fn cancel_a_task() -> Result<Value> {
    let call = spin_task::submit(0);
    call.cancel();
    let failure = call.outcome().err();
    Ok(json!({ "code": failure.map(|failure| failure.code().to_owned()) }))
}

/// Fails in its first attempt while a child of it sleeps; waits for the child in those after it.
#[flow(name = "fail-beside-a-child")]
fn fail_beside_a_child() -> Result<Value> {
    let child = sleep::submit(Where::Flow, 12_000);
    retake::sleep(Duration::from_secs(1));
    match context().attempt {
        1 => Err(Failure::new("first", "the first attempt fails")),
        _ => child.outcome(),
    }
}

/// Sleeps longer than it may take, and holds no sandbox while it does.
#[flow(name = "sleep-too-long", timeout = "11s")]
fn sleep_too_long() {
    retake::sleep(Duration::from_secs(60));
}

/// Cancels its child, and returns the code of its failure.
#[flow(name = "cancel-a-child")]
fn cancel_a_child() -> Result<Value> {
    let child = sleep::submit(Where::Flow, 60_000);
    retake::sleep(Duration::from_secs(1));
    child.cancel();
    Ok(json!({ "code": child.outcome().err().map(|failure| failure.code().to_owned()) }))
}

/// Calls a task whose name is very long; the host ends the attempt for it.
#[flow(name = "long-name")]
fn long_name() -> Result<Value> {
    submit_task::<Value>(&"x".repeat(MIB), &json!({}), Options::default()).outcome()
}

/// Asks for `n` results of a MiB each, and returns the code of the first that failed, and how many did not.
#[flow(name = "hoard")]
fn hoard(#[default(110)] n: u64) -> Result<Value> {
    let calls: Vec<_> = (0..n).map(fill_task::submit).collect();
    let outcomes: Vec<_> = calls.iter().map(|call| call.outcome().map(drop)).collect();
    let code = outcomes.iter().find_map(|it| it.as_ref().err()).map(|it| it.code().to_owned());
    Ok(json!({ "code": code, "kept": outcomes.iter().filter(|it| it.is_ok()).count() }))
}

/// Returns almost a MiB.
#[task(name = "fill")]
fn fill_task(n: u64) -> String {
    format!("{n}{}", "x".repeat(MIB - 100))
}

/// Calls a task that this component does not have. Returns the code of the failure.
#[flow(name = "unknown-task")]
fn unknown_task() -> Result<Value> {
    let call = submit_task::<Value>("no-such-task", &json!({}), Options::default());
    Ok(json!({ "code": call.outcome().err().map(|failure| failure.code().to_owned()) }))
}

/// Calls a flow that nobody has. Returns the code of the failure.
#[flow(name = "unknown-flow")]
fn unknown_flow() -> Result<Value> {
    let call = submit_flow::<Value>("no-such-flow/prod", &json!({}), Options::default());
    Ok(json!({ "code": call.outcome().err().map(|failure| failure.code().to_owned()) }))
}

/// Calls a task with input that does not fit its schema. Returns the code of the failure.
#[flow(name = "wrong-input")]
fn wrong_input() -> Result<Value> {
    let input = json!({ "n": "not a number", "m": 1 });
    let call = submit_task::<Value>("starts", &input, Options::default());
    Ok(json!({ "code": call.outcome().err().map(|failure| failure.code().to_owned()) }))
}

/// Calls a task with input of `n` MiB. Returns the code of the failure.
#[flow(name = "huge-input")]
fn huge_input(#[default(100)] n: u64) -> Result<Value> {
    let input = json!({ "n": "x".repeat(n as usize * MIB) });
    let call = submit_task::<Value>("starts", &input, Options::default());
    Ok(json!({ "code": call.outcome().err().map(|failure| failure.code().to_owned()) }))
}

/// Calls itself as a child flow, without end.
#[flow(name = "call-itself")]
fn call_itself(#[default] depth: u64) -> Result<u64> {
    call_itself(depth + 1)
}

/// Waits for none of no calls, which the host must not wait for.
#[flow(name = "wait-for-nothing")]
fn wait_for_nothing() -> u32 {
    // The SDK refuses this, so it is asked of the host directly.
    retake::bindings::retake::flow::tasks::wait_any(&[])
}

/// Writes a flow and a task that return a text which the SDK would not.
macro_rules! returns_text {
    ($flow:ident, $task:ident, $name:literal, $description:literal, $text:expr) => {
        #[allow(non_camel_case_types, reason = "named like a flow that a function makes")]
        struct $flow {}
        impl Flow for $flow {}
        impl Runnable for $flow {
            const KIND: Kind = Kind::Flow;
            const NAME: &'static str = $name;
            fn declare() -> Declaration {
                let mut declaration = Declaration::new($name, $description);
                declaration.defaulted::<Where>("where", "", &Where::Flow);
                declaration
            }
            fn run(input: &str) -> Result<String> {
                if !input.contains("\"task\"") {
                    return Ok($text);
                }
                let call = submit_task::<Value>($name, &json!({}), Options::default());
                Ok(call.outcome()?.to_string())
            }
        }

        #[allow(non_camel_case_types, reason = "named like a task that a function makes")]
        struct $task {}
        impl Task for $task {}
        impl Runnable for $task {
            const KIND: Kind = Kind::Task;
            const NAME: &'static str = $name;
            fn declare() -> Declaration {
                Declaration::new($name, $description)
            }
            fn run(_: &str) -> Result<String> {
                Ok($text)
            }
        }
    };
}

returns_text!(
    nested_result,
    nested_result_task,
    "nested-result",
    "Returns an array of arrays, 10,000 deep.",
    ["[".repeat(10_000), "]".repeat(10_000)].concat()
);
returns_text!(
    invalid_result,
    invalid_result_task,
    "invalid-result",
    "Returns a text that is not JSON.",
    "{\"half\": ".to_owned()
);

retake::component!(
    flows: [
        spin, eat_memory, overflow_stack, panic, exit, huge_result, print_a_lot, print_a_long_line,
        print_garbage, log_a_lot, sleep, probe, clocks_and_dice, starts, huge_failure, forged_code,
        call_a_task, ask_for_secrets, submit_many, walk_away, cancel_a_task, unknown_task,
        unknown_flow, wrong_input, huge_input, call_itself, wait_for_nothing, nested_result,
        invalid_result, canaries, fail_beside_a_child, cancel_a_child, long_name, hoard, sleep_too_long,
    ],
    tasks: [
        spin_task, eat_memory_task, overflow_stack_task, panic_task, exit_task, huge_result_task,
        print_a_lot_task, print_a_long_line_task, print_garbage_task, log_a_lot_task, sleep_task,
        probe_task, clocks_and_dice_task, starts_task, huge_failure_task, forged_code_task,
        call_a_task_task, ask_for_secrets_task, nested_result_task, invalid_result_task, leave_canaries,
        find_canaries, fill_task,
    ],
);
