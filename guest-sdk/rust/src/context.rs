//! Who this is, and which try.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::host::current;

/// Says which run and which attempt this is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Context {
    /// The flow run, `run_…`.
    pub flow_run_id: String,
    /// The flow's name.
    pub flow: String,
    /// The deployment that the run belongs to, if any.
    pub deployment: Option<String>,
    /// The task's name, inside a task.
    pub task: Option<String>,
    /// The task run, inside a task.
    pub task_run_id: Option<String>,
    /// Which attempt this is, counted from 1 over the run's whole life, manual retries included.
    pub attempt: u32,
    /// How many attempts the policy still allows, until somebody retries by hand.
    pub retries_left: u32,
    /// The same for every attempt of this task run, manual retries included: send it outward, so
    /// that a repeated call is recognised. It depends on the run, the task, its version and its
    /// input or key, not on the call's place in the flow.
    pub idempotency_key: String,
    /// When the run was meant to start.
    pub scheduled_for: SystemTime,
}

/// Returns which run and which attempt this is.
///
/// ```no_run
/// let context = retake::context();
/// if context.attempt > 1 {
///     println!("this is attempt {} of {}", context.attempt, context.flow_run_id);
/// }
/// ```
pub fn context() -> Context {
    let run = current();
    Context {
        flow_run_id: run.flow_run_id,
        flow: run.flow,
        deployment: run.deployment,
        task: run.task,
        task_run_id: run.task_run_id,
        attempt: run.attempt,
        retries_left: run.retries_left,
        idempotency_key: run.idempotency_key,
        scheduled_for: UNIX_EPOCH + Duration::from_millis(run.scheduled_for),
    }
}
