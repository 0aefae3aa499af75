//! Another replica goes on where one was killed.

use std::collections::BTreeSet;

use kernel::{Sealer, Store};
use serde_json::json;
use subscriptions::Settings;
use testkit::eventually;

use crate::{
    receiver::Receiver,
    support::{Replica, SOON, happen, happen_all, settings, store},
};

fn names(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| n.to_string()).collect()
}

/// Every event arrived, and each for the first time in order.
fn assert_all_in_order(receiver: &Receiver, count: usize) {
    let mut seen = BTreeSet::new();
    let first: Vec<String> = receiver
        .taken()
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .collect();
    assert_eq!(first, names(0, count));
}

testkit::on_both!(killed_in_the_middle_it_goes_on_and_loses_nothing);

async fn killed_in_the_middle_it_goes_on_and_loses_nothing() {
    let (store, _directory) = store().await;
    let receiver = Receiver::good().await;
    let mut replica = Replica::new(store.clone(), settings()).deliver_briefly();
    replica
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    let mut sent = 0;
    for round in 1..=4 {
        happen_all(&store, "pay", "thing.made", &names(sent, sent + 100)).await;
        sent += 100;
        receiver.has_taken(sent - 90).await;
        replica.kill();
        replica = Replica::new(store.clone(), settings()).deliver_briefly();
        assert!(receiver.taken().len() >= sent - 90, "round {round}");
    }
    happen(&store, "pay", "thing.made", &sent.to_string()).await;
    let last = sent.to_string();
    eventually("the last arrives", SOON, async || {
        receiver.taken().contains(&last).then_some(())
    })
    .await;
    assert_all_in_order(&receiver, sent + 1);
    replica.stop().await;
}

#[tokio::test]
async fn of_two_replicas_one_delivers_and_the_other_takes_over() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let sealer = Sealer::generate().unwrap();
    let open = async || Store::open(&database.url, sealer.clone()).await.unwrap();
    let (one, two) = (open().await, open().await);
    let receiver = Receiver::good().await;
    let first = Replica::new(one, settings()).deliver_briefly();
    first.subscribe("hook", &["thing.*"], &receiver.url()).await;
    happen_all(&first.store, "pay", "thing.made", &names(0, 50)).await;
    receiver.has_taken(50).await;
    let second = Replica::new(two, settings()).deliver_briefly();
    happen_all(&second.store, "pay", "thing.made", &names(50, 100)).await;
    receiver.has_taken(100).await;
    first.kill();
    happen_all(&second.store, "pay", "thing.made", &names(100, 150)).await;
    eventually("the other takes over", SOON, async || {
        receiver.taken().contains(&"149".to_owned()).then_some(())
    })
    .await;
    assert_all_in_order(&receiver, 150);
    second.stop().await;
}

#[tokio::test]
async fn two_replicas_give_a_team_no_more_than_it_may_have() {
    let (store, _directory) = store().await;
    let settings = Settings {
        per_team: 3,
        ..settings()
    };
    let replicas = [(); 2].map(|()| Replica::new(store.clone(), settings.clone()));
    let body = json!({ "types": ["thing.made"], "url": "http://127.0.0.1:1/" });
    // All are counted beside each other.
    let puts = (0..8).map(|number| {
        let path = format!("/v1/teams/pay/subscriptions/hook-{number}");
        let (replica, body) = (&replicas[number % 2], body.clone());
        async move { replica.ask("pay", "PUT", &path, body).await.0 }
    });
    let mut answers = futures::future::join_all(puts).await;
    answers.sort_unstable();
    let there = store.keys("Subscription", Some("pay")).await.unwrap();
    assert_eq!(there.len(), 3, "{answers:?}");
    assert_eq!(answers, [201, 201, 201, 409, 409, 409, 409, 409]);
    for replica in replicas {
        replica.stop().await;
    }
}
