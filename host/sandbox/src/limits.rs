//! What one attempt may use, counted while it runs.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use retake_core::component::AttemptLimits;
use wasmtime::ResourceLimiter;

use crate::engine::{CORE_INSTANCES, TABLE_ELEMENTS, TABLES};

/// Bytes that may be lifted or lowered in one call between a guest and the host (T08, T09). A value has at most
/// 1 MiB, and wasmtime charges more than a byte for a byte of a list.
pub(crate) const CALL_FUEL: usize = 4 << 20;
/// The same for the answer of `describe`: that is its bound.
pub(crate) const DESCRIBE_FUEL: usize = retake_core::limits::METADATA_BYTES;
/// Most handles of resources that a guest may hold (T11).
pub(crate) const HANDLES: usize = 16 << 10;

/// Counts memory and tables over the whole store; wasmtime's own `StoreLimits` counts each of them apart.
pub(crate) struct Limiter {
    memory: usize,
    most_memory: usize,
    table: usize,
    /// The most memory that was held at once.
    pub(crate) peak: usize,
    /// What the guest asked for when it was denied more.
    pub(crate) denied: Option<usize>,
}

impl Limiter {
    pub(crate) fn new(limits: &AttemptLimits) -> Self {
        let most_memory = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
        Self { memory: 0, most_memory, table: 0, peak: 0, denied: None }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, wanted: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        let next = self.memory.saturating_add(wanted.saturating_sub(current));
        if most.is_some_and(|most| wanted > most) || next > self.most_memory {
            self.denied = Some(next);
            return Ok(false);
        }
        self.memory = next;
        self.peak = self.peak.max(next);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, wanted: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        let next = self.table.saturating_add(wanted.saturating_sub(current));
        if most.is_some_and(|most| wanted > most) || next > 2 * TABLE_ELEMENTS {
            self.denied = Some(self.memory);
            return Ok(false);
        }
        self.table = next;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }
}

thread_local! {
    /// Processor time that sandboxes within the sandbox being polled have used on this thread: a flow that waits for
    /// a task may run it on its own thread, and must not be charged for it.
    static NESTED: Cell<u64> = const { Cell::new(0) };
}

/// Nanoseconds that this thread has spent on a processor.
fn thread_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Counts the processor time of one attempt.
#[derive(Debug)]
pub(crate) struct Meter {
    spent: AtomicU64,
    /// The thread's time when the present poll began.
    began: AtomicU64,
    budget: u64,
}

impl Meter {
    pub(crate) fn new(limits: &AttemptLimits) -> Arc<Self> {
        let budget = u64::try_from(limits.cpu_time.as_nanos()).unwrap_or(u64::MAX);
        Arc::new(Self { spent: AtomicU64::new(0), began: AtomicU64::new(0), budget })
    }

    /// Nanoseconds spent so far, the present poll left out.
    pub(crate) fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Whether the budget is used up. Asked from within a poll, on its thread.
    pub(crate) fn is_used_up(&self) -> bool {
        let now = thread_nanos() - self.began.load(Ordering::Relaxed);
        self.spent() + now.saturating_sub(NESTED.get()) > self.budget
    }
}

/// A future whose polls are charged to a meter.
pub(crate) struct Metered<F> {
    future: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F: Future> Metered<F> {
    pub(crate) fn new(meter: Arc<Meter>, future: F) -> Self {
        Self { future: Box::pin(future), meter }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let before = NESTED.replace(0);
        let began = thread_nanos();
        self.meter.began.store(began, Ordering::Relaxed);
        let polled = self.future.as_mut().poll(cx);
        let total = thread_nanos() - began;
        let own = total.saturating_sub(NESTED.get());
        self.meter.spent.fetch_add(own, Ordering::Relaxed);
        NESTED.set(before + total);
        polled
    }
}
