//! A tree of runs that all wait for an hour, so that a test can do something to the whole of it.
#![allow(clippy::print_stdout, reason = "what is printed becomes the log")]

use std::time::Duration;

use retake::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Keeps its sandbox, until somebody stops it.
#[task(name = "doze", log_prints)]
fn doze() {
    println!("dozing");
    std::thread::sleep(HOUR);
}

/// Sleeps, and holds no sandbox meanwhile; or waits for a task that does.
#[flow(name = "sleeper")]
fn sleeper(awake: bool) -> Result<()> {
    if awake {
        return doze();
    }
    retake::sleep(HOUR);
    Ok(())
}

/// Waits for a child of its own.
#[flow(name = "middle")]
fn middle(awake: bool) -> Result<()> {
    sleeper(awake)
}

/// Fails, and waits for its next attempt.
#[flow(name = "failing", retries = 1, delay = "1h")]
fn failing() -> Result<()> {
    Err(Failure::new("not.yet", "the first attempt fails"))
}

/// Waits for both.
#[flow(name = "family")]
fn family(#[default] awake: bool) -> Result<()> {
    let all = [failing::submit(), middle::submit(awake)];
    for child in all {
        child.outcome()?;
    }
    Ok(())
}

/// Has done something.
#[task(name = "shout")]
fn shout() {}

/// Does something; then fails, and when it was retried completes, or sleeps before that.
#[flow(name = "half")]
fn half(asleep: bool) -> Result<()> {
    shout()?;
    if context().attempt == 1 {
        return Err(Failure::new("not.yet", "the first attempt fails"));
    }
    if asleep {
        retake::sleep(HOUR);
    }
    Ok(())
}

/// Waits for a child that does something.
#[flow(name = "above")]
fn above(#[default] asleep: bool) -> Result<()> {
    half(asleep)
}

/// Prints, and takes its time.
#[task(name = "step", tags = ["steps"], log_prints)]
fn step(number: u32, ms: u64) -> u32 {
    println!("step {number} begins");
    std::thread::sleep(Duration::from_millis(ms));
    number
}

/// Fails in its first attempt.
#[task(name = "refuse")]
fn refuse() -> Result<()> {
    match context().attempt {
        1 => Err(Failure::new("not.yet", "the first attempt fails")),
        _ => Ok(()),
    }
}

/// Three calls of one task side by side; or fails while they run.
#[flow(name = "crowd", log_prints)]
fn crowd(ms: u64, #[default] fails: bool) -> Result<u32> {
    let calls = [1, 2, 3].map(|number| step::submit(number, ms));
    if fails {
        // Longer than it takes until it is kept that they began.
        retake::sleep(Duration::from_millis(900));
        return Err(Failure::new("not.yet", "the body fails while its tasks run"));
    }
    let mut sum = 0;
    for call in calls {
        sum += call.outcome()?;
    }
    Ok(sum)
}

/// Two results that are kept, and a task that fails.
#[flow(name = "region")]
fn region(#[default] day: Option<String>) -> Result<Option<String>> {
    step(1, 0)?;
    step(2, 0)?;
    refuse()?;
    Ok(day)
}

/// Waits for a child of which two of three tasks succeed.
#[flow(name = "regions")]
fn regions() -> Result<Option<String>> {
    region(Some("2026-02-28".to_owned()))
}

retake::component!(
    name: "family",
    flows: [family, middle, failing, sleeper, above, half, crowd, region, regions],
    tasks: [doze, shout, step, refuse],
);
