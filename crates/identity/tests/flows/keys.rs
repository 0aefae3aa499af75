//! Signing keys: published before use, kept until the last token ends, sealed, replaced.

use std::sync::Arc;

use identity::model::KeyPhase;
use kernel::Caller;

use crate::support::{Site, settings, text};

testkit::on_both!(
    a_rotation_breaks_no_token_on_any_replica,
    a_compromised_key_is_good_for_nothing_more,
    a_rotation_whose_answer_was_lost_is_asked_for_again,
    a_restart_goes_on_with_the_same_keys,
    others_may_not_rotate,
    keys_are_rotated_in_time_by_whoever_reconciles,
);

async fn phases(site: &Site) -> Vec<(String, KeyPhase)> {
    let keys = site.identity.keys(&Caller::local_admin()).await.unwrap();
    keys.into_iter().map(|key| (key.kid, key.phase)).collect()
}

async fn a_rotation_breaks_no_token_on_any_replica() {
    let site = Site::new().await;
    site.user("ada").await;
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    let before = phases(&site).await;
    assert_eq!(
        before.iter().map(|(_, phase)| *phase).collect::<Vec<_>>(),
        [KeyPhase::Active, KeyPhase::Next]
    );

    let old = text(&site.login("ada").await, "access_token").to_owned();
    site.identity
        .keys_rotate(&Caller::local_admin(), false)
        .await
        .unwrap();
    let after = phases(&replica).await;
    assert_eq!(after[0], (before[0].0.clone(), KeyPhase::Retired));
    assert_eq!(after[1], (before[1].0.clone(), KeyPhase::Active));
    assert_eq!(after[2].1, KeyPhase::Next);
    replica.whoami(&old).await.ok();
    let new = text(&replica.login("ada").await, "access_token").to_owned();
    site.whoami(&new).await.ok();

    // Rotated once more, the first is still kept; it goes with the last of its tokens.
    site.identity
        .keys_rotate(&Caller::local_admin(), false)
        .await
        .unwrap();
    site.whoami(&old).await.ok();
    site.whoami(&new).await.ok();
    site.advance(3600 + 200);
    site.identity
        .keys_rotate(&Caller::local_admin(), false)
        .await
        .unwrap();
    let kids: Vec<_> = phases(&site)
        .await
        .into_iter()
        .map(|(kid, _)| kid)
        .collect();
    assert!(!kids.contains(&before[0].0));
}

async fn a_compromised_key_is_good_for_nothing_more() {
    let site = Site::new().await;
    site.user("ada").await;
    let tokens = site.login("ada").await;
    site.identity
        .keys_rotate(&Caller::local_admin(), true)
        .await
        .unwrap();
    assert_eq!(site.whoami(text(&tokens, "access_token")).await.status, 401);
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    site.whoami(text(&tokens, "access_token")).await.ok();
}

async fn a_rotation_whose_answer_was_lost_is_asked_for_again() {
    let site = Site::new().await;
    site.user("ada").await;
    site.login("ada").await;
    let rotate = async |key: &str| {
        let request = axum::http::Request::builder()
            .method("POST")
            .uri("/v1/identity/keys/rotations")
            .header("authorization", format!("Bearer {}", crate::support::ADMIN))
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        let request = request.body(axum::body::Body::from("{}")).unwrap();
        site.send(request).await.ok().json()
    };
    let first = rotate("one").await;
    assert_eq!(rotate("one").await, first);
    assert_ne!(rotate("two").await, first);
}

async fn a_restart_goes_on_with_the_same_keys() {
    let site = Site::new().await;
    site.user("ada").await;
    let tokens = site.login("ada").await;
    let restarted = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    assert_eq!(phases(&site).await, phases(&restarted).await);
    restarted.whoami(text(&tokens, "access_token")).await.ok();
    restarted.refresh(text(&tokens, "refresh_token")).await.ok();
}

async fn others_may_not_rotate() {
    let site = Site::new().await;
    let mut caller = Caller::local_admin();
    caller.admin = false;
    assert!(site.identity.keys_rotate(&caller, false).await.is_err());
}

/// Has the keys reconciled until they are as `wanted`.
async fn reconciled(site: &Site, what: &str, wanted: impl Fn(&[(String, KeyPhase)]) -> bool) {
    let driver = kernel::Driver::new(site.store.clone(), "test".into())
        .with(Arc::new(identity::reconcile::Keys(site.identity.clone())))
        .start();
    testkit::eventually(what, testkit::PATIENCE, || async {
        wanted(&phases(site).await).then_some(())
    })
    .await;
    driver.shutdown().await;
}

async fn keys_are_rotated_in_time_by_whoever_reconciles() {
    const DAY: u64 = 24 * 3600;
    let site = Site::new().await;
    let before = phases(&site).await;
    site.advance(30 * DAY);
    let next = (before[1].0.clone(), KeyPhase::Active);
    reconciled(&site, "the next key signs", |keys| keys.contains(&next)).await;
    let after = phases(&site).await;
    assert_eq!(after[0], (before[0].0.clone(), KeyPhase::Retired));
    site.advance(2 * 3600);
    reconciled(&site, "the first has outlived its tokens", |keys| {
        keys == &after[1..]
    })
    .await;
}
