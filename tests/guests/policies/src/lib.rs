//! Policies of every kind, and failures as they are asked for.

use std::hint::black_box;

use retake::prelude::*;

/// Fails with `code` until it has been attempted more than `times` times; then says which attempt it is.
fn fail_first(code: String, times: u32) -> Result<u32> {
    let attempt = context().attempt;
    if attempt <= times {
        return Err(Failure::new(code, format!("attempt {attempt} fails")));
    }
    Ok(attempt)
}

#[task(
    name = "ruled-task",
    retries = 1,
    delay = "10ms",
    rules(retry("http.429", retries = 3, delay = "20ms"), fail("http.404"), park("quota.*"))
)]
fn ruled_task(code: String, times: u32) -> Result<u32> {
    fail_first(code, times)
}

/// The rules are those of a task, beside one that succeeds.
#[flow(name = "asks")]
fn asks(code: String, times: u32) -> Result<u32> {
    let steady = steady::submit();
    let attempt = ruled_task(code, times)?;
    steady.outcome()?;
    Ok(attempt)
}

#[task(name = "steady")]
fn steady() {}

/// The rules are those of the flow.
#[flow(
    name = "ruled",
    retries = 1,
    delay = "10ms",
    rules(retry("http.429", retries = 3, delay = "20ms"), fail("http.404"), park("quota.*"))
)]
fn ruled(code: String, times: u32) -> Result<u32> {
    fail_first(code, times)
}

/// Looks at none of its calls, one of which fails.
#[flow(name = "looks-away")]
fn looks_away() {
    drop(steady::submit());
    drop(ruled_task::submit("http.404".to_owned(), 9));
}

#[task(name = "tomorrow", retries = 1, delay = "1d")]
fn tomorrow() -> Result<()> {
    Err(Failure::new("not.today", "fails"))
}

/// Does not look at a task that is due again long after its own time is over.
#[flow(name = "leaves", timeout = "30s")]
fn leaves() {
    drop(tomorrow::submit());
}

/// Computes for ever.
#[task(name = "dawdle")]
fn dawdle() {
    while black_box(true) {}
}

/// Waits for a task, and has no time for it.
#[flow(name = "impatient", timeout = "1s")]
fn impatient() -> Result<()> {
    dawdle()
}

/// Sleeps as languages do that look at their clock before they believe it.
#[flow(name = "wary", retries = 1, delay = "10ms")]
fn wary() -> Result<u32> {
    let (began, nap) = (std::time::Instant::now(), std::time::Duration::from_millis(1500));
    while began.elapsed() < nap {
        std::thread::sleep(nap - began.elapsed());
    }
    fail_first("not.yet".to_owned(), 1)
}

/// Is left to a person when its retry is used up.
#[flow(name = "parks", retries = 1, delay = "10ms", when_exhausted = "park")]
fn parks(times: u32) -> Result<u32> {
    fail_first("not.yet".to_owned(), times)
}

/// Waits for a child that is left to a person.
#[flow(name = "parent-of-parks")]
fn parent_of_parks(times: u32) -> Result<u32> {
    parks(times)
}

/// Waits up to twice as long as its delay.
#[flow(name = "jittered", retries = 5, delay = "100ms", jitter = 1.0)]
fn jittered() -> Result<()> {
    Err(Failure::new("not.ever", "fails"))
}

/// Has many retries, and little time for them.
#[flow(name = "gives-up", retries = 100, delay = "100ms", give_up_after = "500ms")]
fn gives_up() -> Result<()> {
    Err(Failure::new("not.ever", "fails"))
}

/// Fails, and is due again so soon that a cancel may come at that instant.
#[task(name = "flickers", retries = 50, delay = "1ms")]
fn flickers(number: u32) -> Result<()> {
    Err(Failure::new("flickers", format!("call {number} fails")))
}

/// Cancels calls that are just about to go on, `n` times; returns how many had been cancelled.
#[flow(name = "cancels", cpu = "1m")]
fn cancels(n: u32) -> u32 {
    let mut cancelled = 0;
    for number in 0..n {
        let call = flickers::submit(number);
        // It begins when the flow looks.
        let _ = call.is_done();
        (0..u64::from(number % 97) * 40_000).fold(0, |sum, it| black_box(sum ^ it));
        call.cancel();
        cancelled += u32::from(call.outcome().is_err_and(|failure| failure.code() == "host.cancelled"));
    }
    cancelled
}

retake::component!(
    name: "policies",
    flows: [impatient, leaves, wary, asks, cancels, gives_up, jittered, looks_away, parent_of_parks, parks, ruled],
    tasks: [dawdle, tomorrow, flickers, ruled_task, steady],
);
