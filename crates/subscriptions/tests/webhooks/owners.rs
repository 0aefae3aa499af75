//! Whose a subscription is: the team's that it was made for, whoever made it, and nobody else's.

use std::collections::BTreeMap;

use kernel::{Caller, Change, ErrorKind};
use serde_json::{Value, json};
use subscriptions::api::NewSubscription;
use testkit::eventually;

use crate::{
    receiver::{Answer, Receiver},
    support::{SOON, happen, happen_all, platform},
};

testkit::on_both!(
    who_made_it_is_shown_and_stays_whoever_changes_it,
    nothing_is_sent_of_a_team_that_is_no_customer_or_of_another_with_its_name,
    what_waits_for_a_receiver_is_not_sent_when_the_team_has_gone,
    a_team_that_is_no_customer_subscribes_to_nothing,
    one_that_a_former_team_has_left_is_not_called_unchanged,
);

const PATH: &str = "/v1/teams/pay/subscriptions/hook";

async fn who_made_it_is_shown_and_stays_whoever_changes_it() {
    let (platform, _directory) = platform().await;
    let url = "http://127.0.0.1:1/";
    platform.subscribe("hook", &["thing.*"], url).await;
    let body = json!({ "types": ["thing.made"], "url": url });
    assert_eq!(platform.ask("admin", "PUT", PATH, body).await.0, 200);
    let (_, list) = platform
        .ask("pay", "GET", "/v1/teams/pay/subscriptions", Value::Null)
        .await;
    for shown in [&platform.show("hook").await, &list["items"][0]] {
        assert_eq!(shown["spec"]["createdBy"], "local:pay");
        assert_eq!(shown["spec"]["types"], json!(["thing.made"]));
    }
    platform.stop().await;
}

async fn nothing_is_sent_of_a_team_that_is_no_customer_or_of_another_with_its_name() {
    let (platform, _directory) = platform().await;
    let (theirs, all) = (Receiver::good().await, Receiver::good().await);
    platform
        .subscribe("hook", &["thing.*"], &theirs.url())
        .await;
    let everything = json!({ "types": ["thing.*"], "url": all.url() });
    let path = "/v1/platforms/subscriptions/all";
    assert_eq!(platform.ask("admin", "PUT", path, everything).await.0, 201);
    happen(&platform.store, "pay", "thing.made", "0").await;
    theirs.has_taken(1).await;

    platform.teams.offboard("pay");
    happen(&platform.store, "pay", "thing.made", "1").await;
    all.has_taken(2).await;
    platform.teams.onboard("pay");
    happen(&platform.store, "pay", "thing.made", "2").await;
    all.has_taken(3).await;
    let anew = json!({ "types": ["thing.*"], "url": theirs.url() });
    let (status, answer) = platform.ask("pay", "PUT", PATH, anew.clone()).await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(
        platform.ask("pay", "DELETE", PATH, Value::Null).await.0,
        204
    );
    assert_eq!(platform.ask("pay", "PUT", PATH, anew).await.0, 201);
    happen(&platform.store, "pay", "thing.made", "3").await;
    assert_eq!(theirs.has_taken(2).await, ["0", "3"]);
    platform.stop().await;
}

async fn what_waits_for_a_receiver_is_not_sent_when_the_team_has_gone() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::new(&[Answer::Status(500)]).await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    for name in ["0", "1"] {
        happen(&platform.store, "pay", "thing.made", name).await;
    }
    let letters = eventually("both are dead letters", SOON, async || {
        Some(platform.letters("hook").await).filter(|letters| letters.len() == 2)
    })
    .await;
    platform.teams.offboard("pay");
    receiver.answers_with(&[Answer::Status(204)]);
    // More than a cursor may lag behind what is passed over.
    let names: Vec<String> = (2..2000).map(|name| name.to_string()).collect();
    happen_all(&platform.store, "pay", "thing.made", &names).await;
    let id = letters[0]["metadata"]["name"].as_str().unwrap();
    let replay = format!("{PATH}/dead-letters/{id}/replay");
    let (status, answer) = platform.ask("admin", "POST", &replay, Value::Null).await;
    assert_eq!(status, 403, "{answer}");
    let begun = platform.store.head().await.unwrap() - 1000;
    eventually("the rest is passed over", SOON, async || {
        let cursor = platform.show("hook").await["status"]["cursor"].as_i64();
        (cursor >= Some(begun)).then_some(())
    })
    .await;
    assert!(receiver.taken().is_empty());
    platform.stop().await;
}

async fn a_team_that_is_no_customer_subscribes_to_nothing() {
    let (platform, _directory) = platform().await;
    let body = json!({ "types": ["*"], "url": "http://127.0.0.1:1/" });
    let path = "/v1/teams/nobody/subscriptions/hook";
    let (status, answer) = platform.ask("admin", "PUT", path, body).await;
    assert_eq!(status, 404, "{answer}");
    assert!(
        answer["detail"].as_str().unwrap().contains("team `nobody`"),
        "{answer}"
    );
    platform.stop().await;
}

async fn one_that_a_former_team_has_left_is_not_called_unchanged() {
    let (platform, _directory) = platform().await;
    let url = "http://127.0.0.1:1/";
    platform.subscribe("hook", &["thing.*"], url).await;
    let same = json!({ "types": ["thing.*"], "url": url });
    let same: NewSubscription = serde_json::from_value(same).unwrap();
    let apply = async || {
        let (mut beside, mut change) = (BTreeMap::new(), Change::new());
        let names = ("pay", "hook");
        let caller = Caller::local_admin();
        platform
            .service
            .subscription_apply(&caller, names, &same, &mut beside, &mut change)
            .await
    };
    assert_eq!(apply().await.unwrap(), None);
    platform.teams.offboard("pay");
    platform.teams.onboard("pay");
    let refused = apply().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused:?}");
    assert!(refused.message.contains("former team `pay`"), "{refused:?}");
    platform.stop().await;
}
