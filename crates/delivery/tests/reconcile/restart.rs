//! A platform that was away judges by what it sees when it is there again, not by what it saw before.

use std::{sync::Arc, time::Duration};

use kernel::{
    Reconciler as _, Resource,
    reconciler::{Context, Nudges},
};
use testkit::eventually;
use tokio_util::sync::CancellationToken;
use towpath_delivery::{
    engine::Phase,
    model::{Deployment, DeploymentPhase},
    reconcile::Deployments,
    service::Delivery,
};

use crate::support::{Platform, WITHIN, drive};

const HOUR: Duration = Duration::from_hours(1);
const SECOND: Duration = Duration::from_secs(1);
/// What a deployment has at least from when the platform is there again.
const GRACE: Duration = Duration::from_secs(30);

/// A deployment whose workload starts, beside a good one.
async fn begun(platform: &Platform) -> Resource<Deployment> {
    platform.deployed("web", "one").await;
    *platform.machine.phase.lock().unwrap() = Phase::Starting;
    let begun = platform.deploy("web", "two").await;
    eventually("it waits for its workload", WITHIN, || async {
        let found = platform.store.expect::<Deployment>("dev", &begun.meta.name);
        (found.await.unwrap().status.phase == DeploymentPhase::Observing).then_some(())
    })
    .await;
    begun
}

/// The platform is there again.
async fn again(delivery: &Delivery) -> Context {
    let lease = delivery.store().acquire("again", "test", HOUR).await;
    Context {
        store: delivery.store().clone(),
        fence: lease.unwrap().unwrap(),
        stop: CancellationToken::new(),
        nudges: Nudges::channel().0,
    }
}

/// What becomes of a deployment that is looked at, while nobody looks at its workload.
async fn looked(
    delivery: &Arc<Delivery>,
    context: &Context,
    begun: &Resource<Deployment>,
) -> DeploymentPhase {
    let deployments = Deployments(delivery.clone());
    deployments.reconcile(context, &begun.key()).await.unwrap();
    let found = context.store.expect::<Deployment>("dev", &begun.meta.name);
    found.await.unwrap().status.phase
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_got_ready_while_the_platform_was_away_past_its_deadline_succeeds() {
    let mut platform = Platform::still().await;
    let begun = begun(&platform).await;
    platform.driver.shutdown().await;
    platform.machine.set("web", Phase::Ready);
    platform.clock.advance(HOUR);

    let context = again(&platform.delivery).await;
    let first = looked(&platform.delivery, &context, &begun).await;
    assert_eq!(first, DeploymentPhase::Observing);
    platform.driver = drive(&platform.delivery);
    platform.succeeded(&begun).await;
    let workload = platform.workload("web").await;
    assert_eq!(workload.spec.deployment, begun.meta.name);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ready_soon_after_the_platform_was_away_past_its_deadline_is_late() {
    let platform = Platform::still().await;
    let begun = begun(&platform).await;
    platform.driver.shutdown().await;
    platform.clock.advance(HOUR);

    let context = again(&platform.delivery).await;
    for (passes, expected) in [
        (Duration::ZERO, DeploymentPhase::Observing),
        (GRACE - SECOND, DeploymentPhase::Observing),
        (SECOND, DeploymentPhase::RolledBack),
    ] {
        platform.clock.advance(passes);
        let phase = looked(&platform.delivery, &context, &begun).await;
        assert_eq!(phase, expected, "after {passes:?}");
    }
}
