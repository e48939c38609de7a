//! The questions, each one statement or two.

use std::sync::LazyLock;

use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::task::{LogLine, PastAttempt, TaskRun};
use retake_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{Columns, RECORD, TASK};
use super::writes::Fault;
use crate::{ComponentRecord, Event, RunRecord, StoreError};

type Done<T> = Result<T, Fault>;

pub(super) fn component(db: &Connection, digest: ContentDigest) -> Done<Option<ComponentRecord>> {
    let found = db
        .prepare_cached("SELECT digest, bytes, info, uploaded, removed FROM component WHERE digest = ?1")?
        .query_one([digest.as_bytes()], |row| Columns::after(0, row).component());
    Ok(found.optional()?)
}

pub(super) fn components(db: &Connection) -> Done<Vec<ComponentRecord>> {
    let mut all = db.prepare_cached(
        "SELECT digest, bytes, info, uploaded, removed FROM component WHERE removed IS NULL \
             ORDER BY uploaded DESC, rowid DESC",
    )?;
    let all = all.query_map([], |row| Columns::after(0, row).component())?;
    Ok(all.collect::<Result<_, _>>()?)
}

/// Looks at the first entry of each depth in the index, however many runs wait.
pub(super) fn next_due(db: &Connection, root: Option<FlowRunId>) -> Done<Option<Timestamp>> {
    let due: Option<i64> = match root {
        None => db
            .prepare_cached(
                "WITH RECURSIVE at (depth) AS (SELECT min(depth) FROM flow_run WHERE state = 0 UNION ALL \
                 SELECT (SELECT min(depth) FROM flow_run WHERE state = 0 AND depth > at.depth) FROM at \
                 WHERE at.depth IS NOT NULL) \
                 SELECT min((SELECT min(due) FROM flow_run WHERE state = 0 AND depth = at.depth)) FROM at",
            )?
            .query_one([], |row| row.get(0))?,
        Some(root) => db
            .prepare_cached("SELECT min(due) FROM flow_run WHERE state = 0 AND root = ?1")?
            .query_one([root.to_bytes()], |row| row.get(0))?,
    };
    Ok(due.map(Timestamp::from_micros))
}

pub(super) fn run(db: &Connection, id: FlowRunId) -> Done<RunRecord> {
    static SQL: LazyLock<String> = LazyLock::new(|| format!("SELECT {RECORD} FROM flow_run WHERE id = ?1"));
    let found = db.prepare_cached(&SQL)?.query_one([id.to_bytes()], |row| Columns::after(0, row).record());
    found.optional()?.ok_or_else(|| StoreError::NoRun(id).into())
}

pub(super) fn keyed(db: &Connection, key: &str) -> Done<Option<RunRecord>> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| format!("SELECT {RECORD} FROM flow_run WHERE idempotency_key = ?1"));
    Ok(db.prepare_cached(&SQL)?.query_one([key], |row| Columns::after(0, row).record()).optional()?)
}

pub(super) fn held(db: &Connection, boot: u64, fences: &[Fence]) -> Done<Vec<RunRecord>> {
    let sql = format!("SELECT {RECORD} FROM flow_run WHERE state IN (1, 2) AND boot = ?1 ORDER BY row");
    let mut all = db.prepare_cached(&sql)?;
    let all = all.query_map([boot.cast_signed()], |row| Columns::after(0, row).record())?;
    let mut all: Vec<RunRecord> = all.collect::<Result<_, _>>()?;
    all.retain(|it| it.run.state.claim().is_some_and(|(fence, _)| fences.contains(&fence)));
    Ok(all)
}

pub(super) fn find(db: &Connection, text: &str, limit: usize) -> Done<Vec<FlowRunId>> {
    // Two questions, so that each reads no more than `limit` entries of its index.
    let id = |row: &rusqlite::Row<'_>| row.get(0).map(FlowRunId::from_bytes);
    let mut found: Vec<FlowRunId> = db
        .prepare_cached("SELECT id FROM flow_run WHERE name = ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![text, sql_limit(limit)], id)?
        .collect::<Result<_, _>>()?;
    if let Some((low, high)) = FlowRunId::range_of_prefix(text) {
        let mut by_id =
            db.prepare_cached("SELECT id FROM flow_run WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3")?;
        for id in by_id.query_map(params![low.to_bytes(), high.to_bytes(), sql_limit(limit)], id)? {
            found.push(id?);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        found.truncate(limit);
    }
    Ok(found)
}

pub(super) fn task_runs(db: &Connection, id: FlowRunId) -> Done<Vec<TaskRun>> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| format!("SELECT {TASK} FROM task_run WHERE run = ?1 ORDER BY number"));
    let row = row_of(db, id)?;
    let mut found = db.prepare_cached(&SQL)?;
    let found = found.query_map([row], |row| Columns::after(0, row).task())?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn past_attempts(db: &Connection, id: FlowRunId) -> Done<Vec<PastAttempt>> {
    let row = row_of(db, id)?;
    let mut found = db.prepare_cached(
        "SELECT call, attempt, began, ended, failure, cpu_us, peak_memory, bytes_out, log_dropped FROM attempt \
         WHERE run = ?1 ORDER BY call, attempt",
    )?;
    let found = found.query_map([row], |row| Columns::after(0, row).past())?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn logs(db: &Connection, id: FlowRunId, after: u64, limit: usize) -> Done<Vec<(u64, LogLine)>> {
    let row = row_of(db, id)?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut found = db.prepare_cached(
        "SELECT row, at, call, attempt, level, message, fields, task FROM log WHERE run = ?1 AND row > ?2 \
         ORDER BY row LIMIT ?3",
    )?;
    let found = found.query_map(params![row, after, sql_limit(limit)], |row| Columns::after(0, row).log())?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn logged(db: &Connection, id: FlowRunId, call: u32, attempt: u32) -> Done<u64> {
    let row = row_of(db, id)?;
    let sql = "SELECT count(*) FROM log WHERE run = ?1 AND call = ?2 AND attempt = ?3";
    let lines: i64 = db.prepare_cached(sql)?.query_one([row, call.into(), attempt.into()], |row| row.get(0))?;
    Ok(lines.cast_unsigned())
}

pub(super) fn events(db: &Connection, id: FlowRunId) -> Done<Vec<Event>> {
    let row = row_of(db, id)?;
    let mut found = db.prepare_cached("SELECT at, kind, details FROM event WHERE run = ?1 ORDER BY seq")?;
    let found = found.query_map([row], |row| Columns::after(0, row).event())?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn row_of(db: &Connection, id: FlowRunId) -> Done<i64> {
    let found = db
        .prepare_cached("SELECT row FROM flow_run WHERE id = ?1")?
        .query_one([id.to_bytes()], |row| row.get(0))
        .optional()?;
    found.ok_or_else(|| StoreError::NoRun(id).into())
}

pub(super) fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The place before which a page ends; that of none is after all.
pub(super) fn sql_place(before: Option<u64>) -> i64 {
    before.and_then(|it| i64::try_from(it).ok()).unwrap_or(i64::MAX)
}
