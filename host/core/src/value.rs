//! JSON text that was checked once, and the form of it that calls are known by.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::id::ContentDigest;
use crate::limits;

/// Valid JSON text of bounded size and depth. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Arc<str>);

/// Why a text is not a value.
#[derive(Debug, thiserror::Error)]
pub enum BadJson {
    /// It is too long.
    #[error("{got} bytes of JSON, at most {max} are allowed")]
    TooLong {
        /// Its length in bytes.
        got: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// It is nested too deeply.
    #[error("JSON nested more than {} levels deep", limits::VALUE_DEPTH)]
    TooDeep,
    /// It is not JSON.
    #[error("not JSON")]
    Malformed(#[source] serde_json::Error),
    /// A number in it is larger than any that a reader could take.
    #[error("a number in it is too large: {} digits is the most, or about 1.8e308", limits::DIGITS)]
    TooLarge,
}

impl Json {
    /// Checks that `text` is JSON, at most `max` bytes long and at most [`limits::VALUE_DEPTH`] levels deep.
    pub fn parse(text: impl Into<Arc<str>>, max: usize) -> Result<Self, BadJson> {
        let text = text.into();
        if text.len() > max {
            return Err(BadJson::TooLong { got: text.len(), max });
        }
        if depth(&text) > limits::VALUE_DEPTH {
            return Err(BadJson::TooDeep);
        }
        serde_json::from_str::<Checked>(&text).map_err(|error| {
            match error.to_string().contains("number out of range") {
                true => BadJson::TooLarge,
                false => BadJson::Malformed(error),
            }
        })?;
        Ok(Self(text))
    }

    /// Takes text back that was checked before it was written, as by a store.
    pub fn trusted(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Writes `value` as JSON.
    ///
    /// # Panics
    /// When `value` cannot be JSON: a map with keys that are no strings.
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_string(value).expect("the host's own values are JSON").into())
    }

    /// The value `null`.
    pub fn null() -> Self {
        Self("null".into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the shared text.
    pub fn as_arc(&self) -> &Arc<str> {
        &self.0
    }

    /// Returns the parsed value.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).expect("was checked when it was made")
    }

    /// Returns the text with sorted keys and no insignificant space, numbers as written.
    ///
    /// Two texts with the same canonical form ask the same question. `1` and `1.0` stay different: that costs a
    /// task run at worst, never a wrong answer. Of keys that are repeated the last counts.
    pub fn canonical(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        let raw: &RawValue = serde_json::from_str(&self.0).expect("was checked when it was made");
        canonical(raw, &mut out);
        out
    }

    /// Lays the members of an object over those of another, as they are written. `None` when either is no object.
    pub fn over(&self, base: &Self) -> Option<Self> {
        let object = |json: &Self| serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(&json.0).ok();
        let (mut all, new) = (object(base)?, object(self)?);
        if all.is_empty() {
            return Some(self.clone());
        }
        all.extend(new);
        Some(Self::of(&all))
    }

    /// Returns an object without some of its members; what is no object stays as it is.
    pub fn without(&self, names: &[String]) -> Self {
        match serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(&self.0) {
            Ok(mut all) if names.iter().any(|it| all.contains_key(it)) => {
                all.retain(|name, _| !names.contains(name));
                Self::of(&all)
            }
            _ => self.clone(),
        }
    }

    /// Returns the text with a line for each member and item, for people; numbers as written.
    pub fn pretty(&self) -> String {
        let mut out = String::with_capacity(self.0.len() * 2);
        let (mut depth, mut in_text, mut escaped) = (0, false, false);
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str("  "));
        };
        let mut chars = self.0.chars().filter(|it| *it != '\r').peekable();
        while let Some(c) = chars.next() {
            if in_text {
                out.push(c);
                in_text = escaped || c != '"';
                escaped = !escaped && c == '\\';
                continue;
            }
            match c {
                ' ' | '\n' | '\t' => {}
                '{' | '[' => {
                    while chars.next_if(|it| it.is_ascii_whitespace()).is_some() {}
                    out.push(c);
                    match chars.next_if(|it| matches!(it, '}' | ']')) {
                        Some(end) => out.push(end),
                        None => {
                            depth += 1;
                            line(&mut out, depth);
                        }
                    }
                }
                '}' | ']' => {
                    depth -= 1;
                    line(&mut out, depth);
                    out.push(c);
                }
                ',' => {
                    out.push(c);
                    line(&mut out, depth);
                }
                ':' => out.push_str(": "),
                _ => {
                    in_text = c == '"';
                    out.push(c);
                }
            }
        }
        out
    }

    /// Returns a few words by which people tell this value from another, at most `most` characters long: `page=3` for an
    /// object, as it is written for anything else.
    pub fn summary(&self, most: usize) -> String {
        // A character has four bytes at most: what is beyond these need not be looked at.
        let enough = |text: &str| text.chars().take(most + 1).collect::<String>();
        let mut text = String::new();
        let members = serde_json::from_str::<BTreeMap<String, &RawValue>>(&self.0).unwrap_or_default();
        for (name, value) in &members {
            if text.len() > 4 * most {
                break;
            }
            let value = value.get();
            let value = value.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(value);
            let gap = if text.is_empty() { "" } else { " " };
            text += &format!("{gap}{}={}", enough(name), enough(value));
        }
        if members.is_empty() {
            text = enough(&self.0);
        }
        match text.char_indices().nth(most) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    /// Returns the digest of the canonical form.
    pub fn digest(&self) -> ContentDigest {
        ContentDigest::of(self.canonical().as_bytes())
    }
}

/// Any value that [`serde_json::Value`] could hold, without holding it.
///
/// `IgnoredAny` would let lone surrogates and numbers beyond `f64` pass, and a guest must not be able to hand over
/// text that a later reader chokes on.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Checked;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Checked, A::Error> {
                while seq.next_element::<Checked>()?.is_some() {}
                Ok(Checked)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
                while map.next_entry::<Checked, Checked>()?.is_some() {}
                Ok(Checked)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Returns how deep the brackets of `text` nest, strings left out. It need not be JSON.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn canonical(raw: &RawValue, out: &mut String) {
    let checked = "a part of checked JSON is JSON";
    let text = raw.get();
    match text.as_bytes()[0] {
        b'{' => {
            let map: BTreeMap<String, &RawValue> = serde_json::from_str(text).expect(checked);
            out.push('{');
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key).expect(checked));
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        b'[' => {
            let list: Vec<&RawValue> = serde_json::from_str(text).expect(checked);
            out.push('[');
            for (i, value) in list.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(value, out);
            }
            out.push(']');
        }
        // An escape may be written in several ways; without one there is only one way.
        b'"' if text.contains('\\') => {
            let string: String = serde_json::from_str(text).expect(checked);
            out.push_str(&serde_json::to_string(&string).expect(checked));
        }
        _ => out.push_str(text),
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// By this name serde_json asks for and hands over the text of a value as it stands.
const AS_IT_STANDS: &str = "$serde_json::private::RawValue";

/// Takes the text as it stands, digits and order of names included. Where serde has parsed it already, as within
/// `flatten`, it is written anew; a test says which of the two happens where.
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                match map.next_key::<String>()? {
                    Some(name) if name == AS_IT_STANDS => map.next_value::<String>().map(|it| Json(it.into())),
                    _ => Err(serde::de::Error::custom("not the text of a JSON value")),
                }
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, parsed: D) -> Result<Json, D::Error> {
                serde_json::Value::deserialize(parsed).map(|it| Json::of(&it))
            }
        }
        deserializer.deserialize_newtype_struct(AS_IT_STANDS, Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, canonical: &str) {
        assert_eq!(Json::parse(text, 1 << 20).unwrap().canonical(), canonical, "{text}");
    }

    #[test]
    fn what_people_read_has_lines_and_all_digits() {
        let json = Json::trusted(r#"{"n":123456789012345678901234567890, "a":[1.0,{}],"t":"a,\"{\\"}"#);
        let expected = "{\n  \"n\": 123456789012345678901234567890,\n  \"a\": [\n    1.0,\n    {}\n  ],\n  \"t\": \"a,\\\"{\\\\\"\n}";
        assert_eq!(json.pretty(), expected);
        assert_eq!(Json::trusted("[ ]").pretty(), "[]");
    }

    #[test]
    fn a_summary_tells_inputs_apart() {
        let said = |json: &str| Json::trusted(json).summary(24);
        assert_eq!(said(r#"{"page": 3}"#), "page=3");
        assert_eq!(said(r#"{"region":"eu","n":[1,2]}"#), "n=[1,2] region=eu");
        assert_eq!(said(r#"{"text":"a very long text that goes on"}"#), "text=a very long text th…");
        assert_eq!(said("[1]"), "[1]");
        assert_eq!(said("{}"), "{}");
    }

    #[test]
    fn canonical_form_sorts_keys_and_drops_space() {
        check(r#" { "b" : [ 1 , 2 ] , "a" : { "d":null, "c":true } } "#, r#"{"a":{"c":true,"d":null},"b":[1,2]}"#);
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
    }

    #[test]
    fn text_is_taken_as_it_stands_and_written_anew_within_flatten() {
        #[derive(Deserialize)]
        struct Plain {
            value: Json,
        }
        #[derive(Deserialize)]
        struct Flat {
            #[serde(flatten)]
            plain: Plain,
        }
        let text = r#"{"value": {"b": 123456789012345678901234567890, "a": 1.0}}"#;
        let plain: Plain = serde_json::from_str(text).unwrap();
        assert_eq!(plain.value.as_str(), r#"{"b": 123456789012345678901234567890, "a": 1.0}"#);
        let flat: Flat = serde_json::from_str(r#"{"value": {"b": 1, "a": "x"}}"#).unwrap();
        assert_eq!(flat.plain.value.as_str(), r#"{"a":"x","b":1}"#);
    }

    #[test]
    fn an_object_is_laid_over_another_as_it_is_written() {
        let json = |text: &str| Json::parse(text, 1000).unwrap();
        let base = json(r#"{"a": 123456789012345678901234567890, "b": 1}"#);
        let laid = json(r#"{"b": 1.0}"#).over(&base).unwrap();
        assert_eq!(laid.as_str(), r#"{"a":123456789012345678901234567890,"b":1.0}"#);
        assert_eq!(json("[1]").over(&base), None);
        assert_eq!(base.over(&json("{}")), Some(base.clone()));
    }

    #[test]
    fn numbers_stay_as_written() {
        check("[1, 1.0, 1e3, 123456789012345678901234567890]", "[1,1.0,1e3,123456789012345678901234567890]");
    }

    #[test]
    fn escapes_have_one_form() {
        check(r#""\u0041\/\n""#, r#""A/\n""#);
        check(r#"{"\u0041":1}"#, r#"{"A":1}"#);
    }

    #[test]
    fn text_that_a_later_reader_would_choke_on_is_refused() {
        for text in [r#""\ud800""#, r#"{"\ud800":1}"#, "", "{", "[1,]", "nul", "1 2"] {
            assert!(matches!(Json::parse(text, 100), Err(BadJson::Malformed(_))), "{text}");
        }
        assert!(matches!(Json::parse("[1e999]", 100), Err(BadJson::TooLarge)));
    }

    #[test]
    fn depth_is_bounded_before_parsing() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Json::parse(nested(64), 1 << 20).is_ok());
        assert!(matches!(Json::parse(nested(65), 1 << 20), Err(BadJson::TooDeep)));
        assert!(matches!(Json::parse("[".repeat(1 << 20), 1 << 20), Err(BadJson::TooDeep)));
        assert!(
            Json::parse(r#""[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[""#, 100).is_ok()
        );
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(".{0,4}", inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_form_means_the_same_and_is_its_own_canonical_form(value in any_json()) {
            let pretty = Json::parse(serde_json::to_string_pretty(&value).unwrap(), 1 << 20).unwrap();
            let canonical = Json::parse(pretty.canonical(), 1 << 20).unwrap();
            prop_assert_eq!(canonical.to_value(), value);
            prop_assert_eq!(canonical.canonical(), canonical.as_str());
            prop_assert_eq!(canonical.digest(), pretty.digest());
            prop_assert_eq!(canonical.digest(), ContentDigest::of(canonical.as_str().as_bytes()));
        }

        #[test]
        fn no_text_panics(text in ".{0,64}") {
            if let Ok(json) = Json::parse(text, 1 << 20) {
                json.canonical();
            }
        }
    }
}
