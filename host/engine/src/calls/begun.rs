//! What is kept, and said, of calls that have begun and not ended: see docs/decisions/0020.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use retake_core::failure::Failure;
use retake_core::limits;
use retake_core::port::Report;
use retake_core::replay::CallKind;
use retake_core::task::TaskRun;
use retake_core::time::Timestamp;
use retake_store::TaskCommit;

use super::{Call, Calls, Status};
use crate::tags::FullTag;

/// A task attempt that takes longer than this is kept as one that began, for whoever looks meanwhile. A commit is small
/// beside it.
const SLOW: Duration = Duration::from_millis(200);

impl Calls {
    /// Waits for an attempt of a task; one that takes long is kept meanwhile as one that began.
    pub(super) async fn attended(&self, index: u32, attempt: impl Future<Output = Report>) -> Report {
        let attempt = async {
            let report = attempt.await;
            // Whoever stops the run from now on stops no attempt of it.
            self.table().calls[index as usize].attempting = false;
            report
        };
        let mut attempt = pin!(attempt);
        loop {
            let told = self.slow.notified();
            tokio::select! {
                biased;
                report = &mut attempt => return report,
                () = told => {}
            }
            let begun = {
                let call = &self.table().calls[index as usize];
                let is_slow = self.engine.outside.clock.now().since(call.task.began) >= SLOW;
                let begun = || (call.task.begun(call.task.began, None).into(), call.past.clone());
                (call.is_being_attempted() && is_slow).then(begun)
            };
            if let Some((task, past)) = begun {
                let commit = TaskCommit { task, past: past.into_iter().collect(), logs: Vec::new() };
                return futures_util::future::join(attempt, Box::pin(self.commit(commit))).await.0;
            }
        }
    }

    /// Returns a call that waits because the limit of a tag is reached: what people call it, and the tag.
    pub(crate) fn waits_for_tag(&self) -> Option<(String, FullTag)> {
        let table = self.table();
        let waiting = table.calls.iter().filter(|it| it.awaits_tags && !it.is_closed());
        waiting.take(limits::TASKS_IN_FLIGHT).find_map(|call| {
            let tags = &self.component.info.task(&call.task.identity.name)?.tags;
            let tag = self.engine.tags.full(tags)?;
            Some((table.title(&call.task), tag))
        })
    }

    /// Has it kept of each task attempt that it began, if that is a while ago.
    pub(crate) fn note_slow(&self, now: Timestamp) {
        let is_slow = |it: &Call| it.is_being_attempted() && now.since(it.task.began) >= SLOW;
        if self.table().calls.iter().any(is_slow) {
            self.slow.notify_waiters();
        }
    }

    /// Takes what is to be kept of the task attempts that stop with the attempt of the flow, after [`Calls::abort`].
    /// `failure` says why they stop. Whoever still makes one does nothing more.
    pub(crate) fn take_stopped(&self, failure: &Failure) -> Vec<TaskCommit> {
        let now = self.engine.outside.clock.now();
        let mut table = self.table();
        let begun = table.calls.iter_mut().filter(|it| it.is_being_attempted());
        let stopped = begun.map(|call| {
            call.status = Status::Committing;
            let task = call.task.begun(now, Some(failure.clone()));
            TaskCommit { task: task.into(), past: call.past.take().into_iter().collect(), logs: Vec::new() }
        });
        stopped.collect()
    }

    /// Keeps what [`Calls::take_stopped`] returned.
    pub(crate) async fn keep_stopped(&self, stopped: Vec<TaskCommit>) {
        let (store, id) = (&self.engine.outside.store, self.record.asked.id);
        let each = stopped.iter().map(|it| {
            let commit = || store.commit_task(id, self.fence, it.clone());
            self.engine.until_answered(id, "keeping what was stopped", commit)
        });
        for answer in futures_util::future::join_all(each).await {
            if let Err(error) = answer {
                tracing::debug!(run = %id, %error, "what was stopped came too late");
            }
        }
    }

    /// Returns the calls whose results are kept and that the body did not ask for in this attempt.
    pub(crate) fn unasked(&self) -> Vec<u32> {
        let table = self.table();
        let asked: HashSet<u32> = table.calls.iter().map(|it| it.task.number).collect();
        unasked(table.known.values(), &asked)
    }
}

/// Returns those of a run's calls whose results are kept and for which an attempt did not ask.
pub(crate) fn unasked<'a>(known: impl IntoIterator<Item = &'a TaskRun>, asked: &HashSet<u32>) -> Vec<u32> {
    let kept = known.into_iter().filter(|it| it.is_kept() && it.identity.kind != CallKind::Sleep);
    let mut unasked: Vec<u32> = kept.map(|it| it.number).filter(|it| !asked.contains(it)).collect();
    unasked.sort_unstable();
    // Each is a change of a row, in one transaction: of more it is not said.
    if unasked.len() > limits::UNASKED {
        unasked.clear();
    }
    unasked
}
