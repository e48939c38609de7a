//! Nodes: the processes that work on runs. So far that is the server itself.

use axum::extract::State;
use axum::{Extension, Json};
use retake_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Listed;
use super::extract::{Body, Path};
use crate::Host;
use crate::access::Actor;
use crate::error::ApiError;

/// A process that works on runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Node)]
pub struct NodeView {
    /// Its name: the machine's, unless the server was told another.
    pub name: String,
    /// Which version of Retake.
    pub version: String,
    /// Since when it works.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The queues whose runs it works on; empty for all.
    pub queues: Vec<String>,
    /// Whether no run begins or goes on there: those that are worked on go on to their end, or until they are put aside.
    pub draining: bool,
    /// Flow runs that are worked on, children among them, and how many without a parent may be at once.
    pub flow_runs: SlotsView,
    /// The same of attempts of tasks.
    pub task_attempts: SlotsView,
}

/// How much is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Slots)]
pub struct SlotsView {
    /// At this moment.
    pub used: u64,
    /// At most.
    pub slots: u64,
}

/// What of a node is to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeChange {
    /// Whether no run begins or goes on there from now on. It lasts until it is changed, or the process ends.
    pub draining: bool,
}

fn own(host: &Host) -> NodeView {
    let (used, all) = (host.engine.in_use(), host.engine.settings());
    let slots = |used: usize, slots: usize| SlotsView { used: used as u64, slots: slots as u64 };
    NodeView {
        name: host.node.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        since: host.node.since,
        queues: host.node.queues.clone(),
        draining: host.engine.is_draining(),
        flow_runs: slots(used.flow_runs, all.flow_slots),
        task_attempts: slots(used.task_attempts, all.task_slots),
    }
}

/// Nodes, by name
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", responses((status = 200, body = Listed<NodeView>)))]
pub(super) async fn list(State(host): State<Host>) -> Result<Json<Listed<NodeView>>, ApiError> {
    Ok(Json(Listed::all(vec![own(&host)])))
}

/// Drain a node, or let it go on
#[utoipa::path(patch, path = "/api/v1/nodes/{name}", tag = "nodes", request_body = NodeChange,
    params(("name" = String, Path, description = "Its name")), responses((status = 200, body = NodeView)))]
pub(super) async fn change(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Body(NodeChange { draining }): Body<NodeChange>,
) -> Result<Json<NodeView>, ApiError> {
    if name != host.node.name {
        let hint = "`GET /api/v1/nodes` or `retake nodes ls` lists them";
        return Err(ApiError::not_found(format!("there is no node `{name}`"), hint));
    }
    host.engine.drain(draining);
    let action = if draining { "drain-node" } else { "resume-node" };
    host.audit(&actor, action, name, serde_json::json!({})).await;
    Ok(Json(own(&host)))
}
