//! When a failed attempt is tried again.

use std::time::Duration;

use crate::bindings::retake::flow::types::{Action, Delay, Exponential, OwnRetries, RetryPolicy, Rule, WhenExhausted};
use crate::time::whole_milliseconds;

/// Says how often and when a failed attempt is tried again.
///
/// The attributes [`flow`](macro@crate::flow) and [`task`](macro@crate::task) make one from their
/// arguments. This is for a single call that needs another: `fetch::retry(policy).call(url)`.
///
/// The host refuses more than 10,000 retries, a delay above 30 days, more than 100 listed delays
/// and more than 32 rules; the attributes say so when they are compiled.
///
/// ```
/// use std::time::Duration;
/// use retake::Policy;
///
/// let patient = Policy::retries(10)
///     .backoff(Duration::from_secs(1), 2.0)
///     .delay_max(Duration::from_secs(3600))
///     .jitter(0.5)
///     .fail_on(["http.404"]);
/// ```
#[derive(Clone, Debug)]
pub struct Policy(pub(crate) RetryPolicy);

impl Policy {
    /// Returns a policy of `retries` attempts after the first, without a wait between them.
    ///
    /// ```
    /// let never = retake::Policy::retries(0);
    /// ```
    pub fn retries(retries: u32) -> Self {
        Self(RetryPolicy {
            retries,
            delay: Delay::Fixed(0),
            delay_max: None,
            jitter: 0,
            give_up_after: None,
            rules: Vec::new(),
            when_exhausted: WhenExhausted::Fail,
        })
    }

    /// Waits for `delay` before each retry.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = retake::Policy::retries(5).delay(Duration::from_secs(300));
    /// ```
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.0.delay = Delay::Fixed(whole_milliseconds(delay));
        self
    }

    /// Waits for the first of `delays` before the first retry, and so on; the last is repeated.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = retake::Policy::retries(5).delays([1, 10, 60].map(Duration::from_secs));
    /// ```
    #[must_use]
    pub fn delays(mut self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.0.delay = Delay::Listed(delays.into_iter().map(whole_milliseconds).collect());
        self
    }

    /// Waits for `initial` before the first retry, then each time `factor` times as long.
    ///
    /// `factor` is held to what the host accepts, 1 to 100.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = retake::Policy::retries(5).backoff(Duration::from_secs(1), 2.0);
    /// ```
    #[must_use]
    pub fn backoff(mut self, initial: Duration, factor: f64) -> Self {
        self.0.delay = Delay::Exponential(Exponential {
            initial: whole_milliseconds(initial),
            factor_permille: (factor.clamp(1.0, 100.0) * 1000.0) as u32,
        });
        self
    }

    /// Lets no wait be longer than `delay_max`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = retake::Policy::retries(9)
    ///     .backoff(Duration::from_secs(1), 10.0)
    ///     .delay_max(Duration::from_secs(3600));
    /// ```
    #[must_use]
    pub fn delay_max(mut self, delay_max: Duration) -> Self {
        self.0.delay_max = Some(whole_milliseconds(delay_max));
        self
    }

    /// Adds up to this share of the delay at random, so that what failed together does not come
    /// back together. Held to 0 to 1.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = retake::Policy::retries(5).delay(Duration::from_secs(10)).jitter(0.25);
    /// ```
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.0.jitter = (share.clamp(0.0, 1.0) * 1000.0) as u16;
        self
    }

    /// Begins no attempt later than this after the start of the first.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = retake::Policy::retries(1000).give_up_after(Duration::from_secs(86_400));
    /// ```
    #[must_use]
    pub fn give_up_after(mut self, limit: Duration) -> Self {
        self.0.give_up_after = Some(whole_milliseconds(limit));
        self
    }

    /// Retries failures with one of these codes up to `retries` times, counted apart from others.
    ///
    /// A code may be a prefix that ends in `.*`. The first rule that matches decides.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let policy = retake::Policy::retries(2).retry_on(["http.429"], 10, Duration::from_secs(60));
    /// ```
    #[must_use]
    pub fn retry_on<C: Into<String>>(self, codes: impl IntoIterator<Item = C>, retries: u32, delay: Duration) -> Self {
        let delay = Delay::Fixed(whole_milliseconds(delay));
        self.rule(codes, Action::Retry(Some(OwnRetries { retries, delay })))
    }

    /// Makes failures with one of these codes final.
    ///
    /// ```
    /// let policy = retake::Policy::retries(2).fail_on(["http.404", "auth.*"]);
    /// ```
    #[must_use]
    pub fn fail_on<C: Into<String>>(self, codes: impl IntoIterator<Item = C>) -> Self {
        self.rule(codes, Action::Fail)
    }

    /// Parks the run for a person to look at when it fails with one of these codes.
    ///
    /// ```
    /// let policy = retake::Policy::retries(2).park_on(["quota.*"]);
    /// ```
    #[must_use]
    pub fn park_on<C: Into<String>>(self, codes: impl IntoIterator<Item = C>) -> Self {
        self.rule(codes, Action::Park)
    }

    /// Parks the run, rather than fail it, when its retries are used up.
    ///
    /// ```
    /// let policy = retake::Policy::retries(2).park_when_exhausted();
    /// ```
    #[must_use]
    pub fn park_when_exhausted(mut self) -> Self {
        self.0.when_exhausted = WhenExhausted::Park;
        self
    }

    /// Returns the policy as the host takes it, for components that are written without macros.
    #[doc(hidden)]
    pub fn into_wire(self) -> RetryPolicy {
        self.0
    }

    /// For the macros, which have checked it.
    #[doc(hidden)]
    pub fn set_delay(&mut self, delay: Delay) {
        self.0.delay = delay;
    }

    /// For the macros.
    #[doc(hidden)]
    pub fn set_jitter(&mut self, permille: u16) {
        self.0.jitter = permille;
    }

    /// For the macros.
    #[doc(hidden)]
    pub fn set_delay_max(&mut self, milliseconds: u64) {
        self.0.delay_max = Some(milliseconds);
    }

    /// For the macros.
    #[doc(hidden)]
    pub fn set_give_up_after(&mut self, milliseconds: u64) {
        self.0.give_up_after = Some(milliseconds);
    }

    /// Adds a rule; also for the macros.
    #[doc(hidden)]
    #[must_use]
    pub fn rule<C: Into<String>>(mut self, codes: impl IntoIterator<Item = C>, action: Action) -> Self {
        let codes = codes.into_iter().map(Into::into).collect();
        self.0.rules.push(Rule { codes, action });
        self
    }
}
