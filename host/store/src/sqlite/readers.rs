//! Questions, answered beside the writer by threads with read connections of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::writer::StartError;
use super::writes::Fault;
use crate::StoreError;

/// Questions that may wait; whoever comes then waits to be let in.
const QUEUE: usize = 256;
/// Longest that one question may take. A long one keeps the log from beginning anew (F14).
const LONGEST: Duration = Duration::from_secs(5);
/// Steps of SQLite's machine between two looks at the clock: well under a millisecond.
const STEPS: i32 = 10_000;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// The way to the readers.
pub(super) struct Readers {
    questions: Option<crossbeam_channel::Sender<Question>>,
    /// As many as the queue is long, so that to send never blocks.
    places: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
}

/// The readers have stopped, which they do only when they panicked.
#[derive(Debug, thiserror::Error)]
#[error("the readers have stopped")]
struct Stopped;

impl Readers {
    /// Starts one thread for each connection.
    pub(super) fn start(connections: Vec<Connection>) -> Result<Self, StartError> {
        let (questions, queue) = crossbeam_channel::bounded::<Question>(QUEUE);
        let mut threads = Vec::with_capacity(connections.len());
        for mut db in connections {
            let until = bound(&mut db)?;
            let queue = queue.clone();
            threads.push(std::thread::Builder::new().name("store-reader".into()).spawn(move || {
                while let Ok(question) = queue.recv() {
                    until.begin();
                    question(&db);
                }
            })?);
        }
        Ok(Self { questions: Some(questions), places: Arc::new(Semaphore::new(QUEUE)), threads })
    }

    /// Asks and waits for the answer.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stopped = || StoreError::Unavailable(Box::new(Stopped));
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| stopped())?;
        let (waits, answer) = oneshot::channel();
        let question: Question = Box::new(move |db| {
            let _place = place;
            // Whoever went away in the meantime does not want to know.
            if !waits.is_closed() {
                let _ = waits.send(question(db));
            }
        });
        self.questions.as_ref().ok_or_else(stopped)?.send(question).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?.map_err(|fault| match fault {
            Fault::Refused(refused) => refused,
            Fault::Database(error) => StoreError::Unavailable(Box::new(error)),
        })
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader of the store panicked");
            }
        }
    }
}

/// When the question that is being answered began, in microseconds after `since`.
#[derive(Clone)]
struct Until {
    since: Instant,
    began: Arc<AtomicU64>,
}

impl Until {
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn begin(&self) {
        self.began.store(self.now(), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.now().saturating_sub(self.began.load(Ordering::Relaxed)) > LONGEST.as_micros() as u64
    }
}

/// Makes the connection give up on what takes too long.
fn bound(db: &mut Connection) -> rusqlite::Result<Until> {
    let until = Until { since: Instant::now(), began: Arc::default() };
    let watched = until.clone();
    db.progress_handler(STEPS, Some(move || watched.is_over()))?;
    Ok(until)
}
