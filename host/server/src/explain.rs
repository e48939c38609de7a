//! Where a run stands, why, and what can be done, in sentences.

use retake_core::failure::RetryAdvice;
use retake_core::id::FlowRunId;
use retake_core::replay::CallKind;
use retake_core::retry::{Action, RetryPolicy, Rule, WhenExhausted, is_final_by_default};
use retake_core::run::{RunState, Shown, Waiting};
use retake_core::task::{Names, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_engine::Waits;
use retake_store::{Limited, RunFilter, RunRecord, Store, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text::{due_words, one_line, waits_words, words};
use crate::wire::is_awaited;

/// Where a run stands, why, and what can be done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Which run.
    #[schema(value_type = String)]
    pub run: FlowRunId,
    /// Sentences.
    pub explained: Vec<String>,
    /// A command that can be pasted.
    pub hint: String,
}

impl Explanation {
    /// Explains a run. `host_gone`: whether nobody works on the store; `waits`: why it waits, as the engine knows it.
    pub async fn of(
        store: &dyn Store,
        record: &RunRecord,
        host_gone: bool,
        waits: Option<&Waits>,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let tasks = store.task_runs(record.asked.id).await?;
        let mut told = Told { now, sentences: Vec::new() };
        let policy = policy(store, record).await?;
        told.state(host_gone, record, policy.as_ref(), &tasks);
        if let Some(waits) = waits {
            told.waits(store, waits).await?;
        }
        if let Some(at) = store.component(record.asked.component).await?.and_then(|it| it.removed) {
            let at = crate::text::instant(at);
            told.say(format!("Its code was removed at {at}: a retry runs other code, `--version latest`."));
        }
        told.calls(record, &tasks);
        told.children(store, record).await?;
        told.past(store, record).await?;
        Ok(Self {
            run: record.asked.id,
            explained: told.sentences,
            hint: waits.and_then(waits_hint).unwrap_or_else(|| hint(host_gone, record, now)),
        })
    }
}

async fn policy(store: &dyn Store, record: &RunRecord) -> Result<Option<RetryPolicy>, StoreError> {
    let component = store.component(record.asked.component).await?;
    let flow = component.and_then(|it| it.info.flow(&record.asked.flow).cloned());
    Ok(flow.map(|it| record.asked.overrides.policy(&it)))
}

struct Told {
    now: Timestamp,
    sentences: Vec<String>,
}

impl Told {
    fn say(&mut self, sentence: impl Into<String>) {
        self.sentences.push(sentence.into());
    }

    fn state(&mut self, host_gone: bool, record: &RunRecord, policy: Option<&RetryPolicy>, tasks: &[TaskRun]) {
        let run = &record.run;
        let name = record.asked.id.friendly_name();
        let of = format!("Run {name} of {}", one_line(&record.asked.flow));
        let failure = record.failure.as_ref().map(words);
        let attempt = run.attempt;
        match run.state {
            RunState::Scheduled { due, waiting } => {
                let is_due = due <= self.now;
                let due = due_words(due, self.now);
                self.say(match waiting {
                    Waiting::Start | Waiting::Retry if is_due => format!(
                        "{of} is due: attempt {} begins when somebody works on it.", attempt + 1
                    ),
                    Waiting::Start if attempt == 0 => format!("{of} has not begun: it may begin at {due}."),
                    Waiting::Start => format!("{of} was retried by hand: attempt {} may begin at {due}.", attempt + 1),
                    Waiting::Retry => format!("{of} awaits its retry: attempt {} begins at {due}.", attempt + 1),
                    Waiting::Suspended if is_due => {
                        format!("{of} is Suspended and due: attempt {attempt} goes on when somebody works on it.")
                    }
                    Waiting::Suspended => format!(
                        "{of} is Suspended in attempt {attempt}: it waits for nothing but timers, its own or its \
                         children's, holds no sandbox, and goes on at {due} at the latest."
                    ),
                    Waiting::Worker => format!(
                        "{of} was put aside in attempt {attempt}, because its host stopped or was lost; the same \
                         attempt goes on when somebody works on it."
                    ),
                });
            }
            RunState::Running { .. } | RunState::Cancelling { .. } if host_gone => self.say(format!(
                "{of} was being worked on in attempt {attempt} when its host died; the same attempt goes on when \
                 somebody works on it."
            )),
            RunState::Running { .. } => self.say(format!("{of} is being worked on: attempt {attempt}.")),
            RunState::Cancelling { .. } => self.say(format!("{of} was cancelled, and is being stopped.")),
            RunState::Paused { .. } => self.say(format!("{of} was paused by a person, and waits to be resumed.")),
            RunState::Parked => self.say(format!(
                "{of} is Parked after attempt {attempt}: its policy leaves what happens next to a person."
            )),
            RunState::Completed => self.say(format!("{of} has Completed in attempt {attempt}.")),
            RunState::Failed { .. } => self.say(format!(
                "{of} has {} in attempt {attempt}, and is not tried again by itself.",
                run.shown(self.now)
            )),
            RunState::Crashed => self.say(format!(
                "{of} has Crashed: its host died {} times in a row in attempt {attempt}, and nothing may loop for ever.",
                run.lost
            )),
            RunState::Cancelled if attempt == 0 => self.say(format!("{of} was cancelled before it began.")),
            RunState::Cancelled => self.say(format!("{of} was cancelled in attempt {attempt}.")),
        }
        let Some(failure) = failure else { return };
        self.say(format!("The last attempt failed with {failure}."));
        if let (RunState::Failed { .. } | RunState::Parked, Some(policy)) = (run.state, policy) {
            let last = record.failure.as_ref();
            let used_up = |(at, it): (u32, &Rule)| match &it.action {
                Action::Retry(Some(own)) => run.spent.rules.get(&at).is_some_and(|n| *n > own.retries),
                _ => false,
            };
            let parks = |it: &&TaskRun| it.state == TaskState::Failed && it.failure.as_ref() == last;
            let why = match last {
                _ if run.state == RunState::Parked && tasks.iter().any(|it| parks(&it)) => {
                    "A task of it is not tried again by itself: its policy asks for a person then.".to_owned()
                }
                Some(it) if it.retry == RetryAdvice::Never && tasks.iter().any(|it| parks(&it)) => {
                    "It was not tried again: a task of it said that trying again cannot help.".to_owned()
                }
                Some(it) if it.retry == RetryAdvice::Never => {
                    "It was not tried again: the flow said that trying again cannot help.".to_owned()
                }
                Some(it)
                    if policy
                        .rule(&it.code)
                        .is_some_and(|(_, it)| matches!(it.action, Action::Fail | Action::Park)) =>
                {
                    format!("It was not tried again: a rule of its policy decides so for `{}`.", it.code)
                }
                Some(it) if policy.rule(&it.code).is_some_and(used_up) => {
                    format!("It was not tried again: of the retries that a rule gives `{}` none is left.", it.code)
                }
                Some(it) if policy.rule(&it.code).is_none() && is_final_by_default(&it.code) => {
                    format!(
                        "It was not tried again: `{}` is final, unless a rule of the policy says otherwise.",
                        it.code
                    )
                }
                _ if run.state == RunState::Parked
                    && policy.when_exhausted == WhenExhausted::Fail
                    && policy.rules.is_empty() =>
                {
                    "A task of it was left to a person.".to_owned()
                }
                _ if policy.retries == 0 && policy.rules.is_empty() => {
                    "It was not tried again: its policy has no retries.".to_owned()
                }
                _ if run.spent.policy > policy.retries => {
                    let retries = counted(policy.retries, "retry", "retries");
                    format!("It was not tried again: of {retries} in a round none is left.")
                }
                _ => "It was not tried again: its next attempt would begin later than its policy allows.".to_owned(),
            };
            self.say(why);
        }
    }

    /// Says why it waits, and who is before it.
    async fn waits(&mut self, store: &dyn Store, waits: &Waits) -> Result<(), StoreError> {
        self.say(format!("It waits: {}.", waits_words(waits)));
        let Waits::Limit { of, .. } = waits else { return Ok(()) };
        let deployments = match of {
            Limited::Deployment(name) => vec![name.clone()],
            Limited::Queue(_) => Vec::new(),
        };
        let shown = vec![Shown::Running, Shown::Retrying, Shown::Cancelling];
        let filter = RunFilter { deployments, shown, roots_only: true, limit: 200, ..RunFilter::default() };
        let running = store.list(filter, self.now).await?;
        let names: Vec<String> =
            running.iter().filter(|it| of.is_of(&it.asked)).take(3).map(|it| it.asked.id.friendly_name()).collect();
        if !names.is_empty() {
            self.say(format!("Those that run: {}.", names.join(", ")));
        }
        Ok(())
    }

    fn calls(&mut self, record: &RunRecord, tasks: &[TaskRun]) {
        let calls: Vec<&TaskRun> = tasks.iter().filter(|it| it.identity.kind != CallKind::Sleep).collect();
        let kept = calls.iter().filter(|it| it.is_kept()).count();
        if kept > 0 {
            let were = if kept == 1 { "1 result is".to_owned() } else { format!("{kept} results are") };
            self.say(format!("{were} kept, and fed back to every later attempt that asks for the same."));
        }
        let names = Names::of(calls.iter().copied());
        let name = |it: &TaskRun| one_line(&names.title(it));
        for call in &calls {
            let (number, name) = (call.number, name(call));
            match call.state {
                TaskState::AwaitingRetry(due) if is_awaited(record, call) => {
                    let why = call.failure.as_ref().map(words).unwrap_or_default();
                    let due = due_words(due, self.now);
                    self.say(format!("Call {number}, {name}, failed with {why}, and is tried again at {due}."));
                }
                TaskState::Failed | TaskState::AwaitingRetry(_) => {
                    let why = call.failure.as_ref().map(words).unwrap_or_default();
                    let times = counted(call.attempts, "attempt", "attempts");
                    self.say(format!("Call {number}, {name}, failed with {why} after {times}."));
                }
                TaskState::Completed if call.by_hand => {
                    self.say(format!("The result of call {number}, {name}, was set by hand."));
                }
                TaskState::Completed if call.result.is_none() => {
                    self.say(format!(
                        "The result of call {number}, {name}, is not kept: it runs again in each attempt."
                    ));
                }
                TaskState::Forgotten if record.run.state == RunState::Completed => {}
                TaskState::Forgotten => self.say(format!("Call {number}, {name}, runs again, because somebody asked.")),
                TaskState::Running => {
                    let began = due_words(call.began, self.now);
                    self.say(match crate::wire::state(record, call) {
                        "Running" => format!("Call {number}, {name}, is running: its attempt {} began at {began}.", call.attempts),
                        "Scheduled" => format!(
                            "Call {number}, {name}, had begun when the run was put aside; its attempt {} is made again.",
                            call.attempts
                        ),
                        _ => format!(
                            "Call {number}, {name}, had begun, and was stopped before it ended; a retry runs it again."
                        ),
                    });
                }
                TaskState::Completed if call.unasked == record.run.attempt => self.say(format!(
                    "The result of call {number}, {name}, is kept, and attempt {} did not ask for it.",
                    call.unasked
                )),
                TaskState::Completed | TaskState::Cancelled => {}
            }
        }
    }

    async fn children(&mut self, store: &dyn Store, record: &RunRecord) -> Result<(), StoreError> {
        let filter = RunFilter { parent: Some(record.asked.id), limit: 20, ..RunFilter::default() };
        for child in store.list(filter, self.now).await? {
            let (name, flow) = (child.asked.id.friendly_name(), one_line(&child.asked.flow));
            let shown = child.run.shown(self.now);
            self.say(format!("Its child {name} of {flow} is {shown}: `retake explain {name}`."));
        }
        if let Some(parent) = record.asked.parent {
            self.say(format!("It is a child of {}.", parent.run.friendly_name()));
        }
        Ok(())
    }

    async fn past(&mut self, store: &dyn Store, record: &RunRecord) -> Result<(), StoreError> {
        let events = store.events(record.asked.id).await?;
        let has_crashed = record.run.state == RunState::Crashed;
        let count = |kind: &str| match kind {
            // How often was said.
            "host-lost" if has_crashed => 0,
            _ => events.iter().filter(|it| it.kind == kind).count(),
        };
        for (kind, one, many) in [
            ("manual-retry", "It was retried by a person once.", "times by a person"),
            ("parent-retry", "Its parent asked for it again once.", "times its parent asked for it again"),
            ("host-lost", "Its host was lost once, which is no attempt of its own.", "times its host was lost"),
            (
                "late-result",
                "One report came too late and changed nothing.",
                "reports came too late and changed nothing",
            ),
        ] {
            match count(kind) {
                0 => {}
                1 => self.say(one),
                n if kind == "manual-retry" => self.say(format!("It was retried {n} {many}.")),
                n => self.say(format!("{n} {many}.")),
            }
        }
        Ok(())
    }
}

/// What whoever waits can do about it.
fn waits_hint(waits: &Waits) -> Option<String> {
    match waits {
        Waits::Queue { queue, .. } => {
            Some(format!("start the server with `-q {}` too, or without `-q`", one_line(queue)))
        }
        Waits::Drain => Some("retake nodes resume".to_owned()),
        Waits::Limit { of: Limited::Queue(name), .. } => {
            Some(format!("retake queues ls; retake queues limit {} N", one_line(name)))
        }
        Waits::Limit { of: Limited::Deployment(name), .. } => {
            Some(format!("retake ps --deployment '{}' --state running", one_line(name)))
        }
        Waits::Tag { tag, .. } => {
            Some(format!("retake task-tags ls; retake task-tags limit {} N", one_line(&tag.name)))
        }
        Waits::Rate { .. } | Waits::Slots { .. } => None,
    }
}

fn hint(host_gone: bool, record: &RunRecord, now: Timestamp) -> String {
    let name = record.asked.id.friendly_name();
    match record.run.state {
        RunState::Scheduled { waiting: Waiting::Retry, due } if due > now => {
            format!("retake run-now {name}; retake watch {name}")
        }
        RunState::Scheduled { .. } => format!("retake watch {name}"),
        state if state.is_active() && host_gone => format!("retake watch {name}"),
        RunState::Running { .. } | RunState::Cancelling { .. } => format!("retake logs {name} -f"),
        RunState::Paused { .. } => format!("retake resume {name}"),
        RunState::Completed => format!("retake show {name}"),
        _ => format!("retake retry {name} --dry-run"),
    }
}

fn counted(n: u32, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
