//! Keys of the platform that are made at its first start.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use kernel::{
    Change, Error, ErrorKind, Kind, Resource, Result, Sealer, Secret, Store,
    sealer::{Kms, PlatformKey},
};
use rand::RngCore as _;
use secrets::Transit;
use serde::{Deserialize, Serialize};

use crate::{
    Config,
    turning::{self, Source, Turning},
};

/// The platform's own record: one in a store, so that replicas agree on what was drawn.
#[derive(Debug)]
pub(crate) enum Platform {}

impl Kind for Platform {
    const KIND: &'static str = "Platform";
    type Spec = ();
    type Status = PlatformStatus;
}

impl Platform {
    /// The name of the one that there is.
    pub(crate) const NAME: &str = "platform";
}

/// What is under way for the whole platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlatformStatus {
    /// The newest request to seal everything by another key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rekey: Option<Asked>,
}

/// A request to seal everything by another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    /// The key.
    pub(crate) key: String,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) done: Option<Timestamp>,
}

const DIGEST_KEY: &str = "digest-key";

/// The keys that secrets are sealed by: `TOWPATH_PLATFORM_KEY`, or the key's file, drawn at the first start; and those
/// of before, in files and in `TOWPATH_FORMER_PLATFORM_KEY`.
pub(crate) async fn sealer(config: &Config) -> Result<(Sealer, Arc<Turning>)> {
    let transit = match (&config.transit_key, &config.vault) {
        (Some(key), Some(vault)) => Some(Transit::new(vault, key)?),
        _ => None,
    };
    let kms = transit.as_ref().map(|transit| transit as &dyn Kms);
    let file = key_file(config);
    let given = PlatformKey::from_env("TOWPATH_PLATFORM_KEY", kms).await?;
    let is_given = given.is_some();
    let current = if let Some(key) = given {
        key
    } else {
        turning::pass_on(&file)?;
        PlatformKey::from_file(&file, kms).await?
    };
    let source = if is_given {
        Source::Environment
    } else {
        Source::File
    };
    let is_shared = !config.store_url().starts_with("sqlite:");
    if let (Some(kms), false) = (kms, current.is_wrapped()) {
        tracing::warn!("{}", unguarded(&file, source, &kms.name()));
    }
    let mut sealer = Sealer::new(current);
    for file in &config.former_key_files {
        sealer = sealer.with_former(PlatformKey::from_existing(file, kms).await?);
    }
    let before = turning::before(&file);
    if before.exists() {
        sealer = sealer.with_former(PlatformKey::from_existing(&before, kms).await?);
    }
    // One that replicas have agreed on seals before it takes its place in the file.
    let next = turning::next(&file);
    if source == Source::File && next.exists() {
        sealer = sealer.with_former(PlatformKey::from_existing(&next, kms).await?);
    }
    if let Some(key) = PlatformKey::from_env("TOWPATH_FORMER_PLATFORM_KEY", kms).await? {
        sealer = sealer.with_former(key);
    }
    let turning = Turning::new(file, transit, sealer.clone(), source, is_shared);
    Ok((sealer, Arc::new(turning)))
}

/// That the key from `source`, `file` where it is one, is in plain text although `kms` was to guard it, and what to
/// do: a key that was in plain text once may have been copied, so that another takes its place.
fn unguarded(file: &Path, source: Source, kms: &str) -> String {
    let file = file.display();
    let (place, way) = match source {
        Source::File => (
            file.to_string(),
            format!(
                "call `towpath rekey --new-key`, and destroy the former key once that is done, which is kept as \
                 {file}.former-ID"
            ),
        ),
        Source::Environment => (
            "TOWPATH_PLATFORM_KEY".to_owned(),
            format!(
                "move TOWPATH_PLATFORM_KEY to {file}.former, out of the environment, start with \
                 `--former-key-file {file}.former`, call `towpath rekey`, and destroy the former key once that is done"
            ),
        ),
    };
    format!(
        "the platform's key in {place} is not encrypted: {kms} does not guard it, and whoever has it opens all \
         secrets. To have another key that it guards, {way}"
    )
}

fn key_file(config: &Config) -> PathBuf {
    let own = || config.data.join("platform.key");
    config.key_file.clone().unwrap_or_else(own)
}

/// The key of the digests of releases: the same for all replicas and over restarts.
pub(crate) async fn digest_key(store: &Store) -> Result<Secret> {
    const NAME: &str = Platform::NAME;
    if store.get::<Platform>("", NAME).await?.is_none() {
        let record = Resource::<Platform>::new("", NAME, ());
        let mut change = Change::new();
        change.create(&record)?;
        change.seal(record.meta.uid, DIGEST_KEY, random_bytes());
        match store.commit(change).await {
            Ok(_) => {}
            // Another replica was first: its key it is.
            Err(error) if error.kind == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let record = store.expect::<Platform>("", NAME).await?;
    let key = store.secret(record.meta.uid, DIGEST_KEY).await?;
    key.ok_or_else(|| Error::internal("the platform has lost its digest key", "Platform/platform"))
}

fn random_bytes() -> Secret {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    Secret::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_plain_text_is_changed_in_the_way_that_this_platform_can() {
        let file = Path::new("/data/platform.key");
        let turned = unguarded(file, Source::File, "the service");
        assert!(turned.contains("`towpath rekey --new-key`"), "{turned}");
        assert!(!turned.contains("--former-key-file"), "{turned}");
        let moved = unguarded(file, Source::Environment, "the service");
        assert!(moved.contains("move TOWPATH_PLATFORM_KEY to"), "{moved}");
        assert!(
            moved.contains("--former-key-file /data/platform.key.former"),
            "{moved}"
        );
        assert!(!moved.contains("--new-key"), "{moved}");
    }
}
