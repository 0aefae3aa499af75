//! What others try: forged forms, planted and altered cookies, logins of another browser, ways out of the portal.

use reqwest::Method;
use serde_json::Value;

use crate::{browser::Browser, person::PASSWORD, world::furnished};

const COOKIE: &str = "towpath-portal";
const LOGIN: &str = "towpath-portal-login";

#[tokio::test]
async fn a_form_that_the_session_was_not_given_changes_nothing() {
    let world = furnished(&[]).await;
    let (ada, eve) = (world.visit("ada").await, world.visit("eve").await);
    let page = world.open(&ada, "/portal/teams/payments/secrets/set").await;
    let foreign = world.open(&eve, "/portal/").await.field("csrf");
    let own = page.field("csrf");
    assert_ne!(own, foreign);
    let set = "/portal/teams/payments/secrets/set";
    let fields = [("name", "forged"), ("expected", "0"), ("how", "draw")];
    for csrf in [None, Some(""), Some(foreign.as_str()), Some(&own[1..])] {
        let given = csrf.map(|csrf| ("csrf", csrf));
        let all: Vec<_> = given.iter().chain(&fields).copied().collect();
        let refused = ada.send(&page, set, &all).await;
        assert_eq!(refused.status, 403, "{csrf:?}: {}", refused.body);
        assert!(
            refused.body.contains("of another session"),
            "{}",
            refused.body
        );
        let refused = ada.send(&page, "/portal/logout", &all).await;
        assert_eq!(refused.status, 403, "{csrf:?}: {}", refused.body);
    }
    // Without a session the token of one is worth nothing.
    let stranger = Browser::new();
    let all = [&[("csrf", own.as_str())], &fields[..]].concat();
    assert_eq!(stranger.send(&page, set, &all).await.status, 401);
    let path = "/v1/teams/payments/secrets/forged";
    assert_eq!(world.ask(Method::GET, path, Value::Null).await.0, 404);
    // Nor is a body of another type taken, which other sites may send without being asked.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let cookie = format!("{COOKIE}={}", ada.cookies()[COOKIE]);
    let request = http.post(world.at(set)).header("cookie", cookie);
    let body = format!("csrf={own}&name=forged&expected=0&how=draw");
    let answer = request
        .header("content-type", "text/plain")
        .body(body)
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 400);
    // The session is still there: nobody could end it either.
    world.open(&ada, "/portal/").await;
}

#[tokio::test]
async fn a_cookie_that_was_planted_or_altered_is_none() {
    let world = furnished(&[]).await;
    let victim = Browser::new();
    let planted = "A".repeat(43);
    victim.set_cookie(COOKIE, &planted);
    let page = victim.enter(&world.at("/portal/"), "ada", PASSWORD).await;
    assert!(page.body.contains("Welcome, ada"), "{}", page.body);
    let held = victim.cookies()[COOKIE].clone();
    assert_ne!(held, planted);
    for cookie in [
        planted.as_str(),
        &held[1..],
        &format!("{held}x"),
        &held.to_lowercase(),
        "%00",
        "\"\"",
    ] {
        let other = Browser::new();
        other.set_cookie(COOKIE, cookie);
        let page = other.go(&world.at("/portal/teams/payments")).await;
        assert_eq!(page.url.path(), "/login", "{cookie}: {}", page.body);
    }
    // Whoever logs in again has another, and the one of before is over.
    let again = victim.go(&world.at("/portal/login")).await;
    assert!(again.body.contains("Welcome, ada"), "{}", again.body);
    assert_ne!(victim.cookies()[COOKIE], held);
    let other = Browser::new();
    other.set_cookie(COOKIE, &held);
    assert_eq!(other.go(&world.at("/portal/")).await.url.path(), "/login");
}

#[tokio::test]
async fn a_login_is_finished_where_it_was_begun() {
    let world = furnished(&[]).await;
    // Eve has her own code sent, and does not use it: she would have ada be her.
    let eve = world.visit("eve").await;
    let begun = eve.look(&world.at("/portal/login")).await;
    let pair = begun.headers()["set-cookie"].to_str().unwrap();
    let (_, cookie) = pair.split(';').next().unwrap().split_once('=').unwrap();
    eve.set_cookie(LOGIN, cookie);
    let granted = eve
        .look(begun.headers()["location"].to_str().unwrap())
        .await;
    let callback = granted.headers()["location"].to_str().unwrap().to_owned();
    assert!(
        callback.starts_with(&world.at("/portal/callback?code=")),
        "{callback}"
    );

    let stranger = Browser::new();
    for cookie in ["", "A", &"A".repeat(43)] {
        stranger.set_cookie(LOGIN, cookie);
        let refused = stranger.go(&callback).await;
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(
            refused.body.contains("not begun in this browser"),
            "{}",
            refused.body
        );
        assert!(!stranger.cookies().contains_key(COOKIE));
    }
    // Ada, who is logged in, stays herself.
    let ada = world.visit("ada").await;
    let page = ada.go(&callback).await;
    assert!(page.body.contains("Welcome, ada"), "{}", page.body);

    // Where it was begun: not with another provider's answer, not with another state, and only once.
    for (from, to, status) in [
        ("&iss=", "&iss=x", 400),
        ("&state=", "&state=x", 400),
        ("code=", "code=x", 400),
    ] {
        let other = Browser::new();
        other.set_cookie(LOGIN, cookie);
        let refused = other.go(&callback.replace(from, to)).await;
        assert_eq!(refused.status, status, "{to}: {}", refused.body);
        assert!(!other.cookies().contains_key(COOKIE), "{to}");
    }
    let first = Browser::new();
    first.set_cookie(LOGIN, cookie);
    let page = first.go(&callback).await;
    assert!(page.body.contains("Welcome, eve"), "{}", page.body);
    let second = Browser::new();
    second.set_cookie(LOGIN, cookie);
    let refused = second.go(&callback).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    // A denial is told in the provider's words, escaped.
    let denied = world.at("/portal/callback?error=access_denied&error_description=<b>no</b>");
    let state = callback
        .split('&')
        .find(|part| part.starts_with("state="))
        .unwrap();
    let issuer = callback
        .split('&')
        .find(|part| part.starts_with("iss="))
        .unwrap();
    let refused = second.go(&format!("{denied}&{state}&{issuer}")).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.body.contains("&lt;b&gt;no&lt;/b&gt;"),
        "{}",
        refused.body
    );
}

#[tokio::test]
async fn a_login_leads_nowhere_but_into_the_portal() {
    let world = furnished(&[]).await;
    for to in [
        "https://evil.test/",
        "//evil.test/portal/",
        "/\\evil.test",
        "/portal/../oauth/logout",
        "/portal/%2e%2e/v1/whoami",
        "javascript:alert(1)",
        "/portal/logout",
    ] {
        let browser = Browser::new();
        let url = world.at("/portal/login");
        let url = reqwest::Url::parse_with_params(&url, [("to", to)]).unwrap();
        let page = browser.enter(url.as_str(), "ada", PASSWORD).await;
        assert_eq!(page.url.as_str(), world.at("/portal/"), "{to}");
    }
    // Nor does a page say what its address wants it to.
    let ada = world.visit("ada").await;
    let page = world.open(&ada, "/portal/?done=%3Cb%3Eyou+have+won").await;
    assert!(!page.body.contains("you have won"), "{}", page.body);
    for path in [
        "/portal/teams/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/portal/no/such/page",
    ] {
        let page = ada.go(&world.at(path)).await;
        assert_eq!(page.status, 404, "{path}: {}", page.body);
        assert!(!page.body.contains("<script>"), "{path}: {}", page.body);
    }
}
