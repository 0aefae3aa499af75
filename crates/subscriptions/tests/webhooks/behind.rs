//! After an outage: many have missed much, and each gets all of it.

use crate::{
    receiver::Receiver,
    support::{Replica, happen, happen_all, settings, store},
};

testkit::on_both!(
    all_who_are_far_behind_get_what_they_missed_in_order,
    one_that_begins_long_ago_gets_the_whole_log,
);

/// Far more than is handed out again to all at once.
const PASSED: usize = 6000;
/// More than is kept for one that waits.
const MISSED: usize = 150;

async fn all_who_are_far_behind_get_what_they_missed_in_order() {
    let (store, _directory) = store().await;
    let replica = Replica::new(store.clone(), settings());
    let mut receivers = Vec::new();
    for number in 0..8 {
        let receiver = Receiver::good().await;
        // Of a part of them the place in the log is another one.
        if number == 4 {
            happen_all(&store, "pay", "other.made", &names(100)).await;
        }
        replica
            .subscribe(&format!("s-{number}"), &["thing.*"], &receiver.url())
            .await;
        receivers.push(receiver);
    }
    let missed = names(MISSED);
    for part in missed.chunks(MISSED / 3) {
        happen_all(&store, "shop", "other.made", &names(PASSED / 6)).await;
        happen_all(&store, "pay", "other.made", &names(PASSED / 6)).await;
        happen_all(&store, "pay", "thing.made", part).await;
    }
    let replica = replica.deliver();
    for receiver in &receivers {
        assert_eq!(receiver.has_taken(MISSED).await, missed);
    }
    // From now on they hear with all the others.
    happen(&store, "pay", "thing.made", "and on").await;
    for receiver in &receivers {
        assert_eq!(receiver.has_taken(MISSED + 1).await[MISSED], "and on");
    }
    replica.stop().await;
}

async fn one_that_begins_long_ago_gets_the_whole_log() {
    let (store, _directory) = store().await;
    let replica = Replica::new(store.clone(), settings()).deliver();
    let (whole, newest) = (Receiver::good().await, Receiver::good().await);
    replica
        .subscribe("newest", &["thing.*"], &newest.url())
        .await;
    for part in names(PASSED).chunks(1000) {
        happen_all(&store, "shop", "other.made", part).await;
    }
    happen_all(&store, "pay", "thing.made", &names(MISSED)).await;
    newest.has_taken(MISSED).await;
    for team in ["teams/pay", "platforms"] {
        let body = serde_json::json!({
            "types": ["thing.*"], "url": whole.url(), "after": 0, "enabled": team == "teams/pay",
        });
        let path = format!("/v1/{team}/subscriptions/whole");
        assert_eq!(replica.ask("admin", "PUT", &path, body).await.0, 201);
    }
    assert_eq!(whole.has_taken(MISSED).await, names(MISSED));
    let body = serde_json::json!({ "types": ["thing.*"], "url": whole.url() });
    let path = "/v1/platforms/subscriptions/whole";
    assert_eq!(replica.ask("admin", "PUT", path, body).await.0, 200);
    let twice = [names(MISSED), names(MISSED)].concat();
    assert_eq!(whole.has_taken(2 * MISSED).await, twice);
    replica.stop().await;
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|name| name.to_string()).collect()
}
