//! Guessing is made slow, for an account and for an address, on all replicas together.

use std::net::SocketAddr;

use axum::{Extension, extract::ConnectInfo, http::StatusCode};

use crate::support::{Browser, PASSWORD, Site, settings, text};

/// One login; gives the status, and how long to wait.
async fn attempt(site: &Site, name: &str, password: &str) -> (StatusCode, Option<u64>) {
    let browser = Browser::new(site);
    let location = browser.get("/device").await.location();
    let answer = browser.log_in(&location, name, password).await;
    let wait = answer.headers.get("retry-after");
    (
        answer.status,
        wait.map(|wait| wait.to_str().unwrap().parse().unwrap()),
    )
}

#[tokio::test]
async fn wrong_passwords_wait_longer_and_longer() {
    let site = Site::new().await;
    site.user("ada").await;
    site.user("bob").await;
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    for _ in 0..5 {
        assert_eq!(
            attempt(&site, "ada", "wrong").await,
            (StatusCode::FORBIDDEN, None)
        );
    }
    assert_eq!(
        attempt(&replica, "ada", "wrong").await.0,
        StatusCode::FORBIDDEN
    );
    // The right one does not help now, wherever it is tried.
    let held = (StatusCode::TOO_MANY_REQUESTS, Some(1));
    assert_eq!(attempt(&replica, "ada", PASSWORD).await, held);
    assert_eq!(attempt(&site, "ada", PASSWORD).await, held);
    assert_eq!(
        attempt(&site, "bob", PASSWORD).await.0,
        StatusCode::SEE_OTHER
    );
    site.advance(1);
    assert_eq!(
        attempt(&site, "ada", "wrong").await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(attempt(&site, "ada", PASSWORD).await.1, Some(2));
    site.advance(2);
    assert_eq!(
        attempt(&site, "ada", PASSWORD).await.0,
        StatusCode::SEE_OTHER
    );
    // Forgiven: five more are free.
    for _ in 0..5 {
        assert_eq!(
            attempt(&site, "ada", "wrong").await.0,
            StatusCode::FORBIDDEN
        );
    }
    assert_eq!(
        attempt(&site, "ada", PASSWORD).await.0,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn a_user_who_does_not_exist_is_held_up_alike() {
    let site = Site::new().await;
    for _ in 0..6 {
        assert_eq!(
            attempt(&site, "nobody", "wrong").await,
            (StatusCode::FORBIDDEN, None)
        );
    }
    assert_eq!(
        attempt(&site, "nobody", "wrong").await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn many_at_once_are_counted_each() {
    let site = Site::new().await;
    site.user("ada").await;
    let all = futures::future::join_all((0..12).map(|_| attempt(&site, "ada", "wrong"))).await;
    let tried = all
        .iter()
        .filter(|(status, _)| *status == StatusCode::FORBIDDEN)
        .count();
    assert!(tried <= 6, "{tried} guesses were looked at");
}

#[tokio::test]
async fn one_address_cannot_try_every_account() {
    let site = Site::new().await;
    for number in 0..31 {
        let (status, _) = attempt(&site, &format!("user-{number}"), "wrong").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{number}");
    }
    assert_eq!(
        attempt(&site, "user-99", "wrong").await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn guessing_device_codes_is_held_up() {
    let site = Site::new().await;
    site.user("ada").await;
    let device = site.device_start().await;
    let browser = Browser::new(&site);
    let page = browser.get("/device").await;
    browser
        .log_in(&page.location(), "ada", PASSWORD)
        .await
        .location();
    for _ in 0..6 {
        let wrong = browser.get("/device?user_code=BBBB-BBBB").await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    }
    let right = format!("/device?user_code={}", text(&device, "user_code"));
    assert_eq!(
        browser.get(&right).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    site.advance(1);
    browser.get(&right).await.ok();
}

/// The same site, as it is called from another address.
fn from(site: &Site, address: [u8; 4]) -> Site {
    let peer = ConnectInfo(SocketAddr::from((address, 40_000)));
    Site {
        identity: site.identity.clone(),
        clock: site.clock.clone(),
        router: site.router.clone().layer(Extension(peer)),
        store: site.store.clone(),
        directory: None,
    }
}

#[tokio::test]
async fn nobody_is_locked_out_by_somebody_who_knows_their_name() {
    let site = Site::new().await;
    site.user("ada").await;
    let (home, thief) = (from(&site, [192, 0, 2, 1]), from(&site, [198, 51, 100, 1]));
    for _ in 0..8 {
        attempt(&thief, "ada", "wrong").await;
    }
    let (status, _) = attempt(&thief, "ada", PASSWORD).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let (status, _) = attempt(&home, "ada", PASSWORD).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn guessing_from_everywhere_is_held_up_by_the_account() {
    let site = Site::new().await;
    site.user("ada").await;
    let mut tried = 0;
    let mut held_up = false;
    for number in 0..=255 {
        let (status, _) = attempt(&from(&site, [203, 0, 113, number]), "ada", "wrong").await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            held_up = true;
            break;
        }
        tried += 1;
    }
    assert!(held_up, "{tried} guesses, each from another address");
    assert!(tried > 100, "{tried} mistakes lock nobody out");
}
