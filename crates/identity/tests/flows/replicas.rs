//! Two replicas on one Postgres: each goes on where the other has begun.

use std::time::Duration;

use identity::Clock;
use kernel::{Caller, Sealer, Store};
use serde_json::json;

use crate::support::{Browser, Site, settings, text};

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

    one.group("payments", &[]).await;
    let gone = json!({ "spec": { "disabled": true } });
    one.admin("PUT", "/v1/identity/users/ada", gone).await.ok();
    assert_eq!(one.whoami(access).await.status, 401);
    testkit::eventually(
        "the other replica knows",
        Duration::from_secs(10),
        || async { (two.whoami(access).await.status == 401).then_some(()) },
    )
    .await;
}
