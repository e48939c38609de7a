//! Manual retries: the plan first, then the new round that it describes.

use retake_core::component::ComponentInfo;
use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::limits;
use retake_core::replay::{Again, Answer, CallKind, answer};
use retake_core::run::{Run, RunState};
use retake_core::task::{Kept, Overrides, TaskRun, TaskState};
use retake_core::value::Json;
use retake_store::{RetryRequest, RunFilter, RunRecord};

use crate::catalog::Component;
use crate::{AskError, Engine};

/// A manual retry that somebody asks for.
#[derive(Debug, Clone, Default)]
pub struct RetryAsk {
    /// Also forget the results of this task, and of every call that was first made after it. A task's name, its label
    /// or its number.
    pub from: Option<String>,
    /// Also forget the results of these tasks: names, labels or numbers.
    pub rerun: Vec<String>,
    /// Forget every kept result.
    pub all: bool,
    /// Run this code instead of what the run is pinned to.
    pub component: Option<ContentDigest>,
    /// Parameters instead of those that the run had, a whole JSON object.
    pub parameters: Option<Json>,
    /// Refused when the run is at another attempt.
    pub expected_attempt: Option<u32>,
    /// Laid over what the run was asked for.
    pub overrides: Overrides,
}

/// What a manual retry would do, call by call. What the body will really ask for is known when it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The attempt that would begin.
    pub attempt: u32,
    /// The code that would run.
    pub component: ContentDigest,
    /// Whether that is other code than before.
    pub new_code: bool,
    /// Whether the parameters are others than before: calls that pass them on have other inputs, and run.
    pub new_parameters: bool,
    /// Every call that is known, in the order in which they were first made.
    pub calls: Vec<PlannedCall>,
}

/// What would become of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedCall {
    /// Its number.
    pub number: u32,
    /// Of what kind.
    pub kind: CallKind,
    /// The task's or the flow's name.
    pub name: String,
    /// What people see instead.
    pub label: Option<String>,
    /// What would become of it, if the body asks for it again.
    pub fate: Fate,
}

/// What would become of a call, if the body asks for it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Its result is fed back.
    FedBack {
        /// The attempt of the flow in which it was made.
        from_attempt: u32,
    },
    /// It runs again.
    RunsAgain(Why),
    /// The code that would run has no task or flow of that name.
    Gone,
}

/// Why a call would run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// What is kept does not answer it.
    Kept(Again),
    /// The code that would run has another version of the task.
    NewVersion {
        /// What ran.
        was: String,
        /// What would run.
        is: String,
    },
    /// The code that would run does not take the input that is kept.
    OtherInput,
}

impl Engine {
    /// Makes code known to plans without keeping it.
    pub fn preview(&self, digest: ContentDigest, info: ComponentInfo) -> Result<(), AskError> {
        self.0.catalog.know(Component::new(digest, info)?);
        Ok(())
    }

    /// Says what a retry would do, or why it would be refused. Changes nothing.
    pub async fn plan_retry(&self, id: FlowRunId, ask: &RetryAsk) -> Result<Plan, AskError> {
        Ok(self.prepare_retry(id, ask).await?.0)
    }

    /// Begins a new round of a run that has ended.
    pub async fn retry(&self, id: FlowRunId, ask: RetryAsk) -> Result<Run, AskError> {
        let (_, request, depth) = self.prepare_retry(id, &ask).await?;
        let run = self.0.outside.store.retry(id, request).await?;
        self.0.wake(depth);
        self.0.changed(id);
        Ok(run)
    }

    async fn prepare_retry(&self, id: FlowRunId, ask: &RetryAsk) -> Result<(Plan, RetryRequest, u32), AskError> {
        let store = &self.0.outside.store;
        let record = store.run(id).await?;
        let now = self.0.outside.clock.now();
        // What was asked for expressly is done also to what has completed.
        let completed_too = ask.all || ask.from.is_some() || !ask.rerun.is_empty();
        let refused = record.run.retry(now, ask.expected_attempt, completed_too);
        refused.map_err(|it| AskError::Store(it.into()))?;
        let component = self.0.catalog.get(ask.component.unwrap_or(record.asked.component)).await?;
        let overrides = self.check_retry(&record, &component, ask)?;
        let tasks = store.task_runs(id).await?;
        let forget = forgotten(&tasks, ask)?;
        let children = self.children(id).await?;
        let mut calls = Vec::with_capacity(tasks.len());
        for task in tasks.iter().filter(|it| it.identity.kind != CallKind::Sleep) {
            let is_forgotten = forget.contains(&task.number);
            let input = match (&task.input, ask.component) {
                (Kept::Inline(json), Some(_)) => Some(json.clone()),
                (kept, Some(_)) => Some(store.value(kept).await?),
                (_, None) => None,
            };
            let mut fate = fate(task, is_forgotten, record.run.attempt + 1, &component, input.as_ref());
            // What became of a child since then is what counts.
            let child = children.iter().find(|it| it.asked.id == task.identity.child_of(id));
            if matches!(fate, Fate::RunsAgain(Why::Kept(Again::Failed | Again::Cancelled)))
                && child.is_some_and(|it| it.run.state == RunState::Completed)
            {
                fate = Fate::FedBack { from_attempt: task.flow_attempt };
            }
            let (name, label) = (task.identity.name.clone(), task.label.clone());
            calls.push(PlannedCall { number: task.number, kind: task.identity.kind, name, label, fate });
        }
        // Calls of children that ended without an answer, because the run had ended before them.
        let unanswered = |it: &&RunRecord| tasks.iter().all(|task| task.identity.child_of(id) != it.asked.id);
        for child in children.iter().filter(unanswered) {
            let fate = match child.run.state {
                RunState::Completed if !ask.all => Fate::FedBack { from_attempt: record.run.attempt },
                _ => Fate::RunsAgain(Why::Kept(if ask.all { Again::Asked } else { Again::Cancelled })),
            };
            let number = child.asked.parent.map_or(0, |it| it.call);
            calls.push(PlannedCall { number, kind: CallKind::Flow, name: child.asked.flow.clone(), label: None, fate });
        }
        calls.sort_by_key(|it| it.number);
        let plan = Plan {
            attempt: record.run.attempt + 1,
            component: component.digest,
            new_code: component.digest != record.asked.component,
            new_parameters: match &ask.parameters {
                Some(json) => record.asked.parameters != Kept::Inline(json.clone()),
                None => false,
            },
            calls,
        };
        let request = RetryRequest {
            now,
            expected_attempt: ask.expected_attempt,
            completed_too,
            forget,
            component: plan.new_code.then_some(component.digest),
            parameters: ask.parameters.clone(),
            overrides: (overrides != record.asked.overrides).then_some(overrides),
            by_parent: false,
        };
        Ok((plan, request, record.asked.depth))
    }

    async fn children(&self, id: FlowRunId) -> Result<Vec<RunRecord>, AskError> {
        let filter = RunFilter { parent: Some(id), limit: limits::CALLS_PER_RUN as usize, ..RunFilter::default() };
        Ok(self.0.outside.store.list(filter, self.0.outside.clock.now()).await?)
    }

    fn check_retry(&self, record: &RunRecord, component: &Component, ask: &RetryAsk) -> Result<Overrides, AskError> {
        let flow = component.info.flow(&record.asked.flow).ok_or_else(|| AskError::NoFlow {
            component: component.info.name.clone(),
            flow: record.asked.flow.clone(),
            flows: component.info.flows.iter().map(|it| it.name.clone()).collect(),
        })?;
        let mut overrides = record.asked.overrides.clone();
        overrides.retries = ask.overrides.retries.or(overrides.retries);
        overrides.retry_delay = ask.overrides.retry_delay.or(overrides.retry_delay);
        overrides.timeout = ask.overrides.timeout.or(overrides.timeout);
        overrides.memory_bytes = ask.overrides.memory_bytes.or(overrides.memory_bytes);
        overrides.check(flow)?;
        if let Some(parameters) = &ask.parameters {
            let misfits = component.misfits_of_parameters(&record.asked.flow, parameters);
            if !misfits.is_empty() {
                return Err(AskError::Parameters(misfits));
            }
        }
        Ok(overrides)
    }
}

/// Returns the numbers of the calls whose results are to be forgotten.
fn forgotten(tasks: &[TaskRun], ask: &RetryAsk) -> Result<Vec<u32>, AskError> {
    let named = |text: &str| -> Result<Vec<u32>, AskError> {
        let fits = |it: &&TaskRun| {
            it.identity.name == text || it.label.as_deref() == Some(text) || it.number.to_string() == text
        };
        let found: Vec<u32> = tasks.iter().filter(fits).map(|it| it.number).collect();
        if found.is_empty() {
            let mut known: Vec<String> = tasks.iter().map(|it| it.identity.name.clone()).collect();
            known.sort_unstable();
            known.dedup();
            return Err(AskError::NoCall { asked: text.to_owned(), known });
        }
        Ok(found)
    };
    let mut forget = match ask.all {
        true => tasks.iter().map(|it| it.number).collect(),
        false => Vec::new(),
    };
    if let Some(from) = &ask.from {
        let first = named(from)?.into_iter().min().unwrap_or(u32::MAX);
        forget.extend(tasks.iter().map(|it| it.number).filter(|it| *it >= first));
    }
    for text in &ask.rerun {
        forget.extend(named(text)?);
    }
    forget.sort_unstable();
    forget.dedup();
    Ok(forget)
}

/// Says what would become of a call. `input` is what it was given, when other code is to run.
fn fate(task: &TaskRun, is_forgotten: bool, attempt: u32, component: &Component, input: Option<&Json>) -> Fate {
    let name = &task.identity.name;
    match task.identity.kind {
        CallKind::Task => match component.info.task(name) {
            None => return Fate::Gone,
            Some(info) if info.version != task.identity.version => {
                let (was, is) = (task.identity.version.clone(), info.version.clone());
                return Fate::RunsAgain(Why::NewVersion { was, is });
            }
            Some(_) => {}
        },
        CallKind::Flow if component.info.flow(name).is_none() => return Fate::Gone,
        CallKind::Flow | CallKind::Sleep => {}
    }
    let fits = |input: &Json| match task.identity.kind {
        CallKind::Flow => component.misfits_of_parameters(name, input).is_empty(),
        _ => component.misfits_of_input(name, input).is_empty(),
    };
    if input.is_some_and(|it| !fits(it)) {
        return Fate::RunsAgain(Why::OtherInput);
    }
    if is_forgotten && task.state == TaskState::Completed {
        return Fate::RunsAgain(Why::Kept(Again::Asked));
    }
    match answer(Some(task), attempt) {
        Answer::Again(why) => Fate::RunsAgain(Why::Kept(why)),
        _ => Fate::FedBack { from_attempt: task.flow_attempt },
    }
}
