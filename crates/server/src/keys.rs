//! Keys of the platform that are made at its first start.

use std::path::Path;

use kernel::{Change, Error, ErrorKind, Kind, Resource, Result, Sealer, Secret, Store};
use rand::RngCore as _;

/// The platform's own record: one in a store, so that replicas agree on what was drawn.
#[derive(Debug)]
pub(crate) enum Platform {}

impl Kind for Platform {
    const KIND: &'static str = "Platform";
    type Spec = ();
    type Status = ();
}

const DIGEST_KEY: &str = "digest-key";

/// The key that seals secrets: `TOWPATH_KEY`, or `<data>/platform.key`, drawn at the first start.
pub(crate) fn sealer(data: &Path) -> Result<Sealer> {
    match Sealer::from_env()? {
        Some(sealer) => Ok(sealer),
        None => Sealer::from_file(&data.join("platform.key")),
    }
}

/// The key of the digests of releases: the same for all replicas and over restarts.
pub(crate) async fn digest_key(store: &Store) -> Result<Secret> {
    const NAME: &str = "platform";
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
