//! The host for tests does as the host does.
#![allow(clippy::unwrap_used, reason = "this file is nothing but tests")]

use std::cell::Cell;
use std::time::Duration;

use retake::prelude::*;
use retake::serde_json::json;
use retake::testing::{Host, Run, State};

fn seconds(all: &[u64]) -> Vec<Duration> {
    all.iter().map(|it| Duration::from_secs(*it)).collect()
}

#[task]
fn reserve(order: u32) -> String {
    format!("reservation for {order}")
}

#[task(retries = 2, delay = ["1s", "10s"], timeout = "30s")]
fn charge(reservation: String) -> Result<u32> {
    log::info!("charging {reservation}, attempt {}", context().attempt);
    Ok(42)
}

#[flow(retries = 1, delay = "5m")]
fn checkout(order: u32) -> Result<u32> {
    let reservation = reserve(order)?;
    charge(reservation)
}

fn checkout_in(host: Host) -> Run {
    host.run::<checkout>(&json!({"order": 7}))
}

#[test]
fn a_run_succeeds() {
    let run = checkout_in(Host::new());
    assert_eq!((run.state(), run.result::<u32>().unwrap()), (State::Completed, 42));
    assert_eq!(run.log_lines(), ["INFO charging reservation for 7, attempt 1"]);
    assert!(!run.call("reserve").is_fed_back());
}

#[test]
fn retries_of_both_levels_multiply_and_wait_as_declared() {
    let run = checkout_in(Host::new().fail("charge", 4));
    assert_eq!(run.state(), State::Completed);
    let charge = run.call("charge");
    assert_eq!(charge.attempts().len(), 5);
    assert_eq!(charge.waits(), seconds(&[1, 10, 300, 1]));
    assert_eq!(run.waits(), seconds(&[300]));
    assert_eq!(run.attempts()[0].failure.as_ref().unwrap().code(), "test.failed");
    assert!(run.call("reserve").is_fed_back());
    assert_eq!(run.took(), Duration::from_secs(312));
}

#[test]
fn what_hangs_is_stopped_and_what_is_permanent_is_not_tried_again() {
    let run = checkout_in(Host::new().hang("charge").trap("charge"));
    let codes: Vec<String> =
        run.call("charge").attempts().iter().filter_map(|it| Some(it.failure.as_ref()?.code().to_owned())).collect();
    assert_eq!(
        (codes, run.took()),
        (vec!["sandbox.timeout".to_owned(), "sandbox.trap".to_owned()], Duration::from_secs(41))
    );
    let run = checkout_in(Host::new().fail_with("charge", 1, Failure::permanent("card.gone", "")).fail("checkout", 1));
    assert_eq!(run.call("charge").attempts().len(), 1, "the flow's own script begins first, and fails before it calls");
    let late = Failure::new("http.429", "").retry_after(Duration::from_secs(90));
    assert_eq!(checkout_in(Host::new().fail_with("charge", 1, late)).call("charge").waits(), seconds(&[90]));
}

#[test]
fn a_retry_by_hand_feeds_back_what_succeeded() {
    let mut run = checkout_in(Host::new().fail("charge", 6));
    assert_eq!((run.state(), run.failure().unwrap().code()), (State::Failed, "test.failed"));
    run.fail("charge", 1).retry();
    assert_eq!((run.state(), run.attempts().len()), (State::Completed, 3));
    assert_eq!(run.call("charge").attempts().len(), 8);
    assert_eq!(run.call("reserve").attempts().len(), 1);
    run.rerun(&["reserve"]);
    assert_eq!(run.call("reserve").attempts().len(), 2);
    assert!(run.call("charge").is_fed_back());
}

#[test]
fn a_host_that_dies_loses_nothing_that_was_kept() {
    let run = checkout_in(Host::new().kill_host_after("reserve").kill_host_after("charge"));
    assert_eq!((run.state(), run.attempts().len()), (State::Completed, 1), "the same attempt goes on");
    assert_eq!(run.attempts()[0].resumed, 2);
    assert_eq!((run.call("reserve").attempts().len(), run.call("charge").attempts().len()), (1, 1));
}

#[task]
fn nap(seconds: u64) -> u64 {
    retake::sleep(Duration::from_secs(seconds));
    seconds
}

#[task]
fn odd(n: u64) -> Result<u64> {
    if n.is_multiple_of(2) { Err(Failure::permanent("even", "")) } else { Ok(n) }
}

#[flow]
fn child(n: u64) -> Result<u64> {
    odd(n)
}

#[flow]
fn beside() -> Result<(u64, usize, Vec<u64>)> {
    let calls = [nap::submit(3), nap::submit(1), nap::submit(2)];
    let first = retake::wait_any(&[&calls[0], &calls[1], &calls[2]]);
    let all = nap::map([1, 1, 2])?;
    calls[0].outcome()?;
    retake::sleep(Duration::from_secs(5));
    Ok((child(3)?, first, all))
}

#[test]
fn calls_overlap_in_time() {
    let run = Host::new().kill_host_after("nap").run::<beside>(&json!({}));
    assert_eq!(run.result::<(u64, usize, Vec<u64>)>().unwrap(), (3, 1, vec![1, 1, 2]));
    assert_eq!(run.took(), Duration::from_secs(8));
    assert_eq!(run.calls().len(), 7, "equal calls stay apart");
}

#[flow]
fn parent(n: u64) -> Result<u64> {
    child(n)
}

#[test]
fn a_child_flow_is_a_run_of_its_own() {
    let mut run = Host::new().run::<parent>(&json!({"n": 2}));
    assert_eq!((run.state(), run.failure().unwrap().code()), (State::Failed, "even"));
    run.retry();
    assert_eq!(run.call("child").attempts().len(), 2);
    let mut run = Host::new().fail("child", 1).run::<parent>(&json!({"n": 3}));
    assert_eq!(run.state(), State::Failed);
    run.retry();
    assert_eq!(run.result::<u64>().unwrap(), 3);
    let killed = Host::new().kill_host_after("odd").run::<parent>(&json!({"n": 3}));
    assert_eq!((killed.result::<u64>().unwrap(), killed.attempts()[0].resumed), (3, 1));
}

thread_local! {
    static SENT: Cell<u32> = const { Cell::new(0) };
}

#[task(persist_result = false, secrets = ["token"])]
fn send() -> Result<String> {
    SENT.set(SENT.get() + 1);
    retake::secret("token")
}

#[flow(retries = 1)]
fn mail(fails: u32) -> Result<String> {
    let said = send()?;
    if context().attempt <= fails {
        return Err(Failure::new("mail.busy", "the server is busy"));
    }
    Ok(said)
}

#[test]
fn what_is_not_kept_is_run_again() {
    let run = Host::new().secret("token", "abc").run::<mail>(&json!({"fails": 1}));
    assert_eq!((run.result::<String>().unwrap().as_str(), SENT.get()), ("abc", 2));
    let denied = Host::new().run::<mail>(&json!({"fails": 0}));
    assert_eq!((denied.failure().unwrap().code(), denied.attempts().len()), ("sandbox.denied", 1));
}

#[test]
#[should_panic(expected = "this needs a host")]
fn without_one_there_is_a_word_about_it() {
    let _ = reserve(7);
}

retake::component!(flows: [checkout, beside, child, parent, mail], tasks: [reserve, charge, nap, odd, send]);
