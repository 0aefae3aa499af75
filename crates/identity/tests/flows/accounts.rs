//! Service accounts: two valid keys, rotation, and who may.

use axum::http::StatusCode;
use kernel::EventFilter;
use serde_json::{Value, json};

use crate::support::{Answer, Site, claims, text};

testkit::on_both!(
    a_pipeline_has_the_rights_of_its_team,
    a_key_works_after_one_rotation_and_fails_after_two,
    a_rotation_whose_answer_was_lost_is_asked_for_again,
    a_token_ends_by_itself_and_its_key_goes_on,
    keys_and_accounts_end_at_once,
    a_deploy_credential_is_for_one_environment_and_makes_no_others,
    members_look_after_their_own_and_nobody_elses,
    guessing_keys_is_held_up_and_a_right_key_always_passes,
    keys_are_in_no_resource_and_no_event,
);

const ACCOUNTS: &str = "/v1/identity/teams/payments/service-accounts";

pub(crate) async fn account(site: &Site, name: &str, spec: Value) {
    site.admin("PUT", &format!("{ACCOUNTS}/{name}"), spec)
        .await
        .ok();
}

async fn rotate(site: &Site, name: &str) -> Value {
    site.admin("POST", &format!("{ACCOUNTS}/{name}/keys"), Value::Null)
        .await
        .ok()
        .json()
}

async fn token(site: &Site, key: &Value) -> Answer {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", text(key, "clientId")),
        ("client_secret", text(key, "clientSecret")),
    ];
    site.post("/oauth/token", &fields).await
}

async fn a_pipeline_has_the_rights_of_its_team() {
    let site = Site::new().await;
    account(&site, "ci", json!({})).await;
    let key = rotate(&site, "ci").await;
    assert_eq!(key["clientId"], "payments/ci");
    let tokens = token(&site, &key).await.ok().json();
    assert!(tokens.get("refresh_token").is_none() && tokens.get("id_token").is_none());
    let access = text(&tokens, "access_token");
    assert_eq!(claims(access)["groups"], json!(["payments"]));
    let who = site.whoami(access).await.ok().json();
    let expected = json!({
        "subject": "account:payments/ci", "kind": "service-account",
        "teams": ["payments"], "admin": false,
    });
    assert_eq!(who, expected);
    // Nobody operates the platform by a pipeline's key, whatever its team is called.
    let path = "/v1/identity/teams/platform/service-accounts/ci";
    site.admin("PUT", path, json!({})).await.ok();
    let key = site
        .admin("POST", &format!("{path}/keys"), Value::Null)
        .await
        .ok()
        .json();
    let tokens = token(&site, &key).await.ok().json();
    assert_eq!(
        site.whoami(text(&tokens, "access_token")).await.json()["admin"],
        false
    );
}

async fn a_key_works_after_one_rotation_and_fails_after_two() {
    let site = Site::new().await;
    account(&site, "ci", json!({})).await;
    let first = rotate(&site, "ci").await;
    let running = token(&site, &first).await.ok().json();
    let second = rotate(&site, "ci").await;
    assert_eq!(second["valid"].as_array().unwrap().len(), 2);
    token(&site, &first).await.ok();
    token(&site, &second).await.ok();
    site.whoami(text(&running, "access_token")).await.ok();
    let third = rotate(&site, "ci").await;
    assert_eq!(third["ended"], first["id"]);
    assert_eq!(token(&site, &first).await.error(), "invalid_client");
    assert_eq!(
        site.whoami(text(&running, "access_token")).await.status,
        401
    );
    token(&site, &second).await.ok();
    token(&site, &third).await.ok();
}

async fn a_rotation_whose_answer_was_lost_is_asked_for_again() {
    let site = Site::new().await;
    account(&site, "ci", json!({})).await;
    let stored = rotate(&site, "ci").await;
    let ask = || {
        axum::http::Request::builder()
            .method("POST")
            .uri(format!("{ACCOUNTS}/ci/keys"))
            .header("authorization", format!("Bearer {}", crate::support::ADMIN))
            .header("idempotency-key", "rotation of the week")
            .body(axum::body::Body::empty())
            .unwrap()
    };
    let lost = site.send(ask()).await.ok().json();
    let again = site.send(ask()).await.ok().json();
    assert_eq!(lost["clientSecret"], again["clientSecret"]);
    // What was stored before still works: nothing was rotated twice.
    token(&site, &stored).await.ok();
    token(&site, &again).await.ok();
}

async fn a_token_ends_by_itself_and_its_key_goes_on() {
    let site = Site::new().await;
    account(&site, "ci", json!({})).await;
    let key = rotate(&site, "ci").await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let answer = token(&site, &key).await.ok().json();
        tokens.push(text(&answer, "access_token").to_owned());
    }
    let revoke = async |token: &str, secret: Option<&str>| {
        let mut fields = vec![("client_id", "payments/ci"), ("token", token)];
        fields.extend(secret.map(|secret| ("client_secret", secret)));
        site.post("/oauth/revoke", &fields).await
    };
    // A key that is shown must be right; without one the token is enough.
    let refused = revoke(&tokens[0], Some("twk_x_y")).await;
    assert_eq!(refused.error(), "invalid_client");
    site.whoami(&tokens[0]).await.ok();
    revoke(&tokens[0], Some(text(&key, "clientSecret")))
        .await
        .ok();
    revoke(&tokens[1], None).await.ok();
    assert_eq!(site.whoami(&tokens[0]).await.status, 401);
    assert_eq!(site.whoami(&tokens[1]).await.status, 401);
    site.whoami(&tokens[2]).await.ok();
    token(&site, &key).await.ok();
    // What the team sees of it.
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.session.ended".into()),
        team: Some("payments".into()),
        ..EventFilter::default()
    };
    let ended = site.store.events(&filter, 0, 10).await.unwrap();
    assert_eq!(ended.len(), 2, "{ended:?}");
    let means = format!("key:{}", text(&key, "id"));
    for event in ended {
        assert_eq!(event.actor, "account:payments/ci");
        assert_eq!(event.means.as_deref(), Some(means.as_str()));
        assert_eq!(event.data["reason"], "revoked");
    }
    // The key's own end takes the rest.
    let path = format!("{ACCOUNTS}/ci/keys/{}", text(&key, "id"));
    site.admin("DELETE", &path, Value::Null).await.ok();
    let refused = site.whoami(&tokens[2]).await;
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("the key"), "{}", refused.body);
}

async fn keys_and_accounts_end_at_once() {
    let site = Site::new().await;
    account(&site, "ci", json!({})).await;
    let (first, second) = (rotate(&site, "ci").await, rotate(&site, "ci").await);
    let tokens = token(&site, &first).await.ok().json();
    let path = format!("{ACCOUNTS}/ci/keys/{}", text(&first, "id"));
    site.admin("DELETE", &path, Value::Null).await.ok();
    assert_eq!(site.whoami(text(&tokens, "access_token")).await.status, 401);
    assert_eq!(token(&site, &first).await.error(), "invalid_client");

    let tokens = token(&site, &second).await.ok().json();
    account(&site, "ci", json!({ "disabled": true })).await;
    assert_eq!(site.whoami(text(&tokens, "access_token")).await.status, 401);
    assert_eq!(token(&site, &second).await.error(), "invalid_client");
    account(&site, "ci", json!({})).await;
    site.whoami(text(&tokens, "access_token")).await.ok();
    site.admin("DELETE", &format!("{ACCOUNTS}/ci"), Value::Null)
        .await
        .ok();
    assert_eq!(site.whoami(text(&tokens, "access_token")).await.status, 401);
}

async fn a_deploy_credential_is_for_one_environment_and_makes_no_others() {
    let site = Site::new().await;
    let bad = site
        .admin(
            "PUT",
            &format!("{ACCOUNTS}/dev"),
            json!({ "kind": "deploy" }),
        )
        .await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    account(
        &site,
        "dev",
        json!({ "kind": "deploy", "environment": "payments-dev" }),
    )
    .await;
    let wider = json!({ "kind": "service" });
    let bad = site.admin("PUT", &format!("{ACCOUNTS}/dev"), wider).await;
    assert_eq!(bad.status, StatusCode::CONFLICT);
    let tokens = token(&site, &rotate(&site, "dev").await).await.ok().json();
    let access = text(&tokens, "access_token");
    let who = site.whoami(access).await.ok().json();
    assert_eq!(who["kind"], "deploy-credential");
    assert_eq!(who["environment"], "payments-dev");
    for (method, path) in [
        ("GET", ACCOUNTS.to_owned()),
        ("POST", format!("{ACCOUNTS}/dev/keys")),
    ] {
        let answer = site.api(method, &path, access, Value::Null).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
}

async fn members_look_after_their_own_and_nobody_elses() {
    let site = Site::new().await;
    for user in ["ada", "bob"] {
        site.user(user).await;
    }
    site.group("payments", &["ada"]).await;
    site.group("web", &["bob"]).await;
    let ada = text(&site.login("ada").await, "access_token").to_owned();
    let bob = text(&site.login("bob").await, "access_token").to_owned();
    let ci = format!("{ACCOUNTS}/ci");
    site.api("PUT", &ci, &ada, json!({})).await.ok();
    site.api("POST", &format!("{ci}/keys"), &ada, Value::Null)
        .await
        .ok();
    let list = site.api("GET", ACCOUNTS, &ada, Value::Null).await.ok();
    assert_eq!(list.json()["items"].as_array().unwrap().len(), 1);
    for (method, path, body) in [
        ("GET", ACCOUNTS.to_owned(), Value::Null),
        ("GET", ci.clone(), Value::Null),
        ("PUT", ci.clone(), json!({})),
        ("POST", format!("{ci}/keys"), Value::Null),
        ("DELETE", format!("{ci}/keys/x"), Value::Null),
        ("DELETE", ci.clone(), Value::Null),
        (
            "GET",
            "/v1/identity/teams/payments/workload-trusts".to_owned(),
            Value::Null,
        ),
    ] {
        let answer = site.api(method, &path, &bob, body).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
    }
}

async fn guessing_keys_is_held_up_and_a_right_key_always_passes() {
    let site = Site::new().await;
    account(&site, "ci", json!({})).await;
    let key = rotate(&site, "ci").await;
    let mut wrong = key.clone();
    wrong["clientSecret"] = json!(format!("{}x", text(&key, "clientSecret")));
    for _ in 0..31 {
        assert_eq!(token(&site, &wrong).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        token(&site, &wrong).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    // Whoever guesses holds up nobody who has the key.
    token(&site, &key).await.ok();
    site.advance(1);
    assert_eq!(token(&site, &wrong).await.status, StatusCode::UNAUTHORIZED);
}

async fn keys_are_in_no_resource_and_no_event() {
    let site = Site::new().await;
    account(&site, "ci", json!({})).await;
    let key = rotate(&site, "ci").await;
    let shown = site
        .admin("GET", &format!("{ACCOUNTS}/ci"), Value::Null)
        .await
        .ok()
        .body;
    let events = site
        .store
        .events(&kernel::EventFilter::default(), 0, 1000)
        .await
        .unwrap();
    let all = format!("{shown}{}", serde_json::to_string(&events).unwrap());
    assert!(all.contains(text(&key, "id")));
    assert!(!all.contains(text(&key, "clientSecret")));
    assert!(!all.contains("twk_"));
}
