//! Logins to registries, as Docker's own command line keeps them: in `config.json`, or with the helper
//! program that this names.
//!
//! They are read anew with each pull, so that a `docker login` counts from the next try on.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::auth::DockerCredentials;
use kernel::Secret;
use serde::Deserialize;
use tokio::{io::AsyncWriteExt as _, process::Command};

/// Docker's own registry: what a reference that names none means, and its key in `config.json`.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// How long a helper may take: it may ask a cloud for a short-lived token.
const HELPER_LIMIT: Duration = Duration::from_secs(30);

/// What a helper says where it has no login, with an exit code that is not 0.
const NOT_FOUND: &str = "credentials not found";

/// The name under which a helper gives a token instead of a password.
const TOKEN_USER: &str = "<token>";

/// Where logins to registries are found.
#[derive(Debug, Clone)]
pub struct RegistryLogins {
    /// The directory of `config.json`; none where there is no home directory either.
    pub directory: Option<PathBuf>,
    /// Where the programs `docker-credential-NAME` are looked for, as `PATH` says it.
    pub helpers: Option<OsString>,
}

impl RegistryLogins {
    /// Where Docker's command line, run by this user, finds them: `DOCKER_CONFIG` or `~/.docker`, and
    /// `PATH`.
    pub fn of_this_user() -> Self {
        let named = std::env::var_os("DOCKER_CONFIG").filter(|it| !it.is_empty());
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker"));
        Self {
            directory: named.map(PathBuf::from).or_else(home),
            helpers: std::env::var_os("PATH"),
        }
    }

    /// The file, whether it is there or not.
    pub(super) fn file(&self) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join("config.json"))
    }

    /// The login to the registry of `image`, where there is one; else why it cannot be told, without
    /// anything secret.
    pub(super) async fn of(&self, image: &str) -> Result<Option<Login>, String> {
        let Some(file) = self.file() else {
            return Ok(None);
        };
        let text = match tokio::fs::read(&file).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
        };
        // serde's own words may quote a value.
        let config: Config = serde_json::from_slice(&text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let file = file.display();
            format!("{file} is not as Docker writes it, line {line}, column {column}")
        })?;
        let registry = registry(image);
        let key = if registry == DOCKER_HUB {
            DOCKER_HUB_KEY
        } else {
            registry
        };
        let helper = config
            .cred_helpers
            .get(registry)
            .or(config.creds_store.as_ref());
        let found = match helper.filter(|name| !name.is_empty()) {
            Some(name) => self.ask(name, key).await?,
            None => (config.auths.iter())
                .find(|(of, _)| *of == key)
                .or_else(|| config.auths.iter().find(|(of, _)| host(of) == host(key)))
                .and_then(|(_, entry)| entry.login()),
        };
        Ok(found.map(|login| Login {
            registry: key.to_owned(),
            ..login
        }))
    }

    /// Asks the helper `docker-credential-NAME` for the login to `key`.
    async fn ask(&self, name: &str, key: &str) -> Result<Option<Login>, String> {
        let program = format!("docker-credential-{name}");
        let path = self.helpers.clone().unwrap_or_default();
        // A command looks a name up where its own parent's `PATH` says, not where the new one does.
        let found = std::env::split_paths(&path)
            .map(|directory| directory.join(&program))
            .find(|file| file.is_file());
        let found = found.ok_or_else(|| {
            format!("{program}, which keeps Docker's logins, is not in this platform's PATH")
        })?;
        let asked = tokio::time::timeout(HELPER_LIMIT, run(&found, &path, key)).await;
        let output = asked
            .map_err(|_| {
                format!(
                    "{program} did not answer within {} s",
                    HELPER_LIMIT.as_secs()
                )
            })?
            .map_err(|error| format!("cannot run {program}: {error}"))?;
        if !output.status.success() {
            // By the protocol it says on stdout what is wrong.
            let said = String::from_utf8_lossy(&output.stdout);
            if said.contains(NOT_FOUND) {
                return Ok(None);
            }
            return Err(format!(
                "{program} failed ({}): {}",
                output.status,
                said.trim()
            ));
        }
        let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("{program} answered what is no login"))?;
        Ok(Some(Login::new(answer.username, answer.secret)))
    }
}

async fn run(program: &Path, path: &OsString, key: &str) -> io::Result<std::process::Output> {
    let mut child = Command::new(program)
        .arg("get")
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input is judged by its answer.
        let _ = stdin.write_all(key.as_bytes()).await;
    }
    child.wait_with_output().await
}

/// A login to a registry.
#[derive(Debug)]
pub(super) struct Login {
    registry: String,
    pub(super) user: String,
    secret: Secret,
    is_token: bool,
}

impl Login {
    fn new(user: String, secret: String) -> Self {
        Self {
            registry: String::new(),
            is_token: user == TOKEN_USER,
            user,
            secret: secret.into(),
        }
    }

    /// As the daemon takes it.
    pub(super) fn for_daemon(&self) -> DockerCredentials {
        let secret = self.secret.expose_str().map(str::to_owned);
        let mut credentials = DockerCredentials {
            serveraddress: Some(self.registry.clone()),
            ..DockerCredentials::default()
        };
        if self.is_token {
            credentials.identitytoken = secret;
        } else {
            credentials.username = Some(self.user.clone());
            credentials.password = secret;
        }
        credentials
    }
}

/// What of `config.json` tells of logins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

/// A login in the file itself. Where a store keeps it, the entry is empty.
#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    identitytoken: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Entry {
    fn login(&self) -> Option<Login> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&self.identitytoken) {
            return Some(Login::new(TOKEN_USER.into(), token));
        }
        if let Some(auth) = given(&self.auth) {
            let pair = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
            let (user, password) = pair.split_once(':')?;
            return Some(Login::new(user.into(), password.trim_matches('\0').into()));
        }
        Some(Login::new(given(&self.username)?, given(&self.password)?))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// The registry of a reference: its first part where that is a host.
pub(super) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => DOCKER_HUB,
    }
}

/// The host of a key: older versions of Docker wrote `https://host/v1/`.
fn host(key: &str) -> &str {
    let key = (key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://")))
    .unwrap_or(key);
    key.split('/').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn logins(directory: &Path, config: &str) -> RegistryLogins {
        std::fs::write(directory.join("config.json"), config).unwrap();
        RegistryLogins {
            directory: Some(directory.to_owned()),
            helpers: Some(directory.into()),
        }
    }

    async fn found(logins: &RegistryLogins, image: &str) -> Option<(String, Option<String>)> {
        let login = logins.of(image).await.unwrap()?;
        let told = login.for_daemon();
        let token = told.identitytoken;
        Some((told.username.or(token).unwrap(), told.password))
    }

    fn pair(user: &str, password: &str) -> Option<(String, Option<String>)> {
        Some((user.into(), Some(password.into())))
    }

    #[test]
    fn a_registry_is_told_from_a_path() {
        for (image, expected) in [
            ("busybox", DOCKER_HUB),
            ("acme/web:1", DOCKER_HUB),
            ("ghcr.io/acme/web:1", "ghcr.io"),
            ("localhost/web", "localhost"),
            ("127.0.0.1:5000/web@sha256:00", "127.0.0.1:5000"),
        ] {
            assert_eq!(registry(image), expected, "{image}");
        }
    }

    #[tokio::test]
    async fn logins_in_the_file_are_read_as_docker_writes_them() {
        let directory = tempfile::tempdir().unwrap();
        let hub = STANDARD.encode("ann:of:hub");
        let old = STANDARD.encode("bob:old");
        let config = format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{hub}"}},
                "https://old.example.com/v1/": {{"auth": "{old}"}},
                "token.example.com": {{"identitytoken": "t0ken"}},
                "plain.example.com:5000": {{"username": "eve", "password": "p"}},
                "kept.example.com": {{}}
            }}, "HttpHeaders": {{"User-Agent": "Docker-Client"}}}}"#
        );
        let logins = logins(directory.path(), &config);
        assert_eq!(found(&logins, "acme/web").await, pair("ann", "of:hub"));
        let old = found(&logins, "old.example.com/web").await;
        assert_eq!(old, pair("bob", "old"));
        let token = found(&logins, "token.example.com/web:1").await;
        assert_eq!(token, Some(("t0ken".into(), None)));
        let plain = found(&logins, "plain.example.com:5000/web").await;
        assert_eq!(plain, pair("eve", "p"));
        for none in [
            "plain.example.com/web",
            "kept.example.com/web",
            "quay.io/web",
        ] {
            assert_eq!(found(&logins, none).await, None, "{none}");
        }
    }

    #[tokio::test]
    async fn a_helper_is_asked_as_docker_asks_it() {
        let directory = tempfile::tempdir().unwrap();
        let helper = |name: &str, body: &str| {
            let file = directory.path().join(format!("docker-credential-{name}"));
            std::fs::write(&file, format!("#!/bin/sh\nread key\n{body}\n")).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        };
        helper(
            "all",
            r#"[ "$1" = get ] && echo "{\"ServerURL\": \"$key\", \"Username\": \"$key\", \"Secret\": \"s\"}""#,
        );
        helper(
            "token",
            r#"echo '{"ServerURL": "", "Username": "<token>", "Secret": "t0ken"}'"#,
        );
        helper(
            "empty",
            "echo credentials not found in native keychain; exit 1",
        );
        helper("locked", "echo the keychain is locked; exit 1");
        let logins = logins(
            directory.path(),
            r#"{"credsStore": "all", "credHelpers": {
                "token.example.com": "token", "empty.example.com": "empty",
                "locked.example.com": "locked", "lost.example.com": "lost"}}"#,
        );
        assert_eq!(found(&logins, "web").await, pair(DOCKER_HUB_KEY, "s"));
        let one = found(&logins, "one.example.com:5000/web").await;
        assert_eq!(one, pair("one.example.com:5000", "s"));
        let token = found(&logins, "token.example.com/web").await;
        assert_eq!(token, Some(("t0ken".into(), None)));
        assert_eq!(found(&logins, "empty.example.com/web").await, None);
        let locked = logins.of("locked.example.com/web").await.unwrap_err();
        assert!(locked.contains("the keychain is locked"), "{locked}");
        let lost = logins.of("lost.example.com/web").await.unwrap_err();
        assert!(lost.contains("docker-credential-lost"), "{lost}");
    }

    #[tokio::test]
    async fn a_broken_file_is_told_of_without_quoting_it() {
        let directory = tempfile::tempdir().unwrap();
        let broken = logins(
            directory.path(),
            r#"{"auths": {"x.io": {"auth": ["c2VjcmV0"]}}}"#,
        );
        let why = broken.of("x.io/web").await.unwrap_err();
        assert!(
            why.contains("config.json") && !why.contains("c2VjcmV0"),
            "{why}"
        );
        let none = RegistryLogins {
            directory: Some(directory.path().join("absent")),
            helpers: None,
        };
        assert!(none.of("x.io/web").await.unwrap().is_none());
    }
}
