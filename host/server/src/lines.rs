//! The log lines of a run together with those of the runs below it.

use retake_core::id::FlowRunId;
use retake_core::task::LogLine;
use retake_core::time::Timestamp;
use retake_store::{RunFilter, Store, StoreError};

/// Most runs whose lines are shown together.
pub const TREE: usize = 1000;

/// Returns a run and those below it that there are, at most [`TREE`].
pub async fn tree(store: &dyn Store, top: FlowRunId, now: Timestamp) -> Result<Vec<FlowRunId>, StoreError> {
    let mut all = vec![top];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied().filter(|_| all.len() < TREE) {
        let filter = RunFilter { parent: Some(parent), limit: TREE - all.len(), ..RunFilter::default() };
        all.extend(store.list(filter, now).await?.iter().map(|it| it.asked.id));
        at += 1;
    }
    Ok(all)
}

/// Returns the lines of several runs after line `after`, `limit` at most, in the order in which they were kept.
pub async fn of_all(
    store: &dyn Store,
    runs: &[FlowRunId],
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, FlowRunId, LogLine)>, StoreError> {
    let mut all = Vec::new();
    for run in runs {
        all.extend(store.logs(*run, after, limit).await?.into_iter().map(|(row, line)| (row, *run, line)));
        // What comes after the page is not needed, however many runs there are.
        all.sort_unstable_by_key(|(row, ..)| *row);
        all.truncate(limit);
    }
    Ok(all)
}
