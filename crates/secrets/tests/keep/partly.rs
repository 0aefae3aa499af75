//! A rotation of many, of which some fail: the answer says what became of each, and it goes on.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use kernel::{Caller, Error, Name, Result};
use secrets::{
    Sealed, SecretStore, Value, Write,
    model::{SecretInfo, SecretRef},
};
use serde_json::json;

use crate::support::{Answer, Desk, Room};

/// Writes none of the secrets that are named.
struct Refusing(Sealed, Arc<Mutex<BTreeSet<&'static str>>>);

#[async_trait]
impl SecretStore for Refusing {
    fn name(&self) -> &'static str {
        "refusing"
    }

    async fn put(&self, by: &Caller, secret: &SecretRef, write: Write) -> Result<SecretInfo> {
        if self.1.lock().unwrap().contains(secret.name.as_str()) {
            return Err(Error::unavailable("the store of secrets is away").remedy("start it"));
        }
        self.0.put(by, secret, write).await
    }

    async fn get(&self, secret: &SecretRef, version: Option<u64>) -> Result<Option<Value>> {
        self.0.get(secret, version).await
    }

    async fn info(&self, secret: &SecretRef) -> Result<Option<SecretInfo>> {
        self.0.info(secret).await
    }

    async fn list(&self, team: &Name) -> Result<Vec<SecretInfo>> {
        self.0.list(team).await
    }

    async fn delete(&self, by: &Caller, secret: &SecretRef, expected: Option<u64>) -> Result<bool> {
        self.0.delete(by, secret, expected).await
    }
}

struct World {
    desk: Desk,
    refused: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl World {
    /// Three drawn secrets below `app`.
    async fn new(room: Room) -> Self {
        let refused = Arc::<Mutex<BTreeSet<&'static str>>>::default();
        let values = Refusing(Sealed::new(room.store.clone()), refused.clone());
        let desk = Desk::on(room, Arc::new(values));
        for name in ["a", "b", "c"] {
            let path = format!("payments/secrets/app%2F{name}");
            let body = json!({ "generate": 32 });
            let answer = desk.ask("person.payments", "PUT", &path, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.json);
        }
        Self { desk, refused }
    }

    fn refuse(&self, names: &[&'static str]) {
        *self.refused.lock().unwrap() = names.iter().copied().collect();
    }

    async fn rotate(&self) -> Answer {
        let path = json!({ "path": "app" });
        let at = "payments/secret-rotations";
        self.desk.ask("person.payments", "POST", at, &path).await
    }

    /// What became of each, and its version.
    async fn became(&self) -> Vec<(String, u64)> {
        let answer = self.rotate().await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        let items = answer.json["items"].as_array().unwrap();
        let became = |item: &serde_json::Value| {
            let rotation = item["rotation"].as_str().unwrap();
            let why = item["reason"].as_str();
            assert_eq!(why.is_some(), rotation == "failed", "{item}");
            if let Some(why) = why {
                assert_eq!(why, "the store of secrets is away: start it");
            }
            (rotation.to_owned(), item["version"].as_u64().unwrap())
        };
        items.iter().map(became).collect()
    }
}

fn said<const N: usize>(of: [(&str, u64); N]) -> Vec<(String, u64)> {
    of.map(|(word, version)| (word.to_owned(), version)).into()
}

async fn each_is_named_and_the_next_one_goes_on(room: Room) {
    let world = World::new(room).await;
    world.refuse(&["app/b"]);
    assert_eq!(
        world.became().await,
        said([("rotated", 2), ("failed", 1), ("rotated", 2)])
    );
    // In vain: nothing is rotated twice.
    world.refuse(&["app/b"]);
    assert_eq!(
        world.became().await,
        said([("already", 2), ("failed", 1), ("already", 2)])
    );
    world.refuse(&[]);
    assert_eq!(
        world.became().await,
        said([("already", 2), ("rotated", 2), ("already", 2)])
    );
    // That one is finished, and the next is another.
    assert_eq!(
        world.became().await,
        said([("rotated", 3), ("rotated", 3), ("rotated", 3)])
    );
}

async fn where_none_is_rotated_it_is_an_error_that_names_each(room: Room) {
    let world = World::new(room).await;
    world.refuse(&["app/a", "app/b", "app/c"]);
    let answer = world.rotate().await;
    assert_eq!(answer.status, 503, "{}", answer.json);
    let detail = answer.json["detail"].as_str().unwrap();
    for name in ["app/a", "app/b", "app/c"] {
        let part = format!("`{name}`: the store of secrets is away: start it");
        assert!(detail.contains(&part), "{detail}");
    }
    world.refuse(&[]);
    assert_eq!(
        world.became().await,
        said([("rotated", 2), ("rotated", 2), ("rotated", 2)])
    );
}

mod sqlite {
    use super::Room;

    #[tokio::test]
    async fn each_is_named_and_the_next_one_goes_on() {
        super::each_is_named_and_the_next_one_goes_on(Room::sqlite().await).await;
    }

    #[tokio::test]
    async fn where_none_is_rotated_it_is_an_error_that_names_each() {
        super::where_none_is_rotated_it_is_an_error_that_names_each(Room::sqlite().await).await;
    }
}

mod postgres {
    use super::Room;

    #[tokio::test]
    async fn each_is_named_and_the_next_one_goes_on() {
        if let Some(room) = Room::postgres().await {
            super::each_is_named_and_the_next_one_goes_on(room).await;
        }
    }
}
