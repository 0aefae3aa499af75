//! What of a team is as it should be, and what is waited for.

use kernel::{Resource, Result};

use super::{Pass, integrations_ready, sync::Found};
use crate::model::{Condition, Namespace, Truth};

/// Whether a team is onboarded.
pub(super) fn are_met(conditions: &[Condition]) -> bool {
    Condition::ONBOARDED.iter().all(|kind| {
        let found = conditions.iter().find(|one| one.kind == *kind);
        found.is_some_and(|one| one.status == Truth::True)
    })
}

impl Pass<'_> {
    pub(super) async fn conditions(
        &self,
        namespaces: &[Resource<Namespace>],
        group: &Found,
    ) -> Result<Vec<Condition>> {
        let integrations = integrations_ready(&self.context.store, &self.team).await?;
        let found = [
            of_namespaces(namespaces),
            self.of_rights().await?,
            of_gateways(namespaces),
            integrations,
            self.of_credentials(namespaces).await,
            group.condition(&self.team),
            self.of_leads(group).await,
            Condition::waiting_for(
                Condition::TOPOLOGY,
                &self.team.spec.undeclared(),
                "what the team answers for is said",
            ),
        ];
        let before = &self.team.status.conditions;
        Ok(found.map(|one| one.after(before)).into())
    }

    /// On one machine no other program binds roles: the team's members have its rights as soon as the
    /// registry that every call asks knows the team.
    async fn of_rights(&self) -> Result<Condition> {
        let registry = self.teams.registry();
        registry.current().await?;
        let (name, group) = (self.name(), &self.team.spec.group);
        let waits = match registry.generation(name) {
            Some(known) if known >= self.team.meta.generation => vec![],
            // Nobody else will mend that.
            None if registry.reserves(group) => vec![format!(
                "the group `{group}` is reserved: its members operate the platform or onboard teams, and the \
                 team gives nobody anything until its group is another: `towpath team change {name} --group GROUP`"
            )],
            _ => vec!["the registry does not know the team as it is now".to_owned()],
        };
        Ok(Condition::waiting_for(
            Condition::ROLE_BINDINGS,
            &waits,
            format!(
                "the members of `{}` have the team's rights, as asked at each call",
                self.team.spec.group
            ),
        ))
    }

    /// Has each namespace have its deploy credential.
    async fn of_credentials(&self, namespaces: &[Resource<Namespace>]) -> Condition {
        let (mut waits, mut unknown, mut drawn) = (Vec::new(), false, 0);
        for namespace in namespaces.iter().filter(|one| !one.is_deleting()) {
            let name = &namespace.meta.name;
            let credentials = &self.teams.ports().credentials;
            match credentials.ensure(&self.caller, self.name(), name).await {
                Ok(None) => drawn += 1,
                Ok(Some(why)) => waits.push(format!("{name}: {why}")),
                Err(error) => {
                    unknown = true;
                    tracing::warn!(namespace = name, chain = error.chain(), "a credential");
                    waits.push(format!("{name}: {}", error.message));
                }
            }
        }
        let done =
            format!("{drawn} service accounts deploy, one to each namespace: their keys are kept");
        let condition = Condition::waiting_for(Condition::CREDENTIALS, &waits, done);
        if unknown {
            return Condition::new(Condition::CREDENTIALS, Truth::Unknown, condition.message);
        }
        condition
    }
}

fn of_namespaces(namespaces: &[Resource<Namespace>]) -> Condition {
    let waits: Vec<String> = namespaces
        .iter()
        .filter(|one| !one.is_deleting() && !one.status.ready)
        .map(|one| match one.status.message.as_str() {
            "" => format!("{} is being made", one.meta.name),
            why => format!("{}: {why}", one.meta.name),
        })
        .collect();
    let done = match namespaces.len() {
        0 => "the team has no namespace, and is to have none: `spec.environments` names no role"
            .to_owned(),
        all => format!("{all} namespaces"),
    };
    Condition::waiting_for(Condition::NAMESPACES, &waits, done)
}

fn of_gateways(namespaces: &[Resource<Namespace>]) -> Condition {
    let waits: Vec<String> = namespaces
        .iter()
        .filter(|one| !one.is_deleting() && one.status.hosts.is_empty())
        .map(|one| format!("{} has no host yet", one.meta.name))
        .collect();
    let hosts: Vec<_> = namespaces
        .iter()
        .filter(|one| !one.status.hosts.is_empty())
        .map(|one| one.status.hosts.as_str())
        .collect();
    Condition::waiting_for(Condition::GATEWAYS, &waits, hosts.join(", "))
}
