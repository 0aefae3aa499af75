//! The use cases and the reconcilers on a store of their own.

use std::{sync::Arc, time::Duration};

use kernel::{Caller, Driver, DriverHandle, Guard, Query, Resource, Sealer, Secret, Store};
use serde_json::{Value, json};
use towpath_delivery::{
    api::{ApplyAnswer, ApplyRequest, CreateEnvironment, NewDeployment},
    model::{
        Deployment, DeploymentPhase, Environment, HostClaim, ResourceInstance, Route, Workload,
    },
    reconcile::{Deployments, Environments, Instances, Workloads},
    service::{Delivery, Settings},
};

use crate::fakes::{Lenient, Operators, Shelf, Stage};

/// Waits of the reconcilers are real, and begin with a fifth of a second.
pub const LONG: Duration = Duration::from_secs(30);

pub struct Room {
    pub delivery: Arc<Delivery>,
    pub shelf: Arc<Shelf>,
    pub stage: Arc<Stage>,
    store: Store,
    caller: Caller,
    _driver: DriverHandle,
    _directory: tempfile::TempDir,
}

impl Room {
    /// With a definition of the type `thing`, whose size the asker says.
    pub async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/store.db", directory.path().display());
        let store = Store::open(&url, Sealer::generate().unwrap())
            .await
            .unwrap();
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
            },
            Secret::new([7; 32]),
        ));
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
            store,
            caller: Caller::local_admin(),
            _driver: driver,
            _directory: directory,
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

    /// The environments that routes of a host lead to.
    pub async fn holders(&self, host: &str) -> Vec<String> {
        let all = self.store.list_all::<Route>(&Query::default()).await;
        let at = all.unwrap().into_iter().filter(|r| r.spec.host == host);
        at.map(|route| route.spec.environment).collect()
    }

    /// Ends an environment, and waits until it is gone.
    pub async fn end(&self, environment: &str) {
        let removed = self
            .delivery
            .environment_delete(&self.caller, environment, true, None);
        removed.await.unwrap();
        testkit::eventually("the environment goes", LONG, || async {
            let found = self
                .store
                .get::<Environment>("", environment)
                .await
                .unwrap();
            found.is_none().then_some(())
        })
        .await;
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
