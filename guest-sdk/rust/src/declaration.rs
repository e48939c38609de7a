//! What the attributes say about a flow or a task, on its way into the component's metadata.
//!
//! All of it happens in `describe`, so that running a flow pays for none of it.
#![allow(missing_docs, reason = "only the macros fill it in, from arguments documented there")]

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Policy;
use crate::bindings::retake::flow::types::{Capability, DirAccess, FlowInfo, Limits, TaskInfo};

/// What is known of a flow or a task before it runs.
pub struct Declaration {
    name: &'static str,
    description: &'static str,
    /// Only a task has one.
    pub version: &'static str,
    /// Only a task has some.
    pub tags: &'static [&'static str],
    pub policy: Policy,
    pub memory_bytes: Option<u64>,
    pub cpu_ms: Option<u64>,
    pub timeout_ms: Option<u64>,
    pub http: &'static [&'static str],
    pub secrets: &'static [&'static str],
    pub variables: &'static [&'static str],
    pub read_dirs: &'static [&'static str],
    pub write_dirs: &'static [&'static str],
    pub log_prints: bool,
    pub persist_result: Option<bool>,
    generator: SchemaGenerator,
    properties: Map<String, Value>,
    required: Vec<Value>,
    returns: Option<Value>,
}

impl Declaration {
    /// Returns a declaration that asks for nothing and never retries.
    pub fn new(name: &'static str, description: &'static str) -> Self {
        Self {
            name,
            description,
            version: "1",
            tags: &[],
            policy: Policy::retries(0),
            memory_bytes: None,
            cpu_ms: None,
            timeout_ms: None,
            http: &[],
            secrets: &[],
            variables: &[],
            read_dirs: &[],
            write_dirs: &[],
            log_prints: false,
            persist_result: None,
            generator: SchemaSettings::draft2020_12().into_generator(),
            properties: Map::new(),
            required: Vec::new(),
            returns: None,
        }
    }

    /// Adds an argument that must be given.
    pub fn required<T: JsonSchema>(&mut self, name: &str, description: &str) {
        self.required.push(name.into());
        self.optional::<T>(name, description);
    }

    /// Adds an argument that may be left out.
    pub fn optional<T: JsonSchema>(&mut self, name: &str, description: &str) {
        let schema = self.generator.subschema_for::<T>();
        self.property(name, description, schema, None);
    }

    /// Adds an argument that is `value` when it is left out.
    pub fn defaulted<T: JsonSchema + Serialize>(&mut self, name: &str, description: &str, value: &T) {
        let schema = self.generator.subschema_for::<T>();
        let default = serde_json::to_value(value).ok();
        self.property(name, description, schema, default);
    }

    fn property(&mut self, name: &str, description: &str, mut schema: Schema, default: Option<Value>) {
        if !description.is_empty() {
            schema.insert("description".to_owned(), description.into());
        }
        if let Some(default) = default {
            schema.insert("default".to_owned(), default);
        }
        self.properties.insert(name.to_owned(), schema.to_value());
    }

    /// Says what it returns.
    pub fn returns<T: JsonSchema>(&mut self) {
        let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
        let mut schema = generator.into_root_schema_for::<T>();
        schema.remove("$schema"); // The contract says which draft it is.
        self.returns = Some(schema.to_value());
    }

    /// Returns the schema of the object that the arguments make.
    fn input(&mut self) -> String {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), std::mem::take(&mut self.properties).into());
        schema.insert("required".to_owned(), std::mem::take(&mut self.required).into());
        // A misspelt argument is a mistake that nobody else would notice.
        schema.insert("additionalProperties".to_owned(), false.into());
        let definitions = self.generator.take_definitions(true);
        if !definitions.is_empty() {
            schema.insert("$defs".to_owned(), definitions.into());
        }
        Value::Object(schema).to_string()
    }

    fn limits(&self) -> Limits {
        Limits { memory_bytes: self.memory_bytes, cpu_time: self.cpu_ms, timeout: self.timeout_ms }
    }

    fn capabilities(&self) -> Vec<Capability> {
        let dir = |writable| move |name: &&str| Capability::Dir(DirAccess { name: (*name).to_owned(), writable });
        let http = self.http.iter().map(|host| Capability::Http((*host).to_owned()));
        http.chain(self.read_dirs.iter().map(dir(false)))
            .chain(self.write_dirs.iter().map(dir(true)))
            .chain(self.secrets.iter().map(|name| Capability::Secret((*name).to_owned())))
            .chain(self.variables.iter().map(|name| Capability::Variable((*name).to_owned())))
            .collect()
    }

    /// Returns the metadata of a flow.
    pub(crate) fn into_flow(mut self) -> FlowInfo {
        FlowInfo {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            parameters: self.input(),
            returns: self.returns.take().map(|schema| schema.to_string()),
            limits: self.limits(),
            capabilities: self.capabilities(),
            retry: self.policy.0,
            log_prints: self.log_prints,
            persist_result: self.persist_result,
            extensions: None,
        }
    }

    /// Returns the metadata of a task.
    pub(crate) fn into_task(mut self) -> TaskInfo {
        TaskInfo {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            version: self.version.to_owned(),
            input: self.input(),
            returns: self.returns.take().map(|schema| schema.to_string()),
            limits: self.limits(),
            capabilities: self.capabilities(),
            retry: self.policy.0,
            log_prints: self.log_prints,
            persist_result: self.persist_result,
            tags: self.tags.iter().map(|tag| (*tag).to_owned()).collect(),
            extensions: None,
        }
    }
}
