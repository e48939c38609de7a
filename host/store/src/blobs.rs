//! Large values and components as files, each named by the SHA-256 of what is in it.
//!
//! A file is complete and durable under its name before a row may speak of it (F06): temporary file, fsync, rename,
//! fsync of the directory. So a row never lacks its file; a file may lack its row, and costs nothing but space. What is
//! read is checked against its name (F38). Every function here blocks: call them from a thread that may.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use retake_core::id::ContentDigest;

use crate::StoreError;

/// The directory for files that are not complete yet. They are removed when the store is opened.
const UNFINISHED: &str = "unfinished";

/// A directory of files named by their digest.
#[derive(Debug)]
pub(crate) struct Blobs {
    dir: PathBuf,
    next: AtomicU64,
    /// Which of the 256 directories are known to be durable.
    durable: Mutex<[bool; 256]>,
    /// Held for writing while a file is removed, so that nobody finds it there who relies on it.
    removing: RwLock<()>,
}

impl Blobs {
    /// Opens the directory for reading and writing, and removes what an earlier process left unfinished. Only whoever
    /// holds the store's lock may do that.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        let unfinished = dir.join(UNFINISHED);
        make_dir(&dir)?;
        make_dir(&unfinished)?;
        sync_dir(&dir)?;
        for entry in fs::read_dir(&unfinished)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(Self::open_read_only(dir))
    }

    /// Opens the directory for reading.
    pub(crate) fn open_read_only(dir: PathBuf) -> Self {
        Self { dir, next: AtomicU64::new(0), durable: Mutex::new([false; 256]), removing: RwLock::default() }
    }

    /// Keeps `bytes` and returns their digest. Durable when it returns, also when another call is just writing the same.
    pub(crate) fn put(&self, bytes: &[u8]) -> io::Result<ContentDigest> {
        let digest = ContentDigest::of(bytes);
        let path = self.path(digest);
        let parent = path.parent().expect("a blob's path has two parts");
        self.make_durable_dir(digest, parent)?;
        // What is there already is read: a damaged file heals when the same value comes again.
        let _stays = self.removing.read().unwrap_or_else(PoisonError::into_inner);
        let is_there = matches!(read(&path, bytes.len() as u64), Ok(there) if there == bytes) && touch(&path).is_ok();
        if !is_there {
            let unfinished = self.dir.join(UNFINISHED).join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
            let written = write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &path));
            if let Err(error) = written {
                // Best effort: what stays is removed at the next opening.
                let _ = fs::remove_file(&unfinished);
                return Err(error);
            }
        }
        // Also when the file was there: whoever renamed it may not have come so far yet.
        sync_dir(parent)?;
        Ok(digest)
    }

    /// Returns the bytes that are kept under `digest`, which are `bytes` long.
    pub(crate) fn get(&self, digest: ContentDigest, bytes: u64) -> Result<Vec<u8>, StoreError> {
        match read(&self.path(digest), bytes) {
            Ok(found) if found.len() as u64 == bytes && ContentDigest::of(&found) == digest => Ok(found),
            Ok(_) => Err(StoreError::Damaged(digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Damaged(digest)),
            Err(error) => Err(StoreError::Unavailable(error.into())),
        }
    }

    /// Removes a file that nobody has relied on for some time; `false` when somebody has. That no row speaks of it, the
    /// caller has found out.
    pub(crate) fn remove(&self, digest: ContentDigest, unused_for: Duration) -> io::Result<bool> {
        let _alone = self.removing.write().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(digest);
        let gone = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
        let modified = match fs::metadata(&path).and_then(|it| it.modified()) {
            Ok(modified) => modified,
            Err(error) => return gone(error).map(|()| true),
        };
        // A clock that was set back makes it look new: it is looked at again.
        if modified.elapsed().map_or(true, |it| it < unused_for) {
            return Ok(false);
        }
        fs::remove_file(&path).or_else(gone)?;
        Ok(true)
    }

    fn path(&self, digest: ContentDigest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    fn make_durable_dir(&self, digest: ContentDigest, dir: &Path) -> io::Result<()> {
        let known = |durable: &Mutex<[bool; 256]>, set: bool| {
            let mut durable = durable.lock().unwrap_or_else(|it| it.into_inner());
            let entry = &mut durable[usize::from(digest.as_bytes()[0])];
            *entry |= set;
            *entry
        };
        if !known(&self.durable, false) {
            make_dir(dir)?;
            sync_dir(&self.dir)?;
            known(&self.durable, true);
        }
        Ok(())
    }
}

/// Makes a directory that only its owner may enter, with its parents, and makes their names durable; one that is there
/// is left as it is.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    let made: Vec<&Path> = dir.ancestors().take_while(|it| !it.as_os_str().is_empty() && !it.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    made.into_iter().try_for_each(sync_name)
}

/// Makes the name of a directory durable.
pub(crate) fn sync_name(dir: &Path) -> io::Result<()> {
    let parent = dir.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match sync_dir(parent) {
        // Where names may be made and not listed, there is no way to.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Notes that somebody relies on a file.
#[allow(clippy::disallowed_methods, reason = "it is compared with nothing but times of files")]
fn touch(path: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.set_modified(SystemTime::now())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Reads a file, and one byte more than it should have at most.
fn read(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut found = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0).saturating_add(1));
    File::open(path)?.take(bytes.saturating_add(1)).read_to_end(&mut found)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path().join("blobs")).unwrap();
        (dir, blobs)
    }

    #[test]
    fn what_was_put_is_got() {
        let (_dir, blobs) = blobs();
        for bytes in [&b""[..], b"x", &[7; 100_000]] {
            let digest = blobs.put(bytes).unwrap();
            assert_eq!(blobs.put(bytes).unwrap(), digest);
            assert_eq!(blobs.get(digest, bytes.len() as u64).unwrap(), bytes);
        }
    }

    #[test]
    fn damage_is_found_and_heals_when_the_same_comes_again() {
        let (_dir, blobs) = blobs();
        let digest = blobs.put(b"value").unwrap();
        for damaged in [&b"valuf"[..], b"valu", b"value and more"] {
            fs::write(blobs.path(digest), damaged).unwrap();
            assert!(matches!(blobs.get(digest, 5), Err(StoreError::Damaged(it)) if it == digest));
        }
        blobs.put(b"value").unwrap();
        assert_eq!(blobs.get(digest, 5).unwrap(), b"value");
        fs::remove_file(blobs.path(digest)).unwrap();
        assert!(matches!(blobs.get(digest, 5), Err(StoreError::Damaged(_))));
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the times of files are the system's")]
    fn only_what_nobody_relies_on_is_removed() {
        let (_dir, blobs) = blobs();
        let digest = blobs.put(b"value").unwrap();
        let hour = Duration::from_secs(3600);
        assert!(!blobs.remove(digest, hour).unwrap(), "it was just put");
        let old = SystemTime::now() - 2 * hour;
        let age = || File::options().append(true).open(blobs.path(digest)).unwrap().set_modified(old).unwrap();
        age();
        blobs.put(b"value").unwrap();
        assert!(!blobs.remove(digest, hour).unwrap(), "it was put again");
        age();
        assert!(blobs.remove(digest, hour).unwrap());
        assert!(matches!(blobs.get(digest, 5), Err(StoreError::Damaged(_))));
        assert!(blobs.remove(digest, hour).unwrap(), "what is gone is gone");
    }

    #[test]
    fn unfinished_files_are_removed_at_the_next_opening() {
        let (dir, blobs) = blobs();
        let orphan = dir.path().join("blobs").join(UNFINISHED).join("17");
        fs::write(&orphan, b"half").unwrap();
        let digest = blobs.put(b"whole").unwrap();
        let blobs = Blobs::open(dir.path().join("blobs")).unwrap();
        assert!(!orphan.exists());
        assert_eq!(blobs.get(digest, 5).unwrap(), b"whole");
    }
}
