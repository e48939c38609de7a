//! Flows and tasks whose bodies are scripts: drawn by chance, and the same at each attempt.

use std::sync::Arc;
use std::time::Duration;

use retake_core::component::{AskedLimits, ComponentInfo, FlowInfo, TaskInfo};
use retake_core::failure::{Failure, RetryAdvice};
use retake_core::id::FlowRunId;
use retake_core::port::{Attempt, BoxFuture, CallRequest, FlowHost, Logs, Report, Runner};
use retake_core::retry::{Delay, RetryPolicy, WhenExhausted};
use retake_core::task::{Evidence, Level, LogLine};
use retake_core::time::Clock;
use retake_core::value::Json;
use retake_store::MemStore;

use crate::world::{Life, World};

/// How many flows there are. Each may call those that come after it.
const FLOWS: usize = 4;
/// How many tasks there are. The result of the last is not kept.
const TASKS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Call { task: usize, input: u8, key: Option<u8>, strict: bool },
    Child { flow: usize, input: u8, strict: bool },
    Submit { task: usize, input: u8 },
    SubmitChild { flow: usize, input: u8 },
    Any,
    All,
    Sleep(u64),
    Cancel,
}

#[derive(Debug, Clone)]
struct Program {
    steps: Vec<Step>,
    /// The body fails at its end in attempts up to this one.
    fails: u32,
    policy: RetryPolicy,
}

#[derive(Debug, Clone)]
struct TaskScript {
    policy: RetryPolicy,
    /// Of a hundred attempts.
    fails: u32,
    /// How long one takes at most, in milliseconds.
    takes: u64,
}

/// What the guests of one world do.
#[derive(Debug, Clone)]
pub(crate) struct Scripts {
    programs: Vec<Program>,
    tasks: Vec<TaskScript>,
}

fn policy(rng: &mut fastrand::Rng, most: u32) -> RetryPolicy {
    let ms = |rng: &mut fastrand::Rng| [0, 100, 3_000, 40_000][rng.usize(..4)];
    let delay = match rng.u32(..3) {
        0 => Delay::Fixed(Duration::from_millis(ms(rng))),
        1 => Delay::Listed((0..rng.usize(1..4)).map(|_| ms(rng)).collect()),
        _ => Delay::Exponential { initial: Duration::from_millis(ms(rng) / 4), factor_permille: 2000 },
    };
    // Without a draw of its own, so that seeds go on to mean what they meant.
    let when_exhausted = match rng.clone().u64(..6) {
        0 => WhenExhausted::Park,
        _ => WhenExhausted::Fail,
    };
    RetryPolicy { retries: rng.u32(..=most), delay, when_exhausted, ..RetryPolicy::default() }
}

impl Scripts {
    pub(crate) fn draw(rng: &mut fastrand::Rng) -> Self {
        let programs = (0..FLOWS).map(|number| {
            let steps = (0..rng.usize(1..8)).map(|_| {
                let (task, input, strict) = (rng.usize(..TASKS), rng.u8(..3), rng.bool());
                let child = (number + 1 < FLOWS).then(|| rng.usize(number + 1..FLOWS));
                match (rng.u32(..12), child) {
                    (0..4, _) => Step::Call { task, input, key: (rng.u32(..4) == 0).then(|| rng.u8(..2)), strict },
                    (4..7, _) => Step::Submit { task, input },
                    (7, Some(flow)) => Step::Child { flow, input, strict },
                    (8, Some(flow)) => Step::SubmitChild { flow, input },
                    (9, _) => Step::Any,
                    (10, _) => Step::Sleep([50, 1_500, 20_000, 70_000][rng.usize(..4)]),
                    (11, _) => [Step::All, Step::Cancel][rng.usize(..2)].clone(),
                    _ => Step::Submit { task, input },
                }
            });
            let steps = steps.collect();
            let fails = if rng.u32(..3) == 0 { rng.u32(..4) } else { 0 };
            Program { steps, fails, policy: policy(rng, 3) }
        });
        let programs = programs.collect();
        let tasks = (0..TASKS).map(|_| TaskScript {
            policy: policy(rng, 3),
            fails: [0, 20, 60, 100][rng.usize(..4)],
            takes: [5, 200, 3_000, 15_000][rng.usize(..4)],
        });
        Self { programs, tasks: tasks.collect() }
    }

    pub(crate) fn component(&self) -> ComponentInfo {
        let schema = || Json::trusted(r#"{"type":"object"}"#);
        let flows = self.programs.iter().enumerate().map(|(number, it)| FlowInfo {
            name: format!("f{number}"),
            description: String::new(),
            parameters: schema(),
            returns: None,
            retry: it.policy.clone(),
            limits: AskedLimits::default(),
            capabilities: Vec::new(),
            log_prints: false,
            persist_result: None,
            extensions: None,
        });
        let tasks = self.tasks.iter().enumerate().map(|(number, it)| TaskInfo {
            name: format!("t{number}"),
            description: String::new(),
            version: "1".into(),
            input: schema(),
            returns: None,
            retry: it.policy.clone(),
            limits: AskedLimits::default(),
            capabilities: Vec::new(),
            log_prints: false,
            persist_result: (number + 1 == TASKS).then_some(false),
            tags: Vec::new(),
            extensions: None,
        });
        let (name, version, description) = ("world".into(), "1".into(), String::new());
        ComponentInfo { name, version, description, flows: flows.collect(), tasks: tasks.collect() }
    }
}

/// Runs the scripts in one process of the host.
pub(crate) struct Actors {
    pub(crate) life: Arc<Life>,
    pub(crate) kept: Arc<MemStore>,
    pub(crate) scripts: Arc<Scripts>,
}

fn number(name: &str) -> usize {
    name[1..].parse().unwrap()
}

fn failure(code: &str, retry: RetryAdvice) -> Failure {
    Failure { retry, ..Failure::new(code, "as the script says") }
}

/// Notes that a body is not run any more, also when it is dropped.
struct InBody<'a>(&'a Life, FlowRunId, u32);

impl Drop for InBody<'_> {
    fn drop(&mut self) {
        self.0.world.books().body_ended(self.1, self.2, self.0.number);
    }
}

impl Actors {
    fn world(&self) -> &World {
        &self.life.world
    }

    async fn enter<'a>(&'a self, attempt: &Attempt, call: u32, retries: u32) -> InBody<'a> {
        self.life.pass().await;
        let (run, life) = (attempt.run, self.life.number);
        self.world().write(|books| books.body(&self.kept, (run, call), attempt.attempt, life, retries));
        InBody(&self.life, run, call)
    }

    async fn task(&self, attempt: &Attempt, logs: Arc<dyn Logs>) -> Result<Json, Failure> {
        let task = attempt.task.as_ref().unwrap();
        let script = &self.scripts.tasks[number(&task.identity.name)];
        // What is not kept is run again each time that its flow goes on.
        let is_kept = number(&task.identity.name) + 1 < TASKS;
        let retries = if is_kept { script.policy.retries } else { 1000 };
        let _in_body = self.enter(attempt, task.number, retries).await;
        self.world().linger(script.takes).await;
        self.life.pass().await;
        logs.line(LogLine {
            at: self.world().now(),
            call: task.number,
            attempt: attempt.attempt,
            level: Level::Info,
            message: "working".into(),
            fields: None,
            task: None,
        });
        let mut rng = self.world().chance();
        if rng.u32(..100) < script.fails {
            let retry = match rng.u32(..10) {
                0 => RetryAdvice::Never,
                1 => RetryAdvice::After(Duration::from_secs(2)),
                _ => RetryAdvice::ByPolicy,
            };
            return Err(failure("shaky", retry));
        }
        // Never the same twice: a task that is run again has another result.
        Ok(Json::of(&format!("{} {:x}", task.identity.name, rng.u64(..))))
    }

    async fn flow(&self, attempt: &Attempt, host: &dyn FlowHost) -> Result<Json, Failure> {
        let script = &self.scripts.programs[number(&attempt.flow)];
        let _in_body = self.enter(attempt, 0, 0).await;
        let again =
            |step: &Step| matches!(step, Step::Call { task, .. } | Step::Submit { task, .. } if task + 1 == TASKS);
        let same = !script.steps.iter().any(again);
        let mut body = Body { actors: self, attempt, host, same, open: Vec::new(), told: 0, results: Vec::new() };
        body.tell(format!("now {}", host.now()));
        for step in &script.steps {
            self.life.pass().await;
            body.step(step).await?;
        }
        if attempt.attempt <= script.fails {
            return Err(failure("flow-failed", RetryAdvice::ByPolicy));
        }
        let result = Json::of(&body.results);
        self.world().books().returned(attempt.run, attempt.attempt, result.clone());
        Ok(result)
    }
}

struct Body<'a> {
    actors: &'a Actors,
    attempt: &'a Attempt,
    host: &'a dyn FlowHost,
    /// Whether all results are kept, so that an attempt that goes on is told what it was told before.
    same: bool,
    /// Calls that were not waited for, and whether their results are kept.
    open: Vec<(u32, bool)>,
    told: usize,
    results: Vec<String>,
}

impl Body<'_> {
    fn tell(&mut self, what: String) {
        if !self.same {
            return;
        }
        let (run, attempt, place) = (self.attempt.run, self.attempt.attempt, self.told);
        self.actors.world().write(|books| books.told(run, attempt, place, what));
        self.told += 1;
    }

    fn submit(&mut self, name: String, is_flow: bool, input: u8, key: Option<u8>) -> Result<u32, Failure> {
        let (input, key) = (format!("{{\"n\":{input}}}"), key.map(|it| format!("k{it}")));
        self.host.submit(CallRequest { name, is_flow, input, key, label: None, retry: None })
    }

    async fn outcome(&mut self, call: u32, kept: bool) -> Result<Json, Failure> {
        let outcome = self.host.outcome(call).await;
        self.actors.life.pass().await;
        let (run, attempt, there) = (self.attempt.run, self.attempt.attempt, &self.actors.kept);
        match &outcome {
            Ok(result) if kept => self.actors.world().write(|books| books.is_kept(there, run, result)),
            Ok(_) => {}
            Err(_) => self.actors.world().write(|books| books.has_failed(there, run, attempt)),
        }
        let said = match &outcome {
            Ok(result) => result.as_str().to_owned(),
            Err(failure) => format!("!{}", failure.code),
        };
        // What is not kept is made again, and is another.
        if kept {
            self.tell(format!("{call} {said} at {}", self.host.now()));
            self.results.push(said);
        }
        outcome
    }

    async fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let task_name = |task: usize| (format!("t{task}"), task + 1 < TASKS);
        match step {
            Step::Call { task, input, key, strict } => {
                let (name, kept) = task_name(*task);
                let call = self.submit(name, false, *input, *key)?;
                let outcome = self.outcome(call, kept).await;
                if *strict {
                    outcome?;
                }
            }
            Step::Child { flow, input, strict } => {
                let call = self.submit(format!("f{flow}"), true, *input, None)?;
                let outcome = self.outcome(call, true).await;
                if *strict {
                    outcome?;
                }
            }
            Step::Submit { task, input } => {
                let (name, kept) = task_name(*task);
                let call = self.submit(name, false, *input, None)?;
                self.open.push((call, kept));
            }
            Step::SubmitChild { flow, input } => {
                let call = self.submit(format!("f{flow}"), true, *input, None)?;
                self.open.push((call, true));
            }
            // With a result that is not kept another may be first the next time.
            Step::Any if !self.open.is_empty() && self.open.iter().all(|(_, kept)| *kept) => {
                let place = self.host.wait_any(self.open.iter().map(|(call, _)| *call).collect()).await;
                self.tell(format!("first {place}"));
                let (call, kept) = self.open.remove(place as usize);
                let _ = self.outcome(call, kept).await;
            }
            Step::Any => {}
            Step::All => {
                for (call, kept) in std::mem::take(&mut self.open) {
                    let _ = self.outcome(call, kept).await;
                }
            }
            Step::Sleep(ms) => {
                self.host.sleep_until(self.host.now() + Duration::from_millis(*ms)).await;
                self.actors.life.pass().await;
            }
            Step::Cancel => {
                if let Some((call, _)) = self.open.pop() {
                    self.host.cancel(call);
                }
            }
        }
        Ok(())
    }
}

impl Runner for Actors {
    fn run_task<'a>(&'a self, attempt: &'a Attempt, logs: Arc<dyn Logs>) -> BoxFuture<'a, Report> {
        Box::pin(async move { Report { outcome: self.task(attempt, logs).await, evidence: Evidence::default() } })
    }

    fn run_flow<'a>(&'a self, attempt: &'a Attempt, host: Arc<dyn FlowHost>) -> BoxFuture<'a, Report> {
        Box::pin(async move { Report { outcome: self.flow(attempt, &*host).await, evidence: Evidence::default() } })
    }
}
