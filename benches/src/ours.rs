//! Retake itself, as the binary puts it together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use retake_core::component::AskedLimits;
use retake_core::failure::Failure;
use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::port::{Attempt, BoxFuture, CallRequest, FlowHost, Logs, Report, Runner, TaskAttempt};
use retake_core::replay::{Asked, CallKind, Occurrences};
use retake_core::run::Shown;
use retake_core::task::{Evidence, LogLine, Overrides};
use retake_core::time::{Clock, Timestamp};
use retake_core::value::Json;
use retake_engine::{Engine, Entropy, Observer, Outside, Progress, Scope, Settings, StartRequest};
use retake_sandbox::{Sandbox, Source};
use retake_store::{SqliteStore, Store};

use crate::measure::{self, Cost, Meter, resident};

struct SystemClock;
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
        Timestamp::from_micros(micros as i64)
    }
}

struct SystemEntropy;
impl Entropy for SystemEntropy {
    fn next(&self) -> u64 {
        rand::random()
    }
}

struct File(Vec<u8>);
impl Source for File {
    fn bytes(&self, _: ContentDigest) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// A flow's host that is never asked for anything.
struct Nobody;
impl Logs for Nobody {
    fn line(&self, _: LogLine) {}
}
impl FlowHost for Nobody {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
    fn submit(&self, _: CallRequest) -> Result<u32, Failure> {
        unreachable!("the measured flow asks for nothing")
    }
    fn outcome(&self, _: u32) -> BoxFuture<'_, Result<Json, Failure>> {
        unreachable!("the measured flow asks for nothing")
    }
    fn is_done(&self, _: u32) -> bool {
        true
    }
    fn cancel(&self, _: u32) {}
    fn wait_any(&self, _: Vec<u32>) -> BoxFuture<'_, u32> {
        Box::pin(async { 0 })
    }
    fn sleep_until(&self, _: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn tick(&self) {}
}

/// Does what the guest does, in no sandbox: what is left is the engine and the store.
struct Unsandboxed;
impl Runner for Unsandboxed {
    fn run_task<'a>(&'a self, attempt: &'a Attempt, _: Arc<dyn Logs>) -> BoxFuture<'a, Report> {
        Box::pin(async { Report { outcome: Ok(attempt.input.clone()), evidence: Evidence::default() } })
    }
    fn run_flow<'a>(&'a self, _: &'a Attempt, host: Arc<dyn FlowHost>) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            for number in 1..=10 {
                let input = format!("{{\"number\":{number}}}");
                let (name, key, label, retry) = ("step".into(), None, None, None);
                let call = host.submit(CallRequest { name, is_flow: false, input, key, label, retry }).unwrap();
                host.outcome(call).await.unwrap();
            }
            Report { outcome: Ok(Json::trusted("10")), evidence: Evidence::default() }
        })
    }
}

/// Retake with one component.
pub(crate) struct Ours {
    dir: PathBuf,
    threads: usize,
    guest: Vec<u8>,
    digest: ContentDigest,
    sandbox: Arc<Sandbox>,
    runner: Arc<dyn Runner>,
}

/// A host with a database of its own.
struct Host {
    _dir: tempfile::TempDir,
    path: PathBuf,
    store: Arc<dyn Store>,
    engine: Engine,
}

/// Somebody who works on the runs of a host.
struct Worker {
    stop: tokio::sync::oneshot::Sender<()>,
    working: tokio::task::JoinSet<()>,
}

impl Host {
    fn work(&self) -> Worker {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let engine = self.engine.clone();
        let mut working = tokio::task::JoinSet::new();
        working.spawn(async move { engine.work(Scope::default(), async { drop(stopped.await) }).await });
        Worker { stop, working }
    }
}

impl Worker {
    async fn stop(self) {
        let _ = self.stop.send(());
        self.working.join_all().await;
    }
}

impl Ours {
    pub(crate) fn new(guest: &[u8], dir: &Path, threads: usize) -> anyhow::Result<Self> {
        let settings = retake_sandbox::Settings {
            slots: retake_sandbox::Settings::SLOTS,
            cache: Some(dir.join("compiled")),
            compiler: None,
        };
        let sandbox = Arc::new(Sandbox::new(&settings, Arc::new(File(guest.to_vec())), Arc::new(SystemClock))?);
        Ok(Self {
            dir: dir.to_owned(),
            threads,
            guest: guest.to_vec(),
            digest: ContentDigest::of(guest),
            runner: sandbox.clone(),
            sandbox,
        })
    }

    /// The same without sandboxes.
    pub(crate) fn unsandboxed(self) -> Self {
        Self { runner: Arc::new(Unsandboxed), ..self }
    }

    /// A fresh sandbox with a call of a task, over and over on one thread.
    pub(crate) fn sandboxes(&self, task: &str, input: &str, length: Duration) -> anyhow::Result<Cost> {
        let asked = Asked::Input(ContentDigest::of(b"1"));
        let identity = Occurrences::default().identify(CallKind::Task, task, "1", asked);
        let attempt = Attempt {
            task: Some(TaskAttempt { number: 1, identity: Arc::new(identity) }),
            input: Json::trusted(input),
            limits: AskedLimits::default().for_task(),
            ..self.attempt("ten-tasks")
        };
        let logs: Arc<dyn Logs> = Arc::new(Nobody);
        self.repeat(length, async || self.sandbox.run_task(&attempt, logs.clone()).await)
    }

    /// A fresh flow sandbox with its call, over and over on one thread.
    pub(crate) fn flow_sandboxes(&self, length: Duration) -> anyhow::Result<Cost> {
        let attempt = self.attempt("noop");
        let host: Arc<dyn FlowHost> = Arc::new(Nobody);
        self.repeat(length, async || self.sandbox.run_flow(&attempt, host.clone()).await)
    }

    fn attempt(&self, flow: &str) -> Attempt {
        Attempt {
            component: self.digest,
            run: FlowRunId::new(Timestamp::default(), 1),
            flow: flow.into(),
            task: None,
            input: Json::trusted("{}"),
            attempt: 1,
            retries_left: 0,
            scheduled_for: Timestamp::default(),
            limits: AskedLimits::default().for_flow(),
            elapsed: Duration::ZERO,
            log_prints: false,
            deployment: None,
            grants: None,
        }
    }

    fn repeat(&self, length: Duration, mut once: impl AsyncFnMut() -> Report) -> anyhow::Result<Cost> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            for _ in 0..200 {
                let report = once().await;
                report.outcome.map_err(|it| anyhow::anyhow!("{}: {}", it.code, it.message))?;
            }
            let (meter, end) = (Meter::start(), Instant::now() + length);
            let mut lasted = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                let report = once().await;
                assert!(report.outcome.is_ok());
                lasted.push(began.elapsed());
            }
            Ok(meter.end(lasted))
        })
    }

    async fn host(&self) -> anyhow::Result<Host> {
        self.watched_host(None).await
    }

    async fn watched_host(&self, observer: Option<Arc<dyn Observer>>) -> anyhow::Result<Host> {
        let dir = tempfile::tempdir_in(&self.dir)?;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir.path())?);
        let outside = Outside {
            store: store.clone(),
            runner: self.runner.clone(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            observer,
        };
        let engine = Engine::new(outside, Settings { grace: Duration::from_secs(1), ..Settings::default() });
        let inspection = self.sandbox.inspect(self.guest.clone()).await?;
        engine.register(self.digest, inspection.info, self.guest.clone()).await?;
        Ok(Host { path: dir.path().to_owned(), _dir: dir, store, engine })
    }

    fn runtime(&self) -> anyhow::Result<tokio::runtime::Runtime> {
        Ok(retake_process::runtime(self.threads)?)
    }

    /// As many runs at once, each of ten tasks, from being asked for to having ended.
    pub(crate) fn end_to_end(&self, concurrency: usize, length: Duration) -> anyhow::Result<Cost> {
        self.runtime()?.block_on(async {
            let host = self.host().await?;
            let worker = host.work();
            let digest = self.digest;
            let (engine, store) = (host.engine.clone(), host.store.clone());
            let run = move || {
                let (engine, store) = (engine.clone(), store.clone());
                async move { run_once(&engine, &store, digest, 10).await }
            };
            let cost = measure::many(concurrency, length, run).await;
            worker.stop().await;
            Ok(cost)
        })
    }

    /// Processor time of a task attempt in a run of 10,000 tasks over that in runs of ten, each alone.
    pub(crate) fn growth(&self) -> anyhow::Result<f64> {
        const TASKS: u32 = 10_000;
        self.runtime()?.block_on(async {
            let host = self.host().await?;
            let worker = host.work();
            let cost = async |runs: u32| {
                let before = measure::cpu();
                for _ in 0..runs {
                    run_once(&host.engine, &host.store, self.digest, TASKS / runs).await;
                }
                measure::cpu() - before
            };
            cost(TASKS / 100).await; // What is cold at first is nobody's.
            let (small, large) = (cost(TASKS / 10).await, cost(1).await);
            worker.stop().await;
            Ok(large.as_secs_f64() / small.as_secs_f64())
        })
    }

    /// Bytes of database for each task attempt, after `runs` runs of ten tasks.
    pub(crate) fn bytes_per_task(&self, runs: u64) -> anyhow::Result<f64> {
        self.runtime()?.block_on(async {
            let host = self.host().await?;
            let worker = host.work();
            let mut clients = tokio::task::JoinSet::new();
            for _ in 0..100 {
                let (engine, store, digest) = (host.engine.clone(), host.store.clone(), self.digest);
                clients.spawn(async move {
                    for _ in 0..runs / 100 {
                        run_once(&engine, &store, digest, 10).await;
                    }
                });
            }
            clients.join_all().await;
            worker.stop().await;
            let path = host.path.join("retake.db");
            drop((host.engine, host.store));
            let database = rusqlite::Connection::open(path)?;
            database.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
            let (pages, free): (i64, i64) = (pragma(&database, "page_count")?, pragma(&database, "freelist_count")?);
            let size = pragma(&database, "page_size")?;
            Ok(((pages - free) * size) as f64 / (runs * 10) as f64)
        })
    }

    /// Resident bytes of each run that is Suspended, of `runs` real ones after `before` others, which fill what is
    /// bounded and are not counted: above all the database's page cache of 32 MiB.
    pub(crate) fn suspended(&self, before: usize, runs: usize) -> anyhow::Result<f64> {
        #[derive(Default)]
        struct Counter(AtomicUsize);
        impl Observer for Counter {
            fn progress(&self, _: FlowRunId, progress: Progress) {
                if matches!(progress, Progress::Ended { shown: Shown::Suspended, .. }) {
                    self.0.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.runtime()?.block_on(async {
            let counter = Arc::new(Counter::default());
            let host = self.watched_host(Some(counter.clone())).await?;
            let worker = host.work();
            let suspend = async |until: usize| {
                let mut asked = counter.0.load(Ordering::Relaxed);
                while counter.0.load(Ordering::Relaxed) < until {
                    while asked < until && asked < counter.0.load(Ordering::Relaxed) + 1000 {
                        host.engine.start(request(self.digest, "nap", "{}")).await.unwrap();
                        asked += 1;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                resident()
            };
            let first = suspend(before).await;
            let all = suspend(before + runs).await;
            worker.stop().await;
            Ok(all.saturating_sub(first) as f64 / runs as f64)
        })
    }

    /// Resident bytes of a run whose sandbox waits in a host call.
    pub(crate) fn parked(&self, runs: usize) -> anyhow::Result<f64> {
        struct Never;
        impl Logs for Never {
            fn line(&self, _: LogLine) {}
        }
        impl FlowHost for Never {
            fn now(&self) -> Timestamp {
                Timestamp::default()
            }
            fn submit(&self, _: CallRequest) -> Result<u32, Failure> {
                Ok(0)
            }
            fn outcome(&self, _: u32) -> BoxFuture<'_, Result<Json, Failure>> {
                Box::pin(std::future::pending())
            }
            fn is_done(&self, _: u32) -> bool {
                false
            }
            fn cancel(&self, _: u32) {}
            fn wait_any(&self, _: Vec<u32>) -> BoxFuture<'_, u32> {
                Box::pin(std::future::pending())
            }
            fn sleep_until(&self, _: Timestamp) -> BoxFuture<'_, ()> {
                Box::pin(std::future::pending())
            }
            fn tick(&self) {}
        }
        let runtime = self.runtime()?;
        let before = resident();
        let mut parked = tokio::task::JoinSet::new();
        runtime.block_on(async {
            // Slots that were used before hold pages; so many that fresh ones are needed.
            for _ in 0..2000 + runs {
                let (sandbox, attempt) = (self.sandbox.clone(), self.attempt("ten-tasks"));
                parked.spawn(async move { drop(sandbox.run_flow(&attempt, Arc::new(Never)).await) });
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
            let bytes = resident().saturating_sub(before) as f64 / (2000 + runs) as f64;
            parked.shutdown().await;
            Ok(bytes)
        })
    }
}

fn pragma(database: &rusqlite::Connection, name: &str) -> rusqlite::Result<i64> {
    database.query_row(&format!("pragma {name}"), [], |row| row.get(0))
}

fn request(component: ContentDigest, flow: &str, parameters: &str) -> StartRequest {
    StartRequest {
        component,
        flow: flow.into(),
        parameters: Json::trusted(parameters),
        overrides: Overrides::default(),
        idempotency_key: None,
        at: None,
        through: None,
    }
}

async fn run_once(engine: &Engine, store: &Arc<dyn Store>, component: ContentDigest, tasks: u32) {
    let parameters = format!("{{\"n\":{tasks}}}");
    let (record, _) = engine.start(request(component, "ten-tasks", &parameters)).await.unwrap();
    let id = record.asked.id;
    let ended = engine.watch(id);
    // A run takes several commits, so that the watch is nearly always there before it ends.
    for _ in 0..60 {
        let told = tokio::time::timeout(Duration::from_secs(1), ended.notified()).await.is_ok();
        if told || store.run(id).await.unwrap().run.state.is_terminal() {
            return;
        }
    }
    panic!("the run has not ended in a minute");
}
