//! A platform's subscriptions over a store, spoken to through their routes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{Request, header},
    middleware::from_fn,
};
use kernel::{
    Action, Authorizer, Backoff, Caller, CallerKind, Cause, Change, Guard, Key, NewEvent, Ruling,
    Sealer, Secret, Store, Target,
    http::{Authenticator, Rooms, correlate},
    outbound::Reach,
};
use serde_json::{Value, json};
use subscriptions::{Deliveries, Settings, Subscriptions, port::Customers};
use testkit::Database;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

/// How long anything may take.
pub(crate) const SOON: Duration = testkit::PATIENCE;

/// Members do everything with what is their team's; operators do everything. Members do nothing with what the test
/// hides, and what they may do is not decided of things that it has doubts of, as often as it says.
#[derive(Clone, Default)]
struct Members(Arc<(Mutex<Doubts>, Condvar)>);

#[derive(Default)]
struct Doubts {
    /// How often more, by the names of things.
    left: BTreeMap<String, usize>,
    hidden: BTreeSet<String>,
    /// The task that asked when there was doubt for the first time: the one that reads the log.
    reader: Option<tokio::task::Id>,
    /// How often there was doubt for others.
    beside: usize,
    /// Whether these take their time.
    held: bool,
}

impl Members {
    fn doubts(&self, caller: &Caller, target: &Target<'_>) -> bool {
        let (doubts, changed) = &*self.0;
        let mut doubts = doubts.lock().unwrap();
        let left = doubts.left.get_mut(target.name).filter(|_| !caller.admin);
        let Some(left) = left.filter(|left| **left > 0) else {
            return false;
        };
        *left -= 1;
        let asks = tokio::task::try_id();
        doubts.reader = doubts.reader.or(asks);
        if asks != doubts.reader {
            doubts.beside += 1;
            let is_held = |doubts: &mut Doubts| doubts.held;
            drop(changed.wait_timeout_while(doubts, SOON, is_held).unwrap());
        }
        true
    }

    fn may(&self, caller: &Caller, target: &Target<'_>) -> bool {
        let is_hidden = self.0.0.lock().unwrap().hidden.contains(target.name);
        caller.admin || !is_hidden && caller.teams.iter().any(|team| team == target.team)
    }
}

impl Authorizer for Members {
    fn decide(&self, caller: &Caller, _: Action, target: &Target<'_>) -> Ruling {
        Ruling {
            allowed: self.may(caller, target),
            undecided: self.doubts(caller, target),
            ..Ruling::default()
        }
    }

    fn sources(&self) -> Vec<(String, String)> {
        vec![]
    }
}

/// The teams that are customers, with their uids.
#[derive(Clone)]
pub(crate) struct Registered(Arc<Mutex<BTreeMap<String, Uuid>>>);

impl Registered {
    /// The same on each replica.
    fn new() -> Self {
        let teams =
            [("pay", 1), ("shop", 2)].map(|(team, uid)| (team.into(), Uuid::from_u128(uid)));
        Self(Arc::new(Mutex::new(teams.into())))
    }

    pub(crate) fn onboard(&self, team: &str) {
        let mut teams = self.0.lock().unwrap();
        teams.insert(team.into(), Uuid::now_v7());
    }

    pub(crate) fn offboard(&self, team: &str) {
        self.0.lock().unwrap().remove(team);
    }
}

#[async_trait]
impl Customers for Registered {
    async fn current(&self) -> kernel::Result<()> {
        Ok(())
    }

    fn team(&self, name: &str) -> Option<Uuid> {
        self.0.lock().unwrap().get(name).copied()
    }
}

/// The token is the team's name, or `admin`.
struct Teams;

#[async_trait]
impl Authenticator for Teams {
    async fn authenticate(&self, token: &Secret) -> kernel::Result<Caller> {
        let token = token.expose_str().unwrap_or_default();
        let admin = Caller::local_admin();
        Ok(match token {
            "admin" => admin,
            team => Caller {
                subject: format!("local:{team}"),
                kind: CallerKind::Person,
                teams: vec![team.into()],
                admin: false,
                ..admin
            },
        })
    }
}

/// Tries that follow each other at once, and wherever the test's receivers are.
pub(crate) fn settings() -> Settings {
    Settings {
        reach: Reach::public_and(vec!["127.0.0.0/8".parse().unwrap()]),
        patience: Duration::from_secs(10),
        attempts: 3,
        backoff: Backoff::new(Duration::from_millis(5), Duration::from_millis(20)),
        note_every: Duration::from_millis(20),
        ..Settings::default()
    }
}

/// One replica.
pub(crate) struct Replica {
    pub(crate) store: Store,
    pub(crate) service: Arc<Subscriptions>,
    pub(crate) teams: Registered,
    policy: Members,
    routes: Router,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Replica {
    pub(crate) fn new(store: Store, settings: Settings) -> Self {
        let policy = Members::default();
        let guard = Guard::new(store.clone(), Arc::new(policy.clone()));
        let teams = Registered::new();
        let customers = Arc::new(teams.clone());
        let service = Subscriptions::new(store.clone(), guard, customers, settings).unwrap();
        let service = Arc::new(service);
        let authenticator: Arc<dyn Authenticator> = Arc::new(Teams);
        let routes = subscriptions::http::routes(service.clone())
            .fallback(kernel::http::no_such_route)
            .layer(Extension(authenticator))
            .layer(Extension(Rooms::default()))
            .layer(from_fn(correlate));
        Self {
            store,
            service,
            teams,
            policy,
            routes,
            stop: CancellationToken::new(),
            task: None,
        }
    }

    /// Has policy not decide what members may do with things of this name, so many times more.
    pub(crate) fn doubt(&self, name: &str, times: usize) {
        self.policy_is(|doubts| doubts.left.insert(name.into(), times));
    }

    /// Has members do nothing with things of this name.
    pub(crate) fn hide(&self, name: &str) {
        self.policy_is(|doubts| doubts.hidden.insert(name.into()));
    }

    /// Whether policy takes its time to doubt, but for the task that reads the log.
    pub(crate) fn hold(&self, held: bool) {
        self.policy_is(|doubts| doubts.held = held);
        self.policy.0.1.notify_all();
    }

    /// How often policy has begun to doubt beside that.
    pub(crate) fn doubted(&self) -> usize {
        self.policy_is(|doubts| doubts.beside)
    }

    fn policy_is<T>(&self, so: impl FnOnce(&mut Doubts) -> T) -> T {
        so(&mut self.policy.0.0.lock().unwrap())
    }

    /// Begins to deliver.
    pub(crate) fn deliver(self) -> Self {
        self.deliver_for(kernel::lease::LEASE_TTL)
    }

    /// The same, with a lease that ends soon after the replica was killed.
    pub(crate) fn deliver_briefly(self) -> Self {
        self.deliver_for(Duration::from_secs(1))
    }

    fn deliver_for(mut self, ttl: Duration) -> Self {
        let deliveries = Deliveries::new(self.service.clone(), "test").lease_ttl(ttl);
        self.task = Some(tokio::spawn(deliveries.run(self.stop.clone())));
        self
    }

    /// Stops in order.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }

    /// Ends as by `kill -9`: nothing is noted, and the lease is not given up.
    pub(crate) fn kill(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// What the API answers `who`.
    pub(crate) async fn ask(
        &self,
        who: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {who}"))
            .header(header::CONTENT_TYPE, "application/json");
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let request = request.body(body).unwrap();
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Makes a subscription of team `pay`; gives its secret.
    pub(crate) async fn subscribe(&self, name: &str, types: &[&str], url: &str) -> Secret {
        let path = format!("/v1/teams/pay/subscriptions/{name}");
        let body = json!({ "types": types, "url": url });
        let (status, answer) = self.ask("pay", "PUT", &path, body).await;
        assert_eq!(status, 201, "{answer}");
        Secret::from(answer["secret"].as_str().unwrap())
    }

    /// One of its subscriptions, as it is.
    pub(crate) async fn show(&self, name: &str) -> Value {
        let path = format!("/v1/teams/pay/subscriptions/{name}");
        let (status, answer) = self.ask("pay", "GET", &path, Value::Null).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The dead letters of one.
    pub(crate) async fn letters(&self, name: &str) -> Vec<Value> {
        let path = format!("/v1/teams/pay/subscriptions/{name}/dead-letters");
        let (status, answer) = self.ask("pay", "GET", &path, Value::Null).await;
        assert_eq!(status, 200, "{answer}");
        answer["items"].as_array().unwrap().clone()
    }
}

pub(crate) async fn store() -> (Store, Database) {
    let database = Database::of_test().await;
    let store = Store::open(&database.url(), Sealer::generate().unwrap()).await;
    (store.unwrap(), database)
}

/// A platform that delivers.
pub(crate) async fn platform() -> (Replica, Database) {
    let (store, database) = store().await;
    (Replica::new(store, settings()).deliver(), database)
}

/// Has something happen to team `team`'s thing `name`.
pub(crate) async fn happen(store: &Store, team: &str, what: &str, name: &str) {
    happen_all(store, team, what, &[name.to_owned()]).await;
}

/// The same several times, in one commit.
pub(crate) async fn happen_all(store: &Store, team: &str, what: &str, names: &[String]) {
    let mut change = Change::new();
    for name in names {
        change.event(NewEvent {
            kind: format!("dev.towpath.{what}"),
            subject: Key {
                kind: "Thing".into(),
                scope: "env".into(),
                name: name.clone(),
            },
            team: team.into(),
            cause: Cause {
                actor: "local:ada".into(),
                ..Cause::system("test", Uuid::now_v7())
            },
            outcome: None,
            data: json!({ "name": name }),
        });
    }
    store.commit(change).await.unwrap();
}

/// All that the log holds, as text.
pub(crate) async fn log(store: &Store) -> String {
    let events = store.events(&kernel::EventFilter::default(), 0, 1000).await;
    serde_json::to_string(&events.unwrap()).unwrap()
}
