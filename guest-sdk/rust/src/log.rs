//! Writes entries to the run's log.
//!
//! The functions take a text. The macros of the same names take a format, and before it fields,
//! which people can filter by:
//!
//! ```no_run
//! use retake::log;
//!
//! log::info("half way");
//! log::warn!("{} orders left", 3);
//! log::info!(order = 42, customer = "acme", "shipped");
//! ```
//!
//! What a flow prints becomes a log entry as well, when its attribute says `log_prints`.

use crate::bindings::retake::flow::log::Level;
use crate::host;

pub use crate::{__debug as debug, __error as error, __info as info, __trace as trace, __warn as warn};

/// Writes an entry at the level trace: every step, for the day on which something is odd.
///
/// ```no_run
/// retake::log::trace("row 17 read");
/// ```
pub fn trace(message: &str) {
    host::log(Level::Trace, message, "");
}

/// Writes an entry at the level debug: for who wrote the flow.
///
/// ```no_run
/// retake::log::debug("the cache was cold");
/// ```
pub fn debug(message: &str) {
    host::log(Level::Debug, message, "");
}

/// Writes an entry at the level info: a step in the life of the run.
///
/// ```no_run
/// retake::log::info("half way");
/// ```
pub fn info(message: &str) {
    host::log(Level::Info, message, "");
}

/// Writes an entry at the level warn: somebody may want to look.
///
/// ```no_run
/// retake::log::warn("the shop answered slowly");
/// ```
pub fn warn(message: &str) {
    host::log(Level::Warn, message, "");
}

/// Writes an entry at the level error: somebody has to look.
///
/// ```no_run
/// retake::log::error("two orders have the same number");
/// ```
pub fn error(message: &str) {
    host::log(Level::Error, message, "");
}

/// Writes an entry with the level, the fields and the format given; the macros end here.
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $($name:ident = $value:expr,)* $format:literal $($rest:tt)*) => {{
        #[allow(unused_mut, reason = "there may be no field")]
        let mut fields = $crate::macro_support::Object::new();
        $(fields.field(stringify!($name), &$value);)*
        $crate::macro_support::log(
            $crate::macro_support::Level::$level,
            &::std::format!($format $($rest)*),
            fields,
        );
    }};
    ($($other:tt)*) => {
        ::core::compile_error!(
            "expected fields, then a format: `info!(order = 42, \"shipped to {}\", customer)`"
        )
    };
}

/// Writes an entry at the level trace, with a format and fields.
///
/// ```no_run
/// retake::log::trace!(row = 17, "read");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __trace { ($($entry:tt)*) => { $crate::__log!(Trace, $($entry)*) }; }

/// Writes an entry at the level debug, with a format and fields.
///
/// ```no_run
/// retake::log::debug!("the cache was {}", "cold");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __debug { ($($entry:tt)*) => { $crate::__log!(Debug, $($entry)*) }; }

/// Writes an entry at the level info, with a format and fields.
///
/// ```no_run
/// retake::log::info!(order = 42, "shipped");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __info { ($($entry:tt)*) => { $crate::__log!(Info, $($entry)*) }; }

/// Writes an entry at the level warn, with a format and fields.
///
/// ```no_run
/// retake::log::warn!("{} orders left", 3);
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __warn { ($($entry:tt)*) => { $crate::__log!(Warn, $($entry)*) }; }

/// Writes an entry at the level error, with a format and fields.
///
/// ```no_run
/// retake::log::error!(order = 42, "two orders have the same number");
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __error { ($($entry:tt)*) => { $crate::__log!(Error, $($entry)*) }; }
