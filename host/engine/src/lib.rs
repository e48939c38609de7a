//! Claims runs, has their flows and tasks attempted, and keeps what became of them.
//!
//! The engine knows a store, a runner, a clock and a source of chance, each behind a trait: it cannot tell a simulated
//! world from a real one. It never names a database or wasmtime.

mod calls;
mod catalog;
mod pace;
mod retry;
mod room;
mod run;
mod schema;
mod steps;
mod tags;
mod waits;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use retake_core::component::ComponentInfo;
use retake_core::deployment::DEFAULT_QUEUE;
use retake_core::failure::Failure;
use retake_core::grant::Grants;
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::inject::Injection;
use retake_core::limits;
use retake_core::port::{Runner, Sandboxes};
use retake_core::retry::BadField;
use retake_core::run::{Command, Refused, Run, RunState, Shown};
use retake_core::task::{Kept, LogLine, Overrides, TaskRun};
use retake_core::time::{Clock, Timestamp};
use retake_core::value::Json;
use retake_store::{ComponentRecord, NewRun, RunFilter, RunRecord, Store, StoreError};
use tokio::sync::{Notify, Semaphore};

use crate::steps::Budget;

pub use catalog::check_schemas;
pub use retry::{Fate, Plan, PlannedCall, RetryAsk, Why};
pub use room::Limits;
pub use tags::FullTag;
pub use waits::Waits;
pub use worker::Scope;

/// Where chance comes from.
pub trait Entropy: Send + Sync {
    /// Returns the next number.
    fn next(&self) -> u64;
}

/// What happens while runs are worked on, for whoever watches.
#[derive(Debug, Clone)]
pub enum Progress {
    /// It was made, or somebody changed it: what is kept of it is to be looked at again.
    Changed,
    /// An attempt of the flow began, or went on.
    Began {
        /// Which attempt.
        attempt: u32,
        /// Whether it goes on after an interruption.
        resumed: bool,
    },
    /// A kept result was fed back.
    Cached {
        /// Which call.
        number: u32,
        /// What people call it.
        name: String,
    },
    /// A child run was asked for: what becomes of it is told under its own id.
    Child(FlowRunId),
    /// An attempt of a task began.
    TaskBegan {
        /// Which call.
        number: u32,
        /// What people call it.
        name: String,
        /// Which attempt.
        attempt: u32,
    },
    /// An attempt of a task ended.
    TaskEnded {
        /// Which call.
        number: u32,
        /// What people call it.
        name: String,
        /// Which attempt.
        attempt: u32,
        /// How long it took.
        took: Duration,
        /// Why it failed; `None` when it succeeded.
        failure: Option<Failure>,
        /// When the next attempt begins.
        retry_at: Option<Timestamp>,
    },
    /// Something was printed or logged.
    Line(LogLine),
    /// An attempt of the flow ended or was put aside.
    Ended {
        /// What the run is shown as now.
        shown: Shown,
        /// Why the attempt failed.
        failure: Option<Failure>,
        /// When the run goes on.
        due: Option<Timestamp>,
    },
}

/// Watches runs being worked on. Called from the midst of the work: it must not block.
pub trait Observer: Send + Sync {
    /// Something happened to `run`.
    fn progress(&self, run: FlowRunId, progress: Progress);
}

/// Everything that an engine touches outside of itself.
#[derive(Clone)]
pub struct Outside {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What makes attempts.
    pub runner: Arc<dyn Runner>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids and fences come from.
    pub entropy: Arc<dyn Entropy>,
    /// Who watches.
    pub observer: Option<Arc<dyn Observer>>,
}

/// How an engine works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Flow runs without a parent that are worked on at once.
    pub flow_slots: usize,
    /// Child runs at each depth that are worked on at once. Apart from the above, or parents that wait for children
    /// would starve them.
    pub child_slots: usize,
    /// Task attempts at once, over all runs. Apart from flows for the same reason.
    pub task_slots: usize,
    /// Flow runs without a parent that begin, or go on, in a second; `None` for as many as come.
    pub rate: Option<u32>,
    /// How long a shutdown waits for task attempts to end by themselves.
    pub grace: Duration,
    /// A wait at least this long drops the sandbox.
    pub suspend_after: Duration,
    /// Whether results are kept of flows and tasks that do not say.
    pub persist_results: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flow_slots: 1024,
            child_slots: 512,
            task_slots: 512,
            rate: None,
            grace: Duration::from_secs(30),
            suspend_after: limits::SUSPEND_AFTER,
            persist_results: true,
        }
    }
}

/// Why something that a person asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The component has no such flow.
    #[error("the component `{component}` has no flow `{flow}`")]
    NoFlow {
        /// What the component calls itself.
        component: String,
        /// What was asked for.
        flow: String,
        /// What it has.
        flows: Vec<String>,
    },
    /// The run has made no such call.
    #[error("the run has made no call of `{asked}`")]
    NoCall {
        /// What was asked for.
        asked: String,
        /// What it has called.
        known: Vec<String>,
    },
    /// The parameters do not fit the schema.
    #[error("the parameters do not fit the flow's schema")]
    Parameters(Vec<Misfit>),
    /// The result that somebody set does not fit the schema.
    #[error("the result does not fit the schema of what `{0}` returns")]
    Result(String, Vec<Misfit>),
    /// The key made a run before, which was asked for something else.
    #[error("the idempotency key made run {} before, of `{}` and with other parameters", .0.friendly_name(), .1)]
    OtherRequest(FlowRunId, String),
    /// Something is out of bounds.
    #[error(transparent)]
    Field(#[from] BadField),
    /// The store refused or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One place where a value does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Where, as a JSON pointer; empty for the whole value.
    pub pointer: String,
    /// What is wrong.
    pub problem: String,
}

impl Misfit {
    /// Returns several as the details of a failure have them.
    fn list(all: &[Self]) -> Json {
        let each = all.iter().map(|it| serde_json::json!({"pointer": it.pointer, "problem": it.problem}));
        Json::of(&each.collect::<Vec<_>>())
    }
}

/// A run that somebody asks for.
#[derive(Debug, Clone)]
pub struct StartRequest {
    /// Which code.
    pub component: ContentDigest,
    /// Which of its flows.
    pub flow: String,
    /// Its parameters, a JSON object.
    pub parameters: Json,
    /// What is asked for beyond the metadata.
    pub overrides: Overrides,
    /// A second run under the same key is not made.
    pub idempotency_key: Option<String>,
    /// When it may begin; `None` for now.
    pub at: Option<Timestamp>,
    /// The deployment that it is asked for through, and the queue where workers look for it.
    pub through: Option<Through>,
}

/// The deployment that a run is asked for through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    /// `flow/name`.
    pub deployment: String,
    /// Where workers look for its runs.
    pub queue: String,
}

/// How much is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse {
    /// Flow runs, children among them.
    pub flow_runs: usize,
    /// Attempts of tasks.
    pub task_attempts: usize,
}

/// Works on runs. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

pub(crate) struct Inner {
    outside: Outside,
    settings: Settings,
    catalog: catalog::Catalog,
    task_slots: Semaphore,
    rooms: room::Rooms,
    tags: tags::Tags,
    /// What the runs of each deployment are granted.
    grants: RwLock<HashMap<String, Arc<Grants>>>,
    pace: pace::Pace,
    /// Told when there may be something to claim.
    wake: Notify,
    /// Depths of run trees at which something may be due, as bits.
    depths: std::sync::atomic::AtomicU32,
    /// Set while nothing begins or goes on that has no parent.
    draining: std::sync::atomic::AtomicBool,
    /// Set when the instant at which the next run is due may have changed.
    timers: std::sync::atomic::AtomicBool,
    /// Who works here.
    desk: Mutex<Option<worker::Desk>>,
    /// Told when a run is worked on and none was.
    became_active: Notify,
    /// The runs that are being worked on here.
    active: Mutex<HashMap<FlowRunId, Known>>,
    /// Who waits for a run to change.
    waiting: Mutex<HashMap<FlowRunId, Arc<Notify>>>,
}

/// What is known of a run that is worked on.
enum Known {
    Here(std::sync::Weak<calls::Calls>, Option<Early>),
    /// Nobody works on it yet.
    Early(Early),
}

/// A run was interrupted between this claim and its beginning.
type Early = (Fence, calls::Interrupt);

/// First and longest wait between two tries to reach the store.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Every depth of a run tree.
const ALL_DEPTHS: u32 = (1 << (limits::FLOW_DEPTH + 1)) - 1;

impl Engine {
    /// Makes an engine. Nothing happens until [`Engine::work`].
    pub fn new(outside: Outside, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            catalog: catalog::Catalog::new(outside.store.clone()),
            task_slots: Semaphore::new(settings.task_slots),
            rooms: room::Rooms::default(),
            tags: tags::Tags::default(),
            grants: RwLock::default(),
            pace: pace::Pace::new(settings.rate),
            outside,
            settings,
            wake: Notify::new(),
            depths: ALL_DEPTHS.into(),
            draining: false.into(),
            timers: true.into(),
            desk: Mutex::default(),
            became_active: Notify::new(),
            active: Mutex::default(),
            waiting: Mutex::default(),
        }))
    }

    /// Returns what is worked on at this moment.
    pub fn in_use(&self) -> InUse {
        let engine = &self.0;
        InUse {
            flow_runs: engine.active.lock().unwrap_or_else(PoisonError::into_inner).len(),
            task_attempts: engine.settings.task_slots.saturating_sub(engine.task_slots.available_permits()),
        }
    }

    /// Lets no run without a parent begin or go on from now on, or lets them again. What is worked on goes on to its
    /// end, or until it is put aside.
    pub fn drain(&self, draining: bool) {
        self.0.draining.store(draining, std::sync::atomic::Ordering::Release);
        self.0.depths.store(ALL_DEPTHS, std::sync::atomic::Ordering::Release);
        self.0.timers_changed();
        self.0.wake.notify_one();
    }

    /// Whether it drains.
    pub fn is_draining(&self) -> bool {
        self.0.holds_back(0)
    }

    /// Returns what it was made with.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Returns the sandboxes that were made since the start.
    pub fn sandboxes(&self) -> Sandboxes {
        self.0.outside.runner.sandboxes()
    }

    /// Keeps a component that passed inspection. Its schemas are checked here.
    pub async fn register(
        &self,
        digest: ContentDigest,
        info: ComponentInfo,
        bytes: Vec<u8>,
    ) -> Result<ComponentRecord, AskError> {
        catalog::check_schemas(&info)?;
        let uploaded = self.0.outside.clock.now();
        let record = ComponentRecord { digest, bytes: bytes.len() as u64, info, uploaded, removed: None };
        self.0.outside.store.put_component(record.clone(), bytes).await?;
        Ok(record)
    }

    /// Removes a component that nothing needs, with what was compiled of it.
    pub async fn remove_component(&self, digest: ContentDigest) -> Result<(), AskError> {
        self.0.outside.store.remove_component(digest, self.0.outside.clock.now()).await?;
        self.0.catalog.forget(digest);
        self.0.outside.runner.forget(digest);
        Ok(())
    }

    /// Says what [`Engine::start`] would find wrong with a request. Its component need not be kept, only known.
    pub async fn check(&self, request: &StartRequest) -> Result<(), AskError> {
        let component = self.0.catalog.get(request.component).await?;
        let flow = component.info.flow(&request.flow).ok_or_else(|| AskError::NoFlow {
            component: component.info.name.clone(),
            flow: request.flow.clone(),
            flows: component.info.flows.iter().map(|it| it.name.clone()).collect(),
        })?;
        request.overrides.check(flow)?;
        Injection::check_names(&request.overrides.inject, &component.info)?;
        let misfits = component.misfits_of_parameters(&request.flow, &request.parameters, &Budget::of_request());
        match misfits.is_empty() {
            true => Ok(()),
            false => Err(AskError::Parameters(misfits)),
        }
    }

    /// Makes a run; `false` when its idempotency key had made one before.
    pub async fn start(&self, request: StartRequest) -> Result<(RunRecord, bool), AskError> {
        self.check(&request).await?;
        let now = self.0.outside.clock.now();
        let random = u128::from(self.0.outside.entropy.next()) << 64 | u128::from(self.0.outside.entropy.next());
        let id = FlowRunId::new(now, random);
        let (deployment, queue) = match request.through {
            Some(Through { deployment, queue }) => (Some(deployment), queue),
            None => (None, DEFAULT_QUEUE.to_owned()),
        };
        let run = NewRun {
            id,
            component: request.component,
            flow: request.flow,
            deployment,
            queue,
            parameters: Kept::Inline(request.parameters),
            overrides: request.overrides,
            idempotency_key: request.idempotency_key,
            parent: None,
            root: id,
            depth: 0,
            due: request.at.unwrap_or(now),
            created: now,
        };
        let (flow, parameters) = (run.flow.clone(), run.parameters.clone());
        let (made, is_new) = self.0.make(run).await?;
        let same = async |kept: &Kept| match (kept, &parameters) {
            (Kept::Inline(kept), Kept::Inline(asked)) => Ok::<_, StoreError>(kept.canonical() == asked.canonical()),
            (kept, Kept::Inline(asked)) => Ok(self.0.outside.store.value(kept).await?.canonical() == asked.canonical()),
            (kept, asked) => Ok(kept == asked),
        };
        if !is_new && (made.asked.flow != flow || !same(&made.asked.parameters).await?) {
            return Err(AskError::OtherRequest(made.asked.id, made.asked.flow));
        }
        if is_new {
            self.0.observe(made.asked.id, || Progress::Changed);
        }
        Ok((made, is_new))
    }

    /// Cancels a run and its children: at once what nobody works on, the rest when it has stopped.
    pub async fn cancel(&self, id: FlowRunId) -> Result<Run, AskError> {
        Ok(self.0.cancel(id).await?)
    }

    /// Pauses a run: at once when nobody works on it; otherwise no new task attempt of it begins, those that are being
    /// made may end within the grace time, and its sandbox is dropped. What it has done is kept.
    pub async fn pause(&self, id: FlowRunId) -> Result<Run, AskError> {
        loop {
            let now = self.0.outside.clock.now();
            let changed = self.0.watch(id);
            match self.0.outside.store.command(id, Command::Pause, now).await {
                Err(StoreError::Refused(Refused::Active)) if self.0.interrupt(id, calls::Interrupt::Paused) => {}
                answer => {
                    let run = answer?;
                    self.0.changed_by_somebody(id);
                    return Ok(run);
                }
            }
            loop {
                let told = changed.notified();
                let run = self.0.outside.store.run(id).await?.run;
                if matches!(run.state, RunState::Paused { .. }) {
                    return Ok(run);
                }
                if !run.state.is_active() {
                    // The attempt ended before it heard of it: what waits now can be paused, or has ended.
                    break;
                }
                told.await;
            }
        }
    }

    /// Lets a paused run go on.
    pub async fn resume(&self, id: FlowRunId) -> Result<Run, AskError> {
        self.command(id, Command::Resume).await
    }

    /// Begins the next attempt of a run now, not when it is due.
    pub async fn run_now(&self, id: FlowRunId) -> Result<Run, AskError> {
        self.command(id, Command::RunNow).await
    }

    async fn command(&self, id: FlowRunId, command: Command) -> Result<Run, AskError> {
        let run = self.0.outside.store.command(id, command, self.0.outside.clock.now()).await?;
        self.0.depths.store(ALL_DEPTHS, std::sync::atomic::Ordering::Release);
        self.0.timers_changed();
        self.0.changed_by_somebody(id);
        Ok(run)
    }

    /// Keeps a result that a person sets for a call that has none; the next attempt is fed it.
    pub async fn set_result(&self, id: FlowRunId, number: u32, result: Json) -> Result<(), AskError> {
        let now = self.0.outside.clock.now();
        let store = &self.0.outside.store;
        let record = store.run(id).await?;
        let lacks_one = |it: &&TaskRun| it.number == number && it.result.is_none();
        if let Some(call) = store.task_runs(id).await?.iter().find(lacks_one) {
            let component = self.0.catalog.get(record.asked.component).await?;
            let misfits =
                component.misfits_of_result(call.identity.kind, &call.identity.name, &result, &Budget::of_request());
            if !misfits.is_empty() {
                return Err(AskError::Result(call.identity.name.to_string(), misfits));
            }
        }
        store.set_result(id, number, result, now).await?;
        self.0.changed_by_somebody(id);
        Ok(())
    }

    /// Sets how many runs of some deployments and queues are worked on at once, instead of what was set before.
    pub fn limit(&self, limits: Limits) {
        self.0.rooms.set(limits);
        self.0.wake(0);
    }

    /// Sets how many attempts of tasks with some tags are made at once, instead of what was set before.
    pub fn limit_tags(&self, limits: HashMap<String, u32>) {
        self.0.tags.set(limits);
    }

    /// Sets which secrets and variables the runs of each deployment are granted, instead of what was set before: from
    /// their next attempt on.
    pub fn grant(&self, grants: HashMap<String, Arc<Grants>>) {
        *self.0.grants.write().unwrap_or_else(PoisonError::into_inner) = grants;
    }

    /// Works on runs until `shutdown`, then lets task attempts end within the grace time and releases the rest, which
    /// go on where they were when somebody works again.
    pub async fn work(&self, scope: Scope, shutdown: impl Future<Output = ()>) {
        worker::work(&self.0, scope, shutdown).await;
    }

    /// Returns what is told each time that the run may have changed. Ask before looking, so that nothing is missed.
    pub fn watch(&self, id: FlowRunId) -> Arc<Notify> {
        self.0.watch(id)
    }
}

impl Inner {
    fn wake(&self, depth: u32) {
        self.depths.fetch_or(1 << depth.min(limits::FLOW_DEPTH), std::sync::atomic::Ordering::AcqRel);
        self.wake.notify_one();
    }

    fn timers_changed(&self) {
        self.timers.store(true, std::sync::atomic::Ordering::Release);
        self.wake.notify_one();
    }

    fn take_timers_changed(&self) -> bool {
        self.timers.swap(false, std::sync::atomic::Ordering::AcqRel)
    }

    /// Makes a run that is worked on known, until the answer is dropped.
    fn register_active<'a>(&'a self, id: FlowRunId, fence: Fence, calls: &'a Arc<calls::Calls>) -> Active<'a> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        self.became_active.notify_one();
        let before = active.insert(id, Known::Here(Arc::downgrade(calls), None));
        if let Some(Known::Early((claim, interrupt)) | Known::Here(_, Some((claim, interrupt)))) = before
            && claim == fence
        {
            calls.interrupt(interrupt);
        }
        Active { engine: self, id, calls }
    }

    /// Returns the calls of all runs that are worked on here, the oldest run first: a simulation replays the order.
    fn all_active(&self) -> Vec<Arc<calls::Calls>> {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let here = active.iter().filter_map(|(id, it)| match it {
            Known::Here(calls, _) => Some((*id, calls.upgrade()?)),
            Known::Early(_) => None,
        });
        let mut here: Vec<_> = here.collect();
        // What may be the last to hold one is not dropped while the lock is held.
        drop(active);
        here.sort_unstable_by_key(|(id, _)| *id);
        here.into_iter().map(|(_, calls)| calls).collect()
    }

    fn works_on(&self, id: FlowRunId) -> bool {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(active.get(&id), Some(Known::Here(..)))
    }

    /// Has the driver of a run look, if it is worked on here.
    fn interrupt(&self, id: FlowRunId, interrupt: calls::Interrupt) -> bool {
        let calls = match self.active.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            Some(Known::Here(calls, _)) => calls.upgrade(),
            Some(Known::Early(_)) | None => None,
        };
        calls.as_ref().inspect(|calls| calls.interrupt(interrupt)).is_some()
    }

    /// Has the driver of a cancelled run look, at once or when it begins.
    fn stop_cancelled(&self, id: FlowRunId, fence: Fence) {
        let cancelled = calls::Interrupt::Cancelled;
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Known::Here(calls, early)) = active.get_mut(&id) {
            match calls.upgrade() {
                Some(calls) if calls.is_of(fence) => {
                    // What it may be the last to hold is not dropped while we hold the lock.
                    drop(active);
                    return calls.interrupt(cancelled);
                }
                // The attempt before that one is not forgotten here yet.
                ended => {
                    *early = Some((fence, cancelled));
                    drop(active);
                    return drop(ended);
                }
            }
        }
        // Those that had just ended when they were cancelled never begin.
        if active.len() > 10_000 {
            active.retain(|_, known| matches!(known, Known::Here(..)));
        }
        active.insert(id, Known::Early((fence, cancelled)));
    }

    /// Cancels a run and what is below it.
    async fn cancel(&self, id: FlowRunId) -> Result<Run, StoreError> {
        let cancelled = self.outside.store.command(id, Command::Cancel, self.outside.clock.now()).await;
        if cancelled.is_ok() {
            self.timers_changed();
            self.stop_tree(id).await;
        }
        cancelled
    }

    /// Has the drivers of a tree look that was cancelled.
    async fn stop_tree(&self, id: FlowRunId) {
        let stop = async {
            let record =
                self.until_answered(id, "looking for what was cancelled", || self.outside.store.run(id)).await?;
            if let RunState::Cancelling { fence, .. } = record.run.state {
                self.stop_cancelled(id, fence);
            }
            self.changed_by_somebody(id);
            for child in self.until_answered(id, "looking for its children", || self.children(id)).await? {
                // One that had ended has nothing below it that goes on.
                if child.run.state.is_cancelled() || !child.run.state.is_terminal() {
                    Box::pin(self.stop_tree(child.asked.id)).await;
                }
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = stop.await {
            tracing::debug!(run = %id, %error, "was not there to be stopped");
        }
    }

    /// Returns the children of a run.
    async fn children(&self, id: FlowRunId) -> Result<Vec<RunRecord>, StoreError> {
        let filter = RunFilter { parent: Some(id), limit: limits::CALLS_KEPT_PER_RUN as usize, ..RunFilter::default() };
        self.outside.store.list(filter, self.outside.clock.now()).await
    }

    /// Returns what a run is granted; a child has what the run at the top of its tree has.
    async fn granted(&self, run: &NewRun, asks: bool) -> Result<Option<Arc<Grants>>, StoreError> {
        if !asks || self.grants.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Ok(None);
        }
        let deployment = match run.depth {
            0 => run.deployment.clone(),
            _ => self.outside.store.run(run.root).await?.asked.deployment,
        };
        let grants = self.grants.read().unwrap_or_else(PoisonError::into_inner);
        Ok(deployment.and_then(|it| grants.get(&it).cloned()))
    }

    fn watch(&self, id: FlowRunId) -> Arc<Notify> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody waits any more for those that only this map knows.
        if waiting.len() > 10_000 {
            waiting.retain(|_, notify| Arc::strong_count(notify) > 1);
        }
        waiting.entry(id).or_default().clone()
    }

    fn holds_back(&self, depth: u32) -> bool {
        depth == 0 && self.draining.load(std::sync::atomic::Ordering::Acquire)
    }

    fn changed(&self, id: FlowRunId) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = waiting.get(&id) {
            notify.notify_waiters();
            notify.notify_one();
        }
    }

    fn changed_by_somebody(&self, id: FlowRunId) {
        self.changed(id);
        self.observe(id, || Progress::Changed);
    }

    fn observe(&self, run: FlowRunId, progress: impl FnOnce() -> Progress) {
        if let Some(observer) = &self.outside.observer {
            observer.progress(run, progress());
        }
    }

    /// Asks the store until it answers. What it may have done already is safe to ask for again, because every write
    /// names its fence.
    async fn until_answered<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        run: FlowRunId,
        asked_for: &'static str,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, StoreError> {
        let mut wait = BACKOFF_FIRST;
        loop {
            match ask().await {
                Err(StoreError::Unavailable(error)) => {
                    tracing::warn!(%run, %error, asked_for, "the store did not answer; trying again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(BACKOFF_MAX);
                }
                answer => return answer,
            }
        }
    }

    /// Waits until the clock shows `due`.
    async fn until(&self, due: Timestamp) {
        loop {
            let wait = due.since(self.outside.clock.now());
            if wait.is_zero() {
                return;
            }
            // In pieces, because the clock may be set while we wait.
            tokio::time::sleep(wait.min(Duration::from_secs(60))).await;
        }
    }
}

struct Active<'a> {
    engine: &'a Inner,
    id: FlowRunId,
    calls: &'a Arc<calls::Calls>,
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let mut active = self.engine.active.lock().unwrap_or_else(PoisonError::into_inner);
        // Perhaps the next attempt is known already.
        let early = match active.get(&self.id) {
            Some(Known::Here(calls, early)) if calls.as_ptr() == Arc::as_ptr(self.calls) => *early,
            _ => return,
        };
        match early {
            Some(early) => active.insert(self.id, Known::Early(early)),
            None => active.remove(&self.id),
        };
    }
}
