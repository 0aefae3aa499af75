//! A provider that others wrote as an upstream: it signs by ES256, gives groups by userinfo alone, and no
//! refresh token.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use reqwest::{Client, Url, header, redirect::Policy};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    support::{Browser, ISSUER, Site, claims, text},
    upstream::{device, downstream, visit},
};

struct Provider {
    issuer: String,
    _process: Child,
    /// It goes on talking, and ends where nobody listens.
    _says: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    async fn start() -> Option<Self> {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let modules = testkit::servers::npm("oidc-provider", "8", place).await?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flows/provider.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .arg(format!("{ISSUER}/login/corp/callback"))
            .env("MODULES", modules)
            .env("NODE_NO_WARNINGS", "1")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut issuer = String::new();
        while !issuer.starts_with("http") {
            issuer = lines.next_line().await.unwrap().expect("it starts");
        }
        Some(Self {
            issuer,
            _process: process,
            _says: lines,
        })
    }

    async fn put_into(&self, groups: &str) {
        let url = format!("{}/groups?names={groups}", self.issuer);
        let answer = http().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    }
}

fn http() -> Client {
    let http = Client::builder().no_proxy().redirect(Policy::none());
    http.build().unwrap()
}

/// Follows the provider from `location` until it sends the browser back.
async fn back(location: &str) -> String {
    let http = http();
    let mut cookies = BTreeMap::new();
    let mut url: Url = location.parse().unwrap();
    while !url.as_str().starts_with(ISSUER) {
        let pairs = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let pairs = pairs.collect::<Vec<_>>().join("; ");
        let request = http.get(url.clone()).header(header::COOKIE, pairs);
        let answer = request.send().await.unwrap();
        for set in answer.headers().get_all(header::SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        let Some(next) = answer.headers().get(header::LOCATION) else {
            panic!(
                "{url}: {} {}",
                answer.status(),
                answer.text().await.unwrap()
            );
        };
        url = url.join(next.to_str().unwrap()).unwrap();
    }
    url.to_string()
}

async fn log_in(site: &Site) -> serde_json::Value {
    let browser = Browser::new(site);
    let callback = back(&visit(&browser, "corp").await).await;
    assert_eq!(browser.get(&callback).await.location(), "/device");
    device(site, &browser).await.ok().json()
}

#[tokio::test]
async fn people_of_a_provider_that_others_wrote_log_in() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let site = downstream().await;
    let body = json!({
        "spec": {
            "title": "Corp", "clientId": "towpath",
            "provider": { "type": "oidc", "issuer": provider.issuer },
        },
        "secret": "hush-of-the-provider",
    });
    site.admin("PUT", "/v1/identity/upstreams/corp", body)
        .await
        .ok();

    let tokens = log_in(&site).await;
    let says = claims(text(&tokens, "id_token"));
    assert_eq!(says["sub"], "corp:ada");
    assert_eq!(says["preferred_username"], "ada");
    assert_eq!(says["groups"], json!(["payments"]));

    // What it cannot be asked about again holds until the next login says otherwise.
    provider.put_into("payments,ops").await;
    let renewed = site.refresh(text(&tokens, "refresh_token")).await.ok();
    let says = claims(text(&renewed.json(), "id_token"));
    assert_eq!(says["groups"], json!(["payments"]));
    let tokens = log_in(&site).await;
    let says = claims(text(&tokens, "id_token"));
    assert_eq!(says["groups"], json!(["ops", "payments"]));
}
