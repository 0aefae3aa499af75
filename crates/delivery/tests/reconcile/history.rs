//! Deployments are kept to a length, and whatever is still referred to beyond it.

use std::collections::BTreeSet;

use kernel::{Caller, Kind as _};
use testkit::eventually;
use towpath_delivery::model::Deployment;

use crate::support::{Platform, WITHIN};

const KEPT: u64 = 50;

async fn deployments(platform: &Platform) -> BTreeSet<String> {
    let keys = platform.store.keys(Deployment::KIND, Some("dev")).await;
    keys.unwrap().into_iter().map(|key| key.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_fifty_stay_and_what_is_referred_to() {
    let platform = Platform::start().await;
    // The first one stays what `steady` runs.
    platform.deployed("steady", "for ever").await;
    for n in 0..KEPT + 5 {
        platform.deployed("busy", &n.to_string()).await;
    }
    let newest = KEPT + 6;
    let mut expected: BTreeSet<String> = (newest - KEPT + 1..=newest)
        .map(|n| format!("d-{n}"))
        .collect();
    expected.insert("d-1".into());
    eventually("the others are removed", WITHIN, || async {
        (deployments(&platform).await == expected).then_some(())
    })
    .await;
    let told = platform.told("environment.history-pruned").await;
    assert!(!told.is_empty());
    // What stays is whole: compared with what runs, it is the same.
    let rollback = towpath_delivery::api::Rollback {
        to: Some("d-1".into()),
        ..towpath_delivery::api::Rollback::default()
    };
    let returned = platform
        .delivery
        .rollback(&Caller::local_admin(), "dev", rollback)
        .await;
    let refusal = returned.unwrap_err();
    assert!(refusal.message.contains("`d-1` already runs"), "{refusal}");
    platform.driver.shutdown().await;
}
