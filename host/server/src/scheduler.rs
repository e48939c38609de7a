//! Makes the runs of schedules.
//!
//! A run is made first, under a key that names its slot, and then the schedule goes on to the next. A server that dies
//! in between makes the same run again, which the key answers with the one that there is: each slot makes one run.

use std::time::Duration;

use retake_core::deployment::Deployment;
use retake_core::failure::cut;
use retake_core::limits;
use retake_core::schedule::{FailedSlot, Overlap, Schedule};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_engine::{AskError, Misfit, StartRequest, Through};
use retake_store::{AuditEntry, Definition, StoreError, kind};

use crate::api::{kept, schedules};
use crate::{Host, notify};

/// How often to look. A slot begins at most so much later.
const LOOK: Duration = Duration::from_millis(500);

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
        let Ok(schedule) = kept::<Schedule>(&definition) else { continue };
        let now = host.now();
        let has_come = schedule.next.is_some_and(|it| it <= now) || !schedule.queued.is_empty();
        if !schedule.paused
            && has_come
            && let Err(error) = begin(host, &definition, schedule, now).await
        {
            // The others are not to wait for it.
            tracing::warn!(%error, schedule = definition.name, "could not be looked at; trying again");
        }
    }
    Ok(())
}

/// Makes the runs of the slots that have come.
async fn begin(host: &Host, definition: &Definition, mut schedule: Schedule, now: Timestamp) -> Result<(), StoreError> {
    let (name, before) = (&definition.name, schedule.clone());
    let deployment = host.store.definition(kind::DEPLOYMENT, &schedule.deployment).await?;
    let deployment = deployment.and_then(|it| serde_json::from_str::<Deployment>(it.body.as_str()).ok());
    let due = schedule.due(name, now);
    schedule.next = due.next;
    let is_open = schedule.overlap != Overlap::Allow && is_open(host, name, &schedule).await?;
    let mut slots: Vec<Timestamp> = due.slots.into_iter().map(|it| it.at).collect();
    let makes_runs = deployment.as_ref().is_some_and(|it| !it.paused);
    if !makes_runs {
        slots.clear();
    }
    match schedule.overlap {
        Overlap::Allow => {}
        // What comes together would lie over each other, too.
        Overlap::Skip => slots.truncate(usize::from(!is_open)),
        Overlap::Queue => {
            schedule.queued.append(&mut slots);
            schedule.queued.truncate(limits::CATCH_UP_SLOTS);
            // What was queued before it was paused waits until it goes on.
            if makes_runs && !is_open && !schedule.queued.is_empty() {
                slots.push(schedule.queued.remove(0));
            }
        }
    }
    let mut to_tell = None;
    for slot in slots {
        let Some(deployment) = &deployment else { break };
        match start(host, name, &schedule, deployment, slot).await {
            Ok(()) => (schedule.last, schedule.failed) = (Some(slot), None),
            Err(AskError::Store(error @ StoreError::Unavailable(_))) => return Err(error),
            // It would be refused again: the schedule goes on.
            Err(error) => {
                let failed = FailedSlot { slot, error: in_full(&error) };
                told_of(host, name, &failed).await;
                // Whoever was told of it once need not be told again each time.
                if schedule.failed.as_ref().is_none_or(|it| it.error != failed.error) {
                    to_tell = Some(failed.clone());
                }
                schedule.failed = Some(failed);
            }
        }
    }
    if schedule == before {
        return Ok(());
    }
    match host.store.define(schedules::definition(name, &schedule, now), Some(definition.version)).await {
        // Somebody changed it meanwhile: the next look finds it as it is now.
        Err(StoreError::Changed { .. }) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => match (to_tell, deployment) {
            (Some(failed), Some(deployment)) => notify::slot_failed(host, name, &deployment, &failed).await,
            _ => Ok(()),
        },
    }
}

/// Returns what a slot asks for, but for what makes it this slot.
pub(crate) fn request(parameters: Option<&Json>, deployment: &Deployment) -> StartRequest {
    let parameters = parameters.and_then(|it| it.over(&deployment.parameters));
    StartRequest {
        component: deployment.component,
        flow: deployment.flow.clone(),
        parameters: parameters.unwrap_or_else(|| deployment.parameters.clone()),
        overrides: deployment.overrides.clone(),
        idempotency_key: None,
        at: None,
        through: Some(Through { deployment: deployment.full_name(), queue: deployment.queue.clone() }),
    }
}

async fn start(
    host: &Host,
    name: &str,
    schedule: &Schedule,
    deployment: &Deployment,
    slot: Timestamp,
) -> Result<(), AskError> {
    let request = StartRequest {
        idempotency_key: Some(Schedule::key(name, slot)),
        at: Some(schedule.begins(name, slot)),
        ..request(schedule.parameters.as_ref(), deployment)
    };
    let (record, _) = host.engine.start(request).await?;
    tracing::info!(schedule = name, run = %record.asked.id, %slot, "made a run");
    Ok(())
}

/// What was refused, and where it does not fit.
fn in_full(error: &AskError) -> String {
    let misfits: &[Misfit] = if let AskError::Parameters(misfits) = error { misfits } else { &[] };
    let each: Vec<String> = misfits.iter().take(3).map(|it| format!("`{}` {}", it.pointer, it.problem)).collect();
    match each.is_empty() {
        true => error.to_string(),
        false => cut(format!("{error}: {}", each.join("; ")), limits::TEXT_BYTES),
    }
}

/// Leaves word of a slot that made no run where people look for who did what.
async fn told_of(host: &Host, name: &str, failed: &FailedSlot) {
    tracing::error!(schedule = name, slot = %failed.slot, error = failed.error, "could not make its run");
    let details = serde_json::json!({ "slot": failed.slot, "error": failed.error });
    let entry = AuditEntry {
        at: host.now(),
        actor: "scheduler".into(),
        action: "slot-failed".into(),
        subject: name.to_owned(),
        details: Json::of(&details),
    };
    if let Err(error) = host.store.audit(entry).await {
        tracing::error!(%error, "nor could that be kept");
    }
}

/// Whether the last run that the schedule made has not ended.
async fn is_open(host: &Host, name: &str, schedule: &Schedule) -> Result<bool, StoreError> {
    let Some(last) = schedule.last else { return Ok(false) };
    let run = host.store.keyed(&Schedule::key(name, last)).await?;
    Ok(run.is_some_and(|it| !it.run.state.is_terminal()))
}
