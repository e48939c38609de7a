//! The same done to many runs: to every one that a filter finds, or to those that are named.

use axum::extract::State;
use axum::{Extension, Json};
use retake_core::id::FlowRunId;
use retake_core::run::{Refused, Shown};
use retake_core::value::Json as Value;
use retake_engine::RetryAsk;
use retake_store::{RunFilter, RunRecord, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::Body;
use super::runs::{PolicyAsk, RetryBody, RunsFilter, retry_ask};
use super::{find_run, page_limit};
use crate::Host;
use crate::access::Actor;
use crate::error::ApiError;
use crate::retention::remove_whole;
use crate::wire::RunView;

/// Most runs that one request retries or cancels.
const BULK_MAX: usize = 1000;

/// Whether a filter leaves any run out, but for its limit.
fn chooses(filter: &RunFilter) -> bool {
    let RunFilter { flow, deployments, code, text, until, shown, since, ended_since, parent, .. } = filter;
    let any_text = [flow, code, text].into_iter().flatten().any(|it| !it.is_empty());
    let any_time = until.is_some() || since.is_some() || ended_since.is_some();
    any_text || any_time || !deployments.is_empty() || !shown.is_empty() || parent.is_some()
}

/// Runs to be retried, and how; the same for each.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRetry {
    /// Which; of those in the states failed, timed-out, crashed and parked, unless it says so. It must choose something.
    /// Its `limit` is 1,000 unless it says so, and at most.
    #[serde(default)]
    pub filter: RunsFilter,
    /// Which, one by one and without a filter: ids, or friendly names. 1,000 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
    /// Forget the results of this task too, and of every call first made after it: its name, label or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Forget the results of these tasks too: names, labels or numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rerun: Vec<String>,
    /// Forget all kept results, and run everything again, even if the run has completed.
    #[serde(default)]
    pub all: bool,
    /// Run other code with the kept results: `latest`, or the beginning of a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Parameters that change, by name: the others stay as each run has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// What counts in the round that begins; the memory from now on.
    #[serde(default)]
    pub policy: PolicyAsk,
    /// Only say which.
    #[serde(default)]
    pub dry_run: bool,
}

/// Runs to be cancelled.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkCancel {
    /// Which; of those that have not ended, unless it says so. It must choose something. Its `limit` is 1,000 unless it
    /// says so, and at most.
    #[serde(default)]
    pub filter: RunsFilter,
    /// Which, one by one and without a filter: ids, or friendly names. 1,000 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
    /// Only say which.
    #[serde(default)]
    pub dry_run: bool,
}

/// Runs to be removed, with all that is kept of them. There is no way back.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRemove {
    /// Which; of those that have ended, unless it says so. It must choose something. Its `limit` is 1,000 unless it says
    /// so, and at most.
    #[serde(default)]
    pub filter: RunsFilter,
    /// Which, one by one and without a filter: ids, or friendly names. 1,000 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
    /// Only say which.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of each run.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BulkDone {
    /// Whether it was done: not in a dry run.
    pub applied: bool,
    /// Those that it was done to, or would be.
    pub runs: Vec<RunView>,
    /// Those that were left as they are, and why.
    pub refused: Vec<RefusedRun>,
    /// Whether the filter finds more runs than its limit: these were the newest.
    #[serde(default)]
    pub more: bool,
    /// What to send as `Last-Event-ID` to be told what has happened since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<String>,
}

/// A run that was left as it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RefusedRun {
    /// Which.
    #[schema(value_type = String)]
    pub run: FlowRunId,
    /// Why.
    pub error: ApiError,
}

/// What is done to each run.
enum Bulk {
    Retry(RetryBody),
    Cancel,
    Remove,
}

impl Bulk {
    /// The states of runs that it is for, unless the filter says so.
    fn states(&self) -> Vec<Shown> {
        match self {
            Self::Retry(_) => vec![Shown::Failed, Shown::TimedOut, Shown::Crashed, Shown::Parked],
            Self::Cancel => Shown::ALL.into_iter().filter(|it| !it.is_terminal()).collect(),
            Self::Remove => Shown::ALL.into_iter().filter(|it| it.is_terminal()).collect(),
        }
    }

    async fn apply(&self, host: &Host, actor: &Actor, record: &RunRecord, dry_run: bool) -> Result<(), ApiError> {
        let id = record.asked.id;
        let action = match self {
            Self::Retry(retry) => {
                let ask = retry_ask(host, actor, record, retry.clone()).await?;
                let ask = RetryAsk { expected_attempt: Some(record.run.attempt), ..ask };
                match dry_run {
                    true => drop(host.engine.plan_retry(id, &ask).await?),
                    false => drop(host.engine.retry(id, ask).await?),
                }
                "retry"
            }
            Self::Remove if dry_run => match record.run.state.is_terminal() {
                true => "remove-run",
                false => return Err(StoreError::from(Refused::Active).into()),
            },
            Self::Remove => {
                remove_whole(host, id).await?;
                "remove-run"
            }
            Self::Cancel if dry_run => "cancel",
            Self::Cancel => {
                host.engine.cancel(id).await?;
                "cancel"
            }
        };
        if !dry_run {
            host.audit(actor, action, id.to_string(), serde_json::json!({ "bulk": true })).await;
        }
        Ok(())
    }
}

/// Returns the runs that are meant, the newest first, and whether a filter finds more than its limit.
async fn chosen(
    host: &Host,
    filter: RunsFilter,
    runs: &[String],
    what: &Bulk,
) -> Result<(Vec<RunRecord>, bool), ApiError> {
    let limit = page_limit(filter.limit, BULK_MAX, BULK_MAX)?;
    // One more says whether there are more.
    let mut filter = filter.read(host.store.as_ref(), limit + 1).await?;
    if !runs.is_empty() {
        if chooses(&filter) {
            let hint = "name the runs in `runs`, or say in `filter` what they have in common";
            return Err(ApiError::invalid("`runs` and `filter` exclude each other", hint));
        }
        if runs.len() > limit {
            return Err(ApiError::invalid(format!("`runs` names more than {limit} runs"), "name fewer at once"));
        }
        let mut ids = Vec::with_capacity(runs.len());
        for run in runs {
            ids.push(find_run(host.store.as_ref(), run).await?);
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.push(host.store.run(id).await?);
        }
        return Ok((found, false));
    }
    if !chooses(&filter) {
        let hint =
            "name a `flow`, a `state` or whatever else they have in common; `\"state\": \"failed\"` is all that failed";
        return Err(ApiError::invalid("`filter` chooses nothing", hint));
    }
    if filter.shown.is_empty() {
        filter.shown = what.states();
    }
    let mut found = host.store.list(filter, host.now()).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

async fn bulk(
    host: Host,
    actor: Actor,
    filter: RunsFilter,
    runs: Vec<String>,
    dry_run: bool,
    what: Bulk,
) -> Result<Json<BulkDone>, ApiError> {
    let (found, more) = chosen(&host, filter, &runs, &what).await?;
    let last_event = Some(host.live.last());
    let mut done = BulkDone { applied: !dry_run, runs: Vec::new(), refused: Vec::new(), more, last_event };
    // The oldest first.
    for record in found.iter().rev() {
        let run = record.asked.id;
        match what.apply(&host, &actor, record, dry_run).await {
            Ok(()) => {
                // One that was removed is shown as it was.
                let after = host.store.run(run).await.unwrap_or_else(|_| record.clone());
                done.runs.push(RunView::new(&after, host.now()));
            }
            Err(error) => done.refused.push(RefusedRun { run, error }),
        }
    }
    Ok(Json(done))
}

/// Retry every run that a filter finds, or that is named
#[utoipa::path(post, path = "/api/v1/flow-runs/bulk-retry", tag = "flow runs", request_body = BulkRetry, responses((status = 200, body = BulkDone)))]
pub(super) async fn bulk_retry(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<BulkRetry>,
) -> Result<Json<BulkDone>, ApiError> {
    let BulkRetry { filter, runs, from, rerun, all, version, parameters, policy, dry_run } = body;
    let retry = RetryBody { from, rerun, all, version, parameters, policy, dry_run, ..RetryBody::default() };
    bulk(host, actor, filter, runs, dry_run, Bulk::Retry(retry)).await
}

/// Cancel every run that a filter finds, or that is named
#[utoipa::path(post, path = "/api/v1/flow-runs/bulk-cancel", tag = "flow runs", request_body = BulkCancel, responses((status = 200, body = BulkDone)))]
pub(super) async fn bulk_cancel(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<BulkCancel>,
) -> Result<Json<BulkDone>, ApiError> {
    bulk(host, actor, body.filter, body.runs, body.dry_run, Bulk::Cancel).await
}

/// Remove every run that a filter finds, or that is named
#[utoipa::path(post, path = "/api/v1/flow-runs/bulk-remove", tag = "flow runs", request_body = BulkRemove, responses((status = 200, body = BulkDone)))]
pub(super) async fn bulk_remove(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Body(body): Body<BulkRemove>,
) -> Result<Json<BulkDone>, ApiError> {
    bulk(host, actor, body.filter, body.runs, body.dry_run, Bulk::Remove).await
}
