//! Images from a registry that wants a login: pulled by the real daemon, from a registry of the test's
//! own that speaks the distribution API over plain HTTP, as daemons allow on the loopback.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod support;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use delivery::engine::Phase;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use support::{container, id};
use towpath_engines::docker::{DockerEngine, RegistryLogins};

const USER: &str = "ann";
const PASSWORD: &str = "pa55word-of-the-registry";

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What the registry has, by the end of the path, and what it was asked with a login.
struct Registry {
    content: BTreeMap<String, Vec<u8>>,
    pulled: Mutex<Vec<String>>,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// An image like the one that tests run, and like no other: with `mark` in it.
fn image(mark: &str) -> BTreeMap<String, Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    let busybox = std::fs::read("/bin/busybox").unwrap();
    for (name, mode, content) in [
        ("bin/busybox", 0o755, busybox.as_slice()),
        ("etc/mark", 0o644, mark.as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        layer.append_data(&mut header, name, content).unwrap();
    }
    // Not compressed: daemons look, and do not go by the name.
    let layer = layer.into_inner().unwrap();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Env": [format!("MARK={mark}")] },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    let config = serde_json::to_vec(&config).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": config.len(), "digest": digest(&config),
        },
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "size": layer.len(), "digest": digest(&layer),
        }],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    BTreeMap::from([
        (digest(&layer), layer),
        (digest(&config), config),
        (digest(&manifest), manifest.clone()),
        ("1".to_owned(), manifest),
    ])
}

async fn answer(State(registry): State<Arc<Registry>>, uri: Uri, headers: HeaderMap) -> Response {
    let wanted = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let given = headers.get(header::AUTHORIZATION);
    if given.is_none_or(|given| given != wanted.as_str()) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"registry\"")];
        let refusal =
            r#"{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}"#;
        return (StatusCode::UNAUTHORIZED, challenge, refusal).into_response();
    }
    let path = uri.path();
    registry.pulled.lock().unwrap().push(path.to_owned());
    let name = path.rsplit('/').next().unwrap_or_default();
    match registry.content.get(name) {
        _ if path == "/v2/" => StatusCode::OK.into_response(),
        Some(content) => {
            let kind = if path.contains("/manifests/") {
                MANIFEST
            } else {
                "application/octet-stream"
            };
            let digest = digest(content);
            let headers = [
                (header::CONTENT_TYPE.as_str(), kind),
                ("docker-content-digest", digest.as_str()),
            ];
            (headers, content.clone()).into_response()
        }
        None => {
            // As the distribution API says it.
            let unknown =
                r#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}"#;
            (StatusCode::NOT_FOUND, unknown).into_response()
        }
    }
}

async fn serve(mark: &str) -> (SocketAddr, Arc<Registry>) {
    let registry = Arc::new(Registry {
        content: image(mark),
        pulled: Mutex::default(),
    });
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&registry));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, registry)
}

/// Removes the image from the daemon.
struct Removed(String);

impl Drop for Removed {
    fn drop(&mut self) {
        let removed = Command::new("docker")
            .args(["image", "rm", "--force", &self.0])
            .output();
        assert!(removed.is_ok_and(|it| it.status.success()) || std::thread::panicking());
    }
}

/// A platform whose user has the logins in `docker`, and an image that only they open. `log_in` gives
/// them; before that a refusal says how, and after it the engine gets on by itself.
async fn pulls_once_logged_in(log_in: impl Fn(&Path, &SocketAddr)) {
    let directory = tempfile::tempdir().unwrap();
    let Some(subject) = support::docker(directory.path()).await else {
        return;
    };
    let _cleaned = support::Cleaned(subject.platform);
    let mark = subject.platform.to_string();
    let (address, registry) = serve(&mark).await;
    let docker = directory.path().join("docker");
    std::fs::create_dir(&docker).unwrap();
    let mut config = support::docker_config(subject.platform, directory.path());
    config.logins = RegistryLogins {
        directory: Some(docker.clone()),
        helpers: Some(format!("{}:/usr/bin:/bin", docker.display()).into()),
    };
    let image = format!("{address}/towpath-test/{mark}:1");
    let subject = support::Subject {
        engine: Arc::new(DockerEngine::new(config)),
        image: image.clone(),
        ..subject
    };

    let id = id("private", 1);
    let script = "echo \"mark $MARK\"; exec /bin/busybox sleep 1000";
    let release = subject.release(&id, &[("main", container(script))]);
    subject.engine.apply(&release).await.unwrap();
    let command = format!("docker login {address}");
    let state = subject
        .until(&id, |state| state.message.contains(&command))
        .await;
    let file = docker.join("config.json").display().to_string();
    for part in ["cannot pull", &file, "DOCKER_CONFIG"] {
        assert!(state.message.contains(part), "{part}: {}", state.message);
    }
    assert_eq!(*registry.pulled.lock().unwrap(), Vec::<String>::new());

    let _removed = Removed(image);
    log_in(&docker, &address);
    subject.ready(&id).await;
    subject.logged("private", &format!("mark {mark}")).await;
    let pulled = registry.pulled.lock().unwrap().clone();
    assert!(
        pulled.iter().any(|path| path.contains("/blobs/")),
        "{pulled:?}"
    );
    subject.removed(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_with_the_login_that_docker_keeps() {
    pulls_once_logged_in(|docker, address| {
        let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let config = json!({ "auths": { address.to_string(): { "auth": auth } } });
        std::fs::write(docker.join("config.json"), config.to_string()).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_with_the_login_that_a_helper_keeps() {
    pulls_once_logged_in(|docker, address| {
        let helper = docker.join("docker-credential-test");
        let login =
            json!({ "ServerURL": address.to_string(), "Username": USER, "Secret": PASSWORD });
        let script = format!("#!/bin/sh\n[ \"$(cat)\" = {address} ] && echo '{login}'\n");
        std::fs::write(&helper, script).unwrap();
        std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
        let config = json!({ "credHelpers": { address.to_string(): "test" } });
        std::fs::write(docker.join("config.json"), config.to_string()).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_the_registry_refuses_is_named_without_its_password() {
    let directory = tempfile::tempdir().unwrap();
    let Some(subject) = support::docker(directory.path()).await else {
        return;
    };
    let _cleaned = support::Cleaned(subject.platform);
    let (address, _) = serve("refused").await;
    let auth = STANDARD.encode("bob:an0ther-password");
    let logins = json!({ "auths": { address.to_string(): { "auth": auth } } });
    std::fs::write(directory.path().join("config.json"), logins.to_string()).unwrap();
    let mut config = support::docker_config(subject.platform, directory.path());
    config.logins.directory = Some(directory.path().to_owned());
    let subject = support::Subject {
        engine: Arc::new(DockerEngine::new(config)),
        image: format!("{address}/towpath-test/refused:1"),
        ..subject
    };
    let id = id("refused", 1);
    let release = subject.release(&id, &[("main", container("true"))]);
    subject.engine.apply(&release).await.unwrap();
    let state = subject
        .until(&id, |state| state.message.contains("docker login"))
        .await;
    assert!(
        state.message.contains("the login of bob"),
        "{}",
        state.message
    );
    assert!(!state.message.contains("an0ther-password") && !state.message.contains(&auth));
    subject.removed(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_a_registry_does_not_have_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let Some(subject) = support::docker(directory.path()).await else {
        return;
    };
    let _cleaned = support::Cleaned(subject.platform);
    let (address, _) = serve("other").await;
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let logins = json!({ "auths": { address.to_string(): { "auth": auth } } });
    std::fs::write(directory.path().join("config.json"), logins.to_string()).unwrap();
    let mut config = support::docker_config(subject.platform, directory.path());
    config.logins = RegistryLogins {
        directory: Some(directory.path().to_owned()),
        helpers: None,
    };
    let subject = support::Subject {
        engine: Arc::new(DockerEngine::new(config)),
        image: format!("{address}/towpath-test/none:1.2"),
        ..subject
    };
    let id = id("none", 1);
    let release = subject.release(&id, &[("main", container("exec sleep 1000"))]);
    subject.engine.apply(&release).await.unwrap();
    let state = subject.until(&id, |state| state.lasting).await;
    assert_eq!(state.phase, Phase::Failed);
    assert!(state.message.contains("check the reference"), "{state:#?}");
    subject.removed(&id).await;
}
