//! How fast task runs are committed by 1, 10, 100 and 1,000 submitters at once, what each costs, and how much room it
//! takes: `cargo run -p retake-store --example commit_rate [DIR]`.
#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use retake_core::component::ComponentInfo;
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::replay::{Asked, CallKind, Identity};
use retake_core::retry::Spent;
use retake_core::run::AttemptEnd;
use retake_core::task::{Evidence, Kept, Overrides, TaskRun, TaskState};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_store::{
    AttemptCommit, ClaimRequest, ComponentRecord, NewRun, SqliteStore, Store, StoreError, TaskCommit, WriterStats,
};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let dir = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/commit_rate".into()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    for (submitters, rows) in [(1, 4_000), (10, 40_000), (100, 200_000), (1000, 400_000)] {
        runtime.block_on(rate(&dir, submitters, rows))?;
    }
    runtime.block_on(room(&dir, 10_000))
}

fn time(n: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_795_000_000_000 + n)
}

fn new_run(n: u64) -> NewRun {
    let id = FlowRunId::new(time(n), u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    NewRun {
        id,
        component: ContentDigest::of(b"component"),
        flow: "orders".into(),
        deployment: None,
        queue: "default".into(),
        parameters: Kept::Inline(Json::trusted(r#"{"customer":4711}"#)),
        overrides: Overrides::default(),
        idempotency_key: None,
        parent: None,
        root: id,
        depth: 0,
        due: time(n),
        created: time(n),
    }
}

fn task(number: u32) -> TaskCommit {
    let at = time(u64::from(number));
    let input = Json::trusted(format!(r#"{{"order":{number}}}"#));
    let task = TaskRun {
        number,
        identity: Identity {
            kind: CallKind::Task,
            name: "fetch_order".into(),
            version: "1".into(),
            asked: Asked::Input(ContentDigest::from_bytes([number as u8; 32])),
            occurrence: 1,
        },
        label: None,
        input: Kept::Inline(input),
        state: TaskState::Completed,
        flow_attempt: 1,
        attempts: 1,
        round: 1,
        spent: Spent::default(),
        round_began: at,
        began: at,
        ended: at,
        told: None,
        by_hand: false,
        done: number,
        result: Some(Kept::Inline(Json::of(&"r".repeat(98)))),
        failure: None,
        evidence: Evidence { cpu_us: 60, peak_memory: 1 << 20, bytes_out: 100, log_bytes_dropped: 0 },
        unasked: 0,
    };
    TaskCommit { task: task.into(), past: vec![], logs: vec![] }
}

async fn empty(dir: &Path) -> Result<Arc<SqliteStore>> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    let store = SqliteStore::open(dir)?;
    let info = ComponentInfo {
        name: "orders".into(),
        version: "1".into(),
        description: String::new(),
        flows: vec![],
        tasks: vec![],
    };
    let record =
        ComponentRecord { digest: ContentDigest::of(b"component"), bytes: 9, info, uploaded: time(0), removed: None };
    store.put_component(record, b"component".to_vec()).await?;
    Ok(Arc::new(store))
}

/// Makes run `n` and claims it.
async fn claimed(store: &SqliteStore, n: u64) -> std::result::Result<(FlowRunId, Fence), StoreError> {
    let new = new_run(n);
    let (id, fence) = (new.id, Fence::new(n));
    store.create(new).await?;
    let fences = vec![fence];
    store
        .claim(ClaimRequest {
            now: time(n),
            fences,
            queues: [].into(),
            root: Some(id),
            depth: 0,
            room: Vec::new(),
            busy: None,
        })
        .await?;
    Ok((id, fence))
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

struct Measured {
    wall: Instant,
    processor: Duration,
    stats: WriterStats,
}

impl Measured {
    fn begin(store: &SqliteStore) -> Self {
        let stats = store.writer_stats().expect("it is open for writing");
        Self { wall: Instant::now(), processor: processor_time(), stats }
    }

    fn tell(&self, store: &SqliteStore, what: &str, rows: u64, mut waits: Vec<Duration>) {
        let (wall, processor) = (self.wall.elapsed().as_secs_f64(), processor_time() - self.processor);
        let commits = store.writer_stats().expect("it is open for writing").commits - self.stats.commits;
        waits.sort_unstable();
        let wait = |share: usize| waits.get(waits.len() * share / 100).copied().unwrap_or_default().as_micros();
        println!(
            "{what}: {:>7.0} rows/s, {:>5.1} us of processor per row, {:>6.1} rows per commit, {:>5.0} commits/s, p50 {} us, p99 {} us",
            rows as f64 / wall,
            processor.as_secs_f64() * 1e6 / rows as f64,
            rows as f64 / commits as f64,
            commits as f64 / wall,
            wait(50),
            wait(99),
        );
    }
}

/// Calls of one run.
const CALLS: u32 = 10;

async fn rate(dir: &Path, submitters: u32, rows: u32) -> Result<()> {
    let store = empty(dir).await?;
    let runs: Arc<Vec<_>> = Arc::new((1..=u64::from(rows / CALLS)).map(|n| (new_run(n).id, Fence::new(n))).collect());
    let mut making = JoinSet::new();
    for n in 1..=runs.len() as u64 {
        let store = Arc::clone(&store);
        making.spawn(async move { store.create(new_run(n)).await });
    }
    while let Some(done) = making.join_next().await {
        done??;
    }
    let fences = runs.iter().map(|(_, fence)| *fence).collect();
    store
        .claim(ClaimRequest {
            now: time(runs.len() as u64),
            fences,
            queues: [].into(),
            root: None,
            depth: 0,
            room: Vec::new(),
            busy: None,
        })
        .await?;

    let next = Arc::new(AtomicU64::new(0));
    let measured = Measured::begin(&store);
    let mut working = JoinSet::new();
    for _ in 0..submitters {
        let (store, runs, next) = (Arc::clone(&store), Arc::clone(&runs), Arc::clone(&next));
        working.spawn(async move {
            let mut waits = Vec::new();
            while let Some(&(run, fence)) = runs.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                for number in 1..=CALLS {
                    let began = Instant::now();
                    store.commit_task(run, fence, task(number)).await?;
                    waits.push(began.elapsed());
                }
            }
            Ok::<_, StoreError>(waits)
        });
    }
    let mut waits = Vec::new();
    while let Some(done) = working.join_next().await {
        waits.extend(done??);
    }
    measured.tell(&store, &format!("{submitters:>4} submitters"), waits.len() as u64, waits);
    Ok(())
}

/// P5, and what whole runs of ten calls cost the store.
async fn room(dir: &Path, runs: u64) -> Result<()> {
    let store = empty(dir).await?;
    let measured = Measured::begin(&store);
    let next = Arc::new(AtomicU64::new(1));
    let mut working = JoinSet::new();
    for _ in 0..100 {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        working.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n > runs {
                    return Ok::<_, StoreError>(());
                }
                let (run, fence) = claimed(&store, n).await?;
                for number in 1..=CALLS {
                    store.commit_task(run, fence, task(number)).await?;
                }
                let commit = AttemptCommit {
                    end: AttemptEnd::Completed,
                    result: Some(Json::trusted("{\"ok\":true}")),
                    evidence: Evidence::default(),
                    logs: vec![],
                    cancel: vec![],
                    waits_for: vec![],
                    unasked: vec![],
                    now: time(n),
                };
                store.end_attempt(run, fence, commit).await?;
            }
        });
    }
    while let Some(done) = working.join_next().await {
        done??;
    }
    measured.tell(&store, "whole runs, by 100", runs * u64::from(CALLS), vec![]);
    drop(store);
    let bytes = std::fs::metadata(dir.join("retake.db"))?.len();
    println!("{bytes} bytes of database after {runs} runs: {} for each call", bytes / (runs * u64::from(CALLS)));
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
