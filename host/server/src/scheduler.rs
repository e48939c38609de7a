//! Makes the runs of schedules.
//!
//! A run is made first, under a key that names its slot, and then the schedule goes on to the next. A server that dies
//! in between makes the same run again, which the key answers with the one that there is: each slot makes one run.

use std::time::Duration;

use retake_core::deployment::Deployment;
use retake_core::run::Shown;
use retake_core::schedule::{Overlap, Schedule};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_engine::{StartRequest, Through};
use retake_store::{Definition, RunFilter, StoreError, kind};

use crate::Host;
use crate::api::schedules;

/// How often to look. A slot begins at most so much later.
const LOOK: Duration = Duration::from_millis(500);
/// Runs of a deployment among which an open one of a schedule is looked for.
const OPEN: usize = 1000;

/// Makes runs for as long as it is polled.
pub async fn work(host: &Host) {
    loop {
        match look(host).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "schedules could not be looked at; trying again"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(host: &Host) -> Result<(), StoreError> {
    for definition in host.store.definitions(kind::SCHEDULE).await? {
        let Ok(schedule) = schedules::read(&definition) else { continue };
        let now = host.now();
        if !schedule.paused && schedule.next.is_some_and(|it| it <= now) {
            begin(host, &definition, schedule, now).await?;
        }
    }
    Ok(())
}

/// Makes the runs of the slots that have come.
async fn begin(host: &Host, definition: &Definition, mut schedule: Schedule, now: Timestamp) -> Result<(), StoreError> {
    let name = &definition.name;
    let deployment = host.store.definition(kind::DEPLOYMENT, &schedule.deployment).await?;
    let deployment = deployment.and_then(|it| serde_json::from_str::<Deployment>(it.body.as_str()).ok());
    let mut due = schedule.due(name, now);
    let is_open = schedule.overlap != Overlap::Allow && is_open(host, name, &schedule.deployment).await?;
    match (&deployment, schedule.overlap) {
        (None, _) => {
            tracing::warn!(schedule = name, deployment = schedule.deployment, "there is no such deployment any more");
            due.slots.clear();
        }
        (Some(deployment), _) if deployment.paused => due.slots.clear(),
        (Some(_), Overlap::Skip) if is_open => due.slots.clear(),
        // The slot waits, and so do those behind it.
        (Some(_), Overlap::Queue) if is_open => return Ok(()),
        (Some(_), Overlap::Allow | Overlap::Skip | Overlap::Queue) => {}
    }
    let mut last = schedule.last;
    if let Some(deployment) = deployment {
        for slot in due.slots {
            let parameters = laid_over(schedule.parameters.as_ref(), &deployment.parameters);
            let request = StartRequest {
                component: deployment.component,
                flow: deployment.flow.clone(),
                parameters,
                overrides: deployment.overrides.clone(),
                idempotency_key: Some(slot.key),
                at: Some(slot.begins),
                through: Some(Through { deployment: deployment.full_name(), queue: deployment.queue.clone() }),
            };
            match host.engine.start(request).await {
                Ok((record, _)) => {
                    tracing::info!(schedule = name, run = %record.asked.id, slot = %slot.at, "made a run")
                }
                Err(retake_engine::AskError::Store(error @ StoreError::Unavailable(_))) => return Err(error),
                // It would be refused again: the schedule goes on.
                Err(error) => tracing::error!(schedule = name, slot = %slot.at, %error, "could not make its run"),
            }
            last = Some(slot.at);
            if schedule.overlap != Overlap::Allow {
                // The others are of runs that would lie over this one.
                break;
            }
        }
    }
    (schedule.next, schedule.last) = (due.next, last);
    match host.store.define(schedules::definition(name, &schedule, now), Some(definition.version)).await {
        // Somebody changed it meanwhile: the next look finds it as it is now.
        Err(StoreError::Changed { .. }) => Ok(()),
        other => other.map(drop),
    }
}

/// Whether a run that the schedule made has not ended.
async fn is_open(host: &Host, name: &str, deployment: &str) -> Result<bool, StoreError> {
    let ended = [Shown::Completed, Shown::Failed, Shown::TimedOut, Shown::Crashed, Shown::Cancelled];
    let filter = RunFilter {
        deployments: vec![deployment.to_owned()],
        shown: Shown::ALL.into_iter().filter(|it| !ended.contains(it)).collect(),
        limit: OPEN,
        ..RunFilter::default()
    };
    let prefix = format!("schedule:{name}:");
    let runs = host.store.list(filter, host.now()).await?;
    Ok(runs.iter().any(|it| it.asked.idempotency_key.as_ref().is_some_and(|key| key.starts_with(&prefix))))
}

fn laid_over(parameters: Option<&Json>, had: &Json) -> Json {
    let (Some(serde_json::Value::Object(new)), serde_json::Value::Object(mut all)) =
        (parameters.map(Json::to_value), had.to_value())
    else {
        return had.clone();
    };
    all.extend(new);
    Json::of(&all)
}
