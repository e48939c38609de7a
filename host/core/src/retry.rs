//! When a failed attempt is tried again, after how long, and when it is given up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, RetryAdvice, code};
use crate::limits;
use crate::time::{Timestamp, millis, millis_option};

/// How long to wait before an attempt that is not the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delay {
    /// The same each time.
    Fixed(#[serde(with = "millis")] Duration),
    /// One for each retry, in whole milliseconds; the last is repeated.
    Listed(Vec<u64>),
    /// `initial`, then each the factor times the one before.
    Exponential {
        /// The first wait.
        #[serde(with = "millis")]
        initial: Duration,
        /// In thousandths: 2000 doubles.
        factor_permille: u32,
    },
}

impl Default for Delay {
    fn default() -> Self {
        Self::Fixed(Duration::ZERO)
    }
}

impl Delay {
    /// Returns the wait after failure number `n` (from 1), before caps and jitter. Saturates.
    pub fn after(&self, n: u32) -> Duration {
        match self {
            Self::Fixed(delay) => *delay,
            Self::Listed(list) => {
                let index = (n.max(1) as usize).min(list.len()).saturating_sub(1);
                Duration::from_millis(list.get(index).copied().unwrap_or(0))
            }
            Self::Exponential { initial, factor_permille } => {
                // Thousand-millionths of a microsecond keep what each step would round away.
                const SCALE: u128 = 1_000_000_000;
                let most = limits::DELAY.as_micros() * SCALE;
                let mut wait = initial.as_micros().saturating_mul(SCALE);
                for _ in 1..n {
                    if wait == 0 || wait >= most || *factor_permille == 1000 {
                        break;
                    }
                    wait = wait.saturating_mul(u128::from(*factor_permille)) / 1000;
                }
                Duration::from_micros(u64::try_from(wait / SCALE).unwrap_or(u64::MAX))
            }
        }
    }

    fn check(&self, field: &str) -> Result<(), BadField> {
        let bounded = |delay: Duration| {
            BadField::unless(delay <= limits::DELAY, field, || format!("a delay of {delay:?} is over 30 days"))
        };
        match self {
            Self::Fixed(delay) => bounded(*delay),
            Self::Listed(list) => {
                let n = list.len();
                BadField::unless(n > 0, field, || "a list of delays needs an entry".into())?;
                BadField::unless(n <= limits::DELAY_ENTRIES, field, || {
                    format!("{n} entries, at most {} are allowed", limits::DELAY_ENTRIES)
                })?;
                list.iter().try_for_each(|ms| bounded(Duration::from_millis(*ms)))
            }
            Self::Exponential { initial, factor_permille } => {
                bounded(*initial)?;
                BadField::unless(limits::FACTOR_PERMILLE.contains(factor_permille), field, || {
                    format!("a factor of {factor_permille} thousandths is not within 1000 and 100000")
                })
            }
        }
    }
}

/// What becomes of a run when its retries are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenExhausted {
    /// It has Failed.
    #[default]
    Fail,
    /// It is Paused, shown Parked, and waits for a person.
    Park,
}

/// What a rule does with the failures that it matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Try again, with a count and delays of its own or as the policy says.
    Retry(Option<OwnRetries>),
    /// Final.
    Fail,
    /// Paused at once.
    Park,
}

/// A count and delays that belong to one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRetries {
    /// Retries of failures that this rule matched.
    pub retries: u32,
    /// How long to wait.
    pub delay: Delay,
}

/// How failures with some codes are treated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Codes, or prefixes ending in `.*`.
    pub codes: Vec<String>,
    /// What is done.
    pub action: Action,
}

impl Rule {
    fn matches(&self, code: &str) -> bool {
        self.codes.iter().any(|pattern| match pattern.strip_suffix(".*") {
            Some(prefix) => code.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
            None => pattern == code,
        })
    }
}

/// How often, and how far apart, failed attempts are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub retries: u32,
    /// How long to wait before each.
    pub delay: Delay,
    /// No wait is longer than this, jitter apart.
    #[serde(with = "millis_option", default)]
    pub delay_max: Option<Duration>,
    /// Up to this share of the delay is added, in thousandths.
    #[serde(default)]
    pub jitter_permille: u16,
    /// No attempt begins later than this after the first one began.
    #[serde(with = "millis_option", default)]
    pub give_up_after: Option<Duration>,
    /// The first that matches decides.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What becomes of the run when the retries are used up.
    #[serde(default)]
    pub when_exhausted: WhenExhausted,
}

/// How much of a round's budget is used up. Empty at the start of each round.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Failures counted against the policy's own retries.
    #[serde(default)]
    pub policy: u32,
    /// Failures counted against a rule's own retries, by the rule's place in the policy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<u32, u32>,
}

/// What happens after a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt at this instant.
    Retry(Timestamp),
    /// Failed, and only a person can change that.
    Fail,
    /// Put aside until a person decides.
    Park,
}

/// What [`RetryPolicy::after_failure`] needs to know of the attempt that has just failed.
#[derive(Debug, Clone, Copy)]
pub struct FailedAttempt<'a> {
    /// Why it failed.
    pub failure: &'a Failure,
    /// What earlier attempts of this round used up.
    pub spent: &'a Spent,
    /// When the round's first attempt began.
    pub round_began: Timestamp,
    /// When this attempt ended.
    pub ended: Timestamp,
    /// Where jitter comes from; see [`crate::id::FlowRunId::entropy`].
    pub entropy: u64,
}

impl RetryPolicy {
    /// Decides what happens after a failed attempt, and what of the budget is then used up.
    ///
    /// The author's `never` comes first, then the first rule that matches, then the default for the code. The
    /// author's `after` replaces the computed delay, without jitter, and is cut to [`limits::DELAY`].
    pub fn after_failure(&self, attempt: FailedAttempt<'_>) -> (Verdict, Spent) {
        let mut spent = attempt.spent.clone();
        let code = attempt.failure.code.as_str();
        if attempt.failure.retry == RetryAdvice::Never {
            return (Verdict::Fail, spent);
        }
        let rule = self.rule(code);
        let (n, retries, delay) = match rule.map(|(i, rule)| (i, &rule.action)) {
            Some((_, Action::Fail)) => return (Verdict::Fail, spent),
            Some((_, Action::Park)) => return (Verdict::Park, spent),
            Some((i, Action::Retry(Some(own)))) => {
                let n = spent.rules.entry(i).or_default();
                *n = n.saturating_add(1);
                (*n, own.retries, &own.delay)
            }
            Some((_, Action::Retry(None))) | None => {
                if rule.is_none() && is_final_by_default(code) {
                    return (Verdict::Fail, spent);
                }
                spent.policy = spent.policy.saturating_add(1);
                (spent.policy, self.retries, &self.delay)
            }
        };
        let exhausted = match self.when_exhausted {
            WhenExhausted::Fail => Verdict::Fail,
            WhenExhausted::Park => Verdict::Park,
        };
        if n > retries {
            return (exhausted, spent);
        }
        let wait = match attempt.failure.retry {
            RetryAdvice::After(wait) => wait.min(limits::DELAY),
            _ => self.jittered(self.capped(delay.after(n)), attempt.entropy),
        };
        let due = attempt.ended + wait;
        if self.give_up_after.is_some_and(|within| due > attempt.round_began + within) {
            return (exhausted, spent);
        }
        (Verdict::Retry(due), spent)
    }

    /// Returns what was used up before this failure was counted, which [`RetryPolicy::after_failure`] did.
    pub fn before(&self, failure: &Failure, spent: &Spent) -> Spent {
        let mut before = spent.clone();
        match self.rule(&failure.code) {
            Some((place, Rule { action: Action::Retry(Some(_)), .. })) => {
                before.rules.entry(place).and_modify(|it| *it = it.saturating_sub(1));
            }
            _ => before.policy = before.policy.saturating_sub(1),
        }
        before
    }

    /// Returns the rule that decides about failures with this code, and its place: the first that matches.
    pub fn rule(&self, code: &str) -> Option<(u32, &Rule)> {
        (0u32..).zip(&self.rules).find(|(_, rule)| rule.matches(code))
    }

    /// Returns how many of the policy's own retries are left. Rules with a count of their own are left out.
    pub fn retries_left(&self, spent: &Spent) -> u32 {
        self.retries.saturating_sub(spent.policy)
    }

    /// Returns the waits before each retry, jitter left out, as far as `most` entries.
    pub fn waits(&self, most: usize) -> Vec<Duration> {
        (1..=self.retries).take(most).map(|n| self.capped(self.delay.after(n))).collect()
    }

    fn capped(&self, delay: Duration) -> Duration {
        delay.min(self.delay_max.unwrap_or(limits::DELAY)).min(limits::DELAY)
    }

    /// Adds a share of `delay`, uniform in `[0, jitter]`.
    pub fn jittered(&self, delay: Duration, entropy: u64) -> Duration {
        let most = delay.as_micros() * u128::from(self.jitter_permille) / 1000;
        let extra = most * u128::from(entropy) / u128::from(u64::MAX);
        delay + Duration::from_micros(u64::try_from(extra).unwrap_or(u64::MAX))
    }

    /// Checks every bound. `field` is where this policy stands in what was uploaded.
    pub fn check(&self, field: &str) -> Result<(), BadField> {
        let at = |name: &str| format!("{field}.{name}");
        let retries = |field: &str, n: u32| {
            BadField::unless(n <= limits::RETRIES, field, || {
                format!("{n} retries, at most {} are allowed", limits::RETRIES)
            })
        };
        retries(&at("retries"), self.retries)?;
        self.delay.check(&at("delay"))?;
        let bounded = |name: &str, duration: Option<Duration>, most: Duration| {
            BadField::unless(duration.unwrap_or_default() <= most, &at(name), || {
                format!("{:?} is over {} days", duration.unwrap_or_default(), most.as_secs() / 86_400)
            })
        };
        bounded("delay-max", self.delay_max, limits::DELAY)?;
        bounded("give-up-after", self.give_up_after, limits::SLEEP)?;
        BadField::unless(self.jitter_permille <= limits::JITTER_PERMILLE, &at("jitter"), || {
            format!("{} thousandths, at most 1000 are allowed", self.jitter_permille)
        })?;
        BadField::unless(self.rules.len() <= limits::LIST_ITEMS, &at("rules"), || {
            format!("{} rules, at most {} are allowed", self.rules.len(), limits::LIST_ITEMS)
        })?;
        for (i, rule) in self.rules.iter().enumerate() {
            let field = at(&format!("rules[{i}]"));
            let n = rule.codes.len();
            BadField::unless((1..=limits::LIST_ITEMS).contains(&n), &field, || {
                format!("{n} codes, expected 1 to {}", limits::LIST_ITEMS)
            })?;
            BadField::unless(rule.codes.iter().all(|it| (1..=limits::NAME_BYTES).contains(&it.len())), &field, || {
                format!("a code has 1 to {} bytes", limits::NAME_BYTES)
            })?;
            if let Action::Retry(Some(own)) = &rule.action {
                retries(&field, own.retries)?;
                own.delay.check(&field)?;
            }
        }
        Ok(())
    }
}

/// Whether a failure with this code is final unless a rule says otherwise.
pub fn is_final_by_default(code: &str) -> bool {
    matches!(code, code::CPU | code::OUTPUT | code::DENIED | code::CANCELLED | code::RESULT | code::NOT_IN_A_TASK)
        || code.starts_with("input.")
}

/// A field of something uploaded or sent that is out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub struct BadField {
    /// Which field, as a path.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl BadField {
    /// Refuses `field` unless `fine`.
    pub fn unless(fine: bool, field: &str, problem: impl FnOnce() -> String) -> Result<(), BadField> {
        if fine { Ok(()) } else { Err(BadField { field: field.to_owned(), problem: problem() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn at(n: u64) -> Timestamp {
        Timestamp::from_unix_ms(n)
    }

    fn policy(retries: u32, delay: Delay) -> RetryPolicy {
        RetryPolicy { retries, delay, ..RetryPolicy::default() }
    }

    /// Fails with these codes one after the other, at instant 0, and says what happened each time.
    fn verdicts(policy: &RetryPolicy, codes: &[&str]) -> Vec<String> {
        let mut spent = Spent::default();
        let mut seen = Vec::new();
        for code in codes {
            let failure = Failure::new(code, "");
            let (verdict, now_spent) = policy.after_failure(FailedAttempt {
                failure: &failure,
                spent: &spent,
                round_began: at(0),
                ended: at(0),
                entropy: 0,
            });
            spent = now_spent;
            seen.push(match verdict {
                Verdict::Retry(due) => due.as_unix_ms().to_string(),
                Verdict::Fail => "fail".into(),
                Verdict::Park => "park".into(),
            });
        }
        seen
    }

    fn one(policy: &RetryPolicy, failure: Failure, round_began: u64, entropy: u64) -> Verdict {
        let attempt = FailedAttempt {
            failure: &failure,
            spent: &Spent::default(),
            round_began: at(round_began),
            ended: at(1000),
            entropy,
        };
        policy.after_failure(attempt).0
    }

    // semantics.md, "Retry policy, exactly": a case for each row.

    #[test]
    fn last_attempt_is_not_retried() {
        assert_eq!(verdicts(&policy(0, Delay::default()), &["e"]), ["fail"]);
        assert_eq!(verdicts(&policy(2, Delay::Fixed(ms(7))), &["e"; 3]), ["7", "7", "fail"]);
    }

    #[test]
    fn what_was_decided_can_be_decided_again() {
        let own = OwnRetries { retries: 2, delay: Delay::Fixed(ms(5)) };
        let rule = Rule { codes: vec!["r".into()], action: Action::Retry(Some(own)) };
        let policy = RetryPolicy {
            give_up_after: Some(ms(50)),
            when_exhausted: WhenExhausted::Park,
            rules: vec![rule],
            ..policy(5, Delay::Listed(vec![10, 1000, 1]))
        };
        let mut spent = Spent::default();
        for (code, expected) in [("e", 10), ("r", 5), ("e", 0), ("r", 5), ("r", 0)] {
            let failure = Failure::new(code, "");
            let decide = |spent: &Spent| {
                let (round_began, ended, entropy) = (at(0), at(0), 0);
                policy.after_failure(FailedAttempt { failure: &failure, spent, round_began, ended, entropy })
            };
            let (verdict, after) = decide(&spent);
            let expected = if expected == 0 { Verdict::Park } else { Verdict::Retry(at(expected)) };
            assert_eq!(verdict, expected, "{code} after {spent:?}");
            assert_eq!(decide(&policy.before(&failure, &after)).0, verdict, "{code} after {spent:?}");
            spent = after;
        }
    }

    #[test]
    fn listed_repeats_its_last() {
        assert_eq!(verdicts(&policy(4, Delay::Listed(vec![1, 10, 60])), &["e"; 5]), ["1", "10", "60", "60", "fail"]);
    }

    #[test]
    fn exponential_grows_by_its_factor_and_saturates() {
        let double = |factor_permille| Delay::Exponential { initial: ms(1000), factor_permille };
        assert_eq!(verdicts(&policy(4, double(2000)), &["e"; 4]), ["1000", "2000", "4000", "8000"]);
        assert_eq!(verdicts(&policy(4, double(1500)), &["e"; 4]), ["1000", "1500", "2250", "3375"]);
        assert!(double(100_000).after(u32::MAX) >= limits::DELAY);
        assert_eq!(double(1000).after(u32::MAX), ms(1000));
    }

    #[test]
    fn delay_is_capped_before_jitter() {
        let policy = RetryPolicy {
            delay_max: Some(ms(3000)),
            jitter_permille: 500,
            ..policy(9, Delay::Exponential { initial: ms(1000), factor_permille: 10_000 })
        };
        assert_eq!(policy.waits(3), [ms(1000), ms(3000), ms(3000)]);
        assert_eq!(one(&policy, Failure::new("e", ""), 0, u64::MAX), Verdict::Retry(at(2500)));
        assert_eq!(one(&policy, Failure::new("e", ""), 0, 0), Verdict::Retry(at(2000)));
    }

    #[test]
    fn no_attempt_begins_after_give_up() {
        let policy = |within| RetryPolicy { give_up_after: Some(ms(within)), ..policy(9, Delay::Fixed(ms(500))) };
        assert_eq!(one(&policy(1500), Failure::new("e", ""), 0, 0), Verdict::Retry(at(1500)));
        assert_eq!(one(&policy(1499), Failure::new("e", ""), 0, 0), Verdict::Fail);
    }

    #[test]
    fn what_the_guest_knows_replaces_the_delay() {
        let advised = |retry| Failure { retry, ..Failure::new("http.429", "") };
        let after = |n| advised(RetryAdvice::After(ms(n)));
        let jittery = RetryPolicy { jitter_permille: 1000, ..policy(1, Delay::Fixed(ms(5))) };
        assert_eq!(one(&jittery, after(70), 0, u64::MAX), Verdict::Retry(at(1070)));
        assert_eq!(one(&jittery, after(u64::MAX), 0, 0), Verdict::Retry(at(1000) + limits::DELAY));
        assert_eq!(one(&jittery, advised(RetryAdvice::Never), 0, 0), Verdict::Fail);
        assert_eq!(one(&policy(0, Delay::default()), after(70), 0, 0), Verdict::Fail, "it buys no attempt");
    }

    #[test]
    fn first_rule_that_matches_decides() {
        let own = |retries, wait| Action::Retry(Some(OwnRetries { retries, delay: Delay::Fixed(ms(wait)) }));
        let rule = |code: &str, action| Rule { codes: vec![code.into()], action };
        let policy = RetryPolicy {
            rules: vec![
                rule("http.429", own(2, 60)),
                rule("http.404", Action::Fail),
                rule("quota.*", Action::Park),
                rule("sandbox.cpu", Action::Retry(None)),
                rule("http.*", Action::Retry(None)),
            ],
            ..policy(1, Delay::Fixed(ms(5)))
        };
        assert_eq!(verdicts(&policy, &["http.404"]), ["fail"]);
        assert_eq!(verdicts(&policy, &["quota.day.used"]), ["park"]);
        assert_eq!(verdicts(&policy, &["quotas"]), ["5"]);
        assert_eq!(verdicts(&policy, &["sandbox.cpu"]), ["5"]);
        // A rule's own retries are counted apart from the policy's.
        assert_eq!(verdicts(&policy, &["http.429", "e", "http.429", "http.429"]), ["60", "5", "60", "fail"]);
    }

    #[test]
    fn each_code_has_its_default() {
        for (code, retried) in [
            ("http.503", true),
            (code::TRAP, true),
            (code::TIMEOUT, true),
            (code::CPU, false),
            (code::MEMORY, true),
            (code::OUTPUT, false),
            (code::DENIED, false),
            (code::INVALID, false),
            (code::RESULT, false),
            (code::NOT_IN_A_TASK, false),
            (code::LOST, true),
            (code::CANCELLED, false),
        ] {
            assert_eq!(verdicts(&policy(1, Delay::default()), &[code]) == ["0"], retried, "{code}");
        }
    }

    #[test]
    fn used_up_retries_may_park() {
        let policy = RetryPolicy { when_exhausted: WhenExhausted::Park, ..policy(1, Delay::default()) };
        assert_eq!(verdicts(&policy, &["e", "e"]), ["0", "park"]);
        assert_eq!(verdicts(&policy, &["sandbox.cpu"]), ["fail"], "final is not used up");
    }

    #[test]
    fn bounds_are_refused_by_name() {
        let message = |policy: RetryPolicy| policy.check("retry").unwrap_err().to_string();
        assert_eq!(
            message(policy(10_001, Delay::default())),
            "`retry.retries`: 10001 retries, at most 10000 are allowed"
        );
        assert!(message(policy(1, Delay::Fixed(limits::DELAY + ms(1)))).starts_with("`retry.delay`"));
        assert!(message(policy(1, Delay::Listed(vec![]))).contains("needs an entry"));
        assert!(message(policy(1, Delay::Listed(vec![1; 101]))).contains("101 entries"));
        let factor = |factor_permille| Delay::Exponential { initial: ms(1), factor_permille };
        assert!(message(policy(1, factor(999))).contains("999 thousandths"));
        assert!(message(policy(1, factor(100_001))).contains("100001"));
        assert!(message(RetryPolicy { jitter_permille: 1001, ..Default::default() }).starts_with("`retry.jitter`"));
    }

    fn any_delay() -> impl Strategy<Value = Delay> {
        prop_oneof![
            any::<u64>().prop_map(|n| Delay::Fixed(ms(n))),
            prop::collection::vec(any::<u64>(), 0..5).prop_map(Delay::Listed),
            (any::<u64>(), any::<u32>())
                .prop_map(|(n, factor_permille)| Delay::Exponential { initial: ms(n), factor_permille }),
        ]
    }

    proptest! {
        /// T19: whatever a policy says, in bounds or not, nothing overflows and no wait is out of bounds.
        #[test]
        fn any_policy_is_survived(
            delay in any_delay(), retries: u32, jitter in 0u16..=1000, cap: Option<u32>, n: u32,
            entropy: u64, ended: i64,
        ) {
            let policy = RetryPolicy {
                retries, delay, jitter_permille: jitter, delay_max: cap.map(|n| ms(n.into())), ..Default::default()
            };
            let ended = Timestamp::from_micros(ended);
            let failure = Failure::new("e", "");
            let spent = Spent { policy: n, ..Spent::default() };
            let attempt = FailedAttempt { failure: &failure, spent: &spent, round_began: ended, ended, entropy };
            if let (Verdict::Retry(due), spent) = policy.after_failure(attempt) {
                prop_assert!(due >= ended);
                prop_assert!(due <= ended + limits::DELAY * 2);
                prop_assert!(spent.policy <= retries);
            }
        }

        #[test]
        fn a_longer_jitter_is_never_early_and_never_over_its_share(wait in 0u64..1 << 40, jitter in 0u16..=1000, entropy: u64) {
            let policy = RetryPolicy { jitter_permille: jitter, ..Default::default() };
            let jittered = policy.jittered(ms(wait), entropy);
            prop_assert!(jittered >= ms(wait));
            prop_assert!(jittered.as_micros() <= u128::from(wait) * 1000 * (1000 + u128::from(jitter)) / 1000);
        }
    }
}
