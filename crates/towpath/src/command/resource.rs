//! `towpath resource`

mod dump;

use clap::Subcommand;
use delivery::{
    api::{Data, ResourceOutputs},
    model::ResourceInstance,
};

use super::{
    delete::{gone, require_consent},
    deploy::Wait,
    get,
    kind::Kind,
};
use crate::{cli::EnvironmentArg, context::Context, failure::Result, progress, render};

/// List, copy, rotate, remove or give up resources, and see their outputs
#[derive(Debug, Subcommand)]
pub(crate) enum Resource {
    /// List the resources of an environment
    List {
        #[command(flatten)]
        environment: EnvironmentArg,
    },
    /// Give a resource new credentials; workloads that use them are restarted
    ///
    /// A resource without secret outputs has none, and is refused.
    Rotate {
        /// The resource's name, as `towpath resource list` gives it
        name: String,
        #[command(flatten)]
        environment: EnvironmentArg,
        #[command(flatten)]
        wait: Wait,
    },
    /// Show what a resource gives to workloads; secrets by name only
    Outputs {
        /// The resource's name, as `towpath resource list` gives it
        name: String,
        #[command(flatten)]
        environment: EnvironmentArg,
        /// Show the value of this secret output; recorded as an event
        #[arg(long, value_name = "OUTPUT")]
        reveal: Option<String>,
    },
    /// Write what a resource holds to a file: a copy, before its data goes
    ///
    /// Works for Postgres, MySQL, volumes and buckets, with programs on this machine, which has to reach the server.
    /// The command reveals the password, which is recorded as an event.
    #[command(
        after_long_help = "Examples:\n  towpath resource dump db --out db.dump\n  pg_restore --no-owner --dbname \"$DATABASE_URL\" db.dump"
    )]
    Dump {
        /// The resource's name, as `towpath resource list` gives it
        name: String,
        #[command(flatten)]
        environment: EnvironmentArg,
        /// The file, which must not exist yet
        #[arg(long, value_name = "FILE")]
        out: std::path::PathBuf,
    },
    /// Remove a resource that no workload uses, including its data
    Delete {
        /// The resource's name, as `towpath resource list` gives it
        name: String,
        #[command(flatten)]
        environment: EnvironmentArg,
        /// Confirm that its data may be lost
        #[arg(long)]
        with_data: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Give up a resource whose removal fails, for good: what may be left of it is listed
    ///
    /// For operators. Its environment's removal goes on without it; `towpath get remnants` says what its
    /// server may still have.
    Abandon {
        /// The resource's name, as `towpath resource list` gives it
        name: String,
        #[command(flatten)]
        environment: EnvironmentArg,
    },
}

impl Resource {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List { environment } => {
                get::show(context, Kind::Resources, None, &environment.environment).await
            }
            Self::Rotate {
                name,
                environment,
                wait,
            } => {
                let environment = environment.environment;
                let client = context.patient_client()?;
                let asked = client.rotate_resource(&environment, &name).await?;
                if wait.no_wait() {
                    return context.answer(&asked.document()?, || {
                        format!("asked for new credentials of {name}")
                    });
                }
                let ready =
                    progress::until(&wait, &format!("the rotation of {name}"), async || {
                        let resource = client.resource(&environment, &asked.meta.name).await?;
                        let done = resource.status.rotation >= asked.spec.rotation;
                        Ok(done.then_some(resource))
                    })
                    .await?;
                context.answer(&ready.document()?, || rotated(&name, &asked, &ready))
            }
            Self::Outputs {
                name,
                environment,
                reveal,
            } => {
                let outputs = context
                    .client()?
                    .resource_outputs(&environment.environment, &name, reveal.as_deref())
                    .await?;
                context.answer(&outputs, || text(&outputs))
            }
            Self::Dump {
                name,
                environment,
                out,
            } => dump::run(context, &environment.environment, &name, &out).await,
            Self::Delete {
                name,
                environment,
                with_data,
                wait,
            } => {
                let environment = environment.environment;
                let client = context.patient_client()?;
                let resource = client.resource(&environment, &name).await?;
                require_consent(&resource, with_data)?;
                let meta = resource.meta;
                client
                    .delete_resource(&environment, &meta.name, Data::Remove, Some(meta.revision))
                    .await?;
                gone(context, &wait, &format!("resource {name}"), async || {
                    client
                        .resource(&environment, &meta.name)
                        .await
                        .map(|r| Some(vec![r.status.message]))
                })
                .await
            }
            Self::Abandon { name, environment } => {
                let remnant = context
                    .client()?
                    .abandon_resource(&environment.environment, &name, None)
                    .await?;
                context.answer(&remnant.document()?, || {
                    let remnant = remnant.meta.name;
                    format!(
                        "{name} was given up; what may be left of it: `towpath get remnant {remnant}`\nonce \
                         that is seen to: `towpath delete remnant {remnant}`"
                    )
                })
            }
        }
    }
}

/// What came of a rotation: a program, or a template, may give what it gave before.
fn rotated(
    name: &str,
    before: &kernel::Resource<ResourceInstance>,
    now: &kernel::Resource<ResourceInstance>,
) -> String {
    let rotation = now.status.rotation;
    let digest = &now.status.outputs_digest;
    if !digest.is_empty() && *digest == before.status.outputs_digest {
        return format!(
            "{name} was provisioned anew (rotation {rotation}) and has the credentials of before: what makes it draws \
             no others"
        );
    }
    format!(
        "{name} has new credentials (rotation {rotation}); the earlier ones end once every workload has taken the new"
    )
}

fn text(outputs: &ResourceOutputs) -> String {
    let mut rows: Vec<[String; 2]> = outputs
        .outputs
        .iter()
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), Into::into);
            [name.clone(), text]
        })
        .collect();
    for name in &outputs.secrets {
        let value = outputs.revealed.get(name).cloned();
        rows.push([
            name.clone(),
            value.unwrap_or_else(|| format!("(secret; --reveal {name} shows it)")),
        ]);
    }
    rows.sort();
    render::table::table(["output", "value"], rows, "It has no outputs.")
}
