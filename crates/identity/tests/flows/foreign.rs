//! A provider that others wrote as an upstream: it signs by ES256, gives groups by userinfo alone, and no
//! refresh token. It tells by the back channel who is logged out.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use axum::http::StatusCode;
use reqwest::{Client, RequestBuilder, Response, Url, header, redirect::Policy};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    servers::{listen, serve},
    support::{Browser, ISSUER, Site, claims, field, text},
    upstream::{device, downstream, visit},
};

struct Provider {
    issuer: String,
    _process: Child,
    /// It goes on talking, and ends where nobody listens.
    _says: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    /// One that tells the platform at `platform` who is logged out.
    async fn start(platform: &str) -> Option<Self> {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let modules = testkit::servers::npm("oidc-provider", "8", place).await?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flows/provider.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .arg(format!("{ISSUER}/login/corp/callback"))
            .arg(format!("{platform}/login/corp/backchannel-logout"))
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

/// A browser at the provider, with its cookies there.
#[derive(Default)]
struct There(BTreeMap<String, String>);

impl There {
    async fn send(&mut self, request: RequestBuilder) -> Response {
        let pairs = self.0.iter().map(|(name, value)| format!("{name}={value}"));
        let pairs = pairs.collect::<Vec<_>>().join("; ");
        let answer = request.header(header::COOKIE, pairs).send().await.unwrap();
        for set in answer.headers().get_all(header::SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.0.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// Follows the provider from `location` until it sends the browser back.
    async fn back(&mut self, location: &str) -> String {
        let http = http();
        let mut url: Url = location.parse().unwrap();
        while !url.as_str().starts_with(ISSUER) {
            let answer = self.send(http.get(url.clone())).await;
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

    /// Logs out there.
    async fn log_out(&mut self, provider: &Provider) {
        let url = format!("{}/session/end", provider.issuer);
        let page = self.send(http().get(&url)).await.text().await.unwrap();
        let form = [("xsrf", field(&page, "xsrf").as_str()), ("logout", "yes")]
            .map(|(name, value)| format!("{name}={value}"))
            .join("&");
        let confirm = http()
            .post(format!("{url}/confirm"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let answer = self.send(confirm).await;
        assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
    }
}

async fn connect(site: &Site, provider: &Provider) {
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
}

/// Somebody who has logged in from a browser of their own: that browser at the provider, and their tokens.
async fn log_in(site: &Site) -> (There, serde_json::Value) {
    let (browser, mut there) = (Browser::new(site), There::default());
    let callback = there.back(&visit(&browser, "corp").await).await;
    assert_eq!(browser.get(&callback).await.location(), "/device");
    (there, device(site, &browser).await.ok().json())
}

#[tokio::test]
async fn people_of_a_provider_that_others_wrote_log_in() {
    let Some(provider) = Provider::start(ISSUER).await else {
        return;
    };
    let site = downstream().await;
    connect(&site, &provider).await;

    let (_, tokens) = log_in(&site).await;
    let says = claims(text(&tokens, "id_token"));
    assert_eq!(says["sub"], "corp:ada");
    assert_eq!(says["preferred_username"], "ada");
    assert_eq!(says["groups"], json!(["payments"]));

    // What it cannot be asked about again holds until the next login says otherwise.
    provider.put_into("payments,ops").await;
    let renewed = site.refresh(text(&tokens, "refresh_token")).await.ok();
    let says = claims(text(&renewed.json(), "id_token"));
    assert_eq!(says["groups"], json!(["payments"]));
    let (_, tokens) = log_in(&site).await;
    let says = claims(text(&tokens, "id_token"));
    assert_eq!(says["groups"], json!(["ops", "payments"]));
}

#[tokio::test]
async fn who_is_logged_out_at_a_provider_that_others_wrote_is_logged_out_here() {
    let (listener, platform) = listen().await;
    let Some(provider) = Provider::start(&platform).await else {
        return;
    };
    let site = downstream().await;
    // It tells of it over the network.
    serve(listener, site.router.clone());
    connect(&site, &provider).await;
    let (mut laptop, one) = log_in(&site).await;
    let (_, two) = log_in(&site).await;
    let status = async |tokens: &serde_json::Value| {
        let token = text(tokens, "access_token");
        site.whoami(token).await.status
    };
    assert_eq!(
        (status(&one).await, status(&two).await),
        (StatusCode::OK, StatusCode::OK)
    );
    laptop.log_out(&provider).await;
    assert_eq!(status(&one).await, StatusCode::UNAUTHORIZED);
    let renewed = site.refresh(text(&one, "refresh_token")).await;
    assert_eq!(renewed.error(), "invalid_grant");
    // Where they are logged in by another session there, they still are.
    assert_eq!(status(&two).await, StatusCode::OK);
}
