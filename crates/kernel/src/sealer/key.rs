//! Keys that seal data keys, and where they come from.

use std::{fmt, path::Path};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::Sealer;
use crate::{
    Error, Result, Secret,
    bytes::{hex, random},
    private_file,
};

const KEY: usize = 32;

/// Names a key without telling it: what follows from it one way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// Bytes of an id.
    pub(crate) const LENGTH: usize = 8;

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(hex(bytes))
    }

    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The id as text: 16 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key-encryption key: 32 bytes that seal the data keys of all secrets.
#[derive(Clone)]
pub struct PlatformKey {
    secret: Secret,
    id: [u8; KeyId::LENGTH],
    wrapped: bool,
}

/// `POST platform/rekey/new-key`: the key that everything is to be sealed by.
#[derive(Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GivenKey {
    /// The key as the platform is given it at its start: 32 bytes in base64, or as its key management service has
    /// encrypted them. Without it the platform draws one, where it keeps its key in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl fmt::Debug for GivenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenKey")
    }
}

/// The port to a key management service, whose own key never leaves it: the platform's key is kept as the
/// service has encrypted it, and is decrypted by the service at each start.
#[async_trait]
pub trait Kms: Send + Sync {
    /// What people know it by: `Transit key towpath of https://vault.example.com`.
    fn name(&self) -> String;

    /// Encrypts 32 bytes; the answer is one line of text with a `:` in it, which base64 has not.
    async fn wrap(&self, key: &Secret) -> Result<String>;

    /// Decrypts what it has encrypted.
    async fn unwrap(&self, wrapped: &Secret) -> Result<Secret>;
}

impl PlatformKey {
    /// One that is drawn now.
    pub fn generate() -> Result<Self> {
        Ok(Self::new(Secret::new(random::<KEY>()?)))
    }

    pub(super) fn new(secret: Secret) -> Self {
        let mut id = [0; KeyId::LENGTH];
        let derived = secret.derive("towpath key id", KeyId::LENGTH);
        id.copy_from_slice(derived.expose());
        Self {
            secret,
            id,
            wrapped: false,
        }
    }

    /// The key that `text` spells: in base64, or as `kms` has encrypted it. `place` names it in errors.
    pub async fn read(text: &Secret, place: &str, kms: Option<&dyn Kms>) -> Result<Self> {
        let wrapped = text.expose().contains(&b':');
        let bytes = match (wrapped, kms) {
            (false, _) => {
                let bytes = STANDARD.decode(text.expose().trim_ascii()).map(Secret::new);
                bytes.map_err(|_| malformed(place))?
            }
            (true, Some(kms)) => kms.unwrap(text).await?,
            (true, None) => {
                return Err(Error::invalid(format!(
                    "the platform's key in {place} is encrypted by a key management service"
                ))
                .remedy("say which: --key-transit"));
            }
        };
        if bytes.expose().len() != KEY {
            return Err(malformed(place));
        }
        Ok(Self {
            wrapped,
            ..Self::new(bytes)
        })
    }

    /// Whether it is kept as a key management service has encrypted it: who has its file alone has nothing.
    pub fn is_wrapped(&self) -> bool {
        self.wrapped
    }

    /// The key in the environment variable `name`; none where that is not set.
    pub async fn from_env(name: &str, kms: Option<&dyn Kms>) -> Result<Option<Self>> {
        match std::env::var(name) {
            Ok(text) => Self::read(&Secret::from(text.trim()), name, kms)
                .await
                .map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(malformed(name)),
        }
    }

    /// The key in the file `path`; draws one, has `kms` encrypt it where there is one, and writes it
    /// readable for its owner alone, where there is no file. Who has the file (and the service) and the
    /// store has the secrets; who loses it has lost them.
    pub async fn from_file(path: &Path, kms: Option<&dyn Kms>) -> Result<Self> {
        let place = path.display().to_string();
        let draft = match kms {
            Some(kms) if !path.exists() => Some(kms.wrap(&Self::generate()?.secret).await?),
            _ => None,
        };
        let text = private_file::read_or_create(path, WHAT, || match draft {
            Some(draft) => Ok(draft),
            None => Ok(STANDARD.encode(Self::generate()?.secret.expose())),
        })?;
        Self::read(&text, &place, kms).await
    }

    /// The key in the file `path`, which must be there: one that was the platform's before.
    pub async fn from_existing(path: &Path, kms: Option<&dyn Kms>) -> Result<Self> {
        let place = path.display().to_string();
        let text = private_file::read_or_create(path, WHAT, || {
            Err(Error::invalid(format!("there is no key in {place}"))
                .remedy("name the file that holds the key of before"))
        })?;
        Self::read(&text, &place, kms).await
    }

    /// Keeps it in the file `path`, encrypted by `kms` where there is one, readable for its owner alone, in place of
    /// another key that `sealer` opens with, too. A file that holds it already stays as it is.
    pub async fn keep(&self, path: &Path, kms: Option<&dyn Kms>, sealer: &Sealer) -> Result<()> {
        if path.exists() {
            let present = Self::from_existing(path, kms).await?;
            if present.id == self.id {
                return Ok(());
            }
            // It may be in no other place, and newer than what this process knows.
            if sealer.key(&present.id()).is_none() {
                return Err(another_in(path));
            }
            private_file::remove(path, WHAT)?;
        }
        let text = match kms {
            Some(kms) => kms.wrap(&self.secret).await?,
            None => STANDARD.encode(self.secret.expose()),
        };
        let text = private_file::read_or_create(path, WHAT, || Ok(text))?;
        let place = path.display().to_string();
        if Self::read(&text, &place, kms).await?.id == self.id {
            return Ok(());
        }
        Err(another_in(path))
    }

    /// Names it.
    pub fn id(&self) -> KeyId {
        KeyId::from_bytes(&self.id)
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn id_bytes(&self) -> &[u8; KeyId::LENGTH] {
        &self.id
    }
}

/// What the file holds, in errors.
const WHAT: &str = "platform's key";

impl fmt::Debug for PlatformKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlatformKey({})", self.id())
    }
}

fn another_in(path: &Path) -> Error {
    let place = path.display();
    Error::conflict(format!("another has put a platform's key in {place}"))
        .remedy("start this replica anew; where no replica needs that key, move the file away")
}

fn malformed(place: &str) -> Error {
    Error::invalid(format!("the platform's key in {place} is not 32 bytes in base64"))
        .remedy("restore the key that the store was sealed with; for a new store: head -c 32 /dev/urandom | base64")
}
