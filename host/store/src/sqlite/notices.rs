//! Notices of runs that people may want to be told of, and the messages that are sent for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use retake_core::run::Run;
use retake_core::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::reads::{sql_limit, sql_place};
use super::rows::{Columns, DELIVERY, NOTICE, delivery_state_columns};
use super::writes::Fault;
use crate::{Delivery, Notice, makes_notice};

type Done<T> = Result<T, Fault>;

/// Whether there may be a rule by which somebody is told of runs. Spares the end of each attempt the question while
/// nobody wants to know.
///
/// Only changes look at it, and they are made one after the other. "No" is the answer that the database gave, and no
/// rule was made since; "perhaps" is harmless, for then the database is asked.
#[derive(Debug, Clone)]
pub(super) struct Rules(Arc<AtomicBool>);

impl Rules {
    /// Begins with "perhaps", and goes back to it whenever `db` rolls back: what was undone may be that the last rule
    /// was removed.
    pub(super) fn watch(db: &mut Connection) -> rusqlite::Result<Self> {
        let rules = Self(Arc::new(AtomicBool::new(true)));
        let watched = rules.clone();
        db.rollback_hook(Some(move || watched.one_was_made()))?;
        Ok(rules)
    }

    /// For a store that changes nothing.
    pub(super) fn unwatched() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(super) fn one_was_made(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Asks the database, unless it said "no" before.
    fn is_one(&self, db: &Connection) -> Done<bool> {
        if !self.0.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let there = db.prepare_cached("SELECT 1 FROM definition WHERE kind = 'notification'")?.exists([])?;
        self.0.store(there, Ordering::Relaxed);
        Ok(there)
    }

    #[cfg(test)]
    pub(super) fn may_be_one(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps a notice of where a run stands now, if it has no parent and somebody may want to be told.
pub(super) fn notice(db: &Connection, rules: &Rules, row: i64, run: &Run, now: Timestamp) -> Done<()> {
    let shown = run.shown(now);
    if makes_notice(shown) && rules.is_one(db)? {
        db.prepare_cached(
            "INSERT INTO notice (run, at, shown, attempt, failure) SELECT row, ?2, ?3, ?4, failure FROM flow_run \
             WHERE row = ?1 AND parent IS NULL",
        )?
        .execute(params![row, now.as_micros(), shown.to_string(), run.attempt])?;
    }
    Ok(())
}

pub(super) fn notices(db: &Connection, limit: usize) -> Done<Vec<Notice>> {
    let sql = format!("SELECT {NOTICE} FROM notice n JOIN flow_run r ON r.row = n.run ORDER BY n.seq LIMIT ?1");
    let mut found = db.prepare_cached(&sql)?;
    let found = found.query_map([sql_limit(limit)], |row| Columns::after(0, row).notice())?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn deliver(db: &Connection, notice: Option<u64>, deliveries: &[Delivery]) -> Done<()> {
    if let Some(seq) = notice
        && db.prepare_cached("DELETE FROM notice WHERE seq = ?1")?.execute([seq.cast_signed()])? == 0
    {
        return Ok(());
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO delivery (rule, run, body, state, due, attempts, answer, created, ended) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for it in deliveries {
        let (state, due) = delivery_state_columns(it.state);
        insert.execute(params![
            it.rule,
            it.run.map(|it| it.to_bytes()),
            it.body.as_str(),
            state,
            due,
            it.attempts,
            it.answer,
            it.created.as_micros(),
            it.ended.map(Timestamp::as_micros),
        ])?;
    }
    Ok(())
}

pub(super) fn delivered(db: &Connection, it: &Delivery) -> Done<()> {
    let (state, due) = delivery_state_columns(it.state);
    db.prepare_cached(
        "UPDATE delivery SET state = ?2, due = ?3, attempts = ?4, answer = ?5, ended = ?6 WHERE seq = ?1",
    )?
    .execute(params![
        it.seq.cast_signed(),
        state,
        due,
        it.attempts,
        it.answer,
        it.ended.map(Timestamp::as_micros),
    ])?;
    Ok(())
}

pub(super) fn deliveries_due(db: &Connection, by: Timestamp, limit: usize) -> Done<Vec<Delivery>> {
    // What waits is little; of one rule it may be much, and is not to be in the others' way.
    let sql = format!(
        "SELECT {DELIVERY} FROM (SELECT *, row_number() OVER (PARTITION BY rule ORDER BY due, seq) AS place \
            FROM delivery INDEXED BY delivery_due WHERE state = 0 AND due <= ?1) \
         WHERE place <= ?2 ORDER BY due, seq"
    );
    let mut found = db.prepare_cached(&sql)?;
    let found = found.query_map([by.as_micros(), sql_limit(limit)], |row| Columns::after(0, row).delivery())?;
    Ok(found.collect::<Result<_, _>>()?)
}

pub(super) fn deliveries(
    db: &Connection,
    before: Option<u64>,
    rule: Option<&str>,
    limit: usize,
) -> Done<Vec<Delivery>> {
    let mut values: Vec<Value> = vec![sql_limit(limit).into(), sql_place(before).into()];
    let mut of_rule = "";
    if let Some(rule) = rule {
        values.push(rule.to_owned().into());
        of_rule = "AND rule = ?3";
    }
    let sql = format!("SELECT {DELIVERY} FROM delivery WHERE seq < ?2 {of_rule} ORDER BY seq DESC LIMIT ?1");
    let mut found = db.prepare_cached(&sql)?;
    let found = found.query_map(params_from_iter(values), |row| Columns::after(0, row).delivery())?;
    Ok(found.collect::<Result<_, _>>()?)
}
