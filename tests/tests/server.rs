//! The server as people use it: deploy, run, be told, retry, watch; over HTTP and by the CLI.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use retake_tests::http::{Received, Server, receiver};
use retake_tests::{Retake, path, task};
use serde_json::{Value, json};

/// Waits until a run is in one of these states.
#[track_caller]
fn until(retake: &Retake, run: &str, states: &[&str]) -> Value {
    let began = Instant::now();
    loop {
        let shown = retake.json(&["show", run]);
        if states.contains(&shown["state"].as_str().unwrap()) {
            return shown;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "not {states:?}: {shown:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    let line = received.head.lines().find(|it| it.to_lowercase().starts_with(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no `{name}` in {}", received.head)).split_once(": ").unwrap().1
}

/// Somebody who deploys, runs and retries over HTTP.
struct Walk {
    address: String,
    token: String,
    component: String,
    moment: u64,
}

impl Walk {
    /// Asks, and returns the answer's JSON if there is one.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let body = body.to_string();
        let mut stream = std::net::TcpStream::connect(&self.address).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nIdempotency-Key: moment {}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.token,
            self.moment,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// Goes on until nobody answers; returns the run's name.
    fn all(&self) -> Option<String> {
        let deployment = format!("moment-{}", self.moment);
        let ask = json!({ "component": self.component, "parameters": { "fail_times": 1 } });
        self.ask("PUT", &format!("/api/v1/deployments/Manual%20retry/{deployment}"), &ask)?;
        let ask = json!({ "deployment": format!("Manual retry/{deployment}") });
        let run = self.ask("POST", "/api/v1/flow-runs", &ask)?;
        let name = run["name"].as_str()?.to_owned();
        loop {
            let shown = self.ask("GET", &format!("/api/v1/flow-runs/{name}"), &json!({}))?;
            match shown["state"].as_str()? {
                "Failed" => drop(self.ask(
                    "POST",
                    &format!("/api/v1/flow-runs/{name}/retry"),
                    &json!({ "expected_attempt": 1 }),
                )?),
                "Completed" => return Some(name),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// Checks a signature as a receiver would.
fn is_signed(received: &Received, secret: &str) -> bool {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    let (id, at) = (header(received, "webhook-id"), header(received, "webhook-timestamp"));
    mac.update(format!("{id}.{at}.{}", received.body).as_bytes());
    header(received, "webhook-signature") == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The walk that the product began with, word for word.
#[test]
fn a_run_fails_somebody_is_told_and_retries_it_until_it_succeeds() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let (url, told) = receiver(Vec::new());
    let secret = retake.expect(0, &["notify", "add", "night", "--webhook", &url]).out.trim().to_owned();

    retake.expect(0, &["deploy", &path("manual_retry"), "-n", "dev", "-q", "dev"]);
    let run = retake.json(&["run", "Manual retry/dev", "-p", "fail_times=2"])["name"].as_str().unwrap().to_owned();
    assert_eq!(until(&retake, &run, &["Failed"])["attempt"], 1);

    let message = told.recv_timeout(Duration::from_secs(10)).unwrap();
    let body: Value = serde_json::from_str(&message.body).unwrap();
    assert_eq!((&body["type"], &body["data"]["name"]), (&json!("flow-run.failed"), &json!(run)));
    assert_eq!(body["data"]["deployment"], "Manual retry/dev");
    assert!(is_signed(&message, &secret), "{message:?}");

    let failed = retake.expect(1, &["retry", &run, "-w"]);
    assert!(failed.err.contains("attempt 2 failed"), "{}", failed.err);
    assert!(!failed.err.contains("attempt 1 failed"), "only what is new is told: {}", failed.err);
    let done = retake.expect(0, &["retry", &run, "--until-success"]);
    let result: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(result, json!({ "attempt": 3, "starts": 1 }));
    let audit = retake.json(&["audit", &run]);
    let actions: Vec<&str> = audit.as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["retry", "retry", "start"]);
    assert_eq!(server.stop(), 0);
}

/// Who cancels a run wants no more of it, whoever else wanted it to succeed.
#[test]
fn until_success_is_not_until_somebody_gives_up() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("manual_retry"), "-n", "dev", "-p", "fail_times=99"]);
    retake.expect(1, &["run", "Manual retry/dev", "-w"]);
    let run = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let mut stubborn = retake.spawn(&["retry", &run, "--until-success", "--retries", "1", "--retry-delay", "1h"]);
    until(&retake, &run, &["AwaitingRetry"]);
    retake.expect(0, &["cancel", &run]);
    assert_eq!(stubborn.wait().unwrap().code(), Some(1));
    let run = retake.json(&["show", &run]);
    assert_eq!((&run["state"], &run["round"]), (&json!("Cancelled"), &json!(2)), "{run:#}");
    assert_eq!(server.stop(), 0);
}

/// What a run had used that was stopped is told, too.
#[test]
fn a_run_that_is_cancelled_shows_what_it_used() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("hostile"), "--flow", "spin", "-n", "dev"]);
    let run = retake.json(&["run", "spin/dev"])["name"].as_str().unwrap().to_owned();
    until(&retake, &run, &["Running"]);
    std::thread::sleep(Duration::from_millis(700));
    retake.expect(0, &["cancel", &run]);
    let attempts = until(&retake, &run, &["Cancelled"])["attempts"].clone();
    assert!(attempts[0]["evidence"]["cpu_us"].as_u64() > Some(50_000), "{attempts:#}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn only_what_failed_runs_again() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-p", "customer=acme", "-p", "load=fail"]);
    let failed = retake.expect(1, &["run", "orders/dev", "-w", "-o", "json"]);
    let run: Value = serde_json::from_str(&failed.out).unwrap();
    let name = run["name"].as_str().unwrap();
    assert!(failed.err.contains("results are kept"), "{}", failed.err);
    let plan = retake.json(&["retry", name, "--dry-run"]);
    let fates: Vec<&str> = plan["calls"].as_array().unwrap().iter().map(|it| it["fate"].as_str().unwrap()).collect();
    assert_eq!(fates.iter().filter(|it| **it == "runs-again").count(), 1, "{plan:#}");
    retake.expect(0, &["retry", name, "-p", "load=ok", "-w"]);
    let shown = retake.json(&["show", name]);
    assert_eq!(task(&shown, "extract")["state"], "Cached");
    // It is asked with another input now: another call.
    let mut loads = shown["tasks"].as_array().unwrap().iter().filter(|it| it["task"] == "load");
    assert_eq!(loads.next_back().unwrap()["state"], "Completed");
    drop(server);
}

/// At whatever moment the server dies: nothing is lost, and nothing is done twice.
#[test]
fn a_server_that_is_killed_goes_on_where_it_was() {
    let retake = Retake::new();
    let (url, told) = receiver(Vec::new());
    let mut server = Server::start(&retake);
    retake.expect(0, &["notify", "add", "night", "--webhook", &url]);
    retake.expect(0, &["deploy", &path("manual_retry"), "-n", "dev"]);
    let component = retake.json(&["components", "ls"])[0]["digest"].as_str().unwrap().to_owned();
    let walk = |server: &Server, moment| Walk {
        address: server.address.clone(),
        token: server.token.clone(),
        component: component.clone(),
        moment,
    };
    let mut names = Vec::new();
    for moment in 0..16u64 {
        // Deploy, run, retry: by somebody who goes on whatever is answered, and whose server dies meanwhile.
        let first = walk(&server, moment);
        let walking = std::thread::spawn(move || first.all());
        std::thread::sleep(Duration::from_millis(moment * 5));
        server.kill();
        walking.join().unwrap();
        server = Server::start(&retake);
        let name = walk(&server, moment).all().unwrap_or_else(|| panic!("no run of moment {moment}"));
        let shown = until(&retake, &name, &["Completed"]);
        assert_eq!((&shown["attempt"], &shown["result"]["attempt"]), (&json!(2), &json!(2)), "{shown:#}");
        retake.expect(6, &["retry", &name, "--expected-attempt", "1"]);
        names.push(name);
    }
    let all = retake.json(&["ps", "-n", "100"]);
    assert_eq!(all.as_array().unwrap().len(), names.len(), "each key made one run");
    // At least once each.
    let mut told_of = std::collections::BTreeSet::new();
    while told_of.len() < names.len() {
        let message = told.recv_timeout(Duration::from_secs(20)).unwrap();
        let body: Value = serde_json::from_str(&message.body).unwrap();
        told_of.insert(body["data"]["name"].as_str().unwrap().to_owned());
    }
}

#[test]
fn a_message_that_does_not_arrive_is_sent_again_under_the_same_id() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let (url, told) = receiver(vec![500]);
    retake.expect(0, &["notify", "add", "night", "--webhook", &url]);
    retake.expect(0, &["deploy", &path("manual_retry"), "-n", "dev", "-p", "fail_times=9"]);
    retake.expect(1, &["run", "Manual retry/dev", "-w"]);
    let first = told.recv_timeout(Duration::from_secs(10)).unwrap();
    let again = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(header(&first, "webhook-id"), header(&again, "webhook-id"));
    assert_eq!(first.body, again.body);
    let began = Instant::now();
    while retake.json(&["notify", "deliveries"])[0]["state"] != "delivered" {
        assert!(began.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(retake.expect(0, &["notify", "test", "night"]).out.starts_with("delivered"));
    let shown = server.ask("GET", "/api/v1/notifications/night", "").json();
    assert_eq!(shown["rule"]["to"]["webhook"]["secret"], Value::Null, "a secret is shown once");
    assert!(shown["rule"]["to"]["webhook"]["url"].as_str().unwrap().ends_with("/…"), "{shown}");
}

#[test]
fn tokens_may_do_what_their_role_says() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let mut tokens = vec![("nobody", None), ("admin", Some(server.token.clone()))];
    for role in ["viewer", "operator", "deployer"] {
        let said = retake.expect(0, &["tokens", "add", role, "--role", role]);
        tokens.push((role, Some(said.out.trim().to_owned())));
    }
    let rank = |role: &str| ["nobody", "viewer", "operator", "deployer", "admin"].iter().position(|it| *it == role);
    let document = server.ask("GET", "/api/v1/openapi.json", "").json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let needed = match (method.as_str(), path.as_str()) {
                (_, "/api/v1/tokens" | "/api/v1/tokens/{name}" | "/api/v1/audit") => "admin",
                ("put" | "patch" | "delete" | "post", it)
                    if ["nodes", "notifications", "queues", "task-tags", "secrets"]
                        .iter()
                        .any(|of| it[8..].starts_with(of)) =>
                {
                    "admin"
                }
                ("get", _) => "viewer",
                ("delete", "/api/v1/flow-runs/{run}") | ("post", "/api/v1/flow-runs/bulk-remove") => "deployer",
                (_, it) if it.starts_with("/api/v1/flow-runs") => "operator",
                _ => "deployer",
            };
            if path.starts_with("/api/v1/session") && method != "get" {
                continue; // Anybody may sign in and out, and hand a browser a code to: in `pages.rs`.
            }
            // What it names does not exist, so that whoever may ask changes nothing.
            let filled: Vec<&str> = path.split('/').map(|it| if it.starts_with('{') { "0" } else { it }).collect();
            if path.ends_with("/stream") && !path.contains('{') {
                continue; // Has no end.
            }
            for (role, token) in &tokens {
                let answer = server.ask_as(token.as_deref(), &method.to_uppercase(), &filled.join("/"), "[]");
                let expected = match (rank(role), rank(needed)) {
                    (Some(0), _) => answer.status == 401,
                    (has, needs) if has < needs => answer.status == 403,
                    _ => ![401, 403].contains(&answer.status) && answer.status < 500,
                };
                assert!(expected, "{role}: {method} {path}: {answer:?}");
                asked += 1;
            }
        }
    }
    assert!(asked > 150, "{asked}");
    for forged in ["", "rtk_", "x", &server.token[..20], &format!("{}x", server.token)] {
        assert_eq!(server.ask_as(Some(forged), "GET", "/api/v1/flow-runs", "").status, 401, "{forged}");
    }
    let in_query = format!("/api/v1/flow-runs?token={}", server.token);
    assert_eq!(server.ask_as(None, "GET", &in_query, "").status, 401);
    retake.expect(0, &["tokens", "rm", "operator"]);
    let revoked = tokens.iter().find(|it| it.0 == "operator").unwrap().1.clone();
    assert_eq!(server.ask_as(revoked.as_deref(), "GET", "/api/v1/flow-runs", "").status, 401);
    retake.expect(6, &["tokens", "rm", "admin"]).is_an_error_with_a_hint("the last token of an admin");
}

#[test]
fn what_is_wrong_is_said_in_one_form() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev"]);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (method, path, body, status, words) in [
        ("GET", "/nowhere", "", 404, "nothing at this address"),
        ("PATCH", "/api/v1/flow-runs", "", 405, "not asked by this method"),
        ("GET", "/api/v1/flow-runs?limit=1000000000", "", 400, "limit"),
        ("GET", "/api/v1/flow-runs?stat=failed", "", 400, "stat"),
        ("GET", "/api/v1/flow-runs?state=broken", "", 400, "no state `broken`"),
        ("GET", "/api/v1/flow-runs/quiet-otter", "", 404, "no run is called"),
        ("GET", "/api/v1/flow-runs/run_00000000000000000000000001", "", 404, "no flow run"),
        ("POST", "/api/v1/flow-runs", "{", 400, "the body"),
        ("POST", "/api/v1/flow-runs", &deep, 400, "nested"),
        ("POST", "/api/v1/flow-runs", "{}", 400, "nothing is named"),
        ("POST", "/api/v1/flow-runs/bulk-retry", "", 400, "no body"),
        ("POST", "/api/v1/flow-runs/bulk-cancel", r#"{"filter": {}}"#, 400, "chooses nothing"),
        ("POST", "/api/v1/flow-runs", r#"{"deploymint": "orders/dev"}"#, 400, "deploymint"),
        ("POST", "/api/v1/flow-runs", r#"{"deployment": "orders/prod"}"#, 404, "no deployment `orders/prod`"),
        (
            "POST",
            "/api/v1/flow-runs",
            r#"{"deployment": "orders/dev", "parameters": {"customer": 7}}"#,
            422,
            "do not fit",
        ),
        (
            "POST",
            "/api/v1/flow-runs",
            r#"{"deployment": "orders/dev", "policy": {"retries": 99999999}}"#,
            400,
            "retries",
        ),
        ("POST", "/api/v1/flow-runs", r#"{"deployment": "orders/dev", "at": "tomorrow"}"#, 400, "instant"),
        ("PUT", "/api/v1/deployments/orders/%2e%2e", r#"{"component": "0"}"#, 400, "means a folder"),
        ("PUT", "/api/v1/deployments/orders/new", "{}", 400, "missing field `component`"),
        ("PATCH", "/api/v1/deployments/orders/new", "{}", 404, "no deployment `orders/new`"),
        ("PUT", "/api/v1/deployments/orders/dev?version=7", r#"{"component": "latest"}"#, 409, "it is at version 1"),
        (
            "PUT",
            "/api/v1/schedules/s",
            r#"{"deployment":"orders/dev","when":{"cron":{"expression":"61 * * * *"}}}"#,
            400,
            "when",
        ),
        ("PUT", "/api/v1/notifications/n", r#"{"to":{"webhook":{"url":"ftp://x"}}}"#, 400, "to.url"),
        ("POST", "/api/v1/components", "\u{89}PNG", 422, "not a WebAssembly component"),
        ("DELETE", "/api/v1/components/ffff", "", 404, "no component"),
    ] {
        let answer = server.ask(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        let error = &answer.json()["error"];
        assert!(answer.body.contains(words), "{method} {path}: {answer:?}");
        for field in ["code", "message", "hint", "request_id"] {
            assert!(error[field].as_str().is_some_and(|it| !it.is_empty()), "{method} {path}: {answer:?}");
        }
        for says in ["x-content-type-options: nosniff", "cache-control: no-store", "referrer-policy: no-referrer"] {
            assert!(answer.head.to_lowercase().contains(says), "{method} {path}: {answer:?}");
        }
    }
    let large = server.send(&format!(
        "POST /api/v1/components HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Length: 99999999999\r\n\r\n",
        server.token
    ));
    assert_eq!(large.status, 413, "{large:?}");
}

/// The pages that show the API come from the binary, and load nothing from elsewhere.
#[test]
fn the_api_is_shown_in_a_browser() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let page = |path: &str| server.ask_as(None, "GET", path, "");
    assert_eq!(page("/docs").header("location"), Some("/docs/"));
    let first = page("/docs/");
    assert_eq!((first.status, first.header("content-type")), (200, Some("text/html")), "{}", first.head);
    assert!(first.header("content-security-policy").unwrap().contains("script-src 'self'"), "{}", first.head);
    assert!(!first.body.contains("://"), "it names another host: {}", first.body);
    let named = first.body.split(['"', '\'']).filter(|it| it.ends_with(".js") || it.ends_with(".css"));
    let named: Vec<&str> = named.map(|it| it.trim_start_matches("./")).collect();
    assert!(named.len() >= 4, "{named:?}");
    for name in named {
        assert_eq!(page(&format!("/docs/{name}")).status, 200, "{name}");
    }
    assert!(page("/docs/swagger-initializer.js").body.contains("/api/v1/openapi.json"));
    for nowhere in ["/docs/nothing.js", "/docs/..%2f..%2fetc%2fpasswd"] {
        assert_eq!(page(nowhere).status, 404, "{nowhere}");
    }
}

#[test]
fn pages_of_others_cannot_ask() {
    let retake = Retake::new();
    let server = Server::start_with(&retake, &["--host", "retake.example"]);
    // The token that is kept is for the server that left it, and for no other.
    let (elsewhere, told) = receiver(vec![404]);
    retake.say(&["ps", "--server", elsewhere.trim_end_matches("/hook")]);
    let head = told.recv_timeout(Duration::from_secs(10)).unwrap().head;
    assert!(!head.to_lowercase().contains("authorization"), "{head}");
    let ask = |headers: &str| {
        let token = &server.token;
        server.send(&format!(
            "GET /api/v1/flow-runs HTTP/1.1\r\n{headers}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        ))
    };
    for (headers, status) in [
        ("Host: localhost:7420\r\n", 200),
        ("Host: 127.0.0.1\r\n", 200),
        ("Host: [::1]:7420\r\n", 200),
        ("Host: retake.example\r\n", 200),
        ("Host: evil.example\r\n", 421),
        ("Host: localhost.evil.example\r\n", 421),
        ("Host: localhost:7420\r\nOrigin: http://localhost:7420\r\n", 200),
        ("Host: localhost:7420\r\nOrigin: http://localhost:3000\r\n", 403),
        ("Host: localhost:7420\r\nOrigin: https://retake.example\r\n", 200),
        ("Host: localhost\r\nOrigin: https://evil.example\r\n", 403),
        ("Host: localhost\r\nOrigin: null\r\n", 403),
    ] {
        assert_eq!(ask(headers).status, status, "{headers}");
    }
    let reached = retake.say(&["server", "--listen", "0.0.0.0:0", "--data", "elsewhere"]);
    assert_eq!(reached.exit, Some(2));
    reached.is_an_error_with_a_hint("tokens could be read");
}

#[test]
fn a_schedule_makes_one_run_of_each_slot_also_across_kills() {
    let retake = Retake::new();
    let mut server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("manual_retry"), "-n", "dev", "-p", "fail_times=0"]);
    retake.expect(0, &["schedules", "add", "often", "Manual retry/dev", "--every", "1s", "--catch-up", "all"]);
    let mut chance = fastrand::Rng::with_seed(4);
    for _ in 0..12 {
        std::thread::sleep(Duration::from_millis(chance.u64(50..1100)));
        server.kill();
        server = Server::start(&retake);
    }
    std::thread::sleep(Duration::from_millis(1500));
    retake.expect(0, &["schedules", "pause", "often"]);
    assert_eq!(server.stop(), 0);
    let store = retake_store::SqliteStore::open_read_only(&retake.dir.path().join("data")).unwrap();
    let all = retake_store::RunFilter { limit: 100, ..Default::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let now = retake_core::time::Timestamp::from_micros(0);
    let runs = runtime.block_on(retake_store::Store::list(&store, all, now)).unwrap();
    let slot = |it: &retake_store::RunRecord| -> jiff::Timestamp {
        let key = it.asked.idempotency_key.clone().unwrap();
        key.strip_prefix("schedule:often:").unwrap_or_else(|| panic!("{key}")).parse().unwrap()
    };
    let mut slots: Vec<jiff::Timestamp> = runs.iter().map(slot).collect();
    slots.sort();
    assert!(slots.len() >= 5, "{slots:?}");
    // From the first slot to the last there is one run for each second.
    for pair in slots.windows(2) {
        assert_eq!(
            (pair[1] - pair[0]).get_milliseconds() + (pair[1] - pair[0]).get_seconds() * 1000,
            1000,
            "{slots:?}"
        );
    }
}

#[test]
fn without_a_server_each_command_serves_itself() {
    let retake = Retake::new();
    assert!(retake.expect(0, &["deployments", "ls"]).out.contains("nothing is deployed yet"));
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev"]);
    let same = retake.json(&["deploy", &path("orders"), "-n", "dev"]);
    assert_eq!((&same["applied"], &same["created"]), (&json!(false), &json!(false)));
    let dry = retake.json(&["deploy", &path("orders"), "-n", "dev", "-q", "fast", "--dry-run"]);
    assert_eq!(dry["changes"], json!([{ "what": "queue", "from": "default", "to": "fast" }]));
    let digest = same["deployment"]["component"].as_str().unwrap();
    retake.expect(6, &["components", "rm", digest]).is_an_error_with_a_hint("in use");
    retake.expect(5, &["run", "orders/dev"]).is_an_error_with_a_hint("no server works on it");
    retake.expect(0, &["deployments", "rm", "orders/dev"]);
    retake.expect(0, &["components", "rm", digest]);
    retake.expect(5, &["ps", "--server", "http://127.0.0.1:9"]).is_an_error_with_a_hint("does not answer");
}

/// The same key makes one run, whatever was changed since; for something else it is refused.
#[test]
fn a_key_makes_one_run_whatever_was_changed_since() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev"]);
    retake.expect(0, &["deploy", &path("orders"), "-n", "prod"]);
    let ask = |deployment: &str, customer: &str| {
        let parameters = json!({ "customer": customer });
        let body = json!({ "deployment": deployment, "idempotency_key": "k", "parameters": parameters });
        server.ask("POST", "/api/v1/flow-runs", &body.to_string())
    };
    let first = ask("orders/dev", "acme");
    assert_eq!(first.status, 201, "{first:?}");
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-p", "pause_ms=7", "-q", "fast"]);
    let again = ask("orders/dev", "acme");
    assert_eq!((again.status, &again.json()["id"]), (200, &first.json()["id"]), "{again:?}");
    assert_eq!(ask("orders/prod", "acme").status, 409);
    assert_eq!(ask("orders/dev", "globex").status, 409);
    retake.expect(0, &["deployments", "rm", "orders/dev"]);
    assert_eq!(ask("orders/dev", "acme").status, 200);
    let taken = json!({ "deployment": "orders/prod", "idempotency_key": "schedule:s:2026-01-01T00:00:00.000Z" });
    assert_eq!(server.ask("POST", "/api/v1/flow-runs", &taken.to_string()).status, 400);
}

/// Slots that come while a run has not ended wait for it, and none is lost.
#[test]
fn queued_slots_make_their_runs_one_after_the_other() {
    let retake = Retake::new();
    let _server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("retry_it"), "-n", "dev", "-p", "fail_times=1", "--retry-delay", "3s"]);
    retake.expect(0, &["schedules", "add", "often", "retry-it/dev", "--every", "1s", "--overlap", "queue"]);
    let began = Instant::now();
    loop {
        let runs = retake.json(&["ps", "-n", "100"]);
        let open = runs.as_array().unwrap().iter().filter(|it| it["state"] != "Completed").count();
        assert!(open <= 1, "{runs:#}");
        let shown = retake.json(&["schedules", "show", "often"]);
        if runs.as_array().unwrap().len() >= 2 && shown["queued"].as_array().unwrap().len() >= 2 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{runs:#} {shown:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
    // A deployment that is paused makes none of those that wait, and loses none.
    retake.expect(0, &["deployments", "pause", "retry-it/dev"]);
    std::thread::sleep(Duration::from_millis(600));
    let count = || retake.json(&["ps", "-n", "100"]).as_array().unwrap().len();
    let queued = || retake.json(&["schedules", "show", "often"])["queued"].as_array().unwrap().len();
    let (made, waiting) = (count(), queued());
    std::thread::sleep(Duration::from_millis(3500));
    assert_eq!((count(), queued()), (made, waiting));
    retake.expect(0, &["deployments", "resume", "retry-it/dev"]);
    let began = Instant::now();
    while count() == made {
        assert!(began.elapsed() < Duration::from_secs(10), "nothing goes on");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_stream_ends_with_its_run_and_with_its_token() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-p", "customer=acme"]);
    retake.expect(0, &["run", "orders/dev", "-w"]);
    let id = retake.json(&["ps"])[0]["id"].as_str().unwrap().to_owned();
    let told = server.ask("GET", &format!("/api/v1/flow-runs/{id}/events/stream"), "");
    assert!(told.body.contains("\"kind\":\"task-ended\""), "{told:?}");
    assert!(told.body.trim_end().ends_with("data: {}"), "{told:?}");
    let lost = server.send(&format!(
        "GET /api/v1/flow-runs/{id}/events/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Last-Event-ID: 1-1\r\nConnection: close\r\n\r\n",
        server.token
    ));
    assert!(lost.body.contains("event: resync"), "{lost:?}");
    let text = server.ask("GET", "/metrics", "").body;
    for line in [
        "retake_task_attempts_total{outcome=\"completed\"} 3",
        "retake_sandboxes_total 4",
        "retake_slots{of=\"task_attempts\"} 512",
        "retake_slots_used{of=\"flow_runs\"} 0",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    let viewer = retake.expect(0, &["tokens", "add", "v", "--role", "viewer"]).out.trim().to_owned();
    std::thread::scope(|scope| {
        let all = scope.spawn(|| server.ask_as(Some(&viewer), "GET", "/api/v1/events/stream", ""));
        std::thread::sleep(Duration::from_millis(300));
        retake.expect(0, &["tokens", "rm", "v"]);
        assert_eq!(all.join().unwrap().status, 200);
    });
    let began = Instant::now();
    assert_eq!(server.stop(), 0);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_happens_is_told_live() {
    let retake = Retake::new();
    let _server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-p", "customer=acme"]);
    let said = retake.expect(0, &["run", "orders/dev", "-w"]);
    for words in ["extract", "enrich", "load", "Completed"] {
        assert!(said.err.contains(words), "{}", said.err);
    }
    let name = retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned();
    let followed = retake.expect(0, &["logs", &name, "-f"]);
    let printed = retake.expect(0, &["logs", &name]);
    assert_eq!(followed.out, printed.out);
}

/// A receiver that takes a message and says nothing for its ten seconds is in nobody's way.
#[test]
fn a_silent_receiver_holds_up_nobody_else() {
    let retake = Retake::new();
    let _server = Server::start(&retake);
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, told) = receiver(Vec::new());
    retake.expect(0, &["notify", "add", "a-hole", "--webhook", &format!("http://{}/", hole.local_addr().unwrap())]);
    retake.expect(0, &["notify", "add", "fine", "--webhook", &url]);
    retake.expect(0, &["deploy", &path("manual_retry"), "-n", "dev", "-p", "fail_times=9"]);
    for _ in 0..3 {
        retake.expect(1, &["run", "Manual retry/dev", "-w"]);
        told.recv_timeout(Duration::from_secs(6)).unwrap();
    }
}

/// What was typed for several runs counts for each of them.
#[test]
fn several_runs_are_retried_as_was_typed() {
    let retake = Retake::new();
    let _server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("manual_retry"), "-n", "dev", "-p", "fail_times=9"]);
    for _ in 0..2 {
        retake.expect(1, &["run", "Manual retry/dev", "-w"]);
    }
    let all = ["retry", "--state", "failed", "--since", "1h"];
    retake.expect(2, &[&all[..], &["-p", "fail_times=0"]].concat()).is_an_error_with_a_hint("of one flow");
    retake.expect(2, &[&all[..], &["--expected-attempt", "1"]].concat());
    let of_flow = [&all[..], &["--flow", "Manual retry", "-p", "fail_times=0"]].concat();
    let said = retake.expect(0, &[&of_flow[..], &["--dry-run"]].concat());
    assert!(said.err.contains("2 runs would be retried"), "{}", said.err);
    retake.expect(0, &[&of_flow[..], &["--version", &path("manual_retry"), "-w"]].concat());
    for run in retake.json(&["ps"]).as_array().unwrap() {
        assert_eq!((&run["state"], &run["parameters"]["fail_times"]), (&json!("Completed"), &json!(0)), "{run:#}");
    }
}

/// A deploy with a schedule changes of it what was typed, and no schedule of another deployment.
#[test]
fn a_deploy_leaves_the_rest_of_its_schedule() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let deploy = ["deploy", &path("orders"), "-n", "dev"];
    retake.expect(0, &[&deploy[..], &["--cron", "0 6 * * *", "--overlap", "skip"]].concat());
    retake.expect(0, &["schedules", "pause", "orders.dev"]);
    retake.expect(0, &[&deploy[..], &["--cron", "0 7 * * *", "--jitter", "1m"]].concat());
    let kept = retake.json(&["schedules", "show", "orders.dev"])["schedule"].clone();
    let said = (&kept["paused"], &kept["overlap"], &kept["jitter_ms"], &kept["when"]["cron"]["expression"]);
    assert_eq!(said, (&json!(true), &json!("skip"), &json!(60_000), &json!("0 7 * * *")), "{kept:#}");
    let other = json!({ "deployment": "orders/dev", "when": { "every": { "interval_ms": 60_000 } } });
    assert_eq!(server.ask("PUT", "/api/v1/schedules/orders.prod", &other.to_string()).status, 200);
    retake
        .expect(6, &["deploy", &path("orders"), "-n", "prod", "--every", "1m"])
        .is_an_error_with_a_hint("is of the deployment `orders/dev`");
}

/// The store's writer is behind nobody, and no longer waits for as many equals as there are cores.
#[test]
fn one_thread_gives_way_to_the_writer() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let threads = server.threads();
    let niceness = |name| threads.iter().filter(|it| it.0 == name).map(|it| it.1).collect::<Vec<_>>();
    let (writer, workers) = (niceness("store-writer"), niceness("tokio-rt-worker"));
    assert_eq!(writer, niceness("retake"), "{threads:?}");
    let cores = std::thread::available_parallelism().unwrap().get();
    let behind = workers.iter().filter(|it| **it > writer[0]).count();
    assert!((cores == 1) == (behind == 0) && behind < workers.len(), "{threads:?}");
}
