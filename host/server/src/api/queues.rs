//! Queues: how much of each is worked on at once.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use retake_core::limits;
use retake_core::retry::BadField;
use retake_core::value::Json as Value;
use retake_store::{Definition, kind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Listed;
use super::extract::{Body, Path};
use crate::Host;
use crate::access::Actor;
use crate::error::{ApiError, checked_name};
use crate::queues::{Queue, refresh};

/// A queue of which something is said.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LimitedQueue)]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// What is said.
    pub queue: Queue,
}

/// Queues that have a limit, by name
#[utoipa::path(get, path = "/api/v1/queues", tag = "queues", responses((status = 200, body = Listed<QueueView>)))]
pub(super) async fn list(State(host): State<Host>) -> Result<Json<Listed<QueueView>>, ApiError> {
    let all = host.store.definitions(kind::QUEUE).await?.into_iter().filter_map(|it| {
        let queue = serde_json::from_str(it.body.as_str()).ok()?;
        Some(QueueView { name: it.name, queue })
    });
    Ok(Json(Listed::all(all.collect())))
}

/// Limit a queue
///
/// Runs that are worked on already go on, and do not count.
#[utoipa::path(put, path = "/api/v1/queues/{name}", tag = "queues", request_body = Queue,
    params(("name" = String, Path, description = "Its name")), responses((status = 200, body = QueueView)))]
pub(super) async fn put(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Body(queue): Body<Queue>,
) -> Result<Json<QueueView>, ApiError> {
    checked_name("name", &name)?;
    BadField::unless(queue.concurrency > 0, "concurrency", || "0 lets nothing run".into())?;
    let most = limits::CONCURRENCY;
    BadField::unless(queue.concurrency <= most, "concurrency", || format!("may be {most} at most"))?;
    let (body, updated) = (Value::of(&queue), host.now());
    let definition = Definition { kind: kind::QUEUE, name: name.clone(), body, component: None, version: 0, updated };
    host.store.define(definition, None).await?;
    refresh(&host).await?;
    host.audit(&actor, "limit-queue", name.clone(), serde_json::json!({ "concurrency": queue.concurrency })).await;
    Ok(Json(QueueView { name, queue }))
}

/// Lift the limit of a queue
#[utoipa::path(delete, path = "/api/v1/queues/{name}", tag = "queues",
    params(("name" = String, Path, description = "Its name")), responses((status = 204)))]
pub(super) async fn remove(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    if !host.store.undefine(kind::QUEUE, &name).await? {
        let hint = "`GET /api/v1/queues` or `retake queues ls` lists those that have one";
        return Err(ApiError::not_found(format!("the queue `{name}` has no limit"), hint));
    }
    refresh(&host).await?;
    host.audit(&actor, "lift-queue-limit", name, serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}
