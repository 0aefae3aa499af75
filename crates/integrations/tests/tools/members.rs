//! Who is in a team, where several sources say so.

use std::collections::BTreeSet;

use serde_json::json;
use teams::model::Step;
use testkit::eventually;

use crate::{
    holding::integration,
    jira::{jira, user},
    reconcile::{SOON, World},
};

testkit::on_both!(
    who_is_taken_out_here_is_taken_out_there_beside_an_upstream,
    who_has_left_is_taken_out_and_who_is_silent_stays,
    two_people_of_one_name_are_two,
);

/// An upstream is configured for others: a team that is kept here has all of its members listed.
async fn who_is_taken_out_here_is_taken_out_there_beside_an_upstream() {
    let world = World::new().await;
    let (url, site) = jira().await;
    world.put("board", integration(&url, &[])).await;
    world.is("payments", "board", Step::InStep).await;
    let accounts = || site.lock().unwrap().roles["10001"].clone();
    assert_eq!(accounts(), ["acc-ada".into(), "acc-bob".into()].into());
    *world.source.0.lock().unwrap() = Some(["ada".to_owned()].into());
    world.sync().await;
    eventually("bob is out", SOON, async || {
        (accounts() == ["acc-ada".into()].into()).then_some(())
    })
    .await;

    // Somebody of the upstream is in it: who else is, nobody can say.
    world.seen.lock().unwrap().insert("bob".into());
    world.sync().await;
    eventually("bob is in", SOON, async || {
        accounts().contains("acc-bob").then_some(())
    })
    .await;
    // Of the group that is kept here it is known: whoever was in it and is not is out.
    *world.source.0.lock().unwrap() = Some(BTreeSet::new());
    world.sync().await;
    eventually("ada is out", SOON, async || {
        (accounts() == ["acc-bob".into()].into()).then_some(())
    })
    .await;

    // His login is over, and nobody else's is seen: that says nothing of him.
    world.seen.lock().unwrap().clear();
    *world.some.lock().unwrap() = true;
    let looked = world.is("payments", "board", Step::InStep).await.looked;
    world.sync().await;
    eventually("it is looked at", SOON, async || {
        let status = world.is("payments", "board", Step::InStep).await;
        (status.looked > looked).then_some(())
    })
    .await;
    assert!(accounts().contains("acc-bob"));
    world.left.lock().unwrap().insert("bob".into());
    world.sync().await;
    eventually("bob is out", SOON, async || {
        (!accounts().contains("acc-bob")).then_some(())
    })
    .await;
    world.driver.shutdown().await;
}

/// Nobody of a source that lists nobody: who leaves it is told by what it says of them, and is out.
async fn who_has_left_is_taken_out_and_who_is_silent_stays() {
    let world = World::new().await;
    let (url, site) = jira().await;
    *world.source.0.lock().unwrap() = Some(BTreeSet::new());
    let people = ["ada", "bob", "cy"].map(str::to_owned);
    *world.seen.lock().unwrap() = people.into();
    site.lock().unwrap().users = vec![
        user("acc-ada", "ada@acme.example"),
        user("acc-bob", "bob@acme.example"),
        user("acc-cy", "cy@acme.example"),
    ];
    let mut board = integration(&url, &[]);
    board["config"]["accounts"] = json!({});
    world.put("board", board.clone()).await;
    let status = world.is("payments", "board", Step::InStep).await;
    assert_eq!(status.accounts["corp:bob"], "acc-bob");
    assert_eq!(site.lock().unwrap().searches, 3);
    let accounts = || site.lock().unwrap().roles["10001"].clone();
    let all = ["acc-ada", "acc-bob", "acc-cy"].map(str::to_owned);
    assert_eq!(accounts(), all.into());

    // Two logins are over. Of one of the two the source says that he has left, and Jira finds him no more.
    *world.seen.lock().unwrap() = ["ada".to_owned()].into();
    *world.left.lock().unwrap() = ["bob".to_owned()].into();
    site.lock().unwrap().users.clear();
    world.sync().await;
    eventually("bob is out", SOON, async || {
        (!accounts().contains("acc-bob")).then_some(())
    })
    .await;
    assert_eq!(accounts(), ["acc-ada".into(), "acc-cy".into()].into());
    // Nothing was asked for that was known.
    assert_eq!(site.lock().unwrap().searches, 3);

    // He returns, and is in again.
    world.seen.lock().unwrap().insert("bob".into());
    world.left.lock().unwrap().clear();
    world.sync().await;
    eventually("bob is in", SOON, async || {
        accounts().contains("acc-bob").then_some(())
    })
    .await;
    world.driver.shutdown().await;
}

/// One name, two sources: two people, and nobody gets the other's account.
async fn two_people_of_one_name_are_two() {
    let world = World::new().await;
    let (url, site) = jira().await;
    *world.source.0.lock().unwrap() = Some(["ada".to_owned()].into());
    *world.seen.lock().unwrap() = ["ada".to_owned()].into();
    let mut board = integration(&url, &[]);
    board["config"]["accounts"] = json!({ "ada": "acc-whose", "corp:ada": "acc-ada" });
    world.put("board", board.clone()).await;
    let status = world.is("payments", "board", Step::OutOfStep).await;
    assert!(
        status.message.contains("`ada` (`local:ada`)"),
        "{}",
        status.message
    );
    let accounts = site.lock().unwrap().roles["10001"].clone();
    assert_eq!(accounts, ["acc-ada".to_owned()].into());
    world.driver.shutdown().await;
}
