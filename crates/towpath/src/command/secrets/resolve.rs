//! The values of references: all of them, or a failure that names those that have none.

use std::collections::{BTreeMap, BTreeSet};

use client::Client;
use futures::{StreamExt as _, stream};
use kernel::{Problem, Secret};
use secrets::model::SecretRef;

use crate::failure::{Failure, Result};

/// Values that are asked for at the same time.
const AT_ONCE: usize = 8;

/// The value of each of `references`.
pub(super) async fn resolve(
    client: &Client,
    references: BTreeSet<SecretRef>,
) -> Result<BTreeMap<SecretRef, Secret>> {
    let asked = stream::iter(references).map(async |reference| {
        let value = value(client, &reference).await;
        (reference, value)
    });
    let mut answers: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
    answers.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (mut values, mut problems) = (BTreeMap::new(), Vec::new());
    let mut exit = None;
    for (reference, answer) in answers {
        match answer {
            Ok(value) => {
                values.insert(reference, value);
            }
            Err(failure) => {
                exit.get_or_insert(failure.exit);
                let message = format!("{reference}: {}", failure.message);
                let problem = Problem::new("secrets/unresolved", "", message);
                problems.push(match &failure.remedy {
                    Some(remedy) => problem.remedy(remedy),
                    None => problem,
                });
            }
        }
    }
    let Some(exit) = exit else {
        return Ok(values);
    };
    let message = match problems.len() {
        1 => "a reference to a secret does not resolve: nothing was done".to_owned(),
        several => {
            format!("{several} references to secrets do not resolve: nothing was done")
        }
    };
    Err(Failure::new(exit, message).problems(problems))
}

async fn value(client: &Client, reference: &SecretRef) -> Result<Secret> {
    let found = client.secret_value(reference, None).await?;
    Ok(found.value.decode()?)
}
