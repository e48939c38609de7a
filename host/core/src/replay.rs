//! Which kept result answers which call.
//!
//! A call is known by what was asked, not by its place: a changed flow may reorder, add or drop calls and is still fed
//! every result that is the answer to the same question, and never the answer to another.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{ContentDigest, FlowRunId};
use crate::task::{TaskRun, TaskState};
use crate::value::Json;

/// What kind of thing was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallKind {
    /// A task of the component.
    Task,
    /// A child flow.
    Flow,
    /// A durable sleep that is over.
    Sleep,
}

/// What stands for the input in a call's identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asked {
    /// The digest of the canonical input.
    Input(ContentDigest),
    /// The author's key.
    Key(String),
}

/// What was asked: the same identity in the same run is the same question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Of what kind.
    pub kind: CallKind,
    /// The name of the task or the flow.
    pub name: Arc<str>,
    /// The task's version.
    pub version: Arc<str>,
    /// With what.
    pub asked: Asked,
    /// Which call of this same kind this is, from 1, in the order of `submit`: two equal calls stay two.
    pub occurrence: u32,
}

impl Identity {
    /// Returns the id of the child run that `parent` gets when it asks this: the same each time it asks the same, and
    /// another for another question, whatever its place.
    pub fn child_of(&self, parent: FlowRunId) -> FlowRunId {
        parent.beside(self.digest_in(parent))
    }

    /// Returns what a task that asks this in `run` sends outward so that a repeated call is recognised: `key_` and 32
    /// hexadecimal digits, the same for every attempt and round, and another for another question, whatever its place.
    pub fn idempotency_key(&self, run: FlowRunId) -> String {
        format!("key_{:.32}", self.digest_in(run).to_string())
    }

    fn digest_in(&self, run: FlowRunId) -> ContentDigest {
        let (by, asked) = match &self.asked {
            Asked::Input(digest) => ("input", digest.to_string()),
            Asked::Key(key) => ("key", key.clone()),
        };
        let question = (run.to_bytes(), &*self.name, &*self.version, by, asked, self.occurrence);
        ContentDigest::of(Json::of(&question).as_str().as_bytes())
    }
}

/// Counts equal calls within one attempt of a flow.
#[derive(Debug, Default)]
pub struct Occurrences(HashMap<Identity, u32>);

impl Occurrences {
    /// Gives the next call of this kind its occurrence.
    pub fn identify(&mut self, kind: CallKind, name: &str, version: &str, asked: Asked) -> Identity {
        let mut identity = Identity { kind, name: name.into(), version: version.into(), asked, occurrence: 0 };
        let count = self.0.entry(identity.clone()).or_default();
        *count += 1;
        identity.occurrence = *count;
        identity
    }
}

/// Why a call that is known runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Again {
    /// It failed in an earlier attempt of the flow.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It had begun, and was stopped when its flow's attempt ended.
    Stopped,
    /// Its result was not kept, as its author asked.
    NotKept,
    /// A person asked for it.
    Asked,
}

/// What the host answers to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The kept result, at once; no sandbox is made.
    Result,
    /// The same failure, at once: this attempt was given it before it was interrupted.
    Failure,
    /// Its attempts and its due time go on.
    GoOn,
    /// It runs again: a new round with the full budget.
    Again(Again),
    /// It is not known, and runs.
    Run,
}

/// Decides what answers a call of attempt `flow_attempt`, whose record is `known`.
pub fn answer(known: Option<&TaskRun>, flow_attempt: u32) -> Answer {
    let Some(known) = known else {
        return Answer::Run;
    };
    let resumed = known.flow_attempt == flow_attempt;
    match known.state {
        TaskState::Completed if known.result.is_some() => Answer::Result,
        TaskState::Completed => Answer::Again(Again::NotKept),
        TaskState::Failed | TaskState::Cancelled if resumed => Answer::Failure,
        TaskState::Failed => Answer::Again(Again::Failed),
        TaskState::Forgotten => Answer::Again(Again::Asked),
        TaskState::Cancelled => Answer::Again(Again::Cancelled),
        // Its host was lost, and the same attempt of it is made.
        TaskState::Running if resumed => Answer::GoOn,
        TaskState::Running => Answer::Again(Again::Stopped),
        TaskState::AwaitingRetry(_) if resumed => Answer::GoOn,
        // Its flow's attempt ended while it waited: that attempt's failure was the end of this round too.
        TaskState::AwaitingRetry(_) => Answer::Again(Again::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::Spent;
    use crate::task::{Evidence, Kept};
    use crate::time::Timestamp;

    fn asked(json: &str) -> Asked {
        Asked::Input(Json::parse(json, 1000).unwrap().digest())
    }

    fn known(state: TaskState, result: Option<&str>) -> TaskRun {
        TaskRun {
            number: 1,
            identity: Occurrences::default().identify(CallKind::Task, "fetch", "1", asked("{}")),
            label: None,
            input: Kept::Inline(Json::trusted("{}")),
            state,
            flow_attempt: 2,
            attempts: 1,
            round: 1,
            spent: Spent::default(),
            round_began: Timestamp::default(),
            began: Timestamp::default(),
            ended: Timestamp::default(),
            told: None,
            by_hand: false,
            done: 1,
            result: result.map(|it| Kept::Inline(Json::trusted(it))),
            failure: None,
            evidence: Evidence::default(),
            unasked: 0,
        }
    }

    // semantics.md, "Replay": a case for each row of both tables.

    #[test]
    fn each_row_of_the_table_has_its_answer() {
        let due = TaskState::AwaitingRetry(Timestamp::default());
        for (state, result, same_attempt, new_attempt) in [
            (TaskState::Completed, Some("1"), Answer::Result, Answer::Result),
            (TaskState::Completed, None, Answer::Again(Again::NotKept), Answer::Again(Again::NotKept)),
            (TaskState::Failed, None, Answer::Failure, Answer::Again(Again::Failed)),
            (TaskState::Cancelled, None, Answer::Failure, Answer::Again(Again::Cancelled)),
            (TaskState::Forgotten, None, Answer::Again(Again::Asked), Answer::Again(Again::Asked)),
            (due, None, Answer::GoOn, Answer::Again(Again::Failed)),
            (TaskState::Running, None, Answer::GoOn, Answer::Again(Again::Stopped)),
        ] {
            let known = known(state, result);
            assert_eq!(answer(Some(&known), 2), same_attempt, "{state:?} in the same attempt");
            assert_eq!(answer(Some(&known), 3), new_attempt, "{state:?} in a new attempt");
        }
        assert_eq!(answer(None, 1), Answer::Run);
    }

    #[test]
    fn a_call_is_known_by_what_was_asked() {
        let identify = |name: &str, version: &str, json: &str| {
            Occurrences::default().identify(CallKind::Task, name, version, asked(json))
        };
        let call = identify("fetch", "1", r#"{"a":1,"b":2}"#);
        assert_eq!(call, identify("fetch", "1", r#"{ "b": 2, "a": 1 }"#));
        assert_ne!(call, identify("fetch", "1", r#"{"a":1.0,"b":2}"#));
        assert_ne!(call, identify("fetch", "2", r#"{"a":1,"b":2}"#));
        assert_ne!(call, identify("load", "1", r#"{"a":1,"b":2}"#));
    }

    #[test]
    fn the_idempotency_key_depends_on_the_run_and_the_question_alone() {
        let run = |random| FlowRunId::new(Timestamp::default(), random);
        let call = Occurrences::default().identify(CallKind::Task, "pay", "1", asked("[7]"));
        let mut later = Occurrences::default();
        later.identify(CallKind::Task, "greet", "1", asked("null"));
        assert_eq!(
            call.idempotency_key(run(1)),
            later.identify(CallKind::Task, "pay", "1", asked("[7]")).idempotency_key(run(1))
        );
        let again = later.identify(CallKind::Task, "pay", "1", asked("[7]"));
        let other = later.identify(CallKind::Task, "pay", "1", asked("[8]"));
        let keys = [
            call.idempotency_key(run(1)),
            call.idempotency_key(run(2)),
            again.idempotency_key(run(1)),
            other.idempotency_key(run(1)),
        ];
        assert!(keys.iter().all(|it| it.len() == 36), "{keys:?}");
        assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), 4, "{keys:?}");
    }

    #[test]
    fn two_equal_calls_stay_two() {
        let mut calls = Occurrences::default();
        let mut call = |json: &str| calls.identify(CallKind::Task, "fetch", "1", asked(json)).occurrence;
        assert_eq!([call("1"), call("2"), call("1"), call("1"), call("2")], [1, 1, 2, 3, 2]);
    }

    #[test]
    fn an_authors_key_stands_for_the_input() {
        let key = || Asked::Key("order-42".into());
        let mut calls = Occurrences::default();
        let first = calls.identify(CallKind::Task, "charge", "1", key());
        assert_eq!(first, Occurrences::default().identify(CallKind::Task, "charge", "1", key()));
        assert_eq!(calls.identify(CallKind::Task, "charge", "1", key()).occurrence, 2);
    }
}
