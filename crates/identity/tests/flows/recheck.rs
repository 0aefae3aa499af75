//! Whoever leaves at their provider and renews nothing: what they have here by it ends all the same.

use axum::http::StatusCode;
use kernel::EventFilter;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    directory::is_in,
    openid::OpenId,
    support::{Browser, Site, settings, text},
    upstream::{device, downstream, github, github_login},
};

testkit::on_both!(
    rights_end_within_the_recheck_though_nobody_renews,
    whoever_renews_does_not_keep_what_they_had_before,
    a_provider_that_is_down_ends_nothing,
    whoever_logs_out_while_their_provider_is_asked_has_left_nothing,
    whoever_logs_out_before_their_provider_is_asked_has_left_nothing,
);

const RECHECK: u64 = 600;

fn ada(groups: &[&str]) -> Value {
    json!({ "sub": "ada", "groups": groups })
}

async fn ask(site: &Site) {
    let stop = CancellationToken::new();
    site.identity.people_ask(None, &stop).await.unwrap();
}

async fn groups(site: &Site, tokens: &Value) -> Value {
    let who = site.whoami(text(tokens, "access_token")).await.ok();
    who.json()["groups"].clone()
}

async fn log_out(browser: &Browser<'_>, tokens: &Value) {
    let hint = text(tokens, "id_token");
    let path = format!("/oauth/logout?id_token_hint={hint}");
    browser.get(&path).await.ok();
}

/// How often something else was known of somebody than before.
async fn told_of_people(site: &Site) -> usize {
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.person.changed".into()),
        ..EventFilter::default()
    };
    site.store.events(&filter, 0, 100).await.unwrap().len()
}

async fn rights_end_within_the_recheck_though_nobody_renews() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    let browser = Browser::new(&site);
    let says = ada(&["payments", "web"]);
    let one = corp.log_in(&site, &browser, "one", says).await;
    // Of the same login, and asked for with it.
    let two = device(&site, &browser).await.ok().json();
    corp.says("one", &ada(&["web"]));
    let before = corp.asked();
    ask(&site).await;
    assert_eq!(corp.asked(), before, "it was asked a moment ago");
    site.advance(RECHECK);
    ask(&site).await;
    assert_eq!(corp.asked(), before + 1);
    ask(&site).await;
    assert_eq!(corp.asked(), before + 1);
    for tokens in [&one, &two] {
        for site in [&site, &replica] {
            assert_eq!(groups(site, tokens).await, json!(["web"]));
        }
    }
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.member.withdrawn".into()),
        ..EventFilter::default()
    };
    let told = site.store.events(&filter, 0, 10).await.unwrap();
    assert!(!told.is_empty());
    for one in &told {
        assert_eq!(one.actor, "system:identity");
        assert_eq!(one.data["subject"], "corp:ada");
        assert_eq!(one.data["group"], "payments");
    }

    // It knows them no more.
    corp.says("one", &Value::Null);
    site.advance(RECHECK);
    ask(&site).await;
    for tokens in [&one, &two] {
        for site in [&site, &replica] {
            let status = site.whoami(text(tokens, "access_token")).await.status;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
    }
}

async fn whoever_renews_does_not_keep_what_they_had_before() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let browser = Browser::new(&site);
    let says = ada(&["payments", "web"]);
    let before = corp.log_in(&site, &browser, "one", says).await;
    corp.says("one", &ada(&["web", "ops"]));
    let after = site.refresh(text(&before, "refresh_token")).await.ok();
    assert_eq!(groups(&site, &after.json()).await, json!(["ops", "web"]));
    assert_eq!(groups(&site, &before).await, json!(["web"]));
}

async fn a_provider_that_is_down_ends_nothing() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let browser = Browser::new(&site);
    let tokens = corp.log_in(&site, &browser, "one", ada(&["web"])).await;
    corp.says("one", &Value::Null);
    corp.down.set(true);
    for _ in 0..3 {
        site.advance(RECHECK);
        ask(&site).await;
        assert_eq!(groups(&site, &tokens).await, json!(["web"]));
    }
    corp.down.set(false);
    ask(&site).await;
    let status = site.whoami(text(&tokens, "access_token")).await.status;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

async fn whoever_logs_out_while_their_provider_is_asked_has_left_nothing() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    for renews in [false, true] {
        let browser = Browser::new(&site);
        let tokens = corp.log_in(&site, &browser, "one", ada(&["web"])).await;
        let told = told_of_people(&site).await;
        site.advance(RECHECK);
        corp.says("one", &Value::Null);
        let mut questions = corp.down.hold();
        let asking = async {
            if renews {
                let refused = site.refresh(text(&tokens, "refresh_token")).await;
                assert_eq!(refused.error(), "invalid_grant");
            } else {
                ask(&site).await;
            }
        };
        let meanwhile = async {
            let question = questions.recv().await.unwrap();
            log_out(&browser, &tokens).await;
            drop((question, questions));
        };
        tokio::join!(asking, meanwhile);
        assert_eq!(told_of_people(&site).await, told, "renews: {renews}");
    }
}

async fn whoever_logs_out_before_their_provider_is_asked_has_left_nothing() {
    let (site, github) = github().await;
    is_in(&github, &[("pay", 42)]);
    let (one, two) = (Browser::new(&site), Browser::new(&site));
    let log_in = async |browser: &Browser<'_>| {
        github_login(&site, browser, "a-code").await.location();
        device(&site, browser).await.ok().json()
    };
    let (first, second) = (log_in(&one).await, log_in(&two).await);
    let told = told_of_people(&site).await;
    site.advance(RECHECK);
    let mut questions = github.down.hold();
    // It has what asks for the second login, for as long as it gets no answer.
    let renewal = site.refresh(text(&second, "refresh_token"));
    let rest = async {
        let renewal = questions.recv().await.unwrap();
        let meanwhile = async {
            // For the first: by now both are to be asked for.
            let question = questions.recv().await.unwrap();
            log_out(&two, &second).await;
            drop((renewal, question, questions));
        };
        tokio::join!(ask(&site), meanwhile);
    };
    let (renewed, ()) = tokio::join!(renewal, rest);
    assert_eq!(renewed.error(), "invalid_grant");
    assert_eq!(told_of_people(&site).await, told);
    assert_eq!(groups(&site, &first).await, json!(["epetech/pay"]));
}

#[tokio::test]
async fn one_persons_trouble_keeps_nobody_else_from_being_asked_for() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    // As many as are asked for in more than one part at a look.
    let people: Vec<_> = (0..33).map(|number| format!("person-{number}")).collect();
    for person in &people {
        let says = json!({ "sub": person, "groups": ["web"] });
        let browser = Browser::new(&site);
        corp.log_in(&site, &browser, person, says).await;
        // Whoever comes first is asked for first.
        site.advance(1);
    }
    site.advance(RECHECK);
    let trouble = json!({ "error": "server_error" });
    corp.says(&people[0], &trouble);
    let before = corp.asked();
    ask(&site).await;
    assert_eq!(corp.asked() - before, 5);
    // Where nobody is answered for, it is the provider's own.
    for person in &people {
        corp.says(person, &trouble);
    }
    let before = corp.asked();
    ask(&site).await;
    assert_eq!(corp.asked() - before, 4);
}
