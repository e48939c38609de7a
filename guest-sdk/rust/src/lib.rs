//! Writes flows and tasks for Retake in Rust.
//!
//! A flow is a function that calls tasks; a task is a function that may fail, and is tried again
//! when it does. Both are ordinary Rust functions with an attribute on top, and one crate of them
//! becomes one `.wasm` file:
//!
//! ```
//! use retake::prelude::*;
//!
//! /// Fetches one page; the outside world is flaky.
//! #[task(retries = 5, delay = "1s", jitter = 0.5, allow_http = ["api.example.com"])]
//! fn fetch(url: String) -> Result<String> {
//!     Ok(format!("the page at {url}"))
//! }
//!
//! /// Reads some pages and counts what is in them.
//! #[flow(name = "Count pages", retries = 5, delay = "5m", log_prints)]
//! fn count_pages(urls: Vec<String>) -> Result<usize> {
//!     println!("Hi from Retake!");
//!     let pages = fetch::map(urls)?; // Side by side, each in a sandbox of its own.
//!     Ok(pages.iter().map(String::len).sum())
//! }
//!
//! retake::component!(flows: [count_pages], tasks: [fetch]);
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2`, from a crate with
//! `crate-type = ["cdylib"]`.
//!
//! # What a call means
//!
//! Inside a flow, `fetch(url)` is not a call into the function below the attribute. It asks the
//! host to run the task: in a fresh sandbox, with the task's own retries, its result kept. What
//! succeeded in an earlier attempt is fed back and not run again. Beside the function of its name
//! each task and flow has:
//!
//! | | |
//! |---|---|
//! | `fetch(url)` | runs the task and waits for its outcome |
//! | `fetch::submit(url)` | asks for the task and returns a [`Call`] at once |
//! | `fetch::map(urls)` | asks for one task for each item before it waits for any; tuples for several arguments |
//! | `fetch::with_key("order-42").call(url)` | gives the call an identity that its input does not change |
//! | `fetch::named("first page").submit(url)` | gives the call a name for people |
//! | `fetch::retry(Policy::retries(2)).call(url)` | replaces the policy for this call |
//! | `fetch::inline(url)` | runs the body right here, without the host: for unit tests |
//!
//! # What a value may be
//!
//! Arguments and results travel as JSON, with a JSON Schema that the host checks before a sandbox
//! is made. Types of your own take part with [`data`](macro@data) on top of them.
//!
//! # What this crate refuses to do
//!
//! It does no work when a sandbox starts, asks for no capability on its own, and catches no panic:
//! a panic ends the attempt, its message goes to the run's log, and the policy decides what is next.
//!
//! Outside of WebAssembly there is no host but the one of a test, [`testing::Host`]. Without it, whatever needs a host
//! panics there; `inline` does not.

extern crate self as retake; // So that what the macros write also works in this crate.

#[doc(hidden)]
#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    reason = "generated from wit/, see xtask"
)]
pub mod bindings;

mod arguments;
mod call;
mod context;
mod declaration;
mod failure;
mod host;
mod json;
mod policy;
mod time;
mod values;

pub mod log;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[doc(hidden)]
pub mod macro_support;

pub use call::{Call, Options, Waitable, submit_flow, submit_task, wait_any};
pub use context::{Context, context};
pub use failure::{Failure, Result};
pub use policy::Policy;
pub use retake_macros::{component, data, flow, task};
pub use time::{random, sleep, sleep_until};
pub use values::{secret, variable};

pub use {schemars, serde, serde_json};

/// The first flow that people see compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub mod readme {}

/// What nearly every flow needs, in one line.
///
/// ```
/// use retake::prelude::*;
///
/// #[flow(retries = 1)]
/// fn hello(name: String) -> Result<String> {
///     Ok(format!("Hello, {name}!"))
/// }
///
/// retake::component!(flows: [hello]);
/// ```
pub mod prelude {
    pub use crate::{Call, Failure, Policy, Result, context, data, flow, log, task};
}
