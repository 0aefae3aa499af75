//! What takes long is waited for as long as its provisioner says, and no longer than is usual where it says nothing.

use std::{sync::Arc, time::Duration};

use kernel::{
    Clock, Key, Reconciler as _, Resource,
    lease::Fence,
    reconciler::{Context, Nudges},
};
use testkit::eventually;
use tokio_util::sync::CancellationToken;
use towpath_delivery::{
    model::{InstancePhase, ResourceInstance},
    reconcile::Instances,
    service::Delivery,
};

use crate::support::{Platform, Things, WITHIN};

const SECOND: Duration = Duration::from_secs(1);
/// What making the thing takes, and what asking after it does: both longer than is usual.
const MAKING: Duration = Duration::from_secs(400);
const ASKING: Duration = Duration::from_secs(40);

/// A thing that could not be made yet.
async fn unmade(platform: &Platform) -> Key {
    platform.things.fails_with("connection refused");
    platform.deploy("web", "hello").await;
    eventually("it is tried", WITHIN, || async {
        let mut tried = platform.told("resource-instance.failed").await;
        tried.pop()?.subject_key()
    })
    .await
}

/// Looks at one thing, while nobody else does.
struct Looker {
    delivery: Arc<Delivery>,
    things: Arc<Things>,
    clock: Clock,
    fence: Fence,
    key: Key,
}

impl Looker {
    async fn new(delivery: &Arc<Delivery>, things: &Arc<Things>, clock: &Clock, key: Key) -> Self {
        things.answers();
        let lease = delivery.store().acquire("slow", "test", WITHIN * 10).await;
        Self {
            delivery: delivery.clone(),
            things: things.clone(),
            clock: clock.clone(),
            fence: lease.unwrap().unwrap(),
            key,
        }
    }

    /// What one look makes of the thing, where its server takes `takes`, its provisioner says that it may take
    /// `limit`, and `passes` goes by.
    async fn looks(
        &self,
        takes: Duration,
        limit: Option<Duration>,
        passes: Duration,
    ) -> Resource<ResourceInstance> {
        // Whatever rest it has is over.
        self.clock.advance(Duration::from_hours(1));
        *self.things.slow.lock().unwrap() = (takes, limit);
        let context = Context {
            store: self.delivery.store().clone(),
            fence: self.fence.clone(),
            stop: CancellationToken::new(),
            nudges: Nudges::channel().0,
        };
        let (instances, key) = (Instances::new(self.delivery.clone()), self.key.clone());
        let look = tokio::spawn(async move { instances.reconcile(&context, &key).await });
        self.things.asked.notified().await;
        pass(passes - SECOND).await;
        pass(SECOND).await;
        look.await.unwrap().unwrap();
        let (scope, name) = (&self.key.scope, &self.key.name);
        self.delivery.store().expect(scope, name).await.unwrap()
    }
}

/// Lets time pass at once, for what waits for it now; the store works by the machine's time.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
    // For what is over by now to be seen before more time passes.
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn what_is_slow_is_waited_for_as_long_as_its_provisioner_says() {
    let platform = Platform::still().await;
    let key = unmade(&platform).await;
    platform.driver.shutdown().await;
    let looker = Looker::new(&platform.delivery, &platform.things, &platform.clock, key).await;
    let limit = Some(MAKING * 2);
    let made = looker.looks(MAKING, limit, MAKING).await.status;
    assert_eq!(made.phase, InstancePhase::Ready, "{}", made.message);

    let seen = looker.looks(ASKING, limit, ASKING).await.status;
    assert_eq!(seen.unreachable, None, "{}", seen.message);
    assert_eq!(seen.seen, Some(looker.clock.now()));
}

#[tokio::test]
async fn what_is_slow_is_given_up_after_the_usual_time_where_its_provisioner_says_nothing() {
    let platform = Platform::still().await;
    let key = unmade(&platform).await;
    platform.driver.shutdown().await;
    let looker = Looker::new(&platform.delivery, &platform.things, &platform.clock, key).await;
    let failed = looker.looks(MAKING, None, Duration::from_mins(5)).await;
    assert_eq!(failed.status.phase, InstancePhase::Retrying);
    assert_eq!(failed.status.message, "no answer within 300 s");

    let made = looker.looks(ASKING, None, ASKING).await.status;
    assert_eq!(made.phase, InstancePhase::Ready, "{}", made.message);
    let unseen = looker.looks(ASKING, None, Duration::from_secs(30)).await;
    assert_eq!(unseen.status.unreachable, Some(looker.clock.now()));
    assert_eq!(unseen.status.message, "no answer within 30 s");
}
