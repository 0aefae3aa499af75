//! The use cases and the reconcilers on a store of their own.

use std::{sync::Arc, time::Duration};

use kernel::{Caller, Driver, DriverHandle, Guard, Query, Resource, Sealer, Secret, Store};
use serde_json::{Value, json};
use towpath_delivery::{
    api::{ApplyAnswer, ApplyRequest, CreateEnvironment, NewDeployment},
    model::{Deployment, DeploymentPhase, ResourceInstance, Workload},
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
        room.apply(vec![definition]).await.unwrap();
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
        let resources: serde_json::Map<String, Value> = things.iter().map(resource).collect();
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
        self.delivery.deploy(&self.caller, "dev", order).await
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
