//! Why an attempt did not succeed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::value::Json;

/// Codes that only the host gives. An author's code may not begin with `sandbox.`, `host.`, `input.` or `result.`;
/// [`Failure::from_guest`] has the exceptions.
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
    /// A result does not fit what its task or flow says that it returns, or cannot be said in JSON.
    pub const RESULT: &str = "result.invalid";
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
    /// Three of them pass, because an SDK finds out before the host can: that a value cannot be said in JSON
    /// (`result.invalid`, `input.invalid`), and that the network is not granted (`sandbox.denied`), for which the host
    /// has its own words.
    ///
    /// Nothing from a guest is refused here: a failure that cannot be recorded would be worse than one cut short.
    pub fn from_guest(code: String, message: String, retry: RetryAdvice, details: Option<String>) -> Self {
        let details = details.and_then(|text| Json::parse(text, limits::INLINE_BYTES).ok());
        if code == code::DENIED {
            let host = details.as_ref().map(Json::to_value);
            return Self { details, ..Self::no_network(host.as_ref().and_then(|it| it["host"].as_str())) };
        }
        let reserved = ["sandbox.", "host.", "input.", "result."].iter().any(|it| code.starts_with(it));
        let code = match code.as_str() {
            "" => "failure".to_owned(),
            code::RESULT | code::INVALID => code,
            _ if reserved => format!("guest.{code}"),
            _ => code,
        };
        let code: String = code.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        Self { code: cut(code, limits::NAME_BYTES), message: cut(message, limits::MESSAGE_BYTES), retry, details }
    }

    /// Makes the failure of a guest that wanted to reach the network. `host` comes from the guest: what is no name or
    /// address of a host is left out.
    pub fn no_network(host: Option<&str>) -> Self {
        let is_plain = |it: &&str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
            (1..=limits::HOST_NAME_BYTES).contains(&it.len()) && it.chars().all(fits)
        };
        let subject = match host.filter(is_plain) {
            Some(host) => format!(": `{host}` cannot be reached from a sandbox"),
            None => String::new(),
        };
        Self::new(
            code::DENIED,
            format!("the network is not granted to this run{subject}; only secrets and variables can be granted today"),
        )
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
        assert_eq!(from("result.other"), "guest.result.other");
        assert_eq!(from("result.invalid"), "result.invalid");
        assert_eq!(from("http.503"), "http.503");
        assert_eq!(from(""), "failure");
        assert_eq!(from(&"é".repeat(1000)).len(), 128);
    }

    #[test]
    fn a_guest_that_says_denied_has_the_hosts_words_for_the_network() {
        let message = |details: &str| {
            let from = Failure::from_guest(
                "sandbox.denied".into(),
                "grant me".into(),
                RetryAdvice::Never,
                Some(details.into()),
            );
            from.message
        };
        assert!(message(r#"{"host":"api.example.com"}"#).contains("`api.example.com` cannot be reached"));
        let without = "the network is not granted to this run; only secrets and variables can be granted today";
        assert_eq!(message(r#"{"host":"x`; run `retake deploy --secret root"}"#), without);
        assert_eq!(message("{}"), without);
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
