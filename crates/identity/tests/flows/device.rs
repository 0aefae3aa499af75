//! The device grant: RFC 8628, each branch.

use axum::http::StatusCode;
use serde_json::json;

use crate::support::{Browser, ISSUER, PASSWORD, SCOPE, Site, claims, text};

testkit::on_both!(
    a_user_logs_in_and_is_known,
    a_device_that_asks_too_often_slows_down,
    a_denied_device_gets_nothing,
    codes_end,
    nobody_can_approve_by_a_link_alone,
    a_code_is_decided_once,
    another_client_gets_nothing,
    a_user_who_is_disabled_before_the_device_asks_gets_nothing,
);

async fn a_user_logs_in_and_is_known() {
    let site = Site::new().await;
    site.user("ada").await;
    site.group("payments", &["ada"]).await;

    let device = site.device_start().await;
    assert_eq!(device["expires_in"], 600);
    assert_eq!(device["interval"], 5);
    assert_eq!(
        text(&device, "verification_uri"),
        format!("{ISSUER}/device")
    );
    assert_eq!(
        site.device_poll(&device).await.error(),
        "authorization_pending"
    );

    Browser::new(&site).approve(&device, "ada").await;
    let answer = site.device_poll(&device).await.ok();
    assert_eq!(answer.headers["cache-control"], "no-store");
    let tokens = answer.json();
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 3600);
    assert_eq!(tokens["scope"], SCOPE);
    assert!(text(&tokens, "refresh_token").starts_with("twr_"));

    let access = claims(text(&tokens, "access_token"));
    assert_eq!(access["iss"], ISSUER);
    assert_eq!(access["sub"], "local:ada");
    assert_eq!(access["aud"], format!("{ISSUER}/v1"));
    assert_eq!(access["groups"], json!(["payments"]));
    assert_eq!(access["https://towpath.dev/teams"], json!(["payments"]));
    let id = claims(text(&tokens, "id_token"));
    assert_eq!(id["aud"], "towpath-cli");
    assert_eq!(id["groups"], json!(["payments"]));
    assert_eq!(id["source_groups"], json!(["local:payments"]));
    assert_eq!(id["https://towpath.dev/teams"], json!(["payments"]));
    assert_eq!(id["preferred_username"], "ada");
    assert_eq!(id["email"], "ada@example.com");

    let who = site.whoami(text(&tokens, "access_token")).await.ok().json();
    let expected = json!({
        "subject": "local:ada", "kind": "person", "teams": ["payments"], "groups": ["payments"], "admin": false,
    });
    assert_eq!(who, expected);
    let answer = site
        .api(
            "GET",
            "/oauth/userinfo",
            text(&tokens, "access_token"),
            json!(null),
        )
        .await;
    assert_eq!(answer.ok().json()["groups"], json!(["payments"]));

    // The code was good once.
    assert_eq!(site.device_poll(&device).await.error(), "invalid_grant");
}

async fn a_device_that_asks_too_often_slows_down() {
    let site = Site::new().await;
    let device = site.device_start().await;
    assert_eq!(
        site.device_poll(&device).await.error(),
        "authorization_pending"
    );
    site.advance(1);
    assert_eq!(site.device_poll(&device).await.error(), "slow_down");
    // Now it is ten seconds, from the last time that it asked.
    site.advance(6);
    assert_eq!(site.device_poll(&device).await.error(), "slow_down");
    site.advance(15);
    assert_eq!(
        site.device_poll(&device).await.error(),
        "authorization_pending"
    );
}

async fn a_denied_device_gets_nothing() {
    let site = Site::new().await;
    site.user("ada").await;
    let device = site.device_start().await;
    let browser = Browser::new(&site);
    let page = browser.device_page(&device, "ada").await;
    browser.decide(&page, "deny").await.ok();
    assert_eq!(site.device_poll(&device).await.error(), "access_denied");
    assert_eq!(site.device_poll(&device).await.error(), "invalid_grant");
}

async fn codes_end() {
    let site = Site::new().await;
    site.user("ada").await;
    let device = site.device_start().await;
    let browser = Browser::new(&site);
    let page = browser.device_page(&device, "ada").await;
    site.advance(601);
    let late = browser.decide(&page, "approve").await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST, "{}", late.body);
    assert_eq!(site.device_poll(&device).await.error(), "expired_token");
}

async fn nobody_can_approve_by_a_link_alone() {
    let site = Site::new().await;
    site.user("ada").await;
    let device = site.device_start().await;
    let browser = Browser::new(&site);
    browser.device_page(&device, "ada").await;
    let code = text(&device, "user_code");
    for csrf in ["", "x", code] {
        let fields = [("csrf", csrf), ("user_code", code), ("decision", "approve")];
        let forged = browser.post("/device", &fields).await;
        assert_eq!(forged.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(
        site.device_poll(&device).await.error(),
        "authorization_pending"
    );

    // Nor is a login page good in another browser.
    let location = Browser::new(&site).get("/device").await.location();
    let elsewhere = Browser::new(&site).get(&location).await;
    assert_eq!(elsewhere.status, StatusCode::BAD_REQUEST);
}

async fn a_code_is_decided_once() {
    let site = Site::new().await;
    site.user("ada").await;
    let device = site.device_start().await;
    let browser = Browser::new(&site);
    let page = browser.device_page(&device, "ada").await;
    browser.decide(&page, "approve").await.ok();
    let again = browser.decide(&page, "deny").await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    site.device_poll(&device).await.ok();
}

async fn another_client_gets_nothing() {
    let site = Site::new().await;
    site.user("ada").await;
    let device = site.device_start().await;
    Browser::new(&site).approve(&device, "ada").await;
    let code = text(&device, "device_code");
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let poll = |client: &'static str| {
        let fields = [
            ("grant_type", grant),
            ("device_code", code),
            ("client_id", client),
        ];
        let site = &site;
        async move { site.post("/oauth/token", &fields).await }
    };
    assert_eq!(poll("nobody").await.error(), "invalid_client");
    assert_eq!(
        site.post("/oauth/device/code", &[]).await.error(),
        "invalid_request"
    );
    let fields = [("client_id", "nobody")];
    let unknown = site.post("/oauth/device/code", &fields).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
    let twice = [("client_id", "towpath-cli"), ("client_id", "towpath-cli")];
    assert_eq!(
        site.post("/oauth/device/code", &twice).await.error(),
        "invalid_request"
    );
    site.device_poll(&device).await.ok();
}

async fn a_user_who_is_disabled_before_the_device_asks_gets_nothing() {
    let site = Site::new().await;
    site.user("ada").await;
    let device = site.device_start().await;
    Browser::new(&site).approve(&device, "ada").await;
    let body = json!({ "spec": { "disabled": true } });
    site.admin("PUT", "/v1/identity/users/ada", body).await.ok();
    assert_eq!(site.device_poll(&device).await.error(), "invalid_grant");
    let refused = Browser::new(&site);
    let location = refused.get("/device").await.location();
    let answer = refused.log_in(&location, "ada", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}
