//! Drift is in the log before anything is sent to heal it, whatever becomes of that.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use kernel::{Driver, EventFilter, Store};
use serde_json::{Value, json};
use teams::{
    model::Step,
    reconcile::{IntegrationChanges, Integrations},
};
use testkit::eventually;

use crate::{
    reconcile::{SOON, World},
    support::serve,
};

/// What the tool does with what it is sent.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Takes,
    Fails,
    /// It says nothing, and the connection stays open.
    Hangs,
}

/// A tool that looks, whenever it is sent anything, at what the platform's log says by then.
struct Desk {
    store: Store,
    users: Mutex<Value>,
    answer: Mutex<Answer>,
    /// How many drifts were told of, as each request arrived.
    told: Mutex<Vec<usize>>,
}

type Shared = State<Arc<Desk>>;

async fn show(State(desk): Shared) -> Response {
    let users = desk.users.lock().unwrap().clone();
    Json(json!({ "users": users })).into_response()
}

async fn write(State(desk): Shared, Json(body): Json<Value>) -> StatusCode {
    let drifts = drifts(&desk.store).await;
    desk.told.lock().unwrap().push(drifts);
    let answer = *desk.answer.lock().unwrap();
    match answer {
        Answer::Takes => {
            *desk.users.lock().unwrap() = body["users"].clone();
            StatusCode::NO_CONTENT
        }
        Answer::Fails => StatusCode::INTERNAL_SERVER_ERROR,
        Answer::Hangs => std::future::pending().await,
    }
}

/// How many drifts the log tells of.
async fn drifts(store: &Store) -> usize {
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.integration.drift".into()),
        ..EventFilter::default()
    };
    store.events(&filter, 0, 1000).await.unwrap().len()
}

impl Desk {
    /// A tool that is in step with the team.
    async fn kept(world: &World) -> Arc<Self> {
        let desk = Arc::new(Self {
            store: world.store.clone(),
            users: Mutex::new(json!([])),
            answer: Mutex::new(Answer::Takes),
            told: Mutex::default(),
        });
        let router = Router::new()
            .route("/spaces/payments", get(show).put(write))
            .with_state(desk.clone());
        let url = serve(router).await;
        let users = "{{ team.members | map(attribute='name') | list | tojson }}";
        let new = json!({
            "type": "http",
            "config": { "url": url, "checks": [{
                "name": "space",
                "get": "/spaces/{{ team.name }}",
                "equals": { "/users": users },
                "update": {
                    "method": "PUT",
                    "path": "/spaces/{{ team.name }}",
                    "body": format!("{{\"users\": {users}}}"),
                },
            }] },
        });
        world.put("desk", new).await;
        world.is("payments", "desk", Step::InStep).await;
        desk.has(&json!(["ada", "bob"])).await;
        desk.told.lock().unwrap().clear();
        desk
    }

    /// Somebody changes it by hand, and it answers so from then on.
    async fn by_hand(&self, world: &World, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
        *self.users.lock().unwrap() = json!(["ada", "eve"]);
        world.sync().await;
        eventually("it is sent what should be", SOON, async || {
            (!self.told.lock().unwrap().is_empty()).then_some(())
        })
        .await;
    }

    async fn has(&self, users: &Value) {
        eventually("the tool is in step", SOON, async || {
            (*self.users.lock().unwrap() == *users).then_some(())
        })
        .await;
    }
}

/// What was told, by type, of the look that found the drift and of those after it.
async fn since_drift(world: &World) -> Vec<String> {
    let told = world.told().await.into_iter().map(|(kind, _)| kind);
    told.skip_while(|kind| kind != "drift").collect()
}

#[tokio::test]
async fn drift_that_cannot_be_healed_is_told_before_anybody_tries() {
    let world = World::new().await;
    let desk = Desk::kept(&world).await;
    desk.by_hand(&world, Answer::Fails).await;
    let status = world.is("payments", "desk", Step::Unknown).await;
    assert!(status.message.contains("500"), "{status:?}");
    assert_eq!(status.drifts, 1);
    // Tried again and again, it is the same drift.
    world.sync().await;
    eventually("it is tried again", SOON, async || {
        (desk.told.lock().unwrap().len() >= 3).then_some(())
    })
    .await;
    *desk.answer.lock().unwrap() = Answer::Takes;
    world.sync().await;
    desk.has(&json!(["ada", "bob"])).await;
    let status = world.is("payments", "desk", Step::InStep).await;
    assert_eq!(status.drifts, 1);
    assert_eq!(since_drift(&world).await, ["drift", "mended", "mended"]);
    let told = desk.told.lock().unwrap().clone();
    assert!(told.iter().all(|drifts| *drifts == 1), "{told:?}");
    world.driver.shutdown().await;
}

#[tokio::test]
async fn who_is_killed_while_healing_has_told_and_heals_after_it() {
    let mut world = World::new().await;
    let desk = Desk::kept(&world).await;
    desk.by_hand(&world, Answer::Hangs).await;
    assert_eq!(drifts(&world.store).await, 1);
    assert_eq!(since_drift(&world).await, ["drift"]);
    // Killed with the request under way: the lease is not given up, and what was sent is not known to have come.
    let anew = Driver::new(world.store.clone(), "test".into())
        .with(Arc::new(Integrations(world.teams.clone())))
        .with(Arc::new(IntegrationChanges(world.teams.clone())));
    drop(std::mem::replace(&mut world.driver, anew.start()));
    *desk.answer.lock().unwrap() = Answer::Takes;
    desk.has(&json!(["ada", "bob"])).await;
    // One drift, in the log and by count.
    eventually("it is told that it is healed", SOON, async || {
        (since_drift(&world).await == ["drift", "mended"]).then_some(())
    })
    .await;
    let status = world.is("payments", "desk", Step::InStep).await;
    assert_eq!(status.drifts, 1);
    assert_eq!(*desk.told.lock().unwrap(), [1, 1]);
    world.driver.shutdown().await;
}
