//! What happens while runs are worked on, for whoever watches at this moment.
//!
//! It is told from memory, and a part of it is remembered, so that a client that lost its connection misses nothing:
//! it says which event it saw last. One that is too slow, or asks for what is not remembered any more, is told to look
//! again at what is kept (`resync`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use retake_core::failure::Failure;
use retake_core::id::FlowRunId;
use retake_core::run::Shown;
use retake_core::time::{Clock, Timestamp};
use retake_engine::{Observer, Progress};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};

use crate::metrics::Counted;
use crate::wire::{LineView, millis};

/// How many events a client may be behind, and how many are remembered.
const REMEMBERED: usize = 4096;

/// Longest details that are told live: what is remembered must not be as large as guests like.
const DETAILS_BYTES: usize = 4 << 10;

fn short(mut failure: Failure) -> Failure {
    failure.details = failure.details.filter(|it| it.as_str().len() <= DETAILS_BYTES);
    failure
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveEvent {
    /// To which run.
    pub run: FlowRunId,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub happened: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words of `retake_engine::Progress`, where they are explained")]
pub enum Happened {
    Changed,
    AttemptBegan {
        attempt: u32,
        resumed: bool,
    },
    Cached {
        number: u32,
        name: String,
    },
    Child {
        child: FlowRunId,
    },
    TaskBegan {
        number: u32,
        name: String,
        attempt: u32,
    },
    TaskEnded {
        number: u32,
        name: String,
        attempt: u32,
        took_ms: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    Log {
        line: LineView,
    },
    AttemptEnded {
        state: Shown,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Timestamp>,
    },
}

impl Happened {
    /// Whether the run has ended by it, or waits for a person: nothing more is told of it then.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::AttemptEnded { state, .. } if state.is_terminal() || *state == Shown::Parked)
    }
}

impl From<Progress> for Happened {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Changed => Self::Changed,
            Progress::Began { attempt, resumed } => Self::AttemptBegan { attempt, resumed },
            Progress::Cached { number, name } => Self::Cached { number, name },
            Progress::Child(child) => Self::Child { child },
            Progress::TaskBegan { number, name, attempt } => Self::TaskBegan { number, name, attempt },
            Progress::TaskEnded { number, name, attempt, took, failure, retry_at } => {
                Self::TaskEnded { number, name, attempt, took_ms: millis(took), failure: failure.map(short), retry_at }
            }
            Progress::Line(line) => {
                let mut line = LineView::new(&line);
                line.fields = line.fields.filter(|it| it.as_str().len() <= DETAILS_BYTES);
                Self::Log { line }
            }
            Progress::Ended { shown, failure, due } => {
                Self::AttemptEnded { state: shown, failure: failure.map(short), due }
            }
        }
    }
}

impl From<Happened> for Progress {
    fn from(happened: Happened) -> Self {
        match happened {
            Happened::Changed => Self::Changed,
            Happened::AttemptBegan { attempt, resumed } => Self::Began { attempt, resumed },
            Happened::Cached { number, name } => Self::Cached { number, name },
            Happened::Child { child } => Self::Child(child),
            Happened::TaskBegan { number, name, attempt } => Self::TaskBegan { number, name, attempt },
            Happened::TaskEnded { number, name, attempt, took_ms, failure, retry_at } => {
                Self::TaskEnded { number, name, attempt, took: Duration::from_millis(took_ms), failure, retry_at }
            }
            Happened::Log { line } => Self::Line(line.into()),
            Happened::AttemptEnded { state, failure, due } => Self::Ended { shown: state, failure, due },
        }
    }
}

/// An event and its place among those of this server.
pub(crate) type Numbered = (u64, Arc<LiveEvent>);

/// Tells everybody who watches.
pub struct Live {
    clock: Arc<dyn Clock>,
    /// Part of each event's id, so that one of an earlier server is recognised.
    boot: u64,
    told: broadcast::Sender<Numbered>,
    remembered: Mutex<Remembered>,
    pub(crate) counted: Counted,
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct Remembered {
    last: u64,
    events: VecDeque<Numbered>,
}

/// Where a client begins.
pub(crate) struct Begin {
    pub(crate) missed: Vec<Numbered>,
    pub(crate) next: broadcast::Receiver<Numbered>,
    /// Whether it missed what is not remembered.
    pub(crate) resync: bool,
}

impl Live {
    /// Makes one that nobody watches yet.
    pub fn new(clock: Arc<dyn Clock>, boot: u64) -> Self {
        Self {
            clock,
            boot,
            told: broadcast::channel(REMEMBERED).0,
            remembered: Mutex::default(),
            counted: Counted::default(),
            closed: watch::channel(false).0,
        }
    }

    /// Returns the id of the last event that was told.
    pub(crate) fn last(&self) -> String {
        self.id(self.remembered.lock().unwrap_or_else(PoisonError::into_inner).last)
    }

    /// Lets every stream end: the server is to end.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits until the server is to end.
    pub(crate) async fn closed(&self) {
        let _ = self.closed.subscribe().wait_for(|it| *it).await;
    }

    /// Returns how many clients listen.
    pub(crate) fn listeners(&self) -> usize {
        self.told.receiver_count()
    }

    /// Returns the id of an event, as clients give it back.
    pub(crate) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.boot)
    }

    /// Begins after the event that a client saw last. When it saw none, with what is to come, or, with `all`, with
    /// everything that is remembered.
    pub(crate) fn begin(&self, last_id: Option<&str>, all: bool) -> Begin {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.told.subscribe();
        let Some(id) = last_id else {
            let missed = if all { remembered.events.iter().cloned().collect() } else { Vec::new() };
            return Begin { missed, next, resync: false };
        };
        let number = id
            .split_once('-')
            .and_then(|(boot, number)| (boot == self.boot.to_string()).then_some(number)?.parse::<u64>().ok());
        let first = remembered.events.front().map_or(remembered.last + 1, |(number, _)| *number);
        match number {
            Some(number) if number + 1 >= first && number <= remembered.last => {
                let missed = remembered.events.iter().filter(|(it, _)| *it > number).cloned().collect();
                Begin { missed, next, resync: false }
            }
            _ => Begin { missed: Vec::new(), next, resync: true },
        }
    }
}

impl Observer for Live {
    fn progress(&self, run: FlowRunId, progress: Progress) {
        self.counted.count(&progress);
        let event = Arc::new(LiveEvent { run, at: self.clock.now(), happened: progress.into() });
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.last += 1;
        let numbered = (remembered.last, event);
        if remembered.events.len() == REMEMBERED {
            remembered.events.pop_front();
        }
        remembered.events.push_back(numbered.clone());
        // While the lock is held, so that they are told in order. Nobody may be watching.
        let _ = self.told.send(numbered);
    }
}
