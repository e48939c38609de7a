//! Where runs, results, logs and components are kept: one trait, several homes, one contract.
//!
//! Only this crate knows SQL, and nothing here decides: the rules are `retake_core`'s, a store applies them atomically.
//! A method that returns [`StoreError::Refused`] changed nothing but perhaps an event. A method that returns
//! [`StoreError::Unavailable`] **may have happened**: asking again is safe, because every write names its fence.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use retake_core::component::ComponentInfo;
use retake_core::failure::Failure;
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::run::{AttemptEnd, Command, Refused, Run, Shown};
use retake_core::task::{Evidence, Kept, LogLine, Overrides, PastAttempt, TaskRun};
use retake_core::time::Timestamp;
use retake_core::value::Json;

mod blobs;
mod events;
mod mem;
mod share;
#[cfg(test)]
mod side_by_side;
mod sqlite;

#[cfg(any(test, feature = "contract"))]
pub mod contract;

pub use mem::MemStore;
pub use share::Busy;
pub use sqlite::{OpenError, SqliteStore, WriterStats, upkeep};

/// Why a store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such run.
    #[error("no flow run {0}")]
    NoRun(FlowRunId),
    /// There is no such component.
    #[error("no component {}", .0.short())]
    NoComponent(ContentDigest),
    /// The rules refused it; trying again will not help.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What was kept is not what was written: its digest differs (F38).
    #[error("what is kept as {} is damaged", .0.short())]
    Damaged(ContentDigest),
    /// Somebody changed it meanwhile.
    #[error("it was changed meanwhile: it is at version {is}")]
    Changed {
        /// Where it stands now; 0 when it is not there.
        is: u64,
    },
    /// Something refers to it.
    #[error("it is in use: {0}")]
    InUse(String),
    /// It was opened for reading only.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// **The change may have happened or not.** Trying again is safe, because every write names its fence.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A component, its metadata and when it came. The bytes are asked for apart.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentRecord {
    /// SHA-256 of the bytes.
    pub digest: ContentDigest,
    /// Length of the bytes.
    pub bytes: u64,
    /// What it said about itself.
    pub info: ComponentInfo,
    /// When it was first uploaded.
    pub uploaded: Timestamp,
    /// When its bytes were removed, where runs are still pinned to it: what it said stays.
    pub removed: Option<Timestamp>,
}

/// Which call of which run started a child run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The run whose flow asked for the child.
    pub run: FlowRunId,
    /// Which of its calls.
    pub call: u32,
}

/// A run to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// Its id.
    pub id: FlowRunId,
    /// The code it is pinned to; kept already, or the run is not made.
    pub component: ContentDigest,
    /// Which of the component's flows.
    pub flow: String,
    /// The deployment that it was asked for through.
    pub deployment: Option<String>,
    /// Where workers look for it.
    pub queue: String,
    /// Parameters that fit the schema. Large ones come back as a blob: a claim must not fail over a damaged file once
    /// it was made, so whoever runs the flow asks [`Store::value`] for them and can let the run fail.
    pub parameters: Kept,
    /// What was asked for beyond the metadata.
    pub overrides: Overrides,
    /// A second run under the same key is not made.
    pub idempotency_key: Option<String>,
    /// Set for a child.
    pub parent: Option<Parent>,
    /// The run at the top of its tree; its own id for one without a parent.
    pub root: FlowRunId,
    /// How many parents it has above it.
    pub depth: u32,
    /// When it may begin.
    pub due: Timestamp,
    /// When it was asked for.
    pub created: Timestamp,
}

/// A run as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// What was asked for; a retry may have changed `component`, `parameters` and `overrides`.
    pub asked: NewRun,
    /// Where it stands.
    pub run: Run,
    /// What its flow returned, when it Completed.
    pub result: Option<Kept>,
    /// Why its last attempt failed.
    pub failure: Option<Failure>,
    /// When its last attempt ended.
    pub ended: Option<Timestamp>,
    /// Whether its parent's next attempt has it run anew, whatever it came to.
    pub forgotten: bool,
}

/// A claim on runs that are due.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The present instant.
    pub now: Timestamp,
    /// A fresh fence for each run that may be claimed; as many runs are claimed at most.
    pub fences: Vec<Fence>,
    /// Only runs of these queues; none named for all.
    pub queues: Arc<[String]>,
    /// Only runs of this tree; `None` for all.
    pub root: Option<FlowRunId>,
    /// Only runs at this depth of their tree, because each depth has slots of its own.
    pub depth: u32,
    /// How many more runs of some deployments and queues may be claimed. Runs of those with no room are passed over; of
    /// those with some, whatever is beyond it among the first that are due is left for the next claim.
    pub room: Vec<Room>,
    /// How many runs of each deployment are worked on: where more is due than there are fences, slots are shared out
    /// between deployments. Without it, and within one tree, the longest due come first.
    pub busy: Option<Arc<Busy>>,
}

impl ClaimRequest {
    /// Whether runs of a queue are asked for.
    fn is_of(&self, queue: &String) -> bool {
        self.queues.is_empty() || self.queues.contains(queue)
    }

    /// Returns what slots are shared out by, unless the longest due come first.
    fn shared_by(&self) -> Option<&Busy> {
        self.busy.as_deref().filter(|_| self.root.is_none() && self.depth == 0)
    }

    /// Returns how many runs of a deployment may be claimed.
    fn most_of(&self, deployment: Option<&String>) -> usize {
        let limit = self.room.iter().find(|it| matches!(&it.of, Limited::Deployment(name) if Some(name) == deployment));
        limit.map_or(usize::MAX, |it| it.left as usize).min(self.fences.len())
    }
}

/// How many more runs may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Of what.
    pub of: Limited,
    /// How many.
    pub left: u32,
}

/// What a limit is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Limited {
    /// Of a deployment, as `flow/name`.
    Deployment(String),
    /// Of a queue.
    Queue(String),
}

impl Limited {
    /// Whether a run counts for it.
    pub fn is_of(&self, asked: &NewRun) -> bool {
        match self {
            Self::Deployment(name) => asked.deployment.as_ref() == Some(name),
            Self::Queue(name) => asked.queue == *name,
        }
    }
}

/// Takes room for a run, if there is.
fn take_room(room: &mut [Room], asked: &NewRun) -> bool {
    let fits = room.iter().filter(|it| it.of.is_of(asked)).all(|it| it.left > 0);
    if fits {
        room.iter_mut().filter(|it| it.of.is_of(asked)).for_each(|it| it.left -= 1);
    }
    fits
}

/// What became of a task run, to be kept in one piece.
#[derive(Debug, Clone)]
pub struct TaskCommit {
    /// Its state from now on; replaces what is kept under its number. Shared, because whoever asks keeps the commit to
    /// ask again.
    pub task: Arc<TaskRun>,
    /// Attempts that ended before the one that `task` tells of.
    pub past: Vec<PastAttempt>,
    /// What was printed and logged since the last commit.
    pub logs: Vec<LogLine>,
}

/// How a flow's attempt ended, to be kept in one piece.
#[derive(Debug, Clone)]
pub struct AttemptCommit {
    /// How.
    pub end: AttemptEnd,
    /// The result, when it is to be kept.
    pub result: Option<Json>,
    /// What the flow's own sandbox used.
    pub evidence: Evidence,
    /// What was printed and logged since the last commit.
    pub logs: Vec<LogLine>,
    /// Children to be cancelled in the same breath, each with what is below it.
    pub cancel: Vec<FlowRunId>,
    /// Children that a suspended attempt waits for: if one of them has come to its end meanwhile, the attempt goes on at
    /// once.
    pub waits_for: Vec<FlowRunId>,
    /// Calls whose results are kept and that the attempt, which has ended, did not ask for.
    pub unasked: Vec<u32>,
    /// The present instant.
    pub now: Timestamp,
}

/// A manual retry.
#[derive(Debug, Clone)]
pub struct RetryRequest {
    /// The present instant.
    pub now: Timestamp,
    /// Refused when the run is at another attempt.
    pub expected_attempt: Option<u32>,
    /// Whether a run that Completed is retried too.
    pub completed_too: bool,
    /// Calls whose results are not to be fed back, by number.
    pub forget: Vec<u32>,
    /// Children whose results are not to be fed back: those that ended unanswered are no calls with a number.
    pub forget_children: Vec<FlowRunId>,
    /// Other code to run.
    pub component: Option<ContentDigest>,
    /// Other parameters.
    pub parameters: Option<Json>,
    /// Other overrides.
    pub overrides: Option<Overrides>,
    /// Whether it is the next attempt of its parent that asks, and no person.
    pub by_parent: bool,
}

/// Something that happened to a run besides its attempts: who did what.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// `manual-retry`, `parent-retry`, `cancel`, `late-result`, `host-lost`, `crashed`.
    pub kind: String,
    /// A JSON object.
    pub details: Json,
}

/// The states that [`Store::open_runs`] counts.
pub(crate) fn is_open(shown: Shown) -> bool {
    use Shown::{AwaitingRetry, Cancelling, Late, Retrying, Running, Scheduled, Suspended};
    matches!(shown, Scheduled | Late | AwaitingRetry | Suspended | Running | Retrying | Cancelling)
}

/// Something that people define beside runs, such as a deployment or a token. A store does not look into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Of what kind; see [`kind`].
    pub kind: &'static str,
    /// Its name, unique among those of its kind.
    pub name: String,
    /// What it says.
    pub body: Json,
    /// The component that it refers to, which cannot be removed meanwhile.
    pub component: Option<ContentDigest>,
    /// How often it was changed, from 1.
    pub version: u64,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// The kinds of [`Definition`].
pub mod kind {
    /// A flow under a name, ready to be run.
    pub const DEPLOYMENT: &str = "deployment";
    /// When runs of a deployment begin by themselves.
    pub const SCHEDULE: &str = "schedule";
    /// Who is told of what. Only while there is one, [`Notice`](super::Notice)s are kept.
    pub const NOTIFICATION: &str = "notification";
    /// Who may ask for what.
    pub const TOKEN: &str = "token";
    /// How much of a queue is worked on at once.
    pub const QUEUE: &str = "queue";
    /// How many attempts of tasks with a tag are made at once.
    pub const TASK_TAG: &str = "task-tag";
    /// A text that nobody is shown, sealed.
    pub const SECRET: &str = "secret";
    /// A JSON value that flows read.
    pub const VARIABLE: &str = "variable";
    /// All kinds.
    pub const ALL: [&str; 8] = [DEPLOYMENT, SCHEDULE, NOTIFICATION, TOKEN, QUEUE, TASK_TAG, SECRET, VARIABLE];
}

/// Who did what, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// The name of the token that asked for it.
    pub actor: String,
    /// What was done, such as `retry`.
    pub action: String,
    /// What it was done to: the id of a run, the name of a deployment.
    pub subject: String,
    /// A JSON object.
    pub details: Json,
}

/// A run without a parent has come to a state that people may want to be told of: it has ended, is Parked, or waits for
/// a retry. Kept in the same breath as the state.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Its place among all notices.
    pub seq: u64,
    /// Which run.
    pub run: FlowRunId,
    /// When.
    pub at: Timestamp,
    /// The state.
    pub shown: Shown,
    /// After which attempt.
    pub attempt: u32,
    /// Why that failed.
    pub failure: Option<Failure>,
}

/// A message that is to be sent to somebody, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place among all deliveries; 0 before it is kept.
    pub seq: u64,
    /// The rule that asked for it.
    pub rule: String,
    /// The run that it tells of; `None` for a test.
    pub run: Option<FlowRunId>,
    /// What is sent.
    pub body: Json,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// What the receiver answered last, or why there was no answer.
    pub answer: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was delivered or given up.
    pub ended: Option<Timestamp>,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is tried at this instant.
    Pending(Timestamp),
    /// The receiver took it.
    Delivered,
    /// It was tried often enough.
    GivenUp,
}

impl DeliveryState {
    /// Returns the instant at which it is tried.
    pub fn due(self) -> Option<Timestamp> {
        match self {
            Self::Pending(due) => Some(due),
            Self::Delivered | Self::GivenUp => None,
        }
    }
}

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only of this flow.
    pub flow: Option<String>,
    /// Only of one of these deployments; empty for all.
    pub deployments: Vec<String>,
    /// Only those whose last attempt failed with this code; `http.*` is every code that begins with `http.`.
    pub code: Option<String>,
    /// Only those whose friendly name, flow, deployment or failure message holds this text, whatever the case of its
    /// ASCII letters.
    pub text: Option<String>,
    /// Only made before this instant.
    pub until: Option<Timestamp>,
    /// Only shown as one of these words.
    pub shown: Vec<Shown>,
    /// Only made at or after this instant.
    pub since: Option<Timestamp>,
    /// Only those whose last attempt ended at or after this instant, or that were made then where none has ended.
    pub ended_since: Option<Timestamp>,
    /// Only runs older than this one: the last of the page before.
    pub before: Option<FlowRunId>,
    /// Only children of this run.
    pub parent: Option<FlowRunId>,
    /// Whether children are left out.
    pub roots_only: bool,
    /// At most so many.
    pub limit: usize,
}

/// How many runs are in which state, in each part of a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// For each state that there is, as many numbers as there are parts.
    pub by_state: Vec<(Shown, Vec<u64>)>,
    /// Whether all that fit were counted.
    pub complete: bool,
}

impl Counts {
    pub(crate) fn add(&mut self, shown: Shown, part: i64, parts: usize, count: u64) {
        let at = self.by_state.iter().position(|(it, _)| *it == shown).unwrap_or_else(|| {
            self.by_state.push((shown, vec![0; parts]));
            self.by_state.len() - 1
        });
        let part = usize::try_from(part).unwrap_or(0).min(parts.saturating_sub(1));
        if let Some(it) = self.by_state.get_mut(at).and_then(|(_, all)| all.get_mut(part)) {
            *it += count;
        }
    }
}

/// How many microseconds one of equal parts of a time has.
pub(crate) fn part_width(since: Option<Timestamp>, until: Option<Timestamp>, parts: usize) -> i64 {
    let whole = until.unwrap_or_default().as_micros().saturating_sub(since.unwrap_or_default().as_micros());
    (whole / i64::try_from(parts).unwrap_or(1).max(1)).max(1)
}

/// Which runs without a parent are old.
#[derive(Debug, Clone, Default)]
pub struct OldRuns {
    /// Of this deployment; `None` for all but those of `other_than`, and those without one.
    pub deployment: Option<String>,
    /// Deployments of which none are looked for.
    pub other_than: Vec<String>,
    /// They ended before this instant.
    pub ended_before: Timestamp,
    /// Only runs newer than this one: the last of the page before.
    pub after: Option<FlowRunId>,
    /// At most so many, the oldest first.
    pub limit: usize,
}

/// Why a child is not removed.
pub(crate) const BELOW_ANOTHER: &str = "it is a child of another run, and goes with it";

/// Returns where a new run stands: claimed, if somebody claims it as it is made and it is due then.
fn first_state(asked: &NewRun, claim: Option<(Fence, u64)>) -> Run {
    let run = Run::new(asked.due);
    claim.and_then(|(fence, boot)| run.claim(asked.created, fence, boot).ok()).unwrap_or(run)
}

/// Whether a run that has come there makes a [`Notice`].
fn makes_notice(shown: Shown) -> bool {
    use Shown::{AwaitingRetry, Cancelled, Completed, Crashed, Failed, Parked, TimedOut};
    matches!(shown, AwaitingRetry | Cancelled | Completed | Crashed | Failed | Parked | TimedOut)
}

/// Says what refers to a component: so many runs, and these definitions, each a kind and a name. `None` when nothing
/// does.
fn in_use(runs: u64, definitions: &[(String, String)]) -> Option<StoreError> {
    const NAMED: usize = 3;
    let mut by: Vec<String> = match runs {
        0 => vec![],
        1 => vec!["1 run".into()],
        runs => vec![format!("{runs} runs")],
    };
    by.extend(definitions.iter().take(NAMED).map(|(kind, name)| format!("{kind} `{name}`")));
    match definitions.len().saturating_sub(NAMED) {
        0 => {}
        more => by.push(format!("{more} more")),
    }
    (!by.is_empty()).then(|| StoreError::InUse(by.join(", ")))
}

/// Keeps everything, and changes each run atomically.
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns the number of this opening of the store; claims of earlier ones are void.
    fn boot(&self) -> u64;

    /// Returns what its writer has done since it was opened; nothing where there is none.
    fn writer_stats(&self) -> Option<WriterStats> {
        None
    }

    /// Whether it has failed so that nothing is written any more until it is opened again (F13): the host should end.
    fn has_failed(&self) -> bool;

    /// Keeps a component. One that is there already becomes the newest, and is left as it is otherwise.
    async fn put_component(&self, record: ComponentRecord, bytes: Vec<u8>) -> Result<(), StoreError>;
    /// Returns a component without its bytes.
    async fn component(&self, digest: ContentDigest) -> Result<Option<ComponentRecord>, StoreError>;
    /// Forgets a component. Refused as [`StoreError::InUse`] while a run or a definition refers to it.
    async fn remove_component(&self, digest: ContentDigest, now: Timestamp) -> Result<(), StoreError>;
    /// Returns a component's bytes, checked against its digest.
    async fn component_bytes(&self, digest: ContentDigest) -> Result<Vec<u8>, StoreError>;
    /// Returns all components, the newest upload first.
    async fn components(&self) -> Result<Vec<ComponentRecord>, StoreError>;

    /// Makes a run, or returns the one that was made under the same id or idempotency key; `false` for that.
    async fn create(&self, run: NewRun) -> Result<(RunRecord, bool), StoreError>;
    /// Makes a run as [`Store::create`] does, and claims it in the same breath if it is due when it is made. Asked for
    /// again under the same id, it answers with the run as it is: it is claimed if it holds `fence`.
    async fn begin(&self, run: NewRun, fence: Fence) -> Result<(RunRecord, bool), StoreError>;
    /// Claims runs that are due, the longest due first. Durable when it returns: no guest code ran yet.
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<RunRecord>, StoreError>;
    /// Returns the runs that this host holds under one of these fences: what came of a claim that was not answered.
    async fn held(&self, fences: Vec<Fence>) -> Result<Vec<RunRecord>, StoreError>;
    /// Returns when the next Scheduled run is due, of this tree or of all.
    async fn next_due(&self, root: Option<FlowRunId>) -> Result<Option<Timestamp>, StoreError>;
    /// Keeps what became of a task run. Refused under an old fence, and when a kept result would be replaced.
    async fn commit_task(&self, run: FlowRunId, fence: Fence, commit: TaskCommit) -> Result<(), StoreError>;
    /// Keeps log lines; refused under an old fence.
    async fn append_logs(&self, run: FlowRunId, fence: Fence, logs: Vec<LogLine>) -> Result<(), StoreError>;
    /// Keeps how a flow's attempt ended and returns where the run stands then. A report under an old fence is kept
    /// as a `late-result` event and changes nothing else.
    async fn end_attempt(&self, run: FlowRunId, fence: Fence, commit: AttemptCommit) -> Result<Run, StoreError>;
    /// Begins a new round.
    async fn retry(&self, run: FlowRunId, request: RetryRequest) -> Result<Run, StoreError>;
    /// Does what a person asks of a run, and keeps an event that says so. To cancel it cancels what is below it in the
    /// same breath: with a host that dies in between, nobody would.
    async fn command(&self, run: FlowRunId, command: Command, now: Timestamp) -> Result<Run, StoreError>;
    /// Keeps a result that a person sets for a call that has none, of a run that nobody works on.
    async fn set_result(&self, run: FlowRunId, number: u32, result: Json, now: Timestamp) -> Result<(), StoreError>;
    /// Takes back the runs of workers that are gone: all that were claimed before this boot. Returns them as they
    /// are then. What is below one that ends by it is cancelled.
    async fn recover(&self, now: Timestamp) -> Result<Vec<(FlowRunId, Run)>, StoreError>;

    /// Whether a definition refers to a component, or a run that has not Completed and was not cancelled.
    async fn needs_component(&self, digest: ContentDigest) -> Result<bool, StoreError>;
    /// Removes a run without a parent, and all that is below it, with everything that is kept of them. Refused unless
    /// all have ended. `false` when it has to be asked for again: a large one goes in parts, its log first.
    async fn remove_run(&self, run: FlowRunId, now: Timestamp) -> Result<bool, StoreError>;
    /// Lists runs by when they ended.
    async fn old_runs(&self, asked: OldRuns) -> Result<Vec<FlowRunId>, StoreError>;
    /// Removes files that no row speaks of any more and nobody has relied on for `unused_for`, deliveries that ended
    /// before `deliveries`, and who did what before `audit`: some thousand of each. Returns how many went.
    async fn tidy(
        &self,
        now: Timestamp,
        unused_for: Duration,
        deliveries: Timestamp,
        audit: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Returns a run.
    async fn run(&self, id: FlowRunId) -> Result<RunRecord, StoreError>;
    /// Returns the run that was made under this idempotency key.
    async fn keyed(&self, key: &str) -> Result<Option<RunRecord>, StoreError>;
    /// Returns the runs with this friendly name or this prefix of an id, newest first, at most `limit`.
    async fn find(&self, text: &str, limit: usize) -> Result<Vec<FlowRunId>, StoreError>;
    /// Lists runs.
    async fn list(&self, filter: RunFilter, now: Timestamp) -> Result<Vec<RunRecord>, StoreError>;
    /// Counts the newest runs that fit, `filter.limit` at most, by state and by which of so many equal parts of the time
    /// from `filter.since` to `filter.until` they were made in. Both have to be there.
    async fn counts(&self, filter: RunFilter, parts: usize, now: Timestamp) -> Result<Counts, StoreError> {
        let (since, until, limit) = (filter.since, filter.until, filter.limit);
        let found = self.list(filter, now).await?;
        let mut counts = Counts { complete: found.len() < limit, ..Counts::default() };
        let width = part_width(since, until, parts);
        for it in &found {
            let part = (it.asked.created.as_micros() - since.unwrap_or_default().as_micros()) / width;
            counts.add(it.run.shown(now), part, parts, 1);
        }
        Ok(counts)
    }
    /// Returns how many runs wait or are worked on, by state: Scheduled, Late, AwaitingRetry, Suspended, Running, Retrying
    /// and Cancelling; those of which there are none are left out.
    async fn open_runs(&self, now: Timestamp) -> Result<Vec<(Shown, u64)>, StoreError>;
    /// Returns how many runs without a parent wait although they are due; it counts no further than `most`.
    async fn overdue(&self, now: Timestamp, most: u64) -> Result<u64, StoreError>;
    /// Returns the same by queue, each with the instant at which the first of them was due; of `most` runs at most.
    async fn waiting(&self, now: Timestamp, most: u64) -> Result<Vec<(String, u64, Timestamp)>, StoreError>;
    /// Returns the task runs of a run by number.
    async fn task_runs(&self, run: FlowRunId) -> Result<Vec<TaskRun>, StoreError>;
    /// Returns past attempts of a run's flow and of its task runs, by call and attempt.
    async fn past_attempts(&self, run: FlowRunId) -> Result<Vec<PastAttempt>, StoreError>;
    /// Returns log lines of a run after the line `after`, in order, each with its number; at most `limit`.
    async fn logs(&self, run: FlowRunId, after: u64, limit: usize) -> Result<Vec<(u64, LogLine)>, StoreError>;
    /// Returns how many lines an attempt of a call logged; call 0 is the flow's body.
    async fn logged(&self, run: FlowRunId, call: u32, attempt: u32) -> Result<u64, StoreError>;
    /// Returns what else happened to a run, in order.
    async fn events(&self, run: FlowRunId) -> Result<Vec<Event>, StoreError>;
    /// Returns a value that is kept, checked against its digest.
    async fn value(&self, kept: &Kept) -> Result<Json, StoreError>;

    /// Keeps a definition and returns its version; the one that it was given does not count. With `expected`, refused
    /// as [`StoreError::Changed`] unless it is at that version, 0 for one that is not there. Refused as
    /// [`StoreError::NoComponent`] when it refers to one that is not there.
    async fn define(&self, definition: Definition, expected: Option<u64>) -> Result<u64, StoreError>;
    /// Forgets a definition; `false` when there was none.
    async fn undefine(&self, kind: &'static str, name: &str) -> Result<bool, StoreError>;
    /// Returns a definition.
    async fn definition(&self, kind: &'static str, name: &str) -> Result<Option<Definition>, StoreError>;
    /// Returns all definitions of a kind, by name.
    async fn definitions(&self, kind: &'static str) -> Result<Vec<Definition>, StoreError>;
    /// Keeps who did what.
    async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError>;
    /// Returns who did what, each with its place, the newest first: those before the place `before`, of this subject or
    /// of all.
    async fn audited(
        &self,
        before: Option<u64>,
        subject: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(u64, AuditEntry)>, StoreError>;
    /// Returns the notices that nobody has taken, the oldest first.
    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, StoreError>;
    /// Takes a notice, and keeps what is to be sent for it; with no notice, what is to be sent for none. Nothing is kept
    /// when the notice was taken before.
    async fn deliver(&self, notice: Option<u64>, deliveries: Vec<Delivery>) -> Result<(), StoreError>;
    /// Keeps what became of a delivery: its state, attempts, answer and end.
    async fn delivered(&self, delivery: Delivery) -> Result<(), StoreError>;
    /// Returns the deliveries that are to be tried by this instant, the longest due first; of each rule `limit` at most,
    /// so that none is in the way of the others.
    async fn deliveries_due(&self, by: Timestamp, limit: usize) -> Result<Vec<Delivery>, StoreError>;
    /// Returns the deliveries before this place, of this rule or of all, the newest first.
    async fn deliveries(
        &self,
        before: Option<u64>,
        rule: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError>;
}
