//! What is replaced or removed is asked of who made it, as it was made.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use kernel::{Caller, Change, Problem, Query, Resource};
use serde_json::{Map, Value, json};
use testkit::eventually;
use towpath_delivery::{
    Provisioner,
    api::ApplyRequest,
    model::ResourceInstance,
    provisioner::{Description, Output, Presence, ProvisionError, Provisioned, Request},
};
use uuid::Uuid;

use crate::support::{Platform, WITHIN};

/// Makes things in two steps, of which the second may fail.
struct Maker {
    name: &'static str,
    /// Of what there is something.
    made: Mutex<BTreeSet<Uuid>>,
    /// Whether the second step fails.
    breaks: Mutex<bool>,
    /// Whether nothing can be removed.
    stuck: Mutex<bool>,
    /// With which parameters and state it was asked to remove what it then did.
    removed: Mutex<Vec<(Value, Value)>>,
}

impl Maker {
    fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            made: Mutex::default(),
            breaks: Mutex::default(),
            stuck: Mutex::default(),
            removed: Mutex::default(),
        })
    }

    fn breaks(&self, breaks: bool) {
        *self.breaks.lock().unwrap() = breaks;
    }

    fn is_stuck(&self, stuck: bool) {
        *self.stuck.lock().unwrap() = stuck;
    }

    fn has(&self) -> usize {
        self.made.lock().unwrap().len()
    }

    fn removed(&self) -> Vec<(Value, Value)> {
        self.removed.lock().unwrap().clone()
    }

    /// What it wants to know next time.
    fn state(&self) -> Value {
        json!({ "by": self.name })
    }
}

#[async_trait]
impl Provisioner for Maker {
    fn name(&self) -> &'static str {
        self.name
    }

    fn describe(&self) -> Description {
        Description {
            summary: "a thing of its own",
            outputs: &[("url", false)],
            ..Description::default()
        }
    }

    fn check(&self, _: &Map<String, Value>) -> Vec<Problem> {
        vec![]
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        self.made.lock().unwrap().insert(request.uid);
        if *self.breaks.lock().unwrap() {
            return Err(ProvisionError::transient("the second step fails"));
        }
        let url = Output::Plain(json!(self.name));
        Ok(Provisioned {
            outputs: [("url".to_owned(), url)].into(),
            state: self.state(),
            ..Provisioned::default()
        })
    }

    async fn retire(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        if *self.stuck.lock().unwrap() {
            return Err(ProvisionError::transient("the server is away"));
        }
        self.made.lock().unwrap().remove(&request.uid);
        let asked = (Value::Object(request.params.clone()), request.state.clone());
        self.removed.lock().unwrap().push(asked);
        Ok(())
    }

    async fn presence(&self, request: &Request) -> Presence {
        if self.made.lock().unwrap().contains(&request.uid) {
            Presence::Present
        } else {
            Presence::Absent
        }
    }

    async fn inventory(&self, _: Uuid) -> Result<Vec<String>, ProvisionError> {
        Ok(vec![])
    }

    fn listed_as(&self, _: &Request) -> Option<String> {
        None
    }
}

async fn start(makers: &[&Arc<Maker>]) -> Platform {
    let makers = (makers.iter()).map(|maker| -> Arc<dyn Provisioner> { (*maker).clone() });
    Platform::start_with(makers.collect()).await
}

/// Has things be made by `maker` from now on, with these parameters.
async fn define(platform: &Platform, maker: &Maker, params: &Value) {
    let thing = json!({
        "apiVersion": "towpath.dev/v1",
        "kind": "ResourceDefinition",
        "metadata": { "name": "thing" },
        "spec": { "type": "thing", "provisioner": maker.name, "params": params },
    });
    let documents = vec![thing];
    platform
        .delivery
        .apply(&Caller::local_admin(), ApplyRequest { documents })
        .await
        .unwrap();
}

/// Deploys what `maker` begins with, and cannot finish.
async fn half_made(platform: &Platform, maker: &Maker) {
    maker.breaks(true);
    platform.deploy("web", "hello").await;
    eventually("it is begun", WITHIN, || async {
        let message = platform.thing("web").await.status.message;
        (maker.has() == 1 && message == "the second step fails").then_some(())
    })
    .await;
}

/// Deletes the workload with all that was made for it.
async fn delete(platform: &Platform) {
    let caller = Caller::local_admin();
    let asked = platform
        .delivery
        .workload_delete(&caller, "dev", "web", true, None);
    asked.await.unwrap();
}

async fn gone(platform: &Platform) {
    eventually("the thing goes", WITHIN, || async {
        let all = platform.store.list_all(&Query::scope("dev")).await;
        let all: Vec<Resource<ResourceInstance>> = all.unwrap();
        all.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replaced_is_removed_by_its_maker_as_it_was_made() {
    let (one, two) = (Maker::new("one"), Maker::new("two"));
    let platform = start(&[&one, &two]).await;
    let (first, second) = (json!({ "program": "/bin/make" }), json!({ "room": 3 }));
    define(&platform, &one, &first).await;
    platform.deployed("web", "hello").await;
    define(&platform, &two, &second).await;
    platform.deployed("web", "hello").await;
    assert_eq!((one.has(), two.has()), (0, 1));
    assert_eq!(one.removed(), [(first, one.state())]);

    delete(&platform).await;
    gone(&platform).await;
    assert_eq!((one.has(), two.has()), (0, 0));
    assert_eq!(two.removed(), [(second, two.state())]);
    assert_eq!(one.removed().len(), 1, "nothing of it was there");
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_replaced_is_removed_by_its_maker_alone() {
    let (one, two) = (Maker::new("one"), Maker::new("two"));
    let platform = start(&[&one, &two]).await;
    let first = json!({ "program": "/bin/make" });
    define(&platform, &one, &first).await;
    platform.deployed("web", "hello").await;
    one.is_stuck(true);
    define(&platform, &two, &json!({})).await;
    platform.deploy("web", "hello").await;
    eventually("it says what it waits for", WITHIN, || async {
        let message = platform.thing("web").await.status.message;
        let said = "what is to be replaced is not removed: the server is away";
        (message == said).then_some(())
    })
    .await;
    assert_eq!(two.has(), 0);

    delete(&platform).await;
    eventually("its removal fails", WITHIN, || async {
        let status = platform.thing("web").await.status;
        status.removal_fails.is_some().then_some(())
    })
    .await;
    one.is_stuck(false);
    gone(&platform).await;
    assert_eq!(one.removed(), [(first, one.state())]);
    assert_eq!(two.removed(), [], "nobody began with it");
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_half_made_is_removed_by_who_began_with_it() {
    let (one, two) = (Maker::new("one"), Maker::new("two"));
    let platform = start(&[&one, &two]).await;
    let first = json!({ "program": "/bin/make" });
    define(&platform, &one, &first).await;
    half_made(&platform, &one).await;
    define(&platform, &two, &json!({})).await;
    platform.deployed("web", "hello").await;
    assert_eq!((one.has(), two.has()), (0, 1));
    assert_eq!(one.removed(), [(first, Value::Null)]);

    delete(&platform).await;
    gone(&platform).await;
    assert_eq!((one.has(), two.has()), (0, 0));
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_half_made_in_the_place_of_another_is_removed_too() {
    let (one, two, three) = (Maker::new("one"), Maker::new("two"), Maker::new("three"));
    let platform = start(&[&one, &two, &three]).await;
    define(&platform, &one, &json!({})).await;
    platform.deployed("web", "hello").await;
    define(&platform, &two, &json!({})).await;
    half_made(&platform, &two).await;
    assert_eq!(one.has(), 0);
    define(&platform, &three, &json!({})).await;
    platform.deployed("web", "hello").await;
    assert_eq!((one.has(), two.has(), three.has()), (0, 0, 1));
    assert_eq!(two.removed(), [(json!({}), Value::Null)]);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_half_changed_is_removed_as_it_was_and_as_it_was_to_be() {
    let one = Maker::new("one");
    let platform = start(&[&one]).await;
    let (before, after) = (json!({ "room": 1 }), json!({ "room": 2 }));
    define(&platform, &one, &before).await;
    platform.deployed("web", "hello").await;
    define(&platform, &one, &after).await;
    half_made(&platform, &one).await;
    delete(&platform).await;
    gone(&platform).await;
    assert_eq!(one.removed(), [(before, one.state()), (after, one.state())]);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_half_changed_twice_is_removed_as_each_of_them() {
    let one = Maker::new("one");
    let platform = start(&[&one]).await;
    let rooms = [1, 2, 3].map(|room| json!({ "room": room }));
    define(&platform, &one, &rooms[0]).await;
    platform.deployed("web", "hello").await;
    for (count, room) in [(1, &rooms[1]), (2, &rooms[2])] {
        define(&platform, &one, room).await;
        half_made(&platform, &one).await;
        eventually("it is written down", WITHIN, || async {
            let begun = platform.thing("web").await.status.begun;
            (begun.len() == count).then_some(())
        })
        .await;
    }
    delete(&platform).await;
    gone(&platform).await;
    let asked = rooms.map(|room| (room, one.state()));
    assert_eq!(one.removed(), asked);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_before_that_was_written_down_is_removed_as_it_was() {
    let one = Maker::new("one");
    let platform = start(&[&one]).await;
    let (before, after) = (json!({ "room": 1 }), json!({ "room": 2 }));
    define(&platform, &one, &before).await;
    platform.deployed("web", "hello").await;
    eventually("nothing says how it was made", WITHIN, || async {
        let mut thing = platform.thing("web").await;
        thing.status.made = None;
        let mut change = Change::new();
        change.status(&thing).unwrap();
        // Its reconciler writes, too.
        platform.store.commit(change).await.ok()
    })
    .await;
    define(&platform, &one, &after).await;
    half_made(&platform, &one).await;
    delete(&platform).await;
    gone(&platform).await;
    assert_eq!(one.removed(), [(before, one.state()), (after, one.state())]);
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_made_and_cannot_be_removed_is_corrected_all_the_same() {
    let (one, two) = (Maker::new("one"), Maker::new("two"));
    let platform = start(&[&one, &two]).await;
    let first = json!({ "program": "/bin/mkae" });
    define(&platform, &one, &first).await;
    half_made(&platform, &one).await;
    one.is_stuck(true);
    define(&platform, &two, &json!({ "room": 3 })).await;
    platform.deployed("web", "hello").await;
    // What is left is in nobody's place: what comes then changes the other one.
    let third = json!({ "room": 4 });
    define(&platform, &two, &third).await;
    platform.deployed("web", "hello").await;
    assert_eq!((one.has(), two.has()), (1, 1));
    assert_eq!(two.removed(), []);

    delete(&platform).await;
    eventually("its removal fails", WITHIN, || async {
        let status = platform.thing("web").await.status;
        status.removal_fails.is_some().then_some(())
    })
    .await;
    one.is_stuck(false);
    gone(&platform).await;
    assert_eq!((one.has(), two.has()), (0, 0));
    assert_eq!(one.removed(), [(first, Value::Null)]);
    assert_eq!(two.removed()[0], (third, two.state()));
    platform.driver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_secret_output_has_no_credentials_to_rotate() {
    let one = Maker::new("one");
    let platform = start(&[&one]).await;
    define(&platform, &one, &json!({})).await;
    platform.deployed("web", "hello").await;
    let thing = platform.thing("web").await;
    let caller = Caller::local_admin();
    let rotated = platform
        .delivery
        .resource_rotate(&caller, "dev", &thing.meta.name);
    let refused = rotated.await.unwrap_err();
    assert_eq!(refused.kind, kernel::ErrorKind::Conflict, "{refused}");
    assert!(refused.message.contains("has no credentials"), "{refused}");
    assert_eq!(platform.thing("web").await.spec.rotation, 1);
    platform.driver.shutdown().await;
}
