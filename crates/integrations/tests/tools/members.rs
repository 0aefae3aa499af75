//! Who is in a team, where several sources say so.

use std::collections::BTreeSet;

use teams::model::Step;
use testkit::eventually;

use crate::{
    holding::integration,
    jira::jira,
    reconcile::{SOON, World},
};

/// An upstream is configured for others: a team that is kept here has all of its members listed.
#[tokio::test]
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
    *world.source.0.lock().unwrap() = Some(BTreeSet::new());
    let looked = world.is("payments", "board", Step::InStep).await.looked;
    world.sync().await;
    eventually("it is looked at", SOON, async || {
        let status = world.is("payments", "board", Step::InStep).await;
        (status.looked > looked).then_some(())
    })
    .await;
    assert_eq!(accounts(), ["acc-ada".into(), "acc-bob".into()].into());
    world.driver.shutdown().await;
}
