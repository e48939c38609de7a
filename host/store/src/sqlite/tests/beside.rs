//! What only a store in a directory can promise about definitions, notices, lists and its schema.

use retake_core::run::{AttemptEnd, Shown};
use tempfile::TempDir;

use super::super::*;
use crate::contract::{all, at, bytes, claim, component, definition, delivery, end, fence, id, new_run};
use crate::kind;

async fn new() -> (TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    store.put_component(component(1), bytes(1)).await.unwrap();
    (dir, store)
}

fn database(dir: &Path) -> Connection {
    Connection::open(dir.join("retake.db")).unwrap()
}

async fn run_and_end(store: &SqliteStore, n: u64) {
    store.create(new_run(n)).await.unwrap();
    store.claim(claim(0, n..n + 1)).await.unwrap();
    store.end_attempt(id(n), fence(n), end(AttemptEnd::Completed, n)).await.unwrap();
}

#[tokio::test]
async fn the_database_is_asked_for_rules_only_when_there_may_be_one() {
    let (_dir, store) = new().await;
    let noticed = async || store.notices(10).await.unwrap().len();
    assert!(store.rules.may_be_one(), "nobody knows before the first end");
    run_and_end(&store, 1).await;
    assert!(!store.rules.may_be_one());
    store.define(definition(kind::TOKEN, "a"), None).await.unwrap();
    assert!(!store.rules.may_be_one());
    store.define(definition(kind::NOTIFICATION, "a"), None).await.unwrap();
    run_and_end(&store, 2).await;
    assert_eq!((noticed().await, store.rules.may_be_one()), (1, true));
    store.undefine(kind::NOTIFICATION, "a").await.unwrap();
    run_and_end(&store, 3).await;
    assert_eq!((noticed().await, store.rules.may_be_one()), (1, false));
}

/// The last rule is removed, an attempt ends and finds none, and then all of it is rolled back: the rule is there.
#[tokio::test]
async fn a_rule_whose_removal_is_rolled_back_still_counts() {
    let (_dir, store) = new().await;
    store.define(definition(kind::NOTIFICATION, "a"), None).await.unwrap();
    store.create(new_run(1)).await.unwrap();
    store.claim(claim(0, 1..2)).await.unwrap();
    let rules = store.rules.clone();
    let spoilt = store.change(0, move |db| {
        defined::undefine(db, kind::NOTIFICATION, "a")?;
        let AttemptCommit { end, evidence, logs, cancel, waits_for, unasked, now, .. } = end(AttemptEnd::Completed, 1);
        let end = End { end, result: None, evidence, logs, cancel, waits_for, unasked, now };
        writes::end_attempt(db, &rules, id(1), fence(1), &end)?;
        assert!(!rules.may_be_one());
        db.execute("INSERT INTO nowhere VALUES (1)", [])?;
        Ok(())
    });
    assert!(matches!(spoilt.await, Err(StoreError::Unavailable(_))));
    store.end_attempt(id(1), fence(1), end(AttemptEnd::Completed, 1)).await.unwrap();
    assert_eq!(store.notices(10).await.unwrap().len(), 1);
}

/// Returns how SQLite reads a page.
fn plan(dir: &Path, filter: &RunFilter) -> String {
    let db = database(dir);
    let mut plan = String::new();
    for sql in list::statements(filter, at(100)) {
        let mut rows = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // What is bound does not matter to a plan.
        let mut rows = rows.raw_query();
        while let Some(row) = rows.next().unwrap() {
            plan += &row.get::<_, String>(3).unwrap();
            plan += "\n";
        }
    }
    plan
}

#[tokio::test]
async fn a_page_of_runs_is_read_along_an_index() {
    let (dir, _store) = new().await;
    let check = |filter: RunFilter, expected: &str| {
        let plan = plan(dir.path(), &filter);
        assert_eq!(plan.trim_end(), expected, "{filter:?}");
    };
    let shown = |words: &[Shown]| RunFilter { shown: words.to_vec(), ..all() };
    check(all(), "SCAN flow_run USING INDEX flow_run_id");
    check(shown(&[Shown::Failed]), "SCAN flow_run USING INDEX flow_run_trouble");
    let troubles = [Shown::Parked, Shown::Failed, Shown::TimedOut, Shown::Crashed, Shown::Cancelled];
    check(shown(&troubles), "SCAN flow_run USING INDEX flow_run_trouble");
    let next_page = RunFilter { before: Some(id(9)), flow: Some("f".into()), ..shown(&troubles) };
    check(next_page, "SEARCH flow_run USING INDEX flow_run_trouble (id<?)");
    check(shown(&[Shown::Failed, Shown::Completed]), "SCAN flow_run USING INDEX flow_run_id");
    let (sorted, waiting) = ("USE TEMP B-TREE FOR ORDER BY", "SCAN flow_run USING INDEX flow_run_due");
    check(shown(&[Shown::Late, Shown::AwaitingRetry]), &format!("{waiting}\n{sorted}"));
    assert!(plan(dir.path(), &shown(&[Shown::Running])).contains("USING INDEX flow_run_claimed"));
    let of = |names: &[&str]| RunFilter { deployments: names.iter().map(|it| (*it).to_owned()).collect(), ..all() };
    let one = "SEARCH flow_run USING INDEX flow_run_deployment (deployment=?)";
    check(of(&["a"]), one);
    check(of(&["a", "b"]), &format!("{one}\n{one}"));
    let before = RunFilter { before: Some(id(9)), ..of(&["a"]) };
    check(before, "SEARCH flow_run USING INDEX flow_run_deployment (deployment=? AND id<?)");
    let failed = RunFilter { deployments: vec!["a".into(), "b".into()], ..shown(&[Shown::Failed]) };
    check(failed, "SCAN flow_run USING INDEX flow_run_trouble");
    check(RunFilter { flow: Some("f".into()), ..all() }, "SEARCH flow_run USING INDEX flow_run_flow (flow=?)");
    let children = RunFilter { parent: Some(id(1)), flow: Some("f".into()), ..shown(&[Shown::Failed]) };
    check(children, "SEARCH flow_run USING INDEX flow_run_parent (parent=?)");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_found() {
    let (dir, store) = new().await;
    store.define(definition(kind::NOTIFICATION, "a"), None).await.unwrap();
    run_and_end(&store, 1).await;
    store.deliver(None, vec![delivery("a", 1)]).await.unwrap();
    drop(store);
    assert_eq!(upkeep::check(dir.path()).unwrap().problems, [""; 0]);
    let db = database(dir.path());
    db.execute_batch("UPDATE delivery SET due = NULL; UPDATE notice SET shown = 'Gone'").unwrap();
    db.execute_batch("UPDATE definition SET component = x'00'").unwrap_err();
    let problems = upkeep::check(dir.path()).unwrap().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("a notice cannot be read"), "{problems:?}");
    assert!(problems[1].starts_with("a delivery cannot be read"), "{problems:?}");
}

/// What a backup has, and what a component leaves behind that was removed.
#[tokio::test]
async fn a_removed_component_is_in_no_backup() {
    let (dir, store) = new().await;
    store.remove_component(component(1).digest, at(90)).await.unwrap();
    store.define(definition(kind::NOTIFICATION, "a"), None).await.unwrap();
    let to = dir.path().join("copy");
    upkeep::backup(dir.path(), &to).unwrap();
    let copy = SqliteStore::open(&to).unwrap();
    assert_eq!(copy.definitions(kind::NOTIFICATION).await.unwrap().len(), 1);
    assert_eq!(upkeep::check(&to).unwrap().files, 0);
    store.put_component(component(1), bytes(1)).await.unwrap();
    assert_eq!(store.component_bytes(component(1).digest).await.unwrap(), bytes(1));
}

#[tokio::test]
async fn earlier_schemas_are_brought_forward() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    for schema in ["schema-1", "schema-2", "schema-3", "schema-4", "schema-5"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(fixtures.join(schema).join("retake.db"), dir.path().join("retake.db")).unwrap();
        let store = SqliteStore::open(dir.path()).unwrap();
        assert_eq!(upkeep::schema_versions(dir.path()).unwrap(), (6, 6));
        let records = store.list(all(), at(0)).await.unwrap();
        assert!(records.len() >= 5, "{schema}");
        for word in Shown::ALL {
            let expected = records.iter().filter(|it| it.run.shown(at(0)) == word).count();
            let listed = store.list(RunFilter { shown: vec![word], ..all() }, at(0)).await.unwrap();
            assert_eq!(listed.len(), expected, "{schema} {word}: indexes have what was there before them");
        }
        let component = records[0].asked.component;
        assert!(matches!(store.remove_component(component, at(90)).await, Err(StoreError::InUse(_))));
        store.define(definition(kind::NOTIFICATION, "a"), Some(0)).await.unwrap();
    }
}
