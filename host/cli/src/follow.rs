//! Staying with a run until it ends, has nothing to do, or somebody has waited enough.

use std::sync::OnceLock;
use std::time::Duration;

use retake_core::id::FlowRunId;
use retake_core::limits;
use retake_core::run::{Run, RunState};
use retake_core::time::Timestamp;
use retake_engine::Scope;
use retake_store::{RunFilter, RunRecord, StoreError};

use crate::args::Wait;
use crate::local::{Local, database_failed};
use crate::out::{Exit, Trouble};

/// Why the wait is over.
#[derive(Debug)]
pub(crate) enum Over {
    /// The run has ended, or waits for a person.
    Ended(Box<RunRecord>),
    /// There is nothing to do until then.
    Idle(Box<RunRecord>, Timestamp),
    /// Somebody paused it, and has to resume it.
    Paused(Box<RunRecord>),
    /// The time limit was reached.
    TimeLimit(Box<RunRecord>),
    /// Somebody pressed Ctrl-C.
    Interrupted(Box<RunRecord>),
}

/// Works on a run's tree until the wait is over, then stops in good order.
pub(crate) async fn follow(local: &Local, id: FlowRunId, wait: &Wait) -> anyhow::Result<Over> {
    let (over, told) = tokio::sync::oneshot::channel();
    let asked_for = async {
        // An error is told by the look at the run below.
        let why = until_over(local, id, wait).await;
        let _ = over.send(why);
    };
    let root = local.store.run(id).await?.asked.root;
    work(local, Scope { root: Some(root), queues: [].into() }, asked_for).await?;
    let why = told.await.unwrap_or(Why::Ended);
    let record = Box::new(local.store.run(id).await?);
    let ended = record.run.state.answers();
    Ok(match why {
        _ if ended => Over::Ended(record),
        _ if matches!(record.run.state, RunState::Paused { .. }) => Over::Paused(record),
        Why::Idle(due) => Over::Idle(record, due),
        Why::Interrupted => Over::Interrupted(record),
        Why::Ended | Why::TimeLimit => Over::TimeLimit(record),
    })
}

/// Works until `shutdown`, or until the database has failed: then nothing can be put in order any more.
pub(crate) async fn work(local: &Local, scope: Scope, shutdown: impl Future<Output = ()>) -> Result<(), Trouble> {
    let asked = tokio::sync::Notify::new();
    let going_on = match scope.root {
        Some(root) => format!("`retake watch {}`", root.friendly_name()),
        None => "`retake worker --drain`".to_owned(),
    };
    tokio::select! {
        biased;
        () = local.engine.work(scope, async { shutdown.await; asked.notify_one() }) => Ok(()),
        () = async { asked.notified().await; interrupted().await } => {
            Err(Trouble::new(Exit::Interrupted, "left at once: what was worked on goes on at the next start")
                .hint(going_on))
        }
        () = failed(local) => Err(database_failed()),
    }
}

/// Waits until the database has failed.
async fn failed(local: &Local) {
    while !local.store.has_failed() {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

enum Why {
    Ended,
    Idle(Timestamp),
    TimeLimit,
    Interrupted,
}

async fn until_over(local: &Local, id: FlowRunId, wait: &Wait) -> Why {
    let limit = async {
        match wait.timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        why = until_nothing_to_do(local, id, wait.wait) => why,
        () = limit => Why::TimeLimit,
        () = interrupted() => Why::Interrupted,
    }
}

async fn until_nothing_to_do(local: &Local, id: FlowRunId, stay: bool) -> Why {
    let notify = local.engine.watch(id);
    let mut again = Duration::from_millis(10);
    loop {
        let changed = notify.notified();
        let Ok(record) = local.store.run(id).await else { return Why::Ended };
        let later = local.clock.now() + limits::SUSPEND_AFTER;
        // The time limit is for what changes a run without telling.
        let mut look = Duration::from_secs(1);
        match record.run.state {
            state if state.answers() => return Why::Ended,
            RunState::Paused { .. } => return Why::Ended,
            RunState::Scheduled { due, .. } if !stay && due >= later => {
                if is_idle(local, &record, later).await {
                    return Why::Idle(due);
                }
                // What happens below it does not tell.
                look = again;
                again = (again * 2).min(Duration::from_secs(1));
            }
            _ => again = Duration::from_millis(10),
        }
        let _ = tokio::time::timeout(look, changed).await;
    }
}

/// Whether nothing happens to a run and what is below it before `later`: a child that ends lets it go on.
async fn is_idle(local: &Local, record: &RunRecord, later: Timestamp) -> bool {
    let happens = |it: &Run| match it.state {
        RunState::Scheduled { due, .. } => due < later,
        state => state.is_active(),
    };
    // What ends while we look, and wakes what we have looked at, has changed when we look again.
    let (Ok(first), Ok(second)) = (tree(local, record).await, tree(local, record).await) else { return true };
    first == second && !first.iter().any(happens)
}

/// A run and what is below it, as they stand.
async fn tree(local: &Local, record: &RunRecord) -> Result<Vec<Run>, StoreError> {
    let mut all = vec![local.store.run(record.asked.id).await?];
    let mut next = 0;
    while let Some(parent) = all.get(next).map(|it| it.asked.id) {
        let filter =
            RunFilter { parent: Some(parent), limit: limits::CALLS_KEPT_PER_RUN as usize, ..RunFilter::default() };
        all.extend(local.store.list(filter, local.clock.now()).await?);
        next += 1;
    }
    Ok(all.into_iter().map(|it| it.run).collect())
}

/// Waits for Ctrl-C, or for a request to terminate.
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let told = async |kind| match signal(kind) {
        Ok(mut it) => drop(it.recv().await),
        Err(_) => std::future::pending().await,
    };
    // A terminal that is closed says so; whom `nohup` lets not hear of it goes on.
    let closed = async {
        match ignores_hangup() {
            true => std::future::pending().await,
            false => told(SignalKind::hangup()).await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = told(SignalKind::terminate()) => {}
        () = closed => {}
    }
}

/// Whether the process was started so that the end of its terminal does not end it.
fn ignores_hangup() -> bool {
    static IGNORES: OnceLock<bool> = OnceLock::new();
    *IGNORES.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|it| it.strip_prefix("SigIgn:")?.trim().get(..));
        // Bit 0 is SIGHUP, which has number 1.
        mask.and_then(|it| u64::from_str_radix(it, 16).ok()).is_some_and(|it| it & 1 != 0)
    })
}
