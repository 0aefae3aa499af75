//! `towpath cluster`

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use client::every;
use fleet::{
    api::NewCluster,
    model::{self, ClusterSpec},
};
use kernel::Resource;
use serde_json::json;

use super::unreadable;
use crate::{
    cli::Confirm,
    context::Context,
    failure::{Failure, Result},
    render::table::{fields, table},
    retry_on_conflict::{found, retry_on_conflict},
};

/// List, add, change and remove the platform's clusters
///
/// Everybody who is logged in sees them: `towpath kubeconfig` writes a context for each. Operators add and change
/// them, here or with `towpath apply -f`.
#[derive(Debug, Subcommand)]
#[command(
    after_long_help = "Examples:\n  towpath cluster list\n  towpath cluster list -o json\n  towpath cluster set prod --endpoint https://10.0.0.1:6443 --ca ca.crt --role prod --default"
)]
pub(crate) enum Cluster {
    /// List clusters: where each is, and what it is for
    List,
    /// Show one; -o yaml gives its authority's certificates too
    Show {
        /// The cluster
        name: String,
    },
    Set(Set),
    /// Remove one from the list; the cluster itself is not touched
    Delete {
        /// The cluster
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// Add a cluster, or change what you name
///
/// What you do not name stays as it was.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath cluster set prod --endpoint https://10.0.0.1:6443 --ca ca.crt --role prod --default\n  towpath cluster set prod --parameter efsStorageId=fs-0123"
)]
pub(crate) struct Set {
    /// Its name, and that of its context in a kubeconfig
    name: String,
    /// The https address of its API server
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The file with the certificates of its authority, in PEM [default: the authorities that clients know]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// An environment role that it is for; replaces the present ones. May be given again
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Where it is
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// A description, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What else clients need to know about it; without a value, the parameter is removed. May be given again
    #[arg(long = "parameter", value_name = "KEY=VALUE")]
    parameters: Vec<String>,
    /// Make it the default cluster
    #[arg(long)]
    default: bool,
    /// Make it no longer the default cluster
    #[arg(long, conflicts_with = "default")]
    no_default: bool,
}

impl Set {
    async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let read = async || found(client.cluster(&self.name).await);
        let write = async |before: Option<Resource<model::Cluster>>,
                           revision: Option<i64>|
               -> Result<Resource<model::Cluster>> {
            let before = before.map(|found| (found.spec, found.meta.labels));
            let (spec, labels) = before.unwrap_or_default();
            let spec = self.filled(spec)?;
            let new = NewCluster { spec, labels };
            Ok(client.put_cluster(&self.name, &new, revision).await?)
        };
        let written = retry_on_conflict(read, write).await?;
        context.answer(&written.document()?, || {
            format!(
                "cluster {} is known by {}",
                self.name, written.spec.endpoint
            )
        })
    }

    /// `spec`, with what is named.
    fn filled(&self, mut spec: ClusterSpec) -> Result<ClusterSpec> {
        if let Some(endpoint) = &self.endpoint {
            spec.endpoint.clone_from(endpoint);
        }
        if spec.endpoint.is_empty() {
            let message = format!(
                "it is not said where the API server of cluster {} is",
                self.name
            );
            return Err(Failure::usage(message).remedy(
                "name the address of a new one by --endpoint https://HOST:PORT; `towpath cluster list` lists \
                 those that are known",
            ));
        }
        if let Some(file) = &self.ca {
            let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
            spec.certificate_authority_data = Some(text);
        }
        if !self.roles.is_empty() {
            spec.roles = self.roles.iter().cloned().collect();
        }
        if let Some(region) = &self.region {
            spec.region = Some(region.clone()).filter(|region| !region.is_empty());
        }
        if let Some(description) = &self.description {
            spec.description.clone_from(description);
        }
        for parameter in &self.parameters {
            let Some((key, value)) = parameter.split_once('=') else {
                return Err(Failure::usage(format!("`{parameter}` is not KEY=VALUE")));
            };
            if value.is_empty() {
                spec.parameters.remove(key);
            } else {
                spec.parameters.insert(key.into(), value.into());
            }
        }
        spec.is_default = (spec.is_default || self.default) && !self.no_default;
        Ok(spec)
    }
}

impl Cluster {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List => {
                let client = context.client()?;
                let all = every(async |page| client.clusters(&page).await).await?;
                let documents = all.iter().map(Resource::document);
                let documents: Vec<_> = documents.collect::<kernel::Result<_>>()?;
                context.answer(&json!({ "items": documents }), || list(&all))
            }
            Self::Show { name } => {
                let found = context.client()?.cluster(&name).await?;
                context.answer(&found.document()?, || show(&found))
            }
            Self::Set(set) => set.run(context).await,
            Self::Delete { name, confirm } => {
                confirm.check(&name, &format!("cluster {name}"))?;
                context.client()?.delete_cluster(&name, None).await?;
                context.answer(&json!({ "removal": "done" }), || {
                    format!("cluster {name} is listed no more; a kubeconfig that has it keeps it")
                })
            }
        }
    }
}

fn roles(spec: &ClusterSpec) -> String {
    let roles: Vec<_> = spec.roles.iter().map(String::as_str).collect();
    roles.join(" ")
}

fn list(all: &[Resource<model::Cluster>]) -> String {
    let row = |one: &Resource<model::Cluster>| {
        [
            one.meta.name.clone(),
            one.spec.endpoint.clone(),
            roles(&one.spec),
            one.spec.region.clone().unwrap_or_default(),
            if one.spec.is_default { "yes" } else { "" }.to_owned(),
        ]
    };
    let head = ["name", "endpoint", "roles", "region", "default"];
    table(
        head,
        all.iter().map(row).collect(),
        "There are no clusters.",
    )
}

fn show(one: &Resource<model::Cluster>) -> String {
    let spec = &one.spec;
    let parameters = spec.parameters.iter();
    let parameters: Vec<_> = parameters
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let authority = match &spec.certificate_authority_data {
        Some(_) => "its own: its certificates are in the answer of -o yaml",
        None => "one that clients know anyway",
    };
    fields(&[
        ("name", one.meta.name.clone()),
        ("description", spec.description.clone()),
        ("endpoint", spec.endpoint.clone()),
        ("authority", authority.into()),
        ("roles", roles(spec)),
        ("region", spec.region.clone().unwrap_or_default()),
        ("default", if spec.is_default { "yes" } else { "no" }.into()),
        ("parameters", parameters.join(" ")),
    ])
}
