//! Which runs are claimed next.

use std::sync::LazyLock;

use retake_core::run::RunState;
use retake_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{Columns, RECORD, json};
use super::writes::{Fault, with_columns};
use crate::share::{Busy, Due, shares};
use crate::{ClaimRequest, Limited, RunRecord};

type Done<T> = Result<T, Fault>;
/// A run and its row.
type Found = (i64, RunRecord);

/// Most deployments that slots are shared out between at once, the first by name: each costs a look at the index. With
/// more, the others come when those have been served.
const DEPLOYMENTS: usize = 1000;

/// Returns the runs that a request is for: as many as it has fences, the longest due first.
pub(super) fn due(db: &Connection, request: &ClaimRequest) -> Done<Vec<Found>> {
    let most = request.fences.len();
    let Some(busy) = request.shared_by() else { return longest_due(db, request, most) };
    let found = longest_due(db, request, most + 1)?;
    if found.len() > most { shared(db, request, busy, found) } else { Ok(found) }
}

/// The queues that are asked for, as a JSON list of their names; nothing for all.
fn queues(request: &ClaimRequest) -> Option<String> {
    (!request.queues.is_empty()).then(|| serde_json::to_string(&request.queues[..]).unwrap_or_default())
}

/// The deployments and the queues that have no room, as JSON lists of their names.
fn full(request: &ClaimRequest) -> (String, String) {
    let full = || request.room.iter().filter(|it| it.left == 0).map(|it| &it.of);
    let deployments: Vec<_> =
        full().filter_map(|it| if let Limited::Deployment(it) = it { Some(it) } else { None }).collect();
    let queues: Vec<_> = full().filter_map(|it| if let Limited::Queue(it) = it { Some(it) } else { None }).collect();
    (json(&deployments), json(&queues))
}

fn longest_due(db: &Connection, request: &ClaimRequest, most: usize) -> Done<Vec<Found>> {
    static IN_ALL: LazyLock<String> =
        LazyLock::new(|| with_columns("SELECT row, ", RECORD, " FROM flow_run INDEXED BY flow_run_due WHERE ") + CLAIM);
    static IN_TREE: LazyLock<String> = LazyLock::new(|| {
        with_columns("SELECT row, ", RECORD, " FROM flow_run INDEXED BY flow_run_tree_due WHERE root = ?5 AND ") + CLAIM
    });
    // Apart, because hardly anybody limits anything, and this is asked for all the time.
    static IN_ALL_WITH_ROOM: LazyLock<String> = LazyLock::new(|| {
        with_columns("SELECT row, ", RECORD, " FROM flow_run INDEXED BY flow_run_due WHERE ")
            + "(deployment IS NULL OR deployment NOT IN (SELECT value FROM json_each(?5))) AND \
               queue NOT IN (SELECT value FROM json_each(?6)) AND "
            + CLAIM
    });
    const CLAIM: &str = "state = 0 AND depth = ?1 AND due <= ?2 AND (?3 IS NULL OR queue IN (SELECT value FROM json_each(?3))) ORDER BY due, row LIMIT ?4";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let (depth, now, queue) = (request.depth, request.now.as_micros(), queues(request));
    let due = match request.root {
        None if !request.room.is_empty() => {
            let (deployments, queues) = full(request);
            db.prepare_cached(&IN_ALL_WITH_ROOM)?
                .query_map(params![depth, now, queue, most, deployments, queues], read)?
                .collect::<Result<_, _>>()?
        }
        None => {
            db.prepare_cached(&IN_ALL)?.query_map(params![depth, now, queue, most], read)?.collect::<Result<_, _>>()?
        }
        Some(root) => db
            .prepare_cached(&IN_TREE)?
            .query_map(params![depth, now, queue, most, root.to_bytes()], read)?
            .collect::<Result<_, _>>()?,
    };
    Ok(due)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Found> {
    Ok((row.get::<_, i64>(0)?, Columns::after(1, row).record()?))
}

/// More is due than can be claimed, `found` among it: each deployment gets its share.
fn shared(db: &Connection, request: &ClaimRequest, busy: &Busy, mut found: Vec<Found>) -> Done<Vec<Found>> {
    const OF_ONE: &str = "FROM flow_run INDEXED BY flow_run_share WHERE state = 0 AND depth = 0 AND deployment IS ?1 \
        AND due <= ?2 AND (?3 IS NULL OR queue IN (SELECT value FROM json_each(?3))) AND queue NOT IN (SELECT value FROM json_each(?4)) \
        ORDER BY due, row LIMIT ?5";
    static COUNT: LazyLock<String> = LazyLock::new(|| format!("SELECT min(due), count(*) FROM (SELECT due {OF_ONE})"));
    static FIRST: LazyLock<String> = LazyLock::new(|| with_columns("SELECT row, ", RECORD, " ") + OF_ONE);
    let most = request.fences.len();
    let (now, queue, (_, full_queues)) = (request.now.as_micros(), queues(request), full(request));
    let mut all = Vec::new();
    let mut count = db.prepare_cached(&COUNT)?;
    for deployment in deployments(db)? {
        let most = request.most_of(deployment.as_ref()) as i64;
        let (since, waiting) = count.query_one(params![deployment, now, queue, full_queues, most], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?))
        })?;
        if let Some(since) = since {
            let since = Timestamp::from_micros(since);
            all.push(Due { deployment, since, waiting: usize::try_from(waiting).unwrap_or(0) });
        }
    }
    if all.len() <= 1 {
        // Nobody to share with: what was found is what is to be claimed.
        found.truncate(most);
        return Ok(found);
    }
    let mut due: Vec<Found> = Vec::with_capacity(most);
    let mut first = db.prepare_cached(&FIRST)?;
    for (Due { deployment, .. }, share) in all.iter().zip(shares(&all, busy, most)).filter(|(_, share)| *share > 0) {
        for it in first.query_map(params![deployment, now, queue, full_queues, share as i64], read)? {
            due.push(it?);
        }
    }
    due.sort_by_key(|(row, it)| match it.run.state {
        RunState::Scheduled { due, .. } => (due, *row),
        _ => unreachable!("only what is Scheduled was asked for"),
    });
    Ok(due)
}

/// Returns the deployments of which runs wait, due or not; `None` for those without one.
fn deployments(db: &Connection) -> Done<Vec<Option<String>>> {
    const WAITS: &str = "FROM flow_run INDEXED BY flow_run_share WHERE state = 0 AND depth = 0 AND deployment";
    static NEXT: LazyLock<String> =
        LazyLock::new(|| format!("SELECT deployment {WAITS} > ?1 ORDER BY deployment LIMIT 1"));
    let mut all = vec![None];
    let mut next = db.prepare_cached(&NEXT)?;
    let mut last = String::new();
    while all.len() <= DEPLOYMENTS
        && let Some(name) = next.query_one([&last], |row| row.get::<_, String>(0)).optional()?
    {
        last.clone_from(&name);
        all.push(Some(name));
    }
    Ok(all)
}
