//! Events arrive: those that are wanted, in order, signed.

use std::time::Duration;

use jiff::Timestamp;
use kernel::Clock;
use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    receiver::{Answer, Receiver},
    support::{Replica, SOON, happen, happen_all, log, platform, settings, store},
};

testkit::on_both!(
    events_arrive_in_order_signed_and_as_cloudevents,
    a_subscription_gets_what_it_names_and_its_team_may_see,
    one_that_does_not_answer_holds_up_nobody_and_misses_nothing,
    what_happens_while_it_is_paused_is_sent_afterwards,
    one_may_begin_with_what_has_happened_already,
    a_new_secret_and_the_one_before_it_both_verify,
    the_secret_before_a_new_one_signs_for_a_day_and_no_longer,
);

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

async fn events_arrive_in_order_signed_and_as_cloudevents() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::good().await;
    let url = receiver.url();
    let secret = platform.subscribe("hook", &["thing.*"], &url).await;
    happen_all(&platform.store, "pay", "thing.made", &names(20)).await;
    assert_eq!(receiver.has_taken(20).await, names(20));
    for received in receiver.received() {
        assert!(received.verified(&secret));
        let kind = &received.headers["content-type"];
        assert_eq!(kind, "application/cloudevents+json; charset=UTF-8");
        let event = received.event();
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], "dev.towpath.thing.made");
        assert_eq!(
            event["id"],
            received.headers["webhook-id"].to_str().unwrap()
        );
    }
    let last = receiver.received().last().unwrap().event();
    let status = eventually("the status follows", SOON, async || {
        let status = platform.show("hook").await["status"].clone();
        (status["cursor"].as_i64() >= last["seq"].as_i64()).then_some(status)
    })
    .await;
    assert_eq!(status["failures"], 0, "{status}");
    // Neither the secret nor the address is told to anybody else.
    let log = log(&platform.store).await;
    assert!(!log.contains(secret.expose_str().unwrap()) && !log.contains("canary"));
    assert!(platform.show("hook").await.get("secret").is_none());
    platform.stop().await;
}

async fn a_subscription_gets_what_it_names_and_its_team_may_see() {
    let (platform, _directory) = platform().await;
    let (exact, all, operators) = (
        Receiver::good().await,
        Receiver::good().await,
        Receiver::good().await,
    );
    let url = exact.url();
    let types = ["dev.towpath.thing.made", "other.*"];
    platform.subscribe("exact", &types, &url).await;
    platform.subscribe("all", &["*"], &all.url()).await;
    let body = json!({ "types": ["thing.*"], "url": operators.url() });
    let path = "/v1/platforms/subscriptions/operators";
    assert_eq!(platform.ask("admin", "PUT", path, body).await.0, 201);
    for (team, what, name) in [
        ("pay", "thing.made", "a"),
        ("shop", "thing.made", "not-ours"),
        ("pay", "thing.made-anew", "b"),
        ("", "thing.made", "the-platforms"),
        ("pay", "other.thing.gone", "c"),
        ("pay", "thing.made", "end"),
    ] {
        happen(&platform.store, team, what, name).await;
    }
    let last = |receiver: &Receiver| receiver.taken().last().cloned() == Some("end".into());
    eventually("all have it", SOON, async || {
        [&exact, &all, &operators]
            .into_iter()
            .all(last)
            .then_some(())
    })
    .await;
    assert_eq!(exact.taken(), ["a", "c", "end"]);
    let things = all.taken().into_iter().filter(|name| name != "?");
    assert_eq!(things.collect::<Vec<_>>(), ["a", "b", "c", "end"]);
    let theirs = ["a", "not-ours", "b", "the-platforms", "end"];
    assert_eq!(operators.taken(), theirs);
    platform.stop().await;
}

async fn one_that_does_not_answer_holds_up_nobody_and_misses_nothing() {
    let (platform, _directory) = platform().await;
    let (stuck, good) = (
        Receiver::new(&[Answer::Silence]).await,
        Receiver::good().await,
    );
    platform
        .subscribe("stuck", &["thing.*"], &stuck.url())
        .await;
    platform.subscribe("good", &["thing.*"], &good.url()).await;
    // Far more than what is kept for one that waits.
    for part in names(300).chunks(30) {
        happen_all(&platform.store, "pay", "thing.made", part).await;
    }
    assert_eq!(good.has_taken(300).await, names(300));
    assert!(stuck.taken().is_empty());
    stuck.answers_with(&[Answer::Status(204)]);
    assert_eq!(stuck.has_taken(300).await, names(300));
    happen(&platform.store, "pay", "thing.made", "and on").await;
    assert_eq!(stuck.has_taken(301).await[300], "and on");
    platform.stop().await;
}

async fn what_happens_while_it_is_paused_is_sent_afterwards() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::good().await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    happen(&platform.store, "pay", "thing.made", "0").await;
    receiver.has_taken(1).await;
    let path = "/v1/teams/pay/subscriptions/hook";
    let body =
        |enabled: bool| json!({ "types": ["thing.*"], "url": receiver.url(), "enabled": enabled });
    let (status, answer) = platform.ask("pay", "PUT", path, body(false)).await;
    assert_eq!((status, answer.get("secret")), (200, None));
    for name in ["1", "2"] {
        happen(&platform.store, "pay", "thing.made", name).await;
    }
    let watched = Receiver::good().await;
    platform
        .subscribe("other", &["thing.*"], &watched.url())
        .await;
    happen(&platform.store, "pay", "thing.made", "3").await;
    watched.has_taken(1).await;
    assert_eq!(receiver.taken(), ["0"]);
    platform.ask("pay", "PUT", path, body(true)).await;
    assert_eq!(receiver.has_taken(4).await, ["0", "1", "2", "3"]);
    platform.stop().await;
}

async fn one_may_begin_with_what_has_happened_already() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::good().await;
    happen_all(&platform.store, "pay", "thing.made", &names(5)).await;
    let body = json!({ "types": ["thing.*"], "url": receiver.url(), "after": 2 });
    let path = "/v1/teams/pay/subscriptions/hook";
    assert_eq!(platform.ask("pay", "PUT", path, body.clone()).await.0, 201);
    assert_eq!(receiver.has_taken(3).await, ["2", "3", "4"]);
    let mut elsewhere = body;
    elsewhere["after"] = json!(0);
    let (status, answer) = platform.ask("pay", "PUT", path, elsewhere).await;
    assert_eq!(status, 409, "{answer}");
    platform.stop().await;
}

async fn a_new_secret_and_the_one_before_it_both_verify() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::good().await;
    let first = platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    let path = "/v1/teams/pay/subscriptions/hook/secrets";
    let (status, drawn) = platform.ask("pay", "POST", path, Value::Null).await;
    assert_eq!(status, 201, "{drawn}");
    let second = kernel::Secret::from(drawn["secret"].as_str().unwrap());
    happen(&platform.store, "pay", "thing.made", "0").await;
    receiver.has_taken(1).await;
    let received = &receiver.received()[0];
    assert!(first != second && received.verified(&first) && received.verified(&second));
    // A third ends the first.
    let (_, drawn) = platform.ask("pay", "POST", path, Value::Null).await;
    let third = kernel::Secret::from(drawn["secret"].as_str().unwrap());
    happen(&platform.store, "pay", "thing.made", "1").await;
    receiver.has_taken(2).await;
    let received = &receiver.received()[1];
    assert!(received.verified(&third) && received.verified(&second));
    assert!(!received.verified(&first));
    platform.stop().await;
}

async fn the_secret_before_a_new_one_signs_for_a_day_and_no_longer() {
    let (day, second) = (Duration::from_hours(24), Duration::from_secs(1));
    let (store, _directory) = store().await;
    let clock = Clock::manual(Timestamp::now());
    let settings = subscriptions::Settings {
        clock: clock.clone(),
        ..settings()
    };
    let platform = Replica::new(store, settings).deliver();
    let receiver = Receiver::good().await;
    let former = platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    let path = "/v1/teams/pay/subscriptions/hook/secrets";
    let (status, drawn) = platform.ask("pay", "POST", path, Value::Null).await;
    assert_eq!(status, 201, "{drawn}");
    let present = kernel::Secret::from(drawn["secret"].as_str().unwrap());
    for (number, passed, still) in [
        (0_usize, day.saturating_sub(second), true),
        (1, second, false),
    ] {
        clock.advance(passed);
        let name = number.to_string();
        happen(&platform.store, "pay", "thing.made", &name).await;
        receiver.has_taken(number + 1).await;
        let received = &receiver.received()[number];
        assert!(received.is_signed_with(&present));
        assert_eq!(received.is_signed_with(&former), still, "{name}");
    }
    platform.stop().await;
}
