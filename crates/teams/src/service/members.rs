//! Who is in a team: asked of its sources; changed where the source is the platform's own.

use kernel::{Caller, Change, Error, Name, NewEvent, Outcome, Resource, Result, anew};
use serde_json::json;

use super::{Teams, access::MEMBERS_CHANGE};
use crate::{
    api::{Members, SourceAnswer, SourceState},
    model::Team,
    port::{Group, MembershipSource},
};

impl Teams {
    /// Who is in a team, as each of its sources says now.
    pub async fn members(&self, caller: &Caller, team: &str) -> Result<Members> {
        let team = self.team_seen(caller, team).await?;
        let sources = self.ask_sources(&team).await?;
        Ok(Members {
            team: team.meta.name,
            group: team.spec.group,
            leads: team.spec.leads,
            sources,
        })
    }

    /// The sources that are configured beside the platform's own.
    pub(crate) async fn upstreams(&self) -> Result<Vec<Box<dyn MembershipSource>>> {
        self.ports.upstreams.sources(None).await
    }

    /// The same, to be asked about a team: where somebody has asked for a look at it, nothing that they said before
    /// that will do.
    pub(crate) async fn upstreams_of(&self, team: &str) -> Result<Vec<Box<dyn MembershipSource>>> {
        self.registry.current().await?;
        let since = self.registry.look_asked(team);
        self.ports.upstreams.sources(since).await
    }

    /// What the sources whose group counts for a team say of it: the platform's own first.
    pub(crate) async fn ask_sources(&self, team: &Resource<Team>) -> Result<Vec<SourceAnswer>> {
        let (spec, bound) = (&team.spec, team.status.bound_to(&team.spec.group));
        let counts = |source: &dyn MembershipSource| spec.counts(source.name());
        let mut answers = Vec::new();
        let local: &dyn MembershipSource = self.ports.local.as_ref();
        if counts(local) {
            answers.push(answer(local, &spec.group, None).await);
        }
        for source in self.upstreams_of(&team.meta.name).await? {
            if counts(source.as_ref()) {
                let id = bound.get(source.name()).map(|one| one.id.as_str());
                answers.push(answer(source.as_ref(), &spec.group, id).await);
            }
        }
        Ok(answers)
    }

    /// Takes somebody into a team, where its group is kept here: by their name, or as the list of its members
    /// calls them.
    pub async fn member_add(&self, caller: &Caller, team: &str, user: &str) -> Result<()> {
        anew(|| async {
            let team = self.changeable(caller, team).await?;
            let (name, group) = (team.meta.name.as_str(), team.spec.group.as_str());
            let mut change = Change::new().by(caller);
            // Its group may become another team's in between.
            change.require(&team)?;
            let local = &self.ports.local;
            let added = local.add(&mut change, caller, name, group, user).await?;
            let Some(subject) = added else {
                // Told is what has changed.
                return Ok(());
            };
            change.event(told("team.member-added", &team, caller, &subject));
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    /// Takes somebody out of a team: at once, on every replica.
    pub async fn member_remove(&self, caller: &Caller, team: &str, user: &str) -> Result<()> {
        anew(|| async {
            let team = self.changeable(caller, team).await?;
            let (name, group) = (team.meta.name.as_str(), team.spec.group.as_str());
            let mut change = Change::new().by(caller);
            change.require(&team)?;
            let local = &self.ports.local;
            let Some(subject) = local.remove(&mut change, caller, group, user).await? else {
                return Err(Error::not_found(format!("`{user}` in team `{name}`"))
                    .remedy(format!("see who is: `towpath team member list {name}`")));
            };
            change.event(told("team.member-removed", &team, caller, &subject));
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    /// The team, where `caller` may change who is in it, and that can be done here.
    async fn changeable(&self, caller: &Caller, name: &str) -> Result<Resource<Team>> {
        let team = self.team_for(caller, MEMBERS_CHANGE, name).await?;
        if self.registry.reserves(&team.spec.group) {
            return Err(Error::conflict(format!(
                "the group `{}` of team `{name}` is reserved: its members operate the platform or onboard teams",
                team.spec.group
            ))
            .remedy("have a platform engineer give the team another group"));
        }
        let local = self.ports.local.name();
        let elsewhere = match team.spec.source.as_deref() {
            Some(source) if source != local => source,
            _ if Name::new(team.spec.group.as_str()).is_err() => "its source",
            _ => return Ok(team),
        };
        Err(Error::conflict(format!(
            "who is in team `{name}` is said by {elsewhere}: group `{}`",
            team.spec.group
        ))
        .remedy("change the group there: the platform follows"))
    }
}

fn told(what: &str, team: &Resource<Team>, caller: &Caller, subject: &str) -> NewEvent {
    NewEvent::caused(
        what,
        team.key(),
        &team.meta.name,
        caller,
        Some(Outcome::Pass),
        json!({ "member": subject }),
    )
}

async fn answer(source: &dyn MembershipSource, group: &str, id: Option<&str>) -> SourceAnswer {
    let (mut gone, mut has_some) = (Vec::new(), false);
    let (state, members, message) = match source.group(group, id).await {
        Ok(Group::Found(members)) => (SourceState::Complete, members, String::new()),
        Ok(Group::Seen {
            members,
            left,
            some,
        }) => {
            (gone, has_some) = (left, some);
            (
                SourceState::Seen,
                members,
                "it cannot list a group: these are those of its members who are logged in".into(),
            )
        }
        Ok(Group::Missing) => (
            SourceState::Missing,
            vec![],
            format!("it has no group `{group}`"),
        ),
        Err(error) => {
            tracing::warn!(
                source = source.name(),
                chain = error.chain(),
                "a source of teams"
            );
            (SourceState::Unavailable, vec![], error.message)
        }
    };
    SourceAnswer {
        source: source.name().into(),
        state,
        members,
        left: gone,
        some: has_some,
        message,
    }
}
