//! The shapes of Vault's answers, as its API documents them.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use kernel::{Error, Result, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::{Origin, SecretInfo, SecretRef, Version};

/// The key in custom metadata of what is said of a secret.
const DESCRIPTION: &str = "towpath-description";
/// The key in custom metadata of where its values come from.
const ORIGIN: &str = "towpath-origin";
/// The key of the version from which on that is so. It is said before the version is written.
const SINCE: &str = "towpath-origin-since";
/// The key of where the values before that one come from.
const FORMER: &str = "towpath-origin-former";

/// What every answer is wrapped in.
#[derive(Deserialize)]
pub(super) struct Wrapped<T> {
    pub(super) data: T,
}

/// The answer to a write.
#[derive(Deserialize)]
pub(super) struct Written {
    pub(super) version: u64,
}

/// The answer to a list.
#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) keys: Vec<String>,
}

/// A version that was read.
#[derive(Deserialize)]
pub(super) struct Read {
    /// None where the version was deleted.
    pub(super) data: Option<Value>,
    pub(super) metadata: ReadVersion,
}

/// Which version was read.
#[derive(Deserialize)]
pub(super) struct ReadVersion {
    pub(super) version: u64,
    pub(super) created_time: Timestamp,
}

/// The answer to a login.
#[derive(Deserialize)]
pub(super) struct LoggedIn {
    pub(super) auth: Auth,
}

/// A token, and for how many seconds it is good; 0: it does not end.
#[derive(Deserialize)]
pub(super) struct Auth {
    pub(super) client_token: String,
    pub(super) lease_duration: u64,
}

/// What Vault keeps of a secret, its values apart.
#[derive(Default, Deserialize)]
pub(super) struct Metadata {
    pub(super) current_version: u64,
    #[serde(default, rename = "custom_metadata")]
    custom: Option<HashMap<String, String>>,
    #[serde(default)]
    versions: BTreeMap<String, KeptVersion>,
}

#[derive(Deserialize)]
struct KeptVersion {
    created_time: Timestamp,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

impl KeptVersion {
    fn is_there(&self) -> bool {
        // A time in the future is one at which it will be deleted.
        let deleted = self.deletion_time.parse::<Timestamp>();
        !self.destroyed && deleted.map_or(true, |deleted| deleted > Timestamp::now())
    }
}

impl Metadata {
    /// What is known of `secret`; none where its newest version is not there.
    pub(super) fn info(&self, secret: &SecretRef) -> Option<SecretInfo> {
        let mut versions: Vec<_> = self
            .versions
            .iter()
            .filter(|(_, version)| version.is_there())
            .filter_map(|(number, version)| {
                Some(Version {
                    number: number.parse().ok()?,
                    created: version.created_time,
                    by: None,
                })
            })
            .collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.number));
        let newest = versions.first()?.number;
        if newest != self.current_version {
            return None;
        }
        Some(SecretInfo {
            team: secret.team.to_string(),
            name: secret.name.to_string(),
            reference: secret.to_string(),
            description: self.word(DESCRIPTION).unwrap_or_default().to_owned(),
            origin: self.origin(),
            version: newest,
            versions,
        })
    }

    fn word(&self, key: &str) -> Option<&str> {
        self.custom.as_ref()?.get(key).map(String::as_str)
    }

    /// The version from which on the values come from where it is said.
    fn since(&self) -> u64 {
        let since = self.word(SINCE).and_then(|since| since.parse().ok());
        since.unwrap_or_default()
    }

    /// Where the newest version comes from.
    fn origin(&self) -> Origin {
        let key = if self.since() > self.current_version {
            FORMER
        } else {
            ORIGIN
        };
        let word = self.word(key);
        [Origin::Generated, Origin::DeployCredential]
            .into_iter()
            .find(|known| word == Some(known.word()))
            .unwrap_or_default()
    }

    /// The custom metadata that says this of a secret with its next version, and what others have written
    /// there; none where it does already.
    pub(super) fn saying(&self, description: Option<&str>, origin: Origin) -> Option<Value> {
        let before = self.custom.clone().unwrap_or_default();
        let mut after = before.clone();
        match description {
            Some("") => drop(after.remove(DESCRIPTION)),
            Some(text) => drop(after.insert(DESCRIPTION.into(), text.into())),
            None => {}
        }
        let former = self.origin();
        if former != origin {
            after.insert(ORIGIN.into(), origin.word().into());
            after.insert(SINCE.into(), (self.current_version + 1).to_string());
            after.insert(FORMER.into(), former.word().into());
        } else if self.since() > self.current_version {
            // Said for a version that never came.
            after.insert(ORIGIN.into(), origin.word().into());
            after.remove(SINCE);
            after.remove(FORMER);
        }
        (after != before).then(|| custom(&after))
    }

    /// What is said of it now.
    pub(super) fn said(&self) -> Value {
        custom(&self.custom.clone().unwrap_or_default())
    }
}

fn custom(words: &HashMap<String, String>) -> Value {
    json!({ "max_versions": SecretInfo::KEPT, "custom_metadata": words })
}

/// A value as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
}

const BASE64: &str = "base64";

/// The data of a version.
pub(super) fn data_of(value: &Secret) -> Result<Value> {
    let kept = match value.expose_str() {
        Some(text) => Kept {
            value: text.to_owned(),
            encoding: None,
        },
        None => Kept {
            value: STANDARD.encode(value.expose()),
            encoding: Some(BASE64.into()),
        },
    };
    serde_json::to_value(kept).map_err(|e| Error::internal("a value could not be serialized", e))
}

/// The value in the data of a version, which somebody else may have written.
pub(super) fn value_in(data: Value, secret: &SecretRef) -> Result<Secret> {
    let unusable = || {
        Error::conflict(format!(
            "what Vault keeps for {secret} has no field `value` with a text"
        ))
        .remedy("write it with `towpath secret set`, or give it that field in Vault")
    };
    let kept: Kept = serde_json::from_value(data).map_err(|_| unusable())?;
    match kept.encoding.as_deref() {
        Some(BASE64) => STANDARD
            .decode(kept.value)
            .map(Secret::new)
            .map_err(|_| unusable()),
        _ => Ok(Secret::from(kept.value)),
    }
}
