//! A failed deployment has returned when every workload serves the last good release again, and not before.

use std::time::Duration;

use kernel::{Caller, Change, Outcome, Query, Resource};
use serde_json::{Value, json};
use testkit::eventually;
use towpath_delivery::{
    api::Rollback,
    engine::Phase,
    model::{Deployment, DeploymentPhase, DeploymentStatus, ResourceInstance},
};

use crate::{
    superseded,
    support::{Platform, WITHIN, drive},
};

const SECOND: Duration = Duration::from_secs(1);

async fn deploy(platform: &Platform, image: &str, names: &[&str]) -> Resource<Deployment> {
    let workloads: Vec<_> = names.iter().map(|name| (*name, json!({}))).collect();
    superseded::deploy(platform, image, &workloads).await
}

async fn status(platform: &Platform, deployment: &Resource<Deployment>) -> DeploymentStatus {
    let found = platform
        .store
        .expect::<Deployment>("dev", &deployment.meta.name);
    found.await.unwrap().status
}

async fn becomes(
    platform: &Platform,
    deployment: &Resource<Deployment>,
    phase: DeploymentPhase,
) -> DeploymentStatus {
    eventually(format!("it is {phase:?}"), WITHIN, || async {
        let status = status(platform, deployment).await;
        (status.phase == phase).then_some(status)
    })
    .await
}

/// A good deployment of two workloads, and a later one that failed after `api` had changed to it: the releases that
/// come now start.
async fn failed(platform: &Platform) -> Resource<Deployment> {
    failed_with(platform, json!({})).await
}

/// The same, where the later one gives these resources to `api`.
async fn failed_with(platform: &Platform, resources: Value) -> Resource<Deployment> {
    let both = ["api", "worker"];
    let good = deploy(platform, "/bin/true", &both).await;
    platform.succeeded(&good).await;
    *platform.machine.phase.lock().unwrap() = Phase::Starting;
    let later = [("api", resources), ("worker", json!({}))];
    let failing = superseded::deploy(platform, "/bin/false", &later).await;
    eventually("both start", WITHIN, || async {
        for name in both {
            let releases = platform.workload(name).await.status.releases;
            if releases.get(&2)?.phase != Phase::Starting {
                return None;
            }
        }
        Some(())
    })
    .await;
    platform.machine.set("api", Phase::Ready);
    *platform.machine.phase.lock().unwrap() = Phase::Starting;
    eventually("one serves", WITHIN, || async {
        let status = platform.workload("api").await.status;
        (status.active_release == 2).then_some(())
    })
    .await;
    platform
        .pass(Duration::from_secs(failing.spec.timeout_seconds))
        .await;
    let status = becomes(platform, &failing, DeploymentPhase::RollingBack).await;
    let failure = status.failure.unwrap();
    assert_eq!(failure.subject, "workload worker");
    assert_eq!(failure.returned_to, Some(good.meta.name));
    assert_eq!(failure.brought_back, ["api"]);
    eventually("the good one starts again", WITHIN, || async {
        let releases = platform.workload("api").await.status.releases;
        (releases.get(&3)?.phase == Phase::Starting).then_some(())
    })
    .await;
    failing
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_is_done_when_every_workload_serves_the_good_release_again() {
    let mut platform = Platform::still().await;
    let failing = failed(&platform).await;
    platform.looked("deployments").await;
    let waits = status(&platform, &failing).await;
    assert_eq!(waits.phase, DeploymentPhase::RollingBack);
    let api = |one: &String| one.starts_with("workload api");
    assert!(waits.waiting_for.first().is_some_and(api), "{waits:?}");
    assert_eq!(platform.told("deployment.rolled-back").await.len(), 0);

    platform.driver.shutdown().await;
    platform.machine.set("api", Phase::Ready);
    platform.driver = drive(&platform.delivery);
    let ended = becomes(&platform, &failing, DeploymentPhase::RolledBack).await;
    assert_eq!(ended.returning, None);
    assert_eq!(ended.failure.unwrap().return_failure, None);
    for (name, release) in [("api", 3), ("worker", 1)] {
        let status = platform.workload(name).await.status;
        assert_eq!(status.active_release, release, "{name}");
        assert_eq!(status.active_deployment.as_deref(), Some("d-1"), "{name}");
    }
    assert_eq!(platform.told("deployment.rolling-back").await.len(), 1);
    assert_eq!(platform.told("deployment.rolled-back").await.len(), 1);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_that_does_not_get_there_in_time_is_said_to_have_failed() {
    let platform = Platform::still().await;
    let failing = failed(&platform).await;
    let timeout = Duration::from_secs(failing.spec.timeout_seconds);
    platform.pass(timeout - SECOND).await;
    platform.looked("deployments").await;
    let waits = status(&platform, &failing).await;
    assert_eq!(waits.phase, DeploymentPhase::RollingBack);

    platform.pass(SECOND).await;
    let ended = becomes(&platform, &failing, DeploymentPhase::Failed).await;
    let failure = ended.failure.unwrap().return_failure.unwrap();
    let expected = "workload api does not serve d-1 again after 60 s";
    assert!(failure.starts_with(expected), "{failure}");
    assert_eq!(platform.told("deployment.rolled-back").await.len(), 0);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_gives_way_to_a_later_deployment() {
    let platform = Platform::still().await;
    let failing = failed(&platform).await;
    *platform.machine.phase.lock().unwrap() = Phase::Ready;
    let next = deploy(&platform, "/bin/echo", &["api"]).await;
    platform.succeeded(&next).await;
    // The other one serves what it served before.
    becomes(&platform, &failing, DeploymentPhase::RolledBack).await;
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_that_a_later_deployment_takes_over_whole_is_superseded() {
    let platform = Platform::still().await;
    let failing = failed(&platform).await;
    *platform.machine.phase.lock().unwrap() = Phase::Ready;
    let next = deploy(&platform, "/bin/echo", &["api", "worker"]).await;
    platform.succeeded(&next).await;
    let ended = becomes(&platform, &failing, DeploymentPhase::Superseded).await;
    let told = platform.told("deployment.superseded").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].outcome, Some(Outcome::Fail));
    assert_eq!(told[0].data, json!({ "failure": ended.failure.unwrap() }));
    let back = Rollback {
        to: Some(failing.meta.name),
        ..Rollback::default()
    };
    let refused = platform
        .delivery
        .rollback(&Caller::local_admin(), "dev", back)
        .await
        .unwrap_err();
    let went = "`d-2` failed, and gave way to a later one";
    assert!(refused.message.contains(went), "{refused}");
    platform.driver.shutdown().await;
}

/// What `api` asks for in the deployments that fail.
fn thing() -> Value {
    json!({ "thing": { "type": "thing" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_release_that_has_the_traffic_uses_stays_until_the_good_one_serves() {
    let platform = Platform::still().await;
    let failing = failed_with(&platform, thing()).await;
    platform.looked("deployments").await;
    let held = platform.thing("api").await;
    assert!(!held.is_deleting());
    assert_eq!(held.status.used_by, ["api"]);

    platform.machine.set("api", Phase::Ready);
    becomes(&platform, &failing, DeploymentPhase::RolledBack).await;
    eventually("the thing goes", WITHIN, || async {
        let all = platform.store.list_all(&Query::scope("dev")).await;
        let all: Vec<Resource<ResourceInstance>> = all.unwrap();
        all.is_empty().then_some(())
    })
    .await;
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_release_that_has_the_traffic_uses_stays_when_the_return_fails() {
    let platform = Platform::still().await;
    let failing = failed_with(&platform, thing()).await;
    let timeout = Duration::from_secs(failing.spec.timeout_seconds);
    platform.pass(timeout).await;
    becomes(&platform, &failing, DeploymentPhase::Failed).await;
    platform.looked("deployments").await;
    let held = platform.thing("api").await;
    assert!(!held.is_deleting());
    assert_eq!(held.status.used_by, ["api"]);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_that_failed_may_be_asked_for_again() {
    let platform = Platform::still().await;
    let failing = failed(&platform).await;
    let timeout = Duration::from_secs(failing.spec.timeout_seconds);
    platform.pass(timeout).await;
    becomes(&platform, &failing, DeploymentPhase::Failed).await;

    *platform.machine.phase.lock().unwrap() = Phase::Ready;
    let caller = Caller::local_admin();
    let back = Rollback {
        to: Some("d-1".into()),
        ..Rollback::default()
    };
    let asked = platform.delivery.rollback(&caller, "dev", back.clone());
    platform.succeeded(&asked.await.unwrap()).await;
    let refused = platform.delivery.rollback(&caller, "dev", back).await;
    let refused = refused.unwrap_err();
    assert!(refused.message.contains("`d-1` already runs"), "{refused}");
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_served_all_along_is_not_brought_back_though_nobody_wrote_down_whose_it_is() {
    let platform = Platform::still().await;
    let good = deploy(&platform, "/bin/true", &["api"]).await;
    platform.succeeded(&good).await;
    *platform.machine.phase.lock().unwrap() = Phase::Starting;
    let failing = deploy(&platform, "/bin/false", &["api"]).await;
    eventually("it starts", WITHIN, || async {
        let releases = platform.workload("api").await.status.releases;
        (releases.get(&2)?.phase == Phase::Starting).then_some(())
    })
    .await;
    eventually("nothing says whose release serves", WITHIN, || async {
        let mut api = platform.workload("api").await;
        api.status.active_deployment = None;
        let mut change = Change::new();
        change.status(&api).unwrap();
        // Its reconciler writes, too.
        platform.store.commit(change).await.ok()
    })
    .await;
    platform
        .pass(Duration::from_secs(failing.spec.timeout_seconds))
        .await;
    let ended = becomes(&platform, &failing, DeploymentPhase::RolledBack).await;
    assert_eq!(ended.failure.unwrap().brought_back, Vec::<String>::new());
    assert_eq!(platform.told("deployment.rolling-back").await.len(), 0);
    platform.driver.shutdown().await;
}
