//! `towpath team`

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use client::{Client, SubscriptionsOf, every};
use jiff::Timestamp;
use kernel::Resource;
use teams::{
    api::{Members, NewTeam, Offboard, TeamFields},
    model::{Condition, Team as Kind, TeamType, Truth},
};

mod allowance;
mod departure;
mod interaction;
mod onboarding;

use super::{apply, deploy::Wait};
use crate::{
    context::Context,
    failure::{Failure, Result},
    input, progress, render,
    retry_on_conflict::retry_on_conflict,
};

/// Onboard teams, see and change who is in them, and offboard them
#[derive(Debug, Subcommand)]
pub(crate) enum Team {
    Onboard(Onboard),
    /// List the teams: your own, or all if you onboard teams
    List,
    /// Show a team: what it is, whether it has everything that it should, its allowance and how much it uses, how it
    /// works with others
    Show {
        /// The team
        name: String,
    },
    Change(Change),
    #[command(subcommand)]
    Member(Member),
    Departure(departure::Departure),
    Onboarding(onboarding::Onboarding),
    #[command(subcommand)]
    Interaction(interaction::Interaction),
    /// Check everything that belongs to a team now, and notify everybody who keeps in step with it
    Sync {
        /// The team
        name: String,
    },
    Offboard(OffboardArgs),
    Import(Import),
}

/// Make a team a customer of the platform
///
/// Its namespaces, rights, hosts, integrations and deploy credentials follow; the command is done when all exist.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath team onboard payments --lead local:ada --contact '#payments' --boundary 'what is paid, until it is booked'\n  towpath team onboard payments --group acme/payments --source github"
)]
pub(crate) struct Onboard {
    /// Its name
    name: String,
    /// The group at the source whose members are the team's [default: the name]
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The only source whose group counts: local, or an upstream's name [default: any]
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Which domain it answers for, and where that ends; an enabling team needs none
    #[arg(long, value_name = "TEXT")]
    boundary: Option<String>,
    /// Whom to ask
    #[arg(long, value_name = "TEXT")]
    contact: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The type of team: stream-aligned, platform, enabling or complicated-subsystem
    #[arg(long = "type", value_name = "TYPE", value_parser = team_type)]
    kind: Option<TeamType>,
    /// A person who leads it, as `towpath whoami` shows them: local:ada. May be given again
    #[arg(long = "lead", value_name = "SUBJECT")]
    leads: Vec<String>,
    /// An environment role that it has a namespace for. May be given again [default: the standard roles]
    #[arg(long = "environment", value_name = "ROLE")]
    environments: Vec<String>,
    #[command(flatten)]
    wait: Wait,
}

/// Change a team; what is not given stays as it is
///
/// Only managers and operators change the group, for example after a provider has renamed it.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath team change payments --group money\n  towpath team change payments --contact '#payments' --lead local:ada\n  towpath team change payments --allowance namespaces=5 --allowance requests.cpu=40"
)]
pub(crate) struct Change {
    /// The team
    name: String,
    /// The group at the source whose members are the team's
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The only source whose group counts: local, or an upstream's name; empty: any
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Which domain it answers for, and where that ends; an enabling team needs none
    #[arg(long, value_name = "TEXT")]
    boundary: Option<String>,
    /// Whom to ask
    #[arg(long, value_name = "TEXT")]
    contact: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The type of team: stream-aligned, platform, enabling or complicated-subsystem
    #[arg(long = "type", value_name = "TYPE", value_parser = team_type)]
    kind: Option<TeamType>,
    /// A person who leads it; replaces the present leads. May be given again
    #[arg(long = "lead", value_name = "SUBJECT")]
    leads: Vec<String>,
    /// An environment role that it has a namespace for; replaces the present ones. May be given again
    #[arg(long = "environment", value_name = "ROLE")]
    environments: Vec<String>,
    /// Its allowance, which operators set: namespaces=5, workloads=200 for everything that it has; requests.cpu=40,
    /// requests.memory, limits.cpu, limits.memory for its namespaces together, and the same after `environments.` for
    /// its other environments. May be given again; what is not given stays
    #[arg(long = "allowance", value_name = "PART=AMOUNT", value_parser = allowance::part)]
    allowance: Vec<allowance::Part>,
}

/// See and change who is in a team
#[derive(Debug, Subcommand)]
pub(crate) enum Member {
    /// List who is in a team, by each of its sources
    List {
        /// The team
        team: String,
    },
    /// Add a user of the local source
    Add {
        /// The team
        team: String,
        /// The user's name
        user: String,
    },
    /// Remove a user of the local source: their access ends at once. What they made for the team goes on; the answer
    /// lists the webhooks
    Remove {
        /// The team
        team: String,
        /// The user's name
        user: String,
    },
}

/// End a team: nobody has its rights from then on, and everything that belongs to it is removed
///
/// What is protected stays, with everything in it, until --include prod is given.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  towpath team offboard payments --confirm payments")]
pub(crate) struct OffboardArgs {
    /// The team
    name: String,
    /// Its name, once more
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// `prod`: remove what is protected as well
    #[arg(long, value_name = "WHAT")]
    include: Option<String>,
}

/// Onboard the teams of a teams.json or teams.yaml, with their namespaces; those that exist stay as they are
///
/// The file holds a list of teams, or `teams` with such a list. A team may have `namespaces`: those beside the standard
/// ones, each a name, or a `name` with what a NamespaceRequest says. Environments that a team has already are adopted,
/// not made anew.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  towpath team import -f teams.json")]
pub(crate) struct Import {
    /// The file; `-` is standard input
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    file: PathBuf,
}

/// Takes out of `documents` what they say of those of `teams` that are registered, and of the namespaces that these
/// have: both stay as they are.
async fn say_nothing_of(
    client: &Client,
    teams: &[Resource<Kind>],
    documents: &mut [serde_json::Value],
) -> Result<()> {
    let mut namespaces: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for document in documents {
        let text = |pointer| {
            document
                .pointer(pointer)
                .and_then(serde_json::Value::as_str)
        };
        let name = text("/metadata/name").unwrap_or_default().to_owned();
        let is_request = text("/kind") == Some(input::NAMESPACE_REQUEST);
        let is_team = text("/kind") == Some("Team");
        let team = match text("/spec/team") {
            Some(team) if is_request => team.to_owned(),
            _ => name.clone(),
        };
        let there = |there: &Resource<Kind>| there.meta.name == team && there.spec.is_registered();
        if !teams.iter().any(there) {
            continue;
        }
        if is_team {
            document["spec"] = serde_json::json!({});
        } else if is_request {
            let there = match namespaces.entry(team.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let all = every(async |page| client.namespaces(&team, &page).await).await?;
                    unknown.insert(all.into_iter().map(|one| one.meta.name).collect())
                }
            };
            if there.contains(&name) {
                document["spec"] = serde_json::json!({ "team": team });
            }
        }
    }
    Ok(())
}

fn team_type(text: &str) -> std::result::Result<TeamType, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "use stream-aligned, platform, enabling or complicated-subsystem".to_owned())
}

impl Team {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Onboard(onboard) => onboard.run(context).await,
            Self::List => {
                let client = context.client()?;
                let teams = every(async |page| client.teams(&page).await).await?;
                let documents: kernel::Result<Vec<_>> =
                    teams.iter().map(Resource::document).collect();
                context.answer(&serde_json::json!({ "items": documents? }), || {
                    render::teams::list(&teams)
                })
            }
            Self::Show { name } => {
                let client = context.client()?;
                let team = client.team(&name).await?;
                let namespaces = if context.is_text() {
                    every(async |page| client.namespaces(&name, &page).await).await?
                } else {
                    vec![]
                };
                context.answer(&team.document()?, || {
                    render::teams::one(&team, &namespaces, Timestamp::now())
                })
            }
            Self::Onboarding(onboarding) => onboarding.run(context).await,
            Self::Interaction(interaction) => interaction.run(context).await,
            Self::Change(change) => change.run(context).await,
            Self::Member(member) => member.run(context).await,
            Self::Departure(departure) => departure.run(context).await,
            Self::Sync { name } => {
                let team = context.client()?.sync_team(&name).await?;
                context.answer(&team.document()?, || format!("team {name} is looked at"))
            }
            Self::Offboard(offboard) => offboard.run(context).await,
            Self::Import(import) => {
                let mut input = input::documents(&[import.file])?;
                let client = context.client()?;
                let teams = every(async |page| client.teams(&page).await).await?;
                say_nothing_of(&client, &teams, &mut input.ours).await?;
                apply::ours(context, input, false).await
            }
        }
    }
}

impl Onboard {
    async fn run(self, context: &Context) -> Result<()> {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let new = NewTeam {
            name: self.name,
            fields: TeamFields {
                group: self.group,
                source: self.source,
                description: self.description,
                boundary: self.boundary,
                contact: self.contact,
                kind: self.kind,
                leads: some(self.leads),
                environments: some(self.environments),
                ..TeamFields::default()
            },
        };
        let client = context.client()?;
        let mut team = client.onboard_team(&new).await?;
        if !self.wait.no_wait() {
            let task = format!("the onboarding of team {}", new.name);
            team = progress::until(&self.wait, &task, async || {
                let team: Resource<Kind> = client.team(&new.name).await?;
                Ok((team.status.phase == "ready").then_some(team))
            })
            .await?;
        }
        context.answer(&team.document()?, || {
            render::teams::one(&team, &[], Timestamp::now())
        })?;
        // Whoever mistypes a lead has a team that nobody leads, and would look for it in a table.
        let leads = team.status.conditions.iter();
        let leads = leads.filter(|one| one.kind == Condition::LEADS && one.status != Truth::True);
        for condition in leads.filter(|_| !team.spec.leads.is_empty()) {
            context.say(&format!("note: {}", condition.message));
        }
        Ok(())
    }
}

impl Change {
    async fn run(self, context: &Context) -> Result<()> {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let fields = TeamFields {
            group: self.group,
            source: self.source,
            boundary: self.boundary,
            contact: self.contact,
            description: self.description,
            kind: self.kind,
            leads: some(self.leads),
            environments: some(self.environments),
            ..TeamFields::default()
        };
        if fields == TeamFields::default() && self.allowance.is_empty() {
            return Err(Failure::usage("there is nothing to change")
                .remedy("see what can be changed: `towpath team change --help`"));
        }
        let client = context.client()?;
        let team = if self.allowance.is_empty() {
            client.change_team(&self.name, &fields, None).await?
        } else {
            let read = async || -> Result<Resource<Kind>> { Ok(client.team(&self.name).await?) };
            let write = async |before: Resource<Kind>, revision: Option<i64>| -> Result<_> {
                let allowance = allowance::with(before.spec.allowance, &self.allowance);
                let fields = TeamFields {
                    allowance: Some(allowance),
                    ..fields.clone()
                };
                let changed = client.change_team(&self.name, &fields, revision);
                Ok(changed.await?)
            };
            retry_on_conflict(read, write).await?
        };
        context.answer(&team.document()?, || {
            render::teams::one(&team, &[], Timestamp::now())
        })
    }
}

impl Member {
    async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let done = |what: String| {
            let answer = serde_json::json!({ "done": what });
            context.answer(&answer, || what.clone())
        };
        match self {
            Self::List { team } => {
                let members = client.team_members(&team).await?;
                context.answer(&members, || render::teams::members(&members))
            }
            Self::Add { team, user } => {
                client.add_member(&team, &user).await?;
                done(format!("{user} is in team {team}"))
            }
            Self::Remove { team, user } => {
                // Read before: whoever has gone is listed nowhere.
                let members = client.team_members(&team).await?;
                client.remove_member(&team, &user).await?;
                let left = match subject_of(&members, &user) {
                    Some(subject) => webhooks_of(&client, &team, subject).await?,
                    None => BTreeMap::new(),
                };
                let what = format!("{user} is no longer in team {team}");
                let answer = serde_json::json!({ "done": what, "webhooks": left });
                context.answer(&answer, || render::teams::left(&what, &team, &user, &left))
            }
        }
    }
}

/// The source whose people a team takes in and out by name.
const LOCAL_SOURCE: &str = "local";

/// The subject of one of a team's members, who may be named by it, by the part of it after the source, or by
/// their name.
fn subject_of<'m>(members: &'m Members, user: &str) -> Option<&'m str> {
    let mut sources = members.sources.iter();
    let local = sources.find(|one| one.source == LOCAL_SOURCE)?;
    let subject = format!("{LOCAL_SOURCE}:{user}");
    let found = local
        .members
        .iter()
        .find(|one| [user, subject.as_str()].contains(&one.subject.as_str()) || one.name == user);
    found.map(|member| member.subject.as_str())
}

/// The webhooks of a team that `subject` made, by name, with where they send events.
async fn webhooks_of(
    client: &Client,
    team: &str,
    subject: &str,
) -> Result<BTreeMap<String, String>> {
    let of = SubscriptionsOf::Team(team.to_owned());
    let all = every(async |page| client.subscriptions(&of, &page).await);
    let theirs = all.await?.into_iter();
    let theirs = theirs.filter(|one| one.spec.created_by == subject);
    Ok(theirs.map(|one| (one.meta.name, one.spec.url)).collect())
}

impl OffboardArgs {
    async fn run(self, context: &Context) -> Result<()> {
        let name = &self.name;
        // What is lost by it the platform says where it is not confirmed.
        let how = Offboard {
            confirm: self.confirm.clone(),
            include: self.include,
        };
        let team = context.client()?.offboard_team(name, &how).await?;
        context.answer(&team.document()?, || {
            format!(
                "team {name} is offboarded: nobody has its rights any more, not even you, and everything that belongs \
                 to it is being removed\n\
                 managers and operators can see what is left, and why: `towpath team show {name}`"
            )
        })
    }
}
