//! Deploy credentials: kept, rotated by the clock and on request, and killed at every step.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use identity::model::{AccountKind, IssuedKey, ServiceAccount, ServiceAccountSpec};
use jiff::Timestamp;
use kernel::{
    Caller, CallerKind, Change, Error, ErrorKind, Guard, Key, Name, Next, Reconciler as _,
    Resource, Result, Secret, Store,
    reconciler::{Context, Nudges},
};
use policy::{Bundle, RegoAuthorizer};
use secrets::{
    DeployCredentials, DeployKeys, DrawnKey, Sealed, SecretStore, Secrets, Value, Write,
    model::{DeployCredential, Origin, SecretInfo, SecretRef},
};
use serde_json::json;

use crate::support::{Desk, Room, caller};

/// Does the first `after` steps, and then fails once: before it does the next, or after it has done it.
#[derive(Default)]
struct Killer {
    step: AtomicUsize,
    /// The step that fails; 0: none.
    at: AtomicUsize,
}

impl Killer {
    fn dead() -> Error {
        Error::unavailable("killed")
    }

    /// One step; an error where it is the one.
    fn step(&self) -> Result<()> {
        let step = self.step.fetch_add(1, Ordering::SeqCst) + 1;
        if step == self.at.load(Ordering::SeqCst) {
            return Err(Self::dead());
        }
        Ok(())
    }
}

/// Identity, as far as it matters: accounts in the store, and which keys were drawn.
struct Accounts {
    store: Store,
    killer: Arc<Killer>,
    drawn: Mutex<BTreeMap<String, Secret>>,
}

#[async_trait]
impl DeployKeys for Accounts {
    fn draw(&self) -> Result<DrawnKey> {
        let mut drawn = self.drawn.lock().unwrap();
        let id = format!("k{}", drawn.len() + 1);
        let secret = Secret::from(format!("canary-{id}"));
        drawn.insert(id.clone(), secret.clone());
        Ok(DrawnKey { id, secret })
    }

    async fn take(&self, _: &Caller, team: &str, account: &str, key: &DrawnKey) -> Result<()> {
        self.killer.step()?;
        let mut account = self.store.expect::<ServiceAccount>(team, account).await?;
        if !account.status.keys.iter().any(|known| known.id == key.id) {
            let slot = account.status.next_slot();
            account.status.rotate(IssuedKey {
                id: key.id.clone(),
                created: Timestamp::now(),
                slot,
            });
            let mut change = Change::new();
            change.status(&account)?;
            self.store.commit(change).await?;
        }
        self.killer.step()
    }

    async fn end(&self, _: &Caller, team: &str, account: &str, key: &str) -> Result<()> {
        self.killer.step()?;
        let mut account = self.store.expect::<ServiceAccount>(team, account).await?;
        account.status.keys.retain(|known| known.id != key);
        let mut change = Change::new();
        change.status(&account)?;
        self.store.commit(change).await?;
        self.killer.step()
    }
}

/// A store of secrets that is killed at writes.
struct Mortal(Sealed, Arc<Killer>);

#[async_trait]
impl SecretStore for Mortal {
    fn name(&self) -> &'static str {
        "mortal"
    }

    async fn put(&self, by: &Caller, secret: &SecretRef, write: Write) -> Result<SecretInfo> {
        self.1.step()?;
        let info = self.0.put(by, secret, write).await?;
        self.1.step().map(|()| info)
    }

    async fn get(&self, secret: &SecretRef, version: Option<u64>) -> Result<Option<Value>> {
        self.0.get(secret, version).await
    }

    async fn info(&self, secret: &SecretRef) -> Result<Option<SecretInfo>> {
        self.1.step()?;
        self.0.info(secret).await
    }

    async fn list(&self, team: &Name) -> Result<Vec<SecretInfo>> {
        self.0.list(team).await
    }

    async fn delete(&self, by: &Caller, secret: &SecretRef, expected: Option<u64>) -> Result<bool> {
        self.1.step()?;
        self.0.delete(by, secret, expected).await
    }
}

struct World {
    room: Room,
    context: Context,
    killer: Arc<Killer>,
    accounts: Arc<Accounts>,
    clock: Arc<AtomicI64>,
}

/// Makes the account, for `environment`.
async fn make_account(store: &Store, environment: &str) {
    let spec = ServiceAccountSpec {
        kind: AccountKind::Deploy,
        environment: Some(environment.into()),
        ..ServiceAccountSpec::default()
    };
    let account = Resource::<ServiceAccount>::new("payments", "ci", spec);
    let mut change = Change::new();
    change.create(&account).unwrap();
    store.commit(change).await.unwrap();
}

/// Where the key of the account for `environment` is kept.
fn place_for(environment: &str) -> SecretRef {
    let name = format!("deploy-credentials/{environment}/ci");
    SecretRef::new("payments", &name).unwrap()
}

impl World {
    async fn new() -> Self {
        let room = Room::sqlite().await;
        let store = room.store.clone();
        let fence = store.acquire("test", "me", Duration::from_hours(1)).await;
        let context = Context {
            store: store.clone(),
            fence: fence.unwrap().unwrap(),
            stop: Default::default(),
            nudges: Nudges::channel().0,
        };
        let killer = Arc::new(Killer::default());
        let accounts = Arc::new(Accounts {
            store: store.clone(),
            killer: killer.clone(),
            drawn: Mutex::default(),
        });
        make_account(&store, "payments-dev").await;
        let clock = Arc::new(AtomicI64::new(Timestamp::now().as_millisecond()));
        Self {
            room,
            context,
            killer,
            accounts,
            clock,
        }
    }

    fn advance(&self, hours: i64) {
        self.clock.fetch_add(hours * 3_600_000, Ordering::SeqCst);
    }

    /// One look, by a reconciler that knows nothing of any before.
    async fn look(&self) -> Result<Next> {
        let clock = self.clock.clone();
        let values = Mortal(Sealed::new(self.room.store.clone()), self.killer.clone());
        let reconciler = DeployCredentials::with_clock(
            Arc::new(values),
            self.accounts.clone(),
            Arc::new(move || Timestamp::from_millisecond(clock.load(Ordering::SeqCst)).unwrap()),
        );
        let key = Key::of::<ServiceAccount>("payments", "ci");
        reconciler.reconcile(&self.context, &key).await
    }

    /// Looks until there is nothing to do; gives how long until there is.
    async fn settle(&self) -> Result<Next> {
        loop {
            match self.look().await? {
                Next::After(Duration::ZERO) => self.assert_what_is_kept_is_valid().await,
                next => return Ok(next),
            }
        }
    }

    /// Has the next step fail.
    fn fail_next(&self) {
        let next = self.killer.step.load(Ordering::SeqCst) + 1;
        self.killer.at.store(next, Ordering::SeqCst);
    }

    async fn kept(&self) -> Option<String> {
        self.kept_for("payments-dev").await
    }

    async fn kept_for(&self, environment: &str) -> Option<String> {
        let values = Sealed::new(self.room.store.clone());
        let found = values.get(&place_for(environment), None).await.unwrap()?;
        Some(found.value.expose_str().unwrap().to_owned())
    }

    async fn valid(&self) -> Vec<String> {
        let account = self.room.store.expect::<ServiceAccount>("payments", "ci");
        let keys = account.await.unwrap().status.keys;
        keys.into_iter()
            .map(|key| format!("canary-{}", key.id))
            .collect()
    }

    /// Has the first key end, as somebody of the team.
    async fn end_first(&self, kind: CallerKind) -> Result<()> {
        let store = self.room.store.clone();
        let rules = RegoAuthorizer::new(&Bundle::default()).unwrap();
        let guard = Guard::new(store.clone(), Arc::new(rules));
        let secrets = Secrets::new(store.clone(), guard, Arc::new(Sealed::new(store)));
        let (by, keys) = (caller(kind, "payments"), ["k1".to_owned()]);
        secrets.end_keys(&by, "payments", "ci", &keys).await
    }

    async fn assert_what_is_kept_is_valid(&self) {
        if let Some(kept) = self.kept().await {
            let valid = self.valid().await;
            assert!(
                valid.contains(&kept),
                "{kept} is kept, and {valid:?} are valid"
            );
        }
    }
}

#[tokio::test]
async fn two_keys_are_valid_and_the_newest_is_kept() {
    let world = World::new().await;
    assert!(matches!(world.settle().await.unwrap(), Next::After(_)));
    assert_eq!(world.kept().await.as_deref(), Some("canary-k1"));
    assert_eq!(world.valid().await, ["canary-k1"]);
    // Nothing is due before its time.
    world.advance(24 * 7 - 2);
    world.settle().await.unwrap();
    assert_eq!(world.kept().await.as_deref(), Some("canary-k1"));
    // A key is never older than seven days, and still valid after one rotation, not after two.
    world.advance(1);
    world.settle().await.unwrap();
    assert_eq!(world.kept().await.as_deref(), Some("canary-k2"));
    assert_eq!(world.valid().await, ["canary-k2", "canary-k1"]);
    world.advance(24 * 7);
    world.settle().await.unwrap();
    assert_eq!(world.valid().await, ["canary-k3", "canary-k2"]);

    let credential = world
        .room
        .store
        .expect::<DeployCredential>("payments", "ci");
    let document = credential.await.unwrap().document().unwrap();
    let events = world.room.store.events(&Default::default(), 0, 1000).await;
    let shown = json!([document, events.unwrap()]).to_string();
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn a_key_that_was_revoked_is_replaced() {
    let world = World::new().await;
    world.settle().await.unwrap();
    let mut account = world
        .room
        .store
        .expect::<ServiceAccount>("payments", "ci")
        .await
        .unwrap();
    account.status.keys.clear();
    let mut change = Change::new();
    change.status(&account).unwrap();
    world.room.store.commit(change).await.unwrap();
    world.settle().await.unwrap();
    assert_eq!(world.kept().await.as_deref(), Some("canary-k2"));
}

#[tokio::test]
async fn killed_at_any_step_nothing_is_lost_and_nothing_drawn_twice() {
    let whole = World::new().await;
    whole.settle().await.unwrap();
    whole.advance(24 * 7);
    whole.settle().await.unwrap();
    // What a first key and a rotation take: in each of these something may die.
    let steps = whole.killer.step.load(Ordering::SeqCst);
    assert!(steps > 5, "only {steps} steps");
    for at in 1..=steps {
        let world = World::new().await;
        world.killer.at.store(at, Ordering::SeqCst);
        let mut deaths = 0;
        for (drawn, hours) in [(1, 0), (2, 24 * 7)] {
            world.advance(hours);
            while world.settle().await.is_err() {
                deaths += 1;
                assert!(deaths < 3, "step {at}");
                world.assert_what_is_kept_is_valid().await;
            }
            world.assert_what_is_kept_is_valid().await;
            let newest = format!("canary-k{drawn}");
            assert_eq!(world.kept().await, Some(newest.clone()), "step {at}");
            assert_eq!(world.valid().await[0], newest, "step {at}");
            let all = world.accounts.drawn.lock().unwrap().len();
            assert_eq!(all, drawn, "step {at}: drawn twice");
        }
        assert_eq!(deaths, 1, "step {at}");
    }
}

#[tokio::test]
async fn a_key_that_somebody_has_seen_ends_once_another_is_kept_killed_at_any_step() {
    let whole = World::new().await;
    whole.settle().await.unwrap();
    let refused = whole.end_first(CallerKind::Agent).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Forbidden);
    let before = whole.killer.step.load(Ordering::SeqCst);
    whole.end_first(CallerKind::Person).await.unwrap();
    whole.settle().await.unwrap();
    assert_eq!(whole.kept().await.as_deref(), Some("canary-k2"));
    assert_eq!(whole.valid().await, ["canary-k2"]);
    let steps = whole.killer.step.load(Ordering::SeqCst) - before;
    assert!(steps > 5, "only {steps} steps");
    // It is over: asked again, no other is drawn for it.
    whole.end_first(CallerKind::Person).await.unwrap();
    whole.settle().await.unwrap();
    assert_eq!(whole.valid().await, ["canary-k2"]);
    for at in 1..=steps {
        let world = World::new().await;
        world.settle().await.unwrap();
        world.end_first(CallerKind::Person).await.unwrap();
        let begun = world.killer.step.load(Ordering::SeqCst);
        world.killer.at.store(begun + at, Ordering::SeqCst);
        let mut deaths = 0;
        while world.settle().await.is_err() {
            deaths += 1;
            assert!(deaths < 3, "step {at}");
            world.assert_what_is_kept_is_valid().await;
        }
        assert_eq!(deaths, 1, "step {at}");
        assert_eq!(world.kept().await.as_deref(), Some("canary-k2"), "{at}");
        assert_eq!(world.valid().await, ["canary-k2"], "step {at}");
        let all = world.accounts.drawn.lock().unwrap().len();
        assert_eq!(all, 2, "step {at}: drawn twice");
    }
}

#[tokio::test]
async fn a_store_that_is_away_leaves_what_is_kept_valid() {
    let world = World::new().await;
    world.settle().await.unwrap();
    // For weeks: each look asks first, and draws nothing.
    for _ in 0..5 {
        world.advance(24 * 7);
        world.fail_next();
        world.look().await.unwrap_err();
        world.assert_what_is_kept_is_valid().await;
    }
    assert_eq!(world.valid().await, ["canary-k1"]);
    world.settle().await.unwrap();
    assert_eq!(world.kept().await.as_deref(), Some("canary-k2"));
}

#[tokio::test]
async fn a_key_that_is_not_kept_any_more_is_replaced() {
    let world = World::new().await;
    world.settle().await.unwrap();
    let values = Sealed::new(world.room.store.clone());
    let (by, place) = (Caller::local_admin(), place_for("payments-dev"));
    values.delete(&by, &place, None).await.unwrap();
    // What answers may not have it yet, so soon: that is no reason for another.
    let next = world.settle().await.unwrap();
    assert!(
        matches!(next, Next::After(wait) if wait <= Duration::from_mins(1)),
        "{next:?}"
    );
    assert_eq!(world.valid().await, ["canary-k1"]);
    world.advance(1);
    // Where that cannot be told, nothing is drawn.
    world.fail_next();
    world.look().await.unwrap_err();
    assert_eq!(world.valid().await, ["canary-k1"]);
    world.settle().await.unwrap();
    assert_eq!(world.kept().await.as_deref(), Some("canary-k2"));
    assert_eq!(world.valid().await, ["canary-k2", "canary-k1"]);
    // What another store has, or one that was set back, is of another time.
    let write = Write {
        value: Secret::from("canary-former"),
        description: None,
        origin: Origin::DeployCredential,
        expected: None,
    };
    values.put(&by, &place, write).await.unwrap();
    world.advance(1);
    world.settle().await.unwrap();
    assert_eq!(world.kept().await.as_deref(), Some("canary-k3"));
}

#[tokio::test]
async fn an_account_made_anew_for_another_environment_has_its_key_in_that_ones_place() {
    let world = World::new().await;
    world.settle().await.unwrap();
    let store = &world.room.store;
    let account = store.expect::<ServiceAccount>("payments", "ci").await;
    let mut change = Change::new();
    change.remove(&account.unwrap()).unwrap();
    store.commit(change).await.unwrap();
    // What is kept cannot be removed, until after that.
    world.fail_next();
    world.look().await.unwrap_err();
    assert_eq!(world.kept().await.as_deref(), Some("canary-k1"));
    make_account(store, "payments-prod").await;
    world.settle().await.unwrap();
    assert_eq!(world.kept().await, None);
    let kept = world.kept_for("payments-prod").await;
    assert_eq!(kept.as_deref(), Some("canary-k2"));
    assert_eq!(world.valid().await, ["canary-k2"]);
}

#[tokio::test]
async fn what_is_asked_for_is_rotated_and_an_account_that_goes_takes_its_key_along() {
    let world = World::new().await;
    world.settle().await.unwrap();
    let store = world.room.store.clone();
    let values = Arc::new(Sealed::new(store.clone()));
    let World {
        room,
        context,
        killer,
        accounts,
        clock,
    } = world;
    let desk = Desk::on(room, values);
    let path = json!({ "path": "deploy-credentials" });
    let answer = desk
        .ask(
            "person.payments",
            "POST",
            "payments/secret-rotations",
            &path,
        )
        .await;
    assert_eq!(
        answer.json["items"][0]["rotation"], "asked",
        "{}",
        answer.json
    );
    let world = World {
        room: desk.room,
        context,
        killer,
        accounts,
        clock,
    };
    world.settle().await.unwrap();
    assert_eq!(world.kept().await.as_deref(), Some("canary-k2"));
    assert_eq!(world.valid().await, ["canary-k2", "canary-k1"]);

    let account = store
        .expect::<ServiceAccount>("payments", "ci")
        .await
        .unwrap();
    let mut change = Change::new();
    change.remove(&account).unwrap();
    store.commit(change).await.unwrap();
    assert_eq!(world.settle().await.unwrap(), Next::Idle);
    assert_eq!(world.kept().await, None);
    let left = store
        .get::<DeployCredential>("payments", "ci")
        .await
        .unwrap();
    assert!(left.is_none());
}
