//! Deployments: planned, written, returned to.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Caller, Change, Error, ErrorKind, Problem, Query, Resource, Result, Secret};
use rand::RngCore as _;
use serde_json::json;

use super::{Delivery, TRIES, claims::Claims, events, outputs, plans::Draft};
use crate::{
    api::{CreateEnvironment, NewDeployment, NewEnvironment, PlanAnswer, Rollback},
    model::{
        Deployment, DeploymentPhase, DeploymentSpec, Environment, Node, NodeId, ResourceInstance,
        ResourceInstanceSpec, Route, Workload, WorkloadSpec, begin_release, instance_name,
    },
    plan::Action,
    score,
};

/// The pause before a deployment is planned a second time; each further one is longer by as much.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// What a deployment is to do, from a request or from the record of an earlier one.
pub(super) struct Order {
    pub(super) workloads: BTreeMap<String, score::Workload>,
    pub(super) accept: BTreeSet<String>,
    /// The record whose definitions are used in place of the newest: of a rollback.
    pub(super) record: Option<Resource<Deployment>>,
    message: String,
    timeout_seconds: u64,
}

impl Delivery {
    /// What a deployment would do. Nothing is made.
    pub async fn plan(
        &self,
        caller: &Caller,
        environment: &str,
        request: NewDeployment,
    ) -> Result<PlanAnswer> {
        let (environment, _) = self
            .environment_for(caller, environment, request.create_environment.clone())
            .await?;
        let order = self.order(request)?;
        let draft = self.draft(caller, &environment, &order).await?;
        Ok(PlanAnswer {
            plan: draft.plan,
            decision: draft.decision,
            graph: draft.graph,
        })
    }

    /// Deploys: reads, matches, plans, verifies, and writes what reconcilers then make true.
    pub async fn deploy(
        &self,
        caller: &Caller,
        environment: &str,
        request: NewDeployment,
    ) -> Result<Resource<Deployment>> {
        let create = request.create_environment.clone();
        let order = self.order(request)?;
        self.deploy_order(caller, environment, create, &order).await
    }

    /// Returns to an earlier deployment, by a new one that uses its record: the same workloads, the
    /// same revisions of definitions.
    pub async fn rollback(
        &self,
        caller: &Caller,
        environment: &str,
        request: Rollback,
    ) -> Result<Resource<Deployment>> {
        let record = match &request.to {
            Some(to) => self.store.expect::<Deployment>(environment, to).await?,
            None => {
                self.last_good_before_present(environment, request.workload.as_deref())
                    .await?
            }
        };
        let mut workloads = record.spec.workloads.clone();
        if let Some(only) = &request.workload {
            workloads.retain(|name, _| name == only);
            if workloads.is_empty() {
                return Err(Error::not_found(format!(
                    "workload `{only}` in deployment `{}`",
                    record.meta.name
                )));
            }
        }
        let order = Order {
            workloads,
            accept: BTreeSet::new(),
            message: request.message,
            timeout_seconds: request
                .timeout_seconds
                .unwrap_or(self.settings.default_timeout_seconds),
            record: Some(record),
        };
        self.deploy_order(caller, environment, None, &order).await
    }

    async fn last_good_before_present(
        &self,
        environment: &str,
        workload: Option<&str>,
    ) -> Result<Resource<Deployment>> {
        let workloads = self
            .store
            .list_all::<Workload>(&Query::scope(environment))
            .await?;
        let present: Vec<_> = workloads
            .iter()
            .filter(|w| workload.is_none_or(|name| w.meta.name == name))
            .map(|w| w.spec.deployment.as_str())
            .collect();
        let mut all = self
            .store
            .list_all::<Deployment>(&Query::scope(environment))
            .await?;
        // In the order in which they were made: names count, and sort as text.
        all.sort_by_key(|d| std::cmp::Reverse(d.meta.uid));
        all.into_iter()
            .skip_while(|d| !present.contains(&d.meta.name.as_str()))
            .find(|d| {
                d.status.phase == DeploymentPhase::Succeeded
                    && !present.contains(&d.meta.name.as_str())
                    && workload.is_none_or(|name| d.spec.workloads.contains_key(name))
            })
            .ok_or_else(|| {
                Error::conflict(format!(
                    "environment `{environment}` has nothing to return to"
                ))
                .remedy("`towpath get deployments` lists what there was; name one with --to")
            })
    }

    fn order(&self, request: NewDeployment) -> Result<Order> {
        let mut problems = Vec::new();
        let mut workloads = BTreeMap::new();
        if request.workloads.is_empty() {
            problems.push(Problem::new(
                "deployment/empty",
                "workloads",
                "there is no workload",
            ));
        }
        for (name, value) in request.workloads {
            match score::validate(&value) {
                Ok(workload) if workload.metadata.name == name => {
                    workloads.insert(name, workload);
                }
                Ok(workload) => problems.push(Problem::new(
                    "deployment/name",
                    format!("workloads.{name}"),
                    format!(
                        "the key `{name}` is not the workload's name, `{}`",
                        workload.metadata.name
                    ),
                )),
                Err(found) => problems.extend(found),
            }
        }
        let timeout_seconds = request
            .timeout_seconds
            .unwrap_or(self.settings.default_timeout_seconds);
        if !(1..=86_400).contains(&timeout_seconds) {
            problems.push(
                Problem::new(
                    "deployment/timeout",
                    "timeoutSeconds",
                    "the time is out of range",
                )
                .remedy("give 1 to 86400 seconds"),
            );
        }
        if !problems.is_empty() {
            return Err(Error::problems(
                "the workloads cannot be deployed",
                problems,
            ));
        }
        Ok(Order {
            workloads,
            accept: request.accept.into_iter().collect(),
            message: request.message,
            timeout_seconds,
            record: None,
        })
    }

    /// The environment, or the one that the caller wants made; the flag says that it is new.
    async fn environment_for(
        &self,
        caller: &Caller,
        name: &str,
        create: Option<CreateEnvironment>,
    ) -> Result<(Resource<Environment>, bool)> {
        if let Some(environment) = self.store.get::<Environment>("", name).await? {
            Self::authorize(caller, &environment.spec.team, "deploy here")?;
            if environment.is_deleting() {
                return Err(
                    Error::conflict(format!("environment `{name}` is being removed"))
                        .remedy("wait until it is gone, then deploy again"),
                );
            }
            return Ok((environment, false));
        }
        let Some(create) = create else {
            return Err(Error::not_found(format!("environment `{name}`"))
                .remedy(format!("make it with `towpath env create {name}`")));
        };
        let request = NewEnvironment {
            name: name.into(),
            role: create.role,
            ttl_seconds: create.ttl_seconds,
            ..NewEnvironment::default()
        };
        Ok((self.environment_draft(caller, request).await?, true))
    }

    async fn deploy_order(
        &self,
        caller: &Caller,
        environment: &str,
        create: Option<CreateEnvironment>,
        order: &Order,
    ) -> Result<Resource<Deployment>> {
        let mut last =
            Error::conflict("the environment changes too fast to deploy to it").remedy("try again");
        let turn = self.turn(environment);
        let _turn = turn.lock().await;
        for attempt in 0..TRIES {
            // Reconcilers and other replicas write, too: they get a moment to finish.
            tokio::time::sleep(PAUSE * attempt).await;
            let (room, new) = self
                .environment_for(caller, environment, create.clone())
                .await?;
            let draft = self.draft(caller, &room, order).await?;
            if !draft.decision.allowed {
                return Err(self.refuse(caller, &room, new, draft).await?);
            }
            match self.write(caller, room, new, order, draft).await {
                Err(error)
                    if matches!(error.kind, ErrorKind::Conflict | ErrorKind::AlreadyExists) =>
                {
                    last = error;
                }
                done => return done,
            }
        }
        Err(last)
    }

    /// The refusal, recorded: a refused deployment is an event like any other.
    async fn refuse(
        &self,
        caller: &Caller,
        environment: &Resource<Environment>,
        new: bool,
        draft: Draft,
    ) -> Result<Error> {
        if !new {
            let mut change = Change::new().by(caller);
            change.event(events::event(
                "deployment.refused",
                environment.key(),
                &environment.spec.team,
                caller,
                Some(kernel::Outcome::Fail),
                json!({ "decision": draft.decision }),
            ));
            self.store.commit(change).await?;
        }
        let problems = draft
            .decision
            .denials
            .into_iter()
            .map(|finding| Problem {
                remedy: finding.remedy,
                ..Problem::new(&format!("policy/{}", finding.rule), "", finding.message)
            })
            .collect();
        let mut error = Error::forbidden("policy refuses this deployment");
        error.problems = problems;
        Ok(error)
    }

    /// One change: the deployment, its workloads, what they need, what they claim, and its event.
    async fn write(
        &self,
        caller: &Caller,
        mut room: Resource<Environment>,
        new: bool,
        order: &Order,
        draft: Draft,
    ) -> Result<Resource<Deployment>> {
        let environment = room.meta.name.clone();
        let mut change = Change::new().by(caller);
        room.status.deployments += 1;
        let name = format!("d-{}", room.status.deployments);
        if new {
            Self::environment_write(&mut change, caller, &room)?;
        } else {
            change.status(&room)?;
        }
        let mut releases = BTreeMap::new();
        for (workload, score) in &order.workloads {
            let release = self
                .write_workload(&mut change, caller, &room, &name, workload, score)
                .await?;
            releases.insert(workload.clone(), release);
        }
        self.write_instances(&mut change, caller, &room, order, &draft)
            .await?;
        self.reserve(&mut change, &draft.claims).await?;
        let deployment = Resource::<Deployment>::new(
            environment.as_str(),
            name,
            DeploymentSpec {
                workloads: order.workloads.clone(),
                releases,
                graph: draft.graph,
                plan: draft.plan,
                decision: draft.decision,
                claims: draft.claims,
                requested_by: caller.subject.clone(),
                correlation: caller.correlation,
                message: order.message.clone(),
                rollback_to: order.record.as_ref().map(|r| r.meta.name.clone()),
                timeout_seconds: order.timeout_seconds,
            },
        );
        change.create(&deployment)?;
        change.event(events::event(
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
        let written = self.store.commit(change).await?.documents;
        written
            .into_iter()
            .find(|document| document.key() == deployment.key())
            .ok_or_else(|| Error::internal("a commit did not answer what it wrote", "deployment"))?
            .typed()
    }

    /// Takes the routes that nobody holds. Those that the same workloads hold lead where they did until
    /// the new release serves.
    async fn reserve(&self, change: &mut Change, claims: &Claims) -> Result<()> {
        for (name, claim) in claims {
            match self.store.get::<Route>("", name).await? {
                None => {
                    change.create(&Resource::<Route>::new("", name.as_str(), claim.clone()))?;
                }
                Some(held)
                    if held.spec.environment == claim.environment
                        && held.spec.workload == claim.workload =>
                {
                    change.require(&held)?;
                }
                // Planned before the other took it: planned anew, the refusal names the holder.
                Some(held) => {
                    return Err(Error::conflict(format!(
                        "`{}{}` was just taken by workload `{}` in environment `{}`",
                        claim.host, claim.path, held.spec.workload, held.spec.environment
                    ))
                    .remedy("choose another host or path"));
                }
            }
        }
        Ok(())
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
                let release = begin_release(&mut workload);
                change.spec(&workload)?;
                Ok(release)
            }
            None => {
                let mut workload = Resource::<Workload>::new(environment.as_str(), name, spec(0));
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
        rotation: 1,
        replacements: 0,
        correlation: caller.correlation,
        team: room.spec.team.clone(),
        role: room.spec.role.clone(),
    };
    let mut instance =
        Resource::<ResourceInstance>::new(room.meta.name.as_str(), instance_name(id), spec);
    instance.status.used_by = used_by;
    instance
}

/// Sets an instance to what `node` says.
pub(super) fn set_from_node(instance: &mut Resource<ResourceInstance>, node: &Node) {
    let spec = &mut instance.spec;
    spec.definition = node.definition.clone();
    spec.provisioner.clone_from(&node.provisioner);
    spec.params.clone_from(&node.params);
    spec.aliases.clone_from(&node.aliases);
    spec.depends_on.clone_from(&node.depends_on);
    spec.workload.clone_from(&node.workload);
    spec.holds_data = node.holds_data;
}
