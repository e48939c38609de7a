//! What every operation of the API answers, word for word but for ids, times and sizes: `tests/snapshots/`.
//!
//! A change of an answer changes a file here, and is looked at. `RETAKE_RENEW=1` renews them.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use retake_tests::http::{Answer, Server, receiver};
use retake_tests::{Retake, component};
use serde_json::{Value, json};

/// Answer with events, and not with one document, or with what differs on each machine: other tests read them.
const ELSEWHERE: [&str; 4] = [
    "GET /api/v1/settings",
    "GET /api/v1/events/stream",
    "GET /api/v1/flow-runs/{run}/events/stream",
    "GET /api/v1/flow-runs/{run}/logs/stream",
];

struct Snapshots {
    server: Server,
    dir: PathBuf,
    taken: BTreeSet<String>,
    /// Of runs.
    names: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Snapshots {
    /// Asks, and compares what is answered with what is kept. `{…}` of the path are filled with `names`, in order.
    fn ask(&mut self, method: &str, path: &str, names: &[&str], body: Value) -> Value {
        let mut filled = String::new();
        let mut names = names.iter();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        for part in path.split('/').skip(1) {
            let part = if part.starts_with('{') { names.next().unwrap().replace(' ', "%20") } else { part.to_owned() };
            filled.push('/');
            filled.push_str(&part);
        }
        if !query.is_empty() {
            filled = format!("{filled}?{query}");
        }
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.server.ask(method, &filled, &text);
        self.take(method, path, query, body, &answer)
    }

    fn take(&mut self, method: &str, path: &str, query: &str, body: Value, answer: &Answer) -> Value {
        let answered = if answer.body.is_empty() { Value::Null } else { answer.json() };
        let operation = format!("{method} {path}");
        let is_first = self.taken.insert(operation.clone());
        let mut name =
            operation.replace("/api/v1/", "").replace(['/', ' '], "-").replace(['{', '}'], "").to_lowercase();
        if !is_first {
            name = format!("{name}-{}", query.split(['=', '&']).next().filter(|it| !it.is_empty()).unwrap_or("again"));
        }
        let mut asked = json!({ "operation": operation, "status": answer.status, "answer": answered });
        if !query.is_empty() {
            asked["query"] = query.into();
        }
        if !body.is_null() {
            asked["body"] = body;
        }
        run_names(&asked, &mut self.names);
        blur(&mut asked, "", &self.names);
        let text = serde_json::to_string_pretty(&asked).unwrap() + "\n";
        let file = self.dir.join(format!("{name}.json"));
        if std::env::var_os("RETAKE_RENEW").is_some() {
            std::fs::create_dir_all(&self.dir).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        if kept != text {
            self.wrong.push(format!("{}: kept is\n{kept}\nand answered is\n{text}", file.display()));
        }
        answered
    }
}

/// Finds the names that runs were given.
fn run_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if fields.get("id").and_then(Value::as_str).is_some_and(|it| it.starts_with("run_")) {
                names.extend(fields.get("name").and_then(Value::as_str).map(str::to_owned));
            }
            fields.values().for_each(|it| run_names(it, names));
        }
        Value::Array(items) => items.iter().for_each(|it| run_names(it, names)),
        _ => {}
    }
}

/// Puts words where a value differs from one time to the next.
fn blur(value: &mut Value, under: &str, names: &BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| blur(value, name, names)),
        Value::Array(items) => items.iter_mut().for_each(|it| blur(it, under, names)),
        Value::Number(_) if ["bytes", "cpu_us", "peak_memory", "took_ms"].contains(&under) => *value = "NUMBER".into(),
        Value::String(text) if under == "request_id" => *text = "REQUEST".into(),
        Value::String(text) if under == "next" => *text = "PLACE".into(),
        Value::String(text) if under == "last_event" => *text = "EVENT".into(),
        Value::String(text) => {
            let parts = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && !"_-:.".contains(c));
            *text = parts.map(|it| blurred(it, names)).collect();
        }
        _ => {}
    }
}

/// Puts a word in place of another, whatever stands behind it.
fn blurred(part: &str, names: &BTreeSet<String>) -> String {
    let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let rest = &part[word.len()..];
    let is_hex = word.len() >= 12 && word.chars().all(|c| c.is_ascii_hexdigit());
    let blurred = if word.parse::<jiff::Timestamp>().is_ok() {
        "TIME".into()
    } else if word.starts_with("run_") || word.starts_with("task_") {
        word.rsplit_once('.').map_or("RUN".into(), |(_, number)| format!("RUN.{number}"))
    } else if word.starts_with("msg_") {
        "MESSAGE".into()
    } else if word.starts_with("rtk_") || word.starts_with("rtc_") {
        "TOKEN".into()
    } else if is_hex {
        "DIGEST".into()
    } else if word.starts_with("127.0.0.1:") {
        "127.0.0.1:PORT".into()
    } else if names.contains(word) {
        "NAME".into()
    } else {
        word.to_owned()
    };
    blurred + rest
}

/// All operations, one after the other.
#[test]
fn every_operation_answers_as_it_did() {
    let retake = Retake::new();
    let server = Server::start_with(&retake, &["--node", "here"]);
    let documented = operations(&server);
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("snapshots");
    let mut it = Snapshots { server, dir, taken: BTreeSet::new(), names: BTreeSet::new(), wrong: Vec::new() };
    it.ask("GET", "/api/v1/version", &[], Value::Null);
    deployments(&mut it);
    let run = runs(&mut it, &retake);
    schedules_and_limits(&mut it);
    notifications(&mut it);
    tokens(&mut it);
    nodes(&mut it);
    let token = it.server.token.clone();
    it.ask("POST", "/api/v1/session", &[], json!({ "token": token }));
    it.ask("POST", "/api/v1/session/code", &[], Value::Null);
    it.ask("GET", "/api/v1/session", &[], Value::Null);
    it.ask("DELETE", "/api/v1/session", &[], Value::Null);
    it.ask("GET", "/api/v1/flow-runs/counts?buckets=1", &[], Value::Null);
    it.ask("DELETE", "/api/v1/flow-runs/{run}", &[&run], Value::Null);
    it.ask(
        "POST",
        "/api/v1/deployments/{flow}/{name}/prune",
        &["orders", "dev"],
        json!({ "ended_before_ms": 0, "dry_run": true }),
    );
    it.ask("DELETE", "/api/v1/deployments/{flow}/{name}", &["orders", "dev"], Value::Null);
    it.ask("GET", "/api/v1/audit?limit=3", &[], Value::Null);
    it.taken.extend(ELSEWHERE.map(str::to_owned));
    assert_eq!(it.taken, documented, "each operation that is documented has a snapshot, and no other");
    assert!(it.wrong.is_empty(), "{}\n{} differ; RETAKE_RENEW=1 renews them", it.wrong.join("\n"), it.wrong.len());
}

fn operations(server: &Server) -> BTreeSet<String> {
    let document = server.ask("GET", "/api/v1/openapi.json", "").json();
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys().map(|it| format!("{} {path}", it.to_uppercase()));
        methods.collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

fn deployments(it: &mut Snapshots) {
    let bytes = |name| std::fs::read(component(name)).unwrap();
    let answer = it.server.upload(&bytes("orders"));
    let digest = it.take("POST", "/api/v1/components", "", Value::Null, &answer)["digest"].as_str().unwrap().to_owned();
    let spare = it.server.upload(&bytes("retry_it")).json()["digest"].as_str().unwrap().to_owned();
    it.ask("GET", "/api/v1/components/{digest}", &[&spare[..12]], Value::Null);
    it.ask("DELETE", "/api/v1/components/{digest}", &[&spare], Value::Null);
    it.ask("DELETE", "/api/v1/components/{digest}?gone", &[&spare], Value::Null);
    it.ask("GET", "/api/v1/components", &[], Value::Null);
    it.ask("POST", "/api/v1/components/prune", &[], json!({ "keep": 5, "dry_run": true }));
    it.ask("GET", "/api/v1/flows", &[], Value::Null);
    it.ask("PUT", "/api/v1/secrets/{name}", &["shop-token"], json!({ "value": "abcdefgh" }));
    it.ask("PUT", "/api/v1/variables/{name}", &["batch-size"], json!({ "value": 500 }));
    let deployment = json!({
        "component": digest, "queue": "dev", "tags": ["shop"], "parameters": { "customer": "acme" },
        "secrets": ["shop-token"], "variables": ["batch-size"], "policy": { "retries": 0 }, "concurrency": 9,
    });
    it.ask("PUT", "/api/v1/deployments/{flow}/{name}", &["orders", "dev"], deployment);
    let change = json!({ "queue": "other", "retention_ms": 86_400_000 });
    it.ask("PATCH", "/api/v1/deployments/{flow}/{name}?dry_run=true", &["orders", "dev"], change);
    it.ask("GET", "/api/v1/deployments/{flow}/{name}", &["orders", "dev"], Value::Null);
    it.ask("GET", "/api/v1/deployments", &[], Value::Null);
    it.ask("GET", "/api/v1/secrets", &[], Value::Null);
    it.ask("GET", "/api/v1/variables", &[], Value::Null);
    it.ask("GET", "/api/v1/variables/{name}", &["batch-size"], Value::Null);
}

/// Makes runs, and returns one that has ended.
fn runs(it: &mut Snapshots, retake: &Retake) -> String {
    let made = it.ask(
        "POST",
        "/api/v1/flow-runs",
        &[],
        json!({ "deployment": "orders/dev", "parameters": { "load": "fail-once" } }),
    );
    let run = made["id"].as_str().unwrap().to_owned();
    it.ask("POST", "/api/v1/flow-runs?misfit", &[], json!({ "deployment": "orders/dev", "parameters": { "load": 7 } }));
    retake.expect(1, &["watch", &run, "-w"]);
    it.ask("GET", "/api/v1/flow-runs/{run}", &[&run], Value::Null);
    it.ask("GET", "/api/v1/flow-runs/{run}/explanation", &[&run], Value::Null);
    it.ask("GET", "/api/v1/flow-runs/{run}/logs", &[&run], Value::Null);
    it.ask("GET", "/api/v1/flow-runs/{run}/task-runs/{number}", &[&run, "1"], Value::Null);
    it.ask("POST", "/api/v1/flow-runs/bulk-retry", &[], json!({ "filter": { "flow": "orders" }, "dry_run": true }));
    it.ask("POST", "/api/v1/flow-runs/{run}/retry", &[&run], json!({ "dry_run": true }));
    it.ask("POST", "/api/v1/flow-runs/{run}/task-runs/{number}/result", &[&run, "1"], json!({ "result": null }));
    it.ask("POST", "/api/v1/flow-runs/{run}/resume", &[&run], Value::Null);
    let later = it.server.ask("POST", "/api/v1/flow-runs", r#"{"deployment": "orders/dev", "in_ms": 3600000}"#).json();
    let later = later["id"].as_str().unwrap();
    it.ask("POST", "/api/v1/flow-runs/{run}/pause", &[later], Value::Null);
    it.ask("POST", "/api/v1/flow-runs/{run}/run-now", &[later], Value::Null);
    it.ask("POST", "/api/v1/flow-runs/bulk-cancel", &[], json!({ "filter": { "state": "paused" }, "dry_run": true }));
    it.ask("POST", "/api/v1/flow-runs/bulk-remove", &[], json!({ "filter": { "state": "failed" }, "dry_run": true }));
    it.ask("POST", "/api/v1/flow-runs/{run}/cancel", &[later], Value::Null);
    it.ask("GET", "/api/v1/flow-runs?state=failed", &[], Value::Null);
    it.ask("GET", "/api/v1/flow-runs?limit=1", &[], Value::Null);
    it.ask("GET", "/api/v1/flow-runs/{run}?gone", &["nobody"], Value::Null);
    run
}

fn schedules_and_limits(it: &mut Snapshots) {
    let schedule =
        json!({ "deployment": "orders/dev", "when": { "every": { "interval_ms": 3_600_000 } }, "paused": true });
    it.ask("PUT", "/api/v1/schedules/{name}", &["hourly"], schedule);
    it.ask("GET", "/api/v1/schedules/{name}", &["hourly"], Value::Null);
    it.ask("GET", "/api/v1/schedules", &[], Value::Null);
    it.ask("DELETE", "/api/v1/schedules/{name}", &["hourly"], Value::Null);
    for kind in ["queues", "task-tags"] {
        let path = format!("/api/v1/{kind}");
        it.ask("PUT", &format!("{path}/{{name}}"), &["narrow"], json!({ "concurrency": 2 }));
        it.ask("GET", &path, &[], Value::Null);
        it.ask("DELETE", &format!("{path}/{{name}}"), &["narrow"], Value::Null);
    }
    it.ask("DELETE", "/api/v1/secrets/{name}", &["shop-token"], Value::Null);
    it.ask("DELETE", "/api/v1/variables/{name}", &["nothing"], Value::Null);
}

fn nodes(it: &mut Snapshots) {
    it.ask("GET", "/api/v1/nodes", &[], Value::Null);
    it.ask("PATCH", "/api/v1/nodes/{name}", &["here"], json!({ "draining": true }));
    it.ask("PATCH", "/api/v1/nodes/{name}?gone", &["there"], json!({ "draining": true }));
}

fn notifications(it: &mut Snapshots) {
    let (url, told) = receiver(vec![200]);
    let rule = json!({ "to": { "webhook": { "url": url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" } } });
    it.ask("PUT", "/api/v1/notifications/{name}", &["night"], rule);
    it.ask("GET", "/api/v1/notifications/{name}", &["night"], Value::Null);
    it.ask("GET", "/api/v1/notifications", &[], Value::Null);
    it.ask("POST", "/api/v1/notifications/{name}/test", &["night"], Value::Null);
    told.recv_timeout(Duration::from_secs(10)).unwrap();
    // The receiver knows before the store does.
    let began = Instant::now();
    while it.server.ask("GET", "/api/v1/deliveries", "").json()["items"][0]["state"] == "pending" {
        assert!(began.elapsed() < Duration::from_secs(10), "still pending");
        std::thread::sleep(Duration::from_millis(20));
    }
    it.ask("GET", "/api/v1/deliveries", &[], Value::Null);
    it.ask("DELETE", "/api/v1/notifications/{name}", &["night"], Value::Null);
}

fn tokens(it: &mut Snapshots) {
    it.ask("POST", "/api/v1/tokens/{name}", &["ci"], json!({ "role": "operator" }));
    it.ask("GET", "/api/v1/tokens", &[], Value::Null);
    it.ask("DELETE", "/api/v1/tokens/{name}", &["ci"], Value::Null);
}
