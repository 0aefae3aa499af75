//! Whoever was taken out of a group at their provider, and is back a moment later: they have their rights at once, and
//! nobody else does.

use identity::Clock;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    openid::OpenId,
    support::{Browser, Site, settings, text},
    upstream::downstream,
};

testkit::on_both!(
    whoever_logs_in_anew_a_moment_later_has_their_rights,
    whoever_renews_a_moment_later_has_their_rights_by_their_older_tokens_too,
    whoever_is_asked_for_a_moment_later_has_their_rights_though_they_do_nothing,
    what_was_said_before_brings_nobody_back,
);

const RECHECK: u64 = 600;
/// When a login is due to be asked for: a tenth before that.
const DUE: u64 = 540;

fn ada(groups: &[&str]) -> Value {
    json!({ "sub": "ada", "groups": groups })
}

/// Another replica, whose clock is so many seconds away.
pub(crate) async fn replica(site: &Site, seconds: i64) -> Site {
    let mut settings = settings();
    settings.allow_private_upstreams = true;
    let now = site.clock.now() + jiff::SignedDuration::from_secs(seconds);
    Site::on(site.store.clone(), settings, Clock::manual(now)).await
}

async fn ask(site: &Site) {
    let stop = CancellationToken::new();
    site.identity.people_ask(None, &stop).await.unwrap();
}

async fn groups(site: &Site, tokens: &Value) -> Value {
    let who = site.whoami(text(tokens, "access_token")).await.ok();
    who.json()["groups"].clone()
}

pub(crate) async fn renewed(site: &Site, tokens: &Value) -> Value {
    let renewed = site.refresh(text(tokens, "refresh_token")).await;
    renewed.ok().json()
}

/// Somebody who is in two groups and logged in, and is taken out of `payments` by the recheck.
async fn taken_out(site: &Site, corp: &OpenId) -> Value {
    let browser = Browser::new(site);
    let says = ada(&["payments", "web"]);
    let tokens = corp.log_in(site, &browser, "one", says).await;
    corp.says("one", &ada(&["web"]));
    site.advance(RECHECK);
    ask(site).await;
    assert_eq!(groups(site, &tokens).await, json!(["web"]));
    tokens
}

async fn whoever_logs_in_anew_a_moment_later_has_their_rights() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let before = taken_out(&site, &corp).await;
    site.advance(5);
    let replicas = [replica(&site, -25).await, replica(&site, 25).await];
    let all = [&site, &replicas[0], &replicas[1]];
    for (at, name) in all.into_iter().zip(["two", "three", "four"]) {
        let browser = Browser::new(at);
        let says = ada(&["payments", "web"]);
        let after = corp.log_in(at, &browser, name, says).await;
        for site in all {
            assert_eq!(groups(site, &after).await, json!(["payments", "web"]));
            // Of the other login nothing else is known yet.
            assert_eq!(groups(site, &before).await, json!(["web"]));
        }
    }
}

async fn whoever_renews_a_moment_later_has_their_rights_by_their_older_tokens_too() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let before = taken_out(&site, &corp).await;
    site.advance(5);
    let other = replica(&site, -50).await;
    corp.says("one", &ada(&["payments", "web"]));
    let after = renewed(&other, &before).await;
    for site in [&site, &other] {
        for tokens in [&before, &after] {
            assert_eq!(groups(site, tokens).await, json!(["payments", "web"]));
        }
    }
    // Out again, and none of them counts.
    corp.says("one", &ada(&["web"]));
    let last = renewed(&site, &after).await;
    for site in [&site, &other] {
        for tokens in [&before, &after, &last] {
            assert_eq!(groups(site, tokens).await, json!(["web"]));
        }
    }
}

async fn whoever_is_asked_for_a_moment_later_has_their_rights_though_they_do_nothing() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let replica = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    let both = ada(&["payments", "web"]);
    let (here, there) = (Browser::new(&site), Browser::new(&site));
    let one = corp.log_in(&site, &here, "one", both.clone()).await;
    site.advance(5);
    let two = corp.log_in(&site, &there, "two", both.clone()).await;
    corp.says("one", &ada(&["web"]));
    site.advance(DUE - 5);
    ask(&site).await;
    for site in [&site, &replica] {
        for tokens in [&one, &two] {
            assert_eq!(groups(site, tokens).await, json!(["web"]));
        }
    }
    // In again before the second login was asked for: of that the groups are as ever.
    corp.says("one", &both);
    site.advance(5);
    ask(&site).await;
    for site in [&site, &replica] {
        assert_eq!(groups(site, &one).await, json!(["web"]));
        assert_eq!(groups(site, &two).await, json!(["payments", "web"]));
    }
    site.advance(DUE);
    ask(&site).await;
    let late = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    for site in [&site, &replica, &late] {
        for tokens in [&one, &two] {
            assert_eq!(groups(site, tokens).await, json!(["payments", "web"]));
        }
    }
}

async fn what_was_said_before_brings_nobody_back() {
    let site = downstream().await;
    let corp = OpenId::start(&site).await;
    let other = Browser::new(&site);
    let says = ada(&["payments", "web"]);
    let two = corp.log_in(&site, &other, "two", says).await;
    site.advance(RECHECK);
    let one = taken_out_by_renewal(&site, &corp).await;
    site.advance(5);
    // The second login was not asked for since, and goes on without its provider.
    let ahead = replica(&site, 50).await;
    corp.down.set(true);
    let after = renewed(&ahead, &two).await;
    // Nor is it newer by being signed when no clock could have been that far ahead.
    for at in [&site, &ahead] {
        at.advance(120);
    }
    let last = renewed(&site, &after).await;
    let late = Site::on(site.store.clone(), settings(), site.clock.clone()).await;
    for site in [&site, &ahead, &late] {
        for tokens in [&one, &two, &after, &last] {
            assert_eq!(groups(site, tokens).await, json!(["web"]));
        }
    }
}

/// The same without a recheck, by a login of their own that is renewed.
async fn taken_out_by_renewal(site: &Site, corp: &OpenId) -> Value {
    let browser = Browser::new(site);
    let says = ada(&["payments", "web"]);
    let tokens = corp.log_in(site, &browser, "one", says).await;
    corp.says("one", &ada(&["web"]));
    renewed(site, &tokens).await;
    tokens
}
