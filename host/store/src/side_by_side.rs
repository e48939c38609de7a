//! The same random operations on the model and on SQLite: every answer and all that is kept must be the same.
//!
//! Of what several clients ask at once, the answers must be those of one order or another, and so must be what is kept.

use std::sync::Arc;

use proptest::prelude::*;
use retake_core::failure::code;
use retake_core::id::{Fence, FlowRunId};
use retake_core::retry::{RetryPolicy, WhenExhausted};
use retake_core::run::{AttemptEnd, Command, Shown};
use retake_core::task::{Kept, Overrides, PastAttempt, TaskRun, TaskState};

use crate::contract::{
    at, bytes, claim, component, definition, delivery, end, everything, failed, failure, fence, id, json, large, line,
    new_run, retry, task, wait_for,
};
use crate::{
    AttemptCommit, Busy, ClaimRequest, Definition, Delivery, DeliveryState, Limited, MemStore, NewRun, OldRuns, Parent,
    RetryRequest, Room, RunFilter, SqliteStore, Store, TaskCommit, kind,
};

const RUNS: u64 = 5;
const KINDS: [&str; 2] = [kind::NOTIFICATION, kind::DEPLOYMENT];

/// What is done. Runs are named by a number, fences by how many claims ago they were given out.
#[derive(Debug, Clone)]
enum Op {
    PutComponent(u8),
    Create { run: u64, due: u64, depth: u32, key: Option<u8>, queue: u8, big: bool, begin: bool },
    Claim { most: u64, depth: u32, queue: Option<u8>, root: Option<u64> },
    Commit { run: u64, stale: bool, number: u32, state: u8, result: u8, attempts: u32, ended: u64, extras: bool },
    Logs { run: u64, stale: bool, lines: u64 },
    End { run: u64, stale: bool, how: u8, result: u8, retries: u32 },
    Retry { run: u64, expected: Option<u32>, completed_too: bool, forget: Vec<u32>, component: Option<u8>, other: u8 },
    Command(u64, usize),
    SetResult(u64, u32, u8),
    Recover,
    Reopen,
    Look { run: u64, shown: Vec<usize>, filter: u16, limit: usize, text: usize },
    Define { kind: usize, name: u8, component: Option<u8>, expected: Option<u64> },
    Undefine { kind: usize, name: u8 },
    RemoveComponent(u8),
    RemoveRun(u64),
    OldRuns { deployment: usize, before: u64, after: Option<u64>, limit: usize },
    Deliver { notice: Option<u64>, deliveries: u8 },
    Delivered { seq: u64, state: u8 },
}

fn op() -> impl Strategy<Value = Op> {
    let run = || 1..=RUNS;
    let stale = || prop::bool::weighted(0.1);
    prop_oneof![
        1 => (1u8..4).prop_map(Op::PutComponent),
        6 => (run(), 0u64..40, 0u32..2, prop::option::weighted(0.2, 0u8..3), 0u8..2, prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(run, due, depth, key, queue, big, begin)| Op::Create { run, due, depth, key, queue, big, begin }),
        6 => (0u64..4, 0u32..2, prop::option::weighted(0.2, 0u8..2), prop::option::weighted(0.2, run()))
            .prop_map(|(most, depth, queue, root)| Op::Claim { most, depth, queue, root }),
        10 => (run(), stale(), 1u32..4, 0u8..5, 0u8..4, 1u32..3, 0u64..3, any::<bool>()).prop_map(
            |(run, stale, number, state, result, attempts, ended, extras)| Op::Commit {
                run, stale, number, state, result, attempts, ended, extras
            }
        ),
        2 => (run(), stale(), 0u64..3).prop_map(|(run, stale, lines)| Op::Logs { run, stale, lines }),
        8 => (run(), stale(), 0u8..10, 0u8..4, 0u32..3)
            .prop_map(|(run, stale, how, result, retries)| Op::End { run, stale, how, result, retries }),
        5 => (
            run(), prop::option::weighted(0.2, 0u32..3), any::<bool>(), prop::collection::vec(1u32..5, 0..3),
            prop::option::weighted(0.3, 1u8..4), 0u8..4
        ).prop_map(|(run, expected, completed_too, forget, component, other)| Op::Retry {
            run, expected, completed_too, forget, component, other
        }),
        3 => (run(), 0usize..4).prop_map(|(run, which)| Op::Command(run, which)),
        2 => (run(), 1u32..4, 0u8..4).prop_map(|(run, number, which)| Op::SetResult(run, number, which)),
        2 => Just(Op::Recover),
        2 => Just(Op::Reopen),
        3 => (run(), prop::collection::vec(0..Shown::ALL.len(), 0..4), 0u16..512, 0usize..4, 0usize..31)
            .prop_map(|(run, shown, filter, limit, text)| Op::Look { run, shown, filter, limit, text }),
        6 => beside(),
    ]
}

/// What is done beside runs.
fn beside() -> impl Strategy<Value = Op> {
    let optional = |of: std::ops::Range<u64>| prop::option::weighted(0.3, of);
    prop_oneof![
        4 => (0..KINDS.len(), 0u8..2, prop::option::weighted(0.3, 1u8..4), optional(0..3))
            .prop_map(|(kind, name, component, expected)| Op::Define { kind, name, component, expected }),
        2 => (0..KINDS.len(), 0u8..2).prop_map(|(kind, name)| Op::Undefine { kind, name }),
        2 => (1u8..4).prop_map(Op::RemoveComponent),
        3 => (1..=RUNS).prop_map(Op::RemoveRun),
        2 => (0usize..4, 0u64..200, optional(1..RUNS), 0usize..4)
            .prop_map(|(deployment, before, after, limit)| Op::OldRuns { deployment, before, after, limit }),
        2 => (optional(1..4), 0u8..3).prop_map(|(notice, deliveries)| Op::Deliver { notice, deliveries }),
        1 => (1u64..5, 0u8..3).prop_map(|(seq, state)| Op::Delivered { seq, state }),
    ]
}

fn result(n: u8) -> Option<retake_core::value::Json> {
    match n {
        0 => None,
        1 => Some(large('r')),
        n => Some(json(if n == 2 { "[2]" } else { "{\"n\":3}" })),
    }
}

/// What both stores are asked with.
#[derive(Clone, Copy)]
struct World {
    now: u64,
    /// The next fence to be given out.
    next: u64,
    /// The fence that each run was claimed under last.
    held: [u64; RUNS as usize + 1],
}

impl World {
    fn fence(&self, run: u64, stale: bool) -> Fence {
        let held = self.held[run as usize];
        fence(if stale { held + 1000 } else { held })
    }
}

/// Does `op` and returns the answer as text.
async fn answer(store: &dyn Store, world: &World, op: &Op) -> String {
    let now = world.now;
    match op.clone() {
        Op::PutComponent(n) => {
            let record = component(n);
            let again = crate::ComponentRecord { uploaded: at(now), ..record };
            format!("{:?}", store.put_component(again, bytes(n)).await)
        }
        Op::Create { run, due, depth, key, queue, big, begin } => {
            let parameters = Kept::Inline(if big { large('p') } else { json("{\"p\":1}") });
            let parent = (depth > 0).then(|| Parent { run: id(1), call: depth });
            let new = NewRun {
                due: at(due),
                depth,
                root: id(if depth > 0 { 1 } else { run }),
                parent,
                idempotency_key: key.map(|it| it.to_string()),
                queue: queue.to_string(),
                parameters,
                component: component(1 + (run % 2) as u8).digest,
                flow: format!("flow-{}", run % 2),
                deployment: (run % 3 > 0).then(|| format!("Main/{}", run % 3)),
                ..new_run(run)
            };
            match begin {
                true => format!("{:?}", store.begin(new, fence(world.next)).await),
                false => format!("{:?}", store.create(new).await),
            }
        }
        Op::Claim { most, depth, queue, root } => {
            let request = ClaimRequest {
                depth,
                // Of one, or of one and another.
                queues: queue.map_or(vec![], |it| vec![it.to_string(), (it / 2).to_string()]).into(),
                root: root.map(id),
                // Of one queue none, of the other little: by what there is, so that it is drawn.
                room: match most % 3 {
                    0 => vec![
                        Room { of: Limited::Queue("0".into()), left: (most % 2) as u32 },
                        Room { of: Limited::Queue("1".into()), left: 1 },
                    ],
                    _ => Vec::new(),
                },
                busy: (most % 2 == 1).then(|| Busy::from([(Some("Main/1".to_owned()), now as u32 % 3)]).into()),
                ..claim(now, world.next..world.next + most)
            };
            format!("{:?}", store.claim(request).await)
        }
        Op::Commit { run, stale, number, state, result: kept, attempts, ended, extras } => {
            let state = match state {
                0 => TaskState::AwaitingRetry(at(now)),
                1 => TaskState::Failed,
                2 => TaskState::Cancelled,
                3 => TaskState::Running,
                _ => TaskState::Completed,
            };
            let failure = (state == TaskState::Failed).then(|| failure("task"));
            let result = result(kept).filter(|_| state == TaskState::Completed).map(Kept::Inline);
            let task = TaskRun { state, result, attempts, failure, ended: at(ended), ..task(number) };
            let past = PastAttempt {
                call: number,
                attempt: attempts - 1,
                began: at(now),
                ended: at(now),
                failure: None,
                evidence: Default::default(),
            };
            let commit = if extras {
                TaskCommit { task: task.into(), past: vec![past], logs: vec![line(now)] }
            } else {
                TaskCommit { task: task.into(), past: vec![], logs: vec![] }
            };
            format!("{:?}", store.commit_task(id(run), world.fence(run, stale), commit).await)
        }
        Op::Logs { run, stale, lines } => {
            let lines = (0..lines).map(line).collect();
            format!("{:?}", store.append_logs(id(run), world.fence(run, stale), lines).await)
        }
        Op::End { run, stale, how, result: kept, retries } => {
            let how = match how {
                0 | 1 => AttemptEnd::Completed,
                2 => AttemptEnd::Suspended { until: at(now + 5) },
                3 => AttemptEnd::Released,
                4 => AttemptEnd::Cancelled,
                5 => failed(code::TIMEOUT, retries),
                6 => AttemptEnd::Failed {
                    failure: failure("e"),
                    policy: RetryPolicy { retries, when_exhausted: WhenExhausted::Park, ..Default::default() },
                },
                7 => AttemptEnd::Parked { failure: failure("e") },
                8 => AttemptEnd::Paused,
                _ => failed("e", retries),
            };
            let waits_for = if kept > 1 { vec![id(2), id(3)] } else { Vec::new() };
            let unasked = if kept > 0 { vec![1, 3, 99] } else { Vec::new() };
            let cancel = if retries == 1 { vec![id(2), id(3)] } else { Vec::new() };
            let commit = AttemptCommit {
                result: result(kept),
                logs: vec![line(now)],
                cancel,
                waits_for,
                unasked,
                ..end(how, now)
            };
            format!("{:?}", store.end_attempt(id(run), world.fence(run, stale), commit).await)
        }
        Op::Retry { run, expected, completed_too, forget, component: other_component, other } => {
            let request = RetryRequest {
                expected_attempt: expected,
                completed_too,
                forget_children: forget.iter().map(|it| id(u64::from(*it))).collect(),
                forget,
                component: other_component.map(|it| component(it).digest),
                parameters: result(other),
                overrides: (other == 3).then(|| Overrides { retries: Some(1), ..Default::default() }),
                ..retry(now)
            };
            format!("{:?}", store.retry(id(run), request).await)
        }
        Op::Command(run, which) => {
            let command = [Command::Cancel, Command::Pause, Command::Resume, Command::RunNow][which];
            format!("{:?}", store.command(id(run), command, at(now)).await)
        }
        Op::SetResult(run, number, which) => {
            let result = result(which).unwrap_or_else(retake_core::value::Json::null);
            format!("{:?}", store.set_result(id(run), number, result, at(now)).await)
        }
        Op::Recover => format!("{:?}", store.recover(at(now)).await),
        Op::Reopen => String::new(),
        Op::Look { run, shown, filter, limit, text } => look(store, now, run, shown, filter, limit, text).await,
        beside => answer_beside(store, now, beside).await,
    }
}

async fn look(
    store: &dyn Store,
    now: u64,
    run: u64,
    shown: Vec<usize>,
    filter: u16,
    limit: usize,
    text: usize,
) -> String {
    let asked = |bit: u16| filter & (1 << bit) != 0;
    let deployments = [vec![], vec!["Main/2".into()], vec!["Main/2".into(), "Main/1".into(), "Main/2".into()]];
    let codes = [code::TIMEOUT, "e", "e*", "*", "sandbox.*"];
    let filter = RunFilter {
        flow: asked(0).then(|| "flow-1".into()),
        shown: shown.into_iter().map(|it| Shown::ALL[it]).collect(),
        since: asked(1).then(|| at(run)),
        before: asked(2).then(|| id(run)),
        parent: asked(3).then(|| id(1)),
        roots_only: asked(4),
        deployments: if asked(5) { deployments[text % 3].clone() } else { vec![] },
        code: asked(6).then(|| codes[text % codes.len()].into()),
        text: asked(7).then(|| ["MAIN/1", "flow-0", "Broke", "-"][text % 4].into()),
        until: asked(8).then(|| at(run)),
        ended_since: asked(9).then(|| at(run)),
        limit,
    };
    // Late or not: asked long after, every other time.
    let then = if run.is_multiple_of(2) { now } else { now + 15_010 };
    let prefix = &id(run).to_string()[..text.min(30)];
    let answers = (
        store.list(filter, at(then)).await,
        store.find(prefix, limit).await,
        store.find(&id(run).friendly_name(), limit).await,
        store.next_due(None).await,
        store.next_due(Some(id(run))).await,
        store.logs(id(run), text as u64, limit).await,
    );
    format!("{answers:?}")
}

async fn answer_beside(store: &dyn Store, now: u64, op: Op) -> String {
    match op {
        Op::Define { kind, name, component: other, expected } => {
            let component = other.map(|it| component(it).digest);
            let definition = Definition { component, updated: at(now), ..definition(KINDS[kind], &name.to_string()) };
            format!("{:?}", store.define(definition, expected).await)
        }
        Op::Undefine { kind, name } => format!("{:?}", store.undefine(KINDS[kind], &name.to_string()).await),
        Op::RemoveRun(run) => format!("{:?}", store.remove_run(id(run), at(now)).await),
        Op::OldRuns { deployment, before, after, limit } => {
            let name = |n: usize| format!("Main/{n}");
            let asked = OldRuns {
                deployment: (deployment < 3).then(|| name(deployment)),
                other_than: vec![name(1)],
                ended_before: at(before),
                after: after.map(id),
                limit,
            };
            format!("{:?}", store.old_runs(asked).await)
        }
        Op::RemoveComponent(n) => format!("{:?}", store.remove_component(component(n).digest, at(90)).await),
        Op::Deliver { notice, deliveries } => {
            let deliveries = (0..deliveries).map(|n| delivery(&n.to_string(), now + u64::from(n))).collect();
            format!("{:?}", store.deliver(notice, deliveries).await)
        }
        Op::Delivered { seq, state } => {
            let state = match state {
                0 => DeliveryState::Pending(at(now + 3)),
                1 => DeliveryState::Delivered,
                _ => DeliveryState::GivenUp,
            };
            let changed = store.delivered(Delivery { seq, state, attempts: 1, ..delivery("", 0) }).await;
            format!("{changed:?} {:?}", store.deliveries_due(at(now), 2).await)
        }
        op => unreachable!("{op:?} is about a run"),
    }
}

/// Whether an operation is one question to a store, which answers it at one instant.
fn is_one(op: &Op) -> bool {
    !matches!(op, Op::Look { .. } | Op::Delivered { .. } | Op::Reopen)
}

/// Returns all orders of so many.
fn orders(of: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for next in 0..of {
        let with = |order: &Vec<usize>| {
            (0..=order.len()).map(|at| [&order[..at], &[next], &order[at..]].concat()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(with).collect();
    }
    all
}

/// Asks as several clients do who do not wait for each other. What came of it must be what comes of asking the model in
/// some order: that one is returned.
async fn at_once(
    sqlite: &Arc<SqliteStore>,
    model: &MemStore,
    world: &World,
    ops: &[Op],
) -> Result<MemStore, TestCaseError> {
    let own = |place: usize| World { next: world.next + 10 * place as u64, ..*world };
    let mut clients = tokio::task::JoinSet::new();
    for (place, op) in ops.iter().cloned().enumerate() {
        let (store, world) = (sqlite.clone(), own(place));
        clients.spawn(async move { (place, answer(&*store, &world, &op).await) });
    }
    let mut answers = clients.join_all().await;
    answers.sort();
    let answers: Vec<String> = answers.into_iter().map(|(_, it)| it).collect();
    let is = everything(&**sqlite).await;
    for order in orders(ops.len()) {
        let model = model.copy();
        let mut same = true;
        for place in order {
            same = same && answer(&model, &own(place), &ops[place]).await == answers[place];
        }
        if same && everything(&model).await == is {
            return Ok(model);
        }
    }
    Err(TestCaseError::fail(format!("in no order does the model answer so: {ops:#?} {answers:#?}")))
}

async fn compare_clients(groups: Vec<Vec<Op>>) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let sqlite = Arc::new(SqliteStore::open(dir.path()).unwrap());
    let mut model = MemStore::new();
    let mut world = World { now: 1, next: 1, held: [0; RUNS as usize + 1] };
    for store in [&*sqlite as &dyn Store, &model] {
        store.put_component(component(1), bytes(1)).await.unwrap();
    }
    for ops in groups {
        model = at_once(&sqlite, &model, &world, &ops).await?;
        note_claims(&model, &mut world).await;
        world.next += 10 * ops.len() as u64;
    }
    Ok(())
}

/// The runs that were claimed, to report under their fences from now on.
async fn note_claims(store: &dyn Store, world: &mut World) {
    for run in 1..=RUNS {
        if let Ok(record) = store.run(id(run)).await
            && let Some((fence, _)) = record.run.state.claim()
        {
            world.held[run as usize] = fence.get();
        }
    }
    world.next += 10;
    world.now += 3;
}

async fn compare(ops: Vec<Op>) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut sqlite = SqliteStore::open(dir.path()).unwrap();
    let mut model = MemStore::new();
    let mut world = World { now: 1, next: 1, held: [0; RUNS as usize + 1] };
    for store in [&sqlite as &dyn Store, &model] {
        store.put_component(component(1), bytes(1)).await.unwrap();
    }
    for op in ops {
        if matches!(op, Op::Reopen) {
            drop(sqlite);
            sqlite = SqliteStore::open(dir.path()).unwrap();
            model = model.reopen();
            prop_assert_eq!(sqlite.boot(), model.boot());
        }
        let expected = answer(&model, &world, &op).await;
        prop_assert_eq!(&answer(&sqlite, &world, &op).await, &expected, "{:?}", &op);
        note_claims(&model, &mut world).await;
    }
    prop_assert_eq!(everything(&sqlite).await, everything(&model).await);
    for run in 1..=RUNS {
        let values = |store| values(store, id(run));
        prop_assert_eq!(values(&sqlite).await, values(&model).await);
    }
    Ok(())
}

/// All values of a run as text, as far as they can be read.
async fn values(store: &dyn Store, run: FlowRunId) -> Vec<String> {
    let Ok(record) = store.run(run).await else { return vec![] };
    let mut kept = vec![record.asked.parameters];
    kept.extend(record.result);
    for task in store.task_runs(run).await.unwrap() {
        kept.push(task.input);
        kept.extend(task.result);
    }
    let mut values = Vec::new();
    for kept in kept {
        values.push(format!("{:?}", store.value(&kept).await.unwrap()));
    }
    values
}

/// How many histories are tried; `PROPTEST_CASES` says another number.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn sqlite_does_as_the_model_does(ops in prop::collection::vec(op(), 1..60)) {
        wait_for(compare(ops))?;
    }

    #[test]
    fn clients_who_ask_at_once_are_answered_in_some_order(
        groups in prop::collection::vec(prop::collection::vec(op().prop_filter("one question", is_one), 1..5), 1..12)
    ) {
        let clients = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        clients.block_on(compare_clients(groups))?;
    }
}
