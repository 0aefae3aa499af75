//! What a rotation ends, and what it does not end, is told.

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
