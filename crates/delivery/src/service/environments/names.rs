//! Names that are kept for teams: `payments-...` for `payments`.

use kernel::{Caller, ErrorKind, Resource, Result};
use teams::model::Team;

use super::super::{
    Delivery,
    access::{ENVIRONMENT_MISNAME, Place},
};

impl Delivery {
    /// Refuses a name that is kept for another team than the environment's, but to those who operate the
    /// platform.
    pub(super) async fn require_name(&self, caller: &Caller, place: &Place) -> Result<()> {
        let (name, team) = (&place.environment.meta.name, &place.environment.spec.team);
        let Some(kept_for) = self.kept_for(name).await? else {
            return Ok(());
        };
        if kept_for == *team {
            return Ok(());
        }
        let target = place.itself();
        let ruling = self.guard.require(caller, ENVIRONMENT_MISNAME, &target);
        ruling.await.map_err(|mut error| {
            if error.kind == ErrorKind::Forbidden {
                error.message = format!(
                    "environment `{name}` cannot be team `{team}`'s: names that begin with `{kept_for}-` are \
                     another team's"
                );
                error.remedy = Some(format!(
                    "choose another name, such as `{team}-{}`, or ask a platform engineer",
                    &name[kept_for.len() + 1..]
                ));
                error.problems.clear();
            }
            error
        })
    }

    /// The registered team for which a name is kept: of those with whose names and a hyphen it begins, the
    /// one with the longest.
    async fn kept_for(&self, name: &str) -> Result<Option<String>> {
        for (at, _) in name.rmatch_indices('-') {
            let found = self.store.get::<Team>("", &name[..at]).await?;
            let registered = |team: &Resource<Team>| team.spec.is_registered();
            if let Some(team) = found.filter(registered) {
                return Ok(Some(team.meta.name));
            }
        }
        Ok(None)
    }
}
