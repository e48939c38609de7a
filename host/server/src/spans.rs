//! Traces over OTLP: a run, its attempts, and the calls that each made.
//!
//! They are made of what is kept, once an attempt of a flow has ended: nothing is carried along while a flow is worked
//! on. Their ids follow from the run's, so that a span that is sent again is the same span. What cannot be sent is
//! dropped: what is kept is the store's.
//!
//! Without the feature `otlp` nothing is sent, and whoever asks for it is told so.

use thiserror::Error;

pub use sending::Spans;

/// Why no traces can be sent.
#[derive(Debug, Error)]
pub enum SpansError {
    /// The collector's address.
    #[error("`{0}` is no address of an OTLP collector")]
    Collector(String),
    /// What the environment says besides.
    #[error("traces cannot be sent: {0}")]
    Settings(String),
    /// The binary cannot.
    #[error("this binary was built without OTLP")]
    NotBuilt,
}

#[cfg(not(feature = "otlp"))]
mod sending {
    use super::SpansError;
    use crate::Live;

    /// Where traces go: nowhere, in this binary.
    pub enum Spans {}

    impl Spans {
        /// Says that this binary sends none.
        ///
        /// # Errors
        ///
        /// Always.
        pub fn to(_: &str) -> Result<Self, SpansError> {
            Err(SpansError::NotBuilt)
        }

        /// Never called.
        pub async fn send(&self, _: &dyn retake_store::Store, _: &Live) {
            match *self {}
        }
    }
}

#[cfg(feature = "otlp")]
mod sending {
    use std::borrow::Cow;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
    use opentelemetry::{InstrumentationScope, KeyValue};
    use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
    use retake_core::failure::Failure;
    use retake_core::id::FlowRunId;
    use retake_core::replay::CallKind;
    use retake_core::run::Shown;
    use retake_core::task::{Evidence, PastAttempt, TaskRun};
    use retake_core::time::Timestamp;
    use retake_store::{RunRecord, Store, StoreError};
    use sha2::{Digest, Sha256};
    use tokio::sync::broadcast::error::RecvError;

    use super::SpansError;
    use crate::live::{Happened, Live, LiveEvent};

    /// How long a collector may take over one request.
    const ANSWER: Duration = Duration::from_secs(10);
    /// Most spans in one request.
    const AT_ONCE: usize = 500;

    /// Where traces go.
    #[derive(Debug)]
    pub struct Spans {
        collector: SpanExporter,
    }

    impl Spans {
        /// Sends them to a collector, by its address without a path. `OTEL_EXPORTER_OTLP_HEADERS` and
        /// `OTEL_RESOURCE_ATTRIBUTES` count as OpenTelemetry says.
        ///
        /// # Errors
        ///
        /// See [`SpansError`].
        pub fn to(address: &str) -> Result<Self, SpansError> {
            let bad = || SpansError::Collector(address.to_owned());
            let url = reqwest::Url::parse(address).map_err(|_| bad())?;
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                return Err(bad());
            }
            crate::tls::use_ring();
            let http = reqwest::Client::builder().timeout(ANSWER).redirect(reqwest::redirect::Policy::none());
            let http = http.build().map_err(|it| SpansError::Settings(it.to_string()))?;
            let mut collector = SpanExporter::builder()
                .with_http()
                .with_http_client(http)
                .with_endpoint(format!("{}/v1/traces", address.trim_end_matches('/')))
                .with_timeout(ANSWER)
                .build()
                .map_err(|it| SpansError::Settings(it.to_string()))?;
            let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
            let mut resource = Resource::builder().with_attribute(version);
            if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
                resource = resource.with_service_name("retake");
            }
            collector.set_resource(&resource.build());
            Ok(Self { collector })
        }

        /// Sends the spans of each attempt that ends, for as long as it is polled.
        pub async fn send(&self, store: &dyn Store, live: &Live) {
            let mut events = live.begin(None, false).next;
            let mut spans = Vec::new();
            loop {
                match events.recv().await {
                    Ok((_, event)) => spans.extend(of_event(store, &event).await),
                    Err(RecvError::Lagged(events)) => tracing::warn!(events, "more happened than could be traced"),
                    Err(RecvError::Closed) => return,
                }
                // What has happened meanwhile goes with it.
                if !spans.is_empty() && (spans.len() >= AT_ONCE || events.is_empty()) {
                    let mut left = std::mem::take(&mut spans).into_iter().peekable();
                    while left.peek().is_some() {
                        let some: Vec<SpanData> = left.by_ref().take(AT_ONCE).collect();
                        let count = some.len();
                        if let Err(error) = self.collector.export(some).await {
                            tracing::warn!(%error, spans = count, "spans could not be sent, and are dropped");
                        }
                    }
                }
            }
        }
    }

    async fn of_event(store: &dyn Store, event: &LiveEvent) -> Vec<SpanData> {
        let Happened::AttemptEnded { state, .. } = &event.happened else { return Vec::new() };
        // It goes on, as the same attempt.
        if matches!(state, Shown::Suspended | Shown::Paused) {
            return Vec::new();
        }
        match of_attempt(store, event).await {
            Ok(spans) => spans,
            Err(error) => {
                tracing::warn!(%error, run = %event.run, "an attempt could not be traced");
                Vec::new()
            }
        }
    }

    /// A trace, and what is above a run in it.
    struct Trace {
        id: TraceId,
        above: Option<(SpanId, bool)>,
        sampled: bool,
    }

    impl Trace {
        async fn of(store: &dyn Store, record: &RunRecord) -> Result<Self, StoreError> {
            let root = match record.asked.parent {
                None => None,
                Some(_) => Some(store.run(record.asked.root).await?),
            };
            let asked = &root.as_ref().unwrap_or(record).asked;
            let outer = asked.overrides.trace_parent;
            let above = match record.asked.parent {
                Some(parent) => Some((span_id(parent.run, [CALL, parent.call, 0, 0]), false)),
                None => outer.map(|it| (SpanId::from_bytes(it.span().to_be_bytes()), true)),
            };
            let own = TraceId::from_bytes(asked.id.to_bytes());
            let id = outer.map_or(own, |it| TraceId::from_bytes(it.trace().to_be_bytes()));
            Ok(Self { id, above, sampled: outer.is_none_or(|it| it.is_sampled()) })
        }

        fn span(
            &self,
            id: SpanId,
            above: Option<(SpanId, bool)>,
            name: String,
            (from, to): (Timestamp, Timestamp),
        ) -> SpanData {
            let flags = TraceFlags::SAMPLED;
            let (parent_span_id, parent_span_is_remote) = above.unwrap_or((SpanId::INVALID, false));
            SpanData {
                span_context: SpanContext::new(self.id, id, flags, false, TraceState::NONE),
                parent_span_id,
                parent_span_is_remote,
                span_kind: SpanKind::Internal,
                name: Cow::Owned(name),
                start_time: instant(from),
                end_time: instant(to),
                attributes: Vec::new(),
                dropped_attributes_count: 0,
                events: SpanEvents::default(),
                links: SpanLinks::default(),
                status: Status::Unset,
                instrumentation_scope: InstrumentationScope::builder("retake")
                    .with_version(env!("CARGO_PKG_VERSION"))
                    .build(),
            }
        }
    }

    const RUN: u32 = 0;
    const ATTEMPT: u32 = 1;
    const CALL: u32 = 2;
    const CALL_ATTEMPT: u32 = 3;

    /// The id of a span, which is never zero: what it is of, and numbers within the run.
    fn span_id(run: FlowRunId, of: [u32; 4]) -> SpanId {
        let mut hash = Sha256::new().chain_update(run.to_bytes());
        of.iter().for_each(|it| hash.update(it.to_be_bytes()));
        let mut id: [u8; 8] = std::array::from_fn({
            let hash = hash.finalize();
            move |at| hash[at]
        });
        id[7] |= 1;
        SpanId::from_bytes(id)
    }

    fn instant(at: Timestamp) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(at.as_micros().max(0).unsigned_abs())
    }

    async fn of_attempt(store: &dyn Store, event: &LiveEvent) -> Result<Vec<SpanData>, StoreError> {
        let record = store.run(event.run).await?;
        let trace = Trace::of(store, &record).await?;
        if !trace.sampled {
            return Ok(Vec::new());
        }
        let past = store.past_attempts(event.run).await?;
        // The next one may have ended already.
        let ended = past.iter().filter(|it| it.call == 0 && it.ended <= event.at);
        let Some(attempt) = ended.max_by_key(|it| it.attempt) else { return Ok(Vec::new()) };
        let mut spans = Vec::new();
        let run_span = span_id(event.run, [RUN, record.run.round, 0, 0]);
        let attempt_span = span_id(event.run, [ATTEMPT, attempt.attempt, 0, 0]);
        let name = format!("attempt {}", attempt.attempt);
        let mut span = trace.span(attempt_span, Some((run_span, false)), name, (attempt.began, attempt.ended));
        span.attributes = vec![KeyValue::new("retake.attempt", i64::from(attempt.attempt))];
        tell(&mut span, attempt.failure.as_ref(), &attempt.evidence);
        spans.push(span);
        for task in store.task_runs(event.run).await?.iter().filter(|it| it.flow_attempt == attempt.attempt) {
            of_call(&trace, event.run, task, &past, attempt_span, &mut spans);
        }
        if let Happened::AttemptEnded { state, .. } = &event.happened
            && state.is_terminal()
        {
            let began = record.run.round_began.unwrap_or(attempt.began);
            let mut span = trace.span(run_span, trace.above, record.asked.flow.clone(), (began, attempt.ended));
            let text = |name: &'static str, value: String| KeyValue::new(name, value);
            span.attributes = vec![
                text("retake.run.id", event.run.to_string()),
                text("retake.run.name", event.run.friendly_name()),
                text("retake.flow", record.asked.flow.clone()),
                text("retake.component", record.asked.component.to_string()),
                text("retake.queue", record.asked.queue.clone()),
                text("retake.run.state", state.to_string()),
                KeyValue::new("retake.round", i64::from(record.run.round)),
            ];
            span.attributes.extend(record.asked.deployment.clone().map(|it| text("retake.deployment", it)));
            say_failed(&mut span, attempt.failure.as_ref());
            spans.push(span);
        }
        Ok(spans)
    }

    /// A call, and its attempts where there was more than one.
    fn of_call(
        trace: &Trace,
        run: FlowRunId,
        task: &TaskRun,
        past: &[PastAttempt],
        above: SpanId,
        spans: &mut Vec<SpanData>,
    ) {
        // A child keeps its place however often it is run: it has to know what is above it.
        let round = if task.identity.kind == CallKind::Flow { 0 } else { task.round };
        let id = span_id(run, [CALL, task.number, round, 0]);
        let name = task.label.as_deref().unwrap_or(&task.identity.name).to_owned();
        let mut span = trace.span(id, Some((above, false)), name, (task.round_began, task.ended));
        let kind = match task.identity.kind {
            CallKind::Task => "task",
            CallKind::Flow => "flow",
            CallKind::Sleep => "sleep",
        };
        span.attributes = vec![
            KeyValue::new("retake.call", i64::from(task.number)),
            KeyValue::new("retake.call.kind", kind),
            KeyValue::new("retake.task", task.identity.name.clone()),
            KeyValue::new("retake.call.attempts", i64::from(task.attempts)),
        ];
        tell(&mut span, task.failure.as_ref(), &task.evidence);
        spans.push(span);
        let mut attempt_of = |attempt: u32, times, failure: Option<&Failure>, evidence: &Evidence| {
            let of = span_id(run, [CALL_ATTEMPT, task.number, attempt, 0]);
            let mut span = trace.span(of, Some((id, false)), format!("attempt {attempt}"), times);
            span.attributes = vec![KeyValue::new("retake.attempt", i64::from(attempt))];
            tell(&mut span, failure, evidence);
            spans.push(span);
        };
        let mut several = false;
        for it in past.iter().filter(|it| it.call == task.number && it.began >= task.round_began) {
            several = true;
            attempt_of(it.attempt, (it.began, it.ended), it.failure.as_ref(), &it.evidence);
        }
        if several {
            attempt_of(task.attempts, (task.began, task.ended), task.failure.as_ref(), &task.evidence);
        }
    }

    fn tell(span: &mut SpanData, failure: Option<&Failure>, evidence: &Evidence) {
        say_failed(span, failure);
        let number = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
        span.attributes.push(KeyValue::new("retake.cpu_us", number(evidence.cpu_us)));
        span.attributes.push(KeyValue::new("retake.peak_memory", number(evidence.peak_memory)));
    }

    fn say_failed(span: &mut SpanData, failure: Option<&Failure>) {
        let Some(failure) = failure else { return };
        span.status = Status::error(failure.message.clone());
        span.attributes.push(KeyValue::new("error.type", failure.code.clone()));
    }
}
