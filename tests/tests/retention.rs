//! Old runs are removed when they are to be, and nothing else is.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::time::{Duration, Instant};

use retake_tests::http::Server;
use retake_tests::{Retake, path};
use serde_json::Value;

/// Returns the states of all runs by deployment, sorted.
fn runs(retake: &Retake) -> Vec<(String, String)> {
    let all = retake.json(&["ps", "-n", "100"]);
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> =
        all.as_array().unwrap().iter().map(|it| (text(&it["deployment"]), text(&it["state"]))).collect();
    all.sort();
    all
}

fn of(deployment: &str, state: &str) -> (String, String) {
    (deployment.to_owned(), state.to_owned())
}

/// A dry run says how many; what is removed is gone with its log and its key; what has not ended stays.
#[test]
fn a_deployment_is_pruned() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-p", "customer=acme"]);
    retake.expect(0, &["deploy", &path("orders"), "-n", "other", "-p", "customer=acme"]);
    retake.expect(0, &["run", "orders/dev", "-w", "--key", "once"]);
    retake.expect(1, &["run", "orders/dev", "-w", "-p", "load=fail"]);
    retake.expect(0, &["run", "orders/dev", "--in", "1h"]);
    retake.expect(0, &["run", "orders/other", "-w"]);
    let all = runs(&retake);
    std::thread::sleep(Duration::from_millis(1100));

    let prune = ["deployments", "prune", "orders/dev"];
    retake.expect(2, &prune).is_an_error_with_a_hint("keeps its runs for ever");
    let would = retake.json(&[&prune[..], &["--ended-before", "1s", "--dry-run"]].concat());
    assert_eq!((&would["runs"], &would["applied"], &would["more"]), (&2.into(), &false.into(), &false.into()));
    assert_eq!(runs(&retake), all, "a dry run removes nothing");
    let later = retake.json(&[&prune[..], &["--ended-before", "1h", "--dry-run"]].concat());
    assert_eq!(later["runs"], 0);
    retake
        .expect(2, &["deploy", &path("orders"), "-n", "dev", "--retention", "5s"])
        .is_an_error_with_a_hint("retention");
    assert_eq!(
        retake.json(&["deploy", &path("orders"), "-n", "dev", "--retention", "30d"])["changes"][0]["what"],
        "retention"
    );
    assert_eq!(retake.json(&prune)["runs"], 0, "its own retention counts");

    assert_eq!(retake.json(&[&prune[..], &["--ended-before", "1s"]].concat())["runs"], 2);
    assert_eq!(runs(&retake), [of("orders/dev", "Scheduled"), of("orders/other", "Completed")]);
    let again = server.ask("POST", "/api/v1/flow-runs", r#"{"deployment": "orders/dev", "idempotency_key": "once"}"#);
    assert_eq!(again.status, 201, "the key went with its run: {}", again.body);
    let audit = retake.json(&["audit", "orders/dev"]);
    assert!(audit.as_array().unwrap().iter().any(|it| it["action"] == "prune"), "{audit:#}");
    assert_eq!(server.stop(), 0);
    assert!(retake.expect(0, &["db", "check"]).out.contains("all is well"));
}

/// One run is removed by name, once it has ended, with the runs below it.
#[test]
fn a_run_is_removed_with_its_children() {
    let retake = Retake::new();
    let _server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("parent"), "--flow", "parent", "-n", "dev"]);
    let run = retake.say(&["run", "parent/dev", "-w", "-o", "id"]).out.trim().to_owned();
    let all = retake.json(&["ps", "--all"]);
    let child = all.as_array().unwrap().iter().find(|it| it["parent"] == run.as_str()).unwrap()["id"].clone();
    retake.expect(6, &["rm", child.as_str().unwrap()]).is_an_error_with_a_hint("child of another run");
    let waits = retake.expect(0, &["run", "parent/dev", "--in", "1h", "-o", "id"]).out.trim().to_owned();
    retake.expect(6, &["rm", &waits]).is_an_error_with_a_hint("has not ended");
    retake.expect(0, &["rm", &run]);
    retake.expect(3, &["show", &run]);
    let left = retake.json(&["ps", "--all"]);
    assert_eq!(left.as_array().unwrap().len(), 1, "{left:#}");
}

/// Has all runs made and ended two hours earlier. Ids begin with the time of making.
fn age(retake: &Retake) {
    let script = "
import sqlite3, sys
db, back = sqlite3.connect(sys.argv[1]), 2 * 3600 * 1000
for row, id in db.execute('SELECT row, id FROM flow_run').fetchall():
    id = (int.from_bytes(id[:6]) - back).to_bytes(6) + id[6:]
    db.execute('UPDATE flow_run SET id = ?, root = ?, created = created - ?, ended = ended - ? WHERE row = ?',
               (id, id, back * 1000, back * 1000, row))
db.commit()
";
    let file = retake.dir.path().join("data/retake.db");
    let done = std::process::Command::new("python3").args(["-c", script]).arg(file).status().unwrap();
    assert!(done.success());
}

/// What the server's own retention says counts where a deployment says nothing.
#[test]
fn a_server_removes_old_runs_by_itself() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("orders"), "-n", "dev", "-p", "customer=acme"]);
    retake.expect(0, &["deploy", &path("orders"), "-n", "kept", "-p", "customer=acme", "--retention", "365d"]);
    for name in ["orders/dev", "orders/kept"] {
        retake.expect(0, &["run", name, "-w"]);
    }
    assert_eq!(server.stop(), 0);
    let refused = retake.expect(2, &["server", "--listen", "127.0.0.1:0", "--retention", "1s"]);
    assert!(refused.err.contains("a minute at least"), "{}", refused.err);
    age(&retake);
    let _server = Server::start_with(&retake, &["--retention", "1h"]);
    let began = Instant::now();
    while runs(&retake) != [of("orders/kept", "Completed")] {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", runs(&retake));
        std::thread::sleep(Duration::from_millis(50));
    }
}
