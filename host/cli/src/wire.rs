//! What the CLI writes as JSON. People script against it: fields are added, never renamed.

use std::collections::HashMap;

use retake_core::component::ComponentInfo;
use retake_core::failure::Failure;
use retake_core::id::{ContentDigest, FlowRunId, TaskRunId};
use retake_core::replay::CallKind;
use retake_core::run::{RunState, Waiting};
use retake_core::task::{Evidence, Kept, LogLine, Overrides, PastAttempt, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_store::{RunFilter, RunRecord, Store};
use serde::Serialize;

/// So many children of a run are shown with it.
const CHILDREN: usize = 100;

/// A flow run. Times are RFC 3339, durations whole milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct RunView {
    pub(crate) id: FlowRunId,
    pub(crate) name: String,
    pub(crate) flow: String,
    pub(crate) component: ContentDigest,
    pub(crate) state: String,
    pub(crate) attempt: u32,
    pub(crate) round: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) due: Option<Timestamp>,
    pub(crate) created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) began: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<FlowRunId>,
    pub(crate) parameters: Json,
    pub(crate) overrides: Overrides,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tasks: Option<Vec<TaskView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<Vec<AttemptView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<Vec<EventView>>,
    /// How long its last attempt took, or takes so far, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) took_ms: Option<u64>,
    /// Whether the process that worked on it has died, and none has taken its place.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) host_gone: bool,
    /// Its newest child runs, without their tasks, those that still run among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) children: Option<Vec<Self>>,
}

/// A task run, a child flow or a durable sleep of a flow run.
#[derive(Debug, Serialize)]
pub(crate) struct TaskView {
    pub(crate) id: TaskRunId,
    pub(crate) number: u32,
    pub(crate) kind: CallKind,
    pub(crate) task: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) child: Option<FlowRunId>,
    pub(crate) state: &'static str,
    pub(crate) flow_attempt: u32,
    pub(crate) attempts: u32,
    /// Whether a person set the result.
    pub(crate) by_hand: bool,
    pub(crate) round: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) due: Option<Timestamp>,
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) took_ms: u64,
    pub(crate) input: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
    pub(crate) evidence: Evidence,
    pub(crate) earlier_attempts: Vec<AttemptView>,
}

/// An attempt that has ended.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AttemptView {
    pub(crate) attempt: u32,
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) took_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
    pub(crate) evidence: Evidence,
}

/// Something else that happened to a run.
#[derive(Debug, Serialize)]
pub(crate) struct EventView {
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    pub(crate) details: Json,
}

/// A log line.
#[derive(Debug, Serialize)]
pub(crate) struct LineView<'a> {
    pub(crate) at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<&'a str>,
    pub(crate) attempt: u32,
    pub(crate) level: retake_core::task::Level,
    pub(crate) message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fields: Option<&'a Json>,
}

impl<'a> LineView<'a> {
    pub(crate) fn new(line: &'a LogLine, task: Option<&'a str>) -> Self {
        let LogLine { at, attempt, level, message, fields, .. } = line;
        Self { at: *at, task, attempt: *attempt, level: *level, message, fields: fields.as_ref() }
    }
}

/// What an inspection found.
#[derive(Debug, Serialize)]
pub(crate) struct InspectionView<'a> {
    pub(crate) digest: ContentDigest,
    pub(crate) bytes: u64,
    #[serde(flatten)]
    pub(crate) info: &'a ComponentInfo,
    pub(crate) imports: &'a [String],
}

/// When each attempt would begin.
#[derive(Debug, Serialize)]
pub(crate) struct PolicyView {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) attempts: u32,
    /// Attempts of a task over all attempts of its flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempts_with_flow: Option<u64>,
    pub(crate) when_exhausted: retake_core::retry::WhenExhausted,
    pub(crate) schedule: Vec<PolicyAttempt>,
}

/// One attempt of a policy. Milliseconds after the end of the first attempt, as if attempts took no time.
#[derive(Debug, Serialize)]
pub(crate) struct PolicyAttempt {
    pub(crate) attempt: u32,
    pub(crate) delay_ms: u64,
    pub(crate) earliest_ms: u64,
    pub(crate) latest_ms: u64,
}

async fn value(store: &dyn Store, kept: &Kept) -> Json {
    match store.value(kept).await {
        Ok(json) => json,
        Err(error) => Json::of(&format!("cannot be read: {error}")),
    }
}

impl RunView {
    pub(crate) async fn new(store: &dyn Store, record: &RunRecord, now: Timestamp) -> Self {
        let asked = &record.asked;
        Self {
            id: asked.id,
            name: asked.id.friendly_name(),
            flow: asked.flow.clone(),
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
            parameters: value(store, &asked.parameters).await,
            overrides: asked.overrides.clone(),
            result: match &record.result {
                Some(kept) => Some(value(store, kept).await),
                None => None,
            },
            failure: record.failure.clone(),
            tasks: None,
            attempts: None,
            events: None,
            took_ms: match record.run.state {
                state if state.is_active() => record.run.attempt_began.map(|it| millis(now.since(it))),
                _ => record.ended.zip(record.run.attempt_began).map(|(ended, began)| millis(ended.since(began))),
            },
            host_gone: false,
            children: None,
        }
    }

    /// The same with everything that happened to it.
    pub(crate) async fn whole(store: &dyn Store, record: &RunRecord, now: Timestamp) -> anyhow::Result<Self> {
        let id = record.asked.id;
        let mut view = Self::new(store, record, now).await;
        let mut past: HashMap<u32, Vec<AttemptView>> = HashMap::new();
        for attempt in store.past_attempts(id).await? {
            past.entry(attempt.call).or_default().push(AttemptView::new(&attempt));
        }
        let mut tasks = Vec::new();
        for task in store.task_runs(id).await? {
            let earlier = past.remove(&task.number).unwrap_or_default();
            tasks.push(TaskView::new(store, record, &task, earlier).await);
        }
        view.tasks = Some(tasks);
        view.attempts = Some(past.remove(&0).unwrap_or_default());
        let events = store.events(id).await?;
        let filter = RunFilter { parent: Some(id), limit: CHILDREN, ..RunFilter::default() };
        let mut children = Vec::new();
        for child in store.list(filter, now).await? {
            children.push(Self::new(store, &child, now).await);
        }
        view.children = Some(children);
        view.events =
            Some(events.into_iter().map(|it| EventView { at: it.at, kind: it.kind, details: it.details }).collect());
        Ok(view)
    }
}

impl TaskView {
    async fn new(store: &dyn Store, record: &RunRecord, task: &TaskRun, earlier_attempts: Vec<AttemptView>) -> Self {
        let id = TaskRunId { run: record.asked.id, number: task.number };
        Self {
            id,
            number: task.number,
            kind: task.identity.kind,
            task: task.identity.name.clone(),
            label: task.label.clone(),
            child: (task.identity.kind == CallKind::Flow).then(|| task.identity.child_of(id.run)),
            state: state(record, task),
            flow_attempt: task.flow_attempt,
            attempts: task.attempts,
            by_hand: task.by_hand,
            round: task.round,
            due: match task.state {
                TaskState::AwaitingRetry(due) => Some(due),
                _ => None,
            },
            began: task.began,
            ended: task.ended,
            took_ms: millis(task.ended.since(task.began)),
            input: value(store, &task.input).await,
            result: match &task.result {
                Some(kept) => Some(value(store, kept).await),
                None => None,
            },
            failure: task.failure.clone(),
            evidence: task.evidence,
            earlier_attempts,
        }
    }
}

/// Whether a task run that waited for its next attempt still does: the end of its flow's attempt was the end of it.
pub(crate) fn is_awaited(record: &RunRecord, task: &TaskRun) -> bool {
    let is_between = matches!(record.run.state, RunState::Scheduled { waiting: Waiting::Retry, .. } | RunState::Parked);
    task.flow_attempt == record.run.attempt && !record.run.state.is_terminal() && !is_between
}

/// Returns the word for a task run: a result that an earlier attempt of its flow had is Cached.
pub(crate) fn state(record: &RunRecord, task: &TaskRun) -> &'static str {
    match task.state {
        TaskState::AwaitingRetry(_) if is_awaited(record, task) => "AwaitingRetry",
        TaskState::AwaitingRetry(_) => "Failed",
        TaskState::Completed if task.flow_attempt < record.run.attempt && task.result.is_some() => "Cached",
        TaskState::Completed => "Completed",
        TaskState::Failed => "Failed",
        TaskState::Cancelled => "Cancelled",
        TaskState::Forgotten => "Forgotten",
    }
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

pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
