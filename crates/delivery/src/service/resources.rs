//! Resource instances: rotated, removed, their outputs read.

use kernel::{Action, Caller, Change, Error, Kind as _, NewEvent, Resource, Result, anew};
use serde_json::json;

use super::{
    Delivery,
    access::{RESOURCE_DELETE, RESOURCE_REVEAL, RESOURCE_ROTATE, Seen as _},
    outputs,
    takeover::release_users,
};
use crate::{
    api::ResourceOutputs,
    model::{DUMPED, Environment, ResourceInstance},
    provisioner::Output,
};

/// Resources that a refusal names at the most: more would hide what it says.
const NAMED: usize = 10;

impl Delivery {
    /// Gives an instance new credentials. Every workload that uses it gets a further release; the
    /// old credentials end when all of them have taken over.
    pub async fn resource_rotate(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
    ) -> Result<Resource<ResourceInstance>> {
        anew(|| self.resource_rotate_once(caller, environment, name, None)).await
    }

    /// The same where its rotation is still `known`, or one before it. Asked again for the same `known`, it is
    /// rotated already.
    pub async fn resource_renew(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        known: u32,
    ) -> Result<Resource<ResourceInstance>> {
        anew(|| self.resource_rotate_once(caller, environment, name, Some(known))).await
    }

    async fn resource_rotate_once(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        known: Option<u32>,
    ) -> Result<Resource<ResourceInstance>> {
        let (room, mut instance) = self
            .instance_for(caller, environment, name, RESOURCE_ROTATE)
            .await?;
        if known.is_some_and(|known| instance.spec.rotation > known) {
            return Ok(instance);
        }
        if instance.is_deleting() {
            return Err(Error::conflict(format!(
                "{} is being removed",
                instance.spec.node
            )));
        }
        if known.is_none() && !self.has_credentials(&instance) {
            let node = &instance.spec.node;
            return Err(Error::conflict(format!(
                "{node} has no credentials: none of its outputs is secret"
            ))
            .remedy(format!(
                "see what it has by `towpath resource outputs {name} --env {environment}`"
            )));
        }
        instance.spec.rotation += 1;
        instance.spec.correlation = caller.correlation;
        let mut change = Change::new().by(caller);
        change.spec(&instance)?;
        let everybody = |_: &str| false;
        release_users(
            &self.store,
            &mut change,
            &instance,
            caller.correlation,
            everybody,
        )
        .await?;
        change.event(NewEvent::caused(
            "resource-instance.rotation-requested",
            instance.key(),
            &room.spec.team,
            caller,
            None,
            json!({ "rotation": instance.spec.rotation, "usedBy": instance.status.used_by }),
        ));
        self.store.commit(change).await?.resource(&instance.key())
    }

    /// Whether a rotation could mean anything to an instance. Where that depends on its parameters, it is known once it
    /// was made.
    fn has_credentials(&self, instance: &Resource<ResourceInstance>) -> bool {
        let Resource { spec, status, .. } = instance;
        let provisioner = self.provisioner(&spec.provisioner);
        let outputs = provisioner.map_or(&[][..], |provisioner| provisioner.describe().outputs);
        if outputs.is_empty() {
            return status.rotation == 0 || !status.secret_outputs.is_empty();
        }
        outputs.iter().any(|(_, is_secret)| *is_secret)
    }

    /// Why the credentials that an instance had at `rotation` stay good whatever rotation comes, and what people do
    /// about it. None: a rotation ends them.
    pub fn not_ended_by_rotation(
        &self,
        instance: &Resource<ResourceInstance>,
        rotation: u32,
    ) -> Option<String> {
        let Resource { spec, status, .. } = instance;
        let provisioner = self.provisioner(&spec.provisioner)?;
        provisioner.not_ended_by_rotation(&spec.params, &status.state, rotation)
    }

    /// An instance, by its name or by what it is in the graph: `postgres.default#notes.db`.
    pub async fn resource(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
    ) -> Result<Resource<ResourceInstance>> {
        self.instance_for(caller, environment, name, ResourceInstance::READ)
            .await
            .map(|(_, instance)| instance)
    }

    /// Asks for the removal of an instance that nothing uses. One that holds data is refused, unless the
    /// caller says by `with_data` that this may be lost.
    pub async fn resource_delete(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        with_data: bool,
        revision: Option<i64>,
    ) -> Result<Resource<ResourceInstance>> {
        anew(|| self.resource_delete_once(caller, environment, name, with_data, revision)).await
    }

    async fn resource_delete_once(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        with_data: bool,
        revision: Option<i64>,
    ) -> Result<Resource<ResourceInstance>> {
        let (room, instance) = self
            .instance_for(caller, environment, name, RESOURCE_DELETE)
            .await?;
        instance.meta.require_revision(revision)?;
        if instance.is_deleting() {
            return Ok(instance);
        }
        if instance.spec.holds_data {
            self.refuse_if_protected(&room, "lose data").await?;
        }
        if !instance.status.used_by.is_empty() {
            return Err(Error::conflict(format!(
                "{} is used by {}",
                instance.spec.node,
                instance.status.used_by.join(", ")
            ))
            .remedy("deploy those workloads without it first, or delete them"));
        }
        self.refuse_beneath(&instance).await?;
        if instance.spec.holds_data && !with_data {
            return Err(
                Error::conflict(format!("{} holds data", instance.spec.node)).remedy(last_dumps(
                    [&instance],
                    "then delete it again with --with-data (`data=remove`)",
                )),
            );
        }
        let mut change = Change::new().by(caller);
        change.delete(&instance)?;
        change.event(NewEvent::caused(
            "resource-instance.deletion-requested",
            instance.key(),
            &room.spec.team,
            caller,
            None,
            json!({ "holdsData": instance.spec.holds_data }),
        ));
        self.store.commit(change).await?.resource(&instance.key())
    }

    /// Refuses to delete what something that stays was made from: it would wait for that, and hold up every
    /// deployment, until that goes.
    async fn refuse_beneath(&self, instance: &Resource<ResourceInstance>) -> Result<()> {
        let node = &instance.spec.node;
        let all = self.instances(&instance.meta.scope).await?;
        let on_it: Vec<_> = all
            .iter()
            .filter(|other| !other.is_deleting() && other.spec.depends_on.contains(node))
            .map(|other| other.spec.node.to_string())
            .collect();
        if on_it.is_empty() {
            return Ok(());
        }
        Err(
            Error::conflict(format!("{node} is needed by {}", on_it.join(", "))).remedy(
                "delete what needs it first: once nothing does, it goes by itself, unless it holds data",
            ),
        )
    }

    /// The outputs of an instance: plain ones with their value, secret ones by name, save the
    /// one whose value the caller asks for, which is recorded.
    pub async fn resource_outputs(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        reveal: Option<&str>,
    ) -> Result<ResourceOutputs> {
        let action = match reveal {
            Some(_) => RESOURCE_REVEAL,
            None => ResourceInstance::READ,
        };
        let (room, instance) = self.instance_for(caller, environment, name, action).await?;
        let mut answer = ResourceOutputs::default();
        for (output, value) in outputs::of_instance(&self.store, &instance).await? {
            match value {
                Output::Plain(value) => {
                    answer.outputs.insert(output, value);
                }
                Output::Secret(secret) => {
                    if reveal == Some(output.as_str()) {
                        let text = String::from_utf8_lossy(secret.expose()).into_owned();
                        answer.revealed.insert(output.clone(), text);
                    }
                    answer.secrets.push(output);
                }
            }
        }
        if let Some(reveal) = reveal
            && answer.revealed.is_empty()
        {
            return Err(Error::not_found(format!(
                "secret output `{reveal}` of {}",
                instance.spec.node
            ))
            .remedy("`towpath resource outputs` names those that it has"));
        }
        if reveal.is_some() {
            let mut change = Change::new().by(caller);
            change.event(NewEvent::caused(
                "resource-instance.secret-revealed",
                instance.key(),
                &room.spec.team,
                caller,
                None,
                json!({ "output": reveal, "rotation": instance.status.rotation }),
            ));
            self.store.commit(change).await?;
        }
        Ok(answer)
    }

    pub(super) async fn instance_for(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        action: Action,
    ) -> Result<(Resource<Environment>, Resource<ResourceInstance>)> {
        let place = self
            .environment_for::<ResourceInstance>(caller, action, environment, name)
            .await?;
        let room = place.environment;
        let instance = match self
            .store
            .get::<ResourceInstance>(environment, name)
            .await?
        {
            Some(instance) => instance,
            // People know a resource by what it is in the graph, too.
            None => known_as(self.instances(environment).await?, environment, name)?,
        };
        Ok((room, instance))
    }
}

/// The one of `instances` that is `name` in the graph; else the only one that a workload calls so.
fn known_as(
    mut instances: Vec<Resource<ResourceInstance>>,
    environment: &str,
    name: &str,
) -> Result<Resource<ResourceInstance>> {
    let in_graph = |it: &Resource<ResourceInstance>| {
        it.spec.node.to_string() == name || it.spec.node.id == name
    };
    if let Some(index) = instances.iter().position(in_graph) {
        return Ok(instances.swap_remove(index));
    }
    instances.retain(|it| {
        let workload = it.spec.workload.as_deref();
        workload.is_some_and(|workload| it.spec.node.id == format!("{workload}.{name}"))
    });
    let called: Vec<_> = instances
        .iter()
        .map(|it| it.spec.node.to_string())
        .collect();
    match (instances.pop(), called.as_slice()) {
        (Some(only), [_]) => Ok(only),
        (None, _) => Err(ResourceInstance::not_found(environment, name)),
        (Some(_), names) => Err(
            Error::conflict(format!("several resources are called `{name}`"))
                .remedy(format!("give the whole name of one: {}", names.join(", "))),
        ),
    }
}

/// The command that keeps a copy of the data of `instance`. Its file bears the environment's name: a resource may be
/// called the same in each.
pub(super) fn dump_command(instance: &Resource<ResourceInstance>) -> String {
    let (name, environment) = (&instance.meta.name, &instance.meta.scope);
    format!("towpath resource dump {name} --env {environment} --out {environment}-{name}.dump")
}

/// What keeps a copy of the data of `instances` before it goes, and what is done then.
pub(super) fn last_dumps<'a>(
    instances: impl IntoIterator<Item = &'a Resource<ResourceInstance>>,
    then: &str,
) -> String {
    let (mut commands, mut without) = (Vec::new(), Vec::new());
    for instance in instances {
        let node = &instance.spec.node;
        if DUMPED.contains(&node.resource_type.as_str()) {
            commands.push(dump_command(instance));
        } else {
            without.push(node.to_string());
        }
    }
    copies(&commands, &without, then)
}

/// One command on a line, so that each can be taken as it stands.
fn copies(commands: &[String], without: &[String], then: &str) -> String {
    let mut lines = Vec::new();
    if !commands.is_empty() {
        lines.push("keep a copy first, of what is still needed:".to_owned());
        let named = commands.iter().take(NAMED);
        lines.extend(named.map(|command| format!("  {command}")));
    }
    if commands.len() > NAMED {
        let more = commands.len() - NAMED;
        lines.push(format!(
            "  and {more} more, which `towpath resource list` names"
        ));
    }
    if !without.is_empty() {
        let named = without.iter().take(NAMED).map(String::as_str);
        let named: Vec<_> = named.collect();
        let more = match without.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        lines.push(format!(
            "there is no dump of {}{more}: `towpath resource outputs` gives the access for a program of its own",
            named.join(", ")
        ));
    }
    lines.push(then.to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_a_command_a_line_of_what_can_be_copied() {
        let one = ["towpath resource dump db".to_owned()];
        let queue = ["amqp.default#notes.q".to_owned()];
        assert_eq!(
            copies(&one, &queue, "then delete it"),
            "keep a copy first, of what is still needed:\n  towpath resource dump db\nthere is no dump of \
             amqp.default#notes.q: `towpath resource outputs` gives the access for a program of its own\nthen \
             delete it"
        );
        let only = copies(&[], &queue, "then delete it");
        assert!(only.starts_with("there is no dump of"), "{only}");
        let many: Vec<_> = (0..NAMED + 3)
            .map(|number| format!("dump {number}"))
            .collect();
        let said = copies(&many, &[], "then delete it");
        assert!(said.contains("\n  and 3 more, which"), "{said}");
        assert_eq!(said.matches("  dump ").count(), NAMED, "{said}");
    }
}
