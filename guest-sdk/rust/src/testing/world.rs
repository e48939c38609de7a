//! A host in which nothing waits: the books of a run, a clock that jumps, and what is to go wrong.
//!
//! A call is worked out when it is asked for, on a clock of its own that begins at the flow's. The flow's clock moves on
//! when it waits for what the call came to. So calls overlap in time although one body runs after the other, and every
//! run of a test is the same.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use serde_json::Value;

use super::policy::{Spent, Verdict, after_failure};
use super::{Attempt, State};
use crate::bindings::retake::flow::context::Run;
use crate::bindings::retake::flow::log::Level;
use crate::bindings::retake::flow::tasks::Options;
use crate::bindings::retake::flow::types::{Failure as Wire, RetryPolicy};
use crate::host::{Body, Target};
use crate::macro_support::Kind;
use crate::{Failure, Result};

/// How long an attempt of a task may take unless it says so.
const TASK_TIMEOUT: Duration = Duration::from_secs(60);
/// When runs of tests begin.
const BEGINNING: Duration = Duration::from_secs(1_767_225_600);

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// What unwinds a flow whose host is killed.
pub(super) struct Killed;

/// What is to happen in place of an attempt's body.
#[derive(Clone)]
pub(super) enum Act {
    Fail(Wire),
    Hang,
    Trap,
}

/// What is to go wrong, and what there is to be had.
#[derive(Default)]
pub(super) struct Script {
    pub(super) acts: HashMap<String, VecDeque<Act>>,
    pub(super) kills: Vec<String>,
    pub(super) values: BTreeMap<(&'static str, String), String>,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) script: Script,
    pub(super) runs: Vec<Books>,
    pub(super) lines: Vec<String>,
    frames: Vec<Frame>,
}

/// What runs: the attempt of a flow or of a task, with its clock.
struct Frame {
    run: usize,
    call: Option<usize>,
    attempt: u32,
    retries_left: u32,
    now: Duration,
    /// How often each thing was asked for in this attempt.
    asked: HashMap<Identity, u32>,
}

type Identity = (bool, String, String, String);

/// What is kept of a flow run.
pub(super) struct Books {
    pub(super) flow: String,
    pub(super) body: Body,
    pub(super) parameters: String,
    pub(super) policy: RetryPolicy,
    pub(super) state: State,
    pub(super) attempts: Vec<Attempt>,
    pub(super) calls: Vec<Call>,
    pub(super) outcome: Option<Result<String, Wire>>,
    pub(super) spent: Spent,
    pub(super) round_began: Duration,
    /// When it ended, or goes on.
    pub(super) now: Duration,
}

/// What is kept of a call.
pub(super) struct Call {
    pub(super) name: String,
    identity: Identity,
    occurrence: u32,
    pub(super) attempts: Vec<Attempt>,
    pub(super) outcome: Option<Result<String, Wire>>,
    /// The attempt of the flow in which it came to that.
    pub(super) of_attempt: u32,
    /// The last attempt of the flow that asked for it.
    pub(super) asked_in: u32,
    ends: Duration,
    is_kept: bool,
    child: Option<usize>,
}

/// Works on the books of the test that runs in this thread.
#[track_caller]
pub(super) fn with<T>(work: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(|world| match world {
        Some(world) => work(world),
        None => panic!(
            "this needs a host, and outside of a component there is none: `retake::testing::Host` is one for tests, and \
             `inline` runs a body without"
        ),
    })
}

/// Has a run of this world driven to its end; returns the world.
pub(super) fn drive_to_end(world: World, run: usize) -> World {
    let before = WORLD.replace(Some(world));
    assert!(before.is_none(), "a test's run is driven from within another; call the flow instead");
    let driven = catch_unwind(AssertUnwindSafe(|| drive(run)));
    let world = WORLD.take().expect("nobody else takes it");
    match driven {
        Ok(()) => world,
        Err(panic) => resume_unwind(panic),
    }
}

/// Makes attempts of a flow run until it ends. What kills the host unwinds to the outermost run, which goes on.
fn drive(run: usize) {
    loop {
        let (body, parameters, is_root) = with(|world| world.begin_flow_attempt(run));
        let ended = match with(|world| world.scripted(run, None)) {
            Some(act) => with(|world| world.act(act, None)),
            None => match catch_unwind(AssertUnwindSafe(|| (body.run)(&parameters))) {
                Ok(outcome) => outcome.map_err(Failure::into_wire),
                Err(panic) if panic.is::<Killed>() => {
                    with(|world| world.lose(run));
                    if is_root {
                        continue;
                    }
                    resume_unwind(panic);
                }
                Err(panic) => Err(trap(panic.as_ref())),
            },
        };
        if with(|world| world.end_flow_attempt(run, ended)) {
            return;
        }
    }
}

/// What a panic is to the host.
fn trap(panic: &(dyn std::any::Any + Send)) -> Wire {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Failure::new("sandbox.trap", format!("panicked: {}", text.unwrap_or("without a word"))).into_wire()
}

impl World {
    pub(super) fn begin(
        &mut self,
        flow: &str,
        body: Body,
        parameters: String,
        policy: RetryPolicy,
        at: Duration,
    ) -> usize {
        self.runs.push(Books {
            flow: flow.to_owned(),
            body,
            parameters,
            policy,
            state: State::Running,
            attempts: Vec::new(),
            calls: Vec::new(),
            outcome: None,
            spent: Spent::default(),
            round_began: at,
            now: at,
        });
        self.runs.len() - 1
    }

    fn begin_flow_attempt(&mut self, run: usize) -> (Body, String, bool) {
        let books = &mut self.runs[run];
        if books.attempts.last().is_none_or(|it| it.has_ended) {
            books.attempts.push(Attempt::begun(books.attempts.len() as u32 + 1, books.now));
        }
        self.frames.push(Frame {
            run,
            call: None,
            attempt: books.attempts.len() as u32,
            retries_left: books.policy.retries.saturating_sub(books.spent.policy),
            now: books.now,
            asked: HashMap::new(),
        });
        (books.body, books.parameters.clone(), self.frames.len() == 1)
    }

    /// The host dies: the attempt is resumed later, from the books.
    fn lose(&mut self, run: usize) {
        let frame = self.frames.pop().expect("its frame is there");
        let books = &mut self.runs[run];
        books.now = frame.now;
        if let Some(attempt) = books.attempts.last_mut() {
            attempt.resumed += 1;
        }
    }

    /// Ends an attempt of a flow; true when the run has ended with it.
    fn end_flow_attempt(&mut self, run: usize, outcome: Result<String, Wire>) -> bool {
        let frame = self.frames.pop().expect("its frame is there");
        let books = &mut self.runs[run];
        let attempt = books.attempts.len() as u32;
        let open = books.calls.iter_mut().filter(|it| it.asked_in == attempt && it.ends > frame.now);
        let mut ended = frame.now;
        for call in open {
            match &outcome {
                // What still runs is waited for.
                Ok(_) => ended = ended.max(call.ends),
                Err(_) => {
                    call.outcome = Some(Err(cancelled()));
                    call.ends = frame.now;
                }
            }
        }
        for call in books.calls.iter_mut().filter(|it| !it.is_kept) {
            call.outcome = None;
        }
        if let Some(it) = books.attempts.last_mut() {
            it.end(ended, outcome.as_ref().err());
        }
        books.now = ended;
        let verdict = match &outcome {
            Ok(_) => None,
            Err(failure) => Some(after_failure(&books.policy, failure, &mut books.spent, books.round_began, ended)),
        };
        books.state = match verdict {
            None => State::Completed,
            Some(Verdict::Fail) => State::Failed,
            Some(Verdict::Park) => State::Parked,
            Some(Verdict::Retry(due)) => {
                books.now = due;
                return false;
            }
        };
        books.outcome = Some(outcome);
        true
    }

    /// Takes what is to happen in place of the next attempt.
    fn scripted(&mut self, run: usize, call: Option<usize>) -> Option<Act> {
        let books = &self.runs[run];
        let name = call.map_or(&books.flow, |call| &books.calls[call].name);
        self.script.acts.get_mut(name)?.pop_front()
    }

    fn act(&mut self, act: Act, timeout: Option<Duration>) -> Result<String, Wire> {
        Err(match act {
            Act::Fail(failure) => failure,
            Act::Trap => Failure::new("sandbox.trap", "trapped, as the test said").into_wire(),
            Act::Hang => {
                let timeout = timeout.unwrap_or(TASK_TIMEOUT);
                self.frame().now += timeout;
                timed_out(timeout)
            }
        })
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("something runs")
    }

    /// Asks for a task or a flow, and works out what it comes to.
    pub(super) fn submit(target: &Target<'_>, input: &str, options: &Options) -> (usize, usize) {
        let (run, call, needs_work) = with(|world| world.ask(target, input, options));
        if needs_work {
            match target.kind {
                Kind::Task => Self::work_on_task(run, call, target, input, options),
                Kind::Flow => Self::work_on_child(run, call, target, input, options),
            }
        }
        (run, call)
    }

    /// Finds a call in the books, or makes it; says whether there is anything to do for it.
    fn ask(&mut self, target: &Target<'_>, input: &str, options: &Options) -> (usize, usize, bool) {
        let is_flow = matches!(target.kind, Kind::Flow);
        let declared = target.body.map(|it| (it.declare)());
        let version = declared.as_ref().filter(|_| !is_flow).map_or("1", |it| it.version).to_owned();
        let asked = options.key.as_ref().map_or_else(|| canonical(input), |key| format!("key:{key}"));
        let identity = (is_flow, target.name.to_owned(), version, asked);
        let frame = self.frame();
        let (run, now, attempt, within) = (frame.run, frame.now, frame.attempt, frame.call);
        let occurrence = frame.asked.entry(identity.clone()).or_default();
        *occurrence += 1;
        let occurrence = *occurrence;
        let books = &mut self.runs[run];
        let known = books.calls.iter().position(|it| it.identity == identity && it.occurrence == occurrence);
        let at = known.unwrap_or_else(|| {
            books.calls.push(Call {
                name: target.name.to_owned(),
                identity,
                occurrence,
                attempts: Vec::new(),
                outcome: None,
                of_attempt: attempt,
                asked_in: attempt,
                ends: now,
                is_kept: is_flow || declared.as_ref().and_then(|it| it.persist_result) != Some(false),
                child: None,
            });
            books.calls.len() - 1
        });
        let task = within.map(|it| books.calls[it].name.clone());
        let call = &mut books.calls[at];
        call.asked_in = attempt;
        let refused = match (task, declared) {
            (Some(task), _) => {
                let (kind, name) = (target.kind.word(), target.name);
                let what = format!("task `{task}` called {kind} `{name}`");
                let hint = format!("a task runs alone; call `{name}` from the flow, or make it a plain function");
                Some(Failure::permanent("host.not-in-a-task", format!("{what}: {hint}")))
            }
            (_, None) => Some(Failure::permanent(
                "input.invalid",
                format!("a test knows `{}` only when it is called by its function", target.name),
            )),
            _ => None,
        };
        if let Some(refused) = refused {
            (call.outcome, call.ends) = (Some(Err(refused.into_wire())), now);
            return (run, at, false);
        }
        let needs_work = match &call.outcome {
            Some(Ok(_)) => false,
            Some(Err(_)) => call.of_attempt != attempt,
            None => true,
        };
        // What an earlier attempt came to is there at once; in a resumed one it comes when it came.
        if call.of_attempt != attempt || needs_work {
            call.ends = now;
        }
        (run, at, needs_work)
    }

    fn work_on_task(run: usize, call: usize, target: &Target<'_>, input: &str, options: &Options) {
        let Some(body) = target.body else { return };
        let declared = (body.declare)();
        let timeout = declared.timeout_ms.map_or(TASK_TIMEOUT, Duration::from_millis);
        let policy = options.retry.clone().unwrap_or(declared.policy.0);
        let (mut spent, began) = (Spent::default(), with(|world| world.frame().now));
        let mut due = began;
        loop {
            with(|world| world.begin_task_attempt(run, call, due, policy.retries.saturating_sub(spent.policy)));
            let mut outcome = match with(|world| world.scripted(run, Some(call))) {
                Some(act) => with(|world| world.act(act, Some(timeout))),
                None => match catch_unwind(AssertUnwindSafe(|| (body.run)(input))) {
                    Ok(outcome) => outcome.map_err(Failure::into_wire),
                    Err(panic) => Err(trap(panic.as_ref())),
                },
            };
            let ended = with(|world| {
                let frame = world.frames.pop().expect("its frame is there");
                if frame.now - due > timeout {
                    outcome = Err(timed_out(timeout));
                }
                let ended = frame.now.min(due + timeout);
                if let Some(it) = world.runs[run].calls[call].attempts.last_mut() {
                    it.end(ended, outcome.as_ref().err());
                }
                ended
            });
            if let Err(failure) = &outcome
                && let Verdict::Retry(next) = after_failure(&policy, failure, &mut spent, began, ended)
            {
                due = next;
                continue;
            }
            with(|world| world.keep(run, call, outcome, ended));
            return;
        }
    }

    fn begin_task_attempt(&mut self, run: usize, call: usize, at: Duration, retries_left: u32) {
        let attempts = &mut self.runs[run].calls[call].attempts;
        let attempt = attempts.len() as u32 + 1;
        attempts.push(Attempt::begun(attempt, at));
        self.frames.push(Frame { run, call: Some(call), attempt, retries_left, now: at, asked: HashMap::new() });
    }

    fn work_on_child(run: usize, call: usize, target: &Target<'_>, input: &str, options: &Options) {
        let Some(body) = target.body else { return };
        let child = with(|world| {
            let now = world.frame().now;
            let known = world.runs[run].calls[call].child;
            let child = known.unwrap_or_else(|| {
                let policy = options.retry.clone().unwrap_or((body.declare)().policy.0);
                world.begin(target.name, body, input.to_owned(), policy, now)
            });
            world.runs[run].calls[call].child = Some(child);
            let books = &mut world.runs[child];
            if books.outcome.is_some() {
                books.new_round(now);
            }
            child
        });
        drive(child);
        with(|world| {
            let books = &world.runs[child];
            let (outcome, ended, attempts) = (books.outcome.clone(), books.now, books.attempts.clone());
            world.runs[run].calls[call].attempts = attempts;
            world.keep(run, call, outcome.unwrap_or_else(|| Err(cancelled())), ended);
        });
    }

    fn keep(&mut self, run: usize, call: usize, outcome: Result<String, Wire>, ended: Duration) {
        let attempt = self.frame().attempt;
        let call = &mut self.runs[run].calls[call];
        (call.outcome, call.ends, call.of_attempt) = (Some(outcome), ended, attempt);
    }

    /// Returns what a call came to, once it is there; and whether the host is to be killed before the flow sees it.
    pub(super) fn outcome(&mut self, run: usize, call: usize) -> (Result<String, Wire>, bool) {
        let it = &self.runs[run].calls[call];
        let (name, ends, outcome) = (it.name.clone(), it.ends, it.outcome.clone());
        let frame = self.frame();
        frame.now = frame.now.max(ends);
        let kill = self.script.kills.iter().position(|it| *it == name).map(|at| self.script.kills.remove(at));
        (outcome.unwrap_or_else(|| Err(cancelled())), kill.is_some())
    }

    pub(super) fn wait_any(&mut self, calls: &[(usize, usize)]) -> usize {
        let ends = calls.iter().map(|(run, call)| self.runs[*run].calls[*call].ends).enumerate();
        let (first, ends) = ends.min_by_key(|(_, ends)| *ends).unwrap_or_default();
        let frame = self.frame();
        frame.now = frame.now.max(ends);
        first
    }

    /// Whoever asks again and again is to be answered some day: time goes on with each question.
    pub(super) fn is_done(&mut self, run: usize, call: usize) -> bool {
        let ends = self.runs[run].calls[call].ends;
        let frame = self.frame();
        let is_done = ends <= frame.now;
        if !is_done {
            frame.now += Duration::from_millis(1);
        }
        is_done
    }

    pub(super) fn cancel(&mut self, run: usize, call: usize) {
        let now = self.frame().now;
        let call = &mut self.runs[run].calls[call];
        if call.ends > now {
            (call.outcome, call.ends) = (Some(Err(cancelled())), now);
        }
    }

    pub(super) fn sleep(&mut self, wait: Duration) {
        self.frame().now += wait;
    }

    pub(super) fn unix_time(&mut self) -> Duration {
        BEGINNING + self.frame().now
    }

    pub(super) fn current(&mut self) -> Run {
        let frame = self.frame();
        let (run, call, attempt, retries_left) = (frame.run, frame.call, frame.attempt, frame.retries_left);
        let flow_run_id = format!("run_test{run}");
        let books = &self.runs[run];
        let call = call.map(|at| (at, &books.calls[at]));
        let key = call.map(|(_, it)| format!("{flow_run_id}/{}/{}/{}", it.name, it.identity.3, it.occurrence));
        Run {
            flow: books.flow.clone(),
            deployment: None,
            task: call.map(|(_, it)| it.name.clone()),
            task_run_id: call.map(|(at, _)| format!("task_test{run}_{}", at + 1)),
            attempt,
            retries_left,
            idempotency_key: key.unwrap_or_else(|| flow_run_id.clone()),
            scheduled_for: u64::try_from(BEGINNING.as_millis()).unwrap_or(u64::MAX),
            flow_run_id,
        }
    }

    pub(super) fn log(&mut self, level: Level, message: &str, fields: &str) {
        let level = format!("{level:?}").trim_start_matches("Level::").to_uppercase();
        let fields = if fields.is_empty() { String::new() } else { format!(" {fields}") };
        self.lines.push(format!("{level} {message}{fields}"));
    }

    pub(super) fn value(&mut self, kind: &'static str, name: &str) -> Result<String, Wire> {
        self.script.values.get(&(kind, name.to_owned())).cloned().ok_or_else(|| {
            let message = format!("the test grants no {kind} `{name}`: `Host::new().{kind}(\"{name}\", ..)`");
            Failure::permanent("sandbox.denied", message).into_wire()
        })
    }
}

impl Books {
    /// Begins a round by hand: the whole budget is there again.
    pub(super) fn new_round(&mut self, at: Duration) {
        (self.spent, self.round_began, self.now) = (Spent::default(), at, at);
        (self.state, self.outcome) = (State::Running, None);
    }
}

fn cancelled() -> Wire {
    Failure::permanent("host.cancelled", "the call was cancelled").into_wire()
}

fn timed_out(after: Duration) -> Wire {
    Failure::new("sandbox.timeout", format!("the attempt took longer than {after:?}")).into_wire()
}

/// Sorts the names of objects, so that the order in which they are written makes no other call.
fn canonical(input: &str) -> String {
    serde_json::from_str::<Value>(input).map_or_else(|_| input.to_owned(), |it| it.to_string())
}
