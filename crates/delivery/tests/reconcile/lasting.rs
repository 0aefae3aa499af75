//! A fault that is known to last ends a deployment before its deadline; all else is waited for.

use kernel::Key;
use testkit::eventually;
use towpath_delivery::{
    engine::Phase,
    model::{Deployment, DeploymentPhase},
};

use crate::support::{Platform, WITHIN};

const FAULT: &str = "nothing listens on port www, but the program listens on 81";

async fn phase(platform: &Platform, name: &str) -> DeploymentPhase {
    let found = platform.store.expect::<Deployment>("dev", name).await;
    found.unwrap().status.phase
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_to_last_is_not_waited_for() {
    let platform = Platform::start().await;
    platform.deployed("web", "good").await;
    *platform.machine.phase.lock().unwrap() = Phase::Starting;
    *platform.machine.lasting.lock().unwrap() = Some(FAULT.into());
    let begun = platform.deploy("web", "bad").await;
    assert!(begun.spec.timeout_seconds > WITHIN.as_secs());
    let name = &begun.meta.name;
    eventually("it returns to the good one", WITHIN, || async {
        (phase(&platform, name).await == DeploymentPhase::RolledBack).then_some(())
    })
    .await;
    let found = platform.store.expect::<Deployment>("dev", name).await;
    let failure = found.unwrap().status.failure.unwrap();
    assert_eq!(failure.message, FAULT);
    assert_eq!(failure.step, "observe");
    assert_eq!(failure.returned_to.as_deref(), Some("d-1"));
    assert_eq!(platform.workload("web").await.spec.release, 1);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_heal_is_waited_for() {
    let platform = Platform::start().await;
    *platform.machine.phase.lock().unwrap() = Phase::Restarting;
    let begun = platform.deploy("web", "slow").await;
    let name = &begun.meta.name;
    eventually("it is looked at", WITHIN, || async {
        (phase(&platform, name).await == DeploymentPhase::Observing).then_some(())
    })
    .await;
    // However often it is looked at.
    let looks = || {
        let mut queues = platform.driver.stats().into_iter();
        let queue = queues.find(|queue| queue.reconciler == "deployments");
        queue.unwrap().runs
    };
    let (before, nudger) = (looks(), platform.driver.nudger());
    eventually("it is looked at again and again", WITHIN, || async {
        nudger.nudge(Key::of::<Deployment>("dev", name));
        (looks() > before + 5).then_some(())
    })
    .await;
    assert_eq!(phase(&platform, name).await, DeploymentPhase::Observing);
    platform.machine.set("web", Phase::Ready);
    eventually("it succeeds", WITHIN, || async {
        (phase(&platform, name).await == DeploymentPhase::Succeeded).then_some(())
    })
    .await;
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_ended_waits_for_nothing() {
    let platform = Platform::start().await;
    *platform.machine.phase.lock().unwrap() = Phase::Starting;
    let begun = platform.deploy("web", "bad").await;
    let status = || async {
        let found = platform.store.expect::<Deployment>("dev", &begun.meta.name);
        found.await.unwrap().status
    };
    eventually("it waits for its workload", WITHIN, || async {
        let waiting = status().await.waiting_for;
        waiting
            .iter()
            .any(|it| it.contains("workload web"))
            .then_some(())
    })
    .await;
    platform.machine.set("web", Phase::Failed);
    let ended = eventually("it fails", WITHIN, || async {
        let status = status().await;
        status.phase.is_final().then_some(status)
    })
    .await;
    assert_eq!(ended.phase, DeploymentPhase::Failed);
    assert_eq!(ended.waiting_for, Vec::<String>::new());
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_be_read_is_told_apart_from_an_empty_one() {
    let platform = Platform::start().await;
    *platform.machine.phase.lock().unwrap() = Phase::Failed;
    let mut logs = Vec::new();
    for (name, mute) in [("quiet", None), ("mute", Some("the disk is away"))] {
        *platform.machine.mute.lock().unwrap() = mute.map(Into::into);
        let begun = platform.deploy(name, "bad").await;
        let failure = eventually("it fails", WITHIN, || async {
            let found = platform.store.expect::<Deployment>("dev", &begun.meta.name);
            found.await.unwrap().status.failure
        })
        .await;
        logs.push(failure.log);
    }
    assert_eq!(logs[0], Vec::<String>::new());
    assert_eq!(logs[1], ["(the log could not be read: the disk is away)"]);
    platform.driver.shutdown().await;
}
