//! Envelope encryption: each secret has its own data key, sealed by the platform's key.
//!
//! A sealed secret is a byte string: one byte of version, the id of the platform's key (8 bytes), the data key
//! sealed by that key (24 bytes of nonce, then ciphertext and tag), the secret sealed by the data key (the
//! same). Both are XChaCha20-Poly1305, whose nonces are long enough to be drawn at random, and both are
//! bound to owner and name: what is moved to another place does not open there. Version 1 has no id.
//!
//! Another platform key needs only the data keys sealed anew (`Keys::reseal`): the second part stays as
//! it is, byte by byte.

mod handover;
mod key;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use uuid::Uuid;

pub use self::key::{GivenKey, KeyId, Kms, PlatformKey};
use crate::{Error, Result, Secret, bytes::random};

/// The first byte of what this version seals.
const VERSION: u8 = 2;
/// The first byte of what was sealed before keys had ids.
const WITHOUT_ID: u8 = 1;
const KEY: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;
/// A data key, sealed.
const ENVELOPE: usize = NONCE + KEY + TAG;

/// Seals with the platform's key, and opens what that or a former one has sealed. Its clones are one: each seals
/// with the key that any of them has turned to.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<RwLock<Arc<Keys>>>,
}

/// The keys of a moment: what is sealed and noted together is by one.
#[derive(Clone)]
pub(crate) struct Keys {
    current: PlatformKey,
    former: Vec<PlatformKey>,
}

/// What is sealed, taken apart.
struct Sealed<'s> {
    /// Version and id: bound to the envelope.
    head: &'s [u8],
    /// The key's id, where it is said.
    id: Option<&'s [u8]>,
    envelope: &'s [u8],
    body: &'s [u8],
}

impl<'s> Sealed<'s> {
    fn read(bytes: &'s [u8]) -> Result<Self, &'static str> {
        let cut = "it is cut off";
        let (head, rest) = match bytes.first() {
            Some(&VERSION) => bytes.split_at_checked(1 + KeyId::LENGTH).ok_or(cut)?,
            Some(&WITHOUT_ID) => bytes.split_at(1),
            _ => return Err("sealed by another version"),
        };
        let (envelope, body) = rest.split_at_checked(ENVELOPE).ok_or(cut)?;
        let id = (head.len() > 1).then(|| &head[1..]);
        Ok(Self {
            head,
            id,
            envelope,
            body,
        })
    }
}

impl Sealer {
    /// With this key.
    pub fn new(current: PlatformKey) -> Self {
        let keys = Keys {
            current,
            former: Vec::new(),
        };
        Self {
            keys: Arc::new(RwLock::new(Arc::new(keys))),
        }
    }

    /// Opens what `key` has sealed, too: one of before, or one that is to come.
    #[must_use]
    pub fn with_former(self, key: PlatformKey) -> Self {
        self.change(|keys| keys.former.push(key));
        self
    }

    /// With a key that is drawn now, and lost with the value: for tests.
    pub fn generate() -> Result<Self> {
        Ok(Self::new(PlatformKey::generate()?))
    }

    /// Seals with `key` from now on, and still opens what the keys until now have sealed. The key must be kept
    /// already where the next start finds it.
    pub fn turn_to(&self, key: PlatformKey) {
        self.change(|keys| {
            if keys.current.id() != key.id() {
                keys.former.retain(|former| former.id() != key.id());
                keys.former.push(std::mem::replace(&mut keys.current, key));
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Keys)) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut keys));
    }

    /// The keys as they are: for what must be of one key as a whole.
    pub(crate) fn now(&self) -> Arc<Keys> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }

    /// The key that it seals with.
    pub fn current(&self) -> KeyId {
        self.now().current()
    }

    /// All keys that it opens with.
    pub fn known(&self) -> BTreeSet<KeyId> {
        self.now().keys().map(PlatformKey::id).collect()
    }

    /// Seals `secret` for its place: the secret `name` of `owner`.
    pub fn seal(&self, owner: Uuid, name: &str, secret: &Secret) -> Result<Vec<u8>> {
        self.now().seal(owner, name, secret)
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, owner: Uuid, name: &str, sealed: &[u8]) -> Result<Secret> {
        self.now()
            .opened(owner, name, sealed)
            .map_err(|why| closed(owner, name, why))
    }

    /// The key that has sealed `sealed`, which must open.
    pub(crate) fn sealed_by(&self, owner: Uuid, name: &str, sealed: &[u8]) -> Result<KeyId> {
        let keys = self.now();
        let by = Sealed::read(sealed)
            .map_err(str::to_owned)
            .and_then(|sealed| Ok(keys.data_key(owner, name, &sealed)?.1.id()));
        by.map_err(|why| closed(owner, name, why))
    }
}

impl Keys {
    /// The key that it seals with.
    pub(crate) fn current(&self) -> KeyId {
        self.current.id()
    }

    fn keys(&self) -> impl Iterator<Item = &PlatformKey> {
        std::iter::once(&self.current).chain(&self.former)
    }

    /// What everything begins with that it seals.
    pub(crate) fn mark(&self) -> Vec<u8> {
        head(&self.current)
    }

    /// See [`Sealer::seal`].
    pub(crate) fn seal(&self, owner: Uuid, name: &str, secret: &Secret) -> Result<Vec<u8>> {
        let data_key = Secret::new(random::<KEY>()?);
        let body = encrypt(
            &data_key,
            &place(&[WITHOUT_ID], owner, name),
            secret.expose(),
        )?;
        self.enclose(owner, name, &data_key, &body)
    }

    /// A data key sealed by the current key, and what it has sealed.
    fn enclose(&self, owner: Uuid, name: &str, data_key: &Secret, body: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = self.mark();
        let bound = place(&sealed, owner, name);
        sealed.extend(encrypt(self.current.secret(), &bound, data_key.expose())?);
        sealed.extend(body);
        Ok(sealed)
    }

    fn opened(&self, owner: Uuid, name: &str, bytes: &[u8]) -> Result<Secret, String> {
        let sealed = Sealed::read(bytes)?;
        let (data_key, _) = self.data_key(owner, name, &sealed)?;
        // The same in all versions, so that it stays when the data key is sealed anew.
        let bound = place(&[WITHOUT_ID], owner, name);
        decrypt(&data_key, &bound, sealed.body).ok_or_else(|| "it was altered".to_owned())
    }

    /// The data key, and the key that has sealed it.
    fn data_key(
        &self,
        owner: Uuid,
        name: &str,
        sealed: &Sealed<'_>,
    ) -> Result<(Secret, &PlatformKey), String> {
        let bound = place(sealed.head, owner, name);
        let fits = |key: &&PlatformKey| sealed.id.is_none_or(|id| id == key.id_bytes());
        let mut keys = self.keys().filter(fits).peekable();
        if let (None, Some(id)) = (keys.peek(), sealed.id) {
            let id = KeyId::from_bytes(id);
            return Err(format!("sealed by key {id}, which is not given"));
        }
        keys.find_map(|key| Some((decrypt(key.secret(), &bound, sealed.envelope)?, key)))
            .ok_or_else(|| "sealed by another key, or altered".to_owned())
    }

    /// The same secret, sealed by the current key.
    pub(crate) fn reseal(&self, owner: Uuid, name: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let failed = |why: String| closed(owner, name, why);
        let sealed = Sealed::read(sealed).map_err(|why| failed(why.into()))?;
        let (data_key, _) = self.data_key(owner, name, &sealed).map_err(failed)?;
        self.enclose(owner, name, &data_key, sealed.body)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

fn closed(owner: Uuid, name: &str, why: impl fmt::Display) -> Error {
    Error::internal(
        "a secret could not be opened",
        format!("{why}: secret `{name}` of {owner}"),
    )
}

fn head(key: &PlatformKey) -> Vec<u8> {
    let mut head = vec![VERSION];
    head.extend(key.id_bytes());
    head
}

fn place(head: &[u8], owner: Uuid, name: &str) -> Vec<u8> {
    let mut place = head.to_vec();
    place.extend(owner.as_bytes());
    place.extend(name.as_bytes());
    place
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As it was sealed before keys had ids.
    fn without_id(key: &PlatformKey, owner: Uuid, name: &str, secret: &Secret) -> Vec<u8> {
        let bound = place(&[WITHOUT_ID], owner, name);
        let data_key = Secret::new(random::<KEY>().expect("random bytes"));
        let envelope = encrypt(key.secret(), &bound, data_key.expose()).expect("sealed");
        let body = encrypt(&data_key, &bound, secret.expose()).expect("sealed");
        [&[WITHOUT_ID][..], &envelope, &body].concat()
    }

    #[test]
    fn what_was_sealed_before_keys_had_ids_opens_and_is_sealed_anew() {
        let [old, new] = [(); 2].map(|()| PlatformKey::generate().expect("a key"));
        let (owner, secret) = (Uuid::now_v7(), Secret::from("canary"));
        let sealed = without_id(&old, owner, "n", &secret);
        let both = Sealer::new(new.clone()).with_former(old.clone());
        assert_eq!(both.open(owner, "n", &sealed).expect("it opens"), secret);
        assert_eq!(
            both.sealed_by(owner, "n", &sealed).expect("known"),
            old.id()
        );

        let again = both.now().reseal(owner, "n", &sealed).expect("it opens");
        assert!(again.starts_with(&both.now().mark()));
        let alone = Sealer::new(new.clone());
        assert_eq!(alone.open(owner, "n", &again).expect("it opens"), secret);
        assert_eq!(
            alone.sealed_by(owner, "n", &again).expect("known"),
            new.id()
        );
        assert!(alone.open(owner, "m", &again).is_err(), "another place");
        let refused = Sealer::new(old).open(owner, "n", &again).unwrap_err();
        assert!(refused.chain().contains(new.id().as_str()), "{refused:?}");
        assert!(!format!("{refused:?} {new:?}").contains("canary"));
    }

    #[test]
    fn all_clones_turn_to_another_key_and_still_open_what_was_sealed_before() {
        let [old, new] = [(); 2].map(|()| PlatformKey::generate().expect("a key"));
        let (owner, secret) = (Uuid::now_v7(), Secret::from("canary"));
        let sealer = Sealer::new(old.clone());
        let clone = sealer.clone();
        let before = clone.seal(owner, "n", &secret).expect("sealed");
        let moment = clone.now();
        sealer.turn_to(new.clone());
        assert_eq!(clone.current(), new.id());
        assert_eq!(moment.current(), old.id(), "a moment is of one key");
        let after = clone.seal(owner, "n", &secret).expect("sealed");
        for sealed in [&before, &after] {
            assert_eq!(clone.open(owner, "n", sealed).expect("it opens"), secret);
        }
        assert!(Sealer::new(old).open(owner, "n", &after).is_err());
        sealer.turn_to(new.clone());
        assert_eq!(sealer.known().len(), 2, "to the same one is nothing");
    }
}
