//! What time alone brings about, by a clock that the test moves.

use std::time::Duration;

use kernel::Caller;
use serde_json::json;
use testkit::eventually;
use towpath_delivery::{
    api::{End, EnvironmentChange, NewEnvironment},
    engine::Phase,
    model::{Deployment, DeploymentPhase, Environment, InstancePhase},
};

use crate::support::{Platform, WITHIN};

const HOUR: Duration = Duration::from_hours(1);
const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_ends_with_its_time_to_live_and_not_before() {
    let platform = Platform::still().await;
    let caller = Caller::local_admin();
    let wanted = NewEnvironment {
        name: "dev".into(),
        role: Some("dev".into()),
        ttl_seconds: Some(HOUR.as_secs()),
        ..NewEnvironment::default()
    };
    let made = platform.delivery.environment_create(&caller, wanted).await;
    let first = platform.clock.now() + HOUR;
    assert_eq!(made.unwrap().spec.expires, Some(first));
    platform.deployed("web", "hello").await;

    // Another hour from where a second was left.
    platform.pass(HOUR - SECOND).await;
    let longer = EnvironmentChange {
        end: Some(End::InSeconds(HOUR.as_secs())),
        ..EnvironmentChange::default()
    };
    let changed = platform
        .delivery
        .environment_change(&caller, "dev", &longer, None)
        .await;
    let expires = changed.unwrap().spec.expires.unwrap();
    assert_eq!(expires, platform.clock.now() + HOUR);
    platform.pass(HOUR - SECOND).await;
    platform.looked("environments").await;
    let found = platform.store.expect::<Environment>("", "dev").await;
    assert!(!found.unwrap().is_deleting());
    assert_eq!(platform.told("environment.expired").await.len(), 0);

    platform.pass(SECOND).await;
    eventually("it goes", WITHIN, || async {
        let gone = platform.store.get::<Environment>("", "dev").await.unwrap();
        gone.is_none().then_some(())
    })
    .await;
    let told = platform.told("environment.expired").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].data, json!({ "expires": expires }));
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_late_when_its_deadline_passes_and_not_before() {
    let platform = Platform::still().await;
    *platform.machine.phase.lock().unwrap() = Phase::Starting;
    let begun = platform.deploy("web", "slow").await;
    let status = || async {
        let found = platform.store.expect::<Deployment>("dev", &begun.meta.name);
        found.await.unwrap().status
    };
    eventually("it waits for its workload", WITHIN, || async {
        (status().await.phase == DeploymentPhase::Observing).then_some(())
    })
    .await;
    let timeout = Duration::from_secs(begun.spec.timeout_seconds);
    platform.pass(timeout - SECOND).await;
    platform.looked("deployments").await;
    assert_eq!(status().await.phase, DeploymentPhase::Observing);

    platform.pass(SECOND).await;
    let ended = eventually("it fails", WITHIN, || async {
        let status = status().await;
        status.phase.is_final().then_some(status)
    })
    .await;
    assert_eq!(ended.phase, DeploymentPhase::Failed);
    let (started, finished) = (ended.started.unwrap(), ended.finished.unwrap());
    assert_eq!(finished, started + timeout);
    let failure = ended.failure.unwrap();
    assert_eq!(failure.step, "observe");
    assert_eq!(failure.message, "it was not ready within 60 s");
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_tried_again_when_its_rest_is_over_and_not_before() {
    let platform = Platform::still().await;
    platform.things.fails_with("connection refused");
    let asked = platform.deploy("web", "hello").await;
    for (tries, rest) in [(1, 200), (2, 400), (3, 800)] {
        let rest = Duration::from_millis(rest);
        let status = eventually("it is tried", WITHIN, || async {
            let status = platform.thing("web").await.status;
            (status.attempts == tries).then_some(status)
        })
        .await;
        assert_eq!(status.phase, InstancePhase::Retrying);
        assert_eq!(status.next_try, Some(platform.clock.now() + rest));
        platform.pass(rest - MOMENT).await;
        platform.looked("resource-instances").await;
        assert_eq!(platform.thing("web").await.status.attempts, tries);
        if tries == 3 {
            platform.things.answers();
        }
        platform.pass(MOMENT).await;
    }
    platform.succeeded(&asked).await;
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_another_took_over_from_goes_when_it_has_drained_and_not_before() {
    let platform = Platform::still().await;
    platform.deployed("web", "first").await;
    platform.deployed("web", "second").await;
    let drain = Duration::from_secs(2);
    platform.pass(drain - MOMENT).await;
    platform.looked("workloads").await;
    let releases = || async {
        let known = platform.workload("web").await.status.releases;
        known.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(releases().await, [1, 2]);
    platform.pass(MOMENT).await;
    eventually("it goes", WITHIN, || async {
        (releases().await == [2]).then_some(())
    })
    .await;
    platform.driver.shutdown().await;
}
