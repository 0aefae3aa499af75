//! What the API takes and answers.

use kernel::EventFilter;
use serde_json::{Value, json};
use subscriptions::Settings;

use crate::support::{Replica, log, settings, store};

#[tokio::test]
async fn everything_wrong_is_said_at_once_and_nothing_is_half_made() {
    let (store, _directory) = store().await;
    let platform = Replica::new(store, settings());
    let path = "/v1/teams/pay/subscriptions/hook";
    let wrong = json!({ "types": [], "url": "http://10.0.0.1", "after": -1 });
    let (status, answer) = platform.ask("pay", "PUT", path, wrong).await;
    assert_eq!(status, 422);
    assert_eq!(answer["problems"].as_array().unwrap().len(), 3, "{answer}");
    for types in [
        json!(["Thing"]),
        json!(["a..b"]),
        json!(["a*"]),
        json!(["*.made"]),
    ] {
        let body = json!({ "types": types, "url": "http://127.0.0.1/" });
        let (status, answer) = platform.ask("pay", "PUT", path, body).await;
        assert_eq!(
            (status, &answer["title"]),
            (422, &answer["title"]),
            "{types}: {answer}"
        );
    }
    let body = json!({ "types": ["*"], "url": "http://127.0.0.1/", "secret": "whsec_canary" });
    let (status, answer) = platform.ask("pay", "PUT", path, body).await;
    assert_eq!(status, 422);
    assert!(!answer.to_string().contains("canary"), "{answer}");
    assert_eq!(platform.ask("pay", "GET", path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn types_that_there_cannot_be_are_refused() {
    let (store, _directory) = store().await;
    let words = Settings {
        words: &["deployment", "team"],
        ..settings()
    };
    let platform = Replica::new(store, words);
    let path = "/v1/teams/pay/subscriptions/hook";
    for (kind, status, near) in [
        ("depolyment.*", 422, "`deployment.*`"),
        ("dev.towpath.teams.*", 422, "`team.*`"),
        ("acme.finished", 422, "docs/events.md"),
        ("acme.*", 201, ""),
        ("acme.scan.finished", 200, ""),
        ("dev.towpath.*", 200, ""),
        ("team.sync", 200, ""),
    ] {
        let body = json!({ "types": [kind], "url": "http://127.0.0.1:1/" });
        let (found, answer) = platform.ask("pay", "PUT", path, body).await;
        assert_eq!(found, status, "{kind}: {answer}");
        let remedy = answer["problems"][0]["remedy"].as_str().unwrap_or_default();
        assert!(remedy.contains(near), "{kind}: {answer}");
    }
}

#[tokio::test]
async fn subscriptions_are_their_teams_own() {
    let (store, _directory) = store().await;
    let platform = Replica::new(store, settings());
    platform
        .subscribe("hook", &["*"], "http://127.0.0.1:1/canary")
        .await;
    let path = "/v1/teams/pay/subscriptions/hook";
    let body = json!({ "types": ["*"], "url": "http://127.0.0.1:1/" });
    for (method, path, expected) in [
        ("GET", path.to_owned(), 404),
        ("PUT", path.to_owned(), 403),
        ("DELETE", path.to_owned(), 403),
        ("POST", format!("{path}/secrets"), 403),
        ("GET", format!("{path}/dead-letters"), 404),
        ("DELETE", format!("{path}/dead-letters/x"), 403),
        ("PUT", "/v1/platforms/subscriptions/all".to_owned(), 403),
    ] {
        let (status, answer) = platform.ask("shop", method, &path, body.clone()).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    let list = "/v1/teams/pay/subscriptions";
    let count = async |who: &str| {
        let (status, page) = platform.ask(who, "GET", list, Value::Null).await;
        assert_eq!(status, 200);
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(
        [
            count("shop").await,
            count("pay").await,
            count("admin").await
        ],
        [0, 1, 1]
    );
    let filter = EventFilter {
        type_prefix: Some(kernel::Guard::REFUSED.into()),
        ..EventFilter::default()
    };
    let refused = platform.store.events(&filter, 0, 100).await.unwrap();
    // Four of the five were to change what is another team's: one kind, told once and counted.
    let subjects: Vec<_> = refused.iter().map(|event| &*event.subject).collect();
    assert_eq!(subjects, ["Subscription/pay/hook", "Subscription/all"]);
    assert!(!log(&platform.store).await.contains("canary"));
}

#[tokio::test]
async fn a_given_secret_is_kept_and_not_answered() {
    let (store, _directory) = store().await;
    let platform = Replica::new(store, settings());
    let path = "/v1/teams/pay/subscriptions/hook";
    let body = json!({
        "types": ["thing.*", "dev.towpath.thing.*", "team.sync"],
        "url": "http://127.0.0.1:1/",
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    });
    let (status, made) = platform.ask("pay", "PUT", path, body.clone()).await;
    assert_eq!((status, made.get("secret")), (201, None));
    assert_eq!(made["spec"]["types"], json!(["team.sync", "thing.*"]));
    let (status, again) = platform.ask("pay", "PUT", path, body).await;
    assert_eq!((status, again.get("secret")), (200, None));
    let text = again.to_string() + &log(&platform.store).await;
    assert!(!text.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "{text}");
}
