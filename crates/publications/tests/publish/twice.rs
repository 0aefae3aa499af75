//! The same source and id is the same event.

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Database, scan};

on_both!(
    what_is_sent_twice_is_there_once,
    of_many_who_send_the_same_at_once_one_publishes_it,
);

async fn what_is_sent_twice_is_there_once(database: &Database) {
    let replica = database.replica().await;
    let first = replica
        .publish("pay", &scan(json!({ "data": { "a": 1, "b": 2 } })))
        .await;
    // Another order of fields, and another time, is no other event.
    let again = scan(json!({ "time": "2026-01-01T00:00:00Z", "data": { "b": 2, "a": 1 } }));
    let again = replica.publish("pay", &again).await;
    assert_eq!((first.status, again.status), (200, 200));
    let (first, again) = (&first.body["items"][0], &again.body["items"][0]);
    assert_eq!(
        (&first["duplicate"], &again["duplicate"]),
        (&json!(false), &json!(true))
    );
    for name in ["seq", "entry", "correlation"] {
        assert_eq!(first[name], again[name], "{name}");
    }
    // Another team's is another's, and this one's is not told of.
    let theirs = replica
        .publish("shop", &scan(json!({ "team": "shop" })))
        .await;
    assert_eq!(
        theirs.body["items"][0]["duplicate"], false,
        "{}",
        theirs.body
    );

    for other in [
        json!({ "type": "com.acme.scan.begun" }),
        json!({ "outcome": "pass" }),
        json!({ "subject": "x" }),
        json!({ "data": 1 }),
    ] {
        let mut event = scan(json!({ "data": { "a": 1, "b": 2 } }));
        event
            .as_object_mut()
            .unwrap()
            .extend(other.as_object().unwrap().clone());
        let answer = replica.publish("pay", &event).await;
        assert_eq!(answer.status, 409, "{other}");
        assert!(
            answer.body["remedy"]
                .as_str()
                .unwrap()
                .contains("id of its own")
        );
    }
    assert_eq!(replica.seen("admin", "").await.len(), 2);
}

async fn of_many_who_send_the_same_at_once_one_publishes_it(database: &Database) {
    let one = database.replica().await;
    let two = database.second(&one).await;
    let mut sending = JoinSet::new();
    for number in 0..40 {
        let replica = if number % 2 == 0 { &one } else { &two }.clone();
        // Each has one of its own beside the one that all send.
        let own = scan(json!({ "id": format!("own-{number}") }));
        let batch = json!([own, scan(json!({ "id": "shared" }))]);
        sending.spawn(async move { replica.publish("pay", &batch).await });
    }
    let mut new = 0;
    while let Some(answer) = sending.join_next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["items"][0]["duplicate"], false);
        new += usize::from(answer.body["items"][1]["duplicate"] == false);
    }
    assert_eq!(new, 1);
    assert_eq!(two.seen("pay", "?limit=1000").await.len(), 41);
}
