//! A guest that never gives way is stopped within 100 ms of being cancelled, and its thread is free again.
//!
//! In this process and not through the binary: what is timed is the host, not the start of a second process.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::port::BoxFuture;
use retake_core::run::RunState;
use retake_core::task::Overrides;
use retake_core::time::{Clock, Timestamp};
use retake_core::value::Json;
use retake_engine::{Engine, Entropy, Outside, Scope, Settings, StartRequest};
use retake_sandbox::{Sandbox, Source};
use retake_store::{SqliteStore, Store};

const BOUND: Duration = Duration::from_millis(100);

struct SystemClock;
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one clock of this file: what is timed is real")]
    fn now(&self) -> Timestamp {
        let micros = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
        Timestamp::from_micros(micros.try_into().unwrap())
    }
}

struct Counted(AtomicU64);
impl Entropy for Counted {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

struct File(Vec<u8>);
impl Source for File {
    fn bytes(&self, _: ContentDigest) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// Processor time of this process, in ticks of 10 ms.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
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

async fn until(engine: &Engine, store: &SqliteStore, id: FlowRunId, state: RunState) {
    let changed = engine.watch(id);
    loop {
        let told = changed.notified();
        if store.run(id).await.unwrap().run.state == state {
            break;
        }
        told.await;
    }
}

/// How long it took until a run that spins was over, and the processor time of the 300 ms after it.
async fn cancelled(engine: &Engine, store: &SqliteStore, digest: ContentDigest, parameters: &str) -> (Duration, u64) {
    let id = engine.start(request(digest, "spin", parameters)).await.unwrap().0.asked.id;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = ticks();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // A guest that waits takes none; on a busy machine one that spins has to share.
    assert!(ticks() - before > 3, "the guest does not spin");
    let began = Instant::now();
    engine.cancel(id).await.unwrap();
    until(engine, store, id, RunState::Cancelled).await;
    let took = began.elapsed();
    let before = ticks();
    tokio::time::sleep(Duration::from_millis(300)).await;
    (took, ticks() - before)
}

#[test]
fn a_guest_that_spins_stops_within_100_ms_of_being_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let bytes = std::fs::read(retake_tests::component("hostile")).unwrap();
        let (digest, clock) = (ContentDigest::of(&bytes), Arc::new(SystemClock));
        let settings = retake_sandbox::Settings { slots: 16, cache: None, compiler: None };
        let sandbox = Arc::new(Sandbox::new(&settings, Arc::new(File(bytes.clone())), clock.clone()).unwrap());
        let store = Arc::new(SqliteStore::open(dir.path()).unwrap());
        let info = sandbox.inspect(bytes.clone()).await.unwrap().info;
        let entropy = Arc::new(Counted(1.into()));
        let outside = Outside { store: store.clone(), runner: sandbox, clock, entropy, observer: None };
        let engine = Engine::new(outside, Settings::default());
        engine.register(digest, info, bytes).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let mut work = tokio::task::JoinSet::new();
        let worker = engine.clone();
        work.spawn(async move { worker.work(Scope::default(), async { drop(stopped.await) }).await });
        // The first compiles.
        let id = engine.start(request(digest, "sleep", r#"{"where":"task","n":1}"#)).await.unwrap().0.asked.id;
        until(&engine, store.as_ref(), id, RunState::Completed).await;
        let mut took = Vec::new();
        for parameters in [r#"{"where":"flow"}"#, r#"{"where":"task"}"#].repeat(3) {
            let (time, ticks) = cancelled(&engine, store.as_ref(), digest, parameters).await;
            assert!(ticks < 10, "{parameters}: {ticks} ticks of processor time after it was cancelled");
            took.push(time);
        }
        println!("stopped after {took:?}");
        // A shared machine stalls now and then; a guest that is not stopped takes 10 s.
        let late = took.iter().filter(|it| **it > BOUND).count();
        assert!(late <= 1, "not stopped in time: {took:?}");
        let _ = stop.send(());
        work.join_all().await;
    });
}
