//! Writing a deployment down: everything that it sets, in one change.

use std::collections::BTreeMap;

use kernel::{Caller, Change, Error, Key, Meta, NewEvent, Outcome, Resource, Result, Secret};
use rand::RngCore as _;
use serde_json::json;
use teams::model::Team;

use super::{Delivery, Order, Room, RoomState};
use crate::{
    model::{
        Deployment, DeploymentSpec, Environment, FIRST_ROTATION, InstancePhase, Making, Node,
        NodeId, ResourceInstance, ResourceInstanceSpec, Route, Workload, WorkloadSpec,
        begin_release, instance_name, record_making,
    },
    plan::Action,
    score,
    service::{
        claims::Claims, environments::Roles, outputs, plans::Draft, quota::Sum,
        takeover::release_users,
    },
};

impl Delivery {
    /// One change: the deployment, its workloads, what they need, what they claim, what it comes to, and its event.
    pub(super) async fn write(
        &self,
        caller: &Caller,
        room: &Room,
        order: &Order,
        draft: &Draft,
        sum: &Sum,
    ) -> Result<Resource<Deployment>> {
        let (state, mut room) = (room.state, room.environment.clone());
        let environment = room.meta.name.clone();
        let mut change = Change::new().by(caller);
        room.status.deployments += 1;
        let name = format!("d-{}", room.status.deployments);
        match state {
            RoomState::New => {
                self.role_given(&mut change, &room, &Roles::new()).await?;
                Self::environment_write(&mut change, caller, &room)?;
            }
            RoomState::Changed => Self::environment_rewrite(&mut change, caller, &room)?,
            RoomState::AsItWas => change.status(&room)?,
        }
        let mut releases = BTreeMap::new();
        for (workload, score) in &order.workloads {
            let release = self
                .write_workload(&mut change, caller, &room, &name, workload, score)
                .await?;
            releases.insert(workload.clone(), release);
        }
        self.write_instances(&mut change, caller, &room, order, draft)
            .await?;
        self.reserve(&mut change, &draft.claims, &room.spec.team)
            .await?;
        let mut deployment = Resource::<Deployment>::new(
            environment.as_str(),
            name,
            DeploymentSpec {
                workloads: order.workloads.clone(),
                releases,
                graph: draft.graph.clone(),
                plan: draft.plan_counted(sum),
                decision: draft.decision.clone(),
                policy_context: json!({
                    "caller": draft.policy_input["caller"],
                    "environment": draft.policy_input["environment"],
                }),
                claims: draft.claims.clone(),
                requested_by: caller.subject.clone(),
                correlation: caller.correlation,
                message: order.message.clone(),
                rollback_to: order.record.as_ref().map(|r| r.meta.name.clone()),
                timeout_seconds: order.timeout_seconds,
            },
        );
        belongs_to(&mut deployment.meta, &room.spec.team);
        change.create(&deployment)?;
        change.event(NewEvent::caused(
            "deployment.requested",
            deployment.key(),
            &room.spec.team,
            caller,
            None,
            json!({
                "workloads": order.workloads.keys().collect::<Vec<_>>(),
                "rollbackTo": deployment.spec.rollback_to,
                "message": order.message,
            }),
        ));
        if let Some(counted) = &sum.counted {
            change.keep(counted)?;
        }
        if let Some(near) = sum.news.clone() {
            let team = &room.spec.team;
            let key = Key::of::<Team>("", team.as_str());
            let outcome = Some(Outcome::Fail);
            let what = "team.quota-warning";
            change.event(NewEvent::caused(what, key, team, caller, outcome, near));
        }
        self.store.commit(change).await?.resource(&deployment.key())
    }

    /// Takes the routes that nobody holds. Those that the same workloads hold lead where they did until
    /// the new release serves.
    async fn reserve(&self, change: &mut Change, claims: &Claims, team: &str) -> Result<()> {
        let mut free = Vec::new();
        for (name, claim) in claims {
            match self.store.get::<Route>("", name).await? {
                None => free.push((name, claim)),
                Some(held)
                    if held.spec.environment == claim.environment
                        && held.spec.workload == claim.workload =>
                {
                    change.require(&held)?;
                }
                // Planned before the other took it: planned anew, the refusal names the holder.
                Some(_) => {
                    return Err(Error::conflict(format!(
                        "`{}{}` was just taken by another workload",
                        claim.host, claim.path
                    ))
                    .remedy("choose another host or path")
                    .overtaken());
                }
            }
        }
        self.claim(change, &free, team).await
    }

    async fn write_workload(
        &self,
        change: &mut Change,
        caller: &Caller,
        room: &Resource<Environment>,
        deployment: &str,
        name: &str,
        score: &score::Workload,
    ) -> Result<u64> {
        let environment = &room.meta.name;
        let spec = |highest_release| WorkloadSpec {
            deployment: deployment.into(),
            release: highest_release,
            highest_release,
            correlation: caller.correlation,
            score: score.clone(),
            remove_data: false,
        };
        match self.store.get::<Workload>(environment, name).await? {
            Some(workload) if workload.is_deleting() => Err(Error::conflict(format!(
                "workload `{name}` is being removed"
            ))
            .remedy("wait until it is gone, then deploy again")),
            Some(mut workload) => {
                workload.spec = spec(workload.spec.highest_release);
                belongs_to(&mut workload.meta, &room.spec.team);
                let release = begin_release(&mut workload);
                change.spec(&workload)?;
                Ok(release)
            }
            None => {
                let mut workload = Resource::<Workload>::new(environment.as_str(), name, spec(0));
                belongs_to(&mut workload.meta, &room.spec.team);
                let release = begin_release(&mut workload);
                change.create(&workload)?;
                Ok(release)
            }
        }
    }

    async fn write_instances(
        &self,
        change: &mut Change,
        caller: &Caller,
        room: &Resource<Environment>,
        order: &Order,
        draft: &Draft,
    ) -> Result<()> {
        for (id, node) in &draft.graph.nodes {
            let name = instance_name(id);
            let users = order
                .workloads
                .keys()
                .filter(|workload| draft.graph.needed_by(workload).contains(id))
                .cloned();
            let Some(mut instance) = self
                .store
                .get::<ResourceInstance>(&room.meta.name, &name)
                .await?
            else {
                let instance = new_instance(caller, room, id, node, users.collect());
                let mut seed = [0; 32];
                rand::rng().fill_bytes(&mut seed);
                change.seal(instance.meta.uid, outputs::SEED, Secret::new(seed));
                change.create(&instance)?;
                continue;
            };
            if instance.is_deleting() {
                return Err(Error::conflict(format!("resource {id} is being removed"))
                    .remedy("wait until it is gone, then deploy again"));
            }
            let before = instance.clone();
            let used_by = &mut instance.status.used_by;
            used_by.extend(users);
            used_by.sort_unstable();
            used_by.dedup();
            let step = draft.plan.resources.get(&name).map(|step| step.action);
            if !draft.plan.held.contains(&name) {
                set_from_node(&mut instance, node);
            }
            instance.spec.role.clone_from(&room.spec.role);
            if draft.outdated.contains_key(id) {
                instance.spec.rotation += 1;
                // Those of this deployment have a release already.
                let ours = |user: &str| order.workloads.contains_key(user);
                release_users(&self.store, change, &instance, caller.correlation, ours).await?;
            }
            if instance.status.phase == InstancePhase::Failed {
                // Whoever asks again has mended the cause, or believes so: it is tried at once, and
                // what failed before does not speak against this deployment.
                instance.status.phase = InstancePhase::Pending;
                instance.status.next_try = None;
            }
            if step == Some(Action::Replace) && !draft.plan.held.contains(&name) {
                instance.spec.replacements += 1;
            }
            if instance.spec != before.spec {
                instance.spec.correlation = caller.correlation;
                change.spec(&instance)?;
            } else if instance.status != before.status {
                change.status(&instance)?;
            } else {
                // Nobody may let go of it meanwhile.
                change.require(&instance)?;
            }
        }
        Ok(())
    }
}

/// Labels what is written for an environment with its team.
fn belongs_to(meta: &mut Meta, team: &str) {
    meta.labels.insert(Meta::TEAM.into(), team.into());
}

fn new_instance(
    caller: &Caller,
    room: &Resource<Environment>,
    id: &NodeId,
    node: &Node,
    used_by: Vec<String>,
) -> Resource<ResourceInstance> {
    let spec = ResourceInstanceSpec {
        node: id.clone(),
        definition: node.definition.clone(),
        provisioner: node.provisioner.clone(),
        params: node.params.clone(),
        aliases: node.aliases.clone(),
        depends_on: node.depends_on.clone(),
        workload: node.workload.clone(),
        holds_data: node.holds_data,
        rotation: FIRST_ROTATION,
        replacements: 0,
        correlation: caller.correlation,
        team: room.spec.team.clone(),
        role: room.spec.role.clone(),
    };
    let mut instance =
        Resource::<ResourceInstance>::new(room.meta.name.as_str(), instance_name(id), spec);
    belongs_to(&mut instance.meta, &room.spec.team);
    instance.status.used_by = used_by;
    if instance.spec.depends_on.is_empty() {
        // Nothing keeps its provisioner from being asked: written down here, it costs no write of its own.
        instance.status.begun = vec![Making::of(&instance.spec)];
    }
    instance
}

/// Sets an instance to what `node` says.
pub(in crate::service) fn set_from_node(instance: &mut Resource<ResourceInstance>, node: &Node) {
    record_making(instance);
    let spec = &mut instance.spec;
    spec.definition = node.definition.clone();
    spec.provisioner.clone_from(&node.provisioner);
    spec.params.clone_from(&node.params);
    spec.aliases.clone_from(&node.aliases);
    spec.depends_on.clone_from(&node.depends_on);
    spec.workload.clone_from(&node.workload);
    spec.holds_data = node.holds_data;
}
