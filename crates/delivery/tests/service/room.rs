//! The use cases and the reconcilers on a store of their own.

use std::{sync::Arc, time::Duration};

use kernel::{Caller, Clock, Driver, DriverHandle, Guard, Query, Resource, Sealer, Secret, Store};
use serde_json::{Value, json};
use towpath_delivery::{
    api::{ApplyAnswer, ApplyRequest, CreateEnvironment, NewDeployment, NewEnvironment},
    model::{
        Deployment, DeploymentPhase, Environment, HostClaim, ResourceInstance, Route, Workload,
    },
    reconcile::{Deployments, Environments, Instances, Workloads},
    service::{Delivery, Settings},
};

use crate::fakes::{Accounts, Lenient, Operators, Shelf, Stage};

/// Waits of the reconcilers are real, and begin with a fifth of a second.
pub const LONG: Duration = Duration::from_secs(30);

pub struct Room {
    pub delivery: Arc<Delivery>,
    pub shelf: Arc<Shelf>,
    pub stage: Arc<Stage>,
    pub accounts: Arc<Accounts>,
    store: Store,
    caller: Caller,
    _driver: DriverHandle,
    _place: Place,
}

/// Where a store is, until it is dropped.
#[allow(dead_code, reason = "what counts is when they are dropped")]
enum Place {
    Directory(tempfile::TempDir),
    Server(testkit::servers::PostgresDatabase),
}

impl Room {
    /// With a definition of the type `thing`, whose size the asker says.
    pub async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/store.db", directory.path().display());
        Self::at(&url, Place::Directory(directory)).await
    }

    /// On a database of its own; none where there is no server.
    pub async fn on_postgres() -> Option<Self> {
        let database = testkit::servers::postgres_database().await?;
        let url = database.url.clone();
        Some(Self::at(&url, Place::Server(database)).await)
    }

    async fn at(url: &str, place: Place) -> Self {
        let store = Store::open(url, Sealer::generate().unwrap()).await.unwrap();
        let (shelf, stage) = (Arc::new(Shelf::default()), Arc::new(Stage::default()));
        let delivery = Arc::new(Delivery::new(
            store.clone(),
            vec![stage.clone()],
            vec![shelf.clone()],
            Arc::new(Lenient),
            Guard::new(store.clone(), Arc::new(Operators)),
            Settings {
                domain: "localhost".into(),
                gateway_port: 80,
                default_engine: "stage".into(),
                default_timeout_seconds: 20,
                clock: Clock::system(),
            },
            Secret::new([7; 32]),
        ));
        let accounts = Arc::new(Accounts::default());
        delivery.also_ends(accounts.clone());
        delivery.install_defaults().await.unwrap();
        let driver = Driver::new(store.clone(), "test".into())
            .with(Arc::new(Instances::new(delivery.clone())))
            .with(Arc::new(Workloads(delivery.clone())))
            .with(Arc::new(Deployments(delivery.clone())))
            .with(Arc::new(Environments(delivery.clone())))
            .start();
        let room = Self {
            delivery,
            shelf,
            stage,
            accounts,
            store,
            caller: Caller::local_admin(),
            _driver: driver,
            _place: place,
        };
        let definition = json!({
            "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
            "metadata": { "name": "things" },
            "spec": { "type": "thing", "provisioner": "shelf", "params": { "size": "${params.size}" } },
        });
        let signs = json!({
            "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
            "metadata": { "name": "signs" },
            "spec": { "type": "sign", "provisioner": "shelf", "params": {
                "size": 1, "host": "${params.host}", "path": "${params.path}",
            } },
        });
        room.apply(vec![definition, signs]).await.unwrap();
        room
    }

    pub async fn apply(&self, documents: Vec<Value>) -> kernel::Result<ApplyAnswer> {
        let request = ApplyRequest { documents };
        self.delivery.apply(&self.caller, request).await
    }

    /// Deploys the workload `notes` with this image, and things of these sizes by name.
    pub async fn deploy(
        &self,
        image: &str,
        things: &[(&str, u32)],
        accept: &[String],
    ) -> Resource<Deployment> {
        self.try_deploy(image, things, accept).await.unwrap()
    }

    /// The same, where it may be refused.
    pub async fn try_deploy(
        &self,
        image: &str,
        things: &[(&str, u32)],
        accept: &[String],
    ) -> kernel::Result<Resource<Deployment>> {
        let resource = |(name, size): &(&str, u32)| {
            let asked = json!({ "type": "thing", "params": { "size": size } });
            ((*name).to_owned(), asked)
        };
        let resources = things.iter().map(resource).collect();
        self.deploy_to("dev", image, resources, accept).await
    }

    /// Deploys the workload `notes` with this image and nothing else, which is waited for a second.
    pub async fn deploy_briefly(&self, image: &str) -> Resource<Deployment> {
        let workload = json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": "notes" },
            "containers": { "main": { "image": image } },
        });
        let order = NewDeployment {
            workloads: [("notes".to_owned(), workload)].into(),
            create_environment: Some(CreateEnvironment::default()),
            timeout_seconds: Some(1),
            ..NewDeployment::default()
        };
        let deployed = self.delivery.deploy(&self.caller, "dev", order).await;
        deployed.unwrap()
    }

    /// Deploys the workload `notes` with a tower, for which a test has a definition.
    pub async fn deploy_tower(&self) -> Resource<Deployment> {
        let tower = ("tower".to_owned(), json!({ "type": "tower" }));
        let resources = serde_json::Map::from_iter([tower]);
        let deployed = self.deploy_to("dev", "notes:1", resources, &[]).await;
        deployed.unwrap()
    }

    /// Deploys the workload `notes` with what it asks for, to an environment that need not be there.
    pub async fn deploy_to(
        &self,
        environment: &str,
        image: &str,
        resources: serde_json::Map<String, Value>,
        accept: &[String],
    ) -> kernel::Result<Resource<Deployment>> {
        let workload = json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": "notes" },
            "service": { "ports": { "www": { "port": 80 } } },
            "containers": { "main": { "image": image } },
            "resources": resources,
        });
        let order = NewDeployment {
            workloads: [("notes".to_owned(), workload)].into(),
            accept: accept.to_vec(),
            create_environment: Some(CreateEnvironment::default()),
            ..NewDeployment::default()
        };
        self.delivery.deploy(&self.caller, environment, order).await
    }

    /// Makes an environment that is pinned to the definitions of another.
    pub async fn clone_of(&self, source: &str, name: &str) {
        let request = NewEnvironment {
            name: name.into(),
            clone_from: Some(source.into()),
            ..NewEnvironment::default()
        };
        let made = self.delivery.environment_create(&self.caller, request);
        made.await.unwrap();
    }

    /// Registers a team whose environments beside its namespaces may ask for so much together.
    pub async fn register(&self, team: &str, allowance: Value) {
        let spec = json!({ "group": team, "allowance": allowance });
        let spec = serde_json::from_value(spec).unwrap();
        let mut change = kernel::Change::new();
        change
            .create(&Resource::<teams::model::Team>::new("", team, spec))
            .unwrap();
        self.store.commit(change).await.unwrap();
    }

    /// Deploys for a team, to an environment that is made for it, a workload that asks for so much.
    pub async fn deploy_for(
        &self,
        team: &str,
        environment: &str,
        cpu: &str,
    ) -> kernel::Result<Resource<Deployment>> {
        self.deploy_by(&self.delivery, team, environment, cpu).await
    }

    /// Another replica, which reconciles nothing.
    pub fn replica(&self) -> Delivery {
        crate::defaults::delivery(&self.store)
    }

    /// The same as [`Room::deploy_for`], on the replica that `delivery` is.
    pub async fn deploy_by(
        &self,
        delivery: &Delivery,
        team: &str,
        environment: &str,
        cpu: &str,
    ) -> kernel::Result<Resource<Deployment>> {
        let amounts = json!({ "cpu": cpu, "memory": "1M" });
        let workload = json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": "notes" },
            "containers": { "main": {
                "image": "notes:1",
                "resources": { "requests": amounts, "limits": amounts },
            } },
        });
        let order = NewDeployment {
            workloads: [("notes".to_owned(), workload)].into(),
            create_environment: Some(CreateEnvironment::default()),
            ..NewDeployment::default()
        };
        let caller = Caller {
            teams: vec![team.into()],
            ..Caller::local_admin()
        };
        delivery.deploy(&caller, environment, order).await
    }

    /// Asks for the end of an environment, as its time does.
    pub async fn end(&self, environment: &str) {
        testkit::eventually("it is asked for", LONG, || async {
            let found = self.environment(environment).await.unwrap();
            let mut change = kernel::Change::new();
            change.delete(&found).unwrap();
            // Its reconcilers write, too.
            self.store.commit(change).await.ok()
        })
        .await;
    }

    pub async fn environment(&self, name: &str) -> Option<Resource<Environment>> {
        self.store.get("", name).await.unwrap()
    }

    /// Gives a team a namespace.
    pub async fn namespace(&self, team: &str, name: &str) {
        let spec = serde_json::from_value(json!({ "role": "dev" })).unwrap();
        let namespace = Resource::<teams::model::Namespace>::new(team, name, spec);
        let mut change = kernel::Change::new();
        change.create(&namespace).unwrap();
        self.store.commit(change).await.unwrap();
    }

    pub async fn deployment(&self, name: &str) -> Resource<Deployment> {
        self.store.expect("dev", name).await.unwrap()
    }

    /// Waits for the end of a deployment.
    pub async fn ended(&self, deployment: &Resource<Deployment>) -> Resource<Deployment> {
        let name = &deployment.meta.name;
        testkit::eventually("the deployment ends", LONG, || async {
            let found = self.deployment(name).await;
            found.status.phase.is_final().then_some(found)
        })
        .await
    }

    /// Waits for its success.
    pub async fn succeeded(&self, deployment: &Resource<Deployment>) -> Resource<Deployment> {
        let ended = self.ended(deployment).await;
        assert_eq!(
            ended.status.phase,
            DeploymentPhase::Succeeded,
            "{:?}",
            ended.status
        );
        ended
    }

    /// Asks for the removal of a thing; `with_data` says that what is in it may be lost.
    pub async fn delete_thing(
        &self,
        thing: &Resource<ResourceInstance>,
        with_data: bool,
    ) -> kernel::Result<()> {
        let name = &thing.meta.name;
        let delivery = &self.delivery;
        let asked = delivery.resource_delete(&self.caller, "dev", name, with_data, None);
        asked.await.map(drop)
    }

    /// Asks for the removal of the workload `notes`.
    pub async fn delete_workload(&self) {
        let asked = self
            .delivery
            .workload_delete(&self.caller, "dev", "notes", false, None);
        asked.await.unwrap();
    }

    /// Gives a thing new credentials.
    pub async fn rotate(&self, thing: &Resource<ResourceInstance>) {
        let name = &thing.meta.name;
        let asked = self.delivery.resource_rotate(&self.caller, "dev", name);
        asked.await.unwrap();
    }

    /// The environments that routes of a host lead to.
    pub async fn holders(&self, host: &str) -> Vec<String> {
        let all = self.store.list_all::<Route>(&Query::default()).await;
        let at = all.unwrap().into_iter().filter(|r| r.spec.host == host);
        at.map(|route| route.spec.environment).collect()
    }

    /// How many hosts are written down as claimed.
    pub async fn host_claims(&self) -> usize {
        let all = self.store.list_all::<HostClaim>(&Query::default()).await;
        all.unwrap().len()
    }

    pub async fn workload(&self) -> Resource<Workload> {
        self.store.expect("dev", "notes").await.unwrap()
    }

    /// The instance of a thing, by its name in the workload.
    pub async fn thing(&self, name: &str) -> Option<Resource<ResourceInstance>> {
        let all = self
            .store
            .list_all::<ResourceInstance>(&Query::scope("dev"))
            .await
            .unwrap();
        let id = format!("notes.{name}");
        all.into_iter().find(|instance| instance.spec.node.id == id)
    }
}
