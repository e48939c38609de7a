//! Queues and the tags of tasks: how much of each is worked on at once.

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
use crate::tell::limits_of;

/// What is said of a queue or of a tag. One of which nothing is said has no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How much of it is worked on at once: runs of a queue, children apart, or attempts of tasks.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub concurrency: u32,
}

/// A queue or a tag that has a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Limited)]
pub struct LimitView {
    /// Its name.
    pub name: String,
    /// How much of it is worked on at once.
    pub concurrency: u32,
}

/// Queues that have a limit, by name
#[utoipa::path(get, path = "/api/v1/queues", tag = "queues", responses((status = 200, body = Listed<LimitView>)))]
pub(super) async fn list(State(host): State<Host>) -> Result<Json<Listed<LimitView>>, ApiError> {
    listed(&host, kind::QUEUE).await
}

/// Limit a queue
///
/// Runs that are worked on already go on, and do not count.
#[utoipa::path(put, path = "/api/v1/queues/{name}", tag = "queues", request_body = Limit,
    params(("name" = String, Path, description = "Its name")), responses((status = 200, body = LimitView)))]
pub(super) async fn put(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Body(limit): Body<Limit>,
) -> Result<Json<LimitView>, ApiError> {
    set(&host, &actor, kind::QUEUE, name, &limit).await
}

/// Lift the limit of a queue
#[utoipa::path(delete, path = "/api/v1/queues/{name}", tag = "queues",
    params(("name" = String, Path, description = "Its name")), responses((status = 204)))]
pub(super) async fn remove(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    lift(&host, &actor, kind::QUEUE, name).await
}

/// Tags of tasks that have a limit, by name
#[utoipa::path(get, path = "/api/v1/task-tags", tag = "queues", responses((status = 200, body = Listed<LimitView>)))]
pub(super) async fn list_tags(State(host): State<Host>) -> Result<Json<Listed<LimitView>>, ApiError> {
    listed(&host, kind::TASK_TAG).await
}

/// Limit how many attempts of tasks with a tag are made at once
///
/// Over all runs. An attempt of a task with several tags takes a place of each. What is being made when the limit is set
/// goes on, and does not count.
#[utoipa::path(put, path = "/api/v1/task-tags/{name}", tag = "queues", request_body = Limit,
    params(("name" = String, Path, description = "The tag")), responses((status = 200, body = LimitView)))]
pub(super) async fn put_tag(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Body(limit): Body<Limit>,
) -> Result<Json<LimitView>, ApiError> {
    set(&host, &actor, kind::TASK_TAG, name, &limit).await
}

/// Lift the limit of a tag
#[utoipa::path(delete, path = "/api/v1/task-tags/{name}", tag = "queues",
    params(("name" = String, Path, description = "The tag")), responses((status = 204)))]
pub(super) async fn remove_tag(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    lift(&host, &actor, kind::TASK_TAG, name).await
}

async fn listed(host: &Host, kind: &'static str) -> Result<Json<Listed<LimitView>>, ApiError> {
    let all = limits_of(host.store.as_ref(), kind)
        .await?
        .into_iter()
        .map(|(name, concurrency)| LimitView { name, concurrency });
    Ok(Json(Listed::all(all.collect())))
}

async fn set(
    host: &Host,
    actor: &Actor,
    kind: &'static str,
    name: String,
    limit: &Limit,
) -> Result<Json<LimitView>, ApiError> {
    checked_name("name", &name)?;
    let (concurrency, most) = (limit.concurrency, limits::CONCURRENCY);
    BadField::unless(concurrency > 0, "concurrency", || "0 lets nothing run".into())?;
    BadField::unless(concurrency <= most, "concurrency", || format!("may be {most} at most"))?;
    let (body, updated) = (Value::of(limit), host.now());
    host.store
        .define(Definition { kind, name: name.clone(), body, component: None, version: 0, updated }, None)
        .await?;
    host.tell_engine().await?;
    host.audit(actor, &format!("limit-{kind}"), name.clone(), serde_json::json!({ "concurrency": concurrency })).await;
    Ok(Json(LimitView { name, concurrency }))
}

async fn lift(host: &Host, actor: &Actor, kind: &'static str, name: String) -> Result<StatusCode, ApiError> {
    if !host.store.undefine(kind, &name).await? {
        let hint = format!("`GET /api/v1/{kind}s` or `retake {kind}s ls` lists those that have one");
        return Err(ApiError::not_found(format!("the {kind} `{name}` has no limit"), hint));
    }
    host.tell_engine().await?;
    host.audit(actor, &format!("lift-{kind}-limit"), name, serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}
