//! No webhook leads into the platform's own network, whatever its address looks like.

use kernel::outbound::Reach;
use serde_json::json;
use testkit::eventually;

use crate::{
    receiver::Receiver,
    support::{Replica, SOON, happen, settings, store},
};

#[tokio::test]
async fn private_addresses_are_refused_when_a_subscription_is_written() {
    let (store, _directory) = store().await;
    let mut settings = settings();
    settings.reach = Reach::public();
    let platform = Replica::new(store, settings);
    let path = "/v1/teams/pay/subscriptions/hook";
    for url in [
        "http://hooks.example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://192.168.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/",
        "https://localhost/",
        "https://2130706433/",
        "https://user:canary@hooks.example.com/",
        "gopher://hooks.example.com/",
        "canary",
    ] {
        let body = json!({ "types": ["*"], "url": url });
        let (status, answer) = platform.ask("pay", "PUT", path, body).await;
        assert_eq!(status, 422, "{url}: {answer}");
        assert_eq!(answer["problems"][0]["rule"], "subscription/url");
        assert!(answer["problems"][0]["remedy"].is_string());
        if url.starts_with("https://127.") {
            let remedy = answer["problems"][0]["remedy"].as_str().unwrap_or_default();
            assert!(remedy.contains("up --webhooks-allow"), "{answer}");
        }
    }
    let body = json!({ "types": ["*"], "url": "https://hooks.example.com/x" });
    assert_eq!(platform.ask("pay", "PUT", path, body).await.0, 201);
}

/// What an address leads to is judged when it is connected to: rules that were tightened, and names that
/// lead elsewhere by now, let nothing through.
#[tokio::test]
async fn private_addresses_are_refused_when_an_event_is_sent() {
    let (store, _directory) = store().await;
    let receiver = Receiver::good().await;
    let named = receiver.url().replace("127.0.0.1", "localhost");
    let open = Replica::new(store.clone(), settings());
    open.subscribe("address", &["thing.*"], &receiver.url())
        .await;
    open.subscribe("name", &["thing.*"], &named).await;
    let mut settings = settings();
    // Something is allowed, so that names are resolved; only not where this one leads.
    settings.reach = Reach::public_and(vec!["192.0.2.0/24".parse().unwrap()]);
    let closed = Replica::new(store, settings).deliver();
    happen(&closed.store, "pay", "thing.made", "0").await;
    for name in ["address", "name"] {
        let letters = eventually("it is given up", SOON, async || {
            Some(closed.letters(name).await).filter(|letters| !letters.is_empty())
        })
        .await;
        let reason = letters[0]["status"]["last"]["reason"].as_str().unwrap();
        assert!(!reason.contains("answered"), "{reason}");
    }
    assert!(receiver.received().is_empty());
    closed.stop().await;
}
