//! One attempt at a flow run, from its claim to what became of it.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use retake_core::component::Capability;
use retake_core::failure::{Failure, code};
use retake_core::grant::Grants;
use retake_core::id::{Fence, FlowRunId};
use retake_core::inject::What;
use retake_core::port::{Attempt, BoxFuture, Report};
use retake_core::retry::RetryPolicy;
use retake_core::run::{AttemptEnd, RunState};
use retake_core::task::{Evidence, Kept, LogLine};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_store::{AttemptCommit, AuditEntry, RunRecord, StoreError};

use crate::calls::{self, Calls, Interrupt, Known};
use crate::catalog::Component;
use crate::worker::Stop;
use crate::{Inner, Progress};

/// How long log lines wait for company before they are written.
const LOG_WAIT: Duration = Duration::from_millis(300);

/// A run that is worked on, and what shows that it is by us.
#[derive(Clone, Copy)]
struct Held {
    id: FlowRunId,
    fence: Fence,
    parent: Option<FlowRunId>,
}

impl Held {
    fn of(record: &RunRecord) -> Option<Self> {
        let (fence, _) = record.run.state.claim()?;
        Some(Self { id: record.asked.id, fence, parent: record.asked.parent.map(|it| it.run) })
    }
}

/// How the driver's wait ended.
enum Stopped {
    Reported(Report),
    Interrupted(Interrupt),
    Shutdown,
}

/// Works on a claimed run until its attempt ends or is put aside. A panic is our bug, and ends the attempt.
pub(crate) async fn drive(engine: Arc<Inner>, record: Box<RunRecord>, claimed: Timestamp, is_new: bool, stop: Stop) {
    let held = Held::of(&record);
    let attempt = attempt(engine.clone(), record, claimed, is_new, stop);
    if AssertUnwindSafe(attempt).catch_unwind().await.is_err()
        && let Some(held) = held
    {
        let failure = Failure::new(code::INTERNAL, "working on the run panicked");
        fail(&engine, held, failure, RetryPolicy::default()).await;
    }
}

/// Ends an attempt of which the body did not run, or is not known how far it came. Which of its children the body would
/// have waited for is not known, so none of them goes on; what is left to a person stays so. In a box because it is
/// rare: each run that waits would have room for it.
fn fail(engine: &Inner, held: Held, failure: Failure, policy: RetryPolicy) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let open = children(engine, held.id).await;
        let open = open.iter().filter(|it| !it.run.state.answers()).map(|it| it.asked.id).collect();
        // It asked for nothing.
        let known = engine.outside.store.task_runs(held.id).await.unwrap_or_default();
        let unasked = calls::unasked(&known, &HashSet::new());
        finish(engine, held, AttemptEnd::Failed { failure, policy }, Last { open, unasked, ..Last::default() }).await;
    })
}

async fn attempt(engine: Arc<Inner>, record: Box<RunRecord>, claimed: Timestamp, is_new: bool, stop: Stop) {
    let Some(held) = Held::of(&record) else { return };
    let Held { id, fence, .. } = held;
    let resumed = record.run.lost > 0 || record.run.attempt_began != Some(claimed);
    let prepared = prepare(&engine, &record, is_new, resumed).await;
    let (parameters, known) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let failure = Failure::new(code::INTERNAL, error.to_string());
            return fail(&engine, held, failure, RetryPolicy::default()).await;
        }
    };
    let component = known.component.clone();
    let Some(flow) = component.info.flow(&record.asked.flow) else {
        let message = format!("the component has no flow `{}`", record.asked.flow);
        return fail(&engine, held, Failure::new(code::UNKNOWN, message), RetryPolicy::default()).await;
    };
    engine.observe(id, || Progress::Began { attempt: record.run.attempt, resumed });
    let policy = record.asked.overrides.policy(flow);
    let limits = record.asked.overrides.flow_limits(&flow.limits).for_flow();
    // The clock of an attempt that was put aside has gone on.
    let began = record.run.attempt_began.unwrap_or(claimed);
    let elapsed = claimed.since(began);
    if limits.timeout.is_some_and(|it| it <= elapsed) {
        return fail(&engine, held, limits.timed_out(), policy).await;
    }
    let deadline = limits.timeout.map(|it| began + it);
    let attempt = Attempt {
        component: record.asked.component,
        run: id,
        flow: record.asked.flow.as_str().into(),
        task: None,
        input: parameters,
        attempt: record.run.attempt,
        retries_left: policy.retries_left(&record.run.spent),
        scheduled_for: record.asked.due,
        limits,
        elapsed,
        log_prints: flow.log_prints,
        deployment: known.deployment.clone(),
        grants: known.grants.as_ref().and_then(|it| it.asked_for(&flow.capabilities)),
    };
    // A child's result is its answer to its parent.
    let persist = record.asked.parent.is_some() || flow.persist_result.unwrap_or(engine.settings.persist_results);
    let calls = Calls::new(engine.clone(), record, fence, deadline, known);
    // Until its end is kept: a cancel finds it here.
    let _registered = engine.register_active(id, fence, &calls);
    let stopped = watch_over(&engine, id, fence, &attempt, &calls, stop).await;
    let (end, result, evidence) = match stopped {
        Stopped::Reported(Report { outcome: Ok(result), evidence }) => {
            (AttemptEnd::Completed, persist.then_some(result), evidence)
        }
        Stopped::Reported(Report { outcome: Err(failure), evidence }) => {
            (AttemptEnd::Failed { failure, policy }, None, evidence)
        }
        Stopped::Interrupted(Interrupt::Suspend(until)) => (AttemptEnd::Suspended { until }, None, Evidence::default()),
        Stopped::Interrupted(Interrupt::Cancelled) => (AttemptEnd::Cancelled, None, calls.used()),
        Stopped::Interrupted(Interrupt::Paused) => (AttemptEnd::Paused, None, Evidence::default()),
        Stopped::Interrupted(Interrupt::Parked) => {
            let failure = calls.take_parked().unwrap_or_else(|| Failure::new(code::INTERNAL, "a task gave up"));
            (AttemptEnd::Parked { failure }, None, calls.used())
        }
        Stopped::Interrupted(Interrupt::Panicked) => {
            let failure = Failure::new(code::INTERNAL, "working on a call panicked");
            (AttemptEnd::Failed { failure, policy }, None, Evidence::default())
        }
        // Whoever has the run now will end it.
        Stopped::Interrupted(Interrupt::Lost) => return drop(calls.abort()),
        Stopped::Shutdown => (AttemptEnd::Released, None, Evidence::default()),
    };
    // What is still on its way to be made is refused then, because its parent does not run.
    let (mut open, mut waits_for) = (calls.abort(), Vec::new());
    if let Some(why) = stops_with(&end) {
        let stopped = calls.take_stopped(&Failure::new(code::CANCELLED, why));
        if !stopped.is_empty() {
            calls.keep_stopped(stopped).await;
        }
    }
    let unasked = if is_new || stops_with(&end).is_none() { Vec::new() } else { calls.unasked() };
    match end {
        AttemptEnd::Suspended { .. } => waits_for = std::mem::take(&mut open),
        AttemptEnd::Released | AttemptEnd::Paused => open.clear(),
        _ if resumed => open.extend(not_asked_again(&engine, id, &calls).await),
        _ => {}
    }
    finish(&engine, held, end, Last { result, evidence, logs: calls.take_logs(), open, waits_for, unasked }).await;
}

/// Says why what is being made stops with an attempt that ends so; `None` where the same attempt goes on.
fn stops_with(end: &AttemptEnd) -> Option<&'static str> {
    match end {
        AttemptEnd::Completed => Some("was stopped: its flow had returned, and its time was over"),
        AttemptEnd::Failed { failure, .. } if failure.code == code::TIMEOUT => Some("was stopped: its flow timed out"),
        AttemptEnd::Failed { .. } => Some("was stopped: its flow failed"),
        AttemptEnd::Parked { .. } => Some("was stopped: another task of its flow is left to a person"),
        AttemptEnd::Cancelled => Some("was stopped: the run was cancelled"),
        AttemptEnd::Suspended { .. } | AttemptEnd::Released | AttemptEnd::Paused => None,
    }
}

/// Returns the children that an earlier go at the attempt made and this one did not ask for: it took another way, because
/// a result that is not kept was another. Nobody waits for them.
async fn not_asked_again(engine: &Inner, id: FlowRunId, calls: &Calls) -> Vec<FlowRunId> {
    let goes_on = |it: &&RunRecord| !it.run.state.answers();
    let asked_for = calls.asked_for();
    let all = children(engine, id).await;
    all.iter().filter(goes_on).map(|it| it.asked.id).filter(|it| !asked_for.contains(it)).collect()
}

async fn children(engine: &Inner, id: FlowRunId) -> Vec<RunRecord> {
    let all = || engine.children(id);
    engine.until_answered(id, "looking for its children", all).await.unwrap_or_default()
}

/// Reads what an attempt needs to begin: the parameters, and what is known of the run.
async fn prepare(engine: &Inner, record: &RunRecord, is_new: bool, resumed: bool) -> Result<(Json, Known), StoreError> {
    let prepare = || async {
        let component = engine.catalog.get(record.asked.component).await?;
        let known = match is_new {
            true => Vec::new(),
            false => engine.outside.store.task_runs(record.asked.id).await?,
        };
        let parameters = match &record.asked.parameters {
            Kept::Inline(json) => json.clone(),
            blob => engine.outside.store.value(blob).await?,
        };
        let logged_before = match resumed {
            true => engine.outside.store.logged(record.asked.id, 0, record.run.attempt).await?,
            false => 0,
        };
        let grants = engine.granted(&record.asked, component.asks_for_values).await?;
        if let Some(grants) = &grants {
            tell_of_secrets(engine, record, &component, grants).await?;
        }
        let deployment = record.asked.deployment.as_deref().map(Arc::from);
        Ok((parameters, Known { component, known, logged_before, deployment, grants }))
    };
    engine.until_answered(record.asked.id, "reading the run", prepare).await
}

/// Keeps which secrets an attempt may be given: those that its code asks for and its deployment grants.
async fn tell_of_secrets(
    engine: &Inner,
    record: &RunRecord,
    component: &Component,
    grants: &Grants,
) -> Result<(), StoreError> {
    let (flows, tasks) = (&component.info.flows, &component.info.tasks);
    let asked = flows.iter().map(|it| &it.capabilities).chain(tasks.iter().map(|it| &it.capabilities));
    let asked: Vec<Capability> = asked.flatten().cloned().collect();
    let Some(given) = grants.asked_for(&asked).filter(|it| !it.secrets.is_empty()) else { return Ok(()) };
    let names: Vec<&String> = given.secrets.keys().collect();
    let entry = AuditEntry {
        at: engine.outside.clock.now(),
        actor: record.asked.deployment.clone().unwrap_or_else(|| "the run above it".to_owned()),
        action: "give-secrets".to_owned(),
        subject: record.asked.id.to_string(),
        details: Json::of(&serde_json::json!({ "attempt": record.run.attempt, "secrets": names })),
    };
    engine.outside.store.audit(entry).await
}

/// Runs the flow's body until it reports, is interrupted, or the host shuts down.
async fn watch_over(
    engine: &Arc<Inner>,
    id: FlowRunId,
    fence: Fence,
    attempt: &Attempt,
    calls: &Arc<Calls>,
    stop: Stop,
) -> Stopped {
    let body = async {
        let mut report = match calls.overrides().injected(true, &attempt.flow, attempt.attempt) {
            Some(what) => injected(what, attempt).await,
            None => engine.outside.runner.run_flow(attempt, calls.clone()).await,
        };
        report.outcome = report.outcome.and_then(|result| calls.check_result(&attempt.flow, result));
        if report.outcome.is_ok() {
            let failed = calls.join().await;
            if failed > 0 {
                warn_of_open(engine, calls, attempt, failed);
            }
        }
        report
    };
    tokio::pin!(body);
    let body = calls.beside(body);
    tokio::pin!(body);
    let logs = write_logs(engine, id, fence, calls);
    tokio::pin!(logs);
    let stopped = tokio::select! {
        biased;
        interrupt = calls.interrupted() => Stopped::Interrupted(interrupt),
        report = &mut body => Stopped::Reported(report),
        () = &mut logs => unreachable!("writes until it is dropped"),
        () = stop.said() => Stopped::Shutdown,
    };
    if !matches!(stopped, Stopped::Shutdown | Stopped::Interrupted(Interrupt::Paused)) {
        return stopped;
    }
    // Task attempts that are being made may end by themselves; what they come to need not be done again.
    let calm = async {
        tokio::select! {
            biased;
            () = calls.cancelled() => Some(Stopped::Interrupted(Interrupt::Cancelled)),
            report = &mut body => Some(Stopped::Reported(report)),
            () = calls.stop() => None,
        }
    };
    tokio::time::timeout(engine.settings.grace, calm).await.ok().flatten().unwrap_or(stopped)
}

/// What happens in place of an attempt, as whoever made the run wanted to see it.
pub(crate) async fn injected(what: &What, attempt: &Attempt) -> Report {
    if *what == What::Hang {
        match attempt.limits.timeout {
            Some(timeout) => tokio::time::sleep(timeout.saturating_sub(attempt.elapsed)).await,
            None => std::future::pending().await,
        }
    }
    Report { outcome: Err(what.failure()), evidence: Evidence::default() }
}

fn warn_of_open(engine: &Inner, calls: &Calls, attempt: &Attempt, failed: usize) {
    use retake_core::port::Logs;
    calls.line(LogLine {
        at: engine.outside.clock.now(),
        call: 0,
        attempt: attempt.attempt,
        level: retake_core::task::Level::Warn,
        message: match failed {
            1 => "a call failed that the flow did not look at; it does not change its outcome".to_owned(),
            _ => format!("{failed} calls failed that the flow did not look at; they do not change its outcome"),
        },
        fields: None,
        task: None,
    });
}

/// Writes log lines in groups for as long as it is polled.
async fn write_logs(engine: &Inner, id: FlowRunId, fence: Fence, calls: &Calls) {
    loop {
        calls.logged().await;
        tokio::time::sleep(LOG_WAIT).await;
        let lines = calls.take_logs();
        if lines.is_empty() {
            continue;
        }
        // Lines are not results: what cannot be written now is lost, and the run goes on.
        if let Err(error) = engine.outside.store.append_logs(id, fence, lines).await {
            tracing::warn!(run = %id, %error, "log lines could not be kept");
        }
    }
}

/// What an attempt leaves beside how it ended.
#[derive(Default)]
struct Last {
    result: Option<Json>,
    evidence: Evidence,
    logs: Vec<LogLine>,
    /// Children that are cancelled with it.
    open: Vec<FlowRunId>,
    /// Children that it waits for while it is suspended.
    waits_for: Vec<FlowRunId>,
    /// Calls whose results are kept and that it did not ask for.
    unasked: Vec<u32>,
}

/// Keeps how an attempt ended, however long that takes, and tells who waits for it.
async fn finish(engine: &Inner, Held { id, fence, parent }: Held, end: AttemptEnd, last: Last) {
    let failure = match &end {
        AttemptEnd::Failed { failure, .. } | AttemptEnd::Parked { failure } => Some(failure.clone()),
        _ => None,
    };
    let Last { result, evidence, logs, open, waits_for, unasked } = last;
    let now = engine.outside.clock.now();
    let commit = AttemptCommit { end, result, evidence, logs, cancel: open, waits_for, unasked, now };
    let end = || engine.outside.store.end_attempt(id, fence, commit.clone());
    let run = match engine.until_answered(id, "keeping the end of an attempt", end).await {
        Ok(run) => run,
        Err(error) => {
            // Perhaps it was kept before, and the answer was lost: whoever waits is to look.
            tracing::warn!(run = %id, %error, "the end of an attempt came too late");
            engine.timers_changed();
            return engine.changed(id);
        }
    };
    let due = match run.state {
        RunState::Scheduled { due, .. } => Some(due),
        _ => None,
    };
    // A parent that is suspended until later goes on with the answer; one that is worked on here is told below.
    let may_wake = parent.is_some_and(|it| run.state.answers() && !engine.works_on(it));
    if due.is_some() || may_wake {
        engine.timers_changed();
    }
    let shown = run.shown(commit.now);
    engine.observe(id, || Progress::Ended { shown, failure, due });
    engine.changed(id);
    for child in commit.cancel {
        Box::pin(engine.stop_tree(child)).await;
    }
}
