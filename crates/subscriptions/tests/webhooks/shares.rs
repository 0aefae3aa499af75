//! What one team has takes nothing from another.

use std::time::Duration;

use kernel::{Backoff, Cause, Change, Key, NewEvent};
use serde_json::{Value, json};
use testkit::eventually;
use uuid::Uuid;

use crate::{
    receiver::{Answer, Receiver},
    support::{Replica, SOON, happen, settings, store},
};

testkit::on_both!(
    a_team_has_so_many_subscriptions_and_no_more,
    dead_receivers_of_one_team_hold_up_no_other_team,
    an_event_that_is_too_large_is_a_dead_letter_at_once,
    how_it_goes_is_noted_of_each_of_many_that_fail,
);

/// Longer than any test waits.
const LONG: Duration = Duration::from_mins(10);

async fn a_team_has_so_many_subscriptions_and_no_more() {
    let (store, _directory) = store().await;
    let mut settings = settings();
    settings.per_team = 2;
    let platform = Replica::new(store, settings);
    let body = json!({ "types": ["*"], "url": "http://127.0.0.1:1/" });
    let put = async |who: &str, of: &str, name: &str| {
        let path = format!("/v1/{of}/subscriptions/{name}");
        platform.ask(who, "PUT", &path, body.clone()).await
    };
    for name in ["a", "b"] {
        assert_eq!(put("pay", "teams/pay", name).await.0, 201);
    }
    let (status, answer) = put("pay", "teams/pay", "c").await;
    assert_eq!(status, 409, "{answer}");
    let detail = answer["detail"].as_str().unwrap();
    assert_eq!(
        detail,
        "team `pay` has 2 subscriptions, and may have no more"
    );
    assert!(
        answer["remedy"]
            .as_str()
            .unwrap()
            .contains("--team-subscriptions")
    );
    // One that is there is changed, and others have room of their own.
    assert_eq!(put("pay", "teams/pay", "b").await.0, 200);
    assert_eq!(put("shop", "teams/shop", "c").await.0, 201);
    for name in ["a", "b", "c"] {
        assert_eq!(put("admin", "platforms", name).await.0, 201);
    }
    let path = "/v1/teams/pay/subscriptions/a";
    assert_eq!(
        platform.ask("pay", "DELETE", path, Value::Null).await.0,
        204
    );
    assert_eq!(put("pay", "teams/pay", "c").await.0, 201);
}

async fn dead_receivers_of_one_team_hold_up_no_other_team() {
    let (store, _directory) = store().await;
    let mut settings = settings();
    settings.concurrency = 4;
    settings.patience = LONG;
    let platform = Replica::new(store, settings).deliver();
    let (dead, good) = (
        Receiver::new(&[Answer::Silence]).await,
        Receiver::good().await,
    );
    for number in 0..10 {
        platform
            .subscribe(&format!("dead-{number}"), &["thing.*"], &dead.url())
            .await;
    }
    happen(&platform.store, "pay", "thing.made", "0").await;
    eventually("they wait for what is dead", SOON, async || {
        (dead.received().len() >= 2).then_some(())
    })
    .await;
    let path = "/v1/teams/shop/subscriptions/good";
    let body = json!({ "types": ["thing.*"], "url": good.url() });
    assert_eq!(platform.ask("shop", "PUT", path, body).await.0, 201);
    for name in ["1", "2", "3"] {
        happen(&platform.store, "shop", "thing.made", name).await;
    }
    assert_eq!(good.has_taken(3).await, ["1", "2", "3"]);
    assert_eq!(dead.received().len(), 2);
    platform.stop().await;
}

async fn an_event_that_is_too_large_is_a_dead_letter_at_once() {
    let (store, _directory) = store().await;
    let mut settings = settings();
    settings.backoff = Backoff::new(LONG, LONG);
    let platform = Replica::new(store, settings).deliver();
    let receiver = Receiver::good().await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    let mut change = Change::new();
    change.event(NewEvent {
        kind: "dev.towpath.thing.made".into(),
        subject: Key {
            kind: "Thing".into(),
            scope: "env".into(),
            name: "large".into(),
        },
        team: "pay".into(),
        cause: Cause {
            actor: "local:ada".into(),
            ..Cause::system("test", Uuid::now_v7())
        },
        outcome: None,
        data: json!({ "name": "x".repeat(513 * 1024) }),
    });
    platform.store.commit(change).await.unwrap();
    happen(&platform.store, "pay", "thing.made", "next").await;
    assert_eq!(receiver.has_taken(1).await, ["next"]);
    let letter = &platform.letters("hook").await[0];
    assert_eq!(
        letter["status"]["last"]["reason"],
        "the event is larger than 524288 bytes: read it by its place from the log"
    );
    assert_eq!(letter["spec"]["subject"], "Thing/env/large");
    platform.stop().await;
}

/// More than are noted in one go, and each has something new every time.
async fn how_it_goes_is_noted_of_each_of_many_that_fail() {
    const MANY: usize = 150;
    let (store, _directory) = store().await;
    let mut settings = settings();
    settings.per_team = MANY;
    // None ever becomes a dead letter, and is quiet then.
    settings.attempts = u32::MAX;
    // Each fails between two rounds, in which a hundred have their turn.
    settings.backoff = Backoff::new(Duration::from_millis(300), Duration::from_millis(500));
    settings.note_every = Duration::from_secs(1);
    let platform = Replica::new(store, settings).deliver();
    let dead = Receiver::new(&[Answer::Status(500)]).await;
    for number in 0..MANY {
        let name = format!("dead-{number:03}");
        platform.subscribe(&name, &["thing.*"], &dead.url()).await;
    }
    happen(&platform.store, "pay", "thing.made", "0").await;
    let path = "/v1/teams/pay/subscriptions?limit=1000";
    let failures = async || {
        let (status, answer) = platform.ask("pay", "GET", path, Value::Null).await;
        assert_eq!(status, 200, "{answer}");
        let items = answer["items"].as_array().unwrap().clone();
        let failures = |item: &Value| item["status"]["failures"].as_u64().unwrap_or_default();
        items.iter().map(failures).collect::<Vec<_>>()
    };
    let first = eventually("all are known to fail", SOON, async || {
        let all = failures().await;
        (all.len() == MANY && all.iter().all(|count| *count > 0)).then_some(all)
    })
    .await;
    eventually("all are noted again", SOON, async || {
        let now = failures().await;
        let grew = now.iter().zip(&first).all(|(now, before)| now > before);
        grew.then_some(())
    })
    .await;
    platform.stop().await;
}
