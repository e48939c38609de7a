//! What is known of the calls of one attempt while it lasts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use retake_core::failure::{Failure, code};
use retake_core::limits;
use retake_core::replay::{CallKind, Identity, Occurrences};
use retake_core::retry::{RetryPolicy, Spent};
use retake_core::task::{Evidence, Kept, LogLine, PastAttempt, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use tokio::task::AbortHandle;

use super::Interrupt;

pub(super) struct Table {
    pub(super) now: Timestamp,
    pub(super) occurrences: Occurrences,
    pub(super) known: HashMap<Identity, TaskRun>,
    /// Numbers that belong to kept calls or were given out.
    pub(super) numbers: BTreeSet<u32>,
    pub(super) position: u32,
    pub(super) calls: Vec<Call>,
    /// How many calls there are of each name.
    pub(super) named: HashMap<Arc<str>, u32>,
    pub(super) pending: Vec<u32>,
    /// The call that the body waits for at once, to be made beside it.
    pub(super) beside: Option<u32>,
    /// Places in the order of completion: given out, and shown to the body.
    pub(super) done_given: u32,
    pub(super) done_shown: u32,
    pub(super) unshown: BTreeMap<u32, (u32, Given, Timestamp)>,
    /// Calls that are being made: what they wait for is not a timer.
    pub(super) busy: u32,
    /// What the body waits for.
    pub(super) blocked: Vec<(u32, On)>,
    pub(super) next_block: u32,
    pub(super) size: Size,
    /// How long the sleeps were that earlier attempts have slept for this one.
    pub(super) slept_before: Duration,
    pub(super) logs: Vec<LogLine>,
    /// What the body had used when it was dropped.
    pub(super) used: Evidence,
    /// Lines of the body that an earlier go at this attempt logged: it logs them again.
    pub(super) logged_before: u64,
    pub(super) interrupt: Option<Interrupt>,
    /// Why a task gave up, when the run is to be parked for it.
    pub(super) parked: Option<Failure>,
}

/// How much the calls of a run are: those of this attempt, and all that are kept.
#[derive(Default)]
pub(super) struct Size {
    /// Bytes of inputs and results.
    asked: usize,
    kept_calls: u32,
    kept: usize,
}

impl Size {
    /// Of what is kept when an attempt begins. A sleep is no call.
    pub(super) fn of(known: &[TaskRun]) -> Self {
        let known = known.iter().filter(|it| it.identity.kind != CallKind::Sleep);
        let bytes = |it: &TaskRun| it.input.bytes().saturating_add(it.result.as_ref().map_or(0, Kept::bytes));
        known.fold(Self::default(), |size, it| Self {
            kept_calls: size.kept_calls + 1,
            kept: size.kept.saturating_add(bytes(it)),
            ..size
        })
    }

    /// Counts what is kept already and asked for again.
    pub(super) fn again(&mut self, bytes: usize) -> Result<(), Failure> {
        self.asked = self.asked.saturating_add(bytes);
        bound(self.asked, limits::CALL_BYTES_PER_RUN, "one attempt of a flow")
    }

    /// Counts what will be kept.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Failure> {
        self.kept = self.kept.saturating_add(bytes);
        bound(self.kept, limits::CALL_BYTES_KEPT_PER_RUN, "all attempts of one run")?;
        self.again(bytes)
    }

    /// Counts a call that is not kept yet, with its input.
    pub(super) fn add_call(&mut self, bytes: usize) -> Result<(), Failure> {
        self.kept_calls += 1;
        if self.kept_calls > limits::CALLS_KEPT_PER_RUN {
            let message = format!("more than {} calls in all attempts of one run", limits::CALLS_KEPT_PER_RUN);
            return Err(Failure::new(code::OUTPUT, message));
        }
        self.add(bytes)
    }
}

fn bound(bytes: usize, most: usize, of: &str) -> Result<(), Failure> {
    match bytes > most {
        true => Err(Failure::new(code::OUTPUT, format!("more than {} MiB of inputs and results in {of}", most >> 20))),
        false => Ok(()),
    }
}

pub(super) struct Call {
    pub(super) task: TaskRun,
    /// Whether the body was told what it came to.
    pub(super) told: bool,
    pub(super) policy: RetryPolicy,
    pub(super) input: Json,
    /// Found before a sandbox was made.
    pub(super) refused: Option<Failure>,
    /// Its place in the order of completion, when an earlier go at this attempt was told of it and its result was not
    /// kept: it is made again, and those that came after it wait for it.
    pub(super) promised: Option<u32>,
    pub(super) status: Status,
    /// Whether an attempt of its task has begun and not ended.
    pub(super) attempting: bool,
    /// Whether it waits for places under the tags of its task.
    pub(super) awaits_tags: bool,
    /// The attempt that is kept under this call's number while the next one is being made.
    pub(super) past: Option<PastAttempt>,
    pub(super) abort: Option<AbortHandle>,
}

pub(super) enum Status {
    /// Asked for, not begun.
    Pending,
    /// Being made.
    Active,
    /// That an attempt failed is on its way to the store; `cancelled`: the body has cancelled it meanwhile.
    Keeping { cancelled: bool },
    /// Its result is on its way to the store, and nothing stops it any more.
    Committing,
    /// Waits for its next attempt.
    Waiting(Timestamp),
    /// Has its answer, and was told at this instant.
    Done(Given, Timestamp),
}

/// What a body waits for.
pub(super) enum On {
    /// A timer.
    Timer(Timestamp),
    /// This call.
    One(u32),
    /// The first of these calls.
    Any(Vec<u32>),
    /// All that is open, because it has returned.
    Rest,
}

#[derive(Clone)]
pub(super) enum Given {
    Result(Kept),
    Failure(Failure),
}

impl Call {
    /// Whether nothing changes what it comes to any more.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.status, Status::Committing | Status::Done(..))
    }

    /// Whether an attempt of its task is being made.
    pub(super) fn is_being_attempted(&self) -> bool {
        matches!(self.status, Status::Active) && self.attempting
    }

    /// Changes where it stands, on behalf of who makes it. Returns false when the body has cancelled it: who makes it
    /// is to do nothing more.
    pub(super) fn go_on(&mut self, status: Status) -> bool {
        let goes_on = !self.is_closed();
        if goes_on {
            self.status = status;
        }
        goes_on
    }
}

impl Table {
    pub(super) fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.logs)
    }

    /// Shows the body what a call came to, at its place in the order of completion.
    pub(super) fn show(&mut self, place: u32, (index, given, ended): (u32, Given, Timestamp)) {
        self.done_shown = self.done_shown.max(place);
        let call = &mut self.calls[index as usize];
        (call.task.done, call.status) = (place, Status::Done(given, ended));
    }

    /// Gives a call its number: its place among the calls of the attempt, or the next that is free. An attempt that
    /// is resumed asks in the same order, so a call that was never kept has the same number again, and its task the
    /// same idempotency key.
    pub(super) fn number(&mut self) -> u32 {
        self.position += 1;
        let mut number = self.position;
        if !self.numbers.insert(number) {
            number = self.numbers.last().copied().unwrap_or(0).max(self.position) + 1;
            self.numbers.insert(number);
        }
        number
    }

    /// What people call a call.
    pub(super) fn title(&self, task: &TaskRun) -> String {
        task.title(self.named.get(&task.identity.name).is_some_and(|it| *it > 1))
    }

    /// Finds the record of a call, and takes its place into account.
    pub(super) fn place_known(&mut self) {
        self.position += 1;
    }
}

/// What is kept of a sleep that is over.
pub(super) fn sleep_record(
    identity: Identity,
    number: u32,
    attempt: u32,
    began: Timestamp,
    ended: Timestamp,
) -> TaskRun {
    let millis = ended.since(began).as_millis();
    TaskRun {
        number,
        identity,
        label: None,
        input: Kept::Inline(Json::of(&serde_json::json!({ "milliseconds": millis as u64 }))),
        state: TaskState::Completed,
        flow_attempt: attempt,
        attempts: 1,
        round: 1,
        spent: Spent::default(),
        round_began: began,
        began,
        ended,
        told: None,
        by_hand: false,
        done: 0,
        result: Some(Kept::Inline(Json::null())),
        failure: None,
        evidence: Evidence::default(),
        unasked: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attempt begins with all that the attempts before it left: a flow that asks something else each time ends.
    #[test]
    fn what_earlier_attempts_kept_counts_for_the_bounds_of_a_run() {
        let mut size = Size { asked: 0, kept_calls: limits::CALLS_KEPT_PER_RUN - 1, kept: 0 };
        assert_eq!(size.add_call(1), Ok(()));
        assert_eq!(size.add_call(1).unwrap_err().code, code::OUTPUT);
        let mut size = Size { asked: 0, kept_calls: 0, kept: limits::CALL_BYTES_KEPT_PER_RUN - 10 };
        assert_eq!((size.add(10), size.again(limits::CALL_BYTES_PER_RUN - 10)), (Ok(()), Ok(())));
        assert_eq!(size.again(1).unwrap_err().code, code::OUTPUT);
        assert_eq!(Size { asked: 0, ..size }.add(1).unwrap_err().code, code::OUTPUT);
    }
}
