//! Upstreams: another OpenID provider (Towpath itself is one), and GitHub.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use jiff::Timestamp;
use kernel::{Sealer, Store};
use serde_json::{Value, json};

use crate::{
    endings::grants,
    returns::{renewed, replica},
    servers::{Down, GitHub, listen, serve},
    support::{Answer, Browser, ISSUER, PASSWORD, Site, claims, query, settings, text},
};

const HOUR: u64 = 3600;

pub(crate) async fn downstream() -> Site {
    let mut settings = settings();
    settings.allow_private_upstreams = true;
    Site::with(settings).await
}

/// A provider on a port of its own, with ada in two groups.
pub(crate) async fn provider() -> (Site, Down, tempfile::TempDir) {
    let (listener, url) = listen().await;
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}/store.db", directory.path().display());
    let store = Store::open(&store, Sealer::generate().unwrap())
        .await
        .unwrap();
    let clock = identity::Clock::manual(Timestamp::now() + std::time::Duration::from_secs(60));
    let site = Site::on(store, identity::Settings::new(&url), clock).await;
    let down = serve(listener, site.router.clone());
    site.user("ada").await;
    site.group("payments", &["ada"]).await;
    site.group("web", &["ada"]).await;
    (site, down, directory)
}

pub(crate) async fn connect(site: &Site, upstream: &Site) {
    let client = json!({
        "redirectUris": [format!("{ISSUER}/login/corp/callback")], "confidential": true,
    });
    upstream
        .admin("PUT", "/v1/identity/clients/towpath", client)
        .await
        .ok();
    let secret = upstream
        .admin("POST", "/v1/identity/clients/towpath/secrets", Value::Null)
        .await;
    let body = json!({
        "spec": {
            "title": "Corp", "clientId": "towpath",
            "provider": { "type": "oidc", "issuer": upstream.identity.settings().issuer },
        },
        "secret": text(&secret.ok().json(), "clientSecret"),
    });
    site.admin("PUT", "/v1/identity/upstreams/corp", body)
        .await
        .ok();
}

/// Where a login page sends the browser for an upstream.
pub(crate) async fn visit(browser: &Browser<'_>, upstream: &str) -> String {
    let location = browser.get("/device").await.location();
    let page = browser.get(&location).await.ok();
    let (_, rest) = page
        .body
        .split_once(&format!("href=\"/login/{upstream}?page="))
        .unwrap();
    let page = rest.split('"').next().unwrap();
    browser
        .get(&format!("/login/{upstream}?page={page}"))
        .await
        .location()
}

/// Where a browser of the upstream is sent back to.
async fn back(upstream: &Site, location: &str) -> String {
    let url = &upstream.identity.settings().issuer;
    let there = Browser::new(upstream);
    let login = there
        .get(location.strip_prefix(url.as_str()).unwrap())
        .await
        .location();
    there.log_in(&login, "ada", PASSWORD).await.location()
}

pub(crate) async fn device(site: &Site, browser: &Browser<'_>) -> Answer {
    let device = site.device_start().await;
    let page = browser
        .get(text(&device, "verification_uri_complete"))
        .await
        .ok();
    browser.decide(&page, "approve").await.ok();
    site.device_poll(&device).await
}

fn groups(tokens: &Value) -> Value {
    claims(text(tokens, "id_token"))["groups"].clone()
}

#[tokio::test]
async fn people_log_in_where_they_are() {
    let (site, (upstream, _, _directory)) = (downstream().await, provider().await);
    connect(&site, &upstream).await;
    let browser = Browser::new(&site);
    let callback = back(&upstream, &visit(&browser, "corp").await).await;
    assert!(
        callback.starts_with(&format!("{ISSUER}/login/corp/callback?code=")),
        "{callback}"
    );
    assert_eq!(browser.get(&callback).await.location(), "/device");
    let tokens = device(&site, &browser).await.ok().json();
    let says = claims(text(&tokens, "id_token"));
    assert_eq!(says["sub"], "corp:local:ada");
    assert_eq!(says["preferred_username"], "ada");
    assert_eq!(says["groups"], json!(["payments", "web"]));
    let who = site.whoami(text(&tokens, "access_token")).await.ok().json();
    assert_eq!(who["teams"], json!(["payments", "web"]));

    // A link that is used again, or in another browser, lets nobody in.
    assert_eq!(browser.get(&callback).await.status, StatusCode::BAD_REQUEST);
    let sent = Browser::new(&site);
    let callback = back(&upstream, &visit(&sent, "corp").await).await;
    let elsewhere = Browser::new(&site).get(&callback).await;
    assert_eq!(elsewhere.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_providers_group_makes_operators_where_its_source_is_named() {
    let (upstream, _, _directory) = provider().await;
    for (group, operates) in [("web", false), ("local:web", false), ("corp:web", true)] {
        let mut settings = settings();
        settings.allow_private_upstreams = true;
        settings.admin_groups = vec![group.into()];
        let site = Site::with(settings).await;
        connect(&site, &upstream).await;
        let browser = Browser::new(&site);
        let callback = back(&upstream, &visit(&browser, "corp").await).await;
        browser.get(&callback).await.location();
        let tokens = device(&site, &browser).await.ok().json();
        let token = text(&tokens, "access_token");
        let users = site.api("GET", "/v1/identity/users", token, Value::Null);
        let expected = if operates {
            StatusCode::OK
        } else {
            StatusCode::FORBIDDEN
        };
        assert_eq!(users.await.status, expected, "{group}");
    }
}

#[tokio::test]
async fn membership_follows_the_upstream() {
    let (site, (upstream, _, _directory)) = (downstream().await, provider().await);
    connect(&site, &upstream).await;
    let browser = Browser::new(&site);
    browser
        .get(&back(&upstream, &visit(&browser, "corp").await).await)
        .await
        .location();
    let one = device(&site, &browser).await.ok().json();
    let two = device(&site, &browser).await.ok().json();

    upstream.group("payments", &[]).await;
    upstream.group("ops", &["ada"]).await;
    let one = site.refresh(text(&one, "refresh_token")).await.ok().json();
    assert_eq!(groups(&one), json!(["ops", "web"]));
    // Both sessions ask with one upstream token, which is another after each use.
    upstream.advance(60);
    let two = site.refresh(text(&two, "refresh_token")).await.ok().json();
    assert_eq!(groups(&two), json!(["ops", "web"]));
    upstream.advance(60);
    let one = site.refresh(text(&one, "refresh_token")).await.ok().json();

    let disabled = json!({ "spec": { "disabled": true } });
    upstream
        .admin("PUT", "/v1/identity/users/ada", disabled)
        .await
        .ok();
    for tokens in [&one, &two] {
        assert_eq!(
            site.refresh(text(tokens, "refresh_token")).await.error(),
            "invalid_grant"
        );
        assert_eq!(site.whoami(text(tokens, "access_token")).await.status, 401);
    }
}

#[tokio::test]
async fn a_member_is_taken_out_before_the_upstream_says_so() {
    let (site, (upstream, down, _directory)) = (downstream().await, provider().await);
    connect(&site, &upstream).await;
    let browser = Browser::new(&site);
    browser
        .get(&back(&upstream, &visit(&browser, "corp").await).await)
        .await
        .location();
    let tokens = device(&site, &browser).await.ok().json();
    let admin = kernel::Caller::local_admin();
    // A replica whose clock is ahead signs one before that is told, by what the session was told at its login.
    let ahead = replica(&site, 60).await;
    down.set(true);
    let early = renewed(&ahead, &tokens).await;
    down.set(false);
    site.advance(1);
    let asked = site.clock.now();
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    site.identity
        .upstream_members_end(&admin, "corp", ("payments", None), asked, &BTreeMap::new())
        .await
        .unwrap();
    let restarted = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    let all = [&site, &replica, &restarted];
    for site in all {
        for tokens in [&tokens, &early] {
            let who = site.whoami(text(tokens, "access_token")).await.ok().json();
            assert_eq!(who["teams"], json!(["web"]));
        }
    }
    // Of themselves the upstream says that they are in it, and was asked later.
    let returned = renewed(&site, &early).await;
    for site in all {
        let who = site.whoami(text(&returned, "access_token")).await.ok();
        assert_eq!(who.json()["groups"], json!(["payments", "web"]));
    }
}

#[tokio::test]
async fn an_upstream_that_is_down_is_passed_over_for_two_hours() {
    let (site, (upstream, down, _directory)) = (downstream().await, provider().await);
    connect(&site, &upstream).await;
    let browser = Browser::new(&site);
    browser
        .get(&back(&upstream, &visit(&browser, "corp").await).await)
        .await
        .location();
    let tokens = device(&site, &browser).await.ok().json();

    down.set(true);
    site.whoami(text(&tokens, "access_token")).await.ok();
    site.advance(HOUR + HOUR / 2);
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    // Not beyond what was last known of them.
    assert_eq!(tokens["expires_in"], HOUR / 2);
    site.whoami(text(&tokens, "access_token")).await.ok();
    site.advance(HOUR / 2);
    let refused = site.refresh(text(&tokens, "refresh_token")).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.error(), "temporarily_unavailable");
    assert!(
        refused.body.contains("you need not log in anew"),
        "{}",
        refused.body
    );
    let page = Browser::new(&site).get("/device").await.location();
    let page = Browser::new(&site).get(&page).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);

    // The token was not used up.
    down.set(false);
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    assert_eq!(tokens["expires_in"], HOUR);
    assert_eq!(groups(&tokens), json!(["payments", "web"]));
}

pub(crate) async fn github() -> (Site, GitHub) {
    let (site, github) = (downstream().await, GitHub::start().await);
    let body = json!({
        "spec": {
            "title": "GitHub", "clientId": "towpath",
            "provider": {
                "type": "github", "org": "epetech", "url": github.url,
                "apiUrl": format!("{}/api", github.url),
            },
        },
        "secret": "a-secret",
    });
    site.admin("PUT", "/v1/identity/upstreams/github", body)
        .await
        .ok();
    (site, github)
}

pub(crate) async fn github_login(site: &Site, browser: &Browser<'_>, code: &str) -> Answer {
    let sent = query(&visit(browser, "github").await);
    assert_eq!(sent["scope"], "read:user read:org");
    assert_eq!(sent["code_challenge_method"], "S256");
    let _ = site;
    let state = &sent["state"];
    browser
        .get(&format!("/login/github/callback?code={code}&state={state}"))
        .await
}

#[tokio::test]
async fn all_teams_of_one_organization_over_all_pages() {
    let (site, github) = github().await;
    github.person.lock().unwrap().teams = (0..7)
        .map(|number| ("epetech", format!("team-{number}")))
        .chain([
            ("other", "platform-team".into()),
            ("EpeTech", "platform-team".into()),
        ])
        .collect();
    let browser = Browser::new(&site);
    assert_eq!(
        github_login(&site, &browser, "a-code").await.location(),
        "/device"
    );
    let tokens = device(&site, &browser).await.ok().json();
    let says = claims(text(&tokens, "id_token"));
    assert_eq!(says["sub"], "github:583231");
    assert_eq!(says["preferred_username"], "octocat");
    let mut expected: Vec<_> = (0..7)
        .map(|number| format!("epetech/team-{number}"))
        .collect();
    expected.insert(0, "epetech/platform-team".into());
    assert_eq!(says["groups"], json!(expected));

    // Removed at the source, gone at the next refresh.
    github.person.lock().unwrap().teams.clear();
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    assert_eq!(groups(&tokens), json!([]));
    // A rate limit is no news of the person.
    github.person.lock().unwrap().limited = true;
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    github.person.lock().unwrap().limited = false;
    github.down.set(true);
    let tokens = site
        .refresh(text(&tokens, "refresh_token"))
        .await
        .ok()
        .json();
    github.down.set(false);
    github.person.lock().unwrap().revoked = true;
    assert_eq!(
        site.refresh(text(&tokens, "refresh_token")).await.error(),
        "invalid_grant"
    );
    assert_eq!(site.whoami(text(&tokens, "access_token")).await.status, 401);
}

#[tokio::test]
async fn what_github_refuses_is_told() {
    let (site, github) = github().await;
    let browser = Browser::new(&site);
    let refused = github_login(&site, &browser, "another-code").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.body.contains("The code is incorrect or expired."),
        "{}",
        refused.body
    );
    let state = &query(&visit(&browser, "github").await)["state"];
    let denied = format!("/login/github/callback?error=access_denied&state={state}");
    assert_eq!(browser.get(&denied).await.status, StatusCode::FORBIDDEN);
    let forged = "/login/github/callback?code=a-code&state=made-up";
    assert_eq!(browser.get(forged).await.status, StatusCode::BAD_REQUEST);
    github.down.set(true);
    let away = github_login(&site, &browser, "a-code").await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn groups_of_the_cluster_come_from_no_source() {
    let (site, github) = github().await;
    github.person.lock().unwrap().teams = vec![("epetech", "a".into())];
    let mut body = json!({
        "spec": {
            "title": "x", "clientId": "towpath",
            "provider": { "type": "github", "org": "system:masters", "url": github.url, "apiUrl": format!("{}/api", github.url) },
        },
        "secret": "a-secret",
    });
    site.admin("PUT", "/v1/identity/upstreams/github", body.clone())
        .await
        .ok();
    github.person.lock().unwrap().teams = vec![("system:masters", "a".into())];
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    let tokens = device(&site, &browser).await.ok().json();
    assert_eq!(groups(&tokens), json!([]));

    for name in ["local", "account", "system", "Not A Name"] {
        let path = format!("/v1/identity/upstreams/{}", name.replace(' ', "%20"));
        let answer = site.admin("PUT", &path, body.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
    }
    body["spec"]["provider"]["url"] = json!("nothing");
    let answer = site
        .admin("PUT", "/v1/identity/upstreams/github", body)
        .await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let shown = site
        .admin("GET", "/v1/identity/upstreams/github", Value::Null)
        .await
        .ok()
        .body;
    assert!(!shown.contains("a-secret"));
}

/// A provider that takes a token that is used twice for stolen, at once.
async fn strict_provider() -> (Site, Down, tempfile::TempDir) {
    let (listener, url) = listen().await;
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}/store.db", directory.path().display());
    let store = Store::open(&store, Sealer::generate().unwrap())
        .await
        .unwrap();
    let clock = identity::Clock::manual(Timestamp::now() + std::time::Duration::from_secs(60));
    let mut settings = identity::Settings::new(&url);
    settings.lifetimes.refresh_leeway = std::time::Duration::ZERO;
    let site = Site::on(store, settings, clock).await;
    let down = serve(listener, site.router.clone());
    site.user("ada").await;
    site.group("payments", &["ada"]).await;
    (site, down, directory)
}

#[tokio::test]
async fn many_refreshes_at_once_use_the_upstreams_token_one_after_the_other() {
    let (site, (upstream, _, _directory)) = (downstream().await, strict_provider().await);
    connect(&site, &upstream).await;
    let mut settings = settings();
    settings.allow_private_upstreams = true;
    let replica = Site::on(site.store.clone(), settings, site.clock.clone()).await;
    let browser = Browser::new(&site);
    browser
        .get(&back(&upstream, &visit(&browser, "corp").await).await)
        .await
        .location();
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(device(&site, &browser).await.ok().json());
    }
    // All sessions of the browser ask with the one token that the upstream gave.
    assert_eq!(grants(&site).await, 1);
    for _ in 0..3 {
        let all = sessions.iter().enumerate().map(|(number, tokens)| {
            let one = if number % 2 == 0 { &site } else { &replica };
            one.refresh(text(tokens, "refresh_token"))
        });
        let answers = futures::future::join_all(all).await;
        sessions = answers.into_iter().map(|a| a.ok().json()).collect();
    }
    for tokens in &sessions {
        assert_eq!(groups(tokens), json!(["payments"]));
    }
}

#[tokio::test]
async fn after_a_logout_nothing_is_left_that_asks_the_upstream() {
    let (site, (upstream, _, _directory)) = (downstream().await, provider().await);
    connect(&site, &upstream).await;
    let browser = Browser::new(&site);
    let come = async || {
        let callback = back(&upstream, &visit(&browser, "corp").await).await;
        browser.get(&callback).await.location()
    };
    come().await;
    let (one, two) = (
        device(&site, &browser).await.ok().json(),
        device(&site, &browser).await.ok().json(),
    );
    assert_eq!(grants(&site).await, 1);
    // The other session, and the browser, still ask with it.
    let revoke = async |tokens: &Value| {
        let token = text(tokens, "refresh_token");
        let fields = [("client_id", "towpath-cli"), ("token", token)];
        site.post("/oauth/revoke", &fields).await.ok();
    };
    revoke(&one).await;
    assert_eq!(grants(&site).await, 1);
    site.refresh(text(&two, "refresh_token")).await.ok();
    let hint = text(&two, "id_token");
    browser
        .get(&format!("/oauth/logout?id_token_hint={hint}"))
        .await
        .ok();
    assert_eq!(grants(&site).await, 0);
}
