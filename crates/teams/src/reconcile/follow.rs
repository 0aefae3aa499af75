//! Groups that have a lasting id at their source: bound to it when they are first seen, and followed when
//! they are renamed there.

use std::collections::BTreeMap;

use kernel::{Name, Outcome, Result};
use serde_json::json;

use super::Pass;
use crate::model::{BoundGroup, may_be_group};

impl Pass<'_> {
    /// Has those who have left the team's group at an upstream lose it here, where that can be asked.
    pub(super) async fn end_gone(&self) -> Result<()> {
        let spec = &self.team.spec;
        let bound = self.team.status.bound_to(&spec.group);
        for source in self.teams.upstreams_of(self.name()).await? {
            let name = source.name();
            if !spec.counts(name) {
                continue;
            }
            let id = bound.get(name).map(|one| one.id.as_str());
            match source.end_gone(&self.caller, &spec.group, id).await {
                Ok(0) => {}
                Ok(ended) => tracing::info!(
                    source = name,
                    team = self.name(),
                    ended,
                    "members who have left were taken out"
                ),
                // The others are asked all the same, and this one at the next tick.
                Err(error) => {
                    tracing::warn!(source = name, chain = error.chain(), "a source of teams");
                }
            }
        }
        Ok(())
    }

    /// Binds the team's group, and follows it. Answers whether something was written.
    pub(super) async fn follow_group(&mut self) -> Result<bool> {
        let spec = self.team.spec.clone();
        let mut bound = self.team.status.bound_to(&spec.group);
        let mut renamed = None;
        for source in self.teams.upstreams_of(self.name()).await? {
            let name = source.name();
            if !spec.counts(name) {
                continue;
            }
            let known = bound.get(name);
            let found = match source
                .identify(&spec.group, known.map(|one| one.id.as_str()))
                .await
            {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(source = name, chain = error.chain(), "a source of teams");
                    continue;
                }
            };
            if found.name != known.map_or(&spec.group, |one| &one.name).as_str() {
                renamed = Some((name.to_owned(), found.name.clone()));
            }
            let now = BoundGroup {
                of: spec.group.clone(),
                id: found.id,
                name: found.name,
            };
            bound.insert(name.to_owned(), now);
        }
        if bound == self.team.status.groups {
            return Ok(false);
        }
        let mut change = self.change();
        let claim = match renamed.filter(|(source, now)| self.follows(&bound, source, now)) {
            Some((source, now)) => {
                let claim = self.teams.claim_group(self.name(), &now).await?;
                claim.other.is_none().then_some((source, now, claim))
            }
            None => None,
        };
        self.team.status.groups = bound;
        if let Some((source, now, claim)) = claim {
            claim.write(&mut change)?;
            self.team.spec.group.clone_from(&now);
            for one in self.team.status.groups.values_mut() {
                one.of.clone_from(&now);
            }
            let data = json!({ "source": source, "from": spec.group, "to": now });
            change.event(self.event("team.group-renamed", Some(Outcome::Pass), data));
            change.spec(&self.team)?;
        } else {
            change.status(&self.team)?;
        }
        self.commit(change).await?;
        Ok(true)
    }

    /// Whether the team's group is called otherwise from now on: where no other source could have a group
    /// of the old name that counts, and the new one is nobody else's.
    fn follows(&self, bound: &BTreeMap<String, BoundGroup>, source: &str, now: &str) -> bool {
        let spec = &self.team.spec;
        let only = spec.source.as_deref() == Some(source);
        let nowhere_else = bound.len() == 1 && Name::new(spec.group.as_str()).is_err();
        let registry = self.teams.registry();
        let free = may_be_group(now) && !registry.reserves(now);
        (only || nowhere_else) && free
    }
}
