//! Copies of a whole store, and a look at everything in it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use retake_core::id::ContentDigest;
use rusqlite::Connection;

use super::open::{Access, Files, OpenError};
use super::rows::{AUDIT, Columns, DEFINITION, DELIVERY, NOTICE, RECORD, TASK};
use crate::blobs::{self, Blobs};
use crate::kind;

/// Most problems that are told of.
const PROBLEMS: usize = 50;

/// What a look at everything found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Runs that were read.
    pub runs: u64,
    /// Task runs that were read.
    pub tasks: u64,
    /// Files that were read and compared with their digests.
    pub files: u64,
    /// What is wrong, the first fifty; nothing when all is well.
    pub problems: Vec<String>,
}

impl Checked {
    fn wrong(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// Returns the version of the schema of the database in `dir`, and the newest that this program knows.
pub fn schema_versions(dir: &Path) -> Result<(u32, u32), OpenError> {
    let files = Files::of(dir);
    if !files.database.exists() {
        return Err(OpenError::Missing { dir: dir.to_owned() });
    }
    let db = files.connect(Access::Read).map_err(OpenError::at(&files.database))?;
    Ok((files.schema(&db)?, super::open::known()))
}

/// Whether the process that last opened the store in `dir` for writing still lives. For people to read: a number of a
/// process that is gone may have been given to another.
pub fn is_worked_on(dir: &Path) -> bool {
    worked_on_by(dir).is_some()
}

/// Whether a process lives. One that has ended and that nobody has asked about is there, and does not.
fn lives(pid: u32) -> bool {
    let said = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    // After the name in brackets, which may hold anything.
    said.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Returns that process.
pub fn worked_on_by(dir: &Path) -> Option<u32> {
    let said = std::fs::read_to_string(dir.join("retake.lock")).ok()?;
    said.trim().parse::<u32>().ok().filter(|pid| lives(*pid))
}

/// Copies the store in `dir` to `to`, which must not exist, as it is at one instant. Others may write meanwhile: what
/// they commit after that instant is not in the copy. The copy is durable when this returns.
pub fn backup(dir: &Path, to: &Path) -> Result<(), OpenError> {
    let files = Files::of(dir);
    if !files.database.exists() {
        return Err(OpenError::Missing { dir: dir.to_owned() });
    }
    if to.exists() {
        let there = io::Error::new(io::ErrorKind::AlreadyExists, "it exists already");
        return Err(OpenError::at(to)(there));
    }
    let db = files.connect(Access::Read).map_err(OpenError::at(&files.database))?;
    match files.check_schema(&db) {
        // It is copied as it is, so that it can be gone back to after it was migrated.
        Err(OpenError::Older { .. }) => {}
        known => known?,
    }
    if let Some(parent) = to.parent().filter(|it| !it.as_os_str().is_empty()) {
        blobs::make_dir(parent).map_err(OpenError::at(parent))?;
    }
    // Ours alone, so that it may be removed.
    fs::DirBuilder::new().mode(0o700).create(to).map_err(OpenError::at(to))?;
    let made = copy(&db, &files, to);
    if made.is_err() {
        // What is half a copy looks like a store.
        if let Err(error) = fs::remove_dir_all(to) {
            tracing::warn!(dir = %to.display(), %error, "what was copied so far could not be removed");
        }
    }
    made
}

fn copy(db: &Connection, files: &Files, to: &Path) -> Result<(), OpenError> {
    let copy = Files::of(to);
    let path = copy.database.to_string_lossy().into_owned();
    db.execute("VACUUM INTO ?1", [path]).map_err(OpenError::at(&copy.database))?;
    let copied = Connection::open(&copy.database).map_err(OpenError::at(&copy.database))?;
    // Files never change, and those that a row speaks of were there before the row.
    let kept = Blobs::open_read_only(files.blobs.clone());
    let into = Blobs::open(copy.blobs.clone()).map_err(OpenError::at(&copy.blobs))?;
    let named = named_files(&copied).map_err(OpenError::at(&copy.database))?;
    for (digest, bytes) in named {
        let found = kept.get(digest, bytes).map_err(OpenError::at(&files.blobs))?;
        into.put(&found).map_err(OpenError::at(&copy.blobs))?;
    }
    drop(copied);
    let sync = || {
        fs::File::open(&copy.database)?.sync_all()?;
        blobs::sync_dir(to)?;
        blobs::sync_name(to)
    };
    sync().map_err(OpenError::at(to))
}

/// Reads everything in `dir` and checks it: the structure of the database, the rules that rows must keep, and every
/// file that a row speaks of.
pub fn check(dir: &Path) -> Result<Checked, OpenError> {
    let files = Files::of(dir);
    if !files.database.exists() {
        return Err(OpenError::Missing { dir: dir.to_owned() });
    }
    let db = files.connect(Access::Read).map_err(OpenError::at(&files.database))?;
    files.check_schema(&db)?;
    let mut checked = Checked::default();
    let look = |db: &Connection, checked: &mut Checked| -> rusqlite::Result<()> {
        structure(db, checked)?;
        rules(db, checked)?;
        rows(db, checked)
    };
    if let Err(error) = look(&db, &mut checked) {
        checked.wrong(format!("the database cannot be read: {error}"));
    }
    let kept = Blobs::open_read_only(files.blobs.clone());
    match named_files(&db) {
        Ok(named) => {
            for (digest, bytes) in named {
                checked.files += 1;
                if let Err(error) = kept.get(digest, bytes) {
                    checked.wrong(format!("the file {digest}: {error}"));
                }
            }
        }
        Err(error) => checked.wrong(format!("the list of files cannot be read: {error}")),
    }
    Ok(checked)
}

fn structure(db: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    let mut check = db.prepare(&format!("PRAGMA integrity_check({PROBLEMS})"))?;
    for problem in check.query_map([], |row| row.get::<_, String>(0))? {
        let problem = problem?;
        if problem != "ok" {
            checked.wrong(format!("structure: {problem}"));
        }
    }
    let mut check = db.prepare("PRAGMA foreign_key_check")?;
    for table in check.query_map([], |row| row.get::<_, String>(0))? {
        checked.wrong(format!("a row of `{}` speaks of another that is not there", table?));
    }
    Ok(())
}

/// What must be true of rows, as questions for those of which it is not.
const RULES: [(&str, &str); 7] = [
    (
        "is claimed by a host that was never there",
        "SELECT id FROM flow_run WHERE state IN (1, 2) AND boot > (SELECT max(boot) FROM meta)",
    ),
    ("waits without a time", "SELECT id FROM flow_run WHERE state IN (0, 9) AND (due IS NULL OR waiting IS NULL)"),
    ("has ended and no end is kept", "SELECT id FROM flow_run WHERE state IN (4, 5, 6, 7) AND ended IS NULL"),
    ("has failed and no failure is kept", "SELECT id FROM flow_run WHERE state IN (5, 6, 7) AND failure IS NULL"),
    (
        "shows a result and has not Completed",
        "SELECT id FROM flow_run WHERE state != 4 AND (result IS NOT NULL OR result_blob IS NOT NULL)",
    ),
    (
        "has a call with a result that did not succeed",
        "SELECT r.id FROM task_run t JOIN flow_run r ON r.row = t.run \
         WHERE t.state != 1 AND (t.result IS NOT NULL OR t.result_blob IS NOT NULL)",
    ),
    (
        "has a call from an attempt that never began",
        "SELECT r.id FROM task_run t JOIN flow_run r ON r.row = t.run WHERE t.flow_attempt > r.attempt",
    ),
];

fn rules(db: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    for (broken, question) in RULES {
        let mut question = db.prepare(question)?;
        for id in question.query_map([], |row| row.get(0))? {
            let id = retake_core::id::FlowRunId::from_bytes(id?);
            checked.wrong(format!("run {id} {broken}"));
        }
    }
    Ok(())
}

/// Reads each row as the host would.
fn rows(db: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    let mut runs = db.prepare(&format!("SELECT {RECORD} FROM flow_run"))?;
    let mut runs = runs.query([])?;
    while let Some(row) = runs.next()? {
        checked.runs += 1;
        if let Err(error) = Columns::after(0, row).record() {
            checked.wrong(format!("a run cannot be read: {error}"));
        }
    }
    let mut tasks = db.prepare(&format!("SELECT {TASK} FROM task_run"))?;
    let mut tasks = tasks.query([])?;
    while let Some(row) = tasks.next()? {
        checked.tasks += 1;
        if let Err(error) = Columns::after(0, row).task() {
            checked.wrong(format!("a call cannot be read: {error}"));
        }
    }
    rows_beside(db, checked)
}

/// Reads what is kept beside runs.
fn rows_beside(db: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    let mut read = |what: &str, question: &str, read: fn(Columns<'_>) -> rusqlite::Result<()>| {
        let mut rows = db.prepare(question)?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            if let Err(error) = read(Columns::after(0, row)) {
                checked.wrong(format!("{what} cannot be read: {error}"));
            }
        }
        Ok::<_, rusqlite::Error>(())
    };
    let definitions = format!("SELECT {DEFINITION} FROM definition");
    // Of whatever kind: the columns are the same.
    read("a definition", &definitions, |mut it| it.definition(kind::DEPLOYMENT).map(drop))?;
    read("an entry of the audit log", &format!("SELECT {AUDIT} FROM audit"), |mut it| it.audit().map(drop))?;
    let notices = format!("SELECT {NOTICE} FROM notice n JOIN flow_run r ON r.row = n.run");
    read("a notice", &notices, |mut it| it.notice().map(drop))?;
    read("a delivery", &format!("SELECT {DELIVERY} FROM delivery"), |mut it| it.delivery().map(drop))
}

/// Returns every file that a row speaks of, with its length.
fn named_files(db: &Connection) -> rusqlite::Result<BTreeSet<(ContentDigest, u64)>> {
    // A copy is taken of what an older program left as it is, and that one removed no file of a component whose row
    // it kept.
    let is_known = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('component') WHERE name = 'removed')";
    let kept = if db.query_row(is_known, [], |row| row.get(0))? { "removed IS NULL" } else { "TRUE" };
    let mut named = db.prepare(&format!(
        "SELECT digest, bytes FROM component WHERE {kept} UNION SELECT parameters_blob, parameters_bytes FROM flow_run \
         WHERE parameters_blob IS NOT NULL UNION SELECT result_blob, result_bytes FROM flow_run \
         WHERE result_blob IS NOT NULL UNION SELECT input_blob, input_bytes FROM task_run \
         WHERE input_blob IS NOT NULL UNION SELECT result_blob, result_bytes FROM task_run \
         WHERE result_blob IS NOT NULL",
    ))?;
    let named = named
        .query_map([], |row| Ok((ContentDigest::from_bytes(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned())))?;
    named.collect()
}
