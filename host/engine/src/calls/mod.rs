//! What a flow's body asks for in one attempt: calls of tasks and child flows, waits, and the run's own time.
//!
//! A call is looked up by what was asked and answered from what is kept, or made. What a call came to is durable
//! before the body sees it, and calls are shown to the body in the order in which they were done, so that an attempt
//! that is resumed sees what it saw before.
//!
//! A call that the body waits for at once is made on the body's own task: handing it to another costs more than a
//! sandbox. It is polled beside the body, and not within what the body waits for: that would be on the body's own stack,
//! which is far from the processor when its turn comes. All other calls are spawned.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use retake_core::failure::{Failure, code};
use retake_core::grant::Grants;
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::limits;
use retake_core::port::{BoxFuture, CallRequest, FlowHost, Logs};
use retake_core::replay::{Again, Answer, Asked, CallKind, Occurrences, answer};
use retake_core::retry::{FailedAttempt, RetryPolicy, Spent, Verdict};
use retake_core::task::{Evidence, Kept, LogLine, Overrides, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_store::{RunRecord, TaskCommit};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

mod begun;
mod make;
mod table;

pub(crate) use begun::unasked;
use table::{Call, Given, On, Size, Status, Table, sleep_record};

use crate::catalog::Component;
use crate::steps::Budget;
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
    /// We panicked.
    Panicked,
}

/// What is known of a run when an attempt begins.
pub(crate) struct Known {
    pub(crate) component: Arc<Component>,
    /// Its calls so far.
    pub(crate) known: Vec<TaskRun>,
    /// How many lines the body logged in this attempt before it was put aside.
    pub(crate) logged_before: u64,
    /// The deployment that the run was asked for through.
    pub(crate) deployment: Option<Arc<str>>,
    /// The secrets and variables of its deployment.
    pub(crate) grants: Option<Arc<Grants>>,
}

/// The calls of one attempt of a flow.
pub(crate) struct Calls {
    me: Weak<Calls>,
    engine: Arc<Inner>,
    record: Box<RunRecord>,
    component: Arc<Component>,
    fence: Fence,
    /// When the attempt is over, whatever it waits for.
    deadline: Option<Timestamp>,
    deployment: Option<Arc<str>>,
    grants: Option<Arc<Grants>>,
    in_flight: Semaphore,
    table: Mutex<Table>,
    spawned: Mutex<JoinSet<()>>,
    /// Told when a call is done.
    done: Notify,
    /// Told when the driver should look.
    driver: Notify,
    /// Told when the first line waits to be written.
    logs: Notify,
    /// Told when a task attempt has taken so long that it is to be kept that it began.
    slow: Notify,
    /// Set when no new task attempt may begin.
    stopping: AtomicBool,
    /// What may still be spent on checking inputs and results.
    checks: Budget,
}

impl Calls {
    pub(crate) fn new(
        engine: Arc<Inner>,
        record: Box<RunRecord>,
        fence: Fence,
        deadline: Option<Timestamp>,
        Known { component, known, logged_before, deployment, grants }: Known,
    ) -> Arc<Self> {
        let done = known.iter().map(|it| it.done).max().unwrap_or(0);
        let size = Size::of(&known);
        let table = Table {
            now: record.run.attempt_began.unwrap_or(record.asked.created),
            occurrences: Occurrences::default(),
            numbers: known.iter().map(|it| it.number).collect(),
            known: known.into_iter().map(|it| (it.identity.clone(), it)).collect(),
            position: 0,
            calls: Vec::new(),
            named: HashMap::new(),
            pending: Vec::new(),
            beside: None,
            done_given: done,
            done_shown: done,
            unshown: BTreeMap::new(),
            busy: 0,
            blocked: Vec::new(),
            next_block: 0,
            size,
            slept_before: Duration::ZERO,
            logs: Vec::new(),
            used: Evidence::default(),
            logged_before,
            interrupt: None,
            parked: None,
        };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            engine,
            record,
            component,
            fence,
            deadline,
            deployment,
            grants,
            in_flight: Semaphore::new(limits::TASKS_IN_FLIGHT),
            table: Mutex::new(table),
            spawned: Mutex::default(),
            done: Notify::new(),
            driver: Notify::new(),
            logs: Notify::new(),
            slow: Notify::new(),
            stopping: AtomicBool::new(false),
            checks: Budget::of_attempt(),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawned(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.spawned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether these are the calls of this claim.
    pub(crate) fn is_of(&self, claim: Fence) -> bool {
        self.fence == claim
    }

    pub(crate) fn overrides(&self) -> &Overrides {
        &self.record.asked.overrides
    }

    /// Checks what the body returned.
    pub(crate) fn check_result(&self, flow: &str, result: Json) -> Result<Json, Failure> {
        self.component.check_result(CallKind::Flow, flow, result, &self.checks)
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

    /// Waits until somebody cancels the run.
    pub(crate) async fn cancelled(&self) {
        while self.table().interrupt != Some(Interrupt::Cancelled) {
            self.driver.notified().await;
        }
    }

    /// Has the driver look.
    pub(crate) fn interrupt(&self, interrupt: Interrupt) {
        {
            let mut table = self.table();
            // Who cancels does not want to wait until what else was asked for is done.
            if table.interrupt.is_none() || interrupt == Interrupt::Cancelled {
                table.interrupt = Some(interrupt);
            }
        }
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

    /// Waits for the calls that were left open when the body returned, and returns how many of them failed. It does not
    /// wait beyond the attempt's time, nor for what would begin after it: that is stopped with the attempt, and does
    /// not change its outcome.
    pub(crate) async fn join(&self) -> usize {
        self.start_pending();
        let _blocked = self.block(On::Rest);
        let over = async {
            match self.deadline {
                Some(deadline) => self.engine.until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            let changed = self.done.notified();
            {
                let table = self.table();
                let comes_too_late = |due: Timestamp| self.deadline.is_some_and(|it| it <= due);
                let has_ended = |it: &Call| match it.status {
                    Status::Done(..) => true,
                    Status::Waiting(due) => comes_too_late(due),
                    _ => false,
                };
                if table.calls.iter().all(has_ended) {
                    break;
                }
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = &mut over => break,
            }
        }
        let failed = |it: &&Call| !it.told && matches!(it.status, Status::Done(Given::Failure(_), _));
        self.table().calls.iter().filter(failed).count()
    }

    /// Has a future polled beside the body. A panic in it is our bug: it ends the attempt.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let me = self.me.clone();
        let mut spawned = self.spawned();
        while spawned.try_join_next().is_some() {}
        spawned.spawn(async move {
            if AssertUnwindSafe(future).catch_unwind().await.is_err()
                && let Some(me) = me.upgrade()
            {
                me.interrupt(Interrupt::Panicked);
            }
        })
    }

    /// Stops all calls that are being made, and returns the child runs among them.
    pub(crate) fn abort(&self) -> Vec<FlowRunId> {
        self.spawned().abort_all();
        let table = self.table();
        let open = table.calls.iter().filter(|it| !matches!(it.status, Status::Done(..)));
        let children = open.filter(|it| it.task.identity.kind == CallKind::Flow);
        children.map(|it| it.task.identity.child_of(self.record.asked.id)).collect()
    }

    /// Returns the children that the body has asked for.
    pub(crate) fn asked_for(&self) -> HashSet<FlowRunId> {
        let run = self.record.asked.id;
        let children = |it: &Call| (it.task.identity.kind == CallKind::Flow).then(|| it.task.identity.child_of(run));
        self.table().calls.iter().filter_map(children).collect()
    }

    /// Returns what the body had used when it was dropped before it returned.
    pub(crate) fn used(&self) -> Evidence {
        self.table().used
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
            let abort = self.spawn(async move { me.make(index).await });
            self.table().calls[index as usize].abort = Some(abort);
        }
    }

    /// Suspends the run when nothing but distant timers is waited for.
    fn maybe_suspend(&self, table: &mut Table) {
        if table.blocked.is_empty() || table.busy > 0 || !table.pending.is_empty() {
            return;
        }
        let is_done = |call: &u32| matches!(table.calls[*call as usize].status, Status::Done(..));
        let about_to_go_on = |on: &On| match on {
            On::One(call) => is_done(call),
            On::Any(calls) => calls.iter().any(is_done),
            On::Timer(_) | On::Rest => false,
        };
        if table.blocked.iter().any(|(_, on)| about_to_go_on(on)) {
            return;
        }
        let waits = table.calls.iter().filter_map(|it| match it.status {
            Status::Waiting(due) => Some(due),
            _ => None,
        });
        let timers = table.blocked.iter().filter_map(|(_, on)| match on {
            On::Timer(due) => Some(*due),
            On::One(_) | On::Any(_) | On::Rest => None,
        });
        let Some(first) = waits.chain(timers).min() else { return };
        // Who has returned does not wait for what would begin after its time.
        let has_returned = table.blocked.iter().any(|(_, on)| matches!(on, On::Rest));
        if has_returned && self.deadline.is_some_and(|it| it <= first) {
            return;
        }
        // It is woken to be ended, too.
        let first = self.deadline.map_or(first, |it| it.min(first));
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
        table.blocked.push((key, on));
        self.maybe_suspend(&mut table);
        Blocked { calls: self, key }
    }

    fn observe(&self, progress: impl FnOnce() -> Progress) {
        self.engine.observe(self.record.asked.id, progress);
    }

    /// Tells the answer to a call that is done, and lets the run's own time catch up with it; `looks`: whether the body
    /// is told more than that it is done.
    fn told(&self, call: u32, looks: bool) -> Option<Given> {
        let mut table = self.table();
        let known = &mut table.calls[call as usize];
        let Status::Done(given, at) = &known.status else { return None };
        let (given, at) = (given.clone(), *at);
        known.told |= looks;
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
        self.calls.table().blocked.retain(|(key, _)| *key != self.key);
    }
}

/// Whether a task that Failed was left to a person.
fn gave_up(record: &RunRecord, task: &TaskRun, policy: &RetryPolicy) -> bool {
    task.identity.kind == CallKind::Task
        && task.failure.as_ref().is_some_and(|failure| {
            // As it was when it was decided.
            let (spent, round_began, ended) = (&policy.before(failure, &task.spent), task.round_began, task.ended);
            let entropy = record.asked.id.entropy(task.number, task.attempts);
            let failed = FailedAttempt { failure, spent, round_began, ended, entropy };
            policy.after_failure(failed).0 == Verdict::Park
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
            failure.details = Some(crate::Misfit::list(&misfits));
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
                Some(_) => invalid(self.component.misfits_of_parameters(&request.name, input, &self.checks)),
            };
            let own = || info.flow(&request.name).map(|it| it.retry.clone()).unwrap_or_default();
            let policy = request.retry.clone().unwrap_or_else(own);
            return Callee { kind: CallKind::Flow, version: String::new(), policy, refused };
        }
        let task = info.task(&request.name);
        let refused = match task {
            None => {
                let names: Vec<&str> = info.tasks.iter().map(|it| it.name.as_str()).take(20).collect();
                let message = format!("this component has no task `{}`, only {}", request.name, names.join(", "));
                Some(Failure::new(code::UNKNOWN, message))
            }
            Some(_) => invalid(self.component.misfits_of_input(&request.name, input, &self.checks)),
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
        if line.call == 0 {
            let before = &mut self.table().logged_before;
            if *before > 0 {
                *before -= 1;
                return;
            }
        }
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

    fn cut_short(&self, used: Evidence) {
        self.table().used = used;
    }

    fn slept_before(&self) -> Duration {
        self.table().slept_before
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
        let bytes = input.as_str().len() + request.key_bytes();
        let refused = broken.or(callee.refused);
        let asked = match request.key {
            Some(key) => Asked::Key(key),
            None => Asked::Input(input.digest()),
        };
        let mut table = self.table();
        let index = table.calls.len() as u32;
        if index >= limits::CALLS_PER_RUN {
            return Err(over(format!("more than {} calls in one attempt of a flow", limits::CALLS_PER_RUN)));
        }
        let identity = table.occurrences.identify(callee.kind, &request.name, &callee.version, asked);
        let attempt = self.record.run.attempt;
        let known = table.known.get(&identity);
        let answer = answer(known, attempt);
        let known = known.cloned();
        match known.is_some() {
            true => {
                table.size.again(bytes)?;
                table.place_known();
            }
            false => table.size.add_call(bytes)?,
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
                unasked: 0,
            },
        };
        *table.named.entry(task.identity.name.clone()).or_default() += 1;
        let mut promised = None;
        let status = match answer {
            Answer::Result => {
                let kept = task.result.clone().expect("what is fed back was kept");
                table.size.again(kept.bytes())?;
                self.observe(|| Progress::Cached { number: task.number, name: table.title(&task) });
                Status::Done(Given::Result(kept), task.ended)
            }
            // It was kept that it gave up, and not yet that its run is parked for it.
            Answer::Failure
                if task.state == TaskState::Failed
                    && refused.is_none()
                    && gave_up(&self.record, &task, &callee.policy) =>
            {
                table.parked = task.failure.clone();
                table.interrupt.get_or_insert(Interrupt::Parked);
                self.driver.notify_one();
                Status::Active
            }
            Answer::Failure => {
                let unknown = || Failure::new(code::CANCELLED, "was cancelled");
                Status::Done(Given::Failure(task.failure.clone().unwrap_or_else(unknown)), task.ended)
            }
            Answer::Again(why) => {
                let told_before = why == Again::NotKept && task.flow_attempt == attempt;
                task.told = told_before.then_some(task.told.unwrap_or(task.ended));
                promised = told_before.then_some(task.done);
                task.done = promised.unwrap_or(0);
                task.round += 1;
                task.by_hand = false;
                task.spent = Spent::default();
                task.round_began = Timestamp::default();
                task.state = TaskState::Cancelled;
                task.input = Kept::Inline(input.clone());
                Status::Pending
            }
            Answer::GoOn | Answer::Run => {
                // Its host was lost before the attempt ended, and the same attempt is made.
                if task.state == TaskState::Running {
                    task.attempts = task.attempts.saturating_sub(1);
                    promised = task.told.map(|_| task.done);
                }
                Status::Pending
            }
        };
        task.flow_attempt = attempt;
        if matches!(status, Status::Pending) {
            table.pending.push(index);
        }
        table.calls.push(Call {
            task,
            told: false,
            policy: callee.policy,
            input,
            refused,
            promised,
            status,
            attempting: false,
            awaits_tags: false,
            past: None,
            abort: None,
        });
        Ok(index)
    }

    fn outcome(&self, call: u32) -> BoxFuture<'_, Result<Json, Failure>> {
        Box::pin(async move {
            {
                let mut table = self.table();
                if table.pending == [call] && table.beside.is_none() {
                    table.pending.clear();
                    table.busy += 1;
                    table.calls[call as usize].status = Status::Active;
                    table.beside = Some(call);
                }
            }
            let blocked = self.block(On::One(call));
            self.start_pending();
            // Who makes it polls us after it, and needs nobody to wake us.
            poll_fn(|_| if self.table().beside == Some(call) { Poll::Pending } else { Poll::Ready(()) }).await;
            let given = loop {
                let changed = self.done.notified();
                if let Some(given) = self.told(call, true) {
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
        self.told(call, false).is_some()
    }

    fn cancel(&self, call: u32) {
        let (mut task, past, never_begun) = {
            let mut table = self.table();
            let found = &mut table.calls[call as usize];
            if found.is_closed() {
                return;
            }
            if let Status::Keeping { cancelled } = &mut found.status {
                *cancelled = true;
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
            (task, past, was_pending)
        };
        let Some(me) = self.me.upgrade() else { return };
        let now = self.engine.outside.clock.now();
        let failure = Failure::new(code::CANCELLED, "the flow cancelled it");
        (task.state, task.ended, task.failure) = (TaskState::Cancelled, now, Some(failure.clone()));
        // One that never began took no time.
        if task.began == Timestamp::default() {
            task.began = now;
        }
        let child = (task.identity.kind == CallKind::Flow).then(|| self.child(call, now));
        self.spawn(async move {
            if let Some(child) = child {
                let id = child.id;
                if let Err(error) = me.cancel_child(child, !never_begun).await {
                    tracing::debug!(run = %id, %error, "not cancelled with its call");
                }
            }
            me.keep(call, Box::new(task), past, Given::Failure(failure)).await;
        });
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
                        let is_done = matches!(call.status, Status::Done(..));
                        let place_of = call.promised.or(is_done.then_some(call.task.done))?;
                        Some((place_of, place, is_done))
                    });
                    done.min()
                };
                // One that was first before is waited for.
                if let Some((_, place, true)) = first {
                    self.told(calls[place], false);
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
                let known = known.map(|it| (it.number, it.flow_attempt, it.state == TaskState::Forgotten));
                let number = match (&slept, known) {
                    (Some(_), Some((number, _, forgotten))) => {
                        table.place_known();
                        forgotten.then_some(number)
                    }
                    (Some(_), None) => Some(table.number()),
                    (None, _) => None,
                };
                if known.is_some_and(|(_, slept_in, forgotten)| slept_in < attempt && !forgotten) {
                    // An earlier attempt has slept this sleep.
                    table.slept_before += duration;
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
            self.commit(TaskCommit { task: task.into(), past: Vec::new(), logs }).await;
        })
    }

    fn tick(&self) {
        self.start_pending();
    }
}
