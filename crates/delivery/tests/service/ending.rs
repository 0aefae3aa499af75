//! What deploys to an environment ends with it.

use crate::room::{LONG, Room};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_deploys_to_an_environment_ends_before_another_can_have_its_name() {
    let room = Room::open().await;
    room.deploy_for("payments", "pr-1", "10m").await.unwrap();
    *room.accounts.holds_on.lock().unwrap() = true;
    room.end("pr-1").await;
    // It stays, and says why, while something may deploy to the next one.
    testkit::eventually("it says why it stays", LONG, || async {
        let remaining = room.environment("pr-1").await?.status.remaining;
        (remaining == ["what deploys to it: identity is away"]).then_some(())
    })
    .await;
    assert!(room.accounts.ended.lock().unwrap().is_empty());
    *room.accounts.holds_on.lock().unwrap() = false;
    testkit::eventually("it goes", LONG, || async {
        room.environment("pr-1").await.is_none().then_some(())
    })
    .await;
    assert_eq!(*room.accounts.ended.lock().unwrap(), ["payments/pr-1"]);
}

/// Another environment backs it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_deploys_to_a_namespace_does_not_end_with_what_backs_it() {
    let room = Room::open().await;
    let name = "payments-dev";
    room.deploy_for("payments", name, "10m").await.unwrap();
    room.namespace("payments", name).await;
    room.end(name).await;
    testkit::eventually("it goes", LONG, || async {
        room.environment(name).await.is_none().then_some(())
    })
    .await;
    assert!(room.accounts.ended.lock().unwrap().is_empty());
}
