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
        // As JSON writes it, also where all but ASCII is escaped; and line by line, as it is printed. The first and last
        // line of a key say what it is, and no more.
        let in_ascii = ascii(inner);
        let lines = value.lines().map(str::trim).filter(|it| !it.starts_with("-----"));
        let parts = [inner, &in_ascii].into_iter().chain(lines).filter(|it| it.len() >= limits::HIDDEN_BYTES);
        let mut forms: Vec<Arc<str>> = vec![value.clone()];
        for part in parts {
            if forms.iter().all(|it| **it != *part) {
                forms.push(part.into());
            }
        }
        self.0.extend(forms.into_iter().map(|it| (name.to_owned(), it)));
        // One may be part of another.
        self.0.sort_by_key(|(_, it)| std::cmp::Reverse(it.len()));
    }

    /// Returns the length of the longest secret: so much more than what is kept has to be looked at.
    pub(crate) fn longest(&self) -> usize {
        self.0.first().map_or(0, |(_, it)| it.len())
    }

    /// Returns where to cut what is before a place away without leaving the rest of a secret.
    pub(crate) fn cut_after(&self, bytes: &[u8], place: usize) -> usize {
        let end = |secret: &str| {
            let from = place.saturating_sub(secret.len());
            let to = (place + secret.len()).min(bytes.len());
            let found = bytes[from..to].windows(secret.len().max(1)).position(|it| it == secret.as_bytes())?;
            Some(from + found + secret.len()).filter(|end| *end > place && from + found < place)
        };
        self.0.iter().filter_map(|(_, secret)| end(secret)).max().unwrap_or(place)
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

/// Writes all but ASCII as `\uXXXX`.
fn ascii(text: &str) -> String {
    let mut units = [0; 2];
    text.chars().fold(String::new(), |mut out, c| {
        match c.is_ascii() {
            true => out.push(c),
            false => c.encode_utf16(&mut units).iter().for_each(|it| out += &format!("\\u{it:04x}")),
        }
        out
    })
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

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let key = "-----BEGIN KEY-----\nMIIBVgIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n";
        let hidden = hidden(&[("key", key), ("word", "größe-12345")]);
        let out = |text: &str| hidden.out_of(text.to_owned());
        assert_eq!(out("  MIIBVgIBADANBg"), "  [secret key]", "a line of it");
        assert_eq!(out("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
        assert_eq!(out(r#""gr\u00f6\u00dfe-12345""#), r#""[secret word]""#);
    }

    #[test]
    fn nothing_is_cut_through_a_secret() {
        let hidden = hidden(&[("word", "12345678")]);
        let text = b"ab12345678cd";
        assert_eq!(hidden.cut_after(text, 1), 1);
        assert_eq!(hidden.cut_after(text, 2), 2, "it begins there");
        for place in 3..10 {
            assert_eq!(hidden.cut_after(text, place), 10, "{place}");
        }
        assert_eq!(hidden.cut_after(text, 11), 11);
        assert_eq!(hidden.longest(), 8);
    }
}
