//! Which teams are registered, in memory: at each call it says whose rights a caller has. It follows
//! the event log, so that who was onboarded or offboarded by another replica is so here too.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{
    Beginnings, Caller, CallerKind, Event, EventFilter, Follower, Key, Kind, Name, NewEvent, Query,
    Resource, Result, Secret, Store, follower::View, http::Authenticator,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    model::{Registration, Team, may_be_group},
    port::GroupsOf,
    service::change::SYNC,
};

/// What is known of one team.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    uid: Uuid,
    created: Timestamp,
    generation: i64,
    group: String,
    source: Option<String>,
    leads: Vec<String>,
    /// The lasting id of its group at each source that has them.
    ids: BTreeMap<String, String>,
}

impl Known {
    /// Whether people of `source` may be in it.
    fn counts(&self, source: &str) -> bool {
        self.source.as_deref().is_none_or(|only| only == source)
    }

    /// Whether a group of its name that has this id is its group. One without an id is: so says a token from
    /// before ids were known.
    fn is(&self, source: &str, id: Option<&String>) -> bool {
        match (self.ids.get(source), id) {
            (Some(own), Some(id)) => own == id,
            _ => true,
        }
    }
}

#[allow(
    clippy::struct_field_names,
    reason = "each says what it is looked up by"
)]
#[derive(Default)]
struct Teams {
    by_name: BTreeMap<String, Known>,
    by_group: HashMap<String, Vec<String>>,
    /// By source and lasting id of the group.
    by_id: HashMap<(String, String), Vec<String>>,
    /// Of all that there are, whether each is a customer: of those that give nobody anything as well.
    registrations: BTreeMap<String, Registration>,
    /// When it was heard last that somebody had a team looked at. Of a look before the start nothing is known, as
    /// nothing is of what sources said then.
    looks_asked: BTreeMap<String, Timestamp>,
}

impl Teams {
    fn put(&mut self, name: &str, team: Option<Known>) {
        if let Some(before) = self.by_name.remove(name) {
            take(&mut self.by_group, &before.group, name);
            for id in before.ids {
                take(&mut self.by_id, &id, name);
            }
        }
        if let Some(team) = team {
            let of_group = self.by_group.entry(team.group.clone()).or_default();
            of_group.push(name.to_owned());
            for id in team.ids.clone() {
                self.by_id.entry(id).or_default().push(name.to_owned());
            }
            self.by_name.insert(name.to_owned(), team);
        }
    }
}

impl Teams {
    /// The teams whose group is one of these of `source`, with the lasting ids of those that have one, by name.
    fn of_groups(
        &self,
        source: &str,
        groups: &[String],
        ids: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let named = groups.iter().flat_map(|group| {
            let id = ids.get(group);
            let teams = self.by_group.get(group).into_iter().flatten();
            teams.filter(move |team| self.by_name[*team].is(source, id))
        });
        // Whatever the group is called by now.
        let with_id = ids
            .values()
            .filter_map(|id| self.by_id.get(&(source.to_owned(), id.clone())));
        let counts = |team: &&String| self.by_name[*team].counts(source);
        let all = named.chain(with_id.flatten());
        let mut teams: Vec<String> = all.filter(counts).cloned().collect();
        teams.sort_unstable();
        teams.dedup();
        teams
    }
}

/// Whether somebody has a team looked at: the platform itself tells of each again and again.
fn is_look_asked(event: &Event) -> bool {
    let what = event.kind.strip_prefix(NewEvent::PREFIX);
    what == Some(SYNC) && !event.actor.starts_with("system:")
}

/// Takes a team out of what is listed under `key`.
fn take<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Vec<String>>, key: &K, team: &str) {
    if let Some(listed) = map.get_mut(key) {
        listed.retain(|other| other != team);
        if listed.is_empty() {
            map.remove(key);
        }
    }
}

/// The registered teams of one replica.
pub struct Registry {
    store: Store,
    /// Groups that are no team's: their members operate the platform, or onboard teams.
    reserved: Vec<String>,
    teams: RwLock<Teams>,
    /// How often something else was known of a team than before.
    changes: AtomicU64,
    follower: Follower,
}

#[async_trait]
impl View for Registry {
    fn called(&self) -> &'static str {
        "the registry of teams"
    }

    fn filter(&self) -> EventFilter {
        EventFilter {
            subject: Some(Team::KIND.into()),
            ..EventFilter::default()
        }
    }

    async fn hear(&self, events: &[Event]) -> Result<()> {
        let looks_asked = events.iter().filter(|event| is_look_asked(event));
        for key in looks_asked.filter_map(Event::subject_key) {
            // By this replica's clock, as what sources say is dated here.
            self.write().looks_asked.insert(key.name, Timestamp::now());
        }
        let touched: BTreeSet<Key> = events.iter().filter_map(Event::subject_key).collect();
        for key in touched {
            let team = self.store.get::<Team>(&key.scope, &key.name).await?;
            self.take_in(&key.name, team);
        }
        Ok(())
    }
}

impl Registry {
    /// Reads all that there are. A team with one of the groups `reserved`, whose members may more than
    /// teams do, gives nobody anything.
    pub async fn load(store: Store, reserved: Vec<String>) -> Result<Arc<Self>> {
        let follower = Follower::new(store.clone()).await?;
        let registry = Self {
            store,
            reserved,
            teams: RwLock::default(),
            changes: AtomicU64::default(),
            follower,
        };
        let teams = registry.store.list_all::<Team>(&Query::default()).await?;
        for team in teams {
            let name = team.meta.name.clone();
            registry.take_in(&name, Some(team));
        }
        Ok(Arc::new(registry))
    }

    /// Follows the log until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        self.follower.follow(self.as_ref(), stop).await;
    }

    /// Waits until everything is taken in that is committed by now, by whichever replica.
    pub async fn current(&self) -> Result<()> {
        self.follower.current(self).await
    }

    /// Takes in a team as it is now, or its absence.
    fn take_in(&self, name: &str, team: Option<Resource<Team>>) {
        let registration = team.as_ref().map(|team| {
            if team.spec.is_registered() {
                Registration::Registered
            } else {
                Registration::Offboarded
            }
        });
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
                uid: team.meta.uid,
                created: team.meta.created,
                generation: team.meta.generation,
                ids: team
                    .status
                    .bound_to(&team.spec.group)
                    .into_iter()
                    .map(|(source, one)| (source, one.id))
                    .collect(),
                group: team.spec.group,
                source: team.spec.source,
                leads: team.spec.leads,
            });
        let mut teams = self.write();
        if let Some(registration) = registration {
            teams.registrations.insert(name.to_owned(), registration);
        } else {
            teams.looks_asked.remove(name);
            teams.registrations.remove(name);
        }
        // Each is told of again and again.
        let is_news = teams.by_name.get(name) != known.as_ref();
        teams.put(name, known);
        drop(teams);
        if is_news {
            self.changes.fetch_add(1, Ordering::SeqCst);
        }
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

    /// The teams whose group is one of these.
    pub fn of_groups(&self, groups: &GroupsOf) -> Vec<String> {
        let GroupsOf { source, names, ids } = groups;
        self.read().of_groups(source, names, ids)
    }

    /// The generation at which a team is known to this replica; none: it is not registered.
    pub fn generation(&self, team: &str) -> Option<i64> {
        self.read().by_name.get(team).map(|known| known.generation)
    }

    /// Whether a team is a customer, was one, or is not there.
    pub fn registration(&self, team: &str) -> Registration {
        let known = self.read();
        let found = known.registrations.get(team).copied();
        found.unwrap_or(Registration::Missing)
    }

    /// When this replica heard last that somebody, and not the platform itself, had a team looked at.
    pub(crate) fn look_asked(&self, team: &str) -> Option<Timestamp> {
        self.read().looks_asked.get(team).copied()
    }

    /// The uid of a registered team.
    pub fn uid(&self, team: &str) -> Option<Uuid> {
        self.read().by_name.get(team).map(|known| known.uid)
    }

    /// Whose work it is to look at a team, for [`kernel::Reconciler::lane`]: of those whose group is elsewhere that
    /// of the source that is asked for it; nobody's of those whose group is `local`'s, and of those who are no
    /// customers, of whom no source is asked. A team that is not known may be any of these, and has a lane beside.
    pub(crate) fn lane(&self, team: &str, local: &str) -> String {
        let known = self.read();
        // None of these is a team's name: those have no colon.
        match known.registrations.get(team) {
            None => return "new:".into(),
            Some(Registration::Registered) => {}
            Some(_) => return String::new(),
        }
        let team = known.by_name.get(team);
        match team.map(|team| (team.source.as_deref(), team.group.as_str())) {
            Some((Some(source), _)) if source == local => String::new(),
            Some((Some(source), _)) => format!("source:{source}"),
            // A group that is kept elsewhere has no such name.
            Some((None, group)) if Name::new(group).is_ok() => String::new(),
            // Of one that gives nobody anything sources are asked as well.
            _ => "source:".into(),
        }
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
        let known = &*self.read();
        if caller.kind == CallerKind::Person {
            let (source, _) = caller.subject.split_once(':').unwrap_or_default();
            let teams = known.of_groups(source, &caller.groups, &caller.group_ids);
            let leads = |team: &&String| known.by_name[*team].leads.contains(&caller.subject);
            caller.leads = teams.iter().filter(leads).cloned().collect();
            caller.teams = teams;
        } else {
            caller.teams.retain(|team| known.by_name.contains_key(team));
        }
        caller
    }
}

#[async_trait]
impl Beginnings for Registry {
    fn of(&self, team: &str) -> Option<Timestamp> {
        self.read().by_name.get(team).map(|known| known.created)
    }

    async fn is_there(&self, team: &str) -> Result<bool> {
        // Those that give nobody anything are there as well.
        let is_known = self.read().by_name.contains_key(team);
        Ok(is_known || self.store.get::<Team>("", team).await?.is_some())
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
        // At once: both learn by one query how far the log goes.
        // Who is refused at once asks nothing.
        let (caller, ()) =
            tokio::try_join!(self.inner.authenticate(token), self.registry.current())?;
        Ok(self.registry.with_teams(caller))
    }

    async fn changes(&self, place: i64) -> Result<Option<u64>> {
        let registry = &self.registry;
        let follower = registry.follower.reach(registry.as_ref(), place);
        let (inner, ()) = tokio::try_join!(self.inner.changes(place), follower)?;
        let here = registry.changes.load(Ordering::SeqCst);
        // Both only grow.
        Ok(inner.map(|inner| inner + here))
    }
}
