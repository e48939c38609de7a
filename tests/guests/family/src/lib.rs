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

retake::component!(name: "family", flows: [family, middle, failing, sleeper, above, half], tasks: [doze, shout]);
