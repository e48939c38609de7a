//! What only a store in a directory can promise.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use retake_core::run::Refused;
use retake_core::task::TaskState;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::contract::{
    all, alone, at, bytes, claim, component, definition, everything, fence, id, json, large, new_run, task, wait_for,
};
use crate::kind;

mod beside;

fn new() -> (TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    (dir, store)
}

/// Makes run 1 and claims it under fence 1.
async fn run_1(store: &SqliteStore) {
    store.put_component(component(1), bytes(1)).await.unwrap();
    store.create(new_run(1)).await.unwrap();
    assert_eq!(store.claim(claim(0, 1..2)).await.unwrap().len(), 1);
}

fn open_error(dir: &Path) -> OpenError {
    match SqliteStore::open(dir) {
        Ok(_) => panic!("the store can be opened"),
        Err(error) => error,
    }
}

fn database(dir: &TempDir) -> Connection {
    Connection::open(dir.path().join("retake.db")).unwrap()
}

/// Calls `change` on the writer's thread and holds the writer up until the returned sender is used or dropped.
async fn hold_up(store: &Arc<SqliteStore>, waiting: &mut JoinSet<()>) -> mpsc::Sender<()> {
    let (held, is_held) = tokio::sync::oneshot::channel();
    #[allow(clippy::disallowed_methods, reason = "one message")]
    let (go, wait) = mpsc::channel();
    let (store, mut held) = (Arc::clone(store), Some(held));
    waiting.spawn(async move {
        let held_up = store.change(0, move |_| {
            held.take().map(|it| it.send(()));
            let _ = wait.recv();
            Ok(())
        });
        held_up.await.unwrap();
    });
    is_held.await.unwrap();
    go
}

#[test]
fn a_second_host_is_refused_with_the_pid_of_the_first() {
    let (dir, store) = new();
    for _ in 0..20 {
        let error = open_error(dir.path());
        assert!(matches!(&error, OpenError::Locked { pid: Some(pid), .. } if *pid == std::process::id()), "{error}");
    }
    drop(store);
    SqliteStore::open(dir.path()).unwrap();
}

#[test]
fn nobody_else_may_look() {
    let (outer, _) = new();
    let dir = outer.path().join("a").join("b");
    let store = SqliteStore::open(&dir).unwrap();
    wait_for(store.put_component(component(1), bytes(1))).unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dir.clone()), 0o700);
    for file in ["retake.db", "retake.db-wal", "retake.lock"] {
        assert_eq!(mode(dir.join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(dir.join("blobs")), 0o700);
}

#[test]
fn each_opening_has_a_number_of_its_own() {
    let (dir, store) = new();
    assert_eq!(store.boot(), 1);
    drop(store);
    assert_eq!(SqliteStore::open_read_only(dir.path()).unwrap().boot(), 1);
    assert_eq!(SqliteStore::open(dir.path()).unwrap().boot(), 2);
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let (dir, store) = new();
    drop(store);
    database(&dir).execute("INSERT INTO migration VALUES (99, 'future', '9.9')", []).unwrap();
    assert!(matches!(open_error(dir.path()), OpenError::Newer { found: 99, known: 6 }));
    assert!(matches!(SqliteStore::open_read_only(dir.path()), Err(OpenError::Newer { found: 99, known: 6 })));
    let boot: i64 = database(&dir).query_one("SELECT boot FROM meta", [], |row| row.get(0)).unwrap();
    assert_eq!(boot, 1);
}

#[test]
fn what_is_no_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(SqliteStore::open_read_only(dir.path()), Err(OpenError::Missing { .. })));
    database(&dir).execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(open_error(dir.path()), OpenError::Foreign { .. }));
    assert!(matches!(SqliteStore::open_read_only(dir.path()), Err(OpenError::Foreign { .. })));
    std::fs::write(dir.path().join("retake.db"), "Dear diary, ".repeat(1000)).unwrap();
    assert!(matches!(open_error(dir.path()), OpenError::Foreign { .. }));
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(open_error(&file), OpenError::Unavailable { .. }));
}

#[test]
fn damage_is_found_when_a_small_store_is_opened() {
    let (dir, store) = new();
    wait_for(run_1(&store));
    drop(store);
    let path = dir.path().join("retake.db");
    let mut file = std::fs::read(&path).unwrap();
    // The type byte of each page but the first.
    for page in file.chunks_mut(4096).skip(1) {
        page[0] = 0x55;
    }
    std::fs::write(&path, file).unwrap();
    let error = open_error(dir.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_reader_writes_nothing_and_sees_what_is_committed() {
    let (dir, store) = new();
    let reader = SqliteStore::open_read_only(dir.path()).unwrap();
    run_1(&store).await;
    assert_eq!(everything(&reader).await, everything(&store).await);
    assert_eq!(reader.component_bytes(component(1).digest).await.unwrap(), bytes(1));
    let refused = |error: StoreError| assert!(matches!(error, StoreError::ReadOnly), "{error:?}");
    let end = crate::contract::end(retake_core::run::AttemptEnd::Completed, 1);
    refused(reader.put_component(component(2), bytes(2)).await.unwrap_err());
    refused(reader.create(NewRun { parameters: Kept::Inline(large('x')), ..new_run(2) }).await.unwrap_err());
    refused(reader.claim(claim(0, 1..2)).await.unwrap_err());
    refused(reader.commit_task(id(1), fence(1), alone(task(1))).await.unwrap_err());
    refused(reader.append_logs(id(1), fence(1), vec![]).await.unwrap_err());
    refused(reader.end_attempt(id(1), fence(1), end).await.unwrap_err());
    refused(reader.retry(id(1), crate::contract::retry(1)).await.unwrap_err());
    refused(reader.command(id(1), retake_core::run::Command::Cancel, at(1)).await.unwrap_err());
    refused(reader.recover(at(1)).await.unwrap_err());
    refused(reader.remove_component(component(1).digest, at(90)).await.unwrap_err());
    refused(reader.define(definition(kind::TOKEN, "a"), None).await.unwrap_err());
    refused(reader.deliver(None, vec![]).await.unwrap_err());
    drop(store);
    assert_eq!(reader.list(all(), at(0)).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_committed_is_not_seen() {
    let (_dir, store) = new();
    run_1(&store).await;
    let store = Arc::new(store);
    #[allow(clippy::disallowed_methods, reason = "one message")]
    let (go, wait) = mpsc::channel::<()>();
    let (written, is_written) = tokio::sync::oneshot::channel();
    let mut written = Some(written);
    let mut changing = JoinSet::new();
    let changed = Arc::clone(&store);
    changing.spawn(async move {
        let change = changed.change(0, move |db| {
            writes::commit_task(db, id(1), fence(1), &alone(task(1)))?;
            written.take().map(|it| it.send(()));
            let _ = wait.recv();
            Ok(())
        });
        change.await.unwrap();
    });
    is_written.await.unwrap();
    assert!(store.task_runs(id(1)).await.unwrap().is_empty());
    drop(go);
    changing.join_all().await;
    assert_eq!(store.task_runs(id(1)).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_together_is_committed_together() {
    let (_dir, store) = new();
    run_1(&store).await;
    let store = Arc::new(store);
    let mut waiting = JoinSet::new();
    let go = hold_up(&store, &mut waiting).await;
    let before = store.writer_stats().unwrap();
    for number in 1..=64 {
        let store = Arc::clone(&store);
        waiting.spawn(async move { store.commit_task(id(1), fence(1), alone(task(number))).await.unwrap() });
    }
    while waiting.len() > 65 {
        tokio::task::yield_now().await;
    }
    drop(go);
    waiting.join_all().await;
    let after = store.writer_stats().unwrap();
    assert_eq!(store.task_runs(id(1)).await.unwrap().len(), 64);
    let (changes, commits) = (after.changes - before.changes, after.commits - before.commits);
    assert_eq!(changes, 64);
    assert!((1..=32).contains(&commits), "{commits} commits");
}

#[tokio::test]
async fn what_changes_nothing_costs_no_commit() {
    let (_dir, store) = new();
    run_1(&store).await;
    store.commit_task(id(1), fence(1), alone(task(1))).await.unwrap();
    let before = store.writer_stats().unwrap();
    assert!(store.claim(claim(9, 1..9)).await.unwrap().is_empty());
    store.create(new_run(1)).await.unwrap();
    store.commit_task(id(1), fence(1), alone(task(1))).await.unwrap();
    store.recover(at(9)).await.unwrap();
    assert!(store.retry(id(1), crate::contract::retry(1)).await.is_err());
    let after = store.writer_stats().unwrap();
    assert_eq!((after.changes - before.changes, after.commits - before.commits), (5, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_fails_spoils_no_other() {
    let (_dir, store) = new();
    run_1(&store).await;
    let store = Arc::new(store);
    let mut waiting = JoinSet::new();
    let go = hold_up(&store, &mut waiting).await;
    for number in 1..=9 {
        let store = Arc::clone(&store);
        waiting.spawn(async move {
            if number % 3 == 0 {
                let spoilt = store.change(0, move |db| {
                    writes::commit_task(db, id(1), fence(1), &alone(task(number)))?;
                    db.execute("INSERT INTO nowhere VALUES (1)", [])?;
                    Ok(())
                });
                assert!(matches!(spoilt.await, Err(StoreError::Unavailable(_))));
            } else {
                store.commit_task(id(1), fence(1), alone(task(number))).await.unwrap();
            }
        });
    }
    drop(go);
    waiting.join_all().await;
    let numbers: Vec<_> = store.task_runs(id(1)).await.unwrap().iter().map(|it| it.number).collect();
    assert_eq!(numbers, [1, 2, 4, 5, 7, 8]);
    assert!(!store.has_failed());
}

#[tokio::test]
async fn after_an_io_error_nothing_is_written_until_it_is_opened_again() {
    let (dir, store) = new();
    run_1(&store).await;
    let spoilt = store.change(0, |db| {
        writes::commit_task(db, id(1), fence(1), &alone(task(1)))?;
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        Err::<(), _>(Fault::Database(rusqlite::Error::SqliteFailure(error, None)))
    });
    assert!(matches!(spoilt.await, Err(StoreError::Unavailable(_))));
    assert!(store.has_failed());
    let later = store.commit_task(id(1), fence(1), alone(task(2))).await;
    assert!(matches!(later, Err(StoreError::Unavailable(_))), "{later:?}");
    assert!(store.task_runs(id(1)).await.unwrap().is_empty(), "what was committed can still be read");
    drop(store);
    let store = SqliteStore::open(dir.path()).unwrap();
    store.commit_task(id(1), fence(1), alone(task(1))).await.unwrap();
    assert_eq!(store.task_runs(id(1)).await.unwrap().len(), 1);
}

/// What a kill in the middle of a transaction leaves, with half of it in the log already.
#[tokio::test]
async fn half_a_transaction_is_nothing() {
    let (dir, store) = new();
    run_1(&store).await;
    let (from, copy) = (dir.path().to_owned(), tempfile::tempdir().unwrap());
    let to = copy.path().to_owned();
    let half = store.change(0, move |db| {
        db.execute_batch("PRAGMA cache_size = 5")?;
        for number in 1..=500 {
            writes::commit_task(db, id(1), fence(1), &alone(task(number)))?;
        }
        for name in ["retake.db", "retake.db-wal"] {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
        Ok(())
    });
    half.await.unwrap();
    let logged = std::fs::metadata(copy.path().join("retake.db-wal")).unwrap().len();
    assert!(logged > 100_000, "{logged} bytes: the test shows nothing unless pages were logged");
    let copied = SqliteStore::open(copy.path()).unwrap();
    assert!(copied.task_runs(id(1)).await.unwrap().is_empty());
    assert_eq!(copied.run(id(1)).await.unwrap(), store.run(id(1)).await.unwrap());
    assert_eq!(store.task_runs(id(1)).await.unwrap().len(), 500);
}

#[tokio::test]
async fn a_damaged_file_is_never_fed_back() {
    let (dir, store) = new();
    run_1(&store).await;
    let result = Some(Kept::Inline(large('x')));
    store.commit_task(id(1), fence(1), alone(TaskRun { result, ..task(1) })).await.unwrap();
    let kept = store.task_runs(id(1)).await.unwrap().remove(0).result.unwrap();
    let Kept::Blob { digest, .. } = kept else { panic!("{kept:?}") };
    for digest in [digest, component(1).digest] {
        let name = digest.to_string();
        let path = dir.path().join("blobs").join(&name[..2]).join(&name);
        let mut file = std::fs::read(&path).unwrap();
        file[500] ^= 1;
        std::fs::write(path, file).unwrap();
    }
    assert!(matches!(store.value(&kept).await, Err(StoreError::Damaged(it)) if it == digest));
    let bytes = store.component_bytes(component(1).digest).await;
    assert!(matches!(bytes, Err(StoreError::Damaged(it)) if it == component(1).digest));
}

/// F14: however fast is written, and though readers come and go without a gap, the log stays below 64 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_short() {
    // Much more than that is written: in memory, where there is some, to spare the disk.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Arc::new(SqliteStore::open(dir.path()).unwrap());
    run_1(&store).await;
    let go_on = Arc::new(AtomicBool::new(true));
    let (reading, path) = (Arc::clone(&go_on), dir.path().join("retake.db"));
    let reader = std::thread::spawn(move || {
        // One always looks while the other begins anew.
        let readers = [Connection::open(&path).unwrap(), Connection::open(&path).unwrap()];
        for reader in readers.iter().cycle() {
            if !reader.is_autocommit() {
                reader.execute_batch("COMMIT").unwrap();
            }
            if !reading.load(Ordering::Relaxed) {
                break;
            }
            reader.execute_batch("BEGIN; SELECT count(*) FROM task_run").unwrap();
        }
    });
    let mut writers = JoinSet::new();
    for number in 1..=64 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for n in 0..60 {
                let state = TaskState::AwaitingRetry(at(n));
                // Another one each time: SQLite does not write pages that stay the same.
                let input = Kept::Inline(retake_core::value::Json::of(&n.to_string().repeat(30_000)));
                let task = TaskRun { state, input, result: None, ..task(number) };
                store.commit_task(id(1), fence(1), alone(task)).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    go_on.store(false, Ordering::Relaxed);
    reader.join().unwrap();
    let log = std::fs::metadata(dir.path().join("retake.db-wal")).unwrap().len();
    assert!(log < 64 << 20, "{log} bytes");
}

/// A process that is just being started has a copy of every open file for a moment, also of the lock.
#[test]
fn a_store_that_was_closed_can_be_opened_whoever_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let go_on = Arc::new(AtomicBool::new(true));
    let watched = Arc::clone(&go_on);
    let starter = std::thread::spawn(move || {
        while watched.load(Ordering::Relaxed) {
            Command::new("true").status().unwrap();
        }
    });
    for _ in 0..100 {
        drop(SqliteStore::open(dir.path()).unwrap());
    }
    go_on.store(false, Ordering::Relaxed);
    starter.join().unwrap();
}

const VICTIM: &str = "RETAKE_STORE_VICTIM";

/// Not a test by itself: the process that the next one kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Ok(dir) = std::env::var(VICTIM) else { return };
    let store = Arc::new(SqliteStore::open(Path::new(&dir)).unwrap());
    let boot = u32::try_from(store.boot()).unwrap();
    let mut submitters = JoinSet::new();
    for submitter in 0..8 {
        let store = Arc::clone(&store);
        submitters.spawn(async move {
            for n in 0..1_000 {
                let number = boot * 100_000 + submitter * 1_000 + n;
                // One in a hundred has a file.
                let value = if n % 100 == 7 { large('x') } else { json("[1]") };
                let task = TaskRun { result: Some(Kept::Inline(value)), ..task(number) };
                store.commit_task(id(1), fence(1), alone(task)).await.unwrap();
                println!("\nacknowledged {number}");
            }
        });
    }
    submitters.join_all().await;
}

/// G-R1 in small: what was acknowledged before `kill -9` is there afterwards.
#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let (dir, store) = new();
    run_1(&store).await;
    drop(store);
    let mut acknowledged = std::collections::BTreeSet::new();
    for round in 1..=10 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::tests::victim", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut heard = |line: String| {
            line.strip_prefix("acknowledged ").is_some_and(|it| acknowledged.insert(it.parse::<u32>().unwrap()))
        };
        let mut count = 0;
        while count < round * 37 {
            count += i32::from(heard(lines.next().expect("the victim lives until it is killed")));
        }
        victim.kill().unwrap();
        lines.for_each(|line| _ = heard(line));
        victim.wait().unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        let kept = store.task_runs(id(1)).await.unwrap();
        let numbers: std::collections::BTreeSet<u32> = kept.iter().map(|it| it.number).collect();
        assert!(numbers.is_superset(&acknowledged), "round {round}: {:?}", acknowledged.difference(&numbers));
        for task in kept {
            let value = store.value(&task.result.unwrap()).await.unwrap();
            assert!(value == json("[1]") || value == large('x'));
        }
    }
    assert!(matches!(
        SqliteStore::open(dir.path()).unwrap().commit_task(id(1), fence(2), alone(task(1))).await,
        Err(StoreError::Refused(Refused::StaleFence))
    ));
}
