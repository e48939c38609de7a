//! What a server needs beside runs: definitions, who did what, notices and what is sent for them, lists.
#![allow(missing_docs, reason = "each case is named after its promise")]

use super::*;
use crate::{AuditEntry, Definition, Delivery, DeliveryState, Notice, OldRuns, kind};

/// A definition, of which nothing refers to a component.
pub fn definition(kind: &'static str, name: &str) -> Definition {
    Definition { kind, name: name.into(), body: json("{}"), component: None, version: 0, updated: at(1) }
}

/// A delivery that is tried at an instant.
pub fn delivery(rule: &str, due: u64) -> Delivery {
    Delivery {
        seq: 0,
        rule: rule.into(),
        run: Some(id(1)),
        body: json("{\"text\":\"é\"}"),
        state: DeliveryState::Pending(at(due)),
        attempts: 0,
        answer: None,
        created: at(1),
        ended: None,
    }
}

fn entry(n: u64, subject: &str) -> AuditEntry {
    AuditEntry {
        at: at(n),
        actor: "olga".into(),
        action: "retry".into(),
        subject: subject.into(),
        details: json("{\"é\":[1]}"),
    }
}

async fn rule(store: &dyn Store) {
    store.define(definition(kind::NOTIFICATION, "pager"), None).await.unwrap();
}

async fn told(store: &dyn Store) -> Vec<(FlowRunId, Shown)> {
    store.notices(1000).await.unwrap().into_iter().map(|it| (it.run, it.shown)).collect()
}

async fn seqs(store: &dyn Store, before: Option<u64>, rule: Option<&str>, limit: usize) -> Vec<u64> {
    store.deliveries(before, rule, limit).await.unwrap().into_iter().map(|it| it.seq).collect()
}

pub async fn a_component_is_removed_once_nothing_refers_to_it(home: impl Home) {
    let store = home.store();
    let digest = component(1).digest;
    let none = |it: Result<(), StoreError>| assert!(matches!(it, Err(StoreError::NoComponent(_))), "{it:?}");
    let used = |it: Result<(), StoreError>, by: &str| match it {
        Err(StoreError::InUse(text)) => assert_eq!(text, by),
        other => panic!("expected that it is in use, got {other:?}"),
    };
    none(store.remove_component(digest, at(90)).await);
    ready(store).await;
    for name in ["a", "b", "c", "d"] {
        let it = Definition { component: Some(digest), ..definition(kind::DEPLOYMENT, name) };
        store.define(it, None).await.unwrap();
    }
    used(store.remove_component(digest, at(90)).await, "deployment `a`, deployment `b`, deployment `c`, 1 more");
    for name in ["b", "c", "d"] {
        store.undefine(kind::DEPLOYMENT, name).await.unwrap();
    }
    used(store.remove_component(digest, at(90)).await, "deployment `a`");
    // It may refer to another one from now on.
    store.define(definition(kind::DEPLOYMENT, "a"), None).await.unwrap();
    store.remove_component(digest, at(90)).await.unwrap();
    none(store.remove_component(digest, at(90)).await);
    assert_eq!(store.components().await.unwrap(), []);
    let home = home.reopen();
    let store = home.store();
    none(store.component_bytes(digest).await.map(drop));
    assert!(matches!(store.create(new_run(1)).await, Err(StoreError::NoComponent(_))));
    ready(store).await;
    assert_eq!(store.component_bytes(digest).await.unwrap(), bytes(1));
    store.create(new_run(1)).await.unwrap();
    used(store.remove_component(digest, at(90)).await, "1 run");
    store.create(new_run(2)).await.unwrap();
    store.define(Definition { component: Some(digest), ..definition(kind::DEPLOYMENT, "e") }, None).await.unwrap();
    used(store.remove_component(digest, at(90)).await, "2 runs, deployment `e`");
    assert_eq!(store.component(digest).await.unwrap(), Some(component(1)));
}

pub async fn a_definition_counts_its_changes(home: impl Home) {
    let store = home.store();
    let first = Definition { version: 77, ..definition(kind::TOKEN, "é' OR 1 --") };
    let changed = |it: Result<u64, StoreError>, at: u64| match it {
        Err(StoreError::Changed { is }) => assert_eq!(is, at),
        other => panic!("expected that it was changed, got {other:?}"),
    };
    changed(store.define(first.clone(), Some(77)).await, 0);
    assert_eq!(store.definition(kind::TOKEN, &first.name).await.unwrap(), None);
    assert_eq!(store.define(first.clone(), Some(0)).await.unwrap(), 1);
    changed(store.define(first.clone(), Some(0)).await, 1);
    let second = Definition { body: json("{\"n\":[2]}"), updated: at(2), ..first.clone() };
    assert_eq!(store.define(second.clone(), Some(1)).await.unwrap(), 2);
    changed(store.define(first.clone(), Some(1)).await, 2);
    let kept = store.definition(kind::TOKEN, &first.name).await.unwrap();
    assert_eq!(kept, Some(Definition { version: 2, ..second }));
    assert_eq!(store.define(first.clone(), None).await.unwrap(), 3);
    assert_eq!(store.definition(kind::QUEUE, &first.name).await.unwrap(), None, "each kind has names of its own");
    assert!(!store.undefine(kind::QUEUE, &first.name).await.unwrap());
    assert!(store.undefine(kind::TOKEN, &first.name).await.unwrap());
    assert!(!store.undefine(kind::TOKEN, &first.name).await.unwrap());
    assert_eq!(store.define(first, None).await.unwrap(), 1);
}

pub async fn a_definition_needs_its_component(home: impl Home) {
    let store = home.store();
    let it = Definition { component: Some(component(1).digest), ..definition(kind::DEPLOYMENT, "a") };
    let none = store.define(it.clone(), None).await;
    assert!(matches!(none, Err(StoreError::NoComponent(digest)) if digest == component(1).digest), "{none:?}");
    ready(store).await;
    assert_eq!(store.define(it.clone(), Some(0)).await.unwrap(), 1);
    let kept = store.definition(kind::DEPLOYMENT, "a").await.unwrap();
    assert_eq!(kept, Some(Definition { version: 1, ..it }));
}

pub async fn definitions_are_listed_by_name(home: impl Home) {
    let store = home.store();
    for name in ["b", "B", "é", "a"] {
        store.define(definition(kind::SCHEDULE, name), None).await.unwrap();
    }
    store.define(definition(kind::QUEUE, "c"), None).await.unwrap();
    let names = store.definitions(kind::SCHEDULE).await.unwrap().into_iter().map(|it| it.name);
    assert_eq!(names.collect::<Vec<_>>(), ["B", "a", "b", "é"]);
    assert_eq!(store.definitions(kind::QUEUE).await.unwrap()[0].kind, kind::QUEUE);
    assert_eq!(store.definitions(kind::TOKEN).await.unwrap(), []);
}

pub async fn who_did_what_is_paged(home: impl Home) {
    let store = home.store();
    for (n, subject) in [(1, "a"), (2, "b"), (3, "a"), (4, "a"), (5, "b")] {
        store.audit(entry(n, subject)).await.unwrap();
    }
    let home = home.reopen();
    let store = home.store();
    let all = store.audited(None, None, 10).await.unwrap();
    let of = |n: u64, subject: &str| (n, entry(n, subject));
    assert_eq!(all, [of(5, "b"), of(4, "a"), of(3, "a"), of(2, "b"), of(1, "a")]);
    assert_eq!(store.audited(Some(4), None, 2).await.unwrap(), [of(3, "a"), of(2, "b")]);
    assert_eq!(store.audited(None, Some("a"), 2).await.unwrap(), [of(4, "a"), of(3, "a")]);
    assert_eq!(store.audited(Some(3), Some("a"), 2).await.unwrap(), [of(1, "a")]);
    assert_eq!(store.audited(Some(u64::MAX), None, 1).await.unwrap(), [of(5, "b")]);
    assert_eq!(store.audited(None, Some("' OR 1 --"), 10).await.unwrap(), []);
    assert_eq!(store.audited(None, None, 0).await.unwrap(), []);
}

pub async fn notices_are_kept_only_while_there_is_a_rule(home: impl Home) {
    let store = home.store();
    let end_one = async |store: &dyn Store, n| {
        let run = running(store, n).await;
        store.end_attempt(run, fence(n), end(AttemptEnd::Completed, n)).await.unwrap();
    };
    end_one(store, 1).await;
    store.define(definition(kind::TOKEN, "pager"), None).await.unwrap();
    end_one(store, 2).await;
    rule(store).await;
    store.define(definition(kind::NOTIFICATION, "mail"), None).await.unwrap();
    end_one(store, 3).await;
    store.undefine(kind::NOTIFICATION, "pager").await.unwrap();
    end_one(store, 4).await;
    store.undefine(kind::NOTIFICATION, "mail").await.unwrap();
    end_one(store, 5).await;
    end_one(store, 6).await;
    let completed = |n| (id(n), Shown::Completed);
    assert_eq!(told(store).await, [completed(3), completed(4)]);
    rule(store).await;
    end_one(store, 7).await;
    let home = home.reopen();
    end_one(home.store(), 8).await;
    assert_eq!(told(home.store()).await, [3, 4, 7, 8].map(completed));
    let notices = home.store().notices(1).await.unwrap();
    assert_eq!(notices, [Notice { seq: 1, run: id(3), at: at(3), shown: Shown::Completed, attempt: 1, failure: None }]);
}

pub async fn the_end_of_an_attempt_makes_a_notice(home: impl Home) {
    let store = home.store();
    rule(store).await;
    let park = AttemptEnd::Failed {
        failure: failure("e"),
        policy: RetryPolicy { when_exhausted: WhenExhausted::Park, ..Default::default() },
    };
    let ends = [
        (AttemptEnd::Completed, Some(Shown::Completed)),
        (failed("e", 0), Some(Shown::Failed)),
        (failed("e", 1), Some(Shown::AwaitingRetry)),
        (failed(code::TIMEOUT, 0), Some(Shown::TimedOut)),
        (park, Some(Shown::Parked)),
        (AttemptEnd::Parked { failure: failure("e") }, Some(Shown::Parked)),
        (AttemptEnd::Cancelled, Some(Shown::Cancelled)),
        (AttemptEnd::Suspended { until: at(1_000_000) }, None),
        (AttemptEnd::Released, None),
        (AttemptEnd::Paused, None),
    ];
    let mut expected = Vec::new();
    for (n, (how, shown)) in (1..).zip(ends) {
        let run = running(store, n).await;
        refused(store.end_attempt(run, fence(99), end(how.clone(), 50)).await, Refused::StaleFence);
        store.end_attempt(run, fence(n), end(how, 50)).await.unwrap();
        expected.extend(shown.map(|it| (run, it)));
    }
    assert_eq!(told(store).await, expected);
    // Another attempt, another notice.
    store.claim(ClaimRequest { root: Some(id(3)), ..claim(90_000, 33..34) }).await.unwrap();
    store.end_attempt(id(3), fence(33), end(failed("e", 1), 90_001)).await.unwrap();
    let last = store.notices(1000).await.unwrap().pop().unwrap();
    let seq = expected.len() as u64 + 1;
    assert_eq!(
        last,
        Notice { seq, run: id(3), at: at(90_001), shown: Shown::Failed, attempt: 2, failure: last.failure.clone() }
    );
    store.set_result(id(2), 1, json("1"), at(90_002)).await.unwrap_err();
    store.retry(id(2), retry(90_003)).await.unwrap();
    assert_eq!(store.notices(1000).await.unwrap().last(), Some(&last), "to begin anew makes none");
}

pub async fn a_cancelled_run_makes_a_notice_once_it_has_ended(home: impl Home) {
    let store = home.store();
    rule(store).await;
    ready(store).await;
    store.create(new_run(1)).await.unwrap();
    store.command(id(1), Command::Pause, at(10)).await.unwrap();
    store.command(id(1), Command::Cancel, at(11)).await.unwrap();
    refused(store.command(id(1), Command::Cancel, at(12)).await, Refused::HasEnded);
    running(store, 2).await;
    store.command(id(2), Command::Cancel, at(20)).await.unwrap();
    assert_eq!(told(store).await, [(id(1), Shown::Cancelled)]);
    store.end_attempt(id(2), fence(2), end(AttemptEnd::Cancelled, 30)).await.unwrap();
    assert_eq!(told(store).await, [(id(1), Shown::Cancelled), (id(2), Shown::Cancelled)]);
    // One that waits for its retry again has told of that.
    running(store, 3).await;
    store.end_attempt(id(3), fence(3), end(failed("e", 1), 40)).await.unwrap();
    for command in [Command::Pause, Command::Resume, Command::RunNow] {
        store.command(id(3), command, at(41)).await.unwrap();
    }
    assert_eq!(told(store).await.len(), 3);
}

pub async fn children_make_no_notices(home: impl Home) {
    let store = home.store();
    rule(store).await;
    running(store, 1).await;
    let child = |n| NewRun { parent: Some(Parent { run: id(1), call: 1 }), root: id(1), depth: 1, ..new_run(n) };
    for n in [2, 3, 4] {
        store.begin(child(n), fence(n)).await.unwrap();
    }
    store.create(child(5)).await.unwrap();
    store.end_attempt(id(2), fence(2), end(AttemptEnd::Completed, 10)).await.unwrap();
    store.end_attempt(id(3), fence(3), end(failed("e", 0), 10)).await.unwrap();
    store.command(id(1), Command::Cancel, at(20)).await.unwrap();
    assert_eq!(told(store).await, []);
    let home = home.reopen();
    home.store().recover(at(30)).await.unwrap();
    assert_eq!(home.store().run(id(4)).await.unwrap().run.state, RunState::Cancelled);
    assert_eq!(told(home.store()).await, [(id(1), Shown::Cancelled)]);
}

pub async fn lost_hosts_make_a_notice_when_the_run_ends_by_it(mut home: impl Home) {
    rule(home.store()).await;
    running(home.store(), 1).await;
    running(home.store(), 2).await;
    home.store().command(id(2), Command::Cancel, at(5)).await.unwrap();
    for n in 10..13 {
        home = home.reopen();
        home.store().recover(at(n)).await.unwrap();
        home.store().claim(claim(n, n..n + 1)).await.unwrap();
    }
    assert_eq!(told(home.store()).await, [(id(2), Shown::Cancelled), (id(1), Shown::Crashed)]);
    assert_eq!(home.store().notices(2).await.unwrap()[1].at, at(12));
}

pub async fn a_notice_is_taken_once(home: impl Home) {
    let store = home.store();
    rule(store).await;
    for n in 1..=2 {
        let run = running(store, n).await;
        store.end_attempt(run, fence(n), end(AttemptEnd::Completed, n)).await.unwrap();
    }
    store.deliver(Some(1), vec![delivery("a", 1), delivery("b", 1)]).await.unwrap();
    store.deliver(Some(1), vec![delivery("c", 1)]).await.unwrap();
    assert_eq!(told(store).await, [(id(2), Shown::Completed)]);
    assert_eq!(seqs(store, None, None, 10).await, [2, 1], "what is sent for a notice that is gone is not kept");
    store.deliver(Some(2), vec![]).await.unwrap();
    store.deliver(None, vec![Delivery { run: None, ..delivery("test", 5) }]).await.unwrap();
    let home = home.reopen();
    let store = home.store();
    assert_eq!(told(store).await, []);
    let kept = store.deliveries(None, None, 10).await.unwrap();
    let with = |seq, it: Delivery| Delivery { seq, ..it };
    let test = Delivery { run: None, ..delivery("test", 5) };
    assert_eq!(kept, [with(3, test), with(2, delivery("b", 1)), with(1, delivery("a", 1))]);
    // A place is never given out again: whoever asks again for the last one takes nothing.
    let run = running(store, 3).await;
    store.end_attempt(run, fence(3), end(AttemptEnd::Completed, 3)).await.unwrap();
    store.deliver(Some(2), vec![delivery("d", 1)]).await.unwrap();
    assert_eq!((told(store).await.len(), seqs(store, None, None, 10).await.len()), (1, 3));
    assert_eq!(store.notices(1).await.unwrap()[0].seq, 3);
}

pub async fn deliveries_are_tried_when_they_are_due(home: impl Home) {
    let store = home.store();
    store
        .deliver(None, vec![delivery("a", 30), delivery("b", 10), delivery("c", 20), delivery("d", 10)])
        .await
        .unwrap();
    let due = async |by, limit| -> Vec<u64> {
        store.deliveries_due(at(by), limit).await.unwrap().into_iter().map(|it| it.seq).collect()
    };
    assert!(due(9, 10).await.is_empty());
    assert_eq!(due(20, 10).await, [2, 4, 3]);
    assert_eq!(due(99, 1).await, [2, 4, 3, 1], "a limit is of each rule");
    store.deliver(None, vec![delivery("b", 15), delivery("b", 5)]).await.unwrap();
    assert_eq!(due(99, 2).await, [6, 2, 4, 3, 1]);
    for seq in [5, 6] {
        store.delivered(Delivery { seq, state: DeliveryState::GivenUp, ..delivery("b", 0) }).await.unwrap();
    }
    let [b, d] = [2, 4].map(|seq| Delivery { seq, attempts: 1, answer: Some("503 é".into()), ..delivery("x", 0) });
    let b = Delivery { state: DeliveryState::Pending(at(50)), ..b };
    store.delivered(b).await.unwrap();
    store.delivered(Delivery { state: DeliveryState::GivenUp, ended: Some(at(40)), ..d }).await.unwrap();
    let c = Delivery { seq: 3, state: DeliveryState::Delivered, attempts: 2, ended: Some(at(41)), ..delivery("c", 20) };
    store.delivered(c.clone()).await.unwrap();
    assert_eq!(due(99, 10).await, [1, 2]);
    let kept = store.deliveries(Some(5), None, 10).await.unwrap();
    assert_eq!(kept[1], c);
    let answered = (kept[0].state, kept[0].attempts, kept[0].answer.as_deref(), kept[0].ended, kept[0].rule.as_str());
    assert_eq!(answered, (DeliveryState::GivenUp, 1, Some("503 é"), Some(at(40)), "d"), "its rule stays");
    store.delivered(Delivery { seq: 99, ..c }).await.unwrap();
    assert_eq!(store.deliveries(Some(5), None, 10).await.unwrap(), kept);
}

pub async fn deliveries_are_paged(home: impl Home) {
    let store = home.store();
    for rule in ["a", "b", "a", "a", "b"] {
        store.deliver(None, vec![delivery(rule, 1)]).await.unwrap();
    }
    assert_eq!(seqs(store, None, None, 2).await, [5, 4]);
    assert_eq!(seqs(store, Some(4), None, 10).await, [3, 2, 1]);
    assert_eq!(seqs(store, None, Some("a"), 2).await, [4, 3]);
    assert_eq!(seqs(store, Some(3), Some("a"), 2).await, [1]);
    assert!(seqs(store, None, Some("' OR 1 --"), 2).await.is_empty());
    assert!(seqs(store, None, None, 0).await.is_empty());
}

pub async fn runs_are_listed_by_deployment(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for n in 1..=9 {
        let deployment = (n % 4 > 0).then(|| format!("main/{}", n % 4));
        store.create(NewRun { deployment, ..new_run(n) }).await.unwrap();
    }
    store.command(id(2), Command::Cancel, at(50)).await.unwrap();
    let of = |names: &[&str]| RunFilter { deployments: names.iter().map(|it| (*it).to_owned()).collect(), ..all() };
    let listed = |filter| async { ids(store, filter, 100).await };
    assert_eq!(listed(of(&["main/1"])).await, [id(9), id(5), id(1)]);
    let both = of(&["main/3", "main/1", "main/3", "main/9"]);
    assert_eq!(listed(both.clone()).await, [9, 7, 5, 3, 1].map(id));
    assert_eq!(listed(RunFilter { limit: 2, ..both.clone() }).await, [id(9), id(7)]);
    assert_eq!(listed(RunFilter { limit: 2, before: Some(id(7)), ..both.clone() }).await, [id(5), id(3)]);
    assert_eq!(listed(RunFilter { limit: 0, ..both.clone() }).await, []);
    assert_eq!(listed(RunFilter { flow: Some("other".into()), ..both.clone() }).await, []);
    assert_eq!(listed(RunFilter { parent: Some(id(9)), ..both }).await, []);
    assert_eq!(listed(of(&["main/4", "' OR 1 --"])).await, []);
    let cancelled = |filter| RunFilter { shown: vec![Shown::Cancelled], ..filter };
    assert_eq!(listed(cancelled(of(&["main/1", "main/2"]))).await, [id(2)]);
    assert_eq!(listed(cancelled(of(&["main/1"]))).await, []);
}

pub async fn runs_are_listed_by_failure_and_text(home: impl Home) {
    let store = home.store();
    let failures =
        [(1, "http.503", "it is DOWN"), (2, "http.404", "100% ü\u{0}Gone_"), (3, "http", "?"), (4, "https.1", "")];
    for (n, code, message) in failures {
        ready(store).await;
        let (flow, deployment) = (format!("Flow-{n}"), (n == 4).then(|| "Main/Ü".into()));
        store.create(NewRun { flow, deployment, ..new_run(n) }).await.unwrap();
        store.claim(claim(0, n..n + 1)).await.unwrap();
        let how = AttemptEnd::Failed { failure: Failure::new(code, message), policy: RetryPolicy::default() };
        store.end_attempt(id(n), fence(n), end(how, 10)).await.unwrap();
    }
    store.create(new_run(5)).await.unwrap();
    let listed = |filter| async { ids(store, filter, 100).await };
    let code = |it: &str| RunFilter { code: Some(it.into()), ..all() };
    assert_eq!(listed(code("http.503")).await, [id(1)]);
    assert_eq!(listed(code("http.5")).await, []);
    assert_eq!(listed(code("http.*")).await, [id(2), id(1)]);
    assert_eq!(listed(code("http*")).await, [4, 3, 2, 1].map(id));
    assert_eq!(listed(code("*")).await, [4, 3, 2, 1].map(id), "all that failed");
    assert_eq!(listed(RunFilter { shown: vec![Shown::Failed], ..code("http.*") }).await, [id(2), id(1)]);
    for none in ["", "HTTP.503", "%", "htt_.*", "' OR 1 --", "ttp.*"] {
        assert_eq!(listed(code(none)).await, [], "{none:?}");
    }
    let text = |it: &str| RunFilter { text: Some(it.into()), ..all() };
    assert_eq!(listed(text("fLOW-")).await, [4, 3, 2, 1].map(id));
    assert_eq!(listed(text("is down")).await, [id(1)]);
    assert_eq!(listed(text("0% ü\u{0}gone_")).await, [id(2)]);
    assert_eq!(listed(text("main/Ü")).await, [id(4)]);
    assert_eq!(listed(text("main/ü")).await, [], "only the case of ASCII letters is nothing");
    assert_eq!(listed(text(&id(3).friendly_name().to_uppercase())).await, [id(3)]);
    assert_eq!(listed(text("")).await.len(), 5);
    assert_eq!(listed(text("%")).await, [id(2)], "it stands for itself");
    assert_eq!(listed(text("http.50")).await, [id(1)], "also the code of a failure");
    for none in ["flow_1", "down is", "999", "\\", "' OR 1 --"] {
        assert_eq!(listed(text(none)).await, [], "{none:?}");
    }
    store.retry(id(1), retry(20)).await.unwrap();
    assert_eq!(listed(code("http.503")).await, [], "a retry forgets the failure");
}

pub async fn runs_are_listed_by_when_they_were_made(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for n in [10, 20, 30] {
        store.create(new_run(n)).await.unwrap();
    }
    let listed = |filter| async { ids(store, filter, 100).await };
    assert_eq!(listed(RunFilter { until: Some(at(30)), ..all() }).await, [id(20), id(10)]);
    assert_eq!(listed(RunFilter { since: Some(at(20)), until: Some(at(30)), ..all() }).await, [id(20)]);
    assert_eq!(listed(RunFilter { until: Some(at(10)), ..all() }).await, []);
}

pub async fn runs_are_counted_by_state_and_by_when_they_were_made(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for n in [10, 12, 20, 29, 30] {
        store.create(new_run(n)).await.unwrap();
    }
    store.command(id(12), Command::Cancel, at(50)).await.unwrap();
    let asked = |since, until, limit| RunFilter { since: Some(at(since)), until: Some(at(until)), limit, ..all() };
    let counted = async |filter| {
        let mut counts = store.counts(filter, 2, at(60)).await.unwrap();
        counts.by_state.sort_unstable_by_key(|(it, _)| it.to_string());
        (counts.by_state, counts.complete)
    };
    let both = vec![(Shown::Cancelled, vec![1, 0]), (Shown::Scheduled, vec![1, 2])];
    assert_eq!(counted(asked(10, 30, 100)).await, (both.clone(), true));
    assert_eq!(counted(RunFilter { roots_only: true, ..asked(10, 30, 100) }).await, (both, true));
    assert_eq!(counted(asked(10, 30, 2)).await, (vec![(Shown::Scheduled, vec![0, 2])], false), "the newest are");
    let cancelled = RunFilter { shown: vec![Shown::Cancelled], ..asked(10, 30, 100) };
    assert_eq!(counted(cancelled).await, (vec![(Shown::Cancelled, vec![1, 0])], true));
    assert_eq!(counted(asked(40, 50, 100)).await, (vec![], true));
    // The last instant of a time that cannot be divided belongs to its last part.
    assert_eq!(counted(asked(28, 31, 100)).await, (vec![(Shown::Scheduled, vec![1, 1])], true));
}

pub async fn what_was_defined_is_there_after_a_restart(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for kind in kind::ALL {
        let component = (kind == kind::DEPLOYMENT).then(|| component(1).digest);
        store.define(Definition { component, ..definition(kind, "a") }, None).await.unwrap();
    }
    store.audit(entry(1, "a")).await.unwrap();
    for n in 1..=2 {
        let run = running(store, n).await;
        store.end_attempt(run, fence(n), end(AttemptEnd::Completed, 1)).await.unwrap();
    }
    store.deliver(Some(1), vec![delivery("a", 1)]).await.unwrap();
    let before = everything(store).await;
    for told in ["NOTIFICATION", "actor", "shown: Completed", "rule: \"a\""] {
        assert!(before.to_lowercase().contains(&told.to_lowercase()), "{told}: {before}");
    }
    let home = home.reopen();
    assert_eq!(everything(home.store()).await, before);
}

/// Ends a run that is running under the fence of its number.
async fn ended(store: &dyn Store, n: u64, when: u64) {
    store.end_attempt(id(n), fence(n), end(AttemptEnd::Completed, when)).await.unwrap();
}

pub async fn a_run_is_removed_with_all_that_is_below_it(home: impl Home) {
    let store = home.store();
    ready(store).await;
    rule(store).await;
    running(store, 1).await;
    let parent = Some(Parent { run: id(1), call: 1 });
    let child = NewRun { parent, root: id(1), depth: 1, idempotency_key: Some("key".into()), ..new_run(2) };
    store.begin(child.clone(), fence(2)).await.unwrap();
    running(store, 3).await;
    for n in 1..=3 {
        let result = Some(Kept::Inline(large('r')));
        let it = TaskRun { state: TaskState::Completed, result, ..task(1) };
        let commit = TaskCommit { task: it.into(), past: vec![], logs: vec![line(n)] };
        store.commit_task(id(n), fence(n), commit).await.unwrap();
    }
    let refused = |it: Result<bool, StoreError>| {
        assert!(matches!(it, Err(StoreError::Refused(Refused::NotEnded))), "{it:?}");
    };
    refused(store.remove_run(id(1), at(50)).await);
    assert!(matches!(store.remove_run(id(2), at(50)).await, Err(StoreError::InUse(_))), "it goes with its parent");
    assert!(matches!(store.remove_run(id(9), at(50)).await, Err(StoreError::NoRun(_))));
    ended(store, 1, 60).await;
    refused(store.remove_run(id(1), at(70)).await);
    ended(store, 2, 60).await;
    ended(store, 3, 60).await;
    let before = store.run(id(3)).await.unwrap();
    let tasks = store.task_runs(id(3)).await.unwrap();
    assert!(store.remove_run(id(1), at(70)).await.unwrap());
    assert!(matches!(store.remove_run(id(1), at(70)).await, Err(StoreError::NoRun(_))));
    let home = home.reopen();
    let store = home.store();
    for n in [1, 2] {
        assert!(matches!(store.run(id(n)).await, Err(StoreError::NoRun(_))));
        assert!(matches!(store.task_runs(id(n)).await, Err(StoreError::NoRun(_)) | Ok(_)));
    }
    assert_eq!(told(store).await, [(id(3), Shown::Completed)]);
    assert_eq!(store.keyed("key").await.unwrap(), None, "its key is free");
    assert_eq!(store.run(id(3)).await.unwrap(), before, "another run is as it was");
    assert_eq!((store.task_runs(id(3)).await.unwrap(), store.logs(id(3), 0, 9).await.unwrap().len()), (tasks, 1));
    // Its number is nobody's: what comes under it begins anew.
    assert!(store.create(NewRun { parent: None, depth: 0, root: id(2), ..child }).await.unwrap().1);
    assert_eq!(store.task_runs(id(2)).await.unwrap(), []);
    assert_eq!(store.logs(id(2), 0, 10).await.unwrap(), []);
}

pub async fn old_runs_are_found_by_when_they_ended(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for (n, deployment) in [(1, Some("a/x")), (2, Some("b/x")), (3, None), (4, Some("a/x")), (5, Some("a/x"))] {
        let new = NewRun { deployment: deployment.map(str::to_owned), created: at(n), ..new_run(n) };
        store.begin(new, fence(n)).await.unwrap();
    }
    for (n, when) in [(1, 50), (2, 20), (3, 30), (4, 20)] {
        ended(store, n, when).await;
    }
    let old = async |deployment: Option<&str>, other: &[&str], before: u64, after: Option<u64>, limit: usize| {
        let asked = OldRuns {
            deployment: deployment.map(str::to_owned),
            other_than: other.iter().map(|it| (*it).to_owned()).collect(),
            ended_before: at(before),
            after: after.map(id),
            limit,
        };
        store.old_runs(asked).await.unwrap()
    };
    assert_eq!(old(Some("a/x"), &[], 51, None, 9).await, [id(1), id(4)], "5 has not ended");
    assert_eq!(old(Some("a/x"), &[], 50, None, 9).await, [id(4)]);
    assert_eq!(old(Some("a/x"), &[], 51, None, 1).await, [id(1)]);
    assert_eq!(old(Some("a/x"), &[], 51, Some(1), 9).await, [id(4)]);
    assert_eq!(old(None, &["a/x"], 51, None, 9).await, [id(2), id(3)]);
    assert_eq!(old(None, &["a/x", "b/x"], 51, None, 9).await, [id(3)], "one without a deployment is of no other");
    assert_eq!(old(None, &[], 25, None, 9).await, [id(2), id(4)]);
    // One that was cancelled before it began has no end: it is as old as it is.
    store.create(NewRun { created: at(6), due: at(99), ..new_run(6) }).await.unwrap();
    store.command(id(6), Command::Cancel, at(80)).await.unwrap();
    assert_eq!(old(None, &["a/x", "b/x"], 99, Some(3), 9).await, [id(6)]);
}

pub async fn what_is_tidied_away_is_what_nobody_needs(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for n in [1, 2] {
        let parameters = Kept::Inline(large('p'));
        store.begin(NewRun { parameters, ..new_run(n) }, fence(n)).await.unwrap();
        ended(store, n, 20).await;
    }
    for (n, ended) in [(1, None), (2, Some(at(20))), (3, Some(at(40)))] {
        let state = ended.map_or(DeliveryState::Pending(at(1)), |_| DeliveryState::Delivered);
        store.deliver(None, vec![Delivery { ended, state, ..delivery("pager", n) }]).await.unwrap();
        store.audit(entry(10 * n, "it")).await.unwrap();
    }
    assert!(store.remove_run(id(1), at(30)).await.unwrap());
    store.tidy(at(50), Duration::ZERO, at(30), at(20)).await.unwrap();
    let kept = store.run(id(2)).await.unwrap().asked.parameters;
    assert_eq!(store.value(&kept).await.unwrap(), large('p'), "another run has the same value");
    assert_eq!(seqs(store, None, None, 9).await, [3, 1], "what is pending stays, and what ended later");
    let audited = store.audited(None, None, 9).await.unwrap();
    assert_eq!(audited.iter().map(|(_, it)| it.at).collect::<Vec<_>>(), [at(30), at(20)]);
    assert!(store.remove_run(id(2), at(60)).await.unwrap());
    store.tidy(at(70), Duration::ZERO, at(30), at(20)).await.unwrap();
    // It can come again.
    store.begin(NewRun { parameters: Kept::Inline(large('p')), ..new_run(3) }, fence(3)).await.unwrap();
    let kept = store.run(id(3)).await.unwrap().asked.parameters;
    assert_eq!(store.value(&kept).await.unwrap(), large('p'));
}
