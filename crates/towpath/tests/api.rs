//! What the API promises of every operation, by its own description.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use site::{Site, work};

const DESCRIPTION: &str = include_str!("../../../openapi/towpath.json");

/// What anybody may ask: whether it is there, and what it can do.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/v1/openapi.json"];

/// Every other operation, its parameters filled in.
fn operations() -> Vec<(Method, String)> {
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let mut all = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        let parts: Vec<&str> = path
            .split('/')
            .map(|part| if part.starts_with('{') { "x" } else { part })
            .collect();
        for method in ["get", "put", "post", "delete", "patch"] {
            if item.get(method).is_some() {
                all.push((method.to_uppercase().parse().unwrap(), parts.join("/")));
            }
        }
    }
    all
}

#[tokio::test]
async fn every_operation_asks_who_calls() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let operations = operations();
    assert!(operations.len() > 25, "{operations:?}");
    for (method, path) in operations {
        for token in [None, Some("not-the-token-of-this-platform-at-all")] {
            let mut request = http
                .request(method.clone(), format!("{}{path}", site.server()))
                .json(&json!({}));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.unwrap();
            let what = format!("{method} {path} with {token:?}");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{what}");
            let kind = &answer.headers()[header::CONTENT_TYPE];
            assert_eq!(kind, "application/problem+json", "{what}");
            let problem: Value = answer.json().await.unwrap();
            assert_eq!(problem["status"], 401, "{what}");
        }
    }
}

#[tokio::test]
async fn a_path_says_which_methods_it_takes_to_whoever_asks_by_another() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut paths: BTreeMap<String, Vec<Method>> = BTreeMap::new();
    for (method, path) in operations() {
        paths.entry(path).or_default().push(method);
    }
    // As it is written elsewhere: an action is a path of its own here.
    let team = paths["/v1/platforms/teams/x"].clone();
    paths.insert("/v1/platforms/teams/payments:sync".into(), team);
    for (path, takes) in paths {
        let mut others = [Method::POST, Method::PATCH, Method::PUT, Method::DELETE].into_iter();
        let Some(other) = others.find(|method| !takes.contains(method)) else {
            continue;
        };
        let url = format!("{}{path}", site.server());
        let answer = http.request(other.clone(), url).send().await.unwrap();
        let what = format!("{other} {path}");
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{what}");
        let kind = &answer.headers()[header::CONTENT_TYPE];
        assert_eq!(kind, "application/problem+json", "{what}");
        let allow = answer.headers()[header::ALLOW].to_str().unwrap().to_owned();
        for method in takes {
            assert!(
                allow.split(',').any(|one| one == method.as_str()),
                "{what}: {allow}"
            );
        }
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], 405, "{what}");
        assert!(problem["remedy"].is_string(), "{what}: {problem}");
    }
}

#[tokio::test]
async fn a_deployment_that_is_asked_for_twice_is_made_once() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let token = std::fs::read_to_string(data.path().join("admin.token")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/v1/environments/dev/deployments", site.server());
    let ask = async |greeting: &str| {
        let score = work::score("hello", &json!({ "GREETING": greeting }), &json!({}));
        let request = http
            .post(&url)
            .bearer_auth(token.trim())
            .header("Idempotency-Key", "once-and-no-more")
            .json(&work::deployment(score));
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (status, first) = ask("first").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{first}");
    let (status, again) = ask("first").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{again}");
    assert_eq!(again, first, "the same answer");
    let (status, other) = ask("second").await;
    assert!(status.is_client_error(), "{status}: {other}");
    let detail = other["detail"].as_str().unwrap();
    assert!(detail.contains("Idempotency-Key"), "{detail}");
    let client = running.client();
    let all = client::every(async |page| client.deployments("dev", &page).await)
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
    let ended = work::ended(client, &all[0]).await;
    let answer = site.get("hello.dev.localhost").await;
    assert_eq!(answer, Ok((200, "first".to_owned())), "{:?}", ended.status);
}

#[tokio::test]
async fn whatever_changes_something_is_done_once_for_one_key() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let token = std::fs::read_to_string(data.path().join("admin.token")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |method: Method, tag: &str, key: &str, body: Option<&Value>| {
        let mut request = http
            .request(method, format!("{}/v1/clusters/blue", site.server()))
            .bearer_auth(token.trim())
            .header(header::IF_MATCH, tag)
            .header("Idempotency-Key", key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let tag = answer.headers().get(header::ETAG);
        let tag = tag.map(|tag| tag.to_str().unwrap().to_owned());
        (answer.status(), tag, answer.text().await.unwrap())
    };
    let blue = |description: &str| {
        let endpoint = "https://blue.example.com";
        json!({ "spec": { "endpoint": endpoint, "description": description } })
    };

    let made = ask(Method::PUT, "*", "make", Some(&blue("the first"))).await;
    assert!(made.0.is_success(), "{made:?}");
    let tag = made.1.unwrap();
    let first = ask(Method::PUT, &tag, "change", Some(&blue("another"))).await;
    assert!(first.0.is_success(), "{first:?}");
    assert_ne!(first.1.as_ref(), Some(&tag));
    let again = ask(Method::PUT, &tag, "change", Some(&blue("another"))).await;
    assert_eq!(again, first);
    let other = ask(Method::PUT, &tag, "change", Some(&blue("a third"))).await;
    assert_eq!(other.0, StatusCode::UNPROCESSABLE_ENTITY, "{other:?}");

    let first = ask(Method::DELETE, "*", "end", None).await;
    assert!(first.0.is_success(), "{first:?}");
    let again = ask(Method::DELETE, "*", "end", None).await;
    assert_eq!(again, first);
    let gone = ask(Method::GET, "*", "end", None).await;
    assert_eq!(gone.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_removal_answers_with_the_revision_that_it_made() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let resources = json!({ "files": { "type": "volume" } });
    let score = work::score("hello", &json!({}), &resources);
    let deployment = client
        .deploy("dev", &work::deployment(score))
        .await
        .unwrap();
    work::ended(client, &deployment).await;
    let before = client.workload("dev", "hello").await.unwrap();
    let token = std::fs::read_to_string(data.path().join("admin.token")).unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http
        .delete(format!(
            "{}/v1/environments/dev/workloads/hello",
            site.server()
        ))
        .bearer_auth(token.trim())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let tag = answer.headers()[header::ETAG].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    let revision = body["metadata"]["revision"].as_i64().unwrap();
    assert!(revision > before.meta.revision, "{body}");
    assert_eq!(tag, format!("\"{revision}\""));
    assert!(body["metadata"]["deleting"].is_string(), "{body}");
}
