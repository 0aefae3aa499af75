//! The teams that a group of the local source is of: who removes it takes their people's access.

use std::sync::Arc;

use async_trait::async_trait;
use kernel::{Error, Resource, Result};

use super::Identity;
use crate::model::LocalGroup;

/// The port to the registry of teams.
#[async_trait]
pub trait Customers: Send + Sync + 'static {
    /// The registered teams whose group this one of the local source is.
    async fn of_group(&self, group: &str) -> Result<Vec<String>>;
}

impl Identity {
    /// Has the end of a team's group be confirmed. Once: what is said first counts.
    pub fn know_customers(&self, customers: Arc<dyn Customers>) {
        // Somebody has said so already.
        let _ = self.customers.set(customers);
    }

    /// Refuses the end of a group that is a team's, unless its name is repeated: `given`.
    pub(super) async fn require_confirmed(
        &self,
        group: &Resource<LocalGroup>,
        given: Option<&str>,
    ) -> Result<()> {
        let name = group.meta.name.as_str();
        let Some(customers) = self.customers.get().filter(|_| given != Some(name)) else {
            return Ok(());
        };
        let teams = customers.of_group(name).await?;
        let whose = match teams.as_slice() {
            [] => return Ok(()),
            [team] => format!("team `{team}`"),
            several => format!("teams `{}`", several.join("`, `")),
        };
        let lost = match group.spec.members.len() {
            0 => "nobody is in it now".to_owned(),
            1 => "1 person loses access".to_owned(),
            people => format!("{people} people lose access"),
        };
        let by = given.map_or_else(String::new, |given| {
            format!(" by `{}`", given.escape_debug())
        });
        Err(Error::invalid(format!(
            "the end of group `{name}` is not confirmed{by}: it is the group of {whose}; {lost}"
        ))
        .remedy(format!(
            "repeat its name, `--confirm {name}`; give a team another group first with `towpath team change TEAM \
             --group GROUP`"
        )))
    }
}
