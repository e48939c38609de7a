//! What is told live, as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use retake_core::id::FlowRunId;
use retake_core::run::RunState;
use tokio::sync::broadcast::error::RecvError;

use super::extract::Path;
use super::find_run;
use crate::Host;
use crate::error::ApiError;
use crate::live::{Begin, Happened, LiveEvent};
use crate::wire::LineView;

/// A sign of life on a stream on which nothing happens, so that whoever stands between does not close it.
const ALIVE: Duration = Duration::from_secs(15);
/// Lines that are read at once.
const LINES: usize = 500;
/// How long to wait for lines of a run that says nothing.
const LOOK: Duration = Duration::from_millis(500);

type Events<S> = Sse<axum::response::sse::KeepAliveStream<S>>;

fn last_id(headers: &HeaderMap) -> Option<String> {
    headers.get("last-event-id").and_then(|it| it.to_str().ok()).filter(|it| !it.is_empty()).map(str::to_owned)
}

/// What a run logs, as it is kept, until it ends
///
/// Each event is one line; its id is its number. With `Last-Event-ID` it begins after that line. The last event is
/// called `end`.
#[utoipa::path(get, path = "/api/v1/flow-runs/{run}/logs/stream", tag = "live",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name"),
           ("Last-Event-ID" = Option<String>, Header, description = "The last line that was seen")),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn logs(
    State(host): State<Host>,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Events<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let id = find_run(host.store.as_ref(), &run).await?;
    let after = last_id(&headers).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0).min(i64::MAX as u64);
    let begin = Tail { host, id, after, lines: VecDeque::new(), ended: false };
    let stream = stream::unfold(begin, |mut tail| async move {
        let event = tail.next().await?;
        Some((Ok(event), tail))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// The lines of a run, from some line on.
struct Tail {
    host: Host,
    id: FlowRunId,
    after: u64,
    lines: VecDeque<(u64, LineView)>,
    ended: bool,
}

impl Tail {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((number, line)) = self.lines.pop_front() {
                self.after = number;
                return Event::default().event("line").id(number.to_string()).json_data(&line).ok();
            }
            if self.ended {
                return None;
            }
            let changed = self.host.engine.watch(self.id);
            let told = changed.notified();
            // Asked before the lines are read: whoever ends a run writes its last lines with its end.
            let state = self.host.store.run(self.id).await.ok()?.run.state;
            let over = state.is_terminal() || state == RunState::Parked;
            let page = self.host.store.logs(self.id, self.after, LINES).await.ok()?;
            if page.is_empty() && over {
                self.ended = true;
                return Some(Event::default().event("end").data("{}"));
            }
            if page.is_empty() {
                let _ = tokio::time::timeout(LOOK, told).await;
            }
            self.lines = page.iter().map(|(number, line)| (*number, LineView::new(line))).collect();
        }
    }
}

/// What happens to a run and to its children
///
/// Begins with what the server remembers of it; otherwise as the stream of all runs.
#[utoipa::path(get, path = "/api/v1/flow-runs/{run}/events/stream", tag = "live",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name"),
           ("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen")),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn of_run(
    State(host): State<Host>,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Events<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let id = find_run(host.store.as_ref(), &run).await?;
    Ok(told(host, vec![id], &headers))
}

/// What happens to all runs, from now on
///
/// Each event says to which run what happened; it is not kept. With `Last-Event-ID` what was missed is told first, if
/// the server remembers it; otherwise an event `resync` asks to look again at what is kept.
#[utoipa::path(get, path = "/api/v1/events/stream", tag = "live",
    params(("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen")),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn all(
    State(host): State<Host>,
    headers: HeaderMap,
) -> Result<Events<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    Ok(told(host, Vec::new(), &headers))
}

struct Listener {
    host: Host,
    begin: Begin,
    missed: VecDeque<(u64, Arc<LiveEvent>)>,
    /// Of these runs, and of what they ask for; of all when there is none.
    only: Vec<FlowRunId>,
}

fn told(
    host: Host,
    only: Vec<FlowRunId>,
    headers: &HeaderMap,
) -> Events<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let mut begin = host.live.begin(last_id(headers).as_deref(), !only.is_empty());
    let missed = std::mem::take(&mut begin.missed).into();
    let listener = Listener { host, begin, missed, only };
    let stream = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE))
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if std::mem::take(&mut self.begin.resync) {
                return Some(Event::default().event("resync").data("{}"));
            }
            let (number, event) = match self.missed.pop_front() {
                Some(missed) => missed,
                None => match self.begin.next.recv().await {
                    Ok(next) => next,
                    Err(RecvError::Lagged(_)) => {
                        self.begin.resync = true;
                        continue;
                    }
                    Err(RecvError::Closed) => return None,
                },
            };
            if !self.only.is_empty() {
                if !self.only.contains(&event.run) {
                    continue;
                }
                if let Happened::Child { child } = event.happened {
                    self.only.push(child);
                }
            }
            let id = self.host.live.id(number);
            return Event::default().event("progress").id(id).json_data(&*event).ok();
        }
    }
}
