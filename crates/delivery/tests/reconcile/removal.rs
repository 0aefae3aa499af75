//! What cannot be removed says why, where people look.

use kernel::{Caller, Meta};
use testkit::eventually;
use towpath_delivery::{
    engine::EngineError,
    model::{Environment, Workload},
};

use crate::support::{Platform, WITHIN};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_removal_shows_in_the_status_of_the_workload() {
    let platform = Platform::start().await;
    platform.deployed("web", "hello").await;
    *platform.machine.stuck.lock().unwrap() = Some(EngineError {
        message: "the process does not end".into(),
        remedy: Some("see what holds it".into()),
        retry: true,
    });
    let caller = Caller::local_admin();
    platform
        .delivery
        .environment_delete(&caller, "dev", true, None)
        .await
        .unwrap();
    eventually("the reason shows", WITHIN, || async {
        let status = platform.workload("web").await.status;
        (status.trouble() == "the process does not end; see what holds it").then_some(())
    })
    .await;
    eventually("the environment names it, too", WITHIN, || async {
        let environment = platform.store.expect::<Environment>("", "dev").await;
        let waits = environment.unwrap().status.remaining.join("\n");
        waits.contains("the process does not end").then_some(())
    })
    .await;
    let told = platform.told("workload.removal-failed").await;
    assert_eq!(told.len(), 1, "{told:?}");

    *platform.machine.stuck.lock().unwrap() = None;
    eventually("it goes", WITHIN, || async {
        let gone = platform.store.get::<Environment>("", "dev").await.unwrap();
        gone.is_none().then_some(())
    })
    .await;
    assert!(
        platform
            .store
            .get::<Workload>("dev", "web")
            .await
            .unwrap()
            .is_none()
    );
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_resources_carry_their_team() {
    let platform = Platform::start().await;
    platform.deployed("web", "hello").await;
    let told = platform.told("resource.created").await;
    let ours: Vec<_> = told
        .iter()
        .filter(|event| event.subject.contains("dev"))
        .collect();
    assert_eq!(
        platform.workload("web").await.meta.labels[Meta::TEAM],
        "default"
    );
    for kind in ["Environment", "Deployment", "Workload", "ResourceInstance"] {
        let prefix = format!("{kind}/");
        let event = ours
            .iter()
            .find(|e| e.subject.starts_with(&prefix))
            .unwrap();
        assert_eq!(event.team, "default", "{kind}");
    }
    platform.driver.shutdown().await;
}
