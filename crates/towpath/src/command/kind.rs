//! The kinds that people name on the command line.

use std::ffi::OsStr;

use clap::{
    Arg, Command, CommandFactory as _, ValueEnum,
    builder::{EnumValueParser, PossibleValue, TypedValueParser},
    error::{ContextKind, ContextValue},
};
use client::{Client, every};
use kernel::{Document, Kind as KernelKind, Resource};

use crate::{
    cli::Cli,
    failure::{Failure, Result},
};

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Where workloads run together.
    #[value(alias = "environment", alias = "env", alias = "envs")]
    Environments,
    /// The purposes that environments have.
    #[value(alias = "environment-role", alias = "roles", alias = "role")]
    EnvironmentRoles,
    /// How the platform meets needs.
    #[value(
        alias = "resource-definition",
        alias = "definitions",
        alias = "definition"
    )]
    ResourceDefinitions,
    /// What was deployed, and how it went.
    #[value(alias = "deployment")]
    Deployments,
    /// What runs.
    #[value(alias = "workload")]
    Workloads,
    /// What workloads use.
    #[value(alias = "resource")]
    Resources,
    /// What may be left of resources that were given up.
    #[value(alias = "remnant")]
    Remnants,
    /// Ways to a new repository.
    #[value(alias = "starter-kit", alias = "kits", alias = "kit")]
    StarterKits,
    /// Which host and path leads where.
    #[value(alias = "route")]
    Routes,
    /// The revisions of a resource definition.
    #[value(alias = "revision")]
    Revisions,
    /// What decides over deployments and over who may do what, in Rego.
    #[value(alias = "policy")]
    Policies,
}

/// Reads a kind; of what is no kind here and has commands of its own the refusal names these.
#[derive(Debug, Clone)]
pub(crate) struct KindParser;

impl TypedValueParser for KindParser {
    type Value = Kind;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Kind, clap::Error> {
        let read = EnumValueParser::<Kind>::new().parse_ref(command, argument, value);
        read.map_err(|mut error| {
            if let Some(tip) = value.to_str().and_then(commands_of) {
                let tips = ContextValue::StyledStrs(vec![tip.into()]);
                error.insert(ContextKind::Suggested, tips);
            }
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let all = Kind::value_variants().iter();
        Some(Box::new(all.filter_map(ValueEnum::to_possible_value)))
    }
}

/// Which command lists `what`: `tools`, or `tool`.
fn commands_of(what: &str) -> Option<String> {
    let all = Cli::command();
    let one = all.find_subcommand(what.strip_suffix('s').unwrap_or(what))?;
    let list = one.find_subcommand("list")?;
    let (one, list) = (one.get_name(), list.get_name());
    Some(format!(
        "`{what}` has commands of its own: `towpath {one} {list}`"
    ))
}

impl Kind {
    /// All resources of the kind, in `environment` where the kind has one.
    pub(crate) async fn list(self, client: &Client, environment: &str) -> Result<Vec<Document>> {
        match self {
            Self::Environments => documents(&every(async |q| client.environments(&q).await).await?),
            Self::EnvironmentRoles => {
                documents(&every(async |q| client.environment_roles(&q).await).await?)
            }
            Self::ResourceDefinitions => {
                documents(&every(async |q| client.definitions(&q).await).await?)
            }
            Self::Deployments => {
                documents(&every(async |q| client.deployments(environment, &q).await).await?)
            }
            Self::Workloads => {
                documents(&every(async |q| client.workloads(environment, &q).await).await?)
            }
            Self::Resources => {
                documents(&every(async |q| client.resources(environment, &q).await).await?)
            }
            Self::Remnants => documents(&every(async |q| client.remnants(&q).await).await?),
            Self::StarterKits => documents(&every(async |q| client.starter_kits(&q).await).await?),
            Self::Routes => documents(&every(async |q| client.routes(&q).await).await?),
            Self::Revisions | Self::Policies => Err(self.stands_apart()),
        }
    }

    /// One resource of the kind.
    pub(crate) async fn get(
        self,
        client: &Client,
        environment: &str,
        name: &str,
    ) -> Result<Document> {
        let document = match self {
            Self::Environments => client.environment(name).await?.document(),
            Self::ResourceDefinitions => client.definition(name).await?.document(),
            Self::Deployments => client.deployment(environment, name).await?.document(),
            Self::Workloads => client.workload(environment, name).await?.document(),
            Self::Resources => client.resource(environment, name).await?.document(),
            Self::Revisions | Self::Policies => return Err(self.stands_apart()),
            Self::Remnants => client.remnant(name).await?.document(),
            Self::StarterKits => client.starter_kit(name).await?.document(),
            // The API lists these only: there are few, and they are small.
            Self::EnvironmentRoles | Self::Routes => {
                let all = self.list(client, environment).await?;
                let found = all.into_iter().find(|document| document.meta.name == name);
                found.ok_or_else(|| kernel::Error::not_found(format!("{} `{name}`", self.word())))
            }
        };
        Ok(document?)
    }

    /// Revisions stand below a definition, and policies are no resources: `get` and `describe` have their own
    /// way with them.
    fn stands_apart(self) -> Failure {
        Failure::usage(format!("a {} is shown by other commands", self.word())).remedy(
            "use `towpath get revisions NAME`, `towpath describe definition NAME --revision N`, \
             `towpath get policies` or `towpath describe policy NAME`",
        )
    }

    /// The kind in the singular, for sentences.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Environments => "environment",
            Self::EnvironmentRoles => "environment role",
            Self::ResourceDefinitions => "resource definition",
            Self::Deployments => "deployment",
            Self::Workloads => "workload",
            Self::Resources => "resource",
            Self::Remnants => "remnant",
            Self::StarterKits => "starter kit",
            Self::Routes => "route",
            Self::Revisions => "revision",
            Self::Policies => "policy",
        }
    }
}

fn documents<K: KernelKind>(resources: &[Resource<K>]) -> Result<Vec<Document>> {
    let documents: kernel::Result<Vec<_>> = resources.iter().map(Resource::document).collect();
    Ok(documents?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kind_is_looked_for_among_the_commands() {
        let refusal = |kind: &str| {
            let read = Cli::command().try_get_matches_from(["towpath", "get", kind]);
            read.unwrap_err().to_string()
        };
        for (kind, command) in [
            ("tools", "`towpath tool list`"),
            ("cluster", "`towpath cluster list`"),
        ] {
            let told = refusal(kind);
            assert!(told.contains(command), "{told}");
            assert!(told.contains("resource-definitions"), "{told}");
        }
        let told = refusal("things");
        assert!(!told.contains("commands of its own"), "{told}");
    }
}
