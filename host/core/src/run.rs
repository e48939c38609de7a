//! A flow run, from Scheduled to a terminal state.
//!
//! ```text
//!             claim                     success
//! Scheduled ─────────▶ Running ───────────────────────▶ Completed
//!     ▲                 │  │  │ failure, retries left ──▶ Scheduled (shown AwaitingRetry)
//!     │                 │  │  │ failure, none left ─────▶ Failed (shown TimedOut) or Paused (shown Parked)
//!     │ manual retry    │  │  │ nothing but timers ─────▶ Scheduled (shown Suspended)
//!     │                 │  │  │ worker lost ────────────▶ Scheduled, same attempt; the third time Crashed
//!     │                 │  └──▶ Cancelling ─▶ Cancelled          Scheduled, Running ◀─ pause, resume ─▶ Paused
//!     └── Failed, Crashed, Cancelled, Paused (and Completed, when asked for expressly)
//! ```
//!
//! Every transition returns a changed copy or refuses and changes nothing, so that a store may roll back on any error.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, code};
use crate::id::{Fence, FlowRunId};
use crate::limits;
use crate::retry::{FailedAttempt, RetryPolicy, Spent, Verdict};
use crate::time::Timestamp;

/// Why a run is Scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// For its first attempt, or for the first of a new round.
    Start,
    /// For its next attempt after a failure.
    Retry,
    /// For a timer; the same attempt goes on.
    Suspended,
    /// For any worker, because the one it had stopped or was lost; the same attempt goes on.
    Worker,
}

/// Where a run stands. What is stored; [`Run::shown`] is what people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// May be claimed from `due` on.
    Scheduled {
        /// From when on.
        due: Timestamp,
        /// For what it waits.
        waiting: Waiting,
    },
    /// An attempt is being made.
    Running {
        /// Whoever shows it may report.
        fence: Fence,
        /// The host process that claimed it; an earlier one is gone.
        boot: u64,
    },
    /// Somebody cancelled, and the attempt is being stopped.
    Cancelling {
        /// Whoever shows it may report.
        fence: Fence,
        /// The host process that claimed it.
        boot: u64,
    },
    /// Retries are used up, and a person is to decide.
    Parked,
    /// Somebody paused it; resumed, it is Scheduled again.
    Paused {
        /// From when on it may be claimed once it is resumed.
        due: Timestamp,
        /// For what it waited.
        waiting: Waiting,
    },
    /// Succeeded.
    Completed,
    /// Failed for good.
    Failed {
        /// Whether the last failure was a timeout.
        timed_out: bool,
    },
    /// Its host died three times in a row.
    Crashed,
    /// Somebody cancelled.
    Cancelled,
}

impl RunState {
    /// Whether somebody cancelled it; it may still be stopping.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelling { .. } | Self::Cancelled)
    }

    /// Whether nothing but a person changes it.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed { .. } | Self::Crashed | Self::Cancelled)
    }

    /// Whether a parent that waits for it has its answer: it has ended, or is left to a person.
    pub fn answers(&self) -> bool {
        self.is_terminal() || *self == Self::Parked
    }

    /// Whether a worker holds it.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Cancelling { .. })
    }

    /// The fence and boot of the worker that holds it.
    pub fn claim(&self) -> Option<(Fence, u64)> {
        match self {
            Self::Running { fence, boot } | Self::Cancelling { fence, boot } => Some((*fence, *boot)),
            _ => None,
        }
    }
}

/// A word for where a run stands, in Prefect's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are explained in the picture above")]
pub enum Shown {
    Scheduled,
    Late,
    AwaitingRetry,
    Suspended,
    Running,
    Retrying,
    Cancelling,
    Parked,
    Paused,
    Completed,
    Failed,
    TimedOut,
    Crashed,
    Cancelled,
}

impl Shown {
    /// Every word, for filters and for their help.
    pub const ALL: [Shown; 14] = [
        Self::Scheduled,
        Self::Late,
        Self::AwaitingRetry,
        Self::Suspended,
        Self::Running,
        Self::Retrying,
        Self::Cancelling,
        Self::Parked,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::TimedOut,
        Self::Crashed,
        Self::Cancelled,
    ];

    /// Whether a run that is shown so has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::TimedOut | Self::Crashed | Self::Cancelled)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why a transition was refused. Trying again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another claim was made since, or the run has ended: what is reported changes nothing.
    #[error("the claim on this run is over")]
    StaleFence,
    /// It is not due, or not Scheduled.
    #[error("the run cannot be claimed now")]
    NotClaimable,
    /// It is being worked on.
    #[error("the run is active")]
    Active,
    /// It has not ended, so there is nothing to retry.
    #[error("the run has not ended yet")]
    NotEnded,
    /// It Completed, and nobody asked for that to be retried.
    #[error("the run has completed")]
    HasCompleted,
    /// It has ended.
    #[error("the run has ended")]
    HasEnded,
    /// Nobody paused it.
    #[error("the run is not paused")]
    NotPaused,
    /// It does not wait for its start or its next attempt.
    #[error("the run does not wait for an attempt to begin")]
    NotWaiting,
    /// It has made no such call.
    #[error("the run has made no such call")]
    NoCall,
    /// A result is kept, and what is kept does not change.
    #[error("the call has a result already")]
    HasResult,
    /// Its parent is not being worked on, so nobody asks for it any more.
    #[error("the parent is not running")]
    ParentNotRunning,
    /// Somebody was quicker.
    #[error("the run is at attempt {is}, not {expected}")]
    OtherAttempt {
        /// What the caller saw.
        expected: u32,
        /// What it is now.
        is: u32,
    },
}

/// How an attempt of a flow ended.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    /// The flow returned a result.
    Completed,
    /// It did not succeed; the policy decides what is next.
    Failed {
        /// Why.
        failure: Failure,
        /// The policy of this round.
        policy: RetryPolicy,
    },
    /// Nothing but timers is waited for: the sandbox is dropped, the attempt goes on later.
    Suspended {
        /// When the first timer is due.
        until: Timestamp,
    },
    /// The worker stops in good order; the attempt goes on elsewhere and nothing is charged.
    Released,
    /// The attempt was stopped because somebody cancelled.
    Cancelled,
    /// Somebody paused the run: the attempt goes on when it is resumed.
    Paused,
    /// A task gave up, and its policy leaves the rest to a person.
    Parked {
        /// Why the task failed.
        failure: Failure,
    },
}

/// What a person asks of a run, retries apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// To stop for good: at once when nobody works on it, otherwise when its worker has stopped.
    Cancel,
    /// To wait until it is resumed. Only for a run that nobody works on.
    Pause,
    /// To go on after it was paused.
    Resume,
    /// To begin its next attempt now, not when it is due.
    RunNow,
}

/// The part of a flow run that its rules are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Where it stands.
    pub state: RunState,
    /// Attempts begun so far, over all rounds.
    pub attempt: u32,
    /// Manual retries so far, plus one.
    pub round: u32,
    /// What this round's attempts used up.
    pub spent: Spent,
    /// When this round's first attempt began.
    pub round_began: Option<Timestamp>,
    /// When the present or last attempt began.
    pub attempt_began: Option<Timestamp>,
    /// Hosts lost in a row on the present attempt.
    pub lost: u32,
}

impl Run {
    /// Makes a run that may be claimed from `due` on.
    pub fn new(due: Timestamp) -> Self {
        Self {
            state: RunState::Scheduled { due, waiting: Waiting::Start },
            attempt: 0,
            round: 1,
            spent: Spent::default(),
            round_began: None,
            attempt_began: None,
            lost: 0,
        }
    }

    /// Gives the run to a worker. A new attempt begins, unless the one before was suspended, released or lost.
    pub fn claim(&self, now: Timestamp, fence: Fence, boot: u64) -> Result<Run, Refused> {
        let RunState::Scheduled { due, waiting } = self.state else {
            return Err(Refused::NotClaimable);
        };
        if due > now {
            return Err(Refused::NotClaimable);
        }
        let mut run = Run { state: RunState::Running { fence, boot }, ..self.clone() };
        if matches!(waiting, Waiting::Start | Waiting::Retry) {
            run.attempt += 1;
            run.attempt_began = Some(now);
            run.round_began = run.round_began.or(Some(now));
            run.lost = 0;
        }
        Ok(run)
    }

    /// Records how the attempt under `fence` ended.
    pub fn end(&self, id: FlowRunId, fence: Fence, end: &AttemptEnd, now: Timestamp) -> Result<Run, Refused> {
        let Some((held, _)) = self.state.claim() else {
            return Err(Refused::StaleFence);
        };
        if held != fence {
            return Err(Refused::StaleFence);
        }
        let cancelling = matches!(self.state, RunState::Cancelling { .. });
        let mut run = Run { lost: 0, ..self.clone() };
        run.state = match end {
            AttemptEnd::Completed => RunState::Completed,
            _ if cancelling => RunState::Cancelled,
            AttemptEnd::Cancelled => RunState::Cancelled,
            AttemptEnd::Paused => RunState::Paused { due: now, waiting: Waiting::Worker },
            AttemptEnd::Parked { .. } => RunState::Parked,
            AttemptEnd::Suspended { until } => RunState::Scheduled { due: *until, waiting: Waiting::Suspended },
            AttemptEnd::Released => RunState::Scheduled { due: now, waiting: Waiting::Worker },
            AttemptEnd::Failed { failure, policy } => {
                let (verdict, spent) = policy.after_failure(FailedAttempt {
                    failure,
                    spent: &self.spent,
                    round_began: self.round_began.unwrap_or(now),
                    ended: now,
                    entropy: id.entropy(0, self.attempt),
                });
                run.spent = spent;
                match verdict {
                    Verdict::Retry(due) => RunState::Scheduled { due, waiting: Waiting::Retry },
                    Verdict::Fail => RunState::Failed { timed_out: failure.code == code::TIMEOUT },
                    Verdict::Park => RunState::Parked,
                }
            }
        };
        Ok(run)
    }

    /// Lets a suspended attempt go on at once, because what it waits for has come to its end before it was due. One that
    /// is paused goes on so when it is resumed. Nothing when it does not wait for a timer, or is due already.
    pub fn wake(&self, now: Timestamp) -> Option<Run> {
        let waiting = Waiting::Suspended;
        let state = match self.state {
            RunState::Scheduled { due, waiting: Waiting::Suspended } if due > now => {
                RunState::Scheduled { due: now, waiting }
            }
            RunState::Paused { due, waiting: Waiting::Suspended } if due > now => {
                RunState::Paused { due: now, waiting }
            }
            _ => return None,
        };
        Some(Run { state, ..self.clone() })
    }

    /// Takes the run from a worker that is gone. The third time in a row it is Crashed.
    pub fn lose(&self, now: Timestamp) -> Result<Run, Refused> {
        let mut run = Run { lost: self.lost + 1, ..self.clone() };
        run.state = match self.state {
            RunState::Running { .. } if run.lost >= limits::LOST_HOSTS => RunState::Crashed,
            RunState::Running { .. } => RunState::Scheduled { due: now, waiting: Waiting::Worker },
            RunState::Cancelling { .. } => RunState::Cancelled,
            _ => return Err(Refused::StaleFence),
        };
        Ok(run)
    }

    /// Begins a new round: a full budget, from now on. `completed_too` also retries what Completed.
    pub fn retry(&self, now: Timestamp, expected_attempt: Option<u32>, completed_too: bool) -> Result<Run, Refused> {
        if let Some(expected) = expected_attempt
            && expected != self.attempt
        {
            return Err(Refused::OtherAttempt { expected, is: self.attempt });
        }
        match self.state {
            RunState::Running { .. } | RunState::Cancelling { .. } => return Err(Refused::Active),
            RunState::Scheduled { .. } | RunState::Paused { .. } => return Err(Refused::NotEnded),
            RunState::Completed if !completed_too => return Err(Refused::HasCompleted),
            _ => {}
        }
        Ok(Run {
            state: RunState::Scheduled { due: now, waiting: Waiting::Start },
            round: self.round + 1,
            spent: Spent::default(),
            round_began: None,
            lost: 0,
            ..self.clone()
        })
    }

    /// Does what a person asks.
    pub fn command(&self, command: Command, now: Timestamp) -> Result<Run, Refused> {
        let state = match (command, self.state) {
            (Command::Cancel, _) => return self.cancel(),
            (_, RunState::Running { .. } | RunState::Cancelling { .. }) => return Err(Refused::Active),
            (Command::Pause, RunState::Scheduled { due, waiting }) => RunState::Paused { due, waiting },
            (Command::Pause, paused @ RunState::Paused { .. }) => paused,
            (Command::Pause, _) => return Err(Refused::HasEnded),
            (Command::Resume, RunState::Paused { due, waiting }) => RunState::Scheduled { due, waiting },
            (Command::Resume, _) => return Err(Refused::NotPaused),
            (Command::RunNow, RunState::Scheduled { due, waiting: waiting @ (Waiting::Start | Waiting::Retry) }) => {
                RunState::Scheduled { due: due.min(now), waiting }
            }
            (Command::RunNow, _) => return Err(Refused::NotWaiting),
        };
        Ok(Run { state, ..self.clone() })
    }

    /// Whether a person may set results of its calls: the next attempt would be fed them. An attempt that goes on must
    /// be told what it was told before.
    pub fn may_set_results(&self) -> Result<(), Refused> {
        let goes_on = |it| matches!(it, Waiting::Suspended | Waiting::Worker);
        match self.state {
            RunState::Running { .. } | RunState::Cancelling { .. } => Err(Refused::Active),
            RunState::Completed => Err(Refused::HasCompleted),
            RunState::Scheduled { waiting, .. } | RunState::Paused { waiting, .. } if goes_on(waiting) => {
                Err(Refused::NotEnded)
            }
            _ => Ok(()),
        }
    }

    fn cancel(&self) -> Result<Run, Refused> {
        let state = match self.state {
            RunState::Running { fence, boot } | RunState::Cancelling { fence, boot } => {
                RunState::Cancelling { fence, boot }
            }
            RunState::Scheduled { .. } | RunState::Parked | RunState::Paused { .. } => RunState::Cancelled,
            _ => return Err(Refused::HasEnded),
        };
        Ok(Run { state, ..self.clone() })
    }

    /// Returns the word for where the run stands at `now`.
    pub fn shown(&self, now: Timestamp) -> Shown {
        match self.state {
            RunState::Scheduled { waiting: Waiting::Suspended, .. } => Shown::Suspended,
            RunState::Scheduled { waiting: Waiting::Retry, .. } => Shown::AwaitingRetry,
            RunState::Scheduled { due, .. } if now > due + limits::LATE_AFTER => Shown::Late,
            RunState::Scheduled { .. } => Shown::Scheduled,
            RunState::Running { .. } if self.attempt > 1 => Shown::Retrying,
            RunState::Running { .. } => Shown::Running,
            RunState::Cancelling { .. } => Shown::Cancelling,
            RunState::Parked => Shown::Parked,
            RunState::Paused { .. } => Shown::Paused,
            RunState::Completed => Shown::Completed,
            RunState::Failed { timed_out: true } => Shown::TimedOut,
            RunState::Failed { timed_out: false } => Shown::Failed,
            RunState::Crashed => Shown::Crashed,
            RunState::Cancelled => Shown::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::{Delay, WhenExhausted};
    use proptest::prelude::*;
    use std::time::Duration;

    const ID: fn() -> FlowRunId = || FlowRunId::new(Timestamp::default(), 1);

    fn at(n: u64) -> Timestamp {
        Timestamp::from_unix_ms(n)
    }

    fn fence(n: u64) -> Fence {
        Fence::new(n)
    }

    fn failed(retries: u32, code: &str) -> AttemptEnd {
        let policy = RetryPolicy { retries, delay: Delay::Fixed(Duration::from_millis(100)), ..Default::default() };
        AttemptEnd::Failed { failure: Failure::new(code, ""), policy }
    }

    fn running() -> Run {
        Run::new(at(0)).claim(at(0), fence(1), 1).unwrap()
    }

    fn ended(end: AttemptEnd) -> Run {
        running().end(ID(), fence(1), &end, at(10)).unwrap()
    }

    // semantics.md, "Flow-run states": a case for each arrow.

    #[test]
    fn a_run_is_claimed_when_it_is_due() {
        let run = Run::new(at(5));
        assert_eq!(run.claim(at(4), fence(1), 1), Err(Refused::NotClaimable));
        let claimed = run.claim(at(5), fence(1), 1).unwrap();
        assert_eq!((claimed.attempt, claimed.shown(at(5))), (1, Shown::Running));
        assert_eq!(claimed.claim(at(9), fence(2), 1), Err(Refused::NotClaimable));
    }

    #[test]
    fn failure_with_retries_left_awaits_its_retry_as_a_new_attempt() {
        let run = ended(failed(1, "e"));
        assert_eq!(run.state, RunState::Scheduled { due: at(110), waiting: Waiting::Retry });
        assert_eq!(run.shown(at(20)), Shown::AwaitingRetry);
        let again = run.claim(at(110), fence(2), 1).unwrap();
        assert_eq!((again.attempt, again.shown(at(110))), (2, Shown::Retrying));
    }

    #[test]
    fn failure_without_retries_left_ends_by_kind() {
        assert_eq!(ended(failed(0, "e")).shown(at(20)), Shown::Failed);
        assert_eq!(ended(failed(0, code::TIMEOUT)).shown(at(20)), Shown::TimedOut);
        let policy = RetryPolicy { when_exhausted: WhenExhausted::Park, ..Default::default() };
        let parked = ended(AttemptEnd::Failed { failure: Failure::new("e", ""), policy });
        assert_eq!(parked.shown(at(20)), Shown::Parked);
    }

    #[test]
    fn suspended_and_released_attempts_go_on_under_the_same_number() {
        for end in [AttemptEnd::Suspended { until: at(50) }, AttemptEnd::Released] {
            let again = ended(end).claim(at(50), fence(2), 1).unwrap();
            assert_eq!((again.attempt, again.attempt_began), (1, Some(at(0))));
        }
    }

    #[test]
    fn the_third_lost_host_in_a_row_crashes_the_run() {
        let mut run = running();
        for n in 2..=3 {
            run = run.lose(at(10)).unwrap().claim(at(10), fence(n), n).unwrap();
            assert_eq!(run.attempt, 1);
        }
        assert_eq!(run.lose(at(20)).unwrap().state, RunState::Crashed);
        // Anything that ends in good order between two losses starts the count anew.
        let calm = running().lose(at(1)).unwrap().claim(at(1), fence(2), 2).unwrap();
        let calm = calm.end(ID(), fence(2), &AttemptEnd::Released, at(2)).unwrap();
        assert_eq!(calm.lost, 0);
    }

    #[test]
    fn a_late_report_changes_nothing() {
        let end = AttemptEnd::Completed;
        assert_eq!(running().end(ID(), fence(9), &end, at(1)), Err(Refused::StaleFence));
        assert_eq!(ended(end.clone()).end(ID(), fence(1), &end, at(1)), Err(Refused::StaleFence));
    }

    #[test]
    fn cancelling_waits_for_the_worker_and_completion_before_it_wins() {
        let cancelling = running().command(Command::Cancel, at(0)).unwrap();
        assert_eq!(cancelling.shown(at(1)), Shown::Cancelling);
        let end = |end: &AttemptEnd| cancelling.end(ID(), fence(1), end, at(2)).unwrap().state;
        assert_eq!(end(&failed(5, "e")), RunState::Cancelled);
        assert_eq!(end(&AttemptEnd::Released), RunState::Cancelled);
        assert_eq!(end(&AttemptEnd::Completed), RunState::Completed);
        assert_eq!(Run::new(at(0)).command(Command::Cancel, at(0)).unwrap().state, RunState::Cancelled);
        assert_eq!(ended(AttemptEnd::Completed).command(Command::Cancel, at(0)), Err(Refused::HasEnded));
        assert_eq!(cancelling.lose(at(3)).unwrap().state, RunState::Cancelled);
    }

    #[test]
    fn a_manual_retry_has_a_fresh_budget() {
        let mut run = ended(failed(1, "e")).claim(at(200), fence(2), 1).unwrap();
        run = run.end(ID(), fence(2), &failed(1, "e"), at(300)).unwrap();
        assert_eq!(run.shown(at(300)), Shown::Failed);
        let retried = run.retry(at(400), Some(2), false).unwrap();
        assert_eq!((retried.round, &retried.spent), (2, &Spent::default()));
        let third = retried.claim(at(400), fence(3), 1).unwrap();
        let third = third.end(ID(), fence(3), &failed(1, "e"), at(500)).unwrap();
        assert_eq!(third.shown(at(500)), Shown::AwaitingRetry, "the whole budget is back, not one attempt");
    }

    #[test]
    fn a_manual_retry_is_refused_with_its_reason() {
        assert_eq!(running().retry(at(1), None, false), Err(Refused::Active));
        assert_eq!(Run::new(at(0)).retry(at(1), None, false), Err(Refused::NotEnded));
        let completed = ended(AttemptEnd::Completed);
        assert_eq!(completed.retry(at(1), None, false), Err(Refused::HasCompleted));
        assert!(completed.retry(at(1), None, true).is_ok());
        assert_eq!(
            ended(failed(0, "e")).retry(at(1), Some(7), false),
            Err(Refused::OtherAttempt { expected: 7, is: 1 })
        );
    }

    #[test]
    fn a_run_past_its_time_is_late() {
        assert_eq!(Run::new(at(0)).shown(at(15_000)), Shown::Scheduled);
        assert_eq!(Run::new(at(0)).shown(at(15_001)), Shown::Late);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Claim,
        End(u8),
        EndStale,
        Lose,
        Retry,
        Cancel,
    }

    proptest! {
        /// Whatever is done in whatever order: terminal states absorb all but a retry, attempts are never given out
        /// twice, and no round makes more attempts than its policy allows (G-R6).
        #[test]
        fn invariants_hold_in_any_order(steps in prop::collection::vec(
            prop_oneof![
                4 => Just(Step::Claim), 4 => (0u8..5).prop_map(Step::End), 1 => Just(Step::EndStale),
                1 => Just(Step::Lose), 1 => Just(Step::Retry), 1 => Just(Step::Cancel),
            ], 0..60), retries in 0u32..4)
        {
            let mut run = Run::new(at(0));
            let (mut now, mut fences) = (0, 0);
            let mut begun_in_round = 0;
            for step in steps {
                now += 1000;
                let before = run.clone();
                let result = match step {
                    Step::Claim => { fences += 1; run.claim(at(now), fence(fences), 1) }
                    Step::End(kind) => run.end(ID(), fence(fences), &match kind {
                        0 => AttemptEnd::Completed,
                        1 => AttemptEnd::Suspended { until: at(now) },
                        2 => AttemptEnd::Released,
                        _ => failed(retries, "e"),
                    }, at(now)),
                    Step::EndStale => run.end(ID(), fence(fences + 1000), &AttemptEnd::Completed, at(now)),
                    Step::Lose => run.lose(at(now)),
                    Step::Retry => run.retry(at(now), None, false),
                    Step::Cancel => run.command(Command::Cancel, at(0)),
                };
                let Ok(after) = result else { continue };
                prop_assert!(!before.state.is_terminal() || matches!(step, Step::Retry), "{before:?} -> {after:?}");
                prop_assert!(!matches!(step, Step::EndStale));
                prop_assert!(after.attempt - before.attempt <= 1);
                if matches!(step, Step::Retry) { begun_in_round = 0; }
                begun_in_round += after.attempt - before.attempt;
                prop_assert!(begun_in_round <= retries + 1);
                run = after;
            }
        }
    }
}
