//! Flow runs.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use std::time::Duration;

use retake_core::deployment::Deployment;
use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::inject::Injection;
use retake_core::limits;
use retake_core::run::{Run, Shown};
use retake_core::task::Overrides;
use retake_core::time::Timestamp;
use retake_core::value::Json as Value;
use retake_engine::{AskError, RetryAsk, StartRequest, Through};
use retake_store::{RunFilter, RunRecord, Store, kind};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query};
use super::{Listed, components, deployments, find_run, kept, page_limit, page_place};
use crate::access::Actor;
use crate::code;
use crate::error::ApiError;
use crate::explain::Explanation;
use crate::lines;
use crate::retention::remove_whole;
use crate::text::waits_words;
use crate::wire::{LineView, PlanView, RunView, TaskView, millis};
use crate::{Host, schema};

/// Runs on one page: unless it is asked for, and at most.
const PAGE: usize = 50;
const PAGE_MAX: usize = 200;
/// Log lines on one page, at most.
const LINES_MAX: usize = 1000;
/// How far ahead a run may be asked for.
const FARTHEST: Duration = Duration::from_secs(3660 * 24 * 3600);

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunsFilter {
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
    /// Made at or after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Made before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// Whose last attempt ended then or later; made then or later, where none has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    #[param(value_type = Option<String>, format = DateTime)]
    pub ended_since: Option<Timestamp>,
    /// Whose last attempt failed with this code; `http.*` is every code that begins with `http.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose name, flow, deployment or failure message holds this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Children of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Child runs too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub children: bool,
    /// Runs older than this one: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// So many at most: 50 unless it says so, and 200 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200)]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

impl RunsFilter {
    /// Reads what is asked for, with so many runs at most.
    pub async fn read(&self, store: &dyn Store, limit: usize) -> Result<RunFilter, ApiError> {
        let mut deployments: Vec<String> = self.deployment.iter().cloned().collect();
        if let Some(tag) = &self.tag {
            let tagged = store.definitions(kind::DEPLOYMENT).await?.into_iter().filter(|it| {
                let has_it = |it: Deployment| it.tags.contains(tag);
                serde_json::from_str(it.body.as_str()).is_ok_and(has_it)
            });
            let tagged: Vec<String> = tagged.map(|it| it.name).collect();
            match self.deployment.is_some() {
                true => deployments.retain(|it| tagged.contains(it)),
                false => deployments = tagged,
            }
            if deployments.is_empty() {
                // Nothing has that tag; no deployment is called so.
                deployments.push(String::new());
            }
        }
        let mut shown = Vec::new();
        for word in self.state.iter().flat_map(|it| it.split(',')) {
            let it = state(word)?;
            if !shown.contains(&it) {
                shown.push(it);
            }
        }
        let parent = match &self.parent {
            Some(text) => Some(find_run(store, text).await?),
            None => None,
        };
        let before = self.before.as_ref().map(|it| it.parse::<FlowRunId>()).transpose();
        Ok(RunFilter {
            flow: self.flow.clone(),
            deployments,
            code: self.code.clone(),
            text: self.text.clone().filter(|it| !it.is_empty()),
            until: self.until,
            ended_since: self.ended_since,
            shown,
            since: self.since,
            before: before.map_err(|it| ApiError::invalid(format!("`before`: {it}"), "give `next` of a page"))?,
            parent,
            roots_only: parent.is_none() && !self.children,
            limit,
        })
    }
}

/// Reads the word for a state; `awaiting-retry` is as good as `AwaitingRetry`.
fn state(text: &str) -> Result<Shown, ApiError> {
    let same = |it: &Shown| it.to_string().eq_ignore_ascii_case(&text.trim().replace(['-', '_'], ""));
    Shown::ALL.into_iter().find(same).ok_or_else(|| {
        let all = Shown::ALL.map(|it| it.to_string()).join(", ");
        ApiError::invalid(format!("no state `{text}`"), format!("states: {all}"))
    })
}

/// Shows a run without what happened in it, and why it waits.
pub(super) fn view(host: &Host, record: &RunRecord) -> RunView {
    RunView { waits_for: waits_for(host, record), ..RunView::new(record, host.now()) }
}

fn waits_for(host: &Host, record: &RunRecord) -> Option<String> {
    host.engine.waits(record).as_ref().map(waits_words)
}

/// Runs, the newest first
#[utoipa::path(get, path = "/api/v1/flow-runs", tag = "flow runs", params(RunsFilter), responses((status = 200, body = Listed<RunView>)))]
pub(super) async fn list(
    State(host): State<Host>,
    Query(query): Query<RunsFilter>,
) -> Result<Json<Listed<RunView>>, ApiError> {
    let limit = page_limit(query.limit, PAGE, PAGE_MAX)?;
    let (store, now) = (host.store.as_ref(), host.now());
    // One more than is shown says whether there is another page.
    let mut found = store.list(query.read(store, limit + 1).await?, now).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|it| it.asked.id.to_string());
    let items = found.iter().map(|it| view(&host, it)).collect();
    Ok(Json(Listed { items, next }))
}

/// A run that is asked for: of a deployment, or of a flow of a component.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunAsk {
    /// The deployment, as `flow/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Where no deployment is named: the flow, of `component`, of what was deployed of it last, or else of the newest
    /// component that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// Where no deployment is named: the code, as a digest or the beginning of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// A JSON object; laid over the deployment's, name by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// When it may begin; at once unless it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// The same as a wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_ms: Option<u64>,
    /// A second run under the same key is not made. The header `Idempotency-Key` is as good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub idempotency_key: Option<String>,
    /// What counts instead of the metadata.
    #[serde(default, skip_serializing_if = "PolicyAsk::is_empty")]
    pub policy: PolicyAsk,
    /// What is to go wrong, to see what becomes of the run then: `task:NAME=fail*2` fails the first two attempts of each
    /// of its runs with the code `test.failed`, `fail:CODE` with another, `trap` and `hang` trap or use up their time;
    /// `flow:NAME` is a flow. 32 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub inject: Vec<Injection>,
}

/// What counts instead of the metadata.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PolicyOverrides)]
pub struct PolicyAsk {
    /// Retries of the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 10_000)]
    pub retries: Option<u32>,
    /// Milliseconds before each retry of the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2_592_000_000u64)]
    pub retry_delay_ms: Option<u64>,
    /// Milliseconds of wall clock for each attempt of the flow.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "within_a_year")]
    #[schema(minimum = 1, maximum = 31_536_000_000u64)]
    pub timeout_ms: Option<u64>,
    /// Bytes of memory for each attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 268_435_456)]
    pub memory_bytes: Option<u64>,
}

/// Reads milliseconds that are not more than a flow's attempt may take at most.
fn within_a_year<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let asked = Option::<u64>::deserialize(deserializer)?;
    let most = millis(limits::FLOW_TIMEOUT_MAX);
    match asked.filter(|it| *it > most) {
        None => Ok(asked),
        Some(_) => Err(serde::de::Error::custom(format!("`timeout_ms` may be {most} at most"))),
    }
}

impl From<&Overrides> for PolicyAsk {
    fn from(it: &Overrides) -> Self {
        Self {
            retries: it.retries,
            retry_delay_ms: it.retry_delay.map(millis),
            timeout_ms: it.timeout.map(millis),
            memory_bytes: it.memory_bytes,
        }
    }
}

impl PolicyAsk {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Lays it over what there is.
    pub(super) fn over(&self, had: Overrides) -> Overrides {
        let millis = std::time::Duration::from_millis;
        Overrides {
            retries: self.retries.or(had.retries),
            retry_delay: self.retry_delay_ms.map(millis).or(had.retry_delay),
            timeout: self.timeout_ms.map(millis).or(had.timeout),
            memory_bytes: self.memory_bytes.or(had.memory_bytes),
            ..had
        }
    }
}

/// Start a run
///
/// Under an `Idempotency-Key` that made a run before, that run is the answer, with status 200.
#[utoipa::path(post, path = "/api/v1/flow-runs", tag = "flow runs", request_body = RunAsk,
    params(("Idempotency-Key" = Option<String>, Header, description = "A second run under the same key is not made"),
        ("traceparent" = Option<String>, Header, description = "The span that asks, by W3C's Trace Context: those of \
            the run stand below it. What is no such thing counts for nothing")),
    responses((status = 201, body = RunView), (status = 200, body = RunView, description = "It was made before")))]
pub(super) async fn create(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    Body(mut ask): Body<RunAsk>,
) -> Result<(StatusCode, Json<RunView>), ApiError> {
    if let Some(key) = headers.get("idempotency-key") {
        let key =
            key.to_str().map_err(|_| ApiError::invalid("`Idempotency-Key` is no ASCII", "use letters and digits"))?;
        if ask.idempotency_key.as_ref().is_some_and(|it| it != key) {
            return Err(ApiError::invalid("the header and the body name two keys", "leave one out"));
        }
        ask.idempotency_key = Some(key.to_owned());
    }
    // Before anything else: what the key made is the answer, also when the deployment has changed since.
    if let Some(record) = made_before(&host, &ask).await? {
        return Ok((StatusCode::OK, Json(view(&host, &record))));
    }
    host.room_for_a_run().await?;
    let mut request = start_request(&host, ask).await?;
    request.overrides.trace_parent = headers.get("traceparent").and_then(|it| it.to_str().ok()?.parse().ok());
    let (record, made) = host.engine.start(request).await?;
    if made {
        let details = serde_json::json!({ "flow": record.asked.flow, "deployment": record.asked.deployment });
        host.audit(&actor, "start", record.asked.id.to_string(), details).await;
    }
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(view(&host, &record))))
}

/// Returns the run that the key of a request made, if it made one; refuses the key when that run was asked for
/// otherwise.
async fn made_before(host: &Host, ask: &RunAsk) -> Result<Option<RunRecord>, ApiError> {
    let Some(key) = &ask.idempotency_key else { return Ok(None) };
    if key.is_empty() || key.len() > 255 {
        let hint = "leave it out, or name what is asked for";
        return Err(ApiError::invalid("`idempotency_key` has 1 to 255 bytes", hint));
    }
    if key.starts_with("schedule:") {
        let hint = "those belong to schedules: take another";
        return Err(ApiError::invalid("`idempotency_key` begins with `schedule:`", hint));
    }
    let Some(record) = host.store.keyed(key).await? else { return Ok(None) };
    let asked = &record.asked;
    let named = |asked: &Option<String>, is: Option<&str>| asked.is_none() || asked.as_deref() == is;
    let had = host.store.value(&asked.parameters).await?.to_value();
    let parameters = ask.parameters.as_ref().map(Value::to_value);
    let same_parameters = parameters
        .is_none_or(|it| it.as_object().is_some_and(|it| it.iter().all(|(name, value)| had.get(name) == Some(value))));
    let digest = asked.component.to_string();
    let same = ask.deployment == asked.deployment
        && named(&ask.flow, Some(&asked.flow))
        && ask.component.as_ref().is_none_or(|it| digest.starts_with(it))
        && same_parameters;
    match same {
        true => Ok(Some(record)),
        false => Err(AskError::OtherRequest(asked.id, asked.flow.clone()).into()),
    }
}

async fn start_request(host: &Host, ask: RunAsk) -> Result<StartRequest, ApiError> {
    let store = host.store.as_ref();
    let at = match (ask.at, ask.in_ms) {
        (Some(_), Some(_)) => return Err(ApiError::invalid("`at` and `in_ms` say the same twice", "leave one out")),
        (Some(at), None) => Some(at),
        (None, Some(wait)) => Some(host.now() + std::time::Duration::from_millis(wait)),
        (None, None) => None,
    };
    if at.is_some_and(|it| it > host.now() + FARTHEST) {
        let hint = "a schedule makes runs that far ahead";
        return Err(ApiError::invalid("`at` or `in_ms` is more than ten years ahead", hint));
    }
    let asked = ask.parameters.clone().unwrap_or_else(|| Value::trusted("{}"));
    if let Some(name) = &ask.deployment {
        if ask.flow.is_some() || ask.component.is_some() {
            let hint = "a deployment says which flow and which code: leave `flow` and `component` out";
            return Err(ApiError::invalid("`deployment` stands beside `flow` or `component`", hint));
        }
        let deployment = kept::<Deployment>(&deployments::find(store, name).await?)?;
        return Ok(StartRequest {
            component: deployment.component,
            flow: deployment.flow.clone(),
            parameters: laid_over(&asked, &deployment.parameters)?,
            overrides: Overrides { inject: ask.inject.clone(), ..ask.policy.over(deployment.overrides.clone()) },
            idempotency_key: ask.idempotency_key,
            at,
            through: Some(Through { deployment: deployment.full_name(), queue: deployment.queue }),
        });
    }
    let (component, flow) = match (&ask.component, ask.flow) {
        (Some(component), flow) => {
            let found = components::find(store, component, None).await?;
            let only = || match found.info.flows.as_slice() {
                [only] => Some(only.name.clone()),
                _ => None,
            };
            let flow = flow.or_else(only).ok_or_else(|| {
                let names: Vec<String> = found.info.flows.iter().map(|it| format!("`{}`", it.name)).collect();
                ApiError::invalid("`flow` is missing", format!("the component has {}", names.join(", ")))
            })?;
            (found.digest, flow)
        }
        (None, Some(flow)) => (newest_with(host, &flow).await?, flow),
        (None, None) => {
            return Err(ApiError::invalid("nothing is named to be run", "name a `deployment`, or a `flow`"));
        }
    };
    let overrides = Overrides { inject: ask.inject.clone(), ..ask.policy.over(Overrides::default()) };
    let parameters = laid_over(&asked, &Value::trusted("{}"))?;
    let idempotency_key = ask.idempotency_key;
    Ok(StartRequest { component, flow, parameters, overrides, idempotency_key, at, through: None })
}

/// Returns the code of a flow of which only the name is said: what was deployed of it last, or else the newest upload.
async fn newest_with(host: &Host, flow: &str) -> Result<ContentDigest, ApiError> {
    let deployed = host.store.definitions(kind::DEPLOYMENT).await?.into_iter();
    let of_flow = deployed.filter(|it| it.name.split('/').next() == Some(flow)).max_by_key(|it| it.updated);
    if let Some(deployed) = of_flow {
        return Ok(kept::<Deployment>(&deployed)?.component);
    }
    let all = host.store.components().await?;
    let found = all.iter().find(|it| it.info.flow(flow).is_some());
    found.map(|it| it.digest).ok_or_else(|| {
        let hint = "`GET /api/v1/flows` or `retake flows` lists what is known";
        ApiError::not_found(format!("no component has a flow `{flow}`"), hint)
    })
}

/// Lays parameters over others, name by name.
fn laid_over(parameters: &Value, had: &Value) -> Result<Value, ApiError> {
    let hint = "`{\"name\": value}`";
    let laid = parameters.over(had).ok_or_else(|| ApiError::invalid("`parameters` is no JSON object", hint))?;
    bounded("parameters", laid)
}

/// Checks that a value is not longer than one may be.
fn bounded(field: &str, value: Value) -> Result<Value, ApiError> {
    let (bytes, most) = (value.as_str().len(), limits::VALUE_BYTES);
    match bytes <= most {
        true => Ok(value),
        false => {
            let hint = "large data belongs where a flow fetches it from";
            Err(ApiError::invalid(format!("`{field}` has {bytes} bytes, at most {most} are allowed"), hint))
        }
    }
}

/// One run with everything that happened in it
#[utoipa::path(get, path = "/api/v1/flow-runs/{run}", tag = "flow runs",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name")),
    responses((status = 200, body = RunView)))]
pub(super) async fn show(State(host): State<Host>, Path(run): Path<String>) -> Result<Json<RunView>, ApiError> {
    let id = find_run(host.store.as_ref(), &run).await?;
    whole(&host, id).await.map(Json)
}

async fn whole(host: &Host, id: FlowRunId) -> Result<RunView, ApiError> {
    let record = host.store.run(id).await?;
    let mut whole = RunView::whole(host.store.as_ref(), &record, host.now()).await?;
    whole.waits_for = waits_for(host, &record);
    Ok(whole)
}

/// Where a run stands, why, and what can be done, in sentences
#[utoipa::path(get, path = "/api/v1/flow-runs/{run}/explanation", tag = "flow runs",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name")),
    responses((status = 200, body = Explanation)))]
pub(super) async fn explanation(
    State(host): State<Host>,
    Path(run): Path<String>,
) -> Result<Json<Explanation>, ApiError> {
    let store = host.store.as_ref();
    let record = store.run(find_run(store, &run).await?).await?;
    Ok(Json(Explanation::of(store, &record, false, host.engine.waits(&record).as_ref(), host.now()).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LinesQuery {
    /// Lines after this one: `next` of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    after: Option<String>,
    /// So many at most: 1,000 unless it says so, and at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Also the lines of the runs below it, 1,000 runs at most, in the order in which they were kept: each says of which
    /// run it is.
    #[serde(default)]
    tree: bool,
}

/// What a run printed and logged
#[utoipa::path(get, path = "/api/v1/flow-runs/{run}/logs", tag = "flow runs", params(LinesQuery,
    ("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name")),
    responses((status = 200, body = Listed<LineView>)))]
pub(super) async fn logs(
    State(host): State<Host>,
    Path(run): Path<String>,
    Query(query): Query<LinesQuery>,
) -> Result<Json<Listed<LineView>>, ApiError> {
    let id = find_run(host.store.as_ref(), &run).await?;
    let limit = page_limit(query.limit, LINES_MAX, LINES_MAX)?;
    let after = page_place(query.after.as_ref())?.unwrap_or(0);
    if query.tree {
        let runs = lines::tree(host.store.as_ref(), id, host.now()).await?;
        let all = lines::of_all(host.store.as_ref(), &runs, after, limit).await?;
        let next = Some(all.last().map_or(after, |(row, ..)| *row).to_string());
        return Ok(Json(Listed { items: all.iter().map(|(_, run, line)| LineView::of(*run, line)).collect(), next }));
    }
    let lines = host.store.logs(id, after, limit).await?;
    // Always there: more may be logged later.
    let next = Some(lines.last().map_or(after, |(row, _)| *row).to_string());
    Ok(Json(Listed { items: lines.iter().map(|(_, line)| LineView::new(line)).collect(), next }))
}

/// Does something to a run, and tells who did it.
async fn act<F: Future<Output = Result<Run, AskError>>>(
    host: &Host,
    actor: &Actor,
    action: &str,
    run: &str,
    what: impl FnOnce(FlowRunId) -> F,
) -> Result<Json<RunView>, ApiError> {
    let id = find_run(host.store.as_ref(), run).await?;
    what(id).await?;
    host.audit(actor, action, id.to_string(), serde_json::json!({})).await;
    let record = host.store.run(id).await?;
    Ok(Json(view(host, &record)))
}

/// Stop a run and its children for good
#[utoipa::path(post, path = "/api/v1/flow-runs/{run}/cancel", tag = "flow runs",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name")),
    responses((status = 200, body = RunView)))]
pub(super) async fn cancel(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(run): Path<String>,
) -> Result<Json<RunView>, ApiError> {
    act(&host, &actor, "cancel", &run, |id| host.engine.cancel(id)).await
}

/// Let a run wait until it is resumed
#[utoipa::path(post, path = "/api/v1/flow-runs/{run}/pause", tag = "flow runs",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name")),
    responses((status = 200, body = RunView)))]
pub(super) async fn pause(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(run): Path<String>,
) -> Result<Json<RunView>, ApiError> {
    act(&host, &actor, "pause", &run, |id| host.engine.pause(id)).await
}

/// Let a paused run go on
#[utoipa::path(post, path = "/api/v1/flow-runs/{run}/resume", tag = "flow runs",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name")),
    responses((status = 200, body = RunView)))]
pub(super) async fn resume(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(run): Path<String>,
) -> Result<Json<RunView>, ApiError> {
    act(&host, &actor, "resume", &run, |id| host.engine.resume(id)).await
}

/// Begin the next attempt of a run now, not when it is due
#[utoipa::path(post, path = "/api/v1/flow-runs/{run}/run-now", tag = "flow runs",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name")),
    responses((status = 200, body = RunView)))]
pub(super) async fn run_now(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(run): Path<String>,
) -> Result<Json<RunView>, ApiError> {
    act(&host, &actor, "run-now", &run, |id| host.engine.run_now(id)).await
}

/// A manual retry that is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryBody {
    /// Forget the results of this task too, and of every call first made after it: its name, label or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Forget the results of these tasks too: names, labels or numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rerun: Vec<String>,
    /// Forget all kept results, and run everything again, even if the run has completed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Run other code with the kept results: the beginning of a digest, or `latest`, which is what the run's deployment has
    /// now, and the newest upload of the same name where there is no deployment. Who may not deploy may only have run
    /// of a deployment what is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Parameters that change; the others stay as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// Parameters that the run has no more: its flow's defaults count for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
    /// Refuse unless the run is at this attempt, so that two people do not retry it twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_attempt: Option<u32>,
    /// Only say what would be fed back and what would run again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What counts in the round that begins; the memory from now on.
    #[serde(default, skip_serializing_if = "PolicyAsk::is_empty")]
    pub policy: PolicyAsk,
}

/// A retry, or the plan of one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    /// What is fed back, and what runs again.
    pub plan: PlanView,
    /// Whether it was done: not in a dry run.
    pub applied: bool,
    /// The run as it is now.
    pub run: RunView,
    /// What to send as `Last-Event-ID` to be told what happens from here on.
    pub last_event: String,
}

pub(super) async fn retry_ask(
    host: &Host,
    actor: &Actor,
    record: &RunRecord,
    body: RetryBody,
) -> Result<RetryAsk, ApiError> {
    let store = host.store.as_ref();
    let previewed = |text: &String| text.parse().ok().filter(|it| body.dry_run && host.engine.has_preview(*it));
    let component = match &body.version {
        Some(text) => match previewed(text) {
            None if text == "latest" => code::latest(store, record).await?,
            None => Some(components::find(store, text, None).await?.digest),
            digest => digest,
        },
        None => None,
    };
    if let Some(component) = component {
        code::may_run(store, actor, record, component).await?;
    }
    let changes = body.parameters.is_some() || !body.unset.is_empty();
    let parameters = match changes {
        true => {
            let had = store.value(&record.asked.parameters).await?.without(&body.unset);
            Some(laid_over(body.parameters.as_ref().unwrap_or(&Value::trusted("{}")), &had)?)
        }
        false => None,
    };
    Ok(RetryAsk {
        from: body.from,
        rerun: body.rerun,
        all: body.all,
        component,
        parameters,
        expected_attempt: body.expected_attempt,
        overrides: body.policy.over(Overrides::default()),
    })
}

/// Run a run again that has ended: kept results are fed back
#[utoipa::path(post, path = "/api/v1/flow-runs/{run}/retry", tag = "flow runs", request_body = RetryBody,
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name")),
    responses((status = 200, body = Retried)))]
pub(super) async fn retry(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(run): Path<String>,
    Body(body): Body<RetryBody>,
) -> Result<Json<Retried>, ApiError> {
    let store = host.store.as_ref();
    let id = find_run(store, &run).await?;
    let record = store.run(id).await?;
    // Of parameters only that they changed: they may be large, and the run has them.
    let told = RetryBody { parameters: body.parameters.as_ref().map(|_| Value::trusted("{}")), ..body.clone() };
    let (applied, details) = (!body.dry_run, serde_json::to_value(&told).unwrap_or_default());
    let ask = retry_ask(&host, &actor, &record, body).await?;
    let plan = PlanView::new(id, &host.engine.plan_retry(id, &ask).await?);
    let last_event = host.live.last();
    if applied {
        host.engine.retry(id, ask).await?;
        host.audit(&actor, "retry", id.to_string(), details).await;
    }
    let record = store.run(id).await?;
    Ok(Json(Retried { plan, applied, run: view(&host, &record), last_event }))
}

/// One call of a run
///
/// With its input and its result whole, however large: where a run is shown, large ones may be left out.
#[utoipa::path(get, path = "/api/v1/flow-runs/{run}/task-runs/{number}", tag = "flow runs",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name"),
           ("number" = u32, Path, description = "Which of its calls")),
    responses((status = 200, body = TaskView)))]
pub(super) async fn task_run(
    State(host): State<Host>,
    Path((run, number)): Path<(String, u32)>,
) -> Result<Json<TaskView>, ApiError> {
    let store = host.store.as_ref();
    let record = store.run(find_run(store, &run).await?).await?;
    TaskView::one(store, &record, number, host.now()).await?.map(Json).ok_or_else(|| {
        let hint = "`GET /api/v1/flow-runs/{run}` lists its calls";
        ApiError::not_found(format!("the run has made no call {number}"), hint)
    })
}

/// A result that a person sets.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultBody {
    /// Fits the schema of what the task returns.
    #[schema(value_type = schema::Any)]
    pub result: Value,
}

/// Set the result of a call that has none: the next attempt is fed it
#[utoipa::path(post, path = "/api/v1/flow-runs/{run}/task-runs/{number}/result", tag = "flow runs", request_body = ResultBody,
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name"),
           ("number" = u32, Path, description = "Which of its calls")),
    responses((status = 200, body = RunView)))]
pub(super) async fn set_result(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path((run, number)): Path<(String, u32)>,
    Body(body): Body<ResultBody>,
) -> Result<Json<RunView>, ApiError> {
    let id = find_run(host.store.as_ref(), &run).await?;
    let details = serde_json::json!({ "call": number, "result_bytes": body.result.as_str().len() });
    host.engine.set_result(id, number, bounded("result", body.result)?).await?;
    host.audit(&actor, "set-result", id.to_string(), details).await;
    whole(&host, id).await.map(Json)
}

/// Remove a run
///
/// With everything that is kept of it and of the runs below it, and with its idempotency key. Refused unless all have
/// ended. There is no way back.
#[utoipa::path(delete, path = "/api/v1/flow-runs/{run}", tag = "flow runs",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name")),
    responses((status = 204)))]
pub(super) async fn remove(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(run): Path<String>,
) -> Result<StatusCode, ApiError> {
    let id = find_run(host.store.as_ref(), &run).await?;
    let flow = host.store.run(id).await?.asked.flow;
    remove_whole(&host, id).await?;
    host.audit(&actor, "remove-run", id.to_string(), serde_json::json!({ "flow": flow })).await;
    Ok(StatusCode::NO_CONTENT)
}
