//! How many runs there are, by state and by when they were made.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use retake_core::time::Timestamp;
use retake_store::Counts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::Query;
use super::runs::RunsFilter;
use crate::Host;
use crate::error::ApiError;

/// Runs that are looked at, at most.
const RUNS_MAX: usize = 100_000;
const BUCKETS: usize = 48;
const BUCKETS_MAX: usize = 200;
/// How far back it is counted unless it is asked for: a day.
const BACK: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// Which runs, and in how many parts of the time.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CountsFilter {
    /// Of this flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// Of this deployment, as `flow/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Of deployments with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// In one of these states, separated by commas: `failed,awaiting-retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Made at or after this instant: a day ago unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Made before this instant: now unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// Whose last attempt failed with this code; `http.*` is every code that begins with `http.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose name, flow, deployment or failure message holds this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Child runs too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub children: bool,
    /// Parts of the time, each as long as the others: 48 unless it says so, and 200 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200)]
    pub buckets: Option<usize>,
}

/// How many runs were made when.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RunCounts)]
pub struct CountsView {
    /// Where the first part of the time begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Where the last part ends.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// How long each part is.
    pub bucket_ms: f64,
    /// For each state that there is, how many in each part of the time.
    pub states: BTreeMap<String, Vec<u64>>,
    /// For each state that there is, how many in all.
    pub total: BTreeMap<String, u64>,
    /// Whether that is all: the newest 100,000 are counted, and no more.
    pub complete: bool,
}

/// How many runs there are, by state and by when they were made
///
/// With the filters of the list.
#[utoipa::path(get, path = "/api/v1/flow-runs/counts", tag = "flow runs", params(CountsFilter),
    responses((status = 200, body = CountsView)))]
pub(super) async fn counts(
    State(host): State<Host>,
    Query(asked): Query<CountsFilter>,
) -> Result<Json<CountsView>, ApiError> {
    let now = host.now();
    let until = asked.until.unwrap_or(now);
    let since = asked.since.unwrap_or_else(|| until.ago(BACK));
    if since >= until {
        return Err(ApiError::invalid("`since` is not before `until`", "name an earlier instant"));
    }
    let buckets = asked.buckets.unwrap_or(BUCKETS);
    if !(1..=BUCKETS_MAX).contains(&buckets) {
        let message = format!("`buckets` is {buckets}");
        return Err(ApiError::invalid(message, format!("it may be 1 to {BUCKETS_MAX}")));
    }
    let CountsFilter { flow, deployment, tag, state, code, text, children, .. } = asked;
    let filter = RunsFilter { flow, deployment, tag, state, code, text, children, ..RunsFilter::default() };
    let mut filter = filter.read(host.store.as_ref(), RUNS_MAX).await?;
    (filter.since, filter.until) = (Some(since), Some(until));
    let Counts { by_state, complete } = host.store.counts(filter, buckets, now).await?;
    let states: BTreeMap<String, Vec<u64>> = by_state.into_iter().map(|(it, all)| (it.to_string(), all)).collect();
    let total = states.iter().map(|(it, all)| (it.clone(), all.iter().sum())).collect();
    let bucket_ms = until.since(since).as_secs_f64() * 1000.0 / buckets as f64;
    Ok(Json(CountsView { from: since, until, bucket_ms, states, total, complete }))
}
