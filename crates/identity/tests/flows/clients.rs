//! Programs that log people in, and their secrets.

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{Browser, ISSUER, PASSWORD, Site, pkce, query, text};

const PORTAL: &str = "https://portal.example.com/callback";

async fn code(site: &Site) -> String {
    let browser = Browser::new(site);
    let over = [("client_id", "portal"), ("redirect_uri", PORTAL)];
    let login = browser.authorize(&over).await.location();
    query(&browser.log_in(&login, "ada", PASSWORD).await.location())["code"].clone()
}

#[tokio::test]
async fn a_program_on_a_server_proves_itself_by_its_secret() {
    let site = Site::new().await;
    site.user("ada").await;
    let spec = json!({ "redirectUris": [PORTAL], "confidential": true });
    site.admin("PUT", "/v1/identity/clients/portal", spec)
        .await
        .ok();
    let path = "/v1/identity/clients/portal/secrets";
    let secret = site.admin("POST", path, Value::Null).await.ok().json();
    let secret = text(&secret, "clientSecret");

    let (verifier, _) = pkce();
    let code = code(&site).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "portal"),
        ("code", code.as_str()),
        ("redirect_uri", PORTAL),
        ("code_verifier", verifier.as_str()),
    ];
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("portal:{secret}")));
    let none = site.post("/oauth/token", &fields).await;
    assert_eq!(none.error(), "invalid_client");
    assert_eq!(none.headers["www-authenticate"], "Basic realm=\"towpath\"");
    for wrong in ["", "wrong", &secret[1..]] {
        let answer = site
            .post_as("/oauth/token", &fields, Some(&basic(wrong)))
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    site.post_as("/oauth/token", &fields, Some(&basic(secret)))
        .await
        .ok();
    // An answer that was lost is given again; it draws no other.
    let asked = || async {
        let request = axum::http::Request::builder()
            .method("POST")
            .uri(path)
            .header("authorization", format!("Bearer {}", crate::support::ADMIN))
            .header("idempotency-key", "one");
        let request = request.body(axum::body::Body::empty()).unwrap();
        site.send(request).await.ok().json()
    };
    let (first, again) = (asked().await, asked().await);
    assert_eq!(first, again);
    assert_ne!(text(&first, "clientSecret"), secret);
    // A new one replaces it.
    site.admin("POST", path, Value::Null).await.ok();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", "x")];
    let answer = site
        .post_as("/oauth/token", &refresh, Some(&basic(secret)))
        .await;
    assert_eq!(answer.error(), "invalid_client");
}

#[tokio::test]
async fn mistakes_are_told() {
    let site = Site::new().await;
    for uri in [
        "http://portal.example.com/callback",
        "https://portal.example.com/#x",
        "nothing",
        "javascript:alert(1)",
    ] {
        let spec = json!({ "redirectUris": [uri] });
        let answer = site.admin("PUT", "/v1/identity/clients/portal", spec).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{uri}");
    }
    let answer = site
        .admin(
            "POST",
            "/v1/identity/clients/towpath-cli/secrets",
            Value::Null,
        )
        .await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    site.admin("GET", "/v1/identity/clients/towpath-cli", Value::Null)
        .await
        .ok();
    site.admin("DELETE", "/v1/identity/clients/towpath-cli", Value::Null)
        .await
        .ok();
    let fields = [("client_id", "towpath-cli")];
    assert_eq!(
        site.post("/oauth/device/code", &fields).await.error(),
        "invalid_client"
    );
}

#[tokio::test]
async fn the_portals_client_is_where_the_issuer_is_and_nowhere_else() {
    let site = Site::new().await;
    let uris = async |site: &Site| {
        let client = site
            .admin("GET", "/v1/identity/clients/towpath-portal", Value::Null)
            .await
            .ok()
            .json();
        assert_eq!(client["spec"]["confidential"], false);
        assert_eq!(client["spec"]["deviceGrant"], false);
        client["spec"]["redirectUris"].clone()
    };
    assert_eq!(
        uris(&site).await,
        json!([format!("{ISSUER}/portal/callback")])
    );
    // What the organization says of the CLI stays; the portal moves with the platform.
    let cli = "/v1/identity/clients/towpath-cli";
    let own = json!({ "description": "ours", "deviceGrant": true });
    site.admin("PUT", cli, own).await.ok();
    let moved = identity::Settings::new("https://towpath.acme.example");
    let site = Site::on(site.store.clone(), moved, site.clock.clone()).await;
    let there = json!(["https://towpath.acme.example/portal/callback"]);
    assert_eq!(uris(&site).await, there);
    let cli = site.admin("GET", cli, Value::Null).await.ok().json();
    assert_eq!(cli["spec"]["description"], "ours");
}
