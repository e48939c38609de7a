//! As little as a flow can do, for measuring what the host adds.
//!
//! Nothing is printed and nothing is asked for, so that what is measured is the host: a sandbox
//! for each attempt, a record for each result.

use retake::prelude::*;

/// What a step answers: about a hundred bytes of JSON.
#[data]
struct Step {
    number: u32,
    square: u64,
    note: String,
}

/// Squares a number.
#[task]
fn step(number: u32) -> Step {
    let note = "a note of a common length, so that the answer is about a hundred bytes".to_owned();
    Step { number, square: u64::from(number).pow(2), note }
}

/// Runs a task `n` times, one after the other.
#[flow(name = "ten-tasks")]
fn ten_tasks(
    /// How many.
    #[default(10)]
    n: u32,
) -> Result<u64> {
    let mut sum = 0;
    for number in 0..n {
        sum += step(number)?.square;
    }
    Ok(sum)
}

/// Does nothing.
#[flow]
fn noop() {}

/// Sleeps for a day, and so holds nothing.
#[flow]
fn nap() {
    retake::sleep(std::time::Duration::from_secs(24 * 3600));
}

retake::component!(name: "ten-tasks", flows: [ten_tasks, noop, nap], tasks: [step]);
