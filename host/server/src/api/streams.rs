//! What is told live, as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
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
use crate::access::Actor;
use crate::bounds::too_many;
use crate::doing::Share;
use crate::error::ApiError;
use crate::lines;
use crate::live::{Begin, Happened, LiveEvent};
use crate::wire::LineView;

/// A sign of life on a stream on which nothing happens, so that whoever stands between does not close it.
const ALIVE: Duration = Duration::from_secs(15);
/// Lines that are read at once.
const LINES: usize = 500;
/// How long to wait for lines of a run that says nothing.
const LOOK: Duration = Duration::from_millis(500);

/// How often it is looked whether the token of a stream may still do that.
const STILL: Duration = Duration::from_secs(10);

type Events<S> = Sse<axum::response::sse::KeepAliveStream<S>>;

fn last_id(headers: &HeaderMap) -> Option<String> {
    headers.get("last-event-id").and_then(|it| it.to_str().ok()).filter(|it| !it.is_empty()).map(str::to_owned)
}

/// A place among the streams, for whom it is, and whether that may still be.
struct Place {
    host: Host,
    actor: Actor,
    _share: Share,
}

impl Place {
    fn take(host: Host, actor: Actor) -> Result<Self, ApiError> {
        let Some(share) = host.doing.streams.try_take(&actor.name) else {
            let hint = "let others end, or ask for pages instead";
            return Err(too_many("too many streams are open", hint).after(Duration::from_secs(5)));
        };
        Ok(Self { host, actor, _share: share })
    }

    /// Whether the token may still do that.
    fn may_go_on(&self) -> bool {
        self.host.tokens.still(&self.actor, self.host.now())
    }

    /// Waits for something; `None` when the stream is to end: the server ends, or the token is not good any more.
    async fn wait<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        let mut what = std::pin::pin!(what);
        let mut changes = self.host.tokens.changes();
        loop {
            if !self.may_go_on() {
                return None;
            }
            tokio::select! {
                it = &mut what => return Some(it),
                () = self.host.live.closed() => return None,
                _ = changes.changed() => {}
                () = tokio::time::sleep(STILL) => {}
            }
        }
    }
}

fn end() -> Event {
    Event::default().event("end").data("{}")
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
    Extension(actor): Extension<Actor>,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Events<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let id = find_run(host.store.as_ref(), &run).await?;
    let after = last_id(&headers).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0).min(i64::MAX as u64);
    let begin = Tail { place: Place::take(host, actor)?, id, after, lines: VecDeque::new(), ended: false };
    let stream = stream::unfold(begin, |mut tail| async move {
        let event = tail.next().await?;
        Some((Ok(event), tail))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// The lines of a run, from some line on.
struct Tail {
    place: Place,
    id: FlowRunId,
    after: u64,
    lines: VecDeque<(u64, LineView)>,
    ended: bool,
}

impl Tail {
    async fn next(&mut self) -> Option<Event> {
        let host = self.place.host.clone();
        loop {
            if let Some((number, line)) = self.lines.pop_front() {
                self.after = number;
                return Event::default().event("line").id(number.to_string()).json_data(&line).ok();
            }
            if self.ended || !self.place.may_go_on() {
                return None;
            }
            let changed = host.engine.watch(self.id);
            let told = changed.notified();
            // Asked before the lines are read: whoever ends a run writes its last lines with its end.
            let over = has_ended(host.store.run(self.id).await.ok()?.run.state);
            let page = host.store.logs(self.id, self.after, LINES).await.ok()?;
            if page.is_empty() && over {
                self.ended = true;
                return Some(end());
            }
            if page.is_empty() {
                self.place.wait(tokio::time::timeout(LOOK, told)).await?.ok();
            }
            self.lines = page.iter().map(|(number, line)| (*number, LineView::new(line))).collect();
        }
    }
}

fn has_ended(state: RunState) -> bool {
    state.is_terminal() || state == RunState::Parked
}

/// What happens to a run and to its children, until it ends
///
/// Begins with what the server remembers of it; otherwise as the stream of all runs. The last event is called `end`.
#[utoipa::path(get, path = "/api/v1/flow-runs/{run}/events/stream", tag = "live",
    params(("run" = String, Path, description = "Its id, an unambiguous beginning of it, or its friendly name"),
           ("Last-Event-ID" = Option<String>, Header, description = "The last event that was seen")),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn of_run(
    State(host): State<Host>,
    Extension(actor): Extension<Actor>,
    Path(run): Path<String>,
    headers: HeaderMap,
) -> Result<Events<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let id = find_run(host.store.as_ref(), &run).await?;
    let place = Place::take(host, actor)?;
    // Before it is looked who is there, so that nobody who comes meanwhile is missed.
    let begin = place.host.live.begin(last_id(&headers).as_deref(), true);
    let only = lines::tree(place.host.store.as_ref(), id, place.host.now()).await?;
    Ok(told(place, begin, only))
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
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
) -> Result<Events<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let place = Place::take(host, actor)?;
    let begin = place.host.live.begin(last_id(&headers).as_deref(), false);
    Ok(told(place, begin, Vec::new()))
}

struct Listener {
    place: Place,
    begin: Begin,
    missed: VecDeque<(u64, Arc<LiveEvent>)>,
    /// The run that is told of, and those below it; of all when there is none.
    only: Vec<FlowRunId>,
    ended: bool,
    /// Whether it was told that the last attempt of the run has ended.
    told_of_end: bool,
    /// How often the run was found to have ended without that.
    found_ended: u32,
}

fn told(
    place: Place,
    mut begin: Begin,
    only: Vec<FlowRunId>,
) -> Events<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let missed = std::mem::take(&mut begin.missed).into();
    let listener = Listener { place, begin, missed, only, ended: false, told_of_end: false, found_ended: 0 };
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
                None if self.ended => return None,
                None if self.is_over().await => {
                    self.ended = true;
                    return Some(end());
                }
                // It may end without a word, as when it is cancelled while it waits.
                None => match self.place.wait(tokio::time::timeout(LOOK, self.begin.next.recv())).await? {
                    Ok(Ok(next)) => next,
                    Ok(Err(RecvError::Lagged(_))) => {
                        self.begin.resync = true;
                        continue;
                    }
                    Ok(Err(RecvError::Closed)) => return None,
                    Err(_) => continue,
                },
            };
            if !self.only.is_empty() {
                if !self.only.contains(&event.run) {
                    continue;
                }
                if let Happened::Child { child } = event.happened
                    && self.only.len() < lines::TREE
                {
                    self.only.push(child);
                }
            }
            if self.only.first() == Some(&event.run) {
                self.told_of_end = event.happened.is_end();
            }
            let id = self.place.host.live.id(number);
            return Event::default().event("progress").id(id).json_data(&*event).ok();
        }
    }

    /// Whether the run that is told of has ended, and all was told. That it has ended is kept before it is told, and
    /// where it ended without an attempt, or long ago, nothing is told of it: then it is waited for once.
    async fn is_over(&mut self) -> bool {
        let Some(run) = self.only.first() else { return false };
        let ended = self.place.host.store.run(*run).await.is_ok_and(|it| has_ended(it.run.state));
        if !ended || !self.begin.next.is_empty() {
            return false;
        }
        self.found_ended += 1;
        self.told_of_end || self.found_ended > 1
    }
}
