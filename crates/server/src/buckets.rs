//! Buckets that were given out at another address than the embedded S3 server has now.

use std::{collections::BTreeMap, net::SocketAddr};

use delivery::model::ResourceInstance;
use kernel::{Query, Resource, Result, Store};

/// The provisioner of buckets, as instances name it.
const PROVISIONER: &str = "s3";

/// By address, how many buckets of the embedded S3 server were given out at another than `listen`, where it listens:
/// workloads look for them there until they are told. Fails where the store cannot be read.
pub async fn buckets_elsewhere(
    store: &Store,
    listen: SocketAddr,
) -> Result<BTreeMap<SocketAddr, usize>> {
    let all: Vec<Resource<ResourceInstance>> = store.list_all(&Query::default()).await?;
    let mut elsewhere = BTreeMap::new();
    for one in &all {
        // Those on somebody else's endpoint have no address on this machine.
        let Some(before) = one.status.listens else {
            continue;
        };
        if one.status.made_by == PROVISIONER && before != listen && !one.is_deleting() {
            *elsewhere.entry(before).or_default() += 1;
        }
    }
    Ok(elsewhere)
}

#[cfg(test)]
mod tests {
    use kernel::{Change, Sealer};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn buckets_are_elsewhere_until_they_are_given_out_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}/store.db", directory.path().display());
        let sealer = Sealer::generate().expect("a key");
        let store = Store::open(&url, sealer).await.expect("a store");
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        for (name, made_by, listens) in [
            ("bucket", "s3", Some(at(1))),
            ("theirs", "s3", None),
            ("database", "postgres", Some(at(5432))),
        ] {
            let spec = json!({
                "node": format!("{name}.default#notes.{name}"),
                "definition": { "name": name, "revision": 1 },
                "provisioner": made_by, "params": {}, "rotation": 1,
                "correlation": uuid::Uuid::nil(), "team": "default", "role": "dev",
            });
            let spec = serde_json::from_value(spec).expect("a spec");
            let mut one = Resource::<ResourceInstance>::new("dev", name, spec);
            one.status.made_by = made_by.into();
            one.status.listens = listens;
            let mut change = Change::new();
            change.create(&one).expect("a document");
            store.commit(change).await.expect("it is written");
        }
        let elsewhere = async |listen| {
            let found = buckets_elsewhere(&store, listen).await;
            found.expect("it is read").into_iter().collect::<Vec<_>>()
        };
        assert_eq!(elsewhere(at(1)).await, []);
        // As often as it is looked.
        for _ in 0..2 {
            assert_eq!(elsewhere(at(2)).await, [(at(1), 1)]);
        }
        let bucket = store.expect::<ResourceInstance>("dev", "bucket").await;
        let mut bucket = bucket.expect("it is there");
        bucket.status.listens = Some(at(2));
        let mut change = Change::new();
        change.status(&bucket).expect("a document");
        store.commit(change).await.expect("it is written");
        assert_eq!(elsewhere(at(2)).await, []);
    }
}
