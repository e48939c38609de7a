//! What the model keeps, and the changes that several of its operations share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use retake_core::failure::Failure;
use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::limits;
use retake_core::run::{Command, Run};
use retake_core::task::{Evidence, Kept, LogLine, PastAttempt, TaskRun};
use retake_core::time::Timestamp;
use retake_core::value::Json;

use crate::events::{self, Told};
use crate::share::{Busy, Due, shares};
use crate::{
    AuditEntry, ClaimRequest, ComponentRecord, Definition, Delivery, Event, Notice, RunRecord, StoreError, kind,
    makes_notice,
};

#[derive(Debug, Clone, Default)]
pub(super) struct Everything {
    pub(super) components: Vec<(ComponentRecord, Arc<[u8]>)>,
    pub(super) values: HashMap<ContentDigest, Json>,
    /// In the order of making.
    pub(super) runs: Vec<MemRun>,
    /// Where in `runs`.
    pub(super) places: HashMap<FlowRunId, usize>,
    pub(super) log_lines: u64,
    /// By kind and name.
    pub(super) definitions: BTreeMap<(&'static str, String), Definition>,
    pub(super) audit: Vec<(u64, AuditEntry)>,
    pub(super) notices: Vec<Notice>,
    /// That were ever made.
    pub(super) noticed: u64,
    pub(super) deliveries: Vec<Delivery>,
}

#[derive(Debug, Clone)]
pub(super) struct MemRun {
    pub(super) record: RunRecord,
    pub(super) tasks: BTreeMap<u32, TaskRun>,
    pub(super) past: BTreeMap<(u32, u32), PastAttempt>,
    pub(super) logs: Vec<(u64, LogLine)>,
    pub(super) events: Vec<Event>,
}

impl Everything {
    pub(super) fn run(&self, id: FlowRunId) -> Result<&MemRun, StoreError> {
        self.index(id).map(|index| &self.runs[index])
    }

    pub(super) fn index(&self, id: FlowRunId) -> Result<usize, StoreError> {
        self.places.get(&id).copied().ok_or(StoreError::NoRun(id))
    }

    pub(super) fn has_component(&self, digest: ContentDigest) -> Result<(), StoreError> {
        let there = self.components.iter().any(|(it, _)| it.digest == digest && it.removed.is_none());
        if there { Ok(()) } else { Err(StoreError::NoComponent(digest)) }
    }

    pub(super) fn keep(&mut self, kept: Kept) -> Kept {
        match kept {
            Kept::Inline(json) if json.as_str().len() > limits::INLINE_BYTES => {
                let digest = ContentDigest::of(json.as_str().as_bytes());
                let bytes = json.as_str().len() as u64;
                self.values.insert(digest, json);
                Kept::Blob { digest, bytes }
            }
            other => other,
        }
    }

    pub(super) fn event(&mut self, index: usize, at: Timestamp, (kind, details): Told) {
        self.runs[index].events.push(Event { at, kind: kind.to_owned(), details });
    }

    pub(super) fn logs(&mut self, index: usize, lines: Vec<LogLine>) {
        for line in lines {
            self.log_lines += 1;
            self.runs[index].logs.push((self.log_lines, line));
        }
    }

    pub(super) fn past(&mut self, index: usize, past: PastAttempt) {
        self.runs[index].past.entry((past.call, past.attempt)).or_insert(past);
    }

    pub(super) fn commanded(&mut self, index: usize, before: &Run, after: &Run, command: Command, now: Timestamp) {
        let record = &mut self.runs[index].record;
        record.run = after.clone();
        if after.state.is_terminal() {
            record.ended = Some(now);
        }
        events::cut_short(before, after, now).into_iter().for_each(|it| self.past(index, it));
        self.wake_parent(index, now);
        self.event(index, now, events::command(before, command));
    }

    pub(super) fn cancel_tree(&mut self, index: usize, now: Timestamp) {
        let RunRecord { asked, run: before, .. } = self.runs[index].record.clone();
        if let Ok(after) = before.command(Command::Cancel, now)
            && after != before
        {
            self.commanded(index, &before, &after, Command::Cancel, now);
            self.cancel_below(asked.id, now);
        }
    }

    pub(super) fn wake_parent(&mut self, child: usize, now: Timestamp) {
        let RunRecord { asked, run, .. } = &self.runs[child].record;
        if let Some(parent) = asked.parent.filter(|_| run.state.answers())
            && let Ok(parent) = self.index(parent.run)
            && let Some(woken) = self.runs[parent].record.run.wake(now)
        {
            self.runs[parent].record.run = woken;
        }
    }

    pub(super) fn cancel_below(&mut self, id: FlowRunId, now: Timestamp) {
        for index in 0..self.runs.len() {
            let RunRecord { asked, run, .. } = &self.runs[index].record;
            if asked.parent.is_some_and(|it| it.run == id) && !run.state.is_terminal() {
                self.cancel_tree(index, now);
            }
        }
    }

    /// Leaves each deployment its share of what is due.
    pub(super) fn shared(
        &self,
        due: Vec<(Timestamp, usize)>,
        busy: &Busy,
        request: &ClaimRequest,
    ) -> Vec<(Timestamp, usize)> {
        let mut of_one: BTreeMap<Option<String>, Vec<(Timestamp, usize)>> = BTreeMap::new();
        for it in due {
            of_one.entry(self.runs[it.1].record.asked.deployment.clone()).or_default().push(it);
        }
        for (deployment, waiting) in &mut of_one {
            waiting.truncate(request.most_of(deployment.as_ref()));
        }
        let all: Vec<Due> = of_one
            .iter()
            .filter(|(_, waiting)| !waiting.is_empty())
            .map(|(deployment, waiting)| Due {
                deployment: deployment.clone(),
                since: waiting[0].0,
                waiting: waiting.len(),
            })
            .collect();
        let shares = shares(&all, busy, request.fences.len());
        let mut due: Vec<_> =
            all.iter().zip(shares).flat_map(|(it, share)| of_one[&it.deployment][..share].to_vec()).collect();
        due.sort_unstable();
        due
    }

    /// Keeps a notice of where a run stands now, if it has no parent and somebody may want to be told.
    pub(super) fn notice(&mut self, index: usize, now: Timestamp) {
        let RunRecord { asked, run, failure, .. } = &self.runs[index].record;
        let shown = run.shown(now);
        let is_rule = self.definitions.values().any(|it| it.kind == kind::NOTIFICATION);
        if asked.parent.is_none() && makes_notice(shown) && is_rule {
            self.noticed += 1;
            let (run, attempt, failure) = (asked.id, run.attempt, failure.clone());
            self.notices.push(Notice { seq: self.noticed, run, at: now, shown, attempt, failure });
        }
    }

    pub(super) fn attempt_ended(&mut self, index: usize, now: Timestamp, failure: Option<Failure>, evidence: Evidence) {
        let record = &mut self.runs[index].record;
        record.ended = Some(now);
        record.failure = failure.clone();
        let (attempt, began) = (record.run.attempt, record.run.attempt_began.unwrap_or(now));
        self.past(index, PastAttempt { call: 0, attempt, began, ended: now, failure, evidence });
    }
}
