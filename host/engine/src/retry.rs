//! Manual retries: the plan first, then the new round that it describes.

use std::collections::{HashMap, HashSet};

use retake_core::component::ComponentInfo;
use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::limits;
use retake_core::port::BoxFuture;
use retake_core::replay::{Again, Answer, Asked, CallKind, answer};
use retake_core::run::{Run, RunState};
use retake_core::task::{Kept, Names, Overrides, TaskRun, TaskState};
use retake_core::value::Json;
use retake_store::{RetryRequest, RunRecord, StoreError};

use crate::catalog::Component;
use crate::steps::Budget;
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
    /// Whether an earlier retry gave the run other code or parameters: calls that only what was before asks for are not
    /// asked for again.
    pub changed_before: bool,
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
    /// What people call it: its label, or its name, with its input where several have that name.
    pub title: String,
    /// Whether its author gave it a key: then its kept result is fed back, whatever its input is by then.
    pub keyed: bool,
    /// Whether its result was set by a person.
    pub by_hand: bool,
    /// What would become of it, if the body asks for it again.
    pub fate: Fate,
    /// The run of a child flow.
    pub child: Option<FlowRunId>,
    /// What would become of the calls of a child flow that runs again, in turn.
    pub children: Vec<PlannedCall>,
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
    /// Makes code known to plans without keeping it, until some others were.
    pub fn preview(&self, digest: ContentDigest, info: ComponentInfo) -> Result<(), AskError> {
        self.0.catalog.preview(Component::new(digest, info)?);
        Ok(())
    }

    /// Whether code that is not kept is known to plans.
    pub fn has_preview(&self, digest: ContentDigest) -> bool {
        self.0.catalog.previewed(digest).is_some()
    }

    /// Says what a retry would do, or why it would be refused. Changes nothing.
    pub async fn plan_retry(&self, id: FlowRunId, ask: &RetryAsk) -> Result<Plan, AskError> {
        Ok(self.prepare_retry(id, ask, limits::PLANNED_CALLS).await?.0)
    }

    /// Begins a new round of a run that has ended.
    pub async fn retry(&self, id: FlowRunId, ask: RetryAsk) -> Result<Run, AskError> {
        let (_, request, depth) = self.prepare_retry(id, &ask, 0).await?;
        let run = self.0.outside.store.retry(id, request).await?;
        self.0.wake(depth);
        self.0.changed_by_somebody(id);
        Ok(run)
    }

    /// `below`: how many calls of children the plan is to tell of.
    async fn prepare_retry(
        &self,
        id: FlowRunId,
        ask: &RetryAsk,
        mut below: usize,
    ) -> Result<(Plan, RetryRequest, u32), AskError> {
        let store = &self.0.outside.store;
        let record = store.run(id).await?;
        let now = self.0.outside.clock.now();
        // What was asked for expressly is done also to what has completed.
        let completed_too = ask.all || ask.from.is_some() || !ask.rerun.is_empty();
        let refused = record.run.retry(now, ask.expected_attempt, completed_too);
        refused.map_err(|it| AskError::Store(it.into()))?;
        let component = self.0.catalog.get(ask.component.unwrap_or(record.asked.component)).await?;
        let overrides = self.check_retry(&record, &component, ask)?;
        let known = self.calls_of(&record).await?;
        let mut forget = known.forgotten(ask)?;
        // A child keeps by itself that it is to be forgotten, until it is.
        forget.children.extend(forget.calls.iter().filter_map(|it| known.called.get(it)).map(|it| it.asked.id));
        let code = Code { component: &component, is_new: ask.component.is_some(), checks: &Budget::of_attempt() };
        let calls = self.planned(&record, &known, &forget, code, &mut below).await?;
        let Forgotten { calls: forget, children: forget_children } = forget;
        let tasks = known.tasks;
        let plan = Plan {
            attempt: record.run.attempt + 1,
            component: component.digest,
            new_code: component.digest != record.asked.component,
            new_parameters: match &ask.parameters {
                Some(json) => record.asked.parameters != Kept::Inline(json.clone()),
                None => false,
            },
            changed_before: store.events(id).await?.iter().any(|it| {
                let details = it.details.to_value();
                it.kind == "manual-retry" && ["component", "parameters"].iter().any(|it| details.get(it).is_some())
            }),
            calls,
        };
        let request = RetryRequest {
            now,
            // What is planned is of this attempt and no other.
            expected_attempt: Some(record.run.attempt),
            completed_too,
            forget: tasks.iter().map(|it| it.number).filter(|it| forget.contains(it)).collect(),
            forget_children: forget_children.into_iter().collect(),
            component: plan.new_code.then_some(component.digest),
            parameters: ask.parameters.clone(),
            overrides: (overrides != record.asked.overrides).then_some(overrides),
            by_parent: false,
        };
        Ok((plan, request, record.asked.depth))
    }

    /// Returns what is known of a run's calls.
    async fn calls_of(&self, record: &RunRecord) -> Result<KnownCalls, StoreError> {
        let id = record.asked.id;
        let tasks = self.0.outside.store.task_runs(id).await?;
        let child_of = |it: &TaskRun| (it.identity.kind == CallKind::Flow).then(|| it.identity.child_of(id));
        let answered: HashMap<FlowRunId, u32> =
            tasks.iter().filter_map(|it| Some((child_of(it)?, it.number))).collect();
        let (mut called, mut unanswered) = (HashMap::new(), Vec::new());
        for child in self.0.children(id).await? {
            match answered.get(&child.asked.id) {
                Some(number) => drop(called.insert(*number, child)),
                None => unanswered.push(child),
            }
        }
        Ok(KnownCalls { tasks, called, unanswered })
    }

    /// Says what becomes of each call in the next attempt of a run, and of the calls of its children. `room`: how many
    /// more are told of; a child for which there is none is told of without its calls.
    async fn planned(
        &self,
        record: &RunRecord,
        known: &KnownCalls,
        forget: &Forgotten,
        code: Code<'_>,
        room: &mut usize,
    ) -> Result<Vec<PlannedCall>, StoreError> {
        let store = &self.0.outside.store;
        let mut calls = Vec::with_capacity(known.tasks.len());
        let names = Names::of(&known.tasks);
        for task in known.tasks.iter().filter(|it| it.identity.kind != CallKind::Sleep) {
            let is_forgotten = forget.calls.contains(&task.number);
            let input = match &task.input {
                _ if !code.is_new => None,
                Kept::Inline(json) => Some(json.clone()),
                kept => Some(store.value(kept).await?),
            };
            let mut fate = fate(task, is_forgotten, record.run.attempt + 1, code, input.as_ref());
            let child = known.called.get(&task.number);
            // What became of a child since then is what counts.
            if let (Some(child), Fate::RunsAgain(Why::Kept(_))) = (child, &fate) {
                if is_forgotten || child.forgotten {
                    fate = Fate::RunsAgain(Why::Kept(Again::Asked));
                } else if child.run.state == RunState::Completed {
                    fate = Fate::FedBack { from_attempt: task.flow_attempt };
                }
            }
            let (name, label) = (task.identity.name.to_string(), task.label.clone());
            let title = names.title(task);
            let (number, kind, keyed, by_hand) = (task.number, task.identity.kind, is_keyed(task), task.by_hand);
            let children = self.below(child, &fate, code, room).await?;
            let child = child.map(|it| it.asked.id);
            calls.push(PlannedCall { number, kind, name, label, title, keyed, by_hand, fate, child, children });
        }
        for child in &known.unanswered {
            let is_forgotten = child.forgotten || forget.children.contains(&child.asked.id);
            let fate = match child.run.state {
                _ if is_forgotten => Fate::RunsAgain(Why::Kept(Again::Asked)),
                RunState::Completed => Fate::FedBack { from_attempt: record.run.attempt },
                // It had begun, and what is below it may be kept.
                _ if child.run.attempt > 0 => Fate::RunsAgain(Why::Kept(Again::Stopped)),
                _ => Fate::RunsAgain(Why::Kept(Again::Cancelled)),
            };
            let number = call_of(child);
            let (kind, name, title) = (CallKind::Flow, child.asked.flow.clone(), child.asked.flow.clone());
            // Its id has the key in it, if there was one, but does not give it away: the plan promises less then.
            let (label, keyed, by_hand) = (None, false, false);
            let children = self.below(Some(child), &fate, code, room).await?;
            let child = Some(child.asked.id);
            calls.push(PlannedCall { number, kind, name, label, title, keyed, by_hand, fate, child, children });
        }
        calls.sort_by_key(|it| it.number);
        Ok(calls)
    }

    /// Says what becomes of the calls of a child that runs again. In a box, because a child may have children.
    fn below<'a>(
        &'a self,
        child: Option<&'a RunRecord>,
        fate: &Fate,
        code: Code<'a>,
        room: &'a mut usize,
    ) -> BoxFuture<'a, Result<Vec<PlannedCall>, StoreError>> {
        let runs_again = match fate {
            Fate::RunsAgain(why) => Some(*why == Why::Kept(Again::Asked)),
            Fate::FedBack { .. } | Fate::Gone => None,
        };
        Box::pin(async move {
            let Some((child, all)) = child.zip(runs_again) else { return Ok(Vec::new()) };
            if *room == 0 {
                return Ok(Vec::new());
            }
            let known = self.calls_of(child).await?;
            let Some(left) = room.checked_sub(known.tasks.len() + known.unanswered.len()) else {
                return Ok(Vec::new());
            };
            *room = left;
            let forget = if all { known.all() } else { Forgotten::default() };
            self.planned(child, &known, &forget, code, room).await
        })
    }

    fn check_retry(&self, record: &RunRecord, component: &Component, ask: &RetryAsk) -> Result<Overrides, AskError> {
        let flow = component.info.flow(&record.asked.flow).ok_or_else(|| AskError::NoFlow {
            component: component.info.name.clone(),
            flow: record.asked.flow.clone(),
            flows: component.info.flows.iter().map(|it| it.name.clone()).collect(),
        })?;
        // The policy counts for a round. Who gave a run more memory found out that it needs it, and it does from then on.
        let (kept, memory_bytes) = (&record.asked.overrides, ask.overrides.memory_bytes);
        let kept = Overrides { memory_bytes: memory_bytes.or(kept.memory_bytes), ..kept.clone() };
        let overrides = kept.in_round(Overrides { memory_bytes: None, ..ask.overrides.clone() });
        overrides.check(flow)?;
        if let Some(parameters) = &ask.parameters {
            let misfits = component.misfits_of_parameters(&record.asked.flow, parameters, &Budget::of_request());
            if !misfits.is_empty() {
                return Err(AskError::Parameters(misfits));
            }
        }
        Ok(overrides)
    }
}

/// The code that would run.
#[derive(Clone, Copy)]
struct Code<'a> {
    component: &'a Component,
    /// Whether it was asked for, and may be other code than before.
    is_new: bool,
    /// What may be spent on checking inputs by its schemas.
    checks: &'a Budget,
}

/// What is known of a run's calls.
struct KnownCalls {
    tasks: Vec<TaskRun>,
    /// Children whose call has a record, by its number.
    called: HashMap<u32, RunRecord>,
    /// Children that ended without an answer, because the run had ended before them.
    unanswered: Vec<RunRecord>,
}

/// What is not to be fed back.
#[derive(Default)]
struct Forgotten {
    /// Numbers of calls.
    calls: HashSet<u32>,
    /// Children, those that never answered one among them.
    children: HashSet<FlowRunId>,
}

fn call_of(child: &RunRecord) -> u32 {
    child.asked.parent.map_or(0, |it| it.call)
}

impl KnownCalls {
    fn all(&self) -> Forgotten {
        let children = self.unanswered.iter().map(|it| it.asked.id);
        Forgotten { calls: self.tasks.iter().map(|it| it.number).collect(), children: children.collect() }
    }

    fn forgotten(&self, ask: &RetryAsk) -> Result<Forgotten, AskError> {
        let names = || {
            let of_tasks = self.tasks.iter().map(|it| (it.number, &*it.identity.name, it.label.as_deref()));
            of_tasks.chain(self.unanswered.iter().map(|it| (call_of(it), it.asked.flow.as_str(), None)))
        };
        let named = |text: &str| -> Result<Vec<u32>, AskError> {
            let fits = |(number, name, label): (u32, &str, Option<&str>)| {
                (name == text || label == Some(text) || number.to_string() == text).then_some(number)
            };
            let found: Vec<u32> = names().filter_map(fits).collect();
            if found.is_empty() {
                let mut known: Vec<String> = names().map(|(_, name, _)| name.to_owned()).collect();
                known.sort_unstable();
                known.dedup();
                return Err(AskError::NoCall { asked: text.to_owned(), known });
            }
            Ok(found)
        };
        if ask.all {
            return Ok(self.all());
        }
        let mut from = u32::MAX;
        if let Some(text) = &ask.from {
            from = from.min(named(text)?.into_iter().min().unwrap_or(u32::MAX));
        }
        let mut again = HashSet::new();
        for text in &ask.rerun {
            again.extend(named(text)?);
        }
        let is_forgotten = |number: &u32| *number >= from || again.contains(number);
        let calls = self.tasks.iter().map(|it| it.number).filter(is_forgotten).collect();
        let children = self.unanswered.iter().filter(|it| is_forgotten(&call_of(it))).map(|it| it.asked.id).collect();
        Ok(Forgotten { calls, children })
    }
}

fn is_keyed(task: &TaskRun) -> bool {
    matches!(task.identity.asked, Asked::Key(_))
}

/// Says what would become of a call. `input` is what it was given, when other code is to run.
fn fate(task: &TaskRun, is_forgotten: bool, attempt: u32, code: Code<'_>, input: Option<&Json>) -> Fate {
    let component = code.component;
    let name = &task.identity.name;
    match task.identity.kind {
        CallKind::Task => match component.info.task(name) {
            None => return Fate::Gone,
            Some(info) if *info.version != *task.identity.version => {
                let (was, is) = (task.identity.version.to_string(), info.version.clone());
                return Fate::RunsAgain(Why::NewVersion { was, is });
            }
            Some(_) => {}
        },
        CallKind::Flow if component.info.flow(name).is_none() => return Fate::Gone,
        CallKind::Flow | CallKind::Sleep => {}
    }
    let fits = |input: &Json| match task.identity.kind {
        CallKind::Flow => component.misfits_of_parameters(name, input, code.checks).is_empty(),
        _ => component.misfits_of_input(name, input, code.checks).is_empty(),
    };
    // The code that runs gives another input then, which makes it another call, unless a key stands for the input.
    if !is_keyed(task) && input.is_some_and(|it| !fits(it)) {
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
