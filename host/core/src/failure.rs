//! Why an attempt did not succeed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::value::Json;

/// Codes that only the host gives. An author's code may not begin with `sandbox.`, `host.` or `input.`.
pub mod code {
    /// Panic, unreachable, stack overflow.
    pub const TRAP: &str = "sandbox.trap";
    /// Wall clock.
    pub const TIMEOUT: &str = "sandbox.timeout";
    /// Processor time.
    pub const CPU: &str = "sandbox.cpu";
    /// Memory or tables at their limit.
    pub const MEMORY: &str = "sandbox.memory";
    /// Result, log or call counts over their limits.
    pub const OUTPUT: &str = "sandbox.output";
    /// A capability that was not granted.
    pub const DENIED: &str = "sandbox.denied";
    /// Parameters do not fit the schema.
    pub const INVALID: &str = "input.invalid";
    /// A task or flow that the component does not have.
    pub const UNKNOWN: &str = "input.unknown";
    /// The worker died, and the attempt cannot be resumed by replay.
    pub const LOST: &str = "host.lost";
    /// Somebody cancelled.
    pub const CANCELLED: &str = "host.cancelled";
    /// A task tried to run tasks.
    pub const NOT_IN_A_TASK: &str = "host.not-in-a-task";
    /// The host itself went wrong.
    pub const INTERNAL: &str = "host.internal";
}

/// What the author of a failure knows about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryAdvice {
    /// Nothing: the policy decides.
    #[default]
    ByPolicy,
    /// Trying again cannot help.
    Never,
    /// Wait this long instead of the policy's delay. Whole milliseconds on the wire.
    After(#[serde(with = "crate::time::millis")] Duration),
}

/// Why a flow or a task did not succeed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Dotted and open: `http.503`. At most [`limits::NAME_BYTES`].
    pub code: String,
    /// For people. At most [`limits::MESSAGE_BYTES`].
    pub message: String,
    /// What the author knows about trying again.
    #[serde(default, skip_serializing_if = "is_by_policy")]
    pub retry: RetryAdvice,
    /// Whatever else is known: the host's evidence, or the author's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
}

fn is_by_policy(advice: &RetryAdvice) -> bool {
    *advice == RetryAdvice::ByPolicy
}

impl Failure {
    /// Makes a failure of the host's own.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let message = cut(message.into(), limits::MESSAGE_BYTES);
        Self { code: code.to_owned(), message, retry: RetryAdvice::ByPolicy, details: None }
    }

    /// Takes what a guest says about itself. Codes that belong to the host become `guest.` and the code.
    ///
    /// Nothing from a guest is refused here: a failure that cannot be recorded would be worse than one cut short.
    pub fn from_guest(code: String, message: String, retry: RetryAdvice, details: Option<String>) -> Self {
        let reserved = ["sandbox.", "host.", "input."].iter().any(|it| code.starts_with(it));
        let code = match code.as_str() {
            "" => "failure".to_owned(),
            _ if reserved => format!("guest.{code}"),
            _ => code,
        };
        let code: String = code.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        Self {
            code: cut(code, limits::NAME_BYTES),
            message: cut(message, limits::MESSAGE_BYTES),
            retry,
            details: details.and_then(|text| Json::parse(text, limits::INLINE_BYTES).ok()),
        }
    }
}

/// Cuts `text` to at most `bytes` bytes, at a character's edge.
pub fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_speak_for_the_host() {
        let from = |code: &str| Failure::from_guest(code.into(), String::new(), RetryAdvice::ByPolicy, None).code;
        assert_eq!(from("sandbox.cpu"), "guest.sandbox.cpu");
        assert_eq!(from("http.503"), "http.503");
        assert_eq!(from(""), "failure");
        assert_eq!(from(&"é".repeat(1000)).len(), 128);
    }

    #[test]
    fn details_that_are_not_json_are_dropped() {
        let failure = |details: &str| {
            Failure::from_guest("a".into(), "b".into(), RetryAdvice::Never, Some(details.into())).details
        };
        assert_eq!(failure("{nonsense"), None);
        assert_eq!(failure("{\"a\":1}").unwrap().as_str(), "{\"a\":1}");
    }
}
