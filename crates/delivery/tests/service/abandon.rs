//! What cannot be removed is given up by name, and kept in mind.

use kernel::{Caller, ErrorKind, EventFilter, Query, Resource};
use serde_json::json;
use towpath_delivery::model::{InstancePhase, Remnant, ResourceInstance};

use crate::room::{LONG, Room};

impl Room {
    async fn abandon(&self, name: &str) -> kernel::Result<Resource<Remnant>> {
        let caller = Caller::local_admin();
        self.delivery
            .resource_abandon(&caller, "dev", name, None)
            .await
    }

    async fn remnants(&self) -> Vec<Resource<Remnant>> {
        let all = Query::default();
        self.delivery.store().list_all(&all).await.unwrap()
    }

    /// Waits until the removal of a thing has failed.
    async fn removal_fails(&self, name: &str) -> Resource<ResourceInstance> {
        testkit::eventually("the removal fails", LONG, || async {
            let thing = self.thing(name).await?;
            thing.status.removal_fails.is_some().then_some(thing)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_removed_is_given_up_by_name_and_kept_in_mind() {
    let room = Room::open().await;
    room.succeeded(&room.deploy("notes:1", &[("box", 1)], &[]).await)
        .await;
    let thing = room.thing("box").await.unwrap();
    let name = thing.meta.name.as_str();

    let refused = room.abandon(name).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
    assert!(
        refused.message.contains("nobody has asked for the removal"),
        "{refused}"
    );

    room.shelf.fails("the shelf burnt down", false);
    room.end("dev").await;
    let stuck = room.removal_fails("box").await;
    assert_eq!(stuck.status.phase, InstancePhase::Removing);
    let remedy = stuck.status.remedy.unwrap();
    // What the server itself advises goes before what we do.
    let (advice, way_out) = remedy.split_once("; ").unwrap();
    assert!(way_out.contains("towpath resource abandon"), "{way_out}");
    assert_eq!(advice, "order more");

    let remnant = room.abandon(name).await.unwrap();
    let kept = &remnant.spec;
    assert_eq!(
        (kept.environment.as_str(), kept.team.as_str()),
        ("dev", "default")
    );
    assert_eq!(kept.node, thing.spec.node);
    assert_eq!((kept.instance, kept.holds_data), (thing.meta.uid, true));
    assert_eq!(kept.message, "the shelf burnt down");
    assert_eq!(kept.given_up_by, Caller::local_admin().subject);
    assert_eq!(kept.left_by.len(), 1);
    assert_eq!(kept.left_by[0].provisioner, "shelf");
    let listed_as = thing.meta.uid.to_string();
    assert_eq!(kept.left_by[0].listed_as.as_ref(), Some(&listed_as));
    testkit::eventually("the environment goes", LONG, || async {
        room.environment("dev").await.is_none().then_some(())
    })
    .await;
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.resource-instance.abandoned".into()),
        ..EventFilter::default()
    };
    let told = room.delivery.store().events(&filter, 0, 10).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].team, "default");
    assert_eq!(told[0].data["remnant"], remnant.meta.name);

    // Its server lists the thing until somebody has cleaned up.
    let caller = Caller::local_admin();
    room.shelf.mends();
    let forget = || {
        room.delivery
            .remnant_delete(&caller, &remnant.meta.name, None)
    };
    let refused = forget().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
    assert!(refused.message.contains(&listed_as), "{refused}");
    assert_eq!(room.remnants().await.len(), 1);
    room.shelf.burns();
    forget().await.unwrap();
    assert!(room.remnants().await.is_empty());
    assert_eq!(
        forget().await.unwrap_err().kind,
        ErrorKind::NotFound,
        "it is forgotten"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_begun_goes_without_its_server() {
    let room = Room::open().await;
    let tower = json!({
        "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
        "metadata": { "name": "towers" },
        "spec": {
            "type": "tower", "provisioner": "shelf", "params": { "size": "${resources.base.size}" },
            "resources": { "base": { "type": "thing", "params": { "size": 1 } } },
        },
    });
    room.apply(vec![tower]).await.unwrap();
    room.shelf.fails("there is no room", true);
    room.deploy_tower().await;
    let of_type = |of: &'static str| {
        let room = &room;
        async move {
            let all = Query::scope("dev");
            let all = room
                .delivery
                .store()
                .list_all::<ResourceInstance>(&all)
                .await
                .unwrap();
            all.into_iter().find(|it| it.spec.node.resource_type == of)
        }
    };
    testkit::eventually("the base is tried", LONG, || async {
        (of_type("thing").await?.status.attempts > 0).then_some(())
    })
    .await;
    let tower = of_type("tower").await.unwrap();

    room.end("dev").await;
    let base = testkit::eventually("the removal of the base fails", LONG, || async {
        let base = of_type("thing").await?;
        base.status.removal_fails.is_some().then_some(base)
    })
    .await;
    assert!(
        of_type("tower").await.is_none(),
        "what stands on it has gone before"
    );
    let asked = room.shelf.asked_to_remove();
    assert!(asked.contains(&base.meta.uid));
    assert!(!asked.contains(&tower.meta.uid), "nobody began with it");

    room.shelf.mends();
    testkit::eventually("the environment goes by itself", LONG, || async {
        room.environment("dev").await.is_none().then_some(())
    })
    .await;
    let late = room.abandon(&base.meta.name).await.unwrap_err();
    assert_eq!(late.kind, ErrorKind::NotFound);
    assert!(room.remnants().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_out_is_told_where_the_server_advises_nothing() {
    let room = Room::open().await;
    room.succeeded(&room.deploy("notes:1", &[("box", 1)], &[]).await)
        .await;
    room.shelf.is_silent("the shelf is gone");
    room.end("dev").await;
    let stuck = room.removal_fails("box").await;
    let way_out = format!("`towpath resource abandon {} --env dev`", stuck.meta.name);
    let remedy = stuck.status.remedy.unwrap();
    assert!(remedy.contains(&way_out), "{remedy}");
    testkit::eventually("the environment says it, too", LONG, || async {
        let remaining = room.environment("dev").await?.status.remaining.join("\n");
        (remaining.contains("the shelf is gone; ") && remaining.contains(&way_out)).then_some(())
    })
    .await;

    // It may be mended yet: then it goes as any other does.
    room.shelf.mends();
    testkit::eventually("the environment goes", LONG, || async {
        room.environment("dev").await.is_none().then_some(())
    })
    .await;
    assert_eq!(room.shelf.removed(), [json!(1)]);
}
