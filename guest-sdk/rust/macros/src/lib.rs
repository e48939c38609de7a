//! The attribute macros of the crate `retake`, which re-exports them with their documentation.
//!
//! They write as little code as they can: what a flow and a task have in common is a function in
//! `retake::macro_support`, not text that is generated again for each. Every mistake that can be
//! seen here is a compile error that says what to write instead.

use proc_macro::TokenStream;

mod component;
mod data;
mod function;
mod options;
mod units;

use function::Kind;

/// Makes a function a flow: what people deploy, run and retry.
///
/// The doc comment is its description, its arguments are its parameters. It returns a plain value
/// or a `Result`, whose error may be any `std::error::Error`.
///
/// | argument | example | |
/// |---|---|---|
/// | `name` | `"Manual retry"` | default: the function's name |
/// | `retries` | `5` | attempts after the first; default 0 |
/// | `delay` | `"5m"`, `["1s", "10s", "1m"]` | the wait before each; the last one is repeated |
/// | `backoff`, `factor` | `"1s"`, `2.0` | a wait that grows; instead of `delay` |
/// | `delay_max` | `"1h"` | no wait is longer |
/// | `jitter` | `0.5` | adds up to this share of the wait at random |
/// | `give_up_after` | `"1d"` | no attempt begins later than this after the first |
/// | `when_exhausted` | `"park"` | `"fail"` or `"park"`, when the retries are used up |
/// | `rules` | `(retry("http.429", retries = 10, delay = "1m"), fail("http.404"), park("quota.*"))` | the first that matches a failure's code decides |
/// | `timeout`, `cpu`, `memory` | `"30s"`, `"2s"`, `"64MiB"` | limits of one attempt; a flow's `timeout` goes on while it sleeps or is put aside |
/// | `allow_http`, `secrets`, `variables`, `read_dirs`, `write_dirs` | `["api.example.com"]` | what it asks to be granted |
/// | `log_prints` | | what it prints becomes log entries |
/// | `persist_result` | `false` | whether its result is kept; a child flow's always is |
/// | `shared` | | it is in a library, and listed by components elsewhere with `::library::name` |
///
/// Durations have a unit: `ms`, `s`, `m`, `h`, `d`, also together as in `"1h30m"`.
///
/// An argument of the function may have a doc comment, which becomes its description, and
/// `#[default(..)]`, which makes it one that can be left out. So can an `Option`.
///
/// ```
/// use retake::prelude::*;
///
/// /// Greets somebody.
/// #[flow(name = "Greeting", retries = 2, delay = ["1s", "1m"], timeout = "30s", log_prints)]
/// fn greet(
///     /// Whom to greet.
///     #[default("world")]
///     name: String,
///     times: Option<u32>,
/// ) -> Result<String> {
///     Ok(format!("Hello, {name}! ").repeat(times.unwrap_or(1) as usize))
/// }
///
/// retake::component!(flows: [greet]);
/// assert_eq!(greet::inline("you".to_owned(), None)?, "Hello, you! ");
/// # Ok::<(), retake::Failure>(())
/// ```
///
/// Called from another flow, it is a child flow: a run of its own, with its own retries.
#[proc_macro_attribute]
pub fn flow(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(Kind::Flow, arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a function a task: what flows call, each time in a fresh sandbox.
///
/// It takes the arguments of [`flow`](macro@flow), and two more: `version = "2"`, raised when
/// results of older code must not be used any longer, and `tags = ["db"]`, by which an operator
/// limits how many attempts are made at once (`retake task-tags limit db 4`).
///
/// ```
/// use retake::prelude::*;
///
/// #[task(
///     retries = 3,
///     backoff = "1s",
///     factor = 2.0,
///     rules(retry("http.429", retries = 10, delay = "1m"), fail("http.404")),
///     tags = ["shop"],
/// )]
/// fn price(article: String) -> Result<u32> {
///     if article.is_empty() {
///         return Err(Failure::new("http.404", "there is no such article"));
///     }
///     Ok(article.len() as u32)
/// }
///
/// #[flow]
/// fn total(articles: Vec<String>) -> Result<u32> {
///     Ok(price::map(articles)?.iter().sum())
/// }
///
/// retake::component!(flows: [total], tasks: [price]);
/// ```
///
/// A task cannot call tasks: that fails with `host.not-in-a-task`.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(Kind::Task, arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct or an enum something that flows and tasks can take and return.
///
/// Derives `Serialize`, `Deserialize` and `JsonSchema`, without a need to depend on their crates.
/// The attributes `#[serde(..)]` and `#[schemars(..)]` work as ever.
///
/// ```
/// use retake::prelude::*;
///
/// #[data]
/// struct Page {
///     url: String,
///     #[serde(default)]
///     links: Vec<String>,
/// }
///
/// #[task]
/// fn fetch(url: String) -> Page {
///     Page { url, links: Vec::new() }
/// }
/// # #[flow] fn f() {}
/// # retake::component!(flows: [f], tasks: [fetch]);
/// ```
#[proc_macro_attribute]
pub fn data(arguments: TokenStream, item: TokenStream) -> TokenStream {
    data::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Lists what a component consists of, once for each crate that becomes a `.wasm` file.
///
/// Name, version and description are those of the crate, unless they are given. Something from a
/// library of tasks is listed by a path that begins with `::`.
///
/// ```
/// use retake::prelude::*;
///
/// #[task]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// #[flow]
/// fn sum_of_squares(n: u64) -> Result<u64> {
///     Ok(square::map(1..=n)?.iter().sum())
/// }
///
/// retake::component!(
///     flows: [sum_of_squares],
///     tasks: [square],
///     name: "Squares",
///     version: "2.1.0",
///     description: "Squares numbers, and adds them up.",
/// );
/// ```
#[proc_macro]
pub fn component(input: TokenStream) -> TokenStream {
    component::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
