//! What a rotation ends; what it does not end is told.

use kernel::Caller;
use serde_json::json;
use testkit::eventually;

use crate::support::{Platform, WITHIN};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_no_rotation_ends_are_not_said_to_have_ended() {
    let platform = Platform::start().await;
    platform.deployed("web", "hello").await;
    let thing = platform.thing("web").await.meta.name;
    for (count, shared) in [(1, None), (2, Some("others have it, too"))] {
        *platform.things.shared.lock().unwrap() = shared.map(Into::into);
        platform
            .delivery
            .resource_rotate(&Caller::local_admin(), "dev", &thing)
            .await
            .unwrap();
        let told = eventually("its users have moved", WITHIN, || async {
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
    let thing = platform.thing("web").await.meta.name;
    platform
        .delivery
        .resource_rotate(&Caller::local_admin(), "dev", &thing)
        .await
        .unwrap();
    platform.things.answers();
    platform.succeeded(&asked).await;
    eventually("the first login ends", WITHIN, || async {
        let logins = platform.things.logins.lock().unwrap().clone();
        (logins == [2].into()).then_some(())
    })
    .await;
    platform.driver.shutdown().await;
}
