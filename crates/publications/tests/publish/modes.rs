//! The envelope, and the three ways to send it.

use axum::body::Body;
use jiff::Timestamp;
use kernel::Outcome;
use publications::{api::CloudEvent, model::Draft};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{BATCH, Database, STRUCTURED, scan};

on_both!(
    what_was_published_is_read_and_followed,
    a_trigger_and_its_result_are_two_events,
    a_batch_is_published_whole_or_not_at_all,
    each_mode_says_the_same,
    in_binary_mode_data_may_be_left_out,
);

async fn what_was_published_is_read_and_followed(database: &Database) {
    let replica = database.replica().await;
    let other = database.second(&replica).await;
    let (member, stranger) = (other.follow("pay").await, other.follow("shop").await);
    let correlation = Uuid::now_v7();
    let event = scan(json!({
        "subject": "notes:1.4", "time": "2026-01-02T03:04:05.678Z", "outcome": "fail",
        "correlation": correlation, "links": "https://ci.acme.example/7 https://acme.example/wiki",
        "environment": "pay-dev", "namespace": "pay-dev", "cluster": "eu-1", "region": "eu",
        "role": "dev", "component": "notes", "kind": "Image", "version": "1.4", "attempt": 2,
        "final": true, "datacontenttype": "application/json; charset=utf-8", "comexampleextra": null,
        "data": { "critical": 2, "found": ["CVE-2026-1"] },
    }));
    let answer = replica.publish("pay", &event).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said = &answer.body["items"][0];
    assert_eq!(
        (
            &said["source"],
            &said["id"],
            &said["team"],
            &said["duplicate"]
        ),
        (&event["source"], &json!("1"), &json!("pay"), &json!(false))
    );
    let read = replica.seen("pay", "").await.remove(0);
    let mut expected = event.clone();
    expected["datacontenttype"] = json!("application/json");
    expected.as_object_mut().unwrap().remove("comexampleextra");
    for (name, value) in [
        ("seq", said["seq"].clone()),
        ("entry", said["entry"].clone()),
        ("actor", json!("account:pay/ci")),
        ("means", json!("admin-token")),
        ("received", read["received"].clone()),
    ] {
        expected[name] = value;
    }
    assert_eq!(read, expected);
    let received: Timestamp = read["received"].as_str().unwrap().parse().unwrap();
    assert!(Timestamp::now().duration_since(received).as_secs() < 60);

    assert_eq!(member.await, read);
    for query in [
        "?type=com.acme",
        "?team=pay",
        "?subject=notes:1.4",
        "?actor=account:pay/ci",
        &format!("?correlation={correlation}"),
    ] {
        assert_eq!(
            replica.seen("pay", query).await,
            std::slice::from_ref(&read),
            "{query}"
        );
        assert_eq!(replica.seen("admin", query).await.len(), 1, "{query}");
        let stranger = replica.read("shop", query).await;
        if query == "?team=pay" {
            // Whoever is not in a team is told of it what is told of none.
            assert_eq!(stranger.status, 404, "{}", stranger.body);
        } else {
            assert_eq!(stranger.body["items"], json!([]), "{query}");
        }
    }
    assert!(replica.seen("pay", "?type=scan").await.is_empty());
    // Whoever follows for another team gets the next of their own first.
    let theirs = scan(json!({ "team": "shop" }));
    assert_eq!(replica.publish("shop", &theirs).await.status, 200);
    assert_eq!(stranger.await["team"], "shop");
}

async fn a_trigger_and_its_result_are_two_events(database: &Database) {
    let replica = database.replica().await;
    let triggered = scan(json!({ "type": "com.acme.scan.triggered" }));
    let answer = replica.publish("pay", &triggered).await;
    let correlation = &answer.body["items"][0]["correlation"];
    let named = answer.headers["correlation-id"].to_str().unwrap();
    assert_eq!(correlation, named);
    let result = scan(json!({ "id": "2", "correlation": correlation, "outcome": "pass" }));
    assert_eq!(replica.publish("pay", &result).await.status, 200);
    let both = replica.seen("pay", &format!("?correlation={named}")).await;
    let told: Vec<_> = both
        .iter()
        .map(|event| (&event["type"], event.get("outcome")))
        .collect();
    let expected = [
        (&json!("com.acme.scan.triggered"), None),
        (&json!("com.acme.scan.finished"), Some(&json!("pass"))),
    ];
    assert_eq!(told, expected);
    // Without a time it is the platform's.
    assert_eq!(both[0]["time"], both[0]["received"]);
    assert_eq!(both[0]["data"], Value::Null);
}

async fn a_batch_is_published_whole_or_not_at_all(database: &Database) {
    let replica = database.replica().await;
    let batch: Vec<_> = (0..100)
        .map(|number| scan(json!({ "id": number.to_string() })))
        .collect();
    let answer = replica.publish("pay", &json!(batch)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seqs: Vec<_> = answer.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["seq"].clone())
        .collect();
    assert_eq!(json!(seqs), json!((1..=100).collect::<Vec<_>>()));
    assert_eq!(
        replica.publish("pay", &json!([])).await.body,
        json!({ "items": [] })
    );

    let one_is_wrong = json!([
        scan(json!({ "id": "a" })),
        scan(json!({ "id": "b", "type": "wrong", "outcome": "perhaps" })),
        scan(json!({ "id": "c", "source": null })),
    ]);
    let answer = replica.publish("pay", &one_is_wrong).await;
    assert_eq!(answer.status, 422);
    let paths: Vec<_> = answer.body["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["path"])
        .collect();
    assert_eq!(
        json!(paths),
        json!(["[1].type", "[1].outcome", "[2].source"])
    );
    let one_is_anothers = json!([scan(json!({ "id": "a" })), scan(json!({ "team": "shop" }))]);
    assert_eq!(replica.publish("pay", &one_is_anothers).await.status, 403);
    let too_many = vec![scan(json!({})); 101];
    let answer = replica.publish("pay", &json!(too_many)).await;
    assert_eq!(
        (answer.status, &answer.body["problems"][0]["rule"]),
        (422, &json!("event/count"))
    );
    assert_eq!(replica.seen("pay", "?limit=1000").await.len(), 100);
}

async fn each_mode_says_the_same(database: &Database) {
    let replica = database.replica().await;
    let event = |id: &str| {
        scan(json!({ "id": id, "subject": "Grüße, 50%", "data": { "a": [1] }, "attempt": "2" }))
    };
    let as_json = [("content-type", "application/json")];
    let structured = [(
        "content-type",
        "application/cloudevents+json; charset=UTF-8",
    )];
    let batch = [("content-type", BATCH)];
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "4"),
        ("ce-source", "https://ci.acme.example/scans"),
        ("ce-type", "com.acme.scan.finished"),
        ("ce-team", "pay"),
        ("ce-subject", "Gr%C3%BC%C3%9Fe%2C 50%25"),
        ("ce-attempt", "2"),
    ];
    let sent = [
        replica
            .post("pay", &structured, event("1").to_string())
            .await,
        replica.post("pay", &as_json, event("2").to_string()).await,
        replica
            .post("pay", &batch, json!([event("3")]).to_string())
            .await,
        replica.post("pay", &binary, r#"{"a": [1]}"#).await,
        replica
            .post("pay", &as_json, json!([event("5")]).to_string())
            .await,
    ];
    for answer in &sent {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let seen = replica.seen("pay", "").await;
    assert_eq!(seen.len(), sent.len());
    for (at, event) in seen.iter().enumerate() {
        assert_eq!(event["id"], (at + 1).to_string());
        for name in ["type", "source", "subject", "attempt", "data", "team"] {
            assert_eq!(event[name], seen[0][name], "{name} of {event}");
        }
    }
    assert_eq!(seen[0]["subject"], "Grüße, 50%");

    // What does not fit its mode is told.
    let list = json!([event("6")]).to_string();
    let one = event("6").to_string();
    for (kind, body) in [
        (STRUCTURED, list.as_str()),
        (BATCH, &one),
        ("text/plain", &one),
    ] {
        let answer = replica
            .post("pay", &[("content-type", kind)], body.to_owned())
            .await;
        assert_eq!(answer.status, 422, "{kind}");
        assert!(answer.body["remedy"].is_string(), "{}", answer.body);
    }
}

async fn in_binary_mode_data_may_be_left_out(database: &Database) {
    let replica = database.replica().await;
    let of = |id: &'static str| {
        [
            ("ce-specversion", "1.0"),
            ("ce-id", id),
            ("ce-source", "https://ci.acme.example/scans"),
            ("ce-type", "com.acme.scan.finished"),
            ("ce-team", "pay"),
        ]
    };
    // As SDKs send it; and as those do that always say a Content-Type.
    let bare = replica.post("pay", &of("1"), Body::empty()).await;
    assert_eq!(bare.status, 200, "{}", bare.body);
    let mut said = of("2").to_vec();
    said.push(("content-type", "application/json"));
    let said = replica.post("pay", &said, Body::empty()).await;
    assert_eq!(said.status, 200, "{}", said.body);
    let seen = replica.seen("pay", "").await;
    assert_eq!(seen.len(), 2);
    for (event, id) in seen.iter().zip(["1", "2"]) {
        assert_eq!((&event["id"], &event["data"]), (&json!(id), &Value::Null));
    }
    // Without its attributes, nothing is no event.
    for headers in [vec![], vec![("content-type", STRUCTURED), ("ce-id", "3")]] {
        let answer = replica.post("pay", &headers, Body::empty()).await;
        assert_eq!(answer.status, 422, "{headers:?}");
    }
}

/// The type that clients send and the API's description names, and the reader that reads it, are two: what
/// the one has a field for is no mere attribute to the other.
#[test]
fn what_the_description_names_is_read_by_its_name() {
    let now = Timestamp::now();
    let correlation = Uuid::now_v7();
    let event = CloudEvent {
        specversion: "1.0".into(),
        id: "7".into(),
        source: "https://ci.acme.example/scans".into(),
        kind: "com.acme.scan.finished".into(),
        subject: Some("notes:1.4".into()),
        time: Some(now),
        team: Some("pay".into()),
        outcome: Some(Outcome::Pass),
        correlation: Some(correlation),
        data: json!({ "critical": 0 }),
        attributes: [("cluster".to_owned(), json!("eu-1"))].into(),
    };
    let Value::Object(envelope) = json!(event) else {
        panic!("an event is an object");
    };
    // Eleven fields, of which one is flat: none was left out for being empty.
    assert_eq!(envelope.len(), 11, "{envelope:?}");
    let draft = Draft::read(envelope, "", now).unwrap();
    assert_eq!(draft.attributes, event.attributes);
    let named = (draft.id, draft.source, draft.kind, Some(draft.subject));
    assert_eq!(named, (event.id, event.source, event.kind, event.subject));
    let optional = (draft.time, draft.team, draft.outcome, draft.correlation);
    let said = (event.time, event.team, event.outcome, event.correlation);
    assert_eq!(optional, said);
    assert_eq!(draft.data, event.data);
}
