//! What a Prometheus server reads: counted since the start, or looked up when it asks.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use retake_core::time::Timestamp;
use retake_engine::Progress;
use retake_store::StoreError;

use crate::Host;

/// Most waiting runs that are told apart by queue.
const MOST_WAITING: u64 = 100_000;

type Labels = Vec<(&'static str, String)>;

/// What is counted since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    attempts: Family<Labels, Counter>,
    task_attempts: Family<Labels, Counter>,
}

impl Counted {
    /// Counts what happened.
    pub(crate) fn count(&self, progress: &Progress) {
        match progress {
            Progress::Ended { shown, .. } => {
                self.attempts.get_or_create(&vec![("state", shown.to_string())]).inc();
            }
            Progress::TaskEnded { failure, .. } => {
                let outcome = if failure.is_none() { "completed" } else { "failed" };
                self.task_attempts.get_or_create(&vec![("outcome", outcome.to_owned())]).inc();
            }
            _ => {}
        }
    }
}

/// What waits in each queue.
async fn waiting(host: &Host, registry: &mut Registry, now: Timestamp) -> Result<(), StoreError> {
    let (depths, ages) = (Family::<Labels, Gauge>::default(), Family::<Labels, Gauge<f64, AtomicU64>>::default());
    for (queue, count, first) in host.store.waiting(now, MOST_WAITING).await? {
        let of = vec![("queue", queue)];
        depths.get_or_create(&of).set(i64::try_from(count).unwrap_or(i64::MAX));
        ages.get_or_create(&of).set(now.since(first).as_secs_f64());
    }
    let help = format!("Runs that are due and wait, by queue, of the {MOST_WAITING} that are due longest");
    registry.register("queue_depth", help, depths);
    registry.register_with_unit("queue_age", "How long the first of them has waited", Unit::Seconds, ages);
    Ok(())
}

/// What is worked on, and in how many sandboxes.
fn slots(host: &Host, registry: &mut Registry) {
    let (used, all) = (host.engine.in_use(), host.engine.settings());
    let gauges = |flow_runs: usize, task_attempts: usize| {
        let gauges = Family::<Labels, Gauge>::default();
        gauges.get_or_create(&vec![("of", "flow_runs".to_owned())]).set(flow_runs as i64);
        gauges.get_or_create(&vec![("of", "task_attempts".to_owned())]).set(task_attempts as i64);
        gauges
    };
    let help = "Flow runs, children among them, and task attempts that are worked on";
    registry.register("slots_used", help, gauges(used.flow_runs, used.task_attempts));
    let help = "How many may be at once; of flow runs without a parent, children have slots of their own";
    registry.register("slots", help, gauges(all.flow_slots, all.task_slots));
    let made = host.engine.sandboxes();
    registry.register("sandboxes", "Sandboxes that were made", ConstCounter::new(made.made));
    let making = ConstCounter::new(made.making.as_secs_f64());
    registry.register_with_unit("sandboxes_making", "How long that took together", Unit::Seconds, making);
}

/// Returns everything as text.
pub(crate) async fn text(host: &Host) -> Result<String, StoreError> {
    let now = host.now();
    let mut registry = Registry::with_prefix("retake");
    let counted = &host.live.counted;
    registry.register(
        "attempts",
        "Attempts of flows that ended, by the state of the run then",
        counted.attempts.clone(),
    );
    registry.register("task_attempts", "Attempts of tasks that ended, by outcome", counted.task_attempts.clone());
    let open = Family::<Labels, Gauge>::default();
    for (shown, count) in host.store.open_runs(now).await? {
        open.get_or_create(&vec![("state", shown.to_string())]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry.register("open_runs", "Runs that wait or are worked on, by state", open);
    let late = host.store.next_due(None).await?.map_or(0.0, |due| now.since(due).as_secs_f64());
    registry.register_with_unit(
        "oldest_due",
        "How long the run that is due longest has waited",
        Unit::Seconds,
        ConstGauge::new(late),
    );
    waiting(host, &mut registry, now).await?;
    slots(host, &mut registry);
    let messages = host.store.deliveries_due(now, 1000).await?.len();
    registry.register(
        "deliveries_due",
        "Messages that are to be sent now, 1000 at most",
        ConstGauge::new(messages as i64),
    );
    let streams = host.live.listeners() as i64;
    registry.register("streams", "Clients that are told live what happens", ConstGauge::new(streams));
    if let Some(stats) = host.store.writer_stats() {
        registry.register("store_changes", "Changes that the store was asked for", ConstCounter::new(stats.changes));
        registry.register(
            "store_commits",
            "Transactions that wrote something; each shares one fsync",
            ConstCounter::new(stats.commits),
        );
        let committing = ConstCounter::new(stats.committing.as_secs_f64());
        registry.register_with_unit(
            "store_committing",
            "How long all commits took together",
            Unit::Seconds,
            committing,
        );
    }
    let failed = i64::from(host.store.has_failed());
    registry.register(
        "store_failed",
        "1 when nothing is written any more until the server is started again",
        ConstGauge::new(failed),
    );
    let mut text = String::new();
    encode(&mut text, &registry).expect("text can be written to a string");
    Ok(text)
}
