//! A host for tests: flows run as ordinary functions, without WebAssembly, a server or a wait.
//!
//! ```
//! use std::time::Duration;
//! use retake::prelude::*;
//! use retake::testing::{Host, State};
//!
//! #[task]
//! fn reserve(order: u32) -> String {
//!     format!("reservation for {order}")
//! }
//!
//! #[task(retries = 2, delay = ["1s", "10s"])]
//! fn charge(reservation: String) -> Result<u32> {
//!     Ok(42)
//! }
//!
//! #[flow(name = "checkout")]
//! fn checkout(order: u32) -> Result<u32> {
//!     charge(reserve(order)?)
//! }
//!
//! retake::component!(flows: [checkout], tasks: [reserve, charge]);
//!
//! # fn main() {
//! // Its three attempts fail, and so the flow does. Nobody waits for eleven seconds.
//! let mut run = Host::new().fail("charge", 3).run::<checkout>(&retake::serde_json::json!({"order": 7}));
//! assert_eq!(run.state(), State::Failed);
//! assert_eq!(run.call("charge").waits(), [1, 10].map(Duration::from_secs));
//!
//! // Somebody retries it: what succeeded is fed back, and only what failed is run again.
//! run.retry();
//! assert_eq!(run.state(), State::Completed);
//! assert!(run.call("reserve").is_fed_back());
//! assert_eq!(run.call("reserve").attempts().len(), 1);
//! assert_eq!(run.call("charge").attempts().len(), 4);
//! assert_eq!(run.result::<u32>().unwrap(), 42);
//! # }
//! ```
//!
//! What it does as the host does: states, attempts and their arithmetic (without jitter: a wait is never shorter), rounds,
//! what is fed back and what is run again, timeouts of tasks, the order in which calls end, `sleep`, the answers of
//! [`context`](crate::context()). What it cannot do: a body is not stopped while it runs, memory and statics are those of the test, and
//! clocks and chance of the standard library are the machine's. Schemas are checked by the host alone.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::retake::flow::types::Failure as Wire;
use crate::host::Body;
use crate::macro_support::Flow;
use crate::{Failure, Result};

pub(crate) mod boundary;
mod policy;
mod world;

use world::{Act, World};

/// A host, and what is to go wrong in it.
///
/// Names are those of tasks, or of flows. What was asked for more than once happens to one attempt after the other.
#[derive(Default)]
pub struct Host {
    world: World,
}

impl Host {
    /// Returns a host in which nothing goes wrong by itself.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next `times` attempts fail with the code `test.failed`; their bodies are not run.
    #[must_use]
    pub fn fail(self, name: &str, times: usize) -> Self {
        self.fail_with(name, times, Failure::new("test.failed", "failed, as the test said"))
    }

    /// The next `times` attempts fail with this.
    #[must_use]
    pub fn fail_with(mut self, name: &str, times: usize, failure: Failure) -> Self {
        self.act(name, times, &Act::Fail(failure.into_wire()));
        self
    }

    /// The next attempt takes until its time is over, and fails with `sandbox.timeout`.
    #[must_use]
    pub fn hang(mut self, name: &str) -> Self {
        self.act(name, 1, &Act::Hang);
        self
    }

    /// The next attempt fails with `sandbox.trap`, as a panic makes it.
    #[must_use]
    pub fn trap(mut self, name: &str) -> Self {
        self.act(name, 1, &Act::Trap);
        self
    }

    /// The host dies when the call has come to something that is kept, before the flow sees it. Then the attempt is
    /// resumed: the body runs from its beginning, and is answered from what is kept.
    #[must_use]
    pub fn kill_host_after(mut self, name: &str) -> Self {
        self.world.script.kills.push(name.to_owned());
        self
    }

    /// Grants a secret.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.world.script.values.insert(("secret", name.to_owned()), value.to_owned());
        self
    }

    /// Grants a variable.
    ///
    /// # Panics
    ///
    /// When the value cannot become JSON.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_string(&value).expect("a variable is JSON");
        self.world.script.values.insert(("variable", name.to_owned()), value);
        self
    }

    fn act(&mut self, name: &str, times: usize, act: &Act) {
        let acts = self.world.script.acts.entry(name.to_owned()).or_default();
        acts.extend(std::iter::repeat_n(act.clone(), times));
    }

    /// Runs a flow until it has ended, with its retries. `parameters` is an object.
    ///
    /// # Panics
    ///
    /// When the parameters cannot become JSON.
    pub fn run<F: Flow>(mut self, parameters: &impl Serialize) -> Run {
        let parameters = serde_json::to_string(parameters).expect("parameters are JSON");
        let policy = F::declare().policy.0;
        let run = self.world.begin(F::NAME, Body::of::<F>(), parameters, policy, Duration::ZERO);
        Run { host: Self { world: world::drive_to_end(self.world, run) } }
    }
}

/// How a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It has not ended.
    Running,
    /// It succeeded.
    Completed,
    /// Its retries are used up, or the failure is final.
    Failed,
    /// It waits for a person.
    Parked,
}

/// A run that has ended.
pub struct Run {
    host: Host,
}

impl Run {
    fn books(&self) -> &world::Books {
        &self.host.world.runs[0]
    }

    /// How it has ended.
    pub fn state(&self) -> State {
        self.books().state
    }

    /// What it returned, or what its last attempt failed with.
    ///
    /// # Errors
    ///
    /// Its failure; or `serde_json.Error` when the result is of another type.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T> {
        match self.books().outcome.clone() {
            Some(Ok(text)) => Ok(serde_json::from_str(&text)?),
            Some(Err(failure)) => Err(Failure::from_wire(failure)),
            None => Err(Failure::new("test.failed", "the run has not ended")),
        }
    }

    /// What its last attempt failed with, if it did.
    pub fn failure(&self) -> Option<Failure> {
        self.books().outcome.clone()?.err().map(Failure::from_wire)
    }

    /// The attempts of the flow.
    pub fn attempts(&self) -> &[Attempt] {
        &self.books().attempts
    }

    /// The waits between them.
    pub fn waits(&self) -> Vec<Duration> {
        waits(self.attempts())
    }

    /// How long it took, on the clock of the test.
    pub fn took(&self) -> Duration {
        self.books().now
    }

    /// What it asked for, in the order in which it was first asked for.
    pub fn calls(&self) -> Vec<CallView> {
        let books = self.books();
        let attempt = books.attempts.len() as u32;
        let view = |it: &world::Call| CallView {
            name: it.name.clone(),
            attempts: it.attempts.clone(),
            is_fed_back: it.asked_in == attempt && it.of_attempt < attempt && matches!(it.outcome, Some(Ok(_))),
            failure: it.outcome.clone().and_then(|it| it.err()).map(Failure::from_wire),
        };
        books.calls.iter().map(view).collect()
    }

    /// The first call of the task or flow with this name.
    ///
    /// # Panics
    ///
    /// When it was never asked for.
    #[track_caller]
    pub fn call(&self, name: &str) -> CallView {
        let calls = self.calls();
        let names: Vec<String> = calls.iter().map(|it| it.name.clone()).collect();
        let found = calls.into_iter().find(|it| it.name == name);
        found.unwrap_or_else(|| panic!("the flow did not ask for `{name}`, but for {names:?}"))
    }

    /// What flows and tasks logged by [`log`](crate::log), each line with its level before it. What is printed is not
    /// there.
    pub fn log_lines(&self) -> &[String] {
        &self.host.world.lines
    }

    /// Retries it, as a person does: another round with the whole budget, in which what succeeded is fed back.
    pub fn retry(&mut self) -> &mut Self {
        let now = self.books().now;
        let mut world = std::mem::take(&mut self.host.world);
        world.runs[0].new_round(now);
        self.host.world = world::drive_to_end(world, 0);
        self
    }

    /// The same, but the results of the tasks with these names are forgotten first.
    pub fn rerun(&mut self, names: &[&str]) -> &mut Self {
        self.host.world.runs[0]
            .calls
            .iter_mut()
            .filter(|it| names.contains(&&*it.name))
            .for_each(|it| it.outcome = None);
        self.retry()
    }

    /// The next `times` attempts fail, as [`Host::fail`] says it: for what is to go wrong after a retry.
    pub fn fail(&mut self, name: &str, times: usize) -> &mut Self {
        let act = Act::Fail(Failure::new("test.failed", "failed, as the test said").into_wire());
        self.host.act(name, times, &act);
        self
    }
}

/// What a call came to.
#[derive(Clone, Debug)]
pub struct CallView {
    name: String,
    attempts: Vec<Attempt>,
    is_fed_back: bool,
    failure: Option<Failure>,
}

impl CallView {
    /// The name of the task or flow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All its attempts, those of earlier rounds too.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The waits between them.
    pub fn waits(&self) -> Vec<Duration> {
        waits(&self.attempts)
    }

    /// Whether the last attempt of the flow was given the result of an earlier one: Cached.
    pub fn is_fed_back(&self) -> bool {
        self.is_fed_back
    }

    /// What it failed with, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

/// One attempt of a flow or of a task, on the clock of the test, which begins with the run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Counted from 1 over the whole life of the run.
    pub number: u32,
    /// When it began.
    pub began: Duration,
    /// When it ended.
    pub ended: Duration,
    /// What it failed with, if it did.
    pub failure: Option<Failure>,
    /// How often it was resumed after the host had died.
    pub resumed: u32,
    has_ended: bool,
}

impl Attempt {
    fn begun(number: u32, at: Duration) -> Self {
        Self { number, began: at, ended: at, failure: None, resumed: 0, has_ended: false }
    }

    fn end(&mut self, at: Duration, failure: Option<&Wire>) {
        self.failure = failure.cloned().map(Failure::from_wire);
        (self.ended, self.has_ended) = (at, true);
    }
}

fn waits(attempts: &[Attempt]) -> Vec<Duration> {
    attempts.windows(2).map(|it| it[1].began.saturating_sub(it[0].ended)).collect()
}
