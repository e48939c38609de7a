//! What a flow's body asks for in one attempt: calls of tasks and child flows, waits, and the run's own time.
//!
//! A call is looked up by what was asked and answered from what is kept, or made. What a call came to is durable
//! before the body sees it, and calls are shown to the body in the order in which they were done, so that an attempt
//! that is resumed sees what it saw before.
//!
//! A call that the body waits for at once is made on the body's own task: handing it to another costs more than a
//! sandbox. All others are spawned and run beside the body.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use retake_core::failure::{Failure, code};
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::limits;
use retake_core::port::{Attempt, BoxFuture, CallRequest, FlowHost, Logs, TaskAttempt};
use retake_core::replay::{Again, Answer, Asked, CallKind, Identity, Occurrences, answer};
use retake_core::retry::{FailedAttempt, RetryPolicy, Spent, Verdict};
use retake_core::run::RunState;
use retake_core::task::{Evidence, Kept, LogLine, PastAttempt, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_store::{NewRun, Parent, RetryRequest, RunRecord, StoreError, TaskCommit};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

use crate::catalog::Component;
use crate::{Inner, Progress};

/// A sleep shorter than this is not kept: a new attempt sleeps it again.
const KEPT_SLEEP: Duration = Duration::from_secs(1);

/// Why the driver of a run must look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Nothing but timers is waited for, the first of which is due then.
    Suspend(Timestamp),
    /// Somebody else has claimed the run: whatever is done from now on would count for nothing.
    Lost,
    /// Somebody cancelled the run.
    Cancelled,
    /// Somebody paused the run.
    Paused,
    /// A task gave up, and its policy leaves the rest to a person.
    Parked,
}

/// The calls of one attempt of a flow.
pub(crate) struct Calls {
    me: Weak<Calls>,
    engine: Arc<Inner>,
    record: RunRecord,
    component: Arc<Component>,
    fence: Fence,
    in_flight: Semaphore,
    table: Mutex<Table>,
    spawned: Mutex<JoinSet<()>>,
    /// Told when a call is done.
    done: Notify,
    /// Told when the driver should look.
    driver: Notify,
    /// Told when the first line waits to be written.
    logs: Notify,
    /// Set when no new task attempt may begin.
    stopping: AtomicBool,
}

struct Table {
    now: Timestamp,
    occurrences: Occurrences,
    known: HashMap<Identity, TaskRun>,
    /// Numbers that belong to kept calls or were given out.
    numbers: HashSet<u32>,
    position: u32,
    calls: Vec<Call>,
    pending: Vec<u32>,
    /// Places in the order of completion: given out, and shown to the body.
    done_given: u32,
    done_shown: u32,
    unshown: BTreeMap<u32, (u32, Given, Timestamp)>,
    /// Calls that are being made: what they wait for is not a timer.
    busy: u32,
    /// What the body waits for.
    blocked: BTreeMap<u32, On>,
    next_block: u32,
    bytes: usize,
    logs: Vec<LogLine>,
    interrupt: Option<Interrupt>,
    /// Why a task gave up, when the run is to be parked for it.
    parked: Option<Failure>,
}

struct Call {
    task: TaskRun,
    policy: RetryPolicy,
    input: Json,
    /// Found before a sandbox was made.
    refused: Option<Failure>,
    /// A person asked for it to be run again.
    forgotten: bool,
    status: Status,
    /// The attempt that is kept under this call's number while the next one is being made.
    past: Option<PastAttempt>,
    abort: Option<AbortHandle>,
}

enum Status {
    /// Asked for, not begun.
    Pending,
    /// Being made.
    Active,
    /// Its result is on its way to the store, and nothing stops it any more.
    Committing,
    /// Waits for its next attempt.
    Waiting(Timestamp),
    /// Has its answer, and was told at this instant.
    Done(Given, Timestamp),
}

/// What a body waits for.
enum On {
    /// A timer.
    Timer(Timestamp),
    /// The first of these calls.
    Any(Vec<u32>),
    /// All that is open, because it has returned.
    Rest,
}

#[derive(Clone)]
enum Given {
    Result(Kept),
    Failure(Failure),
}

impl Calls {
    pub(crate) fn new(
        engine: Arc<Inner>,
        record: RunRecord,
        component: Arc<Component>,
        fence: Fence,
        known: Vec<TaskRun>,
    ) -> Arc<Self> {
        let done = known.iter().map(|it| it.done).max().unwrap_or(0);
        let table = Table {
            now: record.run.attempt_began.unwrap_or(record.asked.created),
            occurrences: Occurrences::default(),
            numbers: known.iter().map(|it| it.number).collect(),
            known: known.into_iter().map(|it| (it.identity.clone(), it)).collect(),
            position: 0,
            calls: Vec::new(),
            pending: Vec::new(),
            done_given: done,
            done_shown: done,
            unshown: BTreeMap::new(),
            busy: 0,
            blocked: BTreeMap::new(),
            next_block: 0,
            bytes: 0,
            logs: Vec::new(),
            interrupt: None,
            parked: None,
        };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            engine,
            record,
            component,
            fence,
            in_flight: Semaphore::new(limits::TASKS_IN_FLIGHT),
            table: Mutex::new(table),
            spawned: Mutex::default(),
            done: Notify::new(),
            driver: Notify::new(),
            logs: Notify::new(),
            stopping: AtomicBool::new(false),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawned(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.spawned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the driver must look.
    pub(crate) async fn interrupted(&self) -> Interrupt {
        loop {
            if let Some(interrupt) = self.table().interrupt {
                return interrupt;
            }
            self.driver.notified().await;
        }
    }

    /// Has the driver look.
    pub(crate) fn interrupt(&self, interrupt: Interrupt) {
        self.table().interrupt.get_or_insert(interrupt);
        self.driver.notify_one();
    }

    /// Takes why a task gave up.
    pub(crate) fn take_parked(&self) -> Option<Failure> {
        self.table().parked.take()
    }

    /// Lets no new task attempt begin, and waits until none is being made.
    pub(crate) async fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        loop {
            let changed = self.done.notified();
            if self.table().busy == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Waits for the calls that were left open when the body returned, and returns how many of them failed.
    pub(crate) async fn join(&self) -> usize {
        self.start_pending();
        let _blocked = self.block(On::Rest);
        loop {
            let changed = self.done.notified();
            {
                let table = self.table();
                if table.calls.iter().all(|it| matches!(it.status, Status::Done(..))) {
                    let failed = |it: &&Call| matches!(it.status, Status::Done(Given::Failure(_), _));
                    return table.calls.iter().filter(failed).count();
                }
            }
            changed.await;
        }
    }

    /// Stops all calls that are being made, and returns the child runs among them.
    pub(crate) fn abort(&self) -> Vec<FlowRunId> {
        self.spawned().abort_all();
        let table = self.table();
        let open = table.calls.iter().filter(|it| !matches!(it.status, Status::Done(..)));
        let children = open.filter(|it| it.task.identity.kind == CallKind::Flow);
        children.map(|it| it.task.identity.child_of(self.record.asked.id)).collect()
    }

    /// Takes the lines that were logged and are not written yet.
    pub(crate) fn take_logs(&self) -> Vec<LogLine> {
        self.table().take_logs()
    }

    /// Waits until lines wait to be written.
    pub(crate) async fn logged(&self) {
        loop {
            let changed = self.logs.notified();
            if !self.table().logs.is_empty() {
                return;
            }
            changed.await;
        }
    }

    fn start_pending(&self) {
        let pending = {
            let mut table = self.table();
            let pending = std::mem::take(&mut table.pending);
            table.busy += pending.len() as u32;
            pending.iter().for_each(|index| table.calls[*index as usize].status = Status::Active);
            pending
        };
        for index in pending {
            let Some(me) = self.me.upgrade() else { return };
            let abort = self.spawned().spawn(async move { me.make(index).await });
            self.table().calls[index as usize].abort = Some(abort);
        }
    }

    /// Makes a call to its end.
    async fn make(&self, index: u32) {
        let (task, refused) = {
            let table = self.table();
            let call = &table.calls[index as usize];
            (call.task.clone(), call.refused.clone())
        };
        match (refused, task.identity.kind) {
            (Some(failure), _) => self.refuse(index, task, failure).await,
            (None, CallKind::Flow) => self.make_child(index, task).await,
            (None, _) => self.make_task(index, task).await,
        }
    }

    async fn refuse(&self, index: u32, mut task: TaskRun, failure: Failure) {
        let now = self.engine.outside.clock.now();
        let past = past(&task);
        task.attempts += 1;
        (task.began, task.ended, task.state) = (now, now, TaskState::Failed);
        task.failure = Some(failure.clone());
        self.finish(index, task, past, Given::Failure(failure)).await;
    }

    async fn make_task(&self, index: u32, mut task: TaskRun) {
        let info = self.component.info.task(&task.identity.name).expect("unknown tasks are refused");
        let (policy, input) = {
            let table = self.table();
            let call = &table.calls[index as usize];
            (call.policy.clone(), call.input.clone())
        };
        if let TaskState::AwaitingRetry(due) = task.state {
            self.wait_for(index, due).await;
        }
        let identity = Arc::new(task.identity.clone());
        let shown = task.label.clone().unwrap_or_else(|| info.name.clone());
        let persist = info.persist_result.unwrap_or(self.engine.settings.persist_results);
        loop {
            let slots = self.slots().await;
            let previous = past(&task);
            let began = self.engine.outside.clock.now();
            task.attempts += 1;
            if task.spent == Spent::default() && task.round_began == Timestamp::default() {
                task.round_began = began;
            }
            let attempt = Attempt {
                component: self.component.digest,
                run: self.record.asked.id,
                flow: self.record.asked.flow.as_str().into(),
                task: Some(TaskAttempt { number: task.number, identity: identity.clone() }),
                input: input.clone(),
                attempt: task.attempts,
                retries_left: policy.retries_left(&task.spent),
                scheduled_for: self.record.asked.due,
                limits: self.record.asked.overrides.limits(&info.limits).for_task(),
                log_prints: info.log_prints,
            };
            self.began(index, &task, began, previous.as_ref());
            self.observe(|| Progress::TaskBegan { number: task.number, name: shown.clone(), attempt: task.attempts });
            let logs: Arc<dyn Logs> = self.me.upgrade().expect("whoever drives a call holds the calls");
            let report = self.engine.outside.runner.run_task(&attempt, logs).await;
            drop(slots);
            let ended = self.engine.outside.clock.now();
            (task.began, task.ended, task.evidence) = (began, ended, report.evidence);
            let (given, retry_at) = match report.outcome {
                Ok(result) => {
                    (task.state, task.failure) = (TaskState::Completed, None);
                    task.result = persist.then(|| Kept::Inline(result.clone()));
                    (Given::Result(Kept::Inline(result)), None)
                }
                Err(failure) => {
                    let (verdict, spent) = policy.after_failure(FailedAttempt {
                        failure: &failure,
                        spent: &task.spent,
                        round_began: task.round_began,
                        ended,
                        entropy: self.record.asked.id.entropy(task.number, task.attempts),
                    });
                    task.spent = spent;
                    task.failure = Some(failure.clone());
                    match verdict {
                        Verdict::Retry(due) => {
                            task.state = TaskState::AwaitingRetry(due);
                            (Given::Failure(failure), Some(due))
                        }
                        Verdict::Fail => {
                            task.state = TaskState::Failed;
                            (Given::Failure(failure), None)
                        }
                        Verdict::Park => {
                            task.state = TaskState::Failed;
                            return self.park(task, previous, failure).await;
                        }
                    }
                }
            };
            // People are told what is durable, and not before.
            let told = self.engine.outside.observer.is_some().then(|| Progress::TaskEnded {
                number: task.number,
                name: shown.clone(),
                attempt: task.attempts,
                took: ended.since(began),
                failure: task.failure.clone(),
                retry_at,
            });
            let tell = |told: Option<Progress>| told.into_iter().for_each(|it| self.observe(|| it));
            let Some(due) = retry_at else {
                self.finish(index, task, previous, given).await;
                return tell(told);
            };
            let logs = self.take_logs();
            self.commit(TaskCommit { task: task.clone(), past: previous.into_iter().collect(), logs }).await;
            {
                let call = &mut self.table().calls[index as usize];
                (call.task, call.past) = (task.clone(), None);
            }
            tell(told);
            self.wait_for(index, due).await;
        }
    }

    /// Keeps that a task gave up and has the run parked, before the body is told.
    async fn park(&self, task: TaskRun, previous: Option<PastAttempt>, failure: Failure) {
        let logs = self.take_logs();
        self.commit(TaskCommit { task, past: previous.into_iter().collect(), logs }).await;
        self.table().parked = Some(failure);
        self.interrupt(Interrupt::Parked);
        std::future::pending().await
    }

    /// Notes that an attempt begins, for whoever cancels it: the attempt before it is to be kept then, too.
    fn began(&self, index: u32, task: &TaskRun, began: Timestamp, previous: Option<&PastAttempt>) {
        let call = &mut self.table().calls[index as usize];
        (call.task.attempts, call.task.began, call.past) = (task.attempts, began, previous.cloned());
    }

    /// Waits for a slot of the run and one of the host; forever once the host is stopping.
    async fn slots(&self) -> (tokio::sync::SemaphorePermit<'_>, tokio::sync::SemaphorePermit<'_>) {
        let open = "the semaphores are never closed";
        let of_run = self.in_flight.acquire().await.expect(open);
        let of_host = self.engine.task_slots.acquire().await.expect(open);
        if self.stopping.load(Ordering::Acquire) {
            drop((of_run, of_host));
            self.idle();
            return std::future::pending().await;
        }
        (of_run, of_host)
    }

    /// Counts one call out that will do nothing more.
    fn idle(&self) {
        let mut table = self.table();
        table.busy = table.busy.saturating_sub(1);
        drop(table);
        self.done.notify_waiters();
    }

    async fn wait_for(&self, index: u32, due: Timestamp) {
        {
            let mut table = self.table();
            table.calls[index as usize].status = Status::Waiting(due);
            table.busy = table.busy.saturating_sub(1);
            self.maybe_suspend(&mut table);
        }
        self.done.notify_waiters();
        self.engine.until(due).await;
        let mut table = self.table();
        table.calls[index as usize].status = Status::Active;
        table.busy += 1;
    }

    /// Keeps what a call came to and shows it to the body, after all that were done before it.
    async fn finish(&self, index: u32, mut task: TaskRun, past: Option<PastAttempt>, given: Given) {
        let logs = {
            let mut table = self.table();
            table.done_given += 1;
            task.done = table.done_given;
            table.calls[index as usize].status = Status::Committing;
            table.take_logs()
        };
        let (done, ended) = (task.done, task.told.unwrap_or(task.ended));
        self.commit(TaskCommit { task, past: past.into_iter().collect(), logs }).await;
        {
            let mut table = self.table();
            table.unshown.insert(done, (index, given, ended));
            while let Some((index, given, ended)) = {
                let next = table.done_shown + 1;
                table.unshown.remove(&next)
            } {
                table.done_shown += 1;
                let place = table.done_shown;
                let call = &mut table.calls[index as usize];
                call.task.done = place;
                call.status = Status::Done(given, ended);
            }
            table.busy = table.busy.saturating_sub(1);
            self.maybe_suspend(&mut table);
        }
        self.done.notify_waiters();
    }

    /// Returns when it is kept. Never returns when the run belongs to somebody else: the driver drops us.
    async fn commit(&self, commit: TaskCommit) {
        let (store, id) = (&self.engine.outside.store, self.record.asked.id);
        let commit = || store.commit_task(id, self.fence, commit.clone());
        if let Err(error) = self.engine.until_answered(id, "keeping a task's result", commit).await {
            tracing::warn!(run = %id, %error, "a task's result came too late");
            self.interrupt(Interrupt::Lost);
            std::future::pending::<()>().await;
        }
    }

    /// Has a child run made, and waits for its end.
    async fn make_child(&self, index: u32, mut task: TaskRun) {
        let asked = &self.record.asked;
        let child = task.identity.child_of(asked.id);
        let input = self.table().calls[index as usize].input.clone();
        let began = self.engine.outside.clock.now();
        let run = NewRun {
            id: child,
            component: asked.component,
            flow: task.identity.name.clone(),
            deployment: None,
            queue: asked.queue.clone(),
            parameters: Kept::Inline(input),
            overrides: Default::default(),
            idempotency_key: None,
            parent: Some(Parent { run: asked.id, call: task.number }),
            root: asked.root,
            depth: asked.depth + 1,
            due: began,
            created: began,
        };
        let previous = past(&task);
        task.attempts += 1;
        if task.round_began == Timestamp::default() {
            task.round_began = began;
        }
        let name = task.label.clone().unwrap_or_else(|| task.identity.name.clone());
        self.observe(|| Progress::TaskBegan { number: task.number, name: name.clone(), attempt: task.attempts });
        let outcome = self.child_outcome(index, run).await;
        let ended = self.engine.outside.clock.now();
        (task.began, task.ended) = (began, ended);
        let given = match outcome {
            Ok(result) => {
                (task.state, task.failure) = (TaskState::Completed, None);
                task.result = Some(result.clone());
                Given::Result(result)
            }
            Err(failure) => {
                (task.state, task.failure) = (TaskState::Failed, Some(failure.clone()));
                Given::Failure(failure)
            }
        };
        let (number, attempt, failure) = (task.number, task.attempts, task.failure.clone());
        self.finish(index, task, previous, given).await;
        let took = ended.since(began);
        self.observe(|| Progress::TaskEnded { number, name, attempt, took, failure, retry_at: None });
    }

    /// Asks the store about a child until it answers.
    async fn until_answered<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        child: FlowRunId,
        ask: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        let answer = self.engine.until_answered(child, "a child run", ask).await;
        answer.map_err(|error| Failure::new(code::INTERNAL, format!("the child run: {error}")))
    }

    async fn child_outcome(&self, index: u32, run: NewRun) -> Result<Kept, Failure> {
        let (engine, store, id) = (&self.engine, &self.engine.outside.store, run.id);
        let depth = run.depth;
        let (record, _) = self.until_answered(id, || engine.make(run.clone())).await?;
        let forgotten = self.table().calls[index as usize].forgotten;
        // What it came to in an earlier attempt of ours is not this one's answer; what it came to since then is.
        let earlier = record.ended.is_some_and(|ended| Some(ended) < self.record.run.attempt_began);
        let is_old = earlier || matches!(record.run.state, RunState::Cancelling { .. });
        let old_round = is_old.then_some(record.run.round);
        loop {
            if self.stopping.load(Ordering::Acquire) {
                self.idle();
                return std::future::pending().await;
            }
            let notify = engine.watch(id);
            let changed = notify.notified();
            let record = self.until_answered(id, || store.run(id)).await?;
            let has_ended = record.run.state.is_terminal() || record.run.state == RunState::Parked;
            let to_be_used = record.run.state == RunState::Completed && !forgotten;
            if has_ended && old_round == Some(record.run.round) && !to_be_used {
                self.retry_child(&record, forgotten).await?;
                continue;
            }
            match record.run.state {
                RunState::Completed => {
                    // A flow whose result is not kept answers with null.
                    return Ok(record.result.unwrap_or_else(|| Kept::Inline(Json::null())));
                }
                RunState::Failed { .. } | RunState::Crashed | RunState::Cancelled | RunState::Parked => {
                    let shown = record.run.shown(engine.outside.clock.now());
                    let unknown = || Failure::new(code::CANCELLED, format!("the child run is {shown}"));
                    return Err(record.failure.unwrap_or_else(unknown));
                }
                RunState::Scheduled { due, .. } if due > engine.outside.clock.now() => {
                    tokio::select! {
                        biased;
                        () = self.wait_for(index, due) => engine.wake(depth),
                        () = changed => self.active_again(index),
                    }
                }
                // The time limit is for a child that another process works on.
                _ => drop(tokio::time::timeout(Duration::from_secs(2), changed).await),
            }
        }
    }

    /// Begins a new round of a child that ended in an earlier attempt; with nothing kept if it was forgotten.
    async fn retry_child(&self, record: &RunRecord, forgotten: bool) -> Result<(), Failure> {
        let (engine, store, id) = (&self.engine, &self.engine.outside.store, record.asked.id);
        let forget = match forgotten {
            true => self.until_answered(id, || store.task_runs(id)).await?.iter().map(|it| it.number).collect(),
            false => Vec::new(),
        };
        let request = RetryRequest {
            now: engine.outside.clock.now(),
            expected_attempt: Some(record.run.attempt),
            completed_too: forgotten,
            forget,
            component: (record.asked.component != self.component.digest).then_some(self.component.digest),
            parameters: None,
            overrides: None,
        };
        match engine.until_answered(id, "retrying a child run", || store.retry(id, request.clone())).await {
            Ok(_) => engine.wake(record.asked.depth),
            // Somebody else was quicker, or we were and were not told.
            Err(StoreError::Refused(refused)) => tracing::debug!(run = %id, %refused, "not retried with its parent"),
            Err(error) => return Err(Failure::new(code::INTERNAL, format!("the child run: {error}"))),
        }
        Ok(())
    }

    /// Undoes what an interrupted [`Calls::wait_for`] left.
    fn active_again(&self, index: u32) {
        let mut table = self.table();
        if matches!(table.calls[index as usize].status, Status::Waiting(_)) {
            table.calls[index as usize].status = Status::Active;
            table.busy += 1;
        }
    }

    /// Suspends the run when nothing but distant timers is waited for.
    fn maybe_suspend(&self, table: &mut Table) {
        if table.blocked.is_empty() || table.busy > 0 || !table.pending.is_empty() {
            return;
        }
        let is_done = |call: &u32| matches!(table.calls[*call as usize].status, Status::Done(..));
        let about_to_go_on = |on: &On| matches!(on, On::Any(calls) if calls.iter().any(is_done));
        if table.blocked.values().any(about_to_go_on) {
            return;
        }
        let waits = table.calls.iter().filter_map(|it| match it.status {
            Status::Waiting(due) => Some(due),
            _ => None,
        });
        let timers = table.blocked.values().filter_map(|on| match on {
            On::Timer(due) => Some(*due),
            On::Any(_) | On::Rest => None,
        });
        let Some(first) = waits.chain(timers).min() else { return };
        if first >= self.engine.outside.clock.now() + self.engine.settings.suspend_after {
            table.interrupt.get_or_insert(Interrupt::Suspend(first));
            self.driver.notify_one();
        }
    }

    /// Notes that the body waits, until the answer is dropped.
    fn block(&self, on: On) -> Blocked<'_> {
        let mut table = self.table();
        let key = table.next_block;
        table.next_block = key.wrapping_add(1);
        table.blocked.insert(key, on);
        self.maybe_suspend(&mut table);
        Blocked { calls: self, key }
    }

    fn observe(&self, progress: impl FnOnce() -> Progress) {
        self.engine.observe(self.record.asked.id, progress);
    }

    /// Tells the answer to a call that is done, and lets the run's own time catch up with it.
    fn told(&self, call: u32) -> Option<Given> {
        let mut table = self.table();
        let Status::Done(given, at) = &table.calls[call as usize].status else { return None };
        let (given, at) = (given.clone(), *at);
        table.now = table.now.max(at);
        Some(given)
    }

    async fn value(&self, kept: Kept) -> Result<Json, Failure> {
        match kept {
            Kept::Inline(json) => Ok(json),
            Kept::Blob { .. } => {
                let store = &self.engine.outside.store;
                let ask = || store.value(&kept);
                let value = self.engine.until_answered(self.record.asked.id, "reading a kept result", ask).await;
                value.map_err(|error| Failure::new(code::INTERNAL, format!("a kept result: {error}")))
            }
        }
    }
}

struct Blocked<'a> {
    calls: &'a Calls,
    key: u32,
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.calls.table().blocked.remove(&self.key);
    }
}

impl Table {
    fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.logs)
    }

    /// Gives a call its number: its place among the calls of the attempt, or the next that is free. An attempt that
    /// is resumed asks in the same order, so a call that was never kept has the same number again, and its task the
    /// same idempotency key.
    fn number(&mut self) -> u32 {
        self.position += 1;
        let mut number = self.position;
        if !self.numbers.insert(number) {
            number = self.numbers.iter().max().copied().unwrap_or(0).max(self.position) + 1;
            self.numbers.insert(number);
        }
        number
    }

    /// Finds the record of a call, and takes its place into account.
    fn place_known(&mut self) {
        self.position += 1;
    }
}

/// The attempt that a record tells of, to be kept beside the next one.
fn past(task: &TaskRun) -> Option<PastAttempt> {
    (task.attempts > 0).then(|| PastAttempt {
        call: task.number,
        attempt: task.attempts,
        began: task.began,
        ended: task.ended,
        failure: task.failure.clone(),
        evidence: task.evidence,
    })
}

/// What is known of a task or flow before it is called.
struct Callee {
    kind: CallKind,
    version: String,
    policy: RetryPolicy,
    refused: Option<Failure>,
}

impl Calls {
    fn callee(&self, request: &CallRequest, input: &Json) -> Callee {
        let info = &self.component.info;
        let invalid = |misfits: Vec<crate::Misfit>| {
            let first = misfits.first()?;
            let at = if first.pointer.is_empty() { "the input" } else { &first.pointer };
            let mut failure = Failure::new(code::INVALID, format!("`{}`: {at}: {}", request.name, first.problem));
            let list = misfits.iter().map(|it| serde_json::json!({"pointer": it.pointer, "problem": it.problem}));
            failure.details = Some(Json::of(&list.collect::<Vec<_>>()));
            Some(failure)
        };
        if request.is_flow {
            let unknown = || {
                let message = format!("this component has no flow `{}`", request.name);
                Failure::new(code::UNKNOWN, message)
            };
            let refused = match info.flow(&request.name) {
                None => Some(unknown()),
                Some(_) if self.record.asked.depth >= limits::FLOW_DEPTH => {
                    let message = format!("child flows nest at most {} deep", limits::FLOW_DEPTH);
                    Some(Failure::new(code::OUTPUT, message))
                }
                Some(_) => invalid(self.component.misfits_of_parameters(&request.name, input)),
            };
            return Callee { kind: CallKind::Flow, version: String::new(), policy: RetryPolicy::default(), refused };
        }
        let task = info.task(&request.name);
        let refused = match task {
            None => {
                let names: Vec<&str> = info.tasks.iter().map(|it| it.name.as_str()).take(20).collect();
                let message = format!("this component has no task `{}`, only {}", request.name, names.join(", "));
                Some(Failure::new(code::UNKNOWN, message))
            }
            Some(_) => invalid(self.component.misfits_of_input(&request.name, input)),
        };
        let own = || task.map(|it| it.retry.clone()).unwrap_or_default();
        Callee {
            kind: CallKind::Task,
            version: task.map(|it| it.version.clone()).unwrap_or_default(),
            policy: request.retry.clone().unwrap_or_else(own),
            refused,
        }
    }
}

impl Logs for Calls {
    fn line(&self, line: LogLine) {
        self.observe(|| Progress::Line(line.clone()));
        let mut table = self.table();
        table.logs.push(line);
        if table.logs.len() == 1 {
            self.logs.notify_one();
        }
    }
}

impl FlowHost for Calls {
    fn now(&self) -> Timestamp {
        self.table().now
    }

    fn submit(&self, request: CallRequest) -> Result<u32, Failure> {
        let over = |message: String| Failure::new(code::OUTPUT, message);
        let (input, broken) = match Json::parse(request.input.as_str(), limits::VALUE_BYTES) {
            Ok(json) => (json, None),
            Err(error) => {
                let message = format!("the input of `{}`: {error}", request.name);
                (Json::null(), Some(Failure::new(code::INVALID, message)))
            }
        };
        let callee = self.callee(&request, &input);
        let refused = broken.or(callee.refused);
        let asked = match request.key {
            Some(key) => Asked::Key(key),
            None => Asked::Input(input.digest()),
        };
        let mut table = self.table();
        let index = table.calls.len() as u32;
        if index >= limits::CALLS_PER_RUN {
            return Err(over(format!("more than {} calls in one run", limits::CALLS_PER_RUN)));
        }
        table.bytes += input.as_str().len();
        if table.bytes > limits::CALL_BYTES_PER_RUN {
            return Err(over(format!(
                "more than {} MiB of inputs and results in one run",
                limits::CALL_BYTES_PER_RUN >> 20
            )));
        }
        let identity = table.occurrences.identify(callee.kind, &request.name, &callee.version, asked);
        let attempt = self.record.run.attempt;
        let known = table.known.get(&identity);
        let answer = answer(known, attempt);
        let known = known.cloned();
        if known.is_some() {
            table.place_known();
        }
        let mut task = match known {
            Some(task) => task,
            None => TaskRun {
                number: table.number(),
                identity,
                label: request.label,
                input: Kept::Inline(input.clone()),
                state: TaskState::Cancelled,
                flow_attempt: attempt,
                attempts: 0,
                round: 1,
                spent: Spent::default(),
                round_began: Timestamp::default(),
                began: Timestamp::default(),
                ended: Timestamp::default(),
                told: None,
                by_hand: false,
                done: 0,
                result: None,
                failure: None,
                evidence: Evidence::default(),
            },
        };
        let status = match answer {
            Answer::Result => {
                let kept = task.result.clone().expect("what is fed back was kept");
                let name = task.label.clone().unwrap_or_else(|| task.identity.name.clone());
                self.observe(|| Progress::Cached { number: task.number, name });
                Status::Done(Given::Result(kept), task.ended)
            }
            Answer::Failure => {
                let unknown = || Failure::new(code::CANCELLED, "was cancelled");
                Status::Done(Given::Failure(task.failure.clone().unwrap_or_else(unknown)), task.ended)
            }
            Answer::Again(why) => {
                let told_before = why == Again::NotKept && task.flow_attempt == attempt;
                task.told = told_before.then_some(task.told.unwrap_or(task.ended));
                task.round += 1;
                task.spent = Spent::default();
                task.round_began = Timestamp::default();
                task.state = TaskState::Cancelled;
                task.input = Kept::Inline(input.clone());
                Status::Pending
            }
            Answer::GoOn | Answer::Run => Status::Pending,
        };
        task.flow_attempt = attempt;
        if matches!(status, Status::Pending) {
            table.pending.push(index);
        }
        let forgotten = matches!(answer, Answer::Again(Again::Asked));
        table.calls.push(Call {
            task,
            policy: callee.policy,
            input,
            refused,
            forgotten,
            status,
            past: None,
            abort: None,
        });
        Ok(index)
    }

    fn outcome(&self, call: u32) -> BoxFuture<'_, Result<Json, Failure>> {
        Box::pin(async move {
            let inline = {
                let mut table = self.table();
                let alone = table.pending == [call];
                if alone {
                    table.pending.clear();
                    table.busy += 1;
                    table.calls[call as usize].status = Status::Active;
                }
                alone
            };
            let blocked = self.block(On::Any(vec![call]));
            if inline {
                self.make(call).await;
            } else {
                self.start_pending();
            }
            let given = loop {
                let changed = self.done.notified();
                if let Some(given) = self.told(call) {
                    break given;
                }
                changed.await;
            };
            drop(blocked);
            match given {
                Given::Result(kept) => self.value(kept).await,
                Given::Failure(failure) => Err(failure),
            }
        })
    }

    fn is_done(&self, call: u32) -> bool {
        self.start_pending();
        self.told(call).is_some()
    }

    fn cancel(&self, call: u32) {
        let (mut task, past) = {
            let mut table = self.table();
            let found = &mut table.calls[call as usize];
            if matches!(found.status, Status::Done(..) | Status::Committing) {
                return;
            }
            let was_waiting = matches!(found.status, Status::Waiting(_));
            let was_pending = matches!(found.status, Status::Pending);
            found.status = Status::Committing;
            if let Some(abort) = found.abort.take() {
                abort.abort();
            }
            let (task, past) = (found.task.clone(), found.past.take());
            table.pending.retain(|it| *it != call);
            // An active call was counted; it is stopped, and keeping that counts instead.
            if was_waiting || was_pending {
                table.busy += 1;
            }
            (task, past)
        };
        let Some(me) = self.me.upgrade() else { return };
        let now = self.engine.outside.clock.now();
        let failure = Failure::new(code::CANCELLED, "the flow cancelled it");
        (task.state, task.ended, task.failure) = (TaskState::Cancelled, now, Some(failure.clone()));
        self.spawned().spawn(async move { me.finish(call, task, past, Given::Failure(failure)).await });
    }

    fn wait_any(&self, calls: Vec<u32>) -> BoxFuture<'_, u32> {
        Box::pin(async move {
            self.start_pending();
            let _blocked = self.block(On::Any(calls.clone()));
            loop {
                let changed = self.done.notified();
                let first = {
                    let table = self.table();
                    let done = calls.iter().enumerate().filter_map(|(place, call)| {
                        let call = &table.calls[*call as usize];
                        matches!(call.status, Status::Done(..)).then_some((call.task.done, place))
                    });
                    done.min()
                };
                if let Some((_, place)) = first {
                    self.told(calls[place]);
                    return place as u32;
                }
                changed.await;
            }
        })
    }

    fn sleep_until(&self, due: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.start_pending();
            let attempt = self.record.run.attempt;
            let (now, slept) = {
                let mut table = self.table();
                let now = table.now;
                let duration = due.since(now);
                if duration.is_zero() {
                    return;
                }
                let slept = (duration >= KEPT_SLEEP).then(|| {
                    let asked = Asked::Input(ContentDigest::of(&duration.as_millis().to_be_bytes()));
                    table.occurrences.identify(CallKind::Sleep, "sleep", "", asked)
                });
                let known = slept.as_ref().and_then(|it| table.known.get(it));
                let known = known.map(|it| it.flow_attempt);
                let number = match (&slept, known) {
                    (Some(_), Some(_)) => {
                        table.place_known();
                        None
                    }
                    (Some(_), None) => Some(table.number()),
                    (None, _) => None,
                };
                if known.is_some_and(|it| it < attempt) {
                    // An earlier attempt has slept this sleep.
                    return;
                }
                (now, slept.zip(number))
            };
            let blocked = self.block(On::Timer(due));
            self.engine.until(due).await;
            drop(blocked);
            self.table().now = now.max(due);
            let Some((identity, number)) = slept else { return };
            // A new attempt must not sleep it again. That it began need not be kept: when the host dies meanwhile,
            // the same instant is worked out again from the run's own time.
            let task = sleep_record(identity, number, attempt, now, due);
            let logs = self.take_logs();
            self.commit(TaskCommit { task, past: Vec::new(), logs }).await;
        })
    }

    fn tick(&self) {
        self.start_pending();
    }
}

fn sleep_record(identity: Identity, number: u32, attempt: u32, began: Timestamp, ended: Timestamp) -> TaskRun {
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
    }
}
