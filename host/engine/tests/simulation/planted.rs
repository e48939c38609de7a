//! Bugs that are planted in the store, each to be found (safety.md, H4).

use std::sync::Arc;
use std::time::Duration;

use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::retry::Delay;
use retake_core::run::{AttemptEnd, Command, Refused, Run, RunState};
use retake_core::task::{TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_store::{
    AttemptCommit, ClaimRequest, ComponentRecord, MemStore, RetryRequest, RunRecord, Store, StoreError, TaskCommit,
};

use crate::world::{Late, Life};

type Answer<T> = Result<T, StoreError>;

/// What a store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Reports count whoever makes them.
    NoFence,
    /// Every claim has the same fence.
    OneFence,
    /// A result is said to be kept before it is.
    AnswerBeforeCommit,
    /// The runs of a host that is gone are left to it.
    NoSweep,
    /// A run is taken from lost hosts without end.
    SweepForgetsPolicy,
    /// How many attempts were begun is known to the process alone.
    AttemptInMemory,
    /// A task's state is kept first, and its result after that.
    TwoTransactions,
    /// Runs are claimed before they are due.
    BeforeItsTime,
    /// What has ended can be cancelled.
    CancelsWhatHasEnded,
    /// A manual retry forgets every result.
    RetryForgets,
    /// A manual retry takes whatever code is newest.
    DigestNotPinned,
    /// What is reported too late leaves no trace.
    LateResultDropped,
    /// The order in which calls were done is not kept.
    OrderLost,
    /// A new attempt is handed the failures of the last.
    OldFailuresFedBack,
    /// An attempt that goes on runs again what had failed in it.
    FailuresRunAgain,
    /// A retry is waited for that is not kept: its timer fires before anybody knows of it.
    TimerNotKept,
    /// The budget of a round is never used up.
    BudgetForgotten,
    /// The next attempt begins sooner than its policy says.
    DelayIgnored,
    /// A run ends, and its children go on.
    ChildrenLeft,
}

impl Bug {
    pub(crate) const ALL: [Bug; 19] = [
        Self::NoFence,
        Self::OneFence,
        Self::AnswerBeforeCommit,
        Self::NoSweep,
        Self::SweepForgetsPolicy,
        Self::AttemptInMemory,
        Self::TwoTransactions,
        Self::BeforeItsTime,
        Self::CancelsWhatHasEnded,
        Self::RetryForgets,
        Self::DigestNotPinned,
        Self::LateResultDropped,
        Self::OrderLost,
        Self::OldFailuresFedBack,
        Self::FailuresRunAgain,
        Self::TimerNotKept,
        Self::BudgetForgotten,
        Self::DelayIgnored,
        Self::ChildrenLeft,
    ];
}

async fn held(kept: &MemStore, run: FlowRunId) -> Option<Fence> {
    kept.run(run).await.ok()?.run.state.claim().map(|(fence, _)| fence)
}

pub(crate) async fn claim(kept: &MemStore, bug: Option<Bug>, mut request: ClaimRequest) -> Answer<Vec<RunRecord>> {
    match bug {
        Some(Bug::OneFence) => request.fences.fill(Fence::new(7)),
        Some(Bug::BeforeItsTime) => request.now = request.now + std::time::Duration::from_secs(2),
        _ => {}
    }
    let mut claimed = kept.claim(request).await?;
    match bug {
        Some(Bug::AttemptInMemory) => claimed.iter_mut().for_each(|it| it.run.attempt = 1),
        Some(Bug::BudgetForgotten) => claimed.iter_mut().for_each(|it| it.asked.overrides.retries = Some(100)),
        _ => {}
    }
    Ok(claimed)
}

pub(crate) async fn commit_task(
    kept: &MemStore,
    bug: Option<Bug>,
    life: &Life,
    run: FlowRunId,
    mut fence: Fence,
    commit: TaskCommit,
) -> Answer<()> {
    match bug {
        Some(Bug::NoFence) => fence = held(kept, run).await.unwrap_or(fence),
        Some(Bug::LateResultDropped) if held(kept, run).await != Some(fence) => return Err(Refused::StaleFence.into()),
        Some(Bug::AnswerBeforeCommit) => {
            life.deferred.lock().unwrap().push(Late::Task(run, fence, Box::new(commit)));
            return Ok(());
        }
        Some(Bug::TimerNotKept) if matches!(commit.task.state, TaskState::AwaitingRetry(_)) => return Ok(()),
        Some(Bug::TwoTransactions) if commit.task.result.is_some() => {
            let mut first = commit.clone();
            Arc::make_mut(&mut first.task).result = None;
            kept.commit_task(run, fence, first).await?;
            if life.world.chance().bool() {
                life.end();
                life.pass().await;
            }
        }
        _ => {}
    }
    kept.commit_task(run, fence, commit).await
}

/// Does what was put off, unless its process is gone.
pub(crate) async fn catch_up(kept: &MemStore, life: &Life) {
    let deferred = std::mem::take(&mut *life.deferred.lock().unwrap());
    for late in deferred {
        if let Late::Task(run, fence, commit) = late {
            let _ = kept.commit_task(run, fence, *commit).await;
        }
    }
}

pub(crate) async fn end_attempt(
    kept: &MemStore,
    bug: Option<Bug>,
    run: FlowRunId,
    mut fence: Fence,
    mut commit: AttemptCommit,
) -> Answer<Run> {
    match bug {
        Some(Bug::ChildrenLeft) => commit.cancel.clear(),
        Some(Bug::DelayIgnored) => {
            if let AttemptEnd::Failed { policy, .. } = &mut commit.end {
                policy.delay = Delay::Fixed(Duration::from_millis(1));
            }
        }
        Some(Bug::NoFence) => fence = held(kept, run).await.unwrap_or(fence),
        Some(Bug::LateResultDropped) if held(kept, run).await != Some(fence) => return Err(Refused::StaleFence.into()),
        _ => {}
    }
    kept.end_attempt(run, fence, commit).await
}

pub(crate) async fn retry(kept: &MemStore, bug: Option<Bug>, run: FlowRunId, mut request: RetryRequest) -> Answer<Run> {
    match bug {
        Some(Bug::RetryForgets) => {
            request.forget = kept.task_runs(run).await?.iter().map(|it| it.number).collect();
        }
        Some(Bug::DigestNotPinned) => {
            let (info, uploaded) = {
                let known = kept.components().await?.remove(0);
                (known.info, request.now)
            };
            let bytes = vec![1];
            let digest = ContentDigest::of(&bytes);
            kept.put_component(ComponentRecord { digest, bytes: 1, info, uploaded, removed: None }, bytes).await?;
            request.component = Some(digest);
        }
        _ => {}
    }
    kept.retry(run, request).await
}

pub(crate) async fn command(
    kept: &MemStore,
    bug: Option<Bug>,
    run: FlowRunId,
    command: Command,
    now: Timestamp,
) -> Answer<Run> {
    let has_ended = kept.run(run).await?.run.state.is_terminal();
    if bug == Some(Bug::CancelsWhatHasEnded) && has_ended && command == Command::Cancel {
        let request = RetryRequest {
            now,
            expected_attempt: None,
            completed_too: true,
            forget: Vec::new(),
            forget_children: Vec::new(),
            component: None,
            parameters: None,
            overrides: None,
            by_parent: false,
        };
        kept.retry(run, request).await?;
    }
    kept.command(run, command, now).await
}

pub(crate) async fn recover(kept: &MemStore, bug: Option<Bug>, now: Timestamp) -> Answer<Vec<(FlowRunId, Run)>> {
    if bug == Some(Bug::NoSweep) {
        return Ok(Vec::new());
    }
    let mut recovered = kept.recover(now).await?;
    if bug == Some(Bug::SweepForgetsPolicy) {
        for (id, run) in &mut recovered {
            if run.state == RunState::Crashed {
                *run = retry(
                    kept,
                    None,
                    *id,
                    RetryRequest {
                        now,
                        expected_attempt: None,
                        completed_too: false,
                        forget: Vec::new(),
                        forget_children: Vec::new(),
                        component: None,
                        parameters: None,
                        overrides: None,
                        by_parent: false,
                    },
                )
                .await?;
            }
        }
    }
    Ok(recovered)
}

pub(crate) async fn task_runs(kept: &MemStore, bug: Option<Bug>, run: FlowRunId) -> Answer<Vec<TaskRun>> {
    let mut tasks = kept.task_runs(run).await?;
    let attempt = kept.run(run).await?.run.attempt;
    for task in &mut tasks {
        match bug {
            Some(Bug::OrderLost) => task.done = 100 - task.number,
            Some(Bug::OldFailuresFedBack) if task.state == TaskState::Failed => task.flow_attempt = attempt,
            Some(Bug::FailuresRunAgain) if task.state == TaskState::Failed => task.flow_attempt = 0,
            _ => {}
        }
    }
    Ok(tasks)
}
