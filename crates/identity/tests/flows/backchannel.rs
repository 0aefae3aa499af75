//! Back-channel logout: who is logged out at their provider is logged out here at once, and by nobody else's word.

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::EventFilter;
use serde_json::{Value, json};

use crate::{
    openid::{OpenId, post_logout},
    servers::Signer,
    support::{Answer, Browser, Site, settings, text},
    upstream::downstream,
};

testkit::on_both!(
    who_is_logged_out_at_the_provider_is_logged_out_here,
    a_session_at_the_provider_ends_with_the_login_that_came_of_it,
    what_is_no_logout_token_of_the_provider_ends_nothing,
    a_logout_token_counts_once,
    whoever_makes_tokens_up_waits_and_the_provider_does_not,
    whoever_makes_keys_up_holds_up_no_logout,
);

fn ada(sid: &str) -> Value {
    json!({ "sub": "ada", "groups": ["payments"], "sid": sid })
}

async fn is_in(site: &Site, tokens: &Value) -> bool {
    let status = site.whoami(text(tokens, "access_token")).await.status;
    assert!(
        [StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&status),
        "{status}"
    );
    status == StatusCode::OK
}

#[track_caller]
fn heeded(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.headers["cache-control"], "no-store");
}

async fn told(site: &Site, kind: &str) -> Vec<kernel::Event> {
    let filter = EventFilter {
        type_prefix: Some(format!("dev.towpath.{kind}")),
        ..EventFilter::default()
    };
    site.store.events(&filter, 0, 100).await.unwrap()
}

async fn who_is_logged_out_at_the_provider_is_logged_out_here() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    let (laptop, desk, others) = (
        Browser::new(&site),
        Browser::new(&site),
        Browser::new(&site),
    );
    let one = corp.log_in(&site, &laptop, "one", ada("s1")).await;
    let two = corp.log_in(&site, &desk, "two", ada("s2")).await;
    let bob = json!({ "sub": "bob", "groups": ["payments"], "sid": "s3" });
    let bob = corp.log_in(&site, &others, "three", bob).await;
    // Let in, and not asked for yet.
    let waiting = site.device_start().await;
    let page = laptop
        .get(text(&waiting, "verification_uri_complete"))
        .await
        .ok();
    laptop.decide(&page, "approve").await.ok();

    let token = corp.logout_token(&site, &json!({ "sub": "ada" }));
    heeded(&post_logout(&site, &token).await);
    for tokens in [&one, &two] {
        for site in [&site, &replica] {
            assert!(!is_in(site, tokens).await);
        }
        let renewed = site.refresh(text(tokens, "refresh_token")).await;
        assert_eq!(renewed.error(), "invalid_grant");
    }
    assert_eq!(site.device_poll(&waiting).await.error(), "invalid_grant");
    for browser in [&laptop, &desk] {
        let location = browser.get("/device").await.location();
        assert!(location.starts_with("/login?page="), "{location}");
    }
    assert!(is_in(&site, &bob).await);

    let all = told(&site, "session.backchannel-logout").await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].actor, "system:identity");
    assert!(all[0].subject.ends_with("corp:ada"), "{:?}", all[0]);
    let data = json!({ "upstream": "corp", "ended": 2, "all": true });
    assert_eq!(all[0].data, data);
    let ended = told(&site, "session.ended").await;
    assert_eq!(ended.len(), 2, "{ended:?}");
    assert!(
        ended
            .iter()
            .all(|one| one.data["reason"] == "logged out at its upstream"
                && one.correlation == all[0].correlation)
    );
}

async fn a_session_at_the_provider_ends_with_the_login_that_came_of_it() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let log_in = async |name: &str, says: Value| {
        let browser = Browser::new(&site);
        corp.log_in(&site, &browser, name, says).await
    };
    let one = log_in("one", ada("s1")).await;
    let two = log_in("two", ada("s2")).await;
    let nameless = json!({ "sub": "ada", "groups": ["payments"] });
    let three = log_in("three", nameless).await;
    let logout = async |over: Value| {
        let token = corp.logout_token(&site, &over);
        heeded(&post_logout(&site, &token).await);
    };
    // Somebody else's, and one that never let anybody in here.
    logout(json!({ "sub": "bob", "sid": "s1" })).await;
    logout(json!({ "sid": "s9" })).await;
    for tokens in [&one, &two, &three] {
        assert!(is_in(&site, tokens).await);
    }
    // The login of which it is not known may have come of it.
    logout(json!({ "sub": "ada", "sid": "s1" })).await;
    assert!(!is_in(&site, &one).await);
    assert!(is_in(&site, &two).await);
    assert!(!is_in(&site, &three).await);
    logout(json!({ "sid": "s2" })).await;
    assert!(!is_in(&site, &two).await);
}

async fn what_is_no_logout_token_of_the_provider_ends_nothing() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let browser = Browser::new(&site);
    let tokens = corp.log_in(&site, &browser, "one", ada("s1")).await;
    let now = site.clock.now().as_second();
    let claims = |over: Value| corp.logout_claims(&site, &over);
    let with = |name: &str, value: Value| claims(json!({ "sub": "ada", name: value }));
    let without = |name: &str| {
        let mut claims = claims(json!({ "sub": "ada" }));
        claims.as_object_mut().unwrap().remove(name).unwrap();
        claims
    };
    let right = claims(json!({ "sub": "ada" }));
    let head = |alg: &str, typ: &str| json!({ "alg": alg, "typ": typ, "kid": "one" });
    let signed = |claims: &Value| corp.signer().sign(claims);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", part(&head("none", "JWT")), part(&right));
    let own = signed(&right);
    let (body, signature) = own.rsplit_once('.').unwrap();
    let (_, others) = body.split_once('.').unwrap();
    let forged = [
        // By another, or not at all.
        Signer::new("one").sign(&right),
        Signer::new("two").sign(&right),
        unsigned.clone(),
        format!("{unsigned}{signature}"),
        corp.signer().sign_as(&head("HS256", "logout+jwt"), &right),
        format!(
            "{}.{others}.{signature}",
            part(&head("RS256", "logout+jwt"))
        ),
        "a.b.c".into(),
        // For another purpose.
        corp.signer().sign_as(&head("RS256", "at+jwt"), &right),
        corp.id_token("one"),
        signed(&with("nonce", json!("a nonce"))),
        signed(&without("events")),
        signed(&with("events", json!({ "another": {} }))),
        // For, or by, somebody else.
        signed(&with("aud", json!("wiki"))),
        signed(&without("aud")),
        signed(&with("iss", json!("https://login.example.com"))),
        // Not now.
        signed(&with("exp", json!(now - 61))),
        signed(&without("exp")),
        signed(&with("iat", json!(now + 61))),
        signed(&without("iat")),
        // Of nobody, or of no name.
        signed(&without("sub")),
        signed(&with("sub", json!(""))),
        signed(&without("jti")),
    ];
    for token in &forged {
        let answer = post_logout(&site, token).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{token}");
        assert_eq!(answer.error(), "invalid_request", "{token}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(is_in(&site, &tokens).await, "{token}");
    }
    let fields = [("logout_token", own.as_str())];
    for path in [
        "/login/acme/backchannel-logout",
        "/login/local/backchannel-logout",
    ] {
        assert_eq!(site.post(path, &fields).await.error(), "invalid_request");
    }
    let nothing = site.post("/login/corp/backchannel-logout", &[]).await;
    assert_eq!(nothing.error(), "invalid_request");
    assert!(is_in(&site, &tokens).await);
    assert!(told(&site, "session.backchannel-logout").await.is_empty());

    // A clock that is a minute off is nobody's fault; nor does every provider name the type.
    let late = with("exp", json!(now - 59));
    heeded(&post_logout(&site, &signed(&late)).await);
    assert!(!is_in(&site, &tokens).await);
}

async fn a_logout_token_counts_once() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let log_in = async |name: &str| {
        let browser = Browser::new(&site);
        corp.log_in(&site, &browser, name, ada("s1")).await
    };
    log_in("one").await;
    let token = corp.logout_token(&site, &json!({ "sub": "ada" }));
    heeded(&post_logout(&site, &token).await);
    let again = log_in("two").await;
    let mut replicas = settings();
    replicas.allow_private_upstreams = true;
    let replica = Site::on(site.store.clone(), replicas, site.clock.clone()).await;
    for site in [&site, &replica] {
        // To the last moment at which it would be taken. It is no guess, however often it comes.
        for _ in 0..20 {
            heeded(&post_logout(site, &token).await);
        }
        site.advance(179);
    }
    assert!(is_in(&site, &again).await);
    assert_eq!(told(&site, "session.backchannel-logout").await.len(), 1);
    // Many at once, as one that is sent again: one ends something.
    let token = corp.logout_token(&site, &json!({ "sub": "ada" }));
    let all = futures::future::join_all((0..5).map(|_| post_logout(&site, &token))).await;
    for answer in &all {
        heeded(answer);
    }
    assert_eq!(told(&site, "session.backchannel-logout").await.len(), 2);
    assert!(!is_in(&site, &again).await);
}

async fn whoever_makes_tokens_up_waits_and_the_provider_does_not() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let browser = Browser::new(&site);
    let tokens = corp.log_in(&site, &browser, "one", ada("s1")).await;
    let forger = Signer::new("one");
    let mut refused = StatusCode::BAD_REQUEST;
    for _ in 0..40 {
        let claims = corp.logout_claims(&site, &json!({ "sub": "ada" }));
        let answer = post_logout(&site, &forger.sign(&claims)).await;
        refused = answer.status;
        if refused == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers.contains_key("retry-after"));
            break;
        }
    }
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    // While it does not say by which keys it signs, nobody can tell, and it is to come again.
    let next = Signer::new("two");
    corp.keys.lock().unwrap().push(next.jwk.clone());
    site.advance(31);
    let token = next.sign(&corp.logout_claims(&site, &json!({ "sub": "ada" })));
    corp.down.set(true);
    let away = post_logout(&site, &token).await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(is_in(&site, &tokens).await);
    corp.down.set(false);
    // It is left alone for a moment.
    site.advance(31);
    heeded(&post_logout(&site, &token).await);
    assert!(!is_in(&site, &tokens).await);
}

async fn whoever_makes_keys_up_holds_up_no_logout() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let browser = Browser::new(&site);
    let tokens = corp.log_in(&site, &browser, "one", ada("s1")).await;
    let claims = corp.logout_claims(&site, &json!({ "sub": "ada" }));
    let made_up = Signer::new("nobody-has-it").sign(&claims);
    assert_eq!(
        post_logout(&site, &made_up).await.error(),
        "invalid_request"
    );
    // It signs by another key from now on.
    let next = Signer::new("two");
    corp.keys.lock().unwrap().push(next.jwk.clone());
    let token = next.sign(&claims);
    site.advance(1);
    let answer = post_logout(&site, &token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "29");
    assert!(is_in(&site, &tokens).await);
    site.advance(29);
    heeded(&post_logout(&site, &token).await);
    assert!(!is_in(&site, &tokens).await);
}
