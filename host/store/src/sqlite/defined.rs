//! What people define beside runs, what refers to a component, and who did what.

use std::time::Duration;

use retake_core::id::ContentDigest;
use retake_core::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, ffi, params, params_from_iter};

use super::notices::Rules;
use super::reads::{sql_limit, sql_place};
use super::rows::{AUDIT, Columns, DEFINITION};
use super::writes::{Fault, has_component};
use crate::{AuditEntry, Definition, StoreError, kind};

type Done<T> = Result<T, Fault>;

/// Removes the file of a component, and forgets it unless runs are pinned to it that need it no more.
pub(super) fn remove_component(db: &Connection, digest: ContentDigest, now: Timestamp) -> Done<()> {
    if let Some(in_use) = in_use(db, digest)? {
        return Err(in_use.into());
    }
    let forgotten = match db.prepare_cached("DELETE FROM component WHERE digest = ?1")?.execute([digest.as_bytes()]) {
        Err(rusqlite::Error::SqliteFailure(error, _)) if error.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
            let sql = "UPDATE component SET removed = ?2 WHERE digest = ?1 AND removed IS NULL";
            db.prepare_cached(sql)?.execute(params![digest.as_bytes(), now.as_micros()])?
        }
        other => other?,
    };
    if forgotten == 0 {
        return Err(StoreError::NoComponent(digest).into());
    }
    db.prepare_cached(
        "INSERT INTO garbage (digest, since) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET since = excluded.since",
    )?
    .execute(params![digest.as_bytes(), now.ago(SOONER).as_micros()])?;
    Ok(())
}

/// How much sooner than other files that of a component goes: it is large, and can be uploaded again.
const SOONER: Duration = Duration::from_secs(23 * 3600);

/// Returns the refusal to remove a component that something needs: a definition, or a run that has not Completed and was
/// not cancelled, since it may be retried. A child that has ended is retried with its parent, and with the parent's code.
pub(super) fn in_use(db: &Connection, digest: ContentDigest) -> Done<Option<StoreError>> {
    let runs: i64 = db
        .prepare_cached(
            "SELECT count(*) FROM flow_run WHERE component = ?1 AND state NOT IN (4, 8) \
             AND (depth = 0 OR state IN (0, 1, 2, 9))",
        )?
        .query_one([digest.as_bytes()], |row| row.get(0))?;
    let definitions = db
        .prepare_cached("SELECT kind, name FROM definition WHERE component = ?1 ORDER BY kind, name")?
        .query_map([digest.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(crate::in_use(runs.cast_unsigned(), &definitions))
}

pub(super) fn define(db: &Connection, rules: &Rules, new: &Definition, expected: Option<u64>) -> Done<u64> {
    let there: Option<i64> = db
        .prepare_cached("SELECT version FROM definition WHERE kind = ?1 AND name = ?2")?
        .query_one([new.kind, &new.name], |row| row.get(0))
        .optional()?;
    let is = there.map_or(0, i64::cast_unsigned);
    if expected.is_some_and(|it| it != is) {
        return Err(StoreError::Changed { is }.into());
    }
    if let Some(component) = new.component {
        has_component(db, component)?;
    }
    let version = is + 1;
    db.prepare_cached(
        "INSERT INTO definition (kind, name, body, component, version, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body, component = excluded.component, \
         version = excluded.version, updated = excluded.updated",
    )?
    .execute(params![
        new.kind,
        new.name,
        new.body.as_str(),
        new.component.as_ref().map(ContentDigest::as_bytes),
        version.cast_signed(),
        new.updated.as_micros(),
    ])?;
    if new.kind == kind::NOTIFICATION {
        rules.one_was_made();
    }
    Ok(version)
}

pub(super) fn undefine(db: &Connection, kind: &str, name: &str) -> Done<bool> {
    let gone = db.prepare_cached("DELETE FROM definition WHERE kind = ?1 AND name = ?2")?.execute([kind, name])?;
    Ok(gone == 1)
}

pub(super) fn definition(db: &Connection, kind: &'static str, name: &str) -> Done<Option<Definition>> {
    let found = db
        .prepare_cached(&format!("SELECT {DEFINITION} FROM definition WHERE kind = ?1 AND name = ?2"))?
        .query_one([kind, name], |row| Columns::after(0, row).definition(kind));
    Ok(found.optional()?)
}

pub(super) fn definitions(db: &Connection, kind: &'static str) -> Done<Vec<Definition>> {
    let mut all = db.prepare_cached(&format!("SELECT {DEFINITION} FROM definition WHERE kind = ?1 ORDER BY name"))?;
    let all = all.query_map([kind], |row| Columns::after(0, row).definition(kind))?;
    Ok(all.collect::<Result<_, _>>()?)
}

pub(super) fn audit(db: &Connection, entry: &AuditEntry) -> Done<()> {
    db.prepare_cached("INSERT INTO audit (at, actor, action, subject, details) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![entry.at.as_micros(), entry.actor, entry.action, entry.subject, entry.details.as_str()])?;
    Ok(())
}

pub(super) fn audited(
    db: &Connection,
    before: Option<u64>,
    subject: Option<&str>,
    limit: usize,
) -> Done<Vec<(u64, AuditEntry)>> {
    let mut values: Vec<Value> = vec![sql_limit(limit).into(), sql_place(before).into()];
    let mut of_subject = "";
    if let Some(subject) = subject {
        values.push(subject.to_owned().into());
        of_subject = "AND subject = ?3";
    }
    let sql = format!("SELECT {AUDIT} FROM audit WHERE seq < ?2 {of_subject} ORDER BY seq DESC LIMIT ?1");
    let mut found = db.prepare_cached(&sql)?;
    let found = found.query_map(params_from_iter(values), |row| Columns::after(0, row).audit())?;
    Ok(found.collect::<Result<_, _>>()?)
}
