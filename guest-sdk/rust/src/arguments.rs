//! Turns a function's arguments into a JSON object and back.
//!
//! By hand rather than by a derived struct: one copy of this code serves every flow and task of a
//! component, where a derive would write it anew for each.

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{self, Unsayable};
use crate::{Failure, Result};

/// Writes a JSON object, field by field.
pub struct Object {
    text: Vec<u8>,
    /// What JSON cannot say, of the first field that has such a thing.
    error: Option<Unsayable>,
}

impl Object {
    /// Returns an object without fields.
    #[allow(clippy::new_without_default, reason = "only the macros make one")]
    pub fn new() -> Self {
        Self { text: Vec::new(), error: None }
    }

    /// Adds a field. `name` is an identifier, so it needs no escapes.
    pub fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.text.push(if self.text.is_empty() { b'{' } else { b',' });
        self.text.push(b'"');
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
        let from = self.text.len();
        if let Err(error) = json::write(&mut self.text, Some(name), value) {
            self.text.truncate(from);
            // Whoever logs it wants the other fields all the same.
            self.text.extend_from_slice(serde_json::Value::from(format!("({error})")).to_string().as_bytes());
            self.error.get_or_insert(error);
        }
    }

    /// Returns the text, or why a field could not become JSON.
    pub(crate) fn finish(mut self) -> Result<String, Unsayable> {
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(self.finish_anyhow()),
        }
    }

    /// Returns the text, with words for what could not become JSON.
    pub(crate) fn finish_anyhow(mut self) -> String {
        if self.text.is_empty() {
            self.text.push(b'{');
        }
        self.text.push(b'}');
        String::from_utf8(self.text).expect("JSON is made of texts")
    }

    /// Returns whether no field was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// The fields of the JSON object that a flow or a task is called with.
pub struct Arguments<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Arguments<'a> {
    /// Splits an object into its fields, which are read later as what they ought to be.
    pub fn parse(input: &'a str) -> Result<Self> {
        serde_json::from_str(input)
            .map_err(|error| Failure::permanent("input.invalid", format!("expected a JSON object: {error}")))
    }

    /// Returns the argument called `name`. One that is missing is `null`, which suits an `Option`.
    pub fn take<T: Deserialize<'a>>(&mut self, name: &str) -> Result<T> {
        let found = self.find(name);
        json::read(found.unwrap_or("null")).map_err(|error| {
            let message = match found {
                Some(_) => format!("argument `{name}`: {error}"),
                None => format!("argument `{name}` is missing"),
            };
            Failure::permanent("input.invalid", message)
        })
    }

    /// Returns the argument called `name`, or `default()` when it is missing.
    pub fn take_or<T: Deserialize<'a>>(&mut self, name: &str, default: fn() -> T) -> Result<T> {
        if self.find(name).is_some() { self.take(name) } else { Ok(default()) }
    }

    fn find(&self, name: &str) -> Option<&'a str> {
        // The last one counts when a name occurs twice, as in most readers of JSON.
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Fields).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take<T: serde::de::DeserializeOwned>(input: &str) -> Result<T> {
        Arguments::parse(input)?.take("n")
    }

    #[test]
    fn arguments_are_found_by_name() {
        assert_eq!(take::<u32>(r#"{"m": [1, 2], "n": 3}"#).unwrap(), 3);
        assert_eq!(take::<Option<u32>>("{}").unwrap(), None);
    }

    #[test]
    fn wrong_argument_is_told_by_name() {
        let failure = take::<u32>("{}").unwrap_err();
        assert_eq!(failure.message(), "argument `n` is missing");
        assert!(failure.is_permanent());
        let failure = take::<u32>(r#"{"n": "x"}"#).unwrap_err();
        assert!(failure.message().starts_with("argument `n`: invalid type: string"));
        let failure = take::<u32>("[1]").unwrap_err();
        assert!(failure.message().starts_with("expected a JSON object"));
    }

    #[test]
    fn default_stands_in_for_what_is_missing() {
        let mut arguments = Arguments::parse(r#"{"n": 1}"#).unwrap();
        assert_eq!(arguments.take_or("n", || 7).unwrap(), 1);
        assert_eq!(arguments.take_or("m", || 7).unwrap(), 7);
    }

    #[test]
    fn object_is_written_field_by_field() {
        let mut object = Object::new();
        object.field("a", "x");
        object.field("b", &[1, 2]);
        assert_eq!(object.finish().unwrap(), r#"{"a":"x","b":[1,2]}"#);
        assert_eq!(Object::new().finish().unwrap(), "{}");
    }

    #[test]
    fn what_cannot_become_json_is_refused() {
        let mut object = Object::new();
        object.field("map", &std::collections::BTreeMap::from([((1, 2), 3)]));
        let said = object.finish().unwrap_err().to_string();
        assert_eq!(said, "at `/map` has the key `[1,2]`, and in JSON all keys are text");
        let mut fields = Object::new();
        fields.field("ratio", &f64::NAN);
        fields.field("n", &1);
        assert_eq!(fields.finish_anyhow(), r#"{"ratio":"(at `/ratio` is NaN, which JSON cannot say)","n":1}"#);
    }
}
