//! Runs that have ended are removed when they have been kept for as long as was said.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use retake_core::deployment::Deployment;
use retake_core::id::FlowRunId;
use retake_engine::AskError;
use retake_store::{ComponentRecord, OldRuns, StoreError, kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Host;

/// How often to look.
const LOOK: Duration = Duration::from_secs(600);
/// A deployment whose retention was just set has so long to be set otherwise.
const SECOND_THOUGHTS: Duration = Duration::from_secs(3600);
/// Files that nothing speaks of are removed after so long: a backup that is being made may still speak of them.
const UNUSED: Duration = Duration::from_secs(24 * 3600);
/// How many of the newest components of each name stay, whatever needs them.
pub(crate) const COMPONENTS: usize = 5;
/// A component that was just uploaded has so long to be deployed.
const UPLOADED: Duration = Duration::from_secs(600);
/// How long it is kept what became of messages, and who did what.
const DELIVERIES: Duration = Duration::from_secs(30 * 24 * 3600);
const AUDIT: Duration = Duration::from_secs(400 * 24 * 3600);

/// Runs that are looked for at once.
const PAGE: usize = 200;
/// Runs that are removed side by side: their commits are one.
const TOGETHER: usize = 16;
/// Most runs that one request removes.
const PRUNED: u64 = 10_000;

/// What was removed, or would be.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Pruned {
    /// How many runs, not counting those below them.
    pub runs: u64,
    /// Whether there are more than that.
    pub more: bool,
    /// Whether it was done: not in a dry run.
    pub applied: bool,
}

/// Removes old runs for as long as it is polled.
pub async fn work(host: &Host) {
    loop {
        if let Err(error) = look(host).await {
            tracing::warn!(%error, "old runs could not be removed; trying again");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(host: &Host) -> Result<(), StoreError> {
    let mut own = Vec::new();
    for it in host.store.definitions(kind::DEPLOYMENT).await? {
        let Ok(deployment) = serde_json::from_str::<Deployment>(it.body.as_str()) else { continue };
        let Some(retention) = deployment.retention else { continue };
        own.push(it.name.clone());
        if host.now().since(deployment.retention_since.unwrap_or(it.updated)) >= SECOND_THOUGHTS {
            remove_all(host, Some(it.name), Vec::new(), retention).await?;
        }
    }
    if let Some(retention) = host.retention {
        remove_all(host, None, own, retention).await?;
    }
    for it in prune_components(host, COMPONENTS, UPLOADED, false).await? {
        tracing::info!(digest = %it.digest, name = it.info.name, "removed a component that nothing needs");
    }
    let now = host.now();
    while host.store.tidy(now, UNUSED, now.ago(DELIVERIES), now.ago(AUDIT)).await? > 0 {}
    Ok(())
}

/// Removes components that nothing needs, but for the `keep` newest of each name and those that came within `younger`.
/// Returns which those are, or would be.
pub(crate) async fn prune_components(
    host: &Host,
    keep: usize,
    younger: Duration,
    dry_run: bool,
) -> Result<Vec<ComponentRecord>, StoreError> {
    let (mut newer, mut pruned) = (HashMap::<String, usize>::new(), Vec::new());
    for it in host.store.components().await? {
        let count = newer.entry(it.info.name.clone()).or_default();
        *count += 1;
        if *count <= keep || host.now().since(it.uploaded) < younger {
            continue;
        }
        if dry_run {
            if !host.store.needs_component(it.digest).await? {
                pruned.push(it);
            }
            continue;
        }
        match host.engine.remove_component(it.digest).await {
            Ok(()) => pruned.push(it),
            Err(AskError::Store(StoreError::InUse(_) | StoreError::NoComponent(_))) => {}
            Err(AskError::Store(error)) => return Err(error),
            Err(error) => tracing::error!(%error, "a component could not be removed"),
        }
    }
    Ok(pruned)
}

async fn remove_all(
    host: &Host,
    deployment: Option<String>,
    other_than: Vec<String>,
    retention: Duration,
) -> Result<(), StoreError> {
    let ended_before = host.now().ago(retention);
    let old = OldRuns { deployment: deployment.clone(), other_than, ended_before, ..OldRuns::default() };
    loop {
        let pruned = prune(host, old.clone(), false).await?;
        if pruned.runs > 0 {
            tracing::info!(deployment, runs = pruned.runs, "removed old runs");
        }
        if !pruned.more || pruned.runs == 0 {
            return Ok(());
        }
    }
}

/// Removes old runs, the oldest first, or counts them.
pub(crate) async fn prune(host: &Host, mut old: OldRuns, dry_run: bool) -> Result<Pruned, StoreError> {
    old.limit = PAGE;
    let mut pruned = Pruned { applied: !dry_run, ..Pruned::default() };
    loop {
        let page = host.store.old_runs(old.clone()).await?;
        old.after = page.last().copied();
        let is_last = page.len() < PAGE;
        pruned.runs += match dry_run {
            true => page.len() as u64,
            false => {
                let removed = stream::iter(page).map(|id| remove(host, id)).buffer_unordered(TOGETHER);
                removed.try_fold(0, async |count, gone| Ok(count + u64::from(gone))).await?
            }
        };
        if is_last || pruned.runs >= PRUNED {
            return Ok(Pruned { more: !is_last, ..pruned });
        }
    }
}

/// Removes a run; `false` when it was retried meanwhile, or something below it has not ended.
async fn remove(host: &Host, id: FlowRunId) -> Result<bool, StoreError> {
    match remove_whole(host, id).await {
        Ok(()) => Ok(true),
        Err(StoreError::NoRun(_) | StoreError::Refused(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a run, part by part.
pub(crate) async fn remove_whole(host: &Host, id: FlowRunId) -> Result<(), StoreError> {
    while !host.store.remove_run(id, host.now()).await? {}
    Ok(())
}
