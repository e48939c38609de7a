//! The host that the SDK has for tests counts retries and waits as the real one does.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::cell::RefCell;
use std::time::Duration;

use retake::testing::Host;
use retake::{Policy, Result};
use retake_core::failure::{Failure, RetryAdvice};
use retake_core::retry::{Action, Delay, FailedAttempt, RetryPolicy, Rule, Spent, Verdict, WhenExhausted};
use retake_core::time::Timestamp;
use serde_json::json;

const CODES: [&str; 6] = ["http.503", "http.404", "httpx", "sandbox.timeout", "sandbox.cpu", "input.odd"];
/// What an attempt takes.
const TOOK: Duration = Duration::from_millis(10);

thread_local! {
    static POLICY: RefCell<Option<Policy>> = const { RefCell::new(None) };
    static FAILURES: RefCell<Vec<retake::Failure>> = const { RefCell::new(Vec::new()) };
}

#[retake::task(timeout = "1h")]
fn unlucky() -> Result<()> {
    retake::sleep(TOOK);
    let attempt = retake::context().attempt as usize;
    FAILURES.with_borrow(|all| all.get(attempt - 1).cloned().map_or(Ok(()), Err))
}

#[retake::flow]
fn asks() -> Result<()> {
    unlucky::retry(POLICY.take().unwrap()).call()
}

retake::component!(flows: [asks], tasks: [unlucky]);

/// A policy, as the SDK and as the host have it.
fn policy(lots: &mut fastrand::Rng) -> (Policy, RetryPolicy) {
    let retries = lots.u32(0..6);
    let mut real = RetryPolicy { retries, ..RetryPolicy::default() };
    let mut own = Policy::retries(retries);
    let wait = |lots: &mut fastrand::Rng| Duration::from_millis(lots.u64(0..100_000));
    match lots.u8(0..3) {
        0 => {
            let wait = wait(lots);
            (own, real.delay) = (own.delay(wait), Delay::Fixed(wait));
        }
        1 => {
            let waits: Vec<Duration> = (0..lots.usize(1..4)).map(|_| wait(lots)).collect();
            real.delay = Delay::Listed(waits.iter().map(|it| it.as_millis() as u64).collect());
            own = own.delays(waits);
        }
        _ => {
            let (initial, factor) = (wait(lots), lots.u32(1..8));
            real.delay = Delay::Exponential { initial, factor_permille: factor * 1000 };
            own = own.backoff(initial, factor.into());
        }
    }
    if lots.bool() {
        let most = wait(lots);
        (own, real.delay_max) = (own.delay_max(most), Some(most));
    }
    if lots.bool() {
        let within = wait(lots);
        (own, real.give_up_after) = (own.give_up_after(within), Some(within));
    }
    if lots.bool() {
        let code = if lots.bool() { "http.*" } else { CODES[lots.usize(..CODES.len())] };
        own = own.fail_on([code]);
        real.rules.push(Rule { codes: vec![code.into()], action: Action::Fail });
    }
    real.when_exhausted = WhenExhausted::Fail;
    (own, real)
}

#[test]
fn it_counts_and_waits_as_the_real_one() {
    let mut lots = fastrand::Rng::with_seed(5);
    let mut retried = 0;
    for case in 0..3000 {
        let (own, real) = policy(&mut lots);
        let failures: Vec<Failure> = (0..lots.usize(0..8))
            .map(|_| {
                let retry = match lots.u8(0..8) {
                    0 => RetryAdvice::Never,
                    1 => RetryAdvice::After(Duration::from_millis(lots.u64(0..100_000))),
                    _ => RetryAdvice::ByPolicy,
                };
                Failure { retry, ..Failure::new(CODES[lots.usize(..CODES.len())], "") }
            })
            .collect();
        // What the real one would do.
        let (mut spent, mut now, mut waits) = (Spent::default(), Timestamp::default(), Vec::new());
        for failure in &failures {
            now = now + TOOK;
            let attempt =
                FailedAttempt { failure, spent: &spent, round_began: Timestamp::default(), ended: now, entropy: 0 };
            let (verdict, left) = real.after_failure(attempt);
            let Verdict::Retry(due) = verdict else { break };
            waits.push(due.since(now));
            (spent, now) = (left, due);
        }
        let own_failure = |it: &Failure| match it.retry {
            RetryAdvice::Never => retake::Failure::permanent(&*it.code, ""),
            RetryAdvice::After(wait) => retake::Failure::new(&*it.code, "").retry_after(wait),
            RetryAdvice::ByPolicy => retake::Failure::new(&*it.code, ""),
        };
        FAILURES.set(failures.iter().map(own_failure).collect());
        POLICY.set(Some(own));
        let run = Host::new().run::<asks>(&json!({}));
        assert_eq!(run.call("unlucky").waits(), waits, "case {case}: {real:?} and {failures:?}");
        retried += waits.len();
    }
    assert!(retried > 1000, "{retried}");
}
