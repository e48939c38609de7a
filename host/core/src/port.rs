//! What the engine asks of a sandbox, and what a flow inside one asks of the engine.
//!
//! The engine knows sandboxes only through [`Runner`], and what it says and hears are messages that could cross a
//! socket: a runner may one day be a process of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::component::{AttemptLimits, ComponentInfo};
use crate::failure::Failure;
use crate::grant::Grants;
use crate::id::{ContentDigest, FlowRunId};
use crate::replay::Identity;
use crate::retry::RetryPolicy;
use crate::task::{Evidence, LogLine};
use crate::time::Timestamp;
use crate::value::Json;

/// A future that can be sent to another thread.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One try at a flow or at a task, to be made in a fresh sandbox.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which code.
    pub component: ContentDigest,
    /// Of which run.
    pub run: FlowRunId,
    /// The flow's name.
    pub flow: Arc<str>,
    /// Set for a task.
    pub task: Option<TaskAttempt>,
    /// The flow's parameters or the task's input.
    pub input: Json,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// How many more the policy allows.
    pub retries_left: u32,
    /// When the run was meant to start.
    pub scheduled_for: Timestamp,
    /// What it may use.
    pub limits: AttemptLimits,
    /// How much of the wall clock it may use has passed already, when it goes on.
    pub elapsed: Duration,
    /// Whether printed lines become log entries.
    pub log_prints: bool,
    /// The deployment that the run was asked for through.
    pub deployment: Option<Arc<str>>,
    /// The secrets and variables that it asked for and is granted.
    pub grants: Option<Arc<Grants>>,
}

/// Which task an attempt is of.
#[derive(Debug, Clone)]
pub struct TaskAttempt {
    /// Which of the run's calls.
    pub number: u32,
    /// What was asked; its name is the task's.
    pub identity: Arc<Identity>,
}

/// How an attempt ended.
#[derive(Debug)]
pub struct Report {
    /// What it returned.
    pub outcome: Result<Json, Failure>,
    /// What it used.
    pub evidence: Evidence,
}

/// Makes attempts, each in a fresh sandbox.
pub trait Runner: Send + Sync {
    /// Makes an attempt at a task. Dropping the future stops it.
    fn run_task<'a>(&'a self, attempt: &'a Attempt, logs: Arc<dyn Logs>) -> BoxFuture<'a, Report>;

    /// Makes an attempt at a flow, which asks `host` for everything else. Dropping the future stops it.
    ///
    /// Each poll of it polls the body, and the host call that the body waits for: the host makes that call beside the
    /// body, and wakes nobody when it is done. So a body is not spawned, nor polled only when it was woken.
    fn run_flow<'a>(&'a self, attempt: &'a Attempt, host: Arc<dyn FlowHost>) -> BoxFuture<'a, Report>;

    /// Forgets what was made ready of a component that was removed.
    fn forget(&self, component: ContentDigest) {
        let _ = component;
    }

    /// Returns what was made since the start; nothing where nobody counts.
    fn sandboxes(&self) -> Sandboxes {
        Sandboxes::default()
    }
}

/// Sandboxes that were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sandboxes {
    /// How many.
    pub made: u64,
    /// How long it took together, until the guest's own code could begin.
    pub making: Duration,
}

/// What is known of an upload that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// SHA-256 of the bytes.
    pub digest: ContentDigest,
    /// Length of the bytes.
    pub bytes: u64,
    /// What it says about itself, within all bounds.
    pub info: ComponentInfo,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
}

/// Why an upload is not a component that can be run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRefused {
    /// What is wrong, a sentence.
    pub message: String,
    /// What the component itself said, as JSON text.
    pub details: Option<String>,
    /// What to try.
    pub hint: String,
}

/// Looks into uploads before anything is kept of them.
pub trait Inspector: Send + Sync {
    /// Inspects an upload, whose SHA-256 is known.
    fn inspect(&self, digest: ContentDigest, bytes: Vec<u8>) -> BoxFuture<'_, Result<Inspected, UploadRefused>>;
}

/// Takes what an attempt prints and logs.
pub trait Logs: Send + Sync {
    /// Takes one line. Its number and size were bounded by the sandbox.
    fn line(&self, line: LogLine);
}

/// A call of a task or a child flow.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// The name of the task or flow.
    pub name: String,
    /// Whether it is a child flow.
    pub is_flow: bool,
    /// JSON text, not checked yet.
    pub input: String,
    /// The author's key.
    pub key: Option<String>,
    /// What people see instead of the name.
    pub label: Option<String>,
    /// Instead of the policy in the metadata.
    pub retry: Option<RetryPolicy>,
}

impl CallRequest {
    /// Returns every text of it: each is kept, or told to somebody.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let Self { name, is_flow: _, input, key, label, retry } = self;
        let codes = retry.iter().flat_map(|it| &it.rules).flat_map(|it| &it.codes);
        [Some(name), Some(input), key.as_ref(), label.as_ref()].into_iter().flatten().chain(codes).map(String::as_str)
    }

    /// How many bytes of it are kept beside its input.
    pub fn key_bytes(&self) -> usize {
        self.name.len() + self.key.as_ref().map_or(0, String::len) + self.label.as_ref().map_or(0, String::len)
    }
}

/// What a flow's body may ask for while it runs.
pub trait FlowHost: Logs {
    /// Returns the run's own time: the instant of the last thing that the flow was told.
    fn now(&self) -> Timestamp;

    /// Returns how long the sleeps were, together, that earlier attempts have slept for this one. A clock that only
    /// measures is ahead of the run's own time by that: otherwise who looks at it to know whether a sleep is over
    /// sleeps again.
    fn slept_before(&self) -> Duration {
        Duration::ZERO
    }

    /// Takes a call and returns its number within this attempt. An error ends the attempt.
    fn submit(&self, call: CallRequest) -> Result<u32, Failure>;

    /// Waits for the answer to a call.
    fn outcome(&self, call: u32) -> BoxFuture<'_, Result<Json, Failure>>;

    /// Whether a call has its answer.
    fn is_done(&self, call: u32) -> bool;

    /// Stops a call that has no answer yet.
    fn cancel(&self, call: u32);

    /// Waits until one of the calls is done and returns its place in the list; of several, the one done first.
    fn wait_any(&self, calls: Vec<u32>) -> BoxFuture<'_, u32>;

    /// Waits until the run's own time has reached `due`.
    fn sleep_until(&self, due: Timestamp) -> BoxFuture<'_, ()>;

    /// Is told what the body has used when it is dropped before it returned.
    fn cut_short(&self, used: Evidence) {
        let _ = used;
    }

    /// Is told now and then while the body computes, so that what it asked for runs beside it.
    fn tick(&self);
}
