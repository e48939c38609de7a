//! What one attempt may use, counted while it runs.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Instant;

use retake_core::component::AttemptLimits;
use wasmtime::ResourceLimiter;

use crate::engine::{CORE_INSTANCES, TABLE_ELEMENTS, TABLES, TICK};

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

/// Nanoseconds of wall clock, from some instant on.
fn wall_nanos() -> u64 {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(FIRST.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds that this thread has spent on a processor. Costs ten times the other clock.
fn thread_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Nanoseconds by the one clock or the other.
fn nanos(exact: bool) -> u64 {
    if exact { thread_nanos() } else { wall_nanos() }
}

/// How long a poll lasts before others have a turn: half a tick, so that a guest that computes yields every second tick
/// at the latest.
const LONG: u64 = TICK.as_nanos() as u64 / 2;

/// What a tick finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tick {
    /// The budget is used up.
    UsedUp,
    /// The guest has computed for a while, and is to let others have a turn.
    Computes,
    /// The guest waited in the host when its tick came due, and was resumed a moment ago: it need not yield, and none
    /// of the dearer clocks is needed.
    JustResumed,
}

/// Counts the processor time of one attempt.
///
/// A poll that ends before the first tick is counted by the wall clock: it is too short to have been interrupted by
/// much. A guest that computes past a tick is counted by the thread's own clock from then on, so that a busy machine
/// does not use up its budget.
#[derive(Debug)]
pub(crate) struct Meter {
    spent: AtomicU64,
    /// When the present poll began, by the clock that it is counted by.
    began: AtomicU64,
    exact: AtomicBool,
    ticked: AtomicBool,
    budget: u64,
}

impl Meter {
    pub(crate) fn new(limits: &AttemptLimits) -> Arc<Self> {
        let budget = u64::try_from(limits.cpu_time.as_nanos()).unwrap_or(u64::MAX);
        Arc::new(Self {
            spent: AtomicU64::new(0),
            began: AtomicU64::new(0),
            exact: AtomicBool::new(false),
            ticked: AtomicBool::new(false),
            budget,
        })
    }

    /// Nanoseconds spent so far, the present poll left out.
    pub(crate) fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Looks at the time that the present poll has taken. Asked at each tick from within it, on its thread.
    pub(crate) fn tick(&self) -> Tick {
        let now = nanos(self.exact.load(Ordering::Relaxed)) - self.began.load(Ordering::Relaxed);
        if self.spent() + now > self.budget {
            return Tick::UsedUp;
        }
        if now < LONG {
            return Tick::JustResumed;
        }
        self.ticked.store(true, Ordering::Relaxed);
        Tick::Computes
    }

    /// Runs a future to its end, its polls charged to this meter. It stays where it is: to be handed over it would be
    /// moved, and what awaits us would have room for it twice.
    pub(crate) async fn charge<F: Future>(&self, mut future: Pin<&mut F>) -> F::Output {
        poll_fn(|cx| self.poll(future.as_mut(), cx)).await
    }

    fn poll<F: Future>(&self, future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let exact = self.ticked.swap(false, Ordering::Relaxed);
        self.exact.store(exact, Ordering::Relaxed);
        let began = nanos(exact);
        self.began.store(began, Ordering::Relaxed);
        let polled = future.poll(cx);
        self.spent.fetch_add(nanos(exact) - began, Ordering::Relaxed);
        polled
    }
}
