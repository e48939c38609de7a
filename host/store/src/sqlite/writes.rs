//! The changes, each to be applied within a transaction that it shares with others.
//!
//! Each checks everything before it writes anything: what is refused leaves nothing behind but perhaps an event. An
//! error of the database may come at any place; then the whole transaction is rolled back.

use std::sync::LazyLock;

use retake_core::failure::{Failure, code};
use retake_core::id::{ContentDigest, Fence, FlowRunId};
use retake_core::replay::Asked;
use retake_core::run::{AttemptEnd, Command, Refused, Run, RunState, Waiting};
use retake_core::task::{Evidence, Kept, LogLine, PastAttempt, TaskRun};
use retake_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::claims;
use super::notices::{Rules, notice};
use super::removal;
use super::rows::{
    Columns, KeptColumns, RECORD, RUN, RunColumns, TASK, json, kept_columns, kind_number, level_number,
    task_state_columns, unless_default,
};
use crate::events::{self, Told};
use crate::{
    ClaimRequest, ComponentRecord, NewRun, RetryRequest, RunRecord, StoreError, TaskCommit, first_state, take_room,
};

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database failed: the transaction is to be rolled back.
    Database(rusqlite::Error),
    /// The change is refused, and the transaction goes on.
    Refused(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.into())
    }
}

type Done<T> = Result<T, Fault>;

/// The end of a flow's attempt, its result made ready to be kept.
#[derive(Debug)]
pub(super) struct End {
    pub(super) end: AttemptEnd,
    pub(super) result: Option<Kept>,
    pub(super) evidence: Evidence,
    pub(super) logs: Vec<LogLine>,
    pub(super) cancel: Vec<FlowRunId>,
    pub(super) waits_for: Vec<FlowRunId>,
    pub(super) unasked: Vec<u32>,
    pub(super) now: Timestamp,
}

pub(super) fn put_component(db: &Connection, record: &ComponentRecord) -> Done<()> {
    db.prepare_cached(
        "INSERT INTO component (digest, bytes, name, version, info, uploaded) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (digest) DO UPDATE SET uploaded = max(uploaded, excluded.uploaded), removed = NULL",
    )?
    .execute(params![
        record.digest.as_bytes(),
        record.bytes.cast_signed(),
        record.info.name,
        record.info.version,
        json(&record.info),
        record.uploaded.as_micros(),
    ])?;
    Ok(())
}

pub(super) fn create(db: &Connection, new: &NewRun, claim: Option<(Fence, u64)>) -> Done<(RunRecord, bool)> {
    if let Some((_, there)) = record(db, new.id)? {
        return Ok((there, false));
    }
    if let Some(key) = &new.idempotency_key {
        let sql = with_columns("SELECT ", RECORD, " FROM flow_run WHERE idempotency_key = ?1");
        let there = db.prepare_cached(&sql)?.query_one([key], |row| Columns::after(0, row).record()).optional()?;
        if let Some(there) = there {
            return Ok((there, false));
        }
    }
    has_component(db, new.component)?;
    // A child that was on its way when its parent ended would be worked on for nobody.
    if let Some(parent) = new.parent
        && let Some((_, parent)) = load(db, parent.run)?
        && !matches!(parent.state, RunState::Running { .. })
    {
        return Err(Refused::ParentNotRunning.into());
    }
    let run = first_state(new, claim);
    let to = RunColumns::from(&run);
    let (text, blob, bytes) = kept_columns(Some(&new.parameters));
    db.prepare_cached(
        "INSERT INTO flow_run (id, name, component, flow, deployment, queue, overrides, idempotency_key, parent, \
         parent_call, root, depth, created, begin_from, state, waiting, due, attempt, round, lost, parameters, \
         parameters_blob, parameters_bytes, fence, boot, round_began, attempt_began) VALUES (?1, ?2, ?3, ?4, ?5, ?6, \
         ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27)",
    )?
    .execute(params![
        new.id.to_bytes(),
        new.id.friendly_name(),
        new.component.as_bytes(),
        new.flow,
        new.deployment,
        new.queue,
        unless_default(&new.overrides),
        new.idempotency_key,
        new.parent.map(|it| it.run.to_bytes()),
        new.parent.map(|it| it.call),
        new.root.to_bytes(),
        new.depth,
        new.created.as_micros(),
        new.due.as_micros(),
        to.state,
        to.waiting,
        to.due,
        to.attempt,
        to.round,
        to.lost,
        text,
        blob,
        bytes,
        to.fence,
        to.boot,
        to.round_began,
        to.attempt_began,
    ])?;
    let asked = new.clone();
    Ok((RunRecord { asked, run, result: None, failure: None, ended: None, forgotten: false }, true))
}

/// Claims what is due. Finding nothing writes nothing, and a transaction that wrote nothing costs no fsync.
pub(super) fn claim(db: &Connection, request: &ClaimRequest, boot: u64) -> Done<Vec<RunRecord>> {
    let mut room = request.room.clone();
    let mut claimed = Vec::new();
    let due = claims::due(db, request)?;
    let due = due.into_iter().filter(|(_, record)| take_room(&mut room, &record.asked));
    for ((row, mut record), fence) in due.zip(&request.fences) {
        record.run = record.run.claim(request.now, *fence, boot)?;
        write_run(db, row, &record.run)?;
        claimed.push(record);
    }
    Ok(claimed)
}

/// Keeps a task run: one statement when it is new, which also checks the fence.
pub(super) fn commit_task(db: &Connection, id: FlowRunId, fence: Fence, commit: &TaskCommit) -> Done<()> {
    let task = &commit.task;
    if !write_task(db, &NEW_TASK, id, fence, task)? {
        let (row, run) = needed(load(db, id)?, id)?;
        let held = run.state.claim().map(|(fence, _)| fence);
        let sql = with_columns("SELECT ", TASK, " FROM task_run WHERE run = ?1 AND number = ?2");
        let there = db
            .prepare_cached(&sql)?
            .query_one(params![row, task.number], |row| Columns::after(0, row).task())
            .optional()?;
        // That one began tells nothing new to whoever knows how it ended, or that it was stopped.
        let only_began = task.only_began();
        let refused = match there {
            _ if held != Some(fence) => true,
            // Said before, and the answer did not arrive.
            Some(there) if is_same(&there, task) => return Ok(()),
            Some(there) if only_began && there.attempts >= task.attempts && !there.only_began() => return Ok(()),
            Some(there) => there.is_kept(),
            None => false,
        };
        if refused {
            event(db, row, task.ended, events::late_task(fence, held, task))?;
            return Err(Refused::StaleFence.into());
        }
        let written = write_task(db, &REPLACE_TASK, id, fence, task)?;
        assert!(written, "a commit that nothing speaks against is written");
    }
    if !commit.past.is_empty() || !commit.logs.is_empty() {
        let row = db
            .prepare_cached("SELECT row FROM flow_run WHERE id = ?1")?
            .query_one([id.to_bytes()], |row| row.get(0))?;
        commit.past.iter().try_for_each(|it| past(db, row, it))?;
        logs(db, row, &commit.logs)?;
    }
    Ok(())
}

pub(super) fn append_logs(db: &Connection, id: FlowRunId, fence: Fence, lines: &[LogLine]) -> Done<()> {
    let (row, run) = needed(load(db, id)?, id)?;
    if run.state.claim().is_none_or(|(held, _)| held != fence) {
        return Err(Refused::StaleFence.into());
    }
    logs(db, row, lines)
}

pub(super) fn end_attempt(db: &Connection, rules: &Rules, id: FlowRunId, fence: Fence, commit: &End) -> Done<Run> {
    let sql = with_columns("SELECT row, parent, ", RUN, " FROM flow_run WHERE id = ?1");
    let found = db
        .prepare_cached(&sql)?
        .query_one([id.to_bytes()], |row| Ok((row.get(0)?, row.get(1)?, Columns::after(2, row).run()?)))
        .optional()?;
    let (row, parent, before): (i64, Option<[u8; 16]>, Run) = needed(found, id)?;
    let after = match before.end(id, fence, &commit.end, commit.now) {
        Ok(after) => needs_not_wait(db, after, commit)?,
        Err(refused) => {
            event(db, row, commit.now, events::late_end(before.attempt, &commit.end))?;
            return Err(refused.into());
        }
    };
    let goes_on = matches!(
        after.state,
        RunState::Scheduled { waiting: Waiting::Suspended | Waiting::Worker, .. } | RunState::Paused { .. }
    );
    if goes_on {
        write_run(db, row, &after)?;
        if let AttemptEnd::Paused = commit.end {
            event(db, row, commit.now, events::command(&before, Command::Pause))?;
        }
    } else {
        let failure = match (&commit.end, &after.state) {
            (_, RunState::Completed) => None,
            (AttemptEnd::Failed { failure, .. } | AttemptEnd::Parked { failure }, _) => Some(failure.clone()),
            _ => Some(Failure::new(code::CANCELLED, "cancelled")),
        };
        let result = commit.result.as_ref().filter(|_| after.state == RunState::Completed);
        attempt_ended(db, row, [&before, &after], commit.now, failure, result, commit.evidence)?;
        notice(db, rules, row, &after, commit.now)?;
        if let Some(parent) = parent {
            wake_parent(db, FlowRunId::from_bytes(parent), &after, commit.now)?;
        }
    }
    logs(db, row, &commit.logs)?;
    for number in &commit.unasked {
        db.prepare_cached("UPDATE task_run SET unasked = ?3 WHERE run = ?1 AND number = ?2")?.execute(params![
            row,
            number,
            before.attempt
        ])?;
    }
    for child in &commit.cancel {
        if let Some((row, run)) = load(db, *child)? {
            cancel_tree(db, *child, row, &run, commit.now)?;
        }
    }
    Ok(after)
}

/// Lets an attempt that suspends itself go on at once when one of the children it waits for has ended meanwhile.
fn needs_not_wait(db: &Connection, after: Run, commit: &End) -> Done<Run> {
    for child in &commit.waits_for {
        if let Some((_, child)) = load(db, *child)?
            && child.state.answers()
        {
            return Ok(after.wake(commit.now).unwrap_or(after));
        }
    }
    Ok(after)
}

/// Lets a parent that is suspended go on when its child has come to its end before it was due.
fn wake_parent(db: &Connection, parent: FlowRunId, child: &Run, now: Timestamp) -> Done<()> {
    if child.state.answers()
        && let Some((row, parent)) = load(db, parent)?
        && let Some(woken) = parent.wake(now)
    {
        write_run(db, row, &woken)?;
    }
    Ok(())
}

/// The same, where the parent is not known yet, or there is none.
fn wake_parent_of(db: &Connection, row: i64, child: &Run, now: Timestamp) -> Done<()> {
    if !child.state.answers() {
        return Ok(());
    }
    let parent: Option<[u8; 16]> =
        db.prepare_cached("SELECT parent FROM flow_run WHERE row = ?1")?.query_one([row], |row| row.get(0))?;
    parent.map_or(Ok(()), |parent| wake_parent(db, FlowRunId::from_bytes(parent), child, now))
}

/// Cancels a run and what is below it. One that is being cancelled was so with what is below it.
fn cancel_tree(db: &Connection, id: FlowRunId, row: i64, before: &Run, now: Timestamp) -> Done<()> {
    if let Ok(after) = before.command(Command::Cancel, now)
        && after != *before
    {
        commanded(db, row, before, &after, Command::Cancel, now)?;
        cancel_below(db, id, now)?;
    }
    Ok(())
}

fn cancel_below(db: &Connection, id: FlowRunId, now: Timestamp) -> Done<()> {
    let sql = with_columns(
        "SELECT row, id, ",
        RUN,
        " FROM flow_run WHERE parent = ?1 AND state IN (0, 1, 2, 3, 9) ORDER BY row",
    );
    let children = db
        .prepare_cached(&sql)?
        .query_map([id.to_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, FlowRunId::from_bytes(row.get(1)?), Columns::after(2, row).run()?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    children.into_iter().try_for_each(|(row, id, run)| cancel_tree(db, id, row, &run, now))
}

pub(super) fn retry(db: &Connection, id: FlowRunId, request: &RetryRequest, parameters: Option<&Kept>) -> Done<Run> {
    let (row, before) = needed(record(db, id)?, id)?;
    let after = before.run.retry(request.now, request.expected_attempt, request.completed_too)?;
    // Also its own: it may have been removed since.
    has_component(db, request.component.unwrap_or(before.asked.component))?;
    write_run(db, row, &after)?;
    removal::loosen(db, row, request.now)?;
    let asked = &before.asked;
    let (text, blob, bytes) = kept_columns(Some(parameters.unwrap_or(&asked.parameters)));
    db.prepare_cached(
        "UPDATE flow_run SET component = ?2, overrides = ?3, parameters = ?4, parameters_blob = ?5, \
         parameters_bytes = ?6, forgotten = 0, ended = NULL, failure = NULL, result = NULL, result_blob = NULL, result_bytes = NULL \
         WHERE row = ?1",
    )?
    .execute(params![
        row,
        request.component.unwrap_or(asked.component).as_bytes(),
        unless_default(request.overrides.as_ref().unwrap_or(&asked.overrides)),
        text,
        blob,
        bytes,
    ])?;
    let mut forget = db.prepare_cached(
        "UPDATE task_run SET state = 4, due = NULL, result = NULL, result_blob = NULL, result_bytes = NULL \
         WHERE run = ?1 AND number = ?2",
    )?;
    for number in &request.forget {
        forget.execute(params![row, number])?;
    }
    let mut forget = db.prepare_cached("UPDATE flow_run SET forgotten = 1 WHERE id = ?1 AND parent = ?2")?;
    for child in &request.forget_children {
        forget.execute(params![child.to_bytes(), id.to_bytes()])?;
    }
    event(db, row, request.now, events::manual_retry(&before, after.round, request, parameters))?;
    Ok(after)
}

pub(super) fn command(db: &Connection, rules: &Rules, id: FlowRunId, command: Command, now: Timestamp) -> Done<Run> {
    let (row, before) = needed(load(db, id)?, id)?;
    let after = before.command(command, now)?;
    commanded(db, row, &before, &after, command, now)?;
    if command == Command::Cancel {
        notice(db, rules, row, &after, now)?;
        cancel_below(db, id, now)?;
    }
    Ok(after)
}

/// Keeps what a command came to.
fn commanded(db: &Connection, row: i64, before: &Run, after: &Run, command: Command, now: Timestamp) -> Done<()> {
    write_run(db, row, after)?;
    if after.state.is_terminal() {
        db.prepare_cached("UPDATE flow_run SET ended = ?2 WHERE row = ?1")?.execute(params![row, now.as_micros()])?;
    }
    if let Some(cut_short) = events::cut_short(before, after, now) {
        past(db, row, &cut_short)?;
    }
    wake_parent_of(db, row, after, now)?;
    event(db, row, now, events::command(before, command))
}

pub(super) fn set_result(db: &Connection, id: FlowRunId, number: u32, result: &Kept, now: Timestamp) -> Done<()> {
    let (row, run) = needed(load(db, id)?, id)?;
    run.may_set_results()?;
    let sql = with_columns("SELECT ", TASK, " FROM task_run WHERE run = ?1 AND number = ?2");
    let found = db.prepare_cached(&sql)?.query_one(params![row, number], |row| Columns::after(0, row).task());
    let task = found.optional()?.ok_or(Refused::NoCall)?;
    let done: u32 = db
        .prepare_cached("SELECT coalesce(max(done), 0) + 1 FROM task_run WHERE run = ?1")?
        .query_one([row], |row| row.get(0))?;
    let after = events::with_result(&task, result.clone(), done, now)?;
    let (text, blob, bytes) = kept_columns(after.result.as_ref());
    db.prepare_cached(
        "UPDATE task_run SET state = 1, due = NULL, failure = NULL, by_hand = 1, began = ?3, ended = ?4, done = ?5, \
         result = ?6, result_blob = ?7, result_bytes = ?8 WHERE run = ?1 AND number = ?2",
    )?
    .execute(params![row, number, after.began.as_micros(), now.as_micros(), done, text, blob, bytes])?;
    task.past().iter().try_for_each(|it| past(db, row, it))?;
    event(db, row, now, events::set_result(&task, result))
}

pub(super) fn recover(db: &Connection, rules: &Rules, now: Timestamp, boot: u64) -> Done<Vec<(FlowRunId, Run)>> {
    let sql = with_columns("SELECT row, id, ", RUN, " FROM flow_run WHERE state IN (1, 2) AND boot < ?1 ORDER BY row");
    let lost = db
        .prepare_cached(&sql)?
        .query_map([boot.cast_signed()], |row| {
            Ok((row.get::<_, i64>(0)?, FlowRunId::from_bytes(row.get(1)?), Columns::after(2, row).run()?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut recovered = Vec::with_capacity(lost.len());
    for (row, id, before) in lost {
        let after = before.lose(now)?;
        let failure = match after.state {
            RunState::Crashed => Some(Failure::new(code::LOST, "its host died again and again")),
            RunState::Cancelled => Some(Failure::new(code::CANCELLED, "cancelled")),
            _ => None,
        };
        if failure.is_none() {
            write_run(db, row, &after)?;
        } else {
            attempt_ended(db, row, [&before, &after], now, failure, None, Evidence::default())?;
            notice(db, rules, row, &after, now)?;
            wake_parent_of(db, row, &after, now)?;
        }
        event(db, row, now, events::lost(&before, &after))?;
        recovered.push((id, after));
    }
    // Only now: children were lost with their parents, and nobody claims them any more.
    for (id, _) in recovered.iter().filter(|(_, run)| run.state.is_terminal()) {
        cancel_below(db, *id, now)?;
    }
    for (id, run) in &mut recovered {
        (_, *run) = needed(load(db, *id)?, *id)?;
    }
    Ok(recovered)
}

/// Whether the same commit was made before.
fn is_same(there: &TaskRun, task: &TaskRun) -> bool {
    let counts = |it: &TaskRun| (it.state, it.flow_attempt, it.attempts, it.ended);
    counts(there) == counts(task) && there.result == task.result
}

fn needed<T>(found: Option<T>, id: FlowRunId) -> Done<T> {
    found.ok_or_else(|| StoreError::NoRun(id).into())
}

pub(super) fn has_component(db: &Connection, digest: ContentDigest) -> Done<()> {
    let there = db
        .prepare_cached("SELECT 1 FROM component WHERE digest = ?1 AND removed IS NULL")?
        .exists([digest.as_bytes()])?;
    if there { Ok(()) } else { Err(StoreError::NoComponent(digest).into()) }
}

fn load(db: &Connection, id: FlowRunId) -> Done<Option<(i64, Run)>> {
    let sql = with_columns("SELECT row, ", RUN, " FROM flow_run WHERE id = ?1");
    let found =
        db.prepare_cached(&sql)?.query_one([id.to_bytes()], |row| Ok((row.get(0)?, Columns::after(1, row).run()?)));
    Ok(found.optional()?)
}

fn record(db: &Connection, id: FlowRunId) -> Done<Option<(i64, RunRecord)>> {
    let sql = with_columns("SELECT row, ", RECORD, " FROM flow_run WHERE id = ?1");
    let found =
        db.prepare_cached(&sql)?.query_one([id.to_bytes()], |row| Ok((row.get(0)?, Columns::after(1, row).record()?)));
    Ok(found.optional()?)
}

fn write_run(db: &Connection, row: i64, run: &Run) -> Done<()> {
    let to = RunColumns::from(run);
    db.prepare_cached(
        "UPDATE flow_run SET state = ?2, waiting = ?3, due = ?4, fence = ?5, boot = ?6, attempt = ?7, round = ?8, \
         spent = ?9, round_began = ?10, attempt_began = ?11, lost = ?12 WHERE row = ?1",
    )?
    .execute(params![
        row,
        to.state,
        to.waiting,
        to.due,
        to.fence,
        to.boot,
        to.attempt,
        to.round,
        to.spent,
        to.round_began,
        to.attempt_began,
        to.lost,
    ])?;
    Ok(())
}

/// Keeps that the flow's attempt ended, and how: where the run stands now, and what is known of the attempt.
fn attempt_ended(
    db: &Connection,
    row: i64,
    [before, after]: [&Run; 2],
    now: Timestamp,
    failure: Option<Failure>,
    result: Option<&Kept>,
    evidence: Evidence,
) -> Done<()> {
    let to = RunColumns::from(after);
    let (text, blob, bytes) = kept_columns(result);
    // What a claim has set, an end leaves as it is.
    db.prepare_cached(
        "UPDATE flow_run SET state = ?2, waiting = ?3, due = ?4, fence = ?5, boot = ?6, spent = ?7, lost = ?8, \
         ended = ?9, failure = ?10, result = ?11, result_blob = ?12, result_bytes = ?13 WHERE row = ?1",
    )?
    .execute(params![
        row,
        to.state,
        to.waiting,
        to.due,
        to.fence,
        to.boot,
        to.spent,
        to.lost,
        now.as_micros(),
        failure.as_ref().map(json),
        text,
        blob,
        bytes
    ])?;
    let (attempt, began) = (before.attempt, before.attempt_began.unwrap_or(now));
    past(db, row, &PastAttempt { call: 0, attempt, began, ended: now, failure, evidence })
}

/// Keeps a past attempt; the first that is told of it counts.
fn past(db: &Connection, row: i64, past: &PastAttempt) -> Done<()> {
    db.prepare_cached(
        "INSERT INTO attempt (run, call, attempt, began, ended, failure, cpu_us, peak_memory, bytes_out, log_dropped) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (run, call, attempt) DO NOTHING",
    )?
    .execute(params![
        row,
        past.call,
        past.attempt,
        past.began.as_micros(),
        past.ended.as_micros(),
        past.failure.as_ref().map(json),
        past.evidence.cpu_us.cast_signed(),
        past.evidence.peak_memory.cast_signed(),
        past.evidence.bytes_out.cast_signed(),
        past.evidence.log_bytes_dropped.cast_signed(),
    ])?;
    Ok(())
}

fn logs(db: &Connection, row: i64, lines: &[LogLine]) -> Done<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO log (run, at, call, attempt, level, message, fields, task) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for line in lines {
        let fields = line.fields.as_ref().map(|it| it.as_str());
        let level = level_number(line.level);
        insert.execute(params![
            row,
            line.at.as_micros(),
            line.call,
            line.attempt,
            level,
            line.message,
            fields,
            line.task
        ])?;
    }
    Ok(())
}

fn event(db: &Connection, row: i64, at: Timestamp, (kind, details): Told) -> Done<()> {
    db.prepare_cached("INSERT INTO event (run, at, kind, details) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        row,
        at.as_micros(),
        kind,
        details.as_str()
    ])?;
    Ok(())
}

/// The places of the columns of [`TASK`] in both statements below.
fn task_values() -> String {
    (3..=34).map(|n| format!(", ?{n}")).collect()
}

/// Writes nothing when there is something already, nor when the fence is another: then `run` would be NULL. It is
/// looked up most, and by its text; and as it makes one row at most, SQLite keeps no journal of it, which what takes
/// its rows from a SELECT has.
static NEW_TASK: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT OR IGNORE INTO task_run (run, {TASK}) VALUES ((SELECT row FROM flow_run \
         WHERE id = ?1 AND fence = ?2 AND state IN (1, 2)){})",
        task_values()
    )
});
/// Writes nothing when a result is kept already.
static REPLACE_TASK: LazyLock<String> = LazyLock::new(|| {
    let set: Vec<String> = TASK.split(", ").map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "INSERT INTO task_run (run, {TASK}) SELECT row{} FROM flow_run \
         WHERE id = ?1 AND fence = ?2 AND state IN (1, 2) ON CONFLICT (run, number) DO UPDATE SET {} \
         WHERE NOT (task_run.state = 1 AND (task_run.result IS NOT NULL OR task_run.result_blob IS NOT NULL))",
        task_values(),
        set.join(", ")
    )
});

/// Returns whether a row was written.
fn write_task(db: &Connection, sql: &str, id: FlowRunId, fence: Fence, task: &TaskRun) -> Done<bool> {
    let identity = &task.identity;
    let (asked, key) = match &identity.asked {
        Asked::Input(digest) => (Some(digest.as_bytes()), None),
        Asked::Key(key) => (None, Some(key)),
    };
    let (state, due) = task_state_columns(task.state);
    let (input, result): (KeptColumns<'_>, KeptColumns<'_>) =
        (kept_columns(Some(&task.input)), kept_columns(task.result.as_ref()));
    let written = db.prepare_cached(sql)?.execute(params![
        id.to_bytes(),
        fence.get().cast_signed(),
        task.number,
        kind_number(identity.kind),
        identity.name,
        identity.version,
        asked,
        key,
        identity.occurrence,
        task.label,
        state,
        due,
        task.flow_attempt,
        task.attempts,
        task.round,
        unless_default(&task.spent),
        task.round_began.as_micros(),
        task.began.as_micros(),
        task.ended.as_micros(),
        task.told.map(Timestamp::as_micros),
        task.done,
        task.by_hand,
        task.failure.as_ref().map(json),
        task.evidence.cpu_us.cast_signed(),
        task.evidence.peak_memory.cast_signed(),
        task.evidence.bytes_out.cast_signed(),
        task.evidence.log_bytes_dropped.cast_signed(),
        input.0,
        input.1,
        input.2,
        result.0,
        result.1,
        result.2,
        task.unasked,
    ])?;
    Ok(written == 1)
}

pub(super) fn with_columns(before: &str, columns: &str, after: &str) -> String {
    [before, columns, after].concat()
}
