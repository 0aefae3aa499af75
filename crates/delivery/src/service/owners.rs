//! Which team each environment is of, as far as this replica has heard: what reconcilers take turns by.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use kernel::{Event, Kind, Query, Result, Store};

use crate::model::Environment;

/// Kept in memory, for it is asked at each turn. Being wrong costs a turn, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Owners(RwLock<HashMap<String, String>>);

impl Owners {
    /// Takes in all that there are, and lets go of all others. What was heard while the store was read may be
    /// overwritten by what it said before: the environment's next event corrects that, or the next reading, and until
    /// then it costs a turn.
    pub(crate) async fn read(&self, store: &Store) -> Result<()> {
        let all = store.list_all::<Environment>(&Query::default()).await?;
        let all = all
            .into_iter()
            .map(|found| (found.meta.name, found.spec.team));
        let read = all.collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Takes in what happened to an environment.
    pub(crate) fn heard(&self, event: &Event) {
        let Some(what) = event.kind.strip_prefix(Event::RESOURCE) else {
            return;
        };
        let key = event.subject_key();
        let Some(key) = key.filter(|key| key.kind == Environment::KIND) else {
            return;
        };
        let mut owners = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if what == "removed" {
            owners.remove(&key.name);
        } else {
            owners.insert(key.name, event.team.clone());
        }
    }

    /// The team of an environment; of one that was never heard of, its own name.
    pub(crate) fn of(&self, environment: &str) -> String {
        let owners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let team = owners.get(environment).map(String::as_str);
        team.unwrap_or(environment).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use kernel::Sealer;

    use super::*;

    #[tokio::test]
    async fn what_is_there_no_more_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/store.db", directory.path().display());
        let sealer = Sealer::generate().unwrap();
        let store = Store::open(&url, sealer).await.unwrap();
        let owners = Owners::default();
        let gone = ("pr-42".to_owned(), "payments".to_owned());
        owners.0.write().unwrap().extend([gone]);
        assert_eq!(owners.of("pr-42"), "payments");
        owners.read(&store).await.unwrap();
        assert_eq!(owners.of("pr-42"), "pr-42");
    }
}
