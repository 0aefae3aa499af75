//! Who may do what: every use case asks here first, before it reads what would tell of anything.
//!
//! What a caller may not see is to them as if it were not there, in every word of the answer.

use kernel::{
    Action, Caller, Document, ErrorKind, Key, Kind, Meta, Page, Query, Resource, Result,
    Surroundings, Target,
};

use super::Delivery;
use crate::model::{
    Deployment, Environment, EnvironmentRole, EnvironmentSpec, Remnant, ResourceDefinition,
    ResourceDefinitionRevision, ResourceInstance, Route, Workload,
};

pub(super) const DEPLOYMENT_CREATE: Action = Action::act("deployment.create");
pub(super) const DEPLOYMENT_PLAN: Action = Action::act("deployment.plan");
pub(super) const ENVIRONMENT_CHANGE: Action = Action::act("environment.change");
pub(super) const ENVIRONMENT_CREATE: Action = Action::act("environment.create");
pub(super) const ENVIRONMENT_DELETE: Action = Action::act("environment.delete");
/// To give an environment a name that is kept for another team.
pub(super) const ENVIRONMENT_MISNAME: Action = Action::act("environment.misname");
/// To take an environment out of a protected role.
pub(super) const ENVIRONMENT_UNPROTECT: Action = Action::act("environment.unprotect");
pub(super) const ROLE_CHANGE: Action = Action::act("environment-role.change");
pub(super) const ROLE_DELETE: Action = Action::act("environment-role.delete");
pub(super) const DEFINITION_CHANGE: Action = Action::act("resource-definition.change");
pub(super) const DEFINITION_DELETE: Action = Action::act("resource-definition.delete");
/// To forget what may be left of a resource that was given up.
pub(super) const REMNANT_DELETE: Action = Action::act("remnant.delete");
/// To give up a resource that cannot be removed.
pub(super) const RESOURCE_ABANDON: Action = Action::act("resource.abandon");
pub(super) const RESOURCE_DELETE: Action = Action::act("resource.delete");
/// To be told the value of a secret output.
pub(super) const RESOURCE_REVEAL: Action = Action::act("resource.reveal");
pub(super) const RESOURCE_ROTATE: Action = Action::act("resource.rotate");
pub(super) const WORKLOAD_DELETE: Action = Action::act("workload.delete");
pub(super) const WORKLOAD_LOGS: Action = Action::act("workload.logs");
const POLICY_READ: Action = Action::see("policy.read");

/// A kind that is read through the API as it is kept.
pub(crate) trait Seen: Kind {
    /// To see one.
    const READ: Action;
}

impl Seen for Deployment {
    const READ: Action = Action::see("deployment.read");
}

impl Seen for Environment {
    const READ: Action = Action::see("environment.read");
}

impl Seen for EnvironmentRole {
    const READ: Action = Action::see("environment-role.read");
}

impl Seen for Remnant {
    const READ: Action = Action::see("remnant.read");
}

impl Seen for ResourceDefinition {
    const READ: Action = Action::see("resource-definition.read");
}

impl Seen for ResourceDefinitionRevision {
    const READ: Action = ResourceDefinition::READ;
}

impl Seen for ResourceInstance {
    const READ: Action = Action::see("resource.read");
}

impl Seen for Route {
    const READ: Action = Action::see("route.read");
}

impl Seen for Workload {
    const READ: Action = Action::see("workload.read");
}

/// An environment, with all of it that rules may care about.
pub(crate) struct Place {
    pub(super) environment: Resource<Environment>,
    protected: bool,
}

impl Place {
    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            name: &self.environment.meta.name,
            role: &self.environment.spec.role,
            protected: self.protected,
        }
    }

    /// Whether its role keeps it from being deleted.
    pub(crate) fn is_protected(&self) -> bool {
        self.protected
    }

    /// The environment itself.
    pub(super) fn itself(&self) -> Target<'_> {
        Target {
            kind: Environment::KIND,
            scope: "",
            name: &self.environment.meta.name,
            team: &self.environment.spec.team,
            environment: Some(self.surroundings()),
        }
    }

    /// The `K` of this name in it, or the environment itself; all of them where the name is empty.
    pub(super) fn target<'a, K: Kind>(&'a self, name: &'a str) -> Target<'a> {
        if K::KIND == Environment::KIND {
            return self.itself();
        }
        Target {
            kind: K::KIND,
            scope: &self.environment.meta.name,
            name,
            ..self.itself()
        }
    }
}

/// A thing of the whole platform.
pub(super) fn of_platform<K: Kind>(name: &str) -> Target<'_> {
    Target {
        kind: K::KIND,
        name,
        ..Target::default()
    }
}

impl Delivery {
    /// `environment` with what its role says of it.
    pub(crate) async fn place(&self, environment: Resource<Environment>) -> Result<Place> {
        let role = self
            .store
            .get::<EnvironmentRole>("", &environment.spec.role)
            .await?;
        Ok(Place {
            // A role that nobody knows may have been protected.
            protected: role.is_none_or(|role| role.spec.protected),
            environment,
        })
    }

    /// The environment, where there is one that `caller` may see.
    async fn place_seen(&self, caller: &Caller, environment: &str) -> Result<Option<Place>> {
        let Some(found) = self.store.get::<Environment>("", environment).await? else {
            return Ok(None);
        };
        let place = self.place(found).await?;
        let sees = self
            .guard
            .allows(caller, Environment::READ, &place.itself());
        Ok(Some(place).filter(|_| sees))
    }

    /// The environment, for one who may see it; else there is none.
    pub(super) async fn environment_seen(&self, caller: &Caller, name: &str) -> Result<Place> {
        self.place_seen(caller, name)
            .await?
            .ok_or_else(|| Environment::not_found("", name))
    }

    /// The environment, for one who may do `action` with the `K` of this name in it. Whoever may not
    /// see the environment learns no more than that there is none; the attempt is kept all the same.
    pub(super) async fn environment_for<K: Kind>(
        &self,
        caller: &Caller,
        action: Action,
        environment: &str,
        name: &str,
    ) -> Result<Place> {
        let missing = || Environment::not_found("", environment);
        let found = self.store.get::<Environment>("", environment).await?;
        let place = self.place(found.ok_or_else(missing)?).await?;
        self.require_at(caller, action, &place, &place.target::<K>(name))
            .await
            .map_err(|hidden| hidden.unwrap_or_else(missing))?;
        Ok(place)
    }

    /// Refuses a deploy credential that asks for another environment than its own, whether that is there or
    /// not: what is wrong is which credential was used, and that tells of nothing else.
    pub(super) async fn require_own(
        &self,
        caller: &Caller,
        action: Action,
        environment: &str,
    ) -> Result<()> {
        let own = match caller.environment.as_deref() {
            Some(own) if own != environment => own,
            _ => return Ok(()),
        };
        let target = Target {
            kind: Environment::KIND,
            name: environment,
            team: caller.teams.first().map_or("", String::as_str),
            environment: Some(Surroundings {
                name: environment,
                role: "",
                protected: false,
            }),
            ..Target::default()
        };
        let ruling = self.guard.require(caller, action, &target).await;
        ruling.map_err(|mut error| {
            if error.kind == ErrorKind::Forbidden {
                error.message =
                    format!("this credential deploys to `{own}`, and not to `{environment}`");
                // The same in the words of the rule would say it twice.
                for problem in &mut error.problems {
                    problem.message.clone_from(&error.message);
                }
            }
            error
        })
    }

    /// Whether `caller` may do `action` with `target` at `place`. The error is none where they may not
    /// even see the place.
    pub(super) async fn require_at(
        &self,
        caller: &Caller,
        action: Action,
        place: &Place,
        target: &Target<'_>,
    ) -> Result<(), Option<kernel::Error>> {
        let ruling = self.guard.require(caller, action, target).await;
        let sees = || {
            self.guard
                .allows(caller, Environment::READ, &place.itself())
        };
        match ruling {
            Ok(()) if sees() => Ok(()),
            Err(error) if error.kind != ErrorKind::Forbidden || sees() => Err(Some(error)),
            _ => Err(None),
        }
    }

    /// A page of what the caller may see of an environment's.
    pub(crate) async fn list_in<K: Seen>(
        &self,
        caller: &Caller,
        environment: &str,
        query: Query,
    ) -> Result<Page<Document>> {
        let place = self.environment_seen(caller, environment).await?;
        let query = Query {
            scope: Some(environment.into()),
            ..query
        };
        let sees = |document: &Document| {
            let target = place.target::<K>(&document.meta.name);
            self.guard.allows(caller, K::READ, &target)
        };
        self.store.documents_seen(K::KIND, &query, sees).await
    }

    /// One thing in an environment.
    pub(crate) async fn show_in<K: Seen>(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
    ) -> Result<Document> {
        let missing = || K::not_found(environment, name);
        let place = self.place_seen(caller, environment).await?;
        let place = place.ok_or_else(missing)?;
        if !self.guard.allows(caller, K::READ, &place.target::<K>(name)) {
            return Err(missing());
        }
        let key = Key::of::<K>(environment, name);
        self.store.document(&key).await?.ok_or_else(missing)
    }

    /// A page of what the whole platform shares.
    pub(crate) async fn list_shared<K: Seen>(
        &self,
        caller: &Caller,
        query: Query,
    ) -> Result<Page<Document>> {
        let sees = |document: &Document| {
            let target = Target {
                scope: &document.meta.scope,
                ..of_platform::<K>(&document.meta.name)
            };
            self.guard.allows(caller, K::READ, &target)
        };
        self.store.documents_seen(K::KIND, &query, sees).await
    }

    /// One thing that the whole platform shares.
    pub(crate) async fn show_shared<K: Seen>(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Document> {
        let missing = || K::not_found("", name);
        if !self.guard.allows(caller, K::READ, &of_platform::<K>(name)) {
            return Err(missing());
        }
        let key = Key::of::<K>("", name);
        self.store.document(&key).await?.ok_or_else(missing)
    }

    /// A page of the environments that the caller may see.
    pub async fn environment_list(&self, caller: &Caller, query: Query) -> Result<Page<Document>> {
        let roles = self
            .store
            .list_all::<EnvironmentRole>(&Query::default())
            .await?;
        let open = roles.into_iter().filter(|role| !role.spec.protected);
        let open: std::collections::BTreeSet<_> = open.map(|role| role.meta.name).collect();
        let sees = |document: &Document| {
            let Ok(environment) = document.clone().typed::<Environment>() else {
                return false;
            };
            let place = Place {
                protected: !open.contains(&environment.spec.role),
                environment,
            };
            self.guard
                .allows(caller, Environment::READ, &place.itself())
        };
        self.store
            .documents_seen(Environment::KIND, &query, sees)
            .await
    }

    /// One environment.
    pub async fn environment_show(&self, caller: &Caller, name: &str) -> Result<Document> {
        let place = self.environment_seen(caller, name).await?;
        place.environment.document()
    }

    /// A page of the routes that the caller may see.
    pub async fn route_list(&self, caller: &Caller, query: Query) -> Result<Page<Document>> {
        let sees = |document: &Document| {
            let team = document.meta.labels.get(Meta::TEAM);
            self.sees_route(caller, &document.meta.name, team.map(String::as_str))
        };
        self.store.documents_seen(Route::KIND, &query, sees).await
    }

    /// Whether the caller may know whose a route is.
    pub(super) fn sees_route(&self, caller: &Caller, name: &str, team: Option<&str>) -> bool {
        let target = Target {
            team: team.unwrap_or_default(),
            ..of_platform::<Route>(name)
        };
        self.guard.allows(caller, Route::READ, &target)
    }

    /// The policies in force, by name: no shields.
    pub fn policies(&self, caller: &Caller) -> Vec<(String, String)> {
        let mut all = self.guard.sources();
        let known: std::collections::BTreeSet<_> =
            all.iter().map(|(name, _)| name.clone()).collect();
        let of_deployments = self.verifier.sources().into_iter();
        all.extend(of_deployments.filter(|(name, _)| !known.contains(name)));
        all.sort();
        all.retain(|(name, _)| {
            let target = Target {
                kind: "Policy",
                name,
                ..Target::default()
            };
            self.guard.allows(caller, POLICY_READ, &target)
        });
        all
    }

    /// What an environment that is yet to be made would be to rules.
    pub(super) fn place_of(name: &str, spec: EnvironmentSpec, protected: bool) -> Place {
        Place {
            environment: Resource::new("", name, spec),
            protected,
        }
    }
}
