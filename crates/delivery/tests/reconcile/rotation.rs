//! What a rotation ends; what it does not end is told.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use testkit::eventually;
use towpath_delivery::engine::Phase;

use crate::support::{Platform, WITHIN};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_no_rotation_ends_are_not_said_to_have_ended() {
    let platform = Platform::still().await;
    platform.deployed("web", "hello").await;
    for (count, shared) in [(1, None), (2, Some("others have it, too"))] {
        *platform.things.shared.lock().unwrap() = shared.map(Into::into);
        platform.rotate("web").await;
        let told = eventually("its users have moved", WITHIN, || async {
            // What they ran until then drains.
            platform.pass(Duration::from_secs(1)).await;
            let told = platform.told("resource-instance.credentials-retired").await;
            (told.len() == count).then_some(told)
        })
        .await;
        let expected = json!({
            "rotation": count + 1, "ended": shared.is_none(), "message": shared,
        });
        assert_eq!(told[count - 1].data, expected);
    }
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_before_a_rotation_ends_though_it_was_never_ready() {
    let platform = Platform::start().await;
    platform.things.fails_with("the server is full");
    let asked = platform.deploy("web", "hello").await;
    eventually("the first attempt fails", WITHIN, || async {
        (platform.thing("web").await.status.attempts > 0).then_some(())
    })
    .await;
    platform.rotate("web").await;
    platform.things.answers();
    platform.succeeded(&asked).await;
    eventually("the first login ends", WITHIN, || async {
        let logins = platform.things.logins.lock().unwrap().clone();
        (logins == [2].into()).then_some(())
    })
    .await;
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_never_gets_ready_keeps_no_earlier_login() {
    let platform = Platform::start().await;
    *platform.machine.phase.lock().unwrap() = Phase::Restarting;
    platform.deploy("web", "hello").await;
    eventually("the first release was started", WITHIN, || async {
        let releases = platform.workload("web").await.status.releases;
        (releases.get(&1)?.phase == Phase::Restarting).then_some(())
    })
    .await;
    let logins = platform.things.logins.lock().unwrap().clone();
    assert_eq!(logins, BTreeSet::from([1]));
    platform.rotate("web").await;
    eventually("the first login ends", WITHIN, || async {
        let logins = platform.things.logins.lock().unwrap().clone();
        (logins == [2].into()).then_some(())
    })
    .await;
    platform.driver.shutdown().await;
}
