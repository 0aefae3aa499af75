//! Two replicas on one Postgres: each goes on where the other has begun.

use identity::Clock;
use kernel::{Caller, Sealer, Store};
use serde_json::json;

use crate::support::{Browser, Site, settings, text};

/// Half of them at each of two replicas, with one refresh token.
async fn many_renew_at_once(one: &Site, two: &Site) {
    one.user("ada").await;
    let tokens = one.login("ada").await;
    let first = text(&tokens, "refresh_token");
    let asked = (0..32).map(|number| [one, two][number % 2].refresh(first));
    let mut given = Vec::new();
    for answer in futures::future::join_all(asked).await {
        let tokens = answer.ok().json();
        given.push(text(&tokens, "refresh_token").to_owned());
        one.whoami(text(&tokens, "access_token")).await.ok();
    }
    given.dedup();
    assert_eq!(given.len(), 1, "{given:?}");
    // It is the session's newest, and good once.
    let tokens = two.refresh(&given[0]).await.ok().json();
    assert_ne!(text(&tokens, "refresh_token"), given[0]);
    assert_eq!(one.refresh(first).await.error(), "invalid_grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_renew_at_once_get_the_same_on_sqlite() {
    let one = Site::with(settings()).await;
    let two = Site::on(one.store.clone(), settings(), one.clock.clone()).await;
    many_renew_at_once(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_renew_at_once_get_the_same_on_postgres() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let sealer = Sealer::generate().unwrap();
    let replica = || async {
        let store = Store::open(&database.url, sealer.clone()).await.unwrap();
        Site::on(store, settings(), Clock::system()).await
    };
    many_renew_at_once(&replica().await, &replica().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_are_one_platform() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let sealer = Sealer::generate().unwrap();
    let replica = || async {
        let store = Store::open(&database.url, sealer.clone()).await.unwrap();
        Site::on(store, settings(), Clock::system()).await
    };
    let (one, two) = (replica().await, replica().await);
    let admin = Caller::local_admin();
    // Both draw keys at once; one's are everybody's.
    let (keys, others) = tokio::join!(one.identity.keys(&admin), two.identity.keys(&admin));
    assert_eq!(keys.unwrap(), others.unwrap());

    one.user("ada").await;
    one.group("payments", &["ada"]).await;
    let device = one.device_start().await;
    Browser::new(&two).approve(&device, "ada").await;
    let tokens = one.device_poll(&device).await.ok().json();
    let tokens = two
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    let access = text(&tokens, "access_token");
    let who = one.whoami(access).await.ok().json();
    assert_eq!(who["teams"], json!(["payments"]));

    // At the very next call, each time.
    let teams = async || two.whoami(access).await.ok().json()["teams"].clone();
    for _ in 0..50 {
        one.group("payments", &[]).await;
        assert_eq!(teams().await, json!([]));
        one.group("payments", &["ada"]).await;
        assert_eq!(teams().await, json!(["payments"]));
    }

    let gone = json!({ "spec": { "disabled": true } });
    one.admin("PUT", "/v1/identity/users/ada", gone).await.ok();
    assert_eq!(two.whoami(access).await.status, 401);
    assert_eq!(one.whoami(access).await.status, 401);
}
