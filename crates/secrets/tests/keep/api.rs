//! What the API takes and answers.

use serde_json::{Value, json};

use crate::support::Desk;

const ONE: &str = "payments/secrets/stripe%2Fapi-key";

#[tokio::test]
async fn a_value_is_told_on_request_alone() {
    let desk = Desk::open().await;
    let body = json!({ "value": { "value": "canary-1" }, "description": "for the till" });
    let written = desk.ask("person.payments", "PUT", ONE, &body).await;
    assert_eq!(written.status, 200);
    assert_eq!(written.etag.as_deref(), Some("\"1\""));
    assert_eq!(written.json["name"], "stripe/api-key");
    assert_eq!(
        written.json["reference"],
        "towpath://payments/stripe/api-key"
    );
    assert_eq!(written.json["versions"][0]["by"], "test:payments");

    let shown = desk.get("person.payments", ONE).await.json;
    let listed = desk.get("person.payments", "payments/secrets").await.json;
    assert_eq!(listed["items"][0], shown);
    let value = desk
        .get("service.payments", &format!("{ONE}/value"))
        .await
        .json;
    assert_eq!(
        value,
        json!({ "version": 1, "value": "canary-1", "encoding": "utf8" })
    );

    let events = desk.events().await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["dev.towpath.secret.written", "dev.towpath.secret.revealed"]
    );
    assert_eq!(events[1].actor, "test:payments");
    assert_eq!(events[1].subject, "TeamSecret/payments/stripe/api-key");
    assert_eq!(events[1].team, "payments");
    for shown in [
        written.json.to_string(),
        listed.to_string(),
        serde_json::to_string(&events).unwrap(),
    ] {
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[tokio::test]
async fn versions_are_kept_up_to_ten() {
    let desk = Desk::open().await;
    for number in 1..=12 {
        assert_eq!(desk.write(ONE, &format!("v{number}")).await, number);
    }
    let shown = desk.get("admin", ONE).await.json;
    let versions = shown["versions"].as_array().unwrap().iter();
    let numbers: Vec<u64> = versions.map(|v| v["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (3..=12).rev().collect::<Vec<u64>>());
    for number in 3..=12 {
        let path = format!("{ONE}/value?version={number}");
        let value = desk.get("admin", &path).await.json;
        assert_eq!(value["value"], format!("v{number}"));
    }
    for gone in [0, 2, 13] {
        let answer = desk
            .get("admin", &format!("{ONE}/value?version={gone}"))
            .await;
        assert_eq!(answer.status, 404, "{gone}");
    }
}

#[tokio::test]
async fn what_is_written_already_is_not_written_again() {
    let desk = Desk::open().await;
    assert_eq!(desk.write(ONE, "a").await, 1);
    assert_eq!(desk.write(ONE, "a").await, 1);
    assert_eq!(desk.write(ONE, "b").await, 2);
    assert_eq!(desk.write(ONE, "a").await, 3);
    assert_eq!(desk.events().await.len(), 3);
}

#[tokio::test]
async fn only_the_expected_version_is_replaced() {
    let desk = Desk::open().await;
    let body = |text: &str| json!({ "value": { "value": text } });
    let put = async |text: &str, expected| {
        desk.ask_if("admin", "PUT", ONE, &body(text), Some(expected))
            .await
            .status
    };
    assert_eq!(put("a", 1).await, 412);
    assert_eq!(put("a", 0).await, 200);
    assert_eq!(put("b", 0).await, 412);
    assert_eq!(put("b", 1).await, 200);
    let removed = desk
        .ask_if("admin", "DELETE", ONE, &Value::Null, Some(1))
        .await;
    assert_eq!(removed.status, 412);
    let removed = desk
        .ask_if("admin", "DELETE", ONE, &Value::Null, Some(2))
        .await;
    assert_eq!(removed.status, 204);
    assert_eq!(desk.get("admin", ONE).await.status, 404);
    assert_eq!(desk.write(ONE, "anew").await, 1);
}

#[tokio::test]
async fn bad_input_is_refused_and_nothing_is_made() {
    let desk = Desk::open().await;
    let long = "x".repeat(64 * 1024 + 1);
    for (body, status) in [
        (json!({}), 422),
        (json!({ "value": { "value": "" } }), 422),
        (json!({ "value": { "value": "a" }, "generate": 32 }), 422),
        (
            json!({ "value": { "value": "a", "encoding": "base64" } }),
            422,
        ),
        (json!({ "generate": 3 }), 422),
        (json!({ "value": { "value": long } }), 413),
        (json!({ "value": "a" }), 422),
    ] {
        let answer = desk.ask("admin", "PUT", ONE, &body).await;
        assert_eq!(answer.status, status, "{}", answer.json);
        assert_eq!(answer.json["status"], status);
    }
    for name in ["Upper", "a%2F", "%2Fa", "a%2F%2Fb", "a%20b", "-a", "a%00"] {
        let body = json!({ "value": { "value": "a" } });
        let path = format!("payments/secrets/{name}");
        assert_eq!(
            desk.ask("admin", "PUT", &path, &body).await.status,
            422,
            "{name}"
        );
    }
    let managed = "payments/secrets/deploy-credentials%2Fpayments-dev%2Fci";
    let body = json!({ "value": { "value": "a" } });
    let answer = desk.ask("admin", "PUT", managed, &body).await;
    assert_eq!(answer.status, 409, "{}", answer.json);
    let listed = desk.get("admin", "payments/secrets").await.json;
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test]
async fn bytes_that_are_no_text_come_back_as_they_were() {
    let desk = Desk::open().await;
    let body = json!({ "value": { "value": "/wD+", "encoding": "base64" } });
    assert_eq!(desk.ask("admin", "PUT", ONE, &body).await.status, 200);
    let value = desk.get("admin", &format!("{ONE}/value")).await.json;
    assert_eq!(value["value"], "/wD+");
    assert_eq!(value["encoding"], "base64");
}

#[tokio::test]
async fn lists_go_by_path_and_by_page() {
    let desk = Desk::open().await;
    for name in ["a", "a%2Fb", "a%2Fb%2Fc", "ab", "z"] {
        desk.write(&format!("payments/secrets/{name}"), "v").await;
    }
    desk.write("shop/secrets/a", "v").await;
    let names = async |query: &str| -> (Vec<String>, Option<String>) {
        let page = desk
            .get("admin", &format!("payments/secrets?{query}"))
            .await;
        let items = page.json["items"].as_array().unwrap().iter();
        let names = items.map(|item| item["name"].as_str().unwrap().to_owned());
        (
            names.collect(),
            page.json["next"].as_str().map(str::to_owned),
        )
    };
    assert_eq!(names("").await.0, ["a", "a/b", "a/b/c", "ab", "z"]);
    assert_eq!(names("path=a").await.0, ["a", "a/b", "a/b/c"]);
    assert_eq!(names("path=a/b/").await.0, ["a/b", "a/b/c"]);
    let (first, next) = names("limit=2").await;
    assert_eq!(first, ["a", "a/b"]);
    let (second, _) = names(&format!("limit=2&after={}", next.unwrap())).await;
    assert_eq!(second, ["a/b/c", "ab"]);
    assert_eq!(names("limit=5").await.1, None);
}

#[tokio::test]
async fn a_rotation_draws_what_the_platform_drew() {
    let desk = Desk::open().await;
    let drawn = "payments/secrets/app%2Fsession";
    let body = json!({ "generate": 48 });
    for _ in 0..2 {
        // Asked twice it is drawn once.
        let answer = desk.ask("person.payments", "PUT", drawn, &body).await;
        assert_eq!(answer.json["version"], 1, "{}", answer.json);
        assert_eq!(answer.json["origin"], "generated");
    }
    let value = async || {
        let answer = desk.get("admin", &format!("{drawn}/value")).await.json;
        answer["value"].as_str().unwrap().to_owned()
    };
    let before = value().await;
    assert_eq!(before.len(), 64);
    desk.write("payments/secrets/app%2Fstripe", "hand").await;

    let rotate = json!({ "path": "app" });
    let answer = desk
        .ask(
            "person.payments",
            "POST",
            "payments/secret-rotations",
            &rotate,
        )
        .await;
    let items = answer.json["items"].as_array().unwrap();
    assert_eq!(items[0]["rotation"], "rotated");
    assert_eq!(items[0]["version"], 2);
    assert_eq!(items[1]["rotation"], "written");
    assert_eq!(items[1]["version"], 1);
    let after = value().await;
    assert_ne!(before, after);
    assert_eq!(after.len(), 64);

    let nothing = json!({ "path": "nothing" });
    let answer = desk
        .ask(
            "person.payments",
            "POST",
            "payments/secret-rotations",
            &nothing,
        )
        .await;
    assert_eq!(answer.status, 404);
}
