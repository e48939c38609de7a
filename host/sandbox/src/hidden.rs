//! Secrets that a guest was given, kept out of what is kept of it (T36).
//!
//! This is against accidents: a flow that prints its configuration, an error that quotes a header. Secrets are found as
//! they are, line by line, as JSON and addresses escape them, and in base64 and hexadecimal. A guest that wants to tell
//! its secret can still do so: reversed, in pieces, compressed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use retake_core::failure::Failure;
use retake_core::limits;
use retake_core::value::Json;

/// Shortest line of a secret of several lines that is looked for, in bytes.
const LINE_BYTES: usize = 6;

/// The secrets that a guest was given.
#[derive(Default)]
pub(crate) struct Hidden {
    /// The longest first: one may be part of another.
    secrets: Vec<Secret>,
    /// Every form of every secret by how it begins, with the name of the secret; the longest first. So to look for them
    /// takes no longer when there are many.
    forms: HashMap<[u8; LINE_BYTES], Vec<(String, Arc<str>)>>,
}

struct Secret {
    name: Arc<str>,
    value: Arc<str>,
    /// What is looked for: as it is, line by line, and the same in other alphabets. Each is found in texts as they are, and
    /// as they are once their escapes are read.
    forms: Vec<String>,
}

impl Secret {
    fn new(name: &str, value: &Arc<str>) -> Self {
        let mut plain = vec![value.to_string()];
        // As it is printed line by line. The first and last line of a key say what it is, and no more.
        if value.trim().contains('\n') {
            let lines = value.lines().map(str::trim).filter(|it| !it.starts_with("-----"));
            plain.extend(lines.filter(|it| it.len() >= LINE_BYTES).map(str::to_owned));
        }
        // A key of a service is often JSON, of which a flow prints parts.
        if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(value) {
            let texts = fields.values().filter_map(serde_json::Value::as_str);
            plain.extend(texts.filter(|it| it.len() >= 2 * limits::HIDDEN_BYTES).map(str::to_owned));
        }
        let long = plain.iter().filter(|it| it.len() >= limits::HIDDEN_BYTES);
        let encoded: Vec<String> = long.flat_map(|it| encoded(it.as_bytes())).collect();
        Self { name: name.into(), value: value.clone(), forms: [plain, encoded].concat() }
    }
}

/// Writes bytes in base64, wherever in it they may stand, and in hexadecimal.
fn encoded(bytes: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let text = [&vec![0; before][..], bytes].concat();
        // Digits that are of these bytes alone: each has six bits.
        let (from, to) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
        for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            forms.push(alphabet.encode(&text)[from..to].to_owned());
        }
    }
    let hex: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
    forms.push(hex.to_uppercase());
    forms.push(hex);
    forms
}

/// A text whose escapes were read, and where each byte of it was written.
struct Read {
    text: String,
    /// Where each byte begins in what was read, and where the last ends.
    places: Vec<usize>,
}

impl Read {
    fn push(&mut self, c: char, at: usize) {
        self.text.push(c);
        self.places.resize(self.text.len(), at);
    }

    /// Reads backslashes as JSON and most languages write them.
    fn backslashes(text: &str) -> Self {
        let mut read = Self { text: String::with_capacity(text.len()), places: Vec::with_capacity(text.len()) };
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let (said, length) = escaped(&text[at..]).unwrap_or((c, c.len_utf8()));
            read.push(said, at);
            at += length;
        }
        read.places.push(text.len());
        read
    }

    /// Reads `%41` as addresses write it, and `+` as a blank where forms do.
    fn percents(text: &str, plus_is_blank: bool) -> Self {
        let bytes = text.as_bytes();
        let (mut out, mut written, mut at) = (Vec::with_capacity(bytes.len()), Vec::with_capacity(bytes.len()), 0);
        while at < bytes.len() {
            let said =
                bytes.get(at + 1..at + 3).and_then(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok());
            let (byte, length) = match (bytes[at], said) {
                (b'%', Some(said)) => (said, 3),
                (b'+', _) if plus_is_blank => (b' ', 1),
                (byte, _) => (byte, 1),
            };
            out.push(byte);
            written.push(at);
            at += length;
        }
        // What is no text holds no secret, but what is beside it may.
        let mut read = Self { text: String::with_capacity(out.len()), places: Vec::with_capacity(out.len()) };
        let mut place = 0;
        for chunk in out.utf8_chunks() {
            for c in chunk.valid().chars() {
                read.push(c, written[place]);
                place += c.len_utf8();
            }
            if !chunk.invalid().is_empty() {
                read.push(char::REPLACEMENT_CHARACTER, written[place]);
                place += chunk.invalid().len();
            }
        }
        read.places.push(bytes.len());
        read
    }

    /// Where a part of what was read is written.
    fn written(&self, part: &Range<usize>) -> Range<usize> {
        self.places[part.start]..self.places[part.end]
    }
}

/// Reads an escape at the beginning of a text: what it says, and how long it is.
fn escaped(text: &str) -> Option<(char, usize)> {
    let rest = text.strip_prefix('\\')?;
    let unit = |text: &str| u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    match rest.chars().next()? {
        'u' => match unit(text)? {
            high @ 0xd800..0xdc00 => {
                let low = unit(&text[6..]).filter(|it| (0xdc00..0xe000).contains(it))?;
                Some((char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?, 12))
            }
            one => Some((char::from_u32(one)?, 6)),
        },
        'x' => Some((char::from(u8::from_str_radix(rest.get(1..3)?, 16).ok()?), 4)),
        'n' => Some(('\n', 2)),
        'r' => Some(('\r', 2)),
        't' => Some(('\t', 2)),
        'b' => Some(('\u{8}', 2)),
        'f' => Some(('\u{c}', 2)),
        c @ ('"' | '\\' | '/' | '\'') => Some((c, 2)),
        _ => None,
    }
}

impl Hidden {
    /// Remembers a secret that a guest is given. Short ones are not looked for: they would be found everywhere.
    pub(crate) fn add(&mut self, name: &str, value: &Arc<str>) {
        if value.len() < limits::HIDDEN_BYTES || self.secrets.iter().any(|it| it.value == *value) {
            return;
        }
        let secret = Secret::new(name, value);
        for form in &secret.forms {
            let Some(begins) = form.as_bytes().first_chunk::<LINE_BYTES>() else { continue };
            let alike = self.forms.entry(*begins).or_default();
            alike.push((form.clone(), secret.name.clone()));
            alike.sort_by_key(|(it, _)| std::cmp::Reverse(it.len()));
        }
        self.secrets.push(secret);
        self.secrets.sort_by_key(|it| std::cmp::Reverse(it.value.len()));
    }

    /// Returns the length of the longest secret, however it is written: so much more than what is kept has to be looked at.
    pub(crate) fn longest(&self) -> usize {
        self.secrets.first().map_or(0, |it| 6 * it.value.len())
    }

    /// Returns where forms of secrets stand in a text, and their names.
    fn forms_in(&self, text: &str) -> Vec<(Range<usize>, &str)> {
        let bytes = text.as_bytes();
        let longest_at = |at: usize| {
            let alike = self.forms.get(bytes[at..].first_chunk::<LINE_BYTES>()?)?;
            let (form, name) = alike.iter().find(|(form, _)| bytes[at..].starts_with(form.as_bytes()))?;
            Some((at..at + form.len(), &**name))
        };
        (0..bytes.len()).filter_map(longest_at).collect()
    }

    /// Returns where a text holds secrets, and their names: from its beginning on, none within another.
    fn found_in(&self, text: &str) -> Vec<(Range<usize>, &str)> {
        if self.forms.is_empty() {
            return Vec::new();
        }
        let mut found = self.forms_in(text);
        let mut readings = Vec::new();
        if text.contains('\\') {
            readings.push(Read::backslashes(text));
        }
        if text.contains('%') {
            readings.push(Read::percents(text, false));
        }
        if text.contains('+') {
            readings.push(Read::percents(text, true));
        }
        for read in &readings {
            found.extend(self.forms_in(&read.text).into_iter().map(|(it, name)| (read.written(&it), name)));
        }
        found.sort_by_key(|(it, _)| (it.start, std::cmp::Reverse(it.end)));
        found.dedup_by(|later, before| {
            let is_part = later.0.start < before.0.end;
            if is_part {
                before.0.end = before.0.end.max(later.0.end);
            }
            is_part
        });
        found
    }

    /// Returns the name of a secret that a text holds.
    pub(crate) fn held_by(&self, text: &str) -> Option<&str> {
        self.found_in(text).first().map(|(_, name)| *name)
    }

    /// Puts names where a text holds secrets.
    pub(crate) fn out_of(&self, text: String) -> String {
        match self.found_in(&text) {
            found if found.is_empty() => text,
            found => named(&text, 0, found),
        }
    }

    /// The same for what a text says from a place on. A secret that stands across the place is left out whole, although it
    /// would not be found in what is left of it.
    pub(crate) fn out_of_end(&self, text: &str, from: usize) -> String {
        let found = self.found_in(text);
        let across = found.iter().find(|(place, _)| place.start < from && from < place.end);
        let from = across.map_or(from, |(place, _)| place.end);
        named(text, from, found.into_iter().filter(|(place, _)| place.start >= from))
    }

    /// The same for a value: in each of its texts and numbers, and in what stands across several.
    pub(crate) fn out_of_json(&self, json: Json) -> Json {
        if self.found_in(json.as_str()).is_empty() {
            return json;
        }
        let text = parts(json.as_str(), |part| match part.starts_with('"') {
            true => match serde_json::from_str::<String>(part) {
                Ok(said) => match self.found_in(&said).is_empty() {
                    true => part.to_owned(),
                    false => Json::of(&self.out_of(said)).as_str().to_owned(),
                },
                Err(_) => part.to_owned(),
            },
            false => match self.held_by(part) {
                Some(_) => Json::of(&self.out_of(part.to_owned())).as_str().to_owned(),
                None => part.to_owned(),
            },
        });
        // A secret that is JSON itself may be spread over several parts.
        match self.found_in(&text).is_empty() {
            true => Json::parse(text, usize::MAX).unwrap_or_else(|_| Json::trusted("\"[secret]\"")),
            false => Json::trusted("\"[secret]\""),
        }
    }

    /// The same for a failure.
    pub(crate) fn out_of_failure(&self, failure: Failure) -> Failure {
        if self.forms.is_empty() {
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

/// Writes a text from a place on, with the names of secrets where they stand.
fn named<'a>(text: &str, from: usize, found: impl IntoIterator<Item = (Range<usize>, &'a str)>) -> String {
    let (mut out, mut at) = (String::with_capacity(text.len() - from), from);
    for (place, name) in found {
        out += &text[at..place.start];
        out += &format!("[secret {name}]");
        at = place.end;
    }
    out + &text[at..]
}

/// Writes JSON anew, with each of its texts, as it is quoted, and each of its numbers as it is said to be.
fn parts(json: &str, mut said: impl FnMut(&str) -> String) -> String {
    let (bytes, mut out, mut at) = (json.as_bytes(), String::with_capacity(json.len()), 0);
    while at < bytes.len() {
        let end = match bytes[at] {
            b'"' => {
                let mut end = at + 1;
                while end < bytes.len() && bytes[end] != b'"' {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                (end + 1).min(bytes.len())
            }
            b'-' | b'0'..=b'9' => {
                let is_of_it = |it: &u8| matches!(it, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                at + bytes[at..].iter().take_while(|it| is_of_it(it)).count()
            }
            _ => {
                let end = bytes[at..].iter().position(|it| matches!(it, b'"' | b'-' | b'0'..=b'9'));
                let end = end.map_or(bytes.len(), |it| at + it);
                out += &json[at..end];
                at = end;
                continue;
            }
        };
        out += &said(&json[at..end]);
        at = end;
    }
    out
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
        let value = Json::trusted("{\"a\":12345678,\"b\":123456789012345678901234567890}");
        assert_eq!(
            hidden.out_of_json(value).as_str(),
            r#"{"a":"[secret part]","b":"[secret part]90[secret part]90[secret part]90"}"#
        );
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
    fn a_secret_is_found_as_encoders_write_it() {
        let word = "a&b/<größe> 12345";
        let hidden = hidden(&[("word", word)]);
        let out = |text: &str| hidden.out_of(text.to_owned());
        for written in [
            r"a\u0026b/\u003cgröße\u003e 12345",
            r"a&b\/<gr\u00F6\u00dfe> 12345",
            r"\u0061\u0026\u0062\u002f<größe> 1\u0032345",
            r"\x61&b/<größe> 12345",
            "a%26b%2F%3Cgr%C3%B6%C3%9Fe%3E%2012345",
            "a%26b%2f%3cgr%c3%b6%c3%9fe%3e+12345",
        ] {
            assert_eq!(out(&format!("x={written};")), "x=[secret word];", "{written}");
        }
        for before in ["", "u", "us", "user:"] {
            for after in ["", "!", "!!", "!!!"] {
                let text = format!("{before}{word}{after}");
                for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                    let said = out(&format!("Basic {encoded}"));
                    assert!(said.contains("[secret word]") && said.len() < 36, "{said}");
                }
            }
        }
        let hex: String = word.bytes().map(|it| format!("{it:02x}")).collect();
        assert_eq!(out(&hex), "[secret word]");
        assert_eq!(out(&hex.to_uppercase()), "[secret word]");
        // In a value, however it is escaped there, and in JSON that is a text in JSON.
        let value = Json::trusted(
            r#"{"a&b/\u003cgr\u00f6ße> 12345":["{\"q\":\"a\\u0026b\\/<größe> 12345\"}", 123456789012345678901]}"#,
        );
        let found = hidden.out_of_json(value);
        assert_eq!(found.as_str(), r#"{"[secret word]":["{\"q\":\"[secret word]\"}", 123456789012345678901]}"#);
        // What is like it is left as it is.
        for other in ["a&b/<größe> 1234", "100 %", "C:\\users", "1 + 1", "\\u12", "50%2"] {
            assert_eq!(out(other), other);
        }
    }

    #[test]
    fn parts_of_a_secret_are_found() {
        let key = "-----BEGIN KEY-----\nMIIBVgIBADANBg\nkqhkiG9w0BAQEF\nqq4Z5A=\n-----END KEY-----\n";
        let service = serde_json::json!({ "client": "x", "private_key": key, "id": "0123456789abcdef" }).to_string();
        let hidden = hidden(&[("key", key), ("service", &service)]);
        let out = |text: &str| hidden.out_of(text.to_owned());
        assert_eq!(out("qq4Z5A="), "[secret key]", "its last line");
        assert_eq!(out("id 0123456789abcdef"), "id [secret service]");
        let spread = Json::parse(service.replace(':', ": "), usize::MAX).unwrap();
        let found = hidden.out_of_json(spread);
        assert!(!found.as_str().contains("0123456789abcdef") && !found.as_str().contains("MIIB"), "{}", found.as_str());
    }

    #[test]
    fn nothing_is_cut_through_a_secret() {
        let hidden = hidden(&[("word", "12345678")]);
        let out = |text: &str, from: usize| hidden.out_of_end(text, from);
        let text = "ab12345678cd";
        assert_eq!(out(text, 1), "b[secret word]cd");
        assert_eq!(out(text, 2), "[secret word]cd", "it begins there");
        for place in 3..10 {
            assert_eq!(out(text, place), "cd", "{place}");
        }
        assert_eq!(out(text, 11), "d");
        assert_eq!(out(r"ab\u00312345678cd 12345678", 5), "cd [secret word]", "also where it is escaped");
        assert_eq!(hidden.longest(), 48);
    }

    #[test]
    fn what_is_beside_a_secret_does_not_hide_it() {
        let hidden = hidden(&[("plus", "wJalr+XUtn/FEMI"), ("blank", "p@ss w/ord 1")]);
        let out = |text: &str| hidden.out_of(text.to_owned());
        assert_eq!(out("k=wJalr+XUtn%2FFEMI"), "k=[secret plus]");
        assert_eq!(out("?n=M%FCller&p=p%40ss%20w%2Ford%201"), "?n=M%FCller&p=[secret blank]");
        assert_eq!(out("?n=M%FCller&p=p%40ss+w%2Ford+1"), "?n=M%FCller&p=[secret blank]");
    }

    /// A bundle of certificates has hundreds of lines, each of which is looked for.
    #[test]
    fn a_long_secret_takes_no_longer_to_look_for() {
        let line = |n: usize| format!("{n:08}{}", "x".repeat(56));
        let bundle: String = (0..960).map(|n| line(n) + "\n").collect();
        let hidden = hidden(&[("bundle", &bundle)]);
        let began = std::time::Instant::now();
        for n in 0..960 {
            assert_eq!(hidden.out_of(line(n)), "[secret bundle]");
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
