//! One wasmtime engine for all sandboxes, and the thread that counts their time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use retake_core::limits;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy};

/// How often a computing guest is looked at. It yields to others then, and its budget is checked.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// Most core instances in one component: a Rust component has 4.
pub(crate) const CORE_INSTANCES: u32 = 32;
/// Most tables in one component.
pub(crate) const TABLES: u32 = 8;
/// Most elements of one table: a table is 8 bytes an element of the host's memory.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;

/// Stack of a guest. What is left of the fiber's stack is the host's own.
const WASM_STACK: usize = 512 << 10;
const FIBER_STACK: usize = 2 << 20;

/// Returns the settings for code that nobody trusts. Why each: the table in `docs/sandbox.md`.
pub(crate) fn config(slots: u32) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        // One fleet, one answer: replay must not depend on the bits of a NaN.
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .consume_fuel(false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        // No guest can read one: docs/decisions/0006.
        .async_stack_zeroing(false);
    // Only what compilers for the Component Model emit today: every other proposal is attack surface.
    config
        .wasm_component_model(true)
        // With it, a poll would not reach a body that was not woken, as `Runner::run_flow` promises.
        .concurrency_support(false)
        .shared_memory(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .relaxed_simd_deterministic(true)
        .wasm_tail_call(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .gc_support(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_stack_switching(false);
    config
        .signals_based_traps(true)
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .guard_before_linear_memory(true)
        .memory_may_move(false)
        .memory_init_cow(true)
        .table_lazy_init(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20))
        // No DWARF of a stranger is parsed, and the host's environment has no say.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .debug_info(false)
        .native_unwind_info(false);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(2))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES)
        .max_memory_size(limits::MEMORY_MAX as usize)
        .table_elements(TABLE_ELEMENTS)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .max_unused_warm_slots(slots)
        // Given back to the kernel together; a slot is not used again before that.
        .decommit_batch_size(16)
        // A page fault costs more than clearing a page, and the scan clears just the pages that were written.
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(1 << 20)
        .pagemap_scan(Enabled::Auto);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Advances the engine's epoch while any guest runs, and rests while none does: an idle host costs nothing.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: std::thread::Thread,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    resting: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (seen, weak) = (shared.clone(), engine.weak());
        let thread = std::thread::Builder::new().name("epoch".into()).spawn(move || {
            loop {
                if seen.running.load(Ordering::SeqCst) == 0 {
                    seen.resting.store(true, Ordering::SeqCst);
                    // Whoever came in between saw no one resting, and does not wake us.
                    if seen.running.load(Ordering::SeqCst) == 0 {
                        // The time limit lets the thread notice that the engine is gone.
                        std::thread::park_timeout(Duration::from_secs(1));
                    }
                    seen.resting.store(false, Ordering::SeqCst);
                }
                // Also after a rest: short guests that come one by one must not wake us for each of them.
                std::thread::sleep(TICK);
                match weak.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// Counts a guest in until the answer is dropped.
    pub(crate) fn running(&self) -> Running<'_> {
        if self.shared.running.fetch_add(1, Ordering::SeqCst) == 0 && self.shared.resting.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.shared.running)
    }
}

/// A guest that is counted as running.
pub(crate) struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
