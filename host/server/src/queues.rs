//! How much of queues and deployments is worked on at once: what is defined, told to the engine.

use retake_core::deployment::Deployment;
use retake_store::{Limited, StoreError, kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Host;

/// What is said of a queue. One of which nothing is said has no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// How many of its runs are worked on at once, children apart.
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
    for it in host.store.definitions(kind::QUEUE).await? {
        if let Ok(queue) = serde_json::from_str::<Queue>(it.body.as_str()) {
            limits.push((Limited::Queue(it.name), queue.concurrency));
        }
    }
    host.engine.limit(limits.into_iter().collect());
    Ok(())
}
