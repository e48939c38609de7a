//! Components as the engine needs them: metadata at hand and schemas compiled, once for each digest.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use retake_core::component::{Capability, ComponentInfo};
use retake_core::failure::{Failure, code};
use retake_core::id::ContentDigest;
use retake_core::replay::CallKind;
use retake_core::retry::BadField;
use retake_core::value::Json;
use retake_store::{Store, StoreError};

use crate::Misfit;
use crate::schema::{Room, Schema};
use crate::steps::Budget;

/// Most components that are known without being kept: for plans of what they would do.
const PREVIEWED: usize = 8;
/// Most bytes of memory, about, of components that are known at once; those that were not asked for lately are read again
/// when they are needed.
const KNOWN: usize = 256 << 20;

pub(crate) struct Catalog {
    store: Arc<dyn Store>,
    known: Mutex<Known>,
    /// Not kept, the newest last.
    previewed: Mutex<VecDeque<Arc<Component>>>,
}

/// Components that are known, each with when it was asked for last.
#[derive(Default)]
struct Known {
    all: HashMap<ContentDigest, (Arc<Component>, u64)>,
    /// Counts what was asked for.
    asked: u64,
}

impl Known {
    fn get(&mut self, digest: ContentDigest) -> Option<Arc<Component>> {
        self.asked += 1;
        let (component, asked) = self.all.get_mut(&digest)?;
        *asked = self.asked;
        Some(component.clone())
    }

    fn insert(&mut self, component: Arc<Component>) {
        self.asked += 1;
        self.all.insert(component.digest, (component, self.asked));
        // The newest stays, however large it is.
        while self.all.len() > 1 && self.all.values().map(|(it, _)| it.bytes).sum::<usize>() > KNOWN {
            let oldest = self.all.iter().min_by_key(|(_, (_, asked))| *asked).map(|(digest, _)| *digest);
            oldest.and_then(|it| self.all.remove(&it));
        }
    }
}

/// A component's metadata with its schemas compiled.
pub(crate) struct Component {
    pub(crate) digest: ContentDigest,
    pub(crate) info: ComponentInfo,
    /// Whether a flow or a task of it asks for a secret or a variable.
    pub(crate) asks_for_values: bool,
    /// How many bytes of memory it has, about.
    bytes: usize,
    flows: HashMap<String, Schemas>,
    tasks: HashMap<String, Schemas>,
}

/// What a flow or a task takes and returns.
struct Schemas {
    takes: Schema,
    returns: Option<Schema>,
}

impl Schemas {
    fn compile(at: &str, takes: (&str, &Json), returns: Option<&Json>, room: &mut Room) -> Result<Self, BadField> {
        let mut of = |(field, schema): (&str, &Json)| Schema::compile(&format!("{at}.{field}"), schema, room);
        Ok(Self { takes: of(takes)?, returns: returns.map(|it| of(("returns", it))).transpose()? })
    }
}

impl Catalog {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, known: Mutex::default(), previewed: Mutex::default() }
    }

    pub(crate) async fn get(&self, digest: ContentDigest) -> Result<Arc<Component>, StoreError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = known().get(digest) {
            return Ok(component);
        }
        let Some(record) = self.store.component(digest).await?.filter(|it| it.removed.is_none()) else {
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

    /// Forgets a component that was removed.
    pub(crate) fn forget(&self, digest: ContentDigest) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).all.remove(&digest);
        self.previewed.lock().unwrap_or_else(PoisonError::into_inner).retain(|it| it.digest != digest);
    }

    /// Makes a component known.
    pub(crate) fn know(&self, component: Component) -> Arc<Component> {
        let component = Arc::new(component);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(component.clone());
        component
    }
}

/// Checks that every schema of a component is one.
pub fn check_schemas(info: &ComponentInfo) -> Result<(), BadField> {
    Component::new(ContentDigest::of(&[]), info.clone()).map(drop)
}

impl Component {
    pub(crate) fn new(digest: ContentDigest, info: ComponentInfo) -> Result<Self, BadField> {
        let mut room = Room::of_a_component();
        let mut flows = HashMap::new();
        for (i, flow) in info.flows.iter().enumerate() {
            let takes = ("parameters", &flow.parameters);
            let schemas = Schemas::compile(&format!("flows[{i}]"), takes, flow.returns.as_ref(), &mut room)?;
            flows.insert(flow.name.clone(), schemas);
        }
        let mut tasks = HashMap::new();
        for (i, task) in info.tasks.iter().enumerate() {
            let takes = ("input", &task.input);
            let schemas = Schemas::compile(&format!("tasks[{i}]"), takes, task.returns.as_ref(), &mut room)?;
            tasks.insert(task.name.clone(), schemas);
        }
        let mut asked =
            info.flows.iter().map(|it| &it.capabilities).chain(info.tasks.iter().map(|it| &it.capabilities));
        let asks_for_values =
            asked.any(|it| it.iter().any(|it| matches!(it, Capability::Secret(_) | Capability::Variable(_))));
        let bytes = room.taken() + 4 * Json::of(&info).as_str().len();
        Ok(Self { digest, info, asks_for_values, bytes, flows, tasks })
    }

    /// Returns where parameters do not fit their flow's schema.
    pub(crate) fn misfits_of_parameters(&self, flow: &str, parameters: &Json, budget: &Budget) -> Vec<Misfit> {
        self.flows.get(flow).map(|it| it.takes.misfits(parameters, budget)).unwrap_or_default()
    }

    /// Returns where an input does not fit its task's schema.
    pub(crate) fn misfits_of_input(&self, task: &str, input: &Json, budget: &Budget) -> Vec<Misfit> {
        self.tasks.get(task).map(|it| it.takes.misfits(input, budget)).unwrap_or_default()
    }

    /// Returns where a result does not fit what its task or flow says that it returns.
    pub(crate) fn misfits_of_result(&self, kind: CallKind, name: &str, result: &Json, budget: &Budget) -> Vec<Misfit> {
        let schemas = match kind {
            CallKind::Flow => self.flows.get(name),
            CallKind::Task => self.tasks.get(name),
            CallKind::Sleep => None,
        };
        schemas.and_then(|it| it.returns.as_ref()).map(|it| it.misfits(result, budget)).unwrap_or_default()
    }

    /// Checks that a result is what its task or flow says that it returns: `result.invalid` says where it is not.
    pub(crate) fn check_result(
        &self,
        kind: CallKind,
        name: &str,
        result: Json,
        budget: &Budget,
    ) -> Result<Json, Failure> {
        let misfits = self.misfits_of_result(kind, name, &result, budget);
        let Some(first) = misfits.first() else { return Ok(result) };
        let kind = if kind == CallKind::Flow { "flow" } else { "task" };
        let at = match first.pointer.as_str() {
            "" => "its result".to_owned(),
            pointer => format!("its result at `{pointer}`"),
        };
        let message = format!("{kind} `{name}`: {at}: {}", first.problem);
        Err(Failure { details: Some(Misfit::list(&misfits)), ..Failure::new(code::RESULT, message) })
    }
}
