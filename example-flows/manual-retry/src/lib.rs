//! A flow that fails, and is retried by a person.
//!
//! Without `retries` the first failure ends the run. `retake retry RUN`, or the button, starts
//! another attempt, in a fresh sandbox, until somebody gives up or it succeeds.
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
#[flow(name = "Manual retry", log_prints)]
fn manual_retry(
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

retake::component!(name: "manual-retry", flows: [manual_retry]);
