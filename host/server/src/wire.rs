//! What outsiders see as JSON, over HTTP and from the CLI. People script against it: fields are added, never renamed.
//!
//! Times are RFC 3339 in UTC, durations whole milliseconds, sizes bytes.

use std::collections::HashMap;

use retake_core::component::ComponentInfo;
use retake_core::failure::Failure;
use retake_core::id::{ContentDigest, FlowRunId, TaskRunId};
use retake_core::replay::CallKind;
use retake_core::run::{RunState, Waiting};
use retake_core::task::{Evidence, Kept, Level, LogLine, Overrides, PastAttempt, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_engine::{Fate, Plan, PlannedCall, Why};
use retake_store::{RunFilter, RunRecord, Store, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// So many children of a run are shown with it.
const CHILDREN: usize = 100;

/// Longest parameters and results that stand in a list.
const LISTED_BYTES: usize = 4 << 10;
/// So many bytes of inputs and results of its calls, together.
const VALUES_BYTES: usize = 8 << 20;

/// A flow run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = FlowRun)]
pub struct RunView {
    /// Begins with `run_`; sorts by the time of making.
    #[schema(value_type = String)]
    pub id: FlowRunId,
    /// Its friendly name, such as `brisk-otter`: as good as the id where only one run has it.
    pub name: String,
    /// The flow's name.
    pub flow: String,
    /// The deployment that it was asked for through, as `flow/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Where workers look for it.
    pub queue: String,
    /// SHA-256 of the code that it is pinned to.
    #[schema(value_type = String)]
    pub component: ContentDigest,
    /// A word of Prefect's: Scheduled, Late, AwaitingRetry, Suspended, Running, Retrying, Cancelling, Parked, Paused,
    /// Completed, Failed, TimedOut, Crashed or Cancelled.
    pub state: String,
    /// Attempts begun so far, over all rounds.
    pub attempt: u32,
    /// Rounds so far: each manual retry begins one.
    pub round: u32,
    /// When it begins or goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due: Option<Timestamp>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When its last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub began: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
    /// The run whose flow asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub parent: Option<FlowRunId>,
    /// Its parameters, a JSON object; in lists only where they have 4 KiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Json>,
    /// What it was asked for beyond the metadata.
    #[schema(value_type = schema::Overrides)]
    pub overrides: Overrides,
    /// What its flow returned; in lists only where it has 4 KiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Any, required = false)]
    pub result: Option<Json>,
    /// Why its last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Failure>)]
    pub failure: Option<Failure>,
    /// Its task runs, child flows and durable sleeps; where one run is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<TaskView>>,
    /// Its attempts that have ended; where one run is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Vec<AttemptView>>,
    /// What else happened to it; where one run is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventView>>,
    /// How long its last attempt took, or takes so far, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// When the code that it is pinned to was removed: it can be retried with other code only. Where one run is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub component_removed: Option<Timestamp>,
    /// Why it waits though it is due, or what a call of it waits for: a queue that nobody serves, a limit that is reached,
    /// a node that drains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Whether the process that worked on it has died, and none has taken its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host_gone: bool,
    /// Its newest child runs, without their tasks; where one run is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub children: Option<Vec<Self>>,
}

/// A task run, a child flow or a durable sleep of a flow run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = TaskRun)]
pub struct TaskView {
    /// Begins with `task_`.
    #[schema(value_type = String)]
    pub id: TaskRunId,
    /// Which of the run's calls, from 1, in the order in which they were first made.
    pub number: u32,
    /// `task`, `flow` or `sleep`.
    #[schema(value_type = schema::CallKind)]
    pub kind: CallKind,
    /// The task's or the flow's name.
    pub task: String,
    /// What people see instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The run of a child flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub child: Option<FlowRunId>,
    /// AwaitingRetry, Cached, Completed, Failed, Cancelled or Forgotten. Cached: an earlier attempt of the flow had it.
    pub state: String,
    /// The attempt of the flow that last worked on it.
    pub flow_attempt: u32,
    /// Attempts begun so far, over all rounds.
    pub attempts: u32,
    /// Whether a person set the result.
    pub by_hand: bool,
    /// Rounds so far: each attempt of the flow that runs it again begins one.
    pub round: u32,
    /// When the next attempt begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due: Option<Timestamp>,
    /// When the last attempt began.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub ended: Timestamp,
    /// How long that was, in milliseconds.
    pub took_ms: u64,
    /// What it was given; left out where a run's values together are too large to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Any, required = false)]
    pub input: Option<Json>,
    /// Its length as JSON text.
    pub input_bytes: u64,
    /// The length of what it returned, if that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
    /// What it returned, if that is kept; left out as the input is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Any, required = false)]
    pub result: Option<Json>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Failure>)]
    pub failure: Option<Failure>,
    /// What the last attempt used.
    #[schema(value_type = schema::Evidence)]
    pub evidence: Evidence,
    /// The attempts before the last.
    pub earlier_attempts: Vec<AttemptView>,
}

/// An attempt that has ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptView {
    /// Which, from 1.
    pub attempt: u32,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub ended: Timestamp,
    /// How long that was, in milliseconds.
    pub took_ms: u64,
    /// Why it failed; absent when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Failure>)]
    pub failure: Option<Failure>,
    /// What it used.
    #[schema(value_type = schema::Evidence)]
    pub evidence: Evidence,
}

/// Something else that happened to a run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Event)]
pub struct EventView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Such as `manual-retry`, `cancel`, `host-lost`.
    pub kind: String,
    /// A JSON object.
    #[schema(value_type = Object)]
    pub details: Json,
}

/// A log line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = LogLine)]
pub struct LineView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The name of the run that wrote it, where the lines of several are asked for together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The task that wrote it; absent for the flow itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Which call of the run that was: its `number`; absent for the flow itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub call: u32,
    /// Which attempt of it.
    pub attempt: u32,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    #[schema(value_type = String)]
    pub level: Level,
    /// As the guest wrote it: whoever shows it escapes it.
    pub message: String,
    /// A JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub fields: Option<Json>,
}

impl LineView {
    /// Shows a line.
    pub fn new(line: &LogLine) -> Self {
        let LogLine { at, call, attempt, level, message, fields, task } = line.clone();
        let task = task.as_deref().map(str::to_owned);
        Self { at, run: None, task, call, attempt, level, message, fields }
    }

    /// Shows a line of one of several runs.
    pub fn of(run: FlowRunId, line: &LogLine) -> Self {
        Self { run: Some(run.friendly_name()), ..Self::new(line) }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(call: &u32) -> bool {
    *call == 0
}

impl From<LineView> for LogLine {
    fn from(line: LineView) -> Self {
        let LineView { at, task, call, attempt, level, message, fields, .. } = line;
        Self { at, call, attempt, level, message, fields, task: task.map(Into::into) }
    }
}

/// What an inspection found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Inspection)]
pub struct InspectionView {
    /// SHA-256 of the bytes.
    #[schema(value_type = String)]
    pub digest: ContentDigest,
    /// How many bytes.
    pub bytes: u64,
    /// What it says about itself.
    #[serde(flatten)]
    #[schema(value_type = schema::ComponentInfo)]
    pub info: ComponentInfo,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
}

/// When each attempt would begin.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Policy)]
pub struct PolicyView {
    /// `flow` or `task`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How many attempts there are at most.
    pub attempts: u32,
    /// Attempts of a task over all attempts of its flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_with_flow: Option<u64>,
    /// `fail` or `park`.
    #[schema(value_type = String)]
    pub when_exhausted: retake_core::retry::WhenExhausted,
    /// The attempts.
    pub schedule: Vec<PolicyAttempt>,
}

/// One attempt of a policy. Milliseconds after the end of the first attempt, as if attempts took no time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyAttempt {
    /// Which, from 1.
    pub attempt: u32,
    /// The wait before it.
    pub delay_ms: u64,
    /// When it begins at the earliest.
    pub earliest_ms: u64,
    /// When it begins at the latest: jitter makes the difference.
    pub latest_ms: u64,
}

/// What a manual retry would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = RetryPlan)]
pub struct PlanView {
    /// Of which run.
    #[schema(value_type = String)]
    pub run: FlowRunId,
    /// The attempt that would begin.
    pub attempt: u32,
    /// The code that would run.
    #[schema(value_type = String)]
    pub component: ContentDigest,
    /// Whether that is other code than before.
    pub new_code: bool,
    /// Whether the parameters are others than before.
    pub new_parameters: bool,
    /// Whether an earlier retry gave it other code or parameters: what only those before asked for is not asked for again.
    #[serde(default)]
    pub changed_before: bool,
    /// Every call that is known, in the order in which they were first made.
    pub calls: Vec<PlannedCallView>,
}

/// What would become of one call.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PlannedCall)]
pub struct PlannedCallView {
    /// Its number.
    pub number: u32,
    /// `task` or `flow`.
    #[schema(value_type = schema::CallKind)]
    pub kind: CallKind,
    /// The task's or the flow's name.
    pub task: String,
    /// What people see instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What people call it: its label, or its name, with its input where several have that name.
    #[serde(default)]
    pub title: String,
    /// Whether its author gave it a key, which stands for its input.
    pub keyed: bool,
    /// `fed-back`, `runs-again` or `gone`.
    pub fate: String,
    /// The same in words.
    pub why: String,
    /// The run of a child flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub child: Option<FlowRunId>,
    /// What would become of the calls of a child flow that runs again, in turn: 1,000 below a run at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub children: Vec<PlannedCallView>,
}

impl PlanView {
    /// Every call of the run, and of its children that run again, each with how many runs are above it.
    pub fn all_calls(&self) -> Vec<(usize, &PlannedCallView)> {
        fn walk<'a>(calls: &'a [PlannedCallView], depth: usize, into: &mut Vec<(usize, &'a PlannedCallView)>) {
            for call in calls {
                into.push((depth, call));
                walk(&call.children, depth + 1, into);
            }
        }
        let mut all = Vec::new();
        walk(&self.calls, 0, &mut all);
        all
    }

    /// Shows a plan.
    pub fn new(run: FlowRunId, plan: &Plan) -> Self {
        Self {
            run,
            attempt: plan.attempt,
            component: plan.component,
            new_code: plan.new_code,
            new_parameters: plan.new_parameters,
            changed_before: plan.changed_before,
            calls: plan.calls.iter().map(|it| PlannedCallView::new(it, plan)).collect(),
        }
    }

    /// A line that says what is fed back.
    pub fn summary(&self) -> String {
        let all = self.all_calls();
        let fed = || all.iter().map(|(_, it)| it).filter(|it| it.fate == "fed-back");
        let keyed = fed().filter(|it| it.keyed).count();
        match (fed().count(), self.calls.is_empty()) {
            (0, true) => "nothing was kept, everything runs again".to_owned(),
            (0, false) => "everything runs again".to_owned(),
            (n, _) if self.new_parameters && n > keyed => {
                let same = if keyed > 0 { "the input or the key" } else { "the input" };
                format!("{} kept, and fed back where {same} is the same", results(n))
            }
            (n, _) if self.new_code || self.changed_before => {
                format!("{} kept, and fed back where the same is asked for", results(n))
            }
            (n, _) => format!("{} fed back", results(n)),
        }
    }
}

fn results(n: usize) -> String {
    if n == 1 { "1 task result is".to_owned() } else { format!("{n} task results are") }
}

impl PlannedCallView {
    fn new(call: &PlannedCall, plan: &Plan) -> Self {
        let fate = match call.fate {
            Fate::FedBack { .. } => "fed-back",
            Fate::RunsAgain(_) => "runs-again",
            Fate::Gone => "gone",
        };
        Self {
            number: call.number,
            kind: call.kind,
            task: call.name.clone(),
            label: call.label.clone(),
            title: call.title.clone(),
            keyed: call.keyed,
            fate: fate.to_owned(),
            why: why(call, plan),
            child: call.child,
            children: call.children.iter().map(|it| Self::new(it, plan)).collect(),
        }
    }
}

fn why(call: &PlannedCall, plan: &Plan) -> String {
    use retake_core::replay::Again;
    match &call.fate {
        // Pointed out because the result may be the answer to what is not asked any more.
        Fate::FedBack { from_attempt } if call.keyed && (plan.new_parameters || plan.new_code) => {
            format!("fed back from attempt {from_attempt}, by its key, whatever its input")
        }
        Fate::FedBack { .. } if call.by_hand => match plan.new_parameters && !call.keyed {
            true => "fed back as it was set by hand, if its input is still the same".to_owned(),
            false => "fed back as it was set by hand".to_owned(),
        },
        Fate::FedBack { from_attempt } if plan.new_parameters => {
            format!("fed back from attempt {from_attempt}, if its input is still the same")
        }
        Fate::FedBack { from_attempt } => format!("fed back from attempt {from_attempt}"),
        Fate::RunsAgain(Why::Kept(Again::Failed)) => "runs again: failed".into(),
        Fate::RunsAgain(Why::Kept(Again::Cancelled)) => "runs again: was cancelled".into(),
        Fate::RunsAgain(Why::Kept(Again::Stopped)) => "runs again: had begun, and was stopped".into(),
        Fate::RunsAgain(Why::Kept(Again::NotKept)) => "runs again: not kept".into(),
        Fate::RunsAgain(Why::Kept(Again::Asked)) => "runs again: asked for".into(),
        Fate::RunsAgain(Why::OtherInput) => "runs again: input will not match".into(),
        Fate::RunsAgain(Why::NewVersion { was, is }) => format!("runs again: version {is}, was {was}"),
        Fate::Gone => "not called: the new code has none of that name".into(),
    }
}

async fn value(store: &dyn Store, kept: &Kept) -> Json {
    match store.value(kept).await {
        Ok(json) => json,
        Err(error) => Json::of(&format!("cannot be read: {error}")),
    }
}

/// Returns a value that may stand in a list.
fn if_small(kept: &Kept) -> Option<Json> {
    match kept {
        Kept::Inline(json) if json.as_str().len() <= LISTED_BYTES => Some(json.clone()),
        Kept::Inline(_) | Kept::Blob { .. } => None,
    }
}

/// Returns a value if there is room for it.
async fn within(store: &dyn Store, kept: &Kept, room: &mut usize) -> Option<Json> {
    *room = room.checked_sub(kept.bytes())?;
    Some(value(store, kept).await)
}

impl RunView {
    /// Shows a run without what happened in it.
    pub fn new(record: &RunRecord, now: Timestamp) -> Self {
        let asked = &record.asked;
        Self {
            id: asked.id,
            name: asked.id.friendly_name(),
            flow: asked.flow.clone(),
            deployment: asked.deployment.clone(),
            queue: asked.queue.clone(),
            component: asked.component,
            state: record.run.shown(now).to_string(),
            attempt: record.run.attempt,
            round: record.run.round,
            due: match record.run.state {
                RunState::Scheduled { due, .. } => Some(due),
                _ => None,
            },
            created: asked.created,
            began: record.run.attempt_began,
            ended: record.ended.filter(|_| record.run.state.is_terminal() || record.run.state == RunState::Parked),
            parent: asked.parent.map(|it| it.run),
            parameters: if_small(&asked.parameters),
            overrides: asked.overrides.clone(),
            result: record.result.as_ref().and_then(if_small),
            failure: record.failure.clone(),
            tasks: None,
            attempts: None,
            events: None,
            took_ms: match record.run.state {
                state if state.is_active() => record.run.attempt_began.map(|it| millis(now.since(it))),
                _ => record.ended.zip(record.run.attempt_began).map(|(ended, began)| millis(ended.since(began))),
            },
            component_removed: None,
            waits_for: None,
            host_gone: false,
            children: None,
        }
    }

    /// The same with everything that happened to it.
    pub async fn whole(store: &dyn Store, record: &RunRecord, now: Timestamp) -> Result<Self, StoreError> {
        let id = record.asked.id;
        let mut view = Self::new(record, now);
        view.parameters = Some(value(store, &record.asked.parameters).await);
        if let Some(kept) = &record.result {
            view.result = Some(value(store, kept).await);
        }
        let mut past: HashMap<u32, Vec<AttemptView>> = HashMap::new();
        for attempt in store.past_attempts(id).await? {
            past.entry(attempt.call).or_default().push(AttemptView::new(&attempt));
        }
        let mut tasks = Vec::new();
        let mut room = VALUES_BYTES;
        for task in store.task_runs(id).await? {
            let earlier = past.remove(&task.number).unwrap_or_default();
            tasks.push(TaskView::new(store, record, &task, earlier, now, &mut room).await);
        }
        view.tasks = Some(tasks);
        view.attempts = Some(past.remove(&0).unwrap_or_default());
        view.component_removed = store.component(record.asked.component).await?.and_then(|it| it.removed);
        let events = store.events(id).await?;
        let filter = RunFilter { parent: Some(id), limit: CHILDREN, ..RunFilter::default() };
        let mut children = Vec::new();
        for child in store.list(filter, now).await? {
            children.push(Self::new(&child, now));
        }
        view.children = Some(children);
        view.events =
            Some(events.into_iter().map(|it| EventView { at: it.at, kind: it.kind, details: it.details }).collect());
        Ok(view)
    }
}

impl TaskView {
    /// What people call it: its label, or its name, with its input where others of the run have that name.
    pub fn title(&self, all: &[Self]) -> String {
        let of_that_name = |it: &&Self| it.task == self.task && it.kind == self.kind;
        match (&self.label, &self.input) {
            (Some(label), _) => label.clone(),
            (None, Some(input)) if all.iter().filter(of_that_name).nth(1).is_some() => {
                format!("{} {}", self.task, input.summary(retake_core::limits::SUMMARY))
            }
            (None, _) => self.task.clone(),
        }
    }

    /// Shows one call of a run, its values whole.
    pub(crate) async fn one(
        store: &dyn Store,
        record: &RunRecord,
        number: u32,
        now: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let id = record.asked.id;
        let tasks = store.task_runs(id).await?;
        let Some(task) = tasks.iter().find(|it| it.number == number) else { return Ok(None) };
        let past = store.past_attempts(id).await?;
        let earlier = past.iter().filter(|it| it.call == number).map(AttemptView::new).collect();
        Ok(Some(Self::new(store, record, task, earlier, now, &mut usize::MAX.clone()).await))
    }

    /// `room`: how many bytes of values may still be shown.
    async fn new(
        store: &dyn Store,
        record: &RunRecord,
        task: &TaskRun,
        earlier_attempts: Vec<AttemptView>,
        now: Timestamp,
        room: &mut usize,
    ) -> Self {
        let id = TaskRunId { run: record.asked.id, number: task.number };
        let ended = ended(record, task, now);
        Self {
            id,
            number: task.number,
            kind: task.identity.kind,
            task: task.identity.name.to_string(),
            label: task.label.clone(),
            child: (task.identity.kind == CallKind::Flow).then(|| task.identity.child_of(id.run)),
            state: state(record, task).to_owned(),
            flow_attempt: task.flow_attempt,
            attempts: task.attempts,
            by_hand: task.by_hand,
            round: task.round,
            due: match task.state {
                TaskState::AwaitingRetry(due) => Some(due),
                _ => None,
            },
            began: task.began,
            ended,
            took_ms: millis(ended.since(task.began)),
            input: within(store, &task.input, room).await,
            input_bytes: task.input.bytes() as u64,
            result_bytes: task.result.as_ref().map(|it| it.bytes() as u64),
            result: match &task.result {
                Some(kept) => within(store, kept, room).await,
                None => None,
            },
            failure: task.failure.clone(),
            evidence: task.evidence,
            earlier_attempts,
        }
    }
}

/// Whether a task run that waited for its next attempt still does: the end of its flow's attempt was the end of it.
pub fn is_awaited(record: &RunRecord, task: &TaskRun) -> bool {
    let is_between = matches!(record.run.state, RunState::Scheduled { waiting: Waiting::Retry, .. } | RunState::Parked);
    task.flow_attempt == record.run.attempt && !record.run.state.is_terminal() && !is_between
}

/// Whether an attempt of a task run that began and was not stopped is still being made, or made again.
fn goes_on(record: &RunRecord, task: &TaskRun) -> bool {
    let is_of_this_attempt = task.flow_attempt == record.run.attempt && task.failure.is_none();
    is_of_this_attempt && is_awaited(record, task)
}

/// Returns when the last attempt of a task run ended: one that is being made has taken until now.
fn ended(record: &RunRecord, task: &TaskRun, now: Timestamp) -> Timestamp {
    match task.state {
        TaskState::Running if task.failure.is_some() => task.ended,
        TaskState::Running if goes_on(record, task) => now.max(task.began),
        // How long it ran died with its host.
        _ => task.ended,
    }
}

/// Returns the word for a task run: a result that an earlier attempt of its flow had is Cached, if this one asked for it.
pub fn state(record: &RunRecord, task: &TaskRun) -> &'static str {
    match task.state {
        TaskState::AwaitingRetry(_) if is_awaited(record, task) => "AwaitingRetry",
        TaskState::AwaitingRetry(_) => "Failed",
        TaskState::Running if goes_on(record, task) => match record.run.state {
            // Nobody makes it at this moment.
            RunState::Scheduled { .. } | RunState::Paused { .. } => "Scheduled",
            _ => "Running",
        },
        TaskState::Running => "Cancelled",
        TaskState::Completed if is_fed_back(record, task) => "Cached",
        TaskState::Completed => "Completed",
        TaskState::Failed => "Failed",
        TaskState::Cancelled => "Cancelled",
        TaskState::Forgotten => "Forgotten",
    }
}

/// Whether the run's last attempt was fed a kept result.
pub fn is_fed_back(record: &RunRecord, task: &TaskRun) -> bool {
    let attempt = record.run.attempt;
    // What the attempt before did not ask for, this one may never come to either.
    let not_asked = task.unasked == attempt || record.run.state.is_active() && task.unasked + 1 == attempt;
    task.flow_attempt < attempt && task.result.is_some() && !not_asked
}

impl AttemptView {
    fn new(attempt: &PastAttempt) -> Self {
        Self {
            attempt: attempt.attempt,
            began: attempt.began,
            ended: attempt.ended,
            took_ms: millis(attempt.ended.since(attempt.began)),
            failure: attempt.failure.clone(),
            evidence: attempt.evidence,
        }
    }
}

/// Whole milliseconds.
pub fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
