//! Workloads that start anew because something that they use was made anew.

use kernel::{Change, Resource, Result, Store};
use uuid::Uuid;

use crate::model::{ResourceInstance, Workload, begin_release};

/// Begins a release of every workload that uses `instance`, save those that are being removed and those
/// that `except` names; answers which were begun. `correlation` is what they begin for.
pub(crate) async fn release_users(
    store: &Store,
    change: &mut Change,
    instance: &Resource<ResourceInstance>,
    correlation: Uuid,
    except: impl Fn(&str) -> bool + Send,
) -> Result<Vec<(Resource<Workload>, u64)>> {
    let mut begun = Vec::new();
    for user in instance.status.used_by.iter().filter(|user| !except(user)) {
        let found = store.get::<Workload>(&instance.meta.scope, user).await?;
        let Some(mut workload) = found.filter(|workload| !workload.is_deleting()) else {
            continue;
        };
        let release = begin_release(&mut workload);
        workload.spec.correlation = correlation;
        change.spec(&workload)?;
        begun.push((workload, release));
    }
    Ok(begun)
}
