//! One directory, one host: SQLite with one writer that shares its fsyncs, readers beside it, and files for what is
//! large.
//!
//! ```text
//! DIR/retake.lock   held while the store is open for writing; says by which process
//! DIR/retake.db     and its -wal and -shm
//! DIR/blobs/ab/…    components and large values, named by their SHA-256
//! ```
//!
//! It refuses to be opened twice, to go back to an older schema, and to write on after an I/O error.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::limits;
use retake_core::run::{Command, Run, Shown};
use retake_core::task::{Kept, LogLine, PastAttempt, TaskRun};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use rusqlite::Connection;

use crate::blobs::Blobs;
use crate::{
    AttemptCommit, AuditEntry, ClaimRequest, ComponentRecord, Counts, Definition, Delivery, Event, NewRun, Notice,
    OldRuns, RetryRequest, RunFilter, RunRecord, Store, StoreError, TaskCommit,
};

mod claims;
mod defined;
mod list;
mod notices;
mod open;
mod readers;
mod reads;
mod removal;
mod rows;
pub mod upkeep;
mod writer;
mod writes;

#[cfg(test)]
mod tests;

use notices::Rules;
pub use open::OpenError;
use open::{Access, Files, Lock};
use readers::Readers;
use writer::Writer;
pub use writer::WriterStats;
use writes::{End, Fault};

/// Read connections, each with a thread of its own: so many slow questions, such as for a text that hardly any run has,
/// can be asked before all others wait.
const READERS: usize = 4;

/// A store in a directory.
///
/// To drop it waits until what is being written is written: a few milliseconds.
pub struct SqliteStore {
    boot: u64,
    readers: Readers,
    /// `None` when it is open for reading only.
    writer: Option<Writer>,
    rules: Rules,
    blobs: Arc<Blobs>,
    /// Given back last: fields are dropped in their order.
    _lock: Option<Lock>,
}

impl SqliteStore {
    /// Opens the store in `dir` for writing, and makes it when there is none. Blocks.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let files = Files::of(dir);
        let lock = files.make_and_lock()?;
        let bad = |error: rusqlite::Error| OpenError::at(&files.database)(error);
        let mut db = files.connect(Access::Write).map_err(bad)?;
        files.migrate(&mut db)?;
        files.quick_check(&db)?;
        let boot = open::next_boot(&db).map_err(bad)?;
        let blobs = Blobs::open(files.blobs.clone()).map_err(OpenError::at(&files.blobs))?;
        let checkpoints = files.connect(Access::Write).map_err(bad)?;
        let readers = start_readers(&files)?;
        let rules = Rules::watch(&mut db).map_err(bad)?;
        let writer = Writer::start(db, checkpoints, files.log.clone()).map_err(OpenError::at(&files.database))?;
        Ok(Self { boot, readers, writer: Some(writer), rules, blobs: Arc::new(blobs), _lock: Some(lock) })
    }

    /// Opens the store in `dir` beside whoever has it open, to read what is committed. Blocks.
    pub fn open_read_only(dir: &Path) -> Result<Self, OpenError> {
        let files = Files::of(dir);
        // What may not be looked at is not missing.
        if !files.database.try_exists().map_err(OpenError::at(&files.database))? {
            return Err(OpenError::Missing { dir: dir.to_owned() });
        }
        let bad = |error: rusqlite::Error| OpenError::at(&files.database)(error);
        let db = files.connect(Access::Read).map_err(bad)?;
        files.check_schema(&db)?;
        let boot = open::present_boot(&db).map_err(bad)?;
        let blobs = Blobs::open_read_only(files.blobs.clone());
        let (readers, rules) = (start_readers(&files)?, Rules::unwatched());
        Ok(Self { boot, readers, writer: None, rules, blobs: Arc::new(blobs), _lock: None })
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        self.writer.as_ref().ok_or(StoreError::ReadOnly)
    }

    async fn change<T: Send + 'static>(
        &self,
        bytes: usize,
        make: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer()?.change(None, bytes, make).await
    }

    /// A change by whoever works on `run`.
    async fn change_of<T: Send + 'static>(
        &self,
        run: FlowRunId,
        bytes: usize,
        make: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer()?.change(Some(run), bytes, make).await
    }

    /// Makes a value ready to be kept: a large one is a durable file before any row speaks of it (F06).
    async fn keep(&self, kept: &mut Kept) -> Result<(), StoreError> {
        if is_large(kept)
            && let Kept::Inline(json) = kept
        {
            let (json, bytes) = (json.clone(), json.as_str().len() as u64);
            let digest = self.put_blob(move |blobs| blobs.put(json.as_str().as_bytes())).await?;
            *kept = Kept::Blob { digest, bytes };
        }
        Ok(())
    }

    async fn put_blob<T: Send + 'static>(
        &self,
        put: impl FnOnce(&Blobs) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer()?;
        self.with_blobs(move |blobs| put(blobs).map_err(|error| StoreError::Unavailable(error.into()))).await
    }

    async fn with_blobs<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Blobs) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let blobs = Arc::clone(&self.blobs);
        let done = tokio::task::spawn_blocking(move || work(&blobs)).await;
        done.map_err(|error| StoreError::Unavailable(error.into()))?
    }
}

/// Whether a value is to be a file.
fn is_large(kept: &Kept) -> bool {
    inline_bytes(kept) > limits::INLINE_BYTES
}

fn inline_bytes(kept: &Kept) -> usize {
    match kept {
        Kept::Inline(json) => json.as_str().len(),
        Kept::Blob { .. } => 0,
    }
}

fn log_bytes(lines: &[LogLine]) -> usize {
    lines.iter().map(|it| it.message.len() + it.fields.as_ref().map_or(0, |it| it.as_str().len())).sum()
}

fn start_readers(files: &Files) -> Result<Readers, OpenError> {
    let connections = (0..READERS).map(|_| files.connect(Access::Read)).collect::<rusqlite::Result<_>>();
    let connections = connections.map_err(OpenError::at(&files.database))?;
    Readers::start(connections).map_err(OpenError::at(&files.database))
}

#[async_trait]
impl Store for SqliteStore {
    fn boot(&self) -> u64 {
        self.boot
    }

    fn writer_stats(&self) -> Option<WriterStats> {
        self.writer.as_ref().map(Writer::stats)
    }

    fn has_failed(&self) -> bool {
        self.writer.as_ref().is_some_and(Writer::has_failed)
    }

    async fn put_component(&self, record: ComponentRecord, bytes: Vec<u8>) -> Result<(), StoreError> {
        let digest = self.put_blob(move |blobs| blobs.put(&bytes)).await?;
        if digest != record.digest {
            return Err(StoreError::Damaged(record.digest));
        }
        self.change(0, move |db| writes::put_component(db, &record)).await
    }

    async fn component(&self, digest: ContentDigest) -> Result<Option<ComponentRecord>, StoreError> {
        self.readers.ask(move |db| reads::component(db, digest)).await
    }

    /// The file stays for some time: whoever keeps the same component at this moment found it there and relies on it.
    async fn remove_component(&self, digest: ContentDigest, now: Timestamp) -> Result<(), StoreError> {
        self.writer()?;
        // To count may take a while, and the writer has others to serve.
        match self.readers.ask(move |db| defined::in_use(db, digest)).await? {
            Some(in_use) => Err(in_use),
            None => self.change(0, move |db| defined::remove_component(db, digest, now)).await,
        }
    }

    async fn needs_component(&self, digest: ContentDigest) -> Result<bool, StoreError> {
        Ok(self.readers.ask(move |db| defined::in_use(db, digest)).await?.is_some())
    }

    async fn component_bytes(&self, digest: ContentDigest) -> Result<Vec<u8>, StoreError> {
        let record = self.component(digest).await?.filter(|it| it.removed.is_none());
        let record = record.ok_or(StoreError::NoComponent(digest))?;
        self.with_blobs(move |blobs| blobs.get(digest, record.bytes)).await
    }

    async fn components(&self) -> Result<Vec<ComponentRecord>, StoreError> {
        self.readers.ask(reads::components).await
    }

    async fn create(&self, mut run: NewRun) -> Result<(RunRecord, bool), StoreError> {
        self.keep(&mut run.parameters).await?;
        self.change(inline_bytes(&run.parameters), move |db| writes::create(db, &run, None)).await
    }

    async fn begin(&self, mut run: NewRun, fence: Fence) -> Result<(RunRecord, bool), StoreError> {
        self.keep(&mut run.parameters).await?;
        let claim = Some((fence, self.boot));
        self.change(inline_bytes(&run.parameters), move |db| writes::create(db, &run, claim)).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<RunRecord>, StoreError> {
        let boot = self.boot;
        self.change(0, move |db| writes::claim(db, &request, boot)).await
    }

    async fn held(&self, fences: Vec<Fence>) -> Result<Vec<RunRecord>, StoreError> {
        let boot = self.boot;
        self.readers.ask(move |db| reads::held(db, boot, &fences)).await
    }

    async fn next_due(&self, root: Option<FlowRunId>) -> Result<Option<Timestamp>, StoreError> {
        self.readers.ask(move |db| reads::next_due(db, root)).await
    }

    async fn commit_task(&self, run: FlowRunId, fence: Fence, mut commit: TaskCommit) -> Result<(), StoreError> {
        if [Some(&commit.task.input), commit.task.result.as_ref()].into_iter().flatten().any(is_large) {
            let task = Arc::make_mut(&mut commit.task);
            self.keep(&mut task.input).await?;
            if let Some(result) = &mut task.result {
                self.keep(result).await?;
            }
        }
        let values = [Some(&commit.task.input), commit.task.result.as_ref()];
        let bytes = values.into_iter().flatten().map(inline_bytes).sum::<usize>() + log_bytes(&commit.logs);
        self.change_of(run, bytes, move |db| writes::commit_task(db, run, fence, &commit)).await
    }

    async fn append_logs(&self, run: FlowRunId, fence: Fence, logs: Vec<LogLine>) -> Result<(), StoreError> {
        self.change(log_bytes(&logs), move |db| writes::append_logs(db, run, fence, &logs)).await
    }

    async fn end_attempt(&self, run: FlowRunId, fence: Fence, commit: AttemptCommit) -> Result<Run, StoreError> {
        let AttemptCommit { end, result, evidence, logs, cancel, waits_for, unasked, now } = commit;
        let mut result = result.map(Kept::Inline);
        if let Some(result) = &mut result {
            self.keep(result).await?;
        }
        let bytes = result.as_ref().map_or(0, inline_bytes) + log_bytes(&logs);
        let end = End { end, result, evidence, logs, cancel, waits_for, unasked, now };
        let rules = self.rules.clone();
        self.change_of(run, bytes, move |db| writes::end_attempt(db, &rules, run, fence, &end)).await
    }

    async fn retry(&self, run: FlowRunId, request: RetryRequest) -> Result<Run, StoreError> {
        let mut parameters = request.parameters.clone().map(Kept::Inline);
        if let Some(parameters) = &mut parameters {
            self.keep(parameters).await?;
        }
        self.change(0, move |db| writes::retry(db, run, &request, parameters.as_ref())).await
    }

    async fn command(&self, run: FlowRunId, command: Command, now: Timestamp) -> Result<Run, StoreError> {
        let rules = self.rules.clone();
        self.change(0, move |db| writes::command(db, &rules, run, command, now)).await
    }

    async fn set_result(&self, run: FlowRunId, number: u32, result: Json, now: Timestamp) -> Result<(), StoreError> {
        let mut result = Kept::Inline(result);
        self.keep(&mut result).await?;
        self.change(inline_bytes(&result), move |db| writes::set_result(db, run, number, &result, now)).await
    }

    async fn recover(&self, now: Timestamp) -> Result<Vec<(FlowRunId, Run)>, StoreError> {
        let (boot, rules) = (self.boot, self.rules.clone());
        self.change(0, move |db| writes::recover(db, &rules, now, boot)).await
    }

    async fn remove_run(&self, run: FlowRunId, now: Timestamp) -> Result<bool, StoreError> {
        self.change(0, move |db| removal::remove_run(db, run, now)).await
    }

    async fn old_runs(&self, asked: OldRuns) -> Result<Vec<FlowRunId>, StoreError> {
        self.readers.ask(move |db| removal::old_runs(db, &asked)).await
    }

    async fn tidy(
        &self,
        now: Timestamp,
        unused_for: Duration,
        deliveries: Timestamp,
        audit: Timestamp,
    ) -> Result<u64, StoreError> {
        let before = now.ago(unused_for);
        let garbage = self.readers.ask(move |db| removal::garbage(db, before)).await?;
        let unnamed = self.change(0, move |db| removal::unnamed(db, &garbage)).await?;
        // Whoever comes to rely on one from here on has touched it.
        let removed = self
            .put_blob(move |blobs| {
                let removed = unnamed.into_iter().map(|it| Ok((it, blobs.remove(it, unused_for)?)));
                let removed: Vec<_> = removed.collect::<std::io::Result<_>>()?;
                Ok(removed.into_iter().filter(|(_, is_gone)| *is_gone).map(|(it, _)| it).collect::<Vec<_>>())
            })
            .await?;
        let files = removed.len() as u64;
        let rows = self
            .change(0, move |db| {
                removal::forget_garbage(db, &removed)?;
                removal::tidy(db, deliveries, audit)
            })
            .await?;
        Ok(files + rows)
    }

    async fn run(&self, id: FlowRunId) -> Result<RunRecord, StoreError> {
        self.readers.ask(move |db| reads::run(db, id)).await
    }

    async fn keyed(&self, key: &str) -> Result<Option<RunRecord>, StoreError> {
        let key = key.to_owned();
        self.readers.ask(move |db| reads::keyed(db, &key)).await
    }

    async fn find(&self, text: &str, limit: usize) -> Result<Vec<FlowRunId>, StoreError> {
        let text = text.to_owned();
        self.readers.ask(move |db| reads::find(db, &text, limit)).await
    }

    async fn list(&self, filter: RunFilter, now: Timestamp) -> Result<Vec<RunRecord>, StoreError> {
        self.readers.ask(move |db| list::list(db, &filter, now)).await
    }

    async fn counts(&self, filter: RunFilter, parts: usize, now: Timestamp) -> Result<Counts, StoreError> {
        self.readers.ask(move |db| list::counts(db, &filter, parts, now)).await
    }

    async fn task_runs(&self, run: FlowRunId) -> Result<Vec<TaskRun>, StoreError> {
        self.readers.ask(move |db| reads::task_runs(db, run)).await
    }

    async fn past_attempts(&self, run: FlowRunId) -> Result<Vec<PastAttempt>, StoreError> {
        self.readers.ask(move |db| reads::past_attempts(db, run)).await
    }

    async fn logs(&self, run: FlowRunId, after: u64, limit: usize) -> Result<Vec<(u64, LogLine)>, StoreError> {
        self.readers.ask(move |db| reads::logs(db, run, after, limit)).await
    }

    async fn logged(&self, run: FlowRunId, call: u32, attempt: u32) -> Result<u64, StoreError> {
        self.readers.ask(move |db| reads::logged(db, run, call, attempt)).await
    }

    async fn events(&self, run: FlowRunId) -> Result<Vec<Event>, StoreError> {
        self.readers.ask(move |db| reads::events(db, run)).await
    }

    async fn value(&self, kept: &Kept) -> Result<Json, StoreError> {
        match *kept {
            Kept::Inline(ref json) => Ok(json.clone()),
            Kept::Blob { digest, bytes } => {
                let found = self.with_blobs(move |blobs| blobs.get(digest, bytes)).await?;
                let text = String::from_utf8(found).map_err(|_| StoreError::Damaged(digest))?;
                Ok(Json::trusted(text))
            }
        }
    }

    async fn define(&self, definition: Definition, expected: Option<u64>) -> Result<u64, StoreError> {
        let rules = self.rules.clone();
        let bytes = definition.body.as_str().len();
        self.change(bytes, move |db| defined::define(db, &rules, &definition, expected)).await
    }

    async fn undefine(&self, kind: &'static str, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.change(0, move |db| defined::undefine(db, kind, &name)).await
    }

    async fn definition(&self, kind: &'static str, name: &str) -> Result<Option<Definition>, StoreError> {
        let name = name.to_owned();
        self.readers.ask(move |db| defined::definition(db, kind, &name)).await
    }

    async fn definitions(&self, kind: &'static str) -> Result<Vec<Definition>, StoreError> {
        self.readers.ask(move |db| defined::definitions(db, kind)).await
    }

    async fn audit(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.change(entry.details.as_str().len(), move |db| defined::audit(db, &entry)).await
    }

    async fn open_runs(&self, now: Timestamp) -> Result<Vec<(Shown, u64)>, StoreError> {
        self.readers.ask(move |db| list::open_runs(db, now)).await
    }

    async fn overdue(&self, now: Timestamp, most: u64) -> Result<u64, StoreError> {
        self.readers.ask(move |db| list::overdue(db, now, most)).await
    }

    async fn waiting(&self, now: Timestamp, most: u64) -> Result<Vec<(String, u64, Timestamp)>, StoreError> {
        self.readers.ask(move |db| list::waiting(db, now, most)).await
    }

    async fn audited(
        &self,
        before: Option<u64>,
        subject: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(u64, AuditEntry)>, StoreError> {
        let subject = subject.map(str::to_owned);
        self.readers.ask(move |db| defined::audited(db, before, subject.as_deref(), limit)).await
    }

    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, StoreError> {
        self.readers.ask(move |db| notices::notices(db, limit)).await
    }

    async fn deliver(&self, notice: Option<u64>, deliveries: Vec<Delivery>) -> Result<(), StoreError> {
        let bytes = deliveries.iter().map(|it| it.body.as_str().len()).sum();
        self.change(bytes, move |db| notices::deliver(db, notice, &deliveries)).await
    }

    async fn delivered(&self, delivery: Delivery) -> Result<(), StoreError> {
        self.change(0, move |db| notices::delivered(db, &delivery)).await
    }

    async fn deliveries_due(&self, by: Timestamp, limit: usize) -> Result<Vec<Delivery>, StoreError> {
        self.readers.ask(move |db| notices::deliveries_due(db, by, limit)).await
    }

    async fn deliveries(
        &self,
        before: Option<u64>,
        rule: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let rule = rule.map(str::to_owned);
        self.readers.ask(move |db| notices::deliveries(db, before, rule.as_deref(), limit)).await
    }
}
