//! The host's retry arithmetic, jitter left out. A test of the host compares the two.

use std::collections::HashMap;
use std::time::Duration;

use crate::bindings::retake::flow::types::{Action, Delay, Failure, RetryAdvice, RetryPolicy, Rule, WhenExhausted};

/// No delay is longer.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Failures that are final unless a rule says otherwise.
const FINAL: [&str; 6] =
    ["sandbox.cpu", "sandbox.output", "sandbox.denied", "host.cancelled", "host.not-in-a-task", "result.invalid"];

/// How much of a round's budget is used up.
#[derive(Clone, Default)]
pub(super) struct Spent {
    pub(super) policy: u32,
    rules: HashMap<usize, u32>,
}

/// What happens after a failed attempt.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Retry(Duration),
    Fail,
    Park,
}

/// Decides what happens after an attempt that ended at `ended`, in a round that began at `began`.
pub(super) fn after_failure(
    policy: &RetryPolicy,
    failure: &Failure,
    spent: &mut Spent,
    began: Duration,
    ended: Duration,
) -> Verdict {
    if matches!(failure.retry, RetryAdvice::Never) {
        return Verdict::Fail;
    }
    let rule = policy.rules.iter().enumerate().find(|(_, it)| matches(it, &failure.code));
    let (n, retries, delay) = match rule.map(|(at, it)| (at, &it.action)) {
        Some((_, Action::Fail)) => return Verdict::Fail,
        Some((_, Action::Park)) => return Verdict::Park,
        Some((at, Action::Retry(Some(own)))) => {
            let n = spent.rules.entry(at).or_default();
            *n += 1;
            (*n, own.retries, &own.delay)
        }
        Some((_, Action::Retry(None))) | None => {
            if rule.is_none() && is_final(&failure.code) {
                return Verdict::Fail;
            }
            spent.policy += 1;
            (spent.policy, policy.retries, &policy.delay)
        }
    };
    let exhausted = match policy.when_exhausted {
        WhenExhausted::Fail => Verdict::Fail,
        WhenExhausted::Park => Verdict::Park,
    };
    if n > retries {
        return exhausted;
    }
    let most = policy.delay_max.map_or(LONGEST, Duration::from_millis).min(LONGEST);
    let wait = match failure.retry {
        RetryAdvice::After(wait) => Duration::from_millis(wait).min(LONGEST),
        _ => after(delay, n).min(most),
    };
    let due = ended + wait;
    if policy.give_up_after.is_some_and(|within| due > began + Duration::from_millis(within)) {
        return exhausted;
    }
    Verdict::Retry(due)
}

fn is_final(code: &str) -> bool {
    FINAL.contains(&code) || code.starts_with("input.")
}

fn matches(rule: &Rule, code: &str) -> bool {
    rule.codes.iter().any(|pattern| match pattern.strip_suffix(".*") {
        Some(prefix) => code.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
        None => pattern == code,
    })
}

/// Returns the wait after failure number `n`, counted from 1.
fn after(delay: &Delay, n: u32) -> Duration {
    match delay {
        Delay::Fixed(wait) => Duration::from_millis(*wait),
        Delay::Listed(waits) => {
            let at = (n.max(1) as usize).min(waits.len()).saturating_sub(1);
            Duration::from_millis(waits.get(at).copied().unwrap_or(0))
        }
        Delay::Exponential(it) => {
            let mut wait = it.initial as f64;
            for _ in 1..n {
                if wait >= LONGEST.as_millis() as f64 || wait == 0.0 || it.factor_permille == 1000 {
                    break;
                }
                wait = wait * f64::from(it.factor_permille) / 1000.0;
            }
            Duration::from_micros((wait * 1000.0 + 1e-6) as u64)
        }
    }
}
