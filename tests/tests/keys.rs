//! What the plan of a retry says of calls that have a key of their author's is what becomes of them (semantics.md,
//! "Replay").
//!
//! The flow is written here and no guest: what the real binary says about it is then done by the real engine.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use retake_core::component::{AskedLimits, ComponentInfo, FlowInfo, TaskInfo};
use retake_core::failure::Failure;
use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::port::{Attempt, BoxFuture, CallRequest, FlowHost, Logs, Report, Runner};
use retake_core::retry::RetryPolicy;
use retake_core::task::{Evidence, Overrides};
use retake_core::time::{Clock, Timestamp};
use retake_core::value::Json;
use retake_engine::{Engine, Entropy, Outside, RetryAsk, Scope, Settings, StartRequest};
use retake_store::{SqliteStore, Store};
use retake_tests::Retake;
use serde_json::Value;

/// Time that stands still: nothing here waits for it.
struct Still;
impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_000)
    }
}

struct Counted(AtomicU64);
impl Entropy for Counted {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A flow that passes its parameters on to two tasks, the first of which has a key, and fails in its first attempt.
#[derive(Default)]
struct Pages {
    /// The tasks that were run, in order.
    ran: Mutex<Vec<String>>,
}

impl Pages {
    async fn flow(&self, attempt: &Attempt, host: &dyn FlowHost) -> Result<Json, Failure> {
        for (name, key) in [("keyed", Some("front page")), ("plain", None)] {
            let (name, input, key) = (name.to_owned(), attempt.input.as_str().to_owned(), key.map(str::to_owned));
            let call = host.submit(CallRequest { name, is_flow: false, input, key, label: None, retry: None })?;
            host.outcome(call).await?;
        }
        if attempt.attempt == 1 { Err(Failure::new("test.first", "the first attempt fails")) } else { Ok(Json::null()) }
    }
}

impl Runner for Pages {
    fn run_task<'a>(&'a self, attempt: &'a Attempt, _: Arc<dyn Logs>) -> BoxFuture<'a, Report> {
        self.ran.lock().unwrap().push(attempt.task.as_ref().unwrap().identity.name.to_string());
        Box::pin(async { Report { outcome: Ok(Json::null()), evidence: Evidence::default() } })
    }

    fn run_flow<'a>(&'a self, attempt: &'a Attempt, host: Arc<dyn FlowHost>) -> BoxFuture<'a, Report> {
        Box::pin(async move { Report { outcome: self.flow(attempt, &*host).await, evidence: Evidence::default() } })
    }
}

fn schema(of_page: &str) -> Json {
    Json::trusted(format!(r#"{{"type":"object","properties":{{"page":{{"type":"{of_page}"}}}}}}"#))
}

/// The component, whose tasks take a page of this type.
fn pages(of_page: &str) -> ComponentInfo {
    let task = |name: &str| TaskInfo {
        name: name.into(),
        description: String::new(),
        version: String::new(),
        input: schema(of_page),
        returns: None,
        retry: RetryPolicy::default(),
        limits: AskedLimits::default(),
        capabilities: Vec::new(),
        log_prints: false,
        persist_result: None,
        tags: Vec::new(),
        extensions: None,
    };
    let flow = FlowInfo {
        name: "pages".into(),
        description: String::new(),
        parameters: schema("integer"),
        returns: None,
        retry: RetryPolicy::default(),
        limits: AskedLimits::default(),
        capabilities: Vec::new(),
        log_prints: false,
        persist_result: None,
        extensions: None,
    };
    let (name, version, description) = ("pages".into(), "1".into(), String::new());
    ComponentInfo { name, version, description, flows: vec![flow], tasks: vec![task("keyed"), task("plain")] }
}

/// An engine on a data directory, which one process has at a time.
fn engine(data: &Path, pages: &Arc<Pages>, seed: u64) -> (Engine, Arc<SqliteStore>) {
    let store = Arc::new(SqliteStore::open(data).unwrap());
    let entropy = Arc::new(Counted(seed.into()));
    let outside =
        Outside { store: store.clone(), runner: pages.clone(), clock: Arc::new(Still), entropy, observer: None };
    (Engine::new(outside, Settings::default()), store)
}

/// Works on a run until it has ended.
async fn work(engine: &Engine, store: &SqliteStore, id: FlowRunId) {
    let changed = engine.watch(id);
    let ended = async {
        loop {
            let told = changed.notified();
            if store.run(id).await.unwrap().run.state.is_terminal() {
                break;
            }
            told.await;
        }
    };
    engine.work(Scope::default(), ended).await;
}

/// Runs the flow, which fails. Returns the run and the digest of other code, whose tasks take other input.
async fn failed(data: &Path, runner: &Arc<Pages>) -> (FlowRunId, ContentDigest) {
    let (engine, store) = engine(data, runner, 1);
    let keep = async |info: ComponentInfo, bytes: &[u8]| {
        let digest = ContentDigest::of(bytes);
        engine.register(digest, info, bytes.to_vec()).await.unwrap();
        digest
    };
    let (first, other) = (keep(pages("integer"), b"first").await, keep(pages("string"), b"other").await);
    let request = StartRequest {
        component: first,
        flow: "pages".into(),
        parameters: Json::trusted(r#"{"page":1}"#),
        overrides: Overrides::default(),
        idempotency_key: None,
        at: None,
        through: None,
    };
    let id = engine.start(request).await.unwrap().0.asked.id;
    work(&engine, &store, id).await;
    (id, other)
}

/// Whether each call has a key, and what the plan says of it.
fn plan(retake: &Retake, args: &[&str]) -> Vec<(bool, String)> {
    let plan = retake.json(&[&["retry", "--dry-run"], args].concat());
    let call = |it: &Value| (it["keyed"].as_bool().unwrap(), it["why"].as_str().unwrap().to_owned());
    plan["calls"].as_array().unwrap().iter().map(call).collect()
}

fn calls(keyed: &str, plain: &str) -> Vec<(bool, String)> {
    vec![(true, keyed.to_owned()), (false, plain.to_owned())]
}

#[test]
fn a_key_feeds_its_result_back_whatever_its_input_and_the_plan_points_it_out() {
    let (retake, runner) = (Retake::new(), Arc::new(Pages::default()));
    let data = retake.dir.path().join("data");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (id, other) = runtime.block_on(failed(&data, &runner));
    let (run, other) = (id.friendly_name(), other.to_string());

    let fed = "fed back from attempt 1";
    let by_key = "fed back from attempt 1, by its key, whatever its input";
    assert_eq!(plan(&retake, &[&run]), calls(fed, fed));
    let if_same = "fed back from attempt 1, if its input is still the same";
    assert_eq!(plan(&retake, &[&run, "-p", "page=2"]), calls(by_key, if_same));
    assert_eq!(plan(&retake, &[&run, "--version", &other]), calls(by_key, "runs again: input will not match"));
    assert_eq!(
        plan(&retake, &[&run, "-p", "page=2", "--all"]),
        calls("runs again: asked for", "runs again: asked for")
    );
    let said = retake.expect(0, &["retry", &run, "--dry-run", "-p", "page=2"]);
    assert!(said.out.contains(by_key) && said.out.contains("runs again, unless it has a key"), "{}", said.out);

    runtime.block_on(async {
        let (engine, store) = engine(&data, &runner, 100);
        let ask = RetryAsk { parameters: Some(Json::trusted(r#"{"page":2}"#)), ..RetryAsk::default() };
        engine.retry(id, ask).await.unwrap();
        work(&engine, &store, id).await;
    });
    assert_eq!(*runner.ran.lock().unwrap(), ["keyed", "plain", "plain"]);
}
