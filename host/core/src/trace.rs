//! Traces that began elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The span that asked for a run, as [W3C's Trace Context](https://www.w3.org/TR/trace-context/#traceparent-header)
/// writes it: `00-TRACE-SPAN-FLAGS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// Not a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no `traceparent` as W3C's Trace Context writes it")]
pub struct BadTraceParent;

impl TraceParent {
    /// The trace, which is not zero.
    pub fn trace(self) -> u128 {
        self.trace
    }

    /// The span, which is not zero.
    pub fn span(self) -> u64 {
        self.span
    }

    /// Whether whoever began the trace keeps it.
    pub fn is_sampled(self) -> bool {
        self.sampled
    }
}

impl FromStr for TraceParent {
    type Err = BadTraceParent;

    fn from_str(text: &str) -> Result<Self, BadTraceParent> {
        // Later versions may have more behind it.
        let is_long_enough =
            text.len() == 55 || (text.len() > 55 && !text.starts_with("00") && text.as_bytes()[55] == b'-');
        let known = text.get(..55).filter(|_| is_long_enough).ok_or(BadTraceParent)?;
        let mut parts = known.split('-');
        let mut next = |digits: usize| {
            let is_hex = |it: &&str| it.len() == digits && it.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            let part = parts.next().filter(is_hex).ok_or(BadTraceParent)?;
            u128::from_str_radix(part, 16).map_err(|_| BadTraceParent)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let span = u64::try_from(span).map_err(|_| BadTraceParent)?;
        match version == 0xff || trace == 0 || span == 0 {
            true => Err(BadTraceParent),
            false => Ok(Self { trace, span, sampled: flags & 1 == 1 }),
        }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the recommendation, and what it says of others.
    #[test]
    fn it_is_read_as_the_recommendation_says() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let known = format!("00-{trace}-00f067aa0ba902b7-01");
        let parent: TraceParent = known.parse().unwrap();
        assert_eq!((parent.to_string(), parent.is_sampled()), (known.clone(), true));
        assert_eq!(format!("{:032x} {:016x}", parent.trace(), parent.span()), format!("{trace} 00f067aa0ba902b7"));
        let later = format!("cc-{trace}-00f067aa0ba902b7-00-what-the-future-brings");
        assert!(!later.parse::<TraceParent>().unwrap().is_sampled());
        for bad in [
            String::new(),
            format!("{known}-more"),
            known.replace("00-4", "ff-4"),
            known.replace(trace, &"0".repeat(32)),
            known.replace("00f067aa0ba902b7", &"0".repeat(16)),
            known.to_uppercase(),
            known.replace('-', "_"),
            "é".repeat(30),
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(BadTraceParent), "{bad}");
        }
    }
}
