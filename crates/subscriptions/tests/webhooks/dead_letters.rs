//! What is not taken: tried again, kept, seen, sent again.

use serde_json::Value;
use testkit::eventually;

use crate::{
    receiver::{Answer, Receiver},
    support::{Replica, SOON, happen, happen_all, log, platform, settings, store},
};

testkit::on_both!(
    what_fails_for_a_moment_is_tried_again_with_the_same_id,
    what_is_never_taken_becomes_a_dead_letter_that_can_be_replayed,
    a_replay_that_is_not_taken_says_so_and_leaves_the_letter,
    one_with_too_many_dead_letters_waits_and_loses_nothing,
    two_that_want_everything_and_are_dead_do_not_feed_each_other,
    what_is_removed_leaves_nothing,
);

const BAD: Answer = Answer::Status(500);
const GOOD: Answer = Answer::Status(204);

async fn letters(platform: &Replica, count: usize) -> Vec<Value> {
    eventually("there are dead letters", SOON, async || {
        Some(platform.letters("hook").await).filter(|letters| letters.len() >= count)
    })
    .await
}

async fn what_fails_for_a_moment_is_tried_again_with_the_same_id() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::new(&[BAD, Answer::Status(302), GOOD]).await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    happen(&platform.store, "pay", "thing.made", "0").await;
    happen(&platform.store, "pay", "thing.made", "1").await;
    assert_eq!(receiver.has_taken(2).await, ["0", "1"]);
    let received = receiver.received();
    let ids: Vec<_> = received
        .iter()
        .map(|one| &one.headers["webhook-id"])
        .collect();
    assert_eq!(received.len(), 4);
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3]);
    assert!(platform.letters("hook").await.is_empty());
    platform.stop().await;
}

async fn what_is_never_taken_becomes_a_dead_letter_that_can_be_replayed() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::new(&[BAD, BAD, BAD, GOOD]).await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    happen(&platform.store, "pay", "thing.made", "dead").await;
    happen(&platform.store, "pay", "thing.made", "next").await;
    assert_eq!(receiver.has_taken(1).await, ["next"]);
    let letter = &letters(&platform, 1).await[0];
    assert_eq!(letter["status"]["attempts"], 3);
    assert_eq!(letter["spec"]["type"], "dev.towpath.thing.made");
    assert_eq!(
        letter["status"]["last"]["reason"],
        "the receiver answered 500"
    );
    assert_eq!(platform.show("hook").await["status"]["deadLetters"], 1);
    assert!(
        log(&platform.store)
            .await
            .contains("dev.towpath.subscription.dead-lettered")
    );

    let id = letter["metadata"]["name"].as_str().unwrap();
    let path = format!("/v1/teams/pay/subscriptions/hook/dead-letters/{id}");
    let replay = format!("{path}/replay");
    for (who, expected) in [("shop", 403), ("pay", 204), ("pay", 404)] {
        let (status, answer) = platform.ask(who, "POST", &replay, Value::Null).await;
        assert_eq!(status, expected, "{answer}");
    }
    assert_eq!(receiver.taken(), ["next", "dead"]);
    assert!(platform.letters("hook").await.is_empty());
    platform.stop().await;
}

async fn a_replay_that_is_not_taken_says_so_and_leaves_the_letter() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::new(&[BAD]).await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    happen(&platform.store, "pay", "thing.made", "dead").await;
    let letter = &letters(&platform, 1).await[0];
    let id = letter["metadata"]["name"].as_str().unwrap();
    let path = format!("/v1/teams/pay/subscriptions/hook/dead-letters/{id}");
    receiver.answers_with(&[Answer::Status(418)]);
    let replay = format!("{path}/replay");
    let (status, answer) = platform.ask("pay", "POST", &replay, Value::Null).await;
    assert_eq!(status, 503, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("answered 418"));
    let letter = &platform.letters("hook").await[0];
    assert_eq!(letter["status"]["attempts"], 4);
    let (status, _) = platform.ask("pay", "DELETE", &path, Value::Null).await;
    assert_eq!((status, platform.letters("hook").await.len()), (204, 0));
    platform.stop().await;
}

async fn one_with_too_many_dead_letters_waits_and_loses_nothing() {
    let (store, _directory) = store().await;
    let mut settings = settings();
    settings.dead_letters = 2;
    let platform = Replica::new(store, settings).deliver();
    let receiver = Receiver::new(&[BAD]).await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    let names: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    happen_all(&platform.store, "pay", "thing.made", &names).await;
    letters(&platform, 2).await;
    eventually("the third is tried on and on", SOON, async || {
        (receiver.received().len() > 12).then_some(())
    })
    .await;
    assert_eq!(platform.letters("hook").await.len(), 2);
    receiver.answers_with(&[GOOD]);
    assert_eq!(receiver.has_taken(3).await, ["2", "3", "4"]);
    platform.stop().await;
}

async fn two_that_want_everything_and_are_dead_do_not_feed_each_other() {
    let (platform, _directory) = platform().await;
    let receivers = [Receiver::new(&[BAD]).await, Receiver::new(&[BAD]).await];
    for (name, receiver) in ["one", "two"].into_iter().zip(&receivers) {
        platform.subscribe(name, &["*"], &receiver.url()).await;
    }
    happen(&platform.store, "pay", "thing.made", "0").await;
    let both = async || platform.letters("one").await.len() + platform.letters("two").await.len();
    eventually("both give up", SOON, async || {
        (both().await == 2).then_some(())
    })
    .await;
    // Whatever came of that would come before this.
    for receiver in &receivers {
        receiver.answers_with(&[GOOD]);
    }
    happen(&platform.store, "pay", "thing.made", "end").await;
    for receiver in &receivers {
        assert_eq!(receiver.has_taken(1).await, ["end"]);
    }
    assert_eq!(both().await, 2);
    platform.stop().await;
}

async fn what_is_removed_leaves_nothing() {
    let (platform, _directory) = platform().await;
    let receiver = Receiver::new(&[BAD]).await;
    platform
        .subscribe("hook", &["thing.*"], &receiver.url())
        .await;
    happen(&platform.store, "pay", "thing.made", "0").await;
    letters(&platform, 1).await;
    let path = "/v1/teams/pay/subscriptions/hook";
    assert_eq!(
        platform.ask("pay", "DELETE", path, Value::Null).await.0,
        204
    );
    eventually("the cursor has gone", SOON, async || {
        let cursors = platform.store.cursors("subscription/").await.unwrap();
        cursors.is_empty().then_some(())
    })
    .await;
    assert!(
        platform
            .store
            .keys("DeadLetter", None)
            .await
            .unwrap()
            .is_empty()
    );
    platform.stop().await;
}
