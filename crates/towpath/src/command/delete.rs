//! `towpath delete`

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use client::Client;
use delivery::{
    api::{Data, DefinitionDeleted},
    model::{DUMPED, Environment, ResourceInstance},
};
use kernel::Resource;

use super::deploy::Wait;
use crate::{
    cli::EnvironmentArg,
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    progress,
};

/// Remove a workload, environment, environment role, resource, definition, remnant or starter kit
///
/// What holds data stays unless --with-data is given. The command ends once the platform says that it is gone.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath delete workload notes\n  towpath delete workload notes --with-data\n  towpath delete environment pr-42 --with-data\n  towpath delete resource-definition postgres-large"
)]
pub(crate) struct Delete {
    /// The kind
    #[arg(value_enum)]
    kind: Deletable,
    /// The name
    name: String,
    #[command(flatten)]
    environment: EnvironmentArg,
    /// Remove databases, buckets, volumes and queues as well, with everything in them
    #[arg(long)]
    with_data: bool,
    #[command(flatten)]
    wait: Wait,
}

/// What can be removed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Deletable {
    /// What runs.
    #[value(alias = "workloads")]
    Workload,
    /// Everything in an environment.
    #[value(alias = "env", alias = "environments")]
    Environment,
    /// A purpose that environments have, once none has it.
    #[value(alias = "environment-roles", alias = "role")]
    EnvironmentRole,
    /// What workloads use.
    #[value(alias = "resources")]
    Resource,
    /// How the platform meets a need.
    #[value(alias = "resource-definitions", alias = "definition")]
    ResourceDefinition,
    /// What may be left of a resource that was given up, once somebody has seen to it.
    #[value(alias = "remnants")]
    Remnant,
    /// A way to a new repository.
    #[value(alias = "starter-kits", alias = "kit")]
    StarterKit,
}

impl Delete {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let data = if self.with_data {
            Data::Remove
        } else {
            Data::Keep
        };
        let environment = &self.environment.environment;
        let name = &self.name;
        let client = context.client()?;
        let what = |kind: &str| format!("{kind} {name}");
        match self.kind {
            Deletable::Workload => {
                client
                    .delete_workload(environment, name, data, None)
                    .await?;
                gone(context, &self.wait, &what("workload"), async || {
                    let workload = client.workload(environment, name).await?;
                    Ok(Some(vec![workload.status.message]))
                })
                .await
            }
            Deletable::Environment => {
                let environment = client.environment(name).await?;
                client.delete_environment(name, data, None).await?;
                gone(context, &self.wait, &what("environment"), async || {
                    remaining(&client, &environment).await
                })
                .await
            }
            Deletable::Resource => {
                let resource = client.resource(environment, name).await?;
                require_consent(&resource, self.with_data)?;
                let (name, revision) = (&resource.meta.name, Some(resource.meta.revision));
                client
                    .delete_resource(environment, name, data, revision)
                    .await?;
                gone(context, &self.wait, &what("resource"), async || {
                    let resource = client.resource(environment, name).await?;
                    Ok(Some(vec![resource.status.message]))
                })
                .await
            }
            Deletable::ResourceDefinition => {
                let deleted = client.delete_definition(name, None).await?;
                context.answer(&deleted, || {
                    definition_text(&what("resource definition"), &deleted)
                })
            }
            Deletable::StarterKit => {
                client.delete_starter_kit(name, None).await?;
                context.answer(&serde_json::json!({ "removal": "done" }), || {
                    format!("{} is gone", what("starter kit"))
                })
            }
            Deletable::EnvironmentRole => {
                client.delete_environment_role(name, None).await?;
                context.answer(&serde_json::json!({ "removal": "done" }), || {
                    format!("{} is gone", what("environment role"))
                })
            }
            Deletable::Remnant => {
                client.delete_remnant(name, None).await?;
                context.answer(&serde_json::json!({ "removal": "done" }), || {
                    format!("{} is forgotten", what("remnant"))
                })
            }
        }
    }
}

/// What the deletion of a definition leaves, for people.
fn definition_text(what: &str, deleted: &DefinitionDeleted) -> String {
    let mut text = format!("{what} is gone");
    if !deleted.in_use.is_empty() {
        text.push_str("\nthese resources stay as they are, on the revision that they have:");
        for name in &deleted.in_use {
            text.push_str("\n  ");
            text.push_str(name);
        }
    }
    if deleted.built_in {
        text.push_str(
            "\nit came with the platform, and stays away until somebody applies it again",
        );
    }
    text
}

/// Refuses to lose the data of the resource by accident.
pub(crate) fn require_consent(
    resource: &Resource<ResourceInstance>,
    with_data: bool,
) -> Result<()> {
    if with_data || !resource.spec.holds_data {
        return Ok(());
    }
    let (name, environment) = (&resource.meta.name, &resource.meta.scope);
    let kind = resource.spec.node.resource_type.as_str();
    let first = if DUMPED.contains(&kind) {
        format!(
            "keep a copy first, of what is still needed:\n  towpath resource dump {name} --env {environment} \
             --out {environment}-{name}.dump"
        )
    } else {
        format!(
            "there is no dump of a resource of type `{kind}`: `towpath resource outputs {name} --env \
             {environment}` gives the access for a program of its own"
        )
    };
    let message = format!("resource {name} holds data");
    Err(Failure::new(Exit::Conflict, message).remedy(format!("{first}\nthen add --with-data")))
}

/// What the removal of an environment waits for; nothing once it is gone, though another of its name was
/// made: one that backs a namespace is made anew.
pub(crate) async fn remaining(
    client: &Client,
    environment: &Resource<Environment>,
) -> client::Result<Option<Vec<String>>> {
    let now = client.environment(&environment.meta.name).await?;
    Ok((now.meta.uid == environment.meta.uid).then_some(now.status.remaining))
}

/// Waits until `look` finds nothing any more; `look` tells what it still waits for.
pub(crate) async fn gone(
    context: &Context,
    wait: &Wait,
    what: &str,
    look: impl AsyncFn() -> client::Result<Option<Vec<String>>>,
) -> Result<()> {
    if wait.no_wait() {
        return context.answer(&serde_json::json!({ "removal": "asked for" }), || {
            format!("the removal of {what} was asked for")
        });
    }
    let mut told: BTreeSet<String> = BTreeSet::new();
    let told = &mut told;
    let task = format!("the removal of {what}");
    progress::until(wait, &task, async || match look().await {
        Err(error) if error.is_not_found() => Ok(Some(())),
        Err(error) => Err(error),
        Ok(None) => Ok(Some(())),
        Ok(Some(remaining)) => {
            // Each reason once, however the list changes around it.
            for reason in remaining.into_iter().filter(|reason| !reason.is_empty()) {
                if told.insert(reason.clone()) {
                    context.say(&format!("waiting: {reason}"));
                }
            }
            Ok(None)
        }
    })
    .await?;
    context.answer(&serde_json::json!({ "removal": "done" }), || {
        format!("{what} is gone")
    })
}
