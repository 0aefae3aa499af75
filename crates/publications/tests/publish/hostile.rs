//! What is not as it should be is refused, with the rule, the place and what to do; nothing of it is kept.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Database, STRUCTURED, scan};

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_its_name() {
    let database = Database::sqlite();
    let replica = database.replica().await;
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("a{n}"), json!(n))).collect();
    let cases = [
        (json!({ "specversion": null }), "event/specversion"),
        (json!({ "specversion": "0.3" }), "event/specversion"),
        (json!({ "id": null }), "event/id"),
        (json!({ "id": "" }), "event/id"),
        (json!({ "id": " " }), "event/id"),
        (json!({ "id": 7 }), "event/id"),
        (json!({ "id": "a\u{0}b" }), "event/id"),
        (json!({ "id": "x".repeat(257) }), "event/id"),
        (json!({ "source": null }), "event/source"),
        (json!({ "source": "not a uri" }), "event/source"),
        (json!({ "source": "/towpath/0199d9a8" }), "event/source"),
        (json!({ "source": "//Towpath/0199d9a8" }), "event/source"),
        (
            json!({ "source": "a/../%74owpath/0199d9a8" }),
            "event/source",
        ),
        (json!({ "type": null }), "event/type"),
        (json!({ "type": "finished" }), "event/type"),
        (json!({ "type": "deployment.succeeded" }), "event/type"),
        (json!({ "type": "com.example." }), "event/type"),
        (json!({ "type": "com.example.a b" }), "event/type"),
        (json!({ "type": "com.example.名前" }), "event/type"),
        (
            json!({ "type": format!("com.example.{}", "x".repeat(120)) }),
            "event/type",
        ),
        (
            json!({ "type": "dev.towpath.deployment.succeeded" }),
            "event/type",
        ),
        (
            json!({ "type": "DEV.Towpath.deployment.succeeded" }),
            "event/type",
        ),
        (json!({ "subject": "" }), "event/subject"),
        (json!({ "subject": "a\nb" }), "event/subject"),
        (json!({ "subject": "\u{1b}[2J" }), "event/subject"),
        (json!({ "subject": "\u{202e}live" }), "event/subject"),
        (json!({ "subject": "x".repeat(513) }), "event/subject"),
        (json!({ "time": "yesterday" }), "event/time"),
        (json!({ "time": "2999-01-01T00:00:00Z" }), "event/time"),
        (json!({ "time": 1_767_225_600 }), "event/time"),
        (json!({ "outcome": "PASS" }), "event/outcome"),
        (json!({ "outcome": true }), "event/outcome"),
        (json!({ "correlation": "run-7" }), "event/correlation"),
        (json!({ "team": ["pay"] }), "event/team"),
        (json!({ "datacontenttype": "text/xml" }), "event/attribute"),
        (json!({ "data_base64": "AAAA" }), "event/attribute"),
        (json!({ "data": nested(65) }), "event/data"),
        (json!({ "data": "x".repeat(64 * 1024) }), "event/size"),
        (json!({ "links": "javascript:alert(1)" }), "event/attribute"),
        (json!({ "links": ["https://a.example"] }), "event/attribute"),
        (
            json!({ "links": "https://a.example ".repeat(11) }),
            "event/attribute",
        ),
        (json!({ "Cluster": "eu" }), "event/attribute"),
        (json!({ "my-cluster": "eu" }), "event/attribute"),
        (json!({ "x".repeat(41): "eu" }), "event/attribute"),
        (json!({ "cluster": {} }), "event/attribute"),
        (json!({ "cluster": 1.5 }), "event/attribute"),
        (json!({ "cluster": 3_000_000_000_u64 }), "event/attribute"),
        (json!({ "cluster": "x".repeat(1025) }), "event/attribute"),
        (json!({ "seq": 1 }), "event/attribute"),
        (json!({ "actor": "local:ada" }), "event/attribute"),
        (Value::Object(many), "event/attribute"),
    ];
    for (with, rule) in cases {
        let answer = replica.publish("pay", &scan(with.clone())).await;
        let told = &answer.body;
        assert_eq!(answer.status, 422, "{with}");
        assert_eq!(told["problems"][0]["rule"], rule, "{with}: {told}");
        let detail = told["detail"].as_str().unwrap();
        assert!(
            detail.chars().count() < 500 && !detail.contains('\u{1b}'),
            "{detail}"
        );
    }
    let reserved = scan(json!({ "type": "dev.towpath.deployment.succeeded" }));
    let told = replica.publish("pay", &reserved).await.body;
    assert!(
        told["detail"]
            .as_str()
            .unwrap()
            .contains("the platform's own"),
        "{told}"
    );
    assert!(replica.seen("admin", "").await.is_empty());
}

#[tokio::test]
async fn what_is_no_event_at_all_is_refused() {
    let database = Database::sqlite();
    let replica = database.replica().await;
    let deep = "[".repeat(100_000);
    for body in [
        "",
        "null",
        "1",
        "\"x\"",
        "[]",
        "[[]]",
        "{",
        "{}",
        "{\"a\":1e999}",
        "\u{feff}{}",
        "{}{}",
        &deep,
    ] {
        let headers = [("content-type", STRUCTURED)];
        let answer = replica.post("pay", &headers, body.to_owned()).await;
        assert_eq!(answer.status, 422, "{body:.20}: {}", answer.body);
    }
    let invalid = b"{\"id\": \"\xff\"}".to_vec();
    let answer = replica
        .post("pay", &[("content-type", STRUCTURED)], invalid)
        .await;
    assert_eq!(answer.status, 422);
    // Attributes as headers: none twice, and none that is no text.
    for (headers, why) in [
        ([("ce-id", "1"), ("ce-id", "2")], "there twice"),
        ([("ce-id", "%ff"), ("ce-a", "b")], "no text in UTF-8"),
        ([("ce-datacontenttype", "a/b"), ("ce-a", "b")], "is none"),
    ] {
        let answer = replica.post("pay", &headers, "{}").await;
        assert_eq!(answer.status, 422);
        assert!(
            answer.body["detail"].as_str().unwrap().contains(why),
            "{}",
            answer.body
        );
    }
    assert!(replica.seen("admin", "").await.is_empty());
}

#[tokio::test]
async fn what_is_published_can_be_read() {
    let database = Database::sqlite();
    let replica = database.replica().await;
    let nested = (0..64).fold(
        json!("NUL \u{0}, ESC \u{1b}"),
        |inner, _| json!({ "in": inner }),
    );
    let event = scan(json!({
        "data": nested, "id": "a\"b\\c", "type": "io.Acme_Corp.scan-2.0", "subject": "Workload/dev/web",
        "time": "1969-12-31T23:59:59Z", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }));
    let answer = replica.publish("pay", &event).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = replica.seen("pay", "").await.remove(0);
    for (name, value) in event.as_object().unwrap() {
        assert_eq!(&seen[name], value, "{name}");
    }
    let page = json!({ "items": [seen] }).to_string();
    let typed = serde_json::from_str::<Value>(&page).unwrap()["items"][0].clone();
    serde_json::from_value::<kernel::Event>(typed).unwrap();
}

proptest! {
    /// Whatever is sent, the answer is none of the platform's faults, and what is taken can be read.
    #[test]
    fn anything_may_be_sent(name in "[a-z]{1,8}|\\PC{0,8}", text in "\\PC{0,40}", number in any::<f64>()) {
        for value in [json!(text), json!(number), json!([text]), json!({ name.as_str(): text })] {
            let event = scan(json!({ name.as_str(): value, "data": value }));
            let envelope = event.as_object().unwrap().clone();
            let now = jiff::Timestamp::now();
            if let Ok(draft) = publications::model::Draft::read(envelope, "", now) {
                prop_assert!(draft.kind.split('.').count() > 2);
                prop_assert!(!draft.source.contains("towpath"));
            }
        }
    }
}
