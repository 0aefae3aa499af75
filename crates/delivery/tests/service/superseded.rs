//! What was for a deployment that a later one took the place of.

use serde_json::{Map, json};
use towpath_delivery::model::{DeploymentPhase, InstancePhase};

use crate::room::{LONG, Room};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_an_overtaken_deployment_wanted_goes_when_the_next_one_fails() {
    let room = Room::open().await;
    let base = json!({
        "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
        "metadata": { "name": "bases" },
        "spec": { "type": "base", "provisioner": "shelf", "params": { "size": 7 }, "holdsData": false },
    });
    room.apply(vec![base]).await.unwrap();
    let good = room
        .succeeded(&room.deploy("notes:1", &[], &[]).await)
        .await;
    let extra = Map::from_iter([("extra".to_owned(), json!({ "type": "base" }))]);
    room.deploy_to("dev", "slow", extra, &[]).await.unwrap();
    testkit::eventually("the extra is made", LONG, || async {
        let extra = room.thing("extra").await?;
        (extra.status.phase == InstancePhase::Ready).then_some(())
    })
    .await;

    let failed = room.ended(&room.deploy("broken", &[], &[]).await).await;
    assert_eq!(failed.status.phase, DeploymentPhase::RolledBack);
    testkit::eventually("the extra goes", LONG, || async {
        room.thing("extra").await.is_none().then_some(())
    })
    .await;
    assert_eq!(room.shelf.removed(), [json!(7)]);
    assert_eq!(room.workload().await.spec.deployment, good.meta.name);
}
