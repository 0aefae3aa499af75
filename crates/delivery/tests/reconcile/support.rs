//! A platform whose engine and provisioner do as they are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use jiff::Timestamp;
use kernel::{
    Action, Authorizer, Caller, Clock, Driver, DriverHandle, Event, EventFilter, Guard, Kind as _,
    Problem, Query, Resource, Ruling, Sealer, Secret, Store, Target,
};
use serde_json::{Map, Value, json};
use testkit::eventually;
use tokio::sync::{Notify, broadcast};
use towpath_delivery::{
    Engine, Provisioner, Verifier,
    api::{ApplyRequest, CreateEnvironment, NewDeployment},
    engine::{EngineError, LogLine, LogQuery, Objection, Phase, Release, ReleaseRef, ReleaseState},
    model::{Deployment, DeploymentPhase, Environment, ResourceInstance, Workload},
    provisioner::{Description, Output, Presence, ProvisionError, Provisioned, Request},
    reconcile::{Deployments, Environments, Instances, Workloads},
    score::Workload as Score,
    service::{Delivery, Settings},
    verify::Decision,
};
use uuid::Uuid;

pub(crate) const WITHIN: Duration = Duration::from_secs(20);

/// Runs nothing, and says of each release what the test wants.
pub(crate) struct Machine {
    releases: Mutex<BTreeMap<ReleaseRef, ReleaseState>>,
    /// The phase of releases from now on.
    pub(crate) phase: Mutex<Phase>,
    /// What is lastingly wrong with releases from now on.
    pub(crate) lasting: Mutex<Option<String>>,
    /// Why nothing can be removed.
    pub(crate) stuck: Mutex<Option<EngineError>>,
    /// Why no log can be read.
    pub(crate) mute: Mutex<Option<String>>,
    changes: broadcast::Sender<ReleaseRef>,
}

impl Machine {
    /// Has `workload` be in `phase`, and tells nobody.
    pub(crate) fn set(&self, workload: &str, phase: Phase) {
        *self.phase.lock().unwrap() = phase;
        for (id, state) in self.releases.lock().unwrap().iter_mut() {
            if id.workload == workload {
                state.phase = phase;
                state.message = format!("{phase:?}");
            }
        }
    }
}

#[async_trait]
impl Engine for Machine {
    fn name(&self) -> &'static str {
        "machine"
    }

    fn check(&self, _: &Score) -> Vec<Objection> {
        vec![]
    }

    async fn machine_host(&self, _: &str) -> Result<String, EngineError> {
        Ok("127.0.0.1".into())
    }

    async fn apply(&self, release: &Release) -> Result<(), EngineError> {
        let fault = self.lasting.lock().unwrap().clone();
        let state = ReleaseState {
            digest: release.digest.clone(),
            phase: *self.phase.lock().unwrap(),
            message: fault.clone().unwrap_or_default(),
            lasting: fault.is_some(),
            presumed: false,
            endpoints: BTreeMap::new(),
            containers: BTreeMap::new(),
        };
        let mut releases = self.releases.lock().unwrap();
        releases.entry(release.id.clone()).or_insert(state);
        Ok(())
    }

    async fn observe(&self, id: &ReleaseRef) -> Result<Option<ReleaseState>, EngineError> {
        Ok(self.releases.lock().unwrap().get(id).cloned())
    }

    async fn remove(&self, id: &ReleaseRef, _: Duration) -> Result<(), EngineError> {
        if let Some(error) = &*self.stuck.lock().unwrap() {
            return Err(EngineError {
                message: error.message.clone(),
                remedy: error.remedy.clone(),
                retry: error.retry,
            });
        }
        self.releases.lock().unwrap().remove(id);
        Ok(())
    }

    async fn forget(&self, _: &str, _: &str) -> Result<(), EngineError> {
        Ok(())
    }

    async fn environment_of(
        &self,
        _: SocketAddr,
        _: SocketAddr,
    ) -> Result<Option<String>, EngineError> {
        Ok(None)
    }

    async fn list(&self) -> Result<Vec<ReleaseRef>, EngineError> {
        Ok(self.releases.lock().unwrap().keys().cloned().collect())
    }

    async fn logs(
        &self,
        _: &str,
        _: &str,
        _: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>, EngineError> {
        match self.mute.lock().unwrap().clone() {
            None => Ok(stream::empty().boxed()),
            Some(message) => Err(EngineError {
                message,
                remedy: None,
                retry: true,
            }),
        }
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseRef> {
        self.changes.subscribe()
    }
}

/// Makes things that are names only, while its server answers.
#[derive(Default)]
pub(crate) struct Things {
    /// What the server says in place of doing what it is asked.
    pub(crate) away: Mutex<Option<ProvisionError>>,
    /// Why no rotation ends credentials.
    pub(crate) shared: Mutex<Option<String>>,
    pub(crate) removed: Mutex<Vec<String>>,
    /// The rotations whose logins work.
    pub(crate) logins: Mutex<BTreeSet<u32>>,
    /// How long its server takes, and how long its provisioner says that it may.
    pub(crate) slow: Mutex<(Duration, Option<Duration>)>,
    /// That a slow server was asked.
    pub(crate) asked: Notify,
}

impl Things {
    async fn ask(&self) -> Result<(), ProvisionError> {
        let (takes, _) = *self.slow.lock().unwrap();
        if !takes.is_zero() {
            self.asked.notify_one();
            tokio::time::sleep(takes).await;
        }
        match &*self.away.lock().unwrap() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    pub(crate) fn fails_with(&self, words: &str) {
        *self.away.lock().unwrap() = Some(ProvisionError::transient(words));
    }

    pub(crate) fn answers(&self) {
        *self.away.lock().unwrap() = None;
    }
}

#[async_trait]
impl Provisioner for Things {
    fn name(&self) -> &'static str {
        "things"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "a thing",
            outputs: &[("url", true)],
            ..Description::default()
        }
    }

    fn check(&self, _: &Map<String, Value>) -> Vec<Problem> {
        vec![]
    }

    fn time_limit(&self, _: &Request) -> Option<Duration> {
        self.slow.lock().unwrap().1
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        // What comes first is made even where the rest fails.
        self.logins.lock().unwrap().insert(request.rotation);
        self.ask().await?;
        let url = Secret::from(format!("thing://{}/{}", request.id, request.rotation));
        Ok(Provisioned {
            outputs: BTreeMap::from([("url".to_owned(), Output::Secret(url))]),
            state: json!({}),
            ..Provisioned::default()
        })
    }

    async fn retire(&self, request: &Request) -> Result<(), ProvisionError> {
        self.ask().await?;
        let mut logins = self.logins.lock().unwrap();
        logins.retain(|rotation| *rotation == request.rotation);
        Ok(())
    }

    fn not_ended_by_rotation(&self, _: &Map<String, Value>, _: &Value, _: u32) -> Option<String> {
        self.shared.lock().unwrap().clone()
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        self.ask().await?;
        self.removed.lock().unwrap().push(request.id.clone());
        Ok(())
    }

    async fn presence(&self, _: &Request) -> Presence {
        match self.ask().await {
            Ok(()) => Presence::Present,
            Err(error) => Presence::Unknown(error),
        }
    }

    async fn inventory(&self, _: Uuid) -> Result<Vec<String>, ProvisionError> {
        Ok(vec![])
    }

    fn listed_as(&self, _: &Request) -> Option<String> {
        None
    }
}

struct Allow;

#[async_trait]
impl Verifier for Allow {
    async fn verify(&self, _: &Value) -> kernel::Result<Decision> {
        Ok(Decision {
            allowed: true,
            denials: vec![],
            warnings: vec![],
            policies: vec![],
        })
    }

    fn sources(&self) -> Vec<(String, String)> {
        vec![]
    }
}

impl Authorizer for Allow {
    fn decide(&self, _: &Caller, _: Action, _: &Target<'_>) -> Ruling {
        Ruling {
            allowed: true,
            ..Ruling::default()
        }
    }

    fn sources(&self) -> Vec<(String, String)> {
        vec![]
    }
}

pub(crate) struct Platform {
    pub(crate) store: Store,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) things: Arc<Things>,
    pub(crate) driver: DriverHandle,
    pub(crate) clock: Clock,
    _directory: tempfile::TempDir,
}

/// Has the reconcilers work.
pub(crate) fn drive(delivery: &Arc<Delivery>) -> DriverHandle {
    Driver::new(delivery.store().clone(), "test".into())
        .with(Arc::new(Instances::new(delivery.clone())))
        .with(Arc::new(Workloads(delivery.clone())))
        .with(Arc::new(Deployments(delivery.clone())))
        .with(Arc::new(Environments(delivery.clone())))
        .start()
}

impl Platform {
    /// By the machine's time.
    pub(crate) async fn start() -> Self {
        Self::start_with(vec![]).await
    }

    /// The same with these provisioners, too.
    pub(crate) async fn start_with(more: Vec<Arc<dyn Provisioner>>) -> Self {
        Self::by(Clock::system(), more).await
    }

    /// By a time that stands until [`Platform::pass`].
    pub(crate) async fn still() -> Self {
        Self::by(Clock::manual(Timestamp::now()), vec![]).await
    }

    async fn by(clock: Clock, mut provisioners: Vec<Arc<dyn Provisioner>>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/towpath.db", directory.path().display());
        let store = Store::open(&url, Sealer::generate().unwrap())
            .await
            .unwrap();
        let machine = Arc::new(Machine {
            releases: Mutex::default(),
            phase: Mutex::new(Phase::Ready),
            lasting: Mutex::default(),
            stuck: Mutex::default(),
            mute: Mutex::default(),
            changes: broadcast::channel(16).0,
        });
        let things = Arc::new(Things::default());
        provisioners.push(things.clone());
        let delivery = Arc::new(Delivery::new(
            store.clone(),
            vec![machine.clone()],
            provisioners,
            Arc::new(Allow),
            Guard::new(store.clone(), Arc::new(Allow)),
            Settings {
                domain: "localhost".into(),
                gateway_port: 80,
                default_engine: "machine".into(),
                default_timeout_seconds: 60,
                clock: clock.clone(),
            },
            Secret::from("key"),
        ));
        delivery.install_defaults().await.unwrap();
        let thing = json!({
            "apiVersion": "towpath.dev/v1",
            "kind": "ResourceDefinition",
            "metadata": { "name": "thing" },
            "spec": { "type": "thing", "provisioner": "things" },
        });
        let documents = vec![thing];
        delivery
            .apply(&Caller::local_admin(), ApplyRequest { documents })
            .await
            .unwrap();
        let driver = drive(&delivery);
        Self {
            store,
            delivery,
            machine,
            things,
            driver,
            clock,
            _directory: directory,
        }
    }

    /// Lets time pass, of a platform whose time stands otherwise.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.wake().await;
    }

    /// The same until `moment`, where that is still to come.
    pub(crate) async fn pass_until(&self, moment: Timestamp) {
        if let Ok(left) = Duration::try_from(moment.duration_since(self.clock.now()))
            && !left.is_zero()
        {
            self.pass(left).await;
        }
    }

    /// Has everything be looked at: what waits in the driver waits by the machine's time.
    async fn wake(&self) {
        let nudger = self.driver.nudger();
        for kind in [
            Environment::KIND,
            Deployment::KIND,
            Workload::KIND,
            ResourceInstance::KIND,
        ] {
            for key in self.store.keys(kind, None).await.unwrap() {
                nudger.nudge(key);
            }
        }
    }

    /// Waits until `reconciler` has looked at its only key as all is now.
    pub(crate) async fn looked(&self, reconciler: &str) {
        let runs = || {
            let mut queues = self.driver.stats().into_iter();
            let queue = queues.find(|queue| queue.reconciler == reconciler);
            queue.unwrap().runs
        };
        // One may go on since before; the second that begins from now on begins when the first has ended.
        let before = runs();
        eventually("it is looked at", WITHIN, || async {
            self.wake().await;
            (runs() >= before + 2).then_some(())
        })
        .await;
    }

    /// Deploys the workload `name`, which uses a thing, to `dev`.
    pub(crate) async fn deploy(&self, name: &str, greeting: &str) -> Resource<Deployment> {
        let score = json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": name },
            "containers": { "main": {
                "image": "/bin/true",
                "variables": { "GREETING": greeting, "THING": "${resources.thing.url}" },
            } },
            "resources": { "thing": { "type": "thing" } },
        });
        let request = NewDeployment {
            workloads: [(name.to_owned(), score)].into(),
            create_environment: Some(CreateEnvironment {
                role: Some("dev".into()),
                ttl_seconds: None,
            }),
            ..NewDeployment::default()
        };
        self.delivery
            .deploy(&Caller::local_admin(), "dev", request)
            .await
            .unwrap()
    }

    /// The same, and waits until it has succeeded.
    pub(crate) async fn deployed(&self, name: &str, greeting: &str) {
        let asked = self.deploy(name, greeting).await;
        self.succeeded(&asked).await;
    }

    /// Waits until `deployment` has succeeded.
    pub(crate) async fn succeeded(&self, deployment: &Resource<Deployment>) {
        let ended = eventually("the deployment ends", WITHIN, || async {
            let now = self
                .store
                .expect::<Deployment>("dev", &deployment.meta.name)
                .await
                .unwrap();
            now.status.phase.is_final().then_some(now)
        })
        .await;
        let status = ended.status;
        assert_eq!(status.phase, DeploymentPhase::Succeeded, "{status:?}");
    }

    pub(crate) async fn workload(&self, name: &str) -> Resource<Workload> {
        self.store.expect("dev", name).await.unwrap()
    }

    /// The thing of a workload.
    pub(crate) async fn thing(&self, workload: &str) -> Resource<ResourceInstance> {
        let all = self.store.list_all(&Query::scope("dev")).await.unwrap();
        all.into_iter()
            .find(|one: &Resource<ResourceInstance>| one.spec.workload.as_deref() == Some(workload))
            .unwrap()
    }

    /// Rotates the thing of a workload.
    pub(crate) async fn rotate(&self, workload: &str) {
        let thing = self.thing(workload).await.meta.name;
        self.delivery
            .resource_rotate(&Caller::local_admin(), "dev", &thing)
            .await
            .unwrap();
    }

    /// Every event whose type ends with `what`.
    pub(crate) async fn told(&self, what: &str) -> Vec<Event> {
        let (mut told, mut after) = (Vec::new(), 0);
        loop {
            let page = self
                .store
                .events(&EventFilter::default(), after, 1000)
                .await
                .unwrap();
            let Some(last) = page.last() else { return told };
            after = last.seq;
            told.extend(page.into_iter().filter(|event| event.kind.ends_with(what)));
        }
    }
}
