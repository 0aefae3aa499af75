//! Who has a host of the gateway: of those who want it at the same moment, and of what was let go of.

use futures::future::join_all;
use kernel::{Caller, Change, EventFilter, Resource};
use serde_json::{Map, Value, json};
use towpath_delivery::{
    api::{CreateEnvironment, NewDeployment},
    model::{DeploymentPhase, InstancePhase, ResourceInstance},
};

use crate::room::{LONG, Room};

const HOST: &str = "shop.example";

/// Environments that ask at once, each for a path of its own.
const ASKING: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_claim_paths_of_one_host_at_once_one_environment_has_it() {
    let room = Room::open().await;
    for round in 0..10 {
        let asking = (0..ASKING).map(|number| {
            let sign = json!({
                "type": "sign", "params": { "host": HOST, "path": format!("/{number}") },
            });
            let resources = [("sign".to_owned(), sign)].into_iter().collect();
            let environment = format!("e{round}-{number}");
            let room = &room;
            async move {
                let done = room
                    .deploy_to(&environment, "notes:1", resources, &[])
                    .await;
                (environment, done)
            }
        });
        let done = join_all(asking).await;
        let (has, has_not): (Vec<_>, Vec<_>) = done.iter().partition(|(_, done)| done.is_ok());
        let names: Vec<_> = has
            .iter()
            .map(|(environment, _)| environment.clone())
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(room.holders(HOST).await, names);
        for (_, refused) in has_not {
            let refused = refused.as_ref().unwrap_err();
            let problem = refused
                .problems
                .first()
                .unwrap_or_else(|| panic!("{refused}"));
            assert_eq!(problem.rule, "route/taken");
            assert!(problem.message.contains(&names[0]), "{}", problem.message);
        }
        room.end(&names[0]).await;
        testkit::eventually("the environment goes", LONG, || async {
            room.environment(&names[0]).await.is_none().then_some(())
        })
        .await;
    }
    assert_eq!(
        room.host_claims().await,
        0,
        "an ended environment holds none"
    );
}

/// What asks for the host.
fn sign() -> Map<String, Value> {
    let sign = json!({ "type": "sign", "params": { "host": HOST, "path": "/" } });
    Map::from_iter([("sign".to_owned(), sign)])
}

impl Room {
    /// Waits until the sign in `dev` says this, ready as it is.
    async fn sign_says(&self, words: &str) -> Resource<ResourceInstance> {
        let sign = testkit::eventually(format!("the sign says `{words}`"), LONG, || async {
            let sign = self.thing("sign").await?;
            (sign.status.message == words).then_some(sign)
        })
        .await;
        assert_eq!(sign.status.phase, InstancePhase::Ready);
        sign
    }

    /// What was told of hosts that were lost.
    async fn told_lost(&self) -> Vec<Value> {
        let filter = EventFilter {
            type_prefix: Some("dev.towpath.resource-instance.route-lost".into()),
            ..EventFilter::default()
        };
        let told = self.delivery.store().events(&filter, 0, 10).await.unwrap();
        told.into_iter().map(|event| event.data).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_let_go_of_and_taken_by_another_is_not_said_to_be_there() {
    let room = Room::open().await;
    let late = json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": { "name": "notes" },
        "service": { "ports": { "www": { "port": 80 } } },
        "containers": { "main": { "image": "slow" } },
        "resources": sign(),
    });
    let order = NewDeployment {
        workloads: [("notes".to_owned(), late)].into(),
        create_environment: Some(CreateEnvironment::default()),
        timeout_seconds: Some(1),
        ..NewDeployment::default()
    };
    let caller = Caller::local_admin();
    let first = room.delivery.deploy(&caller, "dev", order).await.unwrap();
    assert_eq!(room.holders(HOST).await, ["dev"]);
    let failed = room.ended(&first).await;
    assert_eq!(failed.status.phase, DeploymentPhase::Failed);
    assert!(room.holders(HOST).await.is_empty(), "others may want it");
    room.deploy_to("other", "notes:1", sign(), &[])
        .await
        .unwrap();
    assert_eq!(room.holders(HOST).await, ["other"]);

    // It gets ready after all.
    *room.stage.hurries.lock().unwrap() = true;
    let held = format!("`{HOST}` is held by workload `notes` in environment `other`");
    let lost = room.sign_says(&held).await;
    let remedy = "choose another host or path, and deploy again";
    assert_eq!(lost.status.remedy.as_deref(), Some(remedy));
    let told = json!({ "node": lost.spec.node, "message": held, "remedy": remedy });
    assert_eq!(room.told_lost().await, [told]);
    testkit::eventually("it serves", LONG, || async {
        (room.workload().await.status.active_release == 1).then_some(())
    })
    .await;
    assert_eq!(room.holders(HOST).await, ["other"]);
    // Made anew it says so again, and it is not told again.
    room.rotate(&lost).await;
    testkit::eventually("it serves with the new key", LONG, || async {
        let sign = room.thing("sign").await?;
        let serves = room.workload().await.status.active_release == 2;
        (serves && sign.status.rotation == 2).then_some(())
    })
    .await;
    room.sign_says(&held).await;
    assert_eq!(room.told_lost().await.len(), 1);

    room.end("other").await;
    testkit::eventually("the other goes", LONG, || async {
        room.environment("other").await.is_none().then_some(())
    })
    .await;
    testkit::eventually("something makes the sign be looked at", LONG, || async {
        let mut sign = room.thing("sign").await?;
        sign.meta.labels.insert("seen".into(), "again".into());
        let mut change = Change::new();
        change.spec(&sign).unwrap();
        room.delivery.store().commit(change).await.ok()
    })
    .await;
    let lost = room.sign_says(&format!("`{HOST}/` leads nowhere")).await;
    assert_eq!(lost.status.remedy.as_deref(), Some("deploy again"));
    assert_eq!(room.told_lost().await.len(), 2);

    let again = room.deploy_to("dev", "notes:1", sign(), &[]).await;
    room.succeeded(&again.unwrap()).await;
    room.sign_says("").await;
    assert_eq!(room.holders(HOST).await, ["dev"]);
}
