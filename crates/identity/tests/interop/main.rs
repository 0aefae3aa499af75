//! A client that others wrote completes the code flow and the device grant.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{path::Path, sync::Arc, time::Duration};

use axum::Extension;
use identity::{
    Clock, Either, Identity, Settings,
    model::{LocalGroupSpec, LocalUserSpec},
};
use kernel::{
    Caller, Guard, Sealer, Secret, Store,
    http::{AdminToken, Authenticator, Rooms},
};
use policy::{Bundle, RegoAuthorizer};
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command};

const PASSWORD: &str = "correct horse battery";

/// An issuer on a port of its own, with one user in one group.
async fn issuer(directory: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let url = format!("sqlite://{}/store.db", directory.display());
    let store = Store::open(&url, Sealer::generate().unwrap())
        .await
        .unwrap();
    let mut settings = Settings::new(&issuer);
    settings.lifetimes.device_interval = Duration::from_secs(1);
    let authorizer = Arc::new(RegoAuthorizer::new(&Bundle::default()).unwrap());
    let guard = Guard::new(store.clone(), authorizer);
    let identity = Arc::new(
        Identity::start(store, guard, settings, Clock::system())
            .await
            .unwrap(),
    );
    let admin = Caller::local_admin();
    let password = Some(Secret::from(PASSWORD));
    identity
        .user_put(&admin, "ada", LocalUserSpec::default(), password, None)
        .await
        .unwrap();
    let members = vec!["ada".to_owned()];
    let group = LocalGroupSpec {
        members,
        ..LocalGroupSpec::default()
    };
    identity
        .group_put(&admin, "payments", group, None)
        .await
        .unwrap();
    let token = AdminToken::new(Secret::from("a-token-that-nobody-uses-in-this-test"));
    let authenticator: Arc<dyn Authenticator> = Arc::new(Either::new(token, identity.verifier()));
    let router = identity::http::routes(identity)
        .layer(Extension(authenticator))
        .layer(Extension(Rooms::default()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    issuer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client_completes_code_flow_and_device_grant() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let Some(modules) = testkit::servers::npm("openid-client", "6", place).await else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let issuer = issuer(directory.path()).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/client.mjs");
    let run = Command::new("node")
        .arg(script)
        .args([issuer.as_str(), "ada", PASSWORD])
        .env("MODULES", &modules)
        .output();
    let run = tokio::time::timeout(Duration::from_mins(2), run)
        .await
        .unwrap()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{errors}");
    let said: Value = serde_json::from_slice(&run.stdout).unwrap();
    for flow in ["code", "device"] {
        assert_eq!(said[flow]["iss"], issuer);
        assert_eq!(said[flow]["sub"], "local:ada");
        assert_eq!(said[flow]["aud"], "towpath-cli");
        assert_eq!(said[flow]["groups"], json!(["payments"]));
        assert_eq!(said[flow]["https://towpath.dev/teams"], json!(["payments"]));
    }
    assert_eq!(said["info"]["groups"], json!(["payments"]));
    assert_eq!(said["refreshed"], "local:ada");
    assert_eq!(said["dead"], "invalid_grant");
}
