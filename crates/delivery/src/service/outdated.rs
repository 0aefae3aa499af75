//! What others keep and a deployment uses: asked for with every plan, so that what is missing is said
//! before anything is made, and what has changed reaches the workloads.

use std::collections::BTreeMap;

use kernel::{Error, Problem, Resource, Result, Secret};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Delivery, preview::expand};
use crate::{
    model::{Environment, Graph, Node, NodeId, ResourceInstance, instance_name},
    provisioner::Request,
};

/// The instances that are to be made anew, each with its reason.
pub(super) type Outdated = BTreeMap<NodeId, String>;

impl Delivery {
    /// Which instances are made anew with a deployment, and what is missing for it. Fails where that
    /// cannot be told.
    pub(super) async fn outdated(
        &self,
        environment: &Resource<Environment>,
        graph: &Graph,
        instances: &[Resource<ResourceInstance>],
    ) -> Result<(Outdated, Vec<Problem>)> {
        let (mut outdated, mut problems) = (Outdated::new(), Vec::new());
        for (id, node) in &graph.nodes {
            let Some(provisioner) = self.provisioner(&node.provisioner) else {
                continue;
            };
            // What needs something that is not made yet is known only once it is made.
            let Some(params) = expand(&node.params, &|_, _| None) else {
                continue;
            };
            if !provisioner.check(&params).is_empty() {
                continue;
            }
            let name = instance_name(id);
            let held = instances.iter().find(|held| held.meta.name == name);
            let request = self.request_in_plan(environment, id, node, params, held);
            match provisioner.outdated(&request).await {
                Ok(None) => {}
                Ok(Some(why)) => {
                    outdated.insert(id.clone(), why);
                }
                Err(error) if error.retry => {
                    let mut unknown = Error::unavailable(format!("{id}: {}", error.message));
                    unknown.remedy = error.remedy;
                    return Err(unknown);
                }
                Err(error) => problems.push(Problem {
                    remedy: error.remedy,
                    ..Problem::new("resource/missing", node.asked_by.join(", "), error.message)
                }),
            }
        }
        Ok((outdated, problems))
    }

    /// What a provisioner is asked while nothing is made: without seed, at the first rotation.
    pub(super) fn request_in_plan(
        &self,
        environment: &Resource<Environment>,
        id: &NodeId,
        node: &Node,
        params: Map<String, Value>,
        held: Option<&Resource<ResourceInstance>>,
    ) -> Request {
        Request {
            platform: self.store.platform(),
            uid: held.map_or(Uuid::nil(), |held| held.meta.uid),
            environment: environment.meta.name.clone(),
            role: environment.spec.role.clone(),
            team: environment.spec.team.clone(),
            workload: node.workload.clone(),
            resource_type: id.resource_type.clone(),
            class: id.class.clone(),
            id: id.id.clone(),
            params,
            seed: Secret::new([]),
            rotation: 1,
            state: held.map_or(Value::Null, |held| held.status.state.clone()),
            machine_host: "127.0.0.1".into(),
        }
    }
}
