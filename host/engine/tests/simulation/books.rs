//! The books that are kept beside the engine and know nothing of how it works: what is kept may only change as
//! semantics.md says, and what guests are told must be what is kept.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt;
use retake_core::failure::{Failure, RetryAdvice, code};
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::retry::{Delay, RetryPolicy, WhenExhausted};
use retake_core::run::{AttemptEnd, RunState, Waiting};
use retake_core::task::{Kept, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_store::{MemStore, RunFilter, RunRecord, Store};

/// What was asked of a store.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Read,
    Made,
    Claimed,
    Committed {
        run: FlowRunId,
        fence: Fence,
        late: bool,
    },
    Logged {
        run: FlowRunId,
        fence: Fence,
    },
    Ended {
        run: FlowRunId,
        fence: Fence,
        end: AttemptEnd,
        ended: Timestamp,
        late: bool,
    },
    Retried {
        run: FlowRunId,
        forget: Vec<u32>,
        component: Option<ContentDigest>,
        by_parent: bool,
    },
    Commanded {
        run: FlowRunId,
    },
    /// Something was done to a run above it.
    Cascaded,
    /// Something was done to a run below it.
    Woken,
    Recovered,
}

/// A run as it was when it was last looked at.
#[derive(Debug, Clone)]
struct Seen {
    record: RunRecord,
    tasks: Vec<TaskRun>,
    late_results: usize,
    /// Failures of the flow in this round.
    failures: u32,
    /// Hosts lost in a row.
    lost: u32,
}

/// A body that is being run.
#[derive(Debug, Clone, Copy)]
struct Body {
    life: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    /// The first thing that was wrong.
    pub(crate) wrong: Option<String>,
    /// Of each flow, by name.
    pub(crate) policies: HashMap<String, RetryPolicy>,
    /// Of each task, by name.
    pub(crate) task_policies: HashMap<String, RetryPolicy>,
    runs: HashMap<FlowRunId, Seen>,
    /// By run and call; 0 for the flow.
    bodies: HashMap<(FlowRunId, u32), Body>,
    /// What each attempt of a flow was told, in order.
    told: HashMap<(FlowRunId, u32), Vec<String>>,
    /// What each attempt of a flow returned.
    returned: HashMap<(FlowRunId, u32), Json>,
    /// How often a task's body began under one round of it.
    began: HashMap<(FlowRunId, u32, u32), u32>,
    /// How often bodies may have been dropped: processes that have ended, and pauses.
    interruptions: u32,
    trace: u64,
}

/// A store in memory answers at once.
pub(crate) fn now<T>(answer: impl Future<Output = T>) -> T {
    answer.now_or_never().expect("a store in memory does not wait")
}

macro_rules! ensure {
    ($holds:expr, $($words:tt)*) => { if !$holds { return Err(format!($($words)*)); } };
}

impl Books {
    /// Everything that happened, as a number.
    pub(crate) fn trace(&self) -> u64 {
        self.trace
    }

    pub(crate) fn note(&mut self, what: &str) {
        for byte in what.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        if std::env::var_os("RETAKE_TRACE").is_some() {
            eprintln!("  {what}");
        }
    }

    pub(crate) fn life_ended(&mut self) {
        self.interruptions += 1;
        self.note("a life ended");
    }

    /// Looks at what a call to the store changed.
    pub(crate) fn changed(
        &mut self,
        kept: &MemStore,
        op: &Op,
        touched: &[FlowRunId],
        at: Timestamp,
    ) -> Result<(), String> {
        let one = match op {
            Op::Read => return Ok(()),
            Op::Committed { run, .. } | Op::Logged { run, .. } | Op::Ended { run, .. } => Some(*run),
            Op::Retried { run, .. } | Op::Commanded { run } => Some(*run),
            Op::Made | Op::Claimed | Op::Recovered | Op::Cascaded | Op::Woken => None,
        };
        let mut runs: Vec<FlowRunId> = touched.iter().copied().chain(one).collect();
        runs.sort_unstable();
        runs.dedup();
        let cascade = match op {
            Op::Ended { .. } | Op::Commanded { .. } | Op::Recovered => below(kept, &runs),
            _ => Vec::new(),
        };
        let mut above = Vec::new();
        let may_wake = matches!(op, Op::Ended { .. } | Op::Commanded { .. } | Op::Recovered);
        for id in runs.iter().chain(&cascade).filter(|_| may_wake) {
            let parent = now(kept.run(*id)).ok().and_then(|it| it.asked.parent).map(|it| it.run);
            above.extend(parent.filter(|it| !runs.contains(it) && !cascade.contains(it) && !above.contains(it)));
        }
        let touched = runs.into_iter().map(|id| (id, op.clone()));
        let touched = touched.chain(cascade.into_iter().map(|id| (id, Op::Cascaded)));
        for (id, op) in touched.chain(above.into_iter().map(|id| (id, Op::Woken))) {
            let op = &op;
            let Ok(record) = now(kept.run(id)) else { continue };
            let tasks = now(kept.task_runs(id)).unwrap();
            let late_results = now(kept.events(id)).unwrap().iter().filter(|it| it.kind == "late-result").count();
            self.note(&format!("{at} {op:?} {} {:?}", id.friendly_name(), record.run));
            let seen = Seen { record, tasks, late_results, failures: 0, lost: 0 };
            if matches!(op, Op::Ended { end: AttemptEnd::Paused, .. }) {
                self.interruptions += 1;
            }
            let Some(before) = self.runs.remove(&id) else {
                ensure!(matches!(op, Op::Made), "{id} came out of nothing at {op:?}");
                self.runs.insert(id, seen);
                continue;
            };
            let policy = &self.policies[&before.record.asked.flow];
            let parent = before.record.asked.parent.and_then(|it| now(kept.run(it.run)).ok());
            let orphaned = parent.is_some_and(|it| it.run.state.is_terminal());
            let balanced = tasks_are_due(&before.tasks, &seen.tasks, &self.task_policies)
                .and_then(|()| balance(&before, seen, policy, op, at, orphaned));
            let balanced = balanced.and_then(|after| sleeps_on(kept, &before, &after, op, at).map(|()| after));
            let balanced = balanced.and_then(|after| left_behind(kept, &before, &after).map(|()| after));
            let balanced =
                balanced.and_then(|after| rightly_parked(&before, &after, op, &self.task_policies).map(|()| after));
            let after = balanced.map_err(|wrong| format!("{id} ({}) at {op:?}: {wrong}", id.friendly_name()))?;
            self.runs.insert(id, after);
        }
        Ok(())
    }

    /// A guest's body begins; call 0 is the flow's.
    pub(crate) fn body(
        &mut self,
        kept: &MemStore,
        (run, call): (FlowRunId, u32),
        attempt: u32,
        life: u64,
        retries: u32,
    ) -> Result<(), String> {
        let name = run.friendly_name();
        self.note(&format!("body {name} {call} attempt {attempt}"));
        let record = now(kept.run(run)).map_err(|it| format!("a body of a run that is not kept: {it}"))?;
        let held = record.run.state.claim();
        ensure!(held.is_some_and(|(_, boot)| boot == kept.boot()), "a body of {name}, which nobody holds: {held:?}");
        let there = self.bodies.insert((run, call), Body { life });
        ensure!(there.is_none_or(|it| it.life != life), "two bodies of {name} call {call} side by side");
        if call == 0 {
            let is = record.run.attempt;
            ensure!(is == attempt, "the flow of {name} is told that it is attempt {attempt}, and {is} is kept");
            return Ok(());
        }
        let tasks = now(kept.task_runs(run)).unwrap();
        let task = tasks.iter().find(|it| it.number == call);
        let is_kept = task.is_some_and(|it| it.is_kept());
        ensure!(!is_kept, "{name} call {call} runs again, and its result is kept");
        // One that had begun when its host was lost is made again, under its number.
        let goes_on = |it: &TaskRun| it.state == TaskState::Running && it.flow_attempt == record.run.attempt;
        let attempts = task.map_or(0, |it| it.attempts - u32::from(goes_on(it)));
        ensure!(attempts + 1 == attempt, "{name} call {call}: attempt {attempt}, and {attempts} are kept");
        // A round of a task belongs to an attempt of its flow; whoever died may have begun one more each time.
        let began = self.began.entry((run, call, record.run.attempt)).or_default();
        *began += 1;
        let most = retries + 1 + self.interruptions;
        ensure!(
            *began <= most,
            "{name} call {call} began {began} times in one attempt of its flow, {most} is the most"
        );
        Ok(())
    }

    pub(crate) fn body_ended(&mut self, run: FlowRunId, call: u32, life: u64) {
        if self.bodies.get(&(run, call)).is_some_and(|it| it.life == life) {
            self.bodies.remove(&(run, call));
        }
    }

    /// A flow's body is told something: the same as the same attempt was told before, if it was.
    pub(crate) fn told(&mut self, run: FlowRunId, attempt: u32, place: usize, what: String) -> Result<(), String> {
        self.note(&what);
        let told = self.told.entry((run, attempt)).or_default();
        match told.get(place) {
            Some(before) => {
                let name = run.friendly_name();
                ensure!(*before == what, "{name} attempt {attempt}, thing {place}: told {what}, before that {before}");
            }
            None => told.push(what),
        }
        Ok(())
    }

    /// A result that a flow's body is told must be kept by then.
    pub(crate) fn is_kept(&self, kept: &MemStore, run: FlowRunId, result: &Json) -> Result<(), String> {
        let tasks = now(kept.task_runs(run)).unwrap();
        let there = |it: &TaskRun| it.state == TaskState::Completed && it.result.as_ref() == Some(&inline(result));
        ensure!(tasks.iter().any(there), "{} is told {}, which is not kept", run.friendly_name(), result.as_str());
        Ok(())
    }

    /// A failure that a flow's body is told was one of the same attempt.
    pub(crate) fn has_failed(&self, kept: &MemStore, run: FlowRunId, attempt: u32) -> Result<(), String> {
        let tasks = now(kept.task_runs(run)).unwrap();
        let there = tasks.iter().any(|it| it.failure.is_some() && it.flow_attempt == attempt);
        ensure!(there, "attempt {attempt} of {} is told a failure that was not its own", run.friendly_name());
        Ok(())
    }

    pub(crate) fn returned(&mut self, run: FlowRunId, attempt: u32, result: Json) {
        self.returned.insert((run, attempt), result);
    }

    pub(crate) fn runs(&self) -> Vec<FlowRunId> {
        let mut runs: Vec<FlowRunId> = self.runs.keys().copied().collect();
        runs.sort_unstable();
        runs
    }

    /// Once everything is well again, every run ends or waits for a person, and shows what its flow returned.
    pub(crate) fn close(&mut self, kept: &MemStore) -> Result<(), String> {
        for id in self.runs() {
            let record = now(kept.run(id)).map_err(|it| format!("{id} was lost: {it}"))?;
            let state = record.run.state;
            ensure!(state.answers(), "{} ({id}) hangs: {state:?}", id.friendly_name());
            if state == RunState::Completed {
                let returned = self.returned.get(&(id, record.run.attempt)).map(inline);
                ensure!(record.result == returned, "{id} shows {:?} and returned {returned:?}", record.result);
            }
        }
        Ok(())
    }
}

/// Returns what is below these runs, without them.
fn below(kept: &MemStore, runs: &[FlowRunId]) -> Vec<FlowRunId> {
    let mut all = runs.to_vec();
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        let filter = RunFilter { parent: Some(parent), limit: usize::MAX, ..RunFilter::default() };
        let children = now(kept.list(filter, Timestamp::default())).unwrap();
        let fresh: Vec<_> = children.iter().map(|it| it.asked.id).filter(|it| !all.contains(it)).collect();
        all.extend(fresh);
        next += 1;
    }
    all.split_off(runs.len())
}

/// A parent that is suspended is woken by the end of a child, and by nothing else that happens to one.
fn sleeps_on(kept: &MemStore, before: &Seen, after: &Seen, op: &Op, at: Timestamp) -> Result<(), String> {
    let RunRecord { asked, run, .. } = &after.record;
    if matches!(op, Op::Woken) && before.record.run != *run {
        let filter = RunFilter { parent: Some(asked.id), limit: usize::MAX, ..RunFilter::default() };
        let children = now(kept.list(filter, Timestamp::default())).unwrap();
        ensure!(children.iter().any(|it| it.run.state.answers()), "it is woken, and none of its children has ended");
    }
    let has_ended = run.state.answers() && !before.record.run.state.answers();
    let parent = asked.parent.filter(|_| has_ended).and_then(|it| now(kept.run(it.run)).ok());
    if let Some(RunState::Scheduled { due, waiting: Waiting::Suspended }) = parent.map(|it| it.run.state) {
        ensure!(due <= at, "it ended, and its parent sleeps on until {due}");
    }
    Ok(())
}

/// What is below a run that ends does not go on, unless somebody retried it.
fn left_behind(kept: &MemStore, before: &Seen, after: &Seen) -> Result<(), String> {
    let RunRecord { asked, run, .. } = &after.record;
    match run.state.is_terminal() && before.record.run.state != run.state {
        true => goes_on_below(kept, asked.id),
        false => Ok(()),
    }
}

fn goes_on_below(kept: &MemStore, parent: FlowRunId) -> Result<(), String> {
    let filter = RunFilter { parent: Some(parent), limit: usize::MAX, ..RunFilter::default() };
    let children = now(kept.list(filter, Timestamp::default())).unwrap();
    for RunRecord { asked, run, .. } in children.iter().filter(|it| it.run.round == 1) {
        let goes_on = matches!(run.state, RunState::Running { .. } | RunState::Scheduled { .. });
        ensure!(!goes_on, "it ended, and {} below it is {:?}", asked.id, run.state);
        goes_on_below(kept, asked.id)?;
    }
    Ok(())
}

/// A task is retried neither early nor late: as long after its failure as its policy says.
fn tasks_are_due(before: &[TaskRun], after: &[TaskRun], policies: &HashMap<String, RetryPolicy>) -> Result<(), String> {
    for task in after {
        let TaskState::AwaitingRetry(due) = task.state else { continue };
        let Some(policy) = policies.get(&*task.identity.name) else { continue };
        if before.contains(task) {
            continue;
        }
        let failure = task.failure.as_ref().ok_or("a task waits for a retry and did not fail")?;
        let wait = wait(failure, policy, task.spent.policy);
        ensure!(due == task.ended + wait, "call {} is due at {due}, {wait:?} after {}", task.number, task.ended);
    }
    Ok(())
}

/// How long the next attempt waits after the `n`th failure of a round.
fn wait(failure: &Failure, policy: &RetryPolicy, n: u32) -> Duration {
    match (&failure.retry, &policy.delay) {
        (RetryAdvice::After(wait), _) | (_, Delay::Fixed(wait)) => *wait,
        (_, delay) => delay.after(n),
    }
}

fn inline(json: &Json) -> Kept {
    Kept::Inline(json.clone())
}

/// Whether one change is allowed.
fn balance(
    before: &Seen,
    mut after: Seen,
    policy: &RetryPolicy,
    op: &Op,
    at: Timestamp,
    orphaned: bool,
) -> Result<Seen, String> {
    let (was, is) = (&before.record.run, &after.record.run);
    let retried = matches!(op, Op::Retried { .. });
    (after.failures, after.lost) = (before.failures, before.lost);
    ensure!(!was.state.is_terminal() || retried || was == is, "it had ended, {:?}, and is {:?}", was.state, is.state);

    // A recorded result is never run again, changed or lost.
    for task in before.tasks.iter().filter(|it| it.is_kept()) {
        let forgotten = matches!(op, Op::Retried { forget, .. } if forget.contains(&task.number));
        let now = after.tasks.iter().find(|it| it.number == task.number);
        let same = now.is_some_and(|it| it.state == task.state && it.result == task.result);
        ensure!(same || forgotten, "the result of call {} is not what it was", task.number);
    }
    for task in &after.tasks {
        let there = before.tasks.iter().find(|it| it.number == task.number);
        ensure!(there.is_none_or(|it| it.attempts <= task.attempts), "attempts of call {} were lost", task.number);
        let is_kept = task.state != TaskState::Completed || task.result.is_some() || &*task.identity.name == "t3";
        ensure!(is_kept, "call {} is Completed without its result", task.number);
        let asked = matches!(op, Op::Retried { forget, .. } if forget.contains(&task.number));
        let forgotten = task.state == TaskState::Forgotten && there.is_some_and(|it| it.state != task.state);
        ensure!(!forgotten || asked, "nobody asked for call {} to be forgotten", task.number);
    }

    // What a person asked to be forgotten is forgotten once.
    if let Op::Retried { forget, by_parent: true, .. } = op {
        ensure!(
            was == is || forget.is_empty() || before.record.forgotten,
            "its parent forgot results that nobody asked it to"
        );
    }

    // Only whoever holds the run may report, and nothing that is reported is dropped without a word.
    if let Op::Committed { fence, late, .. } | Op::Ended { fence, late, .. } = op {
        let held = was.state.claim().is_some_and(|(held, _)| held == *fence);
        if !held || *late {
            ensure!(was == is && before.tasks == after.tasks, "a report under an old fence changed something");
            ensure!(after.late_results > before.late_results, "a late report was dropped without a word");
        }
    }
    if let Op::Logged { fence, .. } = op {
        let held = was.state.claim().is_some_and(|(held, _)| held == *fence);
        ensure!(held || was == is, "log lines under an old fence changed something");
    }

    // The code that a run began with is the code that it goes on with.
    let other_code = matches!(op, Op::Retried { component: Some(_), .. });
    let same_code = before.record.asked.component == after.record.asked.component;
    ensure!(same_code || other_code, "its component was changed");

    let claimed = !was.state.is_active() && is.state.is_active();
    if claimed {
        let RunState::Scheduled { due, waiting } = was.state else {
            return Err(format!("it was claimed and was {:?}", was.state));
        };
        ensure!(due <= at, "it was claimed at {at} and is due at {due}");
        let next = u32::from(matches!(waiting, Waiting::Start | Waiting::Retry));
        ensure!(is.attempt == was.attempt + next, "attempt {} follows {} after {waiting:?}", is.attempt, was.attempt);
    } else {
        ensure!(is.attempt == was.attempt, "attempt {} follows {} without a claim", is.attempt, was.attempt);
    }
    match op {
        Op::Retried { .. } if was != is => (after.failures, after.lost) = (0, 0),
        Op::Recovered => after.lost = recovered(before, &after, orphaned)?,
        Op::Woken if was != is => {
            let waiting = Waiting::Suspended;
            let earlier = |due, was, state| due < was && is.state == state;
            let woken = match (was.state, is.state) {
                (RunState::Scheduled { due: was, waiting: Waiting::Suspended }, RunState::Scheduled { due, .. }) => {
                    earlier(due, was, RunState::Scheduled { due, waiting })
                }
                (RunState::Paused { due: was, waiting: Waiting::Suspended }, RunState::Paused { due, .. }) => {
                    earlier(due, was, RunState::Paused { due, waiting })
                }
                _ => false,
            };
            ensure!(woken, "what is below it ended: it was {:?} and is {:?}", was.state, is.state);
        }
        Op::Cascaded if was != is => {
            let cancelled = matches!(is.state, RunState::Cancelled | RunState::Cancelling { .. });
            ensure!(cancelled, "what is above it ended, and it is {:?}", is.state);
        }
        Op::Ended { end, ended, .. } if was != is => {
            after.lost = 0;
            if let AttemptEnd::Failed { failure, .. } = end
                && !matches!(was.state, RunState::Cancelling { .. })
            {
                after.failures += 1;
                let is_final = failure.retry == RetryAdvice::Never || failure.code == code::CANCELLED;
                let left = after.failures <= policy.retries && !is_final;
                let wait = wait(failure, policy, after.failures);
                match is.state {
                    RunState::Scheduled { due, waiting: Waiting::Retry } => {
                        ensure!(left, "it is retried after {} failures", after.failures);
                        // The end of an attempt is timed by whoever reports it, not by the store.
                        ensure!(due == *ended + wait, "it is retried at {due}, after a wait of {wait:?} from {ended}");
                    }
                    RunState::Failed { .. } | RunState::Parked => {
                        ensure!(!left, "it was given up after {} failures", after.failures);
                        let parks = !is_final && policy.when_exhausted == WhenExhausted::Park;
                        ensure!(parks == (is.state == RunState::Parked), "it was given up and is {:?}", is.state);
                    }
                    other => return Err(format!("it failed and is {other:?}")),
                }
            }
        }
        _ => {}
    }
    Ok(after)
}

/// A run is parked in the midst of an attempt only for a task that gave up and is left to a person.
fn rightly_parked(before: &Seen, after: &Seen, op: &Op, policies: &HashMap<String, RetryPolicy>) -> Result<(), String> {
    let Op::Ended { end: AttemptEnd::Parked { .. }, .. } = op else { return Ok(()) };
    if after.record.run.state != RunState::Parked || before.record.run == after.record.run {
        return Ok(());
    }
    let parks = |it: &TaskRun| {
        let policy = policies.get(&*it.identity.name);
        let is_left = policy.is_some_and(|it| it.when_exhausted == WhenExhausted::Park);
        it.state == TaskState::Failed && it.flow_attempt == after.record.run.attempt && is_left
    };
    ensure!(after.tasks.iter().any(parks), "it is parked, and none of its tasks is left to a person");
    Ok(())
}

/// Whether a run was rightly taken from a host that is gone. Returns how many it has lost in a row.
fn recovered(before: &Seen, after: &Seen, orphaned: bool) -> Result<u32, String> {
    let lost = before.lost + 1;
    match (before.record.run.state, after.record.run.state) {
        (RunState::Running { .. }, RunState::Scheduled { waiting: Waiting::Worker, .. }) if lost < 3 => Ok(lost),
        (RunState::Running { .. }, RunState::Crashed) if lost == 3 => Ok(lost),
        (RunState::Cancelling { .. }, RunState::Cancelled) => Ok(lost),
        (_, RunState::Cancelled) if orphaned => Ok(lost),
        (was, is) => Err(format!("it lost its host for the {lost}th time: {was:?} became {is:?}")),
    }
}
