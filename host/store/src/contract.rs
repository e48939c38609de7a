//! What every store promises, as cases that run against any of them.
//!
//! A store says how it is opened ([`Home`]) and writes [`contract_tests!`](crate::contract_tests) once: each case
//! becomes a test of its own.
#![allow(clippy::unwrap_used, reason = "every function here is a part of tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use retake_core::component::ComponentInfo;
use retake_core::failure::{Failure, code};
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::limits;
use retake_core::replay::{Asked, CallKind, Identity};
use retake_core::retry::{Delay, RetryPolicy, Spent, WhenExhausted};
use retake_core::run::{AttemptEnd, Command, Refused, Run, RunState, Shown, Waiting};
use retake_core::task::{Evidence, Kept, Level, LogLine, Overrides, PastAttempt, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;

use crate::{
    AttemptCommit, ClaimRequest, ComponentRecord, NewRun, Parent, RetryRequest, RunFilter, RunRecord, Store,
    StoreError, TaskCommit,
};

mod server;

pub use server::*;

/// A place where a store is kept.
pub trait Home {
    /// Makes an empty store.
    fn new() -> Self;
    /// Returns the store.
    fn store(&self) -> &dyn Store;
    /// Closes the store as if its process were killed, and opens it anew.
    fn reopen(self) -> Self;
}

/// Makes a test of each case, for one [`Home`].
#[macro_export]
macro_rules! contract_tests {
    ($home:ty) => {
        $crate::contract_tests!($home:
            a_run_is_made_once_under_its_id
            a_child_is_made_only_while_its_parent_runs
            a_run_is_cancelled_with_what_is_below_it
            an_attempt_ends_with_the_children_it_names
            what_is_below_a_run_that_ends_with_its_hosts_is_cancelled
            a_forgotten_child_is_so_until_it_is_retried
            a_run_that_is_cancelled_at_once_has_ended_then
            the_lines_of_an_attempt_are_counted
            a_run_is_made_once_under_its_key
            a_run_is_claimed_as_it_is_made
            a_run_needs_its_component
            a_component_is_kept_once
            what_is_due_longest_is_claimed_first
            what_is_held_is_known_by_its_fences
            no_more_is_claimed_than_there_are_fences
            only_what_is_asked_for_is_claimed
            a_claim_begins_an_attempt
            the_next_due_time_is_known
            a_task_run_is_kept_as_it_was_told
            a_task_run_is_replaced_until_its_result_is_kept
            a_kept_result_is_never_replaced
            a_commit_that_is_repeated_is_made_once
            an_old_fence_changes_nothing
            a_run_that_has_ended_has_no_fence
            the_flow_s_own_attempts_are_kept_when_they_end
            past_attempts_are_kept_in_order
            log_lines_are_paged
            large_values_are_files
            a_manual_retry_has_its_rules
            a_manual_retry_forgets_what_it_is_told_to
            a_manual_retry_changes_what_it_is_told_to
            a_run_is_cancelled
            a_run_is_paused_and_resumed
            a_run_that_waits_is_run_now
            a_result_is_set_by_hand
            lost_hosts_are_survived_twice
            what_was_kept_is_there_after_a_restart
            runs_are_listed_by_filter
            a_list_is_paged
            every_word_is_the_same_in_a_filter
            runs_are_found_by_name_and_prefix
            what_is_not_there_is_said_to_be_missing
            a_component_is_removed_once_nothing_refers_to_it
            a_definition_counts_its_changes
            a_definition_needs_its_component
            definitions_are_listed_by_name
            who_did_what_is_paged
            notices_are_kept_only_while_there_is_a_rule
            the_end_of_an_attempt_makes_a_notice
            a_cancelled_run_makes_a_notice_once_it_has_ended
            children_make_no_notices
            lost_hosts_make_a_notice_when_the_run_ends_by_it
            a_notice_is_taken_once
            deliveries_are_tried_when_they_are_due
            deliveries_are_paged
            slots_are_shared_out_between_deployments
            runs_are_listed_by_deployment
            runs_are_listed_by_failure_and_text
            runs_are_listed_by_when_they_were_made
            what_was_defined_is_there_after_a_restart
        );
    };
    ($home:ty: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::contract::wait_for($crate::contract::$case(<$home as $crate::contract::Home>::new()));
            }
        )*
    };
}

/// Runs a case to its end.
pub fn wait_for<T>(case: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime of one thread").block_on(case)
}

// What cases are made of.

/// The instant `n` milliseconds after the epoch.
pub fn at(n: u64) -> Timestamp {
    Timestamp::from_unix_ms(n)
}

/// A run's id; a higher `n` is a newer run.
pub fn id(n: u64) -> FlowRunId {
    FlowRunId::new(at(n), 0x5eed ^ u128::from(n))
}

/// A fence.
pub fn fence(n: u64) -> Fence {
    Fence::new(n)
}

/// JSON.
pub fn json(text: &str) -> Json {
    Json::trusted(text)
}

/// A value that is too large to be kept in a row.
pub fn large(fill: char) -> Json {
    Json::of(&fill.to_string().repeat(limits::INLINE_BYTES))
}

/// The bytes of a component.
pub fn bytes(n: u8) -> Vec<u8> {
    vec![n; 1000]
}

/// A component whose bytes are [`bytes`].
pub fn component(n: u8) -> ComponentRecord {
    let info = ComponentInfo {
        name: format!("component-{n}"),
        version: "1".into(),
        description: "é\"\\".into(),
        flows: vec![],
        tasks: vec![],
    };
    ComponentRecord { digest: ContentDigest::of(&bytes(n)), bytes: 1000, info, uploaded: at(u64::from(n)) }
}

/// A run of [`component`] 1, due at 0.
pub fn new_run(n: u64) -> NewRun {
    NewRun {
        id: id(n),
        component: component(1).digest,
        flow: "main".into(),
        deployment: None,
        queue: "default".into(),
        parameters: Kept::Inline(json("{}")),
        overrides: Overrides::default(),
        idempotency_key: None,
        parent: None,
        root: id(n),
        depth: 0,
        due: at(0),
        created: at(n),
    }
}

/// A claim of all that is due at depth 0, as many as `fences`.
pub fn claim(now: u64, fences: std::ops::Range<u64>) -> ClaimRequest {
    ClaimRequest {
        now: at(now),
        fences: fences.map(fence).collect(),
        queue: None,
        root: None,
        depth: 0,
        room: Vec::new(),
        busy: None,
    }
}

/// A call that Completed with a result.
pub fn task(number: u32) -> TaskRun {
    TaskRun {
        number,
        identity: Identity {
            kind: CallKind::Task,
            name: "fetch".into(),
            version: "1".into(),
            asked: Asked::Input(json("{}").digest()),
            occurrence: number,
        },
        label: None,
        input: Kept::Inline(json("{}")),
        state: TaskState::Completed,
        flow_attempt: 1,
        attempts: 1,
        round: 1,
        spent: Spent::default(),
        round_began: at(1),
        began: at(1),
        ended: at(2),
        told: None,
        by_hand: false,
        done: number,
        result: Some(Kept::Inline(json("[1]"))),
        failure: None,
        evidence: Evidence::default(),
    }
}

/// A commit of a task run and nothing else.
pub fn alone(task: TaskRun) -> TaskCommit {
    TaskCommit { task: task.into(), past: vec![], logs: vec![] }
}

/// A log line.
pub fn line(n: u64) -> LogLine {
    LogLine {
        at: at(n),
        call: 0,
        attempt: 1,
        level: Level::Info,
        message: format!("line {n}"),
        fields: None,
        task: None,
    }
}

/// A failure.
pub fn failure(code: &str) -> Failure {
    Failure::new(code, "it broke")
}

/// The end of an attempt, and nothing else.
pub fn end(end: AttemptEnd, now: u64) -> AttemptCommit {
    AttemptCommit { end, result: None, evidence: Evidence::default(), logs: vec![], cancel: vec![], now: at(now) }
}

/// The end of an attempt that failed, `retries` of which are tried again a second later.
pub fn failed(code: &str, retries: u32) -> AttemptEnd {
    let policy = RetryPolicy { retries, delay: Delay::Fixed(Duration::from_secs(1)), ..Default::default() };
    AttemptEnd::Failed { failure: failure(code), policy }
}

/// A manual retry without anything special.
pub fn retry(now: u64) -> RetryRequest {
    RetryRequest {
        now: at(now),
        expected_attempt: None,
        completed_too: false,
        forget: vec![],
        forget_children: vec![],
        component: None,
        parameters: None,
        overrides: None,
        by_parent: false,
    }
}

/// All runs.
pub fn all() -> RunFilter {
    RunFilter { limit: 1000, ..Default::default() }
}

async fn ready(store: &dyn Store) {
    store.put_component(component(1), bytes(1)).await.unwrap();
}

/// Makes run `n` and claims it under fence `n`.
async fn running(store: &dyn Store, n: u64) -> FlowRunId {
    ready(store).await;
    store.create(new_run(n)).await.unwrap();
    let claimed = store.claim(claim(0, n..n + 1)).await.unwrap();
    assert_eq!(claimed.iter().map(|it| it.asked.id).collect::<Vec<_>>(), [id(n)]);
    id(n)
}

async fn kinds(store: &dyn Store, run: FlowRunId) -> Vec<String> {
    store.events(run).await.unwrap().into_iter().map(|it| it.kind).collect()
}

async fn ids(store: &dyn Store, filter: RunFilter, now: u64) -> Vec<FlowRunId> {
    store.list(filter, at(now)).await.unwrap().into_iter().map(|it| it.asked.id).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>, why: Refused) {
    match result {
        Err(StoreError::Refused(refused)) if refused == why => {}
        other => panic!("expected {why:?}, got {other:?}"),
    }
}

// The cases.

#[allow(missing_docs, reason = "each case is named after its promise")]
mod cases {
    use super::*;

    pub async fn a_run_is_made_once_under_its_id(home: impl Home) {
        let store = home.store();
        ready(store).await;
        let mut new = new_run(1);
        new.deployment = Some("main/dev".into());
        new.overrides.retries = Some(7);
        new.idempotency_key = Some("key".into());
        new.parent = Some(Parent { run: id(9), call: 3 });
        new.depth = 1;
        new.due = at(50);
        let (made, is_new) = store.create(new.clone()).await.unwrap();
        assert!(is_new);
        assert_eq!((&made.asked, &made.run), (&new, &Run::new(at(50))));
        assert_eq!(store.run(id(1)).await.unwrap(), made);
        let other = NewRun { flow: "other".into(), idempotency_key: None, ..new };
        assert_eq!(store.create(other).await.unwrap(), (made, false));
        assert_eq!(ids(store, all(), 0).await, [id(1)]);
    }

    pub async fn a_child_is_made_only_while_its_parent_runs(home: impl Home) {
        let store = home.store();
        ready(store).await;
        store.create(new_run(1)).await.unwrap();
        let child = |n| NewRun { parent: Some(Parent { run: id(1), call: 1 }), root: id(1), depth: 1, ..new_run(n) };
        let refused = |made: Result<(RunRecord, bool), StoreError>| {
            assert!(matches!(made, Err(StoreError::Refused(Refused::ParentNotRunning))), "{made:?}");
        };
        refused(store.create(child(2)).await);
        store.claim(claim(10, 1..2)).await.unwrap();
        assert!(store.create(child(2)).await.unwrap().1);
        store.command(id(1), Command::Cancel, at(20)).await.unwrap();
        refused(store.begin(child(3), fence(7)).await);
        // One that is there is answered with, whatever became of its parent.
        assert!(!store.create(child(2)).await.unwrap().1);
        store.end_attempt(id(1), fence(1), end(AttemptEnd::Cancelled, 30)).await.unwrap();
        refused(store.create(child(3)).await);
    }

    /// Run 1 is running, its children 2 and 3 too, and so is 4, which is below 2; 5 is apart.
    async fn family(store: &dyn Store) {
        ready(store).await;
        running(store, 1).await;
        let child = |n, parent| NewRun {
            parent: Some(Parent { run: id(parent), call: n as u32 }),
            root: id(1),
            depth: 1,
            ..new_run(n)
        };
        for (n, parent) in [(2, 1), (3, 1), (4, 2)] {
            assert!(store.begin(child(n, parent), fence(n)).await.unwrap().1);
        }
        running(store, 5).await;
    }

    async fn words(store: &dyn Store) -> Vec<Shown> {
        let mut words = Vec::new();
        for n in 1..=5 {
            words.push(store.run(id(n)).await.unwrap().run.shown(at(0)));
        }
        words
    }

    pub async fn a_run_is_cancelled_with_what_is_below_it(home: impl Home) {
        use Shown::{Cancelled, Cancelling, Completed, Running};
        let store = home.store();
        family(store).await;
        store.end_attempt(id(3), fence(3), end(AttemptEnd::Completed, 10)).await.unwrap();
        store.command(id(1), Command::Cancel, at(20)).await.unwrap();
        assert_eq!(words(store).await, [Cancelling, Cancelling, Completed, Cancelling, Running]);
        for n in [4, 2, 1] {
            store.end_attempt(id(n), fence(n), end(AttemptEnd::Cancelled, 30)).await.unwrap();
        }
        assert_eq!(words(store).await, [Cancelled, Cancelled, Completed, Cancelled, Running]);
        let told = store.events(id(4)).await.unwrap();
        assert_eq!(told.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>(), ["cancel"]);
    }

    pub async fn an_attempt_ends_with_the_children_it_names(home: impl Home) {
        use Shown::{AwaitingRetry, Cancelling, Running};
        let store = home.store();
        family(store).await;
        let commit = AttemptCommit { cancel: vec![id(2), id(77)], ..end(failed("e", 1), 10) };
        store.end_attempt(id(1), fence(1), commit.clone()).await.unwrap();
        assert_eq!(words(store).await, [AwaitingRetry, Cancelling, Running, Cancelling, Running]);
        // Under an old fence it cancels nobody.
        let commit = AttemptCommit { cancel: vec![id(3)], ..commit };
        refused(store.end_attempt(id(1), fence(1), commit).await, Refused::StaleFence);
        assert_eq!(words(store).await[2], Running);
    }

    pub async fn what_is_below_a_run_that_ends_with_its_hosts_is_cancelled(home: impl Home) {
        use Shown::{Cancelled, Scheduled};
        family(home.store()).await;
        home.store().command(id(2), Command::Cancel, at(20)).await.unwrap();
        let home = home.reopen();
        let recovered = home.store().recover(at(30)).await.unwrap();
        assert_eq!(words(home.store()).await, [Scheduled, Cancelled, Scheduled, Cancelled, Scheduled]);
        for (id, run) in recovered {
            assert_eq!(home.store().run(id).await.unwrap().run, run, "it is told as it is");
        }
    }

    pub async fn a_forgotten_child_is_so_until_it_is_retried(home: impl Home) {
        let store = home.store();
        family(store).await;
        for n in [2, 1] {
            store.end_attempt(id(n), fence(n), end(failed("e", 0), 10)).await.unwrap();
        }
        let request = RetryRequest { forget_children: vec![id(2), id(5), id(77)], ..retry(20) };
        store.retry(id(1), request).await.unwrap();
        let forgotten = async |n| store.run(id(n)).await.unwrap().forgotten;
        assert_eq!((forgotten(2).await, forgotten(3).await, forgotten(5).await), (true, false, false));
        let told = store.events(id(1)).await.unwrap();
        assert!(told[0].details.as_str().contains("forget_children"), "{told:?}");
        store.retry(id(2), retry(30)).await.unwrap();
        assert!(!forgotten(2).await);
    }

    pub async fn a_run_that_is_cancelled_at_once_has_ended_then(home: impl Home) {
        let store = home.store();
        ready(store).await;
        store.create(new_run(1)).await.unwrap();
        store.command(id(1), Command::Cancel, at(20)).await.unwrap();
        assert_eq!(store.run(id(1)).await.unwrap().ended, Some(at(20)));
        store.retry(id(1), retry(30)).await.unwrap();
        assert_eq!(store.run(id(1)).await.unwrap().ended, None);
    }

    pub async fn the_lines_of_an_attempt_are_counted(home: impl Home) {
        let store = home.store();
        ready(store).await;
        let run = running(store, 1).await;
        let of_task = LogLine { call: 1, ..line(3) };
        let earlier = LogLine { attempt: 2, ..line(4) };
        store.append_logs(run, fence(1), vec![line(1), line(2), of_task, earlier]).await.unwrap();
        let counted = async |call, attempt| store.logged(run, call, attempt).await.unwrap();
        assert_eq!((counted(0, 1).await, counted(1, 1).await, counted(0, 2).await, counted(0, 3).await), (2, 1, 1, 0));
    }

    pub async fn a_run_is_made_once_under_its_key(home: impl Home) {
        let store = home.store();
        ready(store).await;
        let keyed = |n| NewRun { idempotency_key: Some("key".into()), ..new_run(n) };
        let (first, _) = store.create(keyed(1)).await.unwrap();
        assert_eq!(store.create(keyed(2)).await.unwrap(), (first, false));
        assert!(store.create(NewRun { idempotency_key: Some("other".into()), ..new_run(3) }).await.unwrap().1);
        assert!(store.create(new_run(4)).await.unwrap().1);
        assert_eq!(ids(store, all(), 0).await, [id(4), id(3), id(1)]);
    }

    pub async fn a_run_is_claimed_as_it_is_made(home: impl Home) {
        let store = home.store();
        ready(store).await;
        let now = NewRun { created: at(5), due: at(5), ..new_run(1) };
        let (begun, is_new) = store.begin(now.clone(), fence(7)).await.unwrap();
        assert!(is_new);
        assert_eq!(begun.run, Run::new(at(5)).claim(at(5), fence(7), store.boot()).unwrap());
        assert_eq!(store.run(id(1)).await.unwrap(), begun);
        // Asked for again: whoever holds the fence sees it.
        assert_eq!(store.begin(now, fence(8)).await.unwrap(), (begun, false));
        assert!(store.claim(claim(9, 20..30)).await.unwrap().is_empty());
        store.end_attempt(id(1), fence(7), end(AttemptEnd::Completed, 9)).await.unwrap();
        let later = NewRun { created: at(5), due: at(6), ..new_run(2) };
        assert_eq!(store.begin(later, fence(9)).await.unwrap().0.run, Run::new(at(6)));
    }

    pub async fn a_run_needs_its_component(home: impl Home) {
        let store = home.store();
        let made = store.create(new_run(1)).await;
        assert!(matches!(made, Err(StoreError::NoComponent(it)) if it == component(1).digest), "{made:?}");
        assert!(matches!(store.run(id(1)).await, Err(StoreError::NoRun(it)) if it == id(1)));
    }

    pub async fn a_component_is_kept_once(home: impl Home) {
        let store = home.store();
        store.put_component(component(1), bytes(1)).await.unwrap();
        store.put_component(component(2), bytes(2)).await.unwrap();
        assert_eq!(store.components().await.unwrap(), [component(2), component(1)]);
        let again = ComponentRecord { uploaded: at(99), bytes: 7, ..component(1) };
        store.put_component(again, bytes(1)).await.unwrap();
        let newest = ComponentRecord { uploaded: at(99), ..component(1) };
        assert_eq!(store.component(component(1).digest).await.unwrap(), Some(newest.clone()));
        assert_eq!(store.component_bytes(component(1).digest).await.unwrap(), bytes(1));
        assert_eq!(
            store.components().await.unwrap(),
            [newest.clone(), component(2)],
            "what was put last is the newest"
        );
        store.put_component(component(1), bytes(1)).await.unwrap();
        assert_eq!(store.component(component(1).digest).await.unwrap(), Some(newest), "it is as new as it was");
        let wrong = store.put_component(component(3), bytes(4)).await;
        assert!(matches!(wrong, Err(StoreError::Damaged(_))), "{wrong:?}");
        assert_eq!(store.component(component(3).digest).await.unwrap(), None);
    }

    pub async fn what_is_due_longest_is_claimed_first(home: impl Home) {
        let store = home.store();
        ready(store).await;
        for (n, due) in [(1, 30), (2, 10), (3, 20), (4, 10), (5, 31)] {
            store.create(NewRun { due: at(due), ..new_run(n) }).await.unwrap();
        }
        let claimed = store.claim(claim(30, 1..10)).await.unwrap();
        let order: Vec<_> = claimed.iter().map(|it| it.asked.id).collect();
        assert_eq!(order, [id(2), id(4), id(3), id(1)], "and of those due at once the one made first");
        let fences: Vec<_> = claimed.iter().map(|it| it.run.state.claim().unwrap().0).collect();
        assert_eq!(fences, [fence(1), fence(2), fence(3), fence(4)]);
        assert!(store.claim(claim(30, 1..10)).await.unwrap().is_empty());
    }

    pub async fn no_more_is_claimed_than_there_are_fences(home: impl Home) {
        let store = home.store();
        ready(store).await;
        for n in 1..=5 {
            store.create(new_run(n)).await.unwrap();
        }
        assert_eq!(store.claim(claim(0, 0..0)).await.unwrap().len(), 0);
        assert_eq!(store.claim(claim(0, 0..2)).await.unwrap().len(), 2);
        assert_eq!(store.claim(claim(0, 2..9)).await.unwrap().len(), 3);
    }

    pub async fn only_what_is_asked_for_is_claimed(home: impl Home) {
        let store = home.store();
        ready(store).await;
        store.create(NewRun { queue: "gpu".into(), ..new_run(1) }).await.unwrap();
        store.create(NewRun { depth: 1, root: id(1), ..new_run(2) }).await.unwrap();
        store.create(NewRun { depth: 1, root: id(8), ..new_run(3) }).await.unwrap();
        store.create(NewRun { depth: 1, root: id(1), queue: "gpu".into(), ..new_run(4) }).await.unwrap();
        let base = claim(0, 1..9);
        let mut claimed = Vec::new();
        for request in [
            ClaimRequest { queue: Some("none".into()), ..base.clone() },
            ClaimRequest { depth: 2, ..base.clone() },
            ClaimRequest { root: Some(id(2)), depth: 1, ..base.clone() },
            ClaimRequest { root: Some(id(1)), depth: 1, queue: Some("gpu".into()), ..base.clone() },
            ClaimRequest { root: Some(id(1)), depth: 1, ..base.clone() },
            ClaimRequest { depth: 1, ..base.clone() },
            ClaimRequest { queue: Some("gpu".into()), ..base },
        ] {
            claimed.push(store.claim(request).await.unwrap().iter().map(|it| it.asked.id).collect::<Vec<_>>());
        }
        assert_eq!(claimed, [vec![], vec![], vec![], vec![id(4)], vec![id(2)], vec![id(3)], vec![id(1)]]);
    }

    pub async fn a_claim_begins_an_attempt(home: impl Home) {
        let store = home.store();
        ready(store).await;
        store.create(new_run(1)).await.unwrap();
        let claimed = store.claim(claim(5, 7..8)).await.unwrap().remove(0);
        assert_eq!(claimed.run, Run::new(at(0)).claim(at(5), fence(7), store.boot()).unwrap());
        assert_eq!(store.run(id(1)).await.unwrap(), claimed);
    }

    pub async fn what_is_held_is_known_by_its_fences(home: impl Home) {
        let store = home.store();
        ready(store).await;
        for n in 1..=3 {
            store.create(new_run(n)).await.unwrap();
        }
        assert_eq!(store.claim(claim(10, 1..3)).await.unwrap().len(), 2);
        let held = async |fences: &[u64]| {
            let held = store.held(fences.iter().map(|it| fence(*it)).collect()).await.unwrap();
            held.iter().map(|it| it.asked.id).collect::<Vec<_>>()
        };
        assert_eq!(held(&[2, 9]).await, [id(2)]);
        assert_eq!(held(&[1, 2, 3]).await, [id(1), id(2)]);
        let home = home.reopen();
        assert_eq!(home.store().held(vec![fence(1)]).await.unwrap(), [], "an earlier boot held it");
    }

    pub async fn the_next_due_time_is_known(home: impl Home) {
        let store = home.store();
        ready(store).await;
        assert_eq!(store.next_due(None).await.unwrap(), None);
        for (n, depth, due) in [(1, 0, 30), (2, 3, 20), (3, 1, 40)] {
            store.create(NewRun { due: at(due), depth, ..new_run(n) }).await.unwrap();
        }
        assert_eq!(store.next_due(None).await.unwrap(), Some(at(20)));
        assert_eq!(store.next_due(Some(id(3))).await.unwrap(), Some(at(40)));
        assert_eq!(store.next_due(Some(id(4))).await.unwrap(), None);
        store.command(id(2), Command::Cancel, at(1)).await.unwrap();
        assert_eq!(store.next_due(None).await.unwrap(), Some(at(30)));
        store.claim(claim(30, 0..9)).await.unwrap();
        assert_eq!(store.next_due(None).await.unwrap(), Some(at(40)));
    }

    pub async fn a_task_run_is_kept_as_it_was_told(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        let plain = task(1);
        let full = TaskRun {
            identity: Identity {
                kind: CallKind::Flow,
                name: "Ünïcode \"name\"".into(),
                version: "v 2".into(),
                asked: Asked::Key("order-42".into()),
                occurrence: 9,
            },
            label: Some("label".into()),
            input: Kept::Inline(json(r#"{"a":[1,"é\u0000"]}"#)),
            state: TaskState::AwaitingRetry(at(77)),
            flow_attempt: 2,
            attempts: 3,
            round: 4,
            spent: Spent { policy: 5, rules: BTreeMap::from([(0, 1), (7, 2)]) },
            round_began: at(6),
            began: at(7),
            ended: at(8),
            told: None,
            by_hand: false,
            done: 0,
            result: None,
            failure: Some(Failure { details: Some(json(r#"{"b":1}"#)), ..failure("http.503") }),
            evidence: Evidence { cpu_us: 1, peak_memory: u64::MAX, bytes_out: 3, log_bytes_dropped: 4 },
            ..task(2)
        };
        let mut sleep = task(3);
        sleep.identity.kind = CallKind::Sleep;
        sleep.result = None;
        let stopped = TaskRun { state: TaskState::Cancelled, result: None, ..task(4) };
        let failed = TaskRun {
            state: TaskState::Failed,
            result: None,
            failure: Some(failure("x")),
            ..task(limits::CALLS_PER_RUN)
        };
        let tasks = [plain, full, sleep, stopped, failed];
        for task in tasks.iter().rev() {
            store.commit_task(run, fence(1), alone(task.clone())).await.unwrap();
        }
        assert_eq!(store.task_runs(run).await.unwrap(), tasks);
    }

    pub async fn a_task_run_is_replaced_until_its_result_is_kept(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        let waits = TaskRun { state: TaskState::AwaitingRetry(at(9)), result: None, done: 0, ..task(1) };
        let later = TaskRun { state: TaskState::AwaitingRetry(at(10)), ..waits.clone() };
        let failed = TaskRun { state: TaskState::Failed, attempts: 2, ended: at(5), ..waits.clone() };
        let not_kept = TaskRun { attempts: 3, ended: at(6), result: None, ..task(1) };
        let kept = TaskRun { attempts: 4, ended: at(7), ..task(1) };
        for task in [waits, later, failed, not_kept, kept] {
            store.commit_task(run, fence(1), alone(task.clone())).await.unwrap();
            assert_eq!(store.task_runs(run).await.unwrap(), [task]);
        }
        assert!(kinds(store, run).await.is_empty());
    }

    pub async fn a_kept_result_is_never_replaced(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        store.commit_task(run, fence(1), alone(task(1))).await.unwrap();
        let other = TaskRun { result: Some(Kept::Inline(json("[2]"))), ..task(1) };
        let later = TaskRun { ended: at(3), ..task(1) };
        let failed = TaskRun { state: TaskState::Failed, result: None, ..task(1) };
        let none = TaskRun { result: None, ..task(1) };
        for task in [other, later, failed, none] {
            refused(store.commit_task(run, fence(1), alone(task)).await, Refused::StaleFence);
        }
        assert_eq!(store.task_runs(run).await.unwrap(), [task(1)]);
        assert_eq!(kinds(store, run).await, ["late-result"; 4]);
    }

    pub async fn a_commit_that_is_repeated_is_made_once(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        let past = PastAttempt {
            call: 1,
            attempt: 1,
            began: at(1),
            ended: at(2),
            failure: Some(failure("x")),
            evidence: Evidence::default(),
        };
        let large = TaskRun { result: Some(Kept::Inline(large('x'))), ..task(2) };
        let waits = TaskRun { state: TaskState::AwaitingRetry(at(9)), result: None, ..task(3) };
        for task in [task(1), large, waits] {
            let commit = TaskCommit { task: task.into(), past: vec![past.clone()], logs: vec![line(1)] };
            for _ in 0..3 {
                store.commit_task(run, fence(1), commit.clone()).await.unwrap();
            }
        }
        assert_eq!(store.task_runs(run).await.unwrap().len(), 3);
        assert_eq!(store.past_attempts(run).await.unwrap(), [past]);
        assert_eq!(store.logs(run, 0, 100).await.unwrap().len(), 3);
        assert!(kinds(store, run).await.is_empty());
    }

    pub async fn an_old_fence_changes_nothing(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        let before = store.run(run).await.unwrap();
        let commit = TaskCommit { task: task(1).into(), past: vec![], logs: vec![line(1)] };
        refused(store.commit_task(run, fence(2), commit).await, Refused::StaleFence);
        refused(store.append_logs(run, fence(2), vec![line(1)]).await, Refused::StaleFence);
        let commit = AttemptCommit { logs: vec![line(1)], ..end(AttemptEnd::Completed, 5) };
        refused(store.end_attempt(run, fence(2), commit).await, Refused::StaleFence);
        assert_eq!(store.run(run).await.unwrap(), before);
        assert!(store.task_runs(run).await.unwrap().is_empty());
        assert!(store.past_attempts(run).await.unwrap().is_empty());
        assert!(store.logs(run, 0, 100).await.unwrap().is_empty());
        assert_eq!(kinds(store, run).await, ["late-result"; 2]);
        let late = &store.events(run).await.unwrap()[0];
        assert_eq!(late.at, at(2));
        assert_eq!(late.details.to_value()["reason"], "the claim is over");
        assert_eq!(late.details.to_value()["call"], 1);
    }

    pub async fn a_run_that_has_ended_has_no_fence(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        store.commit_task(run, fence(1), alone(task(1))).await.unwrap();
        store.end_attempt(run, fence(1), end(AttemptEnd::Released, 5)).await.unwrap();
        refused(store.commit_task(run, fence(1), alone(task(2))).await, Refused::StaleFence);
        refused(store.commit_task(run, fence(1), alone(task(1))).await, Refused::StaleFence);
        refused(store.append_logs(run, fence(1), vec![]).await, Refused::StaleFence);
        refused(store.end_attempt(run, fence(1), end(AttemptEnd::Completed, 6)).await, Refused::StaleFence);
        assert_eq!(store.task_runs(run).await.unwrap().len(), 1);
        // While it is being cancelled its worker may still report.
        store.claim(claim(9, 2..3)).await.unwrap();
        store.command(run, Command::Cancel, at(9)).await.unwrap();
        store.commit_task(run, fence(2), alone(task(2))).await.unwrap();
        store.append_logs(run, fence(2), vec![line(1)]).await.unwrap();
        assert_eq!(store.task_runs(run).await.unwrap().len(), 2);
    }

    pub async fn the_flow_s_own_attempts_are_kept_when_they_end(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        let until = at(20);
        let after = store.end_attempt(run, fence(1), end(AttemptEnd::Suspended { until }, 10)).await.unwrap();
        assert_eq!(after.state, RunState::Scheduled { due: until, waiting: Waiting::Suspended });
        assert!(store.past_attempts(run).await.unwrap().is_empty(), "the attempt goes on");
        assert_eq!(store.run(run).await.unwrap().ended, None);

        store.claim(claim(20, 2..3)).await.unwrap();
        let evidence = Evidence { cpu_us: 1, peak_memory: 2, bytes_out: 3, log_bytes_dropped: 4 };
        let commit = AttemptCommit { evidence, logs: vec![line(1)], ..end(failed("e", 1), 30) };
        let after = store.end_attempt(run, fence(2), commit).await.unwrap();
        assert_eq!(after.state, RunState::Scheduled { due: at(1030), waiting: Waiting::Retry });
        let record = store.run(run).await.unwrap();
        assert_eq!(record.run, after);
        assert_eq!((record.ended, record.failure), (Some(at(30)), Some(failure("e"))));

        store.claim(claim(1030, 3..4)).await.unwrap();
        let commit = AttemptCommit { result: Some(json("[5]")), ..end(AttemptEnd::Completed, 1040) };
        store.end_attempt(run, fence(3), commit).await.unwrap();
        let record = store.run(run).await.unwrap();
        assert_eq!(record.run.state, RunState::Completed);
        assert_eq!(record.result, Some(Kept::Inline(json("[5]"))));
        assert_eq!((record.ended, record.failure), (Some(at(1040)), None));
        let first =
            PastAttempt { call: 0, attempt: 1, began: at(0), ended: at(30), failure: Some(failure("e")), evidence };
        let second = PastAttempt {
            call: 0,
            attempt: 2,
            began: at(1030),
            ended: at(1040),
            failure: None,
            evidence: Evidence::default(),
        };
        assert_eq!(store.past_attempts(run).await.unwrap(), [first, second]);
        assert_eq!(store.logs(run, 0, 9).await.unwrap().len(), 1);
    }

    pub async fn past_attempts_are_kept_in_order(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        let past = |call, attempt| PastAttempt {
            call,
            attempt,
            began: at(1),
            ended: at(2),
            failure: Some(failure("x")),
            evidence: Evidence { cpu_us: 9, ..Default::default() },
        };
        let commit = |number, past| TaskCommit { task: task(number).into(), past, logs: vec![] };
        store.commit_task(run, fence(1), commit(2, vec![past(2, 2), past(2, 1)])).await.unwrap();
        let other = PastAttempt { failure: None, ..past(2, 1) };
        store.commit_task(run, fence(1), commit(1, vec![past(1, 1), other])).await.unwrap();
        store.end_attempt(run, fence(1), end(failed("x", 0), 2)).await.unwrap();
        let kept = store.past_attempts(run).await.unwrap();
        let order: Vec<_> = kept.iter().map(|it| (it.call, it.attempt)).collect();
        assert_eq!(order, [(0, 1), (1, 1), (2, 1), (2, 2)]);
        assert_eq!(kept[2], past(2, 1), "what was told first counts");
    }

    pub async fn log_lines_are_paged(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        let other = running(store, 2).await;
        let odd = LogLine {
            call: 3,
            attempt: 2,
            level: Level::Error,
            message: "a\u{0}\u{1b}[31m\n".into(),
            fields: Some(json(r#"{"k":[1]}"#)),
            task: Some("extract".into()),
            ..line(9)
        };
        store.append_logs(run, fence(1), vec![line(3), line(1)]).await.unwrap();
        store.append_logs(other, fence(2), vec![line(7)]).await.unwrap();
        let commit = TaskCommit { task: task(1).into(), past: vec![], logs: vec![odd.clone()] };
        store.commit_task(run, fence(1), commit).await.unwrap();
        let all = store.logs(run, 0, 100).await.unwrap();
        let lines: Vec<_> = all.iter().map(|(_, line)| line.clone()).collect();
        assert_eq!(lines, [line(3), line(1), odd], "in the order of writing");
        let mut paged = Vec::new();
        while let [next] = &store.logs(run, paged.last().map_or(0, |(n, _)| *n), 1).await.unwrap()[..] {
            paged.push(next.clone());
        }
        assert_eq!(paged, all);
        assert!(store.logs(run, u64::MAX, 100).await.unwrap().is_empty());
    }

    pub async fn large_values_are_files(home: impl Home) {
        let store = home.store();
        ready(store).await;
        let blob = |json: &Json| Kept::Blob {
            digest: ContentDigest::of(json.as_str().as_bytes()),
            bytes: json.as_str().len() as u64,
        };
        let edge = Json::of(&"x".repeat(limits::INLINE_BYTES - 2));
        let values = [large('a'), large('b'), large('c'), large('d'), large('e')];
        let new = NewRun { parameters: Kept::Inline(values[0].clone()), ..new_run(1) };
        store.create(new).await.unwrap();
        let claimed = store.claim(claim(0, 1..2)).await.unwrap().remove(0);
        assert_eq!(claimed.asked.parameters, blob(&values[0]));
        let task = TaskRun {
            input: Kept::Inline(values[1].clone()),
            result: Some(Kept::Inline(values[2].clone())),
            ..task(1)
        };
        store.commit_task(id(1), fence(1), alone(task.clone())).await.unwrap();
        // What came from the store goes back as it is.
        let again = TaskRun { input: blob(&values[1]), result: Some(blob(&values[2])), ..task };
        store.commit_task(id(1), fence(1), alone(again.clone())).await.unwrap();
        let small = TaskRun { number: 2, result: Some(Kept::Inline(edge)), input: blob(&values[1]), ..again.clone() };
        store.commit_task(id(1), fence(1), alone(small.clone())).await.unwrap();
        assert_eq!(store.task_runs(id(1)).await.unwrap(), [again, small]);
        let commit = AttemptCommit { result: Some(values[3].clone()), ..end(AttemptEnd::Completed, 5) };
        store.end_attempt(id(1), fence(1), commit).await.unwrap();
        assert_eq!(store.run(id(1)).await.unwrap().result, Some(blob(&values[3])));
        let request = RetryRequest { completed_too: true, parameters: Some(values[4].clone()), ..retry(6) };
        store.retry(id(1), request).await.unwrap();
        assert_eq!(store.run(id(1)).await.unwrap().asked.parameters, blob(&values[4]));
        for value in &values {
            assert_eq!(store.value(&blob(value)).await.unwrap(), *value);
            assert_eq!(store.value(&Kept::Inline(value.clone())).await.unwrap(), *value);
        }
        let missing = store.value(&blob(&large('z'))).await;
        assert!(matches!(missing, Err(StoreError::Damaged(_))), "{missing:?}");
    }

    pub async fn a_manual_retry_has_its_rules(home: impl Home) {
        let store = home.store();
        ready(store).await;
        store.create(new_run(1)).await.unwrap();
        let run = id(1);
        refused(store.retry(run, retry(1)).await, Refused::NotEnded);
        store.claim(claim(0, 1..2)).await.unwrap();
        refused(store.retry(run, retry(1)).await, Refused::Active);
        store.end_attempt(run, fence(1), end(failed("e", 0), 5)).await.unwrap();
        let expecting = |attempt| RetryRequest { expected_attempt: Some(attempt), ..retry(9) };
        refused(store.retry(run, expecting(2)).await, Refused::OtherAttempt { expected: 2, is: 1 });
        let unknown = RetryRequest { component: Some(component(5).digest), ..retry(9) };
        assert!(matches!(store.retry(run, unknown).await, Err(StoreError::NoComponent(_))));
        assert!(kinds(store, run).await.is_empty());
        let after = store.retry(run, expecting(1)).await.unwrap();
        assert_eq!(after.state, RunState::Scheduled { due: at(9), waiting: Waiting::Start });
        assert_eq!((after.round, &after.spent), (2, &Spent::default()), "the whole budget is back");
        let record = store.run(run).await.unwrap();
        assert_eq!((record.run, record.failure, record.ended), (after, None, None));
        store.claim(claim(9, 2..3)).await.unwrap();
        let commit = AttemptCommit { result: Some(json("1")), ..end(AttemptEnd::Completed, 10) };
        store.end_attempt(run, fence(2), commit).await.unwrap();
        refused(store.retry(run, retry(11)).await, Refused::HasCompleted);
        store.retry(run, RetryRequest { completed_too: true, ..retry(11) }).await.unwrap();
        assert_eq!(store.run(run).await.unwrap().result, None);
        assert_eq!(kinds(store, run).await, ["manual-retry"; 2]);
    }

    pub async fn a_manual_retry_forgets_what_it_is_told_to(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        for number in 1..=3 {
            store.commit_task(run, fence(1), alone(task(number))).await.unwrap();
        }
        store.end_attempt(run, fence(1), end(failed("e", 0), 5)).await.unwrap();
        let request = RetryRequest { forget: vec![2, 3, 17], ..retry(9) };
        store.retry(run, request).await.unwrap();
        let forgotten = |number| TaskRun { state: TaskState::Forgotten, result: None, ..task(number) };
        assert_eq!(store.task_runs(run).await.unwrap(), [task(1), forgotten(2), forgotten(3)]);
        assert_eq!(store.events(run).await.unwrap()[0].details.to_value()["forget"].to_string(), "[2,3,17]");
        // And may be kept anew.
        store.claim(claim(9, 2..3)).await.unwrap();
        let anew = TaskRun { flow_attempt: 2, attempts: 2, result: Some(Kept::Inline(json("2"))), ..task(2) };
        store.commit_task(run, fence(2), alone(anew.clone())).await.unwrap();
        assert_eq!(store.task_runs(run).await.unwrap()[1], anew);
    }

    pub async fn a_manual_retry_changes_what_it_is_told_to(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        store.put_component(component(2), bytes(2)).await.unwrap();
        store.end_attempt(run, fence(1), end(failed("e", 0), 5)).await.unwrap();
        let overrides = Overrides { retries: Some(3), retry_delay: Some(Duration::from_secs(2)), ..Default::default() };
        let request = RetryRequest {
            component: Some(component(2).digest),
            parameters: Some(json(r#"{"n":123456789012345678901234567890}"#)),
            overrides: Some(overrides.clone()),
            ..retry(9)
        };
        store.retry(run, request).await.unwrap();
        let asked = NewRun {
            component: component(2).digest,
            parameters: Kept::Inline(json(r#"{"n":123456789012345678901234567890}"#)),
            overrides,
            ..new_run(1)
        };
        assert_eq!(store.run(run).await.unwrap().asked, asked);
        let event = store.events(run).await.unwrap().remove(0);
        assert_eq!((event.kind.as_str(), event.at), ("manual-retry", at(9)));
        let told = event.details.as_str();
        assert!(told.contains(r#""parameters":{"from":{},"to":{"n":123456789012345678901234567890}}"#), "{told}");
        assert!(told.contains(&format!(r#""to":"{}""#, component(2).digest)), "{told}");
        // Without a word they stay.
        store.claim(claim(9, 2..3)).await.unwrap();
        store.end_attempt(run, fence(2), end(failed("e", 0), 10)).await.unwrap();
        store.retry(run, retry(11)).await.unwrap();
        assert_eq!(store.run(run).await.unwrap().asked, asked);
        assert_eq!(store.events(run).await.unwrap()[1].details.as_str(), r#"{"after_attempt":2,"round":3}"#);
    }

    pub async fn a_run_is_cancelled(home: impl Home) {
        let store = home.store();
        ready(store).await;
        store.create(new_run(1)).await.unwrap();
        assert_eq!(store.command(id(1), Command::Cancel, at(3)).await.unwrap().state, RunState::Cancelled);
        refused(store.command(id(1), Command::Cancel, at(4)).await, Refused::HasEnded);
        assert_eq!(kinds(store, id(1)).await, ["cancel"]);
        assert!(store.claim(claim(9, 1..2)).await.unwrap().is_empty());

        let run = running(store, 2).await;
        let cancelling = RunState::Cancelling { fence: fence(2), boot: store.boot() };
        assert_eq!(store.command(run, Command::Cancel, at(3)).await.unwrap().state, cancelling);
        assert_eq!(
            store.command(run, Command::Cancel, at(4)).await.unwrap().state,
            cancelling,
            "to ask twice does no harm"
        );
        let after = store.end_attempt(run, fence(2), end(AttemptEnd::Released, 5)).await.unwrap();
        assert_eq!(after.state, RunState::Cancelled);
        let record = store.run(run).await.unwrap();
        assert_eq!(record.failure.unwrap().code, code::CANCELLED);
        assert_eq!(record.ended, Some(at(5)));
        assert_eq!(store.past_attempts(run).await.unwrap().len(), 1, "its attempt has ended");
        store.retry(run, retry(9)).await.unwrap();
    }

    pub async fn a_run_is_paused_and_resumed(home: impl Home) {
        let store = home.store();
        ready(store).await;
        store.create(NewRun { due: at(50), ..new_run(1) }).await.unwrap();
        refused(store.command(id(1), Command::Resume, at(0)).await, Refused::NotPaused);
        let paused = store.command(id(1), Command::Pause, at(1)).await.unwrap();
        assert_eq!(paused.state, RunState::Paused { due: at(50), waiting: Waiting::Start });
        assert!(store.claim(claim(99, 1..5)).await.unwrap().is_empty(), "it waits for a person");
        assert_eq!(store.next_due(None).await.unwrap(), None);
        refused(store.retry(id(1), retry(2)).await, Refused::NotEnded);
        let resumed = store.command(id(1), Command::Resume, at(3)).await.unwrap();
        assert_eq!(resumed.state, RunState::Scheduled { due: at(50), waiting: Waiting::Start });
        assert_eq!(store.claim(claim(99, 1..5)).await.unwrap().len(), 1);
        refused(store.command(id(1), Command::Pause, at(99)).await, Refused::Active);
        // Its worker stops for it: the attempt goes on when it is resumed.
        let paused = store.end_attempt(id(1), fence(1), end(AttemptEnd::Paused, 100)).await.unwrap();
        assert_eq!(paused.state, RunState::Paused { due: at(100), waiting: Waiting::Worker });
        assert!(store.past_attempts(id(1)).await.unwrap().is_empty());
        store.command(id(1), Command::Resume, at(101)).await.unwrap();
        assert_eq!(store.claim(claim(101, 5..9)).await.unwrap()[0].run.attempt, 1);
        assert_eq!(kinds(store, id(1)).await, ["pause", "resume", "resume"]);
    }

    pub async fn a_run_that_waits_is_run_now(home: impl Home) {
        let store = home.store();
        ready(store).await;
        store.create(NewRun { due: at(50), ..new_run(1) }).await.unwrap();
        store.command(id(1), Command::RunNow, at(7)).await.unwrap();
        assert_eq!(store.claim(claim(7, 1..5)).await.unwrap().len(), 1);
        refused(store.command(id(1), Command::RunNow, at(8)).await, Refused::Active);
        store.end_attempt(id(1), fence(1), end(AttemptEnd::Suspended { until: at(90) }, 9)).await.unwrap();
        refused(store.command(id(1), Command::RunNow, at(10)).await, Refused::NotWaiting);
    }

    pub async fn a_result_is_set_by_hand(home: impl Home) {
        let store = home.store();
        let run = running(store, 1).await;
        let failed_task = TaskRun { state: TaskState::Failed, result: None, failure: Some(failure("e")), ..task(1) };
        store.commit_task(run, fence(1), alone(failed_task)).await.unwrap();
        store.commit_task(run, fence(1), alone(task(2))).await.unwrap();
        refused(store.set_result(run, 1, json("1"), at(20)).await, Refused::Active);
        store.end_attempt(run, fence(1), end(failed("e", 0), 30)).await.unwrap();
        refused(store.set_result(run, 9, json("1"), at(40)).await, Refused::NoCall);
        refused(store.set_result(run, 2, json("1"), at(40)).await, Refused::HasResult);
        store.set_result(run, 1, large('s'), at(40)).await.unwrap();
        let kept = store.task_runs(run).await.unwrap().remove(0);
        assert!(kept.by_hand && kept.state == TaskState::Completed && kept.failure.is_none(), "{kept:?}");
        assert_eq!(store.value(&kept.result.unwrap()).await.unwrap(), large('s'));
        assert_eq!(kinds(store, run).await, ["set-result"]);
        refused(store.set_result(run, 1, json("2"), at(41)).await, Refused::HasResult);
    }

    pub async fn lost_hosts_are_survived_twice(mut home: impl Home) {
        let run = running(home.store(), 1).await;
        let cancelled = running(home.store(), 2).await;
        home.store().command(cancelled, Command::Cancel, at(1)).await.unwrap();
        home.store().create(new_run(3)).await.unwrap();
        assert!(home.store().recover(at(5)).await.unwrap().is_empty(), "its own claims are not lost");
        for lost in 1..=3 {
            let boot = home.store().boot();
            home = home.reopen();
            let store = home.store();
            assert_eq!(store.boot(), boot + 1);
            let recovered = store.recover(at(10)).await.unwrap();
            let after = store.run(run).await.unwrap().run;
            if lost == 1 {
                assert_eq!(recovered.len(), 2);
                assert_eq!(recovered[1], (cancelled, store.run(cancelled).await.unwrap().run));
                assert_eq!(recovered[1].1.state, RunState::Cancelled);
            }
            assert_eq!(recovered[0], (run, after.clone()));
            assert_eq!((after.lost, after.attempt), (lost, 1));
            assert!(store.recover(at(10)).await.unwrap().is_empty());
            let task = alone(task(1));
            refused(store.commit_task(run, fence(u64::from(lost)), task).await, Refused::StaleFence);
            if lost < 3 {
                assert_eq!(after.state, RunState::Scheduled { due: at(10), waiting: Waiting::Worker });
                let fences = u64::from(lost) + 1..u64::from(lost) + 2;
                let request = ClaimRequest { root: Some(run), ..claim(10, fences) };
                assert_eq!(store.claim(request).await.unwrap().len(), 1);
            } else {
                assert_eq!(after.state, RunState::Crashed);
            }
        }
        let store = home.store();
        let told: Vec<_> = kinds(store, run).await.into_iter().filter(|it| it != "late-result").collect();
        assert_eq!(told, ["host-lost", "host-lost", "crashed"]);
        let record = store.run(run).await.unwrap();
        assert_eq!(record.failure.unwrap().code, code::LOST);
        assert_eq!(store.past_attempts(run).await.unwrap().len(), 1);
        assert_eq!(kinds(store, cancelled).await, ["cancel", "host-lost"]);
        assert_eq!(store.past_attempts(cancelled).await.unwrap().len(), 1);
        store.retry(run, retry(20)).await.unwrap();
    }

    pub async fn what_was_kept_is_there_after_a_restart(home: impl Home) {
        let run = running(home.store(), 1).await;
        let commit = TaskCommit {
            task: TaskRun { result: Some(Kept::Inline(large('x'))), ..task(1) }.into(),
            past: vec![],
            logs: vec![line(1)],
        };
        home.store().commit_task(run, fence(1), commit).await.unwrap();
        let before = everything(home.store()).await;
        let home = home.reopen();
        assert_eq!(everything(home.store()).await, before);
        let kept = home.store().task_runs(run).await.unwrap().remove(0).result.unwrap();
        assert_eq!(home.store().value(&kept).await.unwrap(), large('x'));
        assert_eq!(home.store().component_bytes(component(1).digest).await.unwrap(), bytes(1));
    }

    pub async fn runs_are_listed_by_filter(home: impl Home) {
        let store = home.store();
        ready(store).await;
        store.create(new_run(10)).await.unwrap();
        store.create(NewRun { flow: "other".into(), ..new_run(20) }).await.unwrap();
        for (n, call) in [(30, 1), (40, 2)] {
            let parent = Some(Parent { run: id(9), call });
            store.create(NewRun { parent, root: id(10), depth: 1, ..new_run(n) }).await.unwrap();
        }
        store.command(id(20), Command::Cancel, at(50)).await.unwrap();
        let listed = |filter| async { ids(store, filter, 100).await };
        assert_eq!(listed(all()).await, [id(40), id(30), id(20), id(10)]);
        assert_eq!(listed(RunFilter { flow: Some("other".into()), ..all() }).await, [id(20)]);
        assert_eq!(listed(RunFilter { roots_only: true, ..all() }).await, [id(20), id(10)]);
        assert_eq!(listed(RunFilter { parent: Some(id(9)), ..all() }).await, [id(40), id(30)]);
        assert_eq!(listed(RunFilter { since: Some(at(20)), ..all() }).await, [id(40), id(30), id(20)]);
        assert_eq!(listed(RunFilter { shown: vec![Shown::Cancelled], ..all() }).await, [id(20)]);
        let both = RunFilter { shown: vec![Shown::Cancelled, Shown::Scheduled], roots_only: true, ..all() };
        assert_eq!(listed(both).await, [id(20), id(10)]);
        assert_eq!(listed(RunFilter { flow: Some("' OR 1 --".into()), ..all() }).await, []);
        assert_eq!(listed(RunFilter::default()).await, [], "a limit of 0 lists nothing");
    }

    pub async fn a_list_is_paged(home: impl Home) {
        let store = home.store();
        ready(store).await;
        for n in [5, 3, 9, 1, 7] {
            store.create(new_run(n)).await.unwrap();
        }
        let mut paged = Vec::new();
        loop {
            let filter = RunFilter { before: paged.last().copied(), limit: 2, ..Default::default() };
            let page = ids(store, filter, 0).await;
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, [id(9), id(7), id(5), id(3), id(1)]);
    }

    pub async fn every_word_is_the_same_in_a_filter(home: impl Home) {
        let now = 100_000;
        let mut seen = Vec::new();
        let home = zoo(home, now).await;
        let store = home.store();
        let records = store.list(all(), at(now)).await.unwrap();
        for word in Shown::ALL {
            let expected: Vec<_> =
                records.iter().filter(|it| it.run.shown(at(now)) == word).map(|it| it.asked.id).collect();
            let filter = RunFilter { shown: vec![word], ..all() };
            assert_eq!(ids(store, filter, now).await, expected, "{word}");
            if !expected.is_empty() {
                seen.push(word);
            }
        }
        assert_eq!(seen, Shown::ALL, "there is a run of each kind");
        // To the microsecond.
        for micros in -1..=1 {
            let now = Timestamp::from_micros((at(now) + limits::LATE_AFTER).as_micros() + micros);
            for word in [Shown::Late, Shown::Scheduled] {
                let listed = store.list(RunFilter { shown: vec![word], ..all() }, now).await.unwrap();
                assert!(listed.iter().all(|it| it.run.shown(now) == word), "{word} at {micros}");
                let count = store.list(all(), now).await.unwrap().iter().filter(|it| it.run.shown(now) == word).count();
                assert_eq!(listed.len(), count, "{word} at {micros}");
            }
        }
    }

    pub async fn runs_are_found_by_name_and_prefix(home: impl Home) {
        let store = home.store();
        ready(store).await;
        for n in 1..=3 {
            store.create(new_run(n)).await.unwrap();
        }
        let find = async |text: &str, limit| store.find(text, limit).await.unwrap();
        assert_eq!(find(&id(2).friendly_name(), 10).await, [id(2)]);
        let text = id(3).to_string();
        assert_eq!(find(&text, 10).await, [id(3)]);
        assert_eq!(find(text.trim_start_matches("run_"), 10).await, [id(3)]);
        assert_eq!(find(&text[..6], 10).await, [id(3), id(2), id(1)], "the newest first");
        assert_eq!(find(&text[..6], 2).await, [id(3), id(2)]);
        assert_eq!(find(&text[..6], 0).await, []);
        for nothing in ["", "run_", "run_z", "' OR 1 --", "no-name", "%"] {
            assert_eq!(find(nothing, 10).await, [], "{nothing:?}");
        }
    }

    pub async fn what_is_not_there_is_said_to_be_missing(home: impl Home) {
        let store = home.store();
        ready(store).await;
        let missing = |error: StoreError| assert!(matches!(error, StoreError::NoRun(it) if it == id(1)), "{error:?}");
        missing(store.run(id(1)).await.unwrap_err());
        missing(store.task_runs(id(1)).await.unwrap_err());
        missing(store.past_attempts(id(1)).await.unwrap_err());
        missing(store.logs(id(1), 0, 1).await.unwrap_err());
        missing(store.events(id(1)).await.unwrap_err());
        missing(store.command(id(1), Command::Cancel, at(1)).await.unwrap_err());
        missing(store.retry(id(1), retry(1)).await.unwrap_err());
        missing(store.commit_task(id(1), fence(1), alone(task(1))).await.unwrap_err());
        missing(store.append_logs(id(1), fence(1), vec![]).await.unwrap_err());
        missing(store.end_attempt(id(1), fence(1), end(AttemptEnd::Completed, 1)).await.unwrap_err());
        assert_eq!(store.component(component(9).digest).await.unwrap(), None);
        let none = store.component_bytes(component(9).digest).await;
        assert!(matches!(none, Err(StoreError::NoComponent(_))), "{none:?}");
    }
}

pub use cases::*;

/// Makes a run that is shown as each of the words.
async fn zoo(home: impl Home, now: u64) -> impl Home {
    let store = home.store();
    ready(store).await;
    let park = || AttemptEnd::Failed {
        failure: failure("e"),
        policy: RetryPolicy { when_exhausted: WhenExhausted::Park, ..Default::default() },
    };
    let ends = [
        AttemptEnd::Suspended { until: at(now + 1) },
        AttemptEnd::Released,
        failed("e", 1),
        failed("e", 0),
        failed(code::TIMEOUT, 0),
        park(),
        AttemptEnd::Completed,
        AttemptEnd::Cancelled,
        AttemptEnd::Paused,
    ];
    for (n, ended) in (1..).zip(ends) {
        let run = running(store, n).await;
        store.end_attempt(run, fence(n), end(ended, now)).await.unwrap();
    }
    // Retrying: the second attempt of a run.
    let again = running(store, 20).await;
    store.end_attempt(again, fence(20), end(failed("e", 1), now - 50_000)).await.unwrap();
    store.claim(ClaimRequest { root: Some(again), ..claim(now - 49_000, 21..22) }).await.unwrap();
    let cancelling = running(store, 22).await;
    store.command(cancelling, Command::Cancel, at(now)).await.unwrap();
    // Crashed, which takes three restarts.
    running(store, 23).await;
    let mut home = home;
    for n in 30..33 {
        home = home.reopen();
        let store = home.store();
        store.recover(at(now)).await.unwrap();
        for run in [id(23), again] {
            // The other one has a host that stops in good order.
            let claimed = store.claim(ClaimRequest { root: Some(run), ..claim(now, n..n + 1) }).await.unwrap();
            assert_eq!(claimed.is_empty(), n == 32 && run == id(23));
            if run == again && n < 32 {
                store.end_attempt(run, fence(n), end(AttemptEnd::Released, now)).await.unwrap();
            }
        }
    }
    let store = home.store();
    let cancelling = running(store, 40).await;
    store.command(cancelling, Command::Cancel, at(now)).await.unwrap();
    running(store, 41).await;
    store.create(new_run(42)).await.unwrap();
    store.create(NewRun { due: at(now), ..new_run(43) }).await.unwrap();
    home
}

/// All that a store shows, to compare two of them.
pub async fn everything(store: &dyn Store) -> String {
    use std::fmt::Write;
    let mut all_of_it = format!("{:#?}\n", store.components().await.unwrap());
    for kind in crate::kind::ALL {
        writeln!(all_of_it, "{:#?}", store.definitions(kind).await.unwrap()).expect("a string takes everything");
    }
    write!(
        all_of_it,
        "{:#?}\n{:#?}\n{:#?}\n",
        store.audited(None, None, usize::MAX).await.unwrap(),
        store.notices(usize::MAX).await.unwrap(),
        store.deliveries(None, None, usize::MAX).await.unwrap(),
    )
    .expect("a string takes everything");
    for record in store.list(all(), at(0)).await.unwrap() {
        let id = record.asked.id;
        write!(
            all_of_it,
            "{record:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n",
            store.task_runs(id).await.unwrap(),
            store.past_attempts(id).await.unwrap(),
            store.logs(id, 0, usize::MAX).await.unwrap(),
            store.events(id).await.unwrap(),
        )
        .expect("a string takes everything");
    }
    all_of_it
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemStore, SqliteStore};

    impl Home for MemStore {
        fn new() -> Self {
            MemStore::new()
        }

        fn store(&self) -> &dyn Store {
            self
        }

        fn reopen(self) -> Self {
            MemStore::reopen(&self)
        }
    }

    struct Directory {
        store: SqliteStore,
        dir: tempfile::TempDir,
    }

    impl Home for Directory {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            Self { store: SqliteStore::open(dir.path()).unwrap(), dir }
        }

        fn store(&self) -> &dyn Store {
            &self.store
        }

        fn reopen(self) -> Self {
            drop(self.store);
            Self { store: SqliteStore::open(self.dir.path()).unwrap(), dir: self.dir }
        }
    }

    mod mem {
        crate::contract_tests!(crate::MemStore);
    }

    mod sqlite {
        crate::contract_tests!(super::Directory);
    }
}
