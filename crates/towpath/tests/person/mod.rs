//! A person with a home directory and the command line, who logs in.

#![allow(dead_code, reason = "each test uses its part")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
};

use super::{
    browser::Browser,
    site::{Site, work::Ended},
};

/// The password of every user.
pub const PASSWORD: &str = "correct horse battery";

pub struct Person {
    home: TempDir,
    /// Whose certificates are trusted, in PEM; the system's authorities by default.
    authority: Option<PathBuf>,
}

impl Person {
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            authority: None,
        }
    }

    /// A person whose machine trusts the certificates of `authority`, a file in PEM.
    pub fn trusting(authority: &Path) -> Self {
        Self {
            authority: Some(authority.to_owned()),
            ..Self::new()
        }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the logins are kept.
    pub fn file(&self) -> PathBuf {
        self.home().join(".config/towpath/config.yaml")
    }

    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home())
            .envs(self.authority.iter().map(|file| ("SSL_CERT_FILE", file)))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs the command line; no token is in what it says.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, &[]).await
    }

    pub async fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let before = self.secrets();
        let ended: Ended = self
            .command(arguments, variables)
            .output()
            .await
            .unwrap()
            .into();
        self.check(&ended, &before);
        ended
    }

    /// Whatever is printed is no secret.
    fn check(&self, ended: &Ended, before: &[String]) {
        let now = self.secrets();
        for secret in before.iter().chain(&now) {
            for text in [&ended.out, &ended.err] {
                assert!(!text.contains(secret), "a token is printed: {text}");
            }
        }
    }

    /// The credential that kubectl is given: the one command that prints a token.
    pub async fn credential(&self, variables: &[(&str, &str)]) -> Value {
        let mut command = self.command(&["credential"], variables);
        let ended: Ended = command.output().await.unwrap().into();
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert_eq!(ended.err, "");
        serde_json::from_str(&ended.out).unwrap()
    }

    /// Logs in, and approves that in a browser.
    pub async fn login(&self, server: &str, name: &str, arguments: &[&str]) -> Ended {
        self.login_after(server, name, arguments, std::future::ready(()))
            .await
    }

    /// The same; approves it after `meanwhile`, while the command line asks whether it is approved.
    pub async fn login_after(
        &self,
        server: &str,
        name: &str,
        arguments: &[&str],
        meanwhile: impl Future<Output = ()>,
    ) -> Ended {
        let base = ["login", "--no-browser", "--server", server];
        let before = self.secrets();
        let mut child = self
            .command(&[&base[..], arguments].concat(), &[])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let mut meanwhile = Some(meanwhile);
        let approved = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                said.push_str(&line);
                said.push('\n');
                let Some(url) = line.trim().strip_prefix("http") else {
                    continue;
                };
                if let Some(meanwhile) = meanwhile.take() {
                    meanwhile.await;
                }
                let browser = Browser::trusting(self.authority.as_deref());
                let page = browser
                    .device_page(&format!("http{url}"), name, PASSWORD)
                    .await;
                let code = page.field("user_code");
                assert!(said.contains(&code), "the same code: {said}");
                let done = browser.decide(&page, "approve").await;
                assert!(done.body.contains("Approved"), "{}", done.body);
            }
        };
        let mut out = String::new();
        let mut stdout = child.stdout.take().unwrap();
        let both = async { tokio::join!(approved, stdout.read_to_string(&mut out)) };
        let ((), read) = tokio::time::timeout(Duration::from_mins(2), both)
            .await
            .expect("the login ends");
        read.unwrap();
        let status = child.wait().await.unwrap();
        let ended = Ended {
            code: status.code().unwrap(),
            out,
            err: said,
        };
        self.check(&ended, &before);
        ended
    }

    fn read(&self) -> Value {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        serde_yaml_ng::from_str(&text).unwrap_or_default()
    }

    fn contexts(&self) -> Vec<(String, Value)> {
        let file = self.read();
        let contexts = file["contexts"].as_object().cloned().unwrap_or_default();
        contexts.into_iter().collect()
    }

    /// The tokens of the context of this number.
    pub fn tokens(&self, number: usize) -> Value {
        self.contexts()[number].1["tokens"].clone()
    }

    pub fn tokens_of(&self, context: &str) -> Value {
        self.read()["contexts"][context]["tokens"].clone()
    }

    /// Changes the tokens of the context of this number in the file.
    pub fn change(&self, number: usize, change: impl FnOnce(&mut Value)) {
        let mut file = self.read();
        let contexts = file["contexts"].as_object_mut().unwrap();
        change(&mut contexts.values_mut().nth(number).unwrap()["tokens"]);
        fs::write(self.file(), file.to_string()).unwrap();
    }

    /// Every token in the file.
    fn secrets(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (_, context) in self.contexts() {
            let tokens = &context["tokens"];
            let each = [
                &tokens["access"],
                &tokens["refresh"],
                &tokens["id"]["token"],
                &context["machine"]["proof"]["key"],
            ];
            all.extend(
                each.iter()
                    .filter_map(|token| token.as_str().map(str::to_owned)),
            );
        }
        all
    }
}

async fn call(site: &Site, request: reqwest::RequestBuilder) -> reqwest::Response {
    let token = fs::read_to_string(site.data.join("admin.token")).unwrap();
    request.bearer_auth(token.trim()).send().await.unwrap()
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Writes something below `/v1`, as the local admin.
pub async fn put(site: &Site, path: &str, body: Value) {
    let url = format!("{}/v1/{path}", site.server());
    let answer = call(site, http().put(url).json(&body)).await;
    let status = answer.status();
    assert!(status.is_success(), "{status}: {:?}", answer.text().await);
}

/// Makes a user of the local source.
pub async fn user(site: &Site, name: &str) {
    let body = json!({ "spec": {}, "password": PASSWORD });
    put(site, &format!("identity/users/{name}"), body).await;
}

/// Onboards a team, without environments.
pub async fn team(site: &Site, name: &str) {
    let url = format!("{}/v1/platforms/teams", site.server());
    let body = json!({ "name": name, "environments": [] });
    let answer = call(site, http().post(url).json(&body)).await;
    assert_eq!(answer.status(), 202, "{:?}", answer.text().await);
}

/// The user `ada`, of the group and the team `payments`.
pub async fn ada_of_payments(site: &Site) {
    user(site, "ada").await;
    let members = json!({ "members": ["ada"] });
    put(site, "identity/groups/payments", members).await;
    team(site, "payments").await;
}

/// What the platform answers to whoever shows this token.
pub async fn whoami(site: &Site, token: &str) -> u16 {
    let url = format!("{}/v1/whoami", site.server());
    let answer = http().get(url).bearer_auth(token).send().await.unwrap();
    answer.status().as_u16()
}

/// What a token says, unverified.
pub fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}
