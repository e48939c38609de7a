//! How records are written as columns and read back. The numbers are listed in `migrations/0001_first.sql`.

use retake_core::failure::Failure;
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::limits;
use retake_core::replay::{Asked, CallKind, Identity};
use retake_core::retry::Spent;
use retake_core::run::{Run, RunState, Shown, Waiting};
use retake_core::task::{Evidence, Kept, Level, LogLine, Overrides, PastAttempt, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use rusqlite::Row;
use rusqlite::types::{FromSql, Type};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    AuditEntry, ComponentRecord, Definition, Delivery, DeliveryState, Event, NewRun, Notice, Parent, RunRecord,
};

type Sql<T> = rusqlite::Result<T>;

pub(super) const RUN: &str =
    "state, waiting, due, fence, boot, attempt, round, spent, round_began, attempt_began, lost";
pub(super) const RECORD: &str = "state, waiting, due, fence, boot, attempt, round, spent, round_began, attempt_began, \
    lost, id, component, flow, deployment, queue, overrides, idempotency_key, parent, parent_call, root, depth, \
    created, begin_from, ended, failure, result, result_blob, result_bytes, parameters, parameters_blob, \
    parameters_bytes, forgotten";
pub(super) const TASK: &str = "number, kind, name, version, input_digest, key, occurrence, label, state, due, \
    flow_attempt, attempts, round, spent, round_began, began, ended, told, done, by_hand, failure, cpu_us, peak_memory, bytes_out, \
    log_dropped, input, input_blob, input_bytes, result, result_blob, result_bytes, unasked";

pub(super) const DEFINITION: &str = "name, body, component, version, updated";
pub(super) const AUDIT: &str = "seq, at, actor, action, subject, details";
/// Of `notice n JOIN flow_run r`.
pub(super) const NOTICE: &str = "n.seq, r.id, n.at, n.shown, n.attempt, n.failure";
pub(super) const DELIVERY: &str = "seq, rule, run, body, state, due, attempts, answer, created, ended";

/// Reads columns in their order.
pub(super) struct Columns<'r> {
    row: &'r Row<'r>,
    at: usize,
}

impl<'r> Columns<'r> {
    /// Begins after the first `skipped` columns.
    pub(super) fn after(skipped: usize, row: &'r Row<'r>) -> Self {
        Self { row, at: skipped }
    }

    fn next<T: FromSql>(&mut self) -> Sql<T> {
        self.at += 1;
        self.row.get(self.at - 1)
    }

    fn bad(&self, what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
        rusqlite::Error::FromSqlConversionFailure(self.at - 1, Type::Null, what.into())
    }

    fn time(&mut self) -> Sql<Timestamp> {
        self.next().map(Timestamp::from_micros)
    }

    fn time_or_none(&mut self) -> Sql<Option<Timestamp>> {
        Ok(self.next::<Option<i64>>()?.map(Timestamp::from_micros))
    }

    fn unsigned(&mut self) -> Sql<u64> {
        self.next().map(i64::cast_unsigned)
    }

    fn json<T: DeserializeOwned>(&mut self) -> Sql<Option<T>> {
        let text: Option<&'r str> = {
            self.at += 1;
            self.row.get_ref(self.at - 1)?.as_str_or_null().map_err(|it| self.bad(it))?
        };
        text.map(serde_json::from_str).transpose().map_err(|it| self.bad(it))
    }

    /// JSON that was looked at before it was written.
    fn text(&mut self) -> Sql<Json> {
        self.next::<std::sync::Arc<str>>().map(Json::trusted)
    }

    fn digest(&mut self) -> Sql<Option<ContentDigest>> {
        Ok(self.next::<Option<[u8; 32]>>()?.map(ContentDigest::from_bytes))
    }

    fn id(&mut self) -> Sql<Option<FlowRunId>> {
        Ok(self.next::<Option<[u8; 16]>>()?.map(FlowRunId::from_bytes))
    }

    fn kept(&mut self) -> Sql<Option<Kept>> {
        let text: Option<std::sync::Arc<str>> = self.next()?;
        let digest = self.digest()?;
        let bytes: Option<i64> = self.next()?;
        match (text, digest, bytes) {
            (None, None, None) => Ok(None),
            (Some(text), None, None) => Ok(Some(Kept::Inline(Json::trusted(text)))),
            (None, Some(digest), Some(bytes)) => Ok(Some(Kept::Blob { digest, bytes: bytes.cast_unsigned() })),
            _ => Err(self.bad("a value that is two things")),
        }
    }

    fn needed<T>(&self, value: Option<T>) -> Sql<T> {
        value.ok_or_else(|| self.bad("a value is missing"))
    }

    fn evidence(&mut self) -> Sql<Evidence> {
        Ok(Evidence {
            cpu_us: self.unsigned()?,
            peak_memory: self.unsigned()?,
            bytes_out: self.unsigned()?,
            log_bytes_dropped: self.unsigned()?,
        })
    }

    /// Reads the columns of [`RUN`].
    pub(super) fn run(&mut self) -> Sql<Run> {
        let state: u8 = self.next()?;
        let waiting: Option<u8> = self.next()?;
        let due = self.time_or_none()?;
        let fence = self.next::<Option<i64>>()?.map(|it| Fence::new(it.cast_unsigned()));
        let boot = self.next::<Option<i64>>()?.map(i64::cast_unsigned);
        let state = match (state, waiting, due, fence, boot) {
            (0 | 9, Some(waiting), Some(due), None, None) => {
                let waiting = match waiting {
                    0 => Waiting::Start,
                    1 => Waiting::Retry,
                    2 => Waiting::Suspended,
                    3 => Waiting::Worker,
                    _ => return Err(self.bad("an unknown reason to wait")),
                };
                match state {
                    0 => RunState::Scheduled { due, waiting },
                    _ => RunState::Paused { due, waiting },
                }
            }
            (1, None, None, Some(fence), Some(boot)) => RunState::Running { fence, boot },
            (2, None, None, Some(fence), Some(boot)) => RunState::Cancelling { fence, boot },
            (3, None, None, None, None) => RunState::Parked,
            (4, None, None, None, None) => RunState::Completed,
            (5, None, None, None, None) => RunState::Failed { timed_out: false },
            (6, None, None, None, None) => RunState::Failed { timed_out: true },
            (7, None, None, None, None) => RunState::Crashed,
            (8, None, None, None, None) => RunState::Cancelled,
            _ => return Err(self.bad("an unknown state of a run")),
        };
        Ok(Run {
            state,
            attempt: self.next()?,
            round: self.next()?,
            spent: self.json::<Spent>()?.unwrap_or_default(),
            round_began: self.time_or_none()?,
            attempt_began: self.time_or_none()?,
            lost: self.next()?,
        })
    }

    /// Reads the columns of [`RECORD`].
    pub(super) fn record(&mut self) -> Sql<RunRecord> {
        let run = self.run()?;
        let id = self.id()?;
        let id = self.needed(id)?;
        let component = self.digest()?;
        let component = self.needed(component)?;
        let (flow, deployment, queue) = (self.next()?, self.next()?, self.next()?);
        let overrides = self.json::<Overrides>()?.unwrap_or_default();
        let idempotency_key = self.next()?;
        let parent = match (self.id()?, self.next()?) {
            (Some(run), Some(call)) => Some(Parent { run, call }),
            _ => None,
        };
        let root = self.id()?;
        let root = self.needed(root)?;
        let (depth, created, due) = (self.next()?, self.time()?, self.time()?);
        let (ended, failure, result) = (self.time_or_none()?, self.json::<Failure>()?, self.kept()?);
        let parameters = self.kept()?;
        let parameters = self.needed(parameters)?;
        let forgotten = self.next()?;
        let asked = NewRun {
            id,
            component,
            flow,
            deployment,
            queue,
            parameters,
            overrides,
            idempotency_key,
            parent,
            root,
            depth,
            due,
            created,
        };
        Ok(RunRecord { asked, run, result, failure, ended, forgotten })
    }

    /// Reads the columns of [`TASK`].
    pub(super) fn task(&mut self) -> Sql<TaskRun> {
        let number = self.next()?;
        let kind = match self.next::<u8>()? {
            0 => CallKind::Task,
            1 => CallKind::Flow,
            2 => CallKind::Sleep,
            _ => return Err(self.bad("an unknown kind of call")),
        };
        let (name, version) = (self.next()?, self.next()?);
        let asked = match (self.digest()?, self.next()?) {
            (Some(digest), None) => Asked::Input(digest),
            (None, Some(key)) => Asked::Key(key),
            _ => return Err(self.bad("neither an input nor a key, or both")),
        };
        let identity = Identity { kind, name, version, asked, occurrence: self.next()? };
        let label = self.next()?;
        let state = match (self.next::<u8>()?, self.time_or_none()?) {
            (0, Some(due)) => TaskState::AwaitingRetry(due),
            (1, None) => TaskState::Completed,
            (2, None) => TaskState::Failed,
            (3, None) => TaskState::Cancelled,
            (4, None) => TaskState::Forgotten,
            (5, None) => TaskState::Running,
            _ => return Err(self.bad("an unknown state of a task run")),
        };
        let (flow_attempt, attempts, round) = (self.next()?, self.next()?, self.next()?);
        let spent = self.json()?.unwrap_or_default();
        let (round_began, began, ended) = (self.time()?, self.time()?, self.time()?);
        let (told, done, by_hand) = (self.time_or_none()?, self.next()?, self.next()?);
        let (failure, evidence) = (self.json()?, self.evidence()?);
        let input = self.kept()?;
        let input = self.needed(input)?;
        let result = self.kept()?;
        Ok(TaskRun {
            number,
            identity,
            label,
            input,
            state,
            flow_attempt,
            attempts,
            round,
            spent,
            round_began,
            began,
            ended,
            told,
            done,
            by_hand,
            result,
            failure,
            evidence,
            unasked: self.next()?,
        })
    }

    /// Reads `call, attempt, began, ended, failure, cpu_us, peak_memory, bytes_out, log_dropped`.
    pub(super) fn past(&mut self) -> Sql<PastAttempt> {
        Ok(PastAttempt {
            call: self.next()?,
            attempt: self.next()?,
            began: self.time()?,
            ended: self.time()?,
            failure: self.json()?,
            evidence: self.evidence()?,
        })
    }

    /// Reads `row, at, call, attempt, level, message, fields, task`.
    pub(super) fn log(&mut self) -> Sql<(u64, LogLine)> {
        let row = self.unsigned()?;
        let (at, call, attempt) = (self.time()?, self.next()?, self.next()?);
        let level = match self.next::<u8>()? {
            0 => Level::Trace,
            1 => Level::Debug,
            2 => Level::Info,
            3 => Level::Warn,
            4 => Level::Error,
            _ => return Err(self.bad("an unknown level")),
        };
        let message = self.next()?;
        let fields = self.next::<Option<std::sync::Arc<str>>>()?.map(Json::trusted);
        let task = self.next()?;
        Ok((row, LogLine { at, call, attempt, level, message, fields, task }))
    }

    /// Reads `at, kind, details`.
    pub(super) fn event(&mut self) -> Sql<Event> {
        Ok(Event { at: self.time()?, kind: self.next()?, details: self.text()? })
    }

    /// Reads `digest, bytes, info, uploaded, removed`.
    pub(super) fn component(&mut self) -> Sql<ComponentRecord> {
        let digest = self.digest()?;
        let digest = self.needed(digest)?;
        let bytes = self.unsigned()?;
        let info = self.json()?;
        let info = self.needed(info)?;
        Ok(ComponentRecord { digest, bytes, info, uploaded: self.time()?, removed: self.time_or_none()? })
    }

    /// Reads the columns of [`DEFINITION`], of one of this kind.
    pub(super) fn definition(&mut self, kind: &'static str) -> Sql<Definition> {
        Ok(Definition {
            kind,
            name: self.next()?,
            body: self.text()?,
            component: self.digest()?,
            version: self.unsigned()?,
            updated: self.time()?,
        })
    }

    /// Reads the columns of [`AUDIT`].
    pub(super) fn audit(&mut self) -> Sql<(u64, AuditEntry)> {
        let seq = self.unsigned()?;
        let (at, actor, action, subject) = (self.time()?, self.next()?, self.next()?, self.next()?);
        Ok((seq, AuditEntry { at, actor, action, subject, details: self.text()? }))
    }

    /// Reads the columns of [`NOTICE`].
    pub(super) fn notice(&mut self) -> Sql<Notice> {
        let seq = self.unsigned()?;
        let run = self.id()?;
        let run = self.needed(run)?;
        let (at, word) = (self.time()?, self.next::<String>()?);
        let shown = Shown::ALL.into_iter().find(|it| it.to_string() == word);
        let shown = shown.ok_or_else(|| self.bad("an unknown word for where a run stands"))?;
        Ok(Notice { seq, run, at, shown, attempt: self.next()?, failure: self.json()? })
    }

    /// Reads the columns of [`DELIVERY`].
    pub(super) fn delivery(&mut self) -> Sql<Delivery> {
        let (seq, rule, run, body) = (self.unsigned()?, self.next()?, self.id()?, self.text()?);
        let state = match (self.next::<u8>()?, self.time_or_none()?) {
            (0, Some(due)) => DeliveryState::Pending(due),
            (1, None) => DeliveryState::Delivered,
            (2, None) => DeliveryState::GivenUp,
            _ => return Err(self.bad("an unknown state of a delivery")),
        };
        let (attempts, answer) = (self.next()?, self.next()?);
        let (created, ended) = (self.time()?, self.time_or_none()?);
        Ok(Delivery { seq, rule, run, body, state, attempts, answer, created, ended })
    }
}

/// The columns of [`RUN`], to be written.
pub(super) struct RunColumns {
    pub(super) state: u8,
    pub(super) waiting: Option<u8>,
    pub(super) due: Option<i64>,
    pub(super) fence: Option<i64>,
    pub(super) boot: Option<i64>,
    pub(super) attempt: u32,
    pub(super) round: u32,
    pub(super) spent: Option<String>,
    pub(super) round_began: Option<i64>,
    pub(super) attempt_began: Option<i64>,
    pub(super) lost: u32,
}

impl From<&Run> for RunColumns {
    fn from(run: &Run) -> Self {
        let number = |waiting: Waiting| match waiting {
            Waiting::Start => 0,
            Waiting::Retry => 1,
            Waiting::Suspended => 2,
            Waiting::Worker => 3,
        };
        let (state, waiting, due) = match run.state {
            RunState::Scheduled { due, waiting } => (0, Some(number(waiting)), Some(due.as_micros())),
            RunState::Paused { due, waiting } => (9, Some(number(waiting)), Some(due.as_micros())),
            RunState::Running { .. } => (1, None, None),
            RunState::Cancelling { .. } => (2, None, None),
            RunState::Parked => (3, None, None),
            RunState::Completed => (4, None, None),
            RunState::Failed { timed_out: false } => (5, None, None),
            RunState::Failed { timed_out: true } => (6, None, None),
            RunState::Crashed => (7, None, None),
            RunState::Cancelled => (8, None, None),
        };
        let claim = run.state.claim();
        Self {
            state,
            waiting,
            due,
            fence: claim.map(|(fence, _)| fence.get().cast_signed()),
            boot: claim.map(|(_, boot)| boot.cast_signed()),
            attempt: run.attempt,
            round: run.round,
            spent: unless_default(&run.spent),
            round_began: run.round_began.map(Timestamp::as_micros),
            attempt_began: run.attempt_began.map(Timestamp::as_micros),
            lost: run.lost,
        }
    }
}

/// The three columns of a value.
pub(super) type KeptColumns<'v> = (Option<&'v str>, Option<&'v [u8; 32]>, Option<i64>);

pub(super) fn kept_columns(kept: Option<&Kept>) -> KeptColumns<'_> {
    match kept {
        None => (None, None, None),
        Some(Kept::Inline(json)) => (Some(json.as_str()), None, None),
        Some(Kept::Blob { digest, bytes }) => (None, Some(digest.as_bytes()), Some(bytes.cast_signed())),
    }
}

/// JSON, or nothing for what says nothing.
pub(super) fn unless_default<T: Serialize + Default + PartialEq>(value: &T) -> Option<String> {
    (*value != T::default()).then(|| json(value))
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the host's own records are JSON")
}

pub(super) fn kind_number(kind: CallKind) -> u8 {
    match kind {
        CallKind::Task => 0,
        CallKind::Flow => 1,
        CallKind::Sleep => 2,
    }
}

pub(super) fn task_state_columns(state: TaskState) -> (u8, Option<i64>) {
    match state {
        TaskState::AwaitingRetry(due) => (0, Some(due.as_micros())),
        TaskState::Completed => (1, None),
        TaskState::Failed => (2, None),
        TaskState::Cancelled => (3, None),
        TaskState::Forgotten => (4, None),
        TaskState::Running => (5, None),
    }
}

pub(super) fn delivery_state_columns(state: DeliveryState) -> (u8, Option<i64>) {
    match state {
        DeliveryState::Pending(due) => (0, Some(due.as_micros())),
        DeliveryState::Delivered => (1, None),
        DeliveryState::GivenUp => (2, None),
    }
}

pub(super) fn level_number(level: Level) -> u8 {
    match level {
        Level::Trace => 0,
        Level::Debug => 1,
        Level::Info => 2,
        Level::Warn => 3,
        Level::Error => 4,
    }
}

/// A run that was due before this instant is late: `now > due + LATE_AFTER`, turned around so that an index on `due` could
/// serve it.
pub(super) fn late_before(now: Timestamp) -> i64 {
    now.as_micros().saturating_sub(limits::LATE_AFTER.as_micros() as i64)
}

/// Says [`Run::shown`] in SQL, so that a filtered page is as long as was asked for. The contract compares the two.
pub(super) fn shown_condition(shown: Shown, now: Timestamp) -> String {
    let late = late_before(now);
    match shown {
        Shown::Scheduled => format!("(state = 0 AND waiting IN (0, 3) AND due >= {late})"),
        Shown::Late => format!("(state = 0 AND waiting IN (0, 3) AND due < {late})"),
        Shown::AwaitingRetry => "(state = 0 AND waiting = 1)".into(),
        Shown::Suspended => "(state = 0 AND waiting = 2)".into(),
        Shown::Running => "(state = 1 AND attempt <= 1)".into(),
        Shown::Retrying => "(state = 1 AND attempt > 1)".into(),
        Shown::Cancelling => "state = 2".into(),
        Shown::Parked => "state = 3".into(),
        Shown::Completed => "state = 4".into(),
        Shown::Failed => "state = 5".into(),
        Shown::TimedOut => "state = 6".into(),
        Shown::Crashed => "state = 7".into(),
        Shown::Cancelled => "state = 8".into(),
        Shown::Paused => "state = 9".into(),
    }
}
