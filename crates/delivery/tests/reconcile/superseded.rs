//! What a later deployment takes over is no business of the earlier one any more.

use std::time::Duration;

use kernel::{Caller, Resource};
use serde_json::{Value, json};
use testkit::eventually;
use towpath_delivery::{
    api::{CreateEnvironment, NewDeployment},
    model::Deployment,
};

use crate::support::{Platform, WITHIN};

/// Deploys workloads, each with what it needs.
pub(crate) async fn deploy(
    platform: &Platform,
    image: &str,
    workloads: &[(&str, Value)],
) -> Resource<Deployment> {
    let workload = |(name, resources): &(&str, Value)| {
        let score = json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": name },
            "containers": { "main": { "image": image } },
            "resources": resources,
        });
        ((*name).to_owned(), score)
    };
    let order = NewDeployment {
        workloads: workloads.iter().map(workload).collect(),
        create_environment: Some(CreateEnvironment::default()),
        ..NewDeployment::default()
    };
    let caller = Caller::local_admin();
    platform
        .delivery
        .deploy(&caller, "dev", order)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_waits_for_nothing_that_only_a_workload_taken_over_needed() {
    let platform = Platform::still().await;
    let (none, thing) = (json!({}), json!({ "thing": { "type": "thing" } }));
    let both = [("aa", none.clone()), ("bb", none.clone())];
    platform
        .succeeded(&deploy(&platform, "/bin/true", &both).await)
        .await;
    platform.things.fails_with("connection refused");
    let both = [("aa", thing), ("bb", none.clone())];
    let second = deploy(&platform, "/bin/false", &both).await;
    let status = || async {
        let found = platform
            .store
            .expect::<Deployment>("dev", &second.meta.name);
        found.await.unwrap().status
    };
    eventually("it waits for the thing alone", WITHIN, || async {
        let serves = platform.workload("bb").await.status.active_release == 2;
        let waits = status().await.waiting_for.join(", ");
        (serves && waits.contains("connection refused")).then_some(())
    })
    .await;

    let third = deploy(&platform, "/bin/true", &[("aa", none)]).await;
    platform.succeeded(&third).await;
    platform.pass(Duration::from_secs(1)).await;
    platform.succeeded(&second).await;
    let bb = platform.workload("bb").await;
    assert_eq!(bb.spec.deployment, second.meta.name);
    assert_eq!(bb.status.good_deployment, Some(second.meta.name));
    platform.driver.shutdown().await;
}
