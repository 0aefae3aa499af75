//! What others were made from stays as long as they do, and no longer.

use kernel::{Caller, ErrorKind, Query, Resource};
use serde_json::{Map, Value, json};
use towpath_delivery::model::{ResourceInstance, Workload};

use crate::room::{LONG, Room};

/// Towers, which hold data, each made from a base, which holds none: from the one that is called `base`, where that
/// is said.
async fn define(room: &Room, base: Option<&str>) {
    let mut asked = json!({ "type": "base" });
    if let Some(id) = base {
        asked["id"] = json!(id);
    }
    let towers = json!({
        "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
        "metadata": { "name": "towers" },
        "spec": {
            "type": "tower", "provisioner": "shelf", "params": { "size": "${resources.base.size}" },
            "resources": { "base": asked },
        },
    });
    let bases = json!({
        "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
        "metadata": { "name": "bases" },
        "spec": {
            "type": "base", "provisioner": "shelf", "params": { "size": 7 }, "holdsData": false,
        },
    });
    room.apply(vec![towers, bases]).await.unwrap();
}

/// Deletes the workload, and waits until it is gone; what holds data stays.
async fn without_workload(room: &Room) {
    room.delete_workload().await;
    testkit::eventually("the workload goes", LONG, || async {
        let found = room
            .delivery
            .store()
            .get::<Workload>("dev", "notes")
            .await
            .unwrap();
        found.is_none().then_some(())
    })
    .await;
}

async fn base(room: &Room) -> Option<Resource<ResourceInstance>> {
    let all = Query::scope("dev");
    let all = room.delivery.store().list_all(&all).await.unwrap();
    all.into_iter()
        .find(|it: &Resource<ResourceInstance>| it.spec.node.resource_type == "base")
}

async fn base_goes(room: &Room) {
    testkit::eventually("the base goes by itself", LONG, || async {
        base(room).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kept_data_was_made_from_is_not_deleted_beneath_it() {
    let room = Room::open().await;
    define(&room, None).await;
    room.succeeded(&room.deploy_tower().await).await;
    without_workload(&room).await;
    let kept = base(&room).await.unwrap();
    assert!(kept.status.used_by.is_empty() && !kept.is_deleting());

    let refused = room.delete_thing(&kept, false).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
    assert!(
        refused
            .message
            .ends_with(" is needed by tower.default#notes.tower"),
        "{refused}"
    );
    assert!(!base(&room).await.unwrap().is_deleting());

    let again = room.deploy_tower().await;
    room.succeeded(&again).await;
    assert_eq!(base(&room).await.unwrap().meta.uid, kept.meta.uid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kept_data_was_made_from_goes_with_it() {
    let room = Room::open().await;
    define(&room, None).await;
    room.succeeded(&room.deploy_tower().await).await;
    without_workload(&room).await;
    let tower = room.thing("tower").await.unwrap();
    room.delete_thing(&tower, true).await.unwrap();
    base_goes(&room).await;
    assert!(room.thing("tower").await.is_none());
    assert_eq!(room.shelf.sizes(), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_several_were_made_from_goes_with_the_last_of_them() {
    let room = Room::open().await;
    define(&room, Some("ground")).await;
    let tower = || json!({ "type": "tower" });
    let towers = Map::from_iter(
        [("first", tower()), ("last", tower())].map(|(name, it)| (name.to_owned(), it)),
    );
    let deployed = room.deploy_to("dev", "notes:1", towers, &[]).await.unwrap();
    room.succeeded(&deployed).await;
    without_workload(&room).await;

    let first = room.thing("first").await.unwrap();
    room.delete_thing(&first, true).await.unwrap();
    testkit::eventually("the first goes", LONG, || async {
        room.thing("first").await.is_none().then_some(())
    })
    .await;
    assert!(!base(&room).await.unwrap().is_deleting());

    let last = room.thing("last").await.unwrap();
    room.delete_thing(&last, true).await.unwrap();
    base_goes(&room).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_for_what_is_given_up_goes_too() {
    let room = Room::open().await;
    define(&room, None).await;
    room.succeeded(&room.deploy_tower().await).await;
    without_workload(&room).await;
    let tower = room.thing("tower").await.unwrap();
    room.shelf.fails("the shelf is locked", true);
    room.delete_thing(&tower, true).await.unwrap();
    testkit::eventually("its removal fails", LONG, || async {
        let tower = room.thing("tower").await?;
        tower.status.removal_fails.map(drop)
    })
    .await;
    assert!(!base(&room).await.unwrap().is_deleting());

    let caller = Caller::local_admin();
    let name = &tower.meta.name;
    let given_up = room.delivery.resource_abandon(&caller, "dev", name, None);
    given_up.await.unwrap();
    room.shelf.mends();
    base_goes(&room).await;
    assert_eq!(room.shelf.sizes(), [json!(7)], "what was given up is left");
}
