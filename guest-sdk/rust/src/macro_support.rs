//! What the macros write calls of. Not for people, and free to change.
#![allow(missing_docs, reason = "only the macros see it")]

use serde::Serialize;

pub use crate::arguments::{Arguments, Object};
pub use crate::bindings::exports::retake::flow::plugin::Guest;
pub use crate::bindings::retake::flow::log::Level;
pub use crate::bindings::retake::flow::types::{
    Action, ComponentInfo, Delay, Exponential, Failure as WireFailure, OwnRetries,
};
pub use crate::declaration::Declaration;
use crate::{Call, Failure, Options, Result};

/// Whether a name is a flow's or a task's.
#[derive(Clone, Copy)]
pub enum Kind {
    Flow,
    Task,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Task => "task",
        }
    }
}

/// Implemented by `#[flow]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a flow",
    label = "listed under `flows`, but not a flow",
    note = "write `#[flow]` on the function, or list it under `tasks`"
)]
pub trait Flow: Runnable {}

/// Implemented by `#[task]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "listed under `tasks`, but not a task",
    note = "write `#[task]` on the function, or list it under `flows`"
)]
pub trait Task: Runnable {}

/// What flows and tasks have in common.
pub trait Runnable {
    const KIND: Kind;
    const NAME: &'static str;
    fn declare() -> Declaration;
    fn run(input: &str) -> Result<String>;
}

/// Implemented by `component!` for what it lists.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is in no component",
    label = "the host would not find it",
    note = "list it: `retake::component!(flows: [my_flow], tasks: [{Self}]);`",
    note = "in a library of tasks that other crates list, write `#[task(shared)]`"
)]
pub trait Listed {}

pub const fn listed<T: Listed>() {}

/// The `Result` that a function returns.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is called a `Result`, but is none",
    note = "return a `Result<T, E>` of the standard library, or `retake::Result<T>`"
)]
pub trait Fallible {
    type Value;
}

impl<T, E> Fallible for std::result::Result<T, E> {
    type Value = T;
}

pub fn submit<R: Runnable, T>(input: Object, options: Options) -> Call<T> {
    crate::call::submit::<R, T>(input, options)
}

/// Returns the result of `R` as JSON.
pub fn encode<R: Runnable, T: Serialize>(value: &T) -> Result<String> {
    crate::json::text(value).map_err(|error| {
        Failure::permanent("result.invalid", format!("{} `{}`: its result {error}", R::KIND.word(), R::NAME))
    })
}

pub fn log(level: Level, message: &str, fields: Object) {
    let fields = if fields.is_empty() { String::new() } else { fields.finish_anyhow() };
    crate::host::log(level, message, &fields);
}

pub type Run = fn(&str) -> Result<String>;

/// Lets nothing that was printed be lost: a line without its end waits for one, and a sandbox ends without a word.
fn keeping_prints<T>(run: impl FnOnce() -> T) -> T {
    use std::io::Write as _;

    // Where output cannot be written nobody can be told.
    #[cfg(target_family = "wasm")]
    {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            told(panic);
            let _ = std::io::stdout().flush();
        }));
    }
    let outcome = run();
    let _ = std::io::stdout().flush();
    outcome
}

/// Ends a program that ends itself, as the C library has it once everything is flushed.
///
/// What the host hears of the status is only that it was not 0, so it is said here.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "it stands in for a function of the C library")]
#[unsafe(no_mangle)]
pub extern "C" fn _Exit(status: i32) -> ! {
    use std::io::Write as _;

    let _ = writeln!(std::io::stderr(), "the program ended itself with status {status}");
    core::arch::wasm32::unreachable()
}

/// Runs what is called `name`.
pub fn run(all: &[(&str, Run)], name: &str, input: &str) -> Result<String, WireFailure> {
    match all.iter().find(|(known, _)| *known == name) {
        Some((_, run)) => {
            let outcome = keeping_prints(|| run(input));
            outcome.map_err(Failure::into_wire)
        }
        // The host knows our names, so this is a host that mixed up two components.
        None => {
            let message = format!("this component has no `{name}`");
            Err(Failure::permanent("unknown-name", message).into_wire())
        }
    }
}

pub fn describe(
    name: &str,
    version: &str,
    description: &str,
    flows: &[fn() -> Declaration],
    tasks: &[fn() -> Declaration],
) -> ComponentInfo {
    ComponentInfo {
        name: name.to_owned(),
        version: version.to_owned(),
        description: description.to_owned(),
        flows: flows.iter().map(|declare| declare().into_flow()).collect(),
        tasks: tasks.iter().map(|declare| declare().into_task()).collect(),
    }
}

/// Tells, while the component is compiled, whether no two names are equal.
pub const fn distinct(names: &[&str]) -> bool {
    let mut first = 0;
    while first < names.len() {
        let mut second = first + 1;
        while second < names.len() {
            if equal(names[first].as_bytes(), names[second].as_bytes()) {
                return false;
            }
            second += 1;
        }
        first += 1;
    }
    true
}

const fn equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}
