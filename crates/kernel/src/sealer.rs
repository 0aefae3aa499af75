//! Envelope encryption: each secret has its own data key, sealed by the platform's key.
//!
//! A sealed secret is a byte string: one byte of version, the data key sealed by the platform's key
//! (24 bytes of nonce, then ciphertext and tag), the secret sealed by the data key (the same).
//! Both are XChaCha20-Poly1305, whose nonces are long enough to be drawn at random, and both are
//! bound to version, owner and name: what is moved to another place does not open there. Another
//! platform key needs only the data keys sealed anew.

use std::{fmt, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use rand::{TryRngCore as _, rngs::OsRng};
use uuid::Uuid;

use crate::{Error, Result, Secret, private_file};

/// The first byte of what this version seals.
const VERSION: u8 = 1;
const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;
/// A data key, sealed.
const ENVELOPE: usize = NONCE + KEY + TAG;

/// Seals and opens secrets with the platform's key.
#[derive(Clone)]
pub struct Sealer {
    key: Secret,
}

impl Sealer {
    /// With a key that is drawn now, and lost with the value: for tests.
    pub fn generate() -> Result<Self> {
        Ok(Self {
            key: Secret::new(random::<KEY>()?),
        })
    }

    /// With the key in the environment variable `TOWPATH_KEY`: 32 bytes in base64. None where it is
    /// not set.
    pub fn from_env() -> Result<Option<Self>> {
        match std::env::var("TOWPATH_KEY") {
            Ok(text) => Self::from_base64(&text, "TOWPATH_KEY").map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(malformed("TOWPATH_KEY")),
        }
    }

    /// With the key in the file `path`; draws one, and writes it readable for its owner alone, where
    /// there is none. Who has the file and the store has the secrets; who loses it has lost them.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = private_file::read_or_create(path, "platform's key", || {
            Ok(STANDARD.encode(Self::generate()?.key.expose()))
        })?;
        let text = text.expose_str().unwrap_or_default();
        Self::from_base64(text, &path.display().to_string())
    }

    fn from_base64(text: &str, place: &str) -> Result<Self> {
        let key = STANDARD.decode(text.trim()).map_err(|_| malformed(place))?;
        if key.len() != KEY {
            return Err(malformed(place));
        }
        Ok(Self {
            key: Secret::new(key),
        })
    }

    /// Seals `secret` for its place: the secret `name` of `owner`.
    pub fn seal(&self, owner: Uuid, name: &str, secret: &Secret) -> Result<Vec<u8>> {
        let place = place(owner, name);
        let data_key = Secret::new(random::<KEY>()?);
        let mut sealed = vec![VERSION];
        sealed.extend(encrypt(&self.key, &place, data_key.expose())?);
        sealed.extend(encrypt(&data_key, &place, secret.expose())?);
        Ok(sealed)
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, owner: Uuid, name: &str, sealed: &[u8]) -> Result<Secret> {
        let place = place(owner, name);
        let closed = |why: &'static str| {
            Error::internal(
                "a secret could not be opened",
                format!("{why}: secret `{name}` of {owner}"),
            )
        };
        let Some((&VERSION, rest)) = sealed.split_first() else {
            return Err(closed("sealed by another version"));
        };
        let (envelope, body) = rest
            .split_at_checked(ENVELOPE)
            .ok_or_else(|| closed("it is cut off"))?;
        let data_key = decrypt(&self.key, &place, envelope)
            .ok_or_else(|| closed("sealed by another key, or altered"))?;
        decrypt(&data_key, &place, body).ok_or_else(|| closed("it was altered"))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

fn malformed(place: &str) -> Error {
    Error::invalid(format!("the platform's key in {place} is not 32 bytes in base64"))
        .remedy("restore the key that the store was sealed with; for a new store: head -c 32 /dev/urandom | base64")
}

fn place(owner: Uuid, name: &str) -> Vec<u8> {
    let mut place = vec![VERSION];
    place.extend(owner.as_bytes());
    place.extend(name.as_bytes());
    place
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| Error::internal("the system gave no random bytes", error))?;
    Ok(bytes)
}

fn cipher(key: &Secret) -> Option<XChaCha20Poly1305> {
    XChaCha20Poly1305::new_from_slice(key.expose()).ok()
}

fn encrypt(key: &Secret, place: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let nonce = random::<NONCE>()?;
    let payload = Payload {
        msg: plain,
        aad: place,
    };
    let sealed = cipher(key)
        .and_then(|cipher| cipher.encrypt(XNonce::from_slice(&nonce), payload).ok())
        .ok_or_else(|| Error::internal("a secret could not be sealed", "too large"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn decrypt(key: &Secret, place: &[u8], sealed: &[u8]) -> Option<Secret> {
    let (nonce, msg) = sealed.split_at_checked(NONCE)?;
    let payload = Payload { msg, aad: place };
    cipher(key)?
        .decrypt(XNonce::from_slice(nonce), payload)
        .ok()
        .map(Secret::new)
}
