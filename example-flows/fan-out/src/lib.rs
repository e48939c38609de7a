//! Tasks side by side.
//!
//! `map` asks for all of its tasks before it waits for the first, and `wait_any` waits for
//! whichever is done first. Neither needs `async`: it is the host that runs them at once.

use std::time::Duration;

use retake::prelude::*;

/// Squares a number.
#[task]
fn square(n: u64) -> u64 {
    n * n
}

/// Takes its time, then says who it is.
#[task]
fn racer(name: String, milliseconds: u64) -> String {
    // In a task this is an ordinary wait.
    retake::sleep(Duration::from_millis(milliseconds));
    name
}

/// What came of it.
#[data]
struct Report {
    /// How many numbers were squared.
    count: usize,
    /// The sum of their squares.
    sum: u64,
    /// Which racer was done first.
    winner: String,
}

/// Squares the numbers from 1 to `n` side by side, and holds a race of two.
#[flow(name = "fan-out")]
fn fan_out(
    #[default(10)] n: u64,
    /// How long the slow racer takes; the fast one takes a tenth of it.
    #[default(500)]
    slow_ms: u64,
) -> Result<Report> {
    // Both run from here on, and so do the squares.
    let tortoise = racer::named("tortoise").submit("tortoise".to_owned(), slow_ms);
    let hare = racer::named("hare").submit("hare".to_owned(), slow_ms / 10);
    let squares = square::map(1..=n)?;

    let racers = [&tortoise, &hare];
    let winner = racers[retake::wait_any(&racers)].outcome()?;
    tortoise.outcome()?; // What nobody waits for would still be run to its end.
    Ok(Report { count: squares.len(), sum: squares.iter().sum(), winner })
}

retake::component!(name: "fan-out", flows: [fan_out], tasks: [square, racer]);
