//! The web UI in a real browser: `tests/browser`, which `node --test` runs.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use retake_core::id::FlowRunId;
use retake_core::task::{Kept, Overrides};
use retake_core::time::Timestamp;
use retake_core::value::Json;
use retake_store::{NewRun, SqliteStore, Store};
use retake_tests::Retake;

/// Runs that a page of them has to cope with.
const MANY: u64 = 100_000;

/// All of it at once: what is measured there is to have the machine for itself.
#[test]
fn people_can_see_it_and_press_its_buttons() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let many = Retake::new();
    make_many(&many);
    let shots = root.join("target/browser");
    std::fs::create_dir_all(&shots).unwrap();
    let components = Path::new(&retake_tests::path("orders")).parent().unwrap().to_owned();
    let mut node = Command::new("node");
    node.args(["--test", "--test-concurrency=1", "--test-reporter=spec", "."]).current_dir(root.join("tests/browser"));
    node.env("RETAKE", retake_tests::binary()).env("COMPONENTS", components).env("SHOTS", &shots);
    node.env("RETAKE_MANY", many.dir.path().join("data")).env_remove("NODE_TEST_CONTEXT");
    let output = node.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}

/// Makes many runs, over the last day, that begin next year.
fn make_many(retake: &Retake) {
    let digest = retake.expect(0, &["components", "add", &retake_tests::path("orders"), "-o", "id"]).out;
    let component = digest.trim().parse().unwrap();
    let now = Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond().cast_unsigned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(&retake.dir.path().join("data")).unwrap());
        for chunk in 0..MANY / 1000 {
            let mut made = tokio::task::JoinSet::new();
            for n in chunk * 1000..(chunk + 1) * 1000 {
                let created = now.ago(Duration::from_millis((MANY - n) * 860));
                let id = FlowRunId::new(created, u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
                let run = NewRun {
                    id,
                    component,
                    flow: "orders".into(),
                    deployment: None,
                    queue: "default".into(),
                    parameters: Kept::Inline(Json::trusted("{}")),
                    overrides: Overrides::default(),
                    idempotency_key: None,
                    parent: None,
                    root: id,
                    depth: 0,
                    due: now + Duration::from_secs(366 * 86_400),
                    created,
                };
                let store = store.clone();
                made.spawn(async move { store.create(run).await.unwrap() });
            }
            made.join_all().await;
        }
    });
}
