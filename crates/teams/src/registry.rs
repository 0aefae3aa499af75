//! Which teams are registered, in memory: at each call it says whose rights a caller has. It follows
//! the event log, so that who was onboarded or offboarded by another replica is so here too.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use kernel::{
    Caller, CallerKind, Document, Event, EventFilter, Key, Kind, Query, Result, Secret, Store,
    http::Authenticator,
};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::model::{Team, may_be_group};

/// How long to wait before the store is asked again where it did not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// What is known of one team.
#[derive(Debug, Clone)]
struct Known {
    generation: i64,
    group: String,
    source: Option<String>,
    leads: Vec<String>,
}

#[derive(Default)]
struct Teams {
    by_name: BTreeMap<String, Known>,
    by_group: HashMap<String, Vec<String>>,
}

impl Teams {
    fn put(&mut self, name: &str, team: Option<Known>) {
        if let Some(before) = self.by_name.remove(name)
            && let Some(of_group) = self.by_group.get_mut(&before.group)
        {
            of_group.retain(|other| other != name);
            if of_group.is_empty() {
                self.by_group.remove(&before.group);
            }
        }
        if let Some(team) = team {
            let of_group = self.by_group.entry(team.group.clone()).or_default();
            of_group.push(name.to_owned());
            self.by_name.insert(name.to_owned(), team);
        }
    }
}

/// The registered teams of one replica.
pub struct Registry {
    store: Store,
    /// Groups that are no team's: their members operate the platform, or onboard teams.
    reserved: Vec<String>,
    teams: RwLock<Teams>,
    /// Up to where in the log it is right.
    seen: watch::Sender<i64>,
    turn: Mutex<()>,
}

impl Registry {
    /// Reads all that there are. A team with one of the groups `reserved`, whose members may more than
    /// teams do, gives nobody anything.
    pub async fn load(store: Store, reserved: Vec<String>) -> Result<Arc<Self>> {
        let seen = store.head().await?;
        let registry = Self {
            store,
            reserved,
            teams: RwLock::default(),
            seen: watch::Sender::new(seen),
            turn: Mutex::default(),
        };
        let mut query = Query {
            limit: Query::MAX_LIMIT,
            ..Query::default()
        };
        loop {
            let page = registry.store.documents(Team::KIND, &query).await?;
            for document in page.items {
                registry.take_in(&document.key(), Some(document))?;
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(Arc::new(registry)),
            }
        }
    }

    /// Follows the log until `stop`. Without it everything is right, and slower.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut head = self.store.subscribe();
        loop {
            let moved = tokio::select! {
                moved = head.changed() => moved,
                () = stop.cancelled() => return,
            };
            if moved.is_err() {
                return;
            }
            if let Err(error) = self.catch_up().await {
                tracing::warn!(
                    chain = error.chain(),
                    "the registry of teams cannot follow the event log"
                );
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => head.mark_changed(),
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    /// Waits until everything that this replica knows to be committed is taken in.
    pub async fn current(&self) -> Result<()> {
        let head = *self.store.subscribe().borrow();
        if *self.seen.borrow() >= head {
            return Ok(());
        }
        self.catch_up().await
    }

    async fn catch_up(&self) -> Result<()> {
        let head = *self.store.subscribe().borrow();
        let _turn = self.turn.lock().await;
        let about_teams = EventFilter {
            subject: Some(Team::KIND.into()),
            ..EventFilter::default()
        };
        loop {
            let seen = *self.seen.borrow();
            if seen >= head {
                return Ok(());
            }
            let events = self
                .store
                .events(&about_teams, seen, Store::MAX_EVENTS)
                .await?;
            let mut touched: Vec<Key> = events.iter().filter_map(Event::subject_key).collect();
            touched.sort_unstable();
            touched.dedup();
            for key in touched {
                let document = self.store.document(&key).await?;
                self.take_in(&key, document)?;
            }
            // Others' events need not be read to be passed over.
            let last = events.last().map_or(head, |event| event.seq);
            let is_all = events.len() < Store::MAX_EVENTS;
            self.seen
                .send_replace(if is_all { last.max(head) } else { last });
        }
    }

    /// Takes in a team as it is now, or its absence.
    fn take_in(&self, key: &Key, document: Option<Document>) -> Result<()> {
        let team = document.map(Document::typed::<Team>).transpose()?;
        let registered = team.filter(|team| team.spec.is_registered());
        if let Some(team) = registered.as_ref().filter(|t| self.reserves(&t.spec.group)) {
            tracing::warn!(
                team = team.meta.name,
                group = team.spec.group,
                "the group of a team is reserved for those who operate the platform or onboard teams: \
                 the team gives nobody anything until its group is another"
            );
        }
        let known = registered
            .filter(|team| may_be_group(&team.spec.group) && !self.reserves(&team.spec.group))
            .map(|team| Known {
                generation: team.meta.generation,
                group: team.spec.group,
                source: team.spec.source,
                leads: team.spec.leads,
            });
        self.write().put(&key.name, known);
        Ok(())
    }

    /// Whether a group is no team's, since its members operate the platform or onboard teams.
    pub fn reserves(&self, group: &str) -> bool {
        self.reserved.iter().any(|reserved| reserved == group)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Teams> {
        self.teams.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Teams> {
        self.teams.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The teams whose group this is.
    pub fn of_group(&self, group: &str) -> Vec<String> {
        self.read().by_group.get(group).cloned().unwrap_or_default()
    }

    /// The generation at which a team is known to this replica; none: it is not registered.
    pub fn generation(&self, team: &str) -> Option<i64> {
        self.read().by_name.get(team).map(|known| known.generation)
    }

    /// The registered team with the longest name that, with a hyphen, `name` begins with.
    pub fn longest_named(&self, name: &str) -> Option<String> {
        let known = self.read();
        let hyphens = name.char_indices().filter(|(_, letter)| *letter == '-');
        let mut prefixes: Vec<_> = hyphens.map(|(at, _)| &name[..at]).collect();
        prefixes.reverse();
        let found = prefixes
            .into_iter()
            .find(|p| known.by_name.contains_key(*p));
        found.map(str::to_owned)
    }

    /// `caller` with the rights of the registered teams: of those whose group they are in; and for a
    /// team's own automation, of that team as long as it is registered.
    fn with_teams(&self, mut caller: Caller) -> Caller {
        let known = self.read();
        if caller.kind == CallerKind::Person {
            let (source, _) = caller.subject.split_once(':').unwrap_or_default();
            let named = caller.groups.iter().filter_map(|g| known.by_group.get(g));
            let counts = |team: &&String| {
                let only = known.by_name[*team].source.as_deref();
                only.is_none_or(|only| only == source)
            };
            let mut teams: Vec<String> = named.flatten().filter(counts).cloned().collect();
            teams.sort_unstable();
            teams.dedup();
            let leads = |team: &&String| known.by_name[*team].leads.contains(&caller.subject);
            caller.leads = teams.iter().filter(leads).cloned().collect();
            caller.teams = teams;
        } else {
            caller.teams.retain(|team| known.by_name.contains_key(team));
        }
        caller
    }
}

/// Knows callers by `A`, and their teams by the registry.
pub struct Registered<A> {
    inner: A,
    registry: Arc<Registry>,
}

impl<A: Authenticator> Registered<A> {
    /// What `inner` knows of callers, with the teams that `registry` knows.
    pub fn new(inner: A, registry: Arc<Registry>) -> Self {
        Self { inner, registry }
    }
}

#[async_trait]
impl<A: Authenticator> Authenticator for Registered<A> {
    async fn authenticate(&self, token: &Secret) -> Result<Caller> {
        let caller = self.inner.authenticate(token).await?;
        self.registry.current().await?;
        Ok(self.registry.with_teams(caller))
    }
}
