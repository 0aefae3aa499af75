//! Labels of environments, which many set at once.

use std::collections::BTreeMap;

use futures::future::join_all;
use kernel::Caller;
use serde_json::{Value, json};
use towpath_delivery::api::NewEnvironment;

use crate::room::Room;

/// Has the environment `pr-1` changed by this request.
async fn change(room: &Room, request: Value) {
    let request = serde_json::from_value(request).unwrap();
    let caller = Caller::local_admin();
    let changed = room
        .delivery
        .environment_change(&caller, "pr-1", &request, None);
    changed.await.unwrap();
}

async fn labels(room: &Room) -> BTreeMap<String, String> {
    room.environment("pr-1").await.unwrap().meta.labels
}

async fn each_who_sets_a_label_leaves_those_of_others(room: Room) {
    let new = NewEnvironment {
        name: "pr-1".into(),
        labels: [("ticket".to_owned(), "17".to_owned())].into(),
        ..NewEnvironment::default()
    };
    let admin = Caller::local_admin();
    let made = room.delivery.environment_create(&admin, new).await;
    made.unwrap();
    let all = (0..10).map(|number| {
        let label = format!("by-{number}");
        change(&room, json!({ "labels": { label: "yes" } }))
    });
    join_all(all).await;
    let set = labels(&room).await;
    assert_eq!((set.len(), set["ticket"].as_str()), (11, "17"), "{set:?}");

    let some = json!({ "ticket": null, "by-0": "no", "nobody-has-it": null });
    change(&room, json!({ "labels": some })).await;
    let set = labels(&room).await;
    assert!(!set.contains_key("ticket"), "{set:?}");
    assert_eq!((set["by-0"].as_str(), set["by-1"].as_str()), ("no", "yes"));
    assert_eq!(set.len(), 10, "{set:?}");
    change(&room, json!({})).await;
    assert_eq!(labels(&room).await, set);

    // A document says all of them, unless it says none.
    for said in [json!({ "ticket": "18" }), json!({})] {
        let document = json!({
            "apiVersion": "towpath.dev/v1", "kind": "Environment",
            "metadata": { "name": "pr-1", "labels": said }, "spec": {},
        });
        room.apply(vec![document]).await.unwrap();
        let set = labels(&room).await;
        assert_eq!((set.len(), set["ticket"].as_str()), (1, "18"), "{set:?}");
    }
}

mod sqlite {
    use super::Room;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_who_sets_a_label_leaves_those_of_others() {
        super::each_who_sets_a_label_leaves_those_of_others(Room::open().await).await;
    }
}

mod postgres {
    use super::Room;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_who_sets_a_label_leaves_those_of_others() {
        if let Some(room) = Room::on_postgres().await {
            super::each_who_sets_a_label_leaves_those_of_others(room).await;
        }
    }
}
