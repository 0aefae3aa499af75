//! Whether those who lead a team are in its group, as the source of each last said.

use std::collections::BTreeMap;

use kernel::{Name, Result};

use super::{Pass, sync::Found};
use crate::{
    model::{Condition, Truth},
    port::{Group, Member, MembershipSource},
};

/// What is known of one who is to lead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// In the group.
    In,
    /// Not in it.
    Out,
    /// Nobody: the local source has no such user.
    Nobody,
    /// Of a source whose group does not count for the team.
    Other,
    /// Of a source that there is not.
    Nowhere,
    /// Their source says it once they log in.
    Awaited,
    /// It could not be asked: why.
    Untold(String),
}

impl Pass<'_> {
    /// Whether the team's leads are in its group.
    pub(super) async fn of_leads(&self, group: &Found) -> Condition {
        let (name, spec) = (self.name(), &self.team.spec);
        if spec.leads.is_empty() {
            let message = format!(
                "nobody leads the team: `towpath team change {name} --lead SUBJECT` says who does"
            );
            return Condition::new(Condition::LEADS, Truth::False, message);
        }
        let mut known: BTreeMap<Known, Vec<&str>> = BTreeMap::new();
        let mut others: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let local = self.teams.ports().local.name();
        for lead in &spec.leads {
            let (source, who) = lead.split_once(':').unwrap_or((lead.as_str(), ""));
            if source == local {
                let found = self.of_local(lead, who, group).await;
                known.entry(found).or_default().push(lead);
            } else {
                others.entry(source).or_default().push(lead);
            }
        }
        if !others.is_empty() {
            let upstreams = self.teams.upstreams_of(name).await;
            for (source, leads) in others {
                for lead in leads {
                    let found = self.of_upstream(source, lead, &upstreams).await;
                    known.entry(found).or_default().push(lead);
                }
            }
        }
        self.said_of_leads(&known)
    }

    async fn of_local(&self, lead: &str, who: &str, group: &Found) -> Known {
        let local = &self.teams.ports().local;
        if !self.team.spec.counts(local.name()) {
            return Known::Other;
        }
        // Where it cannot be asked, nobody is said to be missing.
        if matches!(local.knows(who).await, Ok(false)) {
            return Known::Nobody;
        }
        match (&group.subjects, group.away()) {
            (Some(subjects), _) if subjects.contains(lead) => Known::In,
            (None, Some(why)) => Known::Untold(why.to_owned()),
            _ => Known::Out,
        }
    }

    async fn of_upstream(
        &self,
        source: &str,
        lead: &str,
        upstreams: &Result<Vec<Box<dyn MembershipSource>>>,
    ) -> Known {
        let spec = &self.team.spec;
        if !spec.counts(source) {
            return Known::Other;
        }
        let upstreams = match upstreams {
            Ok(upstreams) => upstreams,
            Err(error) => return Known::Untold(error.message.clone()),
        };
        let Some(upstream) = upstreams.iter().find(|one| one.name() == source) else {
            return Known::Nowhere;
        };
        let bound = self.team.status.bound_to(&spec.group);
        let id = bound.get(source).map(|bound| bound.id.as_str());
        let is_among = |all: &[Member]| all.iter().any(|one| one.subject == lead);
        match upstream.group(&spec.group, id).await {
            Ok(Group::Found(members) | Group::Seen { members, .. }) if is_among(&members) => {
                Known::In
            }
            Ok(Group::Found(_)) => Known::Out,
            Ok(Group::Seen { left, .. }) if is_among(&left) => Known::Out,
            // Who is not logged in is where they were when it last spoke of them.
            Ok(Group::Seen { .. }) => match upstream.last_said(lead, &spec.group, id).await {
                Ok(Some(true)) => Known::In,
                Ok(Some(false)) => Known::Out,
                Ok(None) => Known::Awaited,
                Err(error) => Known::Untold(error.message),
            },
            Ok(Group::Missing) => Known::Untold(format!("`{source}` shows no such group")),
            Err(error) => Known::Untold(error.message),
        }
    }

    fn said_of_leads(&self, known: &BTreeMap<Known, Vec<&str>>) -> Condition {
        let wrong = |one: &Known| !matches!(one, Known::In | Known::Awaited | Known::Untold(_));
        let status = if known.keys().any(wrong) {
            Truth::False
        } else if known.keys().all(|one| *one == Known::In) {
            Truth::True
        } else {
            Truth::Unknown
        };
        if status == Truth::True {
            let message = format!("its leads are in the group `{}`", self.team.spec.group);
            return Condition::new(Condition::LEADS, status, message);
        }
        let said = known.iter().filter_map(|(one, who)| self.said(one, who));
        let said: Vec<_> = said.collect();
        Condition::new(Condition::LEADS, status, said.join("; "))
    }

    /// What is said of these leads of whom the same is known; nothing of those who are as they should be.
    fn said(&self, known: &Known, leads: &[&str]) -> Option<String> {
        let (name, spec) = (self.name(), &self.team.spec);
        let group = &spec.group;
        let who: Vec<_> = leads.iter().map(|lead| format!("`{lead}`")).collect();
        let who = who.join(", ");
        let (is, leads_nothing, comes, they) = if leads.len() == 1 {
            ("is", "leads", "comes", "they are")
        } else {
            ("are", "lead", "come", "all of them are")
        };
        Some(match known {
            Known::In => return None,
            Known::Out => format!(
                "{who} of its leads {is} not in the group `{group}`, and {leads_nothing} nothing: {}",
                self.remedy_for(leads)
            ),
            Known::Nobody => {
                let user =
                    |lead: &str| lead.split_once(':').map_or("", |(_, user)| user).to_owned();
                let users: Vec<_> = leads.iter().map(|lead| user(lead)).collect();
                let all: Vec<_> = users.iter().map(|user| format!("`{user}`")).collect();
                let first = users.first()?;
                format!(
                    "there is no user {}, who is to lead the team: have a platform engineer make the user, \
                     `towpath user set {first}`, and take them in, `towpath team member add {name} {first}`; or \
                     name another lead",
                    all.join(", ")
                )
            }
            Known::Other => format!(
                "{who} of its leads {comes} from a source whose groups do not count for the team, and \
                 {leads_nothing} nothing: name a lead from `{}`, or set another `--source`",
                spec.source.as_deref().unwrap_or_default()
            ),
            Known::Nowhere => format!(
                "{who} of its leads {comes} from a source that does not exist, and {leads_nothing} nothing: name \
                 another lead, or have a platform engineer make the upstream"
            ),
            Known::Awaited => format!(
                "the team waits for {who} to log in: until then nobody can tell whether {they} in the group \
                 `{group}`"
            ),
            Known::Untold(why) => {
                format!("whether {who} {is} in the group `{group}` cannot be told: {why}")
            }
        })
    }

    /// How those of the leads get into the group who are not in it.
    fn remedy_for(&self, leads: &[&str]) -> String {
        let (name, local) = (self.name(), self.teams.ports().local.name());
        let is_local = |lead: &&str| {
            lead.split_once(':')
                .is_some_and(|(source, _)| source == local)
        };
        let group = self.team.spec.group.as_str();
        if leads.iter().all(is_local) && Name::new(group).is_ok() {
            return format!(
                "take them in with `towpath team member add {name}`, or name other leads (whoever is no user \
                 yet, `towpath user set` makes)"
            );
        }
        format!(
            "have them taken in at their source, or name other leads, `towpath team change {name} --lead SUBJECT`"
        )
    }
}
