//! Compiled code that outlives the process, so that a second start compiles nothing.
//!
//! Loading compiled code is as dangerous as running it, so a file is loaded only when this node made it: its name is
//! a keyed digest of its content, of the component it was made from and of the compiler's settings (T41). The key is
//! in the same directory, which only the owner may enter.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, Mac};
use retake_core::id::ContentDigest;
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

const KEY_BYTES: usize = 32;
/// Most bytes of compiled code that are kept: of some thirty interpreters, or thousands of components in Rust.
const MOST_BYTES: u64 = 1 << 30;

/// A directory of compiled code. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cache {
    dir: PathBuf,
    key: Arc<[u8; KEY_BYTES]>,
}

impl Cache {
    /// Opens the cache, making the directory and its key when they are not there.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let path = dir.join("key");
        let fresh: [u8; KEY_BYTES] = rand::random();
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => file.write_all(&fresh)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let mut key = [0; KEY_BYTES];
        // Not what a link leads to: whoever made the link could know what is there.
        let no_link = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        let read = fs::OpenOptions::new().read(true).custom_flags(no_link).open(&path)?.read_exact(&mut key);
        if read.is_err() {
            // Cut short by a crash: nothing that it authenticated is worth keeping.
            fs::OpenOptions::new().write(true).truncate(true).custom_flags(no_link).open(&path)?.write_all(&fresh)?;
            key = fresh;
        }
        Ok(Self { dir: dir.to_owned(), key: Arc::new(key) })
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the compiled component, or `None` when it must be compiled.
    pub(crate) fn load(&self, engine: &Engine, digest: ContentDigest) -> Option<Component> {
        let prefix = self.prefix(engine, digest);
        let path = fs::read_dir(&self.dir)
            .ok()?
            .flatten()
            .map(|it| it.path())
            .find(|it| it.file_name().and_then(|it| it.to_str()).is_some_and(|it| it.starts_with(&prefix)))?;
        let code = fs::read(&path).ok()?;
        if path.file_name()?.to_str()? != self.name(&prefix, &code) {
            tracing::warn!(path = %path.display(), "compiled code is not what was kept; it is made again");
            let _ = fs::remove_file(&path);
            return None;
        }
        match open(engine, &path) {
            Ok(component) => {
                touch(&path);
                Some(component)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code does not load; it is made again");
                None
            }
        }
    }

    /// Keeps a compiled component.
    pub(crate) fn keep(&self, engine: &Engine, digest: ContentDigest, component: &Component) -> io::Result<()> {
        let code = component.serialize().map_err(|it| io::Error::other(format!("{it:#}")))?;
        let path = self.dir.join(self.name(&self.prefix(engine, digest), &code));
        let temporary = path.with_extension(format!("{}.tmp", rand::random::<u64>()));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&code)?;
        drop(file);
        fs::rename(temporary, path)?;
        if let Err(error) = self.shrink(MOST_BYTES) {
            tracing::warn!(%error, "compiled code could not be tidied away");
        }
        Ok(())
    }

    /// Removes what was compiled of a component.
    pub(crate) fn forget(&self, digest: ContentDigest) {
        let prefix = format!("{digest}-");
        let is_of = |it: &fs::DirEntry| it.file_name().to_str().is_some_and(|it| it.starts_with(&prefix));
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten().filter(is_of) {
            let _ = fs::remove_file(entry.path());
        }
    }

    /// Removes the files that were used longest ago until those that are left have `most` bytes together. One that is
    /// mapped stays readable until it is not any more; what is needed again is compiled again.
    fn shrink(&self, most: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let path = entry.path();
            // One that somebody writes at this moment is not theirs to lose.
            let is_ours = entry.file_name() != "key" && path.extension().is_none_or(|it| it != "tmp");
            // What is gone meanwhile is not in the way.
            if let (true, Ok(about)) = (is_ours, entry.metadata()) {
                files.push((about.modified()?, about.len(), path));
            }
        }
        files.sort_unstable();
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        // What was made just now is needed.
        files.pop();
        for (_, length, path) in files {
            if bytes <= most {
                break;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => bytes -= length,
            }
        }
        Ok(())
    }

    /// Says for which component and for which compiler a file was made.
    fn prefix(&self, engine: &Engine, digest: ContentDigest) -> String {
        use std::hash::{Hash, Hasher};
        // Not a promise to anybody: another hasher in another release only costs one more compilation.
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        format!("{digest}-{:016x}-", hasher.finish())
    }

    fn name(&self, prefix: &str, code: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("any length of key will do");
        mac.update(prefix.as_bytes());
        mac.update(code);
        let mac: [u8; 32] = mac.finalize().into_bytes().into();
        format!("{prefix}{}", ContentDigest::from_bytes(mac))
    }
}

/// Notes that a file was used now: those that were used longest ago go first.
#[allow(clippy::disallowed_methods, reason = "the times of files are compared with each other, and with nothing else")]
fn touch(path: &Path) {
    let used = fs::File::options().append(true).open(path);
    let _ = used.and_then(|it| it.set_modified(std::time::SystemTime::now()));
}

/// Maps compiled code into memory.
#[allow(unsafe_code, clippy::disallowed_methods, reason = "the one place that loads compiled code, see below")]
fn open(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by this node and has not changed since: its name is an HMAC over its content under
    // a key that only the owner of this directory can read, and nobody else may write to the directory.
    unsafe { Component::deserialize_file(engine, path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::new(&crate::engine::config(4)).unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let component = Component::new(&engine, b"\0asm\x0d\0\x01\0").unwrap();
        let digests = [b"a", b"b", b"c"].map(|it| ContentDigest::of(it));
        for digest in digests {
            cache.keep(&engine, digest, &component).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let is_there = |it: ContentDigest| {
            fs::read_dir(dir.path())
                .unwrap()
                .flatten()
                .any(|file| file.file_name().to_str().unwrap().starts_with(&it.to_string()))
        };
        assert!(cache.load(&engine, digests[0]).is_some());
        let one = component.serialize().unwrap().len() as u64;
        cache.shrink(2 * one).unwrap();
        assert_eq!(digests.map(is_there), [true, false, true], "the first was used since");
        cache.shrink(0).unwrap();
        assert_eq!(digests.map(is_there), [true, false, false], "what was used last stays");
        cache.forget(digests[0]);
        assert!(!is_there(digests[0]));
        assert!(dir.path().join("key").exists());
    }

    #[test]
    fn code_that_was_changed_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::new(&crate::engine::config(4)).unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let digest = ContentDigest::of(b"c");
        assert!(cache.load(&engine, digest).is_none());
        cache.keep(&engine, digest, &Component::new(&engine, b"\0asm\x0d\0\x01\0").unwrap()).unwrap();
        assert!(Cache::open(dir.path()).unwrap().load(&engine, digest).is_some(), "the key is kept too");
        assert!(cache.load(&engine, ContentDigest::of(b"d")).is_none());

        let path = fs::read_dir(dir.path()).unwrap().flatten().map(|it| it.path());
        let path = path.into_iter().find(|it| !it.ends_with("key")).unwrap();
        let code = fs::read(&path).unwrap();
        for at in [0, code.len() / 3, code.len() / 2, code.len() - 1] {
            let mut changed = code.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            assert!(cache.load(&engine, digest).is_none(), "byte {at} was changed");
            assert!(!path.exists(), "and it is out of the way");
        }
    }
}
