//! A publisher that runs wild is held up, and nobody else.

use serde_json::{Value, json};

use crate::support::{Database, scan};

#[tokio::test]
async fn a_flood_is_held_up_and_says_until_when() {
    let database = Database::sqlite();
    let replica = database.replica().await;
    let batch = |run: usize| -> Value {
        (0..100)
            .map(|n| scan(json!({ "id": format!("{run}-{n}") })))
            .collect()
    };
    let mut taken = 0;
    let refused = loop {
        let answer = replica.publish("pay", &batch(taken)).await;
        if answer.status != 200 {
            break answer;
        }
        taken += 1;
        assert!(taken < 100, "nothing holds it up");
    };
    assert!(taken >= 20, "{taken}");
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert_eq!(
        refused.body["type"],
        "https://towpath.dev/problems/too-many"
    );
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    assert!(
        refused.body["detail"].as_str().unwrap().contains("`pay`"),
        "{}",
        refused.body
    );

    let counts = replica.counts();
    let all = u64::try_from(taken * 100).unwrap();
    assert_eq!((counts.taken, counts.known, counts.held_up), (all, 0, 100));

    // Nothing of what was refused is there, and others go on.
    let theirs = replica
        .publish("shop", &scan(json!({ "team": "shop" })))
        .await;
    assert_eq!(theirs.status, 200, "{}", theirs.body);
    let head = replica.store.head().await.unwrap();
    assert_eq!(head, i64::try_from(taken * 100 + 1).unwrap());
}

#[tokio::test]
async fn what_the_store_does_not_take_holds_up_nobody() {
    let database = Database::sqlite();
    let replica = database.replica().await;
    replica.store.close().await;
    let batch: Value = (0..100)
        .map(|n| scan(json!({ "id": n.to_string() })))
        .collect();
    // Twice what is taken at once.
    for _ in 0..40 {
        let answer = replica.publish("pay", &batch).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
    }
    assert_eq!(replica.counts().held_up, 0);
}

#[tokio::test]
async fn who_sends_the_same_again_and_again_is_held_up() {
    let database = Database::sqlite();
    let replica = database.replica().await;
    for (team, other, status) in [("pay", json!({}), 200), ("shop", json!({ "data": 1 }), 409)] {
        let batch = |with: &Value| -> Value {
            (0..100)
                .map(|n| {
                    let mut event = scan(json!({ "id": n.to_string(), "team": team }));
                    event
                        .as_object_mut()
                        .unwrap()
                        .extend(with.as_object().unwrap().clone());
                    event
                })
                .collect()
        };
        assert_eq!(replica.publish(team, &batch(&json!({}))).await.status, 200);
        let mut asked = 0;
        let refused = loop {
            let answer = replica.publish(team, &batch(&other)).await;
            if answer.status != status {
                break answer;
            }
            asked += 1;
            assert!(asked < 100, "nothing holds up {team}");
        };
        assert_eq!(refused.status, 429, "{}", refused.body);
    }
}
