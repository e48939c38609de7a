//! Secrets, sealed where they are kept.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use retake_core::id::ContentDigest;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Why a secret could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file cannot be read or written.
    #[error("the key file `{}` cannot be used", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// Others can read the file.
    #[error("the key file `{}` can be read by others", .0.display())]
    Open(PathBuf),
    /// It does not hold a key.
    #[error("the key file `{}` does not hold {KEY_BYTES} bytes in base64", .0.display())]
    NoKey(PathBuf),
    /// It was sealed with another key.
    #[error("it was sealed with another key than that of `{}`", .0.display())]
    OtherKey(PathBuf),
    /// What is kept is not what was sealed.
    #[error("what is kept is damaged")]
    Damaged,
}

impl VaultError {
    /// What a person does about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::File(..) | Self::NoKey(_) => {
                "`retake server --key-file FILE` names it; `openssl rand -base64 32` makes one"
            }
            Self::Open(_) => "`chmod 600` it",
            Self::OtherKey(_) | Self::Damaged => "bring the key back, or set the secret again",
        }
    }
}

/// What is kept of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    /// Nonce and ciphertext (ChaCha20-Poly1305), in base64; the name is authenticated with it.
    sealed: String,
    /// The beginning of the SHA-256 of the key.
    key: String,
}

/// What seals secrets: a key in a file, which is made when the first secret is.
#[derive(Debug)]
pub struct Vault {
    file: PathBuf,
    /// Held while the engine is told what is opened.
    pub(crate) telling: tokio::sync::Mutex<()>,
}

struct Key {
    key: LessSafeKey,
    id: String,
}

impl Vault {
    /// The key is in this file.
    pub fn new(file: PathBuf) -> Self {
        Self { file, telling: tokio::sync::Mutex::default() }
    }

    fn key(&self) -> Result<Key, VaultError> {
        let failed = |error| VaultError::File(self.file.clone(), error);
        let text = std::fs::read_to_string(&self.file).map_err(failed)?;
        let mode = std::fs::metadata(&self.file).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(VaultError::Open(self.file.clone()));
        }
        let bytes = STANDARD.decode(text.trim()).unwrap_or_default();
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| VaultError::NoKey(self.file.clone()))?;
        let id = ContentDigest::of(&bytes).to_string()[..16].to_owned();
        Ok(Key { key: LessSafeKey::new(key), id })
    }

    /// Makes the key where there is none, durably: what is sealed with it must not outlive it.
    fn key_or_new(&self) -> Result<Key, VaultError> {
        if !self.file.exists() {
            let failed = |error| VaultError::File(self.file.clone(), error);
            let mut bytes = [0; KEY_BYTES];
            SystemRandom::new().fill(&mut bytes).map_err(|_| failed(std::io::Error::other("no randomness")))?;
            write_new(&self.file, STANDARD.encode(bytes).as_bytes()).map_err(failed)?;
        }
        self.key()
    }

    pub(crate) fn seal(&self, name: &str, secret: &str) -> Result<Sealed, VaultError> {
        let Key { key, id } = self.key_or_new()?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| VaultError::Damaged)?;
        let mut bytes = secret.as_bytes().to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name.as_bytes()), &mut bytes)
            .map_err(|_| VaultError::Damaged)?;
        Ok(Sealed { sealed: STANDARD.encode([&nonce[..], &bytes].concat()), key: id })
    }

    pub(crate) fn open(&self, name: &str, sealed: &Sealed) -> Result<Arc<str>, VaultError> {
        let Key { key, id } = self.key()?;
        if id != sealed.key {
            return Err(VaultError::OtherKey(self.file.clone()));
        }
        let mut bytes = STANDARD.decode(&sealed.sealed).map_err(|_| VaultError::Damaged)?;
        let (nonce, rest) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(VaultError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Damaged)?;
        let opened = key.open_in_place(nonce, Aad::from(name.as_bytes()), rest).map_err(|_| VaultError::Damaged)?;
        Ok(std::str::from_utf8(opened).map_err(|_| VaultError::Damaged)?.into())
    }
}

fn write_new(file: &Path, text: &[u8]) -> std::io::Result<()> {
    let parent = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    // Under another name first: a key that was half written would be taken for one.
    let partial = file.with_extension("partial");
    let _ = std::fs::remove_file(&partial);
    let mut opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    opened.write_all(text)?;
    opened.sync_all()?;
    match std::fs::hard_link(&partial, file) {
        // Somebody was faster: that one counts.
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::remove_file(&partial)?;
    std::fs::File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "this module is nothing but tests")]
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_with_the_same_key_and_name_alone() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::new(dir.path().join("sub/secret.key"));
        assert!(matches!(vault.key(), Err(VaultError::File(..))));
        let sealed = vault.seal("token", "hunter22").unwrap();
        assert!(!sealed.sealed.contains("hunter22"));
        assert_ne!(vault.seal("token", "hunter22").unwrap(), sealed, "each has a nonce of its own");
        assert_eq!(&*vault.open("token", &sealed).unwrap(), "hunter22");
        assert!(matches!(vault.open("other", &sealed), Err(VaultError::Damaged)));
        for cut in [0, 8, sealed.sealed.len() - 4] {
            let damaged = Sealed { sealed: sealed.sealed[..cut].to_owned(), ..sealed.clone() };
            assert!(matches!(vault.open("token", &damaged), Err(VaultError::Damaged)), "{cut}");
        }
        let other = Vault::new(dir.path().join("other.key"));
        other.seal("token", "x").unwrap();
        assert!(matches!(other.open("token", &sealed), Err(VaultError::OtherKey(_))));
    }

    #[test]
    fn a_key_file_that_cannot_be_trusted_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret.key");
        let vault = Vault::new(file.clone());
        vault.seal("token", "x").unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(vault.seal("token", "x"), Err(VaultError::Open(_))));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&file, "c2hvcnQ=").unwrap();
        assert!(matches!(vault.seal("token", "x"), Err(VaultError::NoKey(_))));
    }
}
