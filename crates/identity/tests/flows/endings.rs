//! What ends, and with it what was begun: passwords, names, logins, upstreams' tokens.

use std::{ops::Range, pin::pin, sync::Arc};

use axum::http::StatusCode;
use identity::service::UpstreamMembers;
use kernel::{Change, EventFilter, Record, Transient};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    support::{Answer, Browser, CALLBACK, PASSWORD, Site, claims, pkce, query, settings, text},
    upstream::{device, github, github_login},
};

testkit::on_both!(
    a_new_password_ends_whatever_the_old_one_began,
    a_name_that_is_given_again_is_another_subject,
    a_logout_that_is_refused_ends_nothing,
    logins_that_are_begun_are_bounded,
    what_an_upstream_said_of_its_people_goes_with_it,
    however_many_an_upstream_knew_it_goes_at_once_and_they_part_by_part,
    whoever_is_written_down_behind_the_end_of_an_upstream_goes_with_it,
);

/// Redeems an authorization code, as the program that asked for it.
pub(crate) async fn exchange(site: &Site, code: &str) -> Answer {
    let (verifier, _) = pkce();
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "towpath-cli"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", verifier.as_str()),
    ];
    site.post("/oauth/token", &fields).await
}

async fn a_new_password_ends_whatever_the_old_one_began() {
    let kept_out = json!({ "spec": { "disabled": true } });
    let new = json!({ "password": "another horse battery" });
    for end in [vec![new], vec![kept_out, json!({ "spec": {} })]] {
        let site = Site::new().await;
        site.user("ada").await;
        let browser = Browser::new(&site);
        // A session, an approved device that has not asked yet, a code that is not used yet.
        let (first, second) = (site.device_start().await, site.device_start().await);
        browser.approve(&first, "ada").await;
        let tokens = site.device_poll(&first).await.ok().json();
        browser.approve(&second, "ada").await;
        let code = query(&browser.authorize(&[]).await.location())["code"].clone();

        for body in end {
            site.admin("PUT", "/v1/identity/users/ada", body).await.ok();
        }
        let access = text(&tokens, "access_token");
        assert_eq!(site.whoami(access).await.status, 401);
        let refreshed = site.refresh(text(&tokens, "refresh_token")).await;
        assert_eq!(refreshed.error(), "invalid_grant");
        assert_eq!(site.device_poll(&second).await.error(), "invalid_grant");
        assert_eq!(exchange(&site, &code).await.error(), "invalid_grant");
        // The browser is asked for the password again.
        let location = browser.get("/device").await.location();
        assert!(location.starts_with("/login?page="), "{location}");
    }
}

async fn a_name_that_is_given_again_is_another_subject() {
    let site = Site::new().await;
    site.user("ada").await;
    let tokens = site.login("ada").await;
    assert_eq!(claims(text(&tokens, "id_token"))["sub"], "local:ada");
    for number in 2..4 {
        site.admin("DELETE", "/v1/identity/users/ada", Value::Null)
            .await
            .ok();
        site.user("ada").await;
        site.group("payments", &["ada"]).await;
        // Whoever was called so is still nobody.
        let access = text(&tokens, "access_token");
        assert_eq!(site.whoami(access).await.status, 401);
        let refreshed = site.refresh(text(&tokens, "refresh_token")).await;
        assert_eq!(refreshed.error(), "invalid_grant");
        let now = site.login("ada").await;
        let says = claims(text(&now, "id_token"));
        assert_eq!(says["sub"], format!("local:ada.{number}"));
        assert_eq!(says["preferred_username"], "ada");
        assert_eq!(says["groups"], json!(["payments"]));
        let who = site.whoami(text(&now, "access_token")).await.ok().json();
        assert_eq!(who["subject"], format!("local:ada.{number}"));
        assert_eq!(who["groups"], json!(["payments"]));
        site.refresh(text(&now, "refresh_token")).await.ok();
    }
}

async fn a_logout_that_is_refused_ends_nothing() {
    let site = Site::new().await;
    site.user("ada").await;
    let tokens = site.login("ada").await;
    let browser = Browser::new(&site);
    let hint = text(&tokens, "id_token");
    for wrong in [
        "client_id=another",
        "post_logout_redirect_uri=https://elsewhere.example.com",
    ] {
        let path = format!("/oauth/logout?id_token_hint={hint}&{wrong}");
        assert_eq!(browser.get(&path).await.status, StatusCode::BAD_REQUEST);
        site.whoami(text(&tokens, "access_token")).await.ok();
    }
    let path = format!("/oauth/logout?id_token_hint={hint}&client_id=towpath-cli");
    browser.get(&path).await.ok();
    assert_eq!(site.whoami(text(&tokens, "access_token")).await.status, 401);
}

async fn logins_that_are_begun_are_bounded() {
    let site = Site::new().await;
    site.user("ada").await;
    let begin = async || {
        let fields = [("client_id", "towpath-cli")];
        site.post("/oauth/device/code", &fields).await
    };
    let mut begun = 0;
    let refused = loop {
        let answer = begin().await;
        if !answer.status.is_success() {
            break answer;
        }
        begun += 1;
        assert!(begun <= 1000, "without an end");
    };
    assert!(begun >= 100, "{begun} are too few for an office");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    // Login pages as well; and a page that is open already is not in the way of anybody.
    let browser = Browser::new(&site);
    for path in ["/device", "/oauth/authorize"] {
        let page = match path {
            "/device" => browser.get(path).await,
            _ => browser.authorize(&[]).await,
        };
        assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        assert!(page.headers.contains_key("retry-after"));
    }
    site.advance(wait);
    begin().await.ok();
    let location = browser.get("/device").await.location();
    browser.log_in(&location, "ada", PASSWORD).await.location();
}

/// What identity keeps to ask an upstream again, whatever is in it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Grant(Value);

impl Transient for Grant {
    const KIND: &'static str = "upstream-grant";
}

/// How many there are.
pub(crate) async fn grants(site: &Site) -> usize {
    site.store.records::<Grant>("").await.unwrap().len()
}

/// What is remembered of somebody.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Remembered(Value);

impl Transient for Remembered {
    const KIND: &'static str = "person";
}

const GITHUB: &str = "/v1/identity/upstreams/github";

/// Has done what reconcilers do when an upstream is being removed.
async fn forgotten(site: &Site) {
    let stop = tokio_util::sync::CancellationToken::new();
    site.identity
        .upstream_end("github", None, &stop)
        .await
        .unwrap();
}

async fn what_an_upstream_said_of_its_people_goes_with_it() {
    let (site, github) = github().await;
    github.person.lock().unwrap().teams = vec![("epetech", "pay".into())];
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    let tokens = device(&site, &browser).await.ok().json();
    let known = async || site.store.records::<Remembered>("").await.unwrap();
    let name = known().await[0].name.clone();
    assert!(site.identity.person_groups(&name).await.unwrap().is_some());
    site.admin("DELETE", GITHUB, Value::Null).await.ok();
    assert_eq!(site.identity.person_groups(&name).await.unwrap(), None);
    forgotten(&site).await;
    assert!(known().await.is_empty());
    // Nor is it learnt again, of a login that is there yet.
    let refused = site.refresh(text(&tokens, "refresh_token")).await;
    assert_eq!(refused.error(), "invalid_grant");
    assert!(known().await.is_empty());
}

/// Has these remembered as well, before all others, and as `one` is.
async fn remember(site: &Site, one: &Record<Remembered>, numbers: Range<usize>) {
    let mut change = Change::new();
    for number in numbers {
        let mut value = one.value.0.clone();
        value["subject"] = json!(format!("github:{number}"));
        let name = format!("{number:016}");
        change
            .keep(&Record::new(name, one.expires, Remembered(value)))
            .unwrap();
    }
    site.store.commit(change).await.unwrap();
}

async fn however_many_an_upstream_knew_it_goes_at_once_and_they_part_by_part() {
    const MORE: usize = 250;
    let (site, github) = github().await;
    github.person.lock().unwrap().teams = vec![("epetech", "pay".into())];
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    let tokens = device(&site, &browser).await.ok().json();
    github.person.lock().unwrap().teams.clear();
    site.refresh(text(&tokens, "refresh_token")).await.ok();
    let known = async || site.store.records::<Remembered>("").await.unwrap();
    let one = known().await.remove(0);
    remember(&site, &one, 0..MORE).await;
    let left = async |site: &Site| {
        let members = site
            .identity
            .upstream_members("github", "epetech/pay", None, None)
            .await;
        let UpstreamMembers::Seen { left, .. } = members.unwrap() else {
            panic!("nobody has given a directory token")
        };
        left.len()
    };
    assert_eq!(left(&site).await, 1);

    let asked = site.admin("DELETE", GITHUB, Value::Null).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED);
    // They are there yet, and count no more: nor for a replica that starts now.
    assert_eq!(known().await.len(), MORE + 1);
    assert_eq!(left(&site).await, 0);
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    assert_eq!(left(&replica).await, 0);
    let groups = site.identity.person_groups(&one.name).await.unwrap();
    assert_eq!(groups, None);
    // Nobody logs in by it, it is made anew when it is gone, and to ask again is the same.
    let somebody = Browser::new(&site);
    let location = somebody.get("/device").await.location();
    let page = somebody.get(&location).await.ok().body;
    assert!(!page.contains("GitHub"), "{page}");
    let shown = site.admin("GET", GITHUB, Value::Null).await.ok().json();
    assert!(shown["metadata"]["deleting"].is_string(), "{shown}");
    let spec = json!({ "spec": shown["spec"] });
    let refused = site.admin("PUT", GITHUB, spec.clone()).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.body);
    site.admin("DELETE", GITHUB, Value::Null).await.ok();

    let driver = kernel::Driver::new(site.store.clone(), "test".into())
        .with(Arc::new(identity::reconcile::Upstreams(
            site.identity.clone(),
        )))
        .start();
    testkit::eventually("the upstream is gone", testkit::PATIENCE, || async {
        let shown = site.admin("GET", GITHUB, Value::Null).await;
        (shown.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    driver.shutdown().await;
    assert!(known().await.is_empty());
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.person.changed".into()),
        ..EventFilter::default()
    };
    let told = site.store.events(&filter, 0, 1000).await.unwrap();
    let forgotten = told.iter().filter(|told| told.actor == "system:identity");
    assert!(forgotten.count() > MORE);
    site.admin("PUT", GITHUB, spec).await.ok();
    assert_eq!(left(&site).await, 0);
}

async fn whoever_is_written_down_behind_the_end_of_an_upstream_goes_with_it() {
    let (site, github) = github().await;
    github.person.lock().unwrap().teams = vec![("epetech", "pay".into())];
    let browser = Browser::new(&site);
    github_login(&site, &browser, "a-code").await.location();
    device(&site, &browser).await.ok();
    let known = async || site.store.records::<Remembered>("").await.unwrap();
    let one = known().await.remove(0);
    remember(&site, &one, 0..250).await;
    site.admin("DELETE", GITHUB, Value::Null).await.ok();

    let stop = tokio_util::sync::CancellationToken::new();
    let mut head = site.store.subscribe();
    let before = *head.borrow_and_update();
    let mut end = pin!(site.identity.upstream_end("github", None, &stop));
    tokio::select! {
        biased;
        moved = head.wait_for(|now| *now > before) => drop(moved.unwrap()),
        ended = &mut end => panic!("nobody was forgotten: {ended:?}"),
    }
    // The first are forgotten, and nobody goes on with the rest: as a replica writes that does not heed the removal.
    remember(&site, &one, 0..1).await;
    end.await.unwrap();
    assert!(known().await.is_empty());
    let shown = site.admin("GET", GITHUB, Value::Null).await;
    assert_eq!(shown.status, StatusCode::NOT_FOUND);
}
