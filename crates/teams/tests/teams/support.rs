//! Teams on a store of their own, called without a network, by whoever the test says.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{Arc, Mutex, atomic::AtomicUsize},
};

use async_trait::async_trait;
use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{Request, header},
    middleware::from_fn,
};
use jiff::Timestamp;
use kernel::{
    Caller, CallerKind, Change, Clock, Error, Event, Guard, Result, Sealer, Secret, Store,
    http::{Authenticator, Rooms, correlate, no_such_route},
};
use policy::{Bundle, RegoAuthorizer};
use serde_json::{Value, json};
use teams::{
    Registered, Registry, Settings, Teams,
    model::Team,
    port::{Belongings, Credentials, Left, SecretNames},
    service::Ports,
    tool::Tool,
};
use tempfile::TempDir;
use testkit::servers::PostgresDatabase;
use tower::ServiceExt as _;

// By its path: a benchmark takes this file in by its own.
#[path = "support/sources.rs"]
mod sources;

use self::sources::{Local, Upstream};

/// What a test has happen at its time.
type Happening = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who is in which group, and which credentials were drawn: what the test says, and what teams did.
#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) groups: Mutex<BTreeMap<String, BTreeSet<String>>>,
    pub(crate) upstream: Mutex<Option<BTreeMap<String, Vec<String>>>>,
    /// The lasting ids of the upstream's groups, by name.
    pub(crate) ids: Mutex<BTreeMap<String, String>>,
    /// Whether the upstream lists its groups, and whom it lets in has yet to log in.
    pub(crate) lists: Mutex<bool>,
    /// Who has logged in from the upstream, where it lists its groups.
    pub(crate) logged_in: Mutex<BTreeSet<String>>,
    /// People who are not logged in, and whether the upstream last said that they are in the group.
    pub(crate) said: Mutex<BTreeMap<String, bool>>,
    /// Who is told by the upstream to have left.
    pub(crate) left: Mutex<BTreeSet<String>>,
    /// Whether the upstream says that it has no such group, whichever it is asked for.
    pub(crate) hides: Mutex<bool>,
    /// Whether the upstream takes a question, and never answers.
    pub(crate) hangs: Mutex<bool>,
    /// Whether there is no upstream.
    pub(crate) alone: Mutex<bool>,
    /// Whether the local source cannot be asked.
    pub(crate) local_away: Mutex<bool>,
    /// How often a source was asked who is in a group.
    pub(crate) asked: AtomicUsize,
    /// Groups of which the upstream was asked who has left.
    pub(crate) looked: Mutex<Vec<(String, Option<String>)>>,
    /// From when on what the upstream says was last wanted, where that was said.
    pub(crate) since: Mutex<Option<Timestamp>>,
    pub(crate) credentials: Mutex<BTreeSet<String>>,
    /// Why keys are waited for.
    pub(crate) no_key: Mutex<Option<String>>,
    /// Whether it cannot be asked for keys.
    pub(crate) no_keys_known: Mutex<bool>,
    /// The groups that were made for a team, each with that.
    pub(crate) made: Mutex<BTreeMap<String, String>>,
    /// Teams whose belongings were asked to go, and whether with what is protected.
    pub(crate) removed: Mutex<Vec<(String, bool)>>,
    /// A team that is taken in again as soon as the first of its belongings is asked to go.
    pub(crate) returns: Mutex<Option<String>>,
    /// Whether credentials cannot be ended.
    pub(crate) holds_on: Mutex<bool>,
    /// Environments that are there, each with its team.
    pub(crate) environments: Mutex<BTreeMap<String, String>>,
    /// What of them stays.
    pub(crate) stays: Mutex<Vec<String>>,
    /// What happens between the look at a group and the writing into it, once.
    pub(crate) meanwhile: Mutex<Option<Happening>>,
}

impl Outside {
    pub(crate) fn group(&self, name: &str, members: &[&str]) {
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        self.groups.lock().unwrap().insert(name.into(), members);
    }

    fn of(&self, source: &str, person: &str) -> Vec<String> {
        let groups = self.groups.lock().unwrap();
        let local = groups.iter().filter(|(_, of)| of.contains(person));
        match source {
            "local" => local.map(|(name, _)| name.clone()).collect(),
            _ => self
                .upstream
                .lock()
                .unwrap()
                .as_ref()
                .map_or_else(Vec::new, |all| {
                    let theirs = all
                        .iter()
                        .filter(|(_, of)| of.iter().any(|one| one == person));
                    theirs.map(|(name, _)| name.clone()).collect()
                }),
        }
    }
}

impl Outside {
    fn ids_of(&self, source: &str, person: &str) -> BTreeMap<String, String> {
        let (groups, ids) = (self.of(source, person), self.ids.lock().unwrap());
        let known = ids
            .iter()
            .filter(|(name, _)| source != "local" && groups.contains(name));
        known.map(|(name, id)| (name.clone(), id.clone())).collect()
    }

    /// What the upstream says from now on: its groups, with lasting ids and members.
    pub(crate) fn upstream(&self, groups: &[(&str, &str, &[&str])]) {
        let members = |of: &[&str]| of.iter().map(|one| (*one).to_owned()).collect();
        let said = groups
            .iter()
            .map(|(name, _, of)| ((*name).to_owned(), members(of)));
        *self.upstream.lock().unwrap() = Some(said.collect());
        let ids = groups
            .iter()
            .map(|(name, id, _)| ((*name).to_owned(), (*id).to_owned()));
        *self.ids.lock().unwrap() = ids.collect();
    }
}

struct Drawer(Arc<Outside>);

#[async_trait]
impl SecretNames for Drawer {
    async fn names(&self, _: &str) -> kernel::Result<Vec<String>> {
        Ok(vec![])
    }
}

#[async_trait]
impl Credentials for Drawer {
    fn team_of(&self, _: &Event) -> Option<String> {
        None
    }

    async fn ensure(&self, _: &Caller, _: &str, namespace: &str) -> Result<Option<String>> {
        if *self.0.no_keys_known.lock().unwrap() {
            return Err(Error::unavailable("where keys are kept does not answer"));
        }
        self.0.credentials.lock().unwrap().insert(namespace.into());
        Ok(self.0.no_key.lock().unwrap().clone())
    }

    async fn end(&self, _: &Caller, _: &str, namespace: &str) -> Result<()> {
        if *self.0.holds_on.lock().unwrap() {
            return Err(Error::unavailable("credentials cannot be ended"));
        }
        self.0.credentials.lock().unwrap().remove(namespace);
        Ok(())
    }
}

#[async_trait]
impl Belongings for Drawer {
    async fn holder(&self, namespace: &str) -> Result<Option<String>> {
        let environments = self.0.environments.lock().unwrap();
        Ok(environments.get(namespace).cloned())
    }

    async fn has(&self, team: &str) -> Result<Option<&'static str>> {
        let environments = self.0.environments.lock().unwrap();
        let has_one = environments.values().any(|of| of == team);
        Ok(has_one.then_some("environments"))
    }

    async fn remove(&self, _: &Caller, team: &str, protected: bool) -> Result<Vec<Left>> {
        let mut removed = self.0.removed.lock().unwrap();
        removed.push((team.into(), protected));
        let stays = self.0.stays.lock().unwrap().clone();
        let left = stays.into_iter().map(|what| Left { what, kept: true });
        Ok(left.collect())
    }
}

/// What keeps nothing, and takes a team in again in the midst of its end.
struct Returns(Arc<Outside>, Store);

#[async_trait]
impl Belongings for Returns {
    async fn remove(&self, _: &Caller, team: &str, _: bool) -> Result<Vec<Left>> {
        let returns = self.0.returns.lock().unwrap().take();
        if returns.as_deref() == Some(team) {
            let mut team = self.1.expect::<Team>("", team).await?;
            team.spec.offboarding = None;
            let mut change = Change::new();
            change.spec(&team)?;
            self.1.commit(change).await?;
        }
        Ok(vec![])
    }
}

/// Takes `SOURCE:NAME` for a token of that person, `KIND TEAM` for one of that team's automation, and
/// `admin` for the operator's.
struct Says(Arc<Outside>);

#[async_trait]
impl Authenticator for Says {
    async fn authenticate(&self, token: &Secret) -> Result<Caller> {
        let token = token.expose_str().unwrap();
        let nobody = Caller {
            admin: false,
            ..Caller::local_admin()
        };
        if token == "admin" {
            return Ok(Caller::local_admin());
        }
        if let Some((source, name)) = token.split_once(':') {
            return Ok(Caller {
                subject: token.into(),
                kind: CallerKind::Person,
                groups: self.0.of(source, name),
                group_ids: self.0.ids_of(source, name),
                ..nobody
            });
        }
        let (kind, team) = token.split_once(' ').unwrap();
        let kind = match kind {
            "pipeline" => CallerKind::ServiceAccount,
            "agent" => CallerKind::Agent,
            _ => CallerKind::DeployCredential,
        };
        Ok(Caller {
            subject: format!("account:{team}/it"),
            kind,
            teams: vec![team.into()],
            environment: (kind == CallerKind::DeployCredential).then(|| format!("{team}-dev")),
            ..nobody
        })
    }
}

pub(crate) struct Site {
    pub(crate) outside: Arc<Outside>,
    pub(crate) store: Store,
    pub(crate) teams: Arc<Teams>,
    /// By what time interactions and credentials of tools come to their end.
    #[allow(dead_code, reason = "no benchmark waits")]
    pub(crate) clock: Clock,
    router: Router,
    /// None: another replica's.
    _place: Option<Place>,
}

/// Where a store is, until it is dropped.
#[allow(dead_code, reason = "what counts is when they are dropped")]
enum Place {
    Directory(TempDir),
    Server(PostgresDatabase),
}

impl Site {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/store.db", directory.path().display());
        Self::at(&url, Place::Directory(directory), vec![]).await
    }

    /// With tools that teams are kept in step with.
    #[allow(dead_code, reason = "a benchmark's")]
    pub(crate) async fn with_tools(tools: Vec<Arc<dyn Tool>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/store.db", directory.path().display());
        Self::at(&url, Place::Directory(directory), tools).await
    }

    /// On a database of its own; none where there is no server.
    pub(crate) async fn on_postgres() -> Option<Self> {
        let database = testkit::servers::postgres_database().await?;
        let url = database.url.clone();
        Some(Self::at(&url, Place::Server(database), vec![]).await)
    }

    async fn at(url: &str, place: Place, tools: Vec<Arc<dyn Tool>>) -> Self {
        let store = Store::open(url, Sealer::generate().unwrap()).await.unwrap();
        let outside = Arc::new(Outside::default());
        outside.group("managers", &["max"]);
        let clock = Clock::manual(Timestamp::now());
        let (router, teams) = replica(&store, &outside, &RESERVED, tools, &clock).await;
        Self {
            outside,
            store,
            teams,
            clock,
            router,
            _place: Some(place),
        }
    }

    /// Another replica on the same store.
    pub(crate) async fn replica(&self) -> Self {
        self.reserving(&RESERVED).await
    }

    /// Another replica on the same store, where these groups are no team's.
    pub(crate) async fn reserving(&self, groups: &[&str]) -> Self {
        let (router, teams) =
            replica(&self.store, &self.outside, groups, vec![], &self.clock).await;
        Self {
            outside: self.outside.clone(),
            store: self.store.clone(),
            teams,
            clock: self.clock.clone(),
            router,
            _place: None,
        }
    }

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
            .header(header::AUTHORIZATION, format!("Bearer {who}"));
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
        };
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// What `who` is answered when they read this.
    pub(crate) async fn get(&self, who: &str, path: &str) -> (u16, Value) {
        self.ask(who, "GET", path, Value::Null).await
    }

    /// Onboards a team, as a manager does.
    #[track_caller]
    pub(crate) fn onboard(&self, body: Value) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move {
            let (status, team) = self
                .ask("local:max", "POST", "/v1/platforms/teams", body)
                .await;
            assert_eq!(status, 202, "{place}: {team}");
            team
        }
    }

    /// The teams whose rights `who` has.
    pub(crate) async fn teams_of(&self, who: &str) -> Value {
        let (status, answer) = self.get(who, "/caller").await;
        assert_eq!(status, 200, "{answer}");
        answer["teams"].clone()
    }
}

/// Groups that are no team's.
const RESERVED: [&str; 2] = ["platform", "managers"];

async fn replica(
    store: &Store,
    outside: &Arc<Outside>,
    reserved: &[&str],
    tools: Vec<Arc<dyn Tool>>,
    clock: &Clock,
) -> (Router, Arc<Teams>) {
    let authorizer = RegoAuthorizer::new(&Bundle::default()).unwrap();
    let guard = Guard::new(store.clone(), Arc::new(authorizer));
    let reserved = reserved.iter().map(|group| (*group).to_owned()).collect();
    let registry = Registry::load(store.clone(), reserved).await.unwrap();
    let drawer = Arc::new(Drawer(outside.clone()));
    let ports = Ports {
        local: Arc::new(Local(outside.clone())),
        upstreams: Arc::new(Upstream(outside.clone())),
        credentials: drawer.clone(),
        secrets: drawer.clone(),
        belongings: vec![Arc::new(Returns(outside.clone(), store.clone())), drawer],
        tools,
    };
    let settings = Settings {
        clock: clock.clone(),
        ..Settings::default()
    };
    let teams = Arc::new(Teams::new(
        store.clone(),
        guard,
        registry.clone(),
        ports,
        settings,
    ));
    let authenticator: Arc<dyn Authenticator> =
        Arc::new(Registered::new(Says(outside.clone()), registry));
    let whoami = |caller: Caller| async move {
        kernel::http::Json(json!({ "teams": caller.teams, "leads": caller.leads }))
    };
    let router = teams::http::routes(teams.clone())
        .route("/caller", axum::routing::get(whoami))
        .fallback(no_such_route)
        .layer(Extension(authenticator))
        .layer(Extension(Rooms::default()))
        .layer(from_fn(correlate));
    (router, teams)
}
