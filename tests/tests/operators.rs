//! What operators run into: schedules that cannot run, messages, backups that are brought back, room on the disk.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::time::Duration;

use retake_tests::http::{Server, receiver};
use retake_tests::{Retake, component, path, set_secret, until};
use serde_json::{Value, json};

#[test]
fn a_schedule_that_cannot_make_runs_is_refused_and_one_that_makes_none_says_so() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["deploy", &path("family"), "--flow", "crowd", "-n", "dev"]);
    let add = ["schedules", "add", "often", "crowd/dev", "--every", "1s"];
    retake.expect(2, &add).is_an_error_with_a_hint("ms");
    assert_eq!(retake.json(&["schedules", "ls"]), json!([]), "nothing is kept of it");
    retake
        .expect(2, &[&add[..], &["--tz", "Europe/Berlin"]].concat())
        .is_an_error_with_a_hint("`--tz` is for `--cron`");

    // It fits when it is made, and no longer when the deployment loses a parameter.
    let (url, messages) = receiver(vec![200; 20]);
    retake.expect(0, &["notify", "add", "night", "--webhook", &url]);
    retake.expect(0, &["deploy", &path("family"), "--flow", "crowd", "-n", "dev", "-p", "ms=0"]);
    retake.expect(0, &add);
    until("it has made a run", || (retake.json(&["schedules", "ls"])[0]["last"].is_string()).then_some(()));
    let answer = server.ask("PATCH", "/api/v1/deployments/crowd/dev", r#"{"parameters": {}}"#);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let failed = until("a slot has failed", || {
        let it = retake.json(&["schedules", "ls"])[0]["failed"].clone();
        it.is_object().then_some(it)
    });
    assert!(failed["error"].as_str().unwrap().contains("ms"), "{failed:#}");
    let said = retake.expect(0, &["schedules", "ls"]).out;
    assert!(said.contains("MADE NO RUN") && said.contains("ms"), "{said}");
    let message = until("somebody is told", || {
        let body: Value = serde_json::from_str(&messages.recv_timeout(Duration::from_secs(20)).ok()?.body).ok()?;
        (body["type"] == "schedule.failed").then_some(body)
    });
    assert_eq!((&message["data"]["schedule"], &message["data"]["subject"]), (&json!("often"), &json!("crowd/dev")));
    // What is wrong is told once, and not each second.
    assert!(messages.recv_timeout(Duration::from_secs(3)).is_err());
}

#[test]
fn a_message_tells_what_was_so_when_it_happened() {
    let retake = Retake::new();
    let _server = Server::start(&retake);
    let (url, messages) = receiver(vec![200; 20]);
    retake.expect(0, &["notify", "add", "night", "--webhook", &url, "--state", "failed"]);
    retake.expect(0, &["deploy", &path("family"), "--flow", "failing", "-n", "dev", "--retries", "0"]);
    for _ in 0..5 {
        retake.expect(1, &["run", "failing/dev", "-w"]);
        // At once, before anybody was told.
        let name = retake.json(&["ps", "-n", "1"])[0]["name"].as_str().unwrap().to_owned();
        retake.expect(0, &["retry", &name, "--retry-delay", "0s"]);
        let message = messages.recv_timeout(Duration::from_secs(20)).unwrap();
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body["data"]["failure"]["code"], "not.yet", "{body:#}");
        while messages.recv_timeout(Duration::from_millis(1500)).is_ok() {}
    }
}

#[test]
fn a_backup_is_brought_back_to_an_empty_machine() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    retake.expect(0, &["tokens", "add", "people", "--role", "operator"]);
    set_secret(&retake, "shop-token", "open-sesame");
    retake.expect(0, &["deploy", &path("family"), "--flow", "crowd", "-n", "dev"]);
    retake.expect(0, &["run", "crowd/dev", "-p", "ms=0", "-w"]);
    let backups = tempfile::tempdir().unwrap();
    let (without, with) = (backups.path().join("without"), backups.path().join("with"));
    let said = retake.expect(0, &["db", "backup", without.to_str().unwrap()]);
    assert!(said.err.contains("not in it: the key of the secrets"), "{}", said.err);
    retake.expect(0, &["db", "backup", with.to_str().unwrap(), "--with-key"]);
    server.kill();

    let elsewhere = Retake::new();
    let said = elsewhere.expect(0, &["db", "restore", without.to_str().unwrap(), "--dry-run"]);
    assert!(said.err.contains("the key of the secrets"), "{}", said.err);
    assert_eq!(elsewhere.json(&["ps"]), json!([]), "a dry run brings nothing back");
    elsewhere.expect(0, &["db", "restore", with.to_str().unwrap()]);
    // The commands of the new machine are let in, and everything is there.
    let _server = Server::start(&elsewhere);
    assert_eq!(elsewhere.json(&["ps"])[0]["state"], "Completed");
    assert_eq!(elsewhere.json(&["secrets", "ls"])[0]["name"], "shop-token");
    let names: Vec<Value> =
        elsewhere.json(&["tokens", "ls"]).as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert!(names.contains(&json!("people")), "{names:?}");
    elsewhere.expect(0, &["run", "crowd/dev", "-p", "ms=0", "-w"]);
    // The secret can be opened: it is granted to whoever asks for it, which a deployment that grants it shows.
    elsewhere.expect(0, &["deploy", &path("family"), "--flow", "crowd", "-n", "dev", "--secret", "shop-token"]);
    elsewhere.expect(6, &["db", "restore", with.to_str().unwrap()]).is_an_error_with_a_hint("keeps something already");
}

#[test]
fn components_that_nothing_needs_are_removed() {
    let retake = Retake::new();
    let server = Server::start(&retake);
    let original = std::fs::read(component("family")).unwrap();
    let mut digests = Vec::new();
    for n in 0..8u8 {
        // A section of no meaning makes other bytes of the same component.
        let other = [&original[..], &[0, 3, 1, b'n', n]].concat();
        let file = retake.dir.path().join(format!("{n}.wasm"));
        std::fs::write(&file, other).unwrap();
        let file = file.to_str().unwrap().to_owned();
        let found = retake.json(&["components", "add", &file]);
        digests.push(found["digest"].as_str().unwrap().to_owned());
        match n {
            0 => drop(retake.expect(0, &["run", &file, "--flow", "crowd", "-p", "ms=0", "-w"])),
            1 => drop(retake.expect(0, &["deploy", &file, "--flow", "crowd", "-n", "old"])),
            _ => {}
        }
    }
    let compiled = || std::fs::read_dir(retake.dir.path().join("data/compiled")).unwrap().count();
    let before = compiled();
    let would = retake.json(&["components", "prune", "--dry-run"]);
    let would: Vec<&str> = would.as_array().unwrap().iter().map(|it| it["digest"].as_str().unwrap()).collect();
    assert_eq!(would, [digests[2].as_str(), digests[0].as_str()], "not the newest five, nor what is deployed");
    assert_eq!(retake.json(&["components", "ls"]).as_array().unwrap().len(), 8);
    retake.expect(0, &["components", "prune"]);
    assert_eq!(retake.json(&["components", "ls"]).as_array().unwrap().len(), 6);
    assert!(compiled() < before, "what was compiled of them goes with them");

    // The run that is pinned to one of them stays, and says so before anybody retries it.
    let run = retake.json(&["ps", "--flow", "crowd"])[0]["name"].as_str().unwrap().to_owned();
    let said = retake.expect(0, &["show", &run]).out;
    assert!(said.contains("removed") && said.contains("--version latest"), "{said}");
    retake.expect(3, &["retry", &run, "--all", "--dry-run"]).is_an_error_with_a_hint("no component");
    retake.expect(0, &["retry", &run, "--all", "--version", "latest", "-w"]);
    drop(server);
}

#[test]
fn what_is_no_project_is_said_to_be_none() {
    let retake = Retake::new();
    let dir = retake.dir.path().join("flows");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("etl.py"), "").unwrap();
    let dir = dir.to_str().unwrap();
    retake.expect(2, &["deploy", dir, "-n", "dev"]).is_an_error_with_a_hint("no `pyproject.toml` beside it");
    retake.expect(2, &["inspect", &format!("{dir}/etl.py")]).is_an_error_with_a_hint("a source file in python");
    retake.expect(3, &["run", &format!("{dir}/gone.py")]).is_an_error_with_a_hint("is not there");
}
