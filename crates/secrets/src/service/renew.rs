//! What somebody knows is worth nothing any more: another value takes its place, or the key ends.

use identity::model::ServiceAccount;
use kernel::{Caller, Result, anew};
use serde_json::json;

use super::{ROTATE, Secrets, rotate::item};
use crate::{
    api::{RotatedSecret, Rotation},
    model::{DeployCredential, DeployCredentialSpec, SecretRef},
};

impl Secrets {
    /// Gives a secret a new value where its newest version is still `known`, or one before it, and the platform
    /// draws it. Asked again for the same `known`, it has one already.
    pub async fn renew(
        &self,
        caller: &Caller,
        secret: &SecretRef,
        known: u64,
    ) -> Result<RotatedSecret> {
        self.require(caller, ROTATE, secret).await?;
        let info = self.known(secret).await?;
        if info.version > known {
            return Ok(item(Rotation::Already, info));
        }
        self.rotate_since(caller, secret, info, Some(known)).await
    }

    /// Has keys of a deploy credential end, by id, as soon as another is kept: its reconciler draws that one
    /// where it is one of them that is. The same again changes nothing.
    pub async fn end_keys(
        &self,
        caller: &Caller,
        team: &str,
        account: &str,
        keys: &[String],
    ) -> Result<()> {
        let found = self.store.get::<DeployCredential>(team, account).await?;
        // Whoever may not is refused, whether there is one or not.
        let spec = found.map_or_else(
            || DeployCredentialSpec {
                environment: "none".into(),
                ..DeployCredentialSpec::default()
            },
            |found| found.spec,
        );
        let secret = spec.secret(team, account)?;
        self.require(caller, ROTATE, &secret).await?;
        anew(|| async {
            let mut credential = self.store.expect::<DeployCredential>(team, account).await?;
            let found = self.store.expect::<ServiceAccount>(team, account).await?;
            let valid = |id: &String| found.status.keys.iter().any(|key| key.id == *id);
            let ending = &mut credential.spec.ending;
            let before = ending.len();
            for key in keys {
                if valid(key) && !ending.contains(key) {
                    ending.push(key.clone());
                }
            }
            if ending.len() == before {
                return Ok(());
            }
            // What has ended need not be remembered.
            ending.retain(valid);
            let data = json!({ "secret": secret.to_string(), "ending": ending });
            self.key_asked_for(caller, &credential, data).await
        })
        .await
    }
}
