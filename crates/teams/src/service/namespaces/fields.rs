//! What is said of a namespace, and taken over.

use kernel::{Error, Name, Problem, Result};

use crate::{
    api::NamespaceFields,
    model::{ContainerDefaults, NamespaceSpec},
};

/// How many other namespaces a namespace may let in by name.
const MOST_PEERS: usize = 100;

/// Whether `fields` says another quota than `spec`, or another part of it for a container.
pub(super) fn says_other_amounts(spec: &NamespaceSpec, fields: &NamespaceFields) -> bool {
    let quota = fields.quota.map(|quota| quota.over(&spec.quota));
    quota.is_some_and(|quota| quota != spec.quota)
        || (fields.container_defaults).is_some_and(|defaults| defaults != spec.defaults())
}

/// Takes over what is said.
pub(super) fn fill(spec: &mut NamespaceSpec, fields: &NamespaceFields) -> Result<()> {
    if let Some(description) = &fields.description {
        spec.description.clone_from(description);
    }
    if let Some(policies) = &fields.network_policies {
        let count = policies.allow_ingress.len();
        if count > MOST_PEERS {
            let problem = Problem::new(
                "namespace/peers",
                "networkPolicies.allowIngress",
                format!("it names {count} namespaces, and lets in {MOST_PEERS} at the most"),
            )
            .remedy("name fewer, or let in everybody's workloads (`defaultDeny: false`)");
            return Err(Error::problems(
                "whom the namespace lets in is not valid",
                vec![problem],
            ));
        }
        for peer in &policies.allow_ingress {
            Name::new(peer.from_namespace.as_str())?;
        }
        spec.network_policies.clone_from(policies);
    }
    if let Some(defaults) = fields.container_defaults {
        if let Some((field, why)) = defaults.contradiction() {
            let problem = Problem::new(
                "namespace/container-defaults",
                format!("containerDefaults.{field}"),
                why,
            )
            .remedy("let it be more than nothing, and no more than the limit of a container");
            return Err(Error::problems(
                "what counts for containers is not valid",
                vec![problem],
            ));
        }
        // What the platform has for that is not written down: it may be another one day.
        spec.container_defaults = Some(defaults).filter(|it| *it != ContainerDefaults::default());
    }
    if let Some(quota) = fields.quota.map(|quota| quota.over(&spec.quota)) {
        if let Some(part) = quota.contradiction() {
            return Err(Error::invalid(format!(
                "the quota lets more {part} be requested than used"
            ))
            .remedy(format!("let limits.{part} be no less than requests.{part}")));
        }
        spec.quota = quota;
    }
    Ok(())
}
