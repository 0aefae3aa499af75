//! Guessing is made slow, for an account and for an address, on all replicas together.

use std::net::SocketAddr;

use axum::{Extension, extract::ConnectInfo, http::StatusCode};

use crate::support::{Browser, PASSWORD, Site, settings, text};

// The others take long to hash passwords, and ask nothing of the store that this does not.
testkit::on_both!(
    many_at_once_are_counted_each,
    an_office_logs_in_at_once_from_one_address,
    an_office_approves_its_devices_at_once_from_one_address,
);

/// One login; gives the status, and how long to wait.
async fn attempt(site: &Site, name: &str, password: &str) -> (StatusCode, Option<u64>) {
    attempt_in(&Browser::new(site), name, password).await
}

async fn attempt_in(
    browser: &Browser<'_>,
    name: &str,
    password: &str,
) -> (StatusCode, Option<u64>) {
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

/// More than may fail from one address: none is refused because others are at it.
async fn an_office_logs_in_at_once_from_one_address() {
    let site = Site::new().await;
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    let people: Vec<_> = (0..36).map(|number| format!("user-{number}")).collect();
    for person in &people {
        site.user(person).await;
    }
    let logins = people.iter().enumerate().map(|(number, person)| {
        let site = if number % 2 == 0 { &site } else { &replica };
        attempt(site, person, PASSWORD)
    });
    let answers = futures::future::join_all(logins).await;
    let out: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status != StatusCode::SEE_OTHER)
        .collect();
    assert!(out.is_empty(), "{out:?}");
    // Nothing failed: as many as before are free.
    for number in 0..31 {
        let (status, _) = attempt(&site, &format!("nobody-{number}"), "wrong").await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{number}");
    }
}

async fn an_office_approves_its_devices_at_once_from_one_address() {
    let site = Site::new().await;
    let mut people = Vec::new();
    for number in 0..34 {
        let person = format!("user-{number}");
        site.user(&person).await;
        people.push((person, site.device_start().await));
    }
    let approvals = people.iter().map(|(person, device)| {
        let browser = Browser::new(&site);
        async move { browser.approve(device, person).await }
    });
    futures::future::join_all(approvals).await;
    for (_, device) in &people {
        site.device_poll(device).await.ok();
    }
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
        database: None,
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

/// Guesses, each from another address, until the account is held up; gives how many were looked at.
async fn guess_from_everywhere(site: &Site, name: &str) -> usize {
    for number in 0..=255 {
        let (status, _) = attempt(&from(site, [203, 0, 113, number]), name, "wrong").await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            return usize::from(number);
        }
    }
    panic!("256 guesses, each from another address");
}

#[tokio::test]
async fn guessing_from_everywhere_is_held_up_by_the_account() {
    let site = Site::new().await;
    site.user("ada").await;
    let tried = guess_from_everywhere(&site, "ada").await;
    assert!(tried > 100, "{tried} mistakes lock nobody out");
}

#[tokio::test]
async fn guessing_from_everywhere_holds_up_nobody_who_was_here_before() {
    let site = Site::new().await;
    site.user("ada").await;
    let (home, train) = (from(&site, [192, 0, 2, 1]), from(&site, [198, 51, 100, 7]));
    let laptop = Browser::new(&home);
    let get_in = StatusCode::SEE_OTHER;
    assert_eq!(attempt_in(&laptop, "ada", PASSWORD).await.0, get_in);
    guess_from_everywhere(&site, "ada").await;
    let held_up = StatusCode::TOO_MANY_REQUESTS;
    assert_eq!(attempt(&train, "ada", PASSWORD).await.0, held_up);
    // Another browser at the address, and the browser at another address.
    assert_eq!(attempt(&home, "ada", PASSWORD).await.0, get_in);
    let laptop = laptop.reopened(&train);
    assert_eq!(attempt_in(&laptop, "ada", PASSWORD).await.0, get_in);
    // It is known for her alone; and whoever has it guesses no more than others do.
    let thief = from(&site, [198, 51, 100, 9]);
    let stolen = laptop.reopened(&thief);
    site.user("bob").await;
    for _ in 0..5 {
        let wrong = StatusCode::FORBIDDEN;
        assert_eq!(attempt_in(&stolen, "bob", "wrong").await.0, wrong);
        assert_eq!(attempt_in(&stolen, "ada", "wrong").await.0, wrong);
    }
    attempt_in(&stolen, "ada", "wrong").await;
    assert_eq!(attempt_in(&stolen, "ada", PASSWORD).await.0, held_up);
    assert_eq!(attempt(&home, "ada", PASSWORD).await.0, get_in);
}
