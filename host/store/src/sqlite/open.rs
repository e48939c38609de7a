//! Opening a directory: the lock, the settings of a connection, the schema.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use crate::blobs::{make_dir, sync_dir};

/// Versions before this one may corrupt a database when its write-ahead log begins anew.
const _: () = assert!(rusqlite::ffi::SQLITE_VERSION_NUMBER >= 3_051_003);

/// `RTKE`, by which a file is known to be ours.
const APPLICATION: i32 = 0x5254_4b45;
/// How long to wait for somebody else who holds the database, as a person with `sqlite3`.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// Databases up to this size are checked when they are opened. It takes about a millisecond per megabyte, and a large
/// database must not keep a host from starting: that is what `integrity_check` by hand is for.
const CHECKED_BYTES: u64 = 8 << 20;

/// Moved through in order, each in a transaction of its own. Never changed once released.
const MIGRATIONS: [(&str, &str); 6] = [
    ("first", include_str!("../migrations/0001_first.sql")),
    ("trees", include_str!("../migrations/0002_trees.sql")),
    ("server", include_str!("../migrations/0003_server.sql")),
    ("shares", include_str!("../migrations/0004_shares.sql")),
    ("retention", include_str!("../migrations/0005_retention.sql")),
    ("begun", include_str!("../migrations/0006_begun.sql")),
];

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another host has it open: stop that one, or talk to it.
    #[error("`{}` is in use by {}", dir.display(), pid.map_or("another process".into(), |it| format!("process {it}")))]
    Locked {
        /// Which, if it said so.
        pid: Option<u32>,
        /// The directory.
        dir: PathBuf,
    },
    /// There is no store here, and it was to be read only.
    #[error("there is no store in `{}`", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// A newer program wrote it: use that one. There is no way back.
    #[error("the store has schema {found}, this program knows {known}")]
    Newer {
        /// What was found.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// An older program wrote it, and it was to be read only: open it for writing once.
    #[error("the store has schema {found}, this program needs {known} and may not change it")]
    Older {
        /// What was found.
        found: u32,
        /// What this program needs.
        known: u32,
    },
    /// The file is a database of something else.
    #[error("`{}` is not a store of Retake", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged: restore a backup, or try `sqlite3 … .recover` on a copy.
    #[error("`{}` is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        problem: String,
    },
    /// The operating system or the database says no: permissions, space, a broken disk.
    #[error("`{}` cannot be opened", path.display())]
    Unavailable {
        /// What was to be opened.
        path: PathBuf,
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    /// Sorts an error of the operating system or the database by what can be done about it.
    pub(super) fn at<E: Into<Box<dyn std::error::Error + Send + Sync>>>(path: &Path) -> impl FnOnce(E) -> Self {
        move |error| {
            let (path, source) = (path.to_owned(), error.into());
            match source.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code) {
                Some(rusqlite::ErrorCode::NotADatabase) => Self::Foreign { path },
                Some(rusqlite::ErrorCode::DatabaseCorrupt) => Self::Damaged { path, problem: source.to_string() },
                _ => Self::Unavailable { path, source },
            }
        }
    }
}

/// The right to write to a store.
pub(super) struct Lock(File);

impl Drop for Lock {
    /// To close the file would not do: a process that is just being started may hold a copy of it for a moment.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the lock of the store could not be given back");
        }
    }
}

/// The files of a store.
pub(super) struct Files {
    pub(super) dir: PathBuf,
    pub(super) database: PathBuf,
    pub(super) log: PathBuf,
    pub(super) blobs: PathBuf,
}

/// Reads the file, and nothing else.
const LOOK: &str = "PRAGMA schema_version";

/// Whether something is left half done that who only reads may not undo.
fn was_cut_short(db: &Connection) -> bool {
    match db.query_one(LOOK, [], |row| row.get::<_, i64>(0)) {
        Err(rusqlite::Error::SqliteFailure(error, _)) => {
            [ffi::SQLITE_READONLY_ROLLBACK, ffi::SQLITE_READONLY_RECOVERY].contains(&error.extended_code)
        }
        _ => false,
    }
}

impl Files {
    pub(super) fn of(dir: &Path) -> Self {
        let at = |name| dir.join(name);
        Self { dir: dir.to_owned(), database: at("retake.db"), log: at("retake.db-wal"), blobs: at("blobs") }
    }

    /// Makes the directory and the database, both for their owner only, and takes the lock.
    pub(super) fn make_and_lock(&self) -> Result<Lock, OpenError> {
        make_dir(&self.dir).map_err(OpenError::at(&self.dir))?;
        let lock = self.lock()?;
        // SQLite would ask the umask, and gives the log the same rights as the database.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.database);
        match made.and_then(|_| sync_dir(&self.dir)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(OpenError::at(&self.database)(error)),
            _ => Ok(lock),
        }
    }

    /// Takes the lock, which the operating system gives back when the process ends in whatever way (F15).
    fn lock(&self) -> Result<Lock, OpenError> {
        let path = self.dir.join("retake.lock");
        let bad = |error: io::Error| OpenError::at(&path)(error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        // Not what a link leads to: the number of this process would be written there.
        options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
        let mut file = options.open(&path).map_err(bad)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Best effort: it is for people.
                let _ = file.take(32).read_to_string(&mut pid);
                return Err(OpenError::Locked { pid: pid.trim().parse().ok(), dir: self.dir.clone() });
            }
            Err(TryLockError::Error(error)) => return Err(bad(error)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(bad)?;
        Ok(Lock(file))
    }

    /// Opens a connection with the settings of safety.md.
    pub(super) fn connect(&self, access: Access) -> rusqlite::Result<Connection> {
        let flags = match access {
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let db = Connection::open_with_flags(&self.database, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.busy_timeout(BUSY)?;
        db.set_prepared_statement_cache_capacity(64);
        // A plan depends on the statement alone: with statistics compiled in, SQLite would plan again for each value
        // that is bound, which cost the writer a twentieth of its time.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        db.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;",
        )?;
        if access == Access::Read && was_cut_short(&db) {
            self.undo()?;
        }
        if access == Access::Write {
            let mode: String = db.query_one("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            assert_eq!(mode, "wal", "a database in a file can have a write-ahead log");
            // `wal_autocheckpoint` is the writer's own affair. The cache is for indexes that are written all over.
            db.execute_batch(
                "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 0; \
                 PRAGMA cache_size = -32768;",
            )?;
        }
        Ok(db)
    }

    /// Has SQLite undo what a host that died has left half done outside of the log, as when it turned a copy into a
    /// database with one: only who may write can. Its locks keep it from undoing what somebody is about to do.
    fn undo(&self) -> rusqlite::Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.database, flags)?;
        db.busy_timeout(BUSY)?;
        db.query_one(LOOK, [], |row| row.get::<_, i64>(0)).map(drop)
    }

    /// Brings the schema to the newest version, each step with its version in one transaction.
    pub(super) fn migrate(&self, db: &mut Connection) -> Result<(), OpenError> {
        let known = known();
        let found = self.schema(db)?;
        if found > known {
            return Err(OpenError::Newer { found, known });
        }
        let bad = |error: rusqlite::Error| OpenError::at(&self.database)(error);
        for (version, (name, sql)) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
            let change = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(bad)?;
            if version == 1 {
                change
                    .execute_batch(&format!(
                        "PRAGMA application_id = {APPLICATION}; CREATE TABLE migration (version INTEGER PRIMARY KEY, \
                         name TEXT NOT NULL, made_by TEXT NOT NULL) STRICT;"
                    ))
                    .map_err(bad)?;
            }
            change.execute_batch(sql).map_err(bad)?;
            change
                .execute(
                    "INSERT INTO migration (version, name, made_by) VALUES (?1, ?2, ?3)",
                    (version, name, env!("CARGO_PKG_VERSION")),
                )
                .map_err(bad)?;
            change.commit().map_err(bad)?;
            tracing::info!(version, name, "the schema was brought forward");
        }
        Ok(())
    }

    /// Refuses a schema that is not exactly the one that this program knows.
    pub(super) fn check_schema(&self, db: &Connection) -> Result<(), OpenError> {
        let known = known();
        match self.schema(db)? {
            0 => Err(OpenError::Missing { dir: self.dir.clone() }),
            found if found > known => Err(OpenError::Newer { found, known }),
            found if found < known => Err(OpenError::Older { found, known }),
            _ => Ok(()),
        }
    }

    /// Returns the version of the schema, 0 for a database with nothing in it.
    pub(super) fn schema(&self, db: &Connection) -> Result<u32, OpenError> {
        let bad = |error: rusqlite::Error| OpenError::at(&self.database)(error);
        let application: i32 = db.query_one("PRAGMA application_id", [], |row| row.get(0)).map_err(bad)?;
        let tables: u32 = db.query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(bad)?;
        match (application, tables) {
            (0, 0) => Ok(0),
            (APPLICATION, _) => db.query_one("SELECT max(version) FROM migration", [], |row| row.get(0)).map_err(bad),
            _ => Err(OpenError::Foreign { path: self.database.clone() }),
        }
    }

    /// Looks for damage, when that is quick.
    pub(super) fn quick_check(&self, db: &Connection) -> Result<(), OpenError> {
        let size = std::fs::metadata(&self.database).map_err(OpenError::at(&self.database))?.len();
        if size > CHECKED_BYTES {
            return Ok(());
        }
        let problem: String =
            db.query_one("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(OpenError::at(&self.database))?;
        match problem.as_str() {
            "ok" => Ok(()),
            _ => Err(OpenError::Damaged { path: self.database.clone(), problem }),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

pub(super) fn known() -> u32 {
    MIGRATIONS.len() as u32
}

/// Counts this opening, durably, and returns its number.
pub(super) fn next_boot(db: &Connection) -> rusqlite::Result<u64> {
    db.query_one("UPDATE meta SET boot = boot + 1 RETURNING boot", [], |row| row.get(0)).map(i64::cast_unsigned)
}

pub(super) fn present_boot(db: &Connection) -> rusqlite::Result<u64> {
    db.query_one("SELECT boot FROM meta", [], |row| row.get(0)).map(i64::cast_unsigned)
}
