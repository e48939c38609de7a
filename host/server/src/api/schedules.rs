//! Schedules: when runs of a deployment begin by themselves.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use retake_core::deployment::Deployment;
use retake_core::schedule::{CatchUp, Overlap, Schedule, When};
use retake_core::time::Timestamp;
use retake_core::value::Json as Value;
use retake_store::{Definition, Store, StoreError, kind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query};
use super::{Listed, deployments, kept};
use crate::access::Actor;
use crate::error::{ApiError, checked_name};
use crate::{Host, schema};

/// How many slots that are to come are shown.
const SHOWN: usize = 10;

/// A schedule.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Schedule)]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// What it says.
    pub schedule: ScheduleAsk,
    /// The next slots, ten at most. A paused schedule has them too, and makes no runs.
    #[schema(value_type = Vec<String>)]
    pub next: Vec<Timestamp>,
    /// Slots that have come and wait until the run of an earlier one has ended.
    #[schema(value_type = Vec<String>)]
    pub queued: Vec<Timestamp>,
    /// The last slot that made a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last: Option<Timestamp>,
    /// The last slot, if it made no run because it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedSlotView>,
    /// How often it was changed or made a run.
    pub version: u64,
}

/// A slot that made no run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = FailedSlot)]
pub struct FailedSlotView {
    /// When it was.
    #[schema(value_type = String, format = DateTime)]
    pub slot: Timestamp,
    /// Why.
    pub error: String,
}

/// What a schedule is to be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleAsk {
    /// The deployment, as `flow/name`.
    pub deployment: String,
    /// When.
    #[schema(value_type = schema::When)]
    pub when: When,
    /// What becomes of a slot while the run of an earlier one has not ended: `allow` makes its run all the same, `skip`
    /// makes none, `queue` makes it when the earlier has ended.
    #[serde(default)]
    #[schema(value_type = schema::Overlap)]
    pub overlap: Overlap,
    /// What becomes of slots that were missed by a minute or more: `none` makes no runs of them, `latest` one of the
    /// last, `all` one of each, 100 at most.
    #[serde(default)]
    #[schema(value_type = schema::CatchUp)]
    pub catch_up: CatchUp,
    /// Milliseconds by which a run begins later at most; always the same for the same slot.
    #[serde(default)]
    #[schema(maximum = 86_400_000)]
    pub jitter_ms: u64,
    /// A JSON object; laid over the deployment's, name by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// Whether it makes no runs for now.
    #[serde(default)]
    pub paused: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PutQuery {
    /// Only say when its runs would begin.
    #[serde(default)]
    dry_run: bool,
    /// Refuse unless it is at this version; 0: unless it is new.
    version: Option<u64>,
}

fn view(name: String, version: u64, schedule: Schedule, now: Timestamp) -> ScheduleView {
    let Schedule { deployment, when, overlap, catch_up, jitter, parameters, paused, next, queued, last, failed } =
        schedule;
    let mut slots: Vec<Timestamp> = next.into_iter().collect();
    if let Some(first) = next {
        slots.extend(when.next(first.max(now), SHOWN - 1));
    }
    let jitter_ms = crate::wire::millis(jitter);
    let ask = ScheduleAsk { deployment, when, overlap, catch_up, jitter_ms, parameters, paused };
    let failed = failed.map(|it| FailedSlotView { slot: it.slot, error: it.error });
    ScheduleView { name, schedule: ask, next: slots, queued, last, failed, version }
}

async fn find(store: &dyn Store, name: &str) -> Result<Definition, ApiError> {
    store.definition(kind::SCHEDULE, name).await?.ok_or_else(|| {
        let hint = "`GET /api/v1/schedules` or `retake schedules ls` lists them";
        ApiError::not_found(format!("there is no schedule `{name}`"), hint)
    })
}

/// Schedules, by name
#[utoipa::path(get, path = "/api/v1/schedules", tag = "schedules", responses((status = 200, body = Listed<ScheduleView>)))]
pub(super) async fn list(State(host): State<Host>) -> Result<Json<Listed<ScheduleView>>, ApiError> {
    let (all, now) = (host.store.definitions(kind::SCHEDULE).await?, host.now());
    let views = all.into_iter().map(|it| Ok(view(it.name.clone(), it.version, kept(&it)?, now)));
    Ok(Json(Listed::all(views.collect::<Result<_, ApiError>>()?)))
}

/// One schedule
#[utoipa::path(get, path = "/api/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "Its name")), responses((status = 200, body = ScheduleView)))]
pub(super) async fn show(State(host): State<Host>, Path(name): Path<String>) -> Result<Json<ScheduleView>, ApiError> {
    let found = find(host.store.as_ref(), &name).await?;
    Ok(Json(view(name, found.version, kept(&found)?, host.now())))
}

/// Create or change a schedule
///
/// Its first slot is the first after now. To pause or resume it, send it again with another `paused`: slots that came
/// meanwhile were missed, and `catch_up` says what becomes of them.
#[utoipa::path(put, path = "/api/v1/schedules/{name}", tag = "schedules", request_body = ScheduleAsk,
    params(PutQuery, ("name" = String, Path, description = "Its name")), responses((status = 200, body = ScheduleView)))]
pub(super) async fn put(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Query(query): Query<PutQuery>,
    Body(ask): Body<ScheduleAsk>,
) -> Result<Json<ScheduleView>, ApiError> {
    checked_name("name", &name)?;
    let (store, now) = (host.store.as_ref(), host.now());
    let deployment: Deployment = kept(&deployments::find(store, &ask.deployment).await?)?;
    if ask.parameters.as_ref().is_some_and(|it| !it.to_value().is_object()) {
        return Err(ApiError::invalid("`parameters` is no JSON object", "`{\"name\": value}`"));
    }
    // What its runs would be refused for is told whoever makes it, and not the one who looks for a run at night.
    if !ask.paused {
        let asked = crate::scheduler::request(ask.parameters.as_ref(), &deployment);
        host.engine.check(&asked).await.map_err(|error| {
            let hint =
                format!("give them here (`-p NAME=VALUE`), or to the deployment: `retake inspect {}`", deployment.flow);
            ApiError::from(error).hinted(hint)
        })?;
    }
    loop {
        let before = store.definition(kind::SCHEDULE, &name).await?;
        let schedule = changed(before.as_ref().map(kept::<Schedule>).transpose()?, ask.clone(), now)?;
        let mut version = before.map_or(0, |it| it.version);
        if query.version.is_some_and(|it| it != version) {
            return Err(StoreError::Changed { is: version }.into());
        }
        if !query.dry_run {
            let definition = definition(&name, &schedule, now);
            host.room_for(kind::SCHEDULE, &name, &definition.body).await?;
            version = match store.define(definition, Some(version)).await {
                // Most likely it went on to its next slot: that is no reason to refuse whoever asked for no version.
                Err(StoreError::Changed { .. }) if query.version.is_none() => continue,
                defined => defined?,
            };
            host.audit(&actor, "schedule", name.clone(), serde_json::to_value(&schedule).unwrap_or_default()).await;
        }
        return Ok(Json(view(name, version, schedule, now)));
    }
}

/// Returns a schedule as it is asked for, over what it was.
fn changed(old: Option<Schedule>, ask: ScheduleAsk, now: Timestamp) -> Result<Schedule, ApiError> {
    let ScheduleAsk { deployment, when, overlap, catch_up, jitter_ms, parameters, paused } = ask;
    // The same times go on where they were: what was missed while it was paused is not forgotten.
    let next = match &old {
        Some(old) if old.when == when => old.next,
        _ => when.check().map(|()| when.next_after(now))?,
    };
    if next.is_none() && queued_of(old.as_ref()).is_empty() {
        return Err(ApiError::invalid("`when` has no slot that is to come", "name an instant that is to come"));
    }
    let (jitter, failed) = (std::time::Duration::from_millis(jitter_ms), None);
    // What was refused was asked for otherwise.
    let (last, queued) = old.map(|it| (it.last, it.queued)).unwrap_or_default();
    let queued = if overlap == Overlap::Queue { queued } else { Vec::new() };
    let schedule =
        Schedule { deployment, when, overlap, catch_up, jitter, parameters, paused, next, queued, last, failed };
    schedule.check()?;
    Ok(schedule)
}

fn queued_of(schedule: Option<&Schedule>) -> &[Timestamp] {
    schedule.map(|it| it.queued.as_slice()).unwrap_or_default()
}

pub(crate) fn definition(name: &str, schedule: &Schedule, updated: Timestamp) -> Definition {
    let body = Value::of(schedule);
    Definition { kind: kind::SCHEDULE, name: name.to_owned(), body, component: None, version: 0, updated }
}

/// Forget a schedule
///
/// Runs that it made stay.
#[utoipa::path(delete, path = "/api/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "Its name")), responses((status = 204)))]
pub(super) async fn remove(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    find(host.store.as_ref(), &name).await?;
    host.store.undefine(kind::SCHEDULE, &name).await?;
    host.audit(&actor, "remove-schedule", name, serde_json::json!({})).await;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove_all_of(host: &Host, deployment: &str) -> Result<(), ApiError> {
    for it in host.store.definitions(kind::SCHEDULE).await? {
        if kept::<Schedule>(&it).is_ok_and(|it| it.deployment == deployment) {
            host.store.undefine(kind::SCHEDULE, &it.name).await?;
        }
    }
    Ok(())
}
