//! Sessions: begun by a login at the platform's own provider, lasting, and ended everywhere.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::{
    browser::Browser,
    person::PASSWORD,
    site::{
        Site,
        world::{LONG, World},
    },
    world::{furnished, submit},
};

const COOKIE: &str = "towpath-portal";

#[tokio::test]
async fn a_person_logs_in_looks_around_and_logs_out() {
    let world = furnished(&[]).await;
    let browser = Browser::new();
    let root = browser.look(&world.at("/")).await;
    assert_eq!(
        (root.status().as_u16(), &root.headers()["location"]),
        (303, &"/portal/".parse().unwrap())
    );
    let program = reqwest::Client::builder().no_proxy().build().unwrap();
    let root = program.get(world.at("/")).send().await.unwrap();
    assert_eq!(root.status(), 404);
    assert_eq!(root.headers()["content-type"], "application/problem+json");

    // The login leads back to where it was asked for.
    let team = "/portal/teams/payments";
    let asked = browser
        .look(&world.at("/portal/login?to=/portal/teams/payments"))
        .await;
    let cookie = asked.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let location = asked.headers()["location"].to_str().unwrap();
    assert!(
        location.starts_with(&world.at("/oauth/authorize?response_type=code")),
        "{location}"
    );
    for part in [
        "client_id=towpath-portal",
        "code_challenge_method=S256",
        "nonce=",
        "state=",
    ] {
        assert!(location.contains(part), "{part}: {location}");
    }
    let page = browser.enter(&world.at(team), "ada", PASSWORD).await;
    assert_eq!((page.status, page.url.path()), (200, team), "{}", page.body);

    // No script, no frame, no copy; and no token in the browser.
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "form-action 'self';",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains("script-src"),
        "{policy}"
    );
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert!(
        page.body.contains("takes &lt;b&gt;money&lt;/b&gt;"),
        "{}",
        page.body
    );
    let cookies = browser.cookies();
    assert!(
        cookies.contains_key(COOKIE) && !cookies.contains_key("towpath-portal-login"),
        "{cookies:?}"
    );
    for (name, value) in &cookies {
        assert!(
            !value.contains("eyJ") && !value.contains("twr_"),
            "{name} holds a token"
        );
    }
    assert!(!page.body.contains("eyJ"), "{}", page.body);
    let style = program
        .get(world.at("/portal/style.css"))
        .send()
        .await
        .unwrap();
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");

    // Nothing but a form ends it.
    assert_eq!(browser.go(&world.at("/portal/logout")).await.status, 405);
    let ended = submit(&browser, &page, "/portal/logout", &[]).await;
    assert_eq!(
        (ended.status, ended.url.path()),
        (200, "/portal/logged-out")
    );
    assert!(!browser.cookies().contains_key(COOKIE));
    // Nor is the cookie of before good for anything, and the provider asks for a password again.
    browser.set_cookie(COOKIE, &cookies[COOKIE]);
    let after = browser.go(&world.at(team)).await;
    assert_eq!(after.url.path(), "/login", "{}", after.body);
    let ended = world.events("session.ended").await;
    assert!(
        ended.iter().any(|event| event["actor"] == "local:ada"),
        "{ended:?}"
    );
}

/// When the tokens of ada's only session were last renewed.
async fn renewed(world: &World) -> String {
    let sessions = world.get("/v1/identity/sessions?subject=local:ada").await;
    let items = sessions["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{sessions}");
    items[0]["renewed"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_is_renewed_silently_and_outlives_the_platforms_death() {
    // Whoever clicks after a token's short life has another, or is logged out.
    let mut world = furnished(&["--access-token-lifetime", "5s"]).await;
    let ada = world.visit("ada").await;
    let mut renewals = BTreeSet::from([renewed(&world).await]);
    world.restart().await;
    let end = Instant::now() + LONG;
    let team = world.at("/portal/teams/payments");
    while renewals.len() < 3 {
        assert!(Instant::now() < end, "not renewed twice: {renewals:?}");
        // Several tabs at once.
        for page in join_all([(); 4].map(|()| ada.go(&team))).await {
            assert_eq!(
                (page.status, page.url.path()),
                (200, "/portal/teams/payments"),
                "{}",
                page.body
            );
        }
        renewals.insert(renewed(&world).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Nobody logged in a second time.
    let sessions = world.told("session.started").await;
    assert_eq!(
        sessions
            .iter()
            .filter(|(actor, _)| actor == "local:ada")
            .count(),
        1,
        "{sessions:?}"
    );
}

#[tokio::test]
async fn who_may_not_log_in_any_more_is_out_at_the_next_click() {
    let world = furnished(&[]).await;
    let ada = world.visit("ada").await;
    let page = world.open(&ada, "/portal/teams/payments/secrets/set").await;
    let disabled = json!({ "spec": { "disabled": true } });
    let (status, answer) = world
        .ask(Method::PUT, "/v1/identity/users/ada", disabled)
        .await;
    assert_eq!(status, 200, "{answer}");
    let fields = [("name", "late"), ("expected", "0"), ("how", "draw")];
    let late = submit(&ada, &page, "/portal/teams/payments/secrets/set", &fields).await;
    assert_eq!(late.status, 401, "{}", late.body);
    assert!(late.body.contains("Nothing was changed"), "{}", late.body);
    let next = ada.go(&world.at("/portal/teams/payments")).await;
    assert_eq!(next.url.path(), "/login", "{}", next.body);
    let secrets = world.get("/v1/teams/payments/secrets?path=late").await;
    assert_eq!(secrets["items"], json!([]));
}

#[tokio::test]
async fn cookies_of_a_platform_with_tls_are_for_tls_and_this_host_alone() {
    let data = tempfile::tempdir().unwrap();
    let mut site = Site::new(data.path());
    site.options = ["--issuer", "https://towpath.example.com"]
        .map(str::to_owned)
        .to_vec();
    let _running = site.start().await;
    let browser = Browser::new();
    let asked = browser
        .look(&format!("{}/portal/login", site.server()))
        .await;
    let location = asked.headers()["location"].to_str().unwrap();
    assert!(
        location.starts_with("https://towpath.example.com/oauth/authorize?"),
        "{location}"
    );
    assert!(
        location.contains("redirect_uri=https%3A%2F%2Ftowpath.example.com%2Fportal%2Fcallback"),
        "{location}"
    );
    let cookie = asked.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-towpath-portal-login="),
        "{cookie}"
    );
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"),
        "{cookie}"
    );
}

#[tokio::test]
async fn any_replica_has_the_session() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let mut one = Site::new(data.path());
    one.store = Some(database.url.clone());
    // One address for both, as behind a load balancer.
    one.options = vec!["--issuer".into(), one.server()];
    let _first = one.start().await;
    crate::person::user(&one, "ada").await;
    let browser = Browser::new();
    let home = browser
        .enter(&format!("{}/portal/", one.server()), "ada", PASSWORD)
        .await;
    assert!(home.body.contains("Welcome, ada"), "{}", home.body);
    let other = one.replica();
    let _second = other.start().await;
    let home = browser.go(&format!("{}/portal/", other.server())).await;
    assert_eq!(home.url.port(), Some(other.api));
    assert!(home.body.contains("Welcome, ada"), "{}", home.body);
}
