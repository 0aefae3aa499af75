//! Deployments: planned, written, returned to.

mod counted;
mod rollback;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Action, Caller, Change, Error, NewEvent, Problem, Resource, Result, anew};
use serde_json::json;

pub(super) use self::write::set_from_node;
use super::{
    Delivery,
    access::{DEPLOYMENT_CREATE, DEPLOYMENT_PLAN, ENVIRONMENT_CHANGE, ENVIRONMENT_CREATE},
    definitions::taken,
    environments::Roles,
    plans::{Draft, of_workload},
};
use crate::{
    api::{CreateEnvironment, EnvironmentStep, NewDeployment, NewEnvironment, PlanAnswer},
    model::{Deployment, Environment},
    plan, score,
    verify::Finding,
};

/// What a deployment is to do, from a request or from the record of an earlier one.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) workloads: BTreeMap<String, score::Workload>,
    /// What was added to them, and is to be said.
    pub(super) added: Vec<Problem>,
    /// What their containers were given that say no limit, in words.
    pub(super) defaulted: Vec<String>,
    pub(super) accept: BTreeSet<String>,
    /// The record whose definitions are used in place of the newest: of a rollback.
    pub(super) record: Option<Resource<Deployment>>,
    message: String,
    timeout_seconds: u64,
}

/// Where a deployment goes.
struct Room {
    environment: Resource<Environment>,
    state: RoomState,
}

/// What becomes of an environment with a deployment to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RoomState {
    New,
    Changed,
    AsItWas,
}

impl Room {
    /// What becomes of the environment, for a plan.
    fn step(&self) -> Option<EnvironmentStep> {
        let action = match self.state {
            RoomState::New => plan::Action::Add,
            RoomState::Changed => plan::Action::Change,
            RoomState::AsItWas => return None,
        };
        let Resource { meta, spec, .. } = &self.environment;
        Some(EnvironmentStep {
            action,
            name: meta.name.clone(),
            role: spec.role.clone(),
            team: spec.team.clone(),
            expires: spec.expires,
        })
    }
}

impl Delivery {
    /// What a deployment would do. Nothing is made.
    pub async fn plan(
        &self,
        caller: &Caller,
        environment: &str,
        request: NewDeployment,
    ) -> Result<PlanAnswer> {
        let room = self
            .room(
                caller,
                DEPLOYMENT_PLAN,
                environment,
                request.create_environment.clone(),
            )
            .await?;
        let order = self.order(request)?;
        let order = self.with_default_limits(&room.environment, &order).await?;
        let mut draft = self.draft(caller, &room.environment, &order).await?;
        let refusals = self.refusals(caller, &room).await?;
        draft.decision.allowed &= refusals.is_empty();
        draft.decision.denials.extend(refusals);
        Ok(PlanAnswer {
            environment: room.step(),
            plan: draft.plan,
            decision: draft.decision,
            graph: draft.graph,
            policy_input: draft.policy_input,
        })
    }

    /// Why the caller may not do what was planned: the questions that the deployment itself asks.
    async fn refusals(&self, caller: &Caller, room: &Room) -> Result<Vec<Finding>> {
        let place = self.place(room.environment.clone()).await?;
        let of_environment = match room.state {
            RoomState::New => Some(ENVIRONMENT_CREATE),
            RoomState::Changed => Some(ENVIRONMENT_CHANGE),
            RoomState::AsItWas => None,
        };
        let mut questions = vec![(DEPLOYMENT_CREATE, place.target::<Deployment>(""))];
        questions.extend(of_environment.map(|action| (action, place.itself())));
        let mut findings = Vec::new();
        for (action, target) in questions {
            let ruling = self.guard.foretell(caller, action, &target);
            if ruling.allowed {
                continue;
            }
            if ruling.reasons.is_empty() {
                let message = format!("no rule allows `{}`", action.word());
                findings.push(Finding {
                    rule: "authz/none".into(),
                    message,
                    remedy: None,
                });
            }
            for Problem {
                rule,
                message,
                remedy,
                ..
            } in ruling.reasons
            {
                let finding = Finding {
                    rule,
                    message,
                    remedy,
                };
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
        Ok(findings)
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

    fn order(&self, request: NewDeployment) -> Result<Order> {
        let mut problems = Vec::new();
        let mut workloads = BTreeMap::new();
        let mut added = Vec::new();
        if request.workloads.is_empty() {
            problems.push(Problem::new(
                "deployment/empty",
                "workloads",
                "there is no workload",
            ));
        }
        for (name, value) in request.workloads {
            match score::validate(&value) {
                Ok(mut workload) if workload.metadata.name == name => {
                    let said = score::declare_volumes(&mut workload).into_iter();
                    added.extend(said.map(|problem| of_workload(&name, problem)));
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
        let timeout_seconds = self
            .timeout_seconds(request.timeout_seconds)
            .unwrap_or_else(|problem| {
                problems.push(problem);
                0
            });
        if !problems.is_empty() {
            return Err(Error::problems(
                "the workloads cannot be deployed",
                problems,
            ));
        }
        Ok(Order {
            workloads,
            added,
            defaulted: Vec::new(),
            accept: request.accept.into_iter().collect(),
            message: request.message,
            timeout_seconds,
            record: None,
        })
    }

    /// How long a deployment may take, in seconds.
    fn timeout_seconds(&self, asked: Option<u64>) -> Result<u64, Problem> {
        let seconds = asked.unwrap_or(self.settings.default_timeout_seconds);
        if (1..=86_400).contains(&seconds) {
            return Ok(seconds);
        }
        Err(Problem::new(
            "deployment/timeout",
            "timeoutSeconds",
            "the time is out of range",
        )
        .remedy("give 1 to 86400 seconds"))
    }

    /// The environment, as the caller wants it: changed, or made. `may` is what the caller is here for: to
    /// deploy, or to plan.
    async fn room(
        &self,
        caller: &Caller,
        may: Action,
        name: &str,
        create: Option<CreateEnvironment>,
    ) -> Result<Room> {
        self.require_own(caller, may, name).await?;
        let missing = || {
            Error::not_found(format!("environment `{name}`"))
                .remedy(format!(
                    "make it with `towpath env create {name}`, or on the way with --role or --ttl; one that is \
                     another team's is not shown"
                ))
        };
        if let Some(environment) = self.store.get::<Environment>("", name).await? {
            let place = self.place(environment).await?;
            self.require_at(caller, may, &place, &place.target::<Deployment>(""))
                .await
                .map_err(|hidden| match (hidden, &create) {
                    (Some(refusal), _) => refusal,
                    (None, Some(_)) => {
                        let mut error = taken(name);
                        let message = error.message.clone();
                        error.problems = vec![Problem::new(Environment::TAKEN, "", message)];
                        error
                    }
                    (None, None) => missing(),
                })?;
            let mut environment = place.environment;
            if environment.is_deleting() {
                return Err(
                    Error::conflict(format!("environment `{name}` is being removed"))
                        .remedy("wait until it is gone, then deploy again"),
                );
            }
            let changed = match &create {
                Some(wanted) => {
                    self.amend_for_deployment(caller, may, &mut environment, wanted)
                        .await?
                }
                None => false,
            };
            let state = if changed {
                RoomState::Changed
            } else {
                RoomState::AsItWas
            };
            return Ok(Room { environment, state });
        }
        let Some(create) = create else {
            return Err(missing());
        };
        let making = if may == DEPLOYMENT_PLAN {
            may
        } else {
            ENVIRONMENT_CREATE
        };
        let request = NewEnvironment {
            name: name.into(),
            role: create.role,
            ttl_seconds: create.ttl_seconds,
            ..NewEnvironment::default()
        };
        let environment = self
            .environment_draft(caller, making, request, &Roles::new())
            .await?;
        // Whoever may make it need not be one who may deploy to it.
        let place = self.place(environment).await?;
        self.guard
            .require(caller, may, &place.target::<Deployment>(""))
            .await?;
        Ok(Room {
            environment: place.environment,
            state: RoomState::New,
        })
    }

    async fn deploy_order(
        &self,
        caller: &Caller,
        environment: &str,
        create: Option<CreateEnvironment>,
        order: &Order,
    ) -> Result<Resource<Deployment>> {
        let _turn = self.turns.of(&environment.to_owned()).await;
        let create = create.as_ref();
        // Reconcilers and other replicas write, too.
        anew(|| self.deploy_order_once(caller, (environment, create), order)).await
    }

    async fn deploy_order_once(
        &self,
        caller: &Caller,
        (environment, create): (&str, Option<&CreateEnvironment>),
        order: &Order,
    ) -> Result<Resource<Deployment>> {
        let room = self
            .room(caller, DEPLOYMENT_CREATE, environment, create.cloned())
            .await?;
        let order = self.with_default_limits(&room.environment, order).await?;
        let order = &*order;
        let draft = self.draft(caller, &room.environment, order).await?;
        self.require_return(environment, order, &draft).await?;
        if !draft.decision.allowed {
            return Err(self.refuse(caller, &room, draft).await?);
        }
        if draft.sum.counted.is_none() {
            return self.write(caller, &room, order, &draft, &draft.sum).await;
        }
        self.write_counted(caller, &room, order, &draft).await
    }

    /// The refusal, recorded: a refused deployment is an event like any other, also where the environment
    /// would have been made by it.
    async fn refuse(&self, caller: &Caller, room: &Room, draft: Draft) -> Result<Error> {
        let environment = &room.environment;
        let mut change = Change::new().by(caller);
        change.event(NewEvent::caused(
            "deployment.refused",
            environment.key(),
            &environment.spec.team,
            caller,
            Some(kernel::Outcome::Fail),
            json!({ "decision": draft.decision }),
        ));
        self.store.commit(change).await?;
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
}
