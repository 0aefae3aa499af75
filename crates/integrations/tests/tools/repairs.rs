//! Repairs that fail: they hold up no others, and are told once.

use teams::model::Step;
use testkit::eventually;

use crate::{
    holding::integration,
    jira::jira,
    reconcile::{SOON, World},
};

testkit::on_both!(what_is_refused_holds_up_nothing_else_and_is_told_once,);

async fn what_is_refused_holds_up_nothing_else_and_is_told_once() {
    let world = World::new().await;
    let (url, site) = jira().await;
    {
        let mut site = site.lock().unwrap();
        site.refused.insert("acc-ada".into());
        let theirs = ["acc-eve".to_owned()].into();
        site.roles.insert("10001".into(), theirs);
    }
    world.put("board", integration(&url, &[])).await;
    let status = world.is("payments", "board", Step::OutOfStep).await;
    let what = "projects/PAYMENTS/roles/Developers/acc-ada: Jira refused it: 400";
    assert!(status.message.starts_with(what), "{status:?}");
    // It is not in step with what was wanted: nobody has changed it by hand.
    assert_eq!(status.wanted, "");
    let roles = site.lock().unwrap().roles["10001"].clone();
    assert_eq!(roles, ["acc-bob".to_owned()].into());
    assert_eq!(
        site.lock().unwrap().asked[..3],
        ["-acc-eve", "+acc-ada", "+acc-bob"]
    );

    let kinds = async || -> Vec<String> {
        let told = world.told().await.into_iter();
        told.map(|(kind, _)| kind).collect()
    };
    let failing = ["update", "mended", "update", "mended", "update", "mended"];
    for _ in 0..3 {
        let before = site.lock().unwrap().asked.len();
        world.sync().await;
        eventually("it is tried again", SOON, async || {
            (site.lock().unwrap().asked.len() > before).then_some(())
        })
        .await;
    }
    eventually("it is told", SOON, async || {
        (kinds().await.len() >= failing.len()).then_some(())
    })
    .await;
    assert_eq!(kinds().await, failing);

    site.lock().unwrap().refused.clear();
    world.sync().await;
    let status = world.is("payments", "board", Step::InStep).await;
    assert_eq!((status.drifts, status.told), (0, None));
    assert_eq!(kinds().await, [&failing[..], &["mended"]].concat());
    world.driver.shutdown().await;
}
