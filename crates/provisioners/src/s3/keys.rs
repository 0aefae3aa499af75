//! Access keys: which there are, and to which bucket each leads.
//!
//! They are kept sealed in the data directory, so that workloads that outlive the platform are
//! served as soon as it is back, before any reconciler has run.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use chacha20poly1305::{
    AeadCore, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, OsRng, Payload},
};
use kernel::{Error, ErrorKind, Secret};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::atomic_file;

/// Binds what is sealed to its purpose.
const PURPOSE: &[u8] = b"towpath s3 access keys 1";
const NONCE: usize = 24;

/// All access keys of one server.
pub(super) struct KeyRing {
    path: PathBuf,
    cipher: XChaCha20Poly1305,
    keys: RwLock<BTreeMap<String, Arc<AccessKey>>>,
    /// Held from a change in memory to its being on the disk.
    changing: tokio::sync::Mutex<()>,
}

/// What an access key is good for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AccessKey {
    /// The secret access key. It is written to a sealed file only.
    pub(super) secret: String,
    pub(super) bucket: String,
    pub(super) instance: Uuid,
    pub(super) rotation: u32,
}

impl KeyRing {
    /// Opens the sealed file at `path` with `key`; there is none the first time.
    pub(super) fn open(path: &Path, key: &Secret) -> Result<Self, Error> {
        let derived = key.derive("towpath s3 access keys", 32);
        let cipher = XChaCha20Poly1305::new_from_slice(derived.expose())
            .map_err(|error| Error::internal("the key for S3 access keys", error.to_string()))?;
        let keys =
            match std::fs::read(path) {
                Ok(sealed) => unseal(&cipher, &sealed).ok_or_else(|| {
                    Error::new(
                    ErrorKind::Conflict,
                    format!("{} was sealed with another key, or is damaged", path.display()),
                )
                .remedy(
                    "start the platform with the key of this data directory; if that is lost, move \
                     the file away: the access keys come back as resources are reconciled",
                )
                })?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
                Err(error) => {
                    return Err(Error::unavailable(format!(
                        "cannot read the S3 access keys in {}: {error}",
                        path.display()
                    )));
                }
            };
        Ok(Self {
            path: path.to_owned(),
            cipher,
            keys: RwLock::new(keys),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// The key of that id.
    pub(super) fn get(&self, id: &str) -> Option<Arc<AccessKey>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(id).cloned()
    }

    /// Makes `id` good for what `key` says.
    pub(super) async fn grant(&self, id: String, key: AccessKey) -> io::Result<()> {
        if self.get(&id).is_some_and(|present| *present == key) {
            return Ok(());
        }
        self.change(|keys| {
            keys.insert(id, Arc::new(key));
        })
        .await
    }

    /// Ends the instance's keys of rotations before `before`; `u32::MAX` ends them all.
    pub(super) async fn end(&self, instance: Uuid, before: u32) -> io::Result<()> {
        self.change(|keys| {
            keys.retain(|_, key| key.instance != instance || key.rotation >= before);
        })
        .await
    }

    /// Changes the disk first, then what is served: what was granted is never forgotten.
    async fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Arc<AccessKey>>),
    ) -> io::Result<()> {
        let _one_at_a_time = self.changing.lock().await;
        let mut keys = self
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        change(&mut keys);
        let sealed = self.seal(&keys)?;
        atomic_file::write(&self.path, &sealed, 0o600).await?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn seal(&self, keys: &BTreeMap<String, Arc<AccessKey>>) -> io::Result<Vec<u8>> {
        let plain: BTreeMap<&String, &AccessKey> =
            keys.iter().map(|(id, key)| (id, key.as_ref())).collect();
        let text = serde_json::to_vec(&plain)?;
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let payload = Payload {
            msg: &text,
            aad: PURPOSE,
        };
        let sealed = self
            .cipher
            .encrypt(&nonce, payload)
            .map_err(|_| io::Error::other("cannot seal the access keys"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }
}

fn unseal(cipher: &XChaCha20Poly1305, sealed: &[u8]) -> Option<BTreeMap<String, Arc<AccessKey>>> {
    let (nonce, msg) = sealed.split_at_checked(NONCE)?;
    let payload = Payload { msg, aad: PURPOSE };
    let text = cipher.decrypt(XNonce::from_slice(nonce), payload).ok()?;
    let plain: BTreeMap<String, AccessKey> = serde_json::from_slice(&text).ok()?;
    Some(
        plain
            .into_iter()
            .map(|(id, key)| (id, Arc::new(key)))
            .collect(),
    )
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
