//! The model: what every store does, in plain maps under one lock. For tests, and for `retake` without a directory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use retake_core::failure::{Failure, code};
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::run::{AttemptEnd, Command, Refused, Run, RunState, Shown, Waiting};
use retake_core::task::{Evidence, Kept, LogLine, PastAttempt, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;

use crate::events;
use crate::{
    AttemptCommit, AuditEntry, ClaimRequest, ComponentRecord, Definition, Delivery, Event, NewRun, Notice, OldRuns,
    RetryRequest, RunFilter, RunRecord, Store, StoreError, TaskCommit, first_state, in_use, is_open, take_room,
};

mod everything;

use everything::{Everything, MemRun};

/// A store that forgets everything when it is dropped.
#[derive(Debug)]
pub struct MemStore {
    boot: u64,
    kept: Mutex<Everything>,
}

impl Default for MemStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemStore {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self { boot: 1, kept: Mutex::default() }
    }

    /// Returns a store with what is kept at this moment, as if the host had been killed and started again. What is
    /// done to `self` from then on is lost, as it is with a process that was killed.
    pub fn reopen(&self) -> Self {
        Self { boot: self.boot + 1, kept: Mutex::new(self.kept().clone()) }
    }

    /// Returns a store that goes its own way from here on.
    #[cfg(test)]
    pub(crate) fn copy(&self) -> Self {
        Self { boot: self.boot, kept: Mutex::new(self.kept().clone()) }
    }

    fn kept(&self) -> MutexGuard<'_, Everything> {
        self.kept.lock().expect("nothing panics while it holds the store")
    }
}

fn held(run: &Run) -> Option<Fence> {
    run.state.claim().map(|(fence, _)| fence)
}

fn cancelled() -> Option<Failure> {
    Some(Failure::new(code::CANCELLED, "cancelled"))
}

/// Whether a run's last attempt failed with this code; one that ends with `*` is the beginning of a code.
fn failed_with(record: &RunRecord, code: &str) -> bool {
    let Some(failure) = &record.failure else { return false };
    match code.strip_suffix('*') {
        Some(beginning) => failure.code.starts_with(beginning),
        None => failure.code == code,
    }
}

fn holds(RunRecord { asked, failure, .. }: &RunRecord, text: &str) -> bool {
    let name = asked.id.friendly_name();
    let message = failure.as_ref().map(|it| it.message.as_str());
    let code = failure.as_ref().map(|it| it.code.as_str());
    let places = [Some(name.as_str()), Some(&asked.flow), asked.deployment.as_deref(), message, code];
    places.into_iter().flatten().any(|it| it.to_ascii_lowercase().contains(&text.to_ascii_lowercase()))
}

/// Whether a run goes on, or may be retried by itself.
fn needs_its_code(RunRecord { asked, run, .. }: &RunRecord) -> bool {
    let may_be_retried = !matches!(run.state, RunState::Completed | RunState::Cancelled);
    may_be_retried && (asked.depth == 0 || !run.state.answers())
}

impl Everything {
    /// Returns a run and all that is below it.
    fn tree(&self, top: FlowRunId) -> Vec<FlowRunId> {
        let mut tree = vec![top];
        let mut next = 0;
        while let Some(above) = tree.get(next).copied() {
            let below =
                self.runs.iter().map(|it| &it.record.asked).filter(|it| it.parent.is_some_and(|it| it.run == above));
            tree.extend(below.map(|it| it.id).filter(|it| *it != above));
            next += 1;
        }
        tree
    }
}

impl MemStore {
    fn make(&self, new: NewRun, fence: Option<Fence>) -> Result<(RunRecord, bool), StoreError> {
        let mut kept = self.kept();
        let by_id = kept.run(new.id).ok();
        let by_key = || {
            let key = new.idempotency_key.as_ref()?;
            kept.runs.iter().find(|it| it.record.asked.idempotency_key.as_ref() == Some(key))
        };
        if let Some(there) = by_id.or_else(by_key) {
            return Ok((there.record.clone(), false));
        }
        kept.has_component(new.component)?;
        // A child that was on its way when its parent ended would be worked on for nobody.
        if let Some(parent) = new.parent.and_then(|it| kept.run(it.run).ok())
            && !matches!(parent.record.run.state, RunState::Running { .. })
        {
            return Err(Refused::ParentNotRunning.into());
        }
        let parameters = kept.keep(new.parameters);
        let asked = NewRun { parameters, ..new };
        let run = first_state(&asked, fence.map(|it| (it, self.boot)));
        let record = RunRecord { asked, run, result: None, failure: None, ended: None, forgotten: false };
        let index = kept.runs.len();
        kept.places.insert(record.asked.id, index);
        kept.runs.push(MemRun {
            record: record.clone(),
            tasks: BTreeMap::new(),
            past: BTreeMap::new(),
            logs: Vec::new(),
            events: Vec::new(),
        });
        Ok((record, true))
    }
}

#[async_trait]
impl Store for MemStore {
    fn boot(&self) -> u64 {
        self.boot
    }

    fn has_failed(&self) -> bool {
        false
    }

    async fn put_component(&self, record: ComponentRecord, bytes: Vec<u8>) -> Result<(), StoreError> {
        if ContentDigest::of(&bytes) != record.digest {
            return Err(StoreError::Damaged(record.digest));
        }
        let mut kept = self.kept();
        match kept.components.iter_mut().find(|(it, _)| it.digest == record.digest) {
            Some((there, _)) => (there.uploaded, there.removed) = (there.uploaded.max(record.uploaded), None),
            None => kept.components.push((record, bytes.into())),
        }
        Ok(())
    }

    async fn component(&self, digest: ContentDigest) -> Result<Option<ComponentRecord>, StoreError> {
        Ok(self.kept().components.iter().find(|(it, _)| it.digest == digest).map(|(it, _)| it.clone()))
    }

    async fn remove_component(&self, digest: ContentDigest, now: Timestamp) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let pinned = kept.runs.iter().filter(|it| it.record.asked.component == digest);
        let needs = |it: &&MemRun| needs_its_code(&it.record);
        let (pinned, runs) = (pinned.clone().count(), pinned.filter(needs).count());
        let definitions = kept.definitions.values().filter(|it| it.component == Some(digest));
        let definitions: Vec<_> = definitions.map(|it| (it.kind.to_owned(), it.name.clone())).collect();
        if let Some(in_use) = in_use(runs as u64, &definitions) {
            return Err(in_use);
        }
        kept.has_component(digest)?;
        match pinned {
            0 => kept.components.retain(|(it, _)| it.digest != digest),
            _ => {
                let found = kept.components.iter_mut().find(|(it, _)| it.digest == digest);
                found.into_iter().for_each(|(it, _)| it.removed = Some(now));
            }
        }
        Ok(())
    }

    async fn needs_component(&self, digest: ContentDigest) -> Result<bool, StoreError> {
        let kept = self.kept();
        let needs = |it: &MemRun| it.record.asked.component == digest && needs_its_code(&it.record);
        Ok(kept.runs.iter().any(needs) || kept.definitions.values().any(|it| it.component == Some(digest)))
    }

    async fn component_bytes(&self, digest: ContentDigest) -> Result<Vec<u8>, StoreError> {
        let kept = self.kept();
        let found = kept.components.iter().find(|(it, _)| it.digest == digest && it.removed.is_none());
        found.map(|(_, bytes)| bytes.to_vec()).ok_or(StoreError::NoComponent(digest))
    }

    async fn components(&self) -> Result<Vec<ComponentRecord>, StoreError> {
        let mut all: Vec<ComponentRecord> = {
            let kept = self.kept();
            kept.components.iter().rev().map(|(it, _)| it).filter(|it| it.removed.is_none()).cloned().collect()
        };
        all.sort_by_key(|it| std::cmp::Reverse(it.uploaded));
        Ok(all)
    }

    async fn create(&self, new: NewRun) -> Result<(RunRecord, bool), StoreError> {
        self.make(new, None)
    }

    async fn begin(&self, new: NewRun, fence: Fence) -> Result<(RunRecord, bool), StoreError> {
        self.make(new, Some(fence))
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<RunRecord>, StoreError> {
        let mut kept = self.kept();
        let mut due: Vec<(Timestamp, usize)> = Vec::new();
        for (index, MemRun { record: RunRecord { asked, run, .. }, .. }) in kept.runs.iter().enumerate() {
            let fits = asked.depth == request.depth
                && request.is_of(&asked.queue)
                && request.root.is_none_or(|it| it == asked.root)
                && !request.room.iter().any(|it| it.left == 0 && it.of.is_of(asked));
            if let RunState::Scheduled { due: at, .. } = run.state
                && at <= request.now
                && fits
            {
                due.push((at, index));
            }
        }
        due.sort_unstable();
        if let Some(busy) = request.shared_by()
            && due.len() > request.fences.len()
        {
            due = kept.shared(due, busy, &request);
        }
        due.truncate(request.fences.len());
        let mut room = request.room.clone();
        due.retain(|(_, index)| take_room(&mut room, &kept.runs[*index].record.asked));
        let mut claimed = Vec::new();
        for ((_, index), fence) in due.into_iter().zip(&request.fences) {
            let record = &mut kept.runs[index].record;
            record.run = record.run.claim(request.now, *fence, self.boot)?;
            claimed.push(record.clone());
        }
        Ok(claimed)
    }

    async fn held(&self, fences: Vec<Fence>) -> Result<Vec<RunRecord>, StoreError> {
        let kept = self.kept();
        let records = kept.runs.iter().map(|it| &it.record);
        let is_held = |run: &Run| run.state.claim().is_some_and(|(it, boot)| boot == self.boot && fences.contains(&it));
        Ok(records.filter(|it| is_held(&it.run)).cloned().collect())
    }

    async fn next_due(&self, root: Option<FlowRunId>) -> Result<Option<Timestamp>, StoreError> {
        let kept = self.kept();
        let records = kept.runs.iter().map(|it| &it.record).filter(|it| root.is_none_or(|root| root == it.asked.root));
        let due = records.filter_map(|it| match it.run.state {
            RunState::Scheduled { due, .. } => Some(due),
            _ => None,
        });
        Ok(due.min())
    }

    async fn commit_task(&self, run: FlowRunId, fence: Fence, commit: TaskCommit) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let index = kept.index(run)?;
        let TaskCommit { task, past, logs } = commit;
        let mut task = Arc::unwrap_or_clone(task);
        task.input = kept.keep(task.input);
        task.result = task.result.map(|it| kept.keep(it));
        let held = held(&kept.runs[index].record.run);
        let there = kept.runs[index].tasks.get(&task.number);
        let same = there.is_some_and(|it| {
            (it.state, it.flow_attempt, it.attempts, it.ended, &it.result)
                == (task.state, task.flow_attempt, task.attempts, task.ended, &task.result)
        });
        let has_result = there.is_some_and(|it| it.is_kept());
        if held == Some(fence) && same {
            return Ok(());
        }
        // That one began tells nothing new to whoever knows how it ended, or that it was stopped.
        let is_older = |there: &TaskRun| there.attempts >= task.attempts && !there.only_began();
        if held == Some(fence) && task.only_began() && there.is_some_and(is_older) {
            return Ok(());
        }
        if held != Some(fence) || has_result {
            kept.event(index, task.ended, events::late_task(fence, held, &task));
            return Err(Refused::StaleFence.into());
        }
        kept.runs[index].tasks.insert(task.number, task);
        past.into_iter().for_each(|it| kept.past(index, it));
        kept.logs(index, logs);
        Ok(())
    }

    async fn append_logs(&self, run: FlowRunId, fence: Fence, logs: Vec<LogLine>) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let index = kept.index(run)?;
        if held(&kept.runs[index].record.run) != Some(fence) {
            return Err(Refused::StaleFence.into());
        }
        kept.logs(index, logs);
        Ok(())
    }

    async fn end_attempt(&self, run: FlowRunId, fence: Fence, commit: AttemptCommit) -> Result<Run, StoreError> {
        let mut kept = self.kept();
        let index = kept.index(run)?;
        let before = kept.runs[index].record.run.clone();
        let has_ended = |it: &FlowRunId| kept.run(*it).is_ok_and(|it| it.record.run.state.answers());
        let needs_not_wait = commit.waits_for.iter().any(has_ended);
        let after = match before.end(run, fence, &commit.end, commit.now) {
            Ok(after) if needs_not_wait => after.wake(commit.now).unwrap_or(after),
            Ok(after) => after,
            Err(refused) => {
                kept.event(index, commit.now, events::late_end(before.attempt, &commit.end));
                return Err(refused.into());
            }
        };
        kept.runs[index].record.run = after.clone();
        match (after.state, commit.end) {
            // The attempt goes on.
            (RunState::Scheduled { waiting: Waiting::Suspended | Waiting::Worker, .. }, _) => {}
            (RunState::Paused { .. }, _) => kept.event(index, commit.now, events::command(&before, Command::Pause)),
            (RunState::Completed, _) => {
                kept.attempt_ended(index, commit.now, None, commit.evidence);
                let result = commit.result.map(|it| kept.keep(Kept::Inline(it)));
                kept.runs[index].record.result = result;
            }
            (_, AttemptEnd::Failed { failure, .. } | AttemptEnd::Parked { failure }) => {
                kept.attempt_ended(index, commit.now, Some(failure), commit.evidence);
            }
            _ => kept.attempt_ended(index, commit.now, cancelled(), commit.evidence),
        }
        kept.notice(index, commit.now);
        kept.wake_parent(index, commit.now);
        kept.logs(index, commit.logs);
        for number in commit.unasked {
            if let Some(task) = kept.runs[index].tasks.get_mut(&number) {
                task.unasked = before.attempt;
            }
        }
        for child in commit.cancel {
            if let Ok(child) = kept.index(child) {
                kept.cancel_tree(child, commit.now);
            }
        }
        Ok(after)
    }

    async fn retry(&self, run: FlowRunId, request: RetryRequest) -> Result<Run, StoreError> {
        let mut kept = self.kept();
        let index = kept.index(run)?;
        let before = kept.runs[index].record.clone();
        let after = before.run.retry(request.now, request.expected_attempt, request.completed_too)?;
        kept.has_component(request.component.unwrap_or(before.asked.component))?;
        let parameters = request.parameters.clone().map(|it| kept.keep(Kept::Inline(it)));
        let told = events::manual_retry(&before, after.round, &request, parameters.as_ref());
        kept.event(index, request.now, told);
        let asked = before.asked;
        kept.runs[index].record = RunRecord {
            asked: NewRun {
                component: request.component.unwrap_or(asked.component),
                parameters: parameters.unwrap_or(asked.parameters),
                overrides: request.overrides.unwrap_or(asked.overrides),
                ..asked
            },
            run: after.clone(),
            result: None,
            failure: None,
            ended: None,
            forgotten: false,
        };
        for number in request.forget {
            if let Some(task) = kept.runs[index].tasks.get_mut(&number) {
                task.state = TaskState::Forgotten;
                task.result = None;
            }
        }
        for child in request.forget_children {
            if let Ok(child) = kept.index(child)
                && kept.runs[child].record.asked.parent.is_some_and(|it| it.run == run)
            {
                kept.runs[child].record.forgotten = true;
            }
        }
        Ok(after)
    }

    async fn command(&self, run: FlowRunId, command: Command, now: Timestamp) -> Result<Run, StoreError> {
        let mut kept = self.kept();
        let index = kept.index(run)?;
        let before = kept.runs[index].record.run.clone();
        let after = before.command(command, now)?;
        kept.commanded(index, &before, &after, command, now);
        if command == Command::Cancel {
            kept.notice(index, now);
            kept.cancel_below(run, now);
        }
        Ok(after)
    }

    async fn set_result(&self, run: FlowRunId, number: u32, result: Json, now: Timestamp) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let index = kept.index(run)?;
        kept.runs[index].record.run.may_set_results()?;
        let tasks = &kept.runs[index].tasks;
        let done = tasks.values().map(|it| it.done).max().unwrap_or(0) + 1;
        let task = tasks.get(&number).cloned().ok_or(Refused::NoCall)?;
        let result = kept.keep(Kept::Inline(result));
        let after = events::with_result(&task, result.clone(), done, now)?;
        kept.runs[index].tasks.insert(number, after);
        task.past().into_iter().for_each(|it| kept.past(index, it));
        kept.event(index, now, events::set_result(&task, &result));
        Ok(())
    }

    async fn recover(&self, now: Timestamp) -> Result<Vec<(FlowRunId, Run)>, StoreError> {
        let mut kept = self.kept();
        let mut recovered = Vec::new();
        for index in 0..kept.runs.len() {
            let RunRecord { asked, run: before, .. } = kept.runs[index].record.clone();
            if before.state.claim().is_none_or(|(_, boot)| boot >= self.boot) {
                continue;
            }
            let after = before.lose(now)?;
            kept.runs[index].record.run = after.clone();
            match after.state {
                RunState::Crashed => {
                    let failure = Failure::new(code::LOST, "its host died again and again");
                    kept.attempt_ended(index, now, Some(failure), Evidence::default());
                }
                RunState::Cancelled => kept.attempt_ended(index, now, cancelled(), Evidence::default()),
                _ => {}
            }
            kept.notice(index, now);
            kept.wake_parent(index, now);
            kept.event(index, now, events::lost(&before, &after));
            recovered.push((asked.id, after));
        }
        for (id, _) in recovered.iter().filter(|(_, run)| run.state.is_terminal()) {
            kept.cancel_below(*id, now);
        }
        recovered.into_iter().map(|(id, _)| Ok((id, kept.run(id)?.record.run.clone()))).collect()
    }

    async fn remove_run(&self, run: FlowRunId, _: Timestamp) -> Result<bool, StoreError> {
        let mut kept = self.kept();
        if kept.run(run)?.record.asked.parent.is_some() {
            return Err(StoreError::InUse(crate::BELOW_ANOTHER.into()));
        }
        let tree = kept.tree(run);
        let has_ended = |id: &FlowRunId| kept.run(*id).is_ok_and(|it| it.record.run.state.is_terminal());
        if !tree.iter().all(has_ended) {
            return Err(Refused::NotEnded.into());
        }
        kept.runs.retain(|it| !tree.contains(&it.record.asked.id));
        kept.notices.retain(|it| !tree.contains(&it.run));
        kept.places = kept.runs.iter().enumerate().map(|(index, it)| (it.record.asked.id, index)).collect();
        // SQLite counts on from the last row that it has.
        kept.log_lines = kept.runs.iter().filter_map(|it| it.logs.last()).map(|it| it.0).max().unwrap_or(0);
        Ok(true)
    }

    async fn old_runs(&self, asked: OldRuns) -> Result<Vec<FlowRunId>, StoreError> {
        let is_old = |it: &&RunRecord| {
            let of = &it.asked.deployment;
            let is_of = match &asked.deployment {
                Some(name) => of.as_ref() == Some(name),
                None => of.as_ref().is_none_or(|it| !asked.other_than.contains(it)),
            };
            is_of
                && it.asked.depth == 0
                && it.run.state.is_terminal()
                && it.ended.unwrap_or(it.asked.created) < asked.ended_before
                && it.asked.id < FlowRunId::new(asked.ended_before, 0)
                && asked.after.is_none_or(|after| it.asked.id > after)
        };
        let kept = self.kept();
        let mut found: Vec<_> = kept.runs.iter().map(|it| &it.record).filter(is_old).map(|it| it.asked.id).collect();
        found.sort();
        found.truncate(asked.limit);
        Ok(found)
    }

    async fn tidy(
        &self,
        _: Timestamp,
        _: Duration,
        deliveries: Timestamp,
        audit: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut kept = self.kept();
        let before = kept.deliveries.len() + kept.audit.len();
        kept.deliveries.retain(|it| it.ended.is_none_or(|it| it >= deliveries));
        kept.audit.retain(|(_, it)| it.at >= audit);
        Ok((before - kept.deliveries.len() - kept.audit.len()) as u64)
    }

    async fn run(&self, id: FlowRunId) -> Result<RunRecord, StoreError> {
        Ok(self.kept().run(id)?.record.clone())
    }

    async fn keyed(&self, key: &str) -> Result<Option<RunRecord>, StoreError> {
        let kept = self.kept();
        let found = kept.runs.iter().find(|it| it.record.asked.idempotency_key.as_deref() == Some(key));
        Ok(found.map(|it| it.record.clone()))
    }

    async fn find(&self, text: &str, limit: usize) -> Result<Vec<FlowRunId>, StoreError> {
        let range = FlowRunId::range_of_prefix(text);
        let fits =
            |id: FlowRunId| id.friendly_name() == text || range.is_some_and(|(low, high)| (low..=high).contains(&id));
        let mut found: Vec<FlowRunId> =
            self.kept().runs.iter().map(|it| it.record.asked.id).filter(|id| fits(*id)).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(limit);
        Ok(found)
    }

    async fn list(&self, filter: RunFilter, now: Timestamp) -> Result<Vec<RunRecord>, StoreError> {
        let fits = |it: &RunRecord| {
            let RunRecord { asked, run, .. } = it;
            filter.flow.as_ref().is_none_or(|it| *it == asked.flow)
                && (filter.deployments.is_empty()
                    || asked.deployment.as_ref().is_some_and(|it| filter.deployments.contains(it)))
                && filter.code.as_ref().is_none_or(|code| failed_with(it, code))
                && filter.text.as_ref().is_none_or(|text| holds(it, text))
                && (filter.shown.is_empty() || filter.shown.contains(&run.shown(now)))
                && filter.since.is_none_or(|it| asked.created >= it)
                && filter.until.is_none_or(|it| asked.created < it)
                && filter.ended_since.is_none_or(|since| it.ended.unwrap_or(asked.created) >= since)
                && filter.before.is_none_or(|it| asked.id < it)
                && filter.parent.is_none_or(|it| asked.parent.is_some_and(|parent| parent.run == it))
                && !(filter.roots_only && asked.parent.is_some())
        };
        let kept = self.kept();
        let mut found: Vec<RunRecord> = kept.runs.iter().map(|it| &it.record).filter(|it| fits(it)).cloned().collect();
        found.sort_unstable_by_key(|it| std::cmp::Reverse(it.asked.id));
        found.truncate(filter.limit);
        Ok(found)
    }

    async fn task_runs(&self, run: FlowRunId) -> Result<Vec<TaskRun>, StoreError> {
        Ok(self.kept().run(run)?.tasks.values().cloned().collect())
    }

    async fn past_attempts(&self, run: FlowRunId) -> Result<Vec<PastAttempt>, StoreError> {
        Ok(self.kept().run(run)?.past.values().cloned().collect())
    }

    async fn logs(&self, run: FlowRunId, after: u64, limit: usize) -> Result<Vec<(u64, LogLine)>, StoreError> {
        let kept = self.kept();
        Ok(kept.run(run)?.logs.iter().filter(|(number, _)| *number > after).take(limit).cloned().collect())
    }

    async fn logged(&self, run: FlowRunId, call: u32, attempt: u32) -> Result<u64, StoreError> {
        let kept = self.kept();
        let lines = kept.run(run)?.logs.iter().filter(|(_, it)| (it.call, it.attempt) == (call, attempt));
        Ok(lines.count() as u64)
    }

    async fn events(&self, run: FlowRunId) -> Result<Vec<Event>, StoreError> {
        Ok(self.kept().run(run)?.events.clone())
    }

    async fn value(&self, kept: &Kept) -> Result<Json, StoreError> {
        match kept {
            Kept::Inline(json) => Ok(json.clone()),
            Kept::Blob { digest, .. } => self.kept().values.get(digest).cloned().ok_or(StoreError::Damaged(*digest)),
        }
    }

    async fn define(&self, definition: Definition, expected: Option<u64>) -> Result<u64, StoreError> {
        let mut kept = self.kept();
        let at = (definition.kind, definition.name.clone());
        let is = kept.definitions.get(&at).map_or(0, |it| it.version);
        if expected.is_some_and(|it| it != is) {
            return Err(StoreError::Changed { is });
        }
        definition.component.map_or(Ok(()), |it| kept.has_component(it))?;
        let version = is + 1;
        kept.definitions.insert(at, Definition { version, ..definition });
        Ok(version)
    }

    async fn undefine(&self, kind: &'static str, name: &str) -> Result<bool, StoreError> {
        Ok(self.kept().definitions.remove(&(kind, name.to_owned())).is_some())
    }

    async fn definition(&self, kind: &'static str, name: &str) -> Result<Option<Definition>, StoreError> {
        Ok(self.kept().definitions.get(&(kind, name.to_owned())).cloned())
    }

    async fn definitions(&self, kind: &'static str) -> Result<Vec<Definition>, StoreError> {
        Ok(self.kept().definitions.values().filter(|it| it.kind == kind).cloned().collect())
    }

    async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        let mut kept = self.kept();
        let place = kept.audit.len() as u64 + 1;
        kept.audit.push((place, entry));
        Ok(())
    }

    async fn open_runs(&self, now: Timestamp) -> Result<Vec<(Shown, u64)>, StoreError> {
        let kept = self.kept();
        let shown: Vec<Shown> = kept.runs.iter().map(|it| it.record.run.shown(now)).collect();
        let counts = Shown::ALL.into_iter().filter(|it| is_open(*it)).map(|word| {
            let count = shown.iter().filter(|it| **it == word).count() as u64;
            (word, count)
        });
        Ok(counts.filter(|(_, count)| *count > 0).collect())
    }

    async fn overdue(&self, now: Timestamp, most: u64) -> Result<u64, StoreError> {
        Ok(self.waiting(now, most).await?.iter().map(|(_, count, _)| count).sum())
    }

    async fn waiting(&self, now: Timestamp, most: u64) -> Result<Vec<(String, u64, Timestamp)>, StoreError> {
        let kept = self.kept();
        let of_roots = kept.runs.iter().map(|it| &it.record).filter(|it| it.asked.depth == 0);
        let due = of_roots.filter_map(|it| match it.run.state {
            RunState::Scheduled { due, .. } => Some((due, &it.asked.queue)).filter(|_| due <= now),
            _ => None,
        });
        let mut due: Vec<_> = due.collect();
        due.sort();
        let mut queues: BTreeMap<&String, (u64, Timestamp)> = BTreeMap::new();
        due.iter().take(most as usize).for_each(|(due, queue)| queues.entry(queue).or_insert((0, *due)).0 += 1);
        Ok(queues.into_iter().map(|(queue, (count, first))| (queue.clone(), count, first)).collect())
    }

    async fn audited(
        &self,
        before: Option<u64>,
        subject: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(u64, AuditEntry)>, StoreError> {
        let kept = self.kept();
        let found = kept.audit.iter().rev().filter(|(place, entry)| {
            before.is_none_or(|it| *place < it) && subject.is_none_or(|it| entry.subject == it)
        });
        Ok(found.take(limit).cloned().collect())
    }

    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, StoreError> {
        Ok(self.kept().notices.iter().take(limit).cloned().collect())
    }

    async fn deliver(&self, notice: Option<u64>, deliveries: Vec<Delivery>) -> Result<(), StoreError> {
        let mut kept = self.kept();
        if let Some(seq) = notice {
            let Some(place) = kept.notices.iter().position(|it| it.seq == seq) else { return Ok(()) };
            kept.notices.remove(place);
        }
        for delivery in deliveries {
            let seq = kept.deliveries.last().map_or(0, |it| it.seq) + 1;
            kept.deliveries.push(Delivery { seq, ..delivery });
        }
        Ok(())
    }

    async fn delivered(&self, delivery: Delivery) -> Result<(), StoreError> {
        let mut kept = self.kept();
        if let Some(there) = kept.deliveries.iter_mut().find(|it| it.seq == delivery.seq) {
            let Delivery { state, attempts, answer, ended, .. } = delivery;
            *there = Delivery { state, attempts, answer, ended, ..there.clone() };
        }
        Ok(())
    }

    async fn deliveries_due(&self, by: Timestamp, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let kept = self.kept();
        let is_due = |it: &&Delivery| it.state.due().is_some_and(|due| due <= by);
        let mut found: Vec<&Delivery> = kept.deliveries.iter().filter(is_due).collect();
        found.sort_by_key(|it| it.state.due());
        let mut of_rules: HashMap<String, usize> = HashMap::new();
        let mut count = |it: &Delivery| *of_rules.entry(it.rule.clone()).and_modify(|n| *n += 1).or_insert(1);
        Ok(found.into_iter().filter(|it| count(it) <= limit).cloned().collect())
    }

    async fn deliveries(
        &self,
        before: Option<u64>,
        rule: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let kept = self.kept();
        let found = kept
            .deliveries
            .iter()
            .rev()
            .filter(|it| before.is_none_or(|place| it.seq < place) && rule.is_none_or(|name| it.rule == name));
        Ok(found.take(limit).cloned().collect())
    }
}
