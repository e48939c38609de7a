//! The one writer: a thread that owns the write connection and takes all changes that wait into one transaction.
//!
//! An fsync is nearly the whole cost of a durable write, so it is shared: while one is under way, the next changes
//! gather. A single submitter pays one fsync and nothing else. Only where many runs are worked on, and every thread of
//! the runtime has been busy for several commits, does the writer wait for more to gather, for a moment: it leaves the
//! processor to those who make what it waits for, and writes the pages that they share once instead of several times.
//!
//! ```text
//! changes ──▶ BEGIN IMMEDIATE, each change, COMMIT ──▶ all are answered
//!                  │ a change fails      │ BEGIN or COMMIT fails
//!                  ▼                     ▼
//!          roll back, then each     roll back, none is answered well;
//!          in one of its own        after an I/O error nothing is tried any more
//! ```
//!
//! After an I/O error, above all of fsync, the kernel may have dropped what it could not write and call the next fsync
//! good. So this connection is never trusted again (F13): whoever runs the host ends it, and recovery reads what is
//! really there.

use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use retake_core::id::FlowRunId;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, DEFAULT_NAME, ErrorCode};
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::{mpsc, oneshot};

use super::open::BUSY;
use super::writes::Fault;
use crate::StoreError;

/// Changes that may wait; whoever comes then waits to be let in.
const QUEUE: usize = 4096;
/// Most changes in one transaction: bounds how long the first of them waits for its answer.
const GROUP: usize = 2048;
/// Bytes of values after which a transaction takes no more: bounds what one adds to the log.
const GROUP_BYTES: usize = 8 << 20;
/// Changes that are company enough: nothing more is waited for then.
const COMPANY: usize = 32;
/// How long company is waited for at most, and how often it is looked whether it has come.
const COMPANY_WAIT: Duration = Duration::from_millis(1);
const COMPANY_LOOK: Duration = Duration::from_micros(50);
/// Of how many runs the last changes must have been, as [`Runs`] counts them: of a few, most wait for this very commit.
const COMPANY_RUNS: u32 = 40;
/// Commits between which no thread of the runtime had a rest, before company is waited for.
const BUSY_COMMITS: u32 = 4;
/// Pages that the log grows by between two checkpoints beside the writer: 4 MiB.
const CHECKPOINT_PAGES: i32 = 1000;
/// Pages from which on the writer itself writes back the little that is left, so that the log begins anew. Beside a
/// busy writer a checkpoint never catches up, and the log would grow without end.
const RESTART_PAGES: i32 = 6000;
/// Pages between two tries of that. All but the first wait for readers that stand in the way: readers that come and go
/// without a gap would keep the log from ever beginning anew (F14).
const RESTART_AGAIN_PAGES: i32 = 1000;
/// How long they wait. Our own readers are done much sooner; a person with `sqlite3` may not be.
const RESTART_WAIT: Duration = Duration::from_millis(250);
/// Once so many pages were logged, the host is busy enough for the log to be made as long as it will get: to write
/// over a file costs a fraction of what it costs to make it longer, where disks are busy.
const GROW_FROM_PAGES: i32 = 256;
/// How long that is: `RESTART_PAGES` and a group more.
const GROWN_BYTES: u64 = 32 << 20;
/// And only where so much is free.
const GROWN_FROM_FREE_BYTES: u64 = 8 * GROWN_BYTES;

/// What the writer has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterStats {
    /// Changes that were asked for.
    pub changes: u64,
    /// Transactions that wrote something: each cost one fsync.
    pub commits: u64,
    /// How long all commits took together, those that wrote nothing among them.
    pub committing: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    changes: AtomicU64,
    commits: AtomicU64,
    committing_us: AtomicU64,
    failed: AtomicBool,
    /// Of the runtime that changes come from.
    runtime: OnceLock<RuntimeMetrics>,
}

impl Shared {
    /// Counts how often threads of the runtime have had nothing to do; `None` while one has nothing to do.
    fn rests(&self) -> Option<u64> {
        let runtime = self.runtime.get()?;
        (0..runtime.num_workers()).try_fold(0, |sum, worker| {
            // It counts both ends of a rest.
            let ends = runtime.worker_park_unpark_count(worker);
            (ends % 2 == 0).then_some(sum + ends / 2)
        })
    }
}

/// A change, and whoever waits for it.
trait Job: Send {
    /// Returns about how many bytes it writes.
    fn bytes(&self) -> usize;
    /// Returns the run that is worked on, if it is by whoever does.
    fn of(&self) -> Option<FlowRunId>;
    /// Makes the change, once or, when the transaction was rolled back, again.
    fn make(&mut self, db: &Connection) -> rusqlite::Result<()>;
    /// Tells whoever waits what became of it. The transaction is durable.
    fn answer(self: Box<Self>);
    /// Tells whoever waits that it did not work.
    fn fail(self: Box<Self>, why: &Arc<rusqlite::Error>);
}

struct Change<T, F> {
    of: Option<FlowRunId>,
    bytes: usize,
    make: F,
    made: Option<Result<T, StoreError>>,
    waits: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&Connection) -> Result<T, Fault> + Send> Job for Change<T, F> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn of(&self) -> Option<FlowRunId> {
        self.of
    }

    fn make(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.made = Some(match (self.make)(db) {
            Ok(made) => Ok(made),
            Err(Fault::Refused(refused)) => Err(refused),
            Err(Fault::Database(error)) => return Err(error),
        });
        Ok(())
    }

    fn answer(self: Box<Self>) {
        // Whoever went away in the meantime does not want to know.
        let _ = self.waits.send(self.made.expect("it was made before it is answered"));
    }

    fn fail(self: Box<Self>, why: &Arc<rusqlite::Error>) {
        let _ = self.waits.send(Err(StoreError::Unavailable(Box::new(Because(Arc::clone(why))))));
    }
}

/// One error for all whom it befell.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Because(Arc<rusqlite::Error>);

/// The writer has stopped, which it does only when it panicked.
#[derive(Debug, thiserror::Error)]
#[error("the writer has stopped")]
struct Stopped;

/// The way to the writer.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    /// Changes that were asked for and are not answered.
    open: AtomicUsize,
    /// `None` once it is being dropped: the last committer lets the checkpointer end.
    committer: Option<Arc<Mutex<Committer>>>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread that owns `db`, and one that checkpoints through a connection of its own.
    pub(super) fn start(mut db: Connection, checkpoints: Connection, log: PathBuf) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::default());
        let logged = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&logged);
        // Instead of SQLite's own automatic checkpoints, which would hold up the writer.
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        let (wake, woken) = crossbeam_channel::bounded(1);
        let (jobs, queue) = mpsc::channel(QUEUE);
        let checkpointer = Checkpointer { db: checkpoints, woken, shared: Arc::clone(&shared) };
        let committer = Arc::new(Mutex::new(Committer {
            db,
            log,
            wake,
            logged,
            shared: Arc::clone(&shared),
            next_checkpoint: CHECKPOINT_PAGES,
            next_restart: RESTART_PAGES,
            grown: false,
        }));
        let thread = WriterThread {
            queue,
            shared: Arc::clone(&shared),
            committer: Arc::clone(&committer),
            runs: Runs::default(),
        };
        let checkpointer = std::thread::Builder::new().name("checkpoints".into()).spawn(|| checkpointer.work())?;
        let writer = std::thread::Builder::new().name("store-writer".into()).spawn(|| thread.work())?;
        Ok(Self {
            jobs: Some(jobs),
            open: AtomicUsize::new(0),
            committer: Some(committer),
            shared,
            threads: vec![writer, checkpointer],
        })
    }

    /// Makes a change of about `bytes` and waits until it is durable. `make` may be called again when others spoil the
    /// transaction.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        of: Option<FlowRunId>,
        bytes: usize,
        make: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.shared.runtime.get().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            // Another may have been quicker.
            let _ = self.shared.runtime.set(runtime.metrics());
        }
        let (waits, answer) = oneshot::channel();
        let job = Box::new(Change { of, bytes, make, made: None, waits });
        let stopped = || StoreError::Unavailable(Box::new(Stopped));
        let open = Open::count(&self.open);
        let Some(job) = (if open.is_alone { self.make_alone(job) } else { Some(job as Box<dyn Job>) }) else {
            // Whoever was woken on this thread meanwhile comes first.
            tokio::task::yield_now().await;
            return answer.await.map_err(|_| stopped())?;
        };
        self.jobs.as_ref().ok_or_else(stopped)?.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Makes a change on the thread of whoever asks, and gives it back when the writer is at work. It blocks for one
    /// commit, and spares the two hand-overs that cost as much as a sync when nobody shares it. Never where that thread
    /// is the only one: timers and everybody else would wait for the disk.
    fn make_alone(&self, job: Box<dyn Job>) -> Option<Box<dyn Job>> {
        if !Handle::try_current().is_ok_and(|it| it.metrics().num_workers() > 1) {
            return Some(job);
        }
        let Some(mut committer) = self.committer.as_ref().and_then(|it| it.try_lock().ok()) else { return Some(job) };
        committer.group(&mut vec![job]);
        None
    }

    pub(super) fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed) || self.jobs.as_ref().is_none_or(|it| it.is_closed())
    }

    pub(super) fn stats(&self) -> WriterStats {
        WriterStats {
            changes: self.shared.changes.load(Ordering::Relaxed),
            commits: self.shared.commits.load(Ordering::Relaxed),
            committing: Duration::from_micros(self.shared.committing_us.load(Ordering::Relaxed)),
        }
    }
}

impl Drop for Writer {
    /// Lets the writer make what is waiting, then waits for it: the lock is given back only after that.
    fn drop(&mut self) {
        (self.jobs, self.committer) = (None, None);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

/// Why the writer could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Thread(#[from] io::Error),
}

/// A change that is counted until it is answered or given up.
struct Open<'a> {
    open: &'a AtomicUsize,
    is_alone: bool,
}

impl<'a> Open<'a> {
    fn count(open: &'a AtomicUsize) -> Self {
        Self { open, is_alone: open.fetch_add(1, Ordering::AcqRel) == 0 }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

struct WriterThread {
    queue: mpsc::Receiver<Box<dyn Job>>,
    shared: Arc<Shared>,
    committer: Arc<Mutex<Committer>>,
    runs: Runs,
}

/// Counts of how many runs the last changes were, roughly: of ten runs it sees ten, of 30 some 27, of 100 55 to 70.
#[derive(Default)]
struct Runs {
    /// A bit for each run of the changes that are being counted, by what is random in its id.
    seen: u128,
    changes: u32,
    /// Of the 128 changes before those.
    before: u32,
}

impl Runs {
    fn count(&mut self, run: FlowRunId) {
        self.seen |= 1 << (run.to_bytes()[15] % 128);
        self.changes += 1;
        if self.changes == 128 {
            *self = Self { before: self.seen.count_ones(), ..Self::default() };
        }
    }
}

/// Makes groups of changes durable.
struct Committer {
    db: Connection,
    /// The write-ahead log.
    log: PathBuf,
    wake: crossbeam_channel::Sender<()>,
    /// Pages in the log after the last commit that wrote something; 0 when there was none since this was looked at.
    logged: Arc<AtomicI32>,
    shared: Arc<Shared>,
    next_checkpoint: i32,
    next_restart: i32,
    grown: bool,
}

impl WriterThread {
    fn work(mut self) {
        let mut jobs = Vec::new();
        // After so many commits in a row nobody had had a rest since the one before.
        let (mut rested, mut busy) = (None, 0);
        while let Some(first) = self.queue.blocking_recv() {
            let mut bytes = first.bytes();
            jobs.push(first);
            self.gather(&mut jobs, &mut bytes);
            let began = Instant::now();
            while busy >= BUSY_COMMITS
                && self.runs.before >= COMPANY_RUNS
                && self.shared.rests() == rested
                && jobs.len() < COMPANY
                && bytes < GROUP_BYTES
                && began.elapsed() < COMPANY_WAIT
            {
                std::thread::sleep(COMPANY_LOOK);
                self.gather(&mut jobs, &mut bytes);
            }
            jobs.iter().filter_map(|it| it.of()).for_each(|run| self.runs.count(run));
            self.committer.lock().unwrap_or_else(PoisonError::into_inner).group(&mut jobs);
            let rests = self.shared.rests();
            busy = if rests.is_some() && rests == rested { u32::saturating_add(busy, 1) } else { 0 };
            rested = rests;
        }
    }

    /// Takes what waits, up to the bounds of a group.
    fn gather(&mut self, jobs: &mut Vec<Box<dyn Job>>, bytes: &mut usize) {
        while jobs.len() < GROUP
            && *bytes < GROUP_BYTES
            && let Ok(next) = self.queue.try_recv()
        {
            *bytes += next.bytes();
            jobs.push(next);
        }
    }
}

impl Committer {
    /// Makes all changes, in one transaction if that can be.
    fn group(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        self.shared.changes.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        match self.transaction(jobs) {
            Ok(()) => jobs.drain(..).for_each(Job::answer),
            Err(Spoilt { by_a_change: true, .. }) if jobs.len() > 1 => {
                for job in jobs.drain(..) {
                    let mut alone = [job];
                    let made = self.transaction(&mut alone);
                    let [job] = alone;
                    match made {
                        Ok(()) => job.answer(),
                        Err(spoilt) => job.fail(&Arc::new(spoilt.why)),
                    }
                }
            }
            Err(spoilt) => {
                let why = Arc::new(spoilt.why);
                jobs.drain(..).for_each(|job| job.fail(&why));
            }
        }
    }

    fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Spoilt> {
        if self.shared.failed.load(Ordering::Relaxed) {
            let why = rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR),
                Some("the database failed before, and is not trusted until it is opened again".into()),
            );
            return Err(Spoilt { by_a_change: false, why });
        }
        let db = &self.db;
        let run = |sql| db.prepare_cached(sql)?.execute([]);
        let made = run("BEGIN IMMEDIATE").map_err(|why| Spoilt { by_a_change: false, why }).and_then(|_| {
            for job in jobs {
                job.make(db).map_err(|why| Spoilt { by_a_change: true, why })?;
            }
            let began = Instant::now();
            let committed = run("COMMIT").map_err(|why| Spoilt { by_a_change: false, why });
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.shared.committing_us.fetch_add(took, Ordering::Relaxed);
            committed
        });
        match made {
            Ok(_) => {
                self.committed();
                Ok(())
            }
            Err(spoilt) => {
                let mut fatal = is_fatal(&spoilt.why);
                // Some errors roll back by themselves.
                if !db.is_autocommit()
                    && let Err(error) = run("ROLLBACK")
                {
                    tracing::error!(%error, "the database could not roll back");
                    fatal = true;
                }
                if fatal {
                    self.shared.fail(&spoilt.why);
                } else {
                    tracing::warn!(error = %spoilt.why, "a transaction was rolled back");
                }
                Err(spoilt)
            }
        }
    }

    /// Keeps the log short.
    fn committed(&mut self) {
        let pages = self.logged.swap(0, Ordering::Relaxed);
        if pages == 0 {
            return; // Nothing was written, so nothing was synced.
        }
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        if pages < CHECKPOINT_PAGES {
            // It has begun anew.
            (self.next_checkpoint, self.next_restart) = (CHECKPOINT_PAGES, RESTART_PAGES);
        }
        if pages >= GROW_FROM_PAGES && !self.grown {
            self.grown = true;
            if let Err(error) = self.grow_log() {
                // It costs speed, and perhaps the next commit will say more.
                tracing::warn!(error = &*error, "the write-ahead log could not be made longer beforehand");
            }
        }
        if pages >= self.next_restart {
            let again = self.next_restart > RESTART_PAGES;
            self.next_restart = pages + RESTART_AGAIN_PAGES;
            if let Err(error) = self.restart_log(again) {
                self.shared.checkpoint_failed(&error);
            }
        } else if pages >= self.next_checkpoint {
            self.next_checkpoint = pages + CHECKPOINT_PAGES;
            // When it is still busy it has been woken for this, too.
            let _ = self.wake.try_send(());
        }
    }

    /// Writes back what is left in the log, so that the next transaction begins it anew.
    fn restart_log(&self, wait: bool) -> rusqlite::Result<()> {
        if !wait {
            return self.db.wal_checkpoint_v2(DEFAULT_NAME, CheckpointMode::PASSIVE).map(drop);
        }
        self.db.busy_timeout(RESTART_WAIT)?;
        let restarted = self.db.wal_checkpoint_v2(DEFAULT_NAME, CheckpointMode::RESTART);
        self.db.busy_timeout(BUSY)?;
        restarted.map(drop)
    }

    /// Writes zeros behind the end of the log. SQLite ignores what follows its last frame, and the write lock keeps
    /// anybody else from appending meanwhile. (To close the file here is safe: SQLite's own locks are on the others.)
    /// It never takes the last of a disk, without which no checkpoint could make room in the log again.
    fn grow_log(&self) -> Result<(), Box<dyn std::error::Error>> {
        let disk = rustix::fs::statvfs(&self.log)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < GROWN_FROM_FREE_BYTES {
            return Ok(());
        }
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        let grown = (|| {
            let mut log = OpenOptions::new().write(true).open(&self.log)?;
            let before = log.seek(SeekFrom::End(0))?;
            let mut length = before;
            let zeros = vec![0; 1 << 20];
            while length < GROWN_BYTES {
                let part = zeros.len().min(usize::try_from(GROWN_BYTES - length).unwrap_or(usize::MAX));
                if let Err(error) = log.write_all(&zeros[..part]) {
                    log.set_len(before)?;
                    return Err(error);
                }
                length += part as u64;
            }
            log.sync_all()
        })();
        self.db.execute_batch("ROLLBACK")?;
        Ok(grown?)
    }
}

/// A transaction that was rolled back.
struct Spoilt {
    /// Whether a change failed, so that the others may do better without it.
    by_a_change: bool,
    why: rusqlite::Error,
}

impl Shared {
    fn fail(&self, error: &rusqlite::Error) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the database failed: nothing is written until the host is started again");
        }
    }

    fn checkpoint_failed(&self, error: &rusqlite::Error) {
        match error.sqlite_error_code() {
            // Somebody else is at it.
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {}
            _ if is_fatal(error) => self.fail(error),
            _ => tracing::warn!(%error, "a checkpoint failed; the write-ahead log grows until one succeeds"),
        }
    }
}

/// Whether the connection cannot be trusted any more.
fn is_fatal(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Writes back what is logged, beside the writer.
struct Checkpointer {
    db: Connection,
    woken: crossbeam_channel::Receiver<()>,
    shared: Arc<Shared>,
}

impl Checkpointer {
    fn work(self) {
        while self.woken.recv().is_ok() {
            if let Err(error) = self.db.wal_checkpoint_v2(DEFAULT_NAME, CheckpointMode::PASSIVE) {
                self.shared.checkpoint_failed(&error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use retake_core::time::Timestamp;

    use super::*;

    #[test]
    fn many_runs_are_told_from_a_few() {
        for (runs, many) in [(1, false), (10, false), (30, false), (100, true), (1000, true)] {
            let mut counted = Runs::default();
            for change in 0..256_u128 {
                let random = (change % runs + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                counted.count(FlowRunId::new(Timestamp::default(), random ^ (random >> 64)));
            }
            assert_eq!(counted.before >= COMPANY_RUNS, many, "{runs} runs: {}", counted.before);
        }
    }
}
