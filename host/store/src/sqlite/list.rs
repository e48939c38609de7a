//! Pages of runs: which index is walked, and what is asked of the runs on the way.

use retake_core::id::FlowRunId;
use retake_core::run::Shown;
use retake_core::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::reads::sql_limit;
use super::rows::{Columns, RECORD, late_before, shown_condition};
use super::writes::Fault;
use crate::{Counts, RunFilter, RunRecord, part_width};

type Done<T> = Result<T, Fault>;

/// The states of runs that people have to look at, as the index `flow_run_trouble` says it: the planner compares words.
const TROUBLE: &str = "state IN (3, 5, 6, 7, 8)";

/// What a page is read along, newest first. The planner has no numbers to choose by, so it is told.
#[derive(Debug, Clone, Copy)]
enum Way<'f> {
    Parent,
    Trouble,
    Waiting,
    Claimed,
    Deployment(&'f str),
    Flow,
    All,
}

impl Way<'_> {
    fn index(&self) -> &'static str {
        match self {
            Self::Parent => "INDEXED BY flow_run_parent",
            Self::Trouble => "INDEXED BY flow_run_trouble",
            Self::Waiting => "INDEXED BY flow_run_due",
            Self::Claimed => "INDEXED BY flow_run_claimed",
            Self::Deployment(_) => "INDEXED BY flow_run_deployment",
            Self::Flow => "INDEXED BY flow_run_flow",
            Self::All => "",
        }
    }
}

pub(super) fn list(db: &Connection, filter: &RunFilter, now: Timestamp) -> Done<Vec<RunRecord>> {
    let mut found: Vec<RunRecord> = Vec::new();
    for mut question in questions(filter, now) {
        if found.len() == filter.limit
            && let Some(last) = found.last()
        {
            question.bound("id >", last.asked.id.to_bytes().to_vec());
        }
        found.extend(question.ask(db, filter.limit)?);
        found.sort_unstable_by_key(|it| std::cmp::Reverse(it.asked.id));
        found.truncate(filter.limit);
    }
    Ok(found)
}

/// Counts runs by state and by part of the time, along the same indexes as a page of them.
pub(super) fn counts(db: &Connection, filter: &RunFilter, parts: usize, now: Timestamp) -> Done<Counts> {
    let (mut counts, mut left) = (Counts::default(), filter.limit);
    let width = part_width(filter.since, filter.until, parts);
    let since = filter.since.unwrap_or_default().as_micros();
    for mut question in questions(filter, now) {
        // An id begins with the instant at which it was made, which lets the walk end; that of a child with its parent's.
        if let Some(since) = filter.since.filter(|_| filter.roots_only) {
            question.bound("id >=", FlowRunId::new(since, 0).to_bytes().to_vec());
        }
        let words = Shown::ALL.iter().enumerate();
        let cases: Vec<String> = words.map(|(i, it)| format!("WHEN {} THEN {i}", shown_condition(*it, now))).collect();
        let sql = format!(
            "SELECT word, part, count(*) FROM (
                SELECT CASE {} END AS word, (created - {since}) / {width} AS part
                FROM flow_run {} WHERE {} ORDER BY id DESC LIMIT {}) GROUP BY word, part",
            cases.join(" "),
            question.index,
            question.conditions.join(" AND "),
            sql_limit(left)
        );
        let mut found = db.prepare(&sql)?;
        let mut rows = found.query(params_from_iter(question.values))?;
        while let Some(row) = rows.next()? {
            let (word, part, count) = (row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned());
            if let Some(shown) = Shown::ALL.get(usize::try_from(word).unwrap_or(usize::MAX)) {
                counts.add(*shown, part, parts, count);
            }
            left = left.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }
    counts.complete = left > 0;
    Ok(counts)
}

/// Counts the runs without a parent that are due and wait.
pub(super) fn overdue(db: &Connection, now: Timestamp, most: u64) -> Done<u64> {
    let mut count = db.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM flow_run INDEXED BY flow_run_due
            WHERE state = 0 AND depth = 0 AND due <= ?1 LIMIT ?2)",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    Ok(count.query_row((now.as_micros(), most), |row| row.get::<_, i64>(0))?.cast_unsigned())
}

/// The same by queue, with the instant at which the first was due.
pub(super) fn waiting(db: &Connection, now: Timestamp, most: u64) -> Done<Vec<(String, u64, Timestamp)>> {
    let mut found = db.prepare_cached(
        "SELECT queue, count(*), min(due) FROM (SELECT queue, due FROM flow_run INDEXED BY flow_run_due
            WHERE state = 0 AND depth = 0 AND due <= ?1 ORDER BY due LIMIT ?2) GROUP BY queue ORDER BY queue",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let found = found.query_map((now.as_micros(), most), |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), Timestamp::from_micros(row.get(2)?)))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Counts the runs that wait or are worked on, along the two indexes that hold them and no others.
pub(super) fn open_runs(db: &Connection, now: Timestamp) -> Done<Vec<(Shown, u64)>> {
    let late = late_before(now);
    let mut counts: Vec<(Shown, u64)> = Vec::new();
    let mut waiting = db.prepare_cached(
        "SELECT waiting, due < ?1, count(*) FROM flow_run INDEXED BY flow_run_due WHERE state = 0 GROUP BY 1, 2",
    )?;
    let mut rows = waiting.query([late])?;
    while let Some(row) = rows.next()? {
        let shown = match (row.get::<_, i64>(0)?, row.get::<_, bool>(1)?) {
            (1, _) => Shown::AwaitingRetry,
            (2, _) => Shown::Suspended,
            (_, true) => Shown::Late,
            (_, false) => Shown::Scheduled,
        };
        counts.push((shown, row.get::<_, i64>(2)?.cast_unsigned()));
    }
    let mut active = db.prepare_cached(
        "SELECT state, attempt > 1, count(*) FROM flow_run INDEXED BY flow_run_claimed WHERE state IN (1, 2) GROUP BY 1, 2",
    )?;
    let mut rows = active.query([])?;
    while let Some(row) = rows.next()? {
        let shown = match (row.get::<_, i64>(0)?, row.get::<_, bool>(1)?) {
            (2, _) => Shown::Cancelling,
            (_, true) => Shown::Retrying,
            (_, false) => Shown::Running,
        };
        counts.push((shown, row.get::<_, i64>(2)?.cast_unsigned()));
    }
    Ok(Shown::ALL
        .into_iter()
        .map(|word| (word, counts.iter().filter(|(it, _)| *it == word).map(|(_, count)| count).sum()))
        .filter(|(_, count)| *count > 0)
        .collect())
}

/// Returns the statements that a page is asked for with.
#[cfg(test)]
pub(super) fn statements(filter: &RunFilter, now: Timestamp) -> Vec<String> {
    questions(filter, now).into_iter().map(|it| it.sql(filter.limit)).collect()
}

/// Returns what is to be asked, one question for each deployment: an index has the runs of one in the order of a page,
/// and of several not.
fn questions(filter: &RunFilter, now: Timestamp) -> Vec<Question> {
    let ways = if filter.parent.is_some() {
        vec![Way::Parent]
    } else if let Some(ways) = by_state(&filter.shown) {
        ways
    } else if !filter.deployments.is_empty() {
        let mut names: Vec<&str> = filter.deployments.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(Way::Deployment).collect()
    } else if filter.flow.is_some() {
        vec![Way::Flow]
    } else {
        vec![Way::All]
    };
    ways.into_iter().map(|way| Question::new(filter, way, now)).collect()
}

/// Returns the indexes that hold all runs in these states, each a few among many; `None` when some are in none.
fn by_state(shown: &[Shown]) -> Option<Vec<Way<'static>>> {
    use Shown::{
        AwaitingRetry, Cancelled, Cancelling, Completed, Crashed, Failed, Late, Parked, Paused, Retrying, Running,
        Scheduled, Suspended, TimedOut,
    };
    let way = |it: &Shown| match it {
        Parked | Failed | TimedOut | Crashed | Cancelled => Some(Way::Trouble),
        Scheduled | Late | AwaitingRetry | Suspended => Some(Way::Waiting),
        Running | Retrying | Cancelling => Some(Way::Claimed),
        Completed | Paused => None,
    };
    let mut ways: Vec<Way<'static>> = shown.iter().map(way).collect::<Option<_>>()?;
    ways.sort_unstable_by_key(Way::index);
    ways.dedup_by_key(|it| it.index());
    (!ways.is_empty()).then_some(ways)
}

/// A question for one page.
struct Question {
    index: &'static str,
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Question {
    fn new(filter: &RunFilter, way: Way<'_>, now: Timestamp) -> Self {
        let mut it = Self { index: way.index(), conditions: vec!["1".to_owned()], values: Vec::new() };
        match way {
            // As the index says it: the planner compares words.
            Way::Trouble => it.conditions.push(TROUBLE.to_owned()),
            Way::Waiting => it.conditions.push("state = 0".to_owned()),
            Way::Claimed => it.conditions.push("state IN (1, 2)".to_owned()),
            Way::Deployment(name) => it.bound("deployment =", name.to_owned()),
            Way::Parent | Way::Flow | Way::All => {}
        }
        if !matches!(way, Way::Deployment(_)) && !filter.deployments.is_empty() {
            let names: Vec<String> = filter.deployments.iter().map(|name| it.value(name.clone())).collect();
            it.conditions.push(format!("deployment IN ({})", names.join(", ")));
        }
        it.ask_for(filter, now);
        it
    }

    fn ask_for(&mut self, filter: &RunFilter, now: Timestamp) {
        if let Some(flow) = &filter.flow {
            self.bound("flow =", flow.clone());
        }
        if let Some(since) = filter.since {
            self.bound("created >=", since.as_micros());
        }
        if let Some(until) = filter.until {
            self.bound("created <", until.as_micros());
        }
        if let Some(since) = filter.ended_since {
            self.bound("coalesce(ended, created) >=", since.as_micros());
        }
        if let Some(before) = filter.before {
            self.bound("id <", before.to_bytes().to_vec());
        }
        if let Some(parent) = filter.parent {
            self.bound("parent =", parent.to_bytes().to_vec());
        }
        if filter.roots_only {
            self.conditions.push("parent IS NULL".into());
        }
        if !filter.shown.is_empty() {
            let shown: Vec<String> = filter.shown.iter().map(|it| shown_condition(*it, now)).collect();
            self.conditions.push(format!("({})", shown.join(" OR ")));
        }
        const CODE: &str = "json_extract(failure, '$.code')";
        match filter.code.as_deref().map(|it| it.strip_suffix('*').ok_or(it)) {
            None => {}
            Some(Err(code)) => self.bound(&format!("{CODE} ="), code.to_owned()),
            Some(Ok(beginning)) => {
                let beginning = self.value(beginning.to_owned());
                self.conditions.push(format!("instr({CODE}, {beginning}) = 1"));
            }
        }
        if let Some(text) = &filter.text {
            let text = self.value(text.to_ascii_lowercase());
            let message = "json_extract(failure, '$.message')";
            let places = ["name", "flow", "deployment", message, CODE];
            let holds = places.map(|it| format!("instr(lower({it}), {text})"));
            self.conditions.push(format!("({})", holds.join(" OR ")));
        }
    }

    /// Binds a value and returns what stands for it.
    fn value(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }

    fn bound(&mut self, condition: &str, value: impl Into<Value>) {
        let value = self.value(value);
        self.conditions.push(format!("{condition} {value}"));
    }

    fn sql(&self, limit: usize) -> String {
        let (index, conditions, limit) = (self.index, self.conditions.join(" AND "), sql_limit(limit));
        format!("SELECT {RECORD} FROM flow_run {index} WHERE {conditions} ORDER BY id DESC LIMIT {limit}")
    }

    fn ask(self, db: &Connection, limit: usize) -> Done<Vec<RunRecord>> {
        let mut found = db.prepare(&self.sql(limit))?;
        let found = found.query_map(params_from_iter(self.values), |row| Columns::after(0, row).record())?;
        Ok(found.collect::<Result<_, _>>()?)
    }
}
