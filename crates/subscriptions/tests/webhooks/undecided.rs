//! Events of which policy cannot say who may see them: they hold up whom they are about, and nobody else.

use std::time::Duration;

use kernel::Backoff;
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    receiver::Receiver,
    support::{Replica, SOON, happen, platform, settings, store},
};

testkit::on_both!(
    what_cannot_be_decided_holds_up_those_alone_whom_it_is_about,
    what_is_never_decided_becomes_a_dead_letter_that_can_be_replayed,
    what_is_decided_at_the_third_try_is_sent_in_its_order,
    what_was_missed_and_cannot_be_decided_holds_up_nobody_else_either,
    a_doubt_that_is_over_is_no_failure,
    a_team_asks_once_for_all_its_subscriptions_and_holds_up_nobody,
);

/// For ever.
const EVER: usize = usize::MAX;

async fn subscribe(platform: &Replica, path: &str, receiver: &Receiver) {
    let body = json!({ "types": ["thing.*"], "url": receiver.url() });
    let (status, answer) = platform.ask("admin", "PUT", path, body).await;
    assert_eq!(status, 201, "{answer}");
}

/// One that asks policy again after so long that no test sees it.
async fn patient() -> (Replica, testkit::Database) {
    let (store, database) = store().await;
    let hour = Duration::from_hours(1);
    let settings = subscriptions::Settings {
        backoff: Backoff::new(hour, hour),
        ..settings()
    };
    (Replica::new(store, settings), database)
}

async fn what_cannot_be_decided_holds_up_those_alone_whom_it_is_about() {
    let (platform, _directory) = patient().await;
    let platform = platform.deliver();
    let [pay, shop, all] = [
        Receiver::good().await,
        Receiver::good().await,
        Receiver::good().await,
    ];
    subscribe(&platform, "/v1/teams/pay/subscriptions/hook", &pay).await;
    subscribe(&platform, "/v1/teams/shop/subscriptions/hook", &shop).await;
    subscribe(&platform, "/v1/platforms/subscriptions/all", &all).await;
    platform.doubt("odd", EVER);
    for (team, name) in [("pay", "odd"), ("pay", "1"), ("shop", "2")] {
        happen(&platform.store, team, "thing.made", name).await;
    }
    assert_eq!(shop.has_taken(1).await, ["2"]);
    assert_eq!(all.has_taken(3).await, ["odd", "1", "2"]);
    let status = eventually("it is seen that one is held", SOON, async || {
        let status = platform.show("hook").await["status"].clone();
        (status["failures"] == 1).then_some(status)
    })
    .await;
    let reason = status["lastFailure"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("policy could not decide"), "{reason}");
    assert!(pay.taken().is_empty());
    platform.stop().await;
}

async fn what_is_never_decided_becomes_a_dead_letter_that_can_be_replayed() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::good().await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    platform.doubt("odd", EVER);
    happen(&platform.store, "pay", "thing.made", "odd").await;
    happen(&platform.store, "pay", "thing.made", "next").await;
    assert_eq!(receiver.has_taken(1).await, ["next"]);
    let letters = platform.letters("hook").await;
    let [letter] = letters.as_slice() else {
        panic!("{letters:?}");
    };
    assert_eq!(letter["status"]["attempts"], 3);
    let reason = letter["status"]["last"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("policy could not decide"), "{reason}");
    // What it is about may be what the rules hide.
    assert_eq!(letter["spec"]["type"], "dev.towpath.thing.made");
    assert_eq!(letter["spec"]["subject"], "");

    let id = letter["metadata"]["name"].as_str().unwrap();
    let replay = format!("/v1/teams/pay/subscriptions/hook/dead-letters/{id}/replay");
    assert_eq!(
        platform.ask("pay", "POST", &replay, Value::Null).await.0,
        503
    );
    platform.doubt("odd", 0);
    let (status, answer) = platform.ask("pay", "POST", &replay, Value::Null).await;
    assert_eq!(status, 204, "{answer}");
    assert_eq!(receiver.taken(), ["next", "odd"]);
    assert!(platform.letters("hook").await.is_empty());
    platform.stop().await;
}

async fn what_is_decided_at_the_third_try_is_sent_in_its_order() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::good().await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    platform.doubt("odd", 2);
    for name in ["0", "odd", "1"] {
        happen(&platform.store, "pay", "thing.made", name).await;
    }
    assert_eq!(receiver.has_taken(3).await, ["0", "odd", "1"]);
    assert!(platform.letters("hook").await.is_empty());
    platform.stop().await;
}

async fn what_was_missed_and_cannot_be_decided_holds_up_nobody_else_either() {
    let (platform, _directory) = patient().await;
    let (pay, shop) = (Receiver::good().await, Receiver::good().await);
    platform.doubt("odd", EVER);
    for (team, name) in [("pay", "odd"), ("shop", "1")] {
        happen(&platform.store, team, "thing.made", name).await;
    }
    let platform = platform.deliver();
    // Enabled with all that has happened to be read again, they are behind.
    for (team, receiver) in [("pay", &pay), ("shop", &shop)] {
        let path = format!("/v1/teams/{team}/subscriptions/hook");
        let body = json!({ "types": ["thing.*"], "url": receiver.url(), "after": 0 });
        assert_eq!(platform.ask("admin", "PUT", &path, body).await.0, 201);
    }
    assert_eq!(shop.has_taken(1).await, ["1"]);
    happen(&platform.store, "shop", "thing.made", "2").await;
    assert_eq!(shop.has_taken(2).await, ["1", "2"]);
    assert!(pay.taken().is_empty());
    platform.stop().await;
}

async fn a_doubt_that_is_over_is_no_failure() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::good().await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    platform.doubt("odd", EVER);
    platform.hold(true);
    happen(&platform.store, "pay", "thing.made", "odd").await;
    let failing = async |failures: usize| {
        eventually("it shows whether it fails", SOON, || async {
            let status = platform.show("hook").await["status"].clone();
            (status["failures"] == failures).then_some(status)
        })
        .await
    };
    assert!(failing(1).await["lastFailure"].is_object());
    platform.hide("odd");
    platform.doubt("odd", 0);
    platform.hold(false);
    // They may not see it. Of their receiver that says nothing.
    let status = failing(0).await;
    assert!(status["lastFailure"].is_null(), "{status}");
    assert!(receiver.taken().is_empty());
    assert!(platform.letters("hook").await.is_empty());
    platform.stop().await;
}

async fn a_team_asks_once_for_all_its_subscriptions_and_holds_up_nobody() {
    const HOOKS: [&str; 4] = ["a", "b", "c", "d"];
    let (store, _directory) = store().await;
    let settings = subscriptions::Settings {
        attempts: 2,
        ..settings()
    };
    let platform = Replica::new(store, settings).deliver();
    let (pay, shop) = (Receiver::good().await, Receiver::good().await);
    for hook in HOOKS {
        platform.subscribe(hook, &["thing.*"], &pay.url()).await;
    }
    subscribe(&platform, "/v1/teams/shop/subscriptions/hook", &shop).await;
    platform.doubt("odd", EVER);
    platform.hold(true);
    happen(&platform.store, "pay", "thing.made", "odd").await;
    // All wait for the one that asks again, and the platform goes on.
    eventually("policy is asked again", SOON, || async {
        (platform.doubted() == 1).then_some(())
    })
    .await;
    for hook in HOOKS {
        eventually("it is seen that it is held", SOON, || async {
            (platform.show(hook).await["status"]["failures"] == 1).then_some(())
        })
        .await;
    }
    happen(&platform.store, "shop", "thing.made", "1").await;
    assert_eq!(shop.has_taken(1).await, ["1"]);
    platform.hold(false);
    for hook in HOOKS {
        eventually("it is a dead letter", SOON, || async {
            (platform.letters(hook).await.len() == 1).then_some(())
        })
        .await;
    }
    assert_eq!(platform.doubted(), 1);
    assert!(pay.taken().is_empty());
    platform.stop().await;
}
