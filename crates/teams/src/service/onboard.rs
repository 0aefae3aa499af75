//! Onboarding: a team becomes a customer.

use kernel::{
    Caller, Change, Error, ErrorKind, Name, NewEvent, Outcome, Problem, Resource, Result, anew,
};
use serde_json::json;

use super::{
    Teams,
    access::{TEAM_ALLOW, TEAM_CREATE, TEAM_REASSIGN, of_platform, of_team},
};
use crate::{
    api::{NewTeam, TeamFields},
    model::{Interaction, Team, TeamSpec, may_be_group},
};

/// What a team's name may take of a namespace's, so that there is room for what follows.
const LONGEST_NAME: usize = 40;

/// How many standard namespaces a team may have: they do not count as its own.
const MOST_ENVIRONMENTS: usize = 12;

/// The team whose is what operators make without naming one.
const CATCH_ALL: &str = "default";

impl Teams {
    /// Onboards a team: its namespaces, credentials and all the rest follow. Fails with `AlreadyExists`
    /// where there is one of this name; one that was offboarded and of which something remains is taken
    /// in again, with what remains. Who would have by it what is there already, operators alone say.
    pub async fn team_onboard(&self, caller: &Caller, new: NewTeam) -> Result<Resource<Team>> {
        self.guard
            .require(caller, TEAM_CREATE, &of_platform(&new.name))
            .await?;
        if let Some(roles) = &new.fields.environments {
            self.refuse_unknown_roles("environments", roles).await?;
        }
        anew(|| async {
            let mut change = Change::new().by(caller);
            let before = self.store.get::<Team>("", &new.name).await?;
            if before.as_ref().is_some_and(|t| t.spec.is_registered()) {
                return Err(taken(&new.name));
            }
            let team = self.onboard_into(&mut change, caller, before, &new).await?;
            let committed = self.store.commit(change).await?;
            // The team is there, whatever becomes of its group: the reconciler sees to it as well.
            if let Err(error) = self.ensure_group(caller, &team.meta.name, &team.spec).await {
                tracing::info!(
                    error = error.chain(),
                    "a team's group is left to the reconciler"
                );
            }
            committed.resource(&team.key())
        })
        .await
    }

    /// Writes a team that is not registered into `change`; answers it.
    pub(super) async fn onboard_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        before: Option<Resource<Team>>,
        new: &NewTeam,
    ) -> Result<Resource<Team>> {
        let name = team_name(&new.name)?;
        if new.fields.allowance.is_some() {
            self.guard
                .require(caller, TEAM_ALLOW, &of_team(name.as_str()))
                .await?;
        }
        let fresh = TeamSpec {
            group: name.to_string(),
            environments: self.standard_roles().await?,
            ..TeamSpec::default()
        };
        let mut team = match before {
            Some(mut left) => {
                left.spec.offboarding = None;
                left
            }
            None => Resource::new("", name.as_str(), fresh),
        };
        let was = team.spec.clone();
        fill(&mut team.spec, &new.fields);
        self.refuse_giving(caller, &team, &was).await?;
        team.meta
            .labels
            .insert(kernel::Meta::TEAM.into(), name.to_string());
        let claiming = self.claim_group(name.as_str(), &team.spec.group).await?;
        let other = claiming.other.as_deref();
        // Also one that is taken in again needs a source that is there.
        let was = TeamSpec {
            source: None,
            ..was
        };
        self.check(caller, &team, &was, other).await?;
        claiming.write(change)?;
        if team.meta.revision == 0 {
            change.create(&team)?;
        } else {
            change.spec(&team)?;
        }
        change.event(NewEvent::caused(
            "team.created",
            team.key(),
            name.as_str(),
            caller,
            Some(Outcome::Pass),
            json!({ "team": name, "generation": team.meta.generation }),
        ));
        Ok(team)
    }

    /// Refuses who is no operator where a team that is about to be has something already: it would be
    /// whoever's they say. What is left of a team that `was` offboarded is its people's again.
    async fn refuse_giving(
        &self,
        caller: &Caller,
        team: &Resource<Team>,
        was: &TeamSpec,
    ) -> Result<()> {
        let name = team.meta.name.as_str();
        let target = of_team(name);
        if self.guard.allows(caller, TEAM_REASSIGN, &target) {
            return Ok(());
        }
        let spec = &team.spec;
        let (why, remedy) = if team.meta.revision != 0 {
            if (&spec.group, &spec.source, &spec.leads) == (&was.group, &was.source, &was.leads) {
                return Ok(());
            }
            (
                format!(
                    "team `{name}` was offboarded, and what remains of it is that of its group `{}`",
                    was.group
                ),
                "say nothing of `group`, `source` and `leads`, so that they are as they were, or have a platform engineer onboard it",
            )
        } else if name == CATCH_ALL {
            (
                format!("team `{name}` has all that operators make without naming a team"),
                "choose another name, or have a platform engineer onboard it",
            )
        } else {
            let mut there = Vec::new();
            for keeper in &self.ports.belongings {
                there.extend(keeper.has(name).await?);
            }
            if there.is_empty() {
                return Ok(());
            }
            (
                format!(
                    "there are {} of a team `{name}` already, which would be its",
                    there.join(", ")
                ),
                "choose another name, or have a platform engineer onboard it",
            )
        };
        let ruling = self.guard.require(caller, TEAM_REASSIGN, &target).await;
        ruling.map_err(|mut error| {
            if error.kind == ErrorKind::Forbidden {
                error.message = why;
                error.remedy = Some(remedy.into());
            }
            error
        })
    }

    /// Has the source that the platform keeps have the group, with those leads whom it knows, where
    /// the group is that source's and not there yet.
    pub(crate) async fn ensure_group(
        &self,
        caller: &Caller,
        team: &str,
        spec: &TeamSpec,
    ) -> Result<()> {
        let local = &self.ports.local;
        let prefix = format!("{}:", local.name());
        let people: Vec<String> = spec
            .leads
            .iter()
            .filter_map(|lead| lead.strip_prefix(&prefix))
            .map(str::to_owned)
            .collect();
        let is_local = spec.source.as_deref().is_none_or(|s| s == local.name());
        let reserved = self.registry.reserves(&spec.group);
        if !is_local || reserved || people.is_empty() || Name::new(spec.group.as_str()).is_err() {
            return Ok(());
        }
        // In the platform's name: whoever onboards a team need not keep groups.
        let platform = Caller::system("teams", caller.correlation);
        local
            .ensure(&platform, team, &spec.group, &people)
            .await
            .map(drop)
    }

    /// Everything that is wrong with what a team should be, at once. Interactions, and the source, that it had
    /// `before` are as they are: the other team, or the upstream, may have gone since. `other`: whose its group is
    /// already.
    pub(super) async fn check(
        &self,
        caller: &Caller,
        team: &Resource<Team>,
        before: &TeamSpec,
        other: Option<&str>,
    ) -> Result<()> {
        let (name, spec) = (team.meta.name.as_str(), &team.spec);
        let mut problems = self.wrong_group(spec, other);
        if spec.source != before.source {
            problems.extend(self.wrong_source(spec.source.as_deref()).await?);
        }
        let wrong = wrong_environments(name, spec);
        if wrong.is_empty() {
            problems.extend(self.wrong_names(name, spec).await?);
        }
        problems.extend(wrong);
        for (index, lead) in spec.leads.iter().enumerate() {
            let parts = lead.split_once(':');
            if !parts.is_some_and(|(source, id)| !source.is_empty() && !id.is_empty()) {
                problems.push(
                    Problem::new(
                        "team/lead",
                        format!("leads[{index}]"),
                        format!("`{lead}` is no subject"),
                    )
                    .remedy("write SOURCE:ID as `towpath whoami` shows it, such as `local:ada`"),
                );
            }
        }
        for (index, interaction) in spec.interactions.iter().enumerate() {
            if before.interactions.contains(interaction) {
                continue;
            }
            let place = format!("interactions[{index}]");
            if let Some(lacks) = interaction.lacks() {
                let why = format!("an interaction that is facilitating {lacks}");
                problems.push(Problem::new("team/interaction", place.as_str(), why).remedy(
                    "say in `expires` when it ends, and in `skill` what the other team can do itself then",
                ));
            }
            problems.extend(
                self.wrong_interaction(caller, name, interaction, &place)
                    .await?,
            );
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::problems(
            format!("team `{name}` is not valid"),
            problems,
        ))
    }

    fn wrong_group(&self, spec: &TeamSpec, other: Option<&str>) -> Vec<Problem> {
        let group = spec.group.as_str();
        let (why, remedy) = if !may_be_group(group) {
            (
                format!("a team's group cannot be `{}`", group.escape_debug()),
                "name a group of the team's source; those that begin with `system:` are a cluster's own",
            )
        } else if self.registry.reserves(group) {
            (
                format!(
                    "the members of `{group}` operate the platform or onboard teams: it is no team's"
                ),
                "name another group",
            )
        } else if let Some(other) = other {
            (
                format!("the group `{group}` is that of team `{other}`"),
                "name another group: each team has its own",
            )
        } else {
            return vec![];
        };
        vec![Problem::new("team/group", "group", why).remedy(remedy)]
    }

    /// A source that is not there says of nobody that they are in the team: it would be ready, and nobody's.
    async fn wrong_source(&self, source: Option<&str>) -> Result<Option<Problem>> {
        let Some(source) = source else {
            return Ok(None);
        };
        let upstreams = self.upstreams().await?;
        let mut there = vec![self.ports.local.name()];
        there.extend(upstreams.iter().map(|upstream| upstream.name()));
        if there.contains(&source) {
            return Ok(None);
        }
        let why = format!(
            "there is no source `{}`; those there are: {}",
            source.escape_debug(),
            there.join(", ")
        );
        let remedy = "name one of these, or have a platform engineer make the upstream first";
        Ok(Some(
            Problem::new("team/source", "source", why).remedy(remedy),
        ))
    }

    /// What is wrong with whom a team works with. Whether there is a team of that name is told to those
    /// alone who may see it: others may name any.
    async fn wrong_interaction(
        &self,
        caller: &Caller,
        name: &str,
        interaction: &Interaction,
        place: &str,
    ) -> Result<Option<Problem>> {
        let with = interaction.with.as_str();
        let may_be = with != name && Name::new(with).is_ok();
        let is_one = may_be
            && (!self.sees(caller, with) || self.store.get::<Team>("", with).await?.is_some());
        if is_one {
            return Ok(None);
        }
        Ok(Some(
            Problem::new(
                "team/interaction",
                format!("{place}.with"),
                format!("`{}` is no other team", with.escape_debug()),
            )
            .remedy("name another team: `towpath team list` shows those that you may see"),
        ))
    }
}

/// The name of a team that is yet to be.
fn team_name(name: &str) -> Result<Name> {
    let too_long =
        format!("it is longer than {LONGEST_NAME} letters: its namespaces' names begin with it");
    let (why, remedy) = match Name::new(name) {
        Ok(name) if name.as_str().len() <= LONGEST_NAME => return Ok(name),
        Ok(_) => (too_long, Some("choose a shorter one".into())),
        Err(error) => (error.message, error.remedy),
    };
    let problem = Problem::new("team/name", "name", why);
    let problem = Problem { remedy, ..problem };
    Err(Error::problems(
        "the name cannot be a team's",
        vec![problem],
    ))
}

fn taken(name: &str) -> Error {
    let problem = Problem::new("team/name", "name", "another team has this name")
        .remedy("choose another, or change that team");
    let mut error = Error::new(
        ErrorKind::AlreadyExists,
        format!("there is a team `{name}`"),
    );
    error.problems = vec![problem];
    error
}

/// Takes over what is said.
pub(super) fn fill(spec: &mut TeamSpec, fields: &TeamFields) {
    fn take<T: Clone>(to: &mut T, from: Option<&T>) {
        if let Some(from) = from {
            to.clone_from(from);
        }
    }
    take(&mut spec.group, fields.group.as_ref());
    if let Some(source) = &fields.source {
        spec.source = Some(source.clone()).filter(|source| !source.is_empty());
    }
    take(&mut spec.description, fields.description.as_ref());
    take(&mut spec.boundary, fields.boundary.as_ref());
    take(&mut spec.contact, fields.contact.as_ref());
    take(&mut spec.kind, fields.kind.as_ref());
    take(&mut spec.leads, fields.leads.as_ref());
    take(&mut spec.environments, fields.environments.as_ref());
    take(&mut spec.allowance, fields.allowance.as_ref());
    take(&mut spec.interactions, fields.interactions.as_ref());
}

/// Roles that cannot be part of a namespace's name, and those that are there twice.
fn wrong_environments(name: &str, spec: &TeamSpec) -> Vec<Problem> {
    let roles = spec.environments.iter().enumerate();
    let mut problems: Vec<_> = roles
        .filter_map(|(index, role)| {
            let why = if Name::new(format!("{name}-{role}")).is_err()
                || Name::new(role.as_str()).is_err()
            {
                format!("`{name}-{role}` cannot be a namespace's name")
            } else if spec.environments[..index].contains(role) {
                format!("`{role}` is there twice")
            } else {
                return None;
            };
            Some(
                Problem::new("team/environments", format!("environments[{index}]"), why).remedy(
                    "name each environment role once: `towpath get environment-roles` shows them",
                ),
            )
        })
        .collect();
    let count = spec.environments.len();
    if count > MOST_ENVIRONMENTS {
        problems.push(
            Problem::new(
                "team/environments",
                "environments",
                format!(
                    "a team has {MOST_ENVIRONMENTS} standard namespaces at the most, not {count}"
                ),
            )
            .remedy("name fewer roles; the team makes other namespaces within its allowance"),
        );
    }
    problems
}
