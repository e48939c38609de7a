//! Removing runs, and the files that nothing speaks of any more.

use retake_core::id::{ContentDigest, FlowRunId};
use retake_core::run::Refused;
use retake_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::reads::sql_limit;
use super::writes::Fault;
use crate::{OldRuns, StoreError};

type Done<T> = Result<T, Fault>;

/// Most log lines that go in one commit: others wait for it.
const LINES: usize = 5_000;
/// Most rows of what is kept beside runs that go in one commit.
const ROWS: usize = 1_000;

/// Where a run names files, by its row.
const FILES: [(&str, &str); 4] = [
    ("parameters_blob", "flow_run WHERE row"),
    ("result_blob", "flow_run WHERE row"),
    ("input_blob", "task_run WHERE run"),
    ("result_blob", "task_run WHERE run"),
];

/// Removes a run with all that is below it, once all has ended; `false` when it has to be asked for again, because so
/// far only log lines went.
pub(super) fn remove_run(db: &Connection, id: FlowRunId, now: Timestamp) -> Done<bool> {
    let is_child: Option<bool> = db
        .prepare_cached("SELECT parent IS NOT NULL FROM flow_run WHERE id = ?1")?
        .query_one([id.to_bytes()], |row| row.get(0))
        .optional()?;
    if is_child.ok_or(StoreError::NoRun(id))? {
        return Err(StoreError::InUse(crate::BELOW_ANOTHER.into()).into());
    }
    let mut tree = db.prepare_cached(
        "WITH RECURSIVE tree (row, id, state) AS (
            SELECT row, id, state FROM flow_run WHERE id = ?1
            UNION ALL SELECT c.row, c.id, c.state FROM tree t JOIN flow_run c ON c.parent = t.id)
         SELECT row, state BETWEEN 4 AND 8 FROM tree",
    )?;
    let tree: Vec<(i64, bool)> =
        tree.query_map([id.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    if tree.iter().any(|(_, has_ended)| !has_ended) {
        return Err(StoreError::from(Refused::NotEnded).into());
    }
    let mut lines = LINES;
    let mut of_log = db.prepare_cached("DELETE FROM log WHERE row IN (SELECT row FROM log WHERE run = ?1 LIMIT ?2)")?;
    for (row, _) in &tree {
        lines -= of_log.execute(params![row, sql_limit(lines)])?;
        if lines == 0 {
            return Ok(false);
        }
    }
    for (row, _) in &tree {
        loosen(db, *row, now)?;
        for table in ["task_run", "attempt", "event", "notice"] {
            db.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?1"))?.execute([row])?;
        }
        db.prepare_cached("DELETE FROM flow_run WHERE row = ?1")?.execute([row])?;
    }
    Ok(true)
}

/// Has the files that a run names looked at later: it will name some of them no more.
pub(super) fn loosen(db: &Connection, row: i64, now: Timestamp) -> Done<()> {
    for (files, of) in FILES {
        db.prepare_cached(&format!(
            "INSERT INTO garbage (digest, since) SELECT {files}, ?2 FROM {of} = ?1 AND {files} IS NOT NULL \
             ON CONFLICT DO UPDATE SET since = excluded.since"
        ))?
        .execute(params![row, now.as_micros()])?;
    }
    Ok(())
}

/// Returns runs without a parent that ended before an instant, the oldest first.
pub(super) fn old_runs(db: &Connection, asked: &OldRuns) -> Done<Vec<FlowRunId>> {
    let OldRuns { deployment, other_than, ended_before, after, limit } = asked;
    let index = if deployment.is_some() { "flow_run_deployment" } else { "flow_run_id" };
    let which = match deployment {
        Some(_) => "deployment = ?1",
        None => "(deployment IS NULL OR deployment NOT IN (SELECT value FROM json_each(?1)))",
    };
    let named = deployment.clone().unwrap_or_else(|| serde_json::to_string(other_than).unwrap_or_default());
    // What ended before was made before.
    let made_before = FlowRunId::new(*ended_before, 0).to_bytes();
    let after = after.map_or([0; 16], FlowRunId::to_bytes);
    let mut found = db.prepare_cached(&format!(
        "SELECT id FROM flow_run INDEXED BY {index} WHERE {which} AND id > ?2 AND id < ?3 AND depth = 0 \
         AND state BETWEEN 4 AND 8 AND coalesce(ended, created) < ?4 ORDER BY id LIMIT ?5"
    ))?;
    let found = found
        .query_map(params![named, after, made_before, ended_before.as_micros(), sql_limit(*limit)], |row| {
            Ok(FlowRunId::from_bytes(row.get(0)?))
        })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Returns files that rows spoke of which were removed before an instant.
pub(super) fn garbage(db: &Connection, before: Timestamp) -> Done<Vec<ContentDigest>> {
    let mut found = db.prepare_cached("SELECT digest FROM garbage WHERE since < ?1 LIMIT ?2")?;
    let found = found
        .query_map(params![before.as_micros(), sql_limit(ROWS)], |row| Ok(ContentDigest::from_bytes(row.get(0)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Returns those of which no row speaks, and forgets the others.
pub(super) fn unnamed(db: &Connection, files: &[ContentDigest]) -> Done<Vec<ContentDigest>> {
    let mut is_named = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM component WHERE digest = ?1 AND removed IS NULL)
            OR EXISTS (SELECT 1 FROM flow_run WHERE parameters_blob = ?1)
            OR EXISTS (SELECT 1 FROM flow_run WHERE result_blob = ?1)
            OR EXISTS (SELECT 1 FROM task_run WHERE input_blob = ?1)
            OR EXISTS (SELECT 1 FROM task_run WHERE result_blob = ?1)",
    )?;
    let mut unnamed = Vec::new();
    for digest in files {
        match is_named.query_one([digest.as_bytes()], |row| row.get(0))? {
            true => forget_garbage(db, &[*digest])?,
            false => unnamed.push(*digest),
        }
    }
    Ok(unnamed)
}

pub(super) fn forget_garbage(db: &Connection, files: &[ContentDigest]) -> Done<()> {
    let mut forget = db.prepare_cached("DELETE FROM garbage WHERE digest = ?1")?;
    files.iter().try_for_each(|it| forget.execute([it.as_bytes()]).map(drop))?;
    Ok(())
}

/// Forgets deliveries that ended before an instant, and who did what before another; some thousand at a time.
pub(super) fn tidy(db: &Connection, deliveries: Timestamp, audit: Timestamp) -> Done<u64> {
    // Both grow in the order of time: the oldest are at the beginning.
    let delivered = db
        .prepare_cached(
            "DELETE FROM delivery WHERE seq IN (SELECT seq FROM delivery ORDER BY seq LIMIT ?2) \
             AND state != 0 AND ended < ?1",
        )?
        .execute(params![deliveries.as_micros(), sql_limit(ROWS)])?;
    let audited = db
        .prepare_cached("DELETE FROM audit WHERE seq IN (SELECT seq FROM audit ORDER BY seq LIMIT ?2) AND at < ?1")?
        .execute(params![audit.as_micros(), sql_limit(ROWS)])?;
    Ok((delivered + audited) as u64)
}
