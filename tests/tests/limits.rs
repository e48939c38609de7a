//! How much is worked on at once, how much begins, and how much may be asked for.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use retake_tests::http::Server;
use retake_tests::{Retake, path};
use serde_json::{Value, json};

fn instant(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Returns when the tasks of these runs began and ended, once all have completed.
fn task_times(retake: &Retake, runs: &[String]) -> Vec<(jiff::Timestamp, jiff::Timestamp)> {
    let mut times = Vec::new();
    for run in runs {
        retake.expect(0, &["watch", run, "-w"]);
        let shown = retake.json(&["show", run]);
        let tasks = shown["tasks"].as_array().unwrap();
        times.extend(tasks.iter().map(|it| (instant(&it["began"]), instant(&it["ended"]))));
    }
    times
}

/// Returns how many of these were going on at once, at most.
fn at_once(times: &[(jiff::Timestamp, jiff::Timestamp)]) -> usize {
    let during = |at: jiff::Timestamp| times.iter().filter(|(began, ended)| *began <= at && at < *ended).count();
    times.iter().map(|(began, _)| during(*began)).max().unwrap_or(0)
}

/// A tag's limit counts over all runs; it can be moved and lifted while tasks wait.
#[test]
fn no_more_tasks_with_a_tag_are_made_at_once_than_was_said() {
    let retake = Retake::new();
    let _server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("effects"), "-n", "dev", "-p", "steps=16", "-p", "pause_ms=100"]);
    let start = |key: &str| retake.expect(0, &["run", "effects/dev", "-p", &format!("key={key}"), "-o", "id"]).out;
    let run = |keys: &[&str]| -> Vec<String> { keys.iter().map(|it| start(it).trim().to_owned()).collect() };
    let free = task_times(&retake, &run(&["a"]));
    assert!(at_once(&free) > 3, "nothing limits them yet: {free:?}");

    retake.expect(0, &["task-tags", "limit", "steps", "2"]);
    let limited = task_times(&retake, &run(&["b", "c", "d"]));
    assert_eq!((limited.len(), at_once(&limited)), (48, 2), "{limited:?}");
    assert_eq!(retake.json(&["task-tags", "ls"]), json!([{ "name": "steps", "concurrency": 2 }]));

    retake.expect(0, &["task-tags", "limit", "steps", "1"]);
    let runs = run(&["e", "f"]);
    std::thread::sleep(Duration::from_millis(300));
    retake.expect(0, &["task-tags", "rm", "steps"]);
    assert!(at_once(&task_times(&retake, &runs)) > 3, "what waited goes on when the limit is lifted");
    retake.expect(3, &["task-tags", "rm", "steps"]).is_an_error_with_a_hint("has no limit");
    retake.expect(2, &["task-tags", "limit", "steps", "0"]);
}

/// A limit holds also while runs are made beside others that are claimed.
#[test]
fn one_at_a_time_is_one_at_a_time() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let deploy = ["deploy", &path("orders"), "-n", "one", "--concurrency", "1", "-p", "pause_ms=3"];
    retake.expect(0, &deploy);
    let ask = || server.ask("POST", "/api/v1/flow-runs", r#"{ "deployment": "orders/one" }"#).json();
    let made = || -> Vec<String> { (0..30).map(|_| ask()["id"].as_str().unwrap().to_owned()).collect() };
    let runs: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(made)).collect();
        clients.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    let times = task_times(&retake, &runs);
    assert_eq!((times.len(), at_once(&times)), (3 * runs.len(), 1));
}

/// A limit that was set counts after a kill, too.
#[test]
fn limits_of_tags_are_kept() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["task-tags", "limit", "steps", "1"]);
    server.kill();
    let _server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("effects"), "-n", "dev", "-p", "pause_ms=50"]);
    let run = retake.expect(0, &["run", "effects/dev", "-p", "key=a", "-o", "id"]).out;
    assert_eq!(at_once(&task_times(&retake, &[run.trim().to_owned()])), 1);
}

/// Runs begin evenly, however many come at once.
#[test]
fn no_more_runs_begin_in_a_second_than_was_said() {
    let retake = Retake::new();
    let server = Server::start_with(&retake, &["--rate", "5"]);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-p", "customer=acme"]);
    for _ in 0..15 {
        assert_eq!(server.ask("POST", "/api/v1/flow-runs", r#"{"deployment": "orders/dev"}"#).status, 201);
    }
    let began = Instant::now();
    let mut starts = Vec::new();
    while starts.len() < 15 {
        assert!(began.elapsed() < Duration::from_secs(30), "{starts:?}");
        let runs = server.ask("GET", "/api/v1/flow-runs?state=completed", "").json()["items"].clone();
        starts = runs.as_array().unwrap().iter().map(|it| instant(&it["began"])).collect();
    }
    starts.sort();
    for (first, sixth) in starts.iter().skip(5).zip(&starts[10..]) {
        let took = (*sixth - *first).total(jiff::Unit::Second).unwrap();
        assert!(took > 0.9, "six began within {took} s: {starts:?}");
    }
    assert!(starts[14].duration_since(starts[0]).as_secs_f64() < 4.0, "and no fewer: {starts:?}");
}

/// When too much waits, whoever asks for more is told when to ask again, and nothing is made.
#[test]
fn a_full_system_says_so() {
    let retake = Retake::new();
    let server = Server::start_with(&retake, &["--flow-slots", "1", "--most-waiting", "3"]);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-p", "customer=acme", "-p", "pause_ms=300"]);
    let ask = || server.ask("POST", "/api/v1/flow-runs", r#"{"deployment": "orders/dev", "idempotency_key": "last"}"#);
    let mut refused = None;
    for _ in 0..40 {
        let answer = server.ask("POST", "/api/v1/flow-runs", r#"{"deployment": "orders/dev"}"#);
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 201, "{}", answer.body);
        std::thread::sleep(Duration::from_millis(50));
    }
    let refused = refused.expect("it was never full");
    assert_eq!(refused.json()["error"]["code"], "too-many", "{}", refused.body);
    let after: u64 = refused.header("retry-after").expect("says when to ask again").parse().unwrap();
    assert!((1..10).contains(&after), "{after}");
    assert_eq!(ask().status, 429);
    // Looking, and what makes no run, goes on.
    assert_eq!(server.ask("GET", "/api/v1/flow-runs", "").status, 200);
    retake.expect(6, &["run", "orders/dev"]).is_an_error_with_a_hint("wait");
    let began = Instant::now();
    while ask().status == 429 {
        assert!(began.elapsed() < Duration::from_secs(40), "it stays full");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(ask().status, 200, "the key makes no second one");
}

/// A token may ask so often; what it may not is answered with when it may again, and others are not held up.
#[test]
fn a_token_that_asks_for_too_much_waits() {
    let retake = Retake::new();
    let server = Server::start_with(&retake, &["--requests", "20"]);
    let other = retake.expect(0, &["tokens", "add", "other", "--role", "viewer"]).out;
    let statuses: Vec<u16> = (0..60).map(|_| server.ask("GET", "/api/v1/version", "").status).collect();
    let refused = statuses.iter().filter(|it| **it == 429).count();
    assert!((20..45).contains(&refused), "{statuses:?}");
    assert!(statuses.iter().all(|it| matches!(it, 200 | 429)));
    assert_eq!(server.ask_as(Some(other.trim()), "GET", "/api/v1/version", "").status, 200);
    let began = Instant::now();
    let refused = loop {
        let answer = server.ask("GET", "/api/v1/version", "");
        if answer.status == 429 {
            break answer;
        }
        assert!(began.elapsed() < Duration::from_secs(10));
    };
    assert_eq!(refused.header("retry-after"), Some("1"));
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(server.ask("GET", "/api/v1/version", "").status, 200);
}

/// Guessing tokens is made slow for whoever guesses, and for nobody else.
#[test]
fn whoever_guesses_tokens_waits() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let guess = |n: u32| server.ask_as(Some(&format!("rtk_{n}")), "GET", "/api/v1/version", "").status;
    let statuses: Vec<u16> = (0..400).map(guess).collect();
    assert!(statuses[..150].iter().all(|it| *it == 401), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(server.ask("GET", "/api/v1/version", "").status, 200);
    assert_eq!(server.ask_as(None, "GET", "/healthz", "").status, 200);
}

/// What is limited waits, and what is not goes on.
#[test]
fn no_more_runs_are_worked_on_at_once_than_was_said() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let slow = ["-p", "pause_ms=300", "-p", "customer=acme"];
    retake.expect(0, &[&["deploy", &path("orders"), "-n", "two", "--concurrency", "2"], &slow[..]].concat());
    retake.expect(0, &[&["deploy", &path("orders"), "-n", "one", "-q", "narrow"], &slow[..]].concat());
    retake.expect(0, &["deploy", &path("orders"), "-n", "free", "-p", "customer=acme"]);
    retake.expect(0, &["queues", "limit", "narrow", "1"]);
    for _ in 0..4 {
        for name in ["orders/two", "orders/one"] {
            let ask = json!({ "deployment": name }).to_string();
            assert_eq!(server.ask("POST", "/api/v1/flow-runs", &ask).status, 201);
        }
    }
    retake.expect(0, &["run", "orders/free", "-w"]);
    let mut most = std::collections::BTreeMap::new();
    let began = Instant::now();
    loop {
        let runs = server.ask("GET", "/api/v1/flow-runs", "").json()["items"].as_array().unwrap().clone();
        for name in ["orders/two", "orders/one"] {
            let active = runs.iter().filter(|it| it["deployment"] == name && it["state"] == "Running").count();
            let seen = most.entry(name).or_insert(0);
            *seen = active.max(*seen);
        }
        if runs.iter().all(|it| it["state"] == "Completed") {
            assert_eq!(runs.len(), 9);
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{runs:#?}");
    }
    assert_eq!(most, [("orders/one", 1), ("orders/two", 2)].into());
    // Nobody waits for longer than it takes: 4 of 0.9 s one after the other.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

/// Whoever asks for much does not keep others waiting (T43).
#[test]
fn slots_are_shared_out_between_deployments() {
    let retake = Retake::new();
    let server = Server::start_with(&retake, &["--flow-slots", "4"]);
    let slow = ["-p", "pause_ms=100", "-p", "customer=acme"];
    retake.expect(0, &[&["deploy", &path("orders"), "-n", "greedy"], &slow[..]].concat());
    retake.expect(0, &["deploy", &path("orders"), "-n", "modest", "-p", "customer=acme"]);
    for _ in 0..60 {
        assert_eq!(server.ask("POST", "/api/v1/flow-runs", r#"{"deployment": "orders/greedy"}"#).status, 201);
    }
    for _ in 0..3 {
        retake.expect(0, &["run", "orders/modest", "-w"]);
    }
    let waiting = server.ask("GET", "/api/v1/flow-runs?state=scheduled,late&limit=200", "").json()["items"].clone();
    let waiting = waiting.as_array().unwrap();
    assert!(waiting.len() > 20, "it came before those that were asked for earlier: {} wait", waiting.len());
    assert!(waiting.iter().all(|it| it["deployment"] == "orders/greedy"), "{waiting:#?}");
}

/// What waits is told by queue.
#[test]
fn what_waits_is_told_by_queue() {
    let retake = Retake::new();
    let server = Server::start_with(&retake, &["-q", "nobody-else"]);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-q", "night", "-p", "customer=acme"]);
    for _ in 0..3 {
        retake.expect(0, &["run", "orders/dev"]);
    }
    retake.expect(0, &["run", "orders/dev", "--in", "1h"]);
    let text = server.ask("GET", "/metrics", "").body;
    assert!(text.contains("retake_queue_depth{queue=\"night\"} 3"), "{text}");
    assert!(text.contains("retake_queue_age_seconds{queue=\"night\"} 0."), "{text}");
}

/// Uploads that do not get on hold nobody up, and lie in no memory; none leaves anything behind (A04, A05).
#[test]
fn uploads_that_stand_still_hold_nobody_up() {
    const STUCK: usize = 8;
    const SENT: usize = 30 << 20;
    let retake = Retake::new();
    let server = Server::start(&retake);
    let held = || std::fs::read_dir(retake.dir.path().join("data")).unwrap().count();
    let (memory, files) = (server.memory(), held());
    let stuck: Vec<TcpStream> = (0..STUCK)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            let head = format!(
                "POST /api/v1/components HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
                 Content-Length: {}\r\n\r\n",
                server.token,
                SENT * 2
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&vec![7; SENT]).unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let grown = server.memory().saturating_sub(memory);
    assert!(grown < (STUCK * SENT / 2) as u64, "{} MiB more", grown >> 20);
    assert_eq!(held(), files);
    drop(stuck);
}

/// A node that drains begins nothing, and goes on when it is told; it works on the queues that it was told of.
#[test]
fn a_node_is_drained_and_resumed() {
    let retake = Retake::new();
    let _server = Server::start_with(&retake, &["--node", "here", "-q", "day", "-q", "night"]);
    for queue in ["day", "night", "other"] {
        retake.expect(0, &["deploy", &path("orders"), "-n", queue, "-q", queue, "-p", "customer=acme"]);
    }
    let shown = retake.json(&["nodes", "ls"])[0].clone();
    assert_eq!((&shown["name"], &shown["queues"]), (&json!("here"), &json!(["day", "night"])), "{shown:#}");
    let run = |name: &str| retake.expect(0, &["run", name, "-o", "id"]).out.trim().to_owned();
    let state = |run: &str| retake.json(&["show", run])["state"].as_str().unwrap().to_owned();
    for name in ["orders/day", "orders/night"] {
        retake.expect(0, &["watch", &run(name), "-w"]);
    }
    let other = run("orders/other");
    assert!(retake.expect(0, &["nodes", "drain", "here"]).out.contains("takes no more runs"));
    retake.expect(3, &["nodes", "drain", "there"]).is_an_error_with_a_hint("no node `there`");
    let held = run("orders/day");
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(state(&held), "Scheduled");
    retake.expect(0, &["nodes", "resume", "here"]);
    retake.expect(0, &["watch", &held, "-w"]);
    assert_eq!(state(&other), "Scheduled", "nobody works on its queue");
}
