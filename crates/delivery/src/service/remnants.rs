//! Resources that cannot be removed: given up by an operator, and what may be left of them kept in mind.

use kernel::{
    Caller, Change, Error, ErrorKind, Kind as _, NewEvent, Outcome, Resource, Result, Secret, anew,
};
use serde_json::{Map, Value, json};

use super::{
    Delivery,
    access::{REMNANT_DELETE, RESOURCE_ABANDON, Seen as _, of_platform},
    outputs,
};
use crate::{
    model::{LeftBy, Making, Remnant, RemnantSpec, ResourceInstance, made, makings, remnant_name},
    provisioner::Request,
};

impl Delivery {
    /// Gives up an instance whose removal was asked for and fails: its row goes, so that what waits for
    /// it goes on, and a [`Remnant`] says what may be left. Fails with `Conflict` where nobody asked for
    /// the removal, or where it has not failed: what can be removed is removed.
    pub async fn resource_abandon(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        revision: Option<i64>,
    ) -> Result<Resource<Remnant>> {
        anew(|| self.resource_abandon_once(caller, environment, name, revision)).await
    }

    async fn resource_abandon_once(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        revision: Option<i64>,
    ) -> Result<Resource<Remnant>> {
        let (room, instance) = self
            .instance_for(caller, environment, name, RESOURCE_ABANDON)
            .await?;
        instance.meta.require_revision(revision)?;
        refuse_unless_removal_fails(&instance)?;
        let (meta, spec, status) = (&instance.meta, &instance.spec, &instance.status);
        let remnant = RemnantSpec {
            environment: environment.into(),
            team: room.spec.team.clone(),
            node: spec.node.clone(),
            holds_data: spec.holds_data,
            instance: meta.uid,
            left_by: self.left_by(&instance).await?,
            summary: status.summary.clone(),
            message: status.message.clone(),
            given_up_by: caller.subject.clone(),
            given_up: self.now(),
        };
        let remnant = Resource::<Remnant>::new("", remnant_name(&meta.name, meta.uid), remnant);
        let mut change = Change::new().by(caller);
        change.create(&remnant)?;
        for route in self.routes_of_instance(&instance).await? {
            change.remove(&route)?;
        }
        change.remove(&instance)?;
        self.let_go_beneath(&mut change, &instance).await?;
        change.event(NewEvent::caused(
            "resource-instance.abandoned",
            instance.key(),
            &room.spec.team,
            caller,
            None,
            json!({
                "node": spec.node,
                "holdsData": spec.holds_data,
                "remnant": remnant.meta.name,
                "leftBy": remnant.spec.left_by,
                "message": status.message,
            }),
        ));
        self.store.commit(change).await?.resource(&remnant.key())
    }

    /// Who may have made something of `instance`, and the names on their servers.
    async fn left_by(&self, instance: &Resource<ResourceInstance>) -> Result<Vec<LeftBy>> {
        let mut all = Vec::new();
        for making in makings(instance) {
            let request = self.removal_of(instance, &making).await?;
            let provisioner = self.provisioner(&making.provisioner);
            let left = LeftBy {
                listed_as: provisioner.and_then(|it| it.listed_as(&request)),
                provisioner: making.provisioner,
            };
            if !all.contains(&left) {
                all.push(left);
            }
        }
        Ok(all)
    }

    /// What a provisioner is asked, to remove what it has made of `instance`: as it was told when it made it, as far
    /// as that is still known. No removal needs the address of this machine, for which an engine may have to make a
    /// network.
    pub(crate) async fn removal_of(
        &self,
        instance: &Resource<ResourceInstance>,
        making: &Making,
    ) -> Result<Request> {
        let environment = &instance.meta.scope;
        let inputs = outputs::recorded(&self.store, environment, &making.aliases).await?;
        let params = inputs.params_as_known(&making.params);
        let mut request = self
            .request_of(instance, params, "127.0.0.1".into())
            .await?;
        if made(instance).is_some_and(|made| !made.is_one_with(making)) {
            // The state is of what is there now.
            request.state = Value::Null;
        }
        Ok(request)
    }

    /// What a provisioner is asked about `instance`, with these parameters.
    pub(crate) async fn request_of(
        &self,
        instance: &Resource<ResourceInstance>,
        params: Map<String, Value>,
        machine_host: String,
    ) -> Result<Request> {
        let seed = outputs::seed(&self.store, instance.meta.uid).await?;
        Ok(self.request_with(instance, params, seed, machine_host))
    }

    /// The same with this seed, for which the store need not be asked.
    pub(super) fn request_with(
        &self,
        instance: &Resource<ResourceInstance>,
        params: Map<String, Value>,
        seed: Secret,
        machine_host: String,
    ) -> Request {
        let Resource { meta, spec, status } = instance;
        Request {
            platform: self.store.platform(),
            uid: meta.uid,
            environment: meta.scope.clone(),
            role: spec.role.clone(),
            team: spec.team.clone(),
            workload: spec.workload.clone(),
            resource_type: spec.node.resource_type.clone(),
            class: spec.node.class.clone(),
            id: spec.node.id.clone(),
            params,
            seed,
            rotation: spec.rotation,
            state: status.state.clone(),
            machine_host,
        }
    }

    /// Forgets a remnant, once somebody has seen to what was left. Fails with `Conflict` where a server
    /// says that it still lists the thing; one that does not answer, or is not the provisioner's own, has
    /// no say.
    pub async fn remnant_delete(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        let target = of_platform::<Remnant>(name);
        let ruling = self.guard.require(caller, REMNANT_DELETE, &target).await;
        ruling.map_err(|error| {
            let sees = self.guard.allows(caller, Remnant::READ, &target);
            if error.kind == ErrorKind::Forbidden && !sees {
                return Remnant::not_found("", name);
            }
            error
        })?;
        anew(|| async {
            let remnant = self.store.expect::<Remnant>("", name).await?;
            remnant.meta.require_revision(revision)?;
            self.refuse_if_listed(&remnant.spec).await?;
            let mut change = Change::new().by(caller);
            change.remove(&remnant)?;
            change.event(NewEvent::caused(
                "remnant.removed",
                remnant.key(),
                &remnant.spec.team,
                caller,
                Some(Outcome::Pass),
                json!({ "leftBy": remnant.spec.left_by, "environment": remnant.spec.environment }),
            ));
            self.store.commit(change).await?;
            Ok(())
        })
        .await
    }

    async fn refuse_if_listed(&self, remnant: &RemnantSpec) -> Result<()> {
        for left in &remnant.left_by {
            let (Some(listed_as), Some(provisioner)) =
                (&left.listed_as, self.provisioner(&left.provisioner))
            else {
                continue;
            };
            let listed = match provisioner.inventory(self.store.platform()).await {
                Ok(listed) => listed,
                Err(error) => {
                    // A server that is gone for good is why there are remnants.
                    tracing::info!(%error, listed_as, "a remnant is forgotten unseen");
                    continue;
                }
            };
            if listed.contains(listed_as) {
                return Err(Error::conflict(format!(
                    "the server of provisioner `{}` still lists `{listed_as}`",
                    left.provisioner
                ))
                .remedy("remove it there first, with that server's own tools"));
            }
        }
        Ok(())
    }
}

fn refuse_unless_removal_fails(instance: &Resource<ResourceInstance>) -> Result<()> {
    let (node, meta) = (&instance.spec.node, &instance.meta);
    if !instance.is_deleting() {
        return Err(
            Error::conflict(format!("nobody has asked for the removal of {node}")).remedy(format!(
                "`towpath resource delete {} --env {}` asks for it; what cannot be removed can be given up",
                meta.name, meta.scope
            )),
        );
    }
    if instance.status.removal_fails.is_some() {
        return Ok(());
    }
    let why = match instance.status.message.as_str() {
        "" => String::new(),
        message => format!(": {message}"),
    };
    Err(
        Error::conflict(format!("the removal of {node} has not failed{why}"))
            .remedy("wait: what can be removed is removed"),
    )
}
