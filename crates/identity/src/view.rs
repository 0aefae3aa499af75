//! What verification must know, in memory: keys, ended sessions, local users and their groups,
//! service accounts and what is trusted for them. It follows the event log, so that what another replica has ended ends here too.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use jsonwebtoken::DecodingKey;
use kernel::{CallerKind, Event, Follower, Key, Kind, NewEvent, Query, Record, Result, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    PERSON,
    changes::Changes,
    clock::{Clock, after},
    jose::{
        claims::AccessClaims,
        signing::{SigningKey, secret_name, verifying},
    },
    logins::Logins,
    model::{
        KeyPhase, KeyRing, LocalGroup, LocalUser, PublishedKey, ServiceAccount, Upstream,
        WorkloadTrust, local_id, may_be_issued, parse_local_id,
    },
    people::People,
    source::local::LOCAL,
    state::{EndedSession, Login, Person, Session, Withdrawal},
    withdrawn::{self, Withdrawn},
};

/// The one ring there is.
pub(crate) const RING: &str = "tokens";
/// What the events tell that are not about a resource of ours.
pub(crate) const SESSION_STARTED: &str = "session.started";
/// That the groups of whoever is logged in are others than before.
pub(crate) const SESSION_REGROUPED: &str = "session.groups-changed";
pub(crate) const SESSION_ENDED: &str = "session.ended";
/// That an upstream says something else of one of its people.
pub(crate) const PERSON_CHANGED: &str = "person.changed";
pub(crate) const MEMBER_WITHDRAWN: &str = "member.withdrawn";

/// The kinds that are taken in whole.
const KINDS: [&str; 6] = [
    LocalUser::KIND,
    LocalGroup::KIND,
    ServiceAccount::KIND,
    WorkloadTrust::KIND,
    KeyRing::KIND,
    Upstream::KIND,
];

/// What is known now.
#[derive(Default)]
pub(crate) struct Known {
    pub keys: HashMap<String, Arc<DecodingKey>>,
    pub published: Vec<PublishedKey>,
    pub signing: Option<Arc<SigningKey>>,
    /// Sessions that ended before their tokens, and until when that matters.
    ended: HashMap<String, Timestamp>,
    users: HashMap<String, User>,
    groups: HashMap<String, BTreeSet<String>>,
    /// The groups of each local user: `groups` the other way round.
    memberships: HashMap<String, BTreeSet<String>>,
    accounts: HashMap<String, Account>,
    /// By uid: one that was made anew under the same name is another.
    trusts: HashMap<Uuid, Trust>,
    /// Who of upstreams' people is logged in.
    pub logins: Logins,
    /// What upstreams have last said of their people.
    pub people: People,
    /// Whose tokens name a group in vain.
    pub withdrawn: Withdrawn,
}

struct User {
    email: Option<String>,
    /// How many had the name before.
    before: u64,
    /// How often logins were ended.
    logins: u64,
    disabled: bool,
}

/// The kind of the subjects that events of sessions have.
pub(crate) const SESSION: &str = "Session";

/// Of the local source's people the groups are known anyhow.
fn put_session(logins: &mut Logins, session: Record<Session>) {
    let Record {
        name,
        expires,
        value,
        ..
    } = session;
    let of_upstream = value.login.source != LOCAL;
    logins.put(&name, of_upstream.then_some((value.login, expires)));
}

/// A service account that may call.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub uid: Uuid,
    pub team: String,
    pub kind: CallerKind,
    pub environment: Option<String>,
}

/// What is trusted for an account.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    team: String,
    pub name: String,
    /// The account that it stands for: `TEAM/NAME`.
    pub account: String,
}

impl Known {
    pub(crate) fn has_ended(&self, sid: &str) -> bool {
        self.ended.contains_key(sid)
    }

    /// The groups of the local user with this id, where they may log in. A user made anew under a taken
    /// name has another.
    pub(crate) fn local_groups(&self, id: &str) -> Option<Vec<String>> {
        let (name, before) = parse_local_id(id)?;
        let user = self.users.get(name)?;
        if user.disabled || user.before != before {
            return None;
        }
        let groups = self.memberships.get(name);
        Some(groups.into_iter().flatten().cloned().collect())
    }

    /// The subject of the local user of this name.
    pub(crate) fn local_subject(&self, name: &str) -> Option<String> {
        let user = self.users.get(name)?;
        Some(format!("{LOCAL}:{}", local_id(name, user.before)))
    }

    /// The address of the local user of this name.
    pub(crate) fn local_email(&self, name: &str) -> Option<String> {
        self.users.get(name)?.email.clone()
    }

    /// The same of whoever has logged in, where that login still holds: not after the next password.
    pub(crate) fn login_groups(&self, login: &Login) -> Option<Vec<String>> {
        let user = self.users.get(&login.name)?;
        let id = login.subject.strip_prefix(LOCAL)?.strip_prefix(':')?;
        self.local_groups(id)
            .filter(|_| user.logins == login.logins)
    }

    pub(crate) fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.get(id)
    }

    pub(crate) fn trust(&self, uid: Uuid) -> Option<&Trust> {
        self.trusts.get(&uid)
    }

    /// The trust of this name as it is now, or that there is none.
    fn put_trust(&mut self, team: &str, name: &str, now: Option<(Uuid, String)>) {
        self.trusts
            .retain(|_, trust| (trust.team.as_str(), trust.name.as_str()) != (team, name));
        if let Some((uid, account)) = now {
            let (team, name) = (team.to_owned(), name.to_owned());
            let trust = Trust {
                team,
                name,
                account,
            };
            self.trusts.insert(uid, trust);
        }
    }

    /// Whether a token that was signed at `signed` names `group` although its subject was taken out.
    pub(crate) fn is_withdrawn(
        &self,
        claims: &AccessClaims,
        group: &str,
        signed: Timestamp,
    ) -> bool {
        let login = self.logins.login(&claims.sid);
        self.withdrawn.is_out(claims, group, signed, login)
    }

    /// The teams that tokens of a local user may name.
    fn set_group(&mut self, name: &str, members: BTreeSet<String>) {
        let before = if members.is_empty() {
            self.groups.remove(name)
        } else {
            self.groups.insert(name.to_owned(), members.clone())
        };
        for gone in before.iter().flatten().filter(|m| !members.contains(*m)) {
            if let Some(of) = self.memberships.get_mut(gone) {
                of.remove(name);
            }
        }
        for member in members {
            self.memberships
                .entry(member)
                .or_default()
                .insert(name.to_owned());
        }
    }
}

/// The view of one replica.
pub(crate) struct View {
    store: Store,
    clock: Clock,
    /// How long an ended session matters at the most, and who was taken out of a group.
    memory: Duration,
    known: RwLock<Known>,
    changes: Changes,
    follower: Follower,
}

#[async_trait]
impl kernel::follower::View for View {
    fn called(&self) -> &'static str {
        "who may log in"
    }

    async fn hear(&self, events: &[Event]) -> Result<()> {
        let mut touched = BTreeSet::new();
        for event in events {
            self.take_note(event, &mut touched);
        }
        for key in touched {
            match key.kind.as_str() {
                SESSION => self.take_in_session(&key.name).await?,
                PERSON => self.take_in_person(&key.name).await?,
                _ => {
                    let document = self.store.document(&key).await?;
                    self.take_in(&key, document).await?;
                }
            }
        }
        self.changes.hear(events);
        Ok(())
    }
}

impl View {
    /// Reads all that there is.
    pub(crate) async fn load(store: Store, clock: Clock, memory: Duration) -> Result<Self> {
        let follower = Follower::new(store.clone()).await?;
        let view = Self {
            store,
            clock,
            memory,
            known: RwLock::default(),
            changes: Changes::default(),
            follower,
        };
        for kind in KINDS {
            view.load_kind(kind).await?;
        }
        for ended in view.store.records::<EndedSession>("").await? {
            view.write(|known| known.ended.insert(ended.name, ended.expires));
        }
        for session in view.store.records::<Session>("").await? {
            view.write(|known| put_session(&mut known.logins, session));
        }
        for person in view.store.records::<Person>("").await? {
            let known_of = Some((person.value, person.expires));
            view.write(|known| known.people.put(&person.name, known_of));
        }
        for withdrawal in view.store.records::<Withdrawal>("").await? {
            view.withdraw(withdrawal.value);
        }
        Ok(view)
    }

    async fn load_kind(&self, kind: &str) -> Result<()> {
        let mut query = Query {
            limit: Query::MAX_LIMIT,
            ..Query::default()
        };
        loop {
            let page = self.store.documents(kind, &query).await?;
            for document in page.items {
                self.take_in(&document.key(), Some(document)).await?;
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// What is known, for a moment: never held over an await.
    pub(crate) fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the log until `stop`.
    pub(crate) async fn follow(&self, stop: CancellationToken) {
        self.follower.follow(self, stop).await;
    }

    /// Waits until everything is taken in that is committed by now, by whichever replica.
    pub(crate) async fn current(&self) -> Result<()> {
        self.follower.current(self).await
    }

    /// How often something has changed, up to `place` in the log, that changes whose rights somebody has.
    pub(crate) async fn changes(&self, place: i64) -> Result<u64> {
        self.follower.reach(self, place).await?;
        Ok(self.changes.count())
    }

    fn take_note(&self, event: &Event, touched: &mut BTreeSet<Key>) {
        let Some(key) = event.subject_key() else {
            return;
        };
        let what = event.kind.strip_prefix(NewEvent::PREFIX);
        if what == Some(SESSION_ENDED) {
            let now = self.clock.now();
            let until = after(now, self.memory);
            self.write(|known| {
                known.ended.retain(|_, until| *until > now);
                known.logins.put(&key.name, None);
                known.ended.insert(key.name, until)
            });
        } else if [SESSION_STARTED, SESSION_REGROUPED, PERSON_CHANGED]
            .iter()
            .any(|one| what == Some(*one))
        {
            touched.insert(key);
        } else if what == Some(MEMBER_WITHDRAWN) {
            if let Some(withdrawal) = withdrawn::told(event) {
                self.withdraw(withdrawal);
            }
        } else if KINDS.contains(&key.kind.as_str()) {
            touched.insert(key);
        }
    }

    /// Those in a group of an upstream who are logged in: what they are called, by subject. Not who is told
    /// since to be out of it, whatever an older session says.
    pub(crate) async fn members(
        &self,
        source: &str,
        name: &str,
        id: Option<&str>,
    ) -> Result<BTreeMap<String, String>> {
        self.current().await?;
        let seen = || {
            let (known, now) = (self.known(), self.clock.now());
            let (mut members, stale) = known.logins.members(source, name, id, now);
            for person in known.people.left(source, name, id, now) {
                members.remove(&person.subject);
            }
            (members, stale)
        };
        let (members, stale) = seen();
        if stale.is_empty() {
            return Ok(members);
        }
        // They may have been used since they were read.
        for sid in stale {
            self.take_in_session(&sid).await?;
        }
        Ok(seen().0)
    }

    /// Takes in a session as it is now, or its absence.
    async fn take_in_session(&self, sid: &str) -> Result<()> {
        match self.store.record::<Session>(sid).await? {
            Some(session) => self.write(|known| put_session(&mut known.logins, session)),
            None => self.write(|known| known.logins.put(sid, None)),
        }
        Ok(())
    }

    /// Takes in what is known of somebody now.
    async fn take_in_person(&self, name: &str) -> Result<()> {
        let person = self.store.record::<Person>(name).await?;
        let person = person.map(|person| (person.value, person.expires));
        self.write(|known| known.people.put(name, person));
        Ok(())
    }

    fn withdraw(&self, one: Withdrawal) {
        let now = self.clock.now();
        let oldest = now.checked_sub(self.memory).unwrap_or(Timestamp::MIN);
        self.write(|known| known.withdrawn.put(one, oldest));
    }

    /// Takes in a resource as it is now, or its absence.
    async fn take_in(&self, key: &Key, document: Option<kernel::Document>) -> Result<()> {
        let name = key.name.as_str();
        match key.kind.as_str() {
            LocalUser::KIND => {
                let user = document
                    .map(kernel::Document::typed::<LocalUser>)
                    .transpose()?;
                self.write(|known| match user.filter(|user| !user.is_deleting()) {
                    Some(user) => {
                        let user = User {
                            email: user.spec.email,
                            before: user.status.before,
                            logins: user.status.logins,
                            disabled: user.spec.disabled,
                        };
                        known.users.insert(name.into(), user);
                    }
                    None => drop(known.users.remove(name)),
                });
            }
            LocalGroup::KIND => {
                let group = document
                    .map(kernel::Document::typed::<LocalGroup>)
                    .transpose()?;
                let members = group
                    .filter(|group| !group.is_deleting() && may_be_issued(name))
                    .map(|group| group.spec.members.into_iter().collect())
                    .unwrap_or_default();
                self.write(|known| known.set_group(name, members));
            }
            ServiceAccount::KIND => {
                let account = document
                    .map(kernel::Document::typed::<ServiceAccount>)
                    .transpose()?;
                let id = format!("{}/{}", key.scope, key.name);
                self.write(|known| {
                    match account.filter(|a| !a.is_deleting() && !a.spec.disabled) {
                        Some(account) => {
                            let account = Account {
                                uid: account.meta.uid,
                                team: account.meta.scope,
                                kind: account.spec.kind.into(),
                                environment: account.spec.environment,
                            };
                            known.accounts.insert(id, account);
                        }
                        None => drop(known.accounts.remove(&id)),
                    }
                });
            }
            WorkloadTrust::KIND => {
                let trust = document
                    .map(kernel::Document::typed::<WorkloadTrust>)
                    .transpose()?;
                let now = trust.filter(|trust| !trust.is_deleting()).map(|trust| {
                    let account = format!("{}/{}", key.scope, trust.spec.service_account);
                    (trust.meta.uid, account)
                });
                self.write(|known| known.put_trust(&key.scope, name, now));
            }
            Upstream::KIND => {
                let is_going = document.is_some_and(|upstream| upstream.meta.deleting.is_some());
                self.write(|known| known.people.source(name, is_going));
            }
            KeyRing::KIND => self.take_in_keys(document).await?,
            _ => {}
        }
        Ok(())
    }

    async fn take_in_keys(&self, document: Option<kernel::Document>) -> Result<()> {
        let Some(ring) = document
            .map(kernel::Document::typed::<KeyRing>)
            .transpose()?
        else {
            return Ok(());
        };
        let keys = &ring.status.keys;
        let mut verifies = HashMap::new();
        for key in keys {
            verifies.insert(key.kid.clone(), Arc::new(verifying(key)?));
        }
        let signing = match ring.status.in_phase(KeyPhase::Active) {
            Some(active) => {
                let name = secret_name(active.slot);
                let private = self.store.secret(ring.meta.uid, &name).await?;
                private.map(|private| Arc::new(SigningKey::new(&active.kid, &private)))
            }
            None => None,
        };
        self.write(|known| {
            known.keys = verifies;
            known.signing = signing;
            known.published.clone_from(keys);
        });
        Ok(())
    }
}
