//! The local source, and that nothing of a password is anywhere.

use axum::http::StatusCode;
use kernel::EventFilter;
use serde_json::{Value, json};

use crate::support::{ADMIN, PASSWORD, Site, text};

testkit::on_both!(
    users_and_groups_are_resources,
    mistakes_are_told,
    only_those_who_operate_the_platform_may,
    secrets_are_in_no_resource_and_no_event,
);

async fn users_and_groups_are_resources() {
    let site = Site::new().await;
    site.user("ada").await;
    site.group("payments", &["ada"]).await;
    let user = site
        .admin("GET", "/v1/identity/users/ada", Value::Null)
        .await
        .ok();
    assert_eq!(user.json()["spec"]["email"], "ada@example.com");
    assert_eq!(user.json()["status"]["hasPassword"], true);
    let list = site
        .admin("GET", "/v1/identity/groups", Value::Null)
        .await
        .ok()
        .json();
    assert_eq!(list["items"][0]["spec"]["members"], json!(["ada"]));

    // What is not said stays, where it is the password.
    site.admin("PUT", "/v1/identity/users/ada", json!({ "spec": {} }))
        .await
        .ok();
    site.login("ada").await;
    site.admin("DELETE", "/v1/identity/users/ada", Value::Null)
        .await
        .ok();
    let group = site
        .admin("GET", "/v1/identity/groups/payments", Value::Null)
        .await
        .ok()
        .json();
    assert_eq!(group["spec"]["members"], json!([]));
    let gone = site
        .admin("GET", "/v1/identity/users/ada", Value::Null)
        .await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

async fn mistakes_are_told() {
    let site = Site::new().await;
    for (path, body) in [
        ("/v1/identity/users/Ada", json!({ "password": PASSWORD })),
        ("/v1/identity/users/ada", json!({ "password": "short" })),
        ("/v1/identity/users/ada", json!({ "pasword": PASSWORD })),
        (
            "/v1/identity/groups/payments",
            json!({ "members": ["nobody"] }),
        ),
        (
            "/v1/identity/groups/system:masters",
            json!({ "members": [] }),
        ),
    ] {
        let answer = site.admin("PUT", path, body.clone()).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{path} {body}: {}",
            answer.body
        );
    }
    let answer = site
        .admin("GET", "/v1/identity/users/ada", Value::Null)
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

async fn only_those_who_operate_the_platform_may() {
    let site = Site::new().await;
    site.user("ada").await;
    site.group("payments", &["ada"]).await;
    let token = text(&site.login("ada").await, "access_token").to_owned();
    for (method, path, body) in [
        ("GET", "/v1/identity/users", Value::Null),
        ("GET", "/v1/identity/users/ada", Value::Null),
        (
            "PUT",
            "/v1/identity/users/ada",
            json!({ "password": PASSWORD }),
        ),
        ("DELETE", "/v1/identity/users/ada", Value::Null),
        ("GET", "/v1/identity/groups", Value::Null),
        ("GET", "/v1/identity/groups/payments", Value::Null),
        (
            "PUT",
            "/v1/identity/groups/platform",
            json!({ "members": ["ada"] }),
        ),
        (
            "PUT",
            "/v1/identity/groups/platform/members/ada",
            Value::Null,
        ),
        (
            "DELETE",
            "/v1/identity/groups/payments/members/ada",
            Value::Null,
        ),
        ("DELETE", "/v1/identity/groups/payments", Value::Null),
    ] {
        let answer = site.api(method, path, &token, body).await;
        // One that they may not see is not there.
        let is_list = path.matches('/').count() == 3;
        let expected = match method {
            "GET" if !is_list => StatusCode::NOT_FOUND,
            _ => StatusCode::FORBIDDEN,
        };
        assert_eq!(answer.status, expected, "{method} {path}");
    }
}

async fn secrets_are_in_no_resource_and_no_event() {
    let site = Site::new().await;
    site.user("ada").await;
    let tokens = site.login("ada").await;
    site.refresh(text(&tokens, "refresh_token")).await.ok();
    let events = site
        .store
        .events(&EventFilter::default(), 0, 1000)
        .await
        .unwrap();
    let users = site
        .admin("GET", "/v1/identity/users", Value::Null)
        .await
        .body;
    let all = format!("{}{users}", serde_json::to_string(&events).unwrap());
    assert!(all.contains("session.started"), "{all}");
    for secret in [
        PASSWORD,
        "argon2",
        ADMIN,
        text(&tokens, "access_token"),
        text(&tokens, "refresh_token"),
        "ada@example.com\",\"seed",
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}
