//! The authorization code grant with PKCE.

use axum::http::StatusCode;
use serde_json::Value;

use crate::support::{
    Answer, Browser, CALLBACK, ISSUER, PASSWORD, Site, claims, pkce, query, text,
};

testkit::on_both!(
    a_program_gets_tokens_and_the_browser_is_remembered,
    a_code_is_good_once_and_its_second_use_ends_the_session,
    a_code_is_for_the_program_that_asked,
    codes_end_after_a_minute,
    nobody_is_sent_to_an_address_that_is_not_registered,
    what_else_is_wrong_is_told_to_the_program,
    pages_defend_themselves,
    without_offline_access_there_is_no_refresh_token,
);

async fn exchange(site: &Site, code: &str, over: &[(&str, &str)]) -> Answer {
    let (verifier, _) = pkce();
    let mut fields = std::collections::BTreeMap::from([
        ("grant_type", "authorization_code"),
        ("client_id", "towpath-cli"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", verifier.as_str()),
    ]);
    fields.extend(over.iter().copied());
    let fields: Vec<_> = fields.into_iter().collect();
    site.post("/oauth/token", &fields).await
}

/// A code for ada, who logs in where that is needed.
async fn code(browser: &Browser<'_>) -> String {
    let mut answer = browser.authorize(&[]).await;
    if answer.location().starts_with("/login") {
        answer = browser.log_in(&answer.location(), "ada", PASSWORD).await;
    }
    let location = answer.location();
    assert!(
        location.starts_with(&format!("{CALLBACK}?code=")),
        "{location}"
    );
    let query = query(&location);
    assert_eq!(query["state"], "a state");
    assert_eq!(query["iss"], ISSUER);
    query["code"].clone()
}

async fn site_with_ada() -> Site {
    let site = Site::new().await;
    site.user("ada").await;
    site
}

async fn a_program_gets_tokens_and_the_browser_is_remembered() {
    let site = site_with_ada().await;
    let browser = Browser::new(&site);
    let tokens = exchange(&site, &code(&browser).await, &[])
        .await
        .ok()
        .json();
    assert_eq!(claims(text(&tokens, "id_token"))["nonce"], "a nonce");
    site.whoami(text(&tokens, "access_token")).await.ok();

    // The second time no password is asked for, unless the program wants it so.
    code(&browser).await;
    for again in [[("prompt", "login")], [("max_age", "0")]] {
        site.advance(1);
        assert!(
            browser
                .authorize(&again)
                .await
                .location()
                .starts_with("/login")
        );
    }
    site.advance(8 * 3600);
    assert!(
        browser
            .authorize(&[])
            .await
            .location()
            .starts_with("/login")
    );
    let silent = browser.authorize(&[("prompt", "none")]).await.location();
    assert_eq!(query(&silent)["error"], "login_required");
}

async fn a_code_is_good_once_and_its_second_use_ends_the_session() {
    let site = site_with_ada().await;
    let code = code(&Browser::new(&site)).await;
    let tokens = exchange(&site, &code, &[]).await.ok().json();
    assert_eq!(exchange(&site, &code, &[]).await.error(), "invalid_grant");
    assert_eq!(site.whoami(text(&tokens, "access_token")).await.status, 401);
    assert_eq!(
        site.refresh(text(&tokens, "refresh_token")).await.error(),
        "invalid_grant"
    );
}

async fn a_code_is_for_the_program_that_asked() {
    let site = site_with_ada().await;
    let code = code(&Browser::new(&site)).await;
    for (name, value, error) in [
        ("code_verifier", &*"w".repeat(50), "invalid_grant"),
        ("code_verifier", "short", "invalid_grant"),
        ("code_verifier", "", "invalid_request"),
        (
            "redirect_uri",
            "http://127.0.0.1:5556/callback",
            "invalid_grant",
        ),
        ("client_id", "nobody", "invalid_client"),
        ("code", "another", "invalid_grant"),
        ("grant_type", "password", "unsupported_grant_type"),
        (
            "resource",
            "https://elsewhere.example.com",
            "invalid_target",
        ),
    ] {
        assert_eq!(
            exchange(&site, &code, &[(name, value)]).await.error(),
            error,
            "{name}={value}"
        );
    }
    exchange(&site, &code, &[]).await.ok();
}

async fn codes_end_after_a_minute() {
    let site = site_with_ada().await;
    let code = code(&Browser::new(&site)).await;
    site.advance(61);
    assert_eq!(exchange(&site, &code, &[]).await.error(), "invalid_grant");
}

async fn nobody_is_sent_to_an_address_that_is_not_registered() {
    let site = site_with_ada().await;
    let browser = Browser::new(&site);
    for over in [
        ("redirect_uri", "https://evil.test/callback"),
        ("redirect_uri", "http://127.0.0.1:5555/other"),
        ("redirect_uri", ""),
        ("client_id", "nobody"),
    ] {
        let answer = browser.authorize(&[over]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{over:?}");
        assert!(!answer.headers.contains_key("location"));
    }
}

async fn what_else_is_wrong_is_told_to_the_program() {
    let site = site_with_ada().await;
    let browser = Browser::new(&site);
    for (over, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_mode", "fragment"), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("request", "a.b.c"), "invalid_request"),
    ] {
        let location = browser.authorize(&[over]).await.location();
        assert!(location.starts_with(CALLBACK), "{location}");
        let query = query(&location);
        assert_eq!(query["error"], error, "{over:?}");
        assert_eq!(query["state"], "a state");
    }
}

async fn pages_defend_themselves() {
    let site = site_with_ada().await;
    let browser = Browser::new(&site);
    let location = browser.authorize(&[]).await.location();
    let page = browser.get(&location).await.ok();
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(
        policy.contains("form-action 'self' http://127.0.0.1:5555"),
        "{policy}"
    );
    assert_eq!(page.headers["x-frame-options"], "DENY");
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    assert!(!page.body.contains("<script"));

    let wrong = browser.log_in(&location, "<b>ada", "no").await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert!(wrong.body.contains("the name or the password is wrong"));
    // A page that was used up is one no more.
    browser.log_in(&location, "ada", PASSWORD).await.location();
    assert_eq!(browser.get(&location).await.status, StatusCode::BAD_REQUEST);
}

async fn without_offline_access_there_is_no_refresh_token() {
    let site = site_with_ada().await;
    let browser = Browser::new(&site);
    let scope = [("scope", "openid nonsense")];
    let location = browser.authorize(&scope).await.location();
    let location = browser.log_in(&location, "ada", PASSWORD).await.location();
    let tokens: Value = exchange(&site, &query(&location)["code"], &[])
        .await
        .ok()
        .json();
    assert_eq!(tokens["scope"], "openid");
    assert!(tokens.get("refresh_token").is_none());
    let says = claims(text(&tokens, "id_token"));
    assert!(says.get("email").is_none() && says.get("preferred_username").is_none());
}
