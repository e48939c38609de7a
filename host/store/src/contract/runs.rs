//! What becomes of runs: their calls, attempts and logs, what people do to them, and how they are found.
#![allow(missing_docs, reason = "each case is named after its promise")]

use super::*;

pub async fn a_task_run_is_kept_as_it_was_told(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    let plain = task(1);
    let full = TaskRun {
        identity: Identity {
            kind: CallKind::Flow,
            name: "Ünïcode \"name\"".into(),
            version: "v 2".into(),
            asked: Asked::Key("order-42".into()),
            occurrence: 9,
        },
        label: Some("label".into()),
        input: Kept::Inline(json(r#"{"a":[1,"é\u0000"]}"#)),
        state: TaskState::AwaitingRetry(at(77)),
        flow_attempt: 2,
        attempts: 3,
        round: 4,
        spent: Spent { policy: 5, rules: BTreeMap::from([(0, 1), (7, 2)]) },
        round_began: at(6),
        began: at(7),
        ended: at(8),
        told: None,
        by_hand: false,
        done: 0,
        result: None,
        failure: Some(Failure { details: Some(json(r#"{"b":1}"#)), ..failure("http.503") }),
        evidence: Evidence { cpu_us: 1, peak_memory: u64::MAX, bytes_out: 3, log_bytes_dropped: 4 },
        ..task(2)
    };
    let mut sleep = task(3);
    sleep.identity.kind = CallKind::Sleep;
    sleep.result = None;
    let stopped = TaskRun { state: TaskState::Cancelled, result: None, ..task(4) };
    let failed =
        TaskRun { state: TaskState::Failed, result: None, failure: Some(failure("x")), ..task(limits::CALLS_PER_RUN) };
    let tasks = [plain, full, sleep, stopped, failed];
    for task in tasks.iter().rev() {
        store.commit_task(run, fence(1), alone(task.clone())).await.unwrap();
    }
    assert_eq!(store.task_runs(run).await.unwrap(), tasks);
}

pub async fn a_task_run_is_replaced_until_its_result_is_kept(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    let waits = TaskRun { state: TaskState::AwaitingRetry(at(9)), result: None, done: 0, ..task(1) };
    let later = TaskRun { state: TaskState::AwaitingRetry(at(10)), ..waits.clone() };
    let failed = TaskRun { state: TaskState::Failed, attempts: 2, ended: at(5), ..waits.clone() };
    let not_kept = TaskRun { attempts: 3, ended: at(6), result: None, ..task(1) };
    let kept = TaskRun { attempts: 4, ended: at(7), ..task(1) };
    for task in [waits, later, failed, not_kept, kept] {
        store.commit_task(run, fence(1), alone(task.clone())).await.unwrap();
        assert_eq!(store.task_runs(run).await.unwrap(), [task]);
    }
    assert!(kinds(store, run).await.is_empty());
}

pub async fn a_kept_result_is_never_replaced(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    store.commit_task(run, fence(1), alone(task(1))).await.unwrap();
    let other = TaskRun { result: Some(Kept::Inline(json("[2]"))), ..task(1) };
    let later = TaskRun { ended: at(3), ..task(1) };
    let failed = TaskRun { state: TaskState::Failed, result: None, ..task(1) };
    let none = TaskRun { result: None, ..task(1) };
    for task in [other, later, failed, none] {
        refused(store.commit_task(run, fence(1), alone(task)).await, Refused::StaleFence);
    }
    assert_eq!(store.task_runs(run).await.unwrap(), [task(1)]);
    assert_eq!(kinds(store, run).await, ["late-result"; 4]);
}

pub async fn a_commit_that_is_repeated_is_made_once(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    let past = PastAttempt {
        call: 1,
        attempt: 1,
        began: at(1),
        ended: at(2),
        failure: Some(failure("x")),
        evidence: Evidence::default(),
    };
    let large = TaskRun { result: Some(Kept::Inline(large('x'))), ..task(2) };
    let waits = TaskRun { state: TaskState::AwaitingRetry(at(9)), result: None, ..task(3) };
    for task in [task(1), large, waits] {
        let commit = TaskCommit { task: task.into(), past: vec![past.clone()], logs: vec![line(1)] };
        for _ in 0..3 {
            store.commit_task(run, fence(1), commit.clone()).await.unwrap();
        }
    }
    assert_eq!(store.task_runs(run).await.unwrap().len(), 3);
    assert_eq!(store.past_attempts(run).await.unwrap(), [past]);
    assert_eq!(store.logs(run, 0, 100).await.unwrap().len(), 3);
    assert!(kinds(store, run).await.is_empty());
}

pub async fn an_old_fence_changes_nothing(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    let before = store.run(run).await.unwrap();
    let commit = TaskCommit { task: task(1).into(), past: vec![], logs: vec![line(1)] };
    refused(store.commit_task(run, fence(2), commit).await, Refused::StaleFence);
    refused(store.append_logs(run, fence(2), vec![line(1)]).await, Refused::StaleFence);
    let commit = AttemptCommit { logs: vec![line(1)], ..end(AttemptEnd::Completed, 5) };
    refused(store.end_attempt(run, fence(2), commit).await, Refused::StaleFence);
    assert_eq!(store.run(run).await.unwrap(), before);
    assert!(store.task_runs(run).await.unwrap().is_empty());
    assert!(store.past_attempts(run).await.unwrap().is_empty());
    assert!(store.logs(run, 0, 100).await.unwrap().is_empty());
    assert_eq!(kinds(store, run).await, ["late-result"; 2]);
    let late = &store.events(run).await.unwrap()[0];
    assert_eq!(late.at, at(2));
    assert_eq!(late.details.to_value()["reason"], "the claim is over");
    assert_eq!(late.details.to_value()["call"], 1);
}

pub async fn a_run_that_has_ended_has_no_fence(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    store.commit_task(run, fence(1), alone(task(1))).await.unwrap();
    store.end_attempt(run, fence(1), end(AttemptEnd::Released, 5)).await.unwrap();
    refused(store.commit_task(run, fence(1), alone(task(2))).await, Refused::StaleFence);
    refused(store.commit_task(run, fence(1), alone(task(1))).await, Refused::StaleFence);
    refused(store.append_logs(run, fence(1), vec![]).await, Refused::StaleFence);
    refused(store.end_attempt(run, fence(1), end(AttemptEnd::Completed, 6)).await, Refused::StaleFence);
    assert_eq!(store.task_runs(run).await.unwrap().len(), 1);
    // While it is being cancelled its worker may still report.
    store.claim(claim(9, 2..3)).await.unwrap();
    store.command(run, Command::Cancel, at(9)).await.unwrap();
    store.commit_task(run, fence(2), alone(task(2))).await.unwrap();
    store.append_logs(run, fence(2), vec![line(1)]).await.unwrap();
    assert_eq!(store.task_runs(run).await.unwrap().len(), 2);
}

pub async fn the_flow_s_own_attempts_are_kept_when_they_end(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    let until = at(20);
    let after = store.end_attempt(run, fence(1), end(AttemptEnd::Suspended { until }, 10)).await.unwrap();
    assert_eq!(after.state, RunState::Scheduled { due: until, waiting: Waiting::Suspended });
    assert!(store.past_attempts(run).await.unwrap().is_empty(), "the attempt goes on");
    assert_eq!(store.run(run).await.unwrap().ended, None);

    store.claim(claim(20, 2..3)).await.unwrap();
    let evidence = Evidence { cpu_us: 1, peak_memory: 2, bytes_out: 3, log_bytes_dropped: 4 };
    let commit = AttemptCommit { evidence, logs: vec![line(1)], ..end(failed("e", 1), 30) };
    let after = store.end_attempt(run, fence(2), commit).await.unwrap();
    assert_eq!(after.state, RunState::Scheduled { due: at(1030), waiting: Waiting::Retry });
    let record = store.run(run).await.unwrap();
    assert_eq!(record.run, after);
    assert_eq!((record.ended, record.failure), (Some(at(30)), Some(failure("e"))));

    store.claim(claim(1030, 3..4)).await.unwrap();
    let commit = AttemptCommit { result: Some(json("[5]")), ..end(AttemptEnd::Completed, 1040) };
    store.end_attempt(run, fence(3), commit).await.unwrap();
    let record = store.run(run).await.unwrap();
    assert_eq!(record.run.state, RunState::Completed);
    assert_eq!(record.result, Some(Kept::Inline(json("[5]"))));
    assert_eq!((record.ended, record.failure), (Some(at(1040)), None));
    let first = PastAttempt { call: 0, attempt: 1, began: at(0), ended: at(30), failure: Some(failure("e")), evidence };
    let second = PastAttempt {
        call: 0,
        attempt: 2,
        began: at(1030),
        ended: at(1040),
        failure: None,
        evidence: Evidence::default(),
    };
    assert_eq!(store.past_attempts(run).await.unwrap(), [first, second]);
    assert_eq!(store.logs(run, 0, 9).await.unwrap().len(), 1);
}

pub async fn past_attempts_are_kept_in_order(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    let past = |call, attempt| PastAttempt {
        call,
        attempt,
        began: at(1),
        ended: at(2),
        failure: Some(failure("x")),
        evidence: Evidence { cpu_us: 9, ..Default::default() },
    };
    let commit = |number, past| TaskCommit { task: task(number).into(), past, logs: vec![] };
    store.commit_task(run, fence(1), commit(2, vec![past(2, 2), past(2, 1)])).await.unwrap();
    let other = PastAttempt { failure: None, ..past(2, 1) };
    store.commit_task(run, fence(1), commit(1, vec![past(1, 1), other])).await.unwrap();
    store.end_attempt(run, fence(1), end(failed("x", 0), 2)).await.unwrap();
    let kept = store.past_attempts(run).await.unwrap();
    let order: Vec<_> = kept.iter().map(|it| (it.call, it.attempt)).collect();
    assert_eq!(order, [(0, 1), (1, 1), (2, 1), (2, 2)]);
    assert_eq!(kept[2], past(2, 1), "what was told first counts");
}

pub async fn log_lines_are_paged(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    let other = running(store, 2).await;
    let odd = LogLine {
        call: 3,
        attempt: 2,
        level: Level::Error,
        message: "a\u{0}\u{1b}[31m\n".into(),
        fields: Some(json(r#"{"k":[1]}"#)),
        task: Some("extract".into()),
        ..line(9)
    };
    store.append_logs(run, fence(1), vec![line(3), line(1)]).await.unwrap();
    store.append_logs(other, fence(2), vec![line(7)]).await.unwrap();
    let commit = TaskCommit { task: task(1).into(), past: vec![], logs: vec![odd.clone()] };
    store.commit_task(run, fence(1), commit).await.unwrap();
    let all = store.logs(run, 0, 100).await.unwrap();
    let lines: Vec<_> = all.iter().map(|(_, line)| line.clone()).collect();
    assert_eq!(lines, [line(3), line(1), odd], "in the order of writing");
    let mut paged = Vec::new();
    while let [next] = &store.logs(run, paged.last().map_or(0, |(n, _)| *n), 1).await.unwrap()[..] {
        paged.push(next.clone());
    }
    assert_eq!(paged, all);
    assert!(store.logs(run, u64::MAX, 100).await.unwrap().is_empty());
}

pub async fn large_values_are_files(home: impl Home) {
    let store = home.store();
    ready(store).await;
    let blob = |json: &Json| Kept::Blob {
        digest: ContentDigest::of(json.as_str().as_bytes()),
        bytes: json.as_str().len() as u64,
    };
    let edge = Json::of(&"x".repeat(limits::INLINE_BYTES - 2));
    let values = [large('a'), large('b'), large('c'), large('d'), large('e')];
    let new = NewRun { parameters: Kept::Inline(values[0].clone()), ..new_run(1) };
    store.create(new).await.unwrap();
    let claimed = store.claim(claim(0, 1..2)).await.unwrap().remove(0);
    assert_eq!(claimed.asked.parameters, blob(&values[0]));
    let task =
        TaskRun { input: Kept::Inline(values[1].clone()), result: Some(Kept::Inline(values[2].clone())), ..task(1) };
    store.commit_task(id(1), fence(1), alone(task.clone())).await.unwrap();
    // What came from the store goes back as it is.
    let again = TaskRun { input: blob(&values[1]), result: Some(blob(&values[2])), ..task };
    store.commit_task(id(1), fence(1), alone(again.clone())).await.unwrap();
    let small = TaskRun { number: 2, result: Some(Kept::Inline(edge)), input: blob(&values[1]), ..again.clone() };
    store.commit_task(id(1), fence(1), alone(small.clone())).await.unwrap();
    assert_eq!(store.task_runs(id(1)).await.unwrap(), [again, small]);
    let commit = AttemptCommit { result: Some(values[3].clone()), ..end(AttemptEnd::Completed, 5) };
    store.end_attempt(id(1), fence(1), commit).await.unwrap();
    assert_eq!(store.run(id(1)).await.unwrap().result, Some(blob(&values[3])));
    let request = RetryRequest { completed_too: true, parameters: Some(values[4].clone()), ..retry(6) };
    store.retry(id(1), request).await.unwrap();
    assert_eq!(store.run(id(1)).await.unwrap().asked.parameters, blob(&values[4]));
    for value in &values {
        assert_eq!(store.value(&blob(value)).await.unwrap(), *value);
        assert_eq!(store.value(&Kept::Inline(value.clone())).await.unwrap(), *value);
    }
    let missing = store.value(&blob(&large('z'))).await;
    assert!(matches!(missing, Err(StoreError::Damaged(_))), "{missing:?}");
}

pub async fn a_manual_retry_has_its_rules(home: impl Home) {
    let store = home.store();
    ready(store).await;
    store.create(new_run(1)).await.unwrap();
    let run = id(1);
    refused(store.retry(run, retry(1)).await, Refused::NotEnded);
    store.claim(claim(0, 1..2)).await.unwrap();
    refused(store.retry(run, retry(1)).await, Refused::Active);
    store.end_attempt(run, fence(1), end(failed("e", 0), 5)).await.unwrap();
    let expecting = |attempt| RetryRequest { expected_attempt: Some(attempt), ..retry(9) };
    refused(store.retry(run, expecting(2)).await, Refused::OtherAttempt { expected: 2, is: 1 });
    let unknown = RetryRequest { component: Some(component(5).digest), ..retry(9) };
    assert!(matches!(store.retry(run, unknown).await, Err(StoreError::NoComponent(_))));
    assert!(kinds(store, run).await.is_empty());
    let after = store.retry(run, expecting(1)).await.unwrap();
    assert_eq!(after.state, RunState::Scheduled { due: at(9), waiting: Waiting::Start });
    assert_eq!((after.round, &after.spent), (2, &Spent::default()), "the whole budget is back");
    let record = store.run(run).await.unwrap();
    assert_eq!((record.run, record.failure, record.ended), (after, None, None));
    store.claim(claim(9, 2..3)).await.unwrap();
    let commit = AttemptCommit { result: Some(json("1")), ..end(AttemptEnd::Completed, 10) };
    store.end_attempt(run, fence(2), commit).await.unwrap();
    refused(store.retry(run, retry(11)).await, Refused::HasCompleted);
    store.retry(run, RetryRequest { completed_too: true, ..retry(11) }).await.unwrap();
    assert_eq!(store.run(run).await.unwrap().result, None);
    assert_eq!(kinds(store, run).await, ["manual-retry"; 2]);
}

pub async fn a_manual_retry_forgets_what_it_is_told_to(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    for number in 1..=3 {
        store.commit_task(run, fence(1), alone(task(number))).await.unwrap();
    }
    store.end_attempt(run, fence(1), end(failed("e", 0), 5)).await.unwrap();
    let request = RetryRequest { forget: vec![2, 3, 17], ..retry(9) };
    store.retry(run, request).await.unwrap();
    let forgotten = |number| TaskRun { state: TaskState::Forgotten, result: None, ..task(number) };
    assert_eq!(store.task_runs(run).await.unwrap(), [task(1), forgotten(2), forgotten(3)]);
    assert_eq!(store.events(run).await.unwrap()[0].details.to_value()["forget"].to_string(), "[2,3,17]");
    // And may be kept anew.
    store.claim(claim(9, 2..3)).await.unwrap();
    let anew = TaskRun { flow_attempt: 2, attempts: 2, result: Some(Kept::Inline(json("2"))), ..task(2) };
    store.commit_task(run, fence(2), alone(anew.clone())).await.unwrap();
    assert_eq!(store.task_runs(run).await.unwrap()[1], anew);
}

pub async fn a_manual_retry_changes_what_it_is_told_to(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    store.put_component(component(2), bytes(2)).await.unwrap();
    store.end_attempt(run, fence(1), end(failed("e", 0), 5)).await.unwrap();
    let overrides = Overrides { retries: Some(3), retry_delay: Some(Duration::from_secs(2)), ..Default::default() };
    let request = RetryRequest {
        component: Some(component(2).digest),
        parameters: Some(json(r#"{"n":123456789012345678901234567890}"#)),
        overrides: Some(overrides.clone()),
        ..retry(9)
    };
    store.retry(run, request).await.unwrap();
    let asked = NewRun {
        component: component(2).digest,
        parameters: Kept::Inline(json(r#"{"n":123456789012345678901234567890}"#)),
        overrides,
        ..new_run(1)
    };
    assert_eq!(store.run(run).await.unwrap().asked, asked);
    let event = store.events(run).await.unwrap().remove(0);
    assert_eq!((event.kind.as_str(), event.at), ("manual-retry", at(9)));
    let told = event.details.as_str();
    assert!(told.contains(r#""parameters":{"from":{},"to":{"n":123456789012345678901234567890}}"#), "{told}");
    assert!(told.contains(&format!(r#""to":"{}""#, component(2).digest)), "{told}");
    // Without a word they stay.
    store.claim(claim(9, 2..3)).await.unwrap();
    store.end_attempt(run, fence(2), end(failed("e", 0), 10)).await.unwrap();
    store.retry(run, retry(11)).await.unwrap();
    assert_eq!(store.run(run).await.unwrap().asked, asked);
    assert_eq!(store.events(run).await.unwrap()[1].details.as_str(), r#"{"after_attempt":2,"round":3}"#);
}

pub async fn a_run_is_cancelled(home: impl Home) {
    let store = home.store();
    ready(store).await;
    store.create(new_run(1)).await.unwrap();
    assert_eq!(store.command(id(1), Command::Cancel, at(3)).await.unwrap().state, RunState::Cancelled);
    refused(store.command(id(1), Command::Cancel, at(4)).await, Refused::HasEnded);
    assert_eq!(kinds(store, id(1)).await, ["cancel"]);
    assert!(store.claim(claim(9, 1..2)).await.unwrap().is_empty());

    let run = running(store, 2).await;
    let cancelling = RunState::Cancelling { fence: fence(2), boot: store.boot() };
    assert_eq!(store.command(run, Command::Cancel, at(3)).await.unwrap().state, cancelling);
    assert_eq!(
        store.command(run, Command::Cancel, at(4)).await.unwrap().state,
        cancelling,
        "to ask twice does no harm"
    );
    let after = store.end_attempt(run, fence(2), end(AttemptEnd::Released, 5)).await.unwrap();
    assert_eq!(after.state, RunState::Cancelled);
    let record = store.run(run).await.unwrap();
    assert_eq!(record.failure.unwrap().code, code::CANCELLED);
    assert_eq!(record.ended, Some(at(5)));
    assert_eq!(store.past_attempts(run).await.unwrap().len(), 1, "its attempt has ended");
    store.retry(run, retry(9)).await.unwrap();
}

pub async fn a_run_is_paused_and_resumed(home: impl Home) {
    let store = home.store();
    ready(store).await;
    store.create(NewRun { due: at(50), ..new_run(1) }).await.unwrap();
    refused(store.command(id(1), Command::Resume, at(0)).await, Refused::NotPaused);
    let paused = store.command(id(1), Command::Pause, at(1)).await.unwrap();
    assert_eq!(paused.state, RunState::Paused { due: at(50), waiting: Waiting::Start });
    assert!(store.claim(claim(99, 1..5)).await.unwrap().is_empty(), "it waits for a person");
    assert_eq!(store.next_due(None).await.unwrap(), None);
    refused(store.retry(id(1), retry(2)).await, Refused::NotEnded);
    let resumed = store.command(id(1), Command::Resume, at(3)).await.unwrap();
    assert_eq!(resumed.state, RunState::Scheduled { due: at(50), waiting: Waiting::Start });
    assert_eq!(store.claim(claim(99, 1..5)).await.unwrap().len(), 1);
    refused(store.command(id(1), Command::Pause, at(99)).await, Refused::Active);
    // Its worker stops for it: the attempt goes on when it is resumed.
    let paused = store.end_attempt(id(1), fence(1), end(AttemptEnd::Paused, 100)).await.unwrap();
    assert_eq!(paused.state, RunState::Paused { due: at(100), waiting: Waiting::Worker });
    assert!(store.past_attempts(id(1)).await.unwrap().is_empty());
    store.command(id(1), Command::Resume, at(101)).await.unwrap();
    assert_eq!(store.claim(claim(101, 5..9)).await.unwrap()[0].run.attempt, 1);
    assert_eq!(kinds(store, id(1)).await, ["pause", "resume", "pause", "resume"]);
}

pub async fn a_run_that_waits_is_run_now(home: impl Home) {
    let store = home.store();
    ready(store).await;
    store.create(NewRun { due: at(50), ..new_run(1) }).await.unwrap();
    store.command(id(1), Command::RunNow, at(7)).await.unwrap();
    assert_eq!(store.claim(claim(7, 1..5)).await.unwrap().len(), 1);
    refused(store.command(id(1), Command::RunNow, at(8)).await, Refused::Active);
    store.end_attempt(id(1), fence(1), end(AttemptEnd::Suspended { until: at(90) }, 9)).await.unwrap();
    refused(store.command(id(1), Command::RunNow, at(10)).await, Refused::NotWaiting);
}

pub async fn a_result_is_set_by_hand(home: impl Home) {
    let store = home.store();
    let run = running(store, 1).await;
    let failed_task = TaskRun { state: TaskState::Failed, result: None, failure: Some(failure("e")), ..task(1) };
    store.commit_task(run, fence(1), alone(failed_task)).await.unwrap();
    store.commit_task(run, fence(1), alone(task(2))).await.unwrap();
    refused(store.set_result(run, 1, json("1"), at(20)).await, Refused::Active);
    store.end_attempt(run, fence(1), end(failed("e", 0), 30)).await.unwrap();
    refused(store.set_result(run, 9, json("1"), at(40)).await, Refused::NoCall);
    refused(store.set_result(run, 2, json("1"), at(40)).await, Refused::HasResult);
    store.set_result(run, 1, large('s'), at(40)).await.unwrap();
    let kept = store.task_runs(run).await.unwrap().remove(0);
    assert!(kept.by_hand && kept.state == TaskState::Completed && kept.failure.is_none(), "{kept:?}");
    assert_eq!(store.value(&kept.result.unwrap()).await.unwrap(), large('s'));
    assert_eq!(kinds(store, run).await, ["set-result"]);
    refused(store.set_result(run, 1, json("2"), at(41)).await, Refused::HasResult);
}

pub async fn lost_hosts_are_survived_twice(mut home: impl Home) {
    let run = running(home.store(), 1).await;
    let cancelled = running(home.store(), 2).await;
    home.store().command(cancelled, Command::Cancel, at(1)).await.unwrap();
    home.store().create(new_run(3)).await.unwrap();
    assert!(home.store().recover(at(5)).await.unwrap().is_empty(), "its own claims are not lost");
    for lost in 1..=3 {
        let boot = home.store().boot();
        home = home.reopen();
        let store = home.store();
        assert_eq!(store.boot(), boot + 1);
        let recovered = store.recover(at(10)).await.unwrap();
        let after = store.run(run).await.unwrap().run;
        if lost == 1 {
            assert_eq!(recovered.len(), 2);
            assert_eq!(recovered[1], (cancelled, store.run(cancelled).await.unwrap().run));
            assert_eq!(recovered[1].1.state, RunState::Cancelled);
        }
        assert_eq!(recovered[0], (run, after.clone()));
        assert_eq!((after.lost, after.attempt), (lost, 1));
        assert!(store.recover(at(10)).await.unwrap().is_empty());
        let task = alone(task(1));
        refused(store.commit_task(run, fence(u64::from(lost)), task).await, Refused::StaleFence);
        if lost < 3 {
            assert_eq!(after.state, RunState::Scheduled { due: at(10), waiting: Waiting::Worker });
            let fences = u64::from(lost) + 1..u64::from(lost) + 2;
            let request = ClaimRequest { root: Some(run), ..claim(10, fences) };
            assert_eq!(store.claim(request).await.unwrap().len(), 1);
        } else {
            assert_eq!(after.state, RunState::Crashed);
        }
    }
    let store = home.store();
    let told: Vec<_> = kinds(store, run).await.into_iter().filter(|it| it != "late-result").collect();
    assert_eq!(told, ["host-lost", "host-lost", "crashed"]);
    let record = store.run(run).await.unwrap();
    assert_eq!(record.failure.unwrap().code, code::LOST);
    assert_eq!(store.past_attempts(run).await.unwrap().len(), 1);
    assert_eq!(kinds(store, cancelled).await, ["cancel", "host-lost"]);
    assert_eq!(store.past_attempts(cancelled).await.unwrap().len(), 1);
    store.retry(run, retry(20)).await.unwrap();
}

pub async fn what_was_kept_is_there_after_a_restart(home: impl Home) {
    let run = running(home.store(), 1).await;
    let commit = TaskCommit {
        task: TaskRun { result: Some(Kept::Inline(large('x'))), ..task(1) }.into(),
        past: vec![],
        logs: vec![line(1)],
    };
    home.store().commit_task(run, fence(1), commit).await.unwrap();
    let before = everything(home.store()).await;
    let home = home.reopen();
    assert_eq!(everything(home.store()).await, before);
    let kept = home.store().task_runs(run).await.unwrap().remove(0).result.unwrap();
    assert_eq!(home.store().value(&kept).await.unwrap(), large('x'));
    assert_eq!(home.store().component_bytes(component(1).digest).await.unwrap(), bytes(1));
}

pub async fn runs_are_listed_by_filter(home: impl Home) {
    let store = home.store();
    ready(store).await;
    store.create(new_run(10)).await.unwrap();
    store.create(NewRun { flow: "other".into(), ..new_run(20) }).await.unwrap();
    for (n, call) in [(30, 1), (40, 2)] {
        let parent = Some(Parent { run: id(9), call });
        store.create(NewRun { parent, root: id(10), depth: 1, ..new_run(n) }).await.unwrap();
    }
    store.command(id(20), Command::Cancel, at(50)).await.unwrap();
    let listed = |filter| async { ids(store, filter, 100).await };
    assert_eq!(listed(all()).await, [id(40), id(30), id(20), id(10)]);
    assert_eq!(listed(RunFilter { flow: Some("other".into()), ..all() }).await, [id(20)]);
    assert_eq!(listed(RunFilter { roots_only: true, ..all() }).await, [id(20), id(10)]);
    assert_eq!(listed(RunFilter { parent: Some(id(9)), ..all() }).await, [id(40), id(30)]);
    assert_eq!(listed(RunFilter { since: Some(at(20)), ..all() }).await, [id(40), id(30), id(20)]);
    assert_eq!(listed(RunFilter { shown: vec![Shown::Cancelled], ..all() }).await, [id(20)]);
    let both = RunFilter { shown: vec![Shown::Cancelled, Shown::Scheduled], roots_only: true, ..all() };
    assert_eq!(listed(both).await, [id(20), id(10)]);
    assert_eq!(listed(RunFilter { flow: Some("' OR 1 --".into()), ..all() }).await, []);
    assert_eq!(listed(RunFilter::default()).await, [], "a limit of 0 lists nothing");
}

pub async fn a_list_is_paged(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for n in [5, 3, 9, 1, 7] {
        store.create(new_run(n)).await.unwrap();
    }
    let mut paged = Vec::new();
    loop {
        let filter = RunFilter { before: paged.last().copied(), limit: 2, ..Default::default() };
        let page = ids(store, filter, 0).await;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, [id(9), id(7), id(5), id(3), id(1)]);
}

pub async fn every_word_is_the_same_in_a_filter(home: impl Home) {
    let now = 100_000;
    let mut seen = Vec::new();
    let home = zoo(home, now).await;
    let store = home.store();
    let records = store.list(all(), at(now)).await.unwrap();
    for word in Shown::ALL {
        let expected: Vec<_> =
            records.iter().filter(|it| it.run.shown(at(now)) == word).map(|it| it.asked.id).collect();
        let filter = RunFilter { shown: vec![word], ..all() };
        assert_eq!(ids(store, filter, now).await, expected, "{word}");
        if !expected.is_empty() {
            seen.push(word);
        }
    }
    assert_eq!(seen, Shown::ALL, "there is a run of each kind");
    // To the microsecond.
    for micros in -1..=1 {
        let now = Timestamp::from_micros((at(now) + limits::LATE_AFTER).as_micros() + micros);
        for word in [Shown::Late, Shown::Scheduled] {
            let listed = store.list(RunFilter { shown: vec![word], ..all() }, now).await.unwrap();
            assert!(listed.iter().all(|it| it.run.shown(now) == word), "{word} at {micros}");
            let count = store.list(all(), now).await.unwrap().iter().filter(|it| it.run.shown(now) == word).count();
            assert_eq!(listed.len(), count, "{word} at {micros}");
        }
    }
}

pub async fn runs_are_found_by_name_and_prefix(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for n in 1..=3 {
        store.create(new_run(n)).await.unwrap();
    }
    let find = async |text: &str, limit| store.find(text, limit).await.unwrap();
    assert_eq!(find(&id(2).friendly_name(), 10).await, [id(2)]);
    let text = id(3).to_string();
    assert_eq!(find(&text, 10).await, [id(3)]);
    assert_eq!(find(text.trim_start_matches("run_"), 10).await, [id(3)]);
    assert_eq!(find(&text[..6], 10).await, [id(3), id(2), id(1)], "the newest first");
    assert_eq!(find(&text[..6], 2).await, [id(3), id(2)]);
    assert_eq!(find(&text[..6], 0).await, []);
    for nothing in ["", "run_", "run_z", "' OR 1 --", "no-name", "%"] {
        assert_eq!(find(nothing, 10).await, [], "{nothing:?}");
    }
}

pub async fn what_is_not_there_is_said_to_be_missing(home: impl Home) {
    let store = home.store();
    ready(store).await;
    let missing = |error: StoreError| assert!(matches!(error, StoreError::NoRun(it) if it == id(1)), "{error:?}");
    missing(store.run(id(1)).await.unwrap_err());
    missing(store.task_runs(id(1)).await.unwrap_err());
    missing(store.past_attempts(id(1)).await.unwrap_err());
    missing(store.logs(id(1), 0, 1).await.unwrap_err());
    missing(store.events(id(1)).await.unwrap_err());
    missing(store.command(id(1), Command::Cancel, at(1)).await.unwrap_err());
    missing(store.retry(id(1), retry(1)).await.unwrap_err());
    missing(store.commit_task(id(1), fence(1), alone(task(1))).await.unwrap_err());
    missing(store.append_logs(id(1), fence(1), vec![]).await.unwrap_err());
    missing(store.end_attempt(id(1), fence(1), end(AttemptEnd::Completed, 1)).await.unwrap_err());
    assert_eq!(store.component(component(9).digest).await.unwrap(), None);
    let none = store.component_bytes(component(9).digest).await;
    assert!(matches!(none, Err(StoreError::NoComponent(_))), "{none:?}");
}
