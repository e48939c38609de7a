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

mod claims;
mod runs;
mod server;

pub use claims::*;
pub use runs::*;
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
            a_suspended_parent_goes_on_when_a_child_has_ended
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
            slots_are_shared_out_between_deployments
            a_claim_begins_an_attempt
            the_next_due_time_is_known
            what_is_due_and_waits_is_counted
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
            runs_are_listed_by_deployment
            runs_are_listed_by_failure_and_text
            runs_are_listed_by_when_they_were_made
            runs_are_counted_by_state_and_by_when_they_were_made
            what_was_defined_is_there_after_a_restart
            a_run_is_removed_with_all_that_is_below_it
            old_runs_are_found_by_when_they_ended
            what_is_tidied_away_is_what_nobody_needs
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
    ComponentRecord {
        digest: ContentDigest::of(&bytes(n)),
        bytes: 1000,
        info,
        uploaded: at(u64::from(n)),
        removed: None,
    }
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
        queues: [].into(),
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
        unasked: 0,
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
    AttemptCommit {
        end,
        result: None,
        evidence: Evidence::default(),
        logs: vec![],
        cancel: vec![],
        waits_for: vec![],
        unasked: vec![],
        now: at(now),
    }
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
