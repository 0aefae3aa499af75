//! Access tokens: forged, expired, for another, of another, of another type; and ended at once.

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::Caller;
use ring::{hmac, rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use rsa::{RsaPrivateKey, pkcs1::EncodeRsaPrivateKey as _, rand_core::OsRng};
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, Browser, ISSUER, Site, claims, settings, text};

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn head(token: &str) -> Value {
    let head = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap()
}

#[track_caller]
fn refused(answer: &Answer, why: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(why), "{detail}");
}

async fn site_with_ada() -> (Site, String) {
    let site = Site::new().await;
    site.user("ada").await;
    site.group("payments", &["ada"]).await;
    let tokens = site.login("ada").await;
    let token = text(&tokens, "access_token").to_owned();
    (site, token)
}

#[tokio::test]
async fn what_was_altered_or_signed_by_another_is_refused() {
    let (site, token) = site_with_ada().await;
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let mut says = claims(&token);
    says["groups"] = json!(["platform"]);
    parts[1] = part(&says);
    refused(
        &site.whoami(&parts.join(".")).await,
        "not one of this platform's",
    );

    // The same, signed by a key of the forger's own, under our key's name and under another.
    let forger = RsaPrivateKey::new(&mut OsRng, 2048)
        .unwrap()
        .to_pkcs1_der()
        .unwrap();
    let forger = KeyPair::from_der(forger.as_bytes()).unwrap();
    let sign = |head: &Value| {
        let message = format!("{}.{}", part(head), part(&says));
        let mut signature = vec![0; forger.public().modulus_len()];
        let random = SystemRandom::new();
        forger
            .sign(
                &RSA_PKCS1_SHA256,
                &random,
                message.as_bytes(),
                &mut signature,
            )
            .unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let ours = head(&token);
    refused(
        &site.whoami(&sign(&ours)).await,
        "not one of this platform's",
    );
    let unknown = json!({ "alg": "RS256", "typ": "at+jwt", "kid": "another" });
    refused(
        &site.whoami(&sign(&unknown)).await,
        "not one of this platform's",
    );
    // A key that comes along with the token is not looked at.
    let carried = json!({ "alg": "RS256", "typ": "at+jwt", "kid": ours["kid"],
        "jku": "https://evil.test/keys", "jwk": { "kty": "RSA", "n": "AQAB", "e": "AQAB" } });
    refused(
        &site.whoami(&sign(&carried)).await,
        "not one of this platform's",
    );
}

#[tokio::test]
async fn no_algorithm_and_the_wrong_algorithm_are_refused() {
    let (site, token) = site_with_ada().await;
    let (ours, says) = (head(&token), claims(&token));
    for alg in ["none", "None", "NONE"] {
        let head = json!({ "alg": alg, "typ": "at+jwt", "kid": ours["kid"] });
        for signature in ["", "AAAA"] {
            let forged = format!("{}.{}.{signature}", part(&head), part(&says));
            refused(&site.whoami(&forged).await, "not one of this platform's");
        }
    }
    // HS256 with the public key as the secret, in every form that the public key has.
    let key = site
        .identity
        .keys(&Caller::local_admin())
        .await
        .unwrap()
        .remove(0);
    let n = URL_SAFE_NO_PAD.decode(&key.n).unwrap();
    for secret in [n.as_slice(), key.n.as_bytes()] {
        let head = json!({ "alg": "HS256", "typ": "at+jwt", "kid": ours["kid"] });
        let message = format!("{}.{}", part(&head), part(&says));
        let mac = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret),
            message.as_bytes(),
        );
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac));
        refused(&site.whoami(&forged).await, "not one of this platform's");
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let site = Site::new().await;
    for nothing in ["..", "a.b.c", "a.b", "e30.e30.e30", "....", "x"] {
        let answer = site.whoami(nothing).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{nothing}");
    }
    refused(
        &site.whoami(&format!("a.b.{}", "c".repeat(100_000))).await,
        "longer",
    );
    let who = site.whoami(ADMIN).await.ok().json();
    assert_eq!(who["kind"], "local-admin");
}

#[tokio::test]
async fn tokens_end_and_clocks_may_differ_by_a_minute() {
    let (site, token) = site_with_ada().await;
    site.advance(3600 + 59);
    site.whoami(&token).await.ok();
    site.advance(2);
    refused(&site.whoami(&token).await, "has expired");

    // A replica whose clock is a minute behind takes a new token; one that is two behind does not.
    let (site, token) = site_with_ada().await;
    let replica = |behind: i64| {
        let at = site.clock.now() - jiff::SignedDuration::from_secs(behind);
        Site::on(site.store.clone(), settings(), identity::Clock::manual(at))
    };
    let answer = replica(59).await.whoami(&token).await;
    // That the user was made before is seen by the store's clock, which runs as ever.
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    refused(&replica(120).await.whoami(&token).await, "from the future");
}

#[tokio::test]
async fn tokens_of_another_issuer_or_for_another_audience_are_refused() {
    let (site, token) = site_with_ada().await;
    // Two platforms that share their keys would still be two.
    let mut other = settings();
    other.issuer = "http://127.0.0.1:7071".into();
    let elsewhere = Site::on(site.store.clone(), other, site.clock.clone()).await;
    refused(&elsewhere.whoami(&token).await, "another issuer");
    let mut other = settings();
    other.audience = "https://another.example.com".into();
    let elsewhere = Site::on(site.store.clone(), other, site.clock.clone()).await;
    refused(&elsewhere.whoami(&token).await, "another audience");
}

#[tokio::test]
async fn an_id_token_and_a_refresh_token_are_no_access_tokens() {
    let site = Site::new().await;
    site.user("ada").await;
    let tokens = site.login("ada").await;
    refused(
        &site.whoami(text(&tokens, "id_token")).await,
        "no access token",
    );
    let answer = site.whoami(text(&tokens, "refresh_token")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_removed_member_has_lost_the_team_at_the_next_call() {
    let (site, token) = site_with_ada().await;
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    assert_eq!(
        replica.whoami(&token).await.ok().json()["teams"],
        json!(["payments"])
    );
    site.group("payments", &[]).await;
    site.group("web", &["ada"]).await;
    for site in [&site, &replica] {
        assert_eq!(
            site.whoami(&token).await.ok().json()["teams"],
            json!(["web"])
        );
    }
    site.admin("DELETE", "/v1/identity/users/ada", Value::Null)
        .await
        .ok();
    for site in [&site, &replica] {
        refused(&site.whoami(&token).await, "was ended");
    }
    // Somebody else who gets the name is somebody else.
    site.user("ada").await;
    refused(&site.whoami(&token).await, "was ended");
    let restarted = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    refused(&restarted.whoami(&token).await, "was ended");
}

#[tokio::test]
async fn those_who_operate_the_platform_are_a_group() {
    let site = Site::new().await;
    site.user("ada").await;
    let token = text(&site.login("ada").await, "access_token").to_owned();
    let users = |token: String| {
        let site = &site;
        async move {
            site.api("GET", "/v1/identity/users", &token, Value::Null)
                .await
                .status
        }
    };
    assert_eq!(users(token.clone()).await, StatusCode::FORBIDDEN);
    site.group("platform", &["ada"]).await;
    assert_eq!(users(token.clone()).await, StatusCode::OK);
    site.group("platform", &[]).await;
    assert_eq!(users(token).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn discovery_says_where_everything_is() {
    let site = Site::new().await;
    let browser = Browser::new(&site);
    let document = browser
        .get("/.well-known/openid-configuration")
        .await
        .ok()
        .json();
    assert_eq!(document["issuer"], ISSUER);
    let at = |name: &str| {
        document[name]
            .as_str()
            .unwrap()
            .strip_prefix(ISSUER)
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        browser.get(&at("jwks_uri")).await.ok().json()["keys"][0]["alg"],
        "RS256"
    );
    for (name, expected) in [
        ("token_endpoint", 400),
        ("device_authorization_endpoint", 400),
        ("revocation_endpoint", 400),
    ] {
        assert_eq!(site.post(&at(name), &[]).await.status, expected, "{name}");
    }
    assert_eq!(browser.get(&at("authorization_endpoint")).await.status, 400);
    assert_eq!(browser.get(&at("userinfo_endpoint")).await.status, 401);
    browser.get(&at("end_session_endpoint")).await.ok();
}
