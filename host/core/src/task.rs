//! A task run: one call of a flow run, its attempts and its kept result.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::component::{AskedLimits, FlowInfo};
use crate::failure::{Failure, code};
use crate::id::ContentDigest;
use crate::inject::{Injection, What};
use crate::limits;
use crate::replay::Identity;
use crate::retry::{BadField, Delay, RetryPolicy, Spent};
use crate::time::{Timestamp, millis_option};
use crate::trace::TraceParent;
use crate::value::Json;

/// What one attempt used, measured by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Time on a processor, in microseconds.
    pub cpu_us: u64,
    /// Most memory held at once, in bytes.
    pub peak_memory: u64,
    /// Bytes of result and of kept log lines.
    pub bytes_out: u64,
    /// Bytes of log lines that were over a bound and dropped.
    #[serde(default)]
    pub log_bytes_dropped: u64,
}

/// A value as a store has it: at hand, or as a file named by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// At hand.
    Inline(Json),
    /// To be asked for.
    Blob {
        /// Its digest.
        digest: ContentDigest,
        /// Its length in bytes.
        bytes: u64,
    },
}

impl Kept {
    /// Returns the length of the value as JSON text.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Inline(json) => json.as_str().len(),
            Self::Blob { bytes, .. } => usize::try_from(*bytes).unwrap_or(usize::MAX),
        }
    }
}

/// Where a task run stands, as far as it is stored. One that began a moment ago is not stored yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Its last attempt failed, and the next begins at this instant.
    AwaitingRetry(Timestamp),
    /// An attempt of it began, and nobody was told yet how it ended. Kept of what takes long, and of what the end of its
    /// flow's attempt stopped.
    Running,
    /// Succeeded.
    Completed,
    /// Failed for good, in this attempt of its flow.
    Failed,
    /// Stopped because its flow was cancelled or failed, or because the flow cancelled it.
    Cancelled,
    /// A person asked for it to be run again, so that what it had is not fed back.
    Forgotten,
}

impl TaskState {
    /// Whether the call has an answer.
    pub fn is_done(&self) -> bool {
        !matches!(self, Self::AwaitingRetry(_) | Self::Running)
    }
}

/// One call of a flow run, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRun {
    /// Which of the run's calls, counted from 1 in the order in which they were first made.
    pub number: u32,
    /// What was asked.
    pub identity: Identity,
    /// What people see instead of the task's name.
    pub label: Option<String>,
    /// What it was given.
    pub input: Kept,
    /// Where it stands.
    pub state: TaskState,
    /// The attempt of the flow that last worked on it.
    pub flow_attempt: u32,
    /// Attempts begun so far, over all rounds.
    pub attempts: u32,
    /// Rounds so far: each attempt of the flow that runs it again begins one.
    pub round: u32,
    /// What this round used up.
    pub spent: Spent,
    /// When this round's first attempt began.
    pub round_began: Timestamp,
    /// When the last attempt began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// When its flow was told of it first, if that was before `ended`: a result that is not kept is made again for an
    /// attempt of the flow that goes on, and that attempt's own time must not move for it.
    pub told: Option<Timestamp>,
    /// Its place in the order in which calls were done, from 1; 0 while it is not done.
    pub done: u32,
    /// The result, when it is Completed and kept.
    pub result: Option<Kept>,
    /// Whether a person set the result by hand.
    pub by_hand: bool,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
    /// What the last attempt used.
    pub evidence: Evidence,
    /// The last attempt of its flow that came to its end without asking for it again, though its result was kept; 0 for
    /// none.
    pub unasked: u32,
}

impl TaskRun {
    /// Whether its result is kept, and fed back to a later attempt that asks for the same.
    pub fn is_kept(&self) -> bool {
        self.state == TaskState::Completed && self.result.is_some()
    }

    /// What people call it: its label, or its name, with its input where there are `several` of that name.
    pub fn title(&self, several: bool) -> String {
        let name = &self.identity.name;
        match (&self.label, &self.input) {
            (Some(label), _) => label.clone(),
            (None, Kept::Inline(input)) if several => format!("{name} {}", input.summary(limits::SUMMARY)),
            (None, _) => name.to_string(),
        }
    }

    /// Returns the attempt that this record tells of, to be kept beside the next one.
    pub fn past(&self) -> Option<PastAttempt> {
        let stopped = || Failure::new(code::CANCELLED, "was stopped before it ended");
        (self.attempts > 0).then(|| PastAttempt {
            call: self.number,
            attempt: self.attempts,
            began: self.began,
            ended: self.ended,
            failure: self.failure.clone().or_else(|| (self.state == TaskState::Running).then(stopped)),
            evidence: self.evidence,
        })
    }

    /// Whether the record says of its last attempt that it began, and no more.
    pub fn only_began(&self) -> bool {
        self.state == TaskState::Running && self.failure.is_none()
    }

    /// Returns the record of an attempt that began: one that was stopped at `ended`, or that goes on where that is when
    /// it began.
    pub fn begun(&self, ended: Timestamp, failure: Option<Failure>) -> Self {
        let (state, result, evidence) = (TaskState::Running, None, Evidence::default());
        Self { state, result, evidence, ended, failure, ..self.clone() }
    }
}

/// How many calls of a run have each name: where several have one, people tell them apart by their inputs.
#[derive(Debug)]
pub struct Names<'a>(HashMap<&'a str, u32>);

impl<'a> Names<'a> {
    /// Counts the names of these calls.
    pub fn of(calls: impl IntoIterator<Item = &'a TaskRun>) -> Self {
        let mut count = HashMap::new();
        calls.into_iter().for_each(|it| *count.entry(&*it.identity.name).or_default() += 1);
        Self(count)
    }

    /// What people call one of them.
    pub fn title(&self, call: &TaskRun) -> String {
        call.title(self.0.get(&*call.identity.name).is_some_and(|it| *it > 1))
    }
}

/// A past attempt of a flow or a task that is shown beside the last one.
#[derive(Debug, Clone, PartialEq)]
pub struct PastAttempt {
    /// 0 for the flow itself, otherwise which of its calls.
    pub call: u32,
    /// Counted from 1.
    pub attempt: u32,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Why it failed; `None` when it succeeded.
    pub failure: Option<Failure>,
    /// What it used.
    pub evidence: Evidence,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words of every logger")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A line that a flow or a task wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// 0 for the flow itself, otherwise which of its calls.
    pub call: u32,
    /// Which attempt of it.
    pub attempt: u32,
    /// How important.
    pub level: Level,
    /// What. As the guest wrote it: whoever shows it escapes it.
    pub message: String,
    /// A JSON object, or nothing.
    pub fields: Option<Json>,
    /// Which task, when a task said it: it may have no record yet.
    pub task: Option<Arc<str>>,
}

/// What a run may be asked for beyond what its flow's metadata says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// Instead of the whole policy in the flow's metadata, as its parent asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// Instead of the number of retries in the flow's metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Instead of the delay in the flow's metadata: the same each time.
    #[serde(with = "millis_option", default, skip_serializing_if = "Option::is_none")]
    pub retry_delay: Option<Duration>,
    /// Instead of the timeout in the flow's metadata.
    #[serde(with = "millis_option", default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Instead of the memory in the metadata, of the flow and of its tasks, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// What is to go wrong, to see what becomes of the run then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inject: Vec<Injection>,
    /// The span of a trace that asked for the run.
    #[serde(rename = "traceparent", default, skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<TraceParent>,
    /// What counts before all these in the present round: the next manual retry begins without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub this_round: Option<Box<Overrides>>,
}

impl Overrides {
    /// Returns the policy of a flow run that was asked for with these overrides.
    pub fn policy(&self, flow: &FlowInfo) -> RetryPolicy {
        let mut policy = self.own_or(|it| it.retry.as_ref()).unwrap_or(&flow.retry).clone();
        policy.retries = self.own_or(|it| it.retries).unwrap_or(policy.retries);
        if let Some(delay) = self.own_or(|it| it.retry_delay) {
            policy.delay = Delay::Fixed(delay);
        }
        policy
    }

    /// Returns what happens in place of an attempt of a flow or of a task, if anything does.
    pub fn injected(&self, is_flow: bool, name: &str, attempt: u32) -> Option<&What> {
        self.inject.iter().find_map(|it| it.of(is_flow, name, attempt))
    }

    /// Returns what is asked for of a task once the overrides are laid over what the metadata asks for.
    pub fn limits(&self, asked: &AskedLimits) -> AskedLimits {
        AskedLimits { memory_bytes: self.own_or(|it| it.memory_bytes).or(asked.memory_bytes), ..*asked }
    }

    /// Returns what is asked for of the flow itself: a timeout is its alone.
    pub fn flow_limits(&self, asked: &AskedLimits) -> AskedLimits {
        AskedLimits { timeout: self.own_or(|it| it.timeout).or(asked.timeout), ..self.limits(asked) }
    }

    /// Returns these overrides with others for the round that begins, and without those of the round before.
    pub fn in_round(&self, round: Overrides) -> Overrides {
        let this_round = (round != Overrides::default()).then(|| Box::new(round));
        Overrides { this_round, ..self.clone() }
    }

    fn own_or<'a, T>(&'a self, pick: impl Fn(&'a Overrides) -> Option<T>) -> Option<T> {
        self.this_round.as_deref().and_then(&pick).or_else(|| pick(self))
    }

    /// Checks every bound.
    pub fn check(&self, flow: &FlowInfo) -> Result<(), BadField> {
        self.policy(flow).check("retry")?;
        Injection::check(&self.inject)?;
        let nothing_runs = || "a limit of zero lets nothing run".into();
        BadField::unless(self.own_or(|it| it.timeout) != Some(Duration::ZERO), "timeout", nothing_runs)?;
        let memory = self.own_or(|it| it.memory_bytes);
        BadField::unless(memory != Some(0), "memory", nothing_runs)?;
        let most = crate::limits::MEMORY_MAX;
        BadField::unless(memory.is_none_or(|it| it <= most), "memory", || {
            format!("{} bytes, at most {most} are allowed", memory.unwrap_or_default())
        })
    }
}
