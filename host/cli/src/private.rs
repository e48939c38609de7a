//! Files that nobody else may read or write, and whether they are such.

use std::fs::Metadata;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::out::{Exit, Trouble};

/// What a data directory has in it that is code, or keys, or that runs are made of.
const PARTS: &[&str] =
    &["blobs", "compiled", "uploads", "retake.db", "retake.db-wal", "retake.db-shm", "retake.lock", "server.json"];
/// What only its owner may read, either.
const KEYS: &[&str] = &["compiled/key", "secret.key", "token"];

/// Writes a file that only its owner may read, instead of one that is there.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(file);
    create(file, bytes).map_err(|error| {
        let message = format!("`{}` cannot be written: {error}", file.display());
        Trouble::new(Exit::Failed, message).hint("`--data DIR` keeps everything elsewhere").into()
    })
}

/// Writes a file that is not there yet and that only its owner can read.
pub(crate) fn create(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    opened.write_all(bytes)?;
    opened.sync_all()
}

/// Checks that nobody else may write to a data directory, or read its keys: whoever may could have code run here.
pub(crate) fn check(dir: &Path) -> anyhow::Result<()> {
    // The directory itself may be named by a link; what is in it may not be one.
    let Ok(dir) = dir.canonicalize() else { return Ok(()) };
    if let Some(above) = dir.parent() {
        check_above(above)?;
    }
    check_one(&dir, 0o022)?;
    for (names, others) in [(PARTS, 0o022), (KEYS, 0o077)] {
        names.iter().try_for_each(|name| check_one(&dir.join(name), others))?;
    }
    Ok(())
}

/// Checks that only its owner may read a key, wherever it is. It may be named by a link.
pub(crate) fn check_key(file: &Path) -> anyhow::Result<()> {
    match std::fs::metadata(file) {
        Ok(about) => check_modes(file, &about, 0o077),
        Err(_) => Ok(()),
    }
}

/// Whoever may write to the directory above could put another in its place, unless only owners may take away there.
fn check_above(dir: &Path) -> anyhow::Result<()> {
    const STICKY: u32 = 0o1000;
    let Ok(about) = std::fs::metadata(dir) else { return Ok(()) };
    match about.mode() & STICKY != 0 || about.mode() & 0o002 == 0 {
        true => Ok(()),
        false => Err(open_to_others(dir, &about, 0o002).into()),
    }
}

fn check_one(path: &Path, others: u32) -> anyhow::Result<()> {
    let Ok(about) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if about.is_symlink() {
        let message = format!("`{}` is a link, and could lead anywhere", path.display());
        return Err(Trouble::new(Exit::Denied, message).hint("put there what it leads to, or remove it").into());
    }
    check_modes(path, &about, others)
}

fn check_modes(path: &Path, about: &Metadata, others: u32) -> anyhow::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    if ![own, 0].contains(&about.uid()) {
        let message =
            format!("`{}` belongs to another user ({}), who could have code run here", path.display(), about.uid());
        let hint = format!("`chown -R {own} {}`, or run this as that user", path.display());
        return Err(Trouble::new(Exit::Denied, message).hint(hint).into());
    }
    match about.mode() & others {
        0 => Ok(()),
        open => Err(open_to_others(path, about, open).into()),
    }
}

fn open_to_others(path: &Path, about: &Metadata, open: u32) -> Trouble {
    let what = if open & 0o022 != 0 { "written to" } else { "read" };
    let message = format!("`{}` can be {what} by others (mode {:o})", path.display(), about.mode() & 0o7777);
    let less = if open & 0o055 != 0 { "go-rwx" } else { "go-w" };
    Trouble::new(Exit::Denied, message).hint(format!("`chmod {less} {}`", path.display()))
}
