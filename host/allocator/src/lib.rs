//! The allocator of the binaries, and how long it keeps what is free.

use libmimalloc_sys::{mi_option_set, mi_option_t};
pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;
/// Milliseconds.
const KEPT: std::ffi::c_long = 1000;

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
}
