//! Components as the engine needs them: metadata at hand and schemas compiled, once for each digest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{PatternOptions, Validator};
use retake_core::component::ComponentInfo;
use retake_core::id::ContentDigest;
use retake_core::limits;
use retake_core::retry::BadField;
use retake_core::value::Json;
use retake_store::{Store, StoreError};

use crate::Misfit;

/// Most places that a refusal names.
const MISFITS: usize = 20;

pub(crate) struct Catalog {
    store: Arc<dyn Store>,
    known: Mutex<HashMap<ContentDigest, Arc<Component>>>,
}

/// A component's metadata with its schemas compiled.
pub(crate) struct Component {
    pub(crate) digest: ContentDigest,
    pub(crate) info: ComponentInfo,
    flows: HashMap<String, Validator>,
    tasks: HashMap<String, Validator>,
}

impl Catalog {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, known: Mutex::default() }
    }

    pub(crate) async fn get(&self, digest: ContentDigest) -> Result<Arc<Component>, StoreError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = known().get(&digest) {
            return Ok(component.clone());
        }
        let record = self.store.component(digest).await?.ok_or(StoreError::NoComponent(digest))?;
        let unavailable = |error: BadField| StoreError::Unavailable(Box::new(error));
        let component = Arc::new(Component::new(digest, record.info).map_err(unavailable)?);
        known().insert(digest, component.clone());
        Ok(component)
    }
}

/// Checks that every schema of a component is one.
pub fn check_schemas(info: &ComponentInfo) -> Result<(), BadField> {
    Component::new(ContentDigest::of(&[]), info.clone()).map(drop)
}

impl Component {
    fn new(digest: ContentDigest, info: ComponentInfo) -> Result<Self, BadField> {
        let mut flows = HashMap::new();
        for (i, flow) in info.flows.iter().enumerate() {
            flows.insert(flow.name.clone(), compile(&format!("flows[{i}].parameters"), &flow.parameters)?);
        }
        let mut tasks = HashMap::new();
        for (i, task) in info.tasks.iter().enumerate() {
            tasks.insert(task.name.clone(), compile(&format!("tasks[{i}].input"), &task.input)?);
        }
        Ok(Self { digest, info, flows, tasks })
    }

    /// Returns where parameters do not fit their flow's schema.
    pub(crate) fn misfits_of_parameters(&self, flow: &str, parameters: &Json) -> Vec<Misfit> {
        self.flows.get(flow).map(|it| misfits(it, parameters)).unwrap_or_default()
    }

    /// Returns where an input does not fit its task's schema.
    pub(crate) fn misfits_of_input(&self, task: &str, input: &Json) -> Vec<Misfit> {
        self.tasks.get(task).map(|it| misfits(it, input)).unwrap_or_default()
    }
}

fn compile(field: &str, schema: &Json) -> Result<Validator, BadField> {
    // Patterns come from a stranger: only an engine that takes linear time may run them. References beyond the schema
    // itself are not followed, because the crate is built without any way to.
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .build(&schema.to_value())
        .map_err(|error| BadField { field: field.to_owned(), problem: format!("is not a JSON Schema: {error}") })
}

fn misfits(validator: &Validator, value: &Json) -> Vec<Misfit> {
    let value = value.to_value();
    if validator.is_valid(&value) {
        return Vec::new();
    }
    let errors = validator.iter_errors(&value).take(MISFITS);
    errors
        .map(|error| Misfit {
            pointer: error.instance_path().to_string(),
            problem: retake_core::failure::cut(error.to_string(), limits::TEXT_BYTES),
        })
        .collect()
}
