//! JSON Schemas that come from strangers, and the values that are checked by them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, Keyword, PatternOptions, ValidationError, ValidationOptions, Validator};
use regex_automata::nfa::thompson;
use retake_core::retry::BadField;
use retake_core::value::Json;
use retake_core::{format, limits};
use serde_json::Value;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::Misfit;
use crate::steps::{Budget, Steps, TooMuch};

/// Most places that a refusal names.
const MISFITS: usize = 20;

/// Most places at which a value may be looked at by a schema whose references are followed. Without a bound, forty
/// definitions that each refer twice to the next would be looked at 2⁴⁰ times.
const EXPANDED: u64 = 20_000;
/// The same for all schemas of a component together: each place is held in memory for as long as the component is known.
const EXPANDED_TOGETHER: u64 = 50_000;
/// Largest machine that a pattern may become, in bytes, and that all patterns of a component may become together. Most
/// have some hundreds of bytes; `\p{L}{70}` has megabytes.
const PATTERN: usize = 128 << 10;
const PATTERNS: usize = 1 << 20;
/// Memory that a pattern may use while it looks, in bytes.
const LOOKING: usize = 64 << 10;
/// What the places of a schema and the characters of a value may multiply to before its steps are counted.
const SMALL: u64 = 4_000_000;
/// Steps, and bytes of a value, from which on a check is counted and made aside, one at a time.
const LONG: u64 = 200_000;
const LARGE: usize = 64 << 10;
/// Most bytes that misfits may hold to be told of each.
const TOLD: u64 = 32 << 20;
/// Held by the one check of those that take long that is made, so that a processor is left for what is served.
static ASIDE: Mutex<()> = Mutex::new(());

/// What the schemas of a component may still have.
pub(crate) struct Room {
    places: u64,
    machines: usize,
}

impl Room {
    /// What all schemas of a component may have together.
    pub(crate) fn of_a_component() -> Self {
        Self { places: EXPANDED_TOGETHER, machines: PATTERNS }
    }

    /// Returns about how many bytes of memory the schemas have that it was taken for.
    pub(crate) fn taken(&self) -> usize {
        (EXPANDED_TOGETHER - self.places) as usize * 1024 + (PATTERNS - self.machines) * 4
    }
}

/// How deep a schema may be with its references followed: a validator's stack must not be a stranger's to spend.
const DEEP: usize = 256;

/// How large a schema is with its references followed.
#[derive(Clone, Copy)]
struct Extent {
    /// In how many places it looks at a value.
    places: u64,
    depth: usize,
}

impl Extent {
    fn with(&mut self, part: Self) {
        self.places = self.places.saturating_add(part.places);
        self.depth = self.depth.max(part.depth);
    }

    fn under(mut self) -> Result<Self, String> {
        self.depth += 1;
        match self.depth > DEEP {
            false => Ok(self),
            true => Err(format!("is more than {DEEP} levels deep when its references are followed")),
        }
    }
}

/// Measures values that are compared with, and are no schemas.
fn written(value: &Value) -> Extent {
    let mut all = Extent { places: 1, depth: 1 };
    match value {
        Value::Object(fields) => fields.values().for_each(|it| all.with(written(it))),
        Value::Array(items) => items.iter().for_each(|it| all.with(written(it))),
        _ => {}
    }
    all
}

/// Measures a schema, each reference as what it refers to. A reference to what it is part of counts once: the value ends,
/// and with it the recursion.
struct Expansion<'a> {
    root: &'a Value,
    known: HashMap<String, Option<Extent>>,
    /// How many references led here.
    depth: usize,
    /// Whether a reference leads to what it is part of, or a keyword has others looked at more than once.
    is_involved: bool,
    /// How large the machine of each pattern is, in bytes.
    patterns: HashMap<String, usize>,
}

impl<'a> Expansion<'a> {
    fn new(root: &'a Value) -> Self {
        Self { root, known: HashMap::new(), depth: 0, is_involved: false, patterns: HashMap::new() }
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), String> {
        if self.patterns.contains_key(pattern) {
            return Ok(());
        }
        let config = thompson::Config::new().nfa_size_limit(Some(PATTERN));
        let machine = match thompson::NFA::compiler().configure(config).build(pattern) {
            Ok(machine) => machine.memory_usage(),
            Err(error) if error.size_limit().is_some() => {
                let most = PATTERN >> 10;
                return Err(format!("the pattern `{pattern}` is too large: more than {most} KiB when it is compiled"));
            }
            // It is written as scripts write them; the crate that checks bounds it too.
            Err(_) => PATTERN / 8,
        };
        self.patterns.insert(pattern.to_owned(), machine);
        Ok(())
    }

    /// Measures a schema.
    fn of(&mut self, schema: &'a Value) -> Result<Extent, String> {
        let mut all = Extent { places: 1, depth: 0 };
        let Value::Object(fields) = schema else { return self.parts(schema) };
        for (key, value) in fields {
            let part = match (key.as_str(), value) {
                ("$ref", Value::String(to)) => self.reference(to)?,
                ("$dynamicRef" | "$recursiveRef", _) => return Err(format!("`{key}` is not supported")),
                // They would have references mean something else than what is measured.
                ("$id" | "id" | "$anchor" | "$dynamicAnchor" | "$recursiveAnchor" | "$schema", Value::String(_))
                    if !std::ptr::eq(schema, self.root) =>
                {
                    return Err(format!("`{key}` is supported at the root alone"));
                }
                ("pattern", Value::String(pattern)) => {
                    self.pattern(pattern)?;
                    continue;
                }
                // They count where they are referred to.
                ("$defs" | "definitions", _) => continue,
                ("patternProperties", Value::Object(named)) => {
                    named.keys().try_for_each(|it| self.pattern(it))?;
                    self.parts(value)?
                }
                // What is in them is named by the author, and no keyword.
                ("properties" | "dependentSchemas" | "dependencies", _) => self.parts(value)?,
                ("enum" | "const" | "default" | "examples" | "required" | "dependentRequired", _) => written(value),
                _ => {
                    self.is_involved |= key.starts_with("unevaluated");
                    self.of(value)?
                }
            };
            all.with(part);
        }
        all.under()
    }

    /// Measures schemas that are listed, or named.
    fn parts(&mut self, schemas: &'a Value) -> Result<Extent, String> {
        let mut all = Extent { places: 1, depth: 0 };
        match schemas {
            Value::Object(named) => named.values().try_for_each(|it| self.of(it).map(|part| all.with(part)))?,
            Value::Array(listed) => listed.iter().try_for_each(|it| self.of(it).map(|part| all.with(part)))?,
            _ => {}
        }
        all.under()
    }

    fn reference(&mut self, to: &str) -> Result<Extent, String> {
        if let Some(known) = self.known.get(to) {
            self.is_involved |= known.is_none();
            return Ok(known.unwrap_or(Extent { places: 1, depth: 0 }));
        }
        // What is escaped as in addresses would be read again by whoever follows it.
        let pointer = to.strip_prefix('#').filter(|it| !it.contains('%'));
        let target = pointer.and_then(|pointer| self.root.pointer(pointer));
        let target = target.ok_or_else(|| format!("`$ref` may only be `#` and a JSON pointer, not `{to}`"))?;
        self.known.insert(to.to_owned(), None);
        self.depth += 1;
        if self.depth > limits::VALUE_DEPTH {
            return Err(format!("more than {} references lead to each other", limits::VALUE_DEPTH));
        }
        let extent = self.of(target)?;
        self.depth -= 1;
        self.known.insert(to.to_owned(), Some(extent));
        Ok(extent)
    }
}

/// A schema, compiled.
#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
    schema: Value,
    /// In how many places it looks at a value.
    places: u64,
    /// Whether steps are to be counted however small a value is.
    is_involved: bool,
    patterns: HashMap<String, usize>,
}

impl Schema {
    /// Compiles a schema. `field` is its place in the metadata, for the refusal.
    pub(crate) fn compile(field: &str, schema: &Json, room: &mut Room) -> Result<Self, BadField> {
        let bad = |problem: String| BadField { field: field.to_owned(), problem };
        let value = schema.to_value();
        let mut expansion = Expansion::new(&value);
        let Extent { places, .. } = expansion.of(&value).map_err(bad)?;
        BadField::unless(places <= EXPANDED, field, || {
            format!(
                "looks at a value in {places} places when its references are followed, at most {EXPANDED} are allowed"
            )
        })?;
        let Expansion { is_involved, patterns, .. } = expansion;
        room.places = room.places.checked_sub(places).ok_or_else(|| {
            bad(format!("with it the schemas of this component have more than {EXPANDED_TOGETHER} places"))
        })?;
        room.machines = room.machines.checked_sub(patterns.values().sum()).ok_or_else(|| {
            let most = PATTERNS >> 10;
            bad(format!("with it the patterns of this component have more than {most} KiB when they are compiled"))
        })?;
        let validator = options().build(&value).map_err(|error| bad(format!("is not a JSON Schema: {error}")))?;
        let is_involved = is_involved || !patterns.is_empty();
        Ok(Self { validator, schema: value, places, is_involved, patterns })
    }

    /// Returns where a value does not fit. Whoever asks is charged for it, and told when that is too much.
    pub(crate) fn misfits(&self, value: &Json, budget: &Budget) -> Vec<Misfit> {
        let length = value.as_str().len();
        let is_small = !self.is_involved && self.places.saturating_mul(length as u64) <= SMALL;
        if is_small {
            budget.charge(length as u64 / 16);
            let check = || self.checked(&value.to_value());
            return if length <= LARGE { check() } else { off(check) };
        }
        if length <= LARGE {
            let value = value.to_value();
            // What is counted soon is checked soon.
            if let Ok(steps) = self.count(&value, budget.next().min(LONG)) {
                budget.charge(steps);
                return self.checked(&value);
            }
        }
        off(|| {
            let value = value.to_value();
            match self.count(&value, budget.next()) {
                Ok(steps) => {
                    budget.charge(steps);
                    // One at a time of those that take long; others do not wait for them.
                    let _alone = (steps > LONG).then(|| ASIDE.lock().unwrap_or_else(PoisonError::into_inner));
                    self.checked(&value)
                }
                Err(TooMuch) => {
                    budget.charge(budget.next());
                    let problem =
                        "takes more to be checked than may be spent on it: give less, or make the schema simpler";
                    vec![Misfit { pointer: String::new(), problem: problem.to_owned() }]
                }
            }
        })
    }

    /// Counts the steps of a check, of so many at most.
    fn count(&self, value: &Value, most: u64) -> Result<u64, TooMuch> {
        let mut steps = Steps::new(&self.schema, &self.patterns, most);
        steps.of(&self.schema, value, 1)?;
        Ok(steps.taken)
    }

    /// Checks a value, of which it is known that it may be.
    fn checked(&self, value: &Value) -> Vec<Misfit> {
        if self.validator.is_valid(value) {
            return Vec::new();
        }
        let mut steps = Steps::new(&self.schema, &self.patterns, u64::MAX);
        let _ = steps.of(&self.schema, value, 1);
        if steps.told > TOLD {
            let problem = "does not fit: there are too many places where it may not to tell them";
            return vec![Misfit { pointer: String::new(), problem: problem.to_owned() }];
        }
        let problem = |error: &ValidationError<'_>| match choices(&self.schema, error.schema_path().as_str()) {
            Some(choices) => format!("{} is none of {choices}", error.instance()),
            None => error.to_string(),
        };
        let errors = self.validator.iter_errors(value).take(MISFITS);
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

/// Makes a check that takes long or much on a thread that serves nobody meanwhile.
fn off(check: impl FnOnce() -> Vec<Misfit>) -> Vec<Misfit> {
    match Handle::try_current().map(|it| it.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(check),
        _ => check(),
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
        .with_pattern_options(PatternOptions::regex().size_limit(2 * PATTERN).dfa_size_limit(LOOKING))
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
        Schema::compile("flows[0].parameters", &Json::of(schema), &mut Room::of_a_component()).map_err(|it| it.problem)
    }

    fn misfits(schema: &Schema, value: &Json) -> Vec<Misfit> {
        schema.misfits(value, &Budget::of_request())
    }

    #[test]
    fn what_may_be_chosen_is_said() {
        let schema = serde_json::json!({
            "properties": { "load": { "$ref": "#/$defs/Load" } },
            "$defs": { "Load": { "oneOf": [{ "const": "ok" }, { "enum": ["fail", "late"] }] } },
        });
        let found = misfits(&compiled(&schema).unwrap(), &Json::trusted(r#"{"load":"bogus"}"#));
        assert_eq!(found[0].problem, r#""bogus" is none of "ok", "fail", "late""#);
    }

    #[test]
    fn formats_are_checked() {
        let fits = |format: &str, text: &str| {
            let schema = serde_json::json!({ "type": "string", "format": format });
            misfits(&compiled(&schema).unwrap(), &Json::of(&text)).is_empty()
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
        let found = misfits(&compiled(&day).unwrap(), &Json::of(&"28.02.2026"));
        assert_eq!(found[0].problem, r#""28.02.2026" is not a "date""#);
        let bytes = compiled(&serde_json::json!({ "type": "string", "contentEncoding": "base64" })).unwrap();
        assert!(misfits(&bytes, &Json::of(&"AAA=")).is_empty());
        assert!(misfits(&bytes, &Json::of(&"%%%")).first().unwrap().problem.contains("base64"));
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
        // Sixty references, each of them under sixty keywords.
        let deep =
            (0..60).fold(serde_json::json!({ "$ref": "#/$defs/NEXT" }), |it, _| serde_json::json!({ "not": it }));
        let deep = |next: usize| -> Value {
            serde_json::from_str(&deep.to_string().replace("NEXT", &next.to_string())).unwrap()
        };
        let mut defs: serde_json::Map<String, Value> = (0..60).map(|n| (n.to_string(), deep(n + 1))).collect();
        defs.insert("60".into(), serde_json::json!({}));
        let schema = serde_json::json!({ "$ref": "#/$defs/0", "$defs": defs });
        assert!(compiled(&schema).unwrap_err().contains("levels deep"));
        // What is measured is what is checked: nothing has a reference mean something else, and names are no keywords.
        let dear = serde_json::json!({ "enum": (0..30_000).collect::<Vec<_>>() });
        for schema in [
            serde_json::json!({ "$ref": "#/$defs/%61", "$defs": { "%61": {}, "a": dear } }),
            serde_json::json!({ "allOf": [{ "$id": "http://b/s", "$ref": "#/$defs/a", "$defs": { "a": dear } }], "$defs": { "a": {} } }),
            serde_json::json!({ "properties": { "x": { "id": "http://b/s", "$ref": "#/$defs/a", "$defs": { "a": dear } } }, "$defs": { "a": {} } }),
            serde_json::json!({ "properties": { "$defs": dear } }),
            serde_json::json!({ "properties": { "definitions": dear } }),
            serde_json::json!({ "patternProperties": { "definitions": dear } }),
            serde_json::json!({ "dependentSchemas": { "$defs": dear } }),
            serde_json::json!({ "properties": { "pattern": { "pattern": r"^\p{L}{70}x1$" } } }),
            serde_json::json!({ "properties": { "$defs": { "pattern": r"^\p{L}{70}x1$" } } }),
        ] {
            assert!(compiled(&schema).is_err(), "{}", &schema.to_string()[..60]);
        }
        // Nor is what is named like one.
        let named = serde_json::json!({ "properties": { "id": { "type": "string" }, "$id": {}, "$ref": {}, "enum": {} }, "default": { "$ref": "x" }, "$id": "http://a/b" });
        assert!(compiled(&named).is_ok());
        assert!(compiled(&serde_json::json!({ "$ref": "http://example.org/x" })).is_err());
        assert!(compiled(&serde_json::json!({ "$dynamicRef": "#x" })).unwrap_err().contains("not supported"));
    }

    /// What a check costs is known before it is made, so no such test takes long, whatever is asked.
    #[test]
    fn what_would_take_too_much_is_refused_before_it_is_checked() {
        let consts = |n: usize| (0..n).map(|n| serde_json::json!({ "const": n })).collect::<Vec<_>>();
        let twice = |to: &str| serde_json::json!({ "anyOf": vec![serde_json::json!({ "properties": { "a": { "$ref": to } } }); 2] });
        let mut deep = serde_json::json!(1);
        for _ in 0..60 {
            deep = serde_json::json!({ "a": deep });
        }
        let tagged = serde_json::json!({ "items": { "anyOf": consts(4500) }, "type": "array" });
        for (schema, value) in [
            // Alternatives times items, with all reasons why not.
            (
                serde_json::json!({ "items": { "anyOf": [tagged.clone(), { "type": "null" }] } }),
                serde_json::json!(vec![vec![-1; 1600]; 4]),
            ),
            // Twice as much at each level of the value.
            (twice("#"), deep.clone()),
            // What leads to itself without going on in the value.
            (serde_json::json!({ "$ref": "#" }), serde_json::json!(1)),
            (serde_json::json!({ "allOf": [{ "$ref": "#" }] }), serde_json::json!(1)),
            // Each property asks all others again, at each level.
            (
                serde_json::json!({ "$defs": { "a": { "unevaluatedProperties": false, "anyOf": [{ "$ref": "#/$defs/b" }] }, "b": { "unevaluatedProperties": { "type": "null" }, "anyOf": [{ "$ref": "#/$defs/c" }] }, "c": { "patternProperties": { "^.*x": { "type": "null" } } } }, "$ref": "#/$defs/a" }),
                Value::Object((0..2000).map(|n| (format!("{n}"), Value::Null)).collect()),
            ),
            (serde_json::json!({ "pattern": "^([a-z]{1,20} ){1,20}$" }), serde_json::json!("word ".repeat(200_000))),
        ] {
            let schema = compiled(&schema).unwrap();
            let began = std::time::Instant::now();
            let found = misfits(&schema, &Json::of(&value));
            assert!(found[0].problem.contains("takes more to be checked"), "{found:?}");
            assert!(began.elapsed() < std::time::Duration::from_secs(5));
        }
        // What may be checked, and does not fit in too many places, is refused without them.
        let few = serde_json::json!({ "items": { "anyOf": consts(500) } });
        let found = misfits(&compiled(&few).unwrap(), &Json::of(&vec![-1; 1600]));
        assert!(found[0].problem.contains("too many places"), "{found:?}");
        // Usual ones are told of.
        let found = misfits(&compiled(&tagged).unwrap(), &Json::of(&vec![-1; 2]));
        assert_eq!(found[0].pointer, "/0");
    }

    #[test]
    fn an_attempt_is_charged_for_all_of_its_checks() {
        let schema = serde_json::json!({ "items": { "enum": (0..4500).collect::<Vec<_>>() } });
        let (schema, value) = (compiled(&schema).unwrap(), Json::of(&vec![7; 1600]));
        let budget = Budget::of_attempt();
        let checks = (0..1000).take_while(|_| schema.misfits(&value, &budget).is_empty()).count();
        assert!((10..200).contains(&checks), "{checks}");
        assert!(misfits(&schema, &value).is_empty(), "others have a budget of their own");
    }

    #[test]
    fn patterns_that_become_too_large_are_refused() {
        let pattern = |pattern: &str| compiled(&serde_json::json!({ "pattern": pattern }));
        assert!(pattern(r"^[A-Z]{2}\d{4,10}-[a-z_]+(\.[a-z]{2,})*$").is_ok());
        assert!(pattern(r"^\p{L}{70}x1$").unwrap_err().contains("too large"));
        let many: Vec<Value> =
            (0..1500).map(|n| serde_json::json!({ "pattern": format!(r"^\p{{L}}{{2}}x{n}$") })).collect();
        let found = compiled(&serde_json::json!({ "anyOf": many })).unwrap_err();
        assert!(found.contains("patterns of this component"), "{found}");
        // Of names, too.
        assert!(compiled(&serde_json::json!({ "patternProperties": { r"^\p{L}{70}x1$": {} } })).is_err());
    }
}
