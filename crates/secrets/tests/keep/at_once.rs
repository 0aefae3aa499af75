//! Many who write one secret at the same moment: none is refused.

use std::sync::Arc;

use futures::future::join_all;
use secrets::Sealed;
use serde_json::json;

use crate::support::{Desk, Room};

const PATH: &str = "payments/secrets/app%2Fa";
const WHO: &str = "person.payments";

fn desk(room: Room) -> Desk {
    let values = Sealed::new(room.store.clone());
    Desk::on(room, Arc::new(values))
}

async fn thirty_who_write_one_secret_all_do(room: Room) {
    let desk = desk(room);
    let all = (0..30).map(|number| {
        let (desk, body) = (
            &desk,
            json!({ "value": { "value": format!("value-{number}") } }),
        );
        async move { desk.ask(WHO, "PUT", PATH, &body).await }
    });
    for answer in join_all(all).await {
        assert_eq!(answer.status, 200, "{}", answer.json);
    }
    assert_eq!(desk.get(WHO, PATH).await.json["version"], 30);
}

/// Whoever rotates it second finds it rotated.
async fn what_several_rotate_at_once_fails_for_none(room: Room) {
    let desk = desk(room);
    let drawn = json!({ "generate": 32 });
    let answer = desk.ask(WHO, "PUT", PATH, &drawn).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    let rotate = json!({ "path": "app" });
    let all = (0..5).map(|_| desk.ask(WHO, "POST", "payments/secret-rotations", &rotate));
    for answer in join_all(all).await {
        assert_eq!(answer.status, 200, "{}", answer.json);
        let rotation = &answer.json["items"][0]["rotation"];
        assert!(
            rotation == "rotated" || rotation == "already",
            "{}",
            answer.json
        );
    }
}

mod sqlite {
    use super::Room;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn thirty_who_write_one_secret_all_do() {
        super::thirty_who_write_one_secret_all_do(Room::sqlite().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_several_rotate_at_once_fails_for_none() {
        super::what_several_rotate_at_once_fails_for_none(Room::sqlite().await).await;
    }
}

mod postgres {
    use super::Room;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn thirty_who_write_one_secret_all_do() {
        if let Some(room) = Room::postgres().await {
            super::thirty_who_write_one_secret_all_do(room).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_several_rotate_at_once_fails_for_none() {
        if let Some(room) = Room::postgres().await {
            super::what_several_rotate_at_once_fails_for_none(room).await;
        }
    }
}
