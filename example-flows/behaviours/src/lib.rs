//! What every language does alike, as a test of the host looks at it: `tests/tests/languages.rs`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a flow prints becomes its log")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use retake::prelude::*;
use retake::serde_json::{Value, json};

mod stored;

use stored::{
    count_entries, count_items, cycle, defaults, exit, half, infinite, nan, nan_inside, network, none, none_mapped,
    outer, reason, same, store, store_child, unstorable,
};

/// What there is to see.
#[data]
#[serde(rename_all = "kebab-case")]
enum What {
    Success,
    Failure,
    Uncaught,
    Permanent,
    RetryAfter,
    Map,
    WaitAny,
    Child,
    Kept,
    Print,
    Fresh,
}

#[task]
fn double(n: i64) -> i64 {
    2 * n
}

#[task]
fn nap(ms: u64) -> u64 {
    retake::sleep(Duration::from_millis(ms));
    ms
}

#[task(retries = 3)]
fn permanent() -> Result<()> {
    Err(Failure::permanent("demo.final", "it stays so"))
}

#[task(retries = 1, delay = "1h")]
fn later() -> Result<u32> {
    match context().attempt {
        1 => Err(Failure::new("demo.later", "").retry_after(Duration::from_millis(50))),
        attempt => Ok(attempt),
    }
}

#[task]
fn shaky(n: i64) -> Result<i64> {
    match context().attempt {
        1 => Err(Failure::new("demo.shaky", "the first attempt fails")),
        _ => Ok(n),
    }
}

#[task(retries = 2)]
fn count() -> Result<u32> {
    static COUNTED: AtomicU32 = AtomicU32::new(0);
    let counted = COUNTED.fetch_add(1, Ordering::Relaxed) + 1;
    if context().attempt < 3 {
        return Err(Failure::new("demo.again", "not yet"));
    }
    Ok(counted)
}

#[task(name = "delay-fixed", retries = 3, delay = "5m")]
fn delay_fixed() {}

#[task(name = "delay-listed", retries = 4, delay = ["1s", "10s", "1m"])]
fn delay_listed() {}

#[task(name = "delay-exponential", retries = 5, backoff = "10s")]
fn delay_exponential() {}

#[flow(name = "behave-child")]
fn behave_child(n: i64) -> i64 {
    n + 1
}

#[flow(log_prints)]
fn behave(what: What) -> Result<Value> {
    Ok(match what {
        What::Success => json!({"ok": true}),
        What::Failure => return Err(Failure::new("demo.broken", "it is broken")),
        What::Uncaught => panic!("oops"),
        What::Permanent => json!(permanent()?),
        What::RetryAfter => json!(later()?),
        What::Map => json!(double::map([1, 2, 3, 4])?),
        What::WaitAny => {
            let calls = [&nap::submit(400), &nap::submit(0)];
            json!(retake::wait_any(&calls))
        }
        What::Child => json!(behave_child(20)?),
        What::Kept => json!(shaky(double(21)?)?),
        What::Print => {
            println!("one line");
            eprintln!("another");
            Value::Null
        }
        What::Fresh => json!(count()?),
    })
}

retake::component!(
    flows: [behave, behave_child, store, store_child],
    tasks: [
        double, nap, permanent, later, shaky, count, delay_fixed, delay_listed, delay_exponential, nan, nan_inside, infinite,
        half, unstorable, cycle, same, none, none_mapped, count_items, count_entries, exit, reason, network, outer, defaults,
    ],
);
