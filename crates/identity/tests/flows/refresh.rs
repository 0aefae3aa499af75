//! Refresh tokens: rotation, reuse, lifetimes, revocation.

use kernel::{EventFilter, Means};
use serde_json::json;

use crate::support::{Answer, Browser, Site, text};

testkit::on_both!(
    the_trail_names_the_login_and_none_of_its_secrets,
    each_refresh_gives_another_token,
    a_token_that_is_used_again_ends_the_session_for_both,
    an_answer_that_arrived_is_not_given_again,
    another_client_with_the_token_ends_the_session,
    two_at_once_get_the_same,
    what_was_made_up_is_refused_and_harms_nobody,
    sessions_end_after_two_idle_days_and_after_seven_in_all,
    membership_is_asked_anew_at_each_refresh,
    a_new_password_ends_the_sessions_of_the_old_one,
    a_revoked_session_is_over_for_all_its_tokens,
    logging_out_ends_what_began_in_the_browser,
);

async fn site_with_ada() -> (Site, String) {
    let site = Site::new().await;
    site.user("ada").await;
    site.group("payments", &["ada"]).await;
    let tokens = site.login("ada").await;
    let token = text(&tokens, "refresh_token").to_owned();
    (site, token)
}

fn next(answer: Answer) -> (String, String) {
    let tokens = answer.ok().json();
    (
        text(&tokens, "refresh_token").into(),
        text(&tokens, "access_token").into(),
    )
}

async fn the_trail_names_the_login_and_none_of_its_secrets() {
    let site = Site::new().await;
    site.user("ada").await;
    let tokens = site.login("ada").await;
    let (access, refresh) = (
        text(&tokens, "access_token"),
        text(&tokens, "refresh_token"),
    );
    let sid = crate::support::claims(access)["sid"]
        .as_str()
        .unwrap()
        .to_owned();
    let verified = site.identity.verifier().verify(access).await.unwrap();
    assert_eq!(verified.caller.means, Means::Login(sid.clone()));
    site.post(
        "/oauth/revoke",
        &[("client_id", "towpath-cli"), ("token", refresh)],
    )
    .await
    .ok();
    let events = site
        .store
        .events(&EventFilter::default(), 0, 1000)
        .await
        .unwrap();
    let of = |kind: &str| {
        let event = events
            .iter()
            .find(|event| event.kind == format!("dev.towpath.{kind}"));
        event.unwrap_or_else(|| panic!("no {kind}")).clone()
    };
    for kind in ["session.started", "session.ended"] {
        let event = of(kind);
        assert_eq!(event.actor, "local:ada", "{kind}");
        assert_eq!(event.means, Some(format!("login:{sid}")), "{kind}");
        assert_eq!(event.subject, format!("Session/{sid}"), "{kind}");
    }
    assert_eq!(of("device.approved").means.as_deref(), Some("browser"));
    assert_eq!(of("user.created").means.as_deref(), Some("admin-token"));
    let log = serde_json::to_string(&events).unwrap();
    let (_, secret) = refresh.rsplit_once('.').unwrap();
    for secret in [access, refresh, secret, text(&tokens, "id_token")] {
        assert!(!log.contains(secret));
    }
}

async fn each_refresh_gives_another_token() {
    let (site, first) = site_with_ada().await;
    site.advance(3600);
    let (second, access) = next(site.refresh(&first).await);
    assert_ne!(first, second);
    site.whoami(&access).await.ok();
    site.advance(3600);
    let (third, access) = next(site.refresh(&second).await);
    site.whoami(&access).await.ok();
    assert_ne!(second, third);
}

async fn a_token_that_is_used_again_ends_the_session_for_both() {
    let (site, first) = site_with_ada().await;
    let (second, access) = next(site.refresh(&first).await);
    // An answer that was lost: the same again, and no second line of tokens.
    site.advance(59);
    let (again, _) = next(site.refresh(&first).await);
    assert_eq!(again, second);
    site.advance(2);
    assert_eq!(site.refresh(&first).await.error(), "invalid_grant");
    assert_eq!(site.refresh(&second).await.error(), "invalid_grant");
    let answer = site.whoami(&access).await;
    assert_eq!(answer.status, 401, "{}", answer.body);
}

async fn an_answer_that_arrived_is_not_given_again() {
    let (site, first) = site_with_ada().await;
    let (second, _) = next(site.refresh(&first).await);
    let (third, access) = next(site.refresh(&second).await);
    // Within the minute all the same: its successor was used.
    assert_eq!(site.refresh(&first).await.error(), "invalid_grant");
    assert_eq!(site.refresh(&third).await.error(), "invalid_grant");
    assert_eq!(site.whoami(&access).await.status, 401);
}

async fn another_client_with_the_token_ends_the_session() {
    let (site, first) = site_with_ada().await;
    let other = json!({ "redirectUris": ["https://portal.example.com/"] });
    let path = "/v1/identity/clients/portal";
    site.admin("PUT", path, other).await.ok();
    let (second, access) = next(site.refresh(&first).await);
    // It has no right to the answer that may have been lost, either.
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", first.as_str()),
        ("client_id", "portal"),
    ];
    let refused = site.post("/oauth/token", &fields).await;
    assert_eq!(refused.error(), "invalid_grant");
    assert_eq!(site.refresh(&second).await.error(), "invalid_grant");
    assert_eq!(site.whoami(&access).await.status, 401);
}

async fn two_at_once_get_the_same() {
    let (site, first) = site_with_ada().await;
    let (one, other) = tokio::join!(site.refresh(&first), site.refresh(&first));
    assert_eq!(next(one).0, next(other).0);
}

async fn what_was_made_up_is_refused_and_harms_nobody() {
    let (site, first) = site_with_ada().await;
    let (sid, mac) = first.rsplit_once('.').unwrap();
    let (sid, _) = sid.rsplit_once('.').unwrap();
    for forged in [
        format!("{sid}.0.{mac}"),
        format!("{sid}.2.{mac}"),
        format!("{sid}.1.{}", "A".repeat(43)),
        format!("{sid}.99999999999999999999.{mac}"),
        "twr_x.1.y".into(),
        "nothing".into(),
    ] {
        assert_eq!(
            site.refresh(&forged).await.error(),
            "invalid_grant",
            "{forged}"
        );
    }
    next(site.refresh(&first).await);
}

async fn sessions_end_after_two_idle_days_and_after_seven_in_all() {
    const DAY: u64 = 24 * 3600;
    let (site, first) = site_with_ada().await;
    site.advance(2 * DAY + 1);
    assert_eq!(site.refresh(&first).await.error(), "invalid_grant");

    let (site, mut token) = site_with_ada().await;
    for _ in 0..6 {
        site.advance(DAY);
        token = next(site.refresh(&token).await).0;
    }
    site.advance(DAY - 600);
    let answer = site.refresh(&token).await.ok().json();
    // No token outlives the session.
    assert_eq!(answer["expires_in"], 600);
    token = text(&answer, "refresh_token").into();
    site.advance(601);
    assert_eq!(site.refresh(&token).await.error(), "invalid_grant");
}

async fn membership_is_asked_anew_at_each_refresh() {
    let (site, first) = site_with_ada().await;
    site.group("web", &["ada"]).await;
    let answer = site.refresh(&first).await.ok().json();
    let says = crate::support::claims(text(&answer, "id_token"));
    assert_eq!(says["groups"], json!(["payments", "web"]));
    site.group("payments", &[]).await;
    let answer = site
        .refresh(text(&answer, "refresh_token"))
        .await
        .ok()
        .json();
    let says = crate::support::claims(text(&answer, "access_token"));
    assert_eq!(says["https://towpath.dev/teams"], json!(["web"]));

    let body = json!({ "spec": { "disabled": true } });
    site.admin("PUT", "/v1/identity/users/ada", body).await.ok();
    let token = text(&answer, "refresh_token");
    assert_eq!(site.refresh(token).await.error(), "invalid_grant");
}

async fn a_new_password_ends_the_sessions_of_the_old_one() {
    let (site, first) = site_with_ada().await;
    let body = json!({ "password": "another long password" });
    site.admin("PUT", "/v1/identity/users/ada", body).await.ok();
    assert_eq!(site.refresh(&first).await.error(), "invalid_grant");
}

async fn a_revoked_session_is_over_for_all_its_tokens() {
    let (site, first) = site_with_ada().await;
    let (second, access) = next(site.refresh(&first).await);
    let revoke = |token: String| {
        let site = &site;
        let fields = [("client_id", "towpath-cli".to_owned()), ("token", token)];
        async move {
            let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
            site.post("/oauth/revoke", &fields).await.ok();
        }
    };
    // What is not ours is passed over, as RFC 7009 wants it.
    revoke("nonsense".into()).await;
    site.whoami(&access).await.ok();
    revoke(second.clone()).await;
    assert_eq!(site.whoami(&access).await.status, 401);
    assert_eq!(site.refresh(&second).await.error(), "invalid_grant");
    revoke(second).await;

    let tokens = site.login("ada").await;
    revoke(text(&tokens, "access_token").into()).await;
    assert_eq!(site.whoami(text(&tokens, "access_token")).await.status, 401);
    assert_eq!(
        site.refresh(text(&tokens, "refresh_token")).await.error(),
        "invalid_grant"
    );
}

async fn logging_out_ends_what_began_in_the_browser() {
    let site = Site::new().await;
    site.user("ada").await;
    let browser = Browser::new(&site);
    let mut all = vec![];
    for _ in 0..2 {
        let device = site.device_start().await;
        browser.approve(&device, "ada").await;
        all.push(site.device_poll(&device).await.ok().json());
    }
    let elsewhere = site.login("ada").await;

    let page = browser.get("/oauth/logout").await.ok();
    // A link alone logs nobody out.
    site.whoami(text(&all[0], "access_token")).await.ok();
    let csrf = crate::support::field(&page.body, "csrf");
    browser.post("/oauth/logout", &[("csrf", &csrf)]).await.ok();
    for tokens in &all {
        assert_eq!(site.whoami(text(tokens, "access_token")).await.status, 401);
        assert_eq!(
            site.refresh(text(tokens, "refresh_token")).await.error(),
            "invalid_grant"
        );
    }
    site.whoami(text(&elsewhere, "access_token")).await.ok();

    // A program does it with the ID token.
    let hint = text(&elsewhere, "id_token");
    browser
        .get(&format!("/oauth/logout?id_token_hint={hint}"))
        .await
        .ok();
    assert_eq!(
        site.whoami(text(&elsewhere, "access_token")).await.status,
        401
    );
    let forged = browser.get("/oauth/logout?id_token_hint=a.b.c").await;
    assert_eq!(forged.status, 400);
}
