//! A tool that people change by hand: the drift is told, then healed.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use kernel::{
    Caller, Change, Driver, DriverHandle, Error, EventFilter, Guard, Key, NewEvent, Resource,
    Sealer, Store, outbound::Reach,
};
use serde_json::{Value, json};
use teams::{
    Registry, Settings, Teams,
    api::NewIntegration,
    model::{IntegrationState, IntegrationStatus, Offboarding, Step, Team, TeamSpec, Truth},
    reconcile::{IntegrationChanges, Integrations, integrations_left, integrations_ready},
    service::Ports,
};
use testkit::{Database, eventually};

use crate::{
    others::{Nothing, Operators, Source, Upstream},
    support::serve,
};

testkit::on_both!(
    what_is_changed_by_hand_is_told_and_healed,
    on_silence_nothing_is_done,
    why_nobody_can_say_who_is_in_a_team_is_told_whole,
    another_may_take_a_tool_over_and_teams_know_nothing_of_it,
    a_team_that_leaves_has_nobody_in_any_tool_before_it_has_left,
);

pub(crate) const SOON: Duration = testkit::PATIENCE;

/// What the tool has; none: the team is unknown to it. `away`: it answers nothing of use.
#[derive(Default)]
struct Wiki {
    users: Option<Value>,
    away: bool,
    writes: usize,
}

type Shared = State<Arc<Mutex<Wiki>>>;

async fn show(State(wiki): Shared) -> Response {
    let wiki = wiki.lock().unwrap();
    match &wiki.users {
        _ if wiki.away => StatusCode::BAD_GATEWAY.into_response(),
        Some(users) => Json(json!({ "users": users })).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn write(State(wiki): Shared, Json(body): Json<Value>) -> StatusCode {
    let mut wiki = wiki.lock().unwrap();
    wiki.users = Some(body["users"].clone());
    wiki.writes += 1;
    StatusCode::NO_CONTENT
}

/// Begins to look after all integrations.
pub(crate) fn driven(store: &Store, teams: &Arc<Teams>) -> DriverHandle {
    Driver::new(store.clone(), "test".into())
        .with(Arc::new(Integrations(teams.clone())))
        .with(Arc::new(IntegrationChanges(teams.clone())))
        .start()
}

/// The team is a customer no longer.
pub(crate) async fn offboard(store: &Store) {
    let mut team = store.expect::<Team>("", "payments").await.unwrap();
    team.spec.offboarding = Some(Offboarding {
        since: team.meta.created,
        by: "local:max".into(),
        include_protected: false,
    });
    let mut change = Change::new();
    change.spec(&team).unwrap();
    store.commit(change).await.unwrap();
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) teams: Arc<Teams>,
    pub(crate) source: Arc<Source>,
    /// Who has logged in by the upstream.
    pub(crate) seen: Arc<Mutex<BTreeSet<String>>>,
    /// Of whom the upstream has said that they are in the group no longer.
    pub(crate) left: Arc<Mutex<BTreeSet<String>>>,
    /// Whether it has told of somebody who is not logged in.
    pub(crate) some: Arc<Mutex<bool>>,
    /// Why nobody can say which upstreams there are.
    unknown: Arc<Mutex<Option<Error>>>,
    wiki: Arc<Mutex<Wiki>>,
    url: String,
    pub(crate) driver: DriverHandle,
    _database: Database,
}

pub(crate) async fn add_team(store: &Store, name: &str) {
    let mut team = Resource::<Team>::new("", name, TeamSpec::default());
    team.spec.group = name.into();
    let mut change = Change::new();
    change.create(&team).unwrap();
    store.commit(change).await.unwrap();
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::begin(async |_| ()).await
    }

    /// Where `before` was written before anybody looked.
    pub(crate) async fn begin(before: impl AsyncFnOnce(&Store)) -> Self {
        let database = Database::of_test().await;
        let sealer = Sealer::generate().unwrap();
        let store = Store::open(&database.url(), sealer).await.unwrap();
        let wiki = Arc::new(Mutex::new(Wiki::default()));
        let router = Router::new()
            .route("/spaces/payments", get(show).put(write))
            .with_state(wiki.clone());
        let url = serve(router).await;
        let members = ["ada".to_owned(), "bob".to_owned()].into();
        let source = Arc::new(Source(Mutex::new(Some(members))));
        let upstream = Upstream {
            seen: Arc::default(),
            left: Arc::default(),
            some: Arc::default(),
            unknown: Arc::default(),
        };
        let (seen, left) = (upstream.seen.clone(), upstream.left.clone());
        let (some, unknown) = (upstream.some.clone(), upstream.unknown.clone());
        let reach = Reach::public_and(vec!["127.0.0.0/8".parse().unwrap()]);
        let ports = Ports {
            local: source.clone(),
            upstreams: Arc::new(upstream),
            credentials: Arc::new(Nothing),
            secrets: Arc::new(Nothing),
            belongings: vec![Arc::new(Nothing)],
            tools: integrations::tools(reach).unwrap(),
        };
        let guard = Guard::new(store.clone(), Arc::new(Operators));
        let registry = Registry::load(store.clone(), vec![]).await.unwrap();
        let settings = Settings::default();
        let teams = Teams::new(store.clone(), guard, registry, ports, settings);
        let teams = Arc::new(teams);
        add_team(&store, "payments").await;
        before(&store).await;
        let driver = driven(&store, &teams);
        Self {
            store,
            teams,
            source,
            seen,
            left,
            some,
            unknown,
            wiki,
            url,
            driver,
            _database: database,
        }
    }

    /// Makes an integration, or changes one.
    pub(crate) async fn put(&self, name: &str, new: Value) {
        let new: NewIntegration = serde_json::from_value(new).unwrap();
        let admin = Caller::local_admin();
        let made = self.teams.integration_put(&admin, name, new, None);
        made.await.unwrap();
    }

    /// Waits for how far `name` is with `team`.
    pub(crate) async fn is(&self, team: &str, name: &str, step: Step) -> IntegrationStatus {
        eventually("the state is as expected", SOON, async || {
            let state = self.store.get::<IntegrationState>(team, name);
            let state = state.await.unwrap();
            let mut state = state.filter(|state| state.status.step == step)?;
            // By its labels it is found where those alone are read that are not as they
            // should be.
            assert!(!IntegrationState::mark(&mut state), "{state:?}");
            Some(state.status)
        })
        .await
    }

    async fn integrate(&self, enabled: bool) {
        let new = json!({
            "type": "http",
            "enabled": enabled,
            "credential": "canary",
            "config": {
                "url": self.url,
                "headers": { "Authorization": "Bearer {{ credential }}" },
                "checks": [{
                    "name": "space",
                    "get": "/spaces/{{ team.name }}",
                    "equals": {
                        "/users": "{{ team.members | map(attribute='name') | list | tojson }}"
                    },
                    "update": {
                        "method": "PUT",
                        "path": "/spaces/{{ team.name }}",
                        "body": "{\"users\": {{ team.members | map(attribute='name') | list | tojson }}}",
                    },
                }],
            },
        });
        self.put("wiki", new).await;
    }

    /// As the tick of teams does, whoever listens.
    pub(crate) async fn sync(&self) {
        let mut change = Change::new();
        change.event(NewEvent::caused(
            "team.sync",
            Key::of::<Team>("", "payments"),
            "payments",
            &Caller::local_admin(),
            None,
            json!({ "team": "payments", "generation": 1 }),
        ));
        self.store.commit(change).await.unwrap();
    }

    /// The team is a customer no longer.
    pub(crate) async fn offboard(&self) {
        offboard(&self.store).await;
    }

    async fn status(&self) -> Option<IntegrationStatus> {
        let state = self.store.get::<IntegrationState>("payments", "wiki");
        state.await.unwrap().map(|state| state.status)
    }

    async fn reaches(&self, step: Step) -> IntegrationStatus {
        self.is("payments", "wiki", step).await
    }

    async fn has(&self, users: Value) {
        eventually("the tool is in step", SOON, async || {
            (self.wiki.lock().unwrap().users == Some(users.clone())).then_some(())
        })
        .await;
    }

    /// What was told of the tool, in order.
    pub(crate) async fn told(&self) -> Vec<(String, Value)> {
        let filter = EventFilter {
            type_prefix: Some("dev.towpath.integration.".into()),
            ..EventFilter::default()
        };
        let events = self.store.events(&filter, 0, 1000).await.unwrap();
        let own = events.into_iter().filter(|event| event.team == "payments");
        own.map(|event| {
            (
                event.kind["dev.towpath.integration.".len()..].to_owned(),
                event.data,
            )
        })
        .collect()
    }

    async fn ready(&self) -> Truth {
        let team = self.store.expect::<Team>("", "payments").await.unwrap();
        integrations_ready(&self.store, &team).await.unwrap().status
    }
}

async fn what_is_changed_by_hand_is_told_and_healed() {
    let world = World::new().await;
    assert_eq!(world.ready().await, Truth::True);
    world.integrate(true).await;
    world.reaches(Step::InStep).await;
    world.has(json!(["ada", "bob"])).await;
    assert_eq!(world.ready().await, Truth::True);
    let kinds = |told: &[(String, Value)]| -> Vec<String> {
        told.iter().map(|(kind, _)| kind.clone()).collect()
    };
    assert_eq!(kinds(&world.told().await), ["update", "mended"]);

    // By hand.
    world.wiki.lock().unwrap().users = Some(json!(["ada", "eve"]));
    world.sync().await;
    world.has(json!(["ada", "bob"])).await;
    let told = eventually("that it is mended is told", SOON, async || {
        Some(world.told().await).filter(|told| told.len() == 4)
    })
    .await;
    assert_eq!(kinds(&told), ["update", "mended", "drift", "mended"]);
    assert_eq!(world.status().await.map(|status| status.drifts), Some(1));
    let expected = json!([{
        "what": "space/users", "found": r#"["ada","eve"]"#, "wanted": r#"["ada","bob"]"#,
    }]);
    assert_eq!(told[2].1["differences"], expected);

    // Somebody leaves: that is no drift.
    *world.source.0.lock().unwrap() = Some(["ada".to_owned()].into());
    world.sync().await;
    world.has(json!(["ada"])).await;
    eventually("it is told", SOON, async || {
        (kinds(&world.told().await).len() == 6).then_some(())
    })
    .await;
    assert_eq!(world.told().await[4].0, "update");
    let log = serde_json::to_string(&world.told().await).unwrap();
    assert!(!log.contains("canary"), "{log}");
    world.driver.shutdown().await;
}

async fn on_silence_nothing_is_done() {
    let world = World::new().await;
    world.integrate(true).await;
    world.reaches(Step::InStep).await;
    let writes = world.wiki.lock().unwrap().writes;
    // The tool: whatever it has, nobody knows.
    world.wiki.lock().unwrap().away = true;
    world.sync().await;
    let status = world.reaches(Step::Unknown).await;
    assert!(status.message.contains("502"), "{status:?}");
    assert_eq!(world.ready().await, Truth::Unknown);
    world.wiki.lock().unwrap().away = false;
    world.reaches(Step::InStep).await;
    // The source: that it says nothing takes nobody out.
    *world.source.0.lock().unwrap() = None;
    world.sync().await;
    world.reaches(Step::Unknown).await;
    assert_eq!(world.wiki.lock().unwrap().writes, writes);
    world.driver.shutdown().await;
}

async fn why_nobody_can_say_who_is_in_a_team_is_told_whole() {
    let world = World::new().await;
    world.integrate(true).await;
    world.reaches(Step::InStep).await;
    let writes = world.wiki.lock().unwrap().writes;
    let error = Error::invalid("the upstream `corp` is none").remedy("write its issuer anew");
    *world.unknown.lock().unwrap() = Some(error);
    world.sync().await;
    // The tool has refused nothing: it is not out of step.
    let status = world.reaches(Step::Unknown).await;
    assert_eq!(
        status.message,
        "the upstream `corp` is none: write its issuer anew"
    );
    *world.unknown.lock().unwrap() = None;
    world.sync().await;
    world.reaches(Step::InStep).await;
    assert_eq!(world.wiki.lock().unwrap().writes, writes);
    world.driver.shutdown().await;
}

/// What was told three times, and late, gives what was told once: each look is at what is so now.
async fn another_may_take_a_tool_over_and_teams_know_nothing_of_it() {
    let world = World::new().await;
    world.integrate(true).await;
    world.reaches(Step::InStep).await;
    for _ in 0..3 {
        world.sync().await;
    }
    let team = async || world.store.expect::<Team>("", "payments").await.unwrap();
    let before = team().await.document().unwrap();
    world.integrate(false).await;
    eventually("nobody looks any more", SOON, async || {
        world.status().await.is_none().then_some(())
    })
    .await;
    let writes = world.wiki.lock().unwrap().writes;
    assert_eq!(writes, 1);
    // What the other does stays as it does it.
    world.wiki.lock().unwrap().users = Some(json!(["theirs"]));
    world.sync().await;
    eventually("the sync is through", SOON, async || {
        let stats = world.driver.stats();
        let idle = stats
            .iter()
            .all(|queue| queue.waiting == 0 && queue.running == 0);
        idle.then_some(())
    })
    .await;
    assert_eq!(world.wiki.lock().unwrap().users, Some(json!(["theirs"])));
    assert_eq!(team().await.document().unwrap(), before);
    assert_eq!(world.ready().await, Truth::True);
    world.driver.shutdown().await;
}

async fn a_team_that_leaves_has_nobody_in_any_tool_before_it_has_left() {
    let world = World::new().await;
    world.integrate(true).await;
    world.reaches(Step::InStep).await;
    let team = async || world.store.expect::<Team>("", "payments").await.unwrap();
    let left = async || {
        integrations_left(&world.store, &team().await)
            .await
            .unwrap()
    };
    world.wiki.lock().unwrap().away = true;
    world.offboard().await;
    assert_eq!(left().await.len(), 1);
    world.reaches(Step::Unknown).await;
    assert!(left().await[0].contains("502"));
    world.wiki.lock().unwrap().away = false;
    world.has(json!([])).await;
    eventually("it is known", SOON, async || {
        left().await.is_empty().then_some(())
    })
    .await;
    world.driver.shutdown().await;
}
