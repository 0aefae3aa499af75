//! The platform's own Postgres goes away and comes back in the middle of everything: who calls meanwhile is
//! told so, what was under way ends as it should, nothing is done twice, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod browser;
mod person;
mod site;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, http::HeaderMap};
use browser::Browser;
use person::{PASSWORD, Person};
use reqwest::Method;
use serde_json::{Value, json};
use site::{
    work,
    world::{LONG, World},
};
use testkit::{
    eventually,
    servers::{PostgresServer, postgres_server},
};

/// A store that is away for so long that calls and the lease of whoever reconciles end without it.
const LONG_AWAY: Duration = Duration::from_secs(12);

async fn platform(store: &PostgresServer) -> World {
    store.start();
    let url = store.url();
    let options = ["--store", &url, "--team-sync", "2s"];
    World::new(&[&options[..], &["--webhooks-allow", "127.0.0.1/32"]].concat()).await
}

/// What the token endpoint answers.
async fn grant(world: &World, fields: &[(&str, &str)]) -> (u16, Value) {
    let url = format!("{}/oauth/token", world.site.server());
    form(&url, fields).await
}

async fn form(url: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.post(url).form(fields).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_in_meanwhile_is_logged_in_and_stays_so() {
    let Some(store) = postgres_server() else {
        return;
    };
    let world = platform(&store).await;
    person::user(&world.site, "ada").await;
    let server = world.site.server();

    // The command line waits, and never shows its person a failure.
    let ada = Person::new();
    let restart = async {
        store.stop();
        tokio::time::sleep(Duration::from_secs(6)).await;
        store.start();
    };
    let ended = ada.login_after(&server, "ada", &[], restart).await;
    assert_eq!(ended.code, 0, "{ended:?}");

    // Between the code, its approval and the tokens, as a program sees it.
    let client = ("client_id", "towpath-cli");
    let scope = ("scope", "openid offline_access");
    let url = format!("{server}/oauth/device/code");
    let (status, device) = form(&url, &[client, scope]).await;
    assert_eq!(status, 200, "{device}");
    let code = device["device_code"].as_str().unwrap();
    let device_grant = "urn:ietf:params:oauth:grant-type:device_code";
    let poll = [("grant_type", device_grant), client, ("device_code", code)];
    let (_, before) = grant(&world, &poll).await;
    assert_eq!(before["error"], "authorization_pending");
    let kept = ada.tokens(0);
    let access = kept["access"].as_str().unwrap().to_owned();
    let refresh = kept["refresh"].as_str().unwrap().to_owned();
    let renewal = [
        ("grant_type", "refresh_token"),
        client,
        ("refresh_token", refresh.as_str()),
    ];
    let beginning = [client, scope];
    store.stop();
    let ((device_status, device_said), (refresh_status, refresh_said), whoami, listed, begun) = tokio::join!(
        grant(&world, &poll),
        grant(&world, &renewal),
        person::whoami(&world.site, &access),
        world.ask_as(&access, Method::GET, "/v1/identity/sessions", Value::Null),
        form(&url, &beginning),
    );
    for (status, said) in [
        (device_status, device_said),
        (refresh_status, refresh_said),
        begun,
    ] {
        assert_eq!(status, 503, "{said}");
        assert_eq!(said["error"], "temporarily_unavailable");
    }
    // "Could not ask" is not "no": whoever hears that logs in again.
    assert!([200, 503].contains(&whoami), "{whoami}");
    assert_eq!(listed.0, 503, "{}", listed.1);
    ada.change(0, |tokens| {
        tokens["renewAt"] = json!("2001-01-01T00:00:00Z")
    });
    let refused = ada.run(&["team", "list"]).await;
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(refused.err.contains("does not answer"), "{refused:?}");

    store.start();
    let browser = Browser::new();
    let page = device["verification_uri_complete"].as_str().unwrap();
    let page = browser.device_page(page, "ada", PASSWORD).await;
    let done = browser.decide(&page, "approve").await;
    assert!(done.body.contains("Approved"), "{}", done.body);
    let tokens = eventually("the device is logged in", LONG, || async {
        let (status, said) = grant(&world, &poll).await;
        let waits = ["slow_down", "temporarily_unavailable"];
        assert!(
            status == 200 || waits.contains(&said["error"].as_str().unwrap()),
            "{said}"
        );
        (status == 200).then_some(said)
    })
    .await;
    assert!(tokens["refresh_token"].is_string());
    let (status, again) = grant(&world, &poll).await;
    assert_eq!((status, &again["error"]), (400, &json!("invalid_grant")));
    // The refresh token was not used up by the answer that nobody got.
    let whole = ada.run(&["whoami", "-o", "json"]).await;
    assert_eq!(whole.code, 0, "{whole:?}");
    assert_ne!(ada.tokens(0)["refresh"], refresh);
    let sessions = world
        .ask_as(&access, Method::GET, "/v1/identity/sessions", Value::Null)
        .await;
    assert_eq!(sessions.0, 200, "{}", sessions.1);
}

/// What webhooks brought: each event's id, and how often.
type Received = Arc<Mutex<BTreeMap<String, usize>>>;

/// A receiver that takes its time, so that a restart comes in the middle of a delivery.
async fn receiver() -> (String, Received) {
    let received = Received::default();
    let take = async |State(received): State<Received>, headers: HeaderMap| {
        let id = headers["webhook-id"].to_str().unwrap().to_owned();
        tokio::time::sleep(Duration::from_millis(200)).await;
        *received.lock().unwrap().entry(id).or_default() += 1;
    };
    let router = Router::new().fallback(take).with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, received)
}

/// The types of event that the subscription is for.
const TYPES: [&str; 3] = ["team.*", "environment.*", "deployment.*"];

/// Begins a deployment of a workload that takes its time, and writes down that it was started.
async fn begin(world: &World, name: &str, starts: &str) -> String {
    let variables = json!({ "GREETING": name, "START_AFTER": "1500", "STARTS": starts });
    let score = work::score(name, &variables, &json!({ "files": { "type": "s3" } }));
    let order = serde_json::to_value(work::deployment(score)).unwrap();
    let path = "/v1/environments/restarted/deployments";
    let (status, made) = world.ask(Method::POST, path, order).await;
    assert_eq!(status, 202, "{made}");
    let name = made["metadata"]["name"].as_str().unwrap();
    format!("{path}/{name}")
}

/// Each of these calls is told that the store is away, whatever it is for.
async fn everybody_is_told(world: &World) {
    let refused = json!({ "name": "refused", "environments": [] });
    let calls = [
        (Method::GET, "/v1/environments", Value::Null),
        (Method::GET, "/v1/platforms/teams/steady", Value::Null),
        (Method::GET, "/v1/events?limit=1", Value::Null),
        (Method::POST, "/v1/platforms/teams", refused),
        (Method::DELETE, "/v1/environments/restarted", Value::Null),
    ];
    let calls = calls.map(|(method, path, body)| world.ask(method, path, body));
    for (status, said) in futures::future::join_all(calls).await {
        assert_eq!(status, 503, "{said}");
        assert_eq!(said["type"], "https://towpath.dev/problems/unavailable");
        assert_eq!(said["detail"], "the store does not answer");
        assert!(said["remedy"].is_string());
    }
    let (ready, lives) = tokio::join!(
        world.ask(Method::GET, "/readyz", Value::Null),
        world.ask(Method::GET, "/healthz", Value::Null),
    );
    assert_eq!((ready.0, lives.0), (503, 204));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_ends_as_it_should_and_once() {
    let Some(store) = postgres_server() else {
        return;
    };
    let world = platform(&store).await;
    let (url, received) = receiver().await;
    let path = "/v1/platforms/subscriptions/all";
    let body = json!({ "types": TYPES, "url": url });
    let (status, made) = world.ask(Method::PUT, path, body).await;
    assert_eq!(status, 201, "{made}");
    let outside = tempfile::tempdir().unwrap();
    let starts = outside.path().join("starts");
    let starts = starts.to_str().unwrap();
    let names = ["steady", "brief", "long"];
    let people = ["ada".to_owned(), "bob".to_owned()];
    for name in names {
        world.people(name, &people).await;
    }

    for (name, away) in names
        .into_iter()
        .zip([None, Some(Duration::ZERO), Some(LONG_AWAY)])
    {
        world.onboard(json!({ "name": name })).await;
        let deployment = begin(&world, name, starts).await;
        if let Some(away) = away {
            // What runs is served all along.
            let served = async || world.site.get("steady.restarted.localhost").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            store.stop();
            if away > Duration::ZERO {
                let since = tokio::time::Instant::now();
                everybody_is_told(&world).await;
                tokio::time::sleep_until(since + away).await;
                assert_eq!(served().await, Ok((200, "steady".into())));
            }
            store.start();
            assert_eq!(served().await, Ok((200, "steady".into())));
        }
        let ended = eventually("the deployment ends", LONG * 2, || async {
            let (status, found) = world.ask(Method::GET, &deployment, Value::Null).await;
            assert!([200, 503].contains(&status), "{found}");
            let phase = found["status"]["phase"].as_str().unwrap_or_default();
            (phase == "succeeded" || phase == "failed").then_some(found)
        })
        .await;
        assert_eq!(ended["status"]["phase"], "succeeded", "{ended:#}");
        let host = format!("{name}.restarted.localhost");
        let answer = world.site.get(&host).await;
        assert_eq!(answer, Ok((200, name.to_owned())));
        world.ready(name).await;
    }

    let refused = world.team("refused").await;
    assert_eq!(refused["status"], 404, "{refused}");
    for name in names {
        let namespaces = world.get(&format!("/v1/teams/{name}/namespaces")).await;
        assert_eq!(namespaces["items"].as_array().unwrap().len(), 4, "{name}");
    }
    let mut started: Vec<_> = std::fs::read_to_string(starts)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    started.sort();
    assert_eq!(started, ["brief", "long", "steady"], "each once");
    told_once(&world).await;
    // The next sync is told, too, and nobody left because the store was away.
    let before = world.events("team.sync").await.len();
    world.people("steady", &people[..1]).await;
    eventually("the teams are kept in step", LONG, || async {
        (world.events("team.sync").await.len() > before).then_some(())
    })
    .await;

    // Each event arrives; one whose answer was not noted in time arrives again, as it may.
    let all = all_told(&world).await;
    eventually("every event arrives", LONG, || async {
        let received = received.lock().unwrap();
        all.iter().all(|id| received.contains_key(id)).then_some(())
    })
    .await;
    let most = received.lock().unwrap().values().copied().max();
    assert!(most <= Some(3), "{most:?}");
}

/// Whatever happens to a thing once was told once.
async fn told_once(world: &World) {
    for kind in [
        "team.onboarded",
        "deployment.requested",
        "deployment.succeeded",
        "workload.started",
    ] {
        let told = world.events(kind).await;
        let subjects = told.iter().map(|event| event["subject"].to_string());
        let mut counts = BTreeMap::<String, usize>::new();
        for subject in subjects {
            *counts.entry(subject).or_default() += 1;
        }
        assert!(counts.len() >= 3, "{kind}: {counts:?}");
        assert!(
            counts.values().all(|times| *times == 1),
            "{kind}: {counts:?}"
        );
    }
    for kind in ["deployment.failed", "workload.failed", "team.deleted"] {
        assert!(world.events(kind).await.is_empty(), "{kind}");
    }
}

/// The ids of all events so far that the subscription is for.
async fn all_told(world: &World) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = 0;
    loop {
        let page = world
            .get(&format!("/v1/events?limit=1000&after={after}"))
            .await;
        let items = page["items"].as_array().unwrap();
        let Some(last) = items.last() else {
            return ids;
        };
        after = last["seq"].as_i64().unwrap();
        ids.extend(items.iter().filter_map(|event| {
            let kind = event["type"].as_str()?.strip_prefix("dev.towpath.")?;
            let wanted = TYPES
                .iter()
                .any(|one| kind.starts_with(&one[..one.len() - 1]));
            wanted.then(|| event["id"].as_str().unwrap().to_owned())
        }));
    }
}
