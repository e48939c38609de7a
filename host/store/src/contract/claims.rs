//! Runs are made and claimed.
#![allow(missing_docs, reason = "each case is named after its promise")]

use super::*;
use crate::{Busy, Limited, Room};

pub async fn a_run_is_made_once_under_its_id(home: impl Home) {
    let store = home.store();
    ready(store).await;
    let mut new = new_run(1);
    new.deployment = Some("main/dev".into());
    new.overrides.retries = Some(7);
    new.idempotency_key = Some("key".into());
    new.parent = Some(Parent { run: id(9), call: 3 });
    new.depth = 1;
    new.due = at(50);
    let (made, is_new) = store.create(new.clone()).await.unwrap();
    assert!(is_new);
    assert_eq!((&made.asked, &made.run), (&new, &Run::new(at(50))));
    assert_eq!(store.run(id(1)).await.unwrap(), made);
    let other = NewRun { flow: "other".into(), idempotency_key: None, ..new };
    assert_eq!(store.create(other).await.unwrap(), (made, false));
    assert_eq!(ids(store, all(), 0).await, [id(1)]);
}

pub async fn a_child_is_made_only_while_its_parent_runs(home: impl Home) {
    let store = home.store();
    ready(store).await;
    store.create(new_run(1)).await.unwrap();
    let child = |n| NewRun { parent: Some(Parent { run: id(1), call: 1 }), root: id(1), depth: 1, ..new_run(n) };
    let refused = |made: Result<(RunRecord, bool), StoreError>| {
        assert!(matches!(made, Err(StoreError::Refused(Refused::ParentNotRunning))), "{made:?}");
    };
    refused(store.create(child(2)).await);
    store.claim(claim(10, 1..2)).await.unwrap();
    assert!(store.create(child(2)).await.unwrap().1);
    store.command(id(1), Command::Cancel, at(20)).await.unwrap();
    refused(store.begin(child(3), fence(7)).await);
    // One that is there is answered with, whatever became of its parent.
    assert!(!store.create(child(2)).await.unwrap().1);
    store.end_attempt(id(1), fence(1), end(AttemptEnd::Cancelled, 30)).await.unwrap();
    refused(store.create(child(3)).await);
}

/// Run 1 is running, its children 2 and 3 too, and so is 4, which is below 2; 5 is apart.
async fn family(store: &dyn Store) {
    ready(store).await;
    running(store, 1).await;
    let child = |n, parent| NewRun {
        parent: Some(Parent { run: id(parent), call: n as u32 }),
        root: id(1),
        depth: 1,
        ..new_run(n)
    };
    for (n, parent) in [(2, 1), (3, 1), (4, 2)] {
        assert!(store.begin(child(n, parent), fence(n)).await.unwrap().1);
    }
    running(store, 5).await;
}

async fn words(store: &dyn Store) -> Vec<Shown> {
    let mut words = Vec::new();
    for n in 1..=5 {
        words.push(store.run(id(n)).await.unwrap().run.shown(at(0)));
    }
    words
}

pub async fn a_run_is_cancelled_with_what_is_below_it(home: impl Home) {
    use Shown::{Cancelled, Cancelling, Completed, Running};
    let store = home.store();
    family(store).await;
    store.end_attempt(id(3), fence(3), end(AttemptEnd::Completed, 10)).await.unwrap();
    store.command(id(1), Command::Cancel, at(20)).await.unwrap();
    assert_eq!(words(store).await, [Cancelling, Cancelling, Completed, Cancelling, Running]);
    for n in [4, 2, 1] {
        store.end_attempt(id(n), fence(n), end(AttemptEnd::Cancelled, 30)).await.unwrap();
    }
    assert_eq!(words(store).await, [Cancelled, Cancelled, Completed, Cancelled, Running]);
    let told = store.events(id(4)).await.unwrap();
    assert_eq!(told.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>(), ["cancel"]);
}

pub async fn an_attempt_ends_with_the_children_it_names(home: impl Home) {
    use Shown::{AwaitingRetry, Cancelling, Running};
    let store = home.store();
    family(store).await;
    let commit = AttemptCommit { cancel: vec![id(2), id(77)], ..end(failed("e", 1), 10) };
    store.end_attempt(id(1), fence(1), commit.clone()).await.unwrap();
    assert_eq!(words(store).await, [AwaitingRetry, Cancelling, Running, Cancelling, Running]);
    // Under an old fence it cancels nobody.
    let commit = AttemptCommit { cancel: vec![id(3)], ..commit };
    refused(store.end_attempt(id(1), fence(1), commit).await, Refused::StaleFence);
    assert_eq!(words(store).await[2], Running);
}

pub async fn a_suspended_parent_goes_on_when_a_child_has_ended(home: impl Home) {
    let store = home.store();
    family(store).await;
    let due = async || match store.run(id(1)).await.unwrap().run.state {
        RunState::Scheduled { due, waiting: Waiting::Suspended } => due,
        RunState::Paused { due, waiting: Waiting::Suspended } => due,
        other => panic!("{other:?}"),
    };
    let suspend = async |n, waits_for, now| {
        let commit = AttemptCommit { waits_for, ..end(AttemptEnd::Suspended { until: at(900) }, now) };
        store.end_attempt(id(1), fence(n), commit).await.unwrap();
    };
    suspend(1, vec![id(2), id(3), id(77)], 10).await;
    assert_eq!(due().await, at(900));
    // One that will be tried again has not ended, and what is below a child is not its parent's business.
    store.end_attempt(id(3), fence(3), end(failed("e", 1), 20)).await.unwrap();
    store.end_attempt(id(4), fence(4), end(AttemptEnd::Completed, 25)).await.unwrap();
    assert_eq!(due().await, at(900));
    store.command(id(3), Command::Cancel, at(30)).await.unwrap();
    assert_eq!(due().await, at(30));
    // It ended before the attempt was suspended: told by whoever suspends it.
    store.claim(claim(40, 40..41)).await.unwrap();
    suspend(40, vec![id(2), id(3)], 50).await;
    assert_eq!(due().await, at(50));
    store.claim(claim(60, 60..61)).await.unwrap();
    suspend(60, vec![id(2)], 70).await;
    assert_eq!(due().await, at(900));
    // Paused, it stays so.
    store.command(id(1), Command::Pause, at(75)).await.unwrap();
    store.end_attempt(id(2), fence(2), end(AttemptEnd::Completed, 80)).await.unwrap();
    assert_eq!(due().await, at(80));
    assert_eq!(words(store).await[0], Shown::Paused);
}

pub async fn what_is_below_a_run_that_ends_with_its_hosts_is_cancelled(home: impl Home) {
    use Shown::{Cancelled, Scheduled};
    family(home.store()).await;
    home.store().command(id(2), Command::Cancel, at(20)).await.unwrap();
    let home = home.reopen();
    let recovered = home.store().recover(at(30)).await.unwrap();
    assert_eq!(words(home.store()).await, [Scheduled, Cancelled, Scheduled, Cancelled, Scheduled]);
    for (id, run) in recovered {
        assert_eq!(home.store().run(id).await.unwrap().run, run, "it is told as it is");
    }
}

pub async fn a_forgotten_child_is_so_until_it_is_retried(home: impl Home) {
    let store = home.store();
    family(store).await;
    for n in [2, 1] {
        store.end_attempt(id(n), fence(n), end(failed("e", 0), 10)).await.unwrap();
    }
    let request = RetryRequest { forget_children: vec![id(2), id(5), id(77)], ..retry(20) };
    store.retry(id(1), request).await.unwrap();
    let forgotten = async |n| store.run(id(n)).await.unwrap().forgotten;
    assert_eq!((forgotten(2).await, forgotten(3).await, forgotten(5).await), (true, false, false));
    let told = store.events(id(1)).await.unwrap();
    assert!(told[0].details.as_str().contains("forget_children"), "{told:?}");
    store.retry(id(2), retry(30)).await.unwrap();
    assert!(!forgotten(2).await);
}

pub async fn a_run_that_is_cancelled_at_once_has_ended_then(home: impl Home) {
    let store = home.store();
    ready(store).await;
    store.create(new_run(1)).await.unwrap();
    store.command(id(1), Command::Cancel, at(20)).await.unwrap();
    assert_eq!(store.run(id(1)).await.unwrap().ended, Some(at(20)));
    store.retry(id(1), retry(30)).await.unwrap();
    assert_eq!(store.run(id(1)).await.unwrap().ended, None);
}

pub async fn the_lines_of_an_attempt_are_counted(home: impl Home) {
    let store = home.store();
    ready(store).await;
    let run = running(store, 1).await;
    let of_task = LogLine { call: 1, ..line(3) };
    let earlier = LogLine { attempt: 2, ..line(4) };
    store.append_logs(run, fence(1), vec![line(1), line(2), of_task, earlier]).await.unwrap();
    let counted = async |call, attempt| store.logged(run, call, attempt).await.unwrap();
    assert_eq!((counted(0, 1).await, counted(1, 1).await, counted(0, 2).await, counted(0, 3).await), (2, 1, 1, 0));
}

pub async fn a_run_is_made_once_under_its_key(home: impl Home) {
    let store = home.store();
    ready(store).await;
    let keyed = |n| NewRun { idempotency_key: Some("key".into()), ..new_run(n) };
    let (first, _) = store.create(keyed(1)).await.unwrap();
    assert_eq!(store.create(keyed(2)).await.unwrap(), (first, false));
    assert!(store.create(NewRun { idempotency_key: Some("other".into()), ..new_run(3) }).await.unwrap().1);
    assert!(store.create(new_run(4)).await.unwrap().1);
    assert_eq!(ids(store, all(), 0).await, [id(4), id(3), id(1)]);
}

pub async fn a_run_is_claimed_as_it_is_made(home: impl Home) {
    let store = home.store();
    ready(store).await;
    let now = NewRun { created: at(5), due: at(5), ..new_run(1) };
    let (begun, is_new) = store.begin(now.clone(), fence(7)).await.unwrap();
    assert!(is_new);
    assert_eq!(begun.run, Run::new(at(5)).claim(at(5), fence(7), store.boot()).unwrap());
    assert_eq!(store.run(id(1)).await.unwrap(), begun);
    // Asked for again: whoever holds the fence sees it.
    assert_eq!(store.begin(now, fence(8)).await.unwrap(), (begun, false));
    assert!(store.claim(claim(9, 20..30)).await.unwrap().is_empty());
    store.end_attempt(id(1), fence(7), end(AttemptEnd::Completed, 9)).await.unwrap();
    let later = NewRun { created: at(5), due: at(6), ..new_run(2) };
    assert_eq!(store.begin(later, fence(9)).await.unwrap().0.run, Run::new(at(6)));
}

pub async fn a_run_needs_its_component(home: impl Home) {
    let store = home.store();
    let made = store.create(new_run(1)).await;
    assert!(matches!(made, Err(StoreError::NoComponent(it)) if it == component(1).digest), "{made:?}");
    assert!(matches!(store.run(id(1)).await, Err(StoreError::NoRun(it)) if it == id(1)));
}

pub async fn a_component_is_kept_once(home: impl Home) {
    let store = home.store();
    store.put_component(component(1), bytes(1)).await.unwrap();
    store.put_component(component(2), bytes(2)).await.unwrap();
    assert_eq!(store.components().await.unwrap(), [component(2), component(1)]);
    let again = ComponentRecord { uploaded: at(99), bytes: 7, ..component(1) };
    store.put_component(again, bytes(1)).await.unwrap();
    let newest = ComponentRecord { uploaded: at(99), ..component(1) };
    assert_eq!(store.component(component(1).digest).await.unwrap(), Some(newest.clone()));
    assert_eq!(store.component_bytes(component(1).digest).await.unwrap(), bytes(1));
    assert_eq!(store.components().await.unwrap(), [newest.clone(), component(2)], "what was put last is the newest");
    store.put_component(component(1), bytes(1)).await.unwrap();
    assert_eq!(store.component(component(1).digest).await.unwrap(), Some(newest), "it is as new as it was");
    let wrong = store.put_component(component(3), bytes(4)).await;
    assert!(matches!(wrong, Err(StoreError::Damaged(_))), "{wrong:?}");
    assert_eq!(store.component(component(3).digest).await.unwrap(), None);
}

pub async fn what_is_due_longest_is_claimed_first(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for (n, due) in [(1, 30), (2, 10), (3, 20), (4, 10), (5, 31)] {
        store.create(NewRun { due: at(due), ..new_run(n) }).await.unwrap();
    }
    let claimed = store.claim(claim(30, 1..10)).await.unwrap();
    let order: Vec<_> = claimed.iter().map(|it| it.asked.id).collect();
    assert_eq!(order, [id(2), id(4), id(3), id(1)], "and of those due at once the one made first");
    let fences: Vec<_> = claimed.iter().map(|it| it.run.state.claim().unwrap().0).collect();
    assert_eq!(fences, [fence(1), fence(2), fence(3), fence(4)]);
    assert!(store.claim(claim(30, 1..10)).await.unwrap().is_empty());
}

pub async fn no_more_is_claimed_than_there_are_fences(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for n in 1..=5 {
        store.create(new_run(n)).await.unwrap();
    }
    assert_eq!(store.claim(claim(0, 0..0)).await.unwrap().len(), 0);
    assert_eq!(store.claim(claim(0, 0..2)).await.unwrap().len(), 2);
    assert_eq!(store.claim(claim(0, 2..9)).await.unwrap().len(), 3);
}

pub async fn only_what_is_asked_for_is_claimed(home: impl Home) {
    let store = home.store();
    ready(store).await;
    store.create(NewRun { queue: "gpu".into(), ..new_run(1) }).await.unwrap();
    store.create(NewRun { depth: 1, root: id(1), ..new_run(2) }).await.unwrap();
    store.create(NewRun { depth: 1, root: id(8), ..new_run(3) }).await.unwrap();
    store.create(NewRun { depth: 1, root: id(1), queue: "gpu".into(), ..new_run(4) }).await.unwrap();
    let base = claim(0, 1..9);
    let mut claimed = Vec::new();
    for request in [
        ClaimRequest { queues: ["none".into()].into(), ..base.clone() },
        ClaimRequest { depth: 2, ..base.clone() },
        ClaimRequest { root: Some(id(2)), depth: 1, ..base.clone() },
        ClaimRequest { root: Some(id(1)), depth: 1, queues: ["gpu".into()].into(), ..base.clone() },
        ClaimRequest { root: Some(id(1)), depth: 1, ..base.clone() },
        ClaimRequest { depth: 1, ..base.clone() },
        ClaimRequest { queues: ["gpu".into()].into(), ..base },
    ] {
        claimed.push(store.claim(request).await.unwrap().iter().map(|it| it.asked.id).collect::<Vec<_>>());
    }
    assert_eq!(claimed, [vec![], vec![], vec![], vec![id(4)], vec![id(2)], vec![id(3)], vec![id(1)]]);
}

pub async fn a_claim_begins_an_attempt(home: impl Home) {
    let store = home.store();
    ready(store).await;
    store.create(new_run(1)).await.unwrap();
    let claimed = store.claim(claim(5, 7..8)).await.unwrap().remove(0);
    assert_eq!(claimed.run, Run::new(at(0)).claim(at(5), fence(7), store.boot()).unwrap());
    assert_eq!(store.run(id(1)).await.unwrap(), claimed);
}

pub async fn what_is_held_is_known_by_its_fences(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for n in 1..=3 {
        store.create(new_run(n)).await.unwrap();
    }
    assert_eq!(store.claim(claim(10, 1..3)).await.unwrap().len(), 2);
    let held = async |fences: &[u64]| {
        let held = store.held(fences.iter().map(|it| fence(*it)).collect()).await.unwrap();
        held.iter().map(|it| it.asked.id).collect::<Vec<_>>()
    };
    assert_eq!(held(&[2, 9]).await, [id(2)]);
    assert_eq!(held(&[1, 2, 3]).await, [id(1), id(2)]);
    let home = home.reopen();
    assert_eq!(home.store().held(vec![fence(1)]).await.unwrap(), [], "an earlier boot held it");
}

pub async fn what_is_due_and_waits_is_counted(home: impl Home) {
    let store = home.store();
    ready(store).await;
    for (n, queue) in [(1, "b"), (2, "a"), (3, "b"), (4, "a")] {
        store.create(NewRun { due: at(10 * n), queue: queue.into(), ..new_run(n) }).await.unwrap();
    }
    let waiting = async |most| store.waiting(at(30), most).await.unwrap();
    assert_eq!(waiting(9).await, [("a".into(), 1, at(20)), ("b".into(), 2, at(10))]);
    assert_eq!(waiting(1).await, [("b".into(), 1, at(10))]);
    let overdue = async |now, most| store.overdue(at(now), most).await.unwrap();
    assert_eq!((overdue(9, 9).await, overdue(30, 9).await, overdue(30, 2).await), (0, 3, 2));
    store.claim(claim(10, 1..2)).await.unwrap();
    let child = NewRun { parent: Some(Parent { run: id(1), call: 1 }), root: id(1), depth: 1, ..new_run(9) };
    store.create(child).await.unwrap();
    store.command(id(2), Command::Pause, at(30)).await.unwrap();
    assert_eq!(overdue(30, 9).await, 1, "what is worked on, paused or a child does not count");
}

pub async fn the_next_due_time_is_known(home: impl Home) {
    let store = home.store();
    ready(store).await;
    assert_eq!(store.next_due(None).await.unwrap(), None);
    for (n, depth, due) in [(1, 0, 30), (2, 3, 20), (3, 1, 40)] {
        store.create(NewRun { due: at(due), depth, ..new_run(n) }).await.unwrap();
    }
    assert_eq!(store.next_due(None).await.unwrap(), Some(at(20)));
    assert_eq!(store.next_due(Some(id(3))).await.unwrap(), Some(at(40)));
    assert_eq!(store.next_due(Some(id(4))).await.unwrap(), None);
    store.command(id(2), Command::Cancel, at(1)).await.unwrap();
    assert_eq!(store.next_due(None).await.unwrap(), Some(at(30)));
    store.claim(claim(30, 0..9)).await.unwrap();
    assert_eq!(store.next_due(None).await.unwrap(), Some(at(40)));
}

pub async fn slots_are_shared_out_between_deployments(home: impl Home) {
    let store = home.store();
    ready(store).await;
    // A hundred of one deployment come first, then a few of another, and one without any.
    for n in 1..=100 {
        let new = NewRun { deployment: Some("main/greedy".into()), due: at(n), ..new_run(n) };
        store.create(new).await.unwrap();
    }
    for n in 101..=103 {
        let new = NewRun { deployment: Some("main/modest".into()), due: at(n), ..new_run(n) };
        store.create(new).await.unwrap();
    }
    store.create(NewRun { due: at(104), ..new_run(104) }).await.unwrap();
    store.create(NewRun { depth: 1, root: id(1), due: at(1), ..new_run(105) }).await.unwrap();
    let claimed = async |fences: std::ops::Range<u64>, busy: Busy, room: Vec<Room>| -> Vec<FlowRunId> {
        let request = ClaimRequest { busy: Some(busy.into()), room, ..claim(1000, fences) };
        store.claim(request).await.unwrap().into_iter().map(|it| it.asked.id).collect()
    };
    let greedy = |count| Busy::from([(Some("main/greedy".to_owned()), count)]);
    assert_eq!(claimed(0..0, greedy(0), vec![]).await, []);
    assert_eq!(claimed(1..5, greedy(0), vec![]).await, [1, 2, 101, 104].map(id), "each has its share");
    assert_eq!(claimed(5..7, greedy(50), vec![]).await, [102, 103].map(id), "whoever has most waits");
    let full = Room { of: Limited::Deployment("main/greedy".into()), left: 1 };
    assert_eq!(claimed(7..10, greedy(9), vec![full]).await, [id(3)], "within what is allowed");
    let others = ClaimRequest {
        queues: ["none".into(), "other".into()].into(),
        busy: Some(Busy::new().into()),
        ..claim(1000, 10..11)
    };
    assert_eq!(store.claim(others).await.unwrap(), []);
    assert_eq!(claimed(11..14, greedy(1000), vec![]).await, [4, 5, 6].map(id), "no slot is left while anything waits");
    assert_eq!(store.claim(claim(1000, 14..16)).await.unwrap().len(), 2);
    assert_eq!(claimed(20..200, Busy::new(), vec![]).await.len(), 92, "what has room is claimed whole");
}
