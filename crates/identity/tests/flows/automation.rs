//! Automation that hangs on people: told where it is known.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
    middleware::from_fn_with_state,
};
use identity::service::{Webhook, Webhooks};
use kernel::EventFilter;
use serde_json::{Value, json};

use crate::support::{Site, claims, text};

/// The site as a platform serves it: every call is looked at.
async fn site() -> Site {
    let mut site = Site::new().await;
    site.router = site.router.layer(from_fn_with_state(
        site.identity.clone(),
        identity::http::note_automation,
    ));
    site
}

/// What sends events on, and knows one webhook of ada's.
struct Made;

#[async_trait::async_trait]
impl Webhooks for Made {
    async fn made_by(&self, subject: &str) -> kernel::Result<Vec<Webhook>> {
        let one = Webhook {
            team: "payments".into(),
            name: "audit".into(),
            url: "https://hooks.example.com/".into(),
            at: jiff::Timestamp::now(),
        };
        Ok((subject == "local:ada")
            .then_some(one)
            .into_iter()
            .collect())
    }
}

async fn call(site: &Site, agent: &str, token: &str) -> StatusCode {
    let request = Request::builder()
        .uri("/v1/whoami")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::USER_AGENT, agent);
    let request = request.body(Body::empty()).unwrap();
    site.send(request).await.status
}

async fn report(site: &Site) -> Value {
    let path = "/v1/identity/automation";
    site.admin("GET", path, Value::Null).await.ok().json()
}

#[tokio::test]
async fn what_calls_with_a_persons_login_is_reported() {
    let site = site().await;
    site.user("ada").await;
    site.user("bob").await;
    let (ada, bob) = (site.login("ada").await, site.login("bob").await);
    let (ada, bob) = (text(&ada, "access_token"), text(&bob, "access_token"));
    call(&site, "towpath/0.1.0", ada).await;
    call(&site, "towpath/0.1.0 (ci)", "a.b.c").await;
    assert_eq!(report(&site).await["items"], json!([]));
    assert!(
        !report(&site).await["unknown"]
            .as_array()
            .unwrap()
            .is_empty()
    );

    for _ in 0..3 {
        assert_eq!(call(&site, "towpath/0.1.0 (ci)", ada).await, 200);
    }
    call(&site, "towpath/0.1.0", bob).await;
    let items = report(&site).await["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 1, "{items}");
    assert_eq!(items[0]["subject"], "local:ada");
    assert_eq!(items[0]["client"], "towpath-cli");
    let first = items[0]["automation"].clone();
    // Written down again after an hour, and not at each call.
    site.advance(60);
    call(&site, "pipeline (ci)", ada).await;
    assert_eq!(report(&site).await["items"][0]["automation"], first);
    site.advance(3541);
    call(&site, "pipeline (ci)", ada).await;
    assert_ne!(report(&site).await["items"][0]["automation"], first);

    // It ends with the person.
    site.admin("DELETE", "/v1/identity/users/ada", Value::Null)
        .await
        .ok();
    assert_eq!(report(&site).await["items"], json!([]));
    let denied = site
        .api("GET", "/v1/identity/automation", bob, Value::Null)
        .await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn which_login_automation_calls_with_is_told_on_each_page() {
    let site = site().await;
    site.user("ada").await;
    let mut called = BTreeMap::new();
    for agent in [
        "towpath/0.1.0 (ci)",
        "towpath/0.1.0",
        "pipeline (ci)",
        "towpath/0.1.0",
    ] {
        let tokens = site.login("ada").await;
        assert_eq!(call(&site, agent, text(&tokens, "access_token")).await, 200);
        let sid = claims(text(&tokens, "id_token"))["sid"].clone();
        called.insert(sid.as_str().unwrap().to_owned(), agent.contains("(ci)"));
    }
    for limit in [1, 3, 100] {
        let (mut told, mut after) = (BTreeMap::new(), String::new());
        loop {
            let path = format!("/v1/identity/sessions?limit={limit}{after}");
            let page = site.admin("GET", &path, Value::Null).await.ok().json();
            for one in page["items"].as_array().unwrap() {
                told.insert(text(one, "id").to_owned(), one["automation"].is_string());
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(told, called, "{limit}");
    }
}

#[tokio::test]
async fn what_a_person_leaves_behind_is_told_apart_from_what_ends() {
    let site = site().await;
    site.user("ada").await;
    site.group("payments", &["ada"]).await;
    site.group("platform", &["ada"]).await;
    let tokens = site.login("ada").await;
    let ada = text(&tokens, "access_token");
    let account = "/v1/identity/teams/payments/service-accounts";
    for name in ["ci", "gone"] {
        let path = format!("{account}/{name}");
        site.api("PUT", &path, ada, json!({})).await.ok();
    }
    let keys = format!("{account}/ci/keys");
    let mut drawn = Vec::new();
    for _ in 0..3 {
        let key = site.api("POST", &keys, ada, Value::Null).await.ok().json();
        drawn.push(text(&key, "id").to_owned());
    }
    site.admin("DELETE", &format!("{account}/gone"), Value::Null)
        .await
        .ok();
    let path = "/v1/identity/automation/local:ada";
    let left = site.admin("GET", path, Value::Null).await.ok().json();
    assert_eq!(left["ends"].as_array().unwrap().len(), 1);
    let seen: Vec<_> = left["seen"].as_array().unwrap().iter().collect();
    let keys: Vec<_> = seen.iter().map(|key| text(key, "key").to_owned()).collect();
    assert_eq!(
        keys,
        [drawn[2].clone(), drawn[1].clone()],
        "valid ones alone"
    );
    assert_eq!(seen[0]["account"], "payments/ci");
    let stays = &left["stays"];
    assert_eq!(stays.as_array().unwrap().len(), 1, "{stays}");
    assert_eq!(stays[0]["kind"], "ServiceAccount");
    assert_eq!(stays[0]["name"], "ci");
    assert_eq!(stays[0]["team"], "payments");
    // What sends events on says itself who made what.
    site.identity.know_webhooks(Arc::new(Made));
    let left = site.admin("GET", path, Value::Null).await.ok().json();
    let webhook = &left["webhooks"][0];
    assert_eq!(
        (&webhook["team"], &webhook["name"]),
        (&json!("payments"), &json!("audit"))
    );
    assert_eq!(webhook["url"], "https://hooks.example.com/");
    // Of one team, what is that team's.
    for (team, keys, others) in [("payments", 2, 1), ("shop", 0, 0)] {
        let path = format!("/v1/teams/{team}/departures/local:ada");
        let left = site.admin("GET", &path, Value::Null).await.ok().json();
        let count = |list: &str| left[list].as_array().unwrap().len();
        assert_eq!(count("seen"), keys, "{left}");
        assert_eq!((count("stays"), count("webhooks")), (others, others));
        assert!(left["ends"].is_null(), "{left}");
    }
    let path = "/v1/identity/automation/local:nobody";
    let nobody = site.admin("GET", path, Value::Null).await.ok().json();
    for list in ["ends", "seen", "stays", "webhooks"] {
        assert_eq!(nobody[list], json!([]), "{list}");
    }
}

#[tokio::test]
async fn what_somebody_who_leaves_knows_and_only_people_can_rotate_is_named_with_the_command() {
    let site = site().await;
    site.identity.know_webhooks(Arc::new(Made));
    site.user("ada").await;
    site.group("payments", &["ada"]).await;
    let tokens = site.login("ada").await;
    let ada = text(&tokens, "access_token");
    let account = "/v1/identity/teams/payments/service-accounts/ci";
    site.api("PUT", account, ada, json!({})).await.ok();
    let keys = format!("{account}/keys");
    let key = site.api("POST", &keys, ada, Value::Null).await.ok().json();
    let key = text(&key, "id");
    let path = "/v1/teams/payments/departures/local:ada/rotate";
    let refused = site.api("POST", path, ada, Value::Null).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "no member's");
    let rotated = site.admin("POST", path, Value::Null).await.ok().json();
    let items = rotated["items"].as_array().unwrap();
    let said: Vec<_> = items
        .iter()
        .map(|item| {
            (
                text(item, "kind"),
                text(item, "name"),
                text(item, "outcome"),
            )
        })
        .collect();
    let expected = [
        ("ServiceAccount", "ci", "by-hand"),
        ("Subscription", "audit", "by-hand"),
    ];
    assert_eq!(said, expected, "{rotated}");
    assert_eq!(text(&items[0], "key"), key);
    let revoke = format!("towpath service-account key revoke ci {key} --team payments");
    assert_eq!(items[0]["commands"][1], json!(revoke));
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.member.departure-rotated".into()),
        ..EventFilter::default()
    };
    let told = site.store.events(&filter, 0, 10).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].reason.as_deref(), Some("departure of local:ada"));
    assert_eq!(told[0].data["byHand"], 2);
    let path = "/v1/teams/payments/departures/ada/rotate";
    let nobody = site.admin("POST", path, Value::Null).await;
    assert_eq!(nobody.status, StatusCode::UNPROCESSABLE_ENTITY);
}
