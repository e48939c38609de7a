//! JSON Schemas that come from strangers, and the values that are checked by them.

use std::collections::HashMap;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, Keyword, PatternOptions, ValidationError, ValidationOptions, Validator};
use retake_core::retry::BadField;
use retake_core::value::Json;
use retake_core::{format, limits};
use serde_json::Value;

use crate::Misfit;

/// Most places that a refusal names.
const MISFITS: usize = 20;

/// Most places at which a value may be looked at by a schema whose references are followed. Without a bound, forty
/// definitions that each refer twice to the next would be looked at 2⁴⁰ times.
const EXPANDED: u64 = 20_000;

/// Counts the places of a schema, each reference as what it refers to. A reference to what it is part of counts once:
/// the value ends, and with it the recursion.
struct Expansion<'a> {
    root: &'a Value,
    known: HashMap<String, Option<u64>>,
    /// How many references led here.
    depth: usize,
}

impl<'a> Expansion<'a> {
    fn of(&mut self, schema: &'a Value) -> Result<u64, String> {
        let mut places: u64 = 1;
        match schema {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        ("$ref", Value::String(to)) => places = places.saturating_add(self.reference(to)?),
                        ("$dynamicRef" | "$recursiveRef", _) => return Err(format!("`{key}` is not supported")),
                        // They count where they are referred to.
                        ("$defs" | "definitions", _) => {}
                        _ => places = places.saturating_add(self.of(value)?),
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    places = places.saturating_add(self.of(item)?);
                }
            }
            _ => {}
        }
        Ok(places)
    }

    fn reference(&mut self, to: &str) -> Result<u64, String> {
        if let Some(known) = self.known.get(to) {
            return Ok(known.unwrap_or(1));
        }
        let target = to.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let target = target.ok_or_else(|| format!("`$ref` may only be `#` and a JSON pointer, not `{to}`"))?;
        self.known.insert(to.to_owned(), None);
        self.depth += 1;
        if self.depth > limits::VALUE_DEPTH {
            return Err(format!("more than {} references lead to each other", limits::VALUE_DEPTH));
        }
        let places = self.of(target)?;
        self.depth -= 1;
        self.known.insert(to.to_owned(), Some(places));
        Ok(places)
    }
}

/// A schema, compiled.
#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
    text: Json,
}

impl Schema {
    /// Compiles a schema. `field` is its place in the metadata, for the refusal.
    pub(crate) fn compile(field: &str, schema: &Json) -> Result<Self, BadField> {
        let bad = |problem: String| BadField { field: field.to_owned(), problem };
        let value = schema.to_value();
        let places = Expansion { root: &value, known: HashMap::new(), depth: 0 }.of(&value).map_err(bad)?;
        BadField::unless(places <= EXPANDED, field, || {
            format!(
                "looks at a value in {places} places when its references are followed, at most {EXPANDED} are allowed"
            )
        })?;
        let validator = options().build(&value).map_err(|error| bad(format!("is not a JSON Schema: {error}")))?;
        Ok(Self { validator, text: schema.clone() })
    }

    /// Returns where a value does not fit.
    pub(crate) fn misfits(&self, value: &Json) -> Vec<Misfit> {
        let value = value.to_value();
        if self.validator.is_valid(&value) {
            return Vec::new();
        }
        let problem = |error: &ValidationError<'_>| match choices(&self.text.to_value(), error.schema_path().as_str()) {
            Some(choices) => format!("{} is none of {choices}", error.instance()),
            None => error.to_string(),
        };
        let errors = self.validator.iter_errors(&value).take(MISFITS);
        errors
            .map(|error| {
                // Of what may be null, or something, it is the something that was meant.
                let meant = but_null(&error);
                let (pointer, problem) = match meant {
                    Some(meant) => (meant.instance_path().to_string(), problem(meant)),
                    None => (error.instance_path().to_string(), problem(&error)),
                };
                Misfit { pointer, problem: retake_core::failure::cut(problem, limits::TEXT_BYTES) }
            })
            .collect()
    }
}

/// Returns why a value is not the one thing that it may be beside null.
fn but_null<'a>(error: &'a ValidationError<'_>) -> Option<&'a ValidationError<'static>> {
    let ValidationErrorKind::AnyOf { context } = error.kind() else { return None };
    let wants_null = |it: &ValidationError<'_>| {
        matches!(it.kind(), ValidationErrorKind::Type { kind: TypeKind::Single(JsonType::Null) })
    };
    let is_null = |it: &Vec<ValidationError<'static>>| matches!(it.as_slice(), [only] if wants_null(only));
    let [one, other] = context.as_slice() else { return None };
    match (is_null(one), is_null(other)) {
        (true, false) => other.first(),
        (false, true) => one.first(),
        _ => None,
    }
}

/// What every schema is compiled with.
///
/// Patterns come from a stranger: only an engine that takes linear time may run them, and `format: regex` compiles none.
/// References beyond the schema itself are not followed, because the crate is built without any way to. What
/// `contentEncoding` and `format` say is checked, because `2026-02-30` is no date.
fn options() -> ValidationOptions<'static> {
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(true)
        .with_format("date-time", format::is_date_time)
        .with_format("time", format::is_time)
        .with_format("duration", format::is_duration)
        .with_format("decimal", format::is_decimal)
        .with_format("regex", |_| true)
        .with_keyword("contentEncoding", |_, encoding, _| {
            Ok(Box::new(Encoded { is_base64: encoding.as_str() == Some("base64") }))
        })
}

/// `contentEncoding`, which JSON Schema itself only notes.
struct Encoded {
    is_base64: bool,
}

impl<'i> Keyword<'i> for Encoded {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        match self.is_valid(instance) {
            true => Ok(()),
            false => Err(ValidationError::custom("is not base64 (RFC 4648, with padding)")),
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        !self.is_base64 || instance.as_str().is_none_or(format::is_base64)
    }
}

/// The values that may be chosen where a schema's `oneOf` or `anyOf` names nothing but values.
fn choices(schema: &Value, path: &str) -> Option<String> {
    let at = path.split('/').skip(1).try_fold(schema, |at, key| match (key, at) {
        ("$ref", _) => schema.pointer(at["$ref"].as_str()?.strip_prefix('#')?),
        (_, Value::Array(items)) => items.get(key.parse::<usize>().ok()?),
        _ => at.get(key.replace("~1", "/").replace("~0", "~")),
    })?;
    let of = |it: &Value| match (it.get("const"), it.get("enum").and_then(Value::as_array)) {
        (Some(only), _) => Some(vec![only.to_string()]),
        (None, Some(several)) => Some(several.iter().map(Value::to_string).collect()),
        (None, None) => None,
    };
    let all: Vec<Vec<String>> = at.as_array()?.iter().map(of).collect::<Option<_>>()?;
    Some(all.concat().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(schema: &Value) -> Result<Schema, String> {
        Schema::compile("flows[0].parameters", &Json::of(schema)).map_err(|it| it.problem)
    }

    #[test]
    fn what_may_be_chosen_is_said() {
        let schema = serde_json::json!({
            "properties": { "load": { "$ref": "#/$defs/Load" } },
            "$defs": { "Load": { "oneOf": [{ "const": "ok" }, { "enum": ["fail", "late"] }] } },
        });
        let found = compiled(&schema).unwrap().misfits(&Json::trusted(r#"{"load":"bogus"}"#));
        assert_eq!(found[0].problem, r#""bogus" is none of "ok", "fail", "late""#);
    }

    #[test]
    fn formats_are_checked() {
        let fits = |format: &str, text: &str| {
            let schema = serde_json::json!({ "type": "string", "format": format });
            compiled(&schema).unwrap().misfits(&Json::of(&text)).is_empty()
        };
        for (format, yes, no) in [
            ("date", "2026-02-28", "2026-02-30"),
            ("date-time", "2026-02-28T10:00:00", "tomorrow"),
            ("time", "10:00:00", "25:00:00"),
            ("duration", "P1DT2H3.5S", "two hours"),
            ("uuid", "7d444840-9dc0-11d1-b245-5ffdce74fad2", "7d444840"),
            ("decimal", "12.50", "NaN"),
            ("email", "a@example.org", "a"),
            ("ipv4", "127.0.0.1", "127.0.0.256"),
            ("ipv6", "::1", "::g"),
            ("uri", "https://example.org/", "example"),
            ("nobody-knows", "anything", ""),
        ] {
            assert!(fits(format, yes), "`{yes}` is a {format}");
            assert_eq!(fits(format, no), format == "nobody-knows", "`{no}` is no {format}");
        }
        let day = serde_json::json!({ "anyOf": [{ "type": "string", "format": "date" }, { "type": "null" }] });
        let found = compiled(&day).unwrap().misfits(&Json::of(&"28.02.2026"));
        assert_eq!(found[0].problem, r#""28.02.2026" is not a "date""#);
        let bytes = compiled(&serde_json::json!({ "type": "string", "contentEncoding": "base64" })).unwrap();
        assert!(bytes.misfits(&Json::of(&"AAA=")).is_empty());
        assert!(bytes.misfits(&Json::of(&"%%%")).first().unwrap().problem.contains("base64"));
    }

    #[test]
    fn a_schema_whose_references_multiply_is_refused() {
        let chain = |levels: usize, wide: usize| {
            let mut defs: serde_json::Map<String, Value> = (0..levels)
                .map(|n| {
                    let next = serde_json::json!({ "$ref": format!("#/$defs/{}", n + 1) });
                    (n.to_string(), serde_json::json!({ "anyOf": vec![next; wide] }))
                })
                .collect();
            defs.insert(levels.to_string(), serde_json::json!({ "type": "null" }));
            serde_json::json!({ "$ref": "#/$defs/0", "$defs": defs })
        };
        assert!(compiled(&chain(8, 2)).is_ok());
        assert!(compiled(&chain(40, 2)).unwrap_err().contains("at most 20000"));
        assert!(compiled(&chain(1000, 1)).unwrap_err().contains("64 references"));
        let tree = serde_json::json!({
            "$ref": "#/$defs/tree",
            "$defs": { "tree": { "properties": { "l": { "$ref": "#/$defs/tree" }, "r": { "$ref": "#/$defs/tree" } } } },
        });
        assert!(compiled(&tree).is_ok());
        assert!(compiled(&serde_json::json!({ "$ref": "http://example.org/x" })).is_err());
        assert!(compiled(&serde_json::json!({ "$dynamicRef": "#x" })).unwrap_err().contains("not supported"));
    }
}
