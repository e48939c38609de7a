//! Components as the engine needs them: metadata at hand and schemas compiled, once for each digest.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{PatternOptions, Validator};
use retake_core::component::{Capability, ComponentInfo};
use retake_core::id::ContentDigest;
use retake_core::limits;
use retake_core::replay::CallKind;
use retake_core::retry::BadField;
use retake_core::value::Json;
use retake_store::{Store, StoreError};
use serde_json::Value;

use crate::Misfit;

/// Most places that a refusal names.
const MISFITS: usize = 20;

/// Most components that are known without being kept: for plans of what they would do.
const PREVIEWED: usize = 8;

pub(crate) struct Catalog {
    store: Arc<dyn Store>,
    known: Mutex<HashMap<ContentDigest, Arc<Component>>>,
    /// Not kept, the newest last.
    previewed: Mutex<VecDeque<Arc<Component>>>,
}

/// A component's metadata with its schemas compiled.
pub(crate) struct Component {
    pub(crate) digest: ContentDigest,
    pub(crate) info: ComponentInfo,
    /// Whether a flow or a task of it asks for a secret or a variable.
    pub(crate) asks_for_values: bool,
    flows: HashMap<String, Validator>,
    tasks: HashMap<String, Validator>,
}

impl Catalog {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, known: Mutex::default(), previewed: Mutex::default() }
    }

    pub(crate) async fn get(&self, digest: ContentDigest) -> Result<Arc<Component>, StoreError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = known().get(&digest) {
            return Ok(component.clone());
        }
        let Some(record) = self.store.component(digest).await? else {
            return self.previewed(digest).ok_or(StoreError::NoComponent(digest));
        };
        let component = Component::new(digest, record.info).map_err(|error| {
            tracing::error!(%digest, %error, "a component that was kept cannot be used any more");
            StoreError::Damaged(digest)
        })?;
        Ok(self.know(component))
    }

    /// Makes a component known that is not kept, in place of the oldest of those when they are many.
    pub(crate) fn preview(&self, component: Component) {
        let mut previewed = self.previewed.lock().unwrap_or_else(PoisonError::into_inner);
        previewed.retain(|it| it.digest != component.digest);
        previewed.push_back(Arc::new(component));
        if previewed.len() > PREVIEWED {
            previewed.pop_front();
        }
    }

    pub(crate) fn previewed(&self, digest: ContentDigest) -> Option<Arc<Component>> {
        let previewed = self.previewed.lock().unwrap_or_else(PoisonError::into_inner);
        previewed.iter().find(|it| it.digest == digest).cloned()
    }

    /// Makes a component known.
    pub(crate) fn know(&self, component: Component) -> Arc<Component> {
        let component = Arc::new(component);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(component.digest, component.clone());
        component
    }
}

/// Checks that every schema of a component is one.
pub fn check_schemas(info: &ComponentInfo) -> Result<(), BadField> {
    Component::new(ContentDigest::of(&[]), info.clone()).map(drop)
}

impl Component {
    pub(crate) fn new(digest: ContentDigest, info: ComponentInfo) -> Result<Self, BadField> {
        let mut flows = HashMap::new();
        for (i, flow) in info.flows.iter().enumerate() {
            flows.insert(flow.name.clone(), compile(&format!("flows[{i}].parameters"), &flow.parameters)?);
        }
        let mut tasks = HashMap::new();
        for (i, task) in info.tasks.iter().enumerate() {
            tasks.insert(task.name.clone(), compile(&format!("tasks[{i}].input"), &task.input)?);
        }
        let mut asked =
            info.flows.iter().map(|it| &it.capabilities).chain(info.tasks.iter().map(|it| &it.capabilities));
        let asks_for_values =
            asked.any(|it| it.iter().any(|it| matches!(it, Capability::Secret(_) | Capability::Variable(_))));
        Ok(Self { digest, info, asks_for_values, flows, tasks })
    }

    /// Returns where parameters do not fit their flow's schema.
    pub(crate) fn misfits_of_parameters(&self, flow: &str, parameters: &Json) -> Vec<Misfit> {
        let schema = self.info.flow(flow).map(|it| &it.parameters);
        self.flows.get(flow).zip(schema).map(|(it, schema)| misfits(it, schema, parameters)).unwrap_or_default()
    }

    /// Returns where an input does not fit its task's schema.
    pub(crate) fn misfits_of_input(&self, task: &str, input: &Json) -> Vec<Misfit> {
        let schema = self.info.task(task).map(|it| &it.input);
        self.tasks.get(task).zip(schema).map(|(it, schema)| misfits(it, schema, input)).unwrap_or_default()
    }

    /// Returns where a result does not fit what its task or flow says that it returns. Its validator is made anew,
    /// because only what people set by hand is looked at so.
    pub(crate) fn misfits_of_result(&self, kind: CallKind, name: &str, result: &Json) -> Vec<Misfit> {
        let schema = match kind {
            CallKind::Flow => self.info.flow(name).and_then(|it| it.returns.as_ref()),
            CallKind::Task => self.info.task(name).and_then(|it| it.returns.as_ref()),
            CallKind::Sleep => None,
        };
        let validator = schema.and_then(|it| Some((it, compile("returns", it).ok()?)));
        validator.map(|(schema, it)| misfits(&it, schema, result)).unwrap_or_default()
    }
}

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

fn compile(field: &str, schema: &Json) -> Result<Validator, BadField> {
    let bad = |problem: String| BadField { field: field.to_owned(), problem };
    let value = schema.to_value();
    let places = Expansion { root: &value, known: HashMap::new(), depth: 0 }.of(&value).map_err(bad)?;
    BadField::unless(places <= EXPANDED, field, || {
        format!("looks at a value in {places} places when its references are followed, at most {EXPANDED} are allowed")
    })?;
    // Patterns come from a stranger: only an engine that takes linear time may run them. References beyond the schema
    // itself are not followed, because the crate is built without any way to.
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .build(&value)
        .map_err(|error| bad(format!("is not a JSON Schema: {error}")))
}

fn misfits(validator: &Validator, schema: &Json, value: &Json) -> Vec<Misfit> {
    let value = value.to_value();
    if validator.is_valid(&value) {
        return Vec::new();
    }
    let errors = validator.iter_errors(&value).take(MISFITS);
    errors
        .map(|error| Misfit {
            pointer: error.instance_path().to_string(),
            problem: retake_core::failure::cut(
                match choices(&schema.to_value(), error.schema_path().as_str()) {
                    Some(choices) => format!("{} is none of {choices}", error.instance()),
                    None => error.to_string(),
                },
                limits::TEXT_BYTES,
            ),
        })
        .collect()
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

    fn compiled(schema: &Value) -> Result<Validator, String> {
        compile("flows[0].parameters", &Json::of(schema)).map_err(|it| it.problem)
    }

    #[test]
    fn what_may_be_chosen_is_said() {
        let schema = serde_json::json!({
            "properties": { "load": { "$ref": "#/$defs/Load" } },
            "$defs": { "Load": { "oneOf": [{ "const": "ok" }, { "enum": ["fail", "late"] }] } },
        });
        let validator = compiled(&schema).unwrap();
        let found = misfits(&validator, &Json::of(&schema), &Json::trusted(r#"{"load":"bogus"}"#));
        assert_eq!(found[0].problem, r#""bogus" is none of "ok", "fail", "late""#);
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
