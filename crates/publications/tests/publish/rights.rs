//! Whose event it is, and who says so.

use serde_json::json;

use crate::support::{Database, scan};

on_both!(a_team_publishes_as_itself, the_actor_is_who_calls);

async fn a_team_publishes_as_itself(database: &Database) {
    let replica = database.replica().await;
    for (number, (who, team, status, of)) in [
        ("pay", json!("pay"), 200, "pay"),
        ("pay", json!(null), 200, "pay"),
        ("pay+shop", json!("shop"), 200, "shop"),
        ("pay", json!("shop"), 403, ""),
        ("pay", json!("none"), 403, ""),
        // Nobody knows which of them.
        ("pay+shop", json!(null), 422, ""),
        ("nobody", json!(null), 403, ""),
        ("nobody", json!("pay"), 403, ""),
        ("admin", json!(null), 200, ""),
        ("admin", json!("shop"), 200, "shop"),
        ("admin", json!("none"), 404, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let event = scan(json!({ "id": number.to_string(), "team": team }));
        let answer = replica.publish(who, &event).await;
        assert_eq!(answer.status, status, "{who} for {team}: {}", answer.body);
        if status == 200 {
            assert_eq!(answer.body["items"][0]["team"], of);
        }
    }
    let seen = |events: Vec<serde_json::Value>| -> Vec<String> {
        let ids = events.iter().filter(|event| event["entry"].is_string());
        ids.map(|event| event["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(seen(replica.seen("pay", "").await), ["0", "1"]);
    assert_eq!(seen(replica.seen("shop", "").await), ["2", "9"]);
    assert_eq!(
        seen(replica.seen("admin", "").await),
        ["0", "1", "2", "8", "9"]
    );
    // What was refused is kept, as any refusal.
    let refused = replica.seen("admin", "?type=authorization.refused").await;
    assert!(
        refused
            .iter()
            .all(|event| event["data"]["action"] == "event.publish")
    );
    assert_eq!(refused.len(), 4);
}

async fn the_actor_is_who_calls(database: &Database) {
    let replica = database.replica().await;
    for name in ["actor", "means", "reason", "seq", "entry", "received"] {
        let answer = replica
            .publish("pay", &scan(json!({ name: "system:delivery" })))
            .await;
        assert_eq!(answer.status, 422, "{name}");
        assert_eq!(answer.body["problems"][0]["path"], name);
    }
    let headers = [
        ("content-type", "application/cloudevents+json"),
        ("towpath-reason", "nightly"),
    ];
    let answer = replica
        .post("pay", &headers, scan(json!({})).to_string())
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let event = replica.seen("pay", "").await.remove(0);
    assert_eq!(
        (&event["actor"], &event["reason"]),
        (&json!("account:pay/ci"), &json!("nightly"))
    );
}
