//! What goes wrong around a server that works, and what somebody does to a run that it works on.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use retake_tests::http::Server;
use retake_tests::{Retake, component, path, task};
use serde_json::{Value, json};

/// Clients that ask at the same time.
const CLIENTS: usize = 64;
/// How long a stranger holds the database.
const HELD: Duration = Duration::from_secs(3);

/// Another program that holds the lock of a database.
struct Stranger(Child);

impl Stranger {
    fn hold(database: &Path) -> Self {
        let program = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); \
                       db.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read(); db.execute('COMMIT')";
        let mut python = Command::new("python3");
        python.args(["-c", program]).arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n");
        Self(child)
    }

    fn let_go(&mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn f14_a_stranger_who_locks_the_database_delays_everybody_and_fails_nobody() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev"]);
    let mut stranger = Stranger::hold(&retake.dir.path().join("data/retake.db"));
    let began = Instant::now();
    let ask = |client: usize| {
        let body = json!({ "deployment": "orders/dev", "idempotency_key": format!("client {client}") });
        server.ask("POST", "/api/v1/flow-runs", &body.to_string())
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || ask(client))).collect();
        std::thread::sleep(HELD);
        assert!(!asked.iter().any(|it| it.is_finished()), "nothing is said to be kept while nothing can be");
        // Who only reads is not held up.
        assert_eq!(server.ask("GET", "/api/v1/flow-runs", "").status, 200);
        stranger.let_go();
        asked.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(began.elapsed() < HELD + Duration::from_secs(10), "{:?}", began.elapsed());
    for answer in &answers {
        assert_eq!(answer.status, 201, "{answer:?}");
        retake.expect(0, &["watch", answer.json()["name"].as_str().unwrap(), "-q"]);
    }
    let runs = retake.json(&["ps", "-n", "1000"]);
    assert_eq!(runs.as_array().unwrap().len(), CLIENTS);
    assert!(runs.as_array().unwrap().iter().all(|it| it["state"] == "Completed"), "{runs:#}");
    let log = std::fs::metadata(retake.dir.path().join("data/retake.db-wal")).unwrap().len();
    assert!(log <= 64 << 20, "the log has {log} bytes");
}

/// The process of the compiler that a server has started, if there is one.
fn compiler(of: u32) -> Option<u32> {
    let is_it = |process: &u32| {
        let read = |what: &str| std::fs::read_to_string(format!("/proc/{process}/{what}")).unwrap_or_default();
        let parent = read("stat").rsplit_once(") ").and_then(|(_, it)| it.split(' ').nth(1)?.parse::<u32>().ok());
        parent == Some(of) && read("cmdline").contains("compile-component")
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    all.into_iter().find(is_it)
}

#[test]
fn f09_a_compiler_that_is_killed_takes_nothing_with_it() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev"]);
    let large = std::fs::read(component("go")).unwrap();
    let answer = std::thread::scope(|scope| {
        let uploaded = scope.spawn(|| server.upload(&large));
        let began = Instant::now();
        let process = loop {
            if let Some(process) = compiler(server.process()) {
                break rustix::process::Pid::from_raw(process.cast_signed()).unwrap();
            }
            assert!(began.elapsed() < Duration::from_secs(30) && !uploaded.is_finished(), "nothing is compiled apart");
            std::thread::sleep(Duration::from_millis(1));
        };
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        uploaded.join().unwrap()
    });
    assert!((400..=503).contains(&answer.status), "{answer:?}");
    assert!(answer.body.contains("the compiler ended early"), "{answer:?}");
    // The server has not noticed, and nothing of the upload is left.
    let run = retake.expect(0, &["run", "orders/dev", "-o", "id"]).out;
    retake.expect(0, &["watch", run.trim(), "-q"]);
    let again = server.upload(&large);
    assert_eq!(again.status, 201, "{again:?}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_run_that_is_worked_on_is_paused_and_goes_on_without_doing_anything_twice() {
    let retake = Retake::new();
    let _server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-p", "pause_ms=3000"]);
    let run = retake.expect(0, &["run", "orders/dev", "-o", "id"]).out.trim().to_owned();
    let shown = || retake.json(&["show", &run]);
    let began = Instant::now();
    while shown()["tasks"].as_array().is_none_or(Vec::is_empty) {
        assert!(began.elapsed() < Duration::from_secs(30), "{:#}", shown());
        std::thread::sleep(Duration::from_millis(20));
    }
    // In the midst of a task, which may end; no other begins.
    retake.expect(0, &["pause", &run]);
    let paused = shown();
    assert_eq!(paused["state"], "Paused", "{paused:#}");
    let completed = |it: &Value| it["tasks"].as_array().unwrap().iter().filter(|it| it["state"] == "Completed").count();
    assert!((1..3).contains(&completed(&paused)), "{paused:#}");
    std::thread::sleep(Duration::from_millis(3500));
    assert_eq!(completed(&shown()), completed(&paused), "it is paused");
    retake.expect(0, &["resume", &run]);
    retake.expect(0, &["watch", &run, "-q"]);
    let done = shown();
    assert_eq!((&done["state"], &done["attempt"]), (&json!("Completed"), &json!(1)), "{done:#}");
    for name in ["extract", "enrich", "load"] {
        assert_eq!(task(&done, name)["attempts"], 1, "{done:#}");
    }
}

/// A terminal that is closed stops a command in good order: nobody has lost a host. Whom `nohup` keeps from hearing of
/// it goes on.
#[test]
fn a_closed_terminal_is_no_crash() {
    let retake = Retake::new();
    let hang_up = |hears: &str| {
        // Whoever runs this test may itself have been started not to hear of it.
        let command = retake.command(&["run", &path("orders"), "-p", "pause_ms=700"]);
        let mut env = Command::new("env");
        env.arg(hears).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            env.env(name, value.unwrap_or_default());
        }
        let mut child = env.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|it| it.unwrap().contains("extract")), "it never began");
        assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
        // Read to the end, so that it can be written.
        lines.for_each(drop);
        (child.wait().unwrap().code(), retake.json(&["ps"])[0]["name"].as_str().unwrap().to_owned())
    };
    let (exit, run) = hang_up("--default-signal=HUP");
    assert_eq!(exit, Some(130));
    let shown = retake.json(&["show", &run]);
    assert!(shown["events"].as_array().unwrap().iter().all(|it| it["kind"] != "host-lost"), "{shown:#}");
    assert_eq!(retake.json(&["watch", &run])["state"], "Completed");
    assert_eq!(hang_up("--ignore-signal=HUP").0, Some(0));
}

#[test]
fn a_list_that_is_shown_again_and_again_ends_with_its_reader() {
    let retake = Retake::new();
    retake.expect(0, &["run", &path("orders")]);
    for format in [&["ps", "-w"][..], &["ps", "-w", "-o", "id"]] {
        let mut child = retake.command(format).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ended = (0..100).find_map(|_| {
            std::thread::sleep(Duration::from_millis(100));
            child.try_wait().unwrap()
        });
        assert!(ended.is_some(), "{format:?} goes on");
    }
}
