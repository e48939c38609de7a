//! Claims runs that are due and has each driven, as many at once as there are slots.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use retake_core::id::{Fence, FlowRunId};
use retake_core::limits;
use retake_core::time::Timestamp;
use retake_store::ClaimRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::{ALL_DEPTHS, Inner, run};

/// Most runs claimed in one statement: a long transaction would hold up everybody else's commits.
const CLAIMS: usize = 256;
/// How often to look without having been told: another process may have made a run.
const LOOK: Duration = Duration::from_secs(2);

/// Which runs are worked on.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Only those of this tree.
    pub root: Option<FlowRunId>,
    /// Only those of this queue.
    pub queue: Option<String>,
}

/// See [`crate::Engine::work`].
pub(crate) async fn work(engine: &Arc<Inner>, scope: Scope, shutdown: impl Future<Output = ()>) {
    let (stop, stopped) = watch::channel(false);
    let slots: Vec<Arc<Semaphore>> = (0..=limits::FLOW_DEPTH)
        .map(|depth| match depth {
            0 => Arc::new(Semaphore::new(engine.settings.flow_slots)),
            _ => Arc::new(Semaphore::new(engine.settings.child_slots)),
        })
        .collect();
    let mut runs = JoinSet::new();
    tokio::pin!(shutdown);
    engine.depths.store(ALL_DEPTHS, Ordering::Release);
    let mut next_due = None;
    engine.timers_changed();
    loop {
        while let Some(ended) = runs.try_join_next() {
            note(ended);
        }
        let claimed = tokio::select! {
            biased;
            () = &mut shutdown => break,
            claimed = claim(engine, &scope, &slots, &mut runs, &stopped) => claimed,
        };
        match claimed {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "runs could not be claimed; trying again");
                engine.depths.store(ALL_DEPTHS, Ordering::Release);
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        }
        if engine.take_timers_changed() {
            next_due = engine.outside.store.next_due(scope.root).await.unwrap_or(None);
        }
        let now = engine.outside.clock.now();
        // What is due already waits for a slot; a slot that is freed wakes us.
        let timer = next_due.filter(|due| *due > now).unwrap_or(Timestamp::MAX).min(now + LOOK);
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = engine.wake.notified() => {}
            () = engine.until(timer) => {
                engine.depths.store(ALL_DEPTHS, Ordering::Release);
                engine.timers_changed();
            }
            Some(ended) = runs.join_next() => note(ended),
        }
    }
    stop.send_replace(true);
    while let Some(ended) = runs.join_next().await {
        note(ended);
    }
}

/// A panic in a driver is our bug: it ends one attempt, which the next start takes up again.
fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "working on a run panicked; it goes on after a restart");
    }
}

/// Claims what is due at the depths where something may be. Whether there may be more.
async fn claim(
    engine: &Arc<Inner>,
    scope: &Scope,
    slots: &[Arc<Semaphore>],
    runs: &mut JoinSet<()>,
    stopped: &watch::Receiver<bool>,
) -> Result<bool, retake_store::StoreError> {
    let depths = engine.depths.swap(0, Ordering::AcqRel);
    let mut more = false;
    for (depth, slots) in (0u32..).zip(slots) {
        if depths & (1 << depth) == 0 {
            continue;
        }
        let free = slots.available_permits().min(CLAIMS);
        if free == 0 {
            // Whoever frees a slot sets the bit again.
            continue;
        }
        let now = engine.outside.clock.now();
        let fences = (0..free).map(|_| Fence::new(engine.outside.entropy.next())).collect();
        let request = ClaimRequest { now, fences, queue: scope.queue.clone(), root: scope.root, depth };
        let claimed = engine.outside.store.claim(request).await?;
        if claimed.len() == free {
            engine.depths.fetch_or(1 << depth, Ordering::AcqRel);
            more = true;
        }
        for record in claimed {
            let permit = slots.clone().try_acquire_owned().expect("only this loop takes slots");
            let (engine, stopped) = (engine.clone(), stopped.clone());
            runs.spawn(async move {
                let _freed = Freed { engine: engine.clone(), depth, _permit: permit };
                run::drive(engine, record, now, stopped).await;
            });
        }
    }
    Ok(more)
}

/// A slot that is given back, also by a panic.
struct Freed {
    engine: Arc<Inner>,
    depth: u32,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.engine.wake(self.depth);
    }
}
