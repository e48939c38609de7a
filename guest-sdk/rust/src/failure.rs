//! Why a flow or a task did not succeed.
//!
//! `Failure` does not implement [`std::error::Error`], on purpose: that is what lets `?` turn every
//! error into one.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::bindings::retake::flow::types::{Failure as Wire, RetryAdvice};
use crate::time::whole_milliseconds;

/// What a flow and a task return.
///
/// ```
/// fn half(n: u32) -> retake::Result<u32> {
///     if n % 2 == 1 {
///         return Err(retake::Failure::permanent("odd", format!("{n} has no half")));
///     }
///     Ok(n / 2)
/// }
/// assert_eq!(half(4).ok(), Some(2));
/// assert_eq!(half(3).unwrap_err().code(), "odd");
/// ```
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Says why an attempt failed and what is known about trying again.
///
/// Any [`std::error::Error`] becomes one by `?`. Its code is the name of its type, and where that
/// is only `Error`, the module's name comes before it (`io.Error`); its message is the error's with
/// its causes.
///
/// ```
/// fn parse(text: &str) -> retake::Result<u32> {
///     Ok(text.parse::<u32>()?)
/// }
/// let failure = parse("seven").unwrap_err();
/// assert_eq!(failure.code(), "ParseIntError");
/// assert_eq!(failure.message(), "invalid digit found in string");
/// ```
#[derive(Clone, PartialEq)]
pub struct Failure {
    code: String,
    message: String,
    advice: Advice,
    details: Option<Value>,
}

#[derive(Clone, Copy, PartialEq)]
enum Advice {
    ByPolicy,
    Never,
    After(u64),
}

impl Failure {
    /// Returns a failure that is retried as the policy says.
    ///
    /// `code` is for rules and filters: short, dotted, without values in it (`http.503`). At most
    /// 128 bytes. `sandbox.*`, `host.*` and `input.*` belong to the host. `message` is for people.
    ///
    /// ```
    /// let failure = retake::Failure::new("http.503", "the shop is closed");
    /// assert_eq!(failure.to_string(), "http.503: the shop is closed");
    /// ```
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), advice: Advice::ByPolicy, details: None }
    }

    /// Returns a failure that no retry can mend; whatever the policy says, there is none.
    ///
    /// ```
    /// let failure = retake::Failure::permanent("http.404", "there is no order 42");
    /// assert!(failure.is_permanent());
    /// ```
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { advice: Advice::Never, ..Self::new(code, message) }
    }

    /// Asks for the next attempt after `wait` rather than after the policy's delay.
    ///
    /// A server's `Retry-After` belongs here. The number of retries stays the policy's.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let failure = retake::Failure::new("http.429", "too many requests")
    ///     .retry_after(Duration::from_secs(90));
    /// assert!(!failure.is_permanent());
    /// ```
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.advice = Advice::After(whole_milliseconds(wait));
        self
    }

    /// Adds what a program may want to know; anything that becomes JSON.
    ///
    /// What cannot become JSON is left out: a failure must not be lost to a mistake in its details.
    ///
    /// ```
    /// let failure = retake::Failure::new("stock.empty", "nothing left").details(&["tea", "milk"]);
    /// assert_eq!(failure.get_details().unwrap()[1], "milk");
    /// ```
    #[must_use]
    pub fn details(mut self, details: impl Serialize) -> Self {
        self.details = serde_json::to_value(details).ok();
        self
    }

    /// Returns the code that rules match.
    ///
    /// ```
    /// assert_eq!(retake::Failure::new("http.503", "").code(), "http.503");
    /// ```
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Returns the text for people.
    ///
    /// ```
    /// assert_eq!(retake::Failure::new("odd", "3 has no half").message(), "3 has no half");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the details, if there are any.
    ///
    /// ```
    /// assert!(retake::Failure::new("odd", "").get_details().is_none());
    /// ```
    pub fn get_details(&self) -> Option<&Value> {
        self.details.as_ref()
    }

    /// Tells whether the author ruled out another attempt.
    ///
    /// ```
    /// assert!(retake::Failure::permanent("odd", "").is_permanent());
    /// ```
    pub fn is_permanent(&self) -> bool {
        self.advice == Advice::Never
    }

    pub(crate) fn into_wire(self) -> Wire {
        Wire {
            code: self.code,
            message: self.message,
            retry: match self.advice {
                Advice::ByPolicy => RetryAdvice::ByPolicy,
                Advice::Never => RetryAdvice::Never,
                Advice::After(milliseconds) => RetryAdvice::After(milliseconds),
            },
            details: self.details.map(|details| details.to_string()),
        }
    }

    pub(crate) fn from_wire(wire: Wire) -> Self {
        Self {
            code: wire.code,
            message: wire.message,
            advice: match wire.retry {
                RetryAdvice::ByPolicy => Advice::ByPolicy,
                RetryAdvice::Never => Advice::Never,
                RetryAdvice::After(milliseconds) => Advice::After(milliseconds),
            },
            details: wire.details.and_then(|text| serde_json::from_str(&text).ok()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        f.write_str(": ")?;
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(code_of(std::any::type_name::<E>()), message_of(&error))
    }
}

/// Returns the error's message and, after colons, those of its causes.
fn message_of(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    message
}

/// Returns the code for an error of the type with this name.
fn code_of(type_name: &str) -> String {
    let path = type_name.split('<').next().unwrap_or(type_name);
    let mut segments = path.rsplit("::");
    let name = segments.next().unwrap_or(path);
    if name != "Error" {
        return name.to_owned();
    }
    // Half of all crates call theirs `Error`; the module tells them apart.
    match segments.find(|segment| *segment != "error") {
        Some(module) => [module, ".", name].concat(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(type_name: &str, code: &str) {
        assert_eq!(code_of(type_name), code);
    }

    #[test]
    fn code_is_the_last_segment() {
        check("core::num::error::ParseIntError", "ParseIntError");
        check("Alone", "Alone");
    }

    #[test]
    fn plain_error_gets_its_module() {
        check("std::io::error::Error", "io.Error");
        check("serde_json::error::Error", "serde_json.Error");
        check("Error", "Error");
    }

    #[test]
    fn type_arguments_are_no_part_of_the_code() {
        check("shop::Refused<alloc::string::String>", "Refused");
    }

    #[test]
    fn causes_are_part_of_the_message() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("line 3")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let failure = Failure::from(Outer("x".parse::<u32>().unwrap_err()));
        assert_eq!(failure.to_string(), "Outer: line 3: invalid digit found in string");
    }

    #[test]
    fn advice_and_details_survive_the_wire() {
        let failure = Failure::new("a", "b").retry_after(Duration::from_micros(1500)).details([1]);
        let wire = failure.clone().into_wire();
        assert!(matches!(wire.retry, RetryAdvice::After(2)));
        assert_eq!(wire.details.as_deref(), Some("[1]"));
        assert!(Failure::from_wire(wire) == failure);
    }
}
