//! The bare door: a component that knows nothing of us. Each function that it exports and that takes and returns plain
//! values is a flow without tasks.
//!
//! Its schemas follow from its types, and values go there and back by them (`values.rs`). A function that returns a
//! `result` has failed when it returns an error. A program, which is what exports `wasi:cli/run`, is a flow that takes
//! arguments and stdin; what it prints is logged, and its exit status tells whether it has failed.

use std::sync::Arc;
use std::time::Instant;

use retake_core::component::{AskedLimits, ComponentInfo, FlowInfo};
use retake_core::failure::{Failure, code};
use retake_core::retry::RetryPolicy;
use retake_core::value::Json;
use serde_json::{Value, json};
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Val};
use wasmtime::{Engine, Store};

use super::values::{Budget, TOO_LARGE, from_val, schema, to_val};
use crate::Made;
use crate::attempt::State;
use crate::trap::Stop;

/// What runs a program, in the words of WASI.
const PROGRAM: &str = "wasi:cli/run@0.2.";
/// Functions of one component that are looked at.
const FUNCTIONS: usize = 200;

/// A component whose functions are flows.
pub(crate) struct Bare {
    functions: Vec<Function>,
    info: ComponentInfo,
}

struct Function {
    flow: String,
    export: ComponentExportIndex,
    kind: ComponentFunc,
    is_program: bool,
}

/// What a program is run with.
#[derive(Default, serde::Deserialize)]
pub(crate) struct Program {
    #[serde(default)]
    pub(crate) arguments: Vec<String>,
    #[serde(default)]
    pub(crate) stdin: String,
}

/// A function that an export has, with its place.
struct Found {
    name: String,
    interface: Option<String>,
    export: ComponentExportIndex,
    kind: ComponentFunc,
    is_program: bool,
}

impl Bare {
    /// Looks for functions that can be flows. Says why there are none.
    pub(crate) fn new(engine: &Engine, component: &Component) -> Result<Self, String> {
        let found = functions(engine, component);
        let twice = |it: &Found| found.iter().filter(|other| other.name == it.name).count() > 1;
        let (mut functions, mut flows, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        let mut budget = Budget::of_schemas();
        for it in &found {
            // An interface's name has a `/`, which no flow's has.
            let name = match it.interface.as_deref().filter(|_| twice(it)) {
                Some(interface) => format!("{}.{}", interface.replace('/', "."), it.name),
                None => it.name.clone(),
            };
            match flow(&name, it, &mut budget) {
                Ok(flow) => {
                    flows.push(flow);
                    let (export, kind, is_program) = (it.export, it.kind.clone(), it.is_program);
                    functions.push(Function { flow: name, export, kind, is_program });
                }
                Err(why) => left_out.push(format!("`{name}`: {why}")),
            }
        }
        if functions.is_empty() {
            return Err(match left_out.is_empty() {
                true => "it exports no function at all".to_owned(),
                false => left_out.join("; "),
            });
        }
        let interface = found.iter().filter(|it| !it.is_program).find_map(|it| it.interface.as_deref());
        let mut description =
            "A component that is made for no host of flows: each of its functions is a flow.".to_owned();
        if !left_out.is_empty() {
            description = format!("{description} Left out: {}.", left_out.join("; "));
        }
        let description = retake_core::failure::cut(description, retake_core::limits::TEXT_BYTES);
        let (package, version) = interface.and_then(|it| it.split_once('@')).unwrap_or(("", ""));
        let package = package.split('/').next().unwrap_or_default();
        let info = ComponentInfo {
            name: if package.is_empty() { "component".into() } else { package.to_owned() },
            version: if version.is_empty() { "0".into() } else { version.to_owned() },
            description,
            flows,
            tasks: Vec::new(),
        };
        Ok(Self { functions, info })
    }

    pub(crate) fn info(&self) -> ComponentInfo {
        self.info.clone()
    }

    /// Calls the function behind a flow.
    pub(crate) async fn run(
        &self,
        pre: &InstancePre<State>,
        made: &Arc<Made>,
        store: &mut Store<State>,
        flow: &str,
        parameters: &str,
    ) -> wasmtime::Result<Result<String, Failure>> {
        let Some(function) = self.functions.iter().find(|it| it.flow == flow) else {
            let message = format!("the component exports no function `{flow}`");
            return Ok(Err(Failure::new(code::UNKNOWN, message)));
        };
        let given: Value = serde_json::from_str(parameters).unwrap_or_default();
        if function.is_program {
            store.data_mut().program = Some(serde_json::from_str(parameters).unwrap_or_default());
        }
        let (mut values, mut budget) = (Vec::new(), Budget::of_values());
        for (name, kind) in function.kind.params() {
            match to_val(&kind, given.get(name).unwrap_or(&Value::Null), &mut budget) {
                Ok(value) => values.push(value),
                Err(why) => return Ok(Err(Failure::new(code::INVALID, format!("`{name}`: {why}")))),
            }
        }
        let began = Instant::now();
        let instance = pre.instantiate_async(&mut *store).await?;
        made.one(began);
        let called = instance.get_func(&mut *store, function.export);
        let called = called.ok_or_else(|| wasmtime::Error::msg("the function is gone"))?;
        let mut results = vec![Val::Bool(false); function.kind.results().len()];
        if let Err(error) = called.call_async(&mut *store, &values, &mut results).await {
            return match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
                // A program that ends itself is one that has returned.
                Some(exit) if function.is_program => Ok(ended(exit.0)),
                _ => Err(error),
            };
        }
        match results.into_iter().next() {
            None => Ok(Ok("null".into())),
            Some(Val::Result(Ok(value))) => text(value.as_deref()).map(Ok),
            Some(Val::Result(Err(_))) if function.is_program => Ok(ended(1)),
            Some(Val::Result(Err(value))) => Ok(Err(failure(value.as_deref())?)),
            Some(value) => text(Some(&value)).map(Ok),
        }
    }
}

fn ended(status: i32) -> Result<String, Failure> {
    match status {
        0 => Ok("null".into()),
        _ => Err(Failure::new("program.failed", format!("the program ended with status {status}"))),
    }
}

/// What a function returned, as JSON text.
fn text(value: Option<&Val>) -> wasmtime::Result<String> {
    let Some(value) = value else { return Ok("null".into()) };
    let value = from_val(value).map_err(|why| Stop::Failed(Failure::new(code::OUTPUT, format!("returned {why}"))))?;
    Ok(value.to_string())
}

/// What an error is to the host. A case of a variant or of an enumeration is a code of its own.
fn failure(value: Option<&Val>) -> wasmtime::Result<Failure> {
    let details: Value = serde_json::from_str(&text(value)?).unwrap_or_default();
    let (code, message) = match value {
        Some(Val::Enum(case)) => (case.as_str(), String::new()),
        Some(Val::Variant(case, Some(inner))) => (case.as_str(), message(&from_val(inner).unwrap_or_default())),
        Some(Val::Variant(case, None)) => (case.as_str(), String::new()),
        _ => ("error", message(&details)),
    };
    let details = (!details.is_null() && !details.is_string()).then(|| Json::of(&details));
    Ok(Failure::from_guest(
        code.to_owned(),
        message,
        retake_core::failure::RetryAdvice::ByPolicy,
        details.map(|it| it.as_str().to_owned()),
    ))
}

fn message(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Returns the functions that a component exports, by itself and in its interfaces.
fn functions(engine: &Engine, component: &Component) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(kind) => {
                if let Some(export) = component.get_export_index(None, name) {
                    found.push(Found { name: name.to_owned(), interface: None, export, kind, is_program: false });
                }
            }
            ComponentItem::ComponentInstance(interface) => {
                let Some(place) = component.get_export_index(None, name) else { continue };
                for (function, item) in interface.exports(engine) {
                    let ComponentItem::ComponentFunc(kind) = item.ty else { continue };
                    let Some(export) = component.get_export_index(Some(&place), function) else { continue };
                    let is_program = name.starts_with(PROGRAM);
                    let interface = Some(name.to_owned());
                    found.push(Found { name: function.to_owned(), interface, export, kind, is_program });
                }
            }
            _ => {}
        }
    }
    found.truncate(FUNCTIONS);
    found
}

/// Describes a function as a flow, or says why it cannot be one.
fn flow(name: &str, found: &Found, budget: &mut Budget) -> Result<FlowInfo, String> {
    if found.kind.async_() {
        return Err("it is asynchronous, and the host calls what returns".into());
    }
    if found.name.starts_with('[') {
        return Err("it belongs to a resource, which does not outlive its sandbox".into());
    }
    let (mut properties, mut required) = (serde_json::Map::new(), Vec::new());
    for (name, kind) in found.kind.params() {
        budget.name(name).ok_or(TOO_LARGE)?;
        let place = format!("its parameter `{name}`");
        properties.insert(name.to_owned(), schema(&kind, &place, budget)?);
        if !matches!(kind, Type::Option(_)) {
            required.push(Value::from(name));
        }
    }
    if found.is_program {
        let described = |schema: Value, what: &str, default: Value| {
            let mut schema = schema;
            (schema["description"], schema["default"]) = (what.into(), default);
            schema
        };
        let arguments = json!({ "type": "array", "items": { "type": "string" } });
        let arguments = described(arguments, "What follows its name on a command line.", json!([]));
        let stdin = described(json!({ "type": "string" }), "What it reads from stdin.", json!(""));
        properties.extend([("arguments".to_owned(), arguments), ("stdin".to_owned(), stdin)]);
    }
    let parameters = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    let returns = match found.kind.results().next() {
        None => json!({ "type": "null" }),
        Some(Type::Result(kind)) => {
            if let Some(kind) = kind.err() {
                schema(&kind, "its error", budget)?;
            }
            match kind.ok() {
                Some(kind) => schema(&kind, "its result", budget)?,
                None => json!({ "type": "null" }),
            }
        }
        Some(kind) => schema(&kind, "its result", budget)?,
    };
    Ok(FlowInfo {
        name: name.to_owned(),
        description: match &found.interface {
            Some(_) if found.is_program => "A program: what it prints is logged, and its exit status tells.".into(),
            Some(interface) => format!("The function `{}` of `{interface}`.", found.name),
            None => format!("The function `{}`.", found.name),
        },
        parameters: Json::of(&parameters),
        returns: Some(Json::of(&returns)),
        retry: RetryPolicy::default(),
        limits: AskedLimits::default(),
        capabilities: Vec::new(),
        log_prints: true,
        persist_result: None,
        extensions: None,
    })
}
