//! How a call is made: its attempts, its child run, and the keeping of what it came to.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use retake_core::failure::{Failure, code};
use retake_core::id::FlowRunId;
use retake_core::port::{Attempt, FlowHost, Logs, TaskAttempt};
use retake_core::replay::CallKind;
use retake_core::retry::{FailedAttempt, Spent, Verdict};
use retake_core::run::RunState;
use retake_core::task::{Kept, Overrides, PastAttempt, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_store::{NewRun, Parent, RetryRequest, RunRecord, StoreError, TaskCommit};

use super::{Call, Calls, Given, Interrupt, Status};
use crate::Progress;

impl Calls {
    /// Runs the body, and beside it the call that it waits for at once, if there is one.
    pub(crate) async fn beside<F: Future>(&self, mut body: Pin<&mut F>) -> F::Output {
        let mut call = pin!(None);
        poll_fn(|cx| {
            // In this turn, after the body was polled: nothing is gained by polling that once more.
            let mut has_begun = false;
            loop {
                if let Some(making) = call.as_mut().as_pin_mut() {
                    if Future::poll(making, cx).is_ready() {
                        call.set(None);
                        self.table().beside = None;
                    } else if has_begun {
                        return Poll::Pending;
                    }
                }
                // Also while the call is being made: the body's time may be over.
                if let Poll::Ready(returned) = body.as_mut().poll(cx) {
                    return Poll::Ready(returned);
                }
                let Some(index) = self.table().beside.filter(|_| call.is_none()) else { return Poll::Pending };
                call.set(Some(self.make(index)));
                has_begun = true;
            }
        })
        .await
    }

    /// Makes a call to its end.
    pub(super) async fn make(&self, index: u32) {
        let (task, refused) = {
            let table = self.table();
            let call = &table.calls[index as usize];
            // In a box because it is handed on and on, to what is as large as all that it holds while it waits.
            (Box::new(call.task.clone()), call.refused.clone())
        };
        match (refused, task.identity.kind) {
            // What is rare has a box of its own, so that what is not need not make room for it.
            (Some(failure), _) => Box::pin(self.refuse(index, task, failure)).await,
            (None, CallKind::Flow) => Box::pin(self.make_child(index, task)).await,
            (None, _) => self.make_task(index, task).await,
        }
    }

    async fn refuse(&self, index: u32, mut task: Box<TaskRun>, failure: Failure) {
        let now = self.engine.outside.clock.now();
        let past = task.past();
        task.attempts += 1;
        (task.began, task.ended, task.state) = (now, now, TaskState::Failed);
        task.failure = Some(failure.clone());
        self.finish(index, task, past, Given::Failure(failure)).await;
    }

    async fn make_task(&self, index: u32, mut task: Box<TaskRun>) {
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
        let shown = match self.engine.outside.observer.is_some() {
            true => self.table().title(&task),
            false => String::new(),
        };
        let persist = info.persist_result.unwrap_or(self.engine.settings.persist_results);
        let grants = self.grants.as_ref().and_then(|it| it.asked_for(&info.capabilities));
        loop {
            let slots = self.slots(index, &info.tags).await;
            let previous = task.past();
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
                elapsed: Duration::ZERO,
                log_prints: info.log_prints
                    || self.component.info.flow(&self.record.asked.flow).is_some_and(|it| it.log_prints),
                deployment: self.deployment.clone(),
                grants: grants.clone(),
            };
            self.began(index, &task, began, previous.as_ref());
            self.observe(|| Progress::TaskBegan { number: task.number, name: shown.clone(), attempt: task.attempts });
            let logs: Arc<dyn Logs> = self.me.upgrade().expect("whoever drives a call holds the calls");
            let report = match self.record.asked.overrides.injected(false, &info.name, task.attempts) {
                Some(what) => self.attended(index, crate::run::injected(what, &attempt)).await,
                None => self.attended(index, self.engine.outside.runner.run_task(&attempt, logs)).await,
            };
            drop(slots);
            let ended = self.engine.outside.clock.now();
            (task.began, task.ended, task.evidence) = (began, ended, report.evidence);
            let checked = |result| self.component.check_result(CallKind::Task, &info.name, result, &self.checks);
            let (given, retry_at) = match report.outcome.and_then(checked) {
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
                            return Box::pin(self.park(index, task, previous, failure)).await;
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
            Box::pin(self.keep_failed(index, (*task).clone(), previous)).await;
            tell(told);
            self.wait_for(index, due).await;
        }
    }

    /// Keeps that an attempt failed and when the next is due. What the body cancels meanwhile is cancelled after that,
    /// so that the store is told of both in this order.
    async fn keep_failed(&self, index: u32, task: TaskRun, previous: Option<PastAttempt>) {
        let logs = {
            let mut table = self.table();
            let keeps = table.calls[index as usize].go_on(Status::Keeping { cancelled: false });
            keeps.then(|| table.take_logs())
        };
        let Some(logs) = logs else { return std::future::pending().await };
        self.commit(TaskCommit { task: Arc::new(task.clone()), past: previous.into_iter().collect(), logs }).await;
        let cancelled = {
            let call = &mut self.table().calls[index as usize];
            (call.task, call.past) = (task, None);
            let cancelled = matches!(call.status, Status::Keeping { cancelled: true });
            call.status = Status::Active;
            cancelled
        };
        if cancelled {
            self.cancel(index);
            std::future::pending::<()>().await;
        }
    }

    /// Keeps that a task gave up and has the run parked, before the body is told.
    async fn park(&self, index: u32, task: Box<TaskRun>, previous: Option<PastAttempt>, failure: Failure) {
        let logs = {
            let mut table = self.table();
            let keeps = table.calls[index as usize].go_on(Status::Committing);
            keeps.then(|| table.take_logs())
        };
        let Some(logs) = logs else { return std::future::pending().await };
        self.commit(TaskCommit { task: task.into(), past: previous.into_iter().collect(), logs }).await;
        self.table().parked = Some(failure);
        self.interrupt(Interrupt::Parked);
        self.idle();
        std::future::pending().await
    }

    /// Notes that an attempt begins, for whoever cancels it: the attempt before it is to be kept then, too.
    fn began(&self, index: u32, task: &TaskRun, began: Timestamp, previous: Option<&PastAttempt>) {
        let call = &mut self.table().calls[index as usize];
        (call.task.attempts, call.task.began, call.past) = (task.attempts, began, previous.cloned());
        call.task.round_began = task.round_began;
        call.attempting = task.identity.kind == CallKind::Task;
    }

    /// Waits for a place under the limit of each tag, a slot of the run and one of the host; forever once the host is
    /// stopping.
    async fn slots(&self, index: u32, tags: &[String]) -> impl Sized + use<'_> {
        let open = "the semaphores are never closed";
        let of_tags = match tags {
            [] => Vec::new(),
            tags => {
                self.table().calls[index as usize].awaits_tags = true;
                let places = self.engine.tags.places(tags, self.record.asked.id).await;
                self.table().calls[index as usize].awaits_tags = false;
                places
            }
        };
        let of_run = self.in_flight.acquire().await.expect(open);
        let of_host = self.engine.task_slots.acquire().await.expect(open);
        if self.stopping.load(Ordering::Acquire) {
            drop((of_tags, of_run, of_host));
            self.idle();
            return std::future::pending().await;
        }
        (of_tags, of_run, of_host)
    }

    /// Counts one call out that will do nothing more.
    fn idle(&self) {
        let mut table = self.table();
        table.busy = table.busy.saturating_sub(1);
        drop(table);
        self.done.notify_waiters();
    }

    /// Waits until a call is due to go on; forever once the body has cancelled it.
    async fn wait_for(&self, index: u32, due: Timestamp) {
        let waits = {
            let mut table = self.table();
            let waits = table.calls[index as usize].go_on(Status::Waiting(due));
            if waits {
                table.busy = table.busy.saturating_sub(1);
                self.maybe_suspend(&mut table);
            }
            waits
        };
        if waits {
            self.done.notify_waiters();
            self.engine.until(due).await;
            let mut table = self.table();
            if table.calls[index as usize].go_on(Status::Active) {
                table.busy += 1;
                return;
            }
        }
        std::future::pending().await
    }

    /// Keeps what a call came to, unless the body cancelled it in that instant: then that is what is kept.
    async fn finish(&self, index: u32, mut task: Box<TaskRun>, past: Option<PastAttempt>, mut given: Given) {
        let keeps = {
            let mut table = self.table();
            let keeps = table.calls[index as usize].go_on(Status::Committing);
            if keeps
                && let Given::Result(result) = &given
                && let Err(failure) = table.size.add(result.bytes())
            {
                (task.state, task.result, task.failure) = (TaskState::Failed, None, Some(failure.clone()));
                given = Given::Failure(failure);
            }
            keeps
        };
        if !keeps {
            std::future::pending::<()>().await;
        }
        self.keep(index, task, past, given).await;
    }

    /// Keeps what a call came to and shows it to the body, after all that were done before it.
    pub(super) async fn keep(&self, index: u32, mut task: Box<TaskRun>, past: Option<PastAttempt>, given: Given) {
        let (logs, has_place) = {
            let mut table = self.table();
            let promised = table.calls[index as usize].promised;
            task.done = promised.unwrap_or_else(|| {
                table.done_given += 1;
                table.done_given
            });
            (table.take_logs(), promised.is_some())
        };
        let (done, ended) = (task.done, task.told.unwrap_or(task.ended));
        self.commit(TaskCommit { task: task.into(), past: past.into_iter().collect(), logs }).await;
        {
            let mut table = self.table();
            // Its place among the others was taken in an earlier go, or is the next, or waits for those before it.
            if has_place || done == table.done_shown + 1 {
                table.show(done, (index, given, ended));
            } else {
                table.unshown.insert(done, (index, given, ended));
            }
            while let Some((place, shown)) = {
                let next = table.done_shown + 1;
                table.unshown.remove_entry(&next)
            } {
                table.show(place, shown);
            }
            table.busy = table.busy.saturating_sub(1);
            self.maybe_suspend(&mut table);
        }
        self.done.notify_waiters();
    }

    /// Returns when it is kept. Never returns when the run belongs to somebody else: the driver drops us.
    pub(super) async fn commit(&self, commit: TaskCommit) {
        let (store, id) = (&self.engine.outside.store, self.record.asked.id);
        let commit = || store.commit_task(id, self.fence, commit.clone());
        if let Err(error) = self.engine.until_answered(id, "keeping a task's result", commit).await {
            tracing::warn!(run = %id, %error, "a task's result came too late");
            self.interrupt(Interrupt::Lost);
            std::future::pending::<()>().await;
        }
    }

    /// Has a child run made, and waits for its end.
    async fn make_child(&self, index: u32, mut task: Box<TaskRun>) {
        let began = self.engine.outside.clock.now();
        let run = self.child(index, began);
        let child = run.id;
        let previous = task.past();
        task.attempts += 1;
        if task.round_began == Timestamp::default() {
            task.round_began = began;
        }
        self.began(index, &task, began, previous.as_ref());
        let name = self.table().title(&task);
        self.observe(|| Progress::TaskBegan { number: task.number, name: name.clone(), attempt: task.attempts });
        self.observe(|| Progress::Child(child));
        let outcome = self.child_outcome(index, run, previous.as_ref().map(|it| it.ended)).await;
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

    /// Returns the run that a call of a child flow asks for.
    pub(super) fn child(&self, index: u32, now: Timestamp) -> NewRun {
        let asked = &self.record.asked;
        let table = self.table();
        let Call { task, policy, input, .. } = &table.calls[index as usize];
        let own = self.component.info.flow(&task.identity.name).map(|it| &it.retry);
        let retry = (own != Some(policy)).then(|| policy.clone());
        NewRun {
            id: task.identity.child_of(asked.id),
            component: asked.component,
            flow: task.identity.name.to_string(),
            deployment: None,
            queue: asked.queue.clone(),
            parameters: Kept::Inline(input.clone()),
            overrides: Overrides { retry, inject: asked.overrides.inject.clone(), ..Overrides::default() },
            idempotency_key: None,
            parent: Some(Parent { run: asked.id, call: task.number }),
            root: asked.root,
            depth: asked.depth + 1,
            due: now,
            created: now,
        }
    }

    /// Cancels the child of a call. One that may be on its way to be made is made first: if it came after it was
    /// cancelled, it would be worked on for nobody.
    pub(super) async fn cancel_child(&self, run: NewRun, on_its_way: bool) -> Result<(), StoreError> {
        let (engine, store, id) = (&self.engine, &self.engine.outside.store, run.id);
        let cancel = || engine.cancel(id);
        match engine.until_answered(id, "cancelling a child run", cancel).await {
            Err(StoreError::NoRun(_)) if on_its_way => {}
            answer => return answer.map(drop),
        }
        engine.until_answered(id, "making a child run to be cancelled", || store.create(run.clone())).await?;
        engine.until_answered(id, "cancelling a child run", cancel).await.map(drop)
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

    /// `seen`: when an earlier attempt of ours kept what its child came to.
    async fn child_outcome(&self, index: u32, run: NewRun, seen: Option<Timestamp>) -> Result<Kept, Failure> {
        let (engine, store, id) = (&self.engine, &self.engine.outside.store, run.id);
        let depth = run.depth;
        let (record, _) = self.until_answered(id, || engine.make(run.clone())).await?;
        let forgotten = record.forgotten;
        // What it came to in an earlier attempt of ours is not this one's answer; what it came to since then is. Of one
        // that goes on, `ended` is when its last attempt did.
        let began = self.record.run.attempt_began;
        // The clock may have been set back since: what an earlier attempt saw is told by when it did, too.
        let is_earlier = |ended| Some(ended) < began || Some(ended) <= seen;
        let is_old = match record.run.state {
            // A round that somebody else began before that is waited for, and is not the answer.
            _ if forgotten => true,
            // It may stop only now, long after an earlier attempt has cancelled it. What a person has cancelled since
            // this one began is cancelled for good.
            state if state.is_cancelled() => self.cancelled_at(id).await?.is_none_or(|at| Some(at) <= began),
            state => state.answers() && record.ended.is_some_and(is_earlier),
        };
        let old_round = is_old.then_some(record.run.round);
        loop {
            if self.table().calls[index as usize].is_closed() {
                return std::future::pending().await;
            }
            if self.stopping.load(Ordering::Acquire) {
                self.idle();
                return std::future::pending().await;
            }
            let notify = engine.watch(id);
            let changed = notify.notified();
            let record = self.until_answered(id, || store.run(id)).await?;
            let has_ended = record.run.state.answers();
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
                // Whatever it had failed with before.
                RunState::Cancelled => return Err(Failure::new(code::CANCELLED, "the child run was cancelled")),
                RunState::Failed { .. } | RunState::Crashed | RunState::Parked => {
                    let shown = record.run.shown(engine.outside.clock.now());
                    let unknown = || Failure::new(code::INTERNAL, format!("the child run is {shown}"));
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

    /// When a child was cancelled last.
    async fn cancelled_at(&self, child: FlowRunId) -> Result<Option<Timestamp>, Failure> {
        let store = &self.engine.outside.store;
        let events = self.until_answered(child, || store.events(child)).await?;
        Ok(events.iter().rev().find(|it| it.kind == "cancel").map(|it| it.at))
    }

    /// Begins a new round of a child that ended in an earlier attempt; with nothing kept if it was forgotten.
    async fn retry_child(&self, record: &RunRecord, forgotten: bool) -> Result<(), Failure> {
        let (engine, store, id) = (&self.engine, &self.engine.outside.store, record.asked.id);
        let (mut forget, mut forget_children) = (Vec::new(), Vec::new());
        if forgotten {
            forget.extend(self.until_answered(id, || store.task_runs(id)).await?.iter().map(|it| it.number));
            forget_children.extend(self.until_answered(id, || engine.children(id)).await?.iter().map(|it| it.asked.id));
        }
        let asked = &record.asked.overrides;
        let request = RetryRequest {
            now: engine.outside.clock.now(),
            expected_attempt: Some(record.run.attempt),
            completed_too: forgotten,
            forget,
            forget_children,
            component: (record.asked.component != self.component.digest).then_some(self.component.digest),
            parameters: None,
            // What a person asked for in another round was for that one.
            overrides: asked.this_round.is_some().then(|| asked.in_round(Overrides::default())),
            by_parent: true,
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
}
