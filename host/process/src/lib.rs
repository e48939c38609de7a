//! How the binaries run on their machine: what allocates for them, and which threads do their work.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use libmimalloc_sys::{mi_option_set, mi_option_t};
pub use mimalloc::MiMalloc;
use tokio::runtime::{Builder, Runtime};

/// `mi_option_purge_delay`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;
/// Milliseconds.
const KEPT: std::ffi::c_long = 1000;
/// How far the thread that gives way is below the others: it has a tenth of their share of a core that is wanted by both.
const GIVES_WAY: i32 = 10;

/// Has pages that are free kept for a second, not for 10 ms, before they are given back to the kernel.
///
/// A busy host frees and takes the same pages many times a second. Each return interrupts the other cores, and each page
/// that is taken again is a fault.
pub fn keep_free_pages() {
    #[allow(unsafe_code, reason = "the library has no other way to say it")]
    // SAFETY: this stores one number in a table of the library, atomically, at any time and from any thread.
    unsafe {
        mi_option_set(PURGE_DELAY, KEPT);
    }
}

/// Returns as many threads as cores: one less leaves a core idle while the store syncs.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Starts a runtime of so many threads. Where they are as many as cores, one of them gives way to every other thread of
/// the process, on Linux: elsewhere niceness is of a whole process.
///
/// All of the others wait for the store's writer sooner or later. Were they all equal, it would wait for a core as long
/// as it works, and they for it: docs/decisions/0018.
pub fn runtime(threads: usize) -> io::Result<Runtime> {
    let one_gives_way = AtomicBool::new(cfg!(target_os = "linux") && threads > 1 && threads >= self::threads());
    let started = move || {
        if one_gives_way.swap(false, Ordering::Relaxed) {
            // Where that is refused all stay equal, which is slower and nothing else.
            let _ = rustix::process::nice(GIVES_WAY);
        }
    };
    Builder::new_multi_thread().worker_threads(threads).on_thread_start(started).enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code, reason = "reads what the option is")]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: as above, and this only reads.
        let now = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(now(), 10, "the documented default of the purge delay");
        keep_free_pages();
        assert_eq!(now(), KEPT);
    }

    /// How many threads of the runtime are below the one that asks.
    #[cfg(target_os = "linux")]
    fn below(threads: usize) -> usize {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let runtime = runtime(threads).unwrap();
        let own = nice();
        let all = std::sync::Barrier::new(threads);
        let all = std::sync::Arc::new(all);
        let asked: Vec<_> = (0..threads)
            .map(|_| {
                let all = all.clone();
                // Each holds its thread until every thread has one. Not as one that blocks says so: then a thread that
                // gives way would start another in its place, which gives way, too.
                runtime.spawn(async move { (all.wait(), nice()).1 })
            })
            .collect();
        let found: Vec<i32> = asked.into_iter().map(|it| runtime.block_on(it).unwrap()).collect();
        // The kernel puts nobody further behind than 19.
        found.into_iter().filter(|it| *it > own && *it == (own + GIVES_WAY).min(19)).count()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn one_thread_of_a_full_set_gives_way() {
        assert_eq!(below(threads().max(2)), 1);
        assert_eq!(below(1), 0, "it would be the whole process");
    }
}
