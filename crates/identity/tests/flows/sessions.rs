//! Logins that are listed, and ended by others than their own programs.

use axum::http::StatusCode;
use kernel::{EventFilter, Means, Transient};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    endings::exchange,
    support::{ADMIN, Browser, Site, claims, query, text},
};

testkit::on_both!(
    everybody_sees_and_ends_their_own_logins,
    an_operator_sees_all_and_ends_all_that_somebody_has_begun,
    a_login_in_a_browser_ends_with_what_it_let_in,
    what_waits_to_be_let_in_ends_with_the_login_that_allowed_it,
    nothing_outruns_the_end_of_all_that_somebody_has_begun,
);

const SESSIONS: &str = "/v1/identity/sessions";

async fn site() -> Site {
    let site = Site::new().await;
    for name in ["ada", "bob", "eng"] {
        site.user(name).await;
    }
    site.group("platform", &["eng"]).await;
    site
}

async fn listed(site: &Site, token: &str, query: &str) -> Vec<Value> {
    let path = format!("{SESSIONS}{query}");
    let page = site.api("GET", &path, token, Value::Null).await.ok().json();
    page["items"].as_array().unwrap().clone()
}

fn sid(tokens: &Value) -> String {
    let claims = claims(text(tokens, "id_token"));
    claims["sid"].as_str().unwrap().to_owned()
}

async fn end(site: &Site, token: &str, path: &str) -> StatusCode {
    let path = format!("{SESSIONS}{path}");
    site.api("DELETE", &path, token, Value::Null).await.status
}

async fn everybody_sees_and_ends_their_own_logins() {
    let site = site().await;
    let (laptop, desk, bobs) = (
        site.login("ada").await,
        site.login("ada").await,
        site.login("bob").await,
    );
    let token = text(&laptop, "access_token");
    let seen = listed(&site, token, "").await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(
        seen.iter().all(|one| one["subject"] == "local:ada"),
        "{seen:?}"
    );
    assert_eq!(seen[0]["client"], "towpath-cli");
    assert_eq!(seen, listed(&site, token, "?subject=local:ada").await);
    // Of others not even that there are any.
    for path in ["?subject=local:bob", "?subject=local:nobody"] {
        let path = format!("{SESSIONS}{path}");
        let answer = site.api("GET", &path, token, Value::Null).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    for id in [sid(&bobs).as_str(), "nothing"] {
        let status = end(&site, token, &format!("/{id}")).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{id}");
    }
    assert_eq!(end(&site, token, "?subject=local:bob").await, 403);

    // The other one: refused from the next call on, and not renewed. Hers goes on.
    let path = format!("/{}", sid(&desk));
    assert_eq!(end(&site, token, &path).await, StatusCode::NO_CONTENT);
    assert_eq!(site.whoami(text(&desk, "access_token")).await.status, 401);
    let renewed = site.refresh(text(&desk, "refresh_token")).await;
    assert_eq!(renewed.error(), "invalid_grant");
    site.whoami(token).await.ok();
    assert_eq!(listed(&site, token, "").await.len(), 1);
    site.whoami(text(&bobs, "access_token")).await.ok();
    // And this one.
    assert_eq!(
        end(&site, token, "?subject=local:ada").await,
        StatusCode::OK
    );
    assert_eq!(site.whoami(token).await.status, 401);
}

/// A code that waits to be used, as the store has it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Code(Value);

impl Transient for Code {
    const KIND: &'static str = "authorization-code";
}

/// A device that waits to be let in.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Device(Value);

impl Transient for Device {
    const KIND: &'static str = "device-grant";
}

/// Whose are the codes that wait, and the devices that were approved.
async fn waiting(site: &Site) -> Vec<Value> {
    let codes = site.store.records::<Code>("").await.unwrap();
    let codes = codes.iter().map(|one| &one.value.0["login"]);
    let devices = site.store.records::<Device>("").await.unwrap();
    let devices = devices
        .iter()
        .map(|one| &one.value.0["decision"]["Approved"]);
    let logins = codes.chain(devices).filter(|login| !login.is_null());
    logins.map(|login| login["subject"].clone()).collect()
}

async fn an_operator_sees_all_and_ends_all_that_somebody_has_begun() {
    let site = site().await;
    let eng = site.login("eng").await;
    let eng = text(&eng, "access_token");
    // In a browser: a session, an approved device that has not asked yet, a code that is not used yet.
    let browser = Browser::new(&site);
    let (first, second) = (site.device_start().await, site.device_start().await);
    browser.approve(&first, "ada").await;
    let ada = site.device_poll(&first).await.ok().json();
    browser.approve(&second, "ada").await;
    let code = query(&browser.authorize(&[]).await.location())["code"].clone();
    let bob = site.login("bob").await;

    let all = listed(&site, eng, "").await;
    assert_eq!(all.len(), 3, "{all:?}");
    // By pages, and nothing twice.
    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("{SESSIONS}?limit=2{after}");
        let page = site.api("GET", &path, eng, Value::Null).await.ok().json();
        paged.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);

    let path = format!("{SESSIONS}?subject=local:ada");
    assert_eq!(waiting(&site).await, ["local:ada", "local:ada"]);
    let ended = site.api("DELETE", &path, eng, Value::Null).await.ok();
    assert_eq!(ended.json(), json!({ "ended": 1 }));
    // For no replica, one that does not look at the browser either.
    assert!(waiting(&site).await.is_empty());
    assert_eq!(site.whoami(text(&ada, "access_token")).await.status, 401);
    assert_eq!(site.device_poll(&second).await.error(), "invalid_grant");
    assert_eq!(exchange(&site, &code).await.error(), "invalid_grant");
    let location = browser.get("/device").await.location();
    assert!(location.starts_with("/login?page="), "{location}");
    site.whoami(text(&bob, "access_token")).await.ok();
    // Who did it is in the log.
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.session.ended".into()),
        ..EventFilter::default()
    };
    let told = site.store.events(&filter, 0, 10).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].actor, "local:eng");
    let by = told[0].means.as_deref().unwrap();
    assert!(by.starts_with("login:"), "{by}");
    assert_ne!(by, Means::Login(sid(&ada)).to_string());
    // Nothing is left: that is told, and not an error. She may log in again.
    let again = site.api("DELETE", &path, eng, Value::Null).await.ok();
    assert_eq!(again.json(), json!({ "ended": 0 }));
    let ada = site.login("ada").await;
    site.whoami(text(&ada, "access_token")).await.ok();
}

async fn a_login_in_a_browser_ends_with_what_it_let_in() {
    let site = site().await;
    let browser = Browser::new(&site);
    let device = site.device_start().await;
    browser.approve(&device, "ada").await;
    let ada = site.device_poll(&device).await.ok().json();
    let status = site
        .admin("DELETE", &format!("{SESSIONS}/{}", sid(&ada)), Value::Null)
        .await
        .status;
    assert_eq!(status, StatusCode::NO_CONTENT);
    // It would have let her in again without a password.
    let location = browser.get("/device").await.location();
    assert!(location.starts_with("/login?page="), "{location}");
    let gone = site
        .admin("DELETE", &format!("{SESSIONS}/{}", sid(&ada)), Value::Null)
        .await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let nobody = site
        .admin("DELETE", &format!("{SESSIONS}?subject=ada"), Value::Null)
        .await;
    assert_eq!(nobody.status, StatusCode::UNPROCESSABLE_ENTITY);
}

async fn what_waits_to_be_let_in_ends_with_the_login_that_allowed_it() {
    for by_logout in [false, true] {
        let site = site().await;
        let browser = Browser::new(&site);
        let (first, second) = (site.device_start().await, site.device_start().await);
        browser.approve(&first, "ada").await;
        let ada = site.device_poll(&first).await.ok().json();
        // A device that has not asked yet, and a code that is not used yet.
        browser.approve(&second, "ada").await;
        let code = query(&browser.authorize(&[]).await.location())["code"].clone();
        if by_logout {
            let hint = text(&ada, "id_token");
            let path = format!("/oauth/logout?id_token_hint={hint}");
            browser.get(&path).await.ok();
        } else {
            let path = format!("/{}", sid(&ada));
            let status = end(&site, text(&ada, "access_token"), &path).await;
            assert_eq!(status, StatusCode::NO_CONTENT);
        }
        assert_eq!(site.device_poll(&second).await.error(), "invalid_grant");
        assert_eq!(exchange(&site, &code).await.error(), "invalid_grant");
        let left = listed(&site, ADMIN, "?subject=local:ada").await;
        assert!(left.is_empty(), "{left:?}");
    }
}

async fn nothing_outruns_the_end_of_all_that_somebody_has_begun() {
    let site = site().await;
    let path = format!("{SESSIONS}?subject=local:ada");
    for _ in 0..10 {
        let browser = Browser::new(&site);
        let (first, second) = (site.device_start().await, site.device_start().await);
        browser.approve(&first, "ada").await;
        let page = browser.device_page(&second, "ada").await;
        let code = query(&browser.authorize(&[]).await.location())["code"].clone();
        // At the same moment.
        let (ended, polled, used, _) = tokio::join!(
            site.admin("DELETE", &path, Value::Null),
            site.device_poll(&first),
            exchange(&site, &code),
            browser.decide(&page, "approve"),
        );
        ended.ok();
        // Whichever came first, none of it is left.
        for answer in [polled, used] {
            if answer.status.is_success() {
                let tokens = answer.json();
                let status = site.whoami(text(&tokens, "access_token")).await.status;
                assert_eq!(status, StatusCode::UNAUTHORIZED);
            }
        }
        let late = site.device_poll(&second).await;
        assert!(!late.status.is_success(), "{}", late.body);
        let left = listed(&site, ADMIN, "?subject=local:ada").await;
        assert!(left.is_empty(), "{left:?}");
    }
}
