//! What is being done for those who asked, whether they wait for it or not, and how much of it at once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Streams at once (A15).
const STREAMS: usize = 100;
/// Uploads that come at once: each is a file.
const UPLOADS: usize = 16;
/// Runs that are shown whole at once: a run with all its calls may have 100 MiB.
const WHOLE: usize = 4;
/// Uploads that are inspected at once: each is held in memory (A04).
const INSPECTIONS: usize = 2;

/// What is being done.
#[derive(Debug)]
pub struct Doing {
    tasks: Mutex<JoinSet<()>>,
    streams: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    inspections: Arc<Semaphore>,
    whole: Arc<Semaphore>,
}

impl Default for Doing {
    fn default() -> Self {
        Self {
            tasks: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            inspections: Arc::new(Semaphore::new(INSPECTIONS)),
            whole: Arc::new(Semaphore::new(WHOLE)),
        }
    }
}

impl Doing {
    /// Begins something that is done to its end.
    pub(crate) fn begin(&self, what: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(what);
    }

    /// Waits until what was begun is done.
    pub async fn done(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }

    /// Takes the place of a stream, if there is one.
    pub(crate) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        self.streams.clone().try_acquire_owned().ok()
    }

    /// Waits for the place of an upload that comes.
    pub(crate) async fn upload(&self) -> Option<OwnedSemaphorePermit> {
        self.uploads.clone().acquire_owned().await.ok()
    }

    /// Waits for the place of a run that is shown whole.
    pub(crate) async fn whole(&self) -> Option<OwnedSemaphorePermit> {
        self.whole.clone().acquire_owned().await.ok()
    }

    /// Waits for the place of an upload that is inspected.
    pub(crate) async fn inspection(&self) -> Option<OwnedSemaphorePermit> {
        self.inspections.clone().acquire_owned().await.ok()
    }
}
