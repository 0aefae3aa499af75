//! The server behind a resource does not answer.

use std::time::Duration;

use kernel::{Caller, Change, Key};
use testkit::eventually;
use towpath_delivery::{
    engine::Phase,
    model::{Deployment, InstancePhase, Workload},
};

use crate::support::{Platform, WITHIN};

/// After so long one of the instances on a server is looked at, and the others are tried again that cannot be asked.
const LOOKOUT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_told_once_for_each_text_and_every_try_is_counted() {
    let platform = Platform::still().await;
    platform.things.fails_with("connection refused");
    let asked = platform.deploy("web", "hello").await.meta.name;
    let tries = |least: u32| {
        let platform = &platform;
        async move {
            eventually("it is tried again and again", WITHIN, || async {
                let status = platform.thing("web").await.status;
                if status.attempts >= least {
                    return Some(status);
                }
                if let Some(next) = status.next_try {
                    platform.pass_until(next).await;
                }
                None
            })
            .await
        }
    };
    let status = tries(4).await;
    assert_eq!(status.phase, InstancePhase::Retrying);
    assert_eq!(status.message, "connection refused");
    let told = platform.told("resource-instance.failed").await;
    assert_eq!(told.len(), 1, "{told:?}");
    eventually("who waits for it has heard", WITHIN, || async {
        let deployment = platform.store.expect::<Deployment>("dev", &asked).await;
        let waits = [
            deployment.unwrap().status.waiting_for.join(", "),
            platform.workload("web").await.status.message,
        ];
        let heard = |words: &String| words.contains("connection refused");
        waits.iter().all(heard).then_some(())
    })
    .await;
    let events = platform.store.head().await.unwrap();
    let status = tries(status.attempts + 1).await;
    assert_eq!(platform.store.head().await.unwrap(), events);

    platform.things.fails_with("too many connections");
    let status = tries(status.attempts + 1).await;
    assert_eq!(status.message, "too many connections");
    let told = platform.told("resource-instance.failed").await;
    let words: Vec<_> = told.iter().map(|event| &event.data["message"]).collect();
    assert_eq!(words, ["connection refused", "too many connections"]);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_ready_stays_ready_and_is_seen_again_by_itself() {
    let platform = Platform::still().await;
    platform.deployed("web", "hello").await;
    platform.deployed("shop", "hello").await;
    platform.things.fails_with("connection refused");
    platform.pass(LOOKOUT).await;
    for workload in ["web", "shop"] {
        let status = eventually("it shows", WITHIN, || async {
            let status = platform.thing(workload).await.status;
            status.unreachable.is_some().then_some(status)
        })
        .await;
        assert_eq!(status.phase, InstancePhase::Ready);
        assert_eq!(status.message, "connection refused");
    }
    assert_eq!(
        platform.told("resource-instance.unreachable").await.len(),
        2
    );
    assert_eq!(platform.told("resource-instance.failed").await.len(), 0);
    assert!(platform.things.removed.lock().unwrap().is_empty());

    platform.things.answers();
    platform.pass(LOOKOUT).await;
    for workload in ["web", "shop"] {
        let status = eventually("it is seen again", WITHIN, || async {
            let status = platform.thing(workload).await.status;
            status.unreachable.is_none().then_some(status)
        })
        .await;
        assert_eq!((status.message.as_str(), status.attempts), ("", 0));
    }
    assert_eq!(platform.told("resource-instance.reachable").await.len(), 2);
    assert_eq!(platform.told("resource-instance.drifted").await.len(), 0);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_whose_inputs_wait_is_observed_all_the_same() {
    let platform = Platform::start().await;
    platform.deployed("web", "hello").await;
    // What it was made with is to change, and cannot: the release stays the one that is wanted.
    platform.things.fails_with("connection refused");
    let mut thing = platform.thing("web").await;
    thing.spec.params.insert("size".into(), 2.into());
    let mut change = Change::new().by(&Caller::local_admin());
    change.spec(&thing).unwrap();
    platform.store.commit(change).await.unwrap();
    is_observed_while_it_waits(&platform).await;
    assert_eq!(platform.workload("web").await.spec.release, 1);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_release_that_serves_is_observed_while_the_next_one_waits() {
    let platform = Platform::start().await;
    platform.deployed("web", "hello").await;
    platform.things.fails_with("connection refused");
    let thing = platform.thing("web").await.meta.name;
    platform
        .delivery
        .resource_rotate(&Caller::local_admin(), "dev", &thing)
        .await
        .unwrap();
    is_observed_while_it_waits(&platform).await;
    assert_eq!(platform.workload("web").await.spec.release, 2);
    platform.driver.shutdown().await;
}

async fn is_observed_while_it_waits(platform: &Platform) {
    eventually("the workload waits", WITHIN, || async {
        let status = platform.workload("web").await.status;
        status.message.starts_with("waits for").then_some(())
    })
    .await;
    for (phase, told) in [
        (Phase::Restarting, "workload.unhealthy"),
        (Phase::Ready, "workload.recovered"),
    ] {
        platform.machine.set("web", phase);
        // As the server does when an engine sees a change.
        let nudger = platform.driver.nudger();
        nudger.nudge(Key::of::<Workload>("dev", "web"));
        let status = eventually("it shows", WITHIN, || async {
            let status = platform.workload("web").await.status;
            (status.releases[&1].phase == phase).then_some(status)
        })
        .await;
        assert!(status.message.starts_with("waits for"), "{status:?}");
        assert_eq!(platform.told(told).await.len(), 1, "{told}");
    }
}
