//! A flow that fails, and is retried on its own.
//!
//! The policy stands in the attribute: five more attempts, five minutes apart. When they are used up
//! the run has failed, and a person may still retry it.
#![allow(clippy::print_stdout, reason = "what a flow prints becomes its log")]

use std::sync::atomic::{AtomicU32, Ordering};

use retake::prelude::*;

/// Counts how often the flow was entered in this sandbox. Each attempt gets a fresh one, so nobody
/// ever sees another number than 1.
static STARTS: AtomicU32 = AtomicU32::new(0);

/// What the flow returns when it succeeds.
#[data]
struct Report {
    /// The attempt that made it, counted from 1.
    attempt: u32,
    /// How often the flow was entered in its sandbox: 1.
    starts: u32,
}

/// Says hello and fails, unless it is lucky.
#[flow(name = "retry-it", retries = 5, delay = "5m", log_prints)]
fn retry_it(
    /// Fails this many attempts and then succeeds. Left out, every attempt is a matter of luck.
    fail_times: Option<u32>,
) -> Result<Report> {
    let attempt = context().attempt;
    let starts = STARTS.fetch_add(1, Ordering::Relaxed) + 1;
    println!("Hi from Retake! attempt {attempt}, start {starts} of this sandbox");

    let fails = match fail_times {
        Some(times) => attempt <= times,
        // The host rolls the dice anew for each attempt.
        None => retake::random().is_multiple_of(2),
    };
    if fails {
        return Err(Failure::new("luck.bad", format!("attempt {attempt} failed")));
    }
    Ok(Report { attempt, starts })
}

retake::component!(name: "retry-it", flows: [retry_it]);
