//! The words for what happened to a run besides its attempts. Every store uses the same.

use std::collections::BTreeMap;

use retake_core::failure::{Failure, code};
use retake_core::id::Fence;
use retake_core::run::{AttemptEnd, Command, Refused, Run, RunState, Waiting};
use retake_core::task::{Evidence, Kept, PastAttempt, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use serde_json::json;

use crate::{RetryRequest, RunRecord};

/// A kind and its details.
pub(crate) type Told = (&'static str, Json);

/// Somebody began a new round. What was replaced is told too: nothing else remembers it.
pub(crate) fn manual_retry(before: &RunRecord, round: u32, request: &RetryRequest, parameters: Option<&Kept>) -> Told {
    let mut details = BTreeMap::from([("round", Json::of(&round)), ("after_attempt", Json::of(&before.run.attempt))]);
    if !request.forget.is_empty() {
        details.insert("forget", Json::of(&request.forget));
    }
    if !request.forget_children.is_empty() {
        details.insert("forget_children", Json::of(&request.forget_children));
    }
    let asked = &before.asked;
    let mut changed = |what, from: Json, to: Json| {
        if from != to {
            details.insert(what, Json::of(&BTreeMap::from([("from", from), ("to", to)])));
        }
    };
    if let Some(component) = request.component {
        changed("component", Json::of(&asked.component), Json::of(&component));
    }
    if let Some(parameters) = parameters {
        changed("parameters", kept(&asked.parameters), kept(parameters));
    }
    if let Some(overrides) = &request.overrides {
        changed("overrides", Json::of(&asked.overrides), Json::of(overrides));
    }
    (if request.by_parent { "parent-retry" } else { "manual-retry" }, Json::of(&details))
}

/// Somebody asked something of a run.
pub(crate) fn command(before: &Run, command: Command) -> Told {
    let kind = match command {
        Command::Cancel => "cancel",
        Command::Pause => "pause",
        Command::Resume => "resume",
        Command::RunNow => "run-now",
    };
    (kind, Json::of(&json!({ "was": state(&before.state), "attempt": before.attempt })))
}

/// The attempt that had begun, was put aside, and is not gone on with because the run is cancelled.
pub(crate) fn cut_short(before: &Run, after: &Run, now: Timestamp) -> Option<PastAttempt> {
    let (RunState::Scheduled { waiting, .. } | RunState::Paused { waiting, .. }) = before.state else { return None };
    let had_begun = matches!(waiting, Waiting::Suspended | Waiting::Worker);
    (had_begun && after.state.is_terminal()).then(|| PastAttempt {
        call: 0,
        attempt: before.attempt,
        began: before.attempt_began.unwrap_or(now),
        ended: now,
        failure: Some(Failure::new(code::CANCELLED, "cancelled")),
        evidence: Evidence::default(),
    })
}

/// Somebody set a result by hand.
pub(crate) fn set_result(task: &TaskRun, result: &Kept) -> Told {
    let details = json!({ "call": task.number, "task": &*task.identity.name, "result": kept(result) });
    ("set-result", Json::of(&details))
}

/// What a set result changes, unless there is one.
pub(crate) fn with_result(task: &TaskRun, result: Kept, done: u32, now: Timestamp) -> Result<TaskRun, Refused> {
    if task.is_kept() {
        return Err(Refused::HasResult);
    }
    // Setting it took no time; when the attempts were made is told by themselves.
    let began = now;
    let (state, result) = (TaskState::Completed, Some(result));
    Ok(TaskRun { state, result, by_hand: true, failure: None, began, ended: now, done, ..task.clone() })
}

/// A worker is gone.
pub(crate) fn lost(before: &Run, after: &Run) -> Told {
    let kind = if after.state == RunState::Crashed { "crashed" } else { "host-lost" };
    let boot = before.state.claim().map(|(_, boot)| boot);
    (kind, Json::of(&json!({ "attempt": after.attempt, "lost": after.lost, "boot": boot })))
}

/// A task's result came under an old fence, or after another one was kept.
pub(crate) fn late_task(fence: Fence, held: Option<Fence>, task: &TaskRun) -> Told {
    let state = match task.state {
        TaskState::AwaitingRetry(_) => "awaiting-retry",
        TaskState::Running => "running",
        TaskState::Completed => "completed",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
        TaskState::Forgotten => "forgotten",
    };
    let details = json!({
        "call": task.number, "attempt": task.attempts, "state": state,
        "code": task.failure.as_ref().map(|it| &it.code),
        "reason": if held == Some(fence) { "another result is kept" } else { "the claim is over" },
    });
    ("late-result", Json::of(&details))
}

/// The end of a flow's attempt came under an old fence.
pub(crate) fn late_end(attempt: u32, end: &AttemptEnd) -> Told {
    let (state, code) = match end {
        AttemptEnd::Completed => ("completed", None),
        AttemptEnd::Failed { failure, .. } => ("failed", Some(&failure.code)),
        AttemptEnd::Suspended { .. } => ("suspended", None),
        AttemptEnd::Released => ("released", None),
        AttemptEnd::Cancelled => ("cancelled", None),
        AttemptEnd::Paused => ("paused", None),
        AttemptEnd::Parked { failure } => ("parked", Some(&failure.code)),
    };
    let details = json!({ "call": 0, "attempt": attempt, "state": state, "code": code, "reason": "the claim is over" });
    ("late-result", Json::of(&details))
}

fn kept(kept: &Kept) -> Json {
    match kept {
        Kept::Inline(json) => json.clone(),
        Kept::Blob { digest, bytes } => Json::of(&json!({ "sha256": digest, "bytes": bytes })),
    }
}

fn state(state: &RunState) -> &'static str {
    match state {
        RunState::Scheduled { .. } => "scheduled",
        RunState::Running { .. } => "running",
        RunState::Cancelling { .. } => "cancelling",
        RunState::Parked => "parked",
        RunState::Paused { .. } => "paused",
        RunState::Completed => "completed",
        RunState::Failed { .. } => "failed",
        RunState::Crashed => "crashed",
        RunState::Cancelled => "cancelled",
    }
}
