//! Tasks and child flows that were asked for.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::retake::flow::tasks;
use crate::host::{self, Handle, Target};
use crate::json::{self, Unsayable};
use crate::macro_support::{Kind, Runnable};
use crate::{Failure, Policy, Result};

/// A task or a child flow that was asked for and runs beside the flow.
///
/// Dropping it does not cancel it: when the flow returns, the host waits for what still runs.
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
/// fn two_squares(a: u64, b: u64) -> Result<u64> {
///     let first: Call<u64> = square::submit(a);
///     let second = square::submit(b);
///     Ok(first.outcome()? + second.outcome()?)
/// }
///
/// retake::component!(flows: [two_squares], tasks: [square]);
/// ```
pub struct Call<T> {
    state: State,
    result: PhantomData<fn() -> T>,
}

enum State {
    Asked(Handle),
    /// The input could not become JSON, so nothing was asked for.
    Refused(Failure),
}

impl<T> Call<T> {
    fn new(state: State) -> Self {
        Self { state, result: PhantomData }
    }

    /// Tells whether the outcome is there, without waiting.
    ///
    /// The one answer that is not replayed: an attempt that goes on after a wait or a restart may be told `true` where it
    /// was told `false`. For a choice that must not change use [`wait_any`](crate::wait_any).
    ///
    /// ```no_run
    /// # fn f(call: retake::Call<u32>) {
    /// if call.is_done() {
    ///     println!("no need to wait");
    /// }
    /// # }
    /// ```
    pub fn is_done(&self) -> bool {
        match &self.state {
            State::Asked(handle) => handle.is_done(),
            State::Refused(_) => true,
        }
    }

    /// Asks the host to stop it; its outcome is then the failure `host.cancelled`.
    ///
    /// What is done already stays done.
    ///
    /// ```no_run
    /// # fn f(call: retake::Call<u32>) {
    /// call.cancel();
    /// # }
    /// ```
    pub fn cancel(&self) {
        if let State::Asked(handle) = &self.state {
            handle.cancel();
        }
    }
}

impl<T: DeserializeOwned> Call<T> {
    /// Waits until it has succeeded, or has failed for good, and returns which.
    ///
    /// The answer is the same however often it is asked for. Fails with `serde_json.Error` when
    /// the result is of another type than `T`.
    ///
    /// ```no_run
    /// # fn f(call: retake::Call<u32>) -> retake::Result<()> {
    /// let n = call.outcome()?;
    /// # Ok(()) }
    /// ```
    pub fn outcome(&self) -> Result<T> {
        match &self.state {
            State::Asked(handle) => {
                let text = handle.outcome().map_err(Failure::from_wire)?;
                Ok(json::read(&text)?)
            }
            State::Refused(failure) => Err(failure.clone()),
        }
    }
}

/// Waits until one of the calls is done and returns its index; of several, the one done first.
///
/// The calls may be of different types as `&dyn Waitable`.
///
/// ```no_run
/// # fn f(fast: retake::Call<u32>, slow: retake::Call<u32>) -> retake::Result<()> {
/// let calls = [&fast, &slow];
/// let winner = retake::wait_any(&calls);
/// println!("{}", calls[winner].outcome()?);
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// When `calls` is empty, as it would wait for ever.
pub fn wait_any<C: Waitable + ?Sized>(calls: &[&C]) -> usize {
    assert!(!calls.is_empty(), "`wait_any` needs at least one call");
    let mut handles = Vec::with_capacity(calls.len());
    for (index, call) in calls.iter().enumerate() {
        match call.handle() {
            Some(handle) => handles.push(handle),
            None => return index, // Refused before it was asked for, so it is done.
        }
    }
    host::wait_any(&handles)
}

/// What [`wait_any`] can wait for: a [`Call`] of any type.
///
/// ```no_run
/// use retake::Waitable;
///
/// # fn f(count: retake::Call<u32>, name: retake::Call<String>) {
/// let calls: [&dyn Waitable; 2] = [&count, &name];
/// let first = retake::wait_any(&calls);
/// # }
/// ```
pub trait Waitable: sealed::Sealed {}

impl<T> Waitable for Call<T> {}

mod sealed {
    use super::Handle;

    pub trait Sealed {
        fn handle(&self) -> Option<&Handle>;
    }

    impl<T> Sealed for super::Call<T> {
        fn handle(&self) -> Option<&Handle> {
            match &self.state {
                super::State::Asked(handle) => Some(handle),
                super::State::Refused(_) => None,
            }
        }
    }
}

/// What a single call may have of its own: a key, a name, a retry policy.
///
/// ```
/// use retake::{Options, Policy};
///
/// let options = Options::default().with_key("order-42").named("first try").retry(Policy::retries(1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    key: Option<String>,
    name: Option<String>,
    retry: Option<Policy>,
}

impl Options {
    /// Stands for the input in the call's identity: a kept result is fed back although the input
    /// has changed. At most 512 bytes.
    ///
    /// ```
    /// let options = retake::Options::default().with_key("order-42");
    /// ```
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Shows people this name instead of the task's. At most 128 bytes.
    ///
    /// ```
    /// let options = retake::Options::default().named("the first page");
    /// ```
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Replaces the policy in the task's attribute.
    ///
    /// ```
    /// let options = retake::Options::default().retry(retake::Policy::retries(1));
    /// ```
    #[must_use]
    pub fn retry(mut self, policy: Policy) -> Self {
        self.retry = Some(policy);
        self
    }

    fn into_wire(self) -> tasks::Options {
        tasks::Options { key: self.key, name: self.name, retry: self.retry.map(|policy| policy.0) }
    }
}

/// Asks for the task of this component that is called `task`, by its name alone.
///
/// `fetch::submit(..)` does the same and cannot be misspelt. A name that does not exist is told by
/// the outcome.
///
/// ```no_run
/// # fn main() -> retake::Result<()> {
/// use retake::serde_json::json;
///
/// let call = retake::submit_task("square", &json!({"n": 3}), Default::default());
/// let squared: u64 = call.outcome()?;
/// # Ok(()) }
/// ```
pub fn submit_task<T>(task: &str, input: &impl Serialize, options: Options) -> Call<T> {
    ask(&Target::named(Kind::Task, task), json::text(input), options)
}

/// Asks for a child flow: a flow of this component.
///
/// ```no_run
/// # fn main() -> retake::Result<()> {
/// use retake::serde_json::json;
///
/// let call = retake::submit_flow("invoices", &json!({"month": 3}), Default::default());
/// let total: u64 = call.outcome()?;
/// # Ok(()) }
/// ```
pub fn submit_flow<T>(flow: &str, parameters: &impl Serialize, options: Options) -> Call<T> {
    ask(&Target::named(Kind::Flow, flow), json::text(parameters), options)
}

/// Asks for a task or a flow with input that is an object already.
pub(crate) fn submit<R: Runnable, T>(input: crate::arguments::Object, options: Options) -> Call<T> {
    ask(&Target::of::<R>(), input.finish(), options)
}

fn ask<T>(target: &Target<'_>, input: std::result::Result<String, Unsayable>, options: Options) -> Call<T> {
    Call::new(match input {
        Ok(input) => State::Asked(host::submit(target, &input, &options.into_wire())),
        Err(error) => {
            let message = format!("{} `{}`: its input {error}", target.kind.word(), target.name);
            State::Refused(Failure::permanent("input.invalid", message))
        }
    })
}
