//! Secrets that a guest was given, kept out of what is kept of it (T36).
//!
//! This is against accidents: a flow that prints its configuration, an error that quotes a header. A guest that wants to
//! tell its secret can spell it out.

use std::borrow::Cow;
use std::sync::Arc;

use retake_core::failure::Failure;
use retake_core::limits;
use retake_core::value::Json;

/// The secrets that a guest was given, each with its name.
#[derive(Default)]
pub(crate) struct Hidden(Vec<(String, Arc<str>)>);

impl Hidden {
    /// Remembers a secret that a guest is given. Short ones are not looked for: they would be found everywhere.
    pub(crate) fn add(&mut self, name: &str, value: &Arc<str>) {
        if value.len() < limits::HIDDEN_BYTES || self.0.iter().any(|(_, it)| it == value) {
            return;
        }
        let escaped = serde_json::to_string(&**value).unwrap_or_default();
        let inner = &escaped[1..escaped.len().max(2) - 1];
        if inner != &**value {
            self.0.push((name.to_owned(), inner.into()));
        }
        self.0.push((name.to_owned(), value.clone()));
        // One may be part of another.
        self.0.sort_by_key(|(_, it)| std::cmp::Reverse(it.len()));
    }

    /// Returns the name of a secret that a text holds.
    pub(crate) fn held_by(&self, text: &str) -> Option<&str> {
        self.0.iter().find(|(_, value)| text.contains(&**value)).map(|(name, _)| name.as_str())
    }

    fn text<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        self.0.iter().fold(text, |text, (name, value)| match text.contains(&**value) {
            true => text.replace(&**value, &format!("[secret {name}]")).into(),
            false => text,
        })
    }

    /// Puts names where a text holds secrets.
    pub(crate) fn out_of(&self, text: String) -> String {
        match self.held_by(&text) {
            Some(_) => self.text(text.into()).into_owned(),
            None => text,
        }
    }

    /// The same for a value.
    pub(crate) fn out_of_json(&self, json: Json) -> Json {
        match self.held_by(json.as_str()) {
            // A name has no character that JSON would write otherwise, but a quote or a backslash.
            Some(_) => {
                let names = self.0.iter().map(|(name, value)| (name.replace(['"', '\\'], "?"), value.clone()));
                let text = Self(names.collect()).text(json.as_str().into()).into_owned();
                Json::parse(text, usize::MAX).unwrap_or_else(|_| Json::trusted("\"[secret]\""))
            }
            None => json,
        }
    }

    /// The same for a failure.
    pub(crate) fn out_of_failure(&self, failure: Failure) -> Failure {
        if self.0.is_empty() {
            return failure;
        }
        Failure {
            code: self.out_of(failure.code),
            message: self.out_of(failure.message),
            details: failure.details.map(|it| self.out_of_json(it)),
            ..failure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(all: &[(&str, &str)]) -> Hidden {
        let mut hidden = Hidden::default();
        all.iter().for_each(|(name, value)| hidden.add(name, &Arc::from(*value)));
        hidden
    }

    #[test]
    fn names_stand_where_secrets_stood() {
        let hidden =
            hidden(&[("short", "1234567"), ("part", "12345678"), ("whole", "x12345678y"), ("odd", "say \"hi\"\n")]);
        let out = |text: &str| hidden.out_of(text.to_owned());
        assert_eq!(out("a 12345678 b 12345678"), "a [secret part] b [secret part]");
        assert_eq!(out("x12345678y"), "[secret whole]");
        assert_eq!(out("1234567"), "1234567", "a short one would be found everywhere");
        assert_eq!(hidden.held_by("no, x12345678y!"), Some("whole"));
        let value =
            Json::parse(serde_json::json!({ "a": "say \"hi\"\n", "b": ["12345678"] }).to_string(), 999).unwrap();
        assert_eq!(hidden.out_of_json(value).as_str(), r#"{"a":"[secret odd]","b":["[secret part]"]}"#);
        let value = Json::trusted("{\"a\":12345678}");
        assert_eq!(hidden.out_of_json(value).as_str(), "\"[secret]\"", "what is no JSON any more is left out whole");
    }
}
