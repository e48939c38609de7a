//! How much work it is to check a value by a schema, counted before any of it is done.
//!
//! Schemas and values come from strangers, and the crate that checks them cannot be stopped: what it would look at is
//! counted here, as if nothing ended it early. A step is about as much as to compare two short texts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

/// Most steps of one check: about a second.
const CHECK: u64 = 20_000_000;
/// Most steps of all checks of an attempt.
const ATTEMPT: u64 = 20 * CHECK;
/// How deep schemas and values may lead into each other: a validator's stack must not be a stranger's to spend.
const DEPTH: usize = 256;
/// What a place at which a value does not fit holds in memory, in bytes, without the value.
const MISFIT: u64 = 400;
/// Bytes of a pattern's machine that a character takes about a step for.
const MACHINE: u64 = 256;

/// What whoever asks may still have checked: a request, or an attempt with all its calls.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU64);

impl Budget {
    /// What a request may have checked.
    pub(crate) fn of_request() -> Self {
        Self(AtomicU64::new(CHECK))
    }

    /// What an attempt may have checked.
    pub(crate) fn of_attempt() -> Self {
        Self(AtomicU64::new(ATTEMPT))
    }

    /// Returns how many steps the next check may take.
    pub(crate) fn next(&self) -> u64 {
        self.0.load(Ordering::Relaxed).min(CHECK)
    }

    /// Charges steps.
    pub(crate) fn charge(&self, steps: u64) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(steps)));
    }
}

/// A check would take more steps than it may, or lead too deep.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

/// Counts what a check looks at.
pub(crate) struct Steps<'a> {
    root: &'a Value,
    /// How large the machine of each pattern is, in bytes.
    patterns: &'a HashMap<String, usize>,
    most: u64,
    /// Steps so far.
    pub(crate) taken: u64,
    /// Bytes that the misfits would hold, if everything were one.
    pub(crate) told: u64,
    depth: usize,
}

impl<'a> Steps<'a> {
    /// Counts nothing yet; `most` are the steps that the check may take.
    pub(crate) fn new(root: &'a Value, patterns: &'a HashMap<String, usize>, most: u64) -> Self {
        Self { root, patterns, most, taken: 0, told: 0, depth: 0 }
    }

    fn take(&mut self, steps: u64) -> Result<(), TooMuch> {
        self.taken = self.taken.saturating_add(steps);
        if self.taken > self.most { Err(TooMuch) } else { Ok(()) }
    }

    /// Counts a value by a schema, which is looked at so many times.
    pub(crate) fn of(&mut self, schema: &'a Value, value: &Value, times: u64) -> Result<(), TooMuch> {
        self.take(times)?;
        self.told = self.told.saturating_add(MISFIT.saturating_mul(times));
        let Value::Object(keywords) = schema else { return Ok(()) };
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(TooMuch);
        }
        self.take(times.saturating_mul(keywords.len() as u64))?;
        self.in_place(keywords, value, times)?;
        match value {
            Value::Object(fields) => self.fields(keywords, fields, times)?,
            Value::Array(items) => self.items(keywords, items, times)?,
            Value::String(text) => self.text(keywords, text, times)?,
            _ => {}
        }
        self.depth -= 1;
        Ok(())
    }

    /// Counts what is said of the value itself by other schemas, and by lists of values.
    fn in_place(&mut self, keywords: &'a Map<String, Value>, value: &Value, times: u64) -> Result<(), TooMuch> {
        // For each part that no other keyword is known to speak of, those are asked again.
        let again = match value {
            Value::Object(fields) if keywords.contains_key("unevaluatedProperties") => fields.len() as u64 + 1,
            Value::Array(items) if keywords.contains_key("unevaluatedItems") => items.len() as u64 + 1,
            _ => 1,
        };
        let times = times.saturating_mul(again);
        for (keyword, said) in keywords {
            match (keyword.as_str(), said) {
                ("$ref", Value::String(to)) => {
                    let target = to.strip_prefix('#').and_then(|it| self.root.pointer(it));
                    target.map_or(Ok(()), |it| self.of(it, value, times))?;
                }
                ("allOf", Value::Array(all)) => all.iter().try_for_each(|it| self.of(it, value, times))?,
                ("anyOf" | "oneOf", Value::Array(all)) => {
                    // What fits none of them is told of with why not, once for each.
                    let held = size(value).saturating_mul(all.len() as u64).saturating_mul(times);
                    self.told = self.told.saturating_add(held);
                    self.take(size(value) / 16)?;
                    all.iter().try_for_each(|it| self.of(it, value, times))?;
                }
                ("not" | "if" | "then" | "else", it) => self.of(it, value, times)?,
                ("dependentSchemas" | "dependencies", Value::Object(all)) => {
                    all.values().try_for_each(|it| self.of(it, value, times))?;
                }
                ("enum", Value::Array(all)) => self.take(times.saturating_mul(all.iter().map(compared).sum()))?,
                ("const", it) => self.take(times.saturating_mul(compared(it)))?,
                ("required", Value::Array(all)) => self.take(times.saturating_mul(all.len() as u64))?,
                ("uniqueItems", _) => self.take(times.saturating_mul(size(value)))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn fields(
        &mut self,
        keywords: &'a Map<String, Value>,
        fields: &Map<String, Value>,
        times: u64,
    ) -> Result<(), TooMuch> {
        let named = keywords.get("properties").and_then(Value::as_object);
        let matched = keywords.get("patternProperties").and_then(Value::as_object);
        let others = ["additionalProperties", "unevaluatedProperties"].map(|it| keywords.get(it));
        self.take(times.saturating_mul(named.map_or(0, Map::len) as u64))?;
        for (name, value) in fields {
            self.take(times)?;
            if let Some(schema) = named.and_then(|it| it.get(name)) {
                self.of(schema, value, times)?;
            }
            for (pattern, schema) in matched.into_iter().flatten() {
                self.matched(pattern, name, times)?;
                self.of(schema, value, times)?;
            }
            for schema in others.into_iter().flatten() {
                self.of(schema, value, times)?;
            }
            if let Some(schema) = keywords.get("propertyNames") {
                self.of(schema, &Value::String(name.clone()), times)?;
            }
        }
        Ok(())
    }

    fn items(&mut self, keywords: &'a Map<String, Value>, items: &[Value], times: u64) -> Result<(), TooMuch> {
        for keyword in ["items", "additionalItems", "unevaluatedItems", "contains"] {
            match keywords.get(keyword) {
                // Older drafts have a list here.
                Some(Value::Array(each)) => {
                    each.iter().zip(items).try_for_each(|(schema, it)| self.of(schema, it, times))?;
                }
                Some(schema) => items.iter().try_for_each(|it| self.of(schema, it, times))?,
                None => {}
            }
        }
        let first = keywords.get("prefixItems").and_then(Value::as_array);
        first.into_iter().flatten().zip(items).try_for_each(|(schema, it)| self.of(schema, it, times))
    }

    fn text(&mut self, keywords: &'a Map<String, Value>, text: &str, times: u64) -> Result<(), TooMuch> {
        self.take(times.saturating_mul(text.len() as u64 / 16))?;
        match keywords.get("pattern") {
            Some(Value::String(pattern)) => self.matched(pattern, text, times),
            _ => Ok(()),
        }
    }

    fn matched(&mut self, pattern: &str, text: &str, times: u64) -> Result<(), TooMuch> {
        let machine = self.patterns.get(pattern).copied().unwrap_or_default() as u64;
        let of_text = (text.len() as u64 + 1).saturating_mul(1 + machine / MACHINE) / 2;
        self.take(times.saturating_mul(of_text))
    }
}

/// How much it is to compare a value with something.
fn compared(value: &Value) -> u64 {
    1 + size(value) / 64
}

/// Returns about how many bytes a value has.
fn size(value: &Value) -> u64 {
    match value {
        Value::String(text) => 32 + text.len() as u64,
        Value::Array(items) => 32 + items.iter().map(size).sum::<u64>(),
        Value::Object(fields) => 32 + fields.iter().map(|(name, it)| 32 + name.len() as u64 + size(it)).sum::<u64>(),
        _ => 32,
    }
}
