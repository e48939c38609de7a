//! How much of queues, deployments and tasks with a tag is worked on at once: what is defined, told to the engine.

use retake_core::deployment::Deployment;
use retake_store::{Limited, StoreError, kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Host;

/// What is said of a queue or of a tag. One of which nothing is said has no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How much of it is worked on at once: runs of a queue, children apart, or attempts of tasks.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub concurrency: u32,
}

/// Tells the engine what is defined.
pub async fn refresh(host: &Host) -> Result<(), StoreError> {
    let mut limits = Vec::new();
    for it in host.store.definitions(kind::DEPLOYMENT).await? {
        let limit = serde_json::from_str::<Deployment>(it.body.as_str()).ok().and_then(|it| it.concurrency);
        limits.extend(limit.map(|most| (Limited::Deployment(it.name), most)));
    }
    let queues = defined(host, kind::QUEUE).await?;
    limits.extend(queues.into_iter().map(|(name, most)| (Limited::Queue(name), most)));
    host.engine.limit(limits.into_iter().collect());
    host.engine.limit_tags(defined(host, kind::TASK_TAG).await?.into_iter().collect());
    Ok(())
}

/// Returns the limits of a kind, by name.
pub(crate) async fn defined(host: &Host, kind: &'static str) -> Result<Vec<(String, u32)>, StoreError> {
    let all = host.store.definitions(kind).await?.into_iter();
    Ok(all
        .filter_map(|it| Some((it.name, serde_json::from_str::<Limit>(it.body.as_str()).ok()?.concurrency)))
        .collect())
}
